/**
 * XXH3-64, seed 0: the hash of a whole content as everybody else computes it, and the checksum of records, indexes and
 * footers. Apart from ids.ts so that a worker thread loads nothing more than it needs.
 */
import xxhash from 'xxhash-addon';

/** XXH3-64 of a whole stream. */
export interface ContentHash {
  update(bytes: Uint8Array): void;
  /** 8 bytes big-endian; more may follow. */
  digest(): Uint8Array;
}

const NO_SEED = Buffer.alloc(4);

export function newContentHash(): ContentHash {
  const hasher = new xxhash.XXHash3(NO_SEED);
  return { update: (bytes) => hasher.update(bufferOf(bytes)), digest: () => hasher.digest() };
}

/** XXH3-64 (seed 0) of `bytes`, 8 bytes big-endian. */
export function xxh3Of(bytes: Uint8Array): Uint8Array {
  return xxhash.XXHash3.hash(bufferOf(bytes));
}

/** The same bytes as a Buffer, not a copy; the native hasher takes nothing else. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
