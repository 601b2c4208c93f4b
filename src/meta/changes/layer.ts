/**
 * The rows that one group has changed, on top of everything below it: what the group will write when it becomes durable,
 * and meanwhile what those who may see it read. A row that several changes of the group touch is here once, as the last
 * of them left it.
 */

import { assert } from '../../base/index.ts';
import type { CommitNumber } from '../ids.ts';
import { keyString } from '../rows/row-key.ts';
import type { RowWrite } from '../rows/row-source.ts';
import type { TableName } from '../rows/rows.ts';
import { shownPlace } from '../rows/show.ts';
import { type KeySpan, SortedRows } from '../rows/sorted-rows.ts';
import { type Key, keyOf, type Row, type Table, table, type Value } from '../rows/tables.ts';
import type { Slot } from './overlay.ts';

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
  /** Rows of which there is one below, or may be. */
  hidingCount: number;
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

  /** How many rows of the table below this layer it may hide, at most. */
  hidingCount(name: TableName): number {
    return this.#tables.get(name)?.hidingCount ?? 0;
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

  /** Takes what one change made of rows, all of it or (when a broken invariant shows) nothing. */
  take(slots: readonly Slot[]): void {
    const { length } = slots;
    for (let i = 0; i < length; i++) if (isInsert(slots[i] as Slot)) this.#checkFree(slots[i] as Slot);
    for (let i = 0; i < length; i++) {
      const slot = slots[i] as Slot;
      if (slot.after !== undefined || !isAbsentBefore(slot)) this.#set(slot);
    }
  }

  /** Takes over what was done in a layer on top of this one, which is nobody's afterwards. */
  absorb(above: Layer): void {
    for (const [name, theirs] of above.#tables) {
      const { rows } = theirs;
      const own = this.#tables.get(name);
      if (own === undefined) {
        this.#tables.set(name, theirs);
        this.#rowCount += rows.size;
        continue;
      }
      for (const [id, row] of rows) {
        const known = own.rows.get(id);
        if (known !== undefined) {
          known.row = row.row;
          continue;
        }
        own.rows.set(id, row);
        own.sorted?.set(id, row);
        if (!row.isNew) own.hidingCount++;
        this.#rowCount++;
      }
    }
  }

  /**
   * Has rows that say `planned` for the number of a commit say `commit`. They are this layer's own, and whoever was
   * answered some of them is done with them.
   */
  place(planned: CommitNumber, commit: CommitNumber): void {
    for (const [name, of] of this.#tables) {
      const { commitNumbers, isKeyedByCommit } = table(name);
      if (commitNumbers.length === 0) continue;
      for (const { row } of of.rows.values()) if (row !== undefined) placeRow(row, commitNumbers, planned, commit);
      if (isKeyedByCommit) this.#tables.set(name, keyedAnew(table(name), of));
    }
  }

  #checkFree({ of, id, key }: Slot): void {
    if (this.get(of.name, id)?.row === undefined) return;
    assert(false, 'a row that is inserted is not there yet', { place: shownPlace(of, key) });
  }

  #set(slot: Slot): void {
    const { of, id, key, after: row } = slot;
    let rows = this.#tables.get(of.name);
    if (rows === undefined) {
      rows = { rows: new Map(), sorted: undefined, hidingCount: 0 };
      this.#tables.set(of.name, rows);
    }
    const known = rows.rows.get(id);
    if (known !== undefined) {
      known.row = row;
      return;
    }
    const fresh = { key, row, isNew: isInsert(slot) };
    rows.rows.set(id, fresh);
    rows.sorted?.set(id, fresh);
    if (!fresh.isNew) rows.hidingCount++;
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

function placeRow(row: Row, columns: readonly string[], planned: CommitNumber, commit: CommitNumber): void {
  for (const column of columns) if (row[column] === planned) (row as Record<string, Value>)[column] = commit;
}

function keyedAnew(of: Table, { rows: before, hidingCount }: LayerTable): LayerTable {
  const rows = new Map<string, LayerRow>();
  for (const [id, at] of before) {
    const { row, isNew } = at;
    const key = row === undefined ? at.key : keyOf(of, row);
    rows.set(row === undefined ? id : keyString(key), { key, row, isNew });
  }
  return { rows, sorted: undefined, hidingCount };
}

function isAbsentBefore({ isKnown, before }: Slot): boolean {
  return isKnown && before === undefined;
}

function isInsert(slot: Slot): boolean {
  return slot.after !== undefined && isAbsentBefore(slot);
}
