/**
 * A whole store loses power, or has a call of its disk fail, at many points of a script, and comes back as promised; see
 * power-loss.ts. `npm run soak -- power-loss` tries every point, more outcomes and longer scripts.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { failOnce, losePower } from './power-loss.ts';

const LARGE_BYTES = 3_000_000;

describe('a store on the seeded disk', () => {
  test('a power cut ahead of a call keeps what was acknowledged, in a script with every kind of step', async () => {
    const report = await losePower({ seed: 11, crashCount: 2, share: 0.5, largeBytes: LARGE_BYTES });
    assert.ok(report.starts > 200, `only ${report.starts} starts were tried`);
    assert.deepEqual(report.problems, []);
  });

  test('a power cut keeps what was acknowledged to each of three who work at once', async () => {
    const report = await losePower({
      seed: 12,
      actorCount: 3,
      stepCount: 14,
      crashCount: 1,
      share: 0.15,
      largeBytes: LARGE_BYTES,
      idAlgorithm: 'xxh3-128',
      isPowersafeOverwrite: true,
    });
    assert.ok(report.starts > 50, `only ${report.starts} starts were tried`);
    assert.deepEqual(report.problems, []);
  });

  for (const failure of ['io', 'full'] as const) {
    test(`a failing call (${failure}) loses nothing, and the next start finds a clean store`, async () => {
      const problems: string[] = [];
      for (let call = 1; ; call += 17) {
        const report = await failOnce({ seed: 13, failure, call, largeBytes: LARGE_BYTES });
        problems.push(...report.problems);
        if (!report.isReached) break;
      }
      assert.deepEqual(problems, []);
    });
  }
});
