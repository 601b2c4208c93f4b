/**
 * Checkpoints on a disk that loses power: cut at every call while metadata changes and checkpoints of it are made, what
 * can be brought back is always the state of the last checkpoint that was acknowledged, or of a later moment; and the
 * next process goes on from it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, seededRandom, silentLog } from '../../src/base/index.ts';
import { Checkpoints, findCheckpoint, loadCheckpoint, openSqliteFile, openSqliteMeta } from '../../src/meta/index.ts';
import { DiskObjects, SeededDisk } from '../../src/objects/index.ts';
import { openSeededSqlite } from './seeded-sqlite.ts';

const STORE = 'ab'.repeat(16);
const ROUNDS = 4;
/** Rounds whose checkpoint has a base, too. */
const DELTA_BYTES = 4_000;

interface Run {
  /** The last round whose checkpoint was acknowledged, and the last whose rows were. */
  made: number;
  written: number;
}

async function open(disk: SeededDisk, seed: number) {
  const parts = { clock: new ManualClock(), random: seededRandom(seed), log: silentLog };
  await disk.makeFolder('meta');
  const db = await openSeededSqlite('meta/db', { disk, ...parts });
  const meta = openSqliteMeta(db, { cacheBytes: 256 * 1024, logBytes: 192 * 1024 });
  const objects = await DiskObjects.open(disk, { folder: 'objects' });
  const checkpoints = new Checkpoints({ meta, objects, storeId: STORE, ...parts, deltaBytesMin: DELTA_BYTES });
  return { db, meta, objects, checkpoints };
}

/** Each round changes ten of twenty settings to its number, and keeps that in a checkpoint. */
async function follow(disk: SeededDisk, run: Run, seed: number): Promise<void> {
  const { db, meta, objects, checkpoints } = await open(disk, seed);
  try {
    for (let round = run.written + 1; round <= ROUNDS; round++) {
      const rows = Array.from({ length: 10 }, (_, i) => ({
        name: `s${(round + i) % 20}`,
        value: `${round}`.repeat(90),
      }));
      meta.write(rows.map((row) => ({ table: 'settings', key: [row.name], row, isNew: false })));
      run.written = round;
      await checkpoints.make({ isHurried: true });
      run.made = round;
    }
    await objects.close();
    await meta.close();
  } finally {
    try {
      db.close();
    } catch {
      // The power is gone.
    }
  }
}

/** The round that the settings are of; fails when they are of none. */
async function roundOf(disk: SeededDisk): Promise<number> {
  const objects = await DiskObjects.open(disk, { folder: 'objects' });
  const chain = await findCheckpoint(objects, STORE);
  assert.deepEqual(chain?.passedOver ?? [], []);
  if (chain === undefined) return 0;
  const meta = openSqliteFile(':memory:');
  await loadCheckpoint(objects, chain, meta);
  const found = new Map(meta.scan('settings', { prefix: [], limit: 100 }).map(({ name, value }) => [name, value]));
  await meta.close();
  await objects.close();
  const round = Math.max(...[...found.values()].map((value) => Number(value[0])));
  for (let i = 0; i < 20; i++) {
    const last = Array.from({ length: round }, (_, n) => round - n).find((n) => (i - n + 20) % 20 < 10);
    assert.equal(found.get(`s${i}`)?.[0], last === undefined ? undefined : String(last), `s${i} of round ${round}`);
  }
  return round;
}

test('power cut ahead of every call of the disk: the last acknowledged checkpoint or a later one can be brought back', async () => {
  const disk = new SeededDisk({ seed: 5 });
  const run: Run = { made: 0, written: 0 };
  const images: (Run & { readonly disk: SeededDisk; readonly call: number })[] = [];
  {
    using _watch = disk.watch(() => {
      const call = disk.mutationCount;
      // A power cut and the end of the process alone, in turn.
      images.push({ ...run, call, disk: call % 2 === 0 ? disk.crash(call) : disk.clone(call) });
    });
    await follow(disk, run, 1);
  }
  assert.equal(await roundOf(disk), ROUNDS);
  assert.ok(images.length > 100, `${images.length} calls`);
  for (const image of images) {
    const where = `call ${image.call}`;
    const found = await roundOf(image.disk.clone(1));
    assert.ok(found >= image.made && found <= image.written, `${where}: ${found} of ${image.made}–${image.written}`);
    if (image.call % 7 !== 0) continue;
    await follow(image.disk, { made: found, written: found }, 2 + image.call);
    assert.equal(await roundOf(image.disk), ROUNDS, `${where}: the next process goes on`);
  }
});
