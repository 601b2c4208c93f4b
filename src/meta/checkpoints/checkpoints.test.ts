/** What checkpoints bring back is what was true when they were made, whatever went on meanwhile and whatever is damaged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, ManualClock, type Random, seededRandom, silentLog } from '../../base/index.ts';
import { MemoryObjects, type ObjectStore } from '../../objects/index.ts';
import { entryRow, fileNode, packRow, spaceRow } from '../contract/contract-rows.ts';
import type { RowWrite } from '../rows/row-source.ts';
import type { TableName } from '../rows/rows.ts';
import { keyOf, type Row, TABLE_NAMES, table } from '../rows/tables.ts';
import { openSqliteFile } from '../sqlite/sqlite-file.ts';
import type { SqliteMeta } from '../sqlite/sqlite-meta.ts';
import { type CheckpointName, nameOfCheckpoint, readCheckpoint } from './checkpoint-format.ts';
import { CHECKPOINT_SETTING, Checkpoints, listCheckpoints, outlived, planCheckpoint } from './checkpoints.ts';
import { findCheckpoint, loadCheckpoint, NUMBERS_SKIPPED, VERSIONS_SKIPPED } from './load-checkpoint.ts';

const STORE = 'ab'.repeat(16);

interface Stand {
  readonly meta: SqliteMeta;
  readonly objects: ObjectStore;
  readonly checkpoints: Checkpoints;
}

function stand(
  meta = openSqliteFile(':memory:'),
  objects: ObjectStore = new MemoryObjects(),
  seed = 1,
  deltaBytesMin?: number,
): Stand {
  const more = deltaBytesMin === undefined ? {} : { deltaBytesMin };
  const parts = { clock: new ManualClock(), random: seededRandom(seed), log: silentLog, ...more };
  return { meta, objects, checkpoints: new Checkpoints({ meta, objects, storeId: STORE, ...parts }) };
}

const make = (checkpoints: Checkpoints) => checkpoints.make({ isHurried: true });

function putOf(name: TableName, row: object): RowWrite {
  return { table: name, key: keyOf(table(name), row as Row), row: row as Row, isNew: false };
}

function goneOf(name: TableName, row: object): RowWrite {
  return { ...putOf(name, row), row: undefined };
}

/** Some rows that come, change and go. */
function someWrites(random: Random, count: number): readonly RowWrite[] {
  return Array.from({ length: count }, () => {
    const number = 1 + random.below(300);
    const rows = [
      ['entries', { ...entryRow(1, number, `name ${number} é`, number), born: random.below(1000) }],
      ['nodes', { ...fileNode(1, number, number), size: random.below(2 ** 40) }],
      ['packs', { ...packRow(number), lengthBytes: random.below(1000) }],
      ['counters', { name: `counter ${number % 3}`, next: random.below(2 ** 40) }],
      ['spaces', { ...spaceRow(1 + (number % 2)), head: random.below(1000) }],
      ['extents', extentOf(number, random)],
    ] as const;
    const [name, row] = rows[random.below(rows.length)] ?? rows[0];
    return random.below(4) === 0 ? goneOf(name, row) : putOf(name, row);
  });
}

function extentOf(number: number, random: Random): object {
  const data = random.bytes(random.below(600));
  const rest = { kind: 2, chunk: null, chunkOffset: 0, unsettled: 0, born: 1 };
  return { space: 1, content: number, offset: 0, length: 600, data, ...rest };
}

/** Every row, numbers as they are after a rebuild. */
function rowsOf(meta: SqliteMeta, isRebuilt: boolean): readonly unknown[] {
  const skipped = isRebuilt ? 0 : 1;
  return TABLE_NAMES.flatMap((name) =>
    meta.rows.scan(name, { prefix: [], limit: 1e6 }).flatMap((row): unknown[] => {
      if (row.name === CHECKPOINT_SETTING) return [];
      if (name === 'counters') return [{ ...row, next: Number(row.next) + skipped * NUMBERS_SKIPPED }];
      if (name === 'spaces') return [{ ...row, head: Number(row.head) + skipped * NUMBERS_SKIPPED }];
      if (name === 'nodes') return [{ ...row, version: Number(row.version) + skipped * VERSIONS_SKIPPED }];
      return [{ table: name, ...row }];
    }),
  );
}

async function restored(objects: ObjectStore): Promise<readonly unknown[] | undefined> {
  const chain = await findCheckpoint(objects, STORE);
  if (chain === undefined) return undefined;
  const meta = openSqliteFile(':memory:');
  await loadCheckpoint(objects, chain, meta);
  assert.equal(meta.journal.head(), 0, 'what was brought back is not called changed');
  for await (const problem of meta.check()) assert.equal(problem.table === 'engine', false, problem.sentence);
  const rows = rowsOf(meta, true);
  await meta.close();
  return rows;
}

test('what is brought back is what was there at the last checkpoint, base or deltas, over many of them', async () => {
  const random = seededRandom(7);
  const { meta, objects, checkpoints } = stand();
  for (let round = 0; round < 7; round++) {
    for (let group = 0; group < 5; group++) meta.write(someWrites(random, 40));
    const report = await make(checkpoints);
    assert.equal(report?.hasBase, round === 0);
    assert.deepEqual(await restored(objects), rowsOf(meta, false));
    assert.equal(await make(checkpoints), undefined, 'nothing changed since');
  }
  assert.equal(checkpoints.lastSeconds, new ManualClock().now().seconds);
});

test('a checkpoint is true of one moment, though others write all the time while it is made', async () => {
  const random = seededRandom(8);
  const { meta, objects, checkpoints } = stand();
  meta.write(someWrites(random, 2_000));
  for (let round = 0; round < 6; round++) {
    const states: unknown[] = [];
    let isDone = false;
    const making = make(checkpoints).finally(() => {
      isDone = true;
    });
    for (let turns = 0; !isDone; turns++) {
      if (turns < 100) meta.write(someWrites(random, 30));
      states.push(rowsOf(meta, false));
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await making;
    const found = JSON.stringify(await restored(objects));
    assert.ok(
      states.some((state) => JSON.stringify(state) === found),
      `round ${round}`,
    );
  }
});

test('a delta is as large as what changed, and a row that changed often is in it once', async () => {
  const { meta, objects, checkpoints } = stand();
  meta.write(someWrites(seededRandom(1), 5_000));
  await make(checkpoints);
  for (let i = 0; i < 500; i++) meta.write([putOf('counters', { name: 'one', next: i })]);
  assert.equal((await make(checkpoints))?.rows, 1);
  const [last] = (await listCheckpoints(objects)).slice(-1);
  assert.ok(last !== undefined && last.lengthBytes < 3_000, String(last?.lengthBytes));
});

test('a bit that flips anywhere in a checkpoint is noticed: what is brought back is the state before, never another', async () => {
  const { meta, objects, checkpoints } = stand();
  const states: string[] = [];
  for (let round = 0; round < 3; round++) {
    meta.write([putOf('counters', { name: 'a', next: round }), putOf('entries', entryRow(1, 1, `n${round}`, 2))]);
    await make(checkpoints);
    states.push(JSON.stringify(rowsOf(meta, false)));
  }
  const listed = await listCheckpoints(objects);
  assert.deepEqual(
    listed.map(({ kind, sequence }) => `${kind} ${sequence}`),
    ['base 1', 'delta 1', 'delta 2', 'delta 3'],
  );
  const expected = [undefined, undefined, states[0], states[1]];
  const random = seededRandom(3);
  for (const [number, of] of listed.entries()) {
    const name = nameOfCheckpoint(of);
    const bytes = await objects.get(name);
    const replace = async (by: Uint8Array): Promise<void> => {
      await objects.delete(name);
      await objects.put(name, by);
    };
    for (let at = 0; at < bytes.length; at++) {
      const wrong = bytes.slice();
      wrong[at] = (wrong[at] ?? 0) ^ (1 << random.below(8));
      await replace(wrong);
      await assert.rejects(readWhole(objects, name), isCorrupt, `${name} at ${at}`);
      if (at % 8 !== 0) continue;
      await replace(bytes.slice(0, at));
      await assert.rejects(readWhole(objects, name), isCorrupt, `${name} cut at ${at}`);
    }
    const chain = await findCheckpoint(objects, STORE);
    assert.equal(chain?.sequence, number < 2 ? undefined : number - 1);
    if (chain !== undefined) assert.equal(chain.passedOver[0]?.name, name);
    assert.equal(JSON.stringify(await restored(objects)), expected[number]);
    await replace(bytes);
  }
  assert.equal(JSON.stringify(await restored(objects)), states[2]);
});

const isCorrupt = (error: unknown): boolean => Fault.is(error, 'corrupt');

async function readWhole(objects: ObjectStore, name: string): Promise<void> {
  for await (const _ of readCheckpoint(objects, name));
}

test('with two bases, no single damaged or lost object takes more with it than what came after it', async () => {
  const random = seededRandom(4);
  const { meta, objects, checkpoints } = stand(undefined, undefined, 1, 1);
  const states = new Map<number, string>();
  const hasTwo = async (): Promise<boolean> =>
    (await listCheckpoints(objects)).filter(({ kind }) => kind === 'base').length > 1;
  while (!(await hasTwo())) {
    meta.write(someWrites(random, 200));
    const report = await make(checkpoints);
    states.set(report?.sequence ?? 0, JSON.stringify(rowsOf(meta, false)));
  }
  for (let round = 0; round < 2; round++) {
    meta.write(someWrites(random, 50));
    const report = await make(checkpoints);
    states.set(report?.sequence ?? 0, JSON.stringify(rowsOf(meta, false)));
  }
  const listed = await listCheckpoints(objects);
  const newest = listed.at(-1)?.sequence ?? 0;
  const second = listed.findLast(({ kind }) => kind === 'base')?.sequence ?? 0;
  assert.equal(second, newest - 2);
  for (const { kind, sequence, id } of listed) {
    const name = nameOfCheckpoint({ kind, sequence, id });
    const bytes = await objects.get(name);
    await objects.delete(name);
    // The delta that closes the second base is needed by both ways; each one before only by the first.
    const isNeeded = kind === 'delta' && sequence >= second;
    const best = isNeeded ? sequence - 1 : newest;
    assert.equal(JSON.stringify(await restored(objects)), states.get(best), `without ${name}`);
    await objects.put(name, bytes);
  }
});

test('a row that is damaged ends a checkpoint, and the ones before stay', async () => {
  const { meta, objects, checkpoints } = stand();
  meta.write([putOf('counters', { name: 'a', next: 1 })]);
  await make(checkpoints);
  const before = await restored(objects);
  meta.write([putOf('counters', { name: 'b', next: 1 })]);
  meta.rows.get = () => {
    throw new Fault('corrupt', 'damaged');
  };
  await assert.rejects(make(checkpoints), isCorrupt);
  assert.deepEqual(await restored(objects), before);
});

test('metadata that is an older copy than its checkpoints begins anew behind them', async () => {
  const { meta, objects, checkpoints } = stand();
  meta.write([putOf('counters', { name: 'a', next: 1 })]);
  for (let i = 0; i < 4; i++) {
    meta.write([putOf('counters', { name: 'b', next: i })]);
    await make(checkpoints);
  }
  const old = stand(openSqliteFile(':memory:'), objects, 2);
  old.meta.write([putOf('counters', { name: 'c', next: 9 })]);
  const report = await make(old.checkpoints);
  assert.deepEqual([report?.sequence, report?.hasBase], [5, true]);
  assert.deepEqual(await restored(objects), rowsOf(old.meta, false));
});

test('a checkpoint of another store is refused', async () => {
  const { meta, objects, checkpoints } = stand();
  meta.write([putOf('counters', { name: 'a', next: 1 })]);
  await make(checkpoints);
  await assert.rejects(findCheckpoint(objects, 'cd'.repeat(16)), (error) => Fault.is(error, 'incompatible'));
});

test('what is planned and what is dropped', () => {
  const listed = (text: string): (CheckpointName & { lengthBytes: number })[] =>
    text.split(' ').map((each) => {
      const sequence = Number(each.slice(1).replace(/[a-z]+$/, ''));
      const id = /[a-z]+$/.exec(each.slice(1))?.[0] ?? String(sequence);
      return { sequence, id, kind: each.startsWith('b') ? 'base' : 'delta', lengthBytes: 3_000_000 };
    });
  const noted = (sequence: number) => ({ sequence, id: String(sequence), seconds: 1 });
  assert.deepEqual(planCheckpoint(undefined, []), { sequence: 1, previous: null, needsBase: true });
  assert.deepEqual(planCheckpoint(undefined, listed('b1 d1')), { sequence: 2, previous: null, needsBase: true });
  assert.deepEqual(planCheckpoint(noted(1), listed('b1 d1')), { sequence: 2, previous: '1', needsBase: false });
  assert.deepEqual(planCheckpoint(noted(3), listed('b1 d1 d2 d3')), { sequence: 4, previous: '3', needsBase: true });
  // What a crash left before it was noted.
  assert.deepEqual(planCheckpoint(noted(1), listed('b1 d1 d2x')), { sequence: 2, previous: '1', needsBase: false });
  assert.deepEqual(planCheckpoint(noted(1), listed('b1 d1 d2 d3')), { sequence: 4, previous: null, needsBase: true });
  const dropped = (text: string, sequence: number, hasBase: boolean) =>
    outlived(listed(text), { sequence, id: 'new' }, hasBase)
      .map(({ kind, sequence: n }) => `${kind[0]}${n}`)
      .join(' ');
  assert.equal(dropped('b1 d1 d2', 3, false), '');
  assert.equal(dropped('b1 d1 d2', 3, true), '');
  assert.equal(dropped('b1 d1 d2 b3 d3 d4', 5, false), '');
  assert.equal(dropped('b1 d1 d2 b3 d3 d4', 5, true), 'b1 d1 d2');
  assert.equal(dropped('b1 d1 d2x b2y', 2, false), 'd2 b2');
});
