/**
 * `kill -9` of a mount at random moments, while a program writes into it in all ways that programs have (mount-load.ts).
 * Each round mounts the same store at the same place, where the round before left a dead mount, and looks before it
 * goes on:
 *
 *   1. what was fsynced is there, byte for byte;
 *   2. a file that is only ever replaced by renaming is one whole generation, or, before the first, not there;
 *   3. a log is a prefix of what was appended;
 *   4. of a writer that made one call after the other, fsync or not, exactly the first N calls show, for one N;
 *   5. what a round before had left is as it was;
 *   6. `holdfast check` finds nothing wrong.
 *
 * Some mounts are killed while they start. What is written follows from the seed; when the kill comes follows from it
 * too, as far as a machine keeps time.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Random, seededRandom } from '../../src/base/index.ts';
import { holdfast } from './holdfast.ts';
import { fileBytes, generationBytes, type LoadReport, recordBytes, styles, type WorkReport } from './mount-load.ts';
import { Place, type Running, startRunning } from './running.ts';
import { HOLDFAST } from './server.ts';
import { digestOf, type Marks, markStart, prefixOf } from './step-model.ts';

const LOAD = resolve(import.meta.dirname, 'mount-load.ts');
const PAGE_BYTES = 4_096;
const KILL_MS_MIN = 50;
const KILL_MS_MAX = 3_000;
/** One mount in so many is killed while it starts. */
const STARTS_KILLED = 6;
const START_KILL_MS_MAX = 1_500;
/** Rounds whose files are kept and compared again. */
const ROUNDS_KEPT = 3;
const LOAD_END_MS_MAX = 60_000;
/** Small packs, so that some are sealed in every round. */
const ENVIRONMENT = { HOLDFAST_CHUNKS_PACK_SIZE: '4MiB' };

export interface MountKillQuestion {
  readonly seed: number;
  readonly rounds: number;
  readonly onRound?: (round: number, sentence: string) => void;
}

interface Left {
  readonly seed: number;
  readonly folder: string;
  readonly report: LoadReport;
  /** As it was first found after the crash. */
  marks?: Marks;
}

/** @throws AssertionError that names the seed and the round, and where the store is kept. */
export async function mountKillRounds(question: MountKillQuestion): Promise<void> {
  const { seed, rounds, onRound = () => {} } = question;
  const random = seededRandom(seed);
  const place = new Place();
  const at = place.folder('m');
  const words = ['mount', '--store', place.store, at];
  const left: Left[] = [];
  let round = 1;
  try {
    for (; round <= rounds + 1; round++) {
      if (round > 1 && random.below(STARTS_KILLED) === 0) await killWhileStarting(words, random);
      await using mount = await startRunning(words, { environment: ENVIRONMENT });
      const seen = await examine(place, at, left);
      // The last mount is there to see what the last kill left.
      if (round > rounds) break;
      const folder = `round-${round}`;
      const roundSeed = seed * 1_000 + round;
      await fs.mkdir(join(at, folder));
      const report = await loadUntilKilled(mount, join(at, folder), roundSeed, random);
      left.push({ seed: roundSeed, folder, report });
      onRound(round, `${seen}; then ${sayReport(report)}`);
    }
  } catch (error) {
    const what = error instanceof Error ? error.stack : String(error);
    assert.fail(`seed ${seed}, round ${round}, store kept at ${place.store}: ${what}`);
  }
  place[Symbol.dispose]();
}

function sayReport({ workers }: LoadReport): string {
  return Object.entries(workers)
    .map(([name, { done, floor }]) => `${name} ${done} (${floor} durable)`)
    .join(', ');
}

async function killWhileStarting(words: readonly string[], random: Random): Promise<void> {
  const child = spawn(HOLDFAST, words, { stdio: 'ignore', env: { ...process.env, ...ENVIRONMENT } });
  const ended = new Promise((done) => child.on('exit', done));
  await new Promise((done) => setTimeout(done, random.below(START_KILL_MS_MAX)));
  child.kill('SIGKILL');
  await ended;
}

async function loadUntilKilled(mount: Running, folder: string, seed: number, random: Random): Promise<LoadReport> {
  const words = ['--disable-warning=ExperimentalWarning', LOAD, folder, String(seed)];
  const child = spawn(process.execPath, words, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '8' },
  });
  let said = '';
  const ended = new Promise<void>((done) => child.on('close', () => done()));
  const ready = new Promise<void>((done) => {
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString();
      if (said.includes('\n')) done();
    });
  });
  await Promise.race([ready, ended]);
  const waitMs = KILL_MS_MIN + random.below(KILL_MS_MAX - KILL_MS_MIN);
  // Work that fails before the kill ends the wait.
  await Promise.race([ended, new Promise((done) => setTimeout(done, waitMs))]);
  assert.equal(await mount.stop('SIGKILL'), 'SIGKILL', mount.output());
  const late = setTimeout(() => child.kill('SIGKILL'), LOAD_END_MS_MAX);
  await ended;
  clearTimeout(late);
  const line = said.split('\n')[1] ?? '';
  assert.ok(line.startsWith('{'), `the load did not end with its mount:\n${said}\n${mount.output()}`);
  const report = JSON.parse(line) as LoadReport;
  assert.deepEqual(report.faults, [], mount.output());
  return report;
}

/** Answers what was found, in words. */
async function examine(place: Place, at: string, left: Left[]): Promise<string> {
  for (const old of left.splice(0, Math.max(0, left.length - ROUNDS_KEPT)))
    await fs.rm(join(at, old.folder), { recursive: true, force: true });
  const said: string[] = [];
  for (const one of left) {
    const marks = await marksOf(join(at, one.folder));
    if (one.marks === undefined) said.push(judge(one, marks));
    else assert.deepEqual(marks, one.marks, `${one.folder} is not as it was`);
    one.marks = marks;
  }
  const { code, stdout, stderr } = await holdfast(['--store', place.store, 'check']);
  assert.equal(code, 0, `check says\n${stdout}${stderr}`);
  return said.join('') || 'nothing yet';
}

/** @throws AssertionError for what must not be, or is missing. */
function judge({ seed, report }: Left, marks: Marks): string {
  const said: string[] = [];
  const worker = (name: string): WorkReport => report.workers[name] ?? { done: 0, floor: 0 };
  for (const [name, style] of Object.entries(styles(seed))) {
    const { done, floor, endedMs = [] } = worker(name);
    const found = below(marks, name);
    const count = prefixOf({ style, found, floor, ceiling: done + 1 });
    if (typeof count === 'string') assert.fail(`${name}: ${count}`);
    const lostMs = count >= done ? 0 : report.overMs - (endedMs[count] ?? 0);
    said.push(`${name} ${count} of ${done}, ${lostMs} ms lost`);
  }
  judgeReplaced(seed, below(marks, 'replace'), worker('replace'));
  judgeJournal(seed, below(marks, 'journal'), worker('journal'));
  const files = below(marks, 'durable');
  for (let number = 1; number <= worker('durable').floor; number++)
    assert.equal(files.get(`file-${number}`), markOfFile(fileBytes(seed, number)), `file-${number} was durable`);
  return said.join(', ');
}

function judgeReplaced(seed: number, marks: Marks, { done, floor }: WorkReport): void {
  const found = marks.get('current');
  if (found === undefined && floor === 0) return;
  for (let number = Math.max(1, floor); number <= done + 1; number++)
    if (found === markOfFile(generationBytes(seed, number))) return;
  assert.fail(`the replaced file is none of the generations ${floor} to ${done + 1}: ${found}`);
}

function judgeJournal(seed: number, marks: Marks, { done, floor }: WorkReport): void {
  const found = marks.get('log');
  if (found === undefined && floor === 0) return;
  const records = Array.from({ length: done + 1 }, (_, index) => recordBytes(seed, index + 1));
  const size = Number(/ (\d+) bytes/.exec(found ?? '')?.[1]);
  let end = 0;
  // A record may come in two, cut where a page ends (see step-model.ts).
  let isEnd = size % PAGE_BYTES === 0 || size === 0;
  for (const [index, record] of records.entries()) {
    end += record.length;
    isEnd ||= size === end;
    if (index + 1 === floor) assert.ok(size >= end, `a log of ${size} bytes was durable up to ${end}`);
  }
  assert.ok(isEnd, `a log of ${size} bytes ends within a record`);
  assert.equal(found, markOfFile(Buffer.concat(records).subarray(0, size)), 'the log is other than it was written');
}

function markOfFile(bytes: Buffer): string {
  return markStart({ kind: 'file', mode: 0o666, target: '', links: 1, size: bytes.length }) + digestOf(bytes);
}

function below(marks: Marks, folder: string): Marks {
  const start = `${folder}/`;
  return new Map(
    [...marks].filter(([path]) => path.startsWith(start)).map(([path, m]) => [path.slice(start.length), m]),
  );
}

/** What can be seen of a folder; nothing when it is not there. */
async function marksOf(folder: string): Promise<Marks> {
  const marks = new Map<string, string>();
  const walk = async (at: string): Promise<void> => {
    const path = join(folder, at);
    const stats = await fs.lstat(path);
    const node = { mode: stats.mode & 0o7777, size: stats.size, links: stats.nlink, target: '' };
    if (stats.isSymbolicLink()) marks.set(at, markStart({ ...node, kind: 'symlink', target: await fs.readlink(path) }));
    else if (!stats.isDirectory())
      marks.set(at, markStart({ ...node, kind: 'file' }) + digestOf(await fs.readFile(path)));
    else {
      if (at !== '') marks.set(at, markStart({ ...node, kind: 'folder' }));
      for (const name of await fs.readdir(path)) await walk(join(at, name));
    }
  };
  try {
    await walk('');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || marks.size > 0) throw error;
  }
  return marks;
}
