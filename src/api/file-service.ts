/**
 * What Holdfast does with files, as every way of reaching a store answers it: in this process, over the control socket,
 * over HTTP. One contract suite runs over all of them. Paths are in text form; faults are Faults, also over the wire.
 */
import type { ByteSource, CallOptions, Changing, Expecting } from './call-options.ts';
import type {
  AttributeChange,
  BatchAnswer,
  BatchRequest,
  ChangePage,
  CheckReport,
  DeletedPage,
  FileKind,
  FileRecord,
  GcReport,
  GcStatus,
  ListPage,
  LockList,
  LockMode,
  LockRecord,
  LogPage,
  PrunePlan,
  Removed,
  RepairReport,
  RestorePlan,
  ServerInfo,
  SnapshotPage,
  SnapshotRecord,
  StoreStats,
  Usage,
  VersionPage,
} from './records.ts';
import type { UploadService } from './upload-service.ts';

export type { ByteSource, CallOptions, Changing, Expecting } from './call-options.ts';

/**
 * A file by where it stands, or by its node. A record that a manifest has answered serves too, and may be found faster:
 * it stands for its path as it was listed.
 */
export type Target = { readonly path: string } | { readonly id: number };

/** Reading the past: absent for now. */
export interface AtOptions extends CallOptions {
  /**
   * The name of a snapshot, a time (ISO 8601; `@` may stand before it) or the number of a commit. What nothing keeps is
   * refused with `not-kept`, which says what is.
   */
  readonly at?: string | undefined;
}

export interface ListOptions extends AtOptions {
  readonly cursor?: string | undefined;
  /** 1–1,000; 1,000 when absent. */
  readonly limit?: number | undefined;
  readonly kind?: FileKind | undefined;
  /** Only names that match this glob (`*`, `?`, `[…]`, `{a,b}`). */
  readonly glob?: string | undefined;
  readonly withAttributes?: boolean | undefined;
}

export interface WriteOptions extends Expecting {
  /** `create`: `exists` when there is something. `replace`: `not-found` when there is nothing. `put`: either. */
  readonly mode: 'create' | 'replace' | 'put';
  /** Bytes announced; `mismatch` when more or fewer come. */
  readonly size?: number | undefined;
  /** XXH3-64 announced, 16 hex digits; `mismatch` when the bytes have another. */
  readonly xxhash3?: string | undefined;
  /** SHA-256 announced, hex; computed only when given. */
  readonly sha256?: string | undefined;
  readonly modified?: string | undefined;
  /** Permission bits; 0o644 for a new file and unchanged for an old one when absent. */
  readonly permissions?: number | undefined;
  /** Make the folders above when they are missing. */
  readonly parents?: boolean | undefined;
  /** The same key again answers what the first call answered, and does nothing. */
  readonly idempotencyKey?: string | undefined;
}

/** A file as it was when it was looked at. */
export interface LocalSource {
  /** One character (U+0000 to U+00FF) for each byte. */
  readonly path: string;
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint;
  /** `device:inode`. */
  readonly identity: string;
}

/** One small thing of many: a folder, a file, a symlink. */
export interface BulkItem {
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'symlink';
  /** Content of a file. What it answers is read, or its iteration is ended. */
  readonly source?: () => ByteSource | Promise<ByteSource>;
  /**
   * Where the same bytes stand on the disk of this machine, for a service in this very process: it may read them there
   * itself, faster than `source` hands them out, if the file still is as it was looked at.
   */
  readonly local?: LocalSource;
  /** All the content, where it is in memory already and stays as it is; `source` says the same. */
  readonly bytes?: Uint8Array;
  /** Where a symlink points, text form. */
  readonly target?: string;
  readonly size?: number | undefined;
  /** XXH3-64 announced, 16 hex digits; `mismatch` when the bytes of `source` have another. */
  readonly xxhash3?: string | undefined;
  /** SHA-256 announced, hex. */
  readonly sha256?: string | undefined;
  readonly modified?: string | undefined;
  readonly permissions?: number | undefined;
}

export type BulkResult =
  | { readonly path: string; readonly ok: true; readonly record: FileRecord }
  | { readonly path: string; readonly ok: false; readonly fault: Error };

export interface ManifestOptions extends AtOptions {
  /** False: `xxhash3` is not looked at, so it may be null in every record; a service in this process is faster then. */
  readonly withHashes?: boolean | undefined;
}

export interface ReadOptions extends AtOptions {
  readonly offset?: number | undefined;
  /** To the end when absent. */
  readonly length?: number | undefined;
  readonly version?: number | undefined;
}

export interface FileRead {
  readonly record: FileRecord;
  /**
   * Exactly the asked bytes, each verified before it is handed out; throws Fault `corrupt` instead of a wrong byte.
   * A piece stays unchanged until the next one is asked for. Read it or end the iteration: a connection may hang on it.
   */
  readonly bytes: AsyncIterable<Uint8Array>;
}

export interface MoveOptions extends Expecting {
  /** Replace a file that stands at the goal; it becomes an older version. `exists` otherwise. */
  readonly overwrite?: boolean | undefined;
  readonly parents?: boolean | undefined;
  readonly idempotencyKey?: string | undefined;
}

export interface RestoreOptions extends Expecting {
  /** Path to which the version goes instead. */
  readonly to?: string | undefined;
  readonly dryRun?: boolean;
  readonly idempotencyKey?: string;
}

export interface VersionsOptions extends AtOptions {
  readonly cursor?: string | undefined;
  /** 1–1,000; 1,000 when absent. */
  readonly limit?: number | undefined;
  /** With the reasons for which the rules keep each. */
  readonly why?: boolean | undefined;
  /** With the reasons for which these rules would, such as `daily 30, last 5`. */
  readonly keep?: string | undefined;
}

export interface DeletedOptions extends CallOptions {
  readonly cursor?: string | undefined;
  /** 1–1,000; 1,000 when absent. */
  readonly limit?: number | undefined;
  readonly recursive?: boolean | undefined;
}

export interface SnapshotOptions extends CallOptions {
  /** The folder that it shows; everything when absent. */
  readonly path?: string | undefined;
  readonly idempotencyKey?: string | undefined;
}

export interface PruneOptions extends CallOptions {
  /** What is kept, such as `daily 30, monthly 12`; each schedule's own rules when absent. */
  readonly keep?: string | undefined;
  /** Only what this schedule made. */
  readonly schedule?: string | undefined;
  /** Plan, and delete nothing. */
  readonly dryRun?: boolean | undefined;
}

export interface RestoreTreeOptions extends CallOptions {
  /** Plan, and change nothing. */
  readonly dryRun?: boolean | undefined;
  /** Also when something would be lost that nothing else keeps; `conflict` names it otherwise. */
  readonly force?: boolean | undefined;
}

export interface ChangesQuery extends CallOptions {
  /** `next` of the page before; `now` for only what comes; from the beginning when absent. */
  readonly after?: string | undefined;
  /** 1–1,000; 1,000 when absent. */
  readonly limit?: number | undefined;
  /** Where there is nothing yet, wait so long for something (at most a minute). */
  readonly waitMs?: number | undefined;
}

export interface LogQuery extends CallOptions {
  /** Only commits that changed this, or something that is below it now. */
  readonly path?: string | undefined;
  readonly cursor?: string | undefined;
  /** 1–1,000; 1,000 when absent. */
  readonly limit?: number | undefined;
}

export interface RemoveOptions extends Expecting {
  /** Folders with what is in them; `not-empty` otherwise. */
  readonly recursive?: boolean | undefined;
  /** Count, and remove nothing. */
  readonly dryRun?: boolean | undefined;
  readonly idempotencyKey?: string | undefined;
}

export interface SearchQuery extends AtOptions {
  /** Where to start; the root when absent. */
  readonly path?: string | undefined;
  /** True when absent. */
  readonly recursive?: boolean | undefined;
  /** Glob over the name, or over the path below `path` when it has a slash (`**` crosses folders). */
  readonly pattern?: string | undefined;
  /** Part of the name, or with * ? or [ also a glob over all of it; upper and lower case alike. */
  readonly name?: string | undefined;
  readonly kind?: FileKind | undefined;
  readonly sizeMin?: number | undefined;
  readonly sizeMax?: number | undefined;
  readonly modifiedAfter?: string | undefined;
  readonly modifiedBefore?: string | undefined;
  /** Has this named attribute, with this value when one is given (`user.tag` or `user.tag=red`). */
  readonly attribute?: string | undefined;
  readonly cursor?: string | undefined;
  /** 1–1,000; 1,000 when absent. */
  readonly limit?: number | undefined;
}

export interface LockOptions extends CallOptions {
  /** X when absent: for one holder alone. S: many may hold it, and nobody writes. */
  readonly mode?: LockMode | undefined;
  /** How long it lasts unless it is renewed: 1 s to 24 h; 60 s when absent. */
  readonly leaseMs?: number | undefined;
  /** How long to wait for others, up to 10 minutes; not at all when absent. */
  readonly waitMs?: number | undefined;
  /** Who holds it, for those who find it locked. */
  readonly holder?: string | undefined;
  /** Locks of one session never conflict with each other; every lock has its own when absent. */
  readonly session?: string | undefined;
}

/** What is absent stays as it is, but the lease begins anew. */
export interface LockChange extends CallOptions {
  readonly mode?: LockMode | undefined;
  readonly leaseMs?: number | undefined;
  /** For a mode that gives more. */
  readonly waitMs?: number | undefined;
}

export interface UsageQuery extends AtOptions {
  /** Everything, or all that the snapshot shows, when absent. */
  readonly path?: string | undefined;
  /** As this snapshot shows it; not together with `at`. */
  readonly snapshot?: string | undefined;
  /** Also the bytes that only the path holds, or (without a path) only the snapshot. */
  readonly exclusive?: boolean | undefined;
}

export interface CheckOptions extends CallOptions {
  /** Share of the chunks to read, 0–1; 1 when absent. */
  readonly sample?: number | undefined;
  /** First write the chunk index anew from the packs. */
  readonly rebuildIndex?: boolean | undefined;
  /** Called now and then with what is done and what there is, in bytes. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface RepairOptions extends CallOptions {
  /** Folder of another store, or any folder with copies of the files: an absolute path on the machine of the store. */
  readonly from: string;
  /** Only say what could be repaired. */
  readonly dryRun?: boolean | undefined;
  /** Called now and then with what is done and what there is, in bytes: first of the store, then of the second copy. */
  readonly onProgress?: ((done: number, total: number, what: RepairPhase) => void) | undefined;
}

/** The store is read to find what is damaged; then the copy is searched for it. */
export type RepairPhase = 'check' | 'search';

export interface GcOptions extends CallOptions {
  /** Only say what would come back. */
  readonly dryRun?: boolean | undefined;
  /** Seconds that a chunk stays after nobody names it any more; as the store is configured when absent. */
  readonly graceSeconds?: number | undefined;
  /** Called now and then with what is done and what there is, in bytes of packs. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** A small file, read whole. Its bytes stay unchanged until the next one is asked for. */
export type WholeRead =
  | { readonly ok: true; readonly record: FileRecord; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly record: FileRecord; readonly fault: Error };

export interface FileService {
  info(options?: CallOptions): Promise<ServerInfo>;
  stat(target: Target, options?: AtOptions & { readonly withAttributes?: boolean }): Promise<FileRecord>;
  list(target: Target, options?: ListOptions): Promise<ListPage>;
  /** Everything under a folder: names of a folder in byte order, what is in a subfolder right behind it. */
  manifest(target: Target, options?: ManifestOptions): AsyncIterable<FileRecord>;
  /** Makes a folder; `exists` when there is something, unless `parents` is set and it is a folder. */
  makeFolder(
    path: string,
    options?: Changing & {
      readonly parents?: boolean;
      readonly permissions?: number;
      readonly idempotencyKey?: string;
    },
  ): Promise<FileRecord>;
  write(path: string, source: ByteSource, options: WriteOptions): Promise<FileRecord>;
  /**
   * Many small things in few commits: results in the order of the items, each item standing or failing alone. A folder
   * that is made with a time keeps it as long as the items that go into it follow it, as they do in a walk.
   */
  writeMany(items: AsyncIterable<BulkItem> | Iterable<BulkItem>, options?: Changing): AsyncIterable<BulkResult>;
  read(target: Target, options?: ReadOptions): Promise<FileRead>;
  /**
   * Many small files, whole, in the order of the records, each standing or failing alone. Records of a manifest of this
   * service are found fastest; a file that has changed since comes with its new record. Some are drawn ahead, and held back until there are enough or no more to come.
   * Absent where asking for them together saves nothing.
   */
  readonly readMany?:
    | ((records: AsyncIterable<FileRecord> | Iterable<FileRecord>, options?: CallOptions) => AsyncIterable<WholeRead>)
    | undefined;
  setAttributes(
    target: Target,
    change: AttributeChange,
    options?: Expecting & { readonly idempotencyKey?: string },
  ): Promise<FileRecord>;
  move(from: string, to: string, options?: MoveOptions): Promise<FileRecord>;
  /** Copies metadata only: both share their chunks, whatever the size. Folders with all that is in them. */
  copy(from: string, to: string, options?: MoveOptions): Promise<FileRecord>;
  remove(path: string, options?: RemoveOptions): Promise<Removed>;
  search(query: SearchQuery): Promise<ListPage>;
  /** Newest first. Of a file that is gone too, as long as a version of it is kept: by a path the one removed last. */
  versions(target: Target, options?: VersionsOptions): Promise<VersionPage>;
  /**
   * What was removed from a folder (with `recursive` below it, too), or what had this path, and can be had again; what was
   * removed last comes first.
   */
  deleted(path: string, options?: DeletedOptions): Promise<DeletedPage>;
  /**
   * Makes an older version the current one, as a new version. Also of a file that is gone, as long as a version of
   * it is kept: then it goes to the file that took its place, or to where it stood (`exists` when that is taken), or to
   * `to`, where a file gets it as its new version and otherwise one is made.
   */
  restore(target: Target, version: number, options?: RestoreOptions): Promise<FileRecord>;
  /**
   * Makes a folder, a file or (without a path) all that a moment shows as it was then, in one commit: what is replaced or
   * removed by it is kept as older versions, and the commit can be undone.
   */
  restoreTree(path: string | undefined, at: string, options?: RestoreTreeOptions): Promise<RestorePlan>;
  /** Takes back what one commit did, as a new commit. `conflict` names what later changes stand in the way. */
  undo(commit: number, options?: RestoreTreeOptions): Promise<RestorePlan>;
  /**
   * Every durable commit exactly once, oldest first. `not-kept` for a cursor older than what is kept: then read everything
   * anew.
   */
  changes(query?: ChangesQuery): Promise<ChangePage>;
  /** Who changed what, when, through which door; newest first. */
  log(query?: LogQuery): Promise<LogPage>;
  /** A named commit of a folder, kept until it is removed; the same effort whatever the size. `exists` for a taken name. */
  createSnapshot(name: string, options?: SnapshotOptions): Promise<SnapshotRecord>;
  /** In the order of their names. */
  snapshots(
    options?: CallOptions & { readonly cursor?: string | undefined; readonly limit?: number | undefined },
  ): Promise<SnapshotPage>;
  snapshot(name: string, options?: CallOptions): Promise<SnapshotRecord>;
  /** Answers what it was. What it alone kept is given back behind. */
  removeSnapshot(name: string, options?: CallOptions & { readonly dryRun?: boolean }): Promise<SnapshotRecord>;
  /**
   * Deletes those of the snapshots that schedules made which nothing keeps, and says of each why. Others are not looked at.
   */
  pruneSnapshots(options?: PruneOptions): Promise<PrunePlan>;
  /**
   * Locks a file or folder with all that is in it, or a name that is not there yet, until it is given back or its lease
   * ends: changes that do not present it answer `locked`. Survives a restart.
   * @throws Fault `locked`, which names the holder and since when; `deadlock`, which names who waits for whom.
   */
  lock(path: string, options?: LockOptions): Promise<LockRecord>;
  /** Renews a lock, and makes it more or less. @throws Fault `lock-lost`. */
  changeLock(token: number, change?: LockChange): Promise<LockRecord>;
  /** Gives a lock back, also somebody else's. @throws Fault `lock-lost`. */
  unlock(token: number, options?: CallOptions): Promise<LockRecord>;
  /** All locks, or those on this path; the oldest first. */
  locks(options?: CallOptions & { readonly path?: string | undefined }): Promise<LockList>;
  /**
   * Up to 1,000 operations as one commit; each sees what those before it did. `atomic`: one that fails throws its fault,
   * with `about.operation` (its index), and nothing is done. `best-effort`: each says what became of it.
   * @throws Fault `too-large` for more operations, `invalid` for ids that are twice, unknown or in a circle.
   */
  batch(
    request: BatchRequest,
    options?: Changing & { readonly idempotencyKey?: string | undefined },
  ): Promise<BatchAnswer>;
  /** Files that come in pieces. */
  readonly uploads: UploadService;
  stats(options?: CallOptions): Promise<StoreStats>;
  /**
   * How much is in a folder, and how much room would come back if it went. What history keeps and no snapshot does counts
   * as held by the path: it comes back when its time has passed. @throws Fault `invalid` for what one path of a snapshot holds alone.
   */
  usage(query?: UsageQuery): Promise<Usage>;
  check(options?: CheckOptions): Promise<CheckReport>;
  /** Gives back the bytes of what nobody needs any more. Versions and history that are not kept any longer go first. */
  gc(options?: GcOptions): Promise<GcReport>;
  /**
   * Stores anew what is damaged or missing and what a second copy has. Only bytes with the very id of a chunk are taken.
   * @throws Fault `not-found`, `not-folder` for the copy; `denied` for callers from elsewhere; `unsupported` where ids are no proof.
   */
  repair(options: RepairOptions): Promise<RepairReport>;
  /** Where collections stand, whoever began them. */
  gcStatus(options?: CallOptions): Promise<GcStatus>;
  /**
   * Pauses the collections that run behind the operations, until they may go on; over restarts, too. The one under way
   * ends, and what it has begun the next one finishes. `gc` is not paused.
   */
  pauseGc(isPaused: boolean, options?: CallOptions): Promise<GcStatus>;
}
