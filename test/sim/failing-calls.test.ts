/**
 * A whole store whose disk fails in one call, or has no more room, at many points of a script; see failing-calls.ts.
 * `npm run soak -- power-loss` tries every call.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { failOnce, fillUp } from './failing-calls.ts';

const LARGE_BYTES = 120_000;

describe('a store on the seeded disk', () => {
  // SQLite makes many more calls.
  for (const [engine, step] of [
    ['journal', 11],
    ['sqlite', 301],
  ] as const) {
    for (const failure of ['io', 'full'] as const) {
      test(`a failing call (${failure}, ${engine}) is a fault for who asked, and loses nothing`, async () => {
        const problems: string[] = [];
        for (let call = 1; ; call += step) {
          const report = await failOnce({ seed: 15, engine, failure, call, largeBytes: LARGE_BYTES });
          problems.push(...report.problems);
          if (!report.isReached) break;
        }
        assert.deepEqual(problems, []);
      });
    }
  }

  test('a call that fails while a file comes in parts loses nothing', async () => {
    const problems: string[] = [];
    for (let call = 20; ; call += 9) {
      const failure = call % 2 === 0 ? 'io' : 'full';
      const report = await failOnce({
        seed: 22,
        engine: 'journal',
        failure,
        call,
        largeBytes: 1_000,
        kinds: ['write-small', 'upload', 'idle'],
      });
      problems.push(...report.problems);
      if (!report.isReached) break;
    }
    assert.deepEqual(problems, []);
  });

  test('a disk that is too small refuses work and loses nothing, and takes work again when it has room', async () => {
    let refused = 0;
    for (const bytesMax of [280_000, 330_000, 380_000]) {
      const report = await fillUp({ seed: 16, bytesMax, largeBytes: LARGE_BYTES });
      assert.deepEqual(report.problems, []);
      refused += report.refused;
    }
    assert.ok(refused > 0, 'nothing was refused');
  });
});
