/**
 * A whole store on one seeded disk: packs, metadata, chunks, groups and files put together in the order in which the
 * composition root does it, with a clock that is moved by hand and chance from a seed. Nothing in it waits for real
 * time, so the same seed and the same calls give the same calls of the disk. Metadata is SQLite, or a quick journal that
 * keeps the same contract (journal-meta.ts).
 *
 * `boot` is a start of the process: it makes the store when there is none, and otherwise finds what the one before left.
 * A start draws other random numbers than the one before it, as in life (owners of hidden builds are told apart by them).
 */
import type { FileService } from '../../src/api/index.ts';
import { type Clock, type LogEvent, logTo, type ManualClock, type Random, seededRandom } from '../../src/base/index.ts';
import {
  type ChunkFormat,
  type ChunkStore,
  type ChunkStoreOptions,
  type IdAlgorithm,
  openChunkStore,
} from '../../src/chunks/index.ts';
import {
  CompressionRules,
  FILES_OPTIONS_DEFAULT,
  type Files,
  fileService,
  keepRulesOf,
  openFiles,
  type SnapshotSchedule,
} from '../../src/files/index.ts';
import { type Change, Checkpoints, Groups, type MetaStore, openSqliteMeta } from '../../src/meta/index.ts';
import { type Disk, type DiskFile, DiskObjects, type SeededDisk } from '../../src/objects/index.ts';
import type { FormatRecord } from '../../src/server/format-record.ts';
import { META_FOLDER, makeStoreFolder, OBJECTS_FOLDER, readStoreFolder } from '../../src/server/store-folder.ts';
import { JournalMeta } from './journal-meta.ts';
import { openSeededSqlite } from './seeded-sqlite.ts';

/** Small, so that a short script fills packs, caches and batches, and moves the log into the database. */
export const CHUNK_OPTIONS: ChunkStoreOptions = {
  workerCount: 0,
  batchBytes: 64 * 1024,
  batchesInFlight: 4,
  chunkCacheBytes: 64 * 1024,
  packIndexCacheBytes: 64 * 1024,
  packBytesMax: 512 * 1024,
  unsyncedBytesMax: 256 * 1024,
  readAheadBytes: 256 * 1024,
  idCacheEntries: 64,
  pendingEntries: 4_096,
  verifyAfterSeconds: 3_600,
};
const CHUNK_BYTES = { chunkBytesMin: 1_024, chunkBytesMean: 2_048, chunkBytesMax: 4_096 };
/** Few and short, so that older versions and history are dropped within a script. */
export const LOG_KEPT_SECONDS = 900;
const VERSIONS = { versionsKept: keepRulesOf('last 2, all within 10 minutes'), historyKeptSeconds: 900 };
const NO_VERSIONS = { versionsKept: [], historyKeptSeconds: 0 };
/** Small, so that a base is written now and then. */
export const DELTA_BYTES_MIN = 4_000;
const META_OPTIONS = { cacheBytes: 256 * 1024, logBytes: 192 * 1024 };

export interface BootOptions {
  readonly seed: number;
  readonly clock: ManualClock;
  /** What keeps the metadata; `sqlite` when absent. */
  readonly engine?: 'sqlite' | 'journal';
  /** Groups wait for company and for their time by the clock, as in production; at once when absent. */
  readonly groupsWait?: boolean;
  /** Instead of those of the simulation. */
  readonly chunkOptions?: Partial<ChunkStoreOptions>;
  /** False: nothing that was replaced or removed is kept. */
  readonly keepsVersions?: boolean;
  /** What stands between the parts and is wrong on purpose, or only slow. */
  readonly wraps?: Wraps;
  /** When the store is made; `blake3` when absent. */
  readonly idAlgorithm?: IdAlgorithm;
  /** What the disk claims to SQLite; see MountOptions. */
  readonly isPowersafeOverwrite?: boolean;
  /** A store that is wrong on purpose, which a simulation must notice: it does not sync one of the two. */
  readonly forgets?: 'packs' | 'metadata';
  /** Checkpoints of the metadata are made before anything is collected; told when one is begun, and when it is durable. */
  readonly onCheckpoint?: (step: 'begun' | 'made') => void;
}

/** A part, and what is put in its place. */
export interface Wraps {
  readonly packDisk?: (disk: Disk) => Disk;
  readonly meta?: (meta: MetaStore) => MetaStore;
  /** How long the log is kept, instead of as long as it is to be. */
  readonly logKeptSeconds?: number;
  /** No checkpoint is made before a collection. */
  readonly collectsUnkept?: boolean;
  /** What the chunk store takes for the time. */
  readonly chunksClock?: (clock: ManualClock) => Clock;
  /** Of what a collection changes. */
  readonly commit?: (commit: ChunksCommit, clock: ManualClock) => ChunksCommit;
  /** Stands for `chunks.sync`, which makes durable what a group names. */
  readonly prepare?: (sync: ChunkStore['sync']) => ChunkStore['sync'];
}

export type ChunksCommit = (change: Change) => Promise<unknown>;

export interface World extends AsyncDisposable {
  readonly disk: SeededDisk;
  readonly clock: ManualClock;
  readonly service: FileService;
  readonly files: Files;
  readonly chunks: ChunkStore;
  readonly meta: MetaStore;
  /** Of snapshots: those that are in it take their turns when the store is told to look. */
  readonly schedules: SnapshotSchedule[];
  /** Makes a checkpoint of the metadata, durable when it answers. */
  checkpoint(): Promise<void>;
  /** What the store said to its operators. */
  readonly events: readonly LogEvent[];
  /** Ends it as an orderly stop does. Fine twice; on a disk whose power is cut nothing is left to be done. */
  close(): Promise<void>;
}

/** Starts a store on the disk. @throws whatever opening throws; nothing stays open then. */
export async function boot(disk: SeededDisk, options: BootOptions): Promise<World> {
  const { clock } = options;
  const random = seededRandom(options.seed);
  const events: LogEvent[] = [];
  const log = logTo((event) => events.push(event), 'debug');
  await using building = new AsyncDisposableStack();
  const identity = await identityOf(disk, options, random);
  const wraps: Wraps = { ...(options.forgets === 'packs' ? { packDisk: withoutSync } : {}), ...options.wraps };
  const objects = building.use(await DiskObjects.open(wraps.packDisk?.(disk) ?? disk, { folder: OBJECTS_FOLDER }));
  const engine = building.use(await openMeta(disk, options, random));
  const meta = wraps.meta?.(engine) ?? engine;
  const { format, secret } = identity;
  const checkpoints = new Checkpoints({
    ...{ meta: engine, objects, clock, random, log },
    storeId: format.storeId,
    deltaBytesMin: DELTA_BYTES_MIN,
  });
  const checkpoint = async (): Promise<void> => {
    options.onCheckpoint?.('begun');
    await checkpoints.make({ isHurried: true });
    options.onCheckpoint?.('made');
  };
  const isKept = options.onCheckpoint !== undefined && options.wraps?.collectsUnkept !== true;
  const chunks = building.use(
    await openChunkStore({
      meta,
      objects,
      format: chunkFormatOf(format),
      secret,
      clock: wraps.chunksClock?.(clock) ?? clock,
      random,
      log,
      options: { ...CHUNK_OPTIONS, ...options.chunkOptions },
      ...(isKept ? { beforeCollect: () => checkpoint().catch(() => undefined) } : {}),
      index: { get: (table, key) => groups.pending.get(table, key) },
      commit: wraps.commit?.((change) => groups.commit(change), clock) ?? ((change) => groups.commit(change)),
    }),
  );
  const sync: ChunkStore['sync'] = () => chunks.sync();
  const groups: Groups = new Groups({
    meta,
    prepare: wraps.prepare?.(sync) ?? sync,
    ...(options.groupsWait === true ? { clock } : {}),
  });
  building.defer(() => groups.close());
  const versions = options.keepsVersions === false ? NO_VERSIONS : VERSIONS;
  const schedules: SnapshotSchedule[] = [];
  const filesOptions = {
    ...FILES_OPTIONS_DEFAULT,
    ...versions,
    schedules,
    logKeptSeconds: wraps.logKeptSeconds ?? LOG_KEPT_SECONDS,
    compression: new CompressionRules(1),
  };
  const files = building.use(
    await openFiles({ meta, groups, chunks, clock, random, log, options: filesOptions, background: true }),
  );
  const caller = { user: 'owner', door: 'test', request: '' };
  const info = { name: 'holdfast', version: '0', status: 'ok', store_id: format.storeId, uptime_seconds: 0 } as const;
  const service = fileService(files, caller, () => info);
  const owned = building.move();
  const close = (): Promise<void> => owned.disposeAsync();
  return {
    disk,
    clock,
    service,
    files,
    chunks,
    meta,
    schedules,
    checkpoint,
    events,
    close,
    [Symbol.asyncDispose]: close,
  };
}

export async function openMeta(disk: SeededDisk, options: BootOptions, random: Random): Promise<MetaStore> {
  if (options.engine === 'journal') return JournalMeta.open(disk, META_FOLDER, 'metadata.journal');
  const database = await openSeededSqlite(`${META_FOLDER}/metadata.sqlite`, {
    disk,
    clock: options.clock,
    random,
    isPowersafeOverwrite: options.isPowersafeOverwrite === true,
  });
  try {
    const meta = openSqliteMeta(database, META_OPTIONS);
    if (options.forgets === 'metadata') database.exec('PRAGMA synchronous = OFF');
    return meta;
  } catch (error) {
    database.close();
    throw error;
  }
}

export function chunkFormatOf({ chunks }: FormatRecord): ChunkFormat {
  return { ...chunks, ...CHUNK_BYTES };
}

export async function identityOf(disk: SeededDisk, options: BootOptions, random: Random) {
  const found = await readStoreFolder(disk, 'store');
  if (found !== undefined) return found;
  const { idAlgorithm = 'blake3', clock } = options;
  return makeStoreFolder(disk, 'store', { idAlgorithm, chunker: 'ultracdc' }, { clock, random });
}

/** The disk, but syncing a file does nothing. */
function withoutSync(disk: Disk): Disk {
  const forgetful = (file: DiskFile): DiskFile => ({
    read: (into, offset) => file.read(into, offset),
    write: (parts, offset) => file.write(parts, offset),
    truncate: (lengthBytes) => file.truncate(lengthBytes),
    sync: async () => {},
    sizeBytes: () => file.sizeBytes(),
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
  });
  return {
    open: async (path, mode) => forgetful(await disk.open(path, mode)),
    stat: (path) => disk.stat(path),
    list: (path) => disk.list(path),
    makeFolder: (path) => disk.makeFolder(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    removeFolder: (path) => disk.removeFolder(path),
    syncFolder: (path) => disk.syncFolder(path),
  };
}
