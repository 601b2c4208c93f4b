/**
 * A key as one string whose order (by UTF-16 unit, as JavaScript compares strings) is the order of keys: numbers by
 * value, text and bytes byte-wise, a prefix before what it begins. Used as the key of maps and as the order of the
 * memory engine; never stored.
 *
 * A number (0 to 2^53 − 1) takes four units of 14 bits, most significant first; a byte b the unit b + 1; the unit 0
 * ends a run of bytes. No unit reaches KEY_AFTER, so `prefix + KEY_AFTER` comes after every key that begins with it.
 */

import { assert, utf8 } from '../../base/index.ts';
import type { AnyRange } from './row-source.ts';

import type { IndexName, TableName } from './rows.ts';
import { type Key, type KeyPart, wayOf } from './tables.ts';

export const KEY_AFTER = '\uffff';

export function keyString(key: Key): string {
  const [first, second] = key;
  // Most keys are two numbers; made at once they are one flat string, not two and a third that joins them.
  if (key.length === 2 && typeof first === 'number' && typeof second === 'number') return pairString(first, second);
  let text = '';
  for (let i = 0; i < key.length; i++) text += partString(key[i] as KeyPart);
  return text;
}

/** The key strings that a scan goes over: from `low` up to but without `high`. */
export function spanOf(
  name: TableName | IndexName,
  range: AnyRange,
): { readonly low: string; readonly high: string; readonly isReverse: boolean } {
  const { prefix, after, from, reverse = false } = range;
  assert(after === undefined || from === undefined, 'a scan starts after or from, not both');
  const columns = prefix.length + (after ?? from ?? []).length;
  assert(columns <= wayOf(name).key.length, 'a scan names no more columns than the key has', { name, columns });
  const start = keyString(prefix);
  const bound = start + keyString(after ?? from ?? []);
  const isBounded = after !== undefined || from !== undefined;
  // Everything that begins with the bound counts with it: it lies between `bound` and `bound + KEY_AFTER`.
  const edge = (from === undefined) === reverse ? bound : bound + KEY_AFTER;
  const low = isBounded && !reverse ? edge : start;
  const high = isBounded && reverse ? edge : start + KEY_AFTER;
  return { low, high, isReverse: reverse };
}

function partString(part: KeyPart): string {
  if (typeof part === 'number') return numberString(part);
  return bytesString(typeof part === 'string' ? utf8(part) : part);
}

function pairString(first: number, second: number): string {
  mustBeWhole(first);
  mustBeWhole(second);
  const high = Math.floor(first / 0x1000_0000);
  const low = first % 0x1000_0000;
  const highNext = Math.floor(second / 0x1000_0000);
  const lowNext = second % 0x1000_0000;
  // biome-ignore format: the units of one number a line
  return String.fromCharCode(
    high >>> 14, high & 0x3fff, low >>> 14, low & 0x3fff,
    highNext >>> 14, highNext & 0x3fff, lowNext >>> 14, lowNext & 0x3fff,
  );
}

function mustBeWhole(value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  assert(false, 'a key column is a whole number from 0 to 2^53 − 1', { value });
}

function numberString(value: number): string {
  mustBeWhole(value);
  const high = Math.floor(value / 0x1000_0000);
  const low = value % 0x1000_0000;
  return String.fromCharCode(high >>> 14, high & 0x3fff, low >>> 14, low & 0x3fff);
}

/** Bytes turned into units at once; longer runs go in pieces. */
const UNITS_MAX = 256;
const units = new Uint16Array(UNITS_MAX);
const unitPrefixes = Array.from({ length: UNITS_MAX + 1 }, (_, length) => units.subarray(0, length));

function bytesString(bytes: Uint8Array): string {
  let text = '';
  for (let start = 0; start < bytes.length; start += UNITS_MAX) {
    const count = Math.min(UNITS_MAX, bytes.length - start);
    for (let i = 0; i < count; i++) units[i] = (bytes[start + i] ?? 0) + 1;
    text += String.fromCharCode.apply(null, unitPrefixes[count] as unknown as number[]);
  }
  return `${text}\0`;
}
