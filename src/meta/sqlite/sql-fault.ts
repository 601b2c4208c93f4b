/** What SQLite refuses, as Faults with a sentence that says what to do. Anything unknown passes as it is: a bug. */
import { Fault, type FaultCode } from '../../base/index.ts';
import type { SqlDatabase } from '../sql.ts';

const SENTENCES: Readonly<Record<number, readonly [FaultCode, string]>> = {
  3: ['denied', 'The metadata may not be opened by this user. Check who owns the store folder.'],
  5: ['locked', 'Another process has the metadata open. Stop it, or work through it.'],
  6: ['locked', 'Another process has the metadata open. Stop it, or work through it.'],
  8: ['read-only', 'The metadata cannot be written: its file or folder is read-only. Make it writable and try again.'],
  10: ['io', 'The disk refused to read or write the metadata. Look at the system log for failing hardware.'],
  11: [
    'corrupt',
    'The metadata database is damaged. Stop writing and run a check; restore it from a backup if need be.',
  ],
  13: ['full', 'The disk has no room for more metadata. Free some space and try again; nothing was lost.'],
  14: ['io', 'The metadata file cannot be opened. Check that its folder exists and may be written.'],
  26: ['corrupt', 'The metadata file is not a SQLite database: its beginning is damaged, or it is another file.'],
};

/** The SQLite result code of an error, if it is one of SQLite's. */
export function sqlCodeOf(error: unknown): number | undefined {
  const code: unknown = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  return typeof code === 'number' ? code : undefined;
}

/** A Fault for what SQLite refused; every other error as it was. */
export function faultOfSql(error: unknown, doing: string): unknown {
  // A whole number beyond 53 bits: only damage makes one.
  const isOutOfRange = error instanceof Error && 'code' in error && error.code === 'ERR_OUT_OF_RANGE';
  const code = isOutOfRange ? 11 : sqlCodeOf(error);
  if (code === undefined) return error;
  const known = SENTENCES[code & 0xff];
  if (known === undefined) return error;
  return new Fault(known[0], known[1], { doing, sqlite: code, message: (error as Error).message }, error);
}

const SQLITE_ERROR = 1;

/** Prepares or runs SQL of ours, which is known to be right: where SQLite does not understand it, definitions are damaged. */
export function ours<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (sqlCodeOf(error) !== SQLITE_ERROR) throw error;
    const sentence = 'The definitions of the metadata tables are damaged. Restore the metadata from a backup.';
    throw new Fault('corrupt', sentence, { message: (error as Error).message }, error);
  }
}

/** After `cause`, which is what counts. */
export function rollBack(db: SqlDatabase, cause: unknown): void {
  try {
    db.exec('ROLLBACK');
  } catch (error) {
    // SQLite rolls back on its own after some errors, and says then that no transaction is active.
    if (sqlCodeOf(error) === undefined) throw new AggregateError([cause, error], 'Rolling back failed as well.');
  }
}
