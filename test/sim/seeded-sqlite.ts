/**
 * A SQLite database on a seeded disk as meta's SqlDatabase: the adapter that lets `openSqliteMeta` run unchanged in the
 * simulation. It binds and answers values as the one over Node's SQLite does (numbers are bound as doubles; a whole
 * number beyond 53 bits is refused), and its errors carry SQLite's extended result code as `errcode`; behind it, as the
 * cause, stands what the disk threw.
 *
 * A call copies its values into one scratch area of the module's memory, which is free again when the call returns:
 * every statement is reset before that.
 */
import { Fault, textOfUtf8, utf8 } from '../../src/base/index.ts';
import type { SqlDatabase, SqlStatement, SqlValue } from '../../src/meta/index.ts';
import { PowerCut } from '../../src/objects/index.ts';
import type { Pointer, SqliteFunctions, SqliteWasm } from '../infra/sqlite-wasm.ts';
import { type Mount, type MountOptions, mount, sqliteWithSeededVfs, VFS_NAME } from './seeded-vfs.ts';

const OK = 0;
const ROW = 100;
const DONE = 101;
const OPEN_READ_WRITE_CREATE = 0x2 | 0x4;
const PREPARE_PERSISTENT = 0x1;
const INTEGER = 1;
const FLOAT = 2;
const TEXT = 3;
const BLOB = 4;
/** The value stays where it is until the statement is done with it. */
const STATIC = 0;
const SCRATCH_BYTES_MIN = 64 * 1024;

export class SqlError extends Error {
  readonly errcode: number;

  constructor(message: string, errcode: number, cause: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SqlError';
    this.errcode = errcode;
  }
}

export interface SeededDatabase extends SqlDatabase {
  /** From here on SQLite draws its chance for this database; see Mount. */
  lead(): void;
}

/** Opens a database in a file of a seeded disk; its folder must exist. @throws SqlError. */
export async function openSeededSqlite(path: string, options: MountOptions): Promise<SeededDatabase> {
  const sqlite = await sqliteWithSeededVfs();
  return new Database(sqlite, path, options);
}

class Database implements SeededDatabase {
  readonly #sqlite: SqliteWasm;
  readonly #mount: Mount;
  readonly #disk: MountOptions['disk'];
  readonly #path: string;
  readonly #db: Pointer;
  readonly #statements: Pointer[] = [];
  #isClosed = false;

  constructor(sqlite: SqliteWasm, path: string, options: MountOptions) {
    this.#sqlite = sqlite;
    this.#disk = options.disk;
    this.#path = path;
    this.#mount = mount(sqlite, options);
    this.#mount.lead();
    const scratch = scratchOf(sqlite);
    scratch.begin();
    const outDb = scratch.room(4);
    const [name, vfs] = [scratch.text(`/${this.#mount.number}/${path}`), scratch.text(VFS_NAME)];
    const code = this.#functions.sqlite3_open_v2(name, outDb, OPEN_READ_WRITE_CREATE, vfs);
    this.#db = pointerAt(sqlite, outDb);
    this.#functions.sqlite3_extended_result_codes(this.#db, 1);
    if (code === OK) return;
    const error = this.#error();
    this.close();
    throw error;
  }

  get #functions(): SqliteFunctions {
    return this.#sqlite.functions;
  }

  lead(): void {
    this.#mount.lead();
  }

  exec(sql: string): void {
    const scratch = scratchOf(this.#sqlite);
    scratch.begin();
    this.#check(this.#functions.sqlite3_exec(this.#db, scratch.text(sql), 0, 0, 0));
  }

  prepare(sql: string): SqlStatement {
    const scratch = scratchOf(this.#sqlite);
    scratch.begin();
    const out = scratch.room(4);
    this.#check(this.#functions.sqlite3_prepare_v3(this.#db, scratch.text(sql), -1, PREPARE_PERSISTENT, out, 0));
    const statement = pointerAt(this.#sqlite, out);
    this.#statements.push(statement);
    return {
      get: (values) => this.#rows(statement, values, 1)[0],
      all: (values) => this.#rows(statement, values, Number.POSITIVE_INFINITY),
      run: (values) => {
        this.#rows(statement, values, 0);
      },
    };
  }

  sizeBytes(): number {
    return [this.#path, `${this.#path}-wal`].reduce(
      (sum, path) => sum + (this.#disk.statSync(path)?.sizeBytes ?? 0),
      0,
    );
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const statement of this.#statements) this.#functions.sqlite3_finalize(statement);
    this.#functions.sqlite3_close_v2(this.#db);
    // What closing could not do is done at the next opening; a bug must not hide behind that.
    const error = this.#mount.takeError();
    this.#mount[Symbol.dispose]();
    if (isBug(error)) throw error;
  }

  /** Runs to the end, or until there are enough rows. */
  #rows(statement: Pointer, values: readonly SqlValue[], rowsMax: number): SqlValue[][] {
    const functions = this.#functions;
    const rows: SqlValue[][] = [];
    try {
      this.#bind(statement, values);
      for (;;) {
        const code = functions.sqlite3_step(statement);
        if (code === DONE) return rows;
        if (code !== ROW) throw this.#error();
        if (rowsMax === 0) continue;
        rows.push(this.#row(statement));
        if (rows.length >= rowsMax) return rows;
      }
    } finally {
      functions.sqlite3_reset(statement);
      functions.sqlite3_clear_bindings(statement);
    }
  }

  #bind(statement: Pointer, values: readonly SqlValue[]): void {
    const functions = this.#functions;
    const scratch = scratchOf(this.#sqlite);
    scratch.begin();
    for (const [at, value] of values.entries()) {
      const index = at + 1;
      if (value === null) continue;
      if (typeof value === 'number') this.#check(functions.sqlite3_bind_double(statement, index, value));
      else if (typeof value === 'string') {
        const bytes = utf8(value);
        this.#check(functions.sqlite3_bind_text(statement, index, scratch.put(bytes), bytes.length, STATIC));
      } else if (value.length === 0) this.#check(functions.sqlite3_bind_zeroblob(statement, index, 0));
      else this.#check(functions.sqlite3_bind_blob(statement, index, scratch.put(value), value.length, STATIC));
    }
  }

  #row(statement: Pointer): SqlValue[] {
    const count = this.#functions.sqlite3_column_count(statement);
    const row = new Array<SqlValue>(count);
    for (let column = 0; column < count; column++) row[column] = this.#value(statement, column);
    return row;
  }

  #value(statement: Pointer, column: number): SqlValue {
    const functions = this.#functions;
    switch (functions.sqlite3_column_type(statement, column)) {
      case INTEGER:
        return wholeOf(functions.sqlite3_column_int64(statement, column));
      case FLOAT:
        return functions.sqlite3_column_double(statement, column);
      case TEXT: {
        const at = functions.sqlite3_column_text(statement, column);
        return textOfUtf8(this.#bytes(statement, column, at)) ?? '';
      }
      case BLOB: {
        const at = functions.sqlite3_column_blob(statement, column);
        return this.#bytes(statement, column, at);
      }
      default:
        return null;
    }
  }

  /** A copy of a column's bytes, which stand at `at`. */
  #bytes(statement: Pointer, column: number, at: Pointer): Uint8Array {
    const length = this.#functions.sqlite3_column_bytes(statement, column);
    return this.#sqlite.heap().slice(at, at + length);
  }

  #check(code: number): void {
    if (code !== OK) throw this.#error();
  }

  #error(): unknown {
    const cause = this.#mount.takeError();
    if (isBug(cause)) return cause;
    const message = this.#sqlite.textAt(this.#functions.sqlite3_errmsg(this.#db));
    return new SqlError(message, this.#functions.sqlite3_extended_errcode(this.#db), cause);
  }
}

function isBug(error: unknown): boolean {
  return error !== undefined && !Fault.is(error) && !(error instanceof PowerCut);
}

/** As Node's SQLite refuses it: with an error that says so. */
function wholeOf(value: bigint): number {
  const whole = Number(value);
  if (Number.isSafeInteger(whole)) return whole;
  throw Object.assign(new RangeError(`${value} is no number that JavaScript has exactly.`), {
    code: 'ERR_OUT_OF_RANGE',
  });
}

function pointerAt(sqlite: SqliteWasm, at: Pointer): Pointer {
  const heap = sqlite.heap();
  return new DataView(heap.buffer, heap.byteOffset).getUint32(at, true);
}

/** Memory of the module for the values of one call. Blocks are kept, and joined into one at the next `begin`. */
class Scratch {
  readonly #sqlite: SqliteWasm;
  #blocks: Pointer[] = [];
  #bytes = 0;
  #used = 0;

  constructor(sqlite: SqliteWasm) {
    this.#sqlite = sqlite;
  }

  begin(): void {
    this.#used = 0;
    if (this.#blocks.length === 1) return;
    for (const block of this.#blocks) this.#sqlite.functions.sqlite3_free(block);
    this.#blocks = [];
    this.#grow(Math.max(this.#bytes, SCRATCH_BYTES_MIN));
  }

  room(bytes: number): Pointer {
    // Pointers into an earlier block are still in use: add one that is large enough for this and what follows.
    if (this.#used + bytes > this.#bytes) this.#grow(2 * (this.#bytes + bytes));
    const at = (this.#blocks.at(-1) ?? 0) + this.#used;
    this.#used += (bytes + 7) & ~7;
    return at;
  }

  put(bytes: Uint8Array): Pointer {
    const at = this.room(bytes.length);
    this.#sqlite.heap().set(bytes, at);
    return at;
  }

  /** With the zero at its end. */
  text(text: string): Pointer {
    return this.put(utf8(`${text}\0`));
  }

  #grow(bytes: number): void {
    this.#blocks.push(this.#sqlite.functions.sqlite3_malloc(bytes));
    this.#bytes = bytes;
    this.#used = 0;
  }
}

let scratch: Scratch | undefined;

/** There is one module in a process. */
function scratchOf(sqlite: SqliteWasm): Scratch {
  scratch ??= new Scratch(sqlite);
  return scratch;
}
