/**
 * A whole store loses power at many points of a script and comes back as promised; see power-loss.ts. That the simulation
 * can fail is shown with stores that do not sync. `npm run soak -- power-loss` tries every point, more outcomes and longer
 * scripts.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { losePower } from './power-loss.ts';

/** Larger than one hidden step takes (1,000 drafts), with the small chunks of the simulation. */
const HIDDEN_BYTES = 2_600_000;
const LARGE_BYTES = 120_000;

describe('a store on the seeded disk', () => {
  for (const [engine, share, startsMin] of [
    ['journal', 0.75, 100],
    ['sqlite', 0.03, 15],
  ] as const) {
    test(`a power cut keeps what was acknowledged, at any point of a script with every kind of step (${engine})`, async () => {
      const report = await losePower({
        ...{ seed: 11, engine, share },
        crashCount: 2,
        goOnShare: 0.3,
        cutAgainShare: 0.1,
        largeBytes: LARGE_BYTES,
      });
      assert.ok(report.starts > startsMin, `only ${report.starts} starts were tried`);
      assert.deepEqual(report.problems, []);
    });
  }

  test('a power cut keeps what was acknowledged to each of three who work at once', async () => {
    const report = await losePower({
      seed: 12,
      actorCount: 3,
      stepCount: 14,
      crashCount: 1,
      engine: 'journal',
      share: 0.15,
      goOnShare: 0.3,
      largeBytes: LARGE_BYTES,
      idAlgorithm: 'xxh3-128',
    });
    assert.ok(report.starts > 30, `only ${report.starts} starts were tried`);
    assert.deepEqual(report.problems, []);
  });

  test('a power cut shows nothing of a large file that is built in hidden steps, or all of it', async () => {
    const report = await losePower({
      seed: 13,
      kinds: ['write-large', 'give-up', 'idle', 'remove-file', 'idle'],
      crashCount: 1,
      engine: 'journal',
      share: 0.12,
      goOnShare: 0.3,
      largeBytes: HIDDEN_BYTES,
    });
    assert.ok(report.starts > 8, `only ${report.starts} starts were tried`);
    assert.deepEqual(report.problems, []);
  });

  test('a power cut leaves a folder of many files copied and removed whole, or not at all', async () => {
    const report = await losePower({
      seed: 18,
      kinds: ['write-crowd', 'copy-folder', 'idle', 'move-folder', 'remove-folder', 'idle'],
      crashCount: 1,
      engine: 'journal',
      share: 0.15,
      goOnShare: 0.2,
      largeBytes: LARGE_BYTES,
    });
    assert.ok(report.starts > 6, `only ${report.starts} starts were tried`);
    assert.deepEqual(report.problems, []);
  });

  for (const [forgets, engine] of [
    ['packs', 'journal'],
    ['metadata', 'sqlite'],
  ] as const) {
    test(`a store that does not sync its ${forgets} is found out`, async () => {
      const report = await losePower({
        seed: 14,
        crashCount: 4,
        engine,
        share: engine === 'journal' ? 0.1 : 0.03,
        goOnShare: 0,
        largeBytes: 20_000,
        forgets,
      });
      assert.notDeepEqual(report.problems, []);
    });
  }

  test('a batch is there whole or not at all, wherever the power is cut', async () => {
    const report = await losePower({
      ...{ seed: 11, engine: 'journal', crashCount: 1, largeBytes: 1_000, share: 0.3, goOnShare: 0.3 },
      kinds: ['write-small', 'write-chunks', 'batch', 'idle', 'batch', 'idle'],
    });
    assert.deepEqual(report.problems, []);
    assert.ok(report.starts > 6, `only ${report.starts} starts were tried`);
  });

  test('a file in parts is there whole or not at all, wherever the power is cut, and a check is clean', async () => {
    const report = await losePower({
      ...{
        seed: 21,
        engine: 'journal',
        crashCount: 1,
        largeBytes: 1_000,
        share: 0.3,
        goOnShare: 0.3,
        cutAgainShare: 0.1,
      },
      kinds: ['write-small', 'upload', 'idle', 'upload', 'idle'],
    });
    assert.deepEqual(report.problems, []);
    assert.ok(report.starts > 6, `only ${report.starts} starts were tried`);
  });

  test('the same seed makes the same calls and the same crashes', async () => {
    const question = { seed: 17, crashCount: 1, share: 0.01, goOnShare: 0, largeBytes: LARGE_BYTES };
    assert.deepEqual(await losePower(question), await losePower(question));
  });
});
