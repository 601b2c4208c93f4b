/** chunks: bytes -> chunks -> packs, and back. */
export * from './chunk-store.ts';
export { type CutChunk, Cutter } from './cutting/cutting.ts';
export { type ContentHash, newContentHash, xxh3Of } from './hashes/content-hash.ts';
export { type OpenChunkStoreOptions, openChunkStore } from './open-chunk-store.ts';
export { type ChunkStoreOptions, DEFAULT_CHUNK_STORE_OPTIONS, SMALL_CHUNK_STORE_OPTIONS } from './options.ts';
export type { PackAction, PackPlan } from './upkeep/collection-plan.ts';
export { COLLECT_STEPS, type CollectStep } from './upkeep/collector.ts';
export { chunksOfPack, type PackBytes } from './upkeep/repair.ts';
