/**
 * How much a chunk store may take: every queue, pool and cache of the room has its bound here, and two profiles.
 * Nothing of this is written anywhere: a store may be opened with other options each time.
 */

export interface ChunkStoreOptions {
  /**
   * Threads that compress, and as many that decompress; with 0 the main thread does both. Started when there is work
   * for them, ended when idle.
   */
  readonly workerCount: number;
  /** Plain bytes that are compressed and appended together. */
  readonly batchBytes: number;
  /** Batches that exist at once, filling, being compressed or being appended; writers wait for a free one. */
  readonly batchesInFlight: number;
  /** Decoded chunks kept for the next reader, bytes. */
  readonly chunkCacheBytes: number;
  /** Indexes of sealed packs kept, bytes; one pack of 64 MiB has about 100 KB. */
  readonly packIndexCacheBytes: number;
  /** A pack is sealed before it would grow beyond. At most 2 GiB. */
  readonly packBytesMax: number;
  /** Record bytes appended and not yet synced; the next append waits for a sync. */
  readonly unsyncedBytesMax: number;
  /** Plain bytes that one `readAll` reads ahead of its consumer. */
  readonly readAheadBytes: number;
  /** Ids known to be in the metadata that are remembered. */
  readonly idCacheEntries: number;
  /** Ids appended and perhaps not yet committed that are remembered, so that the next writer shares the record. */
  readonly pendingEntries: number;
  /**
   * Seconds for which a pack's chunks count unread after it was written or last found whole, when bytes come that it
   * has already; after that each is read and verified first. With 0 every such chunk is.
   */
  readonly verifyAfterSeconds: number;
}

export const DEFAULT_CHUNK_STORE_OPTIONS: ChunkStoreOptions = {
  workerCount: 2,
  batchBytes: 1024 * 1024,
  batchesInFlight: 8,
  chunkCacheBytes: 16 * 1024 * 1024,
  packIndexCacheBytes: 8 * 1024 * 1024,
  packBytesMax: 64 * 1024 * 1024,
  unsyncedBytesMax: 16 * 1024 * 1024,
  readAheadBytes: 4 * 1024 * 1024,
  idCacheEntries: 20_000,
  pendingEntries: 10_000,
  verifyAfterSeconds: 30 * 24 * 60 * 60,
};

/** For machines with little memory: one thread, smaller buffers. */
export const SMALL_CHUNK_STORE_OPTIONS: ChunkStoreOptions = {
  ...DEFAULT_CHUNK_STORE_OPTIONS,
  workerCount: 1,
  batchBytes: 512 * 1024,
  batchesInFlight: 4,
  chunkCacheBytes: 4 * 1024 * 1024,
  packIndexCacheBytes: 2 * 1024 * 1024,
  unsyncedBytesMax: 8 * 1024 * 1024,
  readAheadBytes: 2 * 1024 * 1024,
  idCacheEntries: 5_000,
  pendingEntries: 5_000,
};
