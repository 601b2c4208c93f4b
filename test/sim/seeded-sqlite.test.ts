/**
 * SQLite on the seeded disk: it is the SQLite of Node, it answers as meta's adapter over Node's does, and a power cut or
 * a failing call at any point of a script leaves what was committed. That last test is shown to be able to fail: without
 * syncs the same script loses commits.
 */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { ManualClock, type Random, seededRandom } from '../../src/base/index.ts';
import { openNodeSqlite, type SqlDatabase, type SqlValue } from '../../src/meta/index.ts';
import { SeededDisk, type SeededFailure } from '../../src/objects/index.ts';
import { loadSqliteWasm } from '../infra/sqlite-wasm.ts';
import { openSeededSqlite, type SeededDatabase, SqlError } from './seeded-sqlite.ts';

const PATH = 'meta/db';
const CRASH_SEEDS = [1, 2, 3];

describe('SQLite on the seeded disk', () => {
  test('it is the very source that Node has', async () => {
    const db = new DatabaseSync(':memory:');
    const row = db.prepare('SELECT sqlite_source_id() AS id').get();
    db.close();
    assert.equal((await loadSqliteWasm()).sourceId, row?.id);
  });

  test('values and errors are those of the SQLite inside Node', async () => {
    const outcomes = [];
    for (const db of [openNodeSqlite(':memory:'), await openNew(newDisk())]) {
      outcomes.push(everyAnswer(db));
      db.close();
      db.close();
    }
    assert.deepEqual(outcomes[1], outcomes[0]);
  });

  test('large values need no more room than the module grows to', async () => {
    const db = await openNew(newDisk());
    db.exec('CREATE TABLE t (a TEXT, b BLOB, c TEXT)');
    const blob = new Uint8Array(3_000_000).fill(7);
    const text = 'ö'.repeat(700_000);
    db.prepare('INSERT INTO t VALUES (?, ?, ?)').run([text, blob, text]);
    const [[a, b, c] = []] = db.prepare('SELECT * FROM t').all([]);
    assert.equal(a, text);
    assert.deepEqual(b, blob);
    assert.equal(c, text);
    db.close();
  });

  for (const isPowersafeOverwrite of [false, true]) {
    const claim = isPowersafeOverwrite ? 'safe neighbours' : 'nothing';
    test(`power cut leaves every commit, and the one under way whole or not at all, on a disk that claims ${claim}`, async () => {
      const found = await lostInCrashes({ synchronous: 'FULL', isPowersafeOverwrite });
      assert.ok(found.images > 300, `only ${found.images} crashes were tried`);
      assert.deepEqual(found.lost, []);
    });
  }

  test('power cut does lose commits when the database does not sync', async () => {
    const { lost } = await lostInCrashes({ synchronous: 'OFF', isPowersafeOverwrite: false });
    assert.notDeepEqual(lost, []);
  });

  for (const failure of ['io', 'full'] as const) {
    test(`failing call (${failure}) loses no commit, and the database opens again`, async () => {
      const counter = newDisk();
      await runScript(counter, seededRandom(5), { synchronous: 'FULL' });
      for (let n = 1; n <= counter.mutationCount; n++) await checkFailure(n, failure);
    });
  }
});

function newDisk(): SeededDisk {
  const disk = new SeededDisk({ seed: 1 });
  disk.makeFolderSync('meta');
  disk.syncFolderSync('');
  return disk;
}

interface Setting {
  readonly synchronous: 'FULL' | 'OFF';
  readonly isPowersafeOverwrite?: boolean;
}

function openNew(disk: SeededDisk, setting: Setting = { synchronous: 'FULL' }): Promise<SeededDatabase> {
  const { isPowersafeOverwrite = false } = setting;
  return openSeededSqlite(PATH, { disk, clock: new ManualClock(), random: seededRandom(9), isPowersafeOverwrite });
}

/** What one statement after the other answers, errors as their codes. */
function everyAnswer(db: SqlDatabase): unknown[] {
  const tried = (act: () => unknown): unknown => {
    try {
      return act();
    } catch (error) {
      assert.ok(error instanceof Error);
      return { message: error.message, errcode: 'errcode' in error ? error.errcode : undefined };
    }
  };
  const insert = (values: readonly SqlValue[]): unknown =>
    tried(() => db.prepare('INSERT INTO t VALUES (?, ?, ?, ?)').run(values));
  db.exec('CREATE TABLE t (a INTEGER NOT NULL, b TEXT, c BLOB, d ANY, PRIMARY KEY (a)) STRICT, WITHOUT ROWID');
  return [
    insert([1, 'one', new Uint8Array([1, 0, 255]), 1.5]),
    insert([2 ** 53 - 1, '', new Uint8Array(0), null]),
    insert([-5, 'zwei ✓ \u0000 behind', null, 'text']),
    insert([1, 'again', null, null]),
    insert([1.5, 'no whole number', null, null]),
    insert(['x', 'no number', null, null]),
    tried(() => db.prepare('SELECT * FROM t ORDER BY a').all([]).map(plainRow)),
    tried(() => plainRow(db.prepare('SELECT c, d FROM t WHERE a = ?').get([1]) ?? [])),
    tried(() => db.prepare('SELECT c FROM t WHERE a = ?').get([77])),
    tried(() => db.prepare('SELECT typeof(?), typeof(?), typeof(?)').get(['a', new Uint8Array(1), null])),
    tried(() => db.prepare('SELECT a FROM t LIMIT ?').all([1])),
    tried(() => db.prepare('SELECT nothing FROM t')),
    tried(() => db.exec('CREATE TABLE t (a)')),
    // Node names the number in its own words: only that it is refused is compared.
    tried(() => db.prepare('SELECT 9007199254740993').get([])) !== undefined,
  ];
}

function plainRow(row: readonly SqlValue[]): unknown[] {
  return row.map((value) => (value instanceof Uint8Array ? [...value] : value));
}

/** Opens, then commits 12 transactions that grow, change and shrink a table; calls `onCommit` behind each. */
async function runScript(
  disk: SeededDisk,
  random: Random,
  setting: Setting,
  onCommit: (rows: ReadonlyMap<number, string>) => void = () => {},
): Promise<void> {
  const db = await openNew(disk, setting);
  try {
    configure(db, setting);
    db.exec('CREATE TABLE IF NOT EXISTS t (key INTEGER PRIMARY KEY, value TEXT NOT NULL)');
    const rows = new Map<number, string>();
    onCommit(rows);
    for (let step = 0; step < 12; step++) {
      const next = changeRows(db, rows, random);
      onCommit(next);
      rows.clear();
      for (const [key, value] of next) rows.set(key, value);
    }
  } finally {
    db.close();
  }
}

function configure(db: SqlDatabase, { synchronous }: Setting): void {
  db.exec(`PRAGMA page_size = 4096; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;
    PRAGMA synchronous = ${synchronous}; PRAGMA cache_size = -64; PRAGMA wal_autocheckpoint = 20;
    PRAGMA journal_size_limit = 65536;`);
}

function changeRows(db: SqlDatabase, before: ReadonlyMap<number, string>, random: Random): Map<number, string> {
  const rows = new Map(before);
  const put = db.prepare('INSERT OR REPLACE INTO t VALUES (?, ?)');
  const drop = db.prepare('DELETE FROM t WHERE key = ?');
  db.exec('BEGIN IMMEDIATE');
  for (let i = 0; i < 1 + random.below(12); i++) {
    const key = random.below(30);
    const value = String.fromCharCode(97 + random.below(26)).repeat(random.below(9_000));
    if (random.below(4) === 0) {
      drop.run([key]);
      rows.delete(key);
    } else {
      put.run([key, value]);
      rows.set(key, value);
    }
  }
  db.exec('COMMIT');
  return rows;
}

interface Image {
  readonly disk: SeededDisk;
  readonly mutation: number;
  readonly seed: number;
  /** Which of the script's states was committed last. */
  readonly acknowledged: number;
}

/** Runs the script, cuts the power at every point of it, and answers the crashes after which something was wrong. */
async function lostInCrashes(setting: Setting): Promise<{ readonly images: number; readonly lost: readonly string[] }> {
  const disk = newDisk();
  const images: Image[] = [];
  const states: string[] = ['nothing'];
  const take = (): void => {
    for (const seed of CRASH_SEEDS) {
      images.push({ disk: disk.crash(seed), mutation: disk.mutationCount, seed, acknowledged: states.length - 1 });
    }
  };
  {
    using _watch = disk.watch(take);
    await runScript(disk, seededRandom(5), setting, (rows) => states.push(textOfRows(rows)));
  }
  take();
  const lost: string[] = [];
  for (const image of images) {
    const found = await foundIn(image.disk, setting);
    if (found === states[image.acknowledged] || found === states[image.acknowledged + 1]) continue;
    lost.push(`mutation ${image.mutation}, crash seed ${image.seed}: ${found.slice(0, 80)}`);
  }
  return { images: images.length, lost };
}

/** The rows after a new start as text; what is wrong with the database instead, if anything is. */
async function foundIn(disk: SeededDisk, setting: Setting): Promise<string> {
  const db = await openNew(disk, setting);
  try {
    configure(db, setting);
    if (db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 't'").get([]) === undefined) return 'nothing';
    const problems = db.prepare('PRAGMA integrity_check').all([]).flat();
    if (problems.join() !== 'ok') return `damaged: ${problems.join('; ')}`;
    const rows = db.prepare('SELECT key, value FROM t ORDER BY key').all([]);
    return textOfRows(new Map(rows.map(([key, value]) => [Number(key), String(value)])));
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    return `unreadable: ${error.message} (${error.errcode})`;
  } finally {
    db.close();
  }
}

function textOfRows(rows: ReadonlyMap<number, string>): string {
  return JSON.stringify([...rows].sort(([a], [b]) => a - b));
}

/** The `n`th call fails: SQLite says so or gets over it, and the process that opens next finds every commit. */
async function checkFailure(n: number, failure: SeededFailure): Promise<void> {
  const disk = newDisk();
  const states: string[] = ['nothing'];
  disk.failAt(n, failure);
  let acknowledged = 0;
  try {
    await runScript(disk, seededRandom(5), { synchronous: 'FULL' }, (rows) => {
      acknowledged = states.push(textOfRows(rows)) - 1;
    });
  } catch (error) {
    assert.ok(error instanceof SqlError, `call ${n}: ${String(error)}`);
    assert.ok([10, 13, 14].includes(error.errcode & 0xff), `call ${n}: SQLite answered ${error.errcode}`);
  }
  const found = await foundIn(disk.clone(), { synchronous: 'FULL' });
  if (found === states[acknowledged]) return;
  // The commit that failed may have happened all the same: then it is the one that the script wanted.
  const wanted: string[] = ['nothing'];
  await runScript(newDisk(), seededRandom(5), { synchronous: 'FULL' }, (rows) => wanted.push(textOfRows(rows)));
  assert.equal(found, wanted[acknowledged + 1], `call ${n} (${failure}) lost commit ${acknowledged}`);
}
