/**
 * The writing half of the SQLite engine: the settings of a connection, durable transactions on it, rows put and removed
 * in them. A transaction answers when the log is synced (WAL, synchronous FULL). When the commit itself fails on the
 * disk, what reached it is unknown and stays so: nothing more is taken on this connection.
 *
 * Every transaction also says which rows it changed, in one row of the journal (changed-keys.ts), for the next
 * checkpoint. That one thing is not said of: what a checkpoint itself writes.
 *
 * It knows tables and values, not what they mean, so a writing thread loads little (sqlite-writer-worker.ts).
 */

import { crc32 } from 'node:zlib';
import { assert, Fault } from '../../base/index.ts';
import { ChangedKeys } from '../rows/changed-keys.ts';
import { checksumOf } from '../rows/row-checksum.ts';
import type { TableName } from '../rows/rows.ts';
import { shownPlace } from '../rows/show.ts';
import { type Key, type Table, table } from '../rows/tables.ts';
import type { SqlDatabase, SqlStatement, SqlValue } from '../sql.ts';
import { faultOfSql, ours, rollBack, sqlCodeOf } from './sql-fault.ts';
import { deleteSql, insertSql } from './sql-text.ts';

export interface SqliteSettings {
  /** Bytes of pages kept in memory. */
  readonly cacheBytes: number;
  /** Log bytes after which pages are moved into the database. */
  readonly logBytes: number;
  /** Other connections of this process have the file open too; what keeps other processes away is below us then. */
  readonly isShared: boolean;
}

/** What a checkpoint leaves: entries of the journal that it holds go, and what is to be remembered of it comes. */
export interface SettleRequest {
  /** The last entry that goes. */
  readonly upTo: number;
  readonly setting?: { readonly name: string; readonly value: string };
}

const PAGE_BYTES = 4_096;
/** A log that a large group made longer than this is cut when it is next reused. */
const LOG_BYTES_KEPT = 64 * 1024 * 1024;

const SQLITE_CONSTRAINT = 19;
const SQLITE_IOERR = 10;

export function configure(db: SqlDatabase, { cacheBytes, logBytes, isShared }: SqliteSettings): void {
  // Exclusive locking comes first: then the log's index lives in memory instead of a third file.
  db.exec(`
    PRAGMA page_size = ${PAGE_BYTES};
    PRAGMA locking_mode = ${isShared ? 'NORMAL' : 'EXCLUSIVE'};
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = ${Math.ceil(logBytes / PAGE_BYTES)};
    PRAGMA journal_size_limit = ${LOG_BYTES_KEPT};
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
  `);
  keepCache(db, cacheBytes);
}

export function keepCache(db: SqlDatabase, cacheBytes: number): void {
  db.exec(`PRAGMA cache_size = -${Math.ceil(cacheBytes / 1024)}`);
}

interface Prepared {
  readonly insert: SqlStatement;
  readonly replace: SqlStatement;
  readonly delete: SqlStatement;
}

export class SqliteWriting {
  readonly #db: SqlDatabase;
  readonly #tables = new Map<TableName, Prepared>();
  readonly #begin: SqlStatement;
  readonly #commit: SqlStatement;
  readonly #changed = new ChangedKeys();
  #addToJournal: SqlStatement | undefined;
  #broken: Fault | undefined;

  constructor(db: SqlDatabase) {
    this.#db = db;
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
  }

  /** Set when a commit failed on the disk. */
  get broken(): Fault | undefined {
    return this.#broken;
  }

  /** All that `act` puts and removes, durably, or nothing. @throws Fault `full`, `io`, `read-only`; what `act` throws. */
  transaction<T>(act: () => T): T {
    this.begin();
    try {
      const answer = act();
      this.commit();
      return answer;
    } catch (error) {
      this.rollBack(error);
      throw faultOfSql(error, 'commit');
    }
  }

  /** The parts of `transaction`, for who gets the rows bit by bit: after any error, `rollBack` is next. */
  begin(): void {
    if (this.#broken !== undefined) throw this.#broken;
    this.#changed.drop();
    try {
      this.#begin.run([]);
    } catch (error) {
      throw faultOfSql(error, 'commit');
    }
  }

  commit(): void {
    this.#note();
    try {
      this.#commit.run([]);
    } catch (error) {
      if (((sqlCodeOf(error) ?? 0) & 0xff) === SQLITE_IOERR) {
        const sentence =
          'The disk refused to make a metadata commit durable. What it kept is unknown until the store is opened anew; ' +
          'nothing more is taken until then.';
        this.#broken = new Fault('io', sentence, { sqlite: sqlCodeOf(error) }, error);
        throw this.#broken;
      }
      throw error;
    }
  }

  #note(): void {
    const keys = this.#changed.take();
    if (keys.length === 0) return;
    this.#addToJournal ??= ours(() => this.#db.prepare('INSERT INTO journal (keys, checksum) VALUES (?, ?)'));
    this.#addToJournal.run([keys, crc32(keys) | 0]);
  }

  rollBack(cause: unknown): void {
    rollBack(this.#db, cause);
  }

  /** Forgets the journal up to an entry and puts a setting, durably, in a transaction that the journal does not name. */
  settle({ upTo, setting }: SettleRequest): void {
    this.transaction(() => {
      ours(() => this.#db.prepare('DELETE FROM journal WHERE sequence <= ?')).run([upTo]);
      if (setting === undefined) return;
      const values = [setting.name, setting.value];
      const checksum = checksumOf(table('settings'), values);
      assert(checksum !== undefined, 'a setting is text', { setting });
      this.#prepared(table('settings')).replace.run([...values, checksum]);
    });
  }

  /** `values` in column order, then the row's checksum. */
  put(of: Table, values: readonly SqlValue[], isNew: boolean): void {
    const prepared = this.#prepared(of);
    try {
      (isNew ? prepared.insert : prepared.replace).run(values);
    } catch (error) {
      const isThere = ((sqlCodeOf(error) ?? 0) & 0xff) === SQLITE_CONSTRAINT;
      const key = of.key.map((column) => values[of.columns.indexOf(column)] ?? '') as Key;
      assert(!isThere, 'a row that is inserted is not there yet', { place: shownPlace(of, key) });
      throw error;
    }
    this.#changed.put(of, values);
  }

  delete(of: Table, key: readonly SqlValue[]): void {
    this.#prepared(of).delete.run(key);
    this.#changed.delete(of, key);
  }

  #prepared({ name }: Table): Prepared {
    const known = this.#tables.get(name);
    if (known !== undefined) return known;
    const of = table(name);
    const prepare = (sql: string): SqlStatement => ours(() => this.#db.prepare(sql));
    const prepared: Prepared = {
      insert: prepare(insertSql(of, false)),
      replace: prepare(insertSql(of, true)),
      delete: prepare(deleteSql(of)),
    };
    this.#tables.set(name, prepared);
    return prepared;
  }
}
