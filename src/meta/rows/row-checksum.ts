/**
 * The checksum of a row: CRC-32 (zlib's) over one canonical run of bytes that holds the table's number and every value,
 * keys included, so that a row that is damaged, or whole but in another's place, is noticed when it is read.
 *
 *   u32 table number | u32 nulls (bit i: column i is null)
 *   then per int column, in column order:            i64 value (0 for null)
 *   then per text or bytes column, in column order:  u32 length (0 for null), the bytes (text as UTF-8)
 *
 * All numbers little-endian. docs/formats/metadata.md lists the columns in this order. Every row read and written comes
 * through here, so nothing is allocated for a row without long values.
 */
import { crc32 } from 'node:zlib';
import { assert, EMPTY_BYTES, utf8 } from '../../base/index.ts';
import type { Table, Value } from './tables.ts';

/** Values up to this long are gathered with the rest of the row; longer ones are summed where they are. */
const GATHERED_BYTES_MAX = 512;
/** Room for the numbers of the widest table and for as many gathered values as it has columns. */
const SCRATCH_BYTES = 16_384;

const scratch = new Uint8Array(SCRATCH_BYTES);
const view = new DataView(scratch.buffer);
/** The first n bytes of the scratch, made once for each n: a view costs more than the sum of a short row. */
const prefixes: Uint8Array[] = [];

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
  return checksumOfRuns(types, values, at);
}

/** Goes on with the text and bytes columns behind the numbers. */
function checksumOfRuns(
  types: Table['types'],
  values: readonly (Value | undefined)[],
  numberBytes: number,
): number | undefined {
  let at = numberBytes;
  let sum = 0;
  for (let i = 0; i < types.length; i++) {
    const type = types[i];
    if (type === 'int' || type === 'int?') continue;
    const value = values[i];
    if (type === 'text' ? typeof value !== 'string' : value !== null && !(value instanceof Uint8Array))
      return undefined;
    if (typeof value === 'string' && putAscii(value, at + 4)) {
      view.setUint32(at, value.length, true);
      at += 4 + value.length;
      continue;
    }
    const bytes = bytesOf(value);
    view.setUint32(at, bytes.length, true);
    at += 4;
    if (bytes.length <= GATHERED_BYTES_MAX) {
      scratch.set(bytes, at);
      at += bytes.length;
    } else {
      sum = crc32(bytes, crc32(prefix(at), sum));
      at = 0;
    }
  }
  return (at === 0 ? sum : crc32(prefix(at), sum)) | 0;
}

/** Most text is short and ASCII; false, and nothing of meaning written, when it is not. */
function putAscii(text: string, at: number): boolean {
  if (text.length > GATHERED_BYTES_MAX) return false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return false;
    scratch[at + i] = code;
  }
  return true;
}

function bytesOf(value: Value | undefined): Uint8Array {
  if (typeof value === 'string') {
    assert(value.isWellFormed(), 'text is well-formed Unicode');
    return utf8(value);
  }
  return value instanceof Uint8Array ? value : EMPTY_BYTES;
}

function prefix(length: number): Uint8Array {
  prefixes[length] ??= scratch.subarray(0, length);
  return prefixes[length];
}
