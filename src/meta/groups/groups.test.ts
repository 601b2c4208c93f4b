/** Groups: who shares one, who fails with whom, what goes first, and how they end. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, Fault } from '../../base/index.ts';
import { at, entryRow, extentRow, firstChanges, packRow, RECORD } from '../contract/contract-rows.ts';
import { MemoryMeta } from '../memory/memory-meta.ts';
import type { Change, MetaStore } from '../meta-store.ts';
import type { RowWrite } from '../rows/row-source.ts';
import { COMPANY_MS_MAX, GROUP_BYTES_MAX, GROUP_CHANGES_MAX, GROUPS_WAITING_MAX, Groups } from './groups.ts';

/** A memory engine that writes down how many commits and extents each group wrote. */
class Watched extends MemoryMeta {
  readonly groups: number[] = [];
  fault: Fault | undefined;

  override write(writes: Iterable<RowWrite>): Promise<void> {
    const all = [...writes];
    this.groups.push(all.filter(({ table }) => table === 'commits' || table === 'extents').length);
    if (this.fault !== undefined) return Promise.reject(this.fault);
    return Promise.resolve(super.write(all));
  }
}

async function opened(): Promise<Watched> {
  const meta = new Watched();
  await meta.commit(firstChanges());
  meta.groups.length = 0;
  return meta;
}

const nothingFirst = async (): Promise<readonly Change[]> => [];

function put(name: string, parts: Partial<Change> = {}): Change {
  const row = entryRow(1, 1, name, 5);
  return { space: 1, now: at(1), record: RECORD, puts: [{ table: 'entries', mode: 'replace', row }], ...parts };
}

const stale: Partial<Change> = { expects: [{ kind: 'row', table: 'nodes', key: [1, 99] }] };

async function names(meta: MetaStore): Promise<readonly string[]> {
  const rows = await meta.scan('entries', { prefix: [1, 1], limit: 10_000 });
  return rows.map((row) => new TextDecoder().decode(row.name));
}

test('changes handed in together share a group, and later ones share the next', async () => {
  await using meta = await opened();
  const groups = new Groups({ meta, prepare: nothingFirst });
  const first = ['a', 'b', 'c'].map((name) => groups.commit(put(name)));
  await new Promise((resolve) => setImmediate(resolve));
  const later = ['d', 'e'].map((name) => groups.commit(put(name)));
  const outcomes = await Promise.all([...first, ...later]);
  assert.deepEqual(meta.groups, [3, 2]);
  assert.deepEqual(
    outcomes.map(({ commit }) => commit),
    [1, 2, 3, 4, 5],
  );
  assert.deepEqual(groups.stats(), { groups: 2, changes: 5, rows: 10, waiting: 0 });
});

test('a change that fails its expectations fails alone', async () => {
  await using meta = await opened();
  const groups = new Groups({ meta, prepare: nothingFirst });
  const settled = await Promise.allSettled([put('a'), put('b', stale), put('c')].map((each) => groups.commit(each)));
  assert.deepEqual(
    settled.map((each) => (each.status === 'fulfilled' ? each.value.commit : Fault.is(each.reason, 'conflict'))),
    [1, true, 2],
  );
  assert.deepEqual(meta.groups, [2]);
});

test('when the group fails everybody in it gets the fault, and the next one is tried anew', async () => {
  await using meta = await opened();
  const groups = new Groups({ meta, prepare: nothingFirst });
  meta.fault = new Fault('full', 'The disk has no room.');
  const settled = await Promise.allSettled([put('a'), put('b')].map((each) => groups.commit(each)));
  assert.ok(settled.every((each) => each.status === 'rejected' && each.reason === meta.fault));
  meta.fault = undefined;
  await groups.commit(put('c'));
  assert.deepEqual(await names(meta), ['c']);
});

test('what the group names is made durable after it is closed, and its changes go with them', async () => {
  await using meta = await opened();
  const steps: string[] = [];
  const opens: (() => void)[] = [];
  const groups = new Groups({
    meta,
    prepare: async () => {
      steps.push('prepare');
      await new Promise<void>((resolve) => opens.push(resolve));
      return [{ now: at(1), puts: [{ table: 'packs', mode: 'keep', row: packRow(7) }] }];
    },
  });
  const first = groups.commit(put('a'));
  const letThrough = async (count: number): Promise<void> => {
    while (opens.length < count) await new Promise((resolve) => setImmediate(resolve));
    opens[count - 1]?.();
  };
  while (opens.length < 1) await new Promise((resolve) => setImmediate(resolve));
  const second = groups.commit(put('b'));
  assert.deepEqual(meta.groups, []);
  await letThrough(1);
  await first;
  await letThrough(2);
  await second;
  assert.deepEqual(meta.groups, [1, 1], 'the late one went to a group of its own');
  assert.equal((await meta.get('packs', [1, 7]))?.pack, 7);
  assert.equal(steps.length, 2);
});

test('the records of the next group are made durable while one commits, and it commits after its own', async () => {
  await using meta = await opened();
  const opens: (() => void)[] = [];
  const prepare = async (): Promise<readonly Change[]> => {
    await new Promise<void>((resolve) => opens.push(resolve));
    return [];
  };
  const turns = async (): Promise<void> => {
    for (let n = 0; n < 10; n++) await new Promise((resolve) => setImmediate(resolve));
  };
  const groups = new Groups({ meta, prepare });
  const first = groups.commit(put('a'));
  await turns();
  const second = groups.commit(put('b'));
  await turns();
  assert.equal(opens.length, 1, 'one at a time is made durable');
  opens[0]?.();
  await first;
  const third = groups.commit(put('c'));
  await turns();
  assert.equal(opens.length, 2, 'the second began with the commit of the first, the third has to wait');
  assert.deepEqual(await names(meta), ['a'], 'nothing is committed before its records');
  opens[1]?.();
  await second;
  await turns();
  opens[2]?.();
  await third;
  assert.deepEqual(meta.groups, [1, 1, 1]);
});

test('a next group whose records fail does not harm the one that commits meanwhile', async () => {
  await using meta = await opened();
  const fault = new Fault('io', 'The disk refused.');
  let count = 0;
  const prepare = async (): Promise<readonly Change[]> => {
    if (++count === 2) throw fault;
    await new Promise((resolve) => setImmediate(resolve));
    return [];
  };
  const groups = new Groups({ meta, prepare });
  const first = groups.commit(put('a'));
  while (count === 0) await new Promise((resolve) => setImmediate(resolve));
  const second = assert.rejects(groups.commit(put('b')), fault);
  await Promise.all([first, second]);
  await groups.commit(put('c'));
  assert.deepEqual(await names(meta), ['a', 'c']);
});

test('a next group that is ready when the one before fails is not written', async () => {
  await using meta = await opened();
  const fault = new Fault('full', 'No room.');
  let failNow = (): void => {};
  let count = 0;
  const prepare = async (): Promise<readonly Change[]> => {
    // The second is ready while the first is being written.
    if (++count === 1) await new Promise((resolve) => setImmediate(resolve));
    return [];
  };
  const write = meta.write.bind(meta);
  meta.write = () => {
    meta.write = write;
    return new Promise((_, reject) => {
      failNow = () => reject(fault);
    });
  };
  const groups = new Groups({ meta, prepare });
  const first = assert.rejects(groups.commit(put('a')), fault);
  while (count === 0) await new Promise((resolve) => setImmediate(resolve));
  const second = assert.rejects(groups.commit(put('b')), fault);
  for (let n = 0; n < 10; n++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(count, 2);
  failNow();
  await Promise.all([first, second]);
  await groups.commit(put('c'));
  assert.deepEqual(await names(meta), ['c']);
});

/** Groups that take `groupMs` by a clock of their own, where nothing ever ends a wait. */
function slowGroups(meta: MetaStore, groupMs: number): { readonly groups: Groups; readonly waits: number[] } {
  const waits: number[] = [];
  let nowMs = 0;
  const clock: Clock = {
    now: () => at(1),
    monotonicMs: () => nowMs,
    after: () => ({ [Symbol.dispose]: () => {} }),
    sleep: (delayMs) => {
      waits.push(delayMs);
      return new Promise(() => {});
    },
  };
  const prepare = async (): Promise<readonly Change[]> => {
    nowMs += groupMs;
    return [];
  };
  return { groups: new Groups({ meta, clock, prepare }), waits };
}

test('clients that come back one by one share a group again, which waits no longer than one takes', async () => {
  await using meta = await opened();
  const { groups, waits } = slowGroups(meta, 3);
  await Promise.all(['a', 'b', 'c'].map((name) => groups.commit(put(name))));
  const back: Promise<unknown>[] = [];
  for (const name of ['d', 'e', 'f']) {
    for (let n = 0; n < 5; n++) await new Promise((resolve) => setImmediate(resolve));
    back.push(groups.commit(put(name)));
  }
  await Promise.all(back);
  assert.deepEqual(meta.groups, [3, 3]);
  assert.deepEqual(waits, [3]);
});

test('nobody waits for company who was alone before, or where groups are fast', async () => {
  await using meta = await opened();
  const slow = slowGroups(meta, 100);
  for (const name of ['a', 'b', 'c']) await slow.groups.commit(put(name));
  const fast = slowGroups(meta, 0.1);
  await Promise.all(['d', 'e'].map((name) => fast.groups.commit(put(name))));
  await fast.groups.commit(put('f'));
  assert.deepEqual([...slow.waits, ...fast.waits], []);
  const long = slowGroups(meta, 100);
  await Promise.all(['g', 'h'].map((name) => long.groups.commit(put(name))));
  void long.groups.commit(put('i'));
  for (let n = 0; n < 5; n++) await new Promise((resolve) => setImmediate(resolve));
  await long.groups.commit(put('j'));
  assert.deepEqual(long.waits, [COMPANY_MS_MAX]);
});

test('when making durable fails, or a change that goes first is refused, nothing of the group is done', async () => {
  await using meta = await opened();
  const fault = new Fault('io', 'The disk refused.');
  const failing = new Groups({ meta, prepare: () => Promise.reject(fault) });
  await assert.rejects(failing.commit(put('a')), fault);
  const refusing = new Groups({ meta, prepare: async () => [{ now: at(1), ...stale }] });
  await assert.rejects(refusing.commit(put('a')), (error) => Fault.is(error, 'conflict'));
  assert.deepEqual(await names(meta), []);
});

test('a group has bounds, in changes, rows and bytes, but always takes its first change', async () => {
  await using meta = await opened();
  const groups = new Groups({ meta, prepare: nothingFirst });
  const many = Array.from({ length: GROUP_CHANGES_MAX + 5 }, (_, i) => groups.commit(put(`${i}`, { puts: [] })));
  await Promise.all(many);
  assert.deepEqual(meta.groups, [GROUP_CHANGES_MAX, 5]);
  meta.groups.length = 0;
  const data = new Uint8Array(GROUP_BYTES_MAX / 2 + 1);
  const heavy = (offset: number): Change => ({
    space: 1,
    now: at(1),
    puts: [{ table: 'extents', mode: 'replace', row: { ...extentRow(1, 1, offset, null), data } }],
  });
  await Promise.all([heavy(0), heavy(1), heavy(2)].map((each) => groups.commit(each)));
  assert.deepEqual(meta.groups, [1, 1, 1]);
});

test('too many waiting changes are refused with busy', async () => {
  await using meta = await opened();
  const groups = new Groups({ meta, prepare: nothingFirst });
  const empty: Change = { now: at(1) };
  const waiting = Array.from({ length: GROUPS_WAITING_MAX }, () => groups.commit(empty));
  await assert.rejects(groups.commit(empty), (error) => Fault.is(error, 'busy'));
  await Promise.all(waiting);
  await groups.commit(empty);
});

test('closing waits for what was handed in and takes nothing more', async () => {
  await using meta = await opened();
  const groups = new Groups({ meta, prepare: nothingFirst });
  const handed = ['a', 'b'].map((name) => groups.commit(put(name)));
  await groups.close();
  assert.deepEqual(await names(meta), ['a', 'b']);
  await Promise.all(handed);
  await assert.rejects(groups.commit(put('c')), (error) => Fault.is(error, 'unavailable'));
  await groups.close();
});
