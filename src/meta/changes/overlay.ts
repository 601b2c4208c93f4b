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
import { assert } from '../../base/index.ts';
import type { PutMode, RowOf, ScanRange } from '../meta-store.ts';
import { keyString } from '../rows/row-key.ts';
import type { AnyRange, KeyedSource } from '../rows/row-source.ts';
import type { IndexName, Keys, Rows, TableName } from '../rows/rows.ts';
import { type Key, keyOf, type Row, type Table, table } from '../rows/tables.ts';

/** Rows of a change up to which they are looked through one by one. */
const SLOTS_LOOKED_THROUGH_MAX = 16;

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
  readonly #slots: Slot[] = [];
  /** By table number and key, once there are too many slots to look through. */
  #tables: (Map<string, Slot> | undefined)[] | undefined;

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
    return this.slotAt(table(name), key, keyString(key));
  }

  /** The same where the key string is known. */
  slotAt(of: Table, key: Key, id: string): Slot {
    return this.#find(of, id) ?? this.#fetch(of, key, id);
  }

  /** Most changes have few rows: maps of them would cost more to make than looking through. */
  #find(of: Table, id: string): Slot | undefined {
    if (this.#tables !== undefined) return this.#tables[of.number]?.get(id);
    // Counted: until the compiler has taken a loop, an iterator makes an object a step, and few loops run as often as this.
    for (let i = 0; i < this.#slots.length; i++) {
      const slot = this.#slots[i];
      if (slot !== undefined && slot.of === of && slot.id === id) return slot;
    }
    return undefined;
  }

  #keep(tables: (Map<string, Slot> | undefined)[], slot: Slot): void {
    const { number } = slot.of;
    const slots = tables[number] ?? new Map<string, Slot>();
    tables[number] = slots;
    slots.set(slot.id, slot);
  }

  #fetch(of: Table, key: Key, id: string): Slot {
    const before = this.#below.get(of.name, key, id);
    return this.#add({ of, key, id, before, isKnown: true, after: before, isChanged: false });
  }

  #add(slot: Slot): Slot {
    this.#slots.push(slot);
    if (this.#tables !== undefined) this.#keep(this.#tables, slot);
    else if (this.#slots.length > SLOTS_LOOKED_THROUGH_MAX) {
      this.#tables = [];
      for (const each of this.#slots) this.#keep(this.#tables, each);
    }
    return slot;
  }

  put(of: Table, row: Row, mode: PutMode): void {
    const key = keyOf(of, row);
    const id = keyString(key);
    let slot = this.#find(of, id);
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
    let slot = this.#find(of, id);
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
