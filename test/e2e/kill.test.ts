/** Five rounds of `kill -9` under a writing load; `npm run soak -- kill` does a hundred. */
import { test } from 'node:test';
import { killRounds } from './kill-rounds.ts';

test('files that were acknowledged outlive kill -9, and nothing half-written is seen', {
  timeout: 120_000,
}, async () => {
  await killRounds({ seed: 20_260_101, rounds: 5 });
});
