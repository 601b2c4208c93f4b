/**
 * The SQLite inside Node as a SqlDatabase. One file, one connection, one process: the exclusive lock is held while it
 * is open and dies with the process, and no shared-memory file is needed.
 */
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Fault } from '../base/index.ts';
import type { SqlDatabase, SqlStatement, SqlValue } from './sql.ts';
import { faultOfSql } from './sql-fault.ts';
import { openSqliteMeta, type SqliteMeta, type SqliteMetaOptions } from './sqlite-meta.ts';

/** Opens the metadata in a file, which is made when it is absent; `:memory:` lives as long as the object. */
export function openSqliteFile(path: string, options: SqliteMetaOptions = {}): SqliteMeta {
  const db = openNodeSqlite(path);
  try {
    return openSqliteMeta(db, options);
  } catch (error) {
    db.close();
    throw error;
  }
}

/** @throws Fault `io` when the file cannot be opened. */
export function openNodeSqlite(path: string): SqlDatabase {
  let db: DatabaseSync;
  try {
    db = new DatabaseSync(path, { enableForeignKeyConstraints: false, defensive: true });
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
