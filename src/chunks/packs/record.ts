/**
 * A chunk record: one chunk's stored bytes behind a header that says all about them, so that a pack can be walked,
 * checked and indexed anew from its records alone. docs/formats/pack.md has the same, with words. Little-endian.
 *
 *    0  u32  magic "HFrc"
 *    4  u32  header checksum: low half of XXH3-64 over bytes 16 … header length
 *    8  u64  record checksum: XXH3-64 over bytes 16 … end of the stored bytes
 *   16  u8   version, codec, flags, depth, seal suite, id length; u16 header length
 *   24  u32  plain length; u32 stored length
 *   32  u64  realm
 *   40  32 B id, zeros behind a shorter one
 *   72  32 B base id                  (flag 1)
 *    …  16 B key id, 24 B nonce       (seal suite not 0)
 *    …  stored bytes
 *
 * Magic is compared, every other header byte is under a checksum, reserved bits must be zero: no flipped bit passes.
 */
import { constants as zlib, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { assert, equalBytes, Fault } from '../../base/index.ts';
import type { ChunkId, RealmId } from '../../meta/index.ts';
import type { CompressionLevel } from '../chunk-store.ts';
import { bufferOf, xxh3Of } from '../hashes/content-hash.ts';
import { compressFrame, decompressFrame, decompressFrameInto } from './zstd.ts';

/** Values of `codec` in records; never renumbered. */
export const CODEC = { raw: 0, zstd: 1, patch: 2 } as const;
export type Codec = (typeof CODEC)[keyof typeof CODEC];

export const RECORD_MAGIC = 0x63724648; // "HFrc"
export const RECORD_VERSION = 1;
/** Header bytes of a record without base and seal: the most common, and the least. */
export const RECORD_HEADER_BYTES = 72;
export const RECORD_HEADER_BYTES_MAX = RECORD_HEADER_BYTES + 32 + 40;
/** A chain of patches has at most this many bases: more would make one read many. */
export const BASE_DEPTH_MAX = 8;

const FLAG_BASE = 1;
const SEAL_BYTES = 16 + 24;
const CHECKED_FROM = 16;
const ID_ROOM_BYTES = 32;
const BASE_AT = RECORD_HEADER_BYTES;

/** A chunk is stored compressed when that saves at least one part in this many. */
const WORTHWHILE_PART = 32;
/** Shorter than this zstd does not win anything worth its frame. */
const COMPRESS_BYTES_MIN = 64;

export interface RecordHeader {
  readonly codec: Codec;
  readonly depth: number;
  readonly realm: RealmId;
  readonly id: ChunkId;
  readonly plainLength: number;
  readonly storedLength: number;
  readonly headerLength: number;
  /** headerLength + storedLength. */
  readonly recordLength: number;
  readonly base: ChunkId | undefined;
  readonly sealSuite: number;
}

export interface NewRecord {
  readonly realm: RealmId;
  readonly id: ChunkId;
  readonly plainLength: number;
}

/** Writes what is known before encoding; `closeRecord` adds the rest. `at` has RECORD_HEADER_BYTES of room. */
export function openRecord(target: Uint8Array, at: number, record: NewRecord): void {
  const header = viewOf(target, at, RECORD_HEADER_BYTES);
  target.fill(0, at, at + RECORD_HEADER_BYTES);
  header.setUint32(0, RECORD_MAGIC, true);
  header.setUint8(16, RECORD_VERSION);
  header.setUint8(21, record.id.length);
  header.setUint16(22, RECORD_HEADER_BYTES, true);
  header.setUint32(24, record.plainLength, true);
  header.setBigUint64(32, BigInt(record.realm), true);
  target.set(record.id, at + 40);
}

/** Fills in codec, stored length and checksums of a record whose stored bytes stand behind its header. */
export function closeRecord(target: Uint8Array, at: number, codec: Codec, storedLength: number): void {
  const headerLength = viewOf(target, at, RECORD_HEADER_BYTES).getUint16(22, true);
  const header = viewOf(target, at, headerLength);
  header.setUint8(17, codec);
  header.setUint32(28, storedLength, true);
  header.setUint32(4, headerChecksumOf(target, at, headerLength), true);
  target.set(recordChecksumOf(target, at, headerLength + storedLength), at + 8);
}

function headerChecksumOf(bytes: Uint8Array, at: number, headerLength: number): number {
  const hash = xxh3Of(bytes.subarray(at + CHECKED_FROM, at + headerLength));
  return bufferOf(hash).readUInt32BE(4);
}

/** XXH3-64 as it stands in the record: little-endian. */
function recordChecksumOf(bytes: Uint8Array, at: number, recordLength: number): Uint8Array {
  return xxh3Of(bytes.subarray(at + CHECKED_FROM, at + recordLength)).reverse();
}

/** The compressed bytes, good until the next call, or undefined where raw is as good. */
export function compress(plain: Uint8Array, level: number): Uint8Array | undefined {
  if (plain.length < COMPRESS_BYTES_MIN) return undefined;
  const packed = compressFrame(plain, level);
  return packed.length <= plain.length - plain.length / WORTHWHILE_PART ? packed : undefined;
}

/** One whole record in its own memory. */
export function encodeRecord(record: NewRecord, plain: Uint8Array, level: CompressionLevel): Uint8Array {
  const packed = level === 'none' ? undefined : compress(plain, level);
  const stored = packed ?? plain;
  const bytes = new Uint8Array(RECORD_HEADER_BYTES + stored.length);
  openRecord(bytes, 0, record);
  bytes.set(stored, RECORD_HEADER_BYTES);
  closeRecord(bytes, 0, packed === undefined ? CODEC.raw : CODEC.zstd, stored.length);
  return bytes;
}

/** What a patch is made against. */
export interface PatchBase {
  readonly id: ChunkId;
  readonly plain: Uint8Array;
  /** Depth of the base's own record. */
  readonly depth: number;
}

/**
 * One whole record that needs its base to be read. Undefined when the base is too deep, or the patch saves nothing over
 * raw. The caller puts `base` and `depth` into the chunk row.
 */
export function encodePatch(
  record: NewRecord,
  plain: Uint8Array,
  base: PatchBase,
  level: number,
): Uint8Array | undefined {
  assert(!equalBytes(record.id, base.id), 'a chunk is not its own base');
  if (base.depth >= BASE_DEPTH_MAX || plain.length < COMPRESS_BYTES_MIN) return undefined;
  const packed = zstdCompressSync(plain, {
    dictionary: base.plain,
    params: { [zlib.ZSTD_c_compressionLevel]: level },
  });
  if (packed.length > plain.length - plain.length / WORTHWHILE_PART) return undefined;
  const headerLength = RECORD_HEADER_BYTES + ID_ROOM_BYTES;
  const bytes = new Uint8Array(headerLength + packed.length);
  openRecord(bytes, 0, record);
  const header = viewOf(bytes, 0, headerLength);
  header.setUint8(18, FLAG_BASE);
  header.setUint8(19, base.depth + 1);
  header.setUint16(22, headerLength, true);
  bytes.set(base.id, BASE_AT);
  bytes.set(packed, headerLength);
  closeRecord(bytes, 0, CODEC.patch, packed.length);
  return bytes;
}

/** Why a header is not one; the sentence goes into a fault. */
export type HeaderFlaw = { readonly flaw: string };

/** Reads and checks the header at `at`; `bytes` may end anywhere. */
export function readHeader(bytes: Uint8Array, at = 0): RecordHeader | HeaderFlaw {
  if (bytes.length - at < RECORD_HEADER_BYTES) return { flaw: 'it ends inside its header' };
  const view = viewOf(bytes, at, RECORD_HEADER_BYTES);
  if (view.getUint32(0, true) !== RECORD_MAGIC) return { flaw: 'it does not begin with the mark of a record' };
  const headerLength = view.getUint16(22, true);
  if (headerLength < RECORD_HEADER_BYTES || headerLength > RECORD_HEADER_BYTES_MAX)
    return { flaw: 'its header has an impossible length' };
  if (bytes.length - at < headerLength) return { flaw: 'it ends inside its header' };
  if (view.getUint32(4, true) !== headerChecksumOf(bytes, at, headerLength))
    return { flaw: 'its header does not match its checksum' };
  return parseHeader(bytes, at, view, headerLength);
}

/** Behind the checksum: what is wrong here was written so, by a newer version or a bug. */
function parseHeader(bytes: Uint8Array, at: number, view: DataView, headerLength: number): RecordHeader | HeaderFlaw {
  const flags = view.getUint8(18);
  const sealSuite = view.getUint8(20);
  const hasBase = (flags & FLAG_BASE) !== 0;
  const idLength = view.getUint8(21);
  const expected = RECORD_HEADER_BYTES + (hasBase ? ID_ROOM_BYTES : 0) + (sealSuite === 0 ? 0 : SEAL_BYTES);
  const codec = view.getUint8(17);
  if (view.getUint8(16) !== RECORD_VERSION || (flags & ~FLAG_BASE) !== 0 || codec > CODEC.patch)
    return { flaw: 'it has a form that this version does not know' };
  if (headerLength !== expected || (idLength !== 16 && idLength !== 32) || hasBase !== (codec === CODEC.patch))
    return { flaw: 'its header contradicts itself' };
  const storedLength = view.getUint32(28, true);
  return {
    codec: codec as Codec,
    depth: view.getUint8(19),
    realm: Number(view.getBigUint64(32, true)),
    id: bytes.slice(at + 40, at + 40 + idLength),
    plainLength: view.getUint32(24, true),
    storedLength,
    headerLength,
    recordLength: headerLength + storedLength,
    base: hasBase ? bytes.slice(at + BASE_AT, at + BASE_AT + idLength) : undefined,
    sealSuite,
  };
}

export function isFlaw(header: RecordHeader | HeaderFlaw): header is HeaderFlaw {
  return 'flaw' in header;
}

/** Whether the stored bytes behind a good header are as they were written. */
export function isRecordWhole(bytes: Uint8Array, at: number, header: RecordHeader): boolean {
  if (bytes.length - at < header.recordLength) return false;
  return equalBytes(recordChecksumOf(bytes, at, header.recordLength), bytes.subarray(at + 8, at + 16));
}

/**
 * The plain bytes of a record that `isRecordWhole`; `base` are the plain bytes of its base when it names one. For a raw
 * record they are a view of `bytes`. The id is the caller's to check. @throws Fault `corrupt`, `unsupported`.
 */
export function decodeRecord(bytes: Uint8Array, at: number, header: RecordHeader, base?: Uint8Array): Uint8Array {
  if (header.sealSuite !== 0)
    throw new Fault('unsupported', 'A chunk record is sealed, and this version has no keys to open it.');
  const stored = bytes.subarray(at + header.headerLength, at + header.recordLength);
  const plain = header.codec === CODEC.raw ? stored : decompress(stored, header, base);
  if (plain.length === header.plainLength) return plain;
  throw new Fault('corrupt', 'A chunk record does not hold as many bytes as its header says.', {
    expected: header.plainLength,
    found: plain.length,
  });
}

/**
 * The plain bytes of a record without base and seal that `isRecordWhole`, into `target`, where behind them there is
 * room for one byte more; a raw record's own place serves too. False when they are not what the header says.
 */
export function decodeRecordInto(
  bytes: Uint8Array,
  at: number,
  header: RecordHeader,
  target: Uint8Array,
  targetAt: number,
): boolean {
  const stored = bytes.subarray(at + header.headerLength, at + header.recordLength);
  if (header.codec === CODEC.raw) {
    if (stored.length !== header.plainLength) return false;
    if (target !== bytes || targetAt !== at + header.headerLength) target.set(stored, targetAt);
    return true;
  }
  try {
    return decompressFrameInto(stored, target, targetAt, header.plainLength) === header.plainLength;
  } catch {
    return false;
  }
}

function decompress(stored: Uint8Array, header: RecordHeader, base: Uint8Array | undefined): Uint8Array {
  assert(header.codec !== CODEC.patch || base !== undefined, 'a patch is decoded with its base');
  try {
    if (header.codec === CODEC.zstd) return decompressFrame(stored, header.plainLength);
    return zstdDecompressSync(stored, { maxOutputLength: Math.max(1, header.plainLength), dictionary: base });
  } catch (error) {
    throw new Fault('corrupt', 'A chunk record does not decompress.', {}, error);
  }
}

function viewOf(bytes: Uint8Array, at: number, length: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + at, length);
}
