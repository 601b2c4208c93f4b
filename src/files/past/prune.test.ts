/** Snapshots that schedules make, and which of them stay. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DISK } from '../../../test/random-work.ts';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import { Fault, utf8 } from '../../base/index.ts';
import { type SnapshotSchedule, schedulesOf } from './schedule.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function schedules(...given: readonly (readonly [name: string, every: string, keep: string, path?: string])[]) {
  return schedulesOf(given.map(([name, every, keep, path = '/']) => ({ name, every, keep, path })));
}

async function standWith(wanted: readonly SnapshotSchedule[]): Promise<Stand> {
  return openStand({ options: { schedules: wanted, historyKeptSeconds: 0 }, background: false });
}

async function names(stand: Stand): Promise<readonly string[]> {
  return (await stand.service.snapshots()).snapshots.map(({ name }) => name);
}

test('each turn of a schedule is taken once, with a name of its own, and old ones go by its rules', async () => {
  await using stand = await standWith(schedules(['daily', 'day at 03:00', 'daily 2'], ['often', '6h', 'last 3']));
  // The stand begins on 2026-01-01 at midnight.
  await stand.files.makeDueSnapshots();
  await stand.files.makeDueSnapshots();
  assert.deepEqual(await names(stand), ['auto-daily-2025-12-31', 'auto-often-2026-01-01-0000']);
  for (let hour = 0; hour < 72; hour++) {
    stand.clock.advance(HOUR_MS);
    await stand.files.makeDueSnapshots();
  }
  assert.deepEqual(await names(stand), [
    'auto-daily-2026-01-02',
    'auto-daily-2026-01-03',
    'auto-often-2026-01-03-1200',
    'auto-often-2026-01-03-1800',
    'auto-often-2026-01-04-0000',
  ]);
  const made = await stand.service.snapshot('auto-daily-2026-01-03');
  assert.deepEqual([made.schedule, made.door, made.actor], ['daily', 'schedule', 'owner']);
  assert.deepEqual((await stand.service.check()).problems, []);
});

test('what was written to a mount just before is in it', async () => {
  await using stand = await standWith(schedules(['hourly', 'hour', 'all']));
  await using tree = await stand.files.openTree({ user: 'owner', diskSpace: () => DISK });
  const caller = { uid: 0, gid: 0, pid: 1 };
  const open = { read: true, write: true, append: false, truncate: false, sync: false };
  const { handle } = await tree.create(tree.root, utf8('f'), { mode: 0o644, umask: 0 }, open, caller);
  await tree.write(handle, 0, utf8('written'));
  await tree.flush(handle);
  await tree.release(handle);
  await stand.files.makeDueSnapshots();
  const [name = ''] = await names(stand);
  assert.equal(String(await bytesOf((await stand.service.read({ path: '/f' }, { at: name })).bytes)), 'written');
});

test('of turns that were missed the last is made up for, once, also when somebody deleted what came of it', async () => {
  await using stand = await standWith(schedules(['daily', 'day', 'all']));
  await stand.files.makeDueSnapshots();
  stand.clock.advance(5.5 * DAY_MS);
  await stand.files.makeDueSnapshots();
  assert.deepEqual(await names(stand), ['auto-daily-2026-01-01', 'auto-daily-2026-01-06']);
  await stand.service.removeSnapshot('auto-daily-2026-01-06');
  await stand.files.makeDueSnapshots();
  assert.deepEqual(await names(stand), ['auto-daily-2026-01-01']);
  stand.clock.advance(0.5 * DAY_MS);
  await stand.files.makeDueSnapshots();
  assert.deepEqual(await names(stand), ['auto-daily-2026-01-01', 'auto-daily-2026-01-07']);
});

test('a server makes them by itself, and again after a start', async () => {
  const options = { schedules: schedules(['hourly', 'hour', 'last 2']) };
  await using first = await openStand({ options });
  const turns = async (stand: Stand, ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += 30_000) {
      stand.clock.advance(30_000);
      // Whatever the timer began is done before time goes on.
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await turns(first, 2.5 * HOUR_MS);
  assert.deepEqual(await names(first), ['auto-hourly-2026-01-01-0100', 'auto-hourly-2026-01-01-0200']);
  await first.files.close();
  await using second = await openStand({ options, meta: first.meta });
  await turns(second, 0.5 * HOUR_MS);
  // Its clock began anew: it is not made twice, and time that went back takes nothing.
  assert.deepEqual(await names(second), ['auto-hourly-2026-01-01-0100', 'auto-hourly-2026-01-01-0200']);
  await turns(second, 3 * HOUR_MS);
  assert.deepEqual(await names(second), ['auto-hourly-2026-01-01-0200', 'auto-hourly-2026-01-01-0300']);
});

test('what stands in the way of a turn holds up no other, and is tried again with the next', async () => {
  await using stand = await standWith(schedules(['a', 'day', 'all', '/none'], ['b', 'day', 'all']));
  await stand.service.createSnapshot('auto-b-2026-01-01');
  await stand.files.makeDueSnapshots();
  assert.deepEqual(await names(stand), ['auto-b-2026-01-01']);
  await stand.service.makeFolder('/none');
  await stand.files.makeDueSnapshots();
  assert.deepEqual(await names(stand), ['auto-b-2026-01-01']);
  stand.clock.advance(DAY_MS);
  await stand.files.makeDueSnapshots();
  assert.deepEqual(await names(stand), ['auto-a-2026-01-02', 'auto-b-2026-01-01', 'auto-b-2026-01-02']);
});

test('pruning says why each stays, touches none that somebody made, and keeps the newest whatever the rules', async () => {
  await using stand = await standWith(schedules(['daily', 'day', 'all']));
  for (let day = 0; day < 4; day++) {
    await stand.files.makeDueSnapshots();
    await stand.service.createSnapshot(`mine-${day}`);
    stand.clock.advance(DAY_MS);
  }
  const before = await names(stand);
  assert.deepEqual((await stand.service.pruneSnapshots()).deleted, 0);
  const dry = await stand.service.pruneSnapshots({ keep: 'daily 2, all within 3 days', dryRun: true });
  assert.deepEqual(
    dry.snapshots.map(({ name, action, reasons }) => [name, action, reasons]),
    [
      ['auto-daily-2026-01-04', 'keep', ['daily 1 of 2', 'all within 3 days']],
      ['auto-daily-2026-01-03', 'keep', ['daily 2 of 2', 'all within 3 days']],
      ['auto-daily-2026-01-02', 'keep', ['all within 3 days']],
      ['auto-daily-2026-01-01', 'delete', []],
    ],
  );
  assert.deepEqual(await names(stand), before);
  const plan = await stand.service.pruneSnapshots({ keep: 'none', schedule: 'daily' });
  assert.deepEqual([plan.kept, plan.deleted, plan.snapshots[0]?.reasons], [1, 3, ['the newest']]);
  assert.deepEqual(await names(stand), ['auto-daily-2026-01-04', 'mine-0', 'mine-1', 'mine-2', 'mine-3']);
  assert.equal((await stand.service.pruneSnapshots({ keep: 'none' })).deleted, 0);
  await assert.rejects(stand.service.pruneSnapshots({ schedule: 'x' }), (error) => Fault.is(error, 'not-found'));
  await assert.rejects(stand.service.pruneSnapshots({ keep: 'x' }), (error) => Fault.is(error, 'invalid'));
});

test('what a schedule made that is configured no more stays, until rules are given', async () => {
  await using stand = await standWith(schedules(['daily', 'day', 'last 1']));
  await stand.files.makeDueSnapshots();
  await stand.files.close();
  await using other = await openStand({ meta: stand.meta, background: false, options: { schedules: [] } });
  const plan = await other.service.pruneSnapshots();
  assert.deepEqual(plan.snapshots[0]?.reasons, ['no schedule daily is configured']);
});

test('the last snapshot that shows a folder which is gone stays, and says so', async () => {
  await using stand = await standWith(schedules(['work', 'day', 'last 1', '/work']));
  await stand.service.makeFolder('/work');
  for (let day = 0; day < 2; day++) {
    await stand.files.makeDueSnapshots();
    stand.clock.advance(DAY_MS);
  }
  await stand.service.remove('/work', { recursive: true });
  await stand.service.makeFolder('/work');
  for (let day = 0; day < 3; day++) {
    await stand.files.makeDueSnapshots();
    stand.clock.advance(DAY_MS);
  }
  assert.deepEqual(await names(stand), ['auto-work-2026-01-02', 'auto-work-2026-01-05']);
  const plan = await stand.service.pruneSnapshots();
  assert.deepEqual(plan.snapshots[1]?.reasons, ['the only copy of a folder that is gone']);
});
