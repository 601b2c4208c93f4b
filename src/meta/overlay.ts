/**
 * The rows that one change reads and will write, each once. Every row the change comes across has a slot with its state
 * before the change and after it; what happens to a row several times within one change (deleted and put again, touched
 * and replaced, counted up and down) ends as one difference between before and after, and one write.
 *
 * Nothing is written here: a change that is refused half-way has done nothing. Whoever applies it takes the slots that
 * changed when it is through (layer.ts). A row's key string is made once, with its slot, and goes along.
 *
 * Bounded by CHANGE_ROWS_MAX rows that the change names and the rows they refer to.
 */
import { assert } from '../base/index.ts';
import type { PutMode, RowOf, ScanRange } from './meta-store.ts';
import { keyString } from './row-key.ts';
import type { AnyRange, KeyedSource } from './row-source.ts';
import type { IndexName, Keys, Rows, TableName } from './rows.ts';
import { type Key, keyOf, type Row, type Table, table } from './tables.ts';

export interface Slot {
  readonly of: Table;
  readonly key: Key;
  /** The key as a string. */
  readonly id: string;
  /** The row before this change; meaningless unless `isKnown`. */
  readonly before: Row | undefined;
  /** False for rows of tables without a past that were put or deleted unread. */
  readonly isKnown: boolean;
  after: Row | undefined;
  isChanged: boolean;
}

export class Overlay {
  readonly #below: KeyedSource;
  /** By table number. */
  readonly #tables: (Map<string, Slot> | undefined)[] = [];
  readonly #slots: Slot[] = [];

  /** `below`: what was before the change. */
  constructor(below: KeyedSource) {
    this.#below = below;
  }

  /** The row as this change has it so far. */
  read<T extends TableName>(name: T, key: Keys[T]): Rows[T] | undefined {
    return this.slot(name, key).after as Rows[T] | undefined;
  }

  /** Rows as they were before the change. */
  scan<Name extends TableName | IndexName>(name: Name, range: ScanRange<Name>): readonly RowOf<Name>[] {
    return this.#below.scan(name, range as AnyRange) as unknown as readonly RowOf<Name>[];
  }

  slot<T extends TableName>(name: T, key: Keys[T]): Slot {
    const of = table(name);
    const id = keyString(key);
    return this.#slotsOf(of).get(id) ?? this.#fetch(of, key, id);
  }

  #slotsOf(of: Table): Map<string, Slot> {
    let slots = this.#tables[of.number];
    if (slots === undefined) {
      slots = new Map();
      this.#tables[of.number] = slots;
    }
    return slots;
  }

  #fetch(of: Table, key: Key, id: string): Slot {
    const before = this.#below.get(of.name, key, id);
    return this.#add({ of, key, id, before, isKnown: true, after: before, isChanged: false });
  }

  #add(slot: Slot): Slot {
    this.#slotsOf(slot.of).set(slot.id, slot);
    this.#slots.push(slot);
    return slot;
  }

  put(of: Table, row: Row, mode: PutMode): void {
    const key = keyOf(of, row);
    const id = keyString(key);
    let slot = this.#slotsOf(of).get(id);
    const isRead = mode === 'keep' || (mode === 'replace' && of.minds);
    if (slot === undefined && isRead) slot = this.#fetch(of, key, id);
    if (slot === undefined) {
      // An insert is not read first: whoever takes it asserts that there was none.
      this.#add({ of, key, id, before: undefined, isKnown: mode === 'insert', after: row, isChanged: true });
      return;
    }
    if (mode === 'keep' && slot.after !== undefined) return;
    if (mode === 'insert' && slot.after !== undefined)
      assert(false, 'a row that is inserted is not there yet', { table: of.name });
    this.set(slot, row);
  }

  delete(of: Table, key: Key): void {
    const id = keyString(key);
    let slot = this.#slotsOf(of).get(id);
    if (slot === undefined && of.minds) slot = this.#fetch(of, key, id);
    if (slot !== undefined) this.set(slot, undefined);
    else this.#add({ of, key, id, before: undefined, isKnown: false, after: undefined, isChanged: true });
  }

  /** What a slot's row becomes. */
  set(slot: Slot, row: Row | undefined): void {
    slot.after = row;
    slot.isChanged = true;
  }

  /** The slots that differ now; slots added later are not among them. */
  changed(): readonly Slot[] {
    return this.#slots.filter((slot) => slot.isChanged);
  }
}
