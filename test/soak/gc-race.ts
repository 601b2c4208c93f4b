/** Collections without grace beside clients who send again what just went; see test/e2e/gc-race.ts. */
import type { Soak } from '../../tools/soak.ts';
import { gcRace } from '../e2e/gc-race.ts';

export const soak: Soak = {
  about:
    'clients who write, remove and write again beside collections without grace: --seconds 300 --clients 8 --seed N',
  run: async (words) => {
    const seed = words.number('seed', Date.now() % 1_000_000);
    process.stdout.write(`seed ${seed}\n`);
    const onRound = (sentence: string): void => void process.stdout.write(`${sentence}\n`);
    await gcRace({ seed, seconds: words.number('seconds', 300), clients: words.number('clients', 8), onRound });
  },
};
