/**
 * The simulator (run.ts, enumerate.ts) in small, and the simulator itself: one seed is one run, bugs planted on purpose
 * are found within a bound, and what fails is made smaller. `npm run sim` does it in large.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Holds } from '../../src/chunks/writing/holds.ts';
import { enumerate } from './enumerate.ts';
import { minimise } from './minimise.ts';
import { type Operation, type Script, scriptOf } from './operation.ts';
import {
  COLLECT_UNKEPT,
  COLLECT_WITHOUT_GRACE,
  COMMIT_BEFORE_SYNC,
  COUNTS_OUTSIDE,
  HAVE_UNCOUNTED,
  LOG_TRIMMED_EARLY,
} from './planted.ts';
import { race } from './race.ts';
import { run } from './run.ts';
import type { Wraps } from './world.ts';

const SEEDS = 100;
/** Seeds in which a planted bug is looked for. */
const PLANTED_SEEDS = 100;

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

  test('gives who reads a file with a hole the bytes he began with, whatever happens to them meanwhile', async () => {
    const operations: readonly Operation[] = [
      { do: 'put', path: '/x', content: { id: 3, length: 16_000 }, mode: 'put' },
      { do: 'read', path: '/x', parts: 3 },
      { do: 'm.write', path: '/x', offset: 0, content: { id: 2, length: 16_000 } },
      { do: 'm.sync' },
      { do: 'collect', graceSeconds: 0, share: 0 },
      { do: 'read.end' },
    ];
    const setting = { ...scriptOf(1).setting, keepsVersions: false, makingCut: 0 };
    assert.equal((await run({ seed: 1, setting, actors: [operations] })).problem, undefined);
  });

  test('keeps a beginning of many files that fall back to one commit each, when its process is killed among them', async () => {
    // A collection beside them drops a chunk that they counted on, so that their one commit is refused.
    const sizes = (ids: readonly number[], lengths: readonly number[]) =>
      ids.map((id, index) => ({ id, length: lengths[index] ?? 0 }));
    const operations: readonly (readonly Operation[])[] = [
      [
        { do: 'many', folder: '', contents: sizes([0, 2, 3], [4_096, 4_096, 16_000]) },
        { do: 'fault', kind: 'kill', call: 6, chance: 1_736_417_350 },
        { do: 'many', folder: '', contents: sizes([2, 0, 0], [9_000, 9_000, 0]) },
      ],
      [
        { do: 'put', path: '/y', content: { id: 0, length: 0 }, mode: 'create' },
        { do: 'put', path: '/p/y', content: { id: 1, length: 6_000 }, mode: 'put' },
        { do: 'collect', graceSeconds: 600, share: 0.3 },
      ],
    ];
    const setting = { ...scriptOf(1).setting, engine: 'journal', idAlgorithm: 'blake3', isSlow: true } as const;
    const script = { seed: 6_005_457, setting: { ...setting, packBytes: 512_000, keepsVersions: false, makingCut: 0 } };
    assert.equal((await run({ ...script, actors: operations })).problem, undefined);
  });

  test('keeps it wherever the power goes in each short sequence of operations', async () => {
    const { problems, sequences } = await enumerate({ lengthMax: 2 });
    assert.deepEqual(problems, []);
    assert.ok(sequences >= 100, `${sequences} sequences`);
  });
});

describe('the dedup race', () => {
  const wanted = { rounds: 40, seed: 1 };

  test('gives every file back that was acknowledged, though what it shares was just being collected', async () => {
    const { problems, reads, freedBytes } = await race(wanted);
    assert.deepEqual(problems, []);
    assert.equal(reads, 320);
    assert.ok(freedBytes > 100_000, `${freedBytes} bytes were collected`);
  });

  test('shows it when uploads are not waited for', async (t) => {
    t.mock.method(Holds.prototype, 'has', () => false);
    assert.notDeepEqual((await race(wanted)).problems, []);
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

  /** With what a script must do so that it is tried: the others cost time and cannot show it. */
  const planted: readonly (readonly [string, Wraps, (operation: Operation) => boolean])[] = [
    ['a commit before the sync of its records', COMMIT_BEFORE_SYNC, () => true],
    ['counts of references outside the transaction', COUNTS_OUTSIDE, () => true],
    ['a collection without the grace epoch', COLLECT_WITHOUT_GRACE, ({ do: kind }) => kind === 'collect'],
    ['a collection without a checkpoint before it', COLLECT_UNKEPT, ({ do: kind }) => kind === 'lose'],
    ['a log that is trimmed too early', LOG_TRIMMED_EARLY, () => true],
    [
      'chunks that an upload is told to have and does not count',
      HAVE_UNCOUNTED,
      (operation) => operation.do === 'up.part' && operation.isRest,
    ],
  ];
  for (const [name, wraps, isAbout] of planted) {
    test(`finds ${name}, and makes the script smaller`, async () => {
      const fails = async (script: Script): Promise<boolean> => (await run(script, { wraps })).problem !== undefined;
      const found = await firstOf(fails, isAbout);
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

async function firstOf(
  fails: (script: Script) => Promise<boolean>,
  isAbout: (operation: Operation) => boolean,
): Promise<Script | undefined> {
  for (let [seed, tried] = [1, 0]; tried < PLANTED_SEEDS; seed++) {
    const script = scriptOf(seed);
    if (!script.actors.flat().some(isAbout)) continue;
    tried++;
    if (await fails(script)) return script;
  }
  return undefined;
}

function lengthOf({ actors }: Script): number {
  return actors.flat().length;
}
