/** Runs, one by one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oneByOne } from './runs.ts';

test('what comes in runs comes one by one, empty runs aside', async () => {
  const found: number[] = [];
  for await (const each of oneByOne(runsOf([[], [1, 2], [], [3]]))) found.push(each);
  assert.deepEqual(found, [1, 2, 3]);
});

test('a run is asked for when the one before is taken, and one that fails fails who asks', async () => {
  let pulled = 0;
  const things = oneByOne(
    (async function* (): AsyncGenerator<readonly number[], void> {
      pulled++;
      yield [1, 2];
      pulled++;
      throw new Error('no more');
    })(),
  );
  assert.equal((await things.next()).value, 1);
  assert.equal((await things.next()).value, 2);
  assert.equal(pulled, 1);
  await assert.rejects(things.next(), /no more/);
});

test('ending early ends the runs, and nothing comes after it', async () => {
  let isEnded = false;
  const things = oneByOne(
    (async function* (): AsyncGenerator<readonly number[], void> {
      try {
        yield [1, 2];
      } finally {
        isEnded = true;
      }
    })(),
  );
  for await (const _ of things) break;
  assert.ok(isEnded);
  assert.equal((await things.next()).done, true);
});

async function* runsOf(runs: readonly (readonly number[])[]): AsyncGenerator<readonly number[], void> {
  yield* runs;
}
