/** A mount in a process of its own, for tests: started, asked, unmounted, and never left behind. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { ChildCall, ChildOptions } from './fuse-child.ts';

const CHILD = resolve(import.meta.dirname, 'fuse-child.ts');
const CAP_SYS_ADMIN = 21n;
const exec = promisify(execFile);

/** Why this machine cannot mount, said aloud; `undefined` when it can. */
export function whyNoMount(): string | undefined {
  const reason = reasonAgainst();
  if (reason !== undefined) process.stderr.write(`# SKIPPED: mounts are not tested here: ${reason}\n`);
  return reason;
}

function reasonAgainst(): string | undefined {
  if (process.platform !== 'linux') return 'not Linux';
  try {
    closeSync(openSync('/dev/fuse', 'r+'));
  } catch (error) {
    return `/dev/fuse cannot be opened (${(error as NodeJS.ErrnoException).code})`;
  }
  const capabilities = /CapEff:\s*([0-9a-f]+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return (BigInt(`0x${capabilities}`) >> CAP_SYS_ADMIN) & 1n ? undefined : 'this process may not mount (CAP_SYS_ADMIN)';
}

/** What the machine lacks of these programs, said aloud; `false` when all are there. */
export function whyWithout(...programs: readonly string[]): string | false {
  const missing = programs.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
  if (missing.length === 0) return false;
  process.stderr.write(`# SKIPPED: there is no ${missing.join(', ')} here\n`);
  return `there is no ${missing.join(', ')} here`;
}

/** Runs a program with a time limit; answers what it printed, or throws with what it complained about. */
export async function run(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await exec(program, args, {
    timeout: 60_000,
    maxBuffer: 1 << 26,
    env: { ...process.env, LC_ALL: 'C' },
  });
  return stdout;
}

export interface ChildStats {
  readonly operations: Readonly<Record<string, number>>;
  readonly notices: number;
  readonly buffers: number;
  readonly nodes: number;
  readonly open: number;
}

export class TestMount implements AsyncDisposable {
  readonly path: string;
  readonly child: ChildProcess;
  readonly #ownsFolder: boolean;
  #said = '';
  readonly #messages: { resolve: (value: unknown) => void; reject: (error: unknown) => void }[] = [];
  /** What the child says when its mount has ended. */
  readonly ended: Promise<{ readonly nodes: number; readonly open: number }>;

  /** @param options `mountPoint` absent: a folder of its own. @throws what the child's mount threw, with its code. */
  static async start(options: Partial<ChildOptions> = {}): Promise<TestMount> {
    const mount = new TestMount(options);
    try {
      await mount.#reply();
    } catch (error) {
      // What is mounted there, if anything, is not this one's.
      await mount.kill();
      if (mount.#ownsFolder) rmdirSync(mount.path);
      throw error;
    }
    return mount;
  }

  constructor(options: Partial<ChildOptions>) {
    this.#ownsFolder = options.mountPoint === undefined;
    this.path = options.mountPoint ?? mkdtempSync(join(tmpdir(), 'holdfast-fuse-'));
    const words = JSON.stringify({ ...options, mountPoint: this.path });
    this.child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CHILD, words], {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    this.child.stderr?.on('data', (text) => (this.#said += text));
    let onEnded: (value: { nodes: number; open: number }) => void;
    this.ended = new Promise((resolve) => (onEnded = resolve));
    this.child.on(
      'message',
      (message: { value?: unknown; error?: { code: string; message: string }; ended?: never }) => {
        if (message.ended !== undefined) onEnded(message.ended);
        else if (message.error !== undefined)
          this.#messages.shift()?.reject(Object.assign(new Error(message.error.message), message.error));
        else this.#messages.shift()?.resolve(message.value);
      },
    );
    this.child.once('exit', (code, signal) => {
      for (const { reject } of this.#messages.splice(0))
        reject(new Error(`The child ended: ${code ?? signal}. ${this.#said}`));
    });
  }

  /** What the child complained about so far. */
  get said(): string {
    return this.#said;
  }

  #reply(): Promise<unknown> {
    return new Promise((resolve, reject) => this.#messages.push({ resolve, reject }));
  }

  async call(call: ChildCall): Promise<unknown> {
    const reply = this.#reply();
    this.child.send(call, () => {});
    return await reply;
  }

  async stats(): Promise<ChildStats> {
    return (await this.call({ call: 'stats' })) as ChildStats;
  }

  /** A path in the mount. */
  at(...names: string[]): string {
    return join(this.path, ...names);
  }

  get isMounted(): boolean {
    return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${this.path} `);
  }

  async exit(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    return this.child.exitCode;
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.connected && this.child.exitCode === null) {
      await this.call({ call: 'unmount', options: { busyMs: 0 } }).catch(() => {});
    }
    const late = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
    await this.exit();
    clearTimeout(late);
    if (this.isMounted) await run('umount', '-l', this.path);
    if (this.#ownsFolder) rmdirSync(this.path);
  }
}
