/** Runs `bin/holdfast` as a person would, in its own process, with a time limit. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOLDFAST } from './server.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: Buffer | ((stdin: NonNullable<ChildProcess['stdin']>) => void);
  readonly cwd?: string;
  readonly uid?: number;
  readonly timeoutMs?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Never rejects for an exit code; does for one that does not come in time. */
export function holdfast(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return run(HOLDFAST, args, options);
}

export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
      env: { ...process.env, ...options.environment },
    });
    const out: Buffer[] = [];
    let stderr = '';
    const timer = setTimeout(
      () => {
        child.kill('SIGKILL');
        fail(new Error(`${command} ${args.join(' ')} took too long:\n${stderr}`));
      },
      options.timeoutMs ?? 120_000 * Number(process.env.TEST_HOLDFAST_SCALE ?? 1),
    );
    child.stdout.on('data', (data: Buffer) => out.push(data));
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    child.on('error', fail);
    child.stdin.on('error', () => undefined); // it may end before it has read all
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      done({ code: code ?? (signal === null ? -1 : -2), stdout: Buffer.concat(out), stderr });
    });
    if (typeof options.input === 'function') options.input(child.stdin);
    else child.stdin.end(options.input ?? Buffer.alloc(0));
  });
}

/** A folder that is gone with the test. */
export function temporaryFolder(parent: string = tmpdir()): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(parent, 'holdfast-e2e-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
