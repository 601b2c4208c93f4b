/** A thousand clients on a hundred paths: each keeps books of who is inside, so whatever the manager believes is checked. */
import { raceForLocks } from '../../src/files/locks/lock-race.ts';
import type { Soak } from '../../tools/soak.ts';

export const soak: Soak = {
  about: '1,000 clients lock 100 paths: --seconds 60 --clients 1000 --paths 100 --seed N; a minute',
  run: async (words) => {
    const seed = words.number('seed', Date.now() % 1_000_000);
    process.stdout.write(`seed ${seed}\n`);
    const report = await raceForLocks({
      seed,
      clientCount: words.number('clients', 1_000),
      pathCount: words.number('paths', 100),
      durationMs: words.number('seconds', 60) * 1_000,
    });
    const { problems, ...figures } = report;
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    if (problems.length > 0) throw new Error(`${problems.length} problems:\n${problems.slice(0, 20).join('\n')}`);
  },
};
