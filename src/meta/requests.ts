/**
 * What counting everything anew (counts.ts) asks of an engine, one row request at a time: a generator that yields these
 * and is handed the answers.
 */
import type { RowOf, ScanRange } from './meta-store.ts';
import type { AnyRange } from './rows/row-source.ts';
import type { IndexName, Keys, Rows, TableName } from './rows/rows.ts';
import type { Key, Row } from './rows/tables.ts';

/** `insert`: the engine asserts that there is none. `update`: there is one. `either`: there may be one. */
export type WriteMode = 'insert' | 'update' | 'either';

export type RowRequest =
  | { readonly kind: 'get'; readonly table: TableName; readonly key: Key }
  | { readonly kind: 'scan'; readonly name: TableName | IndexName; readonly range: AnyRange }
  | { readonly kind: 'put'; readonly table: TableName; readonly row: Row; readonly mode: WriteMode }
  | { readonly kind: 'delete'; readonly table: TableName; readonly key: Key };

export type Steps<T> = Generator<RowRequest, T, unknown>;

export function* get<T extends TableName>(table: T, key: Keys[T]): Steps<Rows[T] | undefined> {
  return (yield { kind: 'get', table, key }) as Rows[T] | undefined;
}

export function* scan<Name extends TableName | IndexName>(
  name: Name,
  range: ScanRange<Name>,
): Steps<readonly RowOf<Name>[]> {
  return (yield { kind: 'scan', name, range: range as AnyRange }) as readonly RowOf<Name>[];
}

/** Runs the steps to their end with an engine that answers at once. */
export function drive<T>(steps: Steps<T>, answer: (request: RowRequest) => unknown): T {
  let step = steps.next();
  while (!step.done) step = steps.next(answer(step.value));
  return step.value;
}
