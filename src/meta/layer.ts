/**
 * The rows that one group has changed, on top of everything below it: what the group will write when it becomes durable,
 * and meanwhile what those who may see it read. A row that several changes of the group touch is here once, as the last
 * of them left it.
 */

import { assert } from '../base/index.ts';
import type { RowRequest } from './requests.ts';
import { keyString } from './row-key.ts';
import type { RowWrite } from './row-source.ts';
import type { TableName } from './rows.ts';
import { shownPlace } from './show.ts';
import { type KeySpan, SortedRows } from './sorted-rows.ts';
import { type Key, keyOf, type Row, table } from './tables.ts';

export interface LayerRow {
  readonly key: Key;
  /** Undefined: removed. */
  row: Row | undefined;
  /** There is none below. */
  readonly isNew: boolean;
}

interface LayerTable {
  readonly rows: Map<string, LayerRow>;
  /** Made when first scanned, kept in step from then on. */
  sorted: SortedRows<LayerRow> | undefined;
}

export class Layer {
  readonly #tables = new Map<TableName, LayerTable>();
  #rowCount = 0;

  /** Rows, removed ones included. */
  get rowCount(): number {
    return this.#rowCount;
  }

  /** Whether any row of the table is here. */
  hasTable(name: TableName): boolean {
    return this.#tables.has(name);
  }

  /** By the row's key string. */
  get(name: TableName, id: string): LayerRow | undefined {
    return this.#tables.get(name)?.rows.get(id);
  }

  /** All rows of the table here, in no order. */
  all(name: TableName): Iterable<LayerRow> {
    return this.#tables.get(name)?.rows.values() ?? [];
  }

  /** Rows whose key strings lie in the span, ascending. */
  span(name: TableName, span: Pick<KeySpan, 'low' | 'high'>): readonly LayerRow[] {
    const of = this.#tables.get(name);
    if (of === undefined) return [];
    if (of.sorted === undefined) {
      of.sorted = new SortedRows();
      for (const [id, row] of of.rows) of.sorted.set(id, row);
    }
    return of.sorted.scan({ ...span, limit: Number.POSITIVE_INFINITY, isReverse: false });
  }

  /** Takes the writes of one change, all or (when a broken invariant shows) none. */
  take(writes: readonly RowRequest[]): void {
    for (const write of writes) if (write.kind === 'put' && write.mode === 'insert') this.#checkFree(write);
    for (const write of writes) {
      if (write.kind === 'put') {
        const key = keyOf(table(write.table), write.row);
        this.#set(write.table, key, write.row, write.mode === 'insert');
      } else if (write.kind === 'delete') this.#set(write.table, write.key, undefined, false);
    }
  }

  #checkFree({ table: name, row }: Extract<RowRequest, { kind: 'put' }>): void {
    const of = table(name);
    const key = keyOf(of, row);
    const isFree = this.get(name, keyString(key))?.row === undefined;
    assert(isFree, 'a row that is inserted is not there yet', { place: shownPlace(of, key) });
  }

  #set(name: TableName, key: Key, row: Row | undefined, isNew: boolean): void {
    let of = this.#tables.get(name);
    if (of === undefined) {
      of = { rows: new Map(), sorted: undefined };
      this.#tables.set(name, of);
    }
    const id = keyString(key);
    const known = of.rows.get(id);
    if (known !== undefined) {
      known.row = row;
      return;
    }
    const fresh = { key, row, isNew };
    of.rows.set(id, fresh);
    of.sorted?.set(id, fresh);
    this.#rowCount++;
  }

  /** What is to be written: one write a row. */
  *writes(): Generator<RowWrite> {
    for (const [name, { rows }] of this.#tables) {
      for (const { key, row, isNew } of rows.values()) {
        if (row !== undefined) yield { table: name, key, row, isNew };
        else if (!isNew) yield { table: name, key, row: undefined, isNew: false };
      }
    }
  }
}
