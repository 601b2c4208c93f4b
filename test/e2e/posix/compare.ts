/**
 * Runs the suite in a folder and compares two runs outcome by outcome. A case that does not end in time is an outcome as
 * well: its process group is killed and the run goes on with the next case.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CASES } from './cases.ts';
import type { Line } from './runner.ts';

const RUNNER = join(import.meta.dirname, 'runner.ts');
/** A case takes milliseconds; one that waits for locks some tenths of a second. */
const CASE_MS_MAX = 15_000 * Number(process.env.HOLDFAST_TEST_SCALE ?? 1);
/** A file system on which this many cases hang is not worth further waiting. */
const HANG_COUNT_MAX = 5;
const KILLED_MS_MAX = 5_000;

/** Case name → outcome. */
export type Outcomes = ReadonlyMap<string, unknown>;

export interface Difference {
  readonly name: string;
  readonly expected: unknown;
  readonly actual: unknown;
}

/** Runs every case in `folder`, which is empty and belongs to root. */
export async function runSuite(folder: string): Promise<Outcomes> {
  const outcomes = new Map<string, unknown>();
  let hangCount = 0;
  for (let from = 0; from < CASES.length && hangCount < HANG_COUNT_MAX; ) {
    const stopped = await runFrom(folder, from, outcomes);
    if (stopped === undefined) break;
    hangCount += 1;
    from = stopped + 1;
  }
  for (const { name } of CASES) if (!outcomes.has(name)) outcomes.set(name, { missing: 'the run was given up before' });
  return outcomes;
}

/** Answers the number of the case that it stopped in; nothing when all went through. */
function runFrom(folder: string, from: number, outcomes: Map<string, unknown>): Promise<number | undefined> {
  return new Promise((done) => {
    const flags = ['--disable-warning=ExperimentalWarning', RUNNER, folder, String(from)];
    const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    let current: number | undefined = from;
    let why = 'ended';
    let timer: NodeJS.Timeout | undefined;
    const finish = (): void => {
      clearTimeout(timer);
      if (current !== undefined) outcomes.set(CASES[current]?.name ?? '', { process: why });
      done(current);
    };
    const killGroup = (): void => {
      why = `gave no answer in ${CASE_MS_MAX / 1000} s`;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      // A call that even SIGKILL does not end keeps its process; the run does not wait for it.
      timer = setTimeout(finish, KILLED_MS_MAX);
    };
    const wind = (): void => {
      clearTimeout(timer);
      timer = setTimeout(killGroup, CASE_MS_MAX);
    };
    wind();
    createInterface({ input: child.stdout }).on('line', (text) => {
      wind();
      const line = JSON.parse(text) as Line;
      if ('start' in line) current = line.start;
      else {
        outcomes.set(CASES[line.end]?.name ?? '', line.outcome);
        current = undefined;
      }
    });
    child.on('close', (code, signal) => {
      if (why === 'ended') why = `ended with ${signal ?? code}`;
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
