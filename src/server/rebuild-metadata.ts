/**
 * Metadata brought back from objects alone: the rows of the last checkpoint that is whole, then the rows of packs and
 * chunks as the packs themselves show them, then every count anew. The new metadata is made in a folder of its own; only
 * when all of it is durable it takes the place of the old one, which is kept beside it under another name.
 *
 * Before that it is a checkpoint itself: numbers given out from now on lie behind those of the last checkpoint, and a second
 * loss must not begin from there again and give them out to others.
 *
 * A crash on the way leaves the old metadata, or (between the two renames) none, which is never taken for an empty store
 * (`metadata.made`); in both cases the same command begins anew.
 */
import { join } from 'node:path';
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
import { type AdoptedPacks, openChunkStore } from '../chunks/index.ts';
import {
  type CheckpointChain,
  Checkpoints,
  findCheckpoint,
  loadCheckpoint,
  type MetaStore,
  SqliteFile,
} from '../meta/index.ts';
import { type Disk, DiskObjects, NodeDisk } from '../objects/index.ts';
import type { ServerOptions } from './options-table.ts';
import {
  META_FILE,
  META_FOLDER,
  noteMetadata,
  OBJECTS_FOLDER,
  readStoreFolder,
  type StoreIdentity,
} from './store-folder.ts';
import { StoreLock } from './store-lock.ts';

/** Where the new metadata is made. */
const META_NEW_FOLDER = `${META_FOLDER}.new`;
const REALM = 1;
const PAGE_ROWS = 5_000;

export interface RebuildMetadataQuestion {
  readonly options: ServerOptions;
  /** Also when the metadata that is there is whole: everything since the checkpoint is given up. */
  readonly force?: boolean;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

export interface RebuiltMetadata {
  /** When what was brought back was true, ISO 8601, and which checkpoint it is. */
  readonly asOf: string;
  readonly sequence: number;
  readonly rows: number;
  /** Damaged checkpoints that could not be used, and why. */
  readonly passedOver: CheckpointChain['passedOver'];
  readonly packs: AdoptedPacks;
  /** Chunks in the packs that the checkpoint does not know, and their stored bytes: content whose names are lost. */
  readonly newerChunks: number;
  readonly newerBytes: number;
  /** Where the old metadata is kept; absent when there was none. */
  readonly keptAt: string | undefined;
}

/**
 * @throws Fault `not-found` when there is no store, or no checkpoint that is whole; `conflict` when the metadata is
 * whole and `force` is not set; `locked`, `corrupt`, `incompatible`, `full`, `io`, `aborted`.
 */
export async function rebuildMetadata(question: RebuildMetadataQuestion): Promise<RebuiltMetadata> {
  const { options, force = false, clock = systemClock, signal } = question;
  const folder = options.store;
  const disk = new NodeDisk(folder);
  const since = isoOfMoment({ ...clock.now(), nanoseconds: 0 });
  const identity = await identityOf(disk, folder);
  using _lock = StoreLock.take(folder, { pid: process.pid, command: 'holdfast check --rebuild-meta', since });
  if (!force && (await isWhole(disk, folder, signal))) throw healthy(folder);
  await using objects = await DiskObjects.open(disk, { folder: OBJECTS_FOLDER });
  const chain = await findCheckpoint(objects, identity.format.storeId, signal);
  if (chain === undefined) throw noCheckpoint(folder);
  await clear(disk);
  const made = await makeMetadata({ question, objects, identity, chain });
  const keptAt = await takeItsPlace(disk, since);
  await noteMetadata(disk);
  return { ...made, asOf: isoOfMoment(chain.end), sequence: chain.sequence, passedOver: chain.passedOver, keptAt };
}

async function identityOf(disk: Disk, folder: string): Promise<StoreIdentity> {
  const identity = await readStoreFolder(disk, folder);
  if (identity !== undefined) return identity;
  throw new Fault('not-found', `There is no store in ${folder}. Name another one with --store.`, { store: folder });
}

/** Whether there is metadata and a check finds nothing wrong with it. */
async function isWhole(disk: Disk, folder: string, signal: AbortSignal | undefined): Promise<boolean> {
  const file = `${META_FOLDER}/${META_FILE}`;
  if (((await disk.stat(file))?.sizeBytes ?? 0) === 0) return false;
  try {
    await using meta = SqliteFile.open(join(folder, file));
    for await (const _ of meta.check(signal === undefined ? {} : { signal })) return false;
    return meta.get('spaces', [1]) !== undefined;
  } catch (error) {
    if (Fault.is(error, 'corrupt', 'io')) return false;
    throw error;
  }
}

function healthy(folder: string): Fault {
  const sentence = `The metadata of ${folder} is whole; bringing back the last checkpoint would only lose what came after it. Nothing was changed. With --force it is done anyway.`;
  return new Fault('conflict', sentence, { store: folder });
}

function noCheckpoint(folder: string): Fault {
  const sentence = `There is no checkpoint in ${folder} that is whole, so the metadata cannot be brought back from objects. Put it back from a backup of this store; nothing was changed.`;
  return new Fault('not-found', sentence, { store: folder });
}

/** What a rebuild that was cut off has left. */
async function clear(disk: Disk): Promise<void> {
  for (const name of await disk.list(META_NEW_FOLDER)) await disk.remove(`${META_NEW_FOLDER}/${name}`);
  await disk.makeFolder(META_NEW_FOLDER);
  await disk.syncFolder('');
}

interface Making {
  readonly question: RebuildMetadataQuestion;
  readonly objects: DiskObjects;
  readonly identity: StoreIdentity;
  readonly chain: CheckpointChain;
}

type Made = Omit<RebuiltMetadata, 'asOf' | 'sequence' | 'passedOver' | 'keptAt'>;

async function makeMetadata({ question, objects, identity, chain }: Making): Promise<Made> {
  const { options, clock = systemClock, random = systemRandom, log = silentLog, signal, onProgress } = question;
  await using meta = SqliteFile.open(join(options.store, META_NEW_FOLDER, META_FILE));
  const rows = await loadCheckpoint(objects, chain, meta, { signal, onProgress });
  const startedSeconds = clock.now().seconds;
  const { format, secret } = identity;
  await using chunks = await openChunkStore({ meta, objects, format: format.chunks, secret, clock, random, log });
  const packs = await chunks.adoptPacks({ signal });
  await meta.recount(clock.now());
  const made = { rows, packs, ...(await newerChunks(meta, startedSeconds)) };
  const checkpoints = new Checkpoints({ meta, objects, storeId: format.storeId, clock, random, log });
  await checkpoints.make({ signal, isHurried: true });
  return made;
}

/** Chunks that nothing names and that had no row: the rebuild has given them one. */
async function newerChunks(meta: MetaStore, sinceSeconds: number): Promise<Pick<Made, 'newerChunks' | 'newerBytes'>> {
  let [count, bytes] = [0, 0];
  for (let after: readonly [Uint8Array] | undefined; ; ) {
    const rows = await meta.scan('chunks', { prefix: [REALM], limit: PAGE_ROWS, ...(after && { after }) });
    for (const { refs, storedLength, zeroSeconds } of rows) {
      if (refs > 0 || zeroSeconds === null || zeroSeconds < sinceSeconds) continue;
      count++;
      bytes += storedLength;
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ROWS) return { newerChunks: count, newerBytes: bytes };
    after = [last.id];
  }
}

/** As folders, so that a database and its log stay together. Answers what the old one is called now. */
async function takeItsPlace(disk: Disk, now: string): Promise<string | undefined> {
  await disk.syncFolder(META_NEW_FOLDER);
  const isThere = (await disk.list(META_FOLDER)).length > 0;
  const kept = `${META_FOLDER}.damaged-${now.replaceAll(/[^0-9TZ]/g, '').toLowerCase()}`;
  if (isThere) await disk.rename(META_FOLDER, kept);
  else await disk.removeFolder(META_FOLDER);
  await disk.rename(META_NEW_FOLDER, META_FOLDER);
  await disk.syncFolder('');
  return isThere ? kept : undefined;
}
