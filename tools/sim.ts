/**
 * `npm run sim`: the whole store simulated from seeds, on all cores.
 *
 *   npm run sim -- --seeds 100000             so many seeds, from 1 on, or from where --from says
 *   npm run sim -- --seeds 1000000 --minutes 30   whichever comes first
 *   npm run sim -- --seed 4711                one seed, told step by step, twice; a failing one is made smaller
 *   npm run sim -- --script FILE              a script that was made smaller, told step by step
 *   npm run sim -- --race 10000               rounds of uploaders who send again what was just deleted, beside a collection
 *   npm run sim -- --enumerate                every short sequence of operations, with a crash after every write
 *
 * Ends with 1 when something failed, and says how each failure is run again.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { enumerate } from '../test/sim/enumerate.ts';
import { minimise } from '../test/sim/minimise.ts';
import { type Script, scriptOf, shown } from '../test/sim/operation.ts';
import { race } from '../test/sim/race.ts';
import { run } from '../test/sim/run.ts';
import type { Ask, Told } from '../test/sim/sim-worker.ts';

/** Seeds that a thread takes at once. */
const BLOCK_SEEDS = 50;
const YOUNG_MIB = 64;
const SAY_MS = 5_000;
const FAILURES_MAX = 20;
const MINIMISE_RUNS_MAX = 1_500;

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));

async function main(words: readonly string[]): Promise<number> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...words],
    options: {
      seeds: text,
      minutes: text,
      seed: text,
      from: text,
      script: text,
      enumerate: { type: 'boolean' },
      race: text,
    },
  });
  if (values.seed !== undefined) return one(scriptOf(wholeOf(values.seed, 'seed')));
  if (values.script !== undefined) return one(JSON.parse(readFileSync(values.script, 'utf8')) as Script);
  if (values.enumerate === true) return enumerateAll(values.minutes);
  if (values.race !== undefined) return raceAll(wholeOf(values.race, 'race'), wholeOf(values.from ?? '1', 'from'));
  return many({
    from: wholeOf(values.from ?? '1', 'from'),
    seeds: wholeOf(values.seeds ?? '10000', 'seeds'),
    minutes: wholeOf(values.minutes ?? '60', 'minutes'),
  });
}

function wholeOf(text: string, name: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`--${name} takes a whole number, not ${text}.`);
}

/** Runs a script twice, step by step; one that fails is made smaller. */
async function one(script: Script): Promise<number> {
  say(JSON.stringify(script.setting));
  const first = await run(script, { tell: say });
  const second = await run(script);
  say(`digest ${first.digest}`);
  if (first.digest !== second.digest)
    say(`but the second time ${second.digest}: a run is not decided by its seed alone`);
  if (first.problem === undefined) return first.digest === second.digest ? 0 : 1;
  const fails = async (smaller: Script): Promise<boolean> => (await run(smaller)).problem !== undefined;
  const small = await minimise(script, { fails, runsMax: MINIMISE_RUNS_MAX });
  const { problem } = await run(small);
  const file = join(process.cwd(), `sim-${script.seed}.json`);
  writeFileSync(file, `${JSON.stringify(small)}\n`);
  say(`\nMade smaller:\n${JSON.stringify(small.setting)}`);
  for (const [index, operations] of small.actors.entries())
    for (const operation of operations) say(`  ${index}: ${shown(operation)}`);
  say(`${problem}\nRun it again with:  npm run sim -- --script ${file}`);
  return 1;
}

async function enumerateAll(minutes: string | undefined): Promise<number> {
  const report = await enumerate({
    lengthMax: 3,
    minutesMax: wholeOf(minutes ?? '60', 'minutes'),
    tell: say,
  });
  for (const problem of report.problems.slice(0, FAILURES_MAX)) say(problem);
  say(report.summary);
  return report.problems.length === 0 && report.isComplete ? 0 : 1;
}

async function raceAll(rounds: number, seed: number): Promise<number> {
  let saidMs = performance.now();
  const tell = (line: string): void => {
    if (performance.now() - saidMs < SAY_MS) return;
    saidMs = performance.now();
    say(line);
  };
  const report = await race({ rounds, seed, tell });
  for (const problem of report.problems.slice(0, FAILURES_MAX)) say(problem);
  const { reads, freedBytes, problems } = report;
  say(`${report.rounds} rounds, ${reads} files read back, ${freedBytes} bytes collected, ${problems.length} problems`);
  return problems.length === 0 ? 0 : 1;
}

interface Wanted {
  readonly from: number;
  readonly seeds: number;
  readonly minutes: number;
}

async function many({ from, seeds, minutes }: Wanted): Promise<number> {
  const startedMs = performance.now();
  const total = { runs: 0, operations: 0, starts: 0, failures: [] as Told['failures'][number][] };
  let next = from;
  let saidMs = startedMs;
  const endMs = startedMs + minutes * 60_000;
  const take = (): Ask | undefined => {
    if (next >= from + seeds || performance.now() > endMs || total.failures.length >= FAILURES_MAX) return undefined;
    const ask = { from: next, count: Math.min(BLOCK_SEEDS, from + seeds - next) };
    next += ask.count;
    return ask;
  };
  const onTold = (told: Told): void => {
    total.runs += told.runs;
    total.operations += told.operations;
    total.starts += told.starts;
    for (const failure of told.failures) {
      total.failures.push(failure);
      say(
        `seed ${failure.seed} failed: ${failure.problem}\n  run it again with:  npm run sim -- --seed ${failure.seed}`,
      );
    }
    if (performance.now() - saidMs < SAY_MS) return;
    saidMs = performance.now();
    say(progress(total, { seeds, startedMs, endMs }));
  };
  const threads = Math.max(1, Math.min(availableParallelism(), Math.ceil(seeds / BLOCK_SEEDS)));
  await Promise.all(Array.from({ length: threads }, () => work(take, onTold)));
  const seconds = (performance.now() - startedMs) / 1000;
  say(
    `${total.runs} seeds from ${from}, ${total.operations} operations, ${total.starts} starts, ${total.failures.length} failures; ${seconds.toFixed(1)} s, ${(total.runs / seconds).toFixed(0)} seeds/s on ${threads} threads`,
  );
  return total.failures.length === 0 ? 0 : 1;
}

function progress(
  total: { readonly runs: number; readonly failures: readonly unknown[] },
  { seeds, startedMs, endMs }: { readonly seeds: number; readonly startedMs: number; readonly endMs: number },
): string {
  const seconds = (performance.now() - startedMs) / 1000;
  const rate = total.runs / seconds;
  const left = Math.min((seeds - total.runs) / rate, (endMs - performance.now()) / 1000);
  return `${total.runs} of ${seeds} seeds, ${rate.toFixed(0)}/s, ${total.failures.length} failures, ${left.toFixed(0)} s to go`;
}

/** One thread, until there is nothing more to take. */
async function work(take: () => Ask | undefined, onTold: (told: Told) => void): Promise<void> {
  const worker = new Worker(new URL('../test/sim/sim-worker.ts', import.meta.url), {
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
  });
  try {
    for (let ask = take(); ask !== undefined; ask = take()) {
      const told = await new Promise<Told>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
        worker.postMessage(ask);
      });
      worker.removeAllListeners('error');
      onTold(told);
    }
  } finally {
    await worker.terminate();
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
