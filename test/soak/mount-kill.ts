/** Fifty rounds of `kill -9` of a mount under a writing load; see test/e2e/mount-kill-rounds.ts. */
import type { Soak } from '../../tools/soak.ts';
import { mountKillRounds } from '../e2e/mount-kill-rounds.ts';

export const soak: Soak = {
  about: 'kill -9 of a mount under a writing load: --rounds 50 --seed N; about 10 minutes',
  run: async (words) => {
    const seed = words.number('seed', Date.now() % 1_000_000);
    process.stdout.write(`seed ${seed}\n`);
    const onRound = (round: number, sentence: string): void => {
      process.stdout.write(`round ${round}: ${sentence}\n`);
    };
    await mountKillRounds({ seed, rounds: words.number('rounds', 50), onRound });
  },
};
