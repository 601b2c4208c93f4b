/**
 * The little of a SQL database that the SQLite engine needs, so that the SQLite inside Node and one compiled to
 * WebAssembly over a simulated disk both serve. Everything answers at once.
 *
 * Errors: whatever SQLite refuses is thrown as an Error with its extended result code as the number `errcode`.
 */

export type SqlValue = number | string | Uint8Array | null;

export interface SqlStatement {
  /** The first row, columns in order, or undefined. */
  get(values: readonly SqlValue[]): readonly SqlValue[] | undefined;
  /** All rows. */
  all(values: readonly SqlValue[]): readonly (readonly SqlValue[])[];
  run(values: readonly SqlValue[]): void;
}

export interface SqlDatabase {
  /** Runs statements that answer nothing of interest. */
  exec(sql: string): void;
  prepare(sql: string): SqlStatement;
  /** Bytes that the database and its log take on disk (in memory, for one that lives there). */
  sizeBytes(): number;
  /** Checkpoints and lets go of the files. Safe twice. */
  close(): void;
}

/** Names are quoted always: `commit`, `offset` and `key` are words of SQL. */
export function quoted(name: string): string {
  return `"${name}"`;
}

export function listed(names: readonly string[]): string {
  return names.map(quoted).join(', ');
}
