/**
 * The WebAssembly build of SQLite, as far as the simulation uses it: the C functions by name, the module's memory, and
 * the way to install a file system (VFS) that is written in JavaScript. It is the same source as the SQLite inside Node
 * (a test compares their ids), so what holds for the simulation holds for the engine that a store runs on.
 *
 * Pointers are numbers, 0 is NULL; 64-bit integers are bigints. The module is loaded once a process.
 */
import initSqlite from '@sqlite.org/sqlite-wasm';

export type Pointer = number;

/** What we call of SQLite's C interface; meanings and result codes are SQLite's own. */
export interface SqliteFunctions {
  sqlite3_open_v2(name: Pointer, outDb: Pointer, flags: number, vfs: Pointer): number;
  sqlite3_close_v2(db: Pointer): number;
  sqlite3_extended_result_codes(db: Pointer, on: number): number;
  sqlite3_extended_errcode(db: Pointer): number;
  sqlite3_errmsg(db: Pointer): Pointer;
  sqlite3_exec(db: Pointer, sql: Pointer, callback: 0, argument: 0, outMessage: 0): number;
  sqlite3_prepare_v3(db: Pointer, sql: Pointer, bytes: number, flags: number, outStatement: Pointer, tail: 0): number;
  sqlite3_bind_double(statement: Pointer, index: number, value: number): number;
  sqlite3_bind_text(statement: Pointer, index: number, text: Pointer, bytes: number, destructor: number): number;
  sqlite3_bind_blob(statement: Pointer, index: number, blob: Pointer, bytes: number, destructor: number): number;
  sqlite3_bind_zeroblob(statement: Pointer, index: number, bytes: number): number;
  sqlite3_clear_bindings(statement: Pointer): number;
  sqlite3_step(statement: Pointer): number;
  sqlite3_reset(statement: Pointer): number;
  sqlite3_finalize(statement: Pointer): number;
  sqlite3_column_count(statement: Pointer): number;
  sqlite3_column_type(statement: Pointer, column: number): number;
  sqlite3_column_double(statement: Pointer, column: number): number;
  sqlite3_column_int64(statement: Pointer, column: number): bigint;
  sqlite3_column_text(statement: Pointer, column: number): Pointer;
  sqlite3_column_blob(statement: Pointer, column: number): Pointer;
  sqlite3_column_bytes(statement: Pointer, column: number): number;
  /** Of 0 bytes: forgets its state, and asks the VFS for a new seed at the next use. */
  sqlite3_randomness(bytes: number, into: Pointer): void;
  sqlite3_malloc(bytes: number): Pointer;
  sqlite3_free(pointer: Pointer): void;
}

/** A C struct in the module's memory; members carry their C names behind a `$`. */
export interface SqliteStruct {
  readonly pointer: Pointer;
  [member: `$${string}`]: number;
}

export type SqliteMethods = Readonly<Record<string, (...values: never[]) => number>>;

export interface SqliteWasm {
  readonly sourceId: string;
  readonly functions: SqliteFunctions;
  /** The module's memory now; a view is good until the next call into SQLite. */
  heap(): Uint8Array;
  poke32(at: Pointer, value: number): void;
  poke64(at: Pointer, value: bigint): void;
  textAt(at: Pointer): string;
  newIoMethods(methods: SqliteMethods): SqliteStruct;
  /** Registers a VFS under a name, and as the default, for the rest of the process. */
  registerVfs(name: string, numbers: Readonly<Record<`$${string}`, number>>, methods: SqliteMethods): SqliteStruct;
}

/** The parts of the package's own interface that are behind ours. */
interface SqlitePackage {
  readonly version: { readonly sourceId: string };
  readonly wasm: {
    readonly exports: SqliteFunctions;
    heap8u(): Uint8Array;
    poke32(at: Pointer, value: number): void;
    poke64(at: Pointer, value: bigint): void;
    cstrToJs(at: Pointer): string | null;
  };
  readonly capi: { readonly sqlite3_vfs: new () => SqliteStruct; readonly sqlite3_io_methods: new () => SqliteStruct };
  readonly vfs: {
    installVfs(parts: {
      readonly io?: { readonly struct: SqliteStruct; readonly methods: SqliteMethods };
      readonly vfs?: {
        readonly struct: SqliteStruct;
        readonly methods: SqliteMethods;
        readonly name: string;
        readonly asDefault: true;
      };
    }): void;
  };
}

let loaded: Promise<SqliteWasm> | undefined;

export function loadSqliteWasm(): Promise<SqliteWasm> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<SqliteWasm> {
  const { version, wasm, capi, vfs } = (await initSqlite()) as unknown as SqlitePackage;
  return {
    sourceId: version.sourceId,
    functions: wasm.exports,
    heap: () => wasm.heap8u(),
    poke32: (at, value) => wasm.poke32(at, value),
    poke64: (at, value) => wasm.poke64(at, value),
    textAt: (at) => wasm.cstrToJs(at) ?? '',
    newIoMethods: (methods) => {
      const struct = new capi.sqlite3_io_methods();
      struct.$iVersion = 1;
      vfs.installVfs({ io: { struct, methods } });
      return struct;
    },
    registerVfs: (name, numbers, methods) => {
      const struct = Object.assign(new capi.sqlite3_vfs(), numbers);
      vfs.installVfs({ vfs: { struct, methods, name, asDefault: true } });
      return struct;
    },
  };
}
