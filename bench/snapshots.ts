/**
 * What a thousand snapshots cost whoever works on what is true now: two stores with the same files, one of them with
 * 1,000 snapshots, take turns at the same live operations. All of them are on files that every snapshot shows, so that the
 * first change of each has to go to history. With the window of history, as stores are, and without.
 *
 * Processor time of the whole process is counted besides wall time: it is what a loaded machine shows least wrong.
 */
import { join } from 'node:path';
import type { FileService } from '../src/api/index.ts';
import { utf8 } from '../src/base/index.ts';
import type { Handle, PosixTree } from '../src/files/index.ts';
import { configOf, type OpenStore, openStore } from '../src/server/index.ts';
import { type Comparison, medianOf, type Report } from './harness.ts';
import { makePlace } from './places.ts';

const ROOT = { uid: 0, gid: 0, pid: 1 };
const RW = { read: true, write: true, append: false, truncate: false, sync: false };
const CONTENT = new Uint8Array(500).fill(7);
const RATIO_MAX = 1.25;

interface Side {
  readonly store: OpenStore;
  readonly service: FileService;
  readonly tree: PosixTree;
}

interface Sizes {
  readonly snapshots: number;
  readonly files: number;
  readonly rounds: number;
}

/** One kind of live operation; `name` is that of a file which no other kind of the round touches. */
interface Operation {
  readonly name: string;
  readonly act: (side: Side, name: Uint8Array) => Promise<void>;
  /** Syncs: fewer of them. */
  readonly isSlow?: boolean;
}

async function nodeOf({ tree }: Side, name: Uint8Array): Promise<number> {
  const found = await tree.lookup(tree.root, name);
  if (found === undefined) throw new Error(`${Buffer.from(name)} is missing`);
  return found.node;
}

async function withFile(side: Side, name: Uint8Array, act: (handle: Handle) => Promise<void>): Promise<void> {
  const handle = await side.tree.open(await nodeOf(side, name), RW);
  await act(handle);
  await side.tree.release(handle);
}

async function makeFile({ tree }: Side, name: Uint8Array): Promise<void> {
  const { handle } = await tree.create(tree.root, name, { mode: 0o644, umask: 0 }, RW, ROOT);
  await tree.write(handle, 0, CONTENT);
  await tree.release(handle);
}

const OPERATIONS: readonly Operation[] = [
  {
    name: 'stat',
    act: async (side, name) => {
      await side.tree.stat(await nodeOf(side, name));
    },
  },
  {
    name: 'read 500 bytes',
    act: (side, name) =>
      withFile(side, name, async (handle) => {
        await side.tree.read(handle, 0, CONTENT.length);
      }),
  },
  { name: 'create, 500 bytes', act: (side, name) => makeFile(side, utf8(`new ${Buffer.from(name)}`)) },
  {
    name: 'chmod',
    act: async (side, name) => {
      await side.tree.setAttributes(await nodeOf(side, name), { mode: 0o600 }, ROOT);
    },
  },
  {
    name: 'rename',
    act: async ({ tree }, name) => {
      const to = { parent: tree.root, name: utf8(`renamed ${Buffer.from(name)}`) };
      await tree.rename({ parent: tree.root, name }, to, 'replace');
    },
  },
  {
    name: '100 bytes in place, fsync',
    isSlow: true,
    act: (side, name) =>
      withFile(side, name, async (handle) => {
        await side.tree.write(handle, 0, CONTENT.subarray(0, 100));
        await side.tree.fsync(handle, false);
      }),
  },
  {
    name: 'append, fsync',
    isSlow: true,
    act: (side, name) =>
      withFile(side, name, async (handle) => {
        await side.tree.write(handle, CONTENT.length, CONTENT);
        await side.tree.fsync(handle, false);
      }),
  },
  {
    name: 'PUT 500 bytes',
    isSlow: true,
    act: async ({ service }, name) => {
      await service.write(`/${Buffer.from(name)}`, [CONTENT], { mode: 'put' });
    },
  },
  { name: 'unlink', act: async ({ tree }, name) => tree.unlink(tree.root, name) },
];
/** A slow one is done once where others are done so many times. */
const SLOW_SHARE = 4;

export const snapshots: Comparison = {
  summary: 'live operations beside 1,000 snapshots and beside none, with the window of history and without',
  async run(report, { rounds, isSmall }) {
    const sizes = { snapshots: isSmall ? 50 : 1_000, files: isSmall ? 20 : 100, rounds: isSmall ? rounds : 9 };
    for (const keepMs of [24 * 3_600_000, 0]) await compare(report, sizes, keepMs);
  },
};

async function compare(report: Report, sizes: Sizes, keepMs: number): Promise<void> {
  using place = makePlace('snapshots', 4 * 2 ** 30);
  const title = keepMs === 0 ? 'without the window' : 'with the window of history';
  const none = await openSide(join(place.folder, 'none'), keepMs);
  const many = await openSide(join(place.folder, 'many'), keepMs);
  for (const side of [none, many]) await prepare(side, sizes);
  for (let at = 0; at < sizes.snapshots; at++) await many.service.createSnapshot(`s-${at}`);
  report.progress(`${title}: ${sizes.snapshots} snapshots made`);
  const ratios = new Map<string, number[]>();
  for (let round = 0; round < sizes.rounds; round++) {
    for (const operation of OPERATIONS) {
      const sides = round % 2 === 0 ? [none, many] : [many, none];
      const cost = new Map<Side, number>();
      for (const side of sides) {
        const { cpuUs, wallUs } = await turn(side, operation, round, sizes);
        cost.set(side, cpuUs);
        const contestant = `${operation.name}${side === many ? ', snapshots' : ''}`;
        report.add(`${title}: ${contestant}`, 'cpu', cpuUs);
        report.add(`${title}: ${contestant}`, 'wall', wallUs);
      }
      const ratio = (cost.get(many) ?? 0) / (cost.get(none) ?? 1);
      ratios.set(operation.name, [...(ratios.get(operation.name) ?? []), ratio]);
    }
    report.progress(`${title}: round ${round + 1} of ${sizes.rounds}`);
  }
  const columns = [
    { metric: 'cpu', title: 'µs CPU' },
    { metric: 'wall', title: 'µs' },
  ];
  const contestants = OPERATIONS.flatMap(({ name }) => [`${title}: ${name}`, `${title}: ${name}, snapshots`]);
  report.table(title, contestants, columns);
  for (const [name, all] of ratios) {
    const reached = medianOf(all);
    const target = `${title}: ${name} beside ${sizes.snapshots} snapshots ≤ ${RATIO_MAX}x`;
    report.verdict({ target, reached: `${reached.toFixed(2)}x`, isMet: reached <= RATIO_MAX });
  }
  for (const side of [none, many]) await closeSide(side);
}

async function openSide(folder: string, keepMs: number): Promise<Side> {
  const { values } = configOf({ store: folder, 'history.keep': keepMs });
  const store = await openStore({ options: values, create: true, command: 'bench' });
  return { store, service: store.service({ door: 'bench', request: '' }), tree: await store.openTree({}) };
}

async function closeSide({ store, tree }: Side): Promise<void> {
  await tree[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
}

/** Files for every turn, all of them there before the first snapshot. */
async function prepare(side: Side, { files, rounds }: Sizes): Promise<void> {
  for (let round = 0; round < rounds; round++)
    for (const [which] of OPERATIONS.entries())
      for (let at = 0; at < files; at++) await makeFile(side, nameOf(round, which, at));
  await side.tree.syncFs();
}

function nameOf(round: number, which: number, at: number): Uint8Array {
  return utf8(`${round}-${which}-${at}`);
}

/** What one costs, the commits that make it durable included. */
async function turn(
  side: Side,
  operation: Operation,
  round: number,
  { files }: Sizes,
): Promise<{ readonly cpuUs: number; readonly wallUs: number }> {
  const count = operation.isSlow === true ? Math.ceil(files / SLOW_SHARE) : files;
  const which = OPERATIONS.indexOf(operation);
  const [cpu, started] = [process.cpuUsage(), performance.now()];
  for (let at = 0; at < count; at++) await operation.act(side, nameOf(round, which, at));
  await side.tree.syncFs();
  const { user, system } = process.cpuUsage(cpu);
  return { cpuUs: (user + system) / count, wallUs: ((performance.now() - started) * 1000) / count };
}
