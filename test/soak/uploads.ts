/** Twenty kills of servers and clients in the middle of large puts; see test/e2e/upload-kill-rounds.ts. */
import type { Soak } from '../../tools/soak.ts';
import { uploadKillRounds } from '../e2e/upload-kill-rounds.ts';

export const soak: Soak = {
  about: 'kill -9 of server and client during large puts, bytes counted: --rounds 20 --seed N; about 2 minutes',
  run: async (words) => {
    const seed = words.number('seed', Date.now() % 1_000_000);
    process.stdout.write(`seed ${seed}\n`);
    const onRound = (round: number, sentence: string): void => {
      process.stdout.write(`round ${round}: ${sentence}\n`);
    };
    await uploadKillRounds({ seed, rounds: words.number('rounds', 20), onRound });
  },
};
