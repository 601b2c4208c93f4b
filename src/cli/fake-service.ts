/**
 * A store in memory for the tests of the verbs: paths, records, versions, and nothing behind them. It keeps the
 * promises of FileService that the verbs build on (order of the manifest, order of results, faults), and remembers what
 * was asked of it. Not for anything else.
 */
import type {
  AtOptions,
  AttributeChange,
  BatchAnswer,
  BatchOperation,
  BatchRequest,
  BatchResult,
  BulkItem,
  BulkResult,
  ByteSource,
  ChangePage,
  CheckOptions,
  CheckReport,
  CommitRecord,
  DeletedOptions,
  DeletedPage,
  DeletedRecord,
  FileRead,
  FileRecord,
  FileService,
  GcOptions,
  GcReport,
  GcStatus,
  ListOptions,
  ListPage,
  LockChange,
  LockList,
  LockOptions,
  LockRecord,
  LogPage,
  LogQuery,
  MoveOptions,
  PruneOptions,
  PrunePlan,
  ReadOptions,
  Removed,
  RemoveOptions,
  RepairOptions,
  RepairReport,
  RestorePlan,
  RestoreTreeOptions,
  SearchQuery,
  ServerInfo,
  SnapshotOptions,
  SnapshotPage,
  SnapshotRecord,
  StoreStats,
  Target,
  Usage,
  UsageQuery,
  VersionPage,
  VersionsOptions,
  WriteOptions,
} from '../api/index.ts';
import { batchOrder, FakeLocks, FakeUploads } from '../api/index.ts';
import { concatBytes, Fault, hexOf } from '../base/index.ts';
import { newContentHash } from '../chunks/index.ts';
import { comparePaths, liesUnder, rawOfText } from './local/raw.ts';
import { lastStoredName, storedFolderOf } from './transfer/stored.ts';

interface Node {
  readonly id: number;
  readonly kind: FileRecord['kind'];
  bytes: Uint8Array;
  mode: number;
  modified: string;
  version: number;
  readonly target: string | undefined;
  readonly older: { readonly version: number; readonly bytes: Uint8Array; readonly modified: string }[];
}

const NOW = '2026-01-01T00:00:00.000Z';

const PLAN: RestorePlan = {
  ...{ path: '', commit: 7, added: 1, removed: 0, changed: 1, moved: 1, changes_more: 0, dry_run: false },
  losses: [{ path: '/d/link', what: 'symlink' }],
  losses_more: 0,
  changes: [
    { change: 'added', path: '/d/gone', kind: 'file' },
    { change: 'changed', path: '/d/f', kind: 'file' },
    { change: 'moved', path: '/d/a', from: '/d/b', kind: 'folder' },
  ],
};
const COMMIT: CommitRecord = {
  ...{ commit: 7, committed: NOW, actor: 'owner', door: 'fuse', request: '', kind: 'mount', changes_more: 2 },
  changes: [
    { change: 'move', file_id: 5, path: '/b', from: '/a' },
    { change: 'write', file_id: 6, path: '/f', version: 3 },
  ],
};

export class FakeService implements FileService {
  /** By canonical path; the root is `/`. */
  readonly nodes = new Map<string, Node>();
  /** Names of the calls that change or read content, with their path. */
  readonly calls: string[] = [];
  /** Thrown by the next call on this path. */
  readonly faults = new Map<string, Fault>();
  report: CheckReport = {
    chunks_verified: 1,
    bytes_verified: 10,
    packs_verified: 1,
    files_verified: 1,
    orphan_bytes: 0,
    problems: [],
    problems_more: 0,
    is_clean: true,
  };
  readonly #locks = new FakeLocks();
  readonly uploads = new FakeUploads().for({
    check: () => {},
    write: (path, source, options) => this.write(path, source, options),
    xxhash3: (bytes) => {
      const hash = newContentHash();
      hash.update(bytes);
      return hexOf(hash.digest());
    },
    sha256: () => '',
  });
  #ids = 1;

  /** What `deleted` answers. */
  readonly gone: DeletedRecord[] = [];
  readonly #snapshots = new Map<string, { readonly record: SnapshotRecord; readonly past: FakeService }>();

  constructor() {
    this.#add('/', 'folder', { mode: 0o755 });
  }

  /** Itself, or what it was at a snapshot. */
  #at({ at }: AtOptions): FakeService {
    if (at === undefined) return this;
    const found = this.#snapshots.get(at);
    if (found === undefined) throw new Fault('not-found', `There is no snapshot ${at}.`, { snapshot: at });
    return found.past;
  }

  /** A file that is there from the start. */
  /** What a collection gives back. */
  freedBytes = 4_096;

  seed(path: string, text: string, more: { readonly mode?: number; readonly modified?: string } = {}): void {
    for (let folder = storedFolderOf(path); !this.nodes.has(folder); folder = storedFolderOf(folder)) {
      this.#add(folder, 'folder', { mode: 0o755 });
    }
    this.#add(path, 'file', { bytes: new TextEncoder().encode(text), ...more });
  }

  seedLink(path: string, target: string): void {
    this.#add(path, 'symlink', { target });
  }

  seedSpecial(path: string): void {
    this.#add(path, 'fifo', {});
  }

  text(path: string): string {
    return new TextDecoder().decode(this.#node(path).bytes);
  }

  paths(): string[] {
    return [...this.nodes.keys()].sort((a, b) => comparePaths(rawOfText(a), rawOfText(b)));
  }

  #add(
    path: string,
    kind: Node['kind'],
    more: {
      readonly bytes?: Uint8Array;
      readonly mode?: number | undefined;
      readonly modified?: string | undefined;
      readonly target?: string | undefined;
    },
  ): Node {
    const node: Node = {
      id: this.#ids++,
      kind,
      bytes: more.bytes ?? new Uint8Array(),
      mode: more.mode ?? (kind === 'folder' ? 0o755 : 0o644),
      modified: more.modified ?? NOW,
      version: 1,
      target: more.target,
      older: [],
    };
    this.nodes.set(path, node);
    return node;
  }

  #path(target: Target): string {
    if ('path' in target) return target.path;
    for (const [path, node] of this.nodes) if (node.id === target.id) return path;
    throw new Fault('not-found', `There is no file ${target.id}.`);
  }

  #node(path: string): Node {
    const fault = this.faults.get(path);
    if (fault !== undefined) throw fault;
    const node = this.nodes.get(path);
    if (node === undefined) throw new Fault('not-found', `There is nothing at ${path}.`, { path });
    return node;
  }

  #record(path: string): FileRecord {
    const node = this.#node(path);
    const hash = newContentHash();
    hash.update(node.bytes);
    return {
      file_id: node.id,
      path,
      name: lastStoredName(path),
      kind: node.kind,
      is_directory: node.kind === 'folder',
      size: node.bytes.length,
      modified: node.modified,
      changed: NOW,
      created: NOW,
      mode: node.mode,
      uid: 0,
      gid: 0,
      links: 1,
      version: node.version,
      xxhash3: node.kind === 'file' ? hexOf(hash.digest()) : null,
      ...(node.target === undefined ? {} : { target: node.target }),
    };
  }

  #below(folder: string): string[] {
    return this.paths().filter((path) => path !== '/' && liesUnder(path, folder === '/' ? '' : folder));
  }

  async info(): Promise<ServerInfo> {
    return { name: 'holdfast', version: '0', status: 'ok', store_id: 'fake', uptime_seconds: 0 };
  }

  async stat(target: Target, options: AtOptions = {}): Promise<FileRecord> {
    const from = this.#at(options);
    return from.#record(from.#path(target));
  }

  async list(target: Target, options: ListOptions = {}): Promise<ListPage> {
    if (options.at !== undefined) return this.#at(options).list(target, { ...options, at: undefined });
    const folder = this.#path(target);
    if (this.#node(folder).kind !== 'folder')
      throw new Fault('not-folder', `${folder} is not a folder.`, { path: folder });
    const all = this.#below(folder).filter((path) => storedFolderOf(path) === folder);
    const start = Number(options.cursor ?? 0);
    // Two a page, so that every test turns pages.
    const entries = all.slice(start, start + 2).map((path) => this.#record(path));
    return { path: folder, entries, ...(start + 2 < all.length ? { next: String(start + 2) } : {}) };
  }

  async *manifest(target: Target, options: AtOptions = {}): AsyncGenerator<FileRecord, void> {
    if (options.at !== undefined) return yield* this.#at(options).manifest(target);
    const folder = this.#path(target);
    if (this.#node(folder).kind !== 'folder')
      throw new Fault('not-folder', `${folder} is not a folder.`, { path: folder });
    for (const path of this.#below(folder)) yield this.#record(path);
  }

  async makeFolder(
    path: string,
    options: { readonly parents?: boolean; readonly permissions?: number } = {},
  ): Promise<FileRecord> {
    const standing = this.nodes.get(path);
    if (standing !== undefined && (options.parents !== true || standing.kind !== 'folder')) {
      throw new Fault('exists', `${path} is there already.`, { path });
    }
    if (options.parents === true && path !== '/') await this.makeFolder(storedFolderOf(path), { parents: true });
    else if (path !== '/') this.#requireFolder(path);
    if (standing === undefined) this.#add(path, 'folder', { mode: options.permissions });
    return this.#record(path);
  }

  #requireFolder(path: string): void {
    if (this.#node(storedFolderOf(path)).kind !== 'folder') {
      throw new Fault('not-folder', `${storedFolderOf(path)} is not a folder.`, { path });
    }
  }

  async write(path: string, source: ByteSource, options: WriteOptions): Promise<FileRecord> {
    this.calls.push(`write ${path}`);
    const parts: Uint8Array[] = [];
    for await (const part of source) parts.push(Uint8Array.from(part));
    const bytes = concatBytes(parts);
    if (options.size !== undefined && options.size !== bytes.length) {
      throw new Fault('mismatch', `${path} came with ${bytes.length} bytes instead of ${options.size}.`, { path });
    }
    if (options.parents === true) await this.makeFolder(storedFolderOf(path), { parents: true });
    return this.#put(path, bytes, { modified: options.modified, mode: options.permissions });
  }

  #put(
    path: string,
    bytes: Uint8Array,
    more: { readonly modified?: string | undefined; readonly mode?: number | undefined },
  ): FileRecord {
    this.#requireFolder(path);
    const standing = this.nodes.get(path);
    if (standing === undefined) this.#add(path, 'file', { bytes, ...more });
    else if (standing.kind !== 'file') throw new Fault('exists', `${path} is there already.`, { path });
    else {
      standing.older.push({ version: standing.version, bytes: standing.bytes, modified: standing.modified });
      standing.version++;
      standing.bytes = bytes;
      standing.modified = more.modified ?? NOW;
      standing.mode = more.mode ?? standing.mode;
    }
    this.#touch(path);
    return this.#record(path);
  }

  /** As a file system does: making something in a folder changes its time. */
  #touch(path: string): void {
    const folder = this.nodes.get(storedFolderOf(path));
    if (folder !== undefined) folder.modified = NOW;
  }

  async *writeMany(items: AsyncIterable<BulkItem> | Iterable<BulkItem>): AsyncGenerator<BulkResult, void> {
    const batch: BulkItem[] = [];
    /** Folders that came with a time, which they keep. */
    const timed = new Map<string, string>();
    for await (const item of items) {
      batch.push(item);
      // Results lag behind, as they do where commits are shared.
      if (batch.length > 3) yield await this.#bulkTimed(batch.shift() as BulkItem, timed);
    }
    for (const item of batch) yield await this.#bulkTimed(item, timed);
  }

  async #bulkTimed(item: BulkItem, timed: Map<string, string>): Promise<BulkResult> {
    const isNew = !this.nodes.has(item.path);
    const result = await this.#bulk(item);
    const folder = this.nodes.get(storedFolderOf(item.path));
    if (result.ok && folder !== undefined) folder.modified = timed.get(storedFolderOf(item.path)) ?? folder.modified;
    if (isNew && item.kind === 'folder' && item.modified !== undefined) timed.set(item.path, item.modified);
    return result;
  }

  async #bulk(item: BulkItem): Promise<BulkResult> {
    const { path } = item;
    this.calls.push(`bulk ${item.kind} ${path}`);
    try {
      const fault = this.faults.get(path);
      if (fault !== undefined) throw fault;
      if (item.kind === 'file') {
        const parts: Uint8Array[] = [];
        for await (const part of (await item.source?.()) ?? []) parts.push(Uint8Array.from(part));
        const record = this.#put(path, concatBytes(parts), { modified: item.modified, mode: item.permissions });
        return { path, ok: true, record };
      }
      this.#requireFolder(path);
      const standing = this.nodes.get(path);
      if (standing !== undefined && (item.kind !== 'folder' || standing.kind !== 'folder')) {
        throw new Fault('exists', `${path} is there already.`, { path });
      }
      if (standing === undefined) {
        this.#add(path, item.kind, { mode: item.permissions, modified: item.modified, target: item.target });
        this.#touch(path);
      }
      return { path, ok: true, record: this.#record(path) };
    } catch (error) {
      return { path, ok: false, fault: error as Error };
    }
  }

  async read(target: Target, options: ReadOptions = {}): Promise<FileRead> {
    if (options.at !== undefined) return this.#at(options).read(target, { ...options, at: undefined });
    const path = this.#path(target);
    this.calls.push(`read ${path}`);
    const node = this.#node(path);
    if (node.kind !== 'file') throw new Fault('is-folder', `${path} is not a file.`, { path });
    const older = node.older.find((one) => one.version === options.version);
    if (options.version !== undefined && options.version !== node.version && older === undefined) {
      throw new Fault('not-found', `${path} has no version ${options.version}.`, { path });
    }
    const whole = older?.bytes ?? node.bytes;
    const start = options.offset ?? 0;
    const bytes = whole.subarray(start, options.length === undefined ? undefined : start + options.length);
    const record = { ...this.#record(path), size: whole.length, modified: older?.modified ?? node.modified };
    return { record, bytes: piecesOf(bytes) };
  }

  async setAttributes(target: Target, change: AttributeChange): Promise<FileRecord> {
    const path = this.#path(target);
    this.calls.push(`attributes ${path}`);
    const node = this.#node(path);
    node.mode = change.mode ?? node.mode;
    node.modified = change.modified ?? node.modified;
    return this.#record(path);
  }

  async move(from: string, to: string, options: MoveOptions = {}): Promise<FileRecord> {
    await this.copy(from, to, options);
    for (const path of [from, ...this.#below(from)]) this.nodes.delete(path);
    return this.#record(to);
  }

  async copy(from: string, to: string, options: MoveOptions = {}): Promise<FileRecord> {
    this.#node(from);
    if (this.nodes.has(to) && options.overwrite !== true)
      throw new Fault('exists', `${to} is there already.`, { path: to });
    if (options.parents === true) await this.makeFolder(storedFolderOf(to), { parents: true });
    this.#requireFolder(to);
    for (const path of [from, ...this.#below(from)]) {
      this.nodes.set(to + path.slice(from.length), { ...this.#node(path), id: this.#ids++ });
    }
    return this.#record(to);
  }

  async remove(path: string, options: RemoveOptions = {}): Promise<Removed> {
    this.#locks.check(path, options.lockToken === undefined ? [] : [options.lockToken], true);
    this.calls.push(`remove ${path}`);
    const node = this.#node(path);
    const below = this.#below(path);
    if (below.length > 0 && options.recursive !== true) throw new Fault('not-empty', `${path} is not empty.`, { path });
    const all = [path, ...below].map((one) => this.#node(one));
    if (options.dryRun !== true) for (const one of [path, ...below]) this.nodes.delete(one);
    const folders = all.filter(({ kind }) => kind === 'folder').length;
    const bytes = all.reduce((sum, one) => sum + one.bytes.length, 0);
    void node;
    const links = all.filter(({ kind }) => kind === 'symlink').length;
    const linked = links > 0 ? { links } : {};
    return { path, files: all.length - folders, ...linked, folders, bytes, dry_run: options.dryRun === true };
  }

  async search(query: SearchQuery): Promise<ListPage> {
    if (query.at !== undefined) return this.#at(query).search({ ...query, at: undefined });
    const { path = '/', name, kind, sizeMin, modifiedAfter, limit = 1_000 } = query;
    this.#node(path);
    const found = this.#below(path)
      .map((one) => this.#record(one))
      .filter((record) => name === undefined || record.name.includes(name))
      .filter((record) => kind === undefined || record.kind === kind)
      .filter((record) => sizeMin === undefined || record.size >= sizeMin)
      .filter((record) => modifiedAfter === undefined || record.modified > modifiedAfter);
    const start = Number(query.cursor ?? 0);
    const end = Math.min(start + 2, start + limit);
    return { path, entries: found.slice(start, end), ...(end < found.length ? { next: String(end) } : {}) };
  }

  async versions(target: Target, options: VersionsOptions = {}): Promise<VersionPage> {
    if (options.at !== undefined) return this.#at(options).versions(target);
    const path = this.#path(target);
    const node = this.#node(path);
    const all = [...node.older, { version: node.version, bytes: node.bytes, modified: node.modified }];
    return {
      path,
      versions: all.toReversed().map(({ version, bytes, modified }) => ({
        file_id: node.id,
        version,
        size: bytes.length,
        modified,
        xxhash3: null,
        commit: version,
        committed: NOW,
        actor: 'owner',
        door: 'cli',
        is_current: version === node.version,
        ...(options.why === true ? { reasons: version === 1 ? [] : ['last 1 of 1'] } : {}),
      })),
    };
  }

  async deleted(path: string, { recursive = false }: DeletedOptions = {}): Promise<DeletedPage> {
    this.calls.push(`deleted ${path} ${recursive}`);
    const entries = this.gone.filter(
      (each) => each.path === path || each.path.startsWith(`${path.replace(/\/$/, '')}/`),
    );
    return { path, entries: [...entries] };
  }

  async restore(target: Target, version: number, options: { readonly dryRun?: boolean } = {}): Promise<FileRecord> {
    const path = this.#path(target);
    const older = this.#node(path).older.find((one) => one.version === version);
    if (older === undefined) throw new Fault('not-found', `${path} has no version ${version}.`, { path });
    return options.dryRun === true ? this.#record(path) : this.#put(path, older.bytes, { modified: older.modified });
  }

  async restoreTree(path: string | undefined, at: string, options: RestoreTreeOptions = {}): Promise<RestorePlan> {
    this.calls.push(`restoreTree ${path ?? ''} ${at}`);
    return { ...PLAN, path: path ?? '/', dry_run: options.dryRun === true };
  }

  async undo(commit: number, options: RestoreTreeOptions = {}): Promise<RestorePlan> {
    this.calls.push(`undo ${commit}`);
    return { ...PLAN, commit, dry_run: options.dryRun === true };
  }

  async changes(): Promise<ChangePage> {
    return { commits: [COMMIT], next: 'end' };
  }

  async log(query: LogQuery = {}): Promise<LogPage> {
    this.calls.push(`log ${query.path ?? ''}`);
    return { commits: [COMMIT] };
  }

  async createSnapshot(name: string, options: SnapshotOptions = {}): Promise<SnapshotRecord> {
    this.calls.push(`createSnapshot ${name} ${options.path ?? '/'}`);
    if (this.#snapshots.has(name)) throw new Fault('exists', `There is a snapshot ${name}.`, { snapshot: name });
    const past = new FakeService();
    for (const [path, node] of this.nodes) past.nodes.set(path, { ...node, older: [...node.older] });
    const which = { path: options.path ?? '/', file_id: 1, commit: this.#snapshots.size + 1 };
    const record = { name, ...which, created: NOW, actor: 'owner', door: 'test' };
    this.#snapshots.set(name, { record, past });
    return record;
  }

  async snapshots(): Promise<SnapshotPage> {
    return { snapshots: [...this.#snapshots.values()].map(({ record }) => record) };
  }

  async snapshot(name: string): Promise<SnapshotRecord> {
    const found = this.#snapshots.get(name);
    if (found === undefined) throw new Fault('not-found', `There is no snapshot ${name}.`, { snapshot: name });
    return found.record;
  }

  async removeSnapshot(name: string, options: { readonly dryRun?: boolean } = {}): Promise<SnapshotRecord> {
    const record = await this.snapshot(name);
    if (options.dryRun !== true) this.#snapshots.delete(name);
    return record;
  }

  async pruneSnapshots({ keep = '', schedule = '', dryRun = false }: PruneOptions = {}): Promise<PrunePlan> {
    this.calls.push(`pruneSnapshots ${keep} ${schedule} ${dryRun}`);
    const line = { path: '/', created: NOW, schedule: 'daily' };
    return {
      ...{ kept: 1, deleted: 1, snapshots_more: 0, dry_run: dryRun },
      snapshots: [
        { ...line, name: 'auto-daily-2026-11-20', action: 'keep', reasons: ['daily 1 of 1'] },
        { ...line, name: 'auto-daily-2026-11-19', action: 'delete', reasons: [] },
      ],
    };
  }

  async batch(request: BatchRequest): Promise<BatchAnswer> {
    const { operations, mode = 'atomic', dry_run = false } = request;
    batchOrder(operations);
    const results: BatchResult[] = [];
    for (const [index, operation] of operations.entries()) {
      const { op, path = '/', id } = operation;
      this.calls.push(`batch ${op} ${path}`);
      const named = { index, ...(id === undefined ? {} : { id }) };
      try {
        results.push({ ...named, ok: true, record: await this.#one(operation, dry_run) });
      } catch (error) {
        if (!Fault.is(error)) throw error;
        if (mode === 'atomic') throw new Fault(error.code, error.message, { ...error.about, operation: index });
        results.push({ ...named, ok: false, code: error.code, error: error.message });
      }
    }
    const done = results.filter(({ ok }) => ok).length;
    return { mode, dry_run, done, failed: results.length - done, results };
  }

  async #one(operation: BatchOperation, dryRun: boolean): Promise<unknown> {
    const { op, path = '/', from_path = '', to_path = '', overwrite, recursive } = operation;
    if (op === 'move') return this.move(from_path, to_path, { overwrite });
    if (op === 'copy') return this.copy(from_path, to_path, { overwrite });
    if (op !== 'delete') return {};
    if (!this.nodes.has(path)) throw new Fault('not-found', `There is nothing at ${path}.`, { path });
    return this.remove(path, { recursive, dryRun });
  }

  async lock(path: string, options?: LockOptions): Promise<LockRecord> {
    this.calls.push(`lock ${path}`);
    return this.#locks.lock(path, options);
  }

  async changeLock(token: number, change?: LockChange): Promise<LockRecord> {
    return this.#locks.change(token, change);
  }

  async unlock(token: number): Promise<LockRecord> {
    return this.#locks.unlock(token);
  }

  async locks(options: { readonly path?: string | undefined } = {}): Promise<LockList> {
    return { locks: this.#locks.list(options.path) };
  }

  async stats(): Promise<StoreStats> {
    return {
      files: 3,
      folders: 2,
      symlinks: 1,
      specials: 0,
      logical_bytes: 3_000_000,
      history_bytes: 1_000_000,
      unique_bytes: 2_000_000,
      stored_bytes: 1_000_000,
      pack_bytes: 1_100_000,
      metadata_bytes: 100_000,
      disk_bytes: 1_200_000,
      chunks: 40,
      packs: 1,
      packs_suspect: 0,
      dedup_ratio: 2,
      compression_ratio: 2,
      total_ratio: 3.33,
    };
  }

  async usage(query: UsageQuery = {}): Promise<Usage> {
    const { path = '/', at, snapshot, exclusive = false } = query;
    this.calls.push(`usage ${path} ${at ?? snapshot ?? '-'} ${exclusive}`);
    return {
      path,
      ...(snapshot === undefined ? {} : { snapshot }),
      ...{ files: 3, folders: 2, bytes: 3_000_000 },
      ...(exclusive ? { exclusive_bytes: 2_000_000, exclusive_chunks: 40, next_gc_bytes: 1_500_000 } : {}),
    };
  }

  async check(options: CheckOptions = {}): Promise<CheckReport> {
    this.calls.push(`check ${options.sample ?? 1} ${options.rebuildIndex === true}`);
    options.onProgress?.(5, 10);
    return this.report;
  }

  #isGcPaused = false;

  async gcStatus(): Promise<GcStatus> {
    return {
      is_paused: this.#isGcPaused,
      ...(this.#isGcPaused ? { paused_since: '2026-01-01T00:00:00Z' } : {}),
      interval_seconds: 3_600,
      running: { started: '2026-01-01T00:00:00Z', done_bytes: 250_000, total_bytes: 1_000_000 },
      last: {
        started: '2026-01-01T00:00:00Z',
        ended: '2026-01-01T00:01:00Z',
        freed_bytes: 4_096,
        packs: 1,
        problems: 0,
      },
    };
  }

  async pauseGc(isPaused: boolean): Promise<GcStatus> {
    this.calls.push(`pauseGc ${isPaused}`);
    this.#isGcPaused = isPaused;
    return this.gcStatus();
  }

  async repair({ from, dryRun, onProgress }: RepairOptions): Promise<RepairReport> {
    this.calls.push(`repair ${from} ${dryRun === true}`);
    onProgress?.(5, 10, 'search');
    return {
      ...{ dry_run: dryRun === true, source: 'folder', damaged_chunks: 2, repaired_chunks: dryRun === true ? 1 : 2 },
      ...{ repaired_files: ['/a'], repaired_files_more: 0, problems: [], problems_more: 0 },
    };
  }

  async gc(options: GcOptions = {}): Promise<GcReport> {
    this.calls.push(`gc ${options.dryRun === true} ${options.graceSeconds ?? '-'}`);
    options.onProgress?.(5, 10);
    return {
      ...{
        dry_run: options.dryRun === true,
        freed_bytes: this.freedBytes,
        packs_rewritten: 1,
        packs_dropped: 0,
        packs_joined: 0,
      },
      ...{
        chunks_discarded: 3,
        objects_removed: 0,
        objects_removed_bytes: 0,
        waiting_bytes: 1_000,
        waiting_chunks: 2,
        history_bytes: 5_000_000,
      },
      ...{ partial_chunks: 2, partial_bytes: 90_000, partial_used_bytes: 9_000 },
      ...(options.dryRun === true ? { recut_chunks: 0, recut_bytes: 0 } : { recut_chunks: 2, recut_bytes: 90_000 }),
      ...{
        kept_bytes: 0,
        packs: [{ pack: 7, object: 'packs/aa', action: 'rewrite', bytes_before: 5_000, bytes_after: 904, chunks: 3 }],
        packs_more: 0,
        problems: [],
      },
    };
  }
}

/** In pieces of odd sizes, each in the same buffer: a consumer that keeps one longer than it may is found out. */
async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  const buffer = new Uint8Array(70_001);
  for (let at = 0; at < bytes.length; at += buffer.length) {
    const part = bytes.subarray(at, at + buffer.length);
    buffer.set(part);
    yield buffer.subarray(0, part.length);
    buffer.fill(0xee);
  }
}
