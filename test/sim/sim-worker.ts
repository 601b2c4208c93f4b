/**
 * A thread of `npm run sim`: runs the seeds it is told, one after the other, and says what came of them. One thread has
 * one run at a time, so that nothing outside a run can change the order of what happens in it.
 */
import { parentPort } from 'node:worker_threads';
import { scriptOf } from './operation.ts';
import { run } from './run.ts';

export interface Ask {
  readonly from: number;
  readonly count: number;
}

export interface Told {
  readonly runs: number;
  readonly operations: number;
  readonly starts: number;
  readonly failures: readonly { readonly seed: number; readonly problem: string }[];
}

/** Stacks cost more than the faults that are refused by the thousand are worth; a seed that fails is run again with them. */
const SHOWN_FRAMES = 10;

let seed = 0;
process.on('unhandledRejection', (error) => {
  throw new Error(`seed ${seed}: nobody waited for what failed: ${error instanceof Error ? error.stack : error}`);
});

parentPort?.on('message', async ({ from, count }: Ask) => {
  const failures: { readonly seed: number; readonly problem: string }[] = [];
  let [operations, starts] = [0, 0];
  for (seed = from; seed < from + count; seed++) {
    Error.stackTraceLimit = 0;
    const report = await run(scriptOf(seed));
    operations += report.operations;
    starts += report.starts;
    if (report.problem === undefined) continue;
    Error.stackTraceLimit = SHOWN_FRAMES;
    failures.push({ seed, problem: (await run(scriptOf(seed))).problem ?? report.problem });
  }
  parentPort?.postMessage({ runs: count, operations, starts, failures } satisfies Told);
});
