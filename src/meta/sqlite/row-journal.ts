/**
 * The journal of an engine: which rows its transactions changed since the last checkpoint, oldest first. An entry is
 * written in the transaction of its rows, so it is complete whatever crashed; it goes when a checkpoint that holds its
 * rows is durable.
 */
import { crc32 } from 'node:zlib';
import { Fault, type Maybe } from '../../base/index.ts';
import { type ChangedKey, readChangedKeys } from '../rows/changed-keys.ts';
import type { SqlDatabase, SqlStatement } from '../sql.ts';
import { faultOfSql, ours } from './sql-fault.ts';
import type { SettleRequest } from './sqlite-writing.ts';

export interface JournalEntry {
  /** Rising; numbers may come again when the journal was empty. */
  readonly sequence: number;
  readonly keys: readonly ChangedKey[];
}

export interface RowJournal {
  /** The newest entry's number; 0 when there is none. */
  head(): number;
  /** Bytes of keys that wait for a checkpoint. */
  sizeBytes(): number;
  /** The first entry behind `after`. @throws Fault `corrupt` when it is damaged. */
  next(after: number): JournalEntry | undefined;
  /** Runs `read`, whose reads all see one state. Nothing in it may wait. */
  atOnce<T>(read: () => T): T;
  /** Forgets entries and puts a setting, together and durably; the setting itself is not noted. */
  settle(what: SettleRequest): Maybe<void>;
  /** Forgets everything. */
  forget(): Maybe<void>;
}

export class SqliteJournal implements RowJournal {
  readonly #db: SqlDatabase;
  readonly #settle: (what: SettleRequest) => Maybe<void>;
  readonly #statements = new Map<string, SqlStatement>();

  constructor(db: SqlDatabase, settle: (what: SettleRequest) => Maybe<void>) {
    this.#db = db;
    this.#settle = settle;
  }

  head(): number {
    return Number(this.#get('SELECT max(sequence) FROM journal')?.[0] ?? 0);
  }

  sizeBytes(): number {
    return Number(this.#get('SELECT sum(length(keys)) FROM journal')?.[0] ?? 0);
  }

  next(after: number): JournalEntry | undefined {
    const row = this.#get(
      'SELECT sequence, keys, checksum FROM journal WHERE sequence > ? ORDER BY sequence LIMIT 1',
      after,
    );
    if (row === undefined) return undefined;
    const [sequence, keys, checksum] = row;
    if (keys instanceof Uint8Array && (crc32(keys) | 0) === checksum)
      return { sequence: Number(sequence), keys: readChangedKeys(keys) };
    const sentence = `Entry ${sequence} of the metadata's journal is damaged: its checksum does not match. Run a check.`;
    throw new Fault('corrupt', sentence, { sequence });
  }

  atOnce<T>(read: () => T): T {
    this.#db.exec('BEGIN');
    try {
      return read();
    } finally {
      // It has only read: there is nothing to lose.
      this.#db.exec('ROLLBACK');
    }
  }

  settle(what: SettleRequest): Maybe<void> {
    return this.#settle(what);
  }

  forget(): Maybe<void> {
    return this.#settle({ upTo: this.head() });
  }

  #get(sql: string, ...values: number[]): ReturnType<SqlStatement['get']> {
    try {
      let statement = this.#statements.get(sql);
      if (statement === undefined) {
        statement = ours(() => this.#db.prepare(sql));
        this.#statements.set(sql, statement);
      }
      return statement.get(values);
    } catch (error) {
      throw faultOfSql(error, 'read the journal');
    }
  }
}
