/** Snapshots against copies of the tree that were made when they were: whatever happens, each gives back what it had. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { act, DISK, pictureOf } from '../../../test/random-work.ts';
import { bytesOf, openStand } from '../../../test/stand.ts';
import { Fault, seededRandom, utf8 } from '../../base/index.ts';
import { keepRulesOf } from './keep-rules.ts';

const STEPS = 60;

for (const [seed, historyKeptSeconds] of [1, 2, 3, 4, 5, 6].map((seed) => [seed, seed % 2 === 0 ? 3600 : 0] as const)) {
  test(`snapshots give back what they had, beside others that are deleted; seed ${seed}`, async () => {
    const options = { versionsKept: keepRulesOf('last 1'), historyKeptSeconds };
    await using stand = await openStand({ seed, options });
    const tree = await stand.files.openTree({ user: 'owner', diskSpace: () => DISK });
    const random = seededRandom(seed);
    const taken = new Map<string, unknown>();
    for (let step = 0; step < STEPS; step++) {
      await act(stand, tree, random);
      stand.clock.advance(random.below(20_000));
      if (step % 10 !== 9) continue;
      const name = `s${step}`;
      await stand.service.createSnapshot(name);
      taken.set(name, await pictureOf(stand));
      if (random.below(3) !== 0) continue;
      const [gone = ''] = [...taken.keys()];
      taken.delete(gone);
      await stand.service.removeSnapshot(gone);
    }
    for (const [name, picture] of taken) assert.deepEqual(await pictureOf(stand, name), picture, name);
    await tree[Symbol.asyncDispose]();
    const [first = ''] = [...taken.keys()];
    await stand.service.removeSnapshot(first);
    taken.delete(first);
    await stand.files.sweepHistoryNow();
    await stand.files.reapNow();
    for (const [name, picture] of taken) assert.deepEqual(await pictureOf(stand, name), picture, `${name}, later`);
    assert.deepEqual((await stand.service.check()).problems, []);
    for (const name of taken.keys()) await stand.service.removeSnapshot(name);
    stand.clock.advance(2 * 3_600_000);
    await stand.service.makeFolder('/last', { parents: true });
    stand.clock.advance(2 * 3_600_000);
    await stand.service.makeFolder('/last of all', { parents: true });
    await stand.files.reapNow();
    await stand.files.sweepHistoryNow();
    await stand.files.reapNow();
    for (const table of ['nodesHistory', 'entriesHistory', 'attributesHistory', 'extentsHistory'] as const) {
      const left = await stand.meta.scan(table, { prefix: [], limit: 1_000 });
      // The window begins at the last commit before it: the folder itself may have changed once since.
      assert.ok(left.length <= (historyKeptSeconds > 0 ? 2 : 0), `${table} has ${left.length} rows`);
    }
    assert.deepEqual((await stand.service.check()).problems, []);
  });
}

test('who reads the past gets every byte although the snapshot is deleted meanwhile, and what it kept goes then', async () => {
  await using stand = await openStand({
    options: { versionsKept: [], historyKeptSeconds: 0 },
  });
  const { service, files, meta } = stand;
  const bytes = seededRandom(7).bytes(400_000);
  await service.write('/f', [bytes], { mode: 'put' });
  await service.write('/g', [bytes.subarray(1)], { mode: 'put' });
  await service.createSnapshot('s');
  await service.remove('/f');
  const { bytes: reading } = await service.read({ path: '/f' }, { at: 's' });
  const parts: Buffer[] = [];
  for await (const part of reading) {
    parts.push(Buffer.from(part));
    if (parts.length > 1) continue;
    await service.removeSnapshot('s');
    await service.remove('/g');
    await files.sweepHistoryNow();
    await files.reapNow();
  }
  assert.ok(Buffer.concat(parts).equals(bytes));
  await assert.rejects(service.read({ path: '/f' }, { at: 's' }), (error) => Fault.is(error, 'not-found'));
  await files.sweepHistoryNow();
  await files.sweepNow();
  await files.reapNow();
  assert.deepEqual(await meta.scan('nodesHistory', { prefix: [], limit: 10 }), []);
  assert.deepEqual(await meta.scan('pins', { prefix: [], limit: 10 }), []);
  assert.deepEqual(await meta.scan('contents', { prefix: [], limit: 10 }), []);
});

test('the window of history moves on with time, and refusals say where it begins', async () => {
  await using stand = await openStand({ options: { historyKeptSeconds: 3600 } });
  const { service, files, clock } = stand;
  await service.write('/f', [utf8('one')], { mode: 'put' });
  const before = new Date(clock.now().seconds * 1000).toISOString();
  clock.advance(7_200_000);
  await service.write('/f', [utf8('two')], { mode: 'put' });
  clock.advance(7_200_000);
  await service.write('/f', [utf8('three')], { mode: 'put' });
  await files.sweepHistoryNow();
  const error = await service.stat({ path: '/f' }, { at: before }).catch((fault: unknown) => fault);
  assert.ok(Fault.is(error, 'not-kept'), String(error));
  assert.equal(error.about.kept_since_commit, 2);
  assert.equal((await bytesOf((await service.read({ path: '/f' }, { at: '2' })).bytes)).toString(), 'two');
});

test('a snapshot is one small commit, whatever the tree', async () => {
  await using stand = await openStand();
  const head = async (): Promise<number> => (await stand.meta.get('spaces', [1]))?.head ?? 0;
  for (let i = 0; i < 50; i++)
    await stand.service.write(`/d${i % 5}/f${i}`, [utf8('x')], { mode: 'put', parents: true });
  const before = await head();
  const rows = async (): Promise<number> => {
    let count = 0;
    for (const table of ['nodes', 'entries', 'nodesHistory', 'entriesHistory', 'contents', 'extents'] as const)
      count += (await stand.meta.scan(table, { prefix: [], limit: 10_000 })).length;
    return count;
  };
  const rowsBefore = await rows();
  await stand.service.createSnapshot('s');
  assert.equal(await head(), before + 1);
  assert.equal(await rows(), rowsBefore);
});
