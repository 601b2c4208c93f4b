/**
 * `bench`: how fast put and get are here, in a fresh store that is removed at the end. Data is generated, half of it
 * compressible, so that neither hashing nor compression is the only thing measured. For comparing machines, disks and
 * options with each other; comparisons with other programs are another tool's.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fault, seededRandom } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { realDisk } from '../local/local-disk.ts';
import { counted, inTable, shownBytes, shownRate, shownSpan } from '../saying/display.ts';
import { Progress } from '../saying/progress.ts';
import { Say } from '../saying/say.ts';
import { askedWith } from '../server-room.ts';
import { Getting } from '../transfer/getting.ts';
import { Putting } from '../transfer/putting.ts';
import { Tally } from '../transfer/tally.ts';
import type { Given } from '../words/command.ts';
import type { BENCH_FLAGS } from '../words/commands.ts';

const BLOCK_BYTES = 1024 * 1024;
const FILES_PER_FOLDER = 100;
const SMALL_BYTES = 8 * 1024;

interface Result {
  readonly what: string;
  readonly seconds: number;
  readonly bytes: number;
  readonly files: number;
}

export async function run(given: Given<typeof BENCH_FLAGS>, context: Context): Promise<ExitCode> {
  const folder = mkdtempSync(join(given.flags.folder ?? tmpdir(), 'holdfast-bench-'));
  try {
    const results = await measure(folder, given.flags, context);
    for (const { what, seconds, bytes, files } of results) {
      const perSecond = Math.round(bytes / seconds);
      await context.say.record({ event: 'result', what, seconds, bytes, files, bytes_per_second: perSecond });
    }
    for (const line of inTable(results.map(rowOf), new Set([1, 2, 3, 4]))) await context.say.line(line);
    return EXIT.ok;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function rowOf({ what, seconds, bytes, files }: Result): string[] {
  const perSecond = files > 1 ? `${Math.round(files / seconds)} files/s` : '';
  return [what, shownBytes(bytes), shownSpan(seconds), shownRate(bytes / seconds), perSecond];
}

async function measure(folder: string, flags: Given<typeof BENCH_FLAGS>['flags'], context: Context): Promise<Result[]> {
  await context.say.note(`generating ${shownBytes(flags.size)} and ${counted(flags.files, 'small file')} in ${folder}`);
  const large = join(folder, 'large');
  const tree = join(folder, 'tree');
  generateLarge(large, flags.size, context);
  generateTree(tree, flags.files, context);
  const server = await context.server();
  const asked = askedWith(context.asked, 'store', '--folder', join(folder, 'store'));
  await server.makeStore(asked);
  await using reached = await server.reach(asked, { command: 'holdfast bench', signal: context.signal });
  const { service } = reached;
  const bytes = flags.size;
  const treeBytes = flags.files * SMALL_BYTES;
  const put = (source: string, goal: string) => putAll(source, goal, service, context);
  const get = (source: string, goal: string) => getAll(source, join(folder, goal), service, context);
  return [
    await timed('put one large file', bytes, 1, context, () => put(large, '/large')),
    await timed('put it again, other name', bytes, 1, context, () => put(large, '/again')),
    await timed('put small files', treeBytes, flags.files, context, () => put(tree, '/tree')),
    await timed('put them again, unchanged', treeBytes, flags.files, context, () => put(tree, '/tree')),
    await timed('get one large file', bytes, 1, context, () => get('/large', 'large.out')),
    await timed('get small files', treeBytes, flags.files, context, () => get('/tree', 'tree.out')),
  ];
}

async function timed(
  what: string,
  bytes: number,
  files: number,
  context: Context,
  act: () => Promise<void>,
): Promise<Result> {
  const startedMs = context.clock.monotonicMs();
  await act();
  return { what, bytes, files, seconds: Math.max(1e-6, (context.clock.monotonicMs() - startedMs) / 1000) };
}

type Service = Awaited<ReturnType<Context['reach']>>;

/** Verbs speak; while measuring they shall not. */
function silent(context: Context): Context {
  const sink = { write: async () => {}, isTerminal: false, columns: 80 };
  const progress = new Progress({ write: () => {}, columns: () => 80, clock: context.clock, isOn: false });
  const say = new Say({ stdout: sink, stderr: sink, isJson: false, isQuiet: true, isVerbose: false, progress });
  return { ...context, say, disk: realDisk };
}

async function putAll(source: string, goal: string, service: Service, context: Context): Promise<void> {
  const quiet = silent(context);
  const tally = new Tally(quiet.say, quiet.clock);
  const stat = realDisk.stat(source);
  if (stat === undefined) throw new Fault('not-found', `${source} was taken away while it was measured.`);
  const flags = { checksum: false, again: false, exclude: [], lock_token: undefined, dry_run: false };
  await new Putting({ context: quiet, service, flags, tally }).run([{ source, stat, goal }]);
  refuseFailures(tally);
}

async function getAll(source: string, goal: string, service: Service, context: Context): Promise<void> {
  const quiet = silent(context);
  const tally = new Tally(quiet.say, quiet.clock);
  const record = await service.stat({ path: source }, { signal: context.signal });
  const flags = { checksum: false, clobber: true, at: undefined, fsync: false, version: undefined, dry_run: false };
  await new Getting({ context: quiet, service, flags, tally }).run([{ record, goal }]);
  refuseFailures(tally);
}

function refuseFailures(tally: Tally): void {
  if (tally.exit() !== EXIT.ok)
    throw new Fault('io', 'Some files could not be copied, so the measurement means nothing. Check the disk.');
}

/** Words for one half, noise for the other: about 1.6 : 1 under zstd. */
function block(bytes: number, random: ReturnType<typeof seededRandom>): Uint8Array {
  const out = Buffer.from(random.bytes(bytes));
  const words = 'the store keeps every file once and every version of it ';
  for (let at = 0; at < bytes; at += 128) out.write(words, at, Math.min(64, bytes - at), 'latin1');
  return out;
}

function generateLarge(path: string, size: number, context: Context): void {
  const random = seededRandom(1);
  for (let at = 0; at < size; at += BLOCK_BYTES) {
    if (context.signal.aborted) throw Fault.aborted(context.signal, 'The measurement');
    writeFileSync(path, block(Math.min(BLOCK_BYTES, size - at), random), { flag: 'a' });
  }
}

function generateTree(path: string, count: number, context: Context): void {
  const random = seededRandom(2);
  for (let index = 0; index < count; index++) {
    if (context.signal.aborted) throw Fault.aborted(context.signal, 'The measurement');
    const folder = join(path, String(Math.floor(index / FILES_PER_FOLDER)));
    if (index % FILES_PER_FOLDER === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${index}.bin`), block(SMALL_BYTES, random));
  }
}
