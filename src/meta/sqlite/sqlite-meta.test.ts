/** The SQLite engine keeps the contract (on a file: sqlite-file.test.ts), and notices damage, refusals and foreign files. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Fault, seededRandom } from '../../base/index.ts';
import { testMetaStore } from '../contract/contract.ts';
import {
  at,
  bytes,
  chunkRow,
  contentRow,
  entryRow,
  extentRow,
  fileNode,
  firstChanges,
  pinRow,
  RECORD,
} from '../contract/contract-rows.ts';
import { type Change, type MetaProblem, type MetaStore, SCAN_ROWS_MAX } from '../meta-store.ts';
import { TABLE_NAMES } from '../rows/tables.ts';
import type { SqlDatabase } from '../sql.ts';
import { openNodeSqlite } from './node-sqlite.ts';
import { APPLICATION_ID, CURRENT_SCHEMA, type Schema } from './schema.ts';
import { openSqliteFile } from './sqlite-file.ts';
import { openSqliteMeta, type SqliteMeta } from './sqlite-meta.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-meta-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let number = 0;
const freshPath = (): string => join(folder, `${number++}.db`);

testMetaStore('SQLite metadata in memory', () => openSqliteFile(':memory:'));

const isFault =
  (...codes: readonly Fault['code'][]) =>
  (error: unknown): boolean =>
    Fault.is(error, ...codes);

function put(node: number, parts: Partial<Change> = {}): Change {
  const chunk = bytes(node, 1);
  return {
    space: 1,
    now: at(node),
    record: { ...RECORD, items: [{ node, kind: 1, version: 1 }] },
    puts: [
      { table: 'chunks', mode: 'keep', row: chunkRow(chunk) },
      { table: 'contents', mode: 'insert', row: contentRow(1, node) },
      { table: 'extents', mode: 'insert', row: extentRow(1, node, 0, chunk) },
      { table: 'nodes', mode: 'insert', row: fileNode(1, node, node) },
      { table: 'entries', mode: 'insert', row: entryRow(1, 1, `file ${node}`, node) },
    ],
    ...parts,
  };
}

function mustCommit(meta: SqliteMeta, ...changes: readonly Change[]): void {
  for (const outcome of meta.commit(changes)) if (!outcome.ok) throw outcome.fault;
}

function dump(meta: SqliteMeta): readonly (readonly object[])[] {
  return TABLE_NAMES.map((name) => meta.scan(name, { prefix: [], limit: SCAN_ROWS_MAX } as never));
}

async function problemsOf(meta: MetaStore): Promise<readonly MetaProblem[]> {
  const found: MetaProblem[] = [];
  for await (const problem of meta.check()) found.push(problem);
  return found;
}

test('SQLite metadata is there again after it was closed, and after it was not', async () => {
  const path = freshPath();
  const first = openSqliteFile(path);
  mustCommit(first, ...firstChanges(), put(5));
  assert.equal(first.leaseIds('node', 100), 1);
  // A copy of the files as they are, without closing: what a killed process leaves.
  const killed = freshPath();
  for (const ending of ['', '-wal']) if (existsSync(path + ending)) copyFileSync(path + ending, killed + ending);
  const rows = dump(first);
  await first.close();
  for (const each of [path, killed]) {
    await using again = openSqliteFile(each);
    assert.deepEqual(dump(again), rows);
    assert.equal(again.leaseIds('node', 1), 101, 'leased ids stay leased');
    assert.deepEqual(await problemsOf(again), []);
  }
});

test('SQLite metadata is open in one process once', async () => {
  const path = freshPath();
  await using meta = openSqliteFile(path);
  mustCommit(meta, ...firstChanges());
  assert.throws(() => openSqliteFile(path), isFault('locked'));
  assert.ok(!existsSync(`${path}-shm`), 'no shared memory beside it');
  assert.ok(meta.sizeBytes() > 100_000);
});

test('a file that cannot be opened is io, one that is something else is told apart', () => {
  assert.throws(() => openSqliteFile(join(folder, 'absent', 'x.db')), isFault('io'));
  const text = freshPath();
  writeFileSync(text, 'This is no database at all. '.repeat(100));
  assert.throws(() => openSqliteFile(text), isFault('corrupt'));
  const other = freshPath();
  const db = openNodeSqlite(other);
  db.exec('CREATE TABLE a (b)');
  db.close();
  assert.throws(() => openSqliteFile(other), isFault('incompatible'));
});

test('an older schema is upgraded in one transaction, a newer one is refused', async () => {
  const path = freshPath();
  const first = openSqliteFile(path);
  mustCommit(first, ...firstChanges(), put(5));
  const rows = dump(first);
  await first.close();
  const steps: string[] = [];
  const next = (upgrade: (db: SqlDatabase) => void): Schema => ({
    version: CURRENT_SCHEMA.version + 2,
    create: CURRENT_SCHEMA.create,
    upgrades: [
      ...CURRENT_SCHEMA.upgrades,
      (db) => {
        steps.push('a');
        db.exec('CREATE TABLE extra (a INTEGER) STRICT');
      },
      (db) => {
        steps.push('b');
        upgrade(db);
      },
    ],
  });
  const failing = next((db) => db.exec('INSERT INTO extra VALUES (1); INSERT INTO absent VALUES (1)'));
  assert.throws(() => openSqliteFile(path, { schema: failing }), /no such table/);
  await (await openSqliteFile(path)).close();
  assert.deepEqual(steps, ['a', 'b'], 'and undone whole: the old version still opens it');
  const upgraded = openSqliteFile(path, { schema: next((db) => db.exec('INSERT INTO extra VALUES (1)')) });
  assert.deepEqual(dump(upgraded), rows);
  await upgraded.close();
  assert.throws(() => openSqliteFile(path), isFault('incompatible'));
  const db = openNodeSqlite(path);
  assert.deepEqual(
    ['application_id', 'user_version'].map((name) => db.prepare(`PRAGMA ${name}`).get([])?.[0]),
    [APPLICATION_ID, CURRENT_SCHEMA.version + 2],
  );
  db.close();
});

test('a row whose values were changed under its checksum is corrupt wherever it is met, and a check names it', async () => {
  const db = openNodeSqlite(':memory:');
  await using meta = openSqliteMeta(db);
  mustCommit(meta, ...firstChanges(), put(5), put(6));
  db.exec('UPDATE nodes SET size = size + 1 WHERE node = 5');
  const isDamage = (error: unknown): boolean =>
    Fault.is(error, 'corrupt') && /nodes\(space 1, node 5\)/.test(error.message) && error.about.table === 'nodes';
  assert.throws(() => meta.get('nodes', [1, 5]), isDamage);
  assert.throws(() => meta.scan('nodes', { prefix: [1], limit: 10 }), isDamage);
  assert.equal(meta.get('nodes', [1, 6])?.node, 6);
  const outcomes = meta.commit([put(7), { space: 1, now: at(9), deletes: [{ table: 'nodes', key: [1, 5] }] }, put(8)]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ok || outcome.fault.code),
    [true, 'corrupt', true],
  );
  const found = await problemsOf(meta);
  assert.deepEqual(
    found.map(({ table, about }) => [table, about]),
    [['nodes', { table: 'nodes', key: { space: 1, node: 5 } }]],
  );
});

test('a whole row in the place of another is noticed', async () => {
  const db = openNodeSqlite(':memory:');
  await using meta = openSqliteMeta(db);
  mustCommit(meta, ...firstChanges(), put(5), put(6));
  db.exec('DELETE FROM nodes WHERE node = 6; UPDATE nodes SET node = 6 WHERE node = 5');
  assert.throws(() => meta.get('nodes', [1, 6]), isFault('corrupt'));
});

test('a lost chunk index is named by a check and makes dedup miss, not lie', async () => {
  const db = openNodeSqlite(':memory:');
  await using meta = openSqliteMeta(db);
  mustCommit(meta, ...firstChanges(), put(5));
  db.exec('DELETE FROM chunks');
  const found = await problemsOf(meta);
  assert.deepEqual(
    found.map(({ table, about }) => [table, about.missing ?? about.counted]),
    [
      ['chunks', true],
      ['packs', { liveCount: 0, liveBytes: 0 }],
    ],
  );
  const outcomes = meta.commit([
    put(6, { puts: [{ table: 'extents', mode: 'insert', row: extentRow(1, 6, 0, bytes(5, 1)) }] }),
    // Removing what the lost index counted is still possible.
    { space: 1, now: at(9), deletes: [{ table: 'extents', key: [1, 5, 0] }] },
  ]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ok || outcome.fault.code),
    ['gone', true],
  );
  mustCommit(meta, { now: at(9), puts: [{ table: 'chunks', mode: 'keep', row: chunkRow(bytes(5, 1)) }] });
  assert.equal(meta.recount(at(10)), 1);
  assert.deepEqual(await problemsOf(meta), []);
});

/** Bits that are flipped, one at a time. */
const FLIPS = 150;

test('one flipped bit anywhere in the file changes nothing, or is noticed', async () => {
  const path = freshPath();
  const first = openSqliteFile(path);
  mustCommit(first, ...firstChanges(), {
    space: 1,
    now: at(1),
    puts: [{ table: 'pins', mode: 'insert', row: pinRow(1, 1, 0, null) }],
  });
  for (let node = 5; node < 60; node++) mustCommit(first, put(node));
  const rows = dump(first);
  await first.close();
  const whole = readFileSync(path);
  const random = seededRandom(20260101);
  let noticed = 0;
  for (let flip = 0; flip < FLIPS; flip++) {
    const damaged = new Uint8Array(whole);
    const where = random.below(damaged.length);
    damaged[where] = (damaged[where] ?? 0) ^ (1 << random.below(8));
    const each = freshPath();
    writeFileSync(each, damaged);
    const found = await openDamaged(each);
    if (found === 'noticed') noticed++;
    else assert.deepEqual(found, rows, `bit of byte ${where}`);
    rmSync(each);
  }
  assert.ok(noticed > FLIPS / 10, `${noticed} of ${FLIPS} met something`);
});

async function openDamaged(path: string): Promise<'noticed' | readonly (readonly object[])[]> {
  try {
    await using meta = openSqliteFile(path);
    if ((await problemsOf(meta)).length > 0) return 'noticed';
    return dump(meta);
  } catch (error) {
    assert.ok(Fault.is(error, 'corrupt', 'incompatible'), String(error));
    return 'noticed';
  }
}

test('a full disk fails the group, which leaves nothing, and the next one goes through when there is room', async () => {
  const db = openNodeSqlite(freshPath());
  await using meta = openSqliteMeta(db);
  mustCommit(meta, ...firstChanges(), put(5));
  const before = dump(meta);
  const pages = Number(db.prepare('PRAGMA page_count').get([])?.[0]);
  db.exec(`PRAGMA max_page_count = ${pages + 1}`);
  const settings = Array.from({ length: 50 }, (_, i): Change => {
    return {
      now: at(1),
      puts: [{ table: 'settings', mode: 'insert', row: { name: `${i}`, value: 'x'.repeat(3_000) } }],
    };
  });
  assert.throws(() => meta.commit(settings), isFault('full'));
  assert.deepEqual(dump(meta), before);
  db.exec('PRAGMA max_page_count = 1000000');
  mustCommit(meta, ...settings);
});

/** Fails statements with a SQLite code when asked to. */
function faulty(db: SqlDatabase): { readonly db: SqlDatabase; fail: (when: RegExp, errcode: number) => void } {
  let failing: { readonly when: RegExp; readonly errcode: number } | undefined;
  const pass = <T>(sql: string, act: () => T): T => {
    if (failing?.when.test(sql)) throw Object.assign(new Error('injected'), { errcode: failing.errcode });
    return act();
  };
  return {
    fail: (when, errcode) => {
      failing = { when, errcode };
    },
    db: {
      exec: (sql) => pass(sql, () => db.exec(sql)),
      prepare: (sql) => {
        const statement = db.prepare(sql);
        return {
          get: (values) => pass(sql, () => statement.get(values)),
          all: (values) => pass(sql, () => statement.all(values)),
          run: (values) => pass(sql, () => statement.run(values)),
        };
      },
      sizeBytes: () => db.sizeBytes(),
      close: () => db.close(),
    },
  };
}

test('what SQLite refuses becomes a fault of its kind, and a failed sync stays', async () => {
  const { db, fail } = faulty(openNodeSqlite(':memory:'));
  await using meta = openSqliteMeta(db);
  mustCommit(meta, ...firstChanges());
  const before = dump(meta);
  const none = /^$/;
  for (const [errcode, code] of [
    [8, 'read-only'],
    [10 | (1 << 8), 'io'],
    [13, 'full'],
    [11, 'corrupt'],
  ] as const) {
    fail(/INSERT INTO "entries"/, errcode);
    assert.throws(() => meta.commit([put(5)]), isFault(code));
    fail(/FROM "nodes"/, errcode);
    assert.throws(() => meta.get('nodes', [1, 1]), isFault(code));
    assert.throws(() => meta.scan('nodes', { prefix: [], limit: 1 }), isFault(code));
    fail(none, 0);
    assert.deepEqual(dump(meta), before);
  }
  fail(/^COMMIT/, 13);
  assert.throws(() => meta.commit([put(5)]), isFault('full'));
  fail(none, 0);
  mustCommit(meta, put(5));
  fail(/^COMMIT/, 10 | (4 << 8));
  assert.throws(() => meta.commit([put(6)]), isFault('io'));
  fail(none, 0);
  assert.throws(() => meta.commit([put(6)]), isFault('io'), 'what the disk kept is unknown, so nothing more is taken');
  assert.throws(() => meta.leaseIds('node', 1), isFault('io'));
  assert.equal(meta.get('nodes', [1, 5])?.node, 5, 'reads go on');
});
