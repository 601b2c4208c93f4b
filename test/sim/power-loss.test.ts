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
  test('a power cut keeps what was acknowledged, at any point of a script with every kind of step', async () => {
    const report = await losePower({
      seed: 11,
      crashCount: 2,
      share: 0.2,
      goOnShare: 0.3,
      cutAgainShare: 0.1,
      largeBytes: LARGE_BYTES,
    });
    assert.ok(report.starts > 100, `only ${report.starts} starts were tried`);
    assert.deepEqual(report.problems, []);
  });

  test('a power cut keeps what was acknowledged to each of three who work at once', async () => {
    const report = await losePower({
      seed: 12,
      actorCount: 3,
      stepCount: 14,
      crashCount: 1,
      share: 0.035,
      goOnShare: 0.3,
      largeBytes: LARGE_BYTES,
      idAlgorithm: 'xxh3-128',
      isPowersafeOverwrite: true,
    });
    assert.ok(report.starts > 30, `only ${report.starts} starts were tried`);
    assert.deepEqual(report.problems, []);
  });

  test('a power cut shows nothing of a large file that is built in hidden steps, or all of it', async () => {
    const report = await losePower({
      seed: 13,
      kinds: ['write-large', 'give-up', 'idle', 'remove-file', 'idle'],
      crashCount: 1,
      share: 0.015,
      goOnShare: 0.5,
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
      share: 0.02,
      goOnShare: 0.2,
      largeBytes: LARGE_BYTES,
    });
    assert.ok(report.starts > 6, `only ${report.starts} starts were tried`);
    assert.deepEqual(report.problems, []);
  });

  for (const forgets of ['packs', 'metadata'] as const) {
    test(`a store that does not sync its ${forgets} is found out`, async () => {
      const report = await losePower({
        seed: 14,
        crashCount: 4,
        share: 0.06,
        goOnShare: 0,
        largeBytes: 20_000,
        forgets,
      });
      assert.notDeepEqual(report.problems, []);
    });
  }

  test('a batch is there whole or not at all, wherever the power is cut', async () => {
    const report = await losePower({
      ...{ seed: 11, crashCount: 1, largeBytes: 1_000, share: 0.04, goOnShare: 0.3 },
      kinds: ['write-small', 'write-chunks', 'batch', 'idle', 'batch', 'idle'],
    });
    assert.deepEqual(report.problems, []);
    assert.ok(report.starts > 6, `only ${report.starts} starts were tried`);
  });

  test('a file in parts is there whole or not at all, wherever the power is cut, and a check is clean', async () => {
    const report = await losePower({
      ...{ seed: 21, crashCount: 1, largeBytes: 1_000, share: 0.05, goOnShare: 0.3, cutAgainShare: 0.1 },
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
