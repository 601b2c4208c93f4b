/**
 * What a case of the POSIX suite is, and the words that cases are written in.
 *
 * A case runs as root in a fresh folder that is also the current folder, so its paths are short names. It answers plain
 * JSON without ids, absolute times or descriptors; what it answers on ext4 is what it must answer anywhere. A call that
 * fails where the case did not ask for an answer ends the case with that call and errno as its outcome: compared as well.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Libc, O, type Path, type Stat, SystemError, type When } from './libc.ts';

export interface Case {
  /** `operation: what it shows`; unique. */
  readonly name: string;
  run(sys: Sys, at: string): unknown;
}

/** Longer than any tick by which a kernel's coarse clock moves on. */
const TICK_MS = 12;
/** A moment in the past, told from every time that a case itself can bring about. */
export const PAST: When = { seconds: 1_000_000_000, nanoseconds: 123_456_789 };
export const USER = { uid: 1_000, gid: 1_000 } as const;
export const OTHER = { uid: 1_001, gid: 1_001 } as const;

const PEER = join(import.meta.dirname, 'peer.ts');

/** Libc with what cases ask for again and again. */
export class Sys extends Libc {
  readonly #peers: Peer[] = [];
  #peersLent = 0;
  #at = '/';

  /** Makes the folder of a case the current one, here and in the peers it asks for. */
  enter(at: string): void {
    this.#at = at;
    this.chdir(at);
  }

  /** What `what` answers, as JSON; the errno's name when it fails; `ok` when it answers nothing. */
  told(what: () => unknown): unknown {
    try {
      const answer = what();
      return answer === undefined ? 'ok' : plain(answer);
    } catch (error) {
      if (error instanceof SystemError) return error.errno;
      throw error;
    }
  }
  /** Opens and closes. */
  opens(path: Path, flags: number, mode = 0o644): unknown {
    return this.told(() => this.close(this.open(path, flags, mode)));
  }
  /** Makes or empties a file and fills it. */
  put(path: Path, content: Uint8Array | string = '', mode = 0o644): void {
    const fd = this.open(path, O.WRONLY | O.CREAT | O.TRUNC, mode);
    for (let bytes = Buffer.from(content); bytes.length > 0; ) bytes = bytes.subarray(this.write(fd, bytes));
    this.close(fd);
  }
  /** All of a file, as text. */
  get(path: Path): string {
    const fd = this.open(path, O.RDONLY);
    const parts: Buffer[] = [];
    for (let part = this.read(fd, 1_048_576); part.length > 0; part = this.read(fd, 1_048_576)) parts.push(part);
    this.close(fd);
    return Buffer.concat(parts).toString('latin1');
  }
  /** What a stat says that every file system must say alike. Sizes and link counts of folders are its own business. */
  look(path: Path): unknown {
    return this.told(() => described(this.lstat(path)));
  }
  mode(path: Path): string {
    return octal(this.lstat(path).mode);
  }
  links(path: Path): number {
    return this.lstat(path).links;
  }
  /** What stands in a folder, sorted by bytes, without `.` and `..`: name → kind. */
  list(path: Path = '.'): Record<string, string> {
    const fd = this.open(path, O.RDONLY | O.DIRECTORY);
    const found: [string, string][] = [];
    for (let some = this.entries(fd); some.length > 0; some = this.entries(fd)) {
      for (const { name, kind } of some) found.push([name.toString('latin1'), kind]);
    }
    this.close(fd);
    const dots = found.filter(([name]) => name === '.' || name === '..');
    if (dots.length !== 2) found.push(['(dots)', String(dots.length)]);
    return Object.fromEntries(found.filter((each) => !dots.includes(each)).sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  isSame(a: Path, b: Path): boolean {
    return this.lstat(a).id === this.lstat(b).id;
  }
  /** Which of the three times of `path` an act changes; atime and mtime stand at PAST before it. */
  touches(path: Path, act: () => void, options: { ignoreAccess?: boolean } = {}): unknown {
    this.utimens(path, PAST, PAST, 0x100);
    this.tick();
    const before = this.lstat(path);
    const answer = this.told(act);
    const after = this.told(() => this.lstat(path));
    if (typeof after === 'string') return [answer, 'gone'];
    const now = this.lstat(path);
    const changed: string[] = [];
    if (now.accessed !== before.accessed && !options.ignoreAccess) changed.push('atime');
    if (now.modified !== before.modified) changed.push('mtime');
    if (now.changed !== before.changed) changed.push('ctime');
    return answer === 'ok' || typeof answer === 'number' ? changed : [answer, ...changed];
  }
  /** Lets the coarsest clock move on. */
  tick(): void {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TICK_MS);
  }
  /** Another process with calls of its own, for locks; its descriptors are closed after the case. */
  async peer(): Promise<Peer> {
    const peer = this.#peers[this.#peersLent] ?? new Peer();
    this.#peers[this.#peersLent++] = peer;
    await peer.ask('chdir', this.#at);
    return peer;
  }
  /** After a case: everything closed, root again, in `folder`. */
  async settle(folder: string): Promise<void> {
    this.closeAll();
    this.chdir(folder);
    this.umask(0o022);
    for (const peer of this.#peers.slice(0, this.#peersLent)) {
      await peer.ask('closeAll');
      await peer.ask('chdir', '/');
    }
    this.#peersLent = 0;
  }
  end(): void {
    for (const peer of this.#peers) peer.end();
  }
}

type Call = Exclude<keyof Libc, 'as' | 'map'> | 'get';

/** A process that does calls when asked, one after the other; the answer to a blocking one comes when it comes. */
export class Peer {
  readonly #child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];
  #isEnded = false;

  constructor() {
    const flags = ['--disable-warning=ExperimentalWarning', PEER];
    this.#child = spawn(process.execPath, flags, { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: this.#child.stdout! });
    lines.on('line', (line) => this.#waiting.shift()?.(line));
    lines.on('close', () => {
      this.#isEnded = true;
      for (const answer of this.#waiting.splice(0)) answer('"the other process ended"');
    });
  }
  /** What the call answers, or its errno's name. */
  ask(call: Call, ...args: readonly unknown[]): Promise<unknown> {
    if (this.#isEnded) return Promise.resolve('the other process ended');
    return new Promise((done) => {
      this.#waiting.push((line) => done(JSON.parse(line)));
      this.#child.stdin?.write(`${JSON.stringify([call, ...args])}\n`);
    });
  }
  end(): void {
    this.#child.stdin?.end();
  }
}

export function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}

export function described(stat: Stat): Record<string, unknown> {
  const common = { kind: stat.kind, mode: octal(stat.mode), uid: stat.uid, gid: stat.gid };
  if (stat.kind === 'folder') return common;
  const isDevice = stat.kind === 'character' || stat.kind === 'block';
  return { ...common, links: stat.links, size: stat.size, ...(isDevice ? { target: stat.target } : {}) };
}

/** JSON without bigints; bytes as latin1 text, so that any byte shows. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  }
  return value === undefined ? null : value;
}
