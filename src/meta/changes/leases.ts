/** Taking ids: which come next, and the row that says they are taken. */
import { assert } from '../../base/index.ts';
import type { RowSource, RowWrite } from '../rows/row-source.ts';

/** `write` must be durable before any of the `count` ids from `first` is used. */
export function leaseOf(
  rows: RowSource,
  kind: string,
  count: number,
): { readonly first: number; readonly write: RowWrite } {
  assert(Number.isSafeInteger(count) && count >= 1, 'at least one id is leased', { count });
  const first = (rows.get('counters', [kind])?.next as number | undefined) ?? 1;
  assert(Number.isSafeInteger(first + count), 'ids stay below 2^53', { kind });
  return {
    first,
    write: { table: 'counters', key: [kind], row: { name: kind, next: first + count }, isNew: false },
  };
}
