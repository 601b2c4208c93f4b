/** The other process of a lock case: one JSON line `[call, …arguments]` in, one JSON line with its answer out. */
import { createInterface } from 'node:readline';
import { Sys } from './case.ts';

const sys = new Sys();
for await (const line of createInterface({ input: process.stdin })) {
  const [call, ...args] = JSON.parse(line) as [string, ...unknown[]];
  const method = (sys as unknown as Record<string, (...args: unknown[]) => unknown>)[call];
  let answer: unknown;
  try {
    answer = sys.told(() => method?.apply(sys, args));
  } catch (error) {
    answer = { broke: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
