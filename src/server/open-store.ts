/**
 * The composition root: a configuration becomes an open store. Parts are built from the ground up – lock, disk, objects,
 * metadata, chunks, groups, files – and closed in the opposite order, also when building stops half-way, so that the lock
 * is the first thing taken and the last let go.
 *
 * Opening must be cheap, because every short command opens the store for itself: nothing is started that the first
 * operation may not need (threads start with the first work for them, the HTTP door is another module).
 */
import { hkdfSync } from 'node:crypto';
import { mkdirSync, statSync } from 'node:fs';
import { open, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FileService, Path, ServerInfo } from '../api/index.ts';
import {
  type Clock,
  Fault,
  isoOfMoment,
  type Log,
  type Random,
  silentLog,
  systemClock,
  systemRandom,
} from '../base/index.ts';
import {
  type ChunkStoreOptions,
  type CollectStep,
  DEFAULT_CHUNK_STORE_OPTIONS,
  openChunkStore,
  SMALL_CHUNK_STORE_OPTIONS,
} from '../chunks/index.ts';
import {
  type Caller,
  CompressionRules,
  type Files,
  type FilesOptions,
  fileService,
  keepRulesOf,
  OWNER,
  openFiles,
  type PosixTree,
  type RecutStep,
  schedulesOf,
} from '../files/index.ts';
import { Checkpoints, Groups, SqliteFile } from '../meta/index.ts';
import { DiskObjects, NodeDisk } from '../objects/index.ts';
import { Checkpointing } from './checkpointing.ts';
import { DiskReserve, type DiskSpace } from './disk-reserve.ts';
import type { FormatRecord } from './format-record.ts';
import type { ServerOptions } from './options-table.ts';
import { secondCopyOf } from './second-copy.ts';
import {
  FORMAT_NAME,
  META_FILE,
  META_FOLDER,
  makeStoreFolder,
  noteMetadata,
  OBJECTS_FOLDER,
  readStoreFolder,
  requireMetadata,
  requireRoomForStore,
  type StoreIdentity,
} from './store-folder.ts';
import { StoreLock } from './store-lock.ts';
import { faultOfSystem, isSystemError } from './system-fault.ts';
import { holdfastVersion } from './version.ts';

const STORE_MODE = 0o700;
const MIB = 2 ** 20;
/** Bytes of metadata pages kept in memory, by profile. */
const META_CACHE_BYTES = { normal: 16 * MIB, small: 4 * MIB } as const;

export interface OpenStoreQuestion {
  readonly options: ServerOptions;
  /** Make the store when there is none. */
  readonly create?: boolean;
  /** What holds it, for whoever finds it locked: `holdfast serve`. */
  readonly command: string;
  /** Work behind the operations (reaping, thinning versions); for servers, not for short commands. */
  readonly background?: boolean;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  /** Told where a collection is; tests cut it off there. */
  readonly onCollectStep?: (step: CollectStep | RecutStep) => void;
}

/** A store that this process holds. */
export class OpenStore implements AsyncDisposable {
  readonly folder: string;
  readonly format: FormatRecord;
  readonly files: Files;
  readonly lock: StoreLock;
  readonly isNew: boolean;
  /** With which URLs are signed; made from the store's secret. */
  readonly signingKey: Uint8Array;
  readonly #owned: AsyncDisposableStack;
  readonly #reserve: DiskReserve;
  readonly #clock: Clock;
  readonly #openedMs: number;
  #isDraining = false;

  constructor(
    parts: Pick<OpenStore, 'folder' | 'format' | 'files' | 'lock' | 'isNew' | 'signingKey'>,
    owned: AsyncDisposableStack,
    clock: Clock,
    reserve: DiskReserve,
  ) {
    this.#reserve = reserve;
    this.folder = parts.folder;
    this.format = parts.format;
    this.files = parts.files;
    this.lock = parts.lock;
    this.isNew = parts.isNew;
    this.signingKey = parts.signingKey;
    this.#owned = owned;
    this.#clock = clock;
    this.#openedMs = clock.monotonicMs();
  }

  /** The file system as one caller sees it. */
  service(caller: Omit<Caller, 'user'>): FileService {
    return fileService(this.files, { user: OWNER, ...caller }, () => this.info());
  }

  /** A user's tree for a mount; the caller disposes it before the store. */
  openTree(options: {
    readonly user?: string;
    readonly root?: Path;
    readonly isReadOnly?: boolean;
    readonly mindsLocks?: boolean;
  }): Promise<PosixTree> {
    return this.files.openTree({ user: OWNER, ...options, diskSpace: () => this.#reserve.space() });
  }

  info(): ServerInfo {
    return {
      name: 'holdfast',
      version: holdfastVersion(),
      status: this.#isDraining ? 'draining' : 'ok',
      store_id: this.format.storeId,
      uptime_seconds: (this.#clock.monotonicMs() - this.#openedMs) / 1000,
    };
  }

  /** From now on `info` says that the store is closing. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Ends what is under way, makes everything durable, lets go of the lock. Fine twice. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned.disposeAsync();
  }
}

/**
 * Opens the store that the options name.
 * @throws Fault `not-found` when there is none (and `create` is not set), `locked` naming the holder, `incompatible`,
 * `corrupt`, `read-only`, `denied`, `not-empty`, `full`, `io`.
 */
export async function openStore(question: OpenStoreQuestion): Promise<OpenStore> {
  const { options, clock = systemClock, random = systemRandom, log = silentLog } = question;
  const folder = options.store;
  await using building = new AsyncDisposableStack();
  const disk = await diskOf(folder, question.create === true);
  const lock = building.use(takeLock(folder, question.command, clock));
  const { identity, isNew } = await identityOf(disk, question, { clock, random });
  await requireMetadata(disk, folder, `${META_FOLDER}/${META_FILE}`);
  const objects = building.use(await DiskObjects.open(disk, { folder: OBJECTS_FOLDER }));
  const meta = building.use(
    SqliteFile.open(join(folder, META_FOLDER, META_FILE), {
      cacheBytes: options['meta.cache'] ?? META_CACHE_BYTES[options.memory],
      isThreadReadied: question.background ?? false,
    }),
  );
  const checkpoints = new Checkpoints({ meta, objects, storeId: identity.format.storeId, clock, random, log });
  const checkpointing = building.use(
    new Checkpointing({
      ...{ checkpoints, clock, log },
      everyMs: options['meta.checkpoint_every'],
      isServer: question.background ?? false,
    }),
  );
  const reserveBytes = options['disk.reserve'];
  const reserve = new DiskReserve({ reserveBytes, clock, look: () => diskSpaceOf(folder) });
  const chunks = building.use(
    await openChunkStore({
      meta,
      objects,
      format: identity.format.chunks,
      secret: identity.secret,
      clock,
      random,
      log,
      options: chunkOptionsOf(options),
      // A mount reads what is pending.
      index: { get: (table, key) => groups.pending.get(table, key) },
      commit: (change) => groups.commit(change),
      requireRoom: (bytes, isRow) => reserve.require(bytes, isRow),
      beforeCollect: () => checkpointing.makeNow(),
      ...(question.onCollectStep === undefined ? {} : { onCollectStep: question.onCollectStep }),
    }),
  );
  const groups: Groups = new Groups({ meta, clock, prepare: () => chunks.sync() });
  building.defer(() => groups.close());
  const files = building.use(
    await openFiles({
      meta,
      groups,
      chunks,
      clock,
      random,
      log,
      options: filesOptionsOf(options),
      background: question.background ?? false,
      secondCopyOf: (from) => secondCopyOf(from, identity.format.storeId),
      onRecutStep: question.onCollectStep,
    }),
  );
  await noteMetadata(disk);
  const { format } = identity;
  const parts = { folder, format, files, lock, isNew, signingKey: signingKeyOf(identity) };
  return new OpenStore(parts, building.move(), clock, reserve);
}

/** Its own key, so that a signature tells nothing of the names of chunks. docs/formats/store.md has it. */
function signingKeyOf({ format, secret }: StoreIdentity): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, format.storeId, 'holdfast signed urls 1', 32));
}

export interface InitQuestion {
  readonly options: ServerOptions;
  readonly clock?: Clock;
  readonly random?: Random;
}

/**
 * Makes a store, whole, and lets go of it.
 * @throws Fault `exists` when there is one, `not-empty` when the folder holds something else, `locked`, `full`, `io`.
 */
export async function initStore(question: InitQuestion): Promise<FormatRecord> {
  const { options, clock = systemClock, random = systemRandom } = question;
  const disk = await diskOf(options.store, true);
  await requireRoomForStore(disk, options.store);
  using _lock = takeLock(options.store, 'holdfast init', clock);
  const { format } = await makeStoreFolder(disk, options.store, choiceOf(options), { clock, random });
  return format;
}

async function diskSpaceOf(folder: string): Promise<DiskSpace> {
  const { bsize, blocks, bavail } = await statfs(folder);
  return { totalBytes: bsize * blocks, freeBytes: bsize * bavail };
}

function takeLock(folder: string, command: string, clock: Clock): StoreLock {
  return StoreLock.take(folder, { pid: process.pid, command, since: isoOfMoment({ ...clock.now(), nanoseconds: 0 }) });
}

/** The disk below the folder; before a lock file is put anywhere, it is sure that a store is or may be made there. */
async function diskOf(folder: string, create: boolean): Promise<NodeDisk> {
  if (create) await makeFolder(folder);
  const disk = new NodeDisk(folder);
  if ((await disk.stat(FORMAT_NAME)) !== undefined) return disk;
  if (!create) {
    const sentence = `There is no store in ${folder}. Make one with \`holdfast init\`, or name another one with --store.`;
    throw new Fault('not-found', sentence, { store: folder });
  }
  await requireRoomForStore(disk, folder);
  return disk;
}

async function makeFolder(folder: string): Promise<void> {
  try {
    for (const made of makeMissingFolders(folder)) await syncFolder(dirname(made)); // each is durable in the one above
  } catch (error) {
    const isFile = isSystemError(error, 'EEXIST', 'ENOTDIR');
    if (!isFile) throw faultOfSystem(error, 'made', folder);
    const sentence = `${folder} cannot be the folder of a store: it, or something on the way to it, is a file.`;
    throw new Fault('not-folder', sentence, { store: folder }, error);
  }
}

/**
 * Makes the folder and those missing above it; answers what was made, the topmost first.
 * Level by level: a `recursive` mkdir tries for ever where a folder that is there refuses a name with ENOENT, as /proc does.
 */
function makeMissingFolders(folder: string): readonly string[] {
  if (isFolder(folder)) return [];
  const above = dirname(folder);
  const made = above === folder ? [] : makeMissingFolders(above);
  try {
    mkdirSync(folder, { mode: STORE_MODE });
  } catch (error) {
    if (isSystemError(error, 'EEXIST') && isFolder(folder)) return made; // somebody else was faster
    throw error;
  }
  return [...made, folder];
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function identityOf(
  disk: NodeDisk,
  question: OpenStoreQuestion,
  parts: { readonly clock: Clock; readonly random: Random },
): Promise<{ readonly identity: StoreIdentity; readonly isNew: boolean }> {
  const folder = question.options.store;
  const found = await readStoreFolder(disk, folder);
  if (found !== undefined) return { identity: found, isNew: false };
  const made = await makeStoreFolder(disk, folder, choiceOf(question.options), parts);
  return { identity: made, isNew: true };
}

function choiceOf(options: ServerOptions): Parameters<typeof makeStoreFolder>[2] {
  return { idAlgorithm: options['create.ids'], chunker: options['create.chunker'] };
}

function chunkOptionsOf(options: ServerOptions): ChunkStoreOptions {
  const profile = options.memory === 'small' ? SMALL_CHUNK_STORE_OPTIONS : DEFAULT_CHUNK_STORE_OPTIONS;
  return {
    ...profile,
    chunkCacheBytes: options['chunks.cache'] ?? profile.chunkCacheBytes,
    packIndexCacheBytes: options['chunks.index_cache'] ?? profile.packIndexCacheBytes,
    readAheadBytes: options['chunks.read_ahead'] ?? profile.readAheadBytes,
    packBytesMax: options['chunks.pack_size'] ?? profile.packBytesMax,
    unsyncedBytesMax: options['chunks.unsynced'] ?? profile.unsyncedBytesMax,
    workerCount: options['chunks.workers'] ?? profile.workerCount,
    verifyAfterSeconds: Math.floor(options['chunks.verify_after'] / 1000),
  };
}

function filesOptionsOf(options: ServerOptions): FilesOptions {
  return {
    fileBytesMax: options.max_file_size,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    versionsKept: keepRulesOf(options['versions.keep']),
    schedules: schedulesOf(options.snapshots),
    historyKeptSeconds: Math.floor(options['history.keep'] / 1000),
    logKeptSeconds: Math.floor(options['history.keep_log'] / 1000),
    idempotencySeconds: Math.floor(options['idempotency.keep_for'] / 1000),
    gc: {
      graceSeconds: Math.floor(options['gc.grace'] / 1000),
      freedShareMin: options['gc.share'] / 100,
      intervalSeconds: Math.ceil(options['gc.interval'] / 1000),
    },
    scrub: {
      bytesPerSecond: options['scrub.rate'],
      everySeconds: Math.floor(options['scrub.every'] / 1000),
    },
    uploads: {
      expireAfterSeconds: Math.ceil(options['uploads.expire_after'] / 1000),
      openMax: options['uploads.max_open'],
    },
    compression: new CompressionRules(options['compression.level'], options['compression.rules']),
  };
}
