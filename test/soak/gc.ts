/** Collections of a large store, and killed ones; see test/e2e/gc-rounds.ts. */
import type { Soak } from '../../tools/soak.ts';
import { gcGivesBack, gcRounds, recutRounds } from '../e2e/gc-rounds.ts';

export const soak: Soak = {
  about:
    'nine files in ten of a store removed and collected, then collections killed: --bytes 2147483648 --kills 100 --seed N',
  run: async (words) => {
    const seed = words.number('seed', Date.now() % 1_000_000);
    process.stdout.write(`seed ${seed}\n`);
    const onRound = (sentence: string): void => void process.stdout.write(`${sentence}\n`);
    const bytes = words.number('bytes', 2 ** 31);
    await gcGivesBack({ seed, bytes, packBytes: 64 * 2 ** 20, onRound });
    await recutRounds({ seed, bytes: 2 ** 24, packBytes: 2 ** 20, onRound });
    await gcRounds({ seed, bytes: 2 ** 25, packBytes: 2 ** 20, randomKills: words.number('kills', 100), onRound });
  },
};
