/**
 * A mounted store beside a disk, and beside two file systems that also pass through a process: bindfs, which does
 * nothing, and gocryptfs, which encrypts. All lie in one fresh file system and stay mounted all the time; in each round
 * each of them does the same with content that no round has seen before, since a store that finds it again would have
 * it for nothing. What was written is compared with what was meant, outside the clock: a fast wrong result ends a part.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { incompressibleFile, mixedFile, sourceTree } from './corpora.ts';
import { type BenchOptions, type Comparison, inRounds, type Report } from './harness.ts';
import {
  bindfs,
  ext4,
  gocryptfs,
  holdfastMount,
  type MountedFolder,
  type Mounter,
  NO_PINS,
  PINS,
  type Pins,
} from './mounts.ts';
import { makePlace, PLACE_SAYS, type Place, settle } from './places.ts';
import { run } from './process.ts';

const MIB = 2 ** 20;
const GIB = 1024 * MIB;
const CLIENT = resolve(import.meta.dirname, 'mount-client.ts');
const POLL_MS = 20;
/** The load runs this much longer than its reader. */
const LOAD_MORE_SECONDS = 1;

const EXT4 = 'ext4';
const BINDFS = 'bindfs';
const GOCRYPTFS = 'gocryptfs';
const HOLDFAST = 'holdfast';
const OTHER_STORE = 'another store';

interface Sizes {
  readonly bigMiB: number;
  readonly fileCount: number;
  /** Writes with an fsync each. */
  readonly syncCount: number;
  /** Of the file that is overwritten here and there. */
  readonly databaseMiB: number;
  readonly readSeconds: number;
}
const SIZES: Sizes = { bigMiB: 1024, fileCount: 8_000, syncCount: 1_000, databaseMiB: 64, readSeconds: 5 };
const SMALL_SIZES: Sizes = { bigMiB: 96, fileCount: 1_000, syncCount: 200, databaseMiB: 64, readSeconds: 2 };

/** What every part works with. */
interface Bench {
  readonly report: Report;
  readonly rounds: number;
  readonly sizes: Sizes;
  readonly place: Place;
  readonly pins: Pins;
  readonly contestants: readonly Contestant[];
}

interface Contestant extends MountedFolder {
  readonly name: string;
}

export const mount: Comparison = {
  summary: 'a mounted store beside ext4, bindfs and gocryptfs: big and small files, syncs, reads under load, memory',
  async run(report, options) {
    const sizes = sizesOf(options);
    const pins = options.isPinned === true ? PINS : NO_PINS;
    report.note(options.isPinned === true ? 'pinned: clients on processor 1, servers on 0' : 'not pinned');
    report.note(`sizes: ${sizes.bigMiB} MiB files, ${sizes.fileCount} small files, ${sizes.syncCount} synced writes`);
    // Stores keep what was removed for a while, and every round brings new content.
    using place = makePlace('mount', (4 + options.rounds * 3) * sizes.bigMiB * MIB + 6 * GIB);
    report.note(`place: ${PLACE_SAYS[place.kind].replace(' for every turn', '')}, shared by all`);
    await using open = new AsyncDisposableStack();
    const contestants: Contestant[] = [];
    for (const mounter of [ext4(), bindfs(), gocryptfs(), holdfastMount()]) {
      const contestant = await opened(report, mounter, place, pins);
      if (contestant !== undefined) contestants.push(open.use(contestant));
    }
    const bench: Bench = { report, rounds: options.rounds, sizes, place, pins, contestants };
    await bigFiles(bench);
    await smallFiles(bench);
    await syncedWrites(bench);
    await readsUnderLoad(bench, open);
    for (const { name, peakBytes } of contestants) report.add(name, 'peakMiB', peakBytes() / MIB);
    report.table('all of it', namesOf(contestants), [{ metric: 'peakMiB', title: 'peak RSS MiB' }]);
    judge(report);
  },
};

function sizesOf({ isSmall, sizeMiB, fileCount }: BenchOptions): Sizes {
  const sizes = isSmall ? SMALL_SIZES : SIZES;
  return { ...sizes, bigMiB: sizeMiB ?? sizes.bigMiB, fileCount: fileCount ?? sizes.fileCount };
}

async function opened(report: Report, mounter: Mounter, place: Place, pins: Pins): Promise<Contestant | undefined> {
  const { name, says, missing } = mounter;
  if (missing !== undefined) {
    report.miss(name, missing);
    return undefined;
  }
  report.note(`${name}: ${says}`);
  const folder = join(place.folder, name.replaceAll(' ', '-'));
  mkdirSync(folder);
  try {
    return Object.assign(await mounter.open(folder, pins), { name });
  } catch (error) {
    report.miss(name, error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

function namesOf(contestants: readonly Contestant[]): readonly string[] {
  return contestants.map(({ name }) => name);
}

/** One program, on the clients' processor. Answers its wall time. */
async function client({ pins, place }: Bench, ...words: readonly string[]) {
  return run({ words: [...pins.client, ...words], folder: place.folder, isWatched: false });
}

async function figures(bench: Bench, ...words: readonly string[]): Promise<Readonly<Record<string, number>>> {
  const { said } = await client(bench, process.execPath, CLIENT, ...words);
  return JSON.parse(said) as Record<string, number>;
}

/** Time of the clients and processor time of the server for what happens in `act`. */
async function timed(bench: Bench, by: Contestant, ...words: readonly string[]) {
  settle(bench.place);
  const before = by.cpuSeconds();
  const { seconds, cpuSeconds } = await client(bench, ...words);
  by.check();
  return { seconds, cpu: cpuSeconds + by.cpuSeconds() - before };
}

/** What the kernel has of the file through this mount is forgotten; what lies below, and the store's own, is not. */
async function forget(bench: Bench, path: string): Promise<void> {
  await client(bench, 'dd', `of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none');
}

const KINDS = [
  { kind: 'mixed', make: mixedFile },
  { kind: 'random', make: incompressibleFile },
] as const;

async function bigFiles(bench: Bench): Promise<void> {
  const { report, rounds, sizes, place, contestants } = bench;
  const original = join(place.folder, 'original');
  for (const { kind, make } of KINDS) {
    let madeFor = -1;
    await inRounds(report, rounds, contestants, async (by, round) => {
      if (madeFor !== round) make(original, sizes.bigMiB * MIB, 100 + round);
      madeFor = round;
      const path = join(by.path, `big-${kind}`);
      const dd = ['dd', 'bs=1M', 'status=none'];
      const written = await timed(bench, by, ...dd, `if=${original}`, `of=${path}`, 'conv=fsync');
      await client(bench, 'cmp', original, path);
      await forget(bench, path);
      const readBack = await timed(bench, by, ...dd, `if=${path}`, 'of=/dev/null');
      await client(bench, 'cmp', original, path);
      rmSync(path);
      report.add(by.name, `${kind} writeMiBs`, sizes.bigMiB / written.seconds);
      report.add(by.name, `${kind} writeCpu`, written.cpu);
      report.add(by.name, `${kind} readMiBs`, sizes.bigMiB / readBack.seconds);
      report.add(by.name, `${kind} readCpu`, readBack.cpu);
    });
    rmSync(original, { force: true });
    report.table(`${sizes.bigMiB} MiB, ${kind}`, namesOf(contestants), [
      { metric: `${kind} writeMiBs`, title: 'write MiB/s', against: GOCRYPTFS },
      { metric: `${kind} writeCpu`, title: 'CPU s', digits: 2 },
      { metric: `${kind} readMiBs`, title: 'read MiB/s', against: BINDFS },
      { metric: `${kind} readCpu`, title: 'CPU s', digits: 2 },
    ]);
  }
}

/** What is done with a tree, in this order. `$1` is its folder, `$2` the tar. */
const TREE_STEPS = [
  { step: 'untar', script: 'mkdir "$1" && tar xf "$2" -C "$1"' },
  { step: 'find', script: 'find "$1" -printf "%s %T@ %m %p\\n" | wc -l' },
  { step: 'read', script: 'find "$1" -type f -print0 | xargs -0 cat | wc -c' },
  { step: 'rm', script: 'rm -rf "$1"' },
] as const;

async function smallFiles(bench: Bench): Promise<void> {
  const { report, rounds, sizes, place, contestants } = bench;
  const [original, tar] = [join(place.folder, 'tree'), join(place.folder, 'tree.tar')];
  let madeFor = -1;
  await inRounds(report, rounds, contestants, async (by, round) => {
    if (madeFor !== round) {
      rmSync(original, { recursive: true, force: true });
      const facts = sourceTree(original, sizes.fileCount, 200 + round);
      if (round === 0) report.note(`tree: ${facts.files} files, ${(facts.bytes / MIB).toFixed(0)} MiB`);
      await run({ words: ['tar', 'cf', tar, '-C', original, '.'] });
    }
    madeFor = round;
    const path = join(by.path, 'tree');
    for (const { step, script } of TREE_STEPS) {
      if (step === 'rm') await client(bench, 'diff', '-r', original, path);
      const { seconds, cpu } = await timed(bench, by, 'sh', '-ec', script, 'sh', path, tar);
      report.add(by.name, `${step}Rate`, sizes.fileCount / seconds);
      report.add(by.name, `${step}Cpu`, cpu);
    }
    if (existsSync(path)) throw new Error('The tree is still there after rm -rf.');
  });
  rmSync(original, { recursive: true, force: true });
  rmSync(tar, { force: true });
  report.table(
    `${sizes.fileCount} files, files/s`,
    namesOf(contestants),
    TREE_STEPS.flatMap(({ step }) => [
      { metric: `${step}Rate`, title: step, against: BINDFS },
      { metric: `${step}Cpu`, title: 'CPU s', digits: 2 },
    ]),
  );
}

async function syncedWrites(bench: Bench): Promise<void> {
  const { report, rounds, sizes, place, contestants } = bench;
  const count = String(sizes.syncCount);
  await inRounds(report, rounds, contestants, async (by, round) => {
    const [journal, database] = [join(by.path, `journal-${round}`), join(by.path, 'database')];
    if (round === 0) {
      const original = join(place.folder, 'database');
      mixedFile(original, sizes.databaseMiB * MIB, 300);
      await client(bench, 'dd', 'bs=1M', `if=${original}`, `of=${database}`, 'conv=fsync', 'status=none');
      rmSync(original);
    }
    settle(place);
    const appended = await figures(bench, 'append', journal, count, String(400 + round));
    settle(place);
    const overwritten = await figures(bench, 'overwrite', database, count, String(500 + round));
    report.add(by.name, 'appends', appended.perSecond ?? Number.NaN);
    report.add(by.name, 'overwrites', overwritten.perSecond ?? Number.NaN);
  });
  report.table('4 KiB and fsync, a second', namesOf(contestants), [
    { metric: 'appends', title: 'append', against: EXT4 },
    { metric: 'overwrites', title: 'overwrite', against: EXT4 },
  ]);
}

/**
 * One reader on Holdfast's mount, beside a writer that never pauses: in the same store; in gocryptfs; in another store,
 * which takes from processors and disk exactly what the first one would. Loads take turns like contestants do.
 */
async function readsUnderLoad(bench: Bench, open: AsyncDisposableStack): Promise<void> {
  const { report, sizes, place, contestants } = bench;
  const store = contestants.find(({ name }) => name === HOLDFAST);
  if (store === undefined) return;
  const other = await opened(report, holdfastMount(OTHER_STORE), place, bench.pins);
  if (other !== undefined) open.use(other);
  const outside = [contestants.find(({ name }) => name === GOCRYPTFS), other].filter((one) => one !== undefined);
  const loads = [
    { name: 'no load', into: undefined },
    { name: 'load in the store', into: store.path },
    ...outside.map(({ name, path }) => ({ name: `load in ${name}`, into: path })),
  ];
  const [original, path] = [join(place.folder, 'original'), join(store.path, 'read')];
  mixedFile(original, Math.min(sizes.bigMiB, 512) * MIB, 600);
  await client(bench, 'dd', 'bs=1M', `if=${original}`, `of=${path}`, 'conv=fsync', 'status=none');
  const flag = join(place.folder, 'load-began');
  await inRounds(report, bench.rounds, loads, async ({ name, into }, round) => {
    await forget(bench, path);
    settle(place);
    rmSync(flag, { force: true });
    const loadSeconds = String(sizes.readSeconds + LOAD_MORE_SECONDS);
    const load = into === undefined ? undefined : figures(bench, 'write', into, flag, loadSeconds, String(700 + round));
    load?.catch(() => {});
    while (load !== undefined && !existsSync(flag)) await new Promise((done) => setTimeout(done, POLL_MS));
    const seed = String(800 + round);
    const reads = await figures(bench, 'read', path, original, String(sizes.readSeconds), seed);
    for (const metric of ['count', 'p50', 'p99', 'max']) report.add(name, metric, reads[metric] ?? Number.NaN);
    const written = await load;
    if (written !== undefined) report.add(name, 'loadMiBs', written.mibs ?? Number.NaN);
  });
  rmSync(original);
  rmSync(path);
  report.table(
    '4 KiB reads here and there',
    loads.map(({ name }) => name),
    [
      { metric: 'count', title: 'reads' },
      { metric: 'p50', title: 'p50 ms', digits: 2 },
      { metric: 'p99', title: 'p99 ms', digits: 2 },
      { metric: 'max', title: 'max ms', digits: 1 },
      { metric: 'loadMiBs', title: 'load MiB/s' },
    ],
  );
}

function judge(report: Report): void {
  const atLeast = (says: string, metric: string, against: string, ratio: number): void =>
    report.judge({ says: `${says} ≥ ${ratio}x ${against}`, contestant: HOLDFAST, metric, against, atLeast: ratio });
  for (const { kind } of KINDS) {
    atLeast(`write ${kind}`, `${kind} writeMiBs`, GOCRYPTFS, 1);
    atLeast(`cold read ${kind}`, `${kind} readMiBs`, GOCRYPTFS, 1);
    atLeast(`cold read ${kind}`, `${kind} readMiBs`, BINDFS, 0.7);
  }
  for (const { step } of TREE_STEPS) atLeast(`small files: ${step}`, `${step}Rate`, BINDFS, 1);
  atLeast('small files: untar', 'untarRate', GOCRYPTFS, 2);
  atLeast('append and fsync', 'appends', EXT4, 0.5);
  atLeast('overwrite and fsync', 'overwrites', EXT4, 0.5);
  for (const against of [`load in ${GOCRYPTFS}`, `load in ${OTHER_STORE}`]) {
    const says = `p99 of a read beside a writer ≤ 2x ${against}`;
    report.judge({ says, contestant: 'load in the store', metric: 'p99', against, atMost: 2 });
  }
  const longest = report.max('load in the store', 'max');
  report.verdict({
    target: 'no read beside a writer over 100 ms',
    reached: longest === undefined ? 'not measured' : `${longest.toFixed(1)} ms`,
    isMet: longest === undefined ? undefined : longest <= 100,
  });
  report.judge({ says: 'peak RSS ≤ 320 MiB', contestant: HOLDFAST, metric: 'peakMiB', atMost: 320, unit: 'MiB' });
}
