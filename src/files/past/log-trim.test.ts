/** The log is kept as long as it should be, and what is gone of it is said to be gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import { Fault, utf8 } from '../../base/index.ts';

const DAY = 24 * 3600;

async function put(stand: Stand, path: string, text: string): Promise<void> {
  await stand.service.write(path, [utf8(text)], { mode: 'put' });
}

/** A commit a day, for days. */
async function live(stand: Stand, days: number): Promise<void> {
  for (let day = 0; day < days; day++) {
    await put(stand, '/f', `day ${day}`);
    stand.clock.advance(DAY * 1000);
  }
}

async function logged(stand: Stand): Promise<readonly number[]> {
  return (await stand.service.log()).commits.map(({ commit }) => commit);
}

const isNotKept = (error: unknown): boolean => Fault.is(error, 'not-kept');

test('commits older than the log is kept go, and log, undo and the change feed say so', async () => {
  const options = { historyKeptSeconds: DAY, logKeptSeconds: 3 * DAY };
  await using stand = await openStand({ options, background: false });
  await live(stand, 10);
  await stand.service.createSnapshot('s', {});
  const { next: early } = await stand.service.changes({ limit: 2 });
  await stand.files.sweepHistoryNow();
  const page = await stand.service.log();
  assert.deepEqual(
    page.commits.map(({ commit }) => commit),
    [11, 10, 9],
  );
  assert.equal(page.first_kept, 9);
  assert.ok(page.commits.every(({ kind, changes }) => kind === 'snapshot' || changes.length === 1));
  const lists = await stand.meta.scan('changes', { prefix: [1], limit: 100 });
  assert.deepEqual([...new Set(lists.map(({ commit }) => commit))], [9, 10]);
  await assert.rejects(stand.service.undo(3), isNotKept);
  await assert.rejects(stand.service.undo(99), (error) => Fault.is(error, 'not-found'));
  const refused = [early, undefined].map((after) => stand.service.changes({ after }).catch((error: unknown) => error));
  const [first, second] = await Promise.all(refused);
  assert.ok(Fault.is(first, 'not-kept') && Fault.is(second, 'not-kept'));
  assert.deepEqual([first.about.first_kept, second.about.first_kept], [9, 9]);
  const anew = await stand.service.changes({ after: String(first.about.next) });
  assert.deepEqual(
    anew.commits.map(({ commit }) => commit),
    [9, 10, 11],
  );
  assert.equal((await stand.service.changes({ after: 'now' })).commits.length, 0);
  assert.equal((await stand.service.list({ path: '/' }, { at: 's' })).entries.length, 1);
  assert.deepEqual((await stand.service.check()).problems, []);
});

test('times are found, and nothing is trimmed early, on both sides of a gap in the numbers of commits', async () => {
  const options = { historyKeptSeconds: 3 * DAY, logKeptSeconds: 4 * DAY };
  await using stand = await openStand({ options, background: false });
  await live(stand, 6);
  // As metadata that was lost is brought back.
  const head = await stand.meta.get('spaces', [1]);
  assert.ok(head !== undefined);
  await stand.meta.write([{ table: 'spaces', key: [1], row: { ...head, head: head.head + 2 ** 32 }, isNew: false }]);
  const at = async (days: number): Promise<string> => {
    const time = new Date(Date.UTC(2026, 0, 1) + (days * DAY + 60) * 1000).toISOString();
    return String(await bytesOf((await stand.service.read({ path: '/f' }, { at: time })).bytes));
  };
  assert.deepEqual([await at(3), await at(5)], ['day 3', 'day 5']);
  await live(stand, 1);
  assert.deepEqual([await at(4), await at(6)], ['day 4', 'day 0']);
  const { commits } = await stand.service.changes();
  const behind = await stand.service.changes({ after: String(commits.at(-2)?.cursor) });
  assert.deepEqual([commits.at(-2)?.commit, behind.commits.map(({ commit }) => commit)], [6, [2 ** 32 + 7]]);
  await stand.files.sweepHistoryNow();
  const left = await logged(stand);
  assert.deepEqual(left.slice(1), [6, 5], `${left}`);
});

test('a time before the log begins is not taken for the moment that is kept next to it', async () => {
  await using stand = await openStand({
    options: { historyKeptSeconds: 0, logKeptSeconds: 2 * DAY },
    background: false,
  });
  await live(stand, 3);
  await stand.service.createSnapshot('s', {});
  const { commit, created } = await stand.service.snapshot('s');
  await live(stand, 3);
  await stand.files.sweepHistoryNow();
  assert.equal((await stand.service.log()).first_kept, commit + 3);
  await assert.rejects(stand.service.stat({ path: '/f' }, { at: '@2026-01-01T12:00:00Z' }), isNotKept);
  await assert.rejects(stand.service.stat({ path: '/f' }, { at: created }), isNotKept);
  assert.equal((await stand.service.stat({ path: '/f' }, { at: String(commit) })).size, 5);
});

test('the log reaches back as far as every moment does, and its last commit always stays', async () => {
  await using stand = await openStand({
    options: { historyKeptSeconds: 5 * DAY, logKeptSeconds: 0 },
    background: false,
  });
  await live(stand, 10);
  await stand.files.sweepHistoryNow();
  assert.deepEqual(await logged(stand), [10, 9, 8, 7, 6]);
  await stand.service.undo(9, { dryRun: true }).catch((error) => assert.ok(Fault.is(error, 'conflict')));
  const at = (await stand.service.log({ limit: 5 })).commits.at(-1)?.committed;
  assert.equal((await stand.service.stat({ path: '/f' }, { at })).size, 5);
  await using other = await openStand({ options: { historyKeptSeconds: 0, logKeptSeconds: 0 }, background: false });
  await live(other, 3);
  await other.files.sweepHistoryNow();
  assert.deepEqual(await logged(other), [3]);
  await put(other, '/f', 'more');
  assert.deepEqual(await logged(other), [4, 3]);
  assert.deepEqual((await other.service.check()).problems, []);
});

test('a log of many commits goes in steps, and others work meanwhile', async () => {
  await using stand = await openStand({ options: { historyKeptSeconds: 0, logKeptSeconds: DAY }, background: false });
  for (let at = 0; at < 2_500; at++) await stand.service.makeFolder(`/d${at}`);
  stand.clock.advance(2 * DAY * 1000);
  await put(stand, '/f', 'x');
  const sweeping = stand.files.sweepHistoryNow();
  await put(stand, '/g', 'y');
  assert.ok((await sweeping) >= 5_000);
  assert.deepEqual(await logged(stand), [2_502, 2_501]);
});
