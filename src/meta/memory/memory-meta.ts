/**
 * Metadata in memory, for tests and for what need not outlive its process. It shares the meaning of changes with every
 * other engine; unlike SQLite it answers reads in a later turn of the event loop (unless told otherwise), so that code
 * which forgets that a read may be a promise, or that others commit meanwhile, fails here first.
 *
 * A group is applied in one turn and undone whole when it fails, so no read sees part of one.
 */

import { assert, Fault, type Maybe, type Moment } from '../../base/index.ts';
import { decideChanges } from '../changes/commit-changes.ts';
import { checkCounts, recountRows } from '../changes/counts.ts';
import { leaseOf } from '../changes/leases.ts';
import {
  assertScanLimit,
  type Change,
  type MetaProblem,
  type MetaStore,
  type Outcome,
  type RowOf,
  type ScanRange,
} from '../meta-store.ts';
import { drive, type RowRequest } from '../requests.ts';
import { checksumOf } from '../rows/row-checksum.ts';
import { keyString, spanOf } from '../rows/row-key.ts';
import type { AnyRange, RowSource, RowWrite } from '../rows/row-source.ts';
import type { IndexName, Keys, Rows, TableName } from '../rows/rows.ts';
import { shownPlace } from '../rows/show.ts';
import { SortedRows } from '../rows/sorted-rows.ts';
import { INDEX_NAMES, INDEXES, type Key, type KeyPart, keyOf, type Row, TABLE_NAMES, table } from '../rows/tables.ts';

export interface MemoryMetaOptions {
  /** Reads and commits answer at once; a later turn when false or absent. */
  readonly synchronousReads?: boolean;
}

/** About what a row takes, for sizeBytes. */
const ROW_BYTES = 200;

interface Undo {
  readonly table: TableName;
  readonly key: Key;
  readonly before: Row | undefined;
}

export class MemoryMeta implements MetaStore {
  readonly abilities: { readonly synchronousReads: boolean };
  readonly #rows = new Map<TableName | IndexName, SortedRows<Row>>();
  readonly rows: RowSource = {
    get: (name, key) => this.#get(name, key),
    scan: (name, range) => this.#scan(name, range),
  };
  #undo: Undo[] = [];
  #isClosed = false;

  constructor(options: MemoryMetaOptions = {}) {
    this.abilities = { synchronousReads: options.synchronousReads ?? false };
    for (const name of [...TABLE_NAMES, ...INDEX_NAMES]) this.#rows.set(name, new SortedRows());
  }

  get<T extends TableName>(name: T, key: Keys[T]): Maybe<Rows[T] | undefined> {
    return this.#answerLater(() => this.#get(name, key) as Rows[T] | undefined);
  }

  scan<Name extends TableName | IndexName>(name: Name, range: ScanRange<Name>): Maybe<readonly RowOf<Name>[]> {
    assertScanLimit(range.limit);
    return this.#answerLater(() => this.#scan(name, range as AnyRange) as unknown as readonly RowOf<Name>[]);
  }

  commit(changes: readonly Change[], options: { readonly essential?: number } = {}): Maybe<readonly Outcome[]> {
    return this.#answerLater(() => {
      const { outcomes, writes } = decideChanges(this.rows, changes, options.essential);
      this.#transaction(() => this.#write(writes));
      return outcomes;
    });
  }

  write(writes: Iterable<RowWrite>): Maybe<void> {
    return this.#answerLater(() => this.#transaction(() => this.#write(writes)));
  }

  /** A store of its own with the same rows, as they are now. */
  copy(): MemoryMeta {
    const copy = new MemoryMeta(this.abilities);
    for (const [name, rows] of this.#rows) copy.#rows.set(name, rows.copy());
    return copy;
  }

  #write(writes: Iterable<RowWrite>): void {
    for (const { table: name, key, row, isNew } of writes) {
      if (row === undefined) this.#set(name, key, undefined);
      else this.#put(name, row, isNew);
    }
  }

  leaseIds(kind: string, count: number): Maybe<number> {
    return this.#answerLater(() => {
      const { first, write } = leaseOf(this.rows, kind, count);
      this.#transaction(() => this.#write([write]));
      return first;
    });
  }

  async *check(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<MetaProblem> {
    if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Checking the metadata');
    yield* await this.#answerLater(() => drive(checkCounts(), (request) => this.#answer(request)));
  }

  recount(now: Moment): Maybe<number> {
    return this.#answerLater(() =>
      this.#transaction(() => drive(recountRows(now), (request) => this.#answer(request))),
    );
  }

  sizeBytes(): Maybe<number> {
    return TABLE_NAMES.reduce((sum, name) => sum + this.#sorted(name).count * ROW_BYTES, 0);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #answerLater<T>(act: () => T): Maybe<T> {
    const actOpen = (): T => {
      if (this.#isClosed) throw new Fault('unavailable', 'The metadata is closed.');
      return act();
    };
    if (this.abilities.synchronousReads) return actOpen();
    return new Promise<void>((resolve) => setImmediate(resolve)).then(actOpen);
  }

  #transaction<T>(act: () => T): T {
    this.#undo = [];
    try {
      return act();
    } catch (error) {
      for (const { table: name, key, before } of this.#undo.toReversed()) this.#set(name, key, before);
      throw error;
    } finally {
      this.#undo = [];
    }
  }

  #answer(request: RowRequest): unknown {
    switch (request.kind) {
      case 'get':
        return this.#get(request.table, request.key);
      case 'scan':
        return this.#scan(request.name, request.range);
      case 'put':
        return this.#put(request.table, request.row, request.mode === 'insert');
      default:
        return this.#set(request.table, request.key, undefined);
    }
  }

  #get(name: TableName, key: Key): Row | undefined {
    return this.#sorted(name).get(keyString(key));
  }

  #put(name: TableName, from: Row, isNew: boolean): void {
    const of = table(name);
    // Bytes are copied, as a database would: callers reuse their buffers.
    const values = of.columns.map((column) => {
      const value = from[column];
      return value instanceof Uint8Array ? new Uint8Array(value) : value;
    });
    const hasColumns = checksumOf(of, values) !== undefined;
    assert(hasColumns, 'a row has the columns of its table', { table: of.name, row: from });
    const row = Object.fromEntries(of.columns.map((column, i) => [column, values[i] ?? null]));
    const key = keyOf(of, row);
    const before = this.#set(of.name, key, row);
    if (isNew && before !== undefined)
      assert(false, 'a row that is inserted is not there yet', { place: shownPlace(of, key) });
  }

  /** Puts or, for undefined, removes, in the table and its indexes. */
  #set(name: TableName, key: Key, row: Row | undefined): Row | undefined {
    const before = this.#sorted(name).set(keyString(key), row);
    if (before === undefined && row === undefined) return undefined;
    this.#undo.push({ table: name, key, before });
    for (const index of INDEX_NAMES) {
      if (INDEXES[index].table !== name) continue;
      if (before !== undefined) this.#sorted(index).set(indexString(index, before), undefined);
      if (row !== undefined) this.#sorted(index).set(indexString(index, row), row);
    }
    return before;
  }

  #scan(name: TableName | IndexName, range: AnyRange): readonly Row[] {
    return this.#sorted(name).scan({ ...spanOf(name, range), limit: range.limit });
  }

  #sorted(name: TableName | IndexName): SortedRows<Row> {
    const sorted = this.#rows.get(name);
    assert(sorted !== undefined, 'every table and index has its rows', { name });
    return sorted;
  }
}

function indexString(index: IndexName, row: Row): string {
  return keyString(INDEXES[index].key.map((column) => row[column] as KeyPart));
}
