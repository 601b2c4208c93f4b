/**
 * A load for a mount that is going to be killed: workers that use the file system as programs do, each in a folder of its
 * own, until a call fails. A program of its own, because whoever waits for a mount should not be who serves or judges it.
 *
 *   node mount-load.ts FOLDER SEED     one line `ready` when all have begun; at the end one line of JSON, a LoadReport
 */
import type { EventEmitter } from 'node:events';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom } from '../../src/base/index.ts';
import { type Step, StepModel, type WorkStyle } from './step-model.ts';

/** What a worker did, and what of it must outlive a crash. */
export interface WorkReport {
  /** Calls, generations, records or files that were finished. */
  readonly done: number;
  /** Of these, how many are durable for certain. */
  readonly floor: number;
  /** When each call ended, in ms since the beginning; to tell how much a crash took. */
  readonly endedMs?: readonly number[];
}

export interface LoadReport {
  readonly workers: Readonly<Record<string, WorkReport>>;
  /** Calls that failed other than by the end of the mount. */
  readonly faults: readonly string[];
  /** When the mount was found ended, in ms since the beginning. */
  readonly overMs: number;
}

/** The end of a mount, as its programs see it. */
const END_CODES = ['ENOTCONN', 'ECONNABORTED'];
const GENERATION_BYTES_MAX = 3_000_000;
const FILE_BYTES_MAX = 400_000;
const RECORDS_PER_FSYNC = 25;

/**
 * Workers that make the calls of a model, by name. By the seed they are all of them; one that waits often, alone, because
 * a wait that is too short shows only where nobody else makes things durable; or those that never wait, because groups
 * are larger and later then: one alone, which is faster, or several.
 */
export function styles(seed: number): Readonly<Record<string, WorkStyle>> {
  const small = { 'steps-small': { seed: seed * 100, fileBytesMax: 60_000, fsyncEvery: 0 } };
  const large = { 'steps-large': { seed: seed * 100 + 1, fileBytesMax: 6_000_000, fsyncEvery: 0 } };
  const waiting = (fsyncEvery: number): Readonly<Record<string, WorkStyle>> => ({
    'steps-fsync': { seed: seed * 100 + 2, fileBytesMax: 300_000, fsyncEvery },
  });
  switch (seed % 5) {
    case 1:
      return { ...small, ...large, ...waiting(40) };
    case 2:
      return waiting(3);
    case 3:
      return large;
    case 4:
      return small;
    default:
      return { ...small, ...large };
  }
}

/** Other workers; those that wait for what is durable come with all. */
function others(seed: number): Readonly<Record<string, Work>> {
  if (seed % 5 === 1) return { replace: replaceOf(15), journal, durable };
  return seed % 5 === 0 ? { replace: replaceOf(0) } : {};
}

/** The bytes of a generation, record or file: nobody else's. */
export function identityBytes(what: string, seed: number, number: number, bytesMax: number): Buffer {
  const random = seededRandom(seed * 1_000_003 + number);
  const head = Buffer.from(`[${what} ${seed} ${number}]`);
  const size = head.length + random.below(bytesMax);
  const noise = Buffer.from(random.bytes(Math.min(size, 30_000)));
  const bytes = Buffer.alloc(size, noise);
  head.copy(bytes);
  // No generation looks like another anywhere, although most of each repeats.
  for (let at = 10_000; at + head.length < size; at += 10_000) head.copy(bytes, at);
  return bytes;
}

export const generationBytes = (seed: number, number: number): Buffer =>
  identityBytes('generation', seed, number, GENERATION_BYTES_MAX);
export const recordBytes = (seed: number, number: number): Buffer => identityBytes('record', seed, number, 3_000);
export const fileBytes = (seed: number, number: number): Buffer => identityBytes('file', seed, number, FILE_BYTES_MAX);

interface Progress {
  done: number;
  floor: number;
  endedMs?: number[];
}

/**
 * Handles that are not closed: when the mount dies under them, nothing may collect them before the report is out, since
 * closing one that way ends the process.
 */
const kept = new Set<fs.FileHandle>();

async function openKept(...words: Parameters<typeof fs.open>): Promise<fs.FileHandle> {
  const handle = await fs.open(...words);
  kept.add(handle);
  // It emits, which its type does not say.
  (handle as unknown as EventEmitter).once('close', () => kept.delete(handle));
  return handle;
}

type Work = (folder: string, seed: number, progress: Progress) => Promise<never>;

/** Calls of a model, one after the other. */
function followModel(style: WorkStyle): Work {
  return async (folder, _seed, progress) => {
    const model = new StepModel(style);
    const open: fs.FileHandle[] = [];
    progress.endedMs = [];
    for (;;) {
      const step = model.next();
      await perform(step, folder, open);
      model.apply(step);
      progress.done++;
      progress.endedMs.push(Math.round(performance.now()));
      if (step.kind === 'fsync') progress.floor = Math.max(progress.floor, model.durableWith(step.slot));
    }
  };
}

async function perform(step: Step, folder: string, open: fs.FileHandle[]): Promise<void> {
  const at = (path: string): string => join(folder, path);
  const slot = (index: number): fs.FileHandle => {
    const file = open[index];
    if (file === undefined) throw new Error('nothing is open there');
    return file;
  };
  switch (step.kind) {
    case 'create':
      open[step.slot] = await openKept(at(step.path), 'wx', 0o644);
      return;
    case 'open':
      open[step.slot] = await openKept(at(step.path), step.isCut ? 'w' : 'r+');
      return;
    case 'write': {
      // The kernel hands a write over in parts, and answers what went through when the mount ends between them.
      for (let done = 0; done < step.bytes.length; ) {
        const left = step.bytes.length - done;
        done += (await slot(step.slot).write(step.bytes, done, left, step.offset + done)).bytesWritten;
      }
      return;
    }
    case 'truncate':
      return slot(step.slot).truncate(step.size);
    case 'fsync':
      return slot(step.slot).sync();
    case 'close':
      return slot(step.slot).close();
    case 'rename':
      return fs.rename(at(step.from), at(step.to));
    case 'link':
      return fs.link(at(step.from), at(step.to));
    case 'symlink':
      return fs.symlink(step.target, at(step.path));
    case 'chmod':
      return fs.chmod(at(step.path), step.mode);
    case 'mkdir':
      await fs.mkdir(at(step.path), 0o755);
      return;
    case 'rmdir':
      return fs.rmdir(at(step.path));
    case 'unlink':
      return fs.unlink(at(step.path));
  }
}

/** A file that is only ever replaced whole; one time in so many it waits until that is durable, with 0 never. */
function replaceOf(syncEvery: number): Work {
  return async (folder, seed, progress) => {
    const random = seededRandom(seed);
    for (let number = 1; ; number++) {
      await fs.writeFile(join(folder, 'next'), generationBytes(seed, number));
      await fs.rename(join(folder, 'next'), join(folder, 'current'));
      progress.done = number;
      if (syncEvery === 0 || random.below(syncEvery) !== 0) continue;
      const opened = await openKept(random.below(2) === 0 ? folder : join(folder, 'current'));
      await opened.sync();
      progress.floor = number;
      await opened.close();
    }
  };
}

/** A log that grows record by record, durable every so many. */
const journal: Work = async (folder, seed, progress) => {
  const file = await openKept(join(folder, 'log'), 'a');
  for (let number = 1; ; number++) {
    await file.writeFile(recordBytes(seed, number));
    progress.done = number;
    if (number % RECORDS_PER_FSYNC !== 0) continue;
    await file.datasync();
    progress.floor = number;
  }
};

/** Files that are durable one by one: by fsync, opened so that writes wait, or by fsync of the folder. */
const durable: Work = async (folder, seed, progress) => {
  for (let number = 1; ; number++) {
    const path = join(folder, `file-${number}`);
    const file = await openKept(path, number % 3 === 1 ? 'as' : 'w');
    await file.writeFile(fileBytes(seed, number));
    if (number % 3 === 0) await file.sync();
    await file.close();
    if (number % 3 === 2) {
      const opened = await openKept(folder);
      await opened.sync();
      await opened.close();
    }
    progress.done = number;
    progress.floor = number;
  }
};

if (import.meta.main) await main(process.argv[2] ?? '', Number(process.argv[3]));

async function main(folder: string, seed: number): Promise<void> {
  process.umask(0);
  const works: Record<string, Work> = { ...others(seed) };
  for (const [name, style] of Object.entries(styles(seed))) works[name] = followModel(style);
  const faults: string[] = [];
  const progress = new Map<string, Progress>();
  let overMs = Number.POSITIVE_INFINITY;
  const ended = (name: string, error: NodeJS.ErrnoException): void => {
    overMs = Math.min(overMs, Math.round(performance.now()));
    if (!END_CODES.includes(error.code ?? '')) faults.push(`${name}: ${error.stack}`);
  };
  const running = Object.entries(works).map(async ([name, work]) => {
    const own: Progress = { done: 0, floor: 0 };
    progress.set(name, own);
    try {
      await fs.mkdir(join(folder, name), { recursive: true });
      await work(join(folder, name), seed, own);
    } catch (error) {
      ended(name, error as NodeJS.ErrnoException);
    }
  });
  process.stdout.write('ready\n');
  await Promise.all(running);
  const report: LoadReport = { workers: Object.fromEntries(progress), faults, overMs };
  // Handles of a mount that is gone cannot be closed properly; nothing of them matters any more.
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
}
