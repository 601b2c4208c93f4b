/** Collections behind the operations: when they run, that a pause holds them up and lasts, and what is told of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStand, type Stand } from '../../../test/stand.ts';
import { seededRandom } from '../../base/index.ts';
import { keepRulesOf } from '../past/keep-rules.ts';

const INTERVAL_SECONDS = 100;
const options = {
  versionsKept: keepRulesOf('none'),
  historyKeptSeconds: 0,
  gc: { graceSeconds: 0, freedShareMin: 0.1, intervalSeconds: INTERVAL_SECONDS },
};

async function putAndRemove(stand: Stand): Promise<void> {
  await stand.service.write('/x', [seededRandom(1).bytes(300_000)], { mode: 'put' });
  await stand.service.remove('/x');
  await stand.files.reapNow();
  await stand.files.sweepNow();
  await stand.files.reapNow();
}

/** Lets the interval pass, and what it begins come to its end, however often that rests. */
async function interval(stand: Stand): Promise<void> {
  stand.clock.advance(INTERVAL_SECONDS * 1_000);
  for (let turns = 0; turns < 50; turns++) {
    await new Promise((done) => setTimeout(done, 2));
    stand.clock.advance(1);
  }
}

test('a collection runs by itself and says what it did; a paused one does not, until it may go on', async () => {
  await using stand = await openStand({ options });
  const { service } = stand;
  await putAndRemove(stand);
  assert.equal((await service.stats()).chunks, 0);
  assert.ok((await service.stats()).pack_bytes > 300_000);
  assert.equal((await service.gcStatus()).interval_seconds, INTERVAL_SECONDS);
  assert.ok((await service.gcStatus()).next !== undefined);
  await service.pauseGc(true);
  await interval(stand);
  assert.ok((await service.stats()).pack_bytes > 300_000, 'paused');
  assert.equal((await service.gcStatus()).last, undefined);
  await service.pauseGc(false);
  await interval(stand);
  const status = await service.gcStatus();
  assert.ok((status.last?.freed_bytes ?? 0) > 300_000, JSON.stringify(status));
  assert.equal((await service.stats()).pack_bytes, 0);
});

test('a pause lasts over a restart', async () => {
  await using first = await openStand({ options });
  await first.service.pauseGc(true);
  await first.files.close();
  await using second = await openStand({ options, meta: first.meta });
  assert.equal((await second.service.gcStatus()).is_paused, true);
  assert.equal((await second.service.gcStatus()).next, undefined);
});

test('behind collections chunks are re-cut once a day', async () => {
  await using stand = await openStand({ options });
  const random = seededRandom(4);
  const isOwed = async (): Promise<boolean> => (await stand.service.gc({ dryRun: true })).partial_chunks > 0;
  const change = async (path: string): Promise<void> => {
    await stand.service.write(path, [random.bytes(500_000)], { mode: 'put' });
    const diskSpace = () => ({ totalBytes: 2 ** 40, freeBytes: 2 ** 40 });
    await using tree = await stand.files.openTree({ user: 'owner', diskSpace });
    const flags = { read: true, write: true, append: false, truncate: false, sync: false };
    const handle = await tree.open((await stand.service.stat({ path })).file_id, flags);
    await tree.write(handle, 2_000, random.bytes(450_000));
    await tree.fsync(handle, false);
    await tree.release(handle);
  };
  await change('/a');
  assert.equal(await isOwed(), true);
  await interval(stand);
  assert.equal(await isOwed(), false);
  await change('/b');
  await interval(stand);
  assert.equal(await isOwed(), true, 'not so soon again');
  stand.clock.advance(24 * 3600 * 1_000);
  await interval(stand);
  await interval(stand);
  assert.equal(await isOwed(), false);
});
