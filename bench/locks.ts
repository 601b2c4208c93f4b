/**
 * What a lock costs when nobody is in the way: acquire and release of a file four folders deep, one after the other, in
 * one process; alone, among a thousand other locks, and with a lease.
 */
import { systemClock } from '../src/base/index.ts';
import { LockTokens, MemoryLocks } from '../src/files/index.ts';
import { MemoryMeta } from '../src/meta/index.ts';
import { type Comparison, inRounds } from './harness.ts';

interface Contestant {
  readonly name: string;
  readonly others: number;
  readonly leaseMs: number | undefined;
}
const CONTESTANTS: readonly Contestant[] = [
  { name: 'alone', others: 0, leaseMs: undefined },
  { name: 'among 1,000', others: 1_000, leaseMs: undefined },
  { name: 'with a lease', others: 0, leaseMs: 60_000 },
];
const ABOVE = ['folder 1', 'folder 2', 'folder 3', 'folder 4'];

export const locks: Comparison = {
  summary: 'acquire and release of a lock that nobody else wants, per second',
  async run(report, { rounds, isSmall }) {
    const count = isSmall ? 50_000 : 500_000;
    await inRounds(report, rounds, CONTESTANTS, async ({ name, others, leaseMs }) => {
      const manager = new MemoryLocks({ clock: systemClock, tokens: new LockTokens(new MemoryMeta()) });
      const request = (session: string, key: string) => ({
        ...{ session, holder: session, what: key, leaseMs },
        places: [{ key, mode: 'X', above: ABOVE } as const],
      });
      for (let i = 0; i < others; i++) await manager.acquire(request(`other ${i}`, `other ${i}`));
      const started = performance.now();
      for (let i = 0; i < count; i++) {
        await using _lock = await manager.acquire(request('a', String(i % 1_000)));
      }
      report.add(name, 'pairs', (1_000 * count) / (performance.now() - started));
      manager.close();
    });
    report.table(
      'locks',
      CONTESTANTS.map(({ name }) => name),
      [{ metric: 'pairs', title: 'acquire + release/s', against: 'alone' }],
    );
    for (const { name } of CONTESTANTS)
      report.judge({ says: `${name}: at least 200,000 a second`, contestant: name, metric: 'pairs', atLeast: 200_000 });
  },
};
