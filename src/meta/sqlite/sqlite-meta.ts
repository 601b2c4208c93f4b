/**
 * Metadata in SQLite, over one connection, on one thread: a group is one transaction, begun and committed within one
 * synchronous call, durable when it answers. Every row carries a checksum, written with it and checked on every read.
 * Where a thread writes beside it (sqlite-file.ts), this is how the main thread reads.
 *
 * What changes mean is decided before, on rows read here; a transaction only writes rows (sqlite-writing.ts).
 */

import { assert, Fault, type Moment } from '../../base/index.ts';
import { decideChanges } from '../changes/commit-changes.ts';
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
import { checksumOf } from '../rows/row-checksum.ts';
import type { AnyRange, RowSource, RowWrite } from '../rows/row-source.ts';
import type { IndexName, Keys, Rows, TableName } from '../rows/rows.ts';
import { rowOf } from '../rows/stored-row.ts';
import { type Key, type Row, type Table, table, wayOf } from '../rows/tables.ts';
import type { SqlDatabase, SqlStatement, SqlValue } from '../sql.ts';
import { type RowJournal, SqliteJournal } from './row-journal.ts';
import { openSchema, type Schema } from './schema.ts';
import { faultOfSql, ours } from './sql-fault.ts';
import { getSql, scanSql } from './sql-text.ts';
import { checkSqlite } from './sqlite-check.ts';
import { type RecountEngine, recountSqlite } from './sqlite-counts.ts';
import { configure, type SettleRequest, SqliteWriting } from './sqlite-writing.ts';

export interface SqliteMetaOptions {
  /** Bytes of pages kept in memory; 16 MiB when absent. */
  readonly cacheBytes?: number;
  /** Log bytes after which pages are moved into the database; 16 MiB when absent. */
  readonly logBytes?: number;
  /** Other connections of this process have the file open too. */
  readonly isShared?: boolean;
  /** For tests of upgrades. */
  readonly schema?: Schema;
}

export const CACHE_BYTES_DEFAULT = 16 * 1024 * 1024;
export const LOG_BYTES_DEFAULT = 16 * 1024 * 1024;

/** Opens or creates the metadata; closes `db` when it is closed itself. @throws Fault `incompatible`, `corrupt`, `io`, `locked`. */
export function openSqliteMeta(db: SqlDatabase, options: SqliteMetaOptions = {}): SqliteMeta {
  try {
    const { cacheBytes = CACHE_BYTES_DEFAULT, logBytes = LOG_BYTES_DEFAULT, isShared = false } = options;
    configure(db, { cacheBytes, logBytes, isShared });
    openSchema(db, options.schema);
    return new SqliteMeta(db);
  } catch (error) {
    throw faultOfSql(error, 'open');
  }
}

/** How a table's rows are read, and the array in which the values of one that is put travel. */
interface Prepared {
  readonly table: Table;
  readonly get: SqlStatement;
  readonly values: SqlValue[];
}

export class SqliteMeta implements MetaStore {
  readonly abilities = { synchronousReads: true };
  readonly #db: SqlDatabase;
  readonly #writing: SqliteWriting;
  readonly #tables = new Map<TableName, Prepared>();
  /** By the shape of the scan: tables and indexes × prefix × bound × direction, so it is bounded. */
  readonly #scans = new Map<string, SqlStatement>();
  readonly rows: RowSource = {
    get: (name, key) => this.#get(name, key),
    scan: (name, range) => this.#scan(name, range),
  };
  readonly journal: RowJournal;
  #isClosed = false;

  constructor(db: SqlDatabase) {
    this.#db = db;
    this.#writing = new SqliteWriting(db);
    this.journal = new SqliteJournal(db, (what) => this.settle(what));
  }

  /** Set when a commit failed on the disk: nothing more is taken. */
  get broken(): Fault | undefined {
    return this.#writing.broken;
  }

  get<T extends TableName>(name: T, key: Keys[T]): Rows[T] | undefined {
    try {
      return this.#get(name, key) as Rows[T] | undefined;
    } catch (error) {
      throw this.#faultOf(error, `read ${name}`);
    }
  }

  scan<Name extends TableName | IndexName>(name: Name, range: ScanRange<Name>): readonly RowOf<Name>[] {
    assertScanLimit(range.limit);
    try {
      return this.#scan(name, range as AnyRange) as unknown as readonly RowOf<Name>[];
    } catch (error) {
      throw this.#faultOf(error, `scan ${name}`);
    }
  }

  commit(changes: readonly Change[], options: { readonly essential?: number } = {}): readonly Outcome[] {
    if (this.#isClosed) throw this.#faultOf(undefined, 'commit');
    try {
      const { outcomes, writes } = ours(() => decideChanges(this.rows, changes, options.essential));
      this.write(writes);
      return outcomes;
    } catch (error) {
      throw this.#faultOf(error, 'commit');
    }
  }

  write(writes: Iterable<RowWrite>): void {
    this.#transaction(() => {
      for (const { table: name, key, row, isNew } of writes) {
        if (row === undefined) this.#writing.delete(table(name), key);
        else this.#put(name, row, isNew);
      }
    });
  }

  /** See RowJournal. */
  settle(what: SettleRequest): void {
    if (this.#isClosed) throw this.#faultOf(undefined, 'settle');
    this.#writing.settle(what);
  }

  #faultOf(error: unknown, doing: string): unknown {
    return this.#isClosed ? new Fault('unavailable', 'The metadata is closed.', { doing }) : faultOfSql(error, doing);
  }

  #transaction<T>(act: () => T): T {
    if (this.#isClosed) throw this.#faultOf(undefined, 'commit');
    return this.#writing.transaction(act);
  }

  #get(name: TableName, key: Key): Row | undefined {
    const prepared = this.#prepared(name);
    const values = prepared.get.get(key);
    return values === undefined ? undefined : rowOf(prepared.table, values);
  }

  #put(name: TableName, row: Row, isNew: boolean): void {
    const prepared = this.#prepared(name);
    const { values, table: of } = prepared;
    const count = of.columns.length;
    for (let i = 0; i < count; i++) values[i] = row[of.columns[i] ?? ''] as SqlValue;
    const checksum = checksumOf(of, values);
    assert(checksum !== undefined, 'a row has the columns of its table', { table: of.name, row });
    values[count] = checksum;
    this.#writing.put(of, values, isNew);
  }

  #scan(name: TableName | IndexName, range: AnyRange): readonly Row[] {
    const { prefix, after, from, limit, reverse = false } = range;
    assert(after === undefined || from === undefined, 'a scan starts after or from, not both');
    const bound = after ?? from ?? [];
    const id = `${name} ${prefix.length} ${bound.length} ${from !== undefined} ${reverse}`;
    let statement = this.#scans.get(id);
    if (statement === undefined) {
      const shape = {
        prefixCount: prefix.length,
        boundCount: bound.length,
        isInclusive: from !== undefined,
        isReverse: reverse,
      };
      statement = ours(() => this.#db.prepare(scanSql(wayOf(name), shape)));
      this.#scans.set(id, statement);
    }
    const of = wayOf(name).table;
    const values = [...prefix, ...bound, limit];
    if (limit > 1) return statement.all(values).map((each) => rowOf(of, each));
    const first = statement.get(values);
    return first === undefined ? [] : [rowOf(of, first)];
  }

  #prepared(name: TableName): Prepared {
    const known = this.#tables.get(name);
    if (known !== undefined) return known;
    const of = table(name);
    const prepared: Prepared = {
      table: of,
      get: ours(() => this.#db.prepare(getSql(of))),
      values: new Array<SqlValue>(of.columns.length + 1).fill(null),
    };
    this.#tables.set(name, prepared);
    return prepared;
  }

  leaseIds(kind: string, count: number): number {
    if (this.#isClosed) throw this.#faultOf(undefined, 'lease');
    try {
      const { first, write } = leaseOf(this.rows, kind, count);
      this.write([write]);
      return first;
    } catch (error) {
      throw this.#faultOf(error, 'lease');
    }
  }

  async *check(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<MetaProblem> {
    try {
      yield* checkSqlite(this.#db, options.signal);
    } catch (error) {
      throw this.#faultOf(error, 'check');
    }
  }

  recount(now: Moment): number {
    const engine: RecountEngine = {
      db: this.#db,
      transaction: (act) => this.#transaction(act),
      get: (name, key) => this.#get(name, key),
      put: (name, row) => this.#put(name, row, false),
    };
    try {
      return ours(() => recountSqlite(engine, now));
    } catch (error) {
      throw this.#faultOf(error, 'recount');
    }
  }

  sizeBytes(): number {
    return this.#db.sizeBytes();
  }

  /** Moves the log into the database. Safe twice. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#db.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
