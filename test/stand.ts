/**
 * A whole store in memory, for tests that want the file service and what is under it, without a disk or a process.
 * Everything comes from one seed and a clock that stands still unless moved.
 */

import type { FileService, ServerInfo } from '../src/api/index.ts';
import { type Clock, ManualClock, seededRandom, silentLog } from '../src/base/index.ts';
import {
  type ChunkStore,
  DEFAULT_CHUNK_FORMAT,
  openChunkStore,
  SMALL_CHUNK_STORE_OPTIONS,
} from '../src/chunks/index.ts';
import {
  type Caller,
  CompressionRules,
  FILES_OPTIONS_DEFAULT,
  type Files,
  type FilesOptions,
  fileService,
  type OpenFilesOptions,
  openFiles,
} from '../src/files/index.ts';
import { Groups, type MetaStore, openSqliteFile } from '../src/meta/index.ts';
import { MemoryObjects, type ObjectStore } from '../src/objects/index.ts';

export interface Stand extends AsyncDisposable {
  readonly service: FileService;
  readonly files: Files;
  readonly meta: MetaStore;
  readonly chunks: ChunkStore;
  readonly objects: ObjectStore;
  readonly clock: ManualClock;
}

export interface StandOptions {
  readonly seed?: number;
  readonly options?: Partial<FilesOptions>;
  /** Stays open afterwards; one of its own when absent. */
  readonly meta?: MetaStore;
  /** Stays open afterwards, like `meta`: both together are a store that goes on. */
  readonly objects?: ObjectStore;
  /** How often that store was opened before. */
  readonly restarts?: number;
  readonly background?: boolean;
  readonly caller?: Caller;
  /** By which groups wait; without one they start at once. */
  readonly groupClock?: Clock;
  readonly onRecutStep?: OpenFilesOptions['onRecutStep'];
  /** Instead of the clock that stands still. */
  readonly clock?: Clock;
}

export async function openStand(wanted: StandOptions = {}): Promise<Stand> {
  await using building = new AsyncDisposableStack();
  const manual = new ManualClock();
  const clock = wanted.clock ?? manual;
  const seed = wanted.seed ?? 1;
  const secret = seededRandom(seed).bytes(32);
  const random = seededRandom(seed + 1_000 * (wanted.restarts ?? 0));
  const log = silentLog;
  const meta = wanted.meta ?? building.use(openSqliteFile(':memory:'));
  const objects = wanted.objects ?? building.use(new MemoryObjects());
  const chunks = building.use(
    await openChunkStore({
      meta,
      objects,
      format: DEFAULT_CHUNK_FORMAT,
      secret,
      clock,
      random,
      log,
      options: SMALL_CHUNK_STORE_OPTIONS,
      index: { get: (table, key) => groups.pending.get(table, key) },
      commit: (change) => groups.commit(change),
    }),
  );
  const groups: Groups = new Groups({
    meta,
    prepare: () => chunks.sync(),
    ...(wanted.groupClock === undefined ? {} : { clock: wanted.groupClock }),
  });
  building.defer(() => groups.close());
  const options: FilesOptions = { ...FILES_OPTIONS_DEFAULT, compression: new CompressionRules(1), ...wanted.options };
  const background = wanted.background ?? true;
  const files = building.use(
    await openFiles({ meta, groups, chunks, clock, random, log, options, background, onRecutStep: wanted.onRecutStep }),
  );
  const caller = wanted.caller ?? { user: 'owner', door: 'test', request: 'r1' };
  const info = (): ServerInfo => ({
    name: 'holdfast',
    version: '0',
    status: 'ok',
    store_id: 'stand',
    uptime_seconds: 0,
  });
  const owned = building.move();
  return {
    service: fileService(files, caller, info),
    files,
    meta,
    chunks,
    objects,
    clock: manual,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}
