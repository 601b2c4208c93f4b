/**
 * SQLite metadata in a file. `openSqliteFile` does everything on the calling thread, over one connection. `SqliteFile`
 * is what a store uses: reads answer at once from a connection here, and writing moves to a thread with a connection of
 * its own as soon as there is enough of it to be worth one, so that neither thousands of rows nor the sync of a commit
 * hold up the event loop. A short command never starts the thread.
 *
 * Writes, leases, commits and recounts keep the order in which they were asked for and never overlap, so one that
 * decides on rows finds all that came before it. What is durable is visible here when its promise resolves: a read takes
 * the newest commit. Meanwhile two reads may find two states, each of them whole.
 *
 * Both connections share the log's index in the memory of this process (SQLite's `unix-excl`): no file beside database
 * and log, and every other process is refused. docs/decisions/sqlite-writer.md.
 */
import { realpathSync, statSync } from 'node:fs';
import { andThen, Fault, isPromise, type Maybe, type Moment } from '../../base/index.ts';
import { decideChanges } from '../changes/commit-changes.ts';
import { leaseOf } from '../changes/leases.ts';
import type { Change, MetaProblem, MetaStore, Outcome, RowOf, ScanRange } from '../meta-store.ts';
import type { RowSource, RowWrite } from '../rows/row-source.ts';
import type { IndexName, Keys, Rows, TableName } from '../rows/rows.ts';
import type { SqlDatabase } from '../sql.ts';
import { openNodeSqlite } from './node-sqlite.ts';
import { type RowJournal, SqliteJournal } from './row-journal.ts';
import { faultOfSql, ours } from './sql-fault.ts';
import {
  CACHE_BYTES_DEFAULT,
  LOG_BYTES_DEFAULT,
  openSqliteMeta,
  type SqliteMeta,
  type SqliteMetaOptions,
} from './sqlite-meta.ts';
import { keepCache } from './sqlite-writing.ts';
import { WriterThread } from './writer-thread.ts';

/** Rows, and writes, that are written here before a thread is worth its 30 ms of processor time. */
export const ROWS_HERE_MAX = 2_000;
export const WRITES_HERE_MAX = 16;

export interface SqliteFileOptions extends Omit<SqliteMetaOptions, 'isShared'> {
  /** Whether a thread writes from the beginning; otherwise once it is worth one. */
  readonly isThreadedAtOnce?: boolean;
  /** Whether the thread is made ready at once, behind what is asked for: of a process that will write for long. */
  readonly isThreadReadied?: boolean;
}

/** Opens the metadata in a file, which is made when it is absent; `:memory:` lives as long as the object. */
export function openSqliteFile(path: string, options: Omit<SqliteMetaOptions, 'isShared'> = {}): SqliteMeta {
  const db = openNodeSqlite(path);
  try {
    return openSqliteMeta(db, options);
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Files that are open here: SQLite keeps other processes away from them, not others in this one. */
const openPaths = new Set<string>();

interface OpenFile {
  readonly path: string;
  readonly inode: number;
}

export class SqliteFile implements MetaStore {
  readonly abilities = { synchronousReads: true };
  readonly rows: RowSource;
  readonly journal: RowJournal;
  readonly #file: OpenFile;
  readonly #db: SqlDatabase;
  readonly #here: SqliteMeta;
  readonly #options: SqliteFileOptions;
  #thread: WriterThread | undefined;
  #isThreadless = false;
  #rowsHere = 0;
  #writesHere = 0;
  /** Resolves when all that was asked for has ended; absent when nothing is under way. */
  #underWay: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  /** @throws Fault `locked` when it is open already, `incompatible`, `corrupt`, `io`. */
  static open(path: string, options: SqliteFileOptions = {}): SqliteFile {
    const db = openNodeSqlite(path, { isShared: true });
    try {
      const real = realpathSync(path);
      if (openPaths.has(real)) throw new Fault('locked', 'This process has the metadata open already.', { path });
      const here = openSqliteMeta(db, { ...options, isShared: true });
      openPaths.add(real);
      return new SqliteFile({ path: real, inode: statSync(real).ino }, db, here, options);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  private constructor(file: OpenFile, db: SqlDatabase, here: SqliteMeta, options: SqliteFileOptions) {
    this.#file = file;
    this.#db = db;
    this.#here = here;
    this.#options = options;
    this.rows = here.rows;
    if (options.isThreadReadied === true) this.#startThread();
    this.journal = new SqliteJournal(db, (what) =>
      this.#inOrder(() => (this.isThreaded ? this.#thread?.settle(what) : here.settle(what))),
    );
  }

  /** Whether a thread writes. */
  get isThreaded(): boolean {
    return this.#thread?.isReady === true;
  }

  get<T extends TableName>(name: T, key: Keys[T]): Rows[T] | undefined {
    return this.#here.get(name, key);
  }

  scan<Name extends TableName | IndexName>(name: Name, range: ScanRange<Name>): readonly RowOf<Name>[] {
    return this.#here.scan(name, range);
  }

  write(writes: Iterable<RowWrite>): Maybe<void> {
    return this.#inOrder(() => this.#write(writes));
  }

  commit(changes: readonly Change[], options: { readonly essential?: number } = {}): Maybe<readonly Outcome[]> {
    return this.#inOrder(() => {
      const { outcomes, writes } = deciding('commit', () => decideChanges(this.rows, changes, options.essential));
      return andThen(this.#write(writes), () => outcomes);
    });
  }

  leaseIds(kind: string, count: number): Maybe<number> {
    return this.#inOrder(() => {
      const { first, write } = deciding('lease', () => leaseOf(this.rows, kind, count));
      return andThen(this.#write([write]), () => first);
    });
  }

  recount(now: Moment): Maybe<number> {
    // On the connection here: it is rare, long, and nobody commits in between.
    return this.#inOrder(() => this.#here.recount(now));
  }

  #write(writes: Iterable<RowWrite>): Maybe<void> {
    if (this.isThreaded) return this.#thread?.write(writes);
    const rows = [...writes];
    this.#rowsHere += rows.length;
    this.#writesHere++;
    const { isThreadedAtOnce = false } = this.#options;
    const isWorthIt = isThreadedAtOnce || this.#rowsHere > ROWS_HERE_MAX || this.#writesHere > WRITES_HERE_MAX;
    const thread = isWorthIt ? this.#startThread() : undefined;
    // What is much by itself waits for the thread; the rest goes on here meanwhile.
    if (thread === undefined || !(isThreadedAtOnce || rows.length > ROWS_HERE_MAX)) return this.#here.write(rows);
    return thread.ready.then(
      () => thread.write(rows),
      () => this.#here.write(rows),
    );
  }

  /** Undefined when one could not be started before: then everything is written here, as slowly as that is. */
  #startThread(): WriterThread | undefined {
    if (this.#thread !== undefined || this.#isThreadless) return this.#thread;
    const { cacheBytes = CACHE_BYTES_DEFAULT, logBytes = LOG_BYTES_DEFAULT } = this.#options;
    // Together the two connections keep what one did.
    const settings = { cacheBytes: Math.ceil(cacheBytes / 2), logBytes, isShared: true };
    const thread = new WriterThread({ ...this.#file, settings });
    this.#thread = thread;
    thread.ready.then(
      () => keepCache(this.#db, settings.cacheBytes),
      () => {
        this.#thread = undefined;
        this.#isThreadless = true;
      },
    );
    return thread;
  }

  #inOrder<T>(act: () => Maybe<T>): Maybe<T> {
    if (this.#closed !== undefined) throw new Fault('unavailable', 'The metadata is closed.');
    const actWhole = (): Maybe<T> => {
      const broken = this.#thread?.broken ?? this.#here.broken;
      if (broken !== undefined) throw broken;
      return act();
    };
    const answer = this.#underWay === undefined ? actWhole() : this.#underWay.then(actWhole);
    if (!isPromise(answer)) return answer;
    const ended = answer.then(nothing, nothing).then(() => {
      if (this.#underWay === ended) this.#underWay = undefined;
    });
    this.#underWay = ended;
    return answer;
  }

  check(options: { readonly signal?: AbortSignal } = {}): AsyncIterable<MetaProblem> {
    return this.#here.check(options);
  }

  sizeBytes(): number {
    return this.#here.sizeBytes();
  }

  /** Waits for what is under way, moves the log into the database. Safe twice. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#underWay;
    await this.#thread?.close();
    // The last to close moves the log and removes it.
    await this.#here.close();
    openPaths.delete(this.#file.path);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function nothing(): void {}

/** What deciding meets of SQLite, as faults. */
function deciding<T>(doing: string, decide: () => T): T {
  try {
    return ours(decide);
  } catch (error) {
    throw faultOfSql(error, doing);
  }
}
