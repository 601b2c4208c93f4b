/**
 * A PosixTree in memory: the test double of this room and of whoever tests against a mount. It keeps POSIX's rules about
 * link counts, times, setgid folders, cleared setuid bits and unlinked open files; ACLs cannot be set (EOPNOTSUPP),
 * and nothing is ever durable. It answers at once; `delayMs` makes every answer a promise, to exercise the other path.
 *
 * Bytes are kept in blocks of 64 KiB; a block that was never written is a hole.
 */
import type { Moment } from '../base/index.ts';
import {
  ALLOCATE,
  type FileSystemSpace,
  type FolderEntry,
  type Handle,
  type MakeOptions,
  type OpenFlags,
  type OutsideChange,
  type PosixCaller,
  type PosixNode,
  type PosixTree,
  posixFault,
  type SetAttributes,
  type WriteFlags,
} from '../files/index.ts';
import { NODE_KIND, type NodeId, type NodeKind } from '../meta/index.ts';

const BLOCK_BYTES = 65_536;
const ZEROS = new Uint8Array(BLOCK_BYTES);
const NAME_BYTES_MAX = 255;
const SETUID = 0o4000;
const SETGID = 0o2000;
const GROUP_EXECUTE = 0o010;

export interface MemoryTreeOptions {
  readonly root?: NodeId;
  /** Answers later, after as many milliseconds (0: in a later turn). */
  readonly delayMs?: number;
}

/** Changes as another door would make them, told to whoever listens. */
export interface MemoryTree extends PosixTree {
  outside(change: OutsideChange): void;
  /** From now on answers take as long; only of a tree that was made with `delayMs`. */
  delay(delayMs: number): void;
  /** Nodes kept, the root included: shows leaks. */
  readonly nodeCount: number;
  readonly openCount: number;
}

export function memoryTree(options: MemoryTreeOptions = {}): MemoryTree {
  const tree = new Tree(options.root ?? (1 as NodeId));
  return options.delayMs === undefined ? tree : delayed(tree, options.delayMs);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Inode extends Mutable<PosixNode> {
  parent: NodeId;
  openCount: number;
  isForgotten: boolean;
  entries: Map<string, NodeId> | undefined;
  blocks: (Uint8Array | undefined)[] | undefined;
  target: Uint8Array | undefined;
  attributes: Map<string, Uint8Array> | undefined;
}

interface Open {
  readonly inode: Inode;
  readonly flags: OpenFlags;
  listed: FolderEntry[];
}

const FOLDER_FLAGS: OpenFlags = { read: true, write: false, append: false, truncate: false, sync: false };

function keyOf(name: Uint8Array): string {
  if (name.length > NAME_BYTES_MAX) throw posixFault('ENAMETOOLONG', 'Names have 255 bytes at most.');
  let key = '';
  for (let i = 0; i < name.length; i++) key += String.fromCharCode(name[i]!);
  return key;
}

function bytesOf(key: string): Uint8Array {
  const bytes = new Uint8Array(key.length);
  for (let i = 0; i < key.length; i++) bytes[i] = key.charCodeAt(i);
  return bytes;
}

class Tree implements MemoryTree {
  readonly root: NodeId;
  readonly #nodes = new Map<NodeId, Inode>();
  readonly #open: (Open | undefined)[] = [];
  readonly #freeHandles: Handle[] = [];
  readonly #listeners = new Set<(change: OutsideChange) => void>();
  #nextNode: number;

  constructor(root: NodeId) {
    this.root = root;
    this.#nextNode = Math.max(root, 1_000) + 1;
    const inode = this.#newNode(root, NODE_KIND.folder, 0o755, { uid: 0, gid: 0, pid: 0 });
    inode.parent = root;
  }

  get nodeCount(): number {
    return this.#nodes.size;
  }

  get openCount(): number {
    return this.#open.filter((open) => open !== undefined).length;
  }

  outside(change: OutsideChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  delay(): void {
    throw posixFault('EINVAL', 'This tree answers at once, always.');
  }

  lookup(parent: NodeId, name: Uint8Array): PosixNode | undefined {
    const node = this.#entries(parent).get(keyOf(name));
    if (node === undefined) return undefined;
    const inode = this.#inode(node);
    inode.isForgotten = false;
    return inode;
  }

  stat(node: NodeId): PosixNode {
    return this.#inode(node);
  }

  reach(node: NodeId): PosixNode {
    return this.stat(node);
  }

  setAttributes(node: NodeId, set: SetAttributes, caller: PosixCaller): PosixNode {
    const inode = this.#inode(node);
    if (set.size !== undefined) this.#resize(inode, set.size);
    if (set.killPrivileges) killPrivileges(inode);
    if (set.uid !== undefined) inode.uid = set.uid;
    if (set.gid !== undefined) inode.gid = set.gid;
    if (set.mode !== undefined) inode.mode = set.mode;
    const now = clockNow();
    if (set.modified !== undefined) putModified(inode, set.modified === 'now' ? now : set.modified);
    if (set.accessed !== undefined) putAccessed(inode, set.accessed === 'now' ? now : set.accessed);
    putChanged(inode, set.changed ?? now);
    void caller;
    return inode;
  }

  readLink(node: NodeId): Uint8Array {
    const { target } = this.#inode(node);
    if (target === undefined) throw posixFault('EINVAL', 'Not a symlink.');
    return target;
  }

  make(parent: NodeId, name: Uint8Array, options: MakeOptions, caller: PosixCaller): PosixNode {
    const key = this.#freeName(parent, name);
    const inode = this.#newNode(this.#nextId(), options.kind, options.mode & ~options.umask, caller);
    inode.device = options.device ?? 0;
    if (options.target !== undefined) {
      inode.target = options.target;
      inode.size = options.target.length;
      inode.mode = 0o777;
    }
    this.#enter(parent, key, inode);
    return inode;
  }

  create(
    parent: NodeId,
    name: Uint8Array,
    options: Omit<MakeOptions, 'kind'>,
    flags: OpenFlags,
    caller: PosixCaller,
  ): { node: PosixNode; handle: Handle } {
    const node = this.make(parent, name, { ...options, kind: NODE_KIND.file }, caller);
    return { node, handle: this.open(node.node, flags) };
  }

  createUnnamed(
    parent: NodeId,
    options: Omit<MakeOptions, 'kind'>,
    flags: OpenFlags,
    caller: PosixCaller,
  ): { node: PosixNode; handle: Handle } {
    const inode = this.#newNode(this.#nextId(), NODE_KIND.file, options.mode & ~options.umask, caller);
    inode.links = 0;
    this.#inherit(this.#inode(parent), inode);
    return { node: inode, handle: this.open(inode.node, flags) };
  }

  link(node: NodeId, parent: NodeId, name: Uint8Array): PosixNode {
    const inode = this.#inode(node);
    if (inode.kind === NODE_KIND.folder) throw posixFault('EPERM', 'Folders have one name.');
    const key = this.#freeName(parent, name);
    this.#entries(parent).set(key, node);
    inode.links++;
    putChanged(inode, clockNow());
    this.#touched(this.#inode(parent));
    return inode;
  }

  unlink(parent: NodeId, name: Uint8Array): void {
    const { key, inode } = this.#named(parent, name);
    if (inode.kind === NODE_KIND.folder) throw posixFault('EISDIR', 'A folder.');
    this.#leave(parent, key, inode);
  }

  removeFolder(parent: NodeId, name: Uint8Array): void {
    const { key, inode } = this.#named(parent, name);
    if (inode.entries === undefined) throw posixFault('ENOTDIR', 'Not a folder.');
    if (inode.entries.size > 0) throw posixFault('ENOTEMPTY', 'The folder has entries.');
    this.#leave(parent, key, inode);
  }

  rename(
    from: { readonly parent: NodeId; readonly name: Uint8Array },
    to: { readonly parent: NodeId; readonly name: Uint8Array },
    mode: 'replace' | 'no-replace' | 'exchange',
  ): void {
    const source = this.#named(from.parent, from.name);
    const targetKey = keyOf(to.name);
    const targetNode = this.#entries(to.parent).get(targetKey);
    const target = targetNode === undefined ? undefined : this.#inode(targetNode);
    this.#refuseInside(source.inode, to.parent);
    if (mode === 'exchange') {
      if (target === undefined) throw posixFault('ENOENT', 'Nothing to exchange with.');
      this.#refuseInside(target, from.parent);
      this.#point(from.parent, source.key, target);
      this.#point(to.parent, targetKey, source.inode);
    } else {
      if (target !== undefined && mode === 'no-replace') throw posixFault('EEXIST', 'The name is taken.');
      if (target === source.inode) return;
      if (target !== undefined) this.#replace(source.inode, target, to.parent, targetKey);
      this.#entries(from.parent).delete(source.key);
      if (source.inode.entries !== undefined) this.#inode(from.parent).links--;
      this.#entries(to.parent).set(targetKey, source.inode.node);
      if (source.inode.entries !== undefined) {
        this.#inode(to.parent).links++;
        source.inode.parent = to.parent;
      }
    }
    this.#touched(this.#inode(from.parent));
    this.#touched(this.#inode(to.parent));
    putChanged(source.inode, clockNow());
  }

  open(node: NodeId, flags: OpenFlags): Handle {
    const inode = this.#inode(node);
    if (inode.kind === NODE_KIND.folder) throw posixFault('EISDIR', 'A folder.');
    if (flags.truncate && inode.kind === NODE_KIND.file) {
      this.#resize(inode, 0);
      this.#wrote(inode);
      if (flags.killPrivileges) killPrivileges(inode);
    }
    return this.#opened(inode, flags);
  }

  read(handle: Handle, offset: number, length: number): readonly Uint8Array[] {
    const { inode } = this.#handle(handle);
    const pieces: Uint8Array[] = [];
    const end = Math.min(inode.size, offset + length);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / BLOCK_BYTES);
      const into = at - index * BLOCK_BYTES;
      const count = Math.min(end - at, BLOCK_BYTES - into);
      const block = inode.blocks?.[index] ?? ZEROS;
      const piece = block.subarray(into, Math.min(block.length, into + count));
      pieces.push(piece);
      // A block is as long as what was written of it.
      if (piece.length < count) pieces.push(ZEROS.subarray(0, count - piece.length));
      at += count;
    }
    return pieces;
  }

  write(handle: Handle, offset: number, bytes: Uint8Array, flags?: WriteFlags): number {
    const { inode, flags: opened } = this.#handle(handle);
    if (!opened.write) throw posixFault('EBADF', 'Not open for writing.');
    const start = opened.append ? inode.size : offset;
    if (inode.size < start) this.#resize(inode, start);
    const end = start + bytes.length;
    for (let at = start; at < end; ) {
      const index = Math.floor(at / BLOCK_BYTES);
      const into = at - index * BLOCK_BYTES;
      const count = Math.min(end - at, BLOCK_BYTES - into);
      blockOf(inode, index, into + count).set(bytes.subarray(at - start, at - start + count), into);
      at += count;
    }
    inode.size = Math.max(inode.size, end);
    this.#wrote(inode);
    if (flags?.killPrivileges) killPrivileges(inode);
    return bytes.length;
  }

  flush(handle: Handle): void {
    this.#handle(handle);
  }

  fsync(handle: Handle): void {
    this.#handle(handle);
  }

  release(handle: Handle): void {
    const { inode } = this.#handle(handle);
    this.#open[handle] = undefined;
    this.#freeHandles.push(handle);
    inode.openCount--;
    this.#dropIfUnreachable(inode);
  }

  allocate(handle: Handle, mode: number, offset: number, length: number): void {
    const { inode } = this.#handle(handle);
    if (mode & ~(ALLOCATE.keepSize | ALLOCATE.punchHole | ALLOCATE.zeroRange)) {
      throw posixFault('EOPNOTSUPP', 'Only allocating, punching and zeroing.');
    }
    const end = offset + length;
    if (mode & (ALLOCATE.punchHole | ALLOCATE.zeroRange)) clear(inode, offset, Math.min(end, inode.size));
    if (!(mode & ALLOCATE.keepSize) && end > inode.size) this.#resize(inode, end);
    this.#wrote(inode);
  }

  seek(handle: Handle, offset: number, what: 'data' | 'hole'): number {
    const { inode } = this.#handle(handle);
    if (offset >= inode.size) throw posixFault('ENXIO', 'Behind the end.');
    for (let at = offset; at < inode.size; at = (Math.floor(at / BLOCK_BYTES) + 1) * BLOCK_BYTES) {
      const isData = inode.blocks?.[Math.floor(at / BLOCK_BYTES)] !== undefined;
      if (isData === (what === 'data')) return at;
    }
    if (what === 'data') throw posixFault('ENXIO', 'No data from here on.');
    return inode.size;
  }

  copyRange(
    source: { readonly handle: Handle; readonly offset: number },
    target: { readonly handle: Handle; readonly offset: number },
    length: number,
    caller: PosixCaller,
  ): number {
    const flags = caller.uid === 0 ? {} : { killPrivileges: true, caller };
    let at = target.offset;
    // Copied first: source and target may be one file.
    for (const piece of this.read(source.handle, source.offset, length).map((piece) => piece.slice())) {
      at += this.write(target.handle, at, piece, flags);
    }
    return at - target.offset;
  }

  openFolder(node: NodeId): Handle {
    this.#entries(node);
    return this.#opened(this.#inode(node), FOLDER_FLAGS);
  }

  readFolder(handle: Handle, offset: number, count: number): readonly FolderEntry[] {
    const open = this.#handle(handle);
    if (offset === 0) {
      const entries = [...(open.inode.entries ?? [])];
      open.listed = entries.map(([key, node], at) => ({
        name: bytesOf(key),
        node,
        kind: this.#inode(node).kind,
        offset: at + 1,
      }));
    }
    return open.listed.slice(offset, offset + count);
  }

  parentOf(node: NodeId): NodeId {
    return this.#inode(node).parent;
  }

  releaseFolder(handle: Handle): void {
    this.release(handle);
  }

  syncFolder(): void {}

  getAttribute(node: NodeId, name: Uint8Array): Uint8Array | undefined {
    return this.#inode(node).attributes?.get(keyOf(name));
  }

  setAttribute(node: NodeId, name: Uint8Array, value: Uint8Array, mode: 'set' | 'create' | 'replace'): void {
    if (isAcl(name)) noAcls();
    const inode = this.#inode(node);
    inode.attributes ??= new Map();
    const key = keyOf(name);
    if (mode === 'create' && inode.attributes.has(key)) throw posixFault('EEXIST', 'The attribute is there.');
    if (mode === 'replace' && !inode.attributes.has(key)) throw posixFault('ENODATA', 'No such attribute.');
    inode.attributes.set(key, value);
    putChanged(inode, clockNow());
  }

  listAttributes(node: NodeId): readonly Uint8Array[] {
    return [...(this.#inode(node).attributes?.keys() ?? [])].map(bytesOf);
  }

  removeAttribute(node: NodeId, name: Uint8Array): void {
    if (isAcl(name)) noAcls();
    const inode = this.#inode(node);
    if (!inode.attributes?.delete(keyOf(name))) throw posixFault('ENODATA', 'No such attribute.');
    putChanged(inode, clockNow());
  }

  space(): FileSystemSpace {
    return { totalBytes: 2 ** 40, freeBytes: 2 ** 39, nodeCount: this.#nodes.size, freeNodeCount: 2 ** 30 };
  }

  syncFs(): void {}

  forgotten(node: NodeId): void {
    const inode = this.#nodes.get(node);
    if (inode === undefined) return;
    inode.isForgotten = true;
    this.#dropIfUnreachable(inode);
  }

  onOutsideChange(listener: (change: OutsideChange) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#nodes.clear();
  }

  // ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #nextId(): NodeId {
    return this.#nextNode++ as NodeId;
  }

  #newNode(node: NodeId, kind: NodeKind, mode: number, caller: PosixCaller): Inode {
    const { seconds, nanoseconds } = clockNow();
    const isFolder = kind === NODE_KIND.folder;
    const inode: Inode = {
      node,
      kind,
      mode,
      uid: caller.uid,
      gid: caller.gid,
      links: isFolder ? 2 : 1,
      size: 0,
      device: 0,
      modifiedSeconds: seconds,
      modifiedNanoseconds: nanoseconds,
      changedSeconds: seconds,
      changedNanoseconds: nanoseconds,
      accessedSeconds: seconds,
      accessedNanoseconds: nanoseconds,
      createdSeconds: seconds,
      createdNanoseconds: nanoseconds,
      parent: node,
      openCount: 0,
      isForgotten: false,
      entries: isFolder ? new Map() : undefined,
      blocks: undefined,
      target: undefined,
      attributes: undefined,
    };
    this.#nodes.set(node, inode);
    return inode;
  }

  #inode(node: NodeId): Inode {
    const inode = this.#nodes.get(node);
    if (inode === undefined) throw posixFault('ESTALE', 'No such node.', { node });
    return inode;
  }

  #entries(node: NodeId): Map<string, NodeId> {
    const { entries } = this.#inode(node);
    if (entries === undefined) throw posixFault('ENOTDIR', 'Not a folder.', { node });
    return entries;
  }

  #named(parent: NodeId, name: Uint8Array): { key: string; inode: Inode } {
    const key = keyOf(name);
    const node = this.#entries(parent).get(key);
    if (node === undefined) throw posixFault('ENOENT', 'No such name.');
    return { key, inode: this.#inode(node) };
  }

  #freeName(parent: NodeId, name: Uint8Array): string {
    const key = keyOf(name);
    if (this.#entries(parent).has(key)) throw posixFault('EEXIST', 'The name is taken.');
    if (this.#inode(parent).links === 0) throw posixFault('ENOENT', 'The folder was removed.');
    return key;
  }

  #inherit(folder: Inode, inode: Inode): void {
    if (!(folder.mode & SETGID)) return;
    inode.gid = folder.gid;
    if (inode.kind === NODE_KIND.folder) inode.mode |= SETGID;
  }

  #enter(parent: NodeId, key: string, inode: Inode): void {
    const folder = this.#inode(parent);
    this.#inherit(folder, inode);
    this.#entries(parent).set(key, inode.node);
    inode.parent = parent;
    if (inode.entries !== undefined) folder.links++;
    this.#touched(folder);
  }

  #leave(parent: NodeId, key: string, inode: Inode): void {
    const folder = this.#inode(parent);
    this.#entries(parent).delete(key);
    if (inode.entries !== undefined) {
      folder.links--;
      inode.links = 0;
    } else inode.links--;
    putChanged(inode, clockNow());
    this.#touched(folder);
  }

  /** An unlinked node stays until the kernel has forgotten it, and while it is open. */
  #dropIfUnreachable(inode: Inode): void {
    if (inode.links === 0 && inode.openCount === 0 && inode.isForgotten) this.#nodes.delete(inode.node);
  }

  #replace(source: Inode, target: Inode, parent: NodeId, key: string): void {
    if (target.entries !== undefined) {
      if (source.entries === undefined) throw posixFault('EISDIR', 'A folder.');
      if (target.entries.size > 0) throw posixFault('ENOTEMPTY', 'The folder has entries.');
    } else if (source.entries !== undefined) throw posixFault('ENOTDIR', 'Not a folder.');
    this.#leave(parent, key, target);
  }

  #refuseInside(inode: Inode, folder: NodeId): void {
    for (let at = folder; ; at = this.#inode(at).parent) {
      if (at === inode.node) throw posixFault('EINVAL', 'A folder does not go into itself.');
      if (at === this.root) return;
    }
  }

  /** Lets the name stand for another node: half of an exchange. */
  #point(parent: NodeId, key: string, inode: Inode): void {
    const folder = this.#inode(parent);
    const before = this.#inode(this.#entries(parent).get(key)!);
    if (before.entries !== undefined) folder.links--;
    if (inode.entries !== undefined) {
      folder.links++;
      inode.parent = parent;
    }
    this.#entries(parent).set(key, inode.node);
    putChanged(inode, clockNow());
  }

  #opened(inode: Inode, flags: OpenFlags): Handle {
    const handle = this.#freeHandles.pop() ?? this.#open.length + 1;
    this.#open[handle] = { inode, flags, listed: [] };
    inode.openCount++;
    return handle;
  }

  #handle(handle: Handle): Open {
    const open = this.#open[handle];
    if (open === undefined) throw posixFault('EBADF', 'Not open.', { handle });
    return open;
  }

  #resize(inode: Inode, size: number): void {
    if (size < inode.size) {
      clear(inode, size, Math.ceil(inode.size / BLOCK_BYTES) * BLOCK_BYTES);
      inode.blocks?.splice(Math.ceil(size / BLOCK_BYTES));
    }
    inode.size = size;
    this.#wrote(inode);
  }

  #wrote(inode: Inode): void {
    const now = clockNow();
    putModified(inode, now);
    putChanged(inode, now);
  }

  #touched(folder: Inode): void {
    this.#wrote(folder);
  }
}

/** The block, with room for `length` bytes at least. */
function blockOf(inode: Inode, index: number, length: number): Uint8Array {
  inode.blocks ??= [];
  const block = inode.blocks[index];
  if (block !== undefined && block.length >= length) return block;
  const room = Math.min(BLOCK_BYTES, Math.max(512, 2 ** Math.ceil(Math.log2(length))));
  const grown = new Uint8Array(room);
  if (block !== undefined) grown.set(block);
  while (inode.blocks.length < index) inode.blocks.push(undefined);
  inode.blocks[index] = grown;
  return grown;
}

/** Zeros the range; blocks that lie wholly in it become holes. */
function clear(inode: Inode, start: number, end: number): void {
  const { blocks } = inode;
  if (blocks === undefined) return;
  for (let index = Math.floor(start / BLOCK_BYTES); index * BLOCK_BYTES < end && index < blocks.length; index++) {
    const from = Math.max(0, start - index * BLOCK_BYTES);
    const to = Math.min(BLOCK_BYTES, end - index * BLOCK_BYTES);
    if (from === 0 && to === BLOCK_BYTES) blocks[index] = undefined;
    else blocks[index]?.fill(0, from, to);
  }
}

function killPrivileges(inode: Inode): void {
  inode.mode &= ~SETUID;
  if (inode.mode & GROUP_EXECUTE) inode.mode &= ~SETGID;
}

function isAcl(name: Uint8Array): boolean {
  return name.length > 17 && keyOf(name).startsWith('system.posix_acl_');
}

function noAcls(): never {
  throw posixFault('EOPNOTSUPP', 'No ACLs here.');
}

function clockNow(): Moment {
  const ms = performance.timeOrigin + performance.now();
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanoseconds: Math.floor((ms - seconds * 1000) * 1e6) };
}

function putModified(inode: Inode, moment: Moment): void {
  inode.modifiedSeconds = moment.seconds;
  inode.modifiedNanoseconds = moment.nanoseconds;
}

function putChanged(inode: Inode, moment: Moment): void {
  inode.changedSeconds = moment.seconds;
  inode.changedNanoseconds = moment.nanoseconds;
}

function putAccessed(inode: Inode, moment: Moment): void {
  inode.accessedSeconds = moment.seconds;
  inode.accessedNanoseconds = moment.nanoseconds;
}

const AT_ONCE = new Set(['forgotten', 'onOutsideChange', 'outside', 'root', 'nodeCount', 'openCount']);

/** The same tree with every answer a promise. What is answered is as it was when the answer was made. */
function delayed(tree: MemoryTree, delayMs: number): MemoryTree {
  let currentMs = delayMs;
  return new Proxy(tree, {
    get(target, property) {
      if (property === 'delay') return (ms: number) => void (currentMs = ms);
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const call = value.bind(target) as (...args: unknown[]) => unknown;
      if (typeof property === 'symbol' || AT_ONCE.has(property)) return call;
      return async (...args: unknown[]) => {
        await new Promise((resolve) => setTimeout(resolve, currentMs));
        return call(...args);
      };
    },
  });
}
