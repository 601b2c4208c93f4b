/** A hundred rounds of `kill -9` of a server under a writing load; see test/e2e/kill-rounds.ts. */
import type { Soak } from '../../tools/soak.ts';
import { killRounds } from '../e2e/kill-rounds.ts';

export const soak: Soak = {
  about: 'kill -9 of a server under a writing load: --rounds 100 --seed N; about 3 minutes',
  run: async (words) => {
    const seed = words.number('seed', Date.now() % 1_000_000);
    process.stdout.write(`seed ${seed}\n`);
    const onRound = (round: number, sentence: string): void => {
      process.stdout.write(`round ${round}: ${sentence}\n`);
    };
    await killRounds({ seed, rounds: words.number('rounds', 100), onRound });
  },
};
