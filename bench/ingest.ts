/**
 * First put, second put, restore: Holdfast beside the backup tools, on one big mixed file and on many small ones, and
 * the memory that a stream of any length takes. Every figure is of a whole process on a store made for it, without a
 * server beside it; what comes back is compared byte for byte with what went in.
 */
import { linkSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mixedStream, mixedTar, smallFiles } from './corpora.ts';
import { type BenchOptions, type Column, type Comparison, inRounds, type Report } from './harness.ts';
import { borg, HOLDFAST, holdfast, type Keeper, type Keeping, restic, zstd } from './keepers.ts';
import { makePlace, PLACE_SAYS, type Place, settle } from './places.ts';
import { type Run, run } from './process.ts';

const MIB = 2 ** 20;

const BLAKE3 = 'holdfast';
const XXH3 = 'holdfast xxh3-128';
const SMALL_MEMORY = 'holdfast memory=small';

const BIG = 'mixed.tar';
const AGAIN = 'again.tar';
const TREE = 'tree';

interface Sizes {
  readonly bigBytes: number;
  readonly fileCount: number;
  readonly placeBytes: number;
}
const SIZES: Sizes = { bigBytes: 1024 * MIB, fileCount: 10_000, placeBytes: 10 * 1024 * MIB };
const SMALL_SIZES: Sizes = { bigBytes: 96 * MIB, fileCount: 1_000, placeBytes: 3 * 1024 * MIB };

export const ingest: Comparison = {
  summary: 'put, put again and get a 1 GiB tar and 10,000 small files, beside restic, borg and zstd',
  async run(report, options) {
    const sizes = options.isSmall ? SMALL_SIZES : SIZES;
    const keepers = [
      holdfast({ name: BLAKE3 }),
      holdfast({ name: XXH3, ids: 'xxh3-128' }),
      holdfast({ name: SMALL_MEMORY, memory: 'small' }),
      restic(),
      borg(),
      zstd(),
    ];
    for (const { name, says, missing } of keepers) {
      if (missing === undefined) report.note(`${name}: ${says}`);
      else report.miss(name, missing);
    }
    using corpora = makePlace('corpora', sizes.placeBytes);
    report.note(`place: ${PLACE_SAYS[corpora.kind]}`);
    await bigFile(report, options, keepers, corpora, sizes);
    await tree(
      report,
      options,
      keepers.filter((keeper) => keeper.keepsTrees),
      corpora,
      sizes,
    );
    await streams(report, sizes);
    judge(report);
  },
};

async function bigFile(
  report: Report,
  options: BenchOptions,
  keepers: readonly Keeper[],
  corpora: Place,
  sizes: Sizes,
) {
  report.note(`big: ${mixedTar(join(corpora.folder, BIG), sizes.bigBytes)}`);
  linkSync(join(corpora.folder, BIG), join(corpora.folder, AGAIN));
  const mib = lstatSync(join(corpora.folder, BIG)).size / MIB;
  await inRounds(report, options.rounds, keepers, async ({ name, at }) => {
    using place = makePlace('work', sizes.placeBytes);
    const keeping = await made(at, place);
    const put = await timed(place, keeping.put(corpora.folder, BIG));
    const storeBytes = bytesOnDisk(keeping.store);
    const again = await timed(place, keeping.put(corpora.folder, AGAIN));
    const addedBytes = bytesOnDisk(keeping.store) - storeBytes;
    const get = await restoredAndCompared(place, keeping, corpora.folder, BIG);
    report.add(name, 'putMiBs', mib / put.seconds);
    report.add(name, 'putCpu', put.cpuSeconds);
    report.add(name, 'storeMiB', storeBytes / MIB);
    report.add(name, 'againMiBs', mib / again.seconds);
    report.add(name, 'addedPercent', (100 * addedBytes) / (mib * MIB));
    report.add(name, 'getMiBs', mib / get.seconds);
    report.add(name, 'getCpu', get.cpuSeconds);
    addPeaks(report, name, '', { put, again, get });
  });
  report.table(
    `${mib.toFixed(0)} MiB tar`,
    keepers.map(({ name }) => name),
    [
      { metric: 'putMiBs', title: 'put MiB/s', against: 'restic' },
      { metric: 'putCpu', title: 'CPU s', digits: 1 },
      { metric: 'storeMiB', title: 'store MiB', digits: 1, against: 'borg' },
      { metric: 'againMiBs', title: 'again MiB/s' },
      { metric: 'addedPercent', title: 'adds %', digits: 2 },
      { metric: 'getMiBs', title: 'get MiB/s', against: 'restic' },
      { metric: 'getCpu', title: 'CPU s', digits: 1 },
      ...peakColumns(''),
    ],
  );
}

async function tree(report: Report, options: BenchOptions, keepers: readonly Keeper[], corpora: Place, sizes: Sizes) {
  const facts = smallFiles(join(corpora.folder, TREE), sizes.fileCount);
  const mib = facts.bytes / MIB;
  report.note(`tree: generated, ${facts.files} files of 1–100 KiB, ${mib.toFixed(0)} MiB`);
  // Whoever decides by time that a file is unchanged must not doubt one that is as old as the store.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await inRounds(report, options.rounds, keepers, async ({ name, at }) => {
    using place = makePlace('work', sizes.placeBytes);
    const keeping = await made(at, place);
    const put = await timed(place, keeping.put(corpora.folder, TREE));
    const storeBytes = bytesOnDisk(keeping.store);
    const again = await timed(place, keeping.put(corpora.folder, TREE));
    const get = await restoredAndCompared(place, keeping, corpora.folder, TREE);
    report.add(name, 'filesPerSecond', facts.files / put.seconds);
    report.add(name, 'treePutCpu', put.cpuSeconds);
    report.add(name, 'treeStoreMiB', storeBytes / MIB);
    report.add(name, 'unchangedSeconds', again.seconds);
    report.add(name, 'treeGetMiBs', mib / get.seconds);
    report.add(name, 'treeGetFilesPerSecond', facts.files / get.seconds);
    report.add(name, 'treeGetCpu', get.cpuSeconds);
    addPeaks(report, name, 'tree ', { put, again, get });
  });
  report.table(
    `${facts.files} files`,
    keepers.map(({ name }) => name),
    [
      { metric: 'filesPerSecond', title: 'put files/s', against: 'restic' },
      { metric: 'treePutCpu', title: 'CPU s', digits: 1 },
      { metric: 'treeStoreMiB', title: 'store MiB', digits: 1, against: 'borg' },
      { metric: 'unchangedSeconds', title: 'unchanged s', digits: 2 },
      { metric: 'treeGetFilesPerSecond', title: 'get files/s', against: 'restic' },
      { metric: 'treeGetMiBs', title: 'get MiB/s' },
      { metric: 'treeGetCpu', title: 'CPU s', digits: 1 },
      ...peakColumns('tree '),
    ],
  );
}

/** The memory of a stream of unknown length must not depend on its length. Once only: memory is not noisy. */
async function streams(report: Report, sizes: Sizes): Promise<void> {
  report.note('streams: generated mixed content through standard input, and out again; one run each');
  const variants = [
    { name: `${BLAKE3} stream`, memory: 'normal' },
    { name: `${SMALL_MEMORY} stream`, memory: 'small' },
  ] as const;
  await inRounds(report, 1, variants, async ({ name, memory }) => {
    for (const times of [1, 5]) {
      using place = makePlace('work', sizes.placeBytes);
      const keeping = await made(holdfast({ name, memory }).at, place);
      const bytes = times * sizes.bigBytes;
      const environment = { HOLDFAST_MEMORY: memory };
      const command = (...words: string[]) => ({ words: [HOLDFAST, ...words, '--store', keeping.store], environment });
      const put = await timed(place, { ...command('put', '-', '/stream'), input: mixedStream(bytes, 31) });
      const cat = await timed(place, command('cat', '/stream'));
      report.add(name, `put${times}MiBs`, bytes / MIB / put.seconds);
      report.add(name, `put${times}PeakMiB`, put.peakBytes / MIB);
      report.add(name, `cat${times}PeakMiB`, cat.peakBytes / MIB);
    }
    for (const way of ['put', 'cat']) {
      const [short, long] = [report.median(name, `${way}1PeakMiB`), report.median(name, `${way}5PeakMiB`)];
      report.add(name, `${way}Growth`, (long ?? Number.NaN) / (short ?? Number.NaN));
    }
  });
  const gib = sizes.bigBytes / (1024 * MIB);
  report.table(
    'stream',
    variants.map(({ name }) => name),
    [
      { metric: 'put1MiBs', title: `put ${gib.toFixed(1)} GiB MiB/s` },
      { metric: 'put1PeakMiB', title: 'peak RSS MiB' },
      { metric: 'put5MiBs', title: `put ${(5 * gib).toFixed(1)} GiB MiB/s` },
      { metric: 'put5PeakMiB', title: 'peak RSS MiB' },
      { metric: 'cat1PeakMiB', title: 'cat peak MiB' },
      { metric: 'cat5PeakMiB', title: '5x cat peak MiB' },
    ],
  );
}

function judge(report: Report): void {
  const faster = (says: string, contestant: string, metric: string, against: string, atLeast: number): void =>
    report.judge({ says: `${says} ≥ ${atLeast}x ${against}`, contestant, metric, against, atLeast });
  faster('first put, default ids', BLAKE3, 'putMiBs', 'restic', 2);
  faster('first put, default ids', BLAKE3, 'putMiBs', 'borg', 1.25);
  faster('first put, xxh3-128', XXH3, 'putMiBs', 'borg', 1.4);
  for (const contestant of [BLAKE3, XXH3]) {
    const says = `store of ${contestant} ≤ 1.05x borg's`;
    report.judge({ says, contestant, metric: 'storeMiB', against: 'borg', atMost: 1.05 });
  }
  report.judge({ says: 'the same again adds < 1 %', contestant: BLAKE3, metric: 'addedPercent', atMost: 1, unit: '%' });
  faster('get', BLAKE3, 'getMiBs', 'restic', 2);
  faster('small files put', BLAKE3, 'filesPerSecond', 'restic', 2);
  faster('small files get', BLAKE3, 'treeGetFilesPerSecond', 'restic', 2);
  report.judge({
    says: 'unchanged tree ≤ 0.5 s',
    contestant: BLAKE3,
    metric: 'unchangedSeconds',
    atMost: 0.5,
    unit: 's',
  });
  judgeMemory(report);
}

function judgeMemory(report: Report): void {
  const ways = ['', 'tree '].flatMap((prefix) => peakColumns(prefix).map(({ metric }) => metric));
  const metrics = [...ways, 'put1PeakMiB', 'put5PeakMiB', 'cat1PeakMiB', 'cat5PeakMiB'];
  const bounds = [
    { names: [BLAKE3, XXH3, `${BLAKE3} stream`], says: 'peak RSS ≤ 320 MiB', isMet: (mib: number) => mib <= 320 },
    {
      names: [SMALL_MEMORY, `${SMALL_MEMORY} stream`],
      says: 'peak RSS < 256 MiB with memory=small',
      isMet: (mib: number) => mib < 256,
    },
  ];
  for (const { names, says, isMet } of bounds) {
    const peaks = names.flatMap((name) => metrics.map((metric) => report.max(name, metric) ?? 0));
    const peak = Math.max(...peaks);
    const isMeasured = peak > 0;
    const reached = isMeasured ? `${peak.toFixed(0)} MiB` : 'not measured';
    report.verdict({ target: says, reached, isMet: isMeasured ? isMet(peak) : undefined });
  }
  for (const contestant of [`${BLAKE3} stream`, `${SMALL_MEMORY} stream`]) {
    for (const metric of ['putGrowth', 'catGrowth']) {
      const way = metric.replace('Growth', '');
      report.judge({
        says: `${contestant}: ${way} of 5x the bytes takes ≤ 1.1x the memory`,
        contestant,
        metric,
        atMost: 1.1,
        unit: 'x',
      });
    }
  }
}

const WAYS = ['put', 'again', 'get'] as const;

function addPeaks(
  report: Report,
  name: string,
  prefix: string,
  runs: Readonly<Record<(typeof WAYS)[number], Run>>,
): void {
  for (const way of WAYS) report.add(name, `${prefix}${way} peak`, runs[way].peakBytes / MIB);
}

function peakColumns(prefix: string): Column[] {
  return WAYS.map((way) => ({ metric: `${prefix}${way} peak`, title: `${way} RSS MiB` }));
}

async function made(at: Keeper['at'], place: Place): Promise<Keeping> {
  const folder = join(place.folder, 'keeper');
  mkdirSync(folder);
  const keeping = at(folder);
  if (keeping.make !== undefined) await run(keeping.make);
  return keeping;
}

function timed(place: Place, command: Parameters<typeof run>[0]): ReturnType<typeof run> {
  settle(place);
  return run(command);
}

/** Restores into a new folder of the same file system and compares. @throws Error when a byte differs. */
async function restoredAndCompared(place: Place, keeping: Keeping, original: string, name: string) {
  const into = join(place.folder, 'restored');
  mkdirSync(into);
  const get = await timed(place, keeping.get(name, into));
  await run({ words: ['diff', '-r', join(original, name), keeping.restored(name, into)] });
  rmSync(into, { recursive: true });
  return get;
}

/** What the files below `folder` really take. */
function bytesOnDisk(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.reduce((sum, entry) => sum + (lstatSync(join(entry.parentPath, entry.name)).blocks ?? 0) * 512, 0);
}
