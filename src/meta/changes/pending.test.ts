/** Pending rows: what is seen through layers is what an engine would say after committing them one by one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fault, ManualClock } from '../../base/index.ts';
import { anyChange, Dice } from '../contract/contract-dice.ts';
import { Model } from '../contract/contract-model.ts';
import { at, entryRow, fileNode, firstChanges, pinRow, RECORD } from '../contract/contract-rows.ts';
import { GROUP_MS, Groups } from '../groups/groups.ts';
import { MemoryMeta } from '../memory/memory-meta.ts';
import type { Change, Put } from '../meta-store.ts';
import type { AnyRange, RowSource } from '../rows/row-source.ts';
import type { IndexName, TableName } from '../rows/rows.ts';
import { INDEX_NAMES, INDEXES, type Key, keyOf, type Row, TABLE_NAMES, table } from '../rows/tables.ts';
import { Pending } from './pending.ts';

const nothingFirst = async (): Promise<readonly Change[]> => [];
const ALL: AnyRange = { prefix: [], limit: 10_000 };

async function stand(clock?: ManualClock): Promise<{ readonly meta: MemoryMeta; readonly groups: Groups }> {
  const meta = new MemoryMeta({ synchronousReads: true });
  await meta.commit([...firstChanges(1), ...firstChanges(2)]);
  return { meta, groups: new Groups({ meta, prepare: nothingFirst, ...(clock === undefined ? {} : { clock }) }) };
}

test('rows seen through pending layers are those of the model, whenever some become durable', async () => {
  const runs = fc.array(fc.tuple(fc.nat(), fc.nat(9)), { minLength: 1, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(runs, async (steps) => {
      const { meta, groups } = await stand();
      const model = new Model();
      for (const change of [...firstChanges(1), ...firstChanges(2)]) model.apply(change);
      for (const [seed, roll] of steps) {
        const change = anyChange(new Dice(seed), model);
        const codes = model.apply(change);
        try {
          groups.add(change);
          assert.deepEqual(codes, []);
        } catch (error) {
          assert.ok(Fault.is(error) && codes.includes(error.code), `${codes.join(' or ')}: ${error}`);
        }
        // Sometimes a group closes under what follows, sometimes everything becomes durable.
        if (roll === 0) await new Promise((resolve) => setImmediate(resolve));
        if (roll === 1) await groups.flush();
        for (const each of TABLE_NAMES) assert.deepEqual(pendingOf(groups).scan(each, ALL), model.rows(each), each);
      }
      checkScans(pendingOf(groups), steps.at(-1)?.[0] ?? 0);
      await groups.flush();
      for (const each of TABLE_NAMES) assert.deepEqual(meta.rows.scan(each, ALL), model.rows(each), each);
    }),
    { numRuns: 150 },
  );
});

test('a plan that is taken over leaves the rows that its changes leave when they are decided again', async () => {
  const runs = fc.record({
    before: fc.array(fc.nat(), { maxLength: 20 }),
    planned: fc.array(fc.nat(), { minLength: 1, maxLength: 30 }),
    isDurable: fc.boolean(),
    isKept: fc.boolean(),
  });
  // What was is kept from some commit on, as the window of history does; no pin begins in the future.
  const window: Change = {
    space: 1,
    now: at(1),
    puts: [{ table: 'pins', mode: 'insert', row: pinRow(1, 1, 0, null) }],
  };
  await fc.assert(
    fc.asyncProperty(runs, async ({ before, planned, isDurable, isKept }) => {
      const stands = [await stand(), await stand()] as const;
      const model = new Model();
      for (const change of [...firstChanges(1), ...firstChanges(2)]) model.apply(change);
      if (isKept) for (const { groups } of stands) groups.add(window);
      if (isKept) model.apply(window);
      for (const seed of before) {
        const change = anyChange(new Dice(seed), model);
        if (change.puts?.some(({ table: name }) => name === 'pins')) continue;
        if (model.apply(change).length === 0) for (const { groups } of stands) groups.add(change);
      }
      if (isDurable) for (const { groups } of stands) await groups.flush();
      const plans = stands.map(({ groups }) => groups.plan());
      for (const seed of planned) {
        const change = replacing({ ...anyChange(new Dice(seed), model), record: RECORD });
        if (change.space !== 1) continue;
        for (const plan of plans) tryApply(() => plan.apply(change));
      }
      if (plans[0]?.changes.length === 0) return;
      // Something else comes in between: what was planned there is decided again.
      const between: Change = {
        now: at(1),
        puts: [{ table: 'settings', mode: 'replace', row: { name: 'x', value: '' } }],
      };
      for (const [which, { groups }] of stands.entries()) {
        if (which === 1) groups.add(between);
        const [plan, guard] = [plans[which], { space: 1, now: at(1), expects: [] }];
        if (plan !== undefined) await groups.commitPlanned(plan, guard);
      }
      for (const each of TABLE_NAMES) {
        if (each === 'settings') continue;
        const [one, other] = stands.map(({ meta }) => meta.rows.scan(each, ALL));
        assert.deepEqual(one, other, each);
      }
    }),
    { numRuns: 150 },
  );
});

test('a guard that is stale lets nothing of a plan through, and the plan stays what it was', async () => {
  const { meta, groups } = await stand();
  const put = (name: string): Change => ({
    ...{ space: 1, now: at(1), record: RECORD },
    puts: [{ table: 'entries', mode: 'insert', row: entryRow(1, 1, name, 5) }],
  });
  const plan = groups.plan();
  plan.apply(put('a'));
  const stale: Change = { space: 1, now: at(1), expects: [{ kind: 'row', table: 'nodes', key: [1, 99] }] };
  await assert.rejects(groups.commitPlanned(plan, stale), (error) => Fault.is(error, 'conflict'));
  assert.equal(groups.pending.get('entries', [1, 1, new TextEncoder().encode('a')]), undefined);
  await groups.commit(put('a'));
  assert.deepEqual((await meta.check().next()).value, undefined);
});

/** The model does not know what is planned, so what it takes for new may be there. */
function replacing(change: Change): Change {
  const puts = change.puts?.filter(({ table: name }) => !['spaces', 'chunks', 'pins'].includes(name));
  const { live = 0, history = 0 } = change.bytes ?? {};
  return {
    ...{ ...change, puts: puts?.map((put): Put => ({ ...put, mode: 'replace' })) ?? [] },
    bytes: { live: Math.abs(live), history: Math.abs(history) },
  };
}

function tryApply(apply: () => unknown): void {
  try {
    apply();
  } catch (error) {
    if (!Fault.is(error)) throw error;
  }
}

/** As engines see rows, whatever their table. */
function pendingOf(groups: Groups): RowSource {
  return groups.pending as unknown as RowSource;
}

/** Random pages of every way are cut from the whole of it. */
function checkScans(rows: RowSource, seed: number): void {
  const dice = new Dice(seed);
  for (const name of [...TABLE_NAMES, ...INDEX_NAMES] as readonly (TableName | IndexName)[]) {
    const key = name in INDEXES ? INDEXES[name as IndexName].key : table(name as TableName).key;
    const all = rows.scan(name, ALL);
    const keys = all.map((row) => key.map((column) => row[column]) as Key);
    for (let n = 0; n < 4 && all.length > 0; n++) {
      const at = dice.below(all.length);
      const prefixCount = dice.below(key.length);
      const prefix = keys[at]?.slice(0, prefixCount) ?? [];
      const bound = keys[at]?.slice(prefixCount) ?? [];
      const reverse = dice.below(2) === 1;
      const limit = 1 + dice.below(3);
      const isInclusive = dice.below(2) === 1;
      const same = all.filter((_, i) => String(keys[i]?.slice(0, prefixCount)) === String(prefix));
      const ordered = reverse ? same.toReversed() : same;
      const start = ordered.indexOf(all[at] as Row) + (isInclusive ? 0 : 1);
      const found = rows.scan(name, { prefix, [isInclusive ? 'from' : 'after']: bound, limit, reverse });
      assert.deepEqual(found, ordered.slice(start, start + limit), name);
    }
    for (const row of name in INDEXES ? [] : all)
      assert.deepEqual(rows.get(name as TableName, keyOf(table(name as TableName), row)), row);
  }
}

function nameOf(change: Change): string {
  const [first] = change.puts ?? [];
  return first?.table === 'entries' ? new TextDecoder().decode(first.row.name) : '';
}

function put(name: string, joint?: string): Change {
  const record = { ...RECORD, items: [{ node: 5, kind: 2 as const, version: 1 }], ...(joint && { joint }) };
  return { space: 1, now: at(1), record, puts: [{ table: 'entries', mode: 'replace', row: entryRow(1, 1, name, 5) }] };
}

test('operations that join form one commit until another comes between, and its list says a thing once', async () => {
  const { meta, groups } = await stand();
  const numbers = [put('a', 'm'), put('b', 'm'), put('c'), put('d', 'm'), put('d', 'm'), put('e', 'n')].map(
    (change) => groups.add(change).commit,
  );
  assert.deepEqual(numbers, [1, 1, 2, 3, 3, 4]);
  await groups.flush();
  assert.deepEqual(
    meta.rows.scan('changes', ALL).map((row) => [row.commit, row.sequence]),
    [
      [1, 0],
      [2, 0],
      [3, 0],
      [4, 0],
    ],
  );
  assert.equal(groups.add(put('f', 'n')).commit, 5, 'a commit does not go on in the next group');
});

test('a row replaced within a joint commit leaves no history, however long a pin covers it', async () => {
  const { meta, groups } = await stand();
  const pin = { space: 1, pin: 1, holder: 'test', name: '', fromCommit: 1, toCommit: null, expiresSeconds: null };
  groups.add({ space: 1, now: at(1), puts: [{ table: 'pins', mode: 'insert', row: pin }] });
  const node = (size: number): Change => ({
    ...put('x', 'm'),
    puts: [{ table: 'nodes', mode: 'replace', row: { ...fileNode(1, 5, null), size } }],
  });
  for (const size of [1, 2, 3]) groups.add(node(size));
  await groups.flush();
  groups.add(node(4));
  await groups.flush();
  assert.deepEqual(
    meta.rows.scan('nodesHistory', ALL).map((row) => [row.size, row.born, row.died]),
    [[3, 1, 2]],
  );
});

test('added changes become durable by themselves after a while, and at once when somebody waits', async () => {
  const clock = new ManualClock();
  const { meta, groups } = await stand(clock);
  groups.add(put('a', 'm'));
  for (let n = 0; n < 10; n++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(meta.rows.scan('entries', ALL).length, 0);
  assert.equal(pendingOf(groups).scan('entries', ALL).length, 1);
  assert.ok(groups.hasAdded);
  clock.advance(GROUP_MS);
  for (let n = 0; n < 10; n++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(meta.rows.scan('entries', ALL).length, 1);
  assert.ok(!groups.hasAdded);
  groups.add(put('b', 'm'));
  await groups.flush();
  assert.equal(meta.rows.scan('entries', ALL).length, 2);
});

test('what is added while a group commits gathers for as long as what is added while none does', async () => {
  const clock = new ManualClock();
  const { meta, groups } = await stand(clock);
  const turns = async (): Promise<void> => {
    for (let n = 0; n < 10; n++) await new Promise((resolve) => setImmediate(resolve));
  };
  groups.add(put('a', 'm'));
  const write = meta.write.bind(meta);
  const held = Promise.withResolvers<void>();
  meta.write = (writes) => held.promise.then(() => write(writes));
  const flushed = groups.flush();
  await turns();
  groups.add(put('b', 'm'));
  clock.advance(GROUP_MS - 1);
  held.resolve();
  await flushed;
  await turns();
  assert.equal(meta.rows.scan('entries', ALL).length, 1);
  groups.add(put('c', 'm'));
  clock.advance(1);
  await turns();
  assert.equal(meta.rows.scan('entries', ALL).length, 3);
  assert.equal(groups.stats().groups, 2);
});

test('a lost group takes those that stand on it along, tells listeners, and the next begins from what is durable', async () => {
  const { meta, groups } = await stand();
  const told: string[] = [];
  using _ = groups.listen({
    onDurable: (durables) => told.push(...durables.map(({ change }) => `durable ${nameOf(change)}`)),
    onLost: (lost) => told.push(...lost.map(({ change }) => `lost ${nameOf(change)}`)),
  });
  groups.add(put('a', 'm'));
  await groups.flush();
  const fault = new Fault('full', 'The disk has no room.');
  const write = meta.write.bind(meta);
  meta.write = () => Promise.reject(fault);
  groups.add(put('b', 'm'));
  const lost = groups.flush();
  while (groups.pending.get('entries', [1, 1, entryRow(1, 1, 'c', 5).name]) === undefined) {
    await new Promise((resolve) => setImmediate(resolve));
    groups.add(put('c', 'n'));
  }
  await assert.rejects(lost, fault);
  meta.write = write;
  assert.deepEqual(pendingOf(groups).scan('entries', ALL), meta.rows.scan('entries', ALL));
  assert.equal(groups.add(put('d')).commit, 2);
  await groups.flush();
  assert.equal(meta.rows.scan('entries', ALL).length, 2);
  assert.deepEqual(told, ['durable a', 'lost b', 'lost c', 'durable d']);
});

test('a waiting change that something pending refuses hears of it when that is durable', async () => {
  const { meta, groups } = await stand();
  groups.add(put('a', 'm'));
  const name = entryRow(1, 1, 'a', 5).name;
  const stale = groups.commit({ ...put('a'), expects: [{ kind: 'absent', table: 'entries', key: [1, 1, name] }] });
  await assert.rejects(stale, (error) => Fault.is(error, 'conflict'));
  assert.equal(meta.rows.scan('entries', ALL).length, 1, 'deciding again sees what refused it');
});

test('rows seen through pending layers are the same when the engine has the lowest of them already', async () => {
  // A thread commits; until its word has come back, committed rows and pending ones say the same twice.
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(), { minLength: 1, maxLength: 60 }), async (seeds) => {
      const { meta } = await stand();
      const pending = new Pending(meta.rows);
      const model = new Model();
      for (const change of [...firstChanges(1), ...firstChanges(2)]) model.apply(change);
      const layers = [pending.begin()];
      for (const [n, seed] of seeds.entries()) {
        if (n === Math.floor(seeds.length / 2)) layers.push(pending.begin());
        const change = anyChange(new Dice(seed), model);
        model.apply(change);
        try {
          pending.apply(change);
        } catch (error) {
          if (!Fault.is(error)) throw error;
        }
      }
      for (const each of TABLE_NAMES) assert.deepEqual(pending.scan(each, ALL), model.rows(each), each);
      await meta.write(layers[0]?.writes() ?? []);
      for (const each of TABLE_NAMES) assert.deepEqual(pending.scan(each, ALL), model.rows(each), each);
      checkScans(pending, seeds.at(-1) ?? 0);
      if (layers[0] !== undefined) pending.settle(layers[0]);
      checkScans(pending, seeds.at(-1) ?? 0);
    }),
    { numRuns: 100 },
  );
});
