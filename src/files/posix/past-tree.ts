/**
 * The past as a mount shows it: `/.snapshots/NAME` and `/.snapshots/@TIME`, read-only. What PosixTree says of looking
 * and reading holds; whatever would change something is EROFS (time-tree.ts).
 *
 * Nodes of the past have numbers of their own, above all that ever name a node, drawn from the commit and the node by
 * hashing, so that the same file of the same snapshot has the same number whenever it is looked up; two that meet are
 * told apart by what is remembered while the kernel knows them.
 * A commit is read while it is kept. When its snapshot is deleted, what is open can be read to its end, and everything
 * else of it is stale at once.
 */
import { createHash } from 'node:crypto';
import { andThen, Fault, Lru, type Maybe, type Moment, textOfUtf8, utf8 } from '../../base/index.ts';
import {
  type CommitNumber,
  type Durable,
  NODE_KIND,
  type NodeId,
  type NodeRow,
  PinSet,
  pastRows,
  type SnapshotRow,
  type SyncReader,
} from '../../meta/index.ts';
import { allocatedIn } from '../content/extents.ts';
import type { Context, Space, View } from '../context.ts';
import { askedOf, markPast, openScope, PIN_HOLDER } from '../past/moments.ts';
import { ATTRIBUTES_MAX } from '../record.ts';
import type { Found } from '../tree.ts';
import { FolderReading } from './folder-reading.ts';
import type { HandleSource } from './handle-source.ts';
import { PastFile } from './past-file.ts';
import {
  type FolderEntry,
  type Handle,
  type OpenFlags,
  type OutsideChange,
  type PosixCaller,
  type PosixNode,
  posixFault,
} from './posix.ts';

/** Name of the folder in a root that the past is reached by. It is not listed. */
export const PAST_NAME = utf8('.snapshots');
/** Nodes of a space never get so far; the numbers of the past begin here with the folder itself. */
const PAST_FIRST = 2 ** 52;
const NUMBERS = 2 ** 51;
/** Nodes that the kernel has forgotten and that are remembered all the same: a lookup may be under way. */
const FORGOTTEN_MAX = 10_000;
const SNAPSHOTS_PAGE = 1_000;
const PINS_PAGE = 10_000;
const SPARSE_BYTES_MIN = 64 * 1024;

export interface PastTreeOptions {
  readonly context: Context;
  readonly space: Space;
  /** What the mount shows as its root. */
  readonly root: NodeId;
  readonly handles: HandleSource;
}

/** One commit, as long as something of it is known. */
interface Past {
  readonly commit: CommitNumber;
  readonly rows: SyncReader;
  readonly view: View;
  readonly root: NodeId;
}

/** A node of a commit. */
interface Known {
  readonly past: Past;
  readonly node: NodeId;
}

type Open =
  | { readonly kind: 'file'; readonly file: PastFile; readonly rows: SyncReader; readonly mark: Disposable }
  | { readonly kind: 'folder'; readonly past: Past; readonly reading: FolderReading; readonly mark: Disposable }
  | { readonly kind: 'list'; readonly entries: readonly FolderEntry[] };

export class PastTree implements Disposable {
  readonly #options: PastTreeOptions;
  readonly #space: Space;
  readonly #rows: SyncReader;
  readonly #known = new Map<NodeId, Known>();
  readonly #forgotten = new Lru<NodeId, Known>({ weightMax: FORGOTTEN_MAX });
  readonly #handles = new Map<Handle, Open>();
  readonly #listeners = new Set<(change: OutsideChange) => void>();
  /** Which commits are kept; read anew when pins have changed. */
  #pins: PinSet | undefined;
  #changed: Moment;
  readonly #listening: Disposable;

  constructor(options: PastTreeOptions) {
    this.#options = options;
    this.#space = options.space;
    this.#rows = options.context.groups.pending;
    this.#changed = options.context.clock.now();
    this.#listening = options.context.groups.listen({ onDurable: (durables) => this.#see(durables) });
  }

  /** Whether the node is one of the past. */
  has(node: NodeId): boolean {
    return node >= PAST_FIRST;
  }

  hasHandle(handle: Handle): boolean {
    return this.#handles.size > 0 && this.#handles.has(handle);
  }

  /** The folder that holds all of it. */
  folder(): PosixNode {
    const { uid, gid } = this.#options.context.options;
    const { seconds, nanoseconds } = this.#changed;
    return {
      ...{ node: PAST_FIRST, kind: NODE_KIND.folder, mode: 0o555, uid, gid, links: 2, size: 0, device: 0 },
      ...{ modifiedSeconds: seconds, modifiedNanoseconds: nanoseconds },
      ...{ changedSeconds: seconds, changedNanoseconds: nanoseconds },
      ...{ accessedSeconds: seconds, accessedNanoseconds: nanoseconds },
      ...{ createdSeconds: seconds, createdNanoseconds: nanoseconds },
    };
  }

  // Looking

  lookup(parent: NodeId, name: Uint8Array): Maybe<PosixNode | undefined> {
    if (parent === PAST_FIRST) return andThen(this.#pastNamed(name), (past) => past && this.#shownRoot(past));
    const { past, node } = this.#of(parent);
    this.#mustBeKept(past);
    const entry = past.rows.get('entries', [this.#space.space, node, name]);
    return entry === undefined ? undefined : this.#shown(past, this.#row(past, entry.node));
  }

  stat(node: NodeId): PosixNode {
    if (node === PAST_FIRST) return this.folder();
    const known = this.#of(node);
    return this.#shown(known.past, this.#row(known.past, known.node));
  }

  readLink(node: NodeId): Uint8Array {
    const { target } = node === PAST_FIRST ? { target: null } : this.#rowOf(node);
    if (target === null) throw posixFault('EINVAL', 'Only a symlink points somewhere.', { node });
    return target;
  }

  parentOf(node: NodeId): NodeId {
    if (node === PAST_FIRST) return this.#options.root;
    const known = this.#of(node);
    if (known.node === known.past.root) return PAST_FIRST;
    const { parent } = this.#row(known.past, known.node);
    return parent === null ? node : this.#number(known.past, parent);
  }

  getAttribute(node: NodeId, name: Uint8Array): Uint8Array | undefined {
    if (node === PAST_FIRST) return undefined;
    const known = this.#of(node);
    return known.past.rows.get('attributes', [this.#space.space, known.node, name])?.value;
  }

  listAttributes(node: NodeId, caller: PosixCaller): readonly Uint8Array[] {
    if (node === PAST_FIRST) return [];
    const known = this.#of(node);
    const prefix = [this.#space.space, known.node] as const;
    const names = known.past.rows.scan('attributes', { prefix, limit: ATTRIBUTES_MAX }).map(({ name }) => name);
    return caller.uid === 0 ? names : names.filter((name) => !textOfUtf8(name)?.startsWith('trusted.'));
  }

  // Open files and folders

  open(node: NodeId, flags: OpenFlags): Handle {
    if (flags.write || flags.truncate) throw readOnly();
    if (node === PAST_FIRST) throw posixFault('EISDIR', 'A folder has no bytes.', { node });
    const { past } = this.#of(node);
    this.#mustBeKept(past);
    const row = this.#rowOf(node);
    if (row.kind === NODE_KIND.folder) throw posixFault('EISDIR', 'A folder has no bytes.', { node });
    if (row.kind !== NODE_KIND.file) throw posixFault('EINVAL', 'Only a file has bytes.', { node });
    const found: Found = {
      path: [PAST_NAME, utf8(`@${past.commit}`), utf8(`node ${row.node}`)],
      node: row,
      entry: undefined,
    };
    const file = new PastFile(past.view, this.#space, found);
    return this.#opened({ kind: 'file', file, rows: past.rows, mark: this.#mark(past) });
  }

  openFolder(node: NodeId): Handle {
    if (node === PAST_FIRST) return this.#opened({ kind: 'list', entries: this.#listSnapshots() });
    const { past, node: folder } = this.#of(node);
    this.#mustBeKept(past);
    if (this.#row(past, folder).kind !== NODE_KIND.folder) throw posixFault('ENOTDIR', 'That is no folder.', { node });
    const reading = new FolderReading(past.rows, this.#space.space, folder, () => 0);
    return this.#opened({ kind: 'folder', past, reading, mark: this.#mark(past) });
  }

  read(handle: Handle, offset: number, length: number): Promise<readonly Uint8Array[]> {
    const open = this.#handle(handle);
    if (open.kind !== 'file') throw posixFault('EISDIR', 'A folder has no bytes.', { handle });
    return open.file.read(offset, length);
  }

  seek(handle: Handle, offset: number, what: 'data' | 'hole'): number {
    const open = this.#handle(handle);
    const found = open.kind === 'file' ? open.file.seek(open.rows, offset, what) : undefined;
    if (found === undefined) throw posixFault('ENXIO', `There is no ${what} from there on.`, { offset });
    return found;
  }

  readFolder(handle: Handle, offset: number, count: number): readonly FolderEntry[] {
    const open = this.#handle(handle);
    if (open.kind === 'list') return open.entries.slice(offset, offset + count);
    if (open.kind !== 'folder') throw posixFault('ENOTDIR', 'That is no folder.', { handle });
    const { past, reading } = open;
    return reading.read(offset, count).map((entry) => ({ ...entry, node: this.#number(past, entry.node) }));
  }

  release(handle: Handle): void {
    const open = this.#handle(handle);
    this.#handles.delete(handle);
    this.#options.handles.giveBack(handle);
    if (open.kind === 'file') open.file[Symbol.dispose]();
    if (open.kind !== 'list') open.mark[Symbol.dispose]();
  }

  forgotten(node: NodeId): void {
    const known = this.#known.get(node);
    if (known === undefined) return;
    this.#known.delete(node);
    this.#forgotten.set(node, known);
  }

  onOutsideChange(listener: (change: OutsideChange) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
    for (const handle of [...this.#handles.keys()]) this.release(handle);
  }

  // Which moment

  #pastNamed(name: Uint8Array): Maybe<Past | undefined> {
    const text = textOfUtf8(name);
    if (text === undefined) return undefined;
    if (!text.startsWith('@')) return this.#pastOfSnapshot(this.#rows.get('snapshots', [this.#space.space, text]));
    return this.#pastAt(text);
  }

  #pastOfSnapshot(snapshot: SnapshotRow | undefined): Past | undefined {
    if (snapshot === undefined) return undefined;
    const past = this.#pastOf(snapshot.commit, snapshot.node);
    const { root } = this.#options;
    if (root === this.#space.root) return past;
    // A mount of one folder shows what that was, where the snapshot has it.
    const isInside = snapshot.node === this.#space.root || snapshot.node === root;
    const row = isInside ? past.rows.get('nodes', [this.#space.space, root]) : undefined;
    return row === undefined ? undefined : { ...past, root };
  }

  /** A time, or the number of a commit; what is not kept is not there. */
  async #pastAt(text: string): Promise<Past | undefined> {
    const { context, root } = this.#options;
    try {
      if (askedOf(text).kind === 'snapshot') return undefined;
      using scope = await openScope(context, this.#space, text);
      const past = this.#pastOf(scope.commit ?? 0, root);
      return past.rows.get('nodes', [this.#space.space, root]) === undefined ? undefined : past;
    } catch (error) {
      if (Fault.is(error, 'not-kept', 'invalid', 'not-found')) return undefined;
      throw error;
    }
  }

  #pastOf(commit: CommitNumber, root: NodeId): Past {
    const { context } = this.#options;
    // What is pending may be among it: a snapshot is seen here as soon as it is made.
    const rows = pastRows(this.#rows, commit);
    return { commit, root, rows, view: { ...context, meta: rows, at: commit } };
  }

  #mark(past: Past): Disposable {
    return markPast(this.#options.context, this.#space, past.commit);
  }

  /** @throws `ESTALE` once nothing keeps the commit: what could still be read of it might be half of it. */
  #mustBeKept({ commit }: Past): void {
    const { context } = this.#options;
    if (this.#pins === undefined) {
      const pins = this.#rows.scan('pins', { prefix: [this.#space.space], limit: PINS_PAGE });
      this.#pins = new PinSet(pins.filter(({ holder }) => holder !== PIN_HOLDER.released));
    }
    if (this.#pins.keeps(commit, context.clock.now().seconds)) return;
    throw posixFault('ESTALE', `Nothing keeps commit ${commit} any more.`, { commit });
  }

  // Numbers and rows

  #of(node: NodeId): Known {
    const known = this.#known.get(node) ?? this.#forgotten.get(node);
    if (known === undefined) throw posixFault('ESTALE', 'There is no such file of the past.', { node });
    return known;
  }

  #rowOf(node: NodeId): NodeRow {
    const known = this.#of(node);
    return this.#row(known.past, known.node);
  }

  #row(past: Past, node: NodeId): NodeRow {
    const row = past.rows.get('nodes', [this.#space.space, node]);
    if (row === undefined) throw posixFault('ESTALE', 'That file of the past is not kept any more.', { node });
    return row;
  }

  #shownRoot(past: Past): PosixNode {
    return this.#shown(past, this.#row(past, past.root));
  }

  #shown(past: Past, row: NodeRow): PosixNode {
    const number = this.#number(past, row.node);
    this.#known.set(number, { past, node: row.node });
    const shown = { ...row, node: number };
    if (row.size < SPARSE_BYTES_MIN || row.kind !== NODE_KIND.file) return shown;
    return { ...shown, allocatedBytes: allocatedIn(past.rows, this.#space, row).bytes };
  }

  /** The same for the same node of the same commit, but where two meet that the kernel knows both. */
  #number(past: Past, node: NodeId): NodeId {
    const digest = createHash('sha1').update(`${past.commit} ${past.root} ${node}`).digest();
    const first = digest.readUIntBE(0, 6) * 8 + (digest.readUInt8(6) & 7);
    for (let number = first; ; number = (number + 1) % NUMBERS) {
      const id = PAST_FIRST + 1 + number;
      const known = this.#known.get(id) ?? this.#forgotten.get(id);
      const isIt = known?.node === node && known.past.commit === past.commit && known.past.root === past.root;
      if (known === undefined || isIt) return id;
    }
  }

  #listSnapshots(): readonly FolderEntry[] {
    const entries: FolderEntry[] = [];
    for (let after: readonly string[] | undefined; ; ) {
      const range = { prefix: [this.#space.space] as const, ...(after === undefined ? {} : { after }) };
      const page = this.#rows.scan('snapshots', { ...range, limit: SNAPSHOTS_PAGE });
      for (const snapshot of page) {
        const past = this.#pastOfSnapshot(snapshot);
        if (past === undefined) continue;
        const node = this.#number(past, past.root);
        entries.push({ name: utf8(snapshot.name), node, kind: NODE_KIND.folder, offset: entries.length + 1 });
      }
      const last = page.at(-1);
      if (last === undefined || page.length < SNAPSHOTS_PAGE) return entries;
      after = [last.name];
    }
  }

  #opened(open: Open): Handle {
    const handle = this.#options.handles.take();
    this.#handles.set(handle, open);
    return handle;
  }

  #handle(handle: Handle): Open {
    const open = this.#handles.get(handle);
    if (open === undefined) throw posixFault('EBADF', 'That is not open.', { handle });
    return open;
  }

  /** Snapshots were made or deleted: the kernel remembers which names there are, and which there are not. */
  #see(durables: readonly Durable[]): void {
    for (const { change } of durables) {
      if (change.space !== this.#space.space) continue;
      const names: string[] = [];
      for (const put of change.puts ?? []) {
        if (put.table === 'pins') this.#pins = undefined;
        if (put.table === 'snapshots') names.push(put.row.name);
      }
      for (const gone of change.deletes ?? []) {
        if (gone.table === 'pins') this.#pins = undefined;
        if (gone.table === 'snapshots') names.push(gone.key[1]);
      }
      for (const name of names) this.#tell(utf8(name), change.now);
    }
  }

  #tell(name: Uint8Array, now: Moment): void {
    this.#changed = now;
    for (const listener of this.#listeners) {
      listener({ kind: 'entry', parent: PAST_FIRST, name });
      listener({ kind: 'node', node: PAST_FIRST, data: true });
    }
  }
}

export function readOnly(): Fault {
  return posixFault('EROFS', 'The past cannot be changed.');
}
