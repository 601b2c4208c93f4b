/**
 * What frames the records of a pack: `header | records… | index | footer`. docs/formats/pack.md has it byte by byte.
 * Little-endian; each part ends with the XXH3-64 of everything in it before, so that a flipped bit anywhere is seen.
 *
 *   header 40 B   u32 "HFpk", u16 version, u16 length, u64 realm, u64 pack, u8 id length, 7 zeros, u64 checksum
 *   index         u32 "HFix", u16 version, u8 id length, u8 0, u32 entry count, u32 0,
 *                 entries { id, u32 offset, u32 record length } in byte order of their ids, u64 checksum
 *   footer 48 B   u32 "HFft", u16 version, u8 id length, u8 0, u64 index offset, u64 index length, u32 entry count,
 *                 u32 0, u64 realm, u64 checksum
 *
 * An open pack has neither index nor footer. The index is searched as it lies, without being parsed.
 */
import { compareBytes, equalBytes } from '../../base/index.ts';
import type { ChunkId, PackId, RealmId } from '../../meta/index.ts';
import { bufferOf, xxh3Of } from '../hashes/content-hash.ts';

export const PACK_HEADER_BYTES = 40;
export const PACK_FOOTER_BYTES = 48;
export const PACK_VERSION = 1;
const HEADER_MAGIC = 0x6b704648; // "HFpk"
export const INDEX_MAGIC = 0x78694648; // "HFix"
const FOOTER_MAGIC = 0x74664648; // "HFft"
const INDEX_HEAD_BYTES = 16;
const CHECKSUM_BYTES = 8;
/** Offset and record length behind the id of an index entry. */
const ENTRY_PLACE_BYTES = 8;

/** Where a record lies in its pack. */
export interface Place {
  /** Bytes from the pack's first byte to the record's. */
  readonly offset: number;
  /** Bytes of the whole record. */
  readonly length: number;
}

export interface IndexEntry extends Place {
  readonly id: ChunkId;
}

export interface PackIdentity {
  readonly realm: RealmId;
  readonly pack: PackId;
  readonly idBytes: number;
}

function close(bytes: Buffer): Buffer {
  const end = bytes.length - CHECKSUM_BYTES;
  bytes.set(xxh3Of(bytes.subarray(0, end)).reverse(), end);
  return bytes;
}

function isClosed(bytes: Uint8Array): boolean {
  const end = bytes.length - CHECKSUM_BYTES;
  return end > 0 && equalBytes(xxh3Of(bytes.subarray(0, end)).reverse(), bytes.subarray(end));
}

export function encodePackHeader(identity: PackIdentity): Uint8Array {
  const bytes = Buffer.alloc(PACK_HEADER_BYTES);
  bytes.writeUInt32LE(HEADER_MAGIC, 0);
  bytes.writeUInt16LE(PACK_VERSION, 4);
  bytes.writeUInt16LE(PACK_HEADER_BYTES, 6);
  bytes.writeBigUInt64LE(BigInt(identity.realm), 8);
  bytes.writeBigUInt64LE(BigInt(identity.pack), 16);
  bytes.writeUInt8(identity.idBytes, 24);
  return close(bytes);
}

/** Whether the header is whole and belongs to this pack: everything in it is known beforehand. */
export function isPackHeader(bytes: Uint8Array, identity: PackIdentity): boolean {
  return equalBytes(bytes, encodePackHeader(identity));
}

/** What the header of an object says it is; `undefined` when it is damaged or none. */
export function readPackHeader(bytes: Uint8Array): PackIdentity | undefined {
  const header = bufferOf(bytes);
  if (header.length !== PACK_HEADER_BYTES || header.readUInt32LE(0) !== HEADER_MAGIC) return undefined;
  const identity = {
    realm: Number(header.readBigUInt64LE(8)),
    pack: Number(header.readBigUInt64LE(16)),
    idBytes: header.readUInt8(24),
  };
  return isPackHeader(header, identity) ? identity : undefined;
}

export interface PackFooter {
  readonly indexOffset: number;
  readonly indexLength: number;
  readonly entryCount: number;
}

export function encodeFooter(identity: PackIdentity, footer: PackFooter): Uint8Array {
  const bytes = Buffer.alloc(PACK_FOOTER_BYTES);
  bytes.writeUInt32LE(FOOTER_MAGIC, 0);
  bytes.writeUInt16LE(PACK_VERSION, 4);
  bytes.writeUInt8(identity.idBytes, 6);
  bytes.writeBigUInt64LE(BigInt(footer.indexOffset), 8);
  bytes.writeBigUInt64LE(BigInt(footer.indexLength), 16);
  bytes.writeUInt32LE(footer.entryCount, 24);
  bytes.writeBigUInt64LE(BigInt(identity.realm), 32);
  return close(bytes);
}

/** `undefined` when it is damaged or none. */
export function readFooter(bytes: Uint8Array, identity: PackIdentity): PackFooter | undefined {
  const footer = bufferOf(bytes);
  if (footer.length !== PACK_FOOTER_BYTES || !isClosed(footer)) return undefined;
  if (footer.readUInt32LE(0) !== FOOTER_MAGIC || footer.readUInt16LE(4) !== PACK_VERSION) return undefined;
  if (footer.readUInt8(6) !== identity.idBytes || footer.readBigUInt64LE(32) !== BigInt(identity.realm))
    return undefined;
  return {
    indexOffset: Number(footer.readBigUInt64LE(8)),
    indexLength: Number(footer.readBigUInt64LE(16)),
    entryCount: footer.readUInt32LE(24),
  };
}

/** Entries in any order; of two with one id the one in front comes first. */
export function encodeIndex(entries: Iterable<IndexEntry>, idBytes: number): Uint8Array<ArrayBuffer> {
  const sorted = [...entries].sort((a, b) => Buffer.compare(a.id, b.id) || a.offset - b.offset);
  const entryBytes = idBytes + ENTRY_PLACE_BYTES;
  const bytes = Buffer.alloc(INDEX_HEAD_BYTES + sorted.length * entryBytes + CHECKSUM_BYTES);
  bytes.writeUInt32LE(INDEX_MAGIC, 0);
  bytes.writeUInt16LE(PACK_VERSION, 4);
  bytes.writeUInt8(idBytes, 6);
  bytes.writeUInt32LE(sorted.length, 8);
  for (const [number, entry] of sorted.entries()) {
    const at = INDEX_HEAD_BYTES + number * entryBytes;
    bytes.set(entry.id, at);
    bytes.writeUInt32LE(entry.offset, at + idBytes);
    bytes.writeUInt32LE(entry.length, at + idBytes + 4);
  }
  return close(bytes) as Buffer<ArrayBuffer>;
}

/** Bytes that sealing adds for `recordCount` records. */
export function sealBytesOf(recordCount: number, idBytes: number): number {
  return INDEX_HEAD_BYTES + recordCount * (idBytes + ENTRY_PLACE_BYTES) + CHECKSUM_BYTES + PACK_FOOTER_BYTES;
}

/** The index of one pack: where a chunk's record lies. */
export class PackIndex {
  readonly #bytes: Buffer;
  readonly #idBytes: number;
  readonly count: number;

  private constructor(bytes: Buffer, idBytes: number, count: number) {
    this.#bytes = bytes;
    this.#idBytes = idBytes;
    this.count = count;
  }

  /** `undefined` when the bytes are damaged. Keeps them. */
  static read(bytes: Uint8Array, idBytes: number): PackIndex | undefined {
    const index = bufferOf(bytes);
    if (index.length < INDEX_HEAD_BYTES + CHECKSUM_BYTES || !isClosed(index)) return undefined;
    const count = index.readUInt32LE(8);
    if (index.readUInt32LE(0) !== INDEX_MAGIC || index.readUInt16LE(4) !== PACK_VERSION) return undefined;
    if (index.readUInt8(6) !== idBytes) return undefined;
    if (index.length !== INDEX_HEAD_BYTES + count * (idBytes + ENTRY_PLACE_BYTES) + CHECKSUM_BYTES) return undefined;
    return new PackIndex(index, idBytes, count);
  }

  static of(entries: Iterable<IndexEntry>, idBytes: number): PackIndex {
    const bytes = bufferOf(encodeIndex(entries, idBytes));
    return new PackIndex(bytes, idBytes, bytes.readUInt32LE(8));
  }

  /** As it stands in the pack. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Absent is an answer. */
  find(id: ChunkId): Place | undefined {
    let from = 0;
    let to = this.count;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (compareBytes(this.#idAt(middle), id) < 0) from = middle + 1;
      else to = middle;
    }
    if (from === this.count || compareBytes(this.#idAt(from), id) !== 0) return undefined;
    return this.#placeAt(from);
  }

  *entries(): IterableIterator<IndexEntry> {
    for (let number = 0; number < this.count; number++) yield { id: this.#idAt(number), ...this.#placeAt(number) };
  }

  #at(number: number): number {
    return INDEX_HEAD_BYTES + number * (this.#idBytes + ENTRY_PLACE_BYTES);
  }

  #idAt(number: number): ChunkId {
    const at = this.#at(number);
    return this.#bytes.subarray(at, at + this.#idBytes);
  }

  #placeAt(number: number): Place {
    const at = this.#at(number) + this.#idBytes;
    return { offset: this.#bytes.readUInt32LE(at), length: this.#bytes.readUInt32LE(at + 4) };
  }
}
