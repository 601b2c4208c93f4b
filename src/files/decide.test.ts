/** Many who change one place at once: each has its turn, and none is sent away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStand } from '../../test/stand.ts';
import { systemClock } from '../base/index.ts';

const WRITERS = 300;

test('all of many writers of one path succeed, one version each', async () => {
  await using stand = await openStand({ clock: systemClock });
  const writes = Array.from({ length: WRITERS }, (_, number) =>
    stand.service.write('/f', [Buffer.from(`by ${number}`)], { mode: 'put' }),
  );
  const records = await Promise.all(writes);
  assert.equal(new Set(records.map(({ version }) => version)).size, WRITERS);
  assert.equal((await stand.service.stat({ path: '/f' })).version, WRITERS);
});

test('all who move things between two crowded names end, whatever line they stand in', async () => {
  await using stand = await openStand({ clock: systemClock });
  for (const path of ['/a', '/b']) await stand.service.write(path, [Buffer.from(path)], { mode: 'put' });
  const acts = Array.from({ length: WRITERS }, (_, number) => {
    const [from, to] = number % 2 === 0 ? (['/a', '/b'] as const) : (['/b', '/a'] as const);
    if (number % 3 === 0) return stand.service.write(from, [Buffer.from(`${number}`)], { mode: 'put' });
    return stand.service.copy(from, to, { overwrite: true });
  });
  await Promise.all(acts);
  const { problems } = await stand.service.check({});
  assert.deepEqual(problems, []);
});

test('many streams that write one path all succeed', async () => {
  await using stand = await openStand({ clock: systemClock });
  const one = async (number: number): Promise<boolean> => {
    const source = () => [Buffer.from(`by ${number}`)];
    const items = [{ path: '/f', kind: 'file', source, size: `by ${number}`.length } as const];
    for await (const result of stand.service.writeMany(items)) if (!result.ok) throw result.fault;
    return true;
  };
  const done = await Promise.all(Array.from({ length: 100 }, (_, number) => one(number)));
  assert.equal(done.length, 100);
});
