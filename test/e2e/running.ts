/**
 * A `holdfast` that runs until it is told to stop (mount, up), in a process of its own, for end-to-end tests: what it said
 * when it was ready, and its end. Nothing stays behind: what does not end is killed, what stays mounted is taken away.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOLDFAST } from './server.ts';

const SCALE = Number(process.env.TEST_HOLDFAST_SCALE ?? 1);
const READY_MS_MAX = 30_000 * SCALE;
const STOP_MS_MAX = 30_000 * SCALE;

export interface RunningOptions {
  /** Lines of JSON on standard output that make it ready; 1 when absent. */
  readonly records?: number;
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Running extends AsyncDisposable {
  readonly pid: number;
  readonly records: readonly Readonly<Record<string, unknown>>[];
  /** Where HTTP answers; empty without. */
  readonly url: string;
  /** All that it wrote so far, both streams. */
  output(): string;
  signal(signal: NodeJS.Signals): void;
  /** The exit code, or the signal it died of. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Sends a signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

/** Runs `holdfast WORDS --json`; resolves once it has said its records. @throws Error with what it said instead. */
export async function startRunning(words: readonly string[], options: RunningOptions = {}): Promise<Running> {
  const child = spawn(HOLDFAST, [...words, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.environment },
  });
  let [stdout, stderr, isOver] = ['', '', false];
  const ended = new Promise<number | NodeJS.Signals>((done) => {
    child.on('close', (code, signal) => {
      isOver = true;
      done(signal ?? code ?? -1);
    });
  });
  const output = (): string => stdout + stderr;
  const records = (): Record<string, unknown>[] =>
    stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  const ready = Promise.withResolvers<void>();
  const late = setTimeout(() => ready.reject(new Error(`It was not ready in time:\n${output()}`)), READY_MS_MAX);
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
    if (records().length >= (options.records ?? 1)) ready.resolve();
  });
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  void ended.then((how) => ready.reject(new Error(`It ended (${how}) before it was ready:\n${output()}`)));
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals> => {
    if (!isOver) child.kill(signal);
    const kill = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    const how = await ended;
    clearTimeout(kill);
    return how;
  };
  try {
    await ready.promise;
  } catch (error) {
    await stop('SIGKILL');
    throw error;
  } finally {
    clearTimeout(late);
  }
  return {
    pid: child.pid ?? 0,
    records: records(),
    url: String(records().find(({ event }) => event === 'serving')?.url ?? ''),
    output,
    signal: (signal) => void child.kill(signal),
    ended,
    stop,
    async [Symbol.asyncDispose]() {
      const wasOver = isOver;
      const how = await stop();
      if (!wasOver && how !== 0) throw new Error(`It ended with ${how}:\n${output()}`);
    },
  };
}

/** A folder with room for a store and mount points; whatever is mounted below it is taken away with it. */
export class Place implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'holdfast-mount-'));
  readonly store: string = join(this.path, 'store');

  at(...names: string[]): string {
    return join(this.path, ...names);
  }

  /** Makes an empty folder. */
  folder(name: string): string {
    mkdirSync(this.at(name));
    return this.at(name);
  }

  [Symbol.dispose](): void {
    for (const path of mountedBelow(this.path)) execFileSync('umount', ['--lazy', path], { stdio: 'ignore' });
    rmSync(this.path, { recursive: true, force: true });
  }
}

function mountedBelow(path: string): string[] {
  const places = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return places.map((line) => line.split(' ')[4] ?? '').filter((place) => place.startsWith(`${path}/`));
}

/** True while something is mounted at the path; the mount itself is not asked. */
export function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `);
}

/** Waits until it holds, a bounded time. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries > 500 * SCALE) throw new Error(`It took too long until ${what}.`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
