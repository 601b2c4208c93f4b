/** Keys and values of rows as plain data for faults: names as text where they are text, other bytes in hex. */
import { hexOf, textOfUtf8 } from '../../base/index.ts';
import type { Key, Table, Value } from './tables.ts';

const NAMES = new Set(['name', 'nameBefore', 'nameAfter', 'target']);
/** Characters or bytes of a value that a fault repeats. */
const SHOWN_MAX = 300;

export function shownValue(column: string, value: Value | undefined): string | number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number') return value;
  if (typeof value === 'string') return value.slice(0, SHOWN_MAX);
  const text = NAMES.has(column) ? textOfUtf8(value.subarray(0, SHOWN_MAX)) : undefined;
  return text ?? hexOf(value.subarray(0, SHOWN_MAX));
}

export function shownKey(of: Table, key: Key): Readonly<Record<string, string | number | null>> {
  return Object.fromEntries(key.map((part, index) => [of.key[index] ?? '', shownValue(of.key[index] ?? '', part)]));
}

/** `table(space 1, node 7)`, for sentences. */
export function shownPlace(of: Table, key: Key): string {
  const parts = Object.entries(shownKey(of, key)).map(([column, value]) => `${column} ${value}`);
  return `${of.name}(${parts.join(', ')})`;
}
