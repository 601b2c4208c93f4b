/**
 * PosixTree over what is pending: each operation looks at rows, decides, and applies its change in one turn, so nothing
 * it took for granted can have changed. Only what moves bytes about, and the first id of a block, takes longer.
 *
 * Access times are not kept up by reading (as a mount with noatime): they change when somebody sets them.
 */
import { andThen, equalBytes, isPromise, Lru, type Maybe, type Moment } from '../../base/index.ts';
import {
  CHANGE_KIND,
  type ContentId,
  type Durable,
  type EntryRow,
  type Expect,
  NODE_KIND,
  type NodeId,
  type NodeRow,
  type Put,
  type SyncReader,
} from '../../meta/index.ts';
import { allocatedIn } from '../content/extents.ts';
import type { Context, Space } from '../context.ts';
import { itemOf, keptVersion, newNode, type Parts, planMove, planUnlink } from '../plan.ts';
import { ATTRIBUTES_MAX } from '../record.ts';
import { ACL_ACCESS, ACL_DEFAULT, aclOfMode, bytesOfAcl, inheritAcl, isPlainMode, modeOfAcl, parseAcl } from './acl.ts';
import { FolderReading } from './folder-reading.ts';
import type { HandleSource } from './handle-source.ts';
import { LockGuard } from './lock-guard.ts';
import { type OpenFile, withoutPrivileges } from './open-file.ts';
import { OpenFiles, shownName } from './open-files.ts';
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
} from './posix.ts';
import { type SequentialReader, SequentialReaders } from './sequential-reading.ts';

const NAME_BYTES_MAX = 255;
const TARGET_BYTES_MAX = 4_095;
const ATTRIBUTE_BYTES_MAX = 65_536;
/** Links of one file, as ext4's bound of folders; more help nobody. */
const LINKS_MAX = 65_000;
/** Folders above one another. */
const DEPTH_MAX = 100_000;
/** What one copyRange takes, so that its rows stay few. */
const COPY_BYTES_MAX = 64 * 1024 * 1024;
/** Names that only the store may make, in the root. */
const RESERVED = ['.snapshots', '.vault', '.holdfast'];
const NODES_SHOWN = 2 ** 40;
const ACL_ACCESS_NAME = Buffer.from(ACL_ACCESS);
const ACL_DEFAULT_NAME = Buffer.from(ACL_DEFAULT);
/** Smaller files are shown as having no holes. */
const SPARSE_BYTES_MIN = 64 * 1024;
/** Nodes without attributes that are remembered. */
const BARE_NODES_MAX = 10_000;

export interface PosixTreeOptions {
  readonly context: Context;
  readonly space: Space;
  readonly user: string;
  /** The folder that is shown as the root; the space's own when absent. */
  readonly root?: NodeId;
  readonly isReadOnly?: boolean;
  /** What somebody has locked through another door is refused with EBUSY. */
  readonly mindsLocks?: boolean;
  readonly handles: HandleSource;
  /** Tells trees of one process apart. */
  readonly joint: string;
  /** What the store's disk has. */
  readonly diskSpace: () => Maybe<{ readonly totalBytes: number; readonly freeBytes: number }>;
  readonly onClose: () => void;
}

interface OpenHandle {
  readonly file: OpenFile;
  readonly flags: OpenFlags;
  /** Faults of the file that were told through this handle, or happened before it. */
  faultsSeen: number;
  /** From the first read of a long file on. */
  reader: SequentialReader | undefined;
}

interface Place {
  readonly parent: NodeId;
  readonly name: Uint8Array;
}

interface Listed {
  readonly parent: NodeId;
  readonly entries: readonly FolderEntry[];
}

export class PendingPosixTree implements PosixTree {
  readonly root: NodeId;
  readonly #options: PosixTreeOptions;
  readonly #space: Space;
  readonly #rows: SyncReader;
  readonly #files: OpenFiles;
  readonly #handles = new Map<Handle, OpenHandle>();
  readonly #folders = new Map<Handle, FolderReading>();
  readonly #readers: SequentialReaders;
  readonly #numbers: HandleSource;
  /** Absent where locks of other doors are not minded. */
  readonly #guard: LockGuard | undefined;
  /** Nodes without a name that the kernel may still ask about; until it forgets them. */
  readonly #ghosts = new Map<NodeId, NodeRow>();
  readonly #listeners = new Set<(change: OutsideChange) => void>();
  /** The name that was last looked for, while nothing was changed: it is looked for again before it is made or removed. */
  #asked: (Place & { readonly entry: EntryRow | undefined; readonly changeCount: number }) | undefined;
  /** What was listed last, while nothing was changed; its names are looked up one after the other, from `next` on. */
  #listed: (Listed & { next: number; readonly changeCount: number }) | undefined;
  /** Nodes known to have no attributes: the kernel asks for one before every first write. */
  readonly #bare = new Lru<NodeId, true>({ weightMax: BARE_NODES_MAX });

  constructor(options: PosixTreeOptions) {
    this.#options = options;
    this.#space = options.space;
    this.#numbers = options.handles;
    this.root = options.root ?? options.space.root;
    this.#files = new OpenFiles({
      ...{ context: options.context, space: options.space, user: options.user, joint: options.joint },
      diskSpace: options.diskSpace,
      onAttributes: (node) => this.#bare.delete(node),
      onOutside: (durables) => {
        this.#revive(durables);
        this.#tell(durables);
      },
      onLost: (durables) => {
        this.#bare.clear();
        this.#tell(durables);
      },
    });
    this.#rows = this.#files.rows;
    const { clock } = options.context;
    if (options.mindsLocks === true) this.#guard = new LockGuard({ rows: this.#rows, space: options.space, clock });
    this.#readers = new SequentialReaders({ context: options.context, space: options.space, rows: this.#rows });
  }

  /** Whether something was done here that other doors cannot see yet. */
  get hasUnsettled(): boolean {
    return this.#files.hasUnsettled;
  }

  // Looking

  lookup(parent: NodeId, name: Uint8Array): PosixNode | undefined {
    checkLength(name);
    const node = this.#nextListed(parent, name) ?? this.#entry(parent, name)?.node;
    return node === undefined ? undefined : this.#shown(this.#row(node));
  }

  /** The node of a name that is the next of those that were listed last; its row was read with the list. */
  #nextListed(parent: NodeId, name: Uint8Array): NodeId | undefined {
    const listed = this.#listed;
    if (listed?.parent !== parent || listed.changeCount !== this.#files.changeCount) return undefined;
    const next = listed.entries[listed.next];
    if (next === undefined || !equalBytes(next.name, name)) return undefined;
    listed.next++;
    return next.node;
  }

  stat(node: NodeId): PosixNode {
    return this.#shown(this.#row(node));
  }

  reach(node: NodeId): PosixNode {
    const row = this.#row(node);
    const names = this.#rows.scan('entriesByNode', { prefix: [this.#space.space, node], limit: LINKS_MAX });
    if (node !== this.root && !names.some(({ parent }) => this.#isBelow(parent)))
      throw posixFault('ESTALE', 'No name leads to this file any more.', { node });
    return this.#shown(row);
  }

  /** Whether the folder is the root or stands below it: one that was removed has no name, though it may have a row. */
  #isBelow(folder: NodeId): boolean {
    for (let at: NodeId | undefined = folder; at !== undefined && at !== this.root; ) {
      const names: readonly EntryRow[] = this.#rows.scan('entriesByNode', {
        prefix: [this.#space.space, at],
        limit: 1,
      });
      at = names[0]?.parent;
      if (at === undefined) return false;
    }
    return true;
  }

  /** With what is allocated, where a file may have holes worth telling. */
  #shown(row: NodeRow): PosixNode {
    if (row.size < SPARSE_BYTES_MIN || row.kind !== NODE_KIND.file) return row;
    const file = this.#files.find(row.node);
    const allocatedBytes = file?.allocatedBytes ?? allocatedIn(this.#rows, this.#space, row).bytes;
    return { ...row, allocatedBytes };
  }

  #entry(parent: NodeId, name: Uint8Array): EntryRow | undefined {
    const { changeCount } = this.#files;
    const asked = this.#asked;
    const isKnown = asked !== undefined && asked.changeCount === changeCount && asked.parent === parent;
    if (isKnown && equalBytes(asked.name, name)) return asked.entry;
    const entry = this.#rows.get('entries', [this.#space.space, parent, name]);
    // The name is only lent.
    this.#asked = { parent, name: entry?.name ?? name.slice(), entry, changeCount };
    return entry;
  }

  #row(node: NodeId): NodeRow {
    const row =
      this.#files.find(node)?.row ?? this.#rows.get('nodes', [this.#space.space, node]) ?? this.#ghosts.get(node);
    if (row === undefined) throw posixFault('ESTALE', 'There is no such file any more.', { node });
    return row;
  }

  #folder(node: NodeId): NodeRow {
    const row = this.#row(node);
    if (row.kind !== NODE_KIND.folder) throw posixFault('ENOTDIR', 'Only a folder has names in it.', { node });
    if (this.#ghosts.has(node)) throw posixFault('ENOENT', 'The folder was removed.', { node });
    return row;
  }

  #file(node: NodeId): OpenFile {
    const row = this.#row(node);
    if (row.kind === NODE_KIND.folder) throw posixFault('EISDIR', 'A folder has no bytes.', { node });
    if (row.kind !== NODE_KIND.file) throw posixFault('EINVAL', 'Only a file has bytes.', { node });
    if (this.#files.find(node) === undefined && this.#ghosts.has(node))
      throw posixFault('ESTALE', 'The file was removed.', { node });
    return this.#files.take(row, { isNew: false });
  }

  #now(): Moment {
    return this.#files.now();
  }

  #mutate<T>(act: () => Maybe<T>): Maybe<T> {
    if (this.#options.isReadOnly === true) throw posixFault('EROFS', 'This mount is read-only.');
    return this.#files.admit(act);
  }

  readLink(node: NodeId): Uint8Array {
    const { target } = this.#row(node);
    if (target === null) throw posixFault('EINVAL', 'Only a symlink points somewhere.', { node });
    return target;
  }

  // Making

  make(parent: NodeId, name: Uint8Array, options: MakeOptions, caller: PosixCaller): Maybe<PosixNode> {
    return this.#mutate(() => this.#make({ parent, name }, options, caller));
  }

  create(
    parent: NodeId,
    name: Uint8Array,
    options: Omit<MakeOptions, 'kind'>,
    flags: OpenFlags,
    caller: PosixCaller,
  ): Maybe<{ readonly node: PosixNode; readonly handle: Handle }> {
    return this.#mutate(() =>
      andThen(this.#make({ parent, name }, { ...options, kind: NODE_KIND.file }, caller), (row) => {
        const file = this.#files.take(row, { isNew: true });
        return { node: row, handle: this.#openHandle(file, flags) };
      }),
    );
  }

  createUnnamed(
    parent: NodeId,
    options: Omit<MakeOptions, 'kind'>,
    flags: OpenFlags,
    caller: PosixCaller,
  ): Maybe<{ readonly node: PosixNode; readonly handle: Handle }> {
    return this.#mutate(() =>
      andThen(this.#make({ parent, name: undefined }, { ...options, kind: NODE_KIND.file }, caller), (row) => {
        const file = this.#files.take(row, { isNew: true });
        file.isUnlinked = true;
        return { node: row, handle: this.#openHandle(file, flags) };
      }),
    );
  }

  /** Without a name the node is an orphan from the start. */
  #make(
    place: { readonly parent: NodeId; readonly name: Uint8Array | undefined },
    options: MakeOptions,
    caller: PosixCaller,
  ): Maybe<NodeRow> {
    const { ids } = this.#options.context;
    const above = this.#checkMake(place, options);
    const node = ids.node(this.#space.space);
    const content = options.kind === NODE_KIND.file ? ids.content(this.#space.space) : null;
    if (!isPromise(node) && !isPromise(content))
      return this.#makeWith(above, place, options, caller, { node, content });
    return Promise.all([node, content]).then(([node, content]) =>
      this.#makeWith(this.#checkMake(place, options), place, options, caller, { node, content }),
    );
  }

  #makeWith(
    above: NodeRow,
    place: { readonly parent: NodeId; readonly name: Uint8Array | undefined },
    options: MakeOptions,
    caller: PosixCaller,
    fresh: { readonly node: NodeId; readonly content: ContentId | null },
  ): NodeRow {
    const hasName = place.name !== undefined;
    const { row, attributes } = this.#newRow(above, options, caller, { ...fresh, now: this.#now(), hasName });
    const { space, content } = row;
    const puts: Put[] = [];
    if (content !== null) {
      const contentRow = { space, content, size: 0, refs: 0, base: null, hash: null };
      puts.push({ table: 'contents', mode: 'insert', row: contentRow });
    }
    puts.push({ table: 'nodes', mode: 'insert', row }, ...attributes);
    const parts =
      place.name === undefined
        ? this.#orphaned(row, puts)
        : named(row, { ...place, name: place.name }, puts, this.#files.reachable(place.parent));
    this.#files.add(parts);
    if (attributes.length === 0) this.#bare.set(row.node, true);
    return this.#rows.get('nodes', [space, row.node]) ?? row;
  }

  #orphaned(row: NodeRow, puts: readonly Put[]): Partial<Parts> {
    const orphan = { space: row.space, node: row.node, owner: this.#options.context.owner };
    return { puts: [...puts, { table: 'orphans', mode: 'insert', row: orphan }] };
  }

  #checkMake(place: { readonly parent: NodeId; readonly name: Uint8Array | undefined }, options: MakeOptions): NodeRow {
    const above = this.#folder(place.parent);
    if (place.name !== undefined) {
      this.#checkFree(place.parent, place.name);
      this.#guard?.checkName(place.parent, place.name);
    }
    const target = options.target;
    if (target !== undefined && (target.length === 0 || target.length > TARGET_BYTES_MAX))
      throw posixFault(target.length === 0 ? 'ENOENT' : 'ENAMETOOLONG', 'A symlink points at 1 to 4,095 bytes.');
    if (above.links >= LINKS_MAX && options.kind === NODE_KIND.folder)
      throw posixFault('EMLINK', `A folder may have ${LINKS_MAX} subfolders.`, { node: place.parent });
    return above;
  }

  #checkFree(parent: NodeId, name: Uint8Array): void {
    this.#checkName(parent, name);
    if (this.#entry(parent, name) !== undefined)
      throw posixFault('EEXIST', `There is something named ${shownName(name)} already.`, { parent });
  }

  #checkName(parent: NodeId, name: Uint8Array): void {
    checkLength(name);
    if (parent === this.#space.root && RESERVED.includes(shownName(name)))
      throw posixFault('EPERM', `${shownName(name)} is a name of the store itself.`, { name: shownName(name) });
  }

  #newRow(
    above: NodeRow,
    options: MakeOptions,
    caller: PosixCaller,
    fresh: {
      readonly node: NodeId;
      readonly content: ContentId | null;
      readonly now: Moment;
      readonly hasName: boolean;
    },
  ): { readonly row: NodeRow; readonly attributes: readonly Put[] } {
    const { kind, target } = options;
    const isFolder = kind === NODE_KIND.folder;
    const hasSetgid = (above.mode & 0o2000) !== 0;
    const gid = hasSetgid ? above.gid : caller.gid;
    const { mode: asked, attributes } = this.#inherit(above, options, fresh.node);
    // That a file does not give away a group which its maker is not in, the kernel has seen to.
    const mode = asked | (isFolder && hasSetgid ? 0o2000 : 0);
    const made = newNode(this.#space, above.node, fresh.now, {
      ...{ node: fresh.node, kind, mode, uid: caller.uid, gid, content: fresh.content },
      ...(target === undefined ? {} : { target, size: target.length }),
    });
    const row = { ...made, device: options.device ?? 0 };
    return { row: fresh.hasName ? row : { ...row, links: 0 }, attributes };
  }

  /** A folder's default list rules over what is made in it; without one the mask of the process does. */
  #inherit(
    above: NodeRow,
    options: MakeOptions,
    node: NodeId,
  ): { readonly mode: number; readonly attributes: readonly Put[] } {
    const mode = options.mode & 0o7777;
    if (options.kind === NODE_KIND.symlink) return { mode: 0o777, attributes: [] };
    const value = this.#attribute(above.node, ACL_DEFAULT_NAME);
    const defaults = value === undefined ? undefined : parseAcl(value);
    if (value === undefined || defaults === undefined) return { mode: mode & ~options.umask, attributes: [] };
    const inherited = inheritAcl(defaults, mode);
    const put = (name: string, bytes: Uint8Array): Put => ({
      table: 'attributes',
      mode: 'insert',
      row: { space: this.#space.space, node, name: Buffer.from(name), value: bytes, born: 0 },
    });
    const attributes = [
      ...(isPlainMode(inherited.acl) ? [] : [put(ACL_ACCESS, bytesOfAcl(inherited.acl))]),
      ...(options.kind === NODE_KIND.folder ? [put(ACL_DEFAULT, value)] : []),
    ];
    return { mode: inherited.mode, attributes };
  }

  link(node: NodeId, parent: NodeId, name: Uint8Array): Maybe<PosixNode> {
    return this.#mutate(() => {
      const row = this.#row(node);
      if (row.kind === NODE_KIND.folder) throw posixFault('EPERM', 'A folder has one name only.', { node });
      this.#folder(parent);
      this.#checkFree(parent, name);
      this.#guard?.checkName(parent, name);
      if (row.links >= LINKS_MAX) throw posixFault('EMLINK', `A file may have ${LINKS_MAX} names.`, { node });
      const file = this.#files.find(node);
      const isOrphan = file?.isUnlinked === true;
      if (this.#ghosts.has(node) && !isOrphan) throw posixFault('ENOENT', 'The file was removed.', { node });
      const kept = name.slice();
      const entry: EntryRow = { space: this.#space.space, parent, name: kept, node, kind: row.kind, born: 0 };
      this.#changeRow(
        row,
        { links: isOrphan ? 1 : row.links + 1 },
        {
          expects: this.#files.reachable(parent),
          touches: [{ space: this.#space.space, folder: parent, links: 0 }],
          puts: [{ table: 'entries', mode: 'insert', row: entry }],
          deletes: isOrphan ? [{ table: 'orphans', key: [this.#space.space, node] }] : [],
          items: [itemOf(row, CHANGE_KIND.link, { after: { parent, name: kept } })],
          // What is not saved yet is counted when it is.
          liveBytes: isOrphan ? (file?.saved ?? row).size : 0,
        },
      );
      if (file !== undefined) file.isUnlinked = false;
      return this.#shown(this.#row(node));
    });
  }

  /** The node's row with other fields and a new ctime; kept with the file while that is open, put at once otherwise. */
  #changeRow(row: NodeRow, fields: Partial<NodeRow>, more: Partial<Parts> = {}): void {
    const now = this.#now();
    const after: NodeRow = { ...row, changedSeconds: now.seconds, changedNanoseconds: now.nanoseconds, ...fields };
    const file = this.#files.find(row.node);
    if (file === undefined) {
      this.#files.add({ ...more, puts: [...(more.puts ?? []), { table: 'nodes', mode: 'replace', row: after }] });
      return;
    }
    file.setRow(after);
    if (more.puts !== undefined || more.deletes !== undefined || more.touches !== undefined) this.#files.add(more);
    this.#files.onDirty(file);
    if (file.handleCount === 0) this.#files.publishSoon(file);
  }

  // Removing and moving

  unlink(parent: NodeId, name: Uint8Array): Maybe<void> {
    return this.#mutate(() => {
      this.#folder(parent);
      const entry = this.#mustEntry(parent, name);
      if (entry.kind === NODE_KIND.folder) throw posixFault('EISDIR', 'A folder is removed otherwise.', { parent });
      this.#guard?.checkName(parent, name, entry.node);
      return this.#settled(entry.node, () => {
        const again = this.#mustEntry(parent, name);
        this.#files.add(this.#unlinkParts(again, null));
      });
    });
  }

  #mustEntry(parent: NodeId, name: Uint8Array): EntryRow {
    const entry = this.#entry(parent, name);
    if (entry === undefined) throw posixFault('ENOENT', `There is no ${shownName(name)}.`, { parent });
    return entry;
  }

  /** A file that is closed but not stored is stored first, so that what is kept of it is all of it. */
  #settled(node: NodeId, act: () => void): Maybe<void> {
    const file = this.#files.find(node);
    if (file === undefined || file.handleCount > 0 || file.isNew || !file.isDirty || file.row.links > 1) return act();
    return andThen(file.publish(), act);
  }

  /** Takes a name away. A file that is open stays without a name until it is closed. */
  #unlinkParts(entry: EntryRow, heir: NodeId | null): Partial<Parts> {
    const row = this.#row(entry.node);
    const file = this.#files.find(entry.node);
    const now = this.#now();
    const isLast = row.kind === NODE_KIND.folder || row.links <= 1;
    if (file !== undefined && (file.handleCount > 0 || !isLast)) return this.#unlinkOpen(entry, file, isLast, heir);
    if (file !== undefined) {
      // Written, closed and removed before it was stored: nothing of it is worth keeping.
      file.isUnlinked = true;
      file.isGone = true;
    }
    const saved = file?.saved ?? row;
    const parts = planUnlink(entry, saved, this.#attributeNames(row.node), now, {
      isEmptyFolder: row.kind === NODE_KIND.folder,
      heir,
    });
    if (isLast)
      this.#ghosts.set(row.node, {
        ...row,
        links: 0,
        changedSeconds: now.seconds,
        changedNanoseconds: now.nanoseconds,
      });
    return { ...parts, expects: [] };
  }

  #unlinkOpen(entry: EntryRow, file: OpenFile, isLast: boolean, heir: NodeId | null): Partial<Parts> {
    const { space, parent, name } = entry;
    const now = this.#now();
    const kept = isLast && !file.isNew ? keptVersion(file.saved, now, heir) : [];
    if (kept.length > 0) file.disown();
    const links = file.row.links - 1;
    const orphan = { space, node: entry.node, owner: this.#options.context.owner };
    file.setRow({ ...file.row, links, changedSeconds: now.seconds, changedNanoseconds: now.nanoseconds });
    file.save();
    if (isLast) file.isUnlinked = true;
    return {
      touches: [{ space, folder: parent, links: 0 }],
      puts: [
        ...kept.map((row): Put => ({ table: 'versions', mode: 'replace', row })),
        ...(isLast ? [{ table: 'orphans', mode: 'replace', row: orphan } satisfies Put] : []),
      ],
      deletes: [{ table: 'entries', key: [space, parent, name] }],
      items: [itemOf(file.row, CHANGE_KIND.remove, { before: { parent, name } })],
      // Saving has counted the bytes of the row as it is now.
      liveBytes: isLast ? -file.saved.size : 0,
      historyBytes: kept.length > 0 ? (kept[0]?.size ?? 0) : 0,
    };
  }

  removeFolder(parent: NodeId, name: Uint8Array): Maybe<void> {
    return this.#mutate(() => {
      this.#folder(parent);
      const entry = this.#mustEntry(parent, name);
      if (entry.kind !== NODE_KIND.folder) throw posixFault('ENOTDIR', 'That is no folder.', { parent });
      this.#checkEmpty(entry.node);
      this.#guard?.checkName(parent, name, entry.node);
      this.#files.add(this.#unlinkParts(entry, null));
    });
  }

  #checkEmpty(folder: NodeId): void {
    if (this.#rows.scan('entries', { prefix: [this.#space.space, folder], limit: 1 }).length === 0) return;
    throw posixFault('ENOTEMPTY', 'The folder is not empty.', { node: folder });
  }

  rename(from: Place, goal: Place, mode: 'replace' | 'no-replace' | 'exchange'): Maybe<void> {
    // Names are only lent, and these are kept in rows.
    const to = { parent: goal.parent, name: goal.name.slice() };
    return this.#mutate(() => {
      const target = this.#checkRename(from, to, mode);
      if (target === undefined || mode === 'exchange') return this.#rename(from, to, mode);
      return this.#settled(target.node, () => this.#rename(from, to, mode));
    });
  }

  /** Answers what stands at the goal. */
  #checkRename(from: Place, to: Place, mode: 'replace' | 'no-replace' | 'exchange'): EntryRow | undefined {
    this.#folder(from.parent);
    this.#folder(to.parent);
    this.#checkName(to.parent, to.name);
    const entry = this.#mustEntry(from.parent, from.name);
    const target = this.#entry(to.parent, to.name);
    if (mode === 'exchange' && target === undefined)
      throw posixFault('ENOENT', `There is no ${shownName(to.name)} to exchange with.`, { parent: to.parent });
    if (mode === 'no-replace' && target !== undefined)
      throw posixFault('EEXIST', `There is something named ${shownName(to.name)} already.`, { parent: to.parent });
    this.#guard?.checkName(from.parent, from.name, entry.node);
    this.#guard?.checkName(to.parent, to.name, target?.node);
    if (entry.kind === NODE_KIND.folder) this.#checkNotInside(entry.node, to.parent);
    if (mode === 'exchange' && target?.kind === NODE_KIND.folder) this.#checkNotInside(target.node, from.parent);
    if (mode === 'exchange' || target === undefined || target.node === entry.node) return target;
    const [isFolder, isTargetFolder] = [entry.kind === NODE_KIND.folder, target.kind === NODE_KIND.folder];
    if (isTargetFolder && !isFolder) throw posixFault('EISDIR', 'A folder is in the way.', { node: target.node });
    if (isFolder && !isTargetFolder) throw posixFault('ENOTDIR', 'A file is in the way.', { node: target.node });
    if (isTargetFolder) this.#checkEmpty(target.node);
    return target;
  }

  #checkNotInside(folder: NodeId, goal: NodeId): void {
    let at = goal;
    for (let depth = 0; depth < DEPTH_MAX; depth++) {
      if (at === folder) throw posixFault('EINVAL', 'A folder cannot be moved into itself.', { node: folder });
      const above = this.#row(at).parent;
      if (above === null || above === at) return;
      at = above;
    }
  }

  #rename(from: Place, to: Place, mode: 'replace' | 'no-replace' | 'exchange'): void {
    const target = this.#checkRename(from, to, mode);
    const entry = this.#mustEntry(from.parent, from.name);
    if (target?.node === entry.node) return;
    if (mode === 'exchange' && target !== undefined) {
      this.#exchange(entry, target);
      return;
    }
    const replaced = target === undefined ? undefined : this.#row(target.node);
    if (target !== undefined) this.#files.add(this.#unlinkParts(target, entry.node));
    const row = this.#row(entry.node);
    const heirOf = replaced?.kind === NODE_KIND.file && row.kind === NODE_KIND.file ? replaced : undefined;
    const goal = { parent: this.#row(to.parent), name: to.name };
    const moved = planMove(entry, row, goal, this.#now(), heirOf);
    const puts = (moved.parts.puts ?? []).filter(({ table }) => table !== 'nodes');
    const parts = { ...moved.parts, puts, expects: [from, to].flatMap(({ parent }) => this.#files.reachable(parent)) };
    const { parent, version, versionCommit, replacedNode } = moved.row;
    this.#changeRow(row, { parent, version, versionCommit, replacedNode }, parts);
    // A number that stands for a commit is filled in when the row is put.
    this.#files.find(row.node)?.save();
  }

  #exchange(a: EntryRow, b: EntryRow): void {
    const { space } = a;
    const folders = (entry: EntryRow): number => (entry.kind === NODE_KIND.folder ? 1 : 0);
    const links = a.parent === b.parent ? 0 : folders(b) - folders(a);
    const before = { a: { parent: a.parent, name: a.name }, b: { parent: b.parent, name: b.name } };
    const rows = { a: this.#row(a.node), b: this.#row(b.node) };
    this.#files.add({
      touches: [
        { space, folder: a.parent, links },
        { space, folder: b.parent, links: -links },
      ],
      puts: [
        { table: 'entries', mode: 'replace', row: { ...a, node: b.node, kind: b.kind } },
        { table: 'entries', mode: 'replace', row: { ...b, node: a.node, kind: a.kind } },
      ],
      items: [
        itemOf(rows.a, CHANGE_KIND.move, { before: before.a, after: before.b }),
        itemOf(rows.b, CHANGE_KIND.move, { before: before.b, after: before.a }),
      ],
    });
    const parentOf = (row: NodeRow, parent: NodeId): Partial<NodeRow> =>
      row.kind === NODE_KIND.folder ? { parent } : {};
    this.#changeRow(rows.a, parentOf(rows.a, b.parent));
    this.#changeRow(rows.b, parentOf(rows.b, a.parent));
  }

  // Attributes

  setAttributes(node: NodeId, set: SetAttributes, caller: PosixCaller): Maybe<PosixNode> {
    return this.#mutate(() => {
      const row = this.#row(node);
      if (set.handle === undefined) this.#guard?.checkNode(row);
      if (set.size === undefined) {
        this.#setAttributes(row, set, caller);
        return this.#shown(this.#row(node));
      }
      const file = set.handle === undefined ? this.#file(node) : this.#handle(set.handle).file;
      const faults = file.faultCount;
      return andThen(file.truncate(set.size), () => {
        if (file.faultCount !== faults) throw file.fault;
        this.#setAttributes(this.#row(node), set, caller);
        if (file.handleCount === 0) this.#files.publishSoon(file);
        return this.#shown(this.#row(node));
      });
    });
  }

  #setAttributes(row: NodeRow, set: SetAttributes, caller: PosixCaller): void {
    const now = this.#now();
    const { uid, gid, modified, accessed, changed } = set;
    const isOwner = uid !== undefined || gid !== undefined;
    let mode = set.mode === undefined ? row.mode : set.mode & 0o7777;
    if (row.kind !== NODE_KIND.folder && (set.killPrivileges === true || (isOwner && set.mode === undefined)))
      mode = withoutPrivileges({ mode, gid: row.gid }, set.killPrivileges === true ? caller : undefined);
    const isTimes = modified !== undefined || accessed !== undefined || changed !== undefined;
    if (mode === row.mode && set.mode === undefined && !isOwner && !isTimes) return;
    const fields: { -readonly [C in keyof NodeRow]?: NodeRow[C] } = { mode, uid: uid ?? row.uid, gid: gid ?? row.gid };
    if (modified !== undefined) {
      const moment = modified === 'now' ? now : modified;
      fields.modifiedSeconds = moment.seconds;
      fields.modifiedNanoseconds = moment.nanoseconds;
    }
    if (accessed !== undefined) {
      const moment = accessed === 'now' ? now : accessed;
      fields.accessedSeconds = moment.seconds;
      fields.accessedNanoseconds = moment.nanoseconds;
    }
    if (changed !== undefined) {
      fields.changedSeconds = changed.seconds;
      fields.changedNanoseconds = changed.nanoseconds;
    }
    const acl = set.mode === undefined ? undefined : this.#attribute(row.node, ACL_ACCESS_NAME);
    const list = acl === undefined ? undefined : parseAcl(acl);
    const puts: Put[] =
      list === undefined ? [] : [this.#attributePut(row.node, ACL_ACCESS_NAME, bytesOfAcl(aclOfMode(list, mode)))];
    const items = [itemOf(row, CHANGE_KIND.attributes, {})];
    this.#changeRow(row, fields, { ...(puts.length === 0 ? {} : { puts }), items });
  }

  #attribute(node: NodeId, name: Uint8Array): Uint8Array | undefined {
    if (this.#bare.get(node) === true) return undefined;
    const [first] = this.#rows.scan('attributes', { prefix: [this.#space.space, node], limit: 1 });
    if (first === undefined) {
      this.#bare.set(node, true);
      return undefined;
    }
    return this.#rows.get('attributes', [this.#space.space, node, name])?.value;
  }

  #attributeNames(node: NodeId): readonly Uint8Array[] {
    if (this.#bare.get(node) === true) return [];
    const prefix = [this.#space.space, node] as const;
    return this.#rows.scan('attributes', { prefix, limit: ATTRIBUTES_MAX }).map(({ name }) => name);
  }

  #attributePut(node: NodeId, name: Uint8Array, value: Uint8Array): Put {
    this.#bare.delete(node);
    // The caller's bytes are only lent.
    const row = { space: this.#space.space, node, name: name.slice(), value: value.slice(), born: 0 };
    return { table: 'attributes', mode: 'replace', row };
  }

  getAttribute(node: NodeId, name: Uint8Array): Uint8Array | undefined {
    const value = this.#attribute(node, name);
    if (value === undefined) checkAttributeName(shownName(name));
    return value;
  }

  listAttributes(node: NodeId, caller: PosixCaller): readonly Uint8Array[] {
    const names = this.#attributeNames(node);
    return caller.uid === 0 ? names : names.filter((name) => !shownName(name).startsWith('trusted.'));
  }

  setAttribute(
    node: NodeId,
    name: Uint8Array,
    value: Uint8Array,
    mode: 'set' | 'create' | 'replace',
    options: { readonly killSetgid?: boolean },
  ): Maybe<void> {
    return this.#mutate(() => {
      const row = this.#row(node);
      this.#guard?.checkNode(row);
      const text = shownName(name);
      if (text === ACL_ACCESS || text === ACL_DEFAULT) return this.#setAcl(row, name, text, value, options);
      checkAttributeName(text);
      if (name.length > NAME_BYTES_MAX || value.length > ATTRIBUTE_BYTES_MAX)
        throw posixFault('ERANGE', 'A name has 255 bytes, a value 65,536.', { name: text });
      const isThere = this.#attribute(node, name) !== undefined;
      if (mode === 'create' && isThere) throw posixFault('EEXIST', `${text} is set already.`, { name: text });
      if (mode === 'replace' && !isThere) throw posixFault('ENODATA', `${text} is not set.`, { name: text });
      if (!isThere && this.#attributeNames(node).length >= ATTRIBUTES_MAX)
        throw posixFault('ENOSPC', `A file may have ${ATTRIBUTES_MAX} attributes.`, { name: text });
      this.#changeRow(
        row,
        {},
        { puts: [this.#attributePut(node, name, value)], items: [itemOf(row, CHANGE_KIND.attributes, {})] },
      );
    });
  }

  #setAcl(
    row: NodeRow,
    name: Uint8Array,
    text: string,
    value: Uint8Array,
    options: { readonly killSetgid?: boolean },
  ): void {
    const acl = parseAcl(value);
    if (acl === undefined) throw posixFault('EINVAL', 'That is no access control list.', { name: text });
    if (row.kind === NODE_KIND.symlink) throw posixFault('EOPNOTSUPP', 'A symlink has no list.', { name: text });
    if (text === ACL_DEFAULT && row.kind !== NODE_KIND.folder)
      throw posixFault('EACCES', 'Only folders have a default list.', { name: text });
    const items = [itemOf(row, CHANGE_KIND.attributes, {})];
    const key = [this.#space.space, row.node, name.slice()] as const;
    const isNothing = acl.length === 0 || (text === ACL_ACCESS && isPlainMode(acl));
    const change: Partial<Parts> = isNothing
      ? { deletes: [{ table: 'attributes', key }], items }
      : { puts: [this.#attributePut(row.node, name, value)], items };
    const mode = text === ACL_ACCESS && acl.length > 0 ? modeOfAcl(acl, row.mode) : row.mode;
    this.#changeRow(row, { mode: options.killSetgid === true ? mode & ~0o2000 : mode }, change);
  }

  removeAttribute(node: NodeId, name: Uint8Array): Maybe<void> {
    return this.#mutate(() => {
      const row = this.#row(node);
      this.#guard?.checkNode(row);
      const text = shownName(name);
      checkAttributeName(text);
      if (this.#attribute(node, name) === undefined) {
        // Taking away a list that is not there is no error, as for other file systems.
        if (text === ACL_ACCESS || text === ACL_DEFAULT) return;
        throw posixFault('ENODATA', `${text} is not set.`, { name: text });
      }
      const key = [this.#space.space, node, name.slice()] as const;
      this.#changeRow(
        row,
        {},
        { deletes: [{ table: 'attributes', key }], items: [itemOf(row, CHANGE_KIND.attributes, {})] },
      );
    });
  }

  // Open files

  #openHandle(file: OpenFile, flags: OpenFlags): Handle {
    file.handleCount++;
    const handle = this.#numbers.take();
    this.#handles.set(handle, { file, flags, faultsSeen: file.faultCount, reader: undefined });
    return handle;
  }

  #handle(handle: Handle): OpenHandle {
    const open = this.#handles.get(handle);
    if (open === undefined) throw posixFault('EBADF', 'The file is not open.', { handle });
    return open;
  }

  open(node: NodeId, flags: OpenFlags): Maybe<Handle> {
    if (!flags.truncate && !flags.write) return this.#openHandle(this.#file(node), flags);
    return this.#mutate(() => {
      const file = this.#file(node);
      this.#guard?.checkNode(file.row);
      const handle = this.#openHandle(file, flags);
      if (!flags.truncate) return handle;
      const faults = file.faultCount;
      return andThen(file.truncate(0), () => {
        if (flags.killPrivileges === true) this.#killPrivileges(file, flags.caller);
        if (file.faultCount === faults) return handle;
        this.#close(handle);
        throw file.fault;
      });
    });
  }

  #killPrivileges(file: OpenFile, caller: PosixCaller | undefined): void {
    const mode = withoutPrivileges(file.row, caller);
    if (mode !== file.row.mode) this.#changeRow(file.row, { mode });
  }

  read(handle: Handle, offset: number, length: number): Maybe<readonly Uint8Array[]> {
    const open = this.#handle(handle);
    open.reader ??= this.#readers.of(open.file);
    return (open.reader ?? open.file).read(offset, length);
  }

  write(handle: Handle, offset: number, bytes: Uint8Array, flags: WriteFlags = {}): Maybe<number> {
    const open = this.#handle(handle);
    const done = this.#mutate(() => {
      const { file } = open;
      this.#checkFaults(open);
      return andThen(this.#files.roomFor(file), () => {
        this.#checkFaults(open);
        const at = open.flags.append ? file.row.size : offset;
        return file.write(at, bytes, flags);
      });
    });
    const isSync = open.flags.sync || flags.sync === true;
    if (isSync) return andThen(done, (count) => andThen(this.fsync(handle, true), () => count));
    return this.#files.isTight ? andThen(done, (count) => andThen(this.#store(open, false), () => count)) : done;
  }

  /** @throws the fault of what was written before, once. */
  #checkFaults(open: OpenHandle): void {
    if (open.faultsSeen === open.file.faultCount) return;
    open.faultsSeen = open.file.faultCount;
    throw open.file.fault;
  }

  /** What was written is stored, if not durable; `isLast`: up to the last byte. @throws the fault when it is not. */
  #store(open: OpenHandle, isLast: boolean): Maybe<void> {
    return andThen(open.file.drain(isLast), () => this.#checkFaults(open));
  }

  flush(handle: Handle): Maybe<void> {
    const open = this.#handle(handle);
    if (open.file.isDirty && this.#files.isTight) return this.#store(open, true);
    if (open.file.isDirty) this.#files.publishSoon(open.file);
    this.#checkFaults(open);
  }

  fsync(handle: Handle, _dataOnly: boolean): Maybe<void> {
    const open = this.#handle(handle);
    if (!this.#files.hasUnsettled) return this.#checkFaults(open);
    return andThen(open.file.drain(true), () => {
      this.#checkFaults(open);
      return this.#options.context.groups.flush().then(() => this.#checkFaults(open));
    });
  }

  release(handle: Handle): void {
    this.#close(handle);
  }

  #close(handle: Handle): void {
    const { file, reader } = this.#handle(handle);
    reader?.[Symbol.dispose]();
    this.#handles.delete(handle);
    this.#numbers.giveBack(handle);
    file.handleCount--;
    if (file.handleCount === 0 && file.isUnlinked) this.#dropOrphan(file);
    this.#files.closed(file);
  }

  /** Nobody can reach it any more. */
  #dropOrphan(file: OpenFile): void {
    const { space, node } = file.row;
    file.isGone = true;
    file.buffer.clear();
    const attributes = this.#attributeNames(node).map(
      (name) => ({ table: 'attributes', key: [space, node, name] }) as const,
    );
    this.#files.add({
      deletes: [...attributes, { table: 'orphans', key: [space, node] }, { table: 'nodes', key: [space, node] }],
    });
    this.#ghosts.set(node, file.row);
    this.#options.context.onUnreachable();
  }

  allocate(handle: Handle, mode: number, offset: number, length: number, caller: PosixCaller): Maybe<void> {
    const known = ALLOCATE.keepSize | ALLOCATE.punchHole | ALLOCATE.zeroRange;
    if ((mode & ~known) !== 0) throw posixFault('EOPNOTSUPP', 'That way of allocating is not supported.', { mode });
    return this.#mutate(() => {
      const { file } = this.#handle(handle);
      // The kernel does not ask for it here as it does for writes.
      if (caller.uid !== 0) this.#killPrivileges(file, caller);
      const keepsSize = (mode & ALLOCATE.keepSize) !== 0;
      if ((mode & ALLOCATE.punchHole) !== 0) return file.zero(offset, length, true);
      if ((mode & ALLOCATE.zeroRange) !== 0) return file.zero(offset, length, keepsSize);
      // No room is held back, but what the disk does not have is not promised.
      return andThen(this.#files.checkRoom(length - file.allocatedBytes), () =>
        keepsSize ? file.touch() : file.grow(offset + length),
      );
    });
  }

  seek(handle: Handle, offset: number, what: 'data' | 'hole'): Maybe<number> {
    return andThen(this.#handle(handle).file.seek(offset, what), (found) => {
      if (found === undefined) throw posixFault('ENXIO', `There is no ${what} from there on.`, { offset });
      return found;
    });
  }

  copyRange(
    source: { readonly handle: Handle; readonly offset: number },
    target: { readonly handle: Handle; readonly offset: number },
    length: number,
    caller: PosixCaller,
  ): Maybe<number> {
    return this.#mutate(() => {
      const from = this.#handle(source.handle).file;
      const to = this.#handle(target.handle).file;
      if (source.offset >= from.row.size) return 0;
      if (caller.uid !== 0) this.#killPrivileges(to, caller);
      return andThen(from.share(source.offset, Math.min(length, COPY_BYTES_MAX)), (shared) =>
        shared.length === 0 ? 0 : andThen(to.adopt(target.offset, shared.length, shared.extents), () => shared.length),
      );
    });
  }

  // Folders

  openFolder(node: NodeId): Handle {
    const row = this.#row(node);
    if (row.kind !== NODE_KIND.folder) throw posixFault('ENOTDIR', 'That is no folder.', { node });
    const handle = this.#numbers.take();
    const changeCount = (): number => this.#files.changeCount;
    this.#folders.set(handle, new FolderReading(this.#rows, this.#space.space, node, changeCount));
    return handle;
  }

  #openedFolder(handle: Handle): FolderReading {
    const reading = this.#folders.get(handle);
    if (reading === undefined) throw posixFault('EBADF', 'The folder is not open.', { handle });
    return reading;
  }

  readFolder(handle: Handle, offset: number, count: number): readonly FolderEntry[] {
    const reading = this.#openedFolder(handle);
    const entries = reading.read(offset, count);
    const { changeCount } = this.#files;
    this.#listed = reading.isCurrent ? { parent: reading.folder, entries, next: 0, changeCount } : undefined;
    return entries;
  }

  parentOf(node: NodeId): NodeId {
    return node === this.root ? node : (this.#row(node).parent ?? node);
  }

  releaseFolder(handle: Handle): void {
    this.#openedFolder(handle);
    this.#folders.delete(handle);
    this.#numbers.giveBack(handle);
  }

  syncFolder(handle: Handle): Maybe<void> {
    this.#openedFolder(handle);
    return this.syncFs();
  }

  // The whole

  space(): Maybe<FileSystemSpace> {
    return andThen(this.#options.diskSpace(), ({ totalBytes, freeBytes }) => ({
      totalBytes,
      freeBytes,
      nodeCount: NODES_SHOWN,
      freeNodeCount: NODES_SHOWN,
    }));
  }

  syncFs(): Maybe<void> {
    return this.#files.hasUnsettled ? this.#files.sync() : undefined;
  }

  forgotten(node: NodeId): void {
    this.#ghosts.delete(node);
  }

  onOutsideChange(listener: (change: OutsideChange) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** What was removed here and came back through another door (undo) is no ghost any more. */
  #revive(durables: readonly Durable[]): void {
    if (this.#ghosts.size === 0) return;
    for (const { change } of durables)
      for (const put of change.puts ?? []) if (put.table === 'nodes') this.#ghosts.delete(put.row.node);
  }

  #tell(durables: readonly Durable[]): void {
    if (this.#listeners.size === 0) return;
    for (const { change } of durables) {
      if (change.space !== this.#space.space) continue;
      for (const item of change.record?.items ?? []) {
        const { node, before, after } = item;
        const hasData = item.kind === CHANGE_KIND.write || item.kind === CHANGE_KIND.restore;
        if (before !== undefined && item.kind !== CHANGE_KIND.write && item.kind !== CHANGE_KIND.attributes)
          this.#emit({ kind: 'removed', ...before, node });
        if (after !== undefined) this.#emit({ kind: 'entry', ...after });
        this.#emit({ kind: 'node', node, data: hasData });
        for (const folder of new Set([before?.parent, after?.parent]))
          if (folder !== undefined) this.#emit({ kind: 'node', node: folder, data: true });
      }
    }
  }

  #emit(change: OutsideChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { reader } of this.#handles.values()) reader?.[Symbol.dispose]();
    for (const [handle, { file }] of [...this.#handles]) if (file.isUnlinked) this.#close(handle);
    try {
      await this.#files.close();
    } finally {
      this.#options.onClose();
    }
  }
}

function named(row: NodeRow, place: Place, puts: readonly Put[], expects: readonly Expect[]): Partial<Parts> {
  const { space, node, kind } = row;
  const entry: EntryRow = { space, parent: place.parent, name: place.name.slice(), node, kind, born: 0 };
  return {
    expects,
    touches: [{ space, folder: place.parent, links: kind === NODE_KIND.folder ? 1 : 0 }],
    puts: [...puts, { table: 'entries', mode: 'insert', row: entry }],
    items: [itemOf(row, CHANGE_KIND.create, { after: { parent: place.parent, name: entry.name } })],
    liveBytes: row.size,
  };
}

function checkLength(name: Uint8Array): void {
  if (name.length > NAME_BYTES_MAX)
    throw posixFault('ENAMETOOLONG', `A name has at most ${NAME_BYTES_MAX} bytes.`, { length: name.length });
}

/** @throws `EOPNOTSUPP` for names that are not kept, `EINVAL` for none behind the prefix. */
function checkAttributeName(text: string): void {
  if (text === ACL_ACCESS || text === ACL_DEFAULT) return;
  const prefix = /^(user|trusted|security)\./.exec(text)?.[0];
  if (prefix === undefined) throw posixFault('EOPNOTSUPP', `Attributes named ${text} are not kept.`, { name: text });
  if (prefix === text) throw posixFault('EINVAL', `${text} is only the beginning of a name.`, { name: text });
}
