/**
 * The names of chunks, and the keys behind them. Everything secret is derived from the store's own 32 secret bytes, one
 * context string a purpose, so that names in a pack tell an outsider nothing and no key serves twice.
 *
 * An id is keyed BLAKE3 (32 bytes), or XXH3-128 with a secret (16 bytes), over the plain bytes of the chunk.
 * Hashers are made once and reused: making one costs as much as hashing 64 KiB. docs/formats/chunking.md has the bytes.
 */
import xxhash from 'xxhash-addon';
import { Fault } from '../../base/index.ts';
import type { ChunkId } from '../../meta/index.ts';
import type { IdAlgorithm } from '../chunk-store.ts';
import { Blake3Hasher } from './blake3.ts';
import { bufferOf } from './content-hash.ts';

/** Bytes of the store's secret. */
export const SECRET_BYTES = 32;

const KEY_CONTEXT = {
  blake3: 'holdfast 2026 chunk id blake3 key v1',
  'xxh3-128': 'holdfast 2026 chunk id xxh3 secret v1',
  gear: 'holdfast 2026 fastcdc gear table v1',
} as const;

const XXH3_SECRET_BYTES = 192;
const KEYED_BLOCK_BYTES = 32;

/** Bytes of an id. */
export const ID_BYTES = { blake3: 32, 'xxh3-128': 16 } as const satisfies Record<IdAlgorithm, number>;

/** Answers the id of a chunk's plain bytes; a fresh array each time. */
export type IdHasher = (plain: Uint8Array) => ChunkId;

/** @throws Fault `invalid` when the secret is not 32 bytes. */
export function newIdHasher(algorithm: IdAlgorithm, secret: Uint8Array): IdHasher {
  return newIdHasherOfKey(algorithm, idKeyOf(algorithm, secret));
}

/** With which chunks are named; from the secret alone. @throws Fault `invalid` when that is not 32 bytes. */
export function idKeyOf(algorithm: IdAlgorithm, secret: Uint8Array): Uint8Array {
  return derive(algorithm, secret, algorithm === 'blake3' ? KEYED_BLOCK_BYTES : XXH3_SECRET_BYTES);
}

export function newIdHasherOfKey(algorithm: IdAlgorithm, key: Uint8Array): IdHasher {
  if (algorithm === 'blake3') {
    const hasher = Blake3Hasher.newKeyed(Buffer.from(key));
    return (plain) => {
      hasher.reset();
      hasher.update(plain);
      return hasher.digestBuffer();
    };
  }
  const hasher = new xxhash.XXHash128(Buffer.from(key));
  return (plain) => {
    hasher.reset();
    hasher.update(bufferOf(plain));
    return hasher.digest();
  };
}

/** The 256 gears of FastCDC as 2,048 bytes, little-endian u64 each. */
export function gearTableOf(secret: Uint8Array): Uint8Array {
  return derive('gear', secret, 256 * 8);
}

/** `count` bytes for one purpose: keyed BLAKE3 of a block number (u32, little-endian), block behind block. */
function derive(purpose: keyof typeof KEY_CONTEXT, secret: Uint8Array, count: number): Uint8Array {
  if (secret.length !== SECRET_BYTES)
    throw new Fault('invalid', `A store's secret has ${SECRET_BYTES} bytes; this one has ${secret.length}.`);
  const key = Blake3Hasher.deriveKey(KEY_CONTEXT[purpose], secret);
  const hasher = Blake3Hasher.newKeyed(key);
  const bytes = new Uint8Array(count);
  const number = new DataView(new ArrayBuffer(4));
  for (let block = 0; block * KEYED_BLOCK_BYTES < count; block++) {
    number.setUint32(0, block, true);
    hasher.reset();
    hasher.update(new Uint8Array(number.buffer));
    bytes.set(hasher.digestBuffer().subarray(0, count - block * KEYED_BLOCK_BYTES), block * KEYED_BLOCK_BYTES);
  }
  return bytes;
}

/** A key for maps: one character a byte. */
export function keyOfId(id: ChunkId): string {
  return bufferOf(id).toString('latin1');
}

export function idOfKey(key: string): ChunkId {
  return Buffer.from(key, 'latin1');
}
