/** Collections of a real store: killed at every step, right to the byte, and beside clients who send again what just went. `npm run soak -- gc` and `gc-race` do it large. */
import { test } from 'node:test';
import { gcRace } from './gc-race.ts';
import { gcGivesBack, gcRounds, recutRounds } from './gc-rounds.ts';

test('a collection that is killed loses nothing, and the next one finishes', { timeout: 240_000 }, async () => {
  const steps = ['rows-deleted', 'copied', 'switched'] as const;
  await gcRounds({ seed: 20_260_102, bytes: 5_000_000, packBytes: 1_048_576, steps, randomKills: 1 });
});

test('a re-cut that is killed loses nothing, and the next one finishes', { timeout: 240_000 }, async () => {
  await recutRounds({ seed: 5, bytes: 2_000_000, packBytes: 1_048_576, recutSteps: ['recut-switched'] });
});

test('of what is removed at least 95 % come back', { timeout: 120_000 }, async () => {
  await gcGivesBack({ seed: 7, bytes: 8_000_000, packBytes: 1_048_576 });
});

test('clients who send again what was just removed, beside collections without grace, read back what was acknowledged', {
  timeout: 120_000,
}, async () => {
  await gcRace({ seed: 3, seconds: 4, clients: 8 });
});
