/**
 * A FileService in memory, for the tests of the door and the client alone: it keeps whole contents, forgets nothing, and
 * passes the contract suite, so that what the door's tests see is what a real service would answer. Not for use.
 */

import { createHash } from 'node:crypto';
import xxhash from 'xxhash-addon';
import {
  type AtOptions,
  type AttributeChange,
  BATCH_CONTENT_BYTES_MAX,
  type BatchAnswer,
  type BatchOperation,
  type BatchRequest,
  type BulkItem,
  type BulkResult,
  type ByteSource,
  batchOrder,
  type CallOptions,
  type ChangePage,
  type ChangesQuery,
  type Changing,
  type CheckOptions,
  type CheckReport,
  type DeletedOptions,
  type DeletedPage,
  type DeletedRecord,
  dependencies,
  type Expecting,
  FakeLocks,
  FakeUploads,
  type FileRead,
  type FileRecord,
  type FileService,
  type GcOptions,
  type GcReport,
  type GcStatus,
  type ListOptions,
  type ListPage,
  type LockChange,
  type LockList,
  type LockOptions,
  type LockRecord,
  type LogPage,
  type LogQuery,
  type MoveOptions,
  type Path,
  type PruneOptions,
  type PrunePlan,
  pathOfText,
  percentOfBytes,
  type ReadOptions,
  type Removed,
  type RemoveOptions,
  type RepairOptions,
  type RepairReport,
  type RestorePlan,
  type RestoreTreeOptions,
  type SearchQuery,
  type ServerInfo,
  type SnapshotOptions,
  type SnapshotPage,
  type SnapshotRecord,
  type StoreStats,
  type Target,
  textOfBytes,
  textOfPath,
  type Usage,
  type UsageQuery,
  urlOfPath,
  type VersionPage,
  type VersionsOptions,
  type WriteOptions,
} from '../api/index.ts';
import {
  compareBytes,
  concatBytes,
  Fault,
  hexOf,
  isoOfMoment,
  momentOfIso,
  momentOfMs,
  textOfUtf8,
} from '../base/index.ts';

interface FakeVersion {
  readonly version: number;
  readonly bytes: Uint8Array;
  readonly xxhash3: string;
  readonly modified: string;
  readonly commit: number;
  readonly door: string;
  readonly user: string;
}

interface FakeNode {
  readonly id: number;
  readonly kind: FileRecord['kind'];
  readonly target?: string;
  readonly created: string;
  name: Uint8Array;
  parent: FakeNode | undefined;
  children: Map<string, FakeNode>;
  versions: FakeVersion[];
  version: number;
  modified: string;
  changed: string;
  mode: number;
  uid: number;
  gid: number;
  attributes: Map<string, string>;
}

export interface FakeCaller {
  readonly user: string;
  readonly door: string;
  readonly lockTokens?: readonly number[] | undefined;
}

/** How often a waiting feed looks. */
const POLL_MS = 10;
/** Bytes that one piece of a read has. */
const PIECE_BYTES = 64 * 1024;

/** The tree as one commit left it. */
interface FakePast {
  readonly commit: number;
  readonly committed: string;
  readonly root: FakeNode;
}

export class FakeStore {
  readonly root: FakeNode;
  readonly pasts: FakePast[] = [];
  readonly snapshots = new Map<string, SnapshotRecord>();
  /** What was removed, the last first. */
  readonly gone: DeletedRecord[] = [];
  readonly #keys = new Map<string, { readonly request: string; readonly answer: unknown }>();
  #id = 0;
  #commit = 0;
  /** Since when collections are paused. */
  gcPausedSince: string | undefined;
  readonly locks = new FakeLocks();
  readonly uploads = new FakeUploads();

  constructor() {
    this.root = this.make('folder', new Uint8Array(), undefined, 0o755);
  }

  get commit(): number {
    return this.#commit;
  }

  /** Counts one up when all of it is done. */
  set commit(commit: number) {
    this.#commit = commit;
    this.pasts.push({ commit, committed: nowIso(), root: cloneOf(this.root, undefined) });
  }

  /** Answers how to go back to the tree as it is now. */
  remember(): () => void {
    const { children } = cloneOf(this.root, undefined);
    const uploadsBack = this.uploads.remember();
    return () => {
      uploadsBack();
      this.root.children = children;
      for (const child of children.values()) child.parent = this.root;
    };
  }

  service(caller: FakeCaller = { user: 'owner', door: 'test' }): FileService {
    return new FakeFileService(this, caller);
  }

  make(
    kind: FakeNode['kind'],
    name: Uint8Array,
    parent: FakeNode | undefined,
    mode: number,
    target?: string,
  ): FakeNode {
    const now = nowIso();
    const node: FakeNode = {
      id: ++this.#id,
      kind,
      ...(target === undefined ? {} : { target }),
      created: now,
      name,
      parent,
      children: new Map(),
      versions: [],
      version: 1,
      modified: now,
      changed: now,
      mode,
      uid: 0,
      gid: 0,
      attributes: new Map(),
    };
    parent?.children.set(hexOf(name), node);
    return node;
  }

  async once<T>(key: string | undefined, request: unknown, act: () => T | Promise<T>): Promise<T> {
    if (key === undefined) return act();
    const text = JSON.stringify(request);
    const before = this.#keys.get(key);
    if (before?.request === text) return before.answer as T;
    if (before !== undefined) throw new Fault('conflict', 'The key was used for something else.', { key });
    const answer = await act();
    this.#keys.set(key, { request: text, answer });
    return answer;
  }
}

function cloneOf(node: FakeNode, parent: FakeNode | undefined): FakeNode {
  const clone: FakeNode = { ...node, parent, children: new Map(), versions: [...node.versions] };
  for (const [key, child] of node.children) clone.children.set(key, cloneOf(child, clone));
  return clone;
}

function nowIso(): string {
  return isoOfMoment(momentOfMs(Date.now()));
}

function notFound(path: string): Fault {
  return new Fault('not-found', `There is nothing at ${path}.`, { path });
}

function pathOf(node: FakeNode): Path {
  return node.parent === undefined ? [] : [...pathOf(node.parent), node.name];
}

function recordOf(node: FakeNode, withAttributes = false, version = node.versions.at(-1)): FileRecord {
  const path = pathOf(node);
  const isText = path.every((name) => textOfUtf8(name) !== undefined);
  const bytes = version?.bytes;
  return {
    file_id: node.id,
    path: textOfPath(path),
    name: textOfBytes(node.name),
    ...(isText ? {} : { path_raw: `/${urlOfPath(path)}` }),
    ...(textOfUtf8(node.name) === undefined ? { name_raw: percentOfBytes(node.name) } : {}),
    kind: node.kind,
    is_directory: node.kind === 'folder',
    size: bytes?.length ?? 0,
    modified: node.modified,
    changed: node.changed,
    created: node.created,
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    links: 1,
    version: version?.version ?? node.version,
    xxhash3: version?.xxhash3 ?? null,
    ...(node.target === undefined ? {} : { target: node.target }),
    ...(withAttributes ? { attributes: Object.fromEntries(node.attributes) } : {}),
  };
}

export function xxhash3Of(bytes: Uint8Array): string {
  return xxhash.XXHash3.hash(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)).toString('hex');
}

function sorted(node: FakeNode): FakeNode[] {
  return [...node.children.values()].sort((a, b) => compareBytes(a.name, b.name));
}

function* under(node: FakeNode, recursive = true): Generator<FakeNode> {
  for (const child of sorted(node)) {
    yield child;
    if (recursive) yield* under(child);
  }
}

function checkVersion(node: FakeNode | undefined, path: string, { expectedVersion, expectedId }: Expecting): void {
  const isRight =
    (expectedVersion === undefined || node?.version === expectedVersion) &&
    (expectedId === undefined || node?.id === expectedId);
  if (isRight) return;
  throw new Fault('conflict', `${path} is version ${node?.version ?? 'none'}, not ${expectedVersion}.`, {
    path,
    expected_version: expectedVersion,
    current_version: node?.version ?? null,
  });
}

async function leave(source: ByteSource): Promise<void> {
  if (Symbol.asyncIterator in source) await source[Symbol.asyncIterator]().return?.();
}

function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw Fault.aborted(signal, 'A fake call');
}

function momentText(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const moment = momentOfIso(text);
  if (moment === undefined) throw new Fault('invalid', `${text} is not a moment.`, { text });
  return isoOfMoment(moment);
}

class FakeFileService implements FileService {
  readonly #store: FakeStore;
  readonly #caller: FakeCaller;
  readonly #root: FakeNode;
  readonly #shown: string;
  readonly uploads: FileService['uploads'];

  constructor(store: FakeStore, caller: FakeCaller, root: FakeNode = store.root, shown = '/') {
    this.uploads = store.uploads.for({
      check: (path, options) => {
        const names = pathOfText(path);
        this.#checkGoal(names, textOfPath(names), { ...options, mode: options.mode ?? 'put' });
      },
      write: (path, source, options) => this.write(path, source, options),
      xxhash3: (bytes) => xxhash.XXHash3.hash(Buffer.from(bytes)).toString('hex'),
      sha256: (bytes) => createHash('sha256').update(bytes).digest('hex'),
    });
    this.#store = store;
    this.#caller = caller;
    this.#root = root;
    this.#shown = shown;
  }

  #at(at: string): FakeFileService {
    const bare = at.replace(/^@/, '');
    const snapshot = this.#store.snapshots.get(at);
    const time = momentOfIso(bare);
    if (snapshot === undefined && !/^\d+$/.test(bare) && time === undefined)
      throw new Fault('not-found', `There is no snapshot ${at}.`, { snapshot: at });
    const commit = snapshot?.commit ?? Number(bare);
    const text = time === undefined ? '' : isoOfMoment(time);
    const past = this.#store.pasts.findLast((one) =>
      time === undefined ? one.commit === commit : one.committed <= text,
    );
    if (past === undefined) throw new Fault('not-kept', `${at} is not kept.`, { at });
    return new FakeFileService(this.#store, this.#caller, past.root, snapshot?.path);
  }

  async info(): Promise<ServerInfo> {
    return { name: 'holdfast', version: '0.0.0', status: 'ok', store_id: 'fake', uptime_seconds: 0 };
  }

  async stat(target: Target, options: AtOptions & { readonly withAttributes?: boolean } = {}): Promise<FileRecord> {
    checkAborted(options.signal);
    if (options.at !== undefined) return this.#at(options.at).stat(target, { ...options, at: undefined });
    return recordOf(this.#get(target), options.withAttributes);
  }

  async list(target: Target, options: ListOptions = {}): Promise<ListPage> {
    if (options.at !== undefined) return this.#at(options.at).list(target, { ...options, at: undefined });
    const folder = this.#getFolder(target);
    const glob = options.glob === undefined ? undefined : globOf(options.glob);
    const found = sorted(folder)
      .filter((node) => options.kind === undefined || node.kind === options.kind)
      .filter((node) => glob === undefined || glob.test(textOfBytes(node.name)));
    return pageOf(folder, found, options, options.withAttributes);
  }

  async *manifest(target: Target, { at }: AtOptions = {}): AsyncGenerator<FileRecord> {
    const from = at === undefined ? this : this.#at(at);
    for (const node of under(from.#getFolder(target))) yield recordOf(node);
  }

  async makeFolder(
    path: string,
    options: Changing & {
      readonly parents?: boolean;
      readonly permissions?: number;
      readonly idempotencyKey?: string;
    } = {},
  ): Promise<FileRecord> {
    return this.#store.once(options.idempotencyKey, ['folder', path], () => {
      this.#checkLocks(path, options);
      const names = pathOfText(path);
      const found = this.#find(names);
      if (found !== undefined && !(options.parents === true && found.kind === 'folder')) throw exists(found);
      if (found !== undefined) return recordOf(found);
      const parent = this.#parent(names, options.parents === true);
      return this.#done(
        this.#store.make('folder', names.at(-1) ?? new Uint8Array(), parent, options.permissions ?? 0o755),
      );
    });
  }

  async write(path: string, source: ByteSource, options: WriteOptions): Promise<FileRecord> {
    const names = pathOfText(path);
    const text = textOfPath(names);
    const request = ['write', text, options.mode];
    return this.#store.once(options.idempotencyKey, request, async () => {
      this.#checkGoal(names, text, options);
      const modified = momentText(options.modified) ?? nowIso();
      const bytes = await collected(source, options.signal);
      checkAnnounced(bytes, options);
      this.#checkLocks(text, options);
      this.#checkGoal(names, text, options);
      const parent = this.#parent(names, options.parents === true);
      const name = names.at(-1) ?? new Uint8Array();
      const node = parent.children.get(hexOf(name)) ?? this.#store.make('file', name, parent, 0o644);
      this.#addVersion(node, bytes, modified);
      node.mode = options.permissions ?? node.mode;
      return this.#done(node);
    });
  }

  #checkGoal(names: Path, text: string, options: WriteOptions): void {
    if (names.length === 0) throw new Fault('is-folder', 'The root is a folder.', { path: '/' });
    const found = this.#find(names);
    if (found === undefined && options.parents !== true) this.#parent(names, false);
    if (found?.kind === 'folder') throw new Fault('is-folder', `${text} is a folder.`, { path: text });
    if (options.mode === 'create' && found !== undefined) throw exists(found);
    if (options.mode === 'replace' && found === undefined) throw notFound(text);
    checkVersion(found, text, options);
    if (found !== undefined && found.kind !== 'file') throw exists(found);
  }

  async *writeMany(
    items: AsyncIterable<BulkItem> | Iterable<BulkItem>,
    options: Changing = {},
  ): AsyncGenerator<BulkResult> {
    for await (const item of items) {
      try {
        yield { path: item.path, ok: true, record: await this.#writeOne(item, options) };
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        yield { path: item.path, ok: false, fault: error };
      }
    }
  }

  async #writeOne(item: BulkItem, options: Changing): Promise<FileRecord> {
    this.#checkLocks(item.path, options);
    const { modified, permissions, size, xxhash3, sha256 } = item;
    const names = pathOfText(item.path);
    const found = this.#find(names);
    if (item.kind === 'file') {
      const source = (await item.source?.()) ?? [];
      // What is refused before its bytes are looked at is not read; whoever hands out a source hears of it.
      await using _left = { [Symbol.asyncDispose]: () => leave(source) };
      return await this.write(item.path, source, {
        mode: 'put',
        size,
        xxhash3,
        sha256,
        modified,
        permissions,
        ...options,
      });
    }
    if (found !== undefined && !(item.kind === 'folder' && found.kind === 'folder')) throw exists(found);
    if (found !== undefined) return recordOf(found);
    const name = names.at(-1) ?? new Uint8Array();
    const mode = permissions ?? (item.kind === 'folder' ? 0o755 : 0o777);
    const node = this.#store.make(item.kind, name, this.#parent(names, false), mode, item.target);
    node.modified = momentText(modified) ?? node.modified;
    return this.#done(node);
  }

  async read(target: Target, options: ReadOptions = {}): Promise<FileRead> {
    checkAborted(options.signal);
    if (options.at !== undefined) return this.#at(options.at).read(target, { ...options, at: undefined });
    const node = this.#get(target);
    const path = textOfPath(pathOf(node));
    if (node.kind === 'folder') throw new Fault('is-folder', `${path} is a folder.`, { path });
    if (node.kind !== 'file') throw new Fault('invalid', `${path} has no bytes.`, { path });
    const version =
      options.version === undefined
        ? node.versions.at(-1)
        : node.versions.find((one) => one.version === options.version);
    if (version === undefined) throw new Fault('not-found', `${path} has no version ${options.version}.`, { path });
    const { offset = 0, length = Math.max(0, version.bytes.length - offset) } = options;
    if (offset + length > version.bytes.length) {
      throw new Fault('range', `${path} has ${version.bytes.length} bytes.`, { path, size: version.bytes.length });
    }
    const bytes = piecesOf(version.bytes.subarray(offset, offset + length), options.signal);
    return { record: recordOf(node, false, version), bytes };
  }

  async setAttributes(
    target: Target,
    change: AttributeChange,
    options: Expecting & { readonly idempotencyKey?: string } = {},
  ): Promise<FileRecord> {
    return this.#store.once(options.idempotencyKey, ['attributes', target, change], () => {
      const node = this.#get(target);
      checkVersion(node, textOfPath(pathOf(node)), options);
      this.#checkLocks(textOfPath(pathOf(node)), options);
      const modified = momentText(change.modified);
      const attributes = new Map(node.attributes);
      for (const [name, value] of Object.entries(change.attributes ?? {})) {
        if (value === null) attributes.delete(name);
        else if (/^[A-Za-z0-9+/]*={0,2}$/.test(value) && value.length % 4 === 0) attributes.set(name, value);
        else throw new Fault('invalid', `The value of ${name} is not base64.`, { name });
      }
      node.attributes = attributes;
      node.mode = change.mode ?? node.mode;
      node.uid = change.uid ?? node.uid;
      node.gid = change.gid ?? node.gid;
      node.modified = modified ?? node.modified;
      return this.#done(node);
    });
  }

  async move(from: string, to: string, options: MoveOptions = {}): Promise<FileRecord> {
    return this.#store.once(options.idempotencyKey, ['move', from, to], () => {
      this.#checkLocks(from, options, true);
      this.#checkLocks(to, options);
      const { node, goal, names } = this.#twoEnds(from, to, options);
      if (goal === node) return recordOf(node);
      const parent = this.#parent(names, options.parents === true);
      node.parent?.children.delete(hexOf(node.name));
      node.name = names.at(-1) ?? node.name;
      node.parent = parent;
      parent.children.set(hexOf(node.name), node);
      this.#store.locks.moved(from, to);
      return this.#done(node);
    });
  }

  async copy(from: string, to: string, options: MoveOptions = {}): Promise<FileRecord> {
    return this.#store.once(options.idempotencyKey, ['copy', from, to], () => {
      this.#checkLocks(to, options);
      const { node, goal, names } = this.#twoEnds(from, to, options);
      const parent = this.#parent(names, options.parents === true);
      const bytes = node.versions.at(-1)?.bytes;
      if (goal !== undefined && bytes !== undefined) {
        this.#addVersion(goal, bytes, node.modified);
        return this.#done(goal);
      }
      return this.#done(this.#copyTree(node, names.at(-1) ?? node.name, parent));
    });
  }

  #copyTree(node: FakeNode, name: Uint8Array, parent: FakeNode): FakeNode {
    const copy = this.#store.make(node.kind, name, parent, node.mode, node.target);
    copy.attributes = new Map(node.attributes);
    const bytes = node.versions.at(-1)?.bytes;
    if (bytes !== undefined) this.#addVersion(copy, bytes, node.modified);
    copy.modified = node.modified;
    for (const child of sorted(node)) this.#copyTree(child, child.name, copy);
    return copy;
  }

  #twoEnds(
    from: string,
    to: string,
    options: MoveOptions,
  ): { node: FakeNode; goal: FakeNode | undefined; names: Path } {
    const node = this.#get({ path: from });
    const names = pathOfText(to);
    if (node.parent === undefined || names.length === 0) {
      throw new Fault('invalid', 'The root stays where it is.', { path: '/' });
    }
    checkVersion(node, from, options);
    const goal = this.#find(names);
    for (let at: FakeNode | undefined = this.#deepest(names); at !== undefined; at = at.parent) {
      if (at === node && goal !== node) throw new Fault('invalid', `${from} cannot go into itself.`, { path: from });
    }
    if (goal !== undefined && goal !== node) {
      if (options.overwrite !== true) throw exists(goal);
      if (goal.kind === 'folder' && node.kind !== 'folder')
        throw new Fault('is-folder', `${to} is a folder.`, { path: to });
      if (goal.kind !== 'folder' && node.kind === 'folder')
        throw new Fault('not-folder', `${to} is no folder.`, { path: to });
      if (goal.children.size > 0) throw new Fault('not-empty', `${to} is not empty.`, { path: to });
    }
    return { node, goal, names };
  }

  async remove(path: string, options: RemoveOptions = {}): Promise<Removed> {
    return this.#store.once(options.idempotencyKey, ['remove', path], () => {
      const node = this.#get({ path });
      if (node.parent === undefined) throw new Fault('invalid', 'The root cannot be removed.', { path: '/' });
      checkVersion(node, path, options);
      this.#checkLocks(path, options, true);
      if (node.children.size > 0 && options.recursive !== true) {
        throw new Fault('not-empty', `${path} is not empty.`, { path: textOfPath(pathOf(node)) });
      }
      const all = [node, ...under(node)];
      const folders = all.filter((one) => one.kind === 'folder').length;
      const bytes = all.reduce((sum, one) => sum + (one.versions.at(-1)?.bytes.length ?? 0), 0);
      const text = textOfPath(pathOf(node));
      if (options.dryRun !== true) {
        node.parent.children.delete(hexOf(node.name));
        this.#store.commit++;
        this.#store.gone.unshift(this.#goneOf(node, text));
      }
      const links = all.filter((one) => one.kind === 'symlink').length;
      const linked = links > 0 ? { links } : {};
      return { path: text, files: all.length - folders, ...linked, folders, bytes, dry_run: options.dryRun === true };
    });
  }

  #goneOf(node: FakeNode, path: string): DeletedRecord {
    const last = node.versions.at(-1);
    const { commit } = this.#store;
    return {
      ...{ path, name: textOfBytes(node.name), kind: node.kind, file_id: node.id, size: last?.bytes.length ?? 0 },
      ...{ deleted: nowIso(), commit, actor: this.#caller.user, door: this.#caller.door, at: commit - 1 },
      ...(last === undefined ? {} : { version: node.version }),
    };
  }

  async deleted(path: string, options: DeletedOptions = {}): Promise<DeletedPage> {
    const names = pathOfText(path);
    const isFolder = this.#find(names)?.kind === 'folder';
    if (!isFolder) this.#getFolder({ path: textOfPath(names.slice(0, -1)) });
    const all = this.#store.gone.filter((each) => {
      const [place, depth] = [pathOfText(each.path), names.length + (isFolder ? 1 : 0)];
      const isIn = textOfPath(place.slice(0, names.length)) === textOfPath(names);
      return isIn && (place.length === depth || (isFolder && options.recursive === true));
    });
    const { part, next } = cut(all, options);
    return { path, entries: part, ...next };
  }

  async search(query: SearchQuery): Promise<ListPage> {
    if (query.at !== undefined) return this.#at(query.at).search({ ...query, at: undefined });
    const start = this.#getFolder({ path: query.path ?? '/' });
    const base = pathOf(start).length;
    const isPath = query.pattern?.includes('/') === true;
    const glob = query.pattern === undefined ? undefined : globOf(query.pattern.replace(/^\//, ''));
    const [name, value] = query.attribute?.split('=') ?? [];
    const [after, before] = [momentText(query.modifiedAfter), momentText(query.modifiedBefore)];
    const found = [...under(start, query.recursive)].filter((node) => {
      const size = node.versions.at(-1)?.bytes.length ?? 0;
      const text = isPath ? textOfPath(pathOf(node).slice(base)).slice(1) : textOfBytes(node.name);
      const held = name === undefined ? undefined : node.attributes.get(name);
      return (
        (query.kind === undefined || node.kind === query.kind) &&
        (query.sizeMin === undefined || size >= query.sizeMin) &&
        (query.sizeMax === undefined || size <= query.sizeMax) &&
        (after === undefined || Date.parse(node.modified) > Date.parse(after)) &&
        (before === undefined || Date.parse(node.modified) < Date.parse(before)) &&
        (query.name === undefined || textOfBytes(node.name).toLowerCase().includes(query.name.toLowerCase())) &&
        (glob === undefined || glob.test(text)) &&
        (name === undefined || (held !== undefined && (value === undefined || atob(held) === value)))
      );
    });
    return pageOf(start, found, query);
  }

  async versions(target: Target, options: VersionsOptions = {}): Promise<VersionPage> {
    if (options.at !== undefined) return this.#at(options.at).versions(target, { ...options, at: undefined });
    const node = this.#get(target);
    const path = textOfPath(pathOf(node));
    if (options.keep === 'nonsense') throw new Fault('invalid', 'That does not say what is kept.');
    if (node.kind !== 'file') throw new Fault('is-folder', `${path} has no versions.`, { path });
    const all = node.versions.toReversed().map((one) => ({
      file_id: node.id,
      version: one.version,
      size: one.bytes.length,
      modified: one.modified,
      xxhash3: one.xxhash3,
      commit: one.commit,
      committed: one.modified,
      actor: one.user,
      door: one.door,
      is_current: one.version === node.version,
      ...(options.why || options.keep ? { reasons: one.version === node.version ? ['current'] : ['all'] } : {}),
    }));
    const { part, next } = cut(all, options);
    return { path, versions: part, ...next };
  }

  async restore(
    target: Target,
    version: number,
    options: Expecting & { readonly dryRun?: boolean; readonly idempotencyKey?: string } = {},
  ): Promise<FileRecord> {
    return this.#store.once(options.idempotencyKey, ['restore', target, version], () => {
      const node = this.#get(target);
      const path = textOfPath(pathOf(node));
      checkVersion(node, path, options);
      this.#checkLocks(path, options);
      const wanted = node.versions.find((one) => one.version === version);
      if (wanted === undefined) throw new Fault('not-found', `${path} has no version ${version}.`, { path });
      if (wanted.version === node.version || options.dryRun === true) return recordOf(node, false, wanted);
      this.#addVersion(node, wanted.bytes, wanted.modified);
      return this.#done(node);
    });
  }

  async restoreTree(path: string | undefined, at: string, options: RestoreTreeOptions = {}): Promise<RestorePlan> {
    const past = this.#at(at);
    const goal = path ?? past.#shown;
    return this.#bringBack(goal, past.#get({ path: goal }), past.#store.commit, options);
  }

  /** Whole: what stands there goes, what was there comes. */
  #bringBack(goal: string, was: FakeNode, commit: number, options: RestoreTreeOptions): RestorePlan {
    const names = pathOfText(goal);
    const now = this.#find(names);
    const [then, there] = [pictureOf(was), now === undefined ? new Map() : pictureOf(now)];
    const differing = [...new Set([...then.keys(), ...there.keys()])].filter((key) => then.get(key) !== there.get(key));
    const counts = { added: 0, removed: 0, changed: 0, moved: 0 };
    const changes = differing.sort().map((key) => {
      const change = !there.has(key) ? 'added' : then.has(key) ? 'changed' : 'removed';
      counts[change]++;
      return { change, path: goal === '/' ? key || '/' : `${goal}${key}`, kind: 'file' } as const;
    });
    const isDry = options.dryRun === true;
    const plan = {
      path: goal,
      commit,
      ...counts,
      changes,
      changes_more: 0,
      losses: [],
      losses_more: 0,
      dry_run: isDry,
    };
    if (isDry || differing.length === 0) return plan;
    const clone = cloneOf(was, now?.parent);
    if (now === undefined || now.parent === undefined) this.#root.children = clone.children;
    else now.parent.children.set(hexOf(now.name), clone);
    if (now === undefined && names.length > 0) throw notFound(goal);
    for (const child of clone.children.values()) child.parent = now?.parent === undefined ? this.#root : clone;
    this.#store.commit++;
    return plan;
  }

  async undo(commit: number, options: RestoreTreeOptions = {}): Promise<RestorePlan> {
    const [before, after] = [commit - 1, commit].map((at) => this.#store.pasts.find((past) => past.commit === at));
    if (after === undefined) throw new Fault('not-found', `There is no commit ${commit}.`, { commit });
    const later = this.#store.commit !== commit;
    if (later) throw new Fault('conflict', `Commit ${commit} is not the last one.`, { commit });
    const root = before?.root ?? new FakeStore().root;
    return { ...this.#bringBack('/', root, commit, options), path: '' };
  }

  async changes({ after, limit = 1_000, waitMs = 0 }: ChangesQuery = {}): Promise<ChangePage> {
    const digits = after === 'now' ? this.#store.commit : /^after-(\d+)$/.exec(after ?? 'after-0')?.[1];
    const start = Number(digits ?? Number.NaN);
    if (Number.isNaN(start)) throw new Fault('invalid', 'That is no cursor of the feed.', { cursor: after });
    for (let left = waitMs; left > 0 && this.#store.commit <= start; left -= POLL_MS)
      await new Promise((done) => setTimeout(done, POLL_MS));
    const all = (await this.log()).commits.toReversed().filter(({ commit }) => commit > start);
    const commits = all.slice(0, limit);
    return { commits, next: commits.at(-1)?.cursor ?? `after-${start}` };
  }

  async log({ cursor, limit }: LogQuery = {}): Promise<LogPage> {
    const all = this.#store.pasts.toReversed().map(({ commit, committed }) => ({
      commit,
      committed,
      actor: this.#caller.user,
      door: this.#caller.door,
      request: '',
      kind: 'write',
      changes: [],
      changes_more: 0,
      cursor: `after-${commit}`,
    }));
    const { part, next } = cut(all, { cursor, limit });
    return { commits: part, ...next };
  }

  async createSnapshot(name: string, options: SnapshotOptions = {}): Promise<SnapshotRecord> {
    return this.#store.once(options.idempotencyKey, ['snapshot', name, options.path], () => {
      const isWrong = /^[@.-]|[/\\]|^\d+$/.test(name) || name.length > 128 || momentOfIso(name) !== undefined;
      if (isWrong || name === '' || momentOfIso(`${name}T00:00:00Z`) !== undefined)
        throw new Fault('invalid', `${name} cannot name a snapshot.`, { name });
      const folder = this.#getFolder({ path: options.path ?? '/' });
      if (this.#store.snapshots.has(name))
        throw new Fault('exists', `There is a snapshot ${name}.`, { snapshot: name });
      this.#store.commit++;
      const snapshot: SnapshotRecord = {
        name,
        path: textOfPath(pathOf(folder)),
        file_id: folder.id,
        commit: this.#store.commit,
        created: nowIso(),
        actor: this.#caller.user,
        door: this.#caller.door,
      };
      this.#store.snapshots.set(name, snapshot);
      return snapshot;
    });
  }

  async snapshots(
    options: { readonly cursor?: string | undefined; readonly limit?: number | undefined } = {},
  ): Promise<SnapshotPage> {
    const all = [...this.#store.snapshots.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const { part, next } = cut(all, options);
    return { snapshots: part, ...next };
  }

  /** It has no schedules, so there is nothing to prune. */
  async pruneSnapshots({ keep, schedule, dryRun = false }: PruneOptions = {}): Promise<PrunePlan> {
    if (keep !== undefined && !/^(all|none|(\w+ (\d+|all|within .+)(, |$))+)$/.test(keep))
      throw new Fault('invalid', `${keep} does not say what is kept.`, { keep });
    if (schedule !== undefined) throw new Fault('not-found', `There is no schedule ${schedule}.`, { schedule });
    return { kept: 0, deleted: 0, snapshots: [], snapshots_more: 0, dry_run: dryRun };
  }

  async snapshot(name: string): Promise<SnapshotRecord> {
    const snapshot = this.#store.snapshots.get(name);
    if (snapshot === undefined) throw new Fault('not-found', `There is no snapshot ${name}.`, { snapshot: name });
    return snapshot;
  }

  async removeSnapshot(
    name: string,
    options: CallOptions & { readonly dryRun?: boolean } = {},
  ): Promise<SnapshotRecord> {
    const snapshot = await this.snapshot(name);
    if (options.dryRun !== true) this.#store.snapshots.delete(name);
    return snapshot;
  }

  async batch(
    request: BatchRequest,
    options: Changing & { readonly idempotencyKey?: string | undefined } = {},
  ): Promise<BatchAnswer> {
    const { operations, mode = 'atomic', dry_run = false } = request;
    const order = batchOrder(operations);
    return this.#store.once(options.idempotencyKey, ['batch', request], async () => {
      const goBack = this.#store.remember();
      const results: BatchAnswer['results'] = [];
      for (const index of order) {
        const operation = operations[index] as BatchOperation;
        const base = { index, ...(operation.id === undefined ? {} : { id: operation.id }) };
        const isMissing = dependencies(operations, index).some((other) => results[other]?.ok === false);
        try {
          if (isMissing) throw new Fault('aborted', `Operation ${index} was not tried.`, { operation: index });
          results[index] = { ...base, ok: true, record: await this.#actOf(operation, index, options) };
        } catch (error) {
          if (!Fault.is(error)) throw error;
          if (mode === 'atomic') {
            goBack();
            throw new Fault(error.code, error.message, { ...error.about, operation: index });
          }
          results[index] = { ...base, ok: false, code: error.code, error: error.message, about: { ...error.about } };
        }
      }
      if (dry_run) goBack();
      const done = results.filter(({ ok }) => ok).length;
      return { mode, dry_run, done, failed: results.length - done, results };
    });
  }

  #actOf(operation: BatchOperation, index: number, changing: Changing): Promise<FileRecord | Removed> {
    const { op, path = '', from_path = '', to_path = '', file_id, version = 0, change = {}, content = '' } = operation;
    const { overwrite, parents, recursive, mode, modified } = operation;
    const isLacking =
      (['delete', 'mkdir', 'put'].includes(op) && path === '' && operation.upload_id === undefined) ||
      (['move', 'copy'].includes(op) && (from_path === '' || to_path === ''));
    if (isLacking) throw new Fault('invalid', `Operation ${index} says no path.`, { operation: index });
    const options = {
      ...{ lockToken: changing.lockToken, expectedVersion: operation.expected_version },
      ...{ expectedId: operation.expected_file_id, overwrite, parents, recursive, permissions: mode, modified },
    };
    const target = file_id === undefined ? { path } : { id: file_id };
    switch (op) {
      case 'move':
        return this.move(from_path, to_path, options);
      case 'copy':
        return this.copy(from_path, to_path, options);
      case 'delete':
        return this.remove(path, options);
      case 'mkdir':
        return this.makeFolder(path, options as never);
      case 'update':
        return this.setAttributes(target, change, options);
      case 'restore':
        return this.restore(target, version, options);
      case 'put': {
        if (operation.upload_id !== undefined) return this.#putUpload(operation, operation.upload_id, index, options);
        const bytes = Buffer.from(content, 'base64');
        if (bytes.length > BATCH_CONTENT_BYTES_MAX) throw new Fault('too-large', `${path} is too large.`, { path });
        return this.write(path, [bytes], { ...options, mode: operation.create === true ? 'create' : 'put' });
      }
    }
  }

  async #putUpload(operation: BatchOperation, id: string, index: number, options: Changing): Promise<FileRecord> {
    if (operation.path !== undefined || operation.content !== undefined)
      throw new Fault('invalid', `Operation ${index} says more than its upload.`, { operation: index });
    const { state, path } = await this.uploads.find(id);
    if (state !== 'open') throw new Fault('conflict', `The upload of ${path} is complete.`, { upload_id: id, state });
    return this.uploads.complete(id, options);
  }

  async lock(path: string, options?: LockOptions): Promise<LockRecord> {
    const names = pathOfText(path);
    if (names.length > 0) this.#parent(names, false);
    return this.#store.locks.lock(path, options);
  }

  async changeLock(token: number, change?: LockChange): Promise<LockRecord> {
    return this.#store.locks.change(token, change);
  }

  async unlock(token: number): Promise<LockRecord> {
    return this.#store.locks.unlock(token);
  }

  async locks(options: { readonly path?: string | undefined } = {}): Promise<LockList> {
    return { locks: this.#store.locks.list(options.path) };
  }

  #checkLocks(path: string, options: Changing, isWhole = false): void {
    const own = options.lockToken === undefined ? [] : [options.lockToken];
    this.#store.locks.check(path, [...(this.#caller.lockTokens ?? []), ...own], isWhole);
  }

  async stats(): Promise<StoreStats> {
    const all = [...under(this.#root)];
    const sum = all.reduce((bytes, node) => bytes + (node.versions.at(-1)?.bytes.length ?? 0), 0);
    const count = (kind: string): number => all.filter((node) => node.kind === kind).length;
    const [files, folders, symlinks] = [count('file'), count('folder'), count('symlink')];
    return {
      files,
      folders,
      symlinks,
      specials: all.length - files - folders - symlinks,
      logical_bytes: sum,
      history_bytes: 0,
      unique_bytes: sum,
      stored_bytes: sum,
      pack_bytes: sum,
      metadata_bytes: 0,
      disk_bytes: sum,
      chunks: files,
      packs: 1,
      packs_suspect: 0,
      dedup_ratio: 1,
      compression_ratio: 1,
      total_ratio: 1,
    };
  }

  async usage(query: UsageQuery = {}): Promise<Usage> {
    const { path, at, snapshot = at, exclusive = false } = query;
    if (at !== undefined && (exclusive || query.snapshot !== undefined))
      throw new Fault('invalid', 'What is there at a moment is counted alone.', { at });
    if (exclusive && path !== undefined && snapshot !== undefined)
      throw new Fault('invalid', 'A snapshot is measured as a whole.', { path, snapshot });
    const shown = query.snapshot === undefined ? '/' : (await this.snapshot(query.snapshot)).path;
    const node = (snapshot === undefined ? this : this.#at(snapshot)).#get({ path: path ?? shown });
    const all = [node, ...under(node)];
    const folders = all.filter((one) => one.kind === 'folder').length;
    const bytes = all.reduce((sum, one) => sum + (one.versions.at(-1)?.bytes.length ?? 0), 0);
    return {
      path: textOfPath(pathOf(node)),
      ...(at === undefined ? {} : { at }),
      ...(query.snapshot === undefined ? {} : { snapshot: query.snapshot }),
      files: all.length - folders,
      folders,
      bytes,
      ...(exclusive ? { exclusive_bytes: bytes, exclusive_chunks: 0, next_gc_bytes: bytes } : {}),
    };
  }

  async check(options: CheckOptions = {}): Promise<CheckReport> {
    options.onProgress?.(0, 2);
    checkAborted(options.signal);
    options.onProgress?.(2, 2);
    const { files, logical_bytes } = await this.stats();
    return {
      chunks_verified: files,
      bytes_verified: logical_bytes,
      packs_verified: 1,
      files_verified: files,
      orphan_bytes: 0,
      problems: [],
      problems_more: 0,
      is_clean: true,
      ...(options.rebuildIndex === true ? { rebuilt_chunks: files } : {}),
    };
  }

  async gcStatus(): Promise<GcStatus> {
    const { gcPausedSince: since } = this.#store;
    return {
      is_paused: since !== undefined,
      ...(since === undefined ? {} : { paused_since: since }),
      interval_seconds: 0,
    };
  }

  async pauseGc(isPaused: boolean): Promise<GcStatus> {
    this.#store.gcPausedSince = isPaused ? (this.#store.gcPausedSince ?? nowIso()) : undefined;
    return this.gcStatus();
  }

  async repair({ from, dryRun = false, signal }: RepairOptions): Promise<RepairReport> {
    checkAborted(signal);
    if (this.#caller.door === 'http') throw new Fault('denied', 'Not from elsewhere.', { from });
    return {
      ...{ dry_run: dryRun, source: 'folder', damaged_chunks: 0, repaired_chunks: 0 },
      ...{ repaired_files: [], repaired_files_more: 0, problems: [], problems_more: 0 },
    };
  }

  async gc(options: GcOptions = {}): Promise<GcReport> {
    checkAborted(options.signal);
    options.onProgress?.(2, 2);
    return {
      ...{ dry_run: options.dryRun === true, freed_bytes: 0, packs_rewritten: 0, packs_dropped: 0, packs_joined: 0 },
      ...{
        chunks_discarded: 0,
        objects_removed: 0,
        objects_removed_bytes: 0,
        waiting_bytes: 0,
        waiting_chunks: 0,
        history_bytes: 0,
      },
      ...{ partial_chunks: 0, partial_bytes: 0, partial_used_bytes: 0, recut_chunks: 0, recut_bytes: 0 },
      ...{ kept_bytes: 0, packs: [], packs_more: 0, problems: [] },
    };
  }

  #done(node: FakeNode): FileRecord {
    node.changed = nowIso();
    this.#store.commit++;
    return recordOf(node);
  }

  #addVersion(node: FakeNode, bytes: Uint8Array, modified: string): void {
    const version = node.versions.length === 0 ? 1 : node.version + 1;
    node.version = version;
    node.modified = modified;
    node.versions.push({
      version,
      bytes,
      xxhash3: xxhash3Of(bytes),
      modified,
      commit: this.#store.commit + 1,
      ...this.#caller,
    });
  }

  #find(names: Path): FakeNode | undefined {
    let node: FakeNode | undefined = this.#root;
    for (const [depth, name] of names.entries()) {
      if (node === undefined) return undefined;
      if (node.kind !== 'folder') {
        const path = textOfPath(names.slice(0, depth));
        throw new Fault('not-folder', `${path} is not a folder, so nothing can be in it.`, { path });
      }
      node = node.children.get(hexOf(name));
    }
    return node;
  }

  #deepest(names: Path): FakeNode {
    let node = this.#root;
    for (const name of names) {
      const child = node.children.get(hexOf(name));
      if (child === undefined) return node;
      node = child;
    }
    return node;
  }

  #parent(names: Path, make: boolean): FakeNode {
    let node = this.#root;
    for (const [depth, name] of names.slice(0, -1).entries()) {
      const path = textOfPath(names.slice(0, depth + 1));
      let child = node.children.get(hexOf(name));
      if (child === undefined && !make) throw notFound(path);
      child ??= this.#store.make('folder', name, node, 0o755);
      if (child.kind !== 'folder') throw new Fault('not-folder', `${path} is not a folder.`, { path });
      node = child;
    }
    return node;
  }

  #get(target: Target): FakeNode {
    if ('path' in target) {
      const names = pathOfText(target.path);
      const found = this.#find(names);
      const [text, shown] = [textOfPath(names), this.#shown];
      if (found === undefined) throw notFound(text);
      if (shown !== '/' && text !== shown && !text.startsWith(`${shown}/`)) throw notFound(text);
      return found;
    }
    const found = [this.#root, ...under(this.#root)].find((node) => node.id === target.id);
    if (found === undefined)
      throw new Fault('not-found', `There is no file with the id ${target.id}.`, { file_id: target.id });
    return found;
  }

  #getFolder(target: Target): FakeNode {
    const node = this.#get(target);
    if (node.kind === 'folder') return node;
    const path = textOfPath(pathOf(node));
    throw new Fault('not-folder', `${path} is not a folder.`, { path });
  }
}

/** What is below a node, each as text that says all of it. */
function pictureOf(node: FakeNode): Map<string, string> {
  const picture = new Map<string, string>();
  const base = pathOf(node).length;
  for (const each of [node, ...under(node)]) {
    const { kind, target, mode, uid, gid, attributes } = each;
    const content = each.versions.at(-1)?.xxhash3;
    const text = JSON.stringify([kind, target, mode, uid, gid, content, [...attributes]]);
    picture.set(textOfPath(pathOf(each).slice(base)).replace(/^\/$/, ''), text);
  }
  return picture;
}

function exists(node: FakeNode): Fault {
  const path = textOfPath(pathOf(node));
  return new Fault('exists', `There is a ${node.kind} at ${path} already.`, { path, file_id: node.id });
}

async function collected(source: ByteSource, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) {
    checkAborted(signal);
    pieces.push(piece.slice());
  }
  checkAborted(signal);
  return concatBytes(pieces);
}

function checkAnnounced(bytes: Uint8Array, { size, xxhash3, sha256 }: WriteOptions): void {
  const pairs: [what: string, announced: unknown, actual: unknown][] = [
    ['size', size, bytes.length],
    ['xxhash3', xxhash3, xxhash3 === undefined ? undefined : xxhash3Of(bytes)],
    ['sha256', sha256, sha256 === undefined ? undefined : createHash('sha256').update(bytes).digest('hex')],
  ];
  for (const [what, announced, actual] of pairs) {
    if (announced === actual || announced === undefined) continue;
    throw new Fault('mismatch', `The ${what} is ${actual}, not ${announced}.`, { what, announced, actual });
  }
}

async function* piecesOf(bytes: Uint8Array, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  // One buffer for all pieces, as the contract of ByteSource allows: whoever keeps a piece sees it change.
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, bytes.length));
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    checkAborted(signal);
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
  }
}

function pageOf(
  folder: FakeNode,
  found: readonly FakeNode[],
  options: { readonly cursor?: string | undefined; readonly limit?: number | undefined },
  withAttributes = false,
): ListPage {
  const { part, next } = cut(found, options);
  return { path: textOfPath(pathOf(folder)), entries: part.map((node) => recordOf(node, withAttributes)), ...next };
}

function cut<T>(
  all: readonly T[],
  { cursor, limit = 1_000 }: { readonly cursor?: string | undefined; readonly limit?: number | undefined },
): { part: T[]; next: { next?: string } } {
  if (!Number.isInteger(limit) || limit < 1 || limit > 1_000)
    throw new Fault('invalid', `The limit ${limit} cannot be used.`, {});
  const start = cursor === undefined ? 0 : Number(/^at-(\d+)$/.exec(cursor)?.[1] ?? Number.NaN);
  if (Number.isNaN(start)) throw new Fault('invalid', 'The cursor is not one of this store.', {});
  const end = start + limit;
  return { part: all.slice(start, end), next: end < all.length ? { next: `at-${end}` } : {} };
}

/** Enough of globs for the tests. */
function globOf(glob: string): RegExp {
  let depth = 0;
  const parts = glob.match(/\*\*\/?|[*?{},]|\[[^\]]*\]|[^*?{},[]+|./gs) ?? [];
  const source = parts.map((part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (part === '{') return depth++ >= 0 ? '(?:' : '';
    if (part === '}') return depth-- > 0 ? ')' : '\\}';
    if (part === ',' && depth > 0) return '|';
    if (part.startsWith('[') && part.endsWith(']') && part.length > 2) return part.replace('[!', '[^');
    return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  if (depth > 0) throw new Fault('invalid', 'The pattern has a brace without its end.', { pattern: glob });
  return new RegExp(`^${source.join('')}$`, 's');
}
