/**
 * Running a contestant and watching what it takes. A run is a whole process, from start to end: wall time, processor
 * time and the largest resident set that any process of its tree ever had (the kernel's own high-water mark, VmHWM, so
 * that nothing between two looks is missed; only what is gained in the last hundredth of a second before the end is).
 * Nothing started here outlives the bench: whatever is still running when it exits is killed.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** How often the processes are looked at. */
const WATCH_INTERVAL_MS = 10;
/** Bytes of what a process says that are kept: its end. */
const SAID_BYTES_MAX = 64 * 1024;
/** How long a server may take to end before it is killed. */
const STOP_TIMEOUT_MS = 20_000;
/** The kernel counts processor time in hundredths of a second wherever Linux runs today. */
const TICKS_PER_SECOND = 100;

export interface Command {
  /** Program and arguments. */
  readonly words: readonly string[];
  readonly folder?: string | undefined;
  /** Added to the environment. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Standard input; nothing when absent. */
  readonly input?: Iterable<Uint8Array> | AsyncIterable<Uint8Array> | undefined;
  /** False: its memory is looked at only when somebody asks, so that looking disturbs nothing. */
  readonly isWatched?: boolean;
}

export interface Run {
  readonly seconds: number;
  /** Of all processes of the tree, user and system. */
  readonly cpuSeconds: number;
  /** Largest resident set of any one process of the tree. */
  readonly peakBytes: number;
  /** The end of its standard output. */
  readonly said: string;
}

/** Runs to the end. @throws Error with what it said, when it does not start or ends with anything but 0. */
export async function run(command: Command): Promise<Run> {
  const cpuBefore = childrenCpuSeconds();
  const started = performance.now();
  const child = start(command, command.input === undefined ? 'ignore' : 'pipe');
  const ended = once(child, 'close');
  using watch = watchTree(child, command.isWatched);
  const said = keepEnd(child.stdout);
  const complained = keepEnd(child.stderr);
  // A process that ends early closes its input; its own words say why.
  if (command.input !== undefined && child.stdin !== null) await pipeline(command.input, child.stdin).catch(() => {});
  const [code, signal] = await ended;
  const seconds = (performance.now() - started) / 1000;
  if (code !== 0) {
    const why = [complained(), said()].join('\n').trim();
    throw new Error(`${command.words.join(' ')} ended with ${signal ?? code}:\n${why.slice(-2000)}`);
  }
  return { seconds, cpuSeconds: childrenCpuSeconds() - cpuBefore, peakBytes: watch.peakBytes(), said: said() };
}

/** A process that goes on until it is stopped. */
export interface Service extends AsyncDisposable {
  readonly pid: number;
  /** Processor time so far of the process and those it has waited for. */
  cpuSeconds(): number;
  /** Largest resident set so far of any process of its tree. */
  peakBytes(): number;
  /** Why it ended although nobody stopped it, or undefined while it runs. */
  failure(): string | undefined;
}

export function serve(command: Command): Service {
  const child = start(command, 'ignore');
  const ended = once(child, 'exit');
  const watch = watchTree(child, command.isWatched);
  const complained = keepEnd(child.stderr);
  keepEnd(child.stdout);
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const pid = child.pid ?? 0;
  return {
    pid,
    cpuSeconds: () => cpuSecondsOf(pid),
    peakBytes: () => watch.peakBytes(),
    failure: () =>
      hasEnded() ? `${command.words[0]} ended with ${child.signalCode ?? child.exitCode}: ${complained()}` : undefined,
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      if (hasEnded()) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Where a program stands, or undefined when it is not installed. Also looks where servers are put. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

/** First line of what `program` says about its version; empty when it says nothing. */
export function versionOf(program: string, ...flags: string[]): string {
  const done = spawnSync(program, flags, { encoding: 'utf8' });
  return `${done.stdout ?? ''}${done.stderr ?? ''}`.split('\n', 1)[0]?.trim() ?? '';
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

function start(command: Command, input: 'ignore' | 'pipe'): ChildProcess {
  const [program = '', ...args] = command.words;
  const child = spawn(program, args, {
    cwd: command.folder,
    env: { ...process.env, ...command.environment },
    stdio: [input, 'pipe', 'pipe'],
  });
  running.add(child);
  child.on('close', () => running.delete(child));
  return child;
}

function keepEnd(stream: NodeJS.ReadableStream | null): () => string {
  let text = '';
  stream?.on('data', (bytes: Buffer) => {
    text = (text + bytes.toString('utf8')).slice(-SAID_BYTES_MAX);
  });
  return () => text;
}

interface Watch extends Disposable {
  peakBytes(): number;
}

function watchTree(child: ChildProcess, isWatched = true): Watch {
  let peak = 0;
  const look = (): void => {
    if (child.pid !== undefined)
      for (const processId of treeOf(child.pid)) peak = Math.max(peak, peakBytesOf(processId));
  };
  const timer = isWatched ? setInterval(look, WATCH_INTERVAL_MS) : undefined;
  return {
    peakBytes() {
      look();
      return peak;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** The process and everything below it; whatever has ended meanwhile is left out. */
function treeOf(processId: number): number[] {
  const children = readProc(`/proc/${processId}/task/${processId}/children`).split(' ').filter(Boolean).map(Number);
  return [processId, ...children.flatMap(treeOf)];
}

function peakBytesOf(processId: number): number {
  const kib = /^VmHWM:\s+(\d+) kB/m.exec(readProc(`/proc/${processId}/status`))?.[1];
  return Number(kib ?? 0) * 1024;
}

/** Processor time of all children that have ended and been waited for, and of theirs. */
function childrenCpuSeconds(): number {
  const fields = readProc('/proc/self/stat')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[13] ?? 0) + Number(fields[14] ?? 0)) / TICKS_PER_SECOND;
}

/** Its own and that of its children that have ended; 0 when it has ended itself. */
function cpuSecondsOf(processId: number): number {
  const fields = readProc(`/proc/${processId}/stat`)
    .replace(/^.*\) /, '')
    .split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
}

function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
