/**
 * A batch: chunks that are encoded and appended together, in shared memory, so that a worker compresses them where they
 * lie. Encoding turns it in place into whole records, one directly behind the other, because a record is never longer
 * than its chunk and the room for a header. It is filled in one of two ways.
 *
 *   table   COUNT_MAX × { at, plain length, level, record length } i32; level RAW stores as it is, SKIPPED not at all
 *   ids     COUNT_MAX × 32 B
 *   data    of chunks that were cut elsewhere:   { room for a header, plain bytes } …           ->   { record } …
 *           a block, a piece of a stream to cut: { room for all headers, tail, bytes as they came } ->   { record } …
 *
 * The tail of a block is what was left behind the last cut of the block before; who cuts keeps it.
 * The same code runs in a worker and, for small amounts, on the main thread.
 * Bytes go in and along with `Buffer.copy`: the `set` and `copyWithin` of shared memory take ten times as long.
 */
import { assert } from '../../base/index.ts';
import type { RealmId } from '../../meta/index.ts';
import type { ChunkFormat, CompressionLevel } from '../chunk-store.ts';
import type { Chunker } from '../cutting/chunker.ts';
import { bufferOf } from '../hashes/content-hash.ts';
import type { IdHasher } from '../hashes/ids.ts';
import { CODEC, closeRecord, compress, openRecord, RECORD_HEADER_BYTES } from '../packs/record.ts';

/** Chunks in one batch. */
export const BATCH_COUNT_MAX = 512;
const FIELDS = 4;
const TABLE_BYTES = BATCH_COUNT_MAX * FIELDS * 4;
const ID_ROOM_BYTES = 32;
const IDS_BYTES = BATCH_COUNT_MAX * ID_ROOM_BYTES;
/** Level of a chunk that is not to be compressed; no zstd level. */
const RAW = 1_000;
/** Level of a chunk that is not to be stored. */
const SKIPPED = 1_001;
/** What a cut found of a chunk; stands where its level goes until that is decided. */
const CUT_AS = { plain: 0, hole: 1, random: 2 } as const;
/** Room for the headers of all chunks of a block. */
const HEADERS_BYTES = BATCH_COUNT_MAX * RECORD_HEADER_BYTES;

export interface BatchMemory {
  readonly shared: SharedArrayBuffer;
  readonly table: Int32Array;
  readonly ids: Uint8Array;
  readonly data: Uint8Array;
  /** The same memory. */
  readonly buffer: Buffer;
}

/** Memory for batches of `batchBytes` plain bytes; the last chunk may begin just below that. */
export function batchMemoryBytes(batchBytes: number, chunkBytesMax: number): number {
  return TABLE_BYTES + IDS_BYTES + batchBytes + chunkBytesMax + HEADERS_BYTES;
}

/** Bytes of a stream that one block takes: never more than are cut into as many chunks as it may have. May be none. */
export function blockBytesOf(batchBytes: number, format: ChunkFormat): number {
  const { chunkBytesMin, chunkBytesMean, chunkBytesMax } = format;
  const leastBytes = Math.min(chunkBytesMin, chunkBytesMean / 2);
  return Math.min(batchBytes, (BATCH_COUNT_MAX - 1) * leastBytes - chunkBytesMax);
}

export function batchMemoryOf(shared: SharedArrayBuffer): BatchMemory {
  return {
    shared,
    table: new Int32Array(shared, 0, BATCH_COUNT_MAX * FIELDS),
    ids: new Uint8Array(shared, TABLE_BYTES, IDS_BYTES),
    data: new Uint8Array(shared, TABLE_BYTES + IDS_BYTES),
    buffer: Buffer.from(shared, TABLE_BYTES + IDS_BYTES),
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

/** Where the bytes of a stream go in a block, behind the room for the tail. */
export function blockStartOf(format: ChunkFormat): number {
  return HEADERS_BYTES + format.chunkBytesMax;
}

export interface BlockCutter {
  readonly format: ChunkFormat;
  /** Its window holds a block and a tail. */
  readonly chunker: Chunker;
  readonly idOf: IdHasher;
}

/**
 * Cuts a block of `length` bytes that came behind `tail`, to the end of the stream when it is the last. Fills in table
 * and ids; answers how many chunks there are, and the bytes behind the last cut, which are the next tail. They lie in
 * the chunker's window.
 */
export function cutBlock(
  memory: BatchMemory,
  cutter: BlockCutter,
  block: { readonly tail: Uint8Array; readonly length: number; readonly isLast: boolean; readonly asksNoise: boolean },
): { readonly count: number; readonly tail: Uint8Array } {
  const { format, chunker, idOf } = cutter;
  const start = blockStartOf(format) - block.tail.length;
  const length = block.tail.length + block.length;
  bufferOf(block.tail).copy(memory.buffer, start);
  memory.buffer.copy(chunker.window, 0, start, start + length);
  const lengthMin = block.isLast ? 1 : format.chunkBytesMax;
  let [at, count] = [0, 0];
  for (; length - at >= lengthMin; count++) {
    const chunkLength = chunker.cut(at, length - at);
    const isHole = chunker.isZero(at, chunkLength);
    const isRandom = !isHole && block.asksNoise && chunker.looksRandom(at, chunkLength);
    const cutAs = isHole ? CUT_AS.hole : isRandom ? CUT_AS.random : CUT_AS.plain;
    assert(count < BATCH_COUNT_MAX, 'a block is not cut into more chunks than it may have');
    memory.table.set([start + at, chunkLength, cutAs, 0], count * FIELDS);
    if (!isHole) memory.ids.set(idOf(chunker.window.subarray(at, at + chunkLength)), count * ID_ROOM_BYTES);
    at += chunkLength;
  }
  return { count, tail: chunker.window.subarray(at, length) };
}

/** Chunk `number` of a block that was cut; its id in memory of its own. */
export function cutAt(
  memory: BatchMemory,
  number: number,
  idBytes: number,
): {
  readonly at: number;
  readonly length: number;
  readonly id: Uint8Array;
  readonly isHole: boolean;
  readonly looksRandom: boolean;
} {
  const field = number * FIELDS;
  const { table, ids } = memory;
  const isHole = table[field + 2] === CUT_AS.hole;
  return {
    at: table[field] ?? 0,
    length: table[field + 1] ?? 0,
    id: isHole ? new Uint8Array(0) : ids.slice(number * ID_ROOM_BYTES, number * ID_ROOM_BYTES + idBytes),
    isHole,
    looksRandom: table[field + 2] === CUT_AS.random,
  };
}

/** Says what becomes of chunk `number` of a block that was cut; undefined: it is not stored. */
export function decideCut(memory: BatchMemory, number: number, level: CompressionLevel | undefined): void {
  memory.table[number * FIELDS + 2] = level === undefined ? SKIPPED : level === 'none' ? RAW : level;
}

/** Encodes what is to be stored of the first `count` chunks of a block; answers the bytes of all records, from 0 on. */
export function encodeBlock(memory: BatchMemory, count: number, stored: { realm: RealmId; idBytes: number }): number {
  const { table } = memory;
  let end = 0;
  for (let number = 0; number < count; number++) {
    const field = number * FIELDS;
    if (table[field + 2] === SKIPPED) continue;
    const recordLength = encodeCut(memory, number, { ...stored, to: end });
    table[field] = end;
    table[field + 3] = recordLength;
    end += recordLength;
  }
  return end;
}

/** With room for every header in front of all bytes, a record never reaches behind the end of its own chunk. */
function encodeCut(
  memory: BatchMemory,
  number: number,
  stored: { realm: RealmId; idBytes: number; to: number },
): number {
  const { table, ids, data, buffer } = memory;
  const { realm, idBytes, to } = stored;
  const field = number * FIELDS;
  const [at = 0, plainLength = 0, level = RAW] = table.subarray(field, field + FIELDS);
  const packed = level === RAW ? undefined : compress(buffer.subarray(at, at + plainLength), level);
  if (packed === undefined) buffer.copy(buffer, to + RECORD_HEADER_BYTES, at, at + plainLength);
  else bufferOf(packed).copy(buffer, to + RECORD_HEADER_BYTES);
  const id = ids.subarray(number * ID_ROOM_BYTES, number * ID_ROOM_BYTES + idBytes);
  openRecord(data, to, { realm, id, plainLength });
  const storedLength = packed?.length ?? plainLength;
  closeRecord(data, to, packed === undefined ? CODEC.raw : CODEC.zstd, storedLength);
  return RECORD_HEADER_BYTES + storedLength;
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
    wasTried: level !== RAW && level !== SKIPPED,
    isSmaller: length < plainLength + RECORD_HEADER_BYTES,
  };
}
