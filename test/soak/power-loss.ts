/**
 * Power loss and failing calls at every point: a script with every kind of step whose every call is cut, with several
 * outcomes, and failed, with both failures; then longer scripts of several clients at once, as many as asked for.
 */

import type { Soak } from '../../tools/soak.ts';
import { failOnce } from '../sim/failing-calls.ts';
import { losePower, type PowerLossQuestion } from '../sim/power-loss.ts';

const LARGE_BYTES = 120_000;
/** Needs several hidden steps. */
const HIDDEN_BYTES = 2_600_000;

export const soak: Soak = {
  about: 'power cuts and failing calls at every point of scripts: --rounds 5 --outcomes 3 --seed N; about 15 minutes',
  run: async (words) => {
    const seed = words.number('seed', Date.now() % 1_000_000);
    const crashCount = words.number('outcomes', 3);
    process.stdout.write(`seed ${seed}\n`);
    const problems: string[] = [];
    const cut = async (name: string, question: PowerLossQuestion): Promise<void> => {
      const { calls, crashes, starts, problems: found } = await losePower(question);
      say(`${name}: ${calls} calls, ${crashes} cuts, ${starts} different starts, ${found.length} problems`);
      problems.push(...found);
    };
    await cut('every call of a script with every step', {
      seed,
      crashCount,
      share: 1,
      cutAgainShare: 0.3,
      largeBytes: LARGE_BYTES,
    });
    await cut('a large file built in hidden steps', {
      seed,
      kinds: ['write-large', 'give-up', 'idle', 'overwrite', 'remove-file', 'idle'],
      crashCount: 1,
      share: 0.5,
      largeBytes: HIDDEN_BYTES,
    });
    await cut('a folder of many files copied and removed', {
      seed,
      kinds: ['write-crowd', 'copy-folder', 'idle', 'move-folder', 'remove-folder', 'idle'],
      crashCount: 1,
      share: 0.3,
      cutAgainShare: 0.2,
      largeBytes: LARGE_BYTES,
    });
    for (const failure of ['io', 'full'] as const) {
      let call = 1;
      for (; ; call++) {
        const report = await failOnce({ seed, failure, call, largeBytes: LARGE_BYTES });
        problems.push(...report.problems);
        if (!report.isReached) break;
      }
      say(`every call fails once with ${failure}: ${call - 1} runs, ${problems.length} problems so far`);
    }
    for (let round = 1; round <= words.number('rounds', 5); round++) {
      await cut(`round ${round}, three at once`, {
        seed: seed + round,
        actorCount: 3,
        stepCount: 25,
        crashCount,
        share: 0.3,
        cutAgainShare: 0.2,
        largeBytes: LARGE_BYTES,
        idAlgorithm: round % 2 === 0 ? 'blake3' : 'xxh3-128',
        isPowersafeOverwrite: round % 3 === 0,
      });
    }
    if (problems.length > 0) throw new Error(`${problems.length} problems:\n${problems.slice(0, 20).join('\n')}`);
  },
};

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
