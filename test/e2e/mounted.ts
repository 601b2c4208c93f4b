/**
 * A store mounted by a process of its own, for end-to-end tests and soaks: `bin/holdfast --store DIR mount MOUNTPOINT`.
 * Promises that nothing stays mounted: a mount that does not stop when asked is taken away lazily and its process killed.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { holdfast } from './holdfast.ts';
import { HOLDFAST } from './server.ts';

const SCALE = Number(process.env.TEST_HOLDFAST_SCALE ?? 1);
const READY_MS_MAX = 30_000;
const STOP_MS_MAX = 60_000 * SCALE;
/** Says that it is mounted often enough to be seen soon. */
const POLL_MS = 20;

export interface MountedOptions {
  /** A store to mount; without it a new one is made, which goes with the mount. */
  readonly store?: string;
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

export interface MountedStore extends AsyncDisposable {
  /** The mount point. */
  readonly path: string;
  readonly store: string;
  readonly pid: number;
  /** All that the process wrote so far, both streams. */
  output(): string;
  /** Asks it to end and waits; answers its exit code, or the signal it died of. The mount is gone afterwards. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

/** Resolves once the store is mounted. @throws Error with what the process said when it does not come to that. */
export async function mountStore(options: MountedOptions = {}): Promise<MountedStore> {
  const owned = mkdtempSync(join(tmpdir(), 'holdfast-mounted-'));
  const store = options.store ?? join(owned, 'store');
  const path = join(owned, 'mnt');
  mkdirSync(path);
  if (options.store === undefined) {
    const made = await holdfast(['init', '--store', store]);
    if (made.code !== 0) throw new Error(made.stderr);
  }
  const words = ['--store', store, 'mount', path, '--allow-other', ...(options.flags ?? [])];
  const child = spawn(HOLDFAST, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
  });
  let output = '';
  let hasSaidSo = false;
  child.stdout.on('data', (data: Buffer) => {
    output += data.toString();
    hasSaidSo ||= output.includes('\n');
  });
  child.stderr.on('data', (data: Buffer) => (output += data.toString()));
  let endedWith: number | NodeJS.Signals | undefined;
  const ended = new Promise<number | NodeJS.Signals>((done) => {
    child.on('exit', (code, signal) => done((endedWith = signal ?? code ?? -1)));
  });
  const takeAway = async (): Promise<void> => {
    if (endedWith === undefined) child.kill('SIGKILL');
    await ended;
    if (isMounted(path)) execFileSync('umount', ['--lazy', path], { stdio: 'ignore' });
  };

  const until = performance.now() + READY_MS_MAX * SCALE;
  // The kernel knows of the mount a moment before the process is ready for signals and says so.
  while (!hasSaidSo || !isMounted(path)) {
    if (endedWith !== undefined || performance.now() > until) {
      await takeAway();
      rmSync(owned, { recursive: true, force: true });
      throw new Error(`${store} was not mounted (${endedWith ?? 'in time'}):\n${output}`);
    }
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals> => {
    if (endedWith === undefined) child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    const how = await ended;
    clearTimeout(late);
    await takeAway();
    return how;
  };
  return {
    path,
    store,
    pid: child.pid ?? 0,
    output: () => output,
    stop,
    async [Symbol.asyncDispose]() {
      const wasStopped = endedWith !== undefined;
      const how = await stop();
      rmSync(owned, { recursive: true, force: true });
      if (!wasStopped && how !== 0) throw new Error(`The mount ended with ${how}:\n${output}`);
    },
  };
}

function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `);
}
