/**
 * A real `holdfast serve` in its own process on a fresh store, for end-to-end tests. Ends with the test; a store folder
 * that the test did not bring is removed.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const HOLDFAST: string = resolve(import.meta.dirname, '../../bin/holdfast');
const READY_MS_MAX = 30_000;

export interface Server extends AsyncDisposable {
  readonly origin: string;
  readonly store: string;
  readonly child: ChildProcess;
  /** All that it wrote so far, both streams. */
  output(): string;
  /** Sends a signal and waits for the end; answers the exit code, or the signal it died of. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

export interface ServerOptions {
  readonly store?: string;
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** Resolves once the server has said where it listens. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const owned = options.store === undefined ? mkdtempSync(join(tmpdir(), 'holdfast-e2e-')) : undefined;
  const store = options.store ?? join(owned ?? '', 'store');
  const child = spawn(HOLDFAST, ['serve', '--store', store, '--port', '0', ...(options.flags ?? [])], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
  });
  let output = '';
  const ended = new Promise<number | NodeJS.Signals>((done) => {
    child.on('exit', (code, signal) => done(signal ?? code ?? -1));
  });
  const origin = await new Promise<string>((ready, fail) => {
    const timer = setTimeout(() => fail(new Error(`The server was not ready in time:\n${output}`)), READY_MS_MAX);
    const onData = (data: Buffer): void => {
      output += data.toString();
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(output);
      if (found === null) return;
      clearTimeout(timer);
      ready(found[0]);
    };
    child.stdout.on('data', onData);
    child.stderr.on('data', onData);
    ended.then((code) => fail(new Error(`The server ended (${code}) before it was ready:\n${output}`)));
  });
  const stop = (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals> => {
    child.kill(signal);
    return ended;
  };
  return {
    origin,
    store,
    child,
    output: () => output,
    stop,
    async [Symbol.asyncDispose]() {
      const code = await stop();
      if (owned !== undefined) rmSync(owned, { recursive: true, force: true });
      assert.ok(code === 0 || code === 'SIGKILL', `The server ended with ${code}:\n${output}`);
    },
  };
}
