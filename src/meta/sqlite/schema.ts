/**
 * Which shape a metadata database has, and how an older one becomes the current one. `application_id` says that a
 * SQLite file is metadata of Holdfast, `user_version` which schema it has. Opening creates the tables in an empty file,
 * upgrades an older schema step by step in one transaction, and refuses a newer one.
 *
 * A step from n to n + 1, once released, never changes; it must leave exactly what a fresh database of n + 1 has, row
 * checksums included.
 */
import { assert, Fault } from '../../base/index.ts';
import type { SqlDatabase } from '../sql.ts';
import { rollBack } from './sql-fault.ts';
import { JOURNAL_SQL, schemaSql, tableSql } from './sql-text.ts';

/** "HFmd" in ASCII. */
export const APPLICATION_ID = 0x48466d64;

export interface Schema {
  /** From 1. */
  readonly version: number;
  /** Makes the tables of `version` in an empty database. */
  readonly create: (db: SqlDatabase) => void;
  /** upgrades[i] makes version i + 2 of version i + 1. */
  readonly upgrades: readonly ((db: SqlDatabase) => void)[];
}

/** Locks that outlive the process that granted them. */
const LOCKS_SQL = `
CREATE TABLE "locks" (
  "space" INTEGER NOT NULL,
  "token" INTEGER NOT NULL,
  "key" TEXT NOT NULL,
  "mode" TEXT NOT NULL,
  "isTarget" INTEGER NOT NULL,
  "session" TEXT NOT NULL,
  "holder" TEXT NOT NULL,
  "path" TEXT NOT NULL,
  "grantedMs" INTEGER NOT NULL,
  "expiresMs" INTEGER NOT NULL,
  "checksum" INTEGER NOT NULL,
  PRIMARY KEY ("space", "token", "key")
) STRICT, WITHOUT ROWID;
CREATE INDEX "locksByKey" ON "locks" ("space", "key", "token");`;

/** Files on their way in. */
const UPLOADS_SQL = `
CREATE TABLE "uploads" (
  "space" INTEGER NOT NULL,
  "upload" TEXT NOT NULL,
  "state" INTEGER NOT NULL,
  "path" TEXT NOT NULL,
  "mode" TEXT NOT NULL,
  "size" INTEGER,
  "partBytes" INTEGER NOT NULL,
  "expectedVersion" INTEGER,
  "expectedNode" INTEGER,
  "xxhash3" BLOB,
  "sha256" BLOB,
  "modifiedSeconds" INTEGER,
  "modifiedNanoseconds" INTEGER,
  "permissions" INTEGER,
  "parents" INTEGER NOT NULL,
  "content" INTEGER,
  "received" INTEGER NOT NULL,
  "createdSeconds" INTEGER NOT NULL,
  "expiresSeconds" INTEGER NOT NULL,
  "actor" TEXT NOT NULL,
  "door" TEXT NOT NULL,
  "note" TEXT NOT NULL,
  "answer" TEXT NOT NULL,
  "checksum" INTEGER NOT NULL,
  PRIMARY KEY ("space", "upload")
) STRICT, WITHOUT ROWID;
CREATE TABLE "uploadParts" (
  "space" INTEGER NOT NULL,
  "upload" TEXT NOT NULL,
  "part" INTEGER NOT NULL,
  "size" INTEGER NOT NULL,
  "hash" BLOB NOT NULL,
  "receivedSeconds" INTEGER NOT NULL,
  "checksum" INTEGER NOT NULL,
  PRIMARY KEY ("space", "upload", "part")
) STRICT, WITHOUT ROWID;
CREATE INDEX "uploadsByState" ON "uploads" ("space", "state", "upload");`;

export const CURRENT_SCHEMA: Schema = {
  version: 5,
  create: (db) => db.exec(schemaSql()),
  upgrades: [
    (db) => db.exec(tableSql('snapshots')),
    (db) => db.exec(LOCKS_SQL),
    (db) => db.exec(JOURNAL_SQL),
    (db) => db.exec(UPLOADS_SQL),
  ],
};

/** @throws Fault `incompatible` for a newer schema, or a database that is not metadata. */
export function openSchema(db: SqlDatabase, schema: Schema = CURRENT_SCHEMA): void {
  assert(schema.upgrades.length === schema.version - 1, 'there is a step to every version');
  const [applicationId, version] = [pragma(db, 'application_id'), pragma(db, 'user_version')];
  const isEmpty = version === 0 && applicationId === 0 && countOf(db) === 0;
  if (!isEmpty && applicationId !== APPLICATION_ID)
    throw new Fault('incompatible', 'This SQLite file is not metadata of Holdfast.', { applicationId });
  if (version > schema.version) {
    const sentence = `The metadata has schema version ${version}; this Holdfast knows up to ${schema.version}. Use a newer one.`;
    throw new Fault('incompatible', sentence, { version, known: schema.version });
  }
  if (version === schema.version) return;
  inTransaction(db, () => {
    if (isEmpty) schema.create(db);
    else for (const upgrade of schema.upgrades.slice(version - 1)) upgrade(db);
    db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${schema.version};`);
  });
}

function inTransaction(db: SqlDatabase, act: () => void): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    act();
    db.exec('COMMIT');
  } catch (error) {
    rollBack(db, error);
    throw error;
  }
}

function pragma(db: SqlDatabase, name: string): number {
  return Number(db.prepare(`PRAGMA ${name}`).get([])?.[0] ?? 0);
}

function countOf(db: SqlDatabase): number {
  return Number(db.prepare('SELECT count(*) FROM sqlite_schema').get([])?.[0] ?? 0);
}
