/** Three rounds of `kill -9` of a mount under a writing load; `npm run soak -- mount-kill` does fifty. */
import { test } from 'node:test';
import { whyNoMount } from './fuse-mount.ts';
import { mountKillRounds } from './mount-kill-rounds.ts';

const skip = whyNoMount() ?? false;

test('a killed mount leaves what was synced, and of the rest exactly what was done first', {
  skip,
  timeout: 180_000 * Number(process.env.TEST_HOLDFAST_SCALE ?? 1),
}, async () => {
  await mountKillRounds({ seed: 20_260_102, rounds: 3 });
});
