/**
 * The simulator (run.ts, enumerate.ts) in small, and the simulator itself: one seed is one run, bugs planted on purpose
 * are found within a bound, and what fails is made smaller. `npm run sim` does it in large.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { enumerate } from './enumerate.ts';
import { minimise } from './minimise.ts';
import { type Script, scriptOf } from './operation.ts';
import { COLLECT_WITHOUT_GRACE, COMMIT_BEFORE_SYNC, COUNTS_OUTSIDE } from './planted.ts';
import { run } from './run.ts';
import type { Wraps } from './world.ts';

const SEEDS = 50;
/** Seeds in which a planted bug is looked for. */
const PLANTED_SEEDS = 400;

describe('a simulated store', () => {
  test('keeps what was acknowledged, whatever the seed does to it', async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { problem } = await run(scriptOf(seed));
      assert.equal(problem, undefined, `seed ${seed}; npm run sim -- --seed ${seed}`);
    }
  });

  test('keeps it on SQLite too', async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const { problem } = await run(onSqlite(scriptOf(seed)));
      assert.equal(problem, undefined, `seed ${seed} on SQLite`);
    }
  });

  test('keeps it wherever the power goes in each short sequence of operations', async () => {
    const { problems, sequences } = await enumerate({ lengthMax: 1 });
    assert.deepEqual(problems, []);
    assert.ok(sequences >= 12);
  });
});

describe('the simulator', () => {
  test('does the same again for the same seed, bit for bit', async () => {
    for (const seed of [1, 2, 3, 4]) {
      const digests = [await run(scriptOf(seed)), await run(scriptOf(seed))].map(({ digest }) => digest);
      assert.equal(digests[0], digests[1], `seed ${seed}`);
    }
    const script = onSqlite(scriptOf(9));
    assert.equal((await run(script)).digest, (await run(script)).digest);
  });

  // The first seed is near one that shows it, which saves time: from any other it is found as well, a little later.
  const planted: readonly (readonly [string, Wraps, number])[] = [
    ['a commit before the sync of its records', COMMIT_BEFORE_SYNC, 1],
    ['counts of references outside the transaction', COUNTS_OUTSIDE, 1],
    ['a collection without grace', COLLECT_WITHOUT_GRACE, 205],
  ];
  for (const [name, wraps, from] of planted) {
    test(`finds ${name}, and makes the script smaller`, async () => {
      const fails = async (script: Script): Promise<boolean> => (await run(script, { wraps })).problem !== undefined;
      const found = await firstOf(from, fails);
      assert.ok(found !== undefined, `not found in ${PLANTED_SEEDS} seeds`);
      const small = await minimise(found, { fails, runsMax: 200 });
      assert.ok(await fails(small));
      assert.ok(lengthOf(small) <= 8, `still ${lengthOf(small)} operations: ${JSON.stringify(small)}`);
      assert.equal((await run(small)).problem, undefined, 'it is the planted bug that fails');
    });
  }
});

function onSqlite(script: Script): Script {
  return { ...script, setting: { ...script.setting, engine: 'sqlite' } };
}

async function firstOf(from: number, fails: (script: Script) => Promise<boolean>): Promise<Script | undefined> {
  for (let seed = from; seed < from + PLANTED_SEEDS; seed++) if (await fails(scriptOf(seed))) return scriptOf(seed);
  return undefined;
}

function lengthOf({ actors }: Script): number {
  return actors.flat().length;
}
