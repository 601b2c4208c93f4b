/** chunks: bytes -> chunks -> packs, and back. */
export * from './chunk-store.ts';
export { type ContentHash, newContentHash, xxh3Of } from './content-hash.ts';
export { openChunkStore } from './interim-store.ts';
export { type ChunkStoreOptions, DEFAULT_CHUNK_STORE_OPTIONS, SMALL_CHUNK_STORE_OPTIONS } from './options.ts';
