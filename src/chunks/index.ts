/** chunks: bytes -> chunks -> packs, and back. */
export * from './chunk-store.ts';
