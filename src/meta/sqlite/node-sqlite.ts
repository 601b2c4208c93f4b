/**
 * The SQLite inside Node as a SqlDatabase. One file, one process: an exclusive lock on it is held while it is open and
 * dies with the process, and no shared-memory file is needed. One connection takes that lock for itself; where several
 * threads of the process have one each, SQLite's `unix-excl` takes it for all of them and keeps the log's index in
 * memory that they share.
 */
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { Fault } from '../../base/index.ts';
import type { SqlDatabase, SqlStatement, SqlValue } from '../sql.ts';
import { faultOfSql } from './sql-fault.ts';

/** `isShared`: other connections of this process may be opened beside it, all of them so. @throws Fault `io` when the file cannot be opened. */
export function openNodeSqlite(path: string, options: { readonly isShared?: boolean } = {}): SqlDatabase {
  let db: DatabaseSync;
  try {
    const place = options.isShared === true ? sharedPlace(path) : path;
    db = new DatabaseSync(place, { enableForeignKeyConstraints: false, defensive: true });
  } catch (error) {
    throw faultOfSql(error, `open ${path}`);
  }
  return {
    exec: (sql) => db.exec(sql),
    prepare: (sql) => prepare(db, sql),
    sizeBytes: () => (path === ':memory:' ? memoryBytes(db) : fileBytes(path) + fileBytes(`${path}-wal`)),
    close: () => {
      if (db.isOpen) db.close();
    },
  };
}

function sharedPlace(path: string): URL {
  const url = pathToFileURL(path);
  url.search = '?vfs=unix-excl';
  return url;
}

function prepare(db: DatabaseSync, sql: string): SqlStatement {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return {
    get: (values) => statement.get(...values) as unknown as readonly SqlValue[] | undefined,
    all: (values) => statement.all(...values) as unknown as readonly (readonly SqlValue[])[],
    run: (values) => {
      statement.run(...values);
    },
  };
}

function fileBytes(path: string): number {
  try {
    return statSync(path).size;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 0;
    throw new Fault('io', `The size of ${path} cannot be read.`, { path }, error);
  }
}

function memoryBytes(db: DatabaseSync): number {
  const row = db.prepare('SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size').get();
  return Number(row?.bytes ?? 0);
}
