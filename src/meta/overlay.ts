/**
 * The rows that one change reads and will write, each once. Every row the change comes across has a slot with its state
 * before the change and after it; what happens to a row several times within one change (deleted and put again, touched
 * and replaced, counted up and down) ends as one difference between before and after, and one write.
 *
 * Bounded by CHANGE_ROWS_MAX rows that the change names and the rows they refer to.
 */
import { assert } from '../base/index.ts';
import type { PutMode } from './meta-store.ts';
import type { RowRequest, Steps, WriteMode } from './requests.ts';
import { keyString } from './row-key.ts';
import type { Keys, Rows, TableName } from './rows.ts';
import { type Key, keyOf, type Row, table } from './tables.ts';

export interface Slot {
  readonly table: TableName;
  readonly key: Key;
  /** The row before this change; meaningless unless `isKnown`. */
  readonly before: Row | undefined;
  /** False for rows of tables without a past that were put or deleted unread. */
  readonly isKnown: boolean;
  after: Row | undefined;
  isChanged: boolean;
}

export class Overlay {
  readonly #slots = new Map<string, Slot>();

  /** The row as this change has it so far. */
  *read<T extends TableName>(name: T, key: Keys[T]): Steps<Rows[T] | undefined> {
    const id = idOf(name, key);
    const slot = this.#slots.get(id) ?? (yield* this.#fetch(name, key, id));
    return slot.after as Rows[T] | undefined;
  }

  *slot<T extends TableName>(name: T, key: Keys[T]): Steps<Slot> {
    const id = idOf(name, key);
    return this.#slots.get(id) ?? (yield* this.#fetch(name, key, id));
  }

  *#fetch(name: TableName, key: Key, id: string): Steps<Slot> {
    const before = (yield { kind: 'get', table: name, key }) as Row | undefined;
    const slot: Slot = { table: name, key, before, isKnown: true, after: before, isChanged: false };
    this.#slots.set(id, slot);
    return slot;
  }

  *put(name: TableName, row: Row, mode: PutMode): Steps<void> {
    const of = table(name);
    const key = keyOf(of, row);
    const id = idOf(name, key);
    let slot = this.#slots.get(id);
    const isRead = mode === 'keep' || (mode === 'replace' && of.minds);
    if (slot === undefined && isRead) slot = yield* this.#fetch(name, key, id);
    if (slot === undefined) {
      // An insert is not read first: the engine asserts that there was none when it is written.
      const isKnown = mode === 'insert';
      this.#slots.set(id, { table: name, key, before: undefined, isKnown, after: row, isChanged: true });
      return;
    }
    if (mode === 'keep' && slot.after !== undefined) return;
    assert(mode !== 'insert' || slot.after === undefined, 'a row that is inserted is not there yet', { table: name });
    this.set(slot, row);
  }

  *delete(name: TableName, key: Key): Steps<void> {
    const id = idOf(name, key);
    let slot = this.#slots.get(id);
    if (slot === undefined && table(name).minds) slot = yield* this.#fetch(name, key, id);
    if (slot !== undefined) this.set(slot, undefined);
    else
      this.#slots.set(id, { table: name, key, before: undefined, isKnown: false, after: undefined, isChanged: true });
  }

  /** What a slot's row becomes. */
  set(slot: Slot, row: Row | undefined): void {
    slot.after = row;
    slot.isChanged = true;
  }

  /** The slots that differ now; slots added later are not among them. */
  changed(): readonly Slot[] {
    return this.#slots
      .values()
      .filter((slot) => slot.isChanged)
      .toArray();
  }

  /** One write a changed row. */
  *writes(): Steps<void> {
    for (const slot of this.#slots.values()) {
      const request = slot.isChanged ? writeOf(slot) : undefined;
      if (request !== undefined) yield request;
    }
  }
}

function writeOf(slot: Slot): RowRequest | undefined {
  if (slot.after !== undefined) {
    const mode: WriteMode = !slot.isKnown ? 'either' : slot.before === undefined ? 'insert' : 'update';
    return { kind: 'put', table: slot.table, row: slot.after, mode };
  }
  if (slot.isKnown && slot.before === undefined) return undefined;
  return { kind: 'delete', table: slot.table, key: slot.key };
}

function idOf(name: TableName, key: Key): string {
  return String.fromCharCode(table(name).number) + keyString(key);
}
