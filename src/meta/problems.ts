/** What a check can find, worded once for all engines. */
import type { MetaProblem } from './meta-store.ts';
import type { TableName } from './rows/rows.ts';
import { shownKey, shownPlace } from './rows/show.ts';
import { type Key, table } from './rows/tables.ts';

type Counts = Readonly<Record<string, number>>;

/** A counted column says one thing and the rows another. */
export function wrongCount(
  name: TableName,
  key: Key,
  counts: { readonly stored: Counts; readonly counted: Counts },
): MetaProblem {
  const sentence = `${place(name, key)} counts ${listed(counts.stored)}, but its rows add up to ${listed(counts.counted)}.`;
  return { table: name, sentence, about: { key: shownKey(table(name), key), ...counts } };
}

/** Rows name something that has no row. */
export function missingRow(name: TableName, key: Key, namedBy: Counts): MetaProblem {
  const sentence = `${place(name, key)} is named by ${listed(namedBy)} but is not there.`;
  return { table: name, sentence, about: { key: shownKey(table(name), key), missing: true, ...namedBy } };
}

/** A row contradicts itself or another. */
export function oddRow(name: TableName, key: Key, what: string): MetaProblem {
  return { table: name, sentence: `${place(name, key)} ${what}.`, about: { key: shownKey(table(name), key), what } };
}

export const ODD = {
  zeroTime: 'has references and a time when they fell to zero, or neither',
  notQueued: 'has no reference and is not queued to be taken apart',
  depth: 'is packed against a chunk that is not of lower depth',
  head: 'has a head that lies before a commit of it',
} as const;

function place(name: TableName, key: Key): string {
  return shownPlace(table(name), key);
}

function listed(counts: Counts): string {
  return Object.entries(counts)
    .map(([column, count]) => `${column} ${count}`)
    .join(', ');
}
