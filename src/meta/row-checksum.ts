/**
 * The checksum of a row: CRC-32 (zlib's) over one canonical run of bytes that holds the table's number and every value,
 * keys included, so that a row that is damaged, or whole but in another's place, is noticed when it is read.
 *
 *   u32 table number | u32 nulls (bit i: column i is null)
 *   then per int column, in column order:            i64 value (0 for null)
 *   then per text or bytes column, in column order:  u32 length (0 for null)
 *   then those columns' bytes, in column order (text as UTF-8)
 *
 * All numbers little-endian. docs/formats/metadata.md lists columns in this order.
 */
import { crc32 } from 'node:zlib';
import { assert, utf8 } from '../base/index.ts';
import type { Table, Value } from './tables.ts';

/** Bytes of a row that are gathered before they are summed; longer values are summed where they are. */
const SCRATCH_BYTES = 16_384;
const GATHERED_BYTES_MAX = 512;

const scratch = new Uint8Array(SCRATCH_BYTES);
const view = new DataView(scratch.buffer);

/**
 * The checksum as a signed 32-bit number; `values` stand in column order. Undefined when a value has the wrong type or
 * range for its column: a bug on the way in, damage on the way out.
 */
export function checksumOf(table: Table, values: readonly (Value | undefined)[]): number | undefined {
  const { types } = table;
  let at = 8;
  let nulls = 0;
  for (let i = 0; i < types.length; i++) {
    const value = values[i];
    const type = types[i];
    if (value === null) {
      if (type !== 'int?' && type !== 'bytes?') return undefined;
      nulls |= 1 << i;
    }
    if (type !== 'int' && type !== 'int?') continue;
    const number = value === null ? 0 : value;
    if (typeof number !== 'number' || !Number.isSafeInteger(number)) return undefined;
    // Conversion to 32 bits is modulo 2^32, so both halves are those of the two's complement.
    view.setInt32(at, number | 0, true);
    view.setInt32(at + 4, Math.floor(number / 0x1_0000_0000), true);
    at += 8;
  }
  view.setUint32(0, table.number, true);
  view.setInt32(4, nulls, true);
  return checksumOfBytes(types, values, at);
}

function checksumOfBytes(
  types: Table['types'],
  values: readonly (Value | undefined)[],
  fixedBytes: number,
): number | undefined {
  let at = fixedBytes;
  const runs: Uint8Array[] = [];
  for (let i = 0; i < types.length; i++) {
    const type = types[i];
    if (type === 'int' || type === 'int?') continue;
    const bytes = bytesOf(type, values[i]);
    if (bytes === undefined) return undefined;
    view.setUint32(at, bytes.length, true);
    at += 4;
    if (bytes.length > 0) runs.push(bytes);
  }
  let sum = 0;
  for (const bytes of runs) {
    if (bytes.length <= GATHERED_BYTES_MAX) {
      scratch.set(bytes, at);
      at += bytes.length;
    } else {
      sum = crc32(bytes, crc32(scratch.subarray(0, at), sum));
      at = 0;
    }
  }
  return (at === 0 ? sum : crc32(scratch.subarray(0, at), sum)) | 0;
}

const EMPTY = new Uint8Array(0);

function bytesOf(type: Table['types'][number] | undefined, value: Value | undefined): Uint8Array | undefined {
  if (type === 'text') {
    if (typeof value !== 'string') return undefined;
    assert(value.isWellFormed(), 'text is well-formed Unicode');
    return value === '' ? EMPTY : utf8(value);
  }
  if (value === null) return EMPTY;
  return value instanceof Uint8Array ? value : undefined;
}
