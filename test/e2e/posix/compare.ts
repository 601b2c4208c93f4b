/**
 * Runs the suite in a folder and compares two runs outcome by outcome. A case that does not end in time is an outcome as
 * well: its process group is killed and the run goes on with the next case.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Case } from './case.ts';
import type { Line } from './runner.ts';

const RUNNER = join(import.meta.dirname, 'runner.ts');
const ALL_CASES = join(import.meta.dirname, 'cases.ts');
/** A case takes milliseconds; one that waits for locks some tenths of a second. */
const CASE_MS_MAX = 15_000 * Number(process.env.TEST_HOLDFAST_SCALE ?? 1);
/** A file system on which this many cases hang is not worth further waiting. */
const HANG_COUNT_MAX = 5;
const KILLED_MS_MAX = 5_000;

export interface SuiteOptions {
  /** A module that exports `CASES`; all cases when absent. */
  readonly module?: string;
  readonly caseMsMax?: number;
}

/** Case name → outcome. */
export type Outcomes = ReadonlyMap<string, unknown>;

export interface Difference {
  readonly name: string;
  readonly expected: unknown;
  readonly actual: unknown;
}

/** Runs every case in `folder`, which is empty and belongs to root. */
export async function runSuite(folder: string, options: SuiteOptions = {}): Promise<Outcomes> {
  const { module = ALL_CASES, caseMsMax = CASE_MS_MAX } = options;
  const { CASES: cases } = (await import(module)) as { readonly CASES: readonly Case[] };
  const outcomes = new Map<string, unknown>();
  let hangCount = 0;
  for (let from = 0; from < cases.length && hangCount < HANG_COUNT_MAX; ) {
    const { ended, stopped } = await runFrom({ folder, from, module, caseMsMax });
    for (const { end, outcome } of ended) outcomes.set(cases[end]?.name ?? '', outcome);
    if (stopped === undefined) break;
    outcomes.set(cases[stopped.case]?.name ?? '', { process: stopped.why });
    hangCount += 1;
    from = stopped.case + 1;
  }
  for (const { name } of cases) if (!outcomes.has(name)) outcomes.set(name, { missing: 'the run was given up before' });
  return outcomes;
}

interface Run {
  readonly folder: string;
  readonly from: number;
  readonly module: string;
  readonly caseMsMax: number;
}

interface RunEnd {
  readonly ended: readonly Extract<Line, { readonly end: number }>[];
  /** The case under way when it stopped; absent when all went through. */
  readonly stopped?: { readonly case: number; readonly why: string };
}

function runFrom({ folder, from, module, caseMsMax }: Run): Promise<RunEnd> {
  return new Promise((done) => {
    const flags = ['--disable-warning=ExperimentalWarning', RUNNER, folder, String(from), module];
    const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    const ended: Extract<Line, { readonly end: number }>[] = [];
    let current: number | undefined = from;
    let why: string | undefined;
    let timer: NodeJS.Timeout | undefined;
    const finish = (): void => {
      clearTimeout(timer);
      done(current === undefined ? { ended } : { ended, stopped: { case: current, why: why ?? '' } });
    };
    const killGroup = (): void => {
      why = `gave no answer in ${caseMsMax / 1_000} s`;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      // A call that even SIGKILL does not end keeps its process; the run does not wait for it.
      timer = setTimeout(finish, KILLED_MS_MAX);
    };
    const wind = (): void => {
      clearTimeout(timer);
      timer = setTimeout(killGroup, caseMsMax);
    };
    wind();
    createInterface({ input: child.stdout }).on('line', (text) => {
      wind();
      const line = JSON.parse(text) as Line;
      current = 'start' in line ? line.start : undefined;
      if ('end' in line) ended.push(line);
    });
    child.on('close', (code, signal) => {
      why ??= `ended with ${signal ?? code}`;
      finish();
    });
  });
}

export function differences(expected: Outcomes, actual: Outcomes): Difference[] {
  const found: Difference[] = [];
  for (const [name, outcome] of expected) {
    const other = actual.get(name);
    if (JSON.stringify(outcome) !== JSON.stringify(other)) found.push({ name, expected: outcome, actual: other });
  }
  return found;
}

/** One paragraph per difference, only what differs of an outcome that is an object. */
export function report(found: readonly Difference[]): string {
  return found.map(({ name, expected, actual }) => `${name}\n${parts(expected, actual).join('\n')}`).join('\n');
}

function parts(expected: unknown, actual: unknown): string[] {
  if (!isRecord(expected) || !isRecord(actual)) return [sides('', expected, actual)];
  const keys = [...new Set([...Object.keys(expected), ...Object.keys(actual)])];
  const differing = keys.filter((key) => JSON.stringify(expected[key]) !== JSON.stringify(actual[key]));
  return differing.map((key) => sides(`${key}: `, expected[key], actual[key]));
}

function sides(key: string, expected: unknown, actual: unknown): string {
  const shown = (value: unknown): string => String(JSON.stringify(value)).slice(0, 300);
  return `    ${key}oracle ${shown(expected)}, here ${shown(actual)}`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
