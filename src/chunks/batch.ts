/**
 * A batch: chunks that are encoded and appended together, in shared memory, so that a worker compresses them where they
 * lie. Every chunk stands behind room for its record's header; encoding turns the batch in place into whole records,
 * one directly behind the other, because a record is never longer than its chunk and that room.
 *
 *   table   COUNT_MAX × { at, plain length, level, record length } i32; level RAW stores as it is
 *   data    { room for a header, plain bytes } …   ->   { record } …
 *
 * The same code runs in a worker and, for small amounts, on the main thread.
 * Bytes go in and along with `Buffer.copy`: the `set` and `copyWithin` of shared memory take ten times as long.
 */
import { assert } from '../base/index.ts';
import type { RealmId } from '../meta/index.ts';
import type { CompressionLevel } from './chunk-store.ts';
import { bufferOf } from './content-hash.ts';
import { CODEC, closeRecord, compress, openRecord, RECORD_HEADER_BYTES } from './record.ts';

/** Chunks in one batch. */
export const BATCH_COUNT_MAX = 512;
const FIELDS = 4;
const TABLE_BYTES = BATCH_COUNT_MAX * FIELDS * 4;
/** Level of a chunk that is not to be compressed; no zstd level. */
const RAW = 1_000;

export interface BatchMemory {
  readonly shared: SharedArrayBuffer;
  readonly table: Int32Array;
  readonly data: Uint8Array;
  /** The same memory. */
  readonly buffer: Buffer;
}

/** Memory for batches of `batchBytes` plain bytes; the last chunk may begin just below that. */
export function batchMemoryBytes(batchBytes: number, chunkBytesMax: number): number {
  return TABLE_BYTES + batchBytes + chunkBytesMax + BATCH_COUNT_MAX * RECORD_HEADER_BYTES;
}

export function batchMemoryOf(shared: SharedArrayBuffer): BatchMemory {
  return {
    shared,
    table: new Int32Array(shared, 0, BATCH_COUNT_MAX * FIELDS),
    data: new Uint8Array(shared, TABLE_BYTES),
    buffer: Buffer.from(shared, TABLE_BYTES),
  };
}

/** Puts chunk `number` at `at` of the data; answers where the next one goes. */
export function placeChunk(
  memory: BatchMemory,
  chunk: {
    readonly number: number;
    readonly at: number;
    readonly realm: RealmId;
    readonly id: Uint8Array;
    readonly plain: Uint8Array;
    readonly level: CompressionLevel;
  },
): number {
  const { number, at, plain, level } = chunk;
  assert(number < BATCH_COUNT_MAX, 'a batch takes no more chunks than it may');
  openRecord(memory.data, at, { realm: chunk.realm, id: chunk.id, plainLength: plain.length });
  bufferOf(plain).copy(memory.buffer, at + RECORD_HEADER_BYTES);
  memory.table.set([at, plain.length, level === 'none' ? RAW : level, 0], number * FIELDS);
  return at + RECORD_HEADER_BYTES + plain.length;
}

/** Encodes the first `count` chunks in place; answers the bytes of all records, which begin at 0. */
export function encodeBatch(memory: BatchMemory, count: number): number {
  const { table, buffer } = memory;
  let end = 0;
  for (let number = 0; number < count; number++) {
    const field = number * FIELDS;
    const [at = 0, plainLength = 0, level = RAW] = table.subarray(field, field + FIELDS);
    const recordLength = encodeInPlace(buffer, { at, plainLength, level, to: end });
    table[field] = end;
    table[field + 3] = recordLength;
    end += recordLength;
  }
  return end;
}

function encodeInPlace(
  data: Buffer,
  chunk: { readonly at: number; readonly plainLength: number; readonly level: number; readonly to: number },
): number {
  const { at, plainLength, level, to } = chunk;
  const plainAt = at + RECORD_HEADER_BYTES;
  const packed = level === RAW ? undefined : compress(data.subarray(plainAt, plainAt + plainLength), level);
  // Records before this one are never longer than their chunks were, so `to` is not behind `at`.
  if (packed !== undefined) {
    if (to !== at) data.copy(data, to, at, plainAt);
    bufferOf(packed).copy(data, to + RECORD_HEADER_BYTES);
    closeRecord(data, to, CODEC.zstd, packed.length);
    return RECORD_HEADER_BYTES + packed.length;
  }
  if (to !== at) data.copy(data, to, at, plainAt + plainLength);
  closeRecord(data, to, CODEC.raw, plainLength);
  return RECORD_HEADER_BYTES + plainLength;
}

/** Where record `number` lies after encoding, and whether compression was tried and paid. */
export function encodedAt(
  memory: BatchMemory,
  number: number,
): { readonly offset: number; readonly length: number; readonly wasTried: boolean; readonly isSmaller: boolean } {
  const [offset = 0, plainLength = 0, level = RAW, length = 0] = memory.table.subarray(
    number * FIELDS,
    number * FIELDS + FIELDS,
  );
  return {
    offset,
    length,
    wasTried: level !== RAW,
    isSmaller: length < plainLength + RECORD_HEADER_BYTES,
  };
}
