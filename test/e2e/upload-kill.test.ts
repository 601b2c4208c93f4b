/** Two kills in the middle of a large put over a network; `npm run soak -- uploads` does twenty. */
import { test } from 'node:test';
import { uploadKillRounds } from './upload-kill-rounds.ts';

test('a large put whose server or client is killed sends only what was missing', { timeout: 120_000 }, async () => {
  await uploadKillRounds({ seed: 20_260_202, rounds: 2 });
});
