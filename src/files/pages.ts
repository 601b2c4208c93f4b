/** All rows of a table under a prefix, page by page: memory is one page, and no read outlives its call. */
import type { Keys, Rows, ScanRange, TableName } from '../meta/index.ts';
import type { View } from './context.ts';

/** Rows of one page. */
export const PAGE_ROWS = 2_000;

/**
 * In key order. `behind` answers a row's key columns behind the prefix, where the next page goes on; rows that come or go
 * meanwhile may or may not be seen.
 */
export async function* rowsOf<T extends TableName>(
  { meta }: Pick<View, 'meta'>,
  table: T,
  prefix: ScanRange<T>['prefix'],
  behind: (row: Rows[T]) => readonly Keys[T][number][],
): AsyncGenerator<Rows[T]> {
  let after: readonly Keys[T][number][] | undefined;
  for (;;) {
    const range = { prefix, limit: PAGE_ROWS, ...(after === undefined ? {} : { after }) } as ScanRange<T>;
    const page = (await meta.scan(table, range)) as readonly Rows[T][];
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_ROWS) return;
    after = behind(last);
  }
}
