/**
 * Two terminals on one mounted store: in one somebody reads without pause (terminal-a.ts); in the other somebody writes,
 * renames, deletes, makes and deletes snapshots and collects garbage, also without pause. The reader must neither err nor
 * stand still. For the test of that, its large form, and the bench of what it costs the reader.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { type Random, seededRandom } from '../../src/base/index.ts';
import { holdfast } from './holdfast.ts';
import { type MountedStore, mountStore } from './mounted.ts';
import type { ReaderReport } from './terminal-a.ts';

const READER = join(import.meta.dirname, 'terminal-a.ts');
const KEPT_FILES = 40;
const LIVE_FILES = 8;
const WORK_FILES = 20;
const SIZES = [300, 5_000, 70_000, 600_000];
/** Snapshots of the writer that are there at once. */
const SNAPSHOTS_KEPT = 2;
const READER_LATE_MS = 60_000;

/** So that what is deleted really comes back: nothing keeps it, and a collection waits for nothing. */
export const FORGETTING = {
  HOLDFAST_HISTORY_KEEP: '0',
  HOLDFAST_VERSIONS_KEEP: 'none',
  HOLDFAST_GC_GRACE: '0',
  HOLDFAST_GC_SHARE: '1',
} as const;

export interface WriterReport {
  readonly files: number;
  readonly snapshots: number;
  readonly collections: number;
  readonly freedBytes: number;
}

/** A store with what the reader reads. The caller disposes it. */
export async function mountForReader(seed: number): Promise<MountedStore> {
  const mounted = await mountStore({ environment: FORGETTING });
  try {
    const random = seededRandom(seed);
    for (const folder of ['kept', 'kept/deep', 'live', 'work']) await fs.mkdir(join(mounted.path, folder));
    for (let at = 0; at < KEPT_FILES; at++) {
      const folder = at % 4 === 0 ? 'kept/deep' : 'kept';
      await fs.writeFile(join(mounted.path, folder, `f${at}`), random.bytes(sizeOf(random)));
    }
    for (let at = 0; at < LIVE_FILES; at++) await replaceLive(mounted, at, random);
    await must(mounted, ['snapshot', 'create', 'base']);
    return mounted;
  } catch (error) {
    await mounted[Symbol.asyncDispose]();
    throw error;
  }
}

function sizeOf(random: Random): number {
  return SIZES[random.below(SIZES.length)] ?? 0;
}

async function must(mounted: MountedStore, words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await holdfast(['--store', mounted.store, ...words]);
  if (code !== 0) throw new Error(`holdfast ${words.join(' ')}: exit ${code}\n${stderr}`);
  return stdout.toString();
}

/** Reads for so long; rejects when the reader does not end. */
export async function readFor(mounted: MountedStore, seconds: number): Promise<ReaderReport> {
  const words = ['--disable-warning=ExperimentalWarning', READER, mounted.path, String(seconds)];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const late = setTimeout(() => child.kill('SIGKILL'), seconds * 1000 + READER_LATE_MS);
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  const code = await new Promise((done) => child.on('close', (exit, signal) => done(signal ?? exit)));
  clearTimeout(late);
  if (code !== 0) throw new Error(`the reader ended with ${code}: ${output}`);
  return JSON.parse(output) as ReaderReport;
}

/** Works beside whoever reads until the signal; rejects when anything of it fails. */
export async function workUntil(mounted: MountedStore, seed: number, signal: AbortSignal): Promise<WriterReport> {
  const report = { files: 0, snapshots: 0, collections: 0, freedBytes: 0 };
  const random = seededRandom(seed);
  const writing = async (): Promise<void> => {
    for (; !signal.aborted; report.files++) await workOnce(mounted, report.files, random);
  };
  const tidying = async (): Promise<void> => {
    for (; !signal.aborted; report.collections++) {
      await must(mounted, ['snapshot', 'create', `s-${seed}-${report.snapshots}`]);
      const old = report.snapshots++ - SNAPSHOTS_KEPT;
      if (old >= 0) await must(mounted, ['snapshot', 'delete', `s-${seed}-${old}`]);
      const line = await must(mounted, ['gc', '--grace', '0s', '--json']);
      report.freedBytes += Number(/"freed_bytes":(\d+)/.exec(line)?.[1] ?? 0);
    }
  };
  await Promise.all([writing(), tidying()]);
  return report;
}

async function workOnce(mounted: MountedStore, count: number, random: Random): Promise<void> {
  const path = (name: string): string => join(mounted.path, 'work', name);
  const name = `w${random.below(WORK_FILES)}`;
  await writeSynced(path(name), random.bytes(sizeOf(random)));
  await replaceLive(mounted, count % LIVE_FILES, random);
  if (count % 3 === 0) await fs.rename(path(name), path(`r${count % WORK_FILES}`));
  if (count % 5 === 0) await fs.rm(path(`r${random.below(WORK_FILES)}`), { force: true });
  if (count % 11 !== 0) return;
  await fs.mkdir(path('folder/inside'), { recursive: true });
  await fs.writeFile(path('folder/inside/file'), random.bytes(1_000));
  await fs.rm(path('folder'), { recursive: true });
}

/** Written beside and renamed over: whoever opens it finds one content or the other, whole. */
async function replaceLive(mounted: MountedStore, which: number, random: Random): Promise<void> {
  const bytes = random.bytes(sizeOf(random));
  const head = createHash('sha256').update(bytes).digest('hex');
  const beside = join(mounted.path, 'work', `live-${which}`);
  await fs.writeFile(beside, Buffer.concat([Buffer.from(head), bytes]));
  await fs.rename(beside, join(mounted.path, 'live', `f${which}`));
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await fs.open(path, 'w');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

export interface BothReports {
  readonly reader: ReaderReport;
  readonly writer: WriterReport;
}

/** Both at once; the writer works for as long as the reader reads. */
export async function bothFor(mounted: MountedStore, seconds: number, seed: number): Promise<BothReports> {
  const stopping = new AbortController();
  const working = workUntil(mounted, seed, stopping.signal);
  const reading = readFor(mounted, seconds).finally(() => stopping.abort());
  const [reader, writer] = await Promise.all([reading, working]);
  return { reader, writer };
}
