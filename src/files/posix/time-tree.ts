/**
 * What a mount shows: the tree as it is, and below `.snapshots` in its root the past. The folder is not listed, but it
 * is there for whoever names it. Each call goes to the one or to the other by the node or handle it is about; whatever
 * would change the past is EROFS, and what would reach from the one into the other is EXDEV, as between two file systems.
 */
import { equalBytes, type Maybe } from '../../base/index.ts';
import type { NodeId } from '../../meta/index.ts';
import { PAST_NAME, type PastTree, readOnly } from './past-tree.ts';
import {
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
} from './posix.ts';

type Opened = Maybe<{ readonly node: PosixNode; readonly handle: Handle }>;

export class TimeTree implements PosixTree {
  readonly root: NodeId;
  readonly #now: PosixTree;
  readonly #past: PastTree;

  constructor(now: PosixTree, past: PastTree) {
    this.root = now.root;
    this.#now = now;
    this.#past = past;
  }

  lookup(parent: NodeId, name: Uint8Array): Maybe<PosixNode | undefined> {
    if (this.#past.has(parent)) return this.#past.lookup(parent, name);
    if (parent === this.root && isPastName(name)) return this.#past.folder();
    return this.#now.lookup(parent, name);
  }

  stat(node: NodeId): Maybe<PosixNode> {
    return this.#past.has(node) ? this.#past.stat(node) : this.#now.stat(node);
  }

  reach(node: NodeId): Maybe<PosixNode> {
    return this.#past.has(node) ? this.#past.stat(node) : this.#now.reach(node);
  }

  readLink(node: NodeId): Maybe<Uint8Array> {
    return this.#past.has(node) ? this.#past.readLink(node) : this.#now.readLink(node);
  }

  parentOf(node: NodeId): Maybe<NodeId> {
    return this.#past.has(node) ? this.#past.parentOf(node) : this.#now.parentOf(node);
  }

  getAttribute(node: NodeId, name: Uint8Array): Maybe<Uint8Array | undefined> {
    return this.#past.has(node) ? this.#past.getAttribute(node, name) : this.#now.getAttribute(node, name);
  }

  listAttributes(node: NodeId, caller: PosixCaller): Maybe<readonly Uint8Array[]> {
    return this.#past.has(node) ? this.#past.listAttributes(node, caller) : this.#now.listAttributes(node, caller);
  }

  forgotten(node: NodeId): void {
    if (this.#past.has(node)) this.#past.forgotten(node);
    else this.#now.forgotten(node);
  }

  // Changing

  /** @throws `EROFS` when one of the nodes is of the past. */
  #mayChange(...nodes: readonly NodeId[]): void {
    for (const node of nodes) if (this.#past.has(node)) throw readOnly();
  }

  setAttributes(node: NodeId, set: SetAttributes, caller: PosixCaller): Maybe<PosixNode> {
    this.#mayChange(node);
    return this.#now.setAttributes(node, set, caller);
  }

  make(parent: NodeId, name: Uint8Array, options: MakeOptions, caller: PosixCaller): Maybe<PosixNode> {
    this.#mayChange(parent);
    return this.#now.make(parent, name, options, caller);
  }

  create(
    parent: NodeId,
    name: Uint8Array,
    options: Omit<MakeOptions, 'kind'>,
    flags: OpenFlags,
    caller: PosixCaller,
  ): Opened {
    this.#mayChange(parent);
    return this.#now.create(parent, name, options, flags, caller);
  }

  createUnnamed(parent: NodeId, options: Omit<MakeOptions, 'kind'>, flags: OpenFlags, caller: PosixCaller): Opened {
    this.#mayChange(parent);
    return this.#now.createUnnamed(parent, options, flags, caller);
  }

  link(node: NodeId, parent: NodeId, name: Uint8Array): Maybe<PosixNode> {
    this.#mayChange(parent);
    if (this.#past.has(node)) throw posixFault('EXDEV', 'A file of the past has no names outside of it.', { node });
    return this.#now.link(node, parent, name);
  }

  unlink(parent: NodeId, name: Uint8Array): Maybe<void> {
    this.#mayChange(parent);
    return this.#now.unlink(parent, name);
  }

  removeFolder(parent: NodeId, name: Uint8Array): Maybe<void> {
    this.#mayChange(parent);
    if (parent === this.root && isPastName(name)) throw posixFault('EBUSY', 'The past cannot be removed.');
    return this.#now.removeFolder(parent, name);
  }

  rename(
    from: { readonly parent: NodeId; readonly name: Uint8Array },
    to: { readonly parent: NodeId; readonly name: Uint8Array },
    mode: 'replace' | 'no-replace' | 'exchange',
  ): Maybe<void> {
    this.#mayChange(from.parent, to.parent);
    if ([from, to].some(({ parent, name }) => parent === this.root && isPastName(name)))
      throw posixFault('EBUSY', 'The past cannot be moved.');
    return this.#now.rename(from, to, mode);
  }

  setAttribute(
    node: NodeId,
    name: Uint8Array,
    value: Uint8Array,
    mode: 'set' | 'create' | 'replace',
    options: { readonly killSetgid?: boolean },
  ): Maybe<void> {
    this.#mayChange(node);
    return this.#now.setAttribute(node, name, value, mode, options);
  }

  removeAttribute(node: NodeId, name: Uint8Array): Maybe<void> {
    this.#mayChange(node);
    return this.#now.removeAttribute(node, name);
  }

  // Open files and folders

  open(node: NodeId, flags: OpenFlags): Maybe<Handle> {
    return this.#past.has(node) ? this.#past.open(node, flags) : this.#now.open(node, flags);
  }

  read(handle: Handle, offset: number, length: number): Maybe<readonly Uint8Array[]> {
    if (this.#past.hasHandle(handle)) return this.#past.read(handle, offset, length);
    return this.#now.read(handle, offset, length);
  }

  write(handle: Handle, offset: number, bytes: Uint8Array, flags?: WriteFlags): Maybe<number> {
    if (this.#past.hasHandle(handle)) throw readOnly();
    return this.#now.write(handle, offset, bytes, flags);
  }

  flush(handle: Handle): Maybe<void> {
    return this.#past.hasHandle(handle) ? undefined : this.#now.flush(handle);
  }

  fsync(handle: Handle, dataOnly: boolean): Maybe<void> {
    return this.#past.hasHandle(handle) ? undefined : this.#now.fsync(handle, dataOnly);
  }

  release(handle: Handle): Maybe<void> {
    return this.#past.hasHandle(handle) ? this.#past.release(handle) : this.#now.release(handle);
  }

  allocate(handle: Handle, mode: number, offset: number, length: number, caller: PosixCaller): Maybe<void> {
    if (this.#past.hasHandle(handle)) throw readOnly();
    return this.#now.allocate(handle, mode, offset, length, caller);
  }

  seek(handle: Handle, offset: number, what: 'data' | 'hole'): Maybe<number> {
    if (this.#past.hasHandle(handle)) return this.#past.seek(handle, offset, what);
    return this.#now.seek(handle, offset, what);
  }

  copyRange(
    source: { readonly handle: Handle; readonly offset: number },
    target: { readonly handle: Handle; readonly offset: number },
    length: number,
    caller: PosixCaller,
  ): Maybe<number> {
    if (this.#past.hasHandle(target.handle)) throw readOnly();
    // Then the kernel reads and writes itself.
    if (this.#past.hasHandle(source.handle)) throw posixFault('EXDEV', 'Bytes of the past are copied, not shared.');
    return this.#now.copyRange(source, target, length, caller);
  }

  openFolder(node: NodeId): Maybe<Handle> {
    return this.#past.has(node) ? this.#past.openFolder(node) : this.#now.openFolder(node);
  }

  readFolder(handle: Handle, offset: number, count: number): Maybe<readonly FolderEntry[]> {
    if (this.#past.hasHandle(handle)) return this.#past.readFolder(handle, offset, count);
    return this.#now.readFolder(handle, offset, count);
  }

  releaseFolder(handle: Handle): Maybe<void> {
    return this.#past.hasHandle(handle) ? this.#past.release(handle) : this.#now.releaseFolder(handle);
  }

  syncFolder(handle: Handle): Maybe<void> {
    return this.#past.hasHandle(handle) ? undefined : this.#now.syncFolder(handle);
  }

  // The whole

  space(): Maybe<FileSystemSpace> {
    return this.#now.space();
  }

  syncFs(): Maybe<void> {
    return this.#now.syncFs();
  }

  onOutsideChange(listener: (change: OutsideChange) => void): Disposable {
    const both = [this.#now.onOutsideChange(listener), this.#past.onOutsideChange(listener)];
    return {
      [Symbol.dispose]() {
        for (const one of both) one[Symbol.dispose]();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#past[Symbol.dispose]();
    await this.#now[Symbol.asyncDispose]();
  }
}

function isPastName(name: Uint8Array): boolean {
  return name.length === PAST_NAME.length && equalBytes(name, PAST_NAME);
}
