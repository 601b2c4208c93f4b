/** Operations as calls of a store: through the file service, or through a tree as a mount has it. */
import type { BatchOperation } from '../../src/api/index.ts';
import { assert, type Clock, Fault, type FaultCode, Turns, utf8 } from '../../src/base/index.ts';
import { READING_SECONDS_MAX } from '../../src/chunks/reading/readings.ts';
import { keepRulesOf, type PosixNode, type PosixTree, type SnapshotSchedule } from '../../src/files/index.ts';
import { lastDue, snapshotNameOf } from '../../src/files/past/schedule.ts';
import { NODE_KIND } from '../../src/meta/index.ts';
import { Wrong } from './drive.ts';
import { type BatchPart, bytesOf, isLate, LEASE_MS, type Operation } from './operation.ts';
import { turn } from './slow-disk.ts';
import { performUpload } from './uploading.ts';
import type { World } from './world.ts';

const CALLER = { uid: 0, gid: 0, pid: 1 };
const OPEN = { read: true, write: true, append: false, truncate: false, sync: false };

const SWEEPS_MAX = 5;
const SECOND_MS = 1_000;

/** What a `read` began. */
interface Reading {
  readonly expected: Uint8Array;
  readonly begunMs: number;
  readonly parts: Uint8Array[];
  readonly source: AsyncIterator<Uint8Array>;
}

export interface Place {
  readonly world: World;
  /** Needed for what goes through a mount. */
  readonly mount: PosixTree | undefined;
  /** '' or `/name`: what an operation's paths stand below. */
  readonly home: string;
}

/** Whether nothing of it need be durable when it answers. */
export function isAdded(operation: Operation): boolean {
  return operation.do.startsWith('m.') && operation.do !== 'm.sync' && operation.do !== 'm.fsync';
}

/**
 * Does it. `restores` is told what bytes a `restore` will bring back, before it does; and undefined, when that version
 * was dropped meanwhile, so that nothing was brought back.
 */
export async function perform(
  place: Place,
  operation: Operation,
  restores: (bytes: Uint8Array | undefined) => void = () => {},
): Promise<void> {
  const { world, home } = place;
  const { service } = world;
  switch (operation.do) {
    case 'mkdir':
      await service.makeFolder(home + operation.path);
      return;
    case 'put':
      await service.write(home + operation.path, inPieces(bytesOf(operation.content)), { mode: operation.mode });
      return;
    case 'many':
      await writeMany(place, operation);
      return;
    case 'set':
      await service.setAttributes(
        { path: home + operation.path },
        { mode: operation.mode, attributes: { 'user.tag': Buffer.from(operation.tag).toString('base64') } },
      );
      return;
    case 'move':
      await service.move(home + operation.from, home + operation.to, { overwrite: operation.overwrite });
      return;
    case 'copy':
      await service.copy(home + operation.from, home + operation.to);
      return;
    case 'remove':
      await service.remove(home + operation.path, { recursive: operation.recursive });
      return;
    case 'restore':
      return restore(place, operation, restores);
    case 'batch':
      await service.batch({ operations: operation.operations.map((part) => batchPartOf(home, part)) });
      return;
    case 'return':
      await service.restoreTree(home === '' ? '/' : home, nameOf(place, operation.name), FORCED);
      return;
    case 'undo':
      return undo(place);
    case 'fence':
      return leapsOf(world).run('time', () => fence(place, operation));
    case 'read':
      return beginReading(place, operation);
    case 'read.end':
      return endReading(place);
    case 'snapshot':
      await service.createSnapshot(nameOf(place, operation.name), { path: home === '' ? '/' : home });
      return;
    case 'unsnapshot':
      await service.removeSnapshot(nameOf(place, operation.name));
      return;
    case 'schedule':
      return takeTurn(world, operation.keep);
    case 'prune':
      await service.pruneSnapshots({ schedule: HOURLY.name, keep: lastOf(operation.keep) });
      return;
    case 'collect':
      return collect(world, operation);
    case 'tidy':
      await sweep(world);
      await world.files.sweepHistoryNow();
      await world.files.reapNow();
      return;
    case 'checkpoint':
      return world.checkpoint();
    case 'up.begin':
    case 'up.part':
    case 'up.complete':
    case 'up.remove':
      return performUpload(world, home, operation);
    case 'up.expire':
      return leapsOf(world).run('time', () => performUpload(world, home, operation));
    case 'wait':
      return leapsOf(world).run('time', async () => world.clock.advance(operation.ms));
    default:
      assert(place.mount !== undefined, 'there is a mount for what goes through one');
      return performMounted({ ...place, mount: place.mount }, operation);
  }
}

/** The store has one list of names. */
function nameOf({ home }: Place, name: string): string {
  return snapshotPrefix(home) + name;
}

export function snapshotPrefix(home: string): string {
  return home === '' ? '' : `${home.slice(1)}-`;
}

const EVERY: SnapshotSchedule['every'] = { periodSeconds: 3_600, offsetSeconds: 0 };
const HOURLY = { name: 'hourly', path: '/', every: EVERY };

/** What the schedule calls the snapshot of this hour. */
export function dueNow(clock: Clock): string {
  return snapshotNameOf(HOURLY, lastDue(EVERY, clock.now().seconds));
}

/** A store that has a schedule looks at it by itself, when nobody could say what else is done: it has it only for this. */
async function takeTurn({ files, schedules, events }: World, keep: number): Promise<void> {
  const told = events.length;
  schedules.push({ ...HOURLY, keep: keepRulesOf(lastOf(keep)) });
  try {
    await files.makeDueSnapshots();
  } finally {
    schedules.pop();
  }
  const failed = events.slice(told).find(({ event }) => event === 'files.snapshot-failed');
  if (failed !== undefined) throw new Fault('io', `A schedule could not take its turn: ${JSON.stringify(failed)}`);
}

function lastOf(keep: number): string {
  return `last ${Math.max(1, keep)}`;
}

function batchPartOf(home: string, part: BatchPart): BatchOperation {
  switch (part.do) {
    case 'mkdir':
      return { op: 'mkdir', path: home + part.path };
    case 'put': {
      const content = Buffer.from(bytesOf(part.content)).toString('base64');
      return { op: 'put', path: home + part.path, content, create: part.mode === 'create' };
    }
    case 'move':
      return { op: 'move', from_path: home + part.from, to_path: home + part.to, overwrite: part.overwrite };
    case 'copy':
      return { op: 'copy', from_path: home + part.from, to_path: home + part.to };
    default:
      return { op: 'delete', path: home + part.path, recursive: part.recursive };
  }
}

/** Also where nothing else keeps what goes by it. */
const FORCED = { force: true };

/** The newest commit of the actor's folder. */
async function undo({ world: { service }, home }: Place): Promise<void> {
  const { commits } = await service.log({ path: home === '' ? '/' : home, limit: 1 });
  const [last] = commits;
  // The log is kept for some time, but for the last commit of the store, which may be another's.
  if (last === undefined) throw new Fault('not-kept', 'The log has no commit of the folder any more.');
  await service.undo(last.commit, FORCED);
}

/** After so long no lock that was taken before is held any more. */
export const LOCKS_OVER_MS = LEASE_MS + 10_000;

/** All actors live by one clock: while one holds a lease, none of the others lets time go by that would end it. */
const leaps = new WeakMap<World, Turns>();

function leapsOf(world: World): Turns {
  const known = leaps.get(world) ?? new Turns();
  leaps.set(world, known);
  return known;
}

/** What goes wrong on the way leaves no lock behind. */
async function fence(place: Place, operation: Extract<Operation, { do: 'fence' }>): Promise<void> {
  try {
    await fenced(place, operation);
  } catch (error) {
    place.world.clock.advance(LOCKS_OVER_MS);
    throw error;
  }
}

async function fenced({ world, home }: Place, operation: Extract<Operation, { do: 'fence' }>): Promise<void> {
  const { service, clock } = world;
  const path = home + operation.path;
  const write = (lockToken?: number): Promise<unknown> =>
    service.write(path, inPieces(bytesOf(operation.content)), { mode: 'put', lockToken });
  const { token } = await service.lock(path, { leaseMs: LEASE_MS });
  await mustBeRefused(write(), 'locked', 'a write without the lock');
  clock.advance(operation.waitMs);
  if (isLate(operation)) return mustBeRefused(write(token), 'lock-lost', 'a write with a lock that is over');
  await write(token);
  await service.unlock(token);
}

/** @throws Wrong when it is not; whatever else stands in its way, too. */
async function mustBeRefused(work: Promise<unknown>, code: FaultCode, what: string): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (Fault.is(error, code)) return;
    throw error;
  }
  throw new Wrong(`${what} was taken`);
}

const readings = new WeakMap<World, Map<string, Reading>>();

async function beginReading(
  { world, home }: Place,
  { path, parts: partCount }: Extract<Operation, { do: 'read' }>,
): Promise<void> {
  const target = { path: home + path };
  const expected = await gathered((await world.service.read(target)).bytes);
  const source = (await world.service.read(target)).bytes[Symbol.asyncIterator]();
  const mine = readings.get(world) ?? new Map<string, Reading>();
  readings.set(world, mine);
  await mine.get(home)?.source.return?.();
  const parts: Uint8Array[] = [];
  while (parts.length < partCount) {
    const { done, value } = await source.next();
    if (done === true) break;
    parts.push(value.slice());
  }
  mine.set(home, { expected, begunMs: world.clock.monotonicMs(), parts, source });
}

async function endReading({ world, home }: Place): Promise<void> {
  const reading = readings.get(world)?.get(home);
  if (reading === undefined) return;
  readings.get(world)?.delete(home);
  const { expected, begunMs, parts, source } = reading;
  try {
    for (let next = await source.next(); next.done !== true; next = await source.next()) parts.push(next.value.slice());
  } catch (error) {
    // Nobody waits for who reads for so long.
    if (Fault.is(error) && world.clock.monotonicMs() - begunMs > READING_SECONDS_MAX * SECOND_MS) return;
    throw error;
  }
  if (!Buffer.concat(parts).equals(expected)) throw new Wrong('who began to read before a change gets other bytes');
}

/** Gives up what was not read to its end. */
export async function endReadings(world: World): Promise<void> {
  for (const { source } of readings.get(world)?.values() ?? []) await source.return?.();
  readings.delete(world);
}

const collecting = new WeakSet<World>();

/** One at a time. */
async function collect(world: World, operation: Extract<Operation, { do: 'collect' }>): Promise<void> {
  const { graceSeconds, share, packsMax = Number.POSITIVE_INFINITY } = operation;
  if (collecting.has(world)) return;
  collecting.add(world);
  try {
    await sweep(world);
    await world.files.reapNow();
    // What died in this very second waits.
    world.clock.advance(SECOND_MS);
    const stop = new AbortController();
    let packs = 0;
    const pause = async (): Promise<void> => {
      await turn();
      if (++packs >= packsMax) stop.abort();
    };
    const { problems } = await world.chunks.collect({
      ...{ graceSeconds, freedShareMin: share, pause },
      signal: stop.signal,
    });
    const [problem] = problems;
    if (problem !== undefined) throw new Fault(problem.code, problem.sentence);
  } catch (error) {
    if (!Fault.is(error, 'aborted') || packsMax === Number.POSITIVE_INFINITY) throw error;
  } finally {
    collecting.delete(world);
  }
}

/** The sweep of every hour may be about at the same time. */
async function sweep({ files }: World): Promise<void> {
  for (let time = 1; ; time++) {
    try {
      await files.sweepNow();
      return;
    } catch (error) {
      if (!Fault.is(error, 'conflict') || time > SWEEPS_MAX) throw error;
    }
  }
}

async function writeMany({ world, home }: Place, operation: Extract<Operation, { do: 'many' }>): Promise<void> {
  const items = operation.contents.map((content, index) => ({
    path: `${home}${operation.folder}/${'xyz'[index]}`,
    kind: 'file' as const,
    source: () => inPieces(bytesOf(content)),
    size: content.length,
  }));
  for await (const result of world.service.writeMany(items)) if (!result.ok) throw result.fault;
}

/** A version `back` steps behind the current one, or the oldest there is; nothing when there is but one. */
async function restore(
  { world: { service }, home }: Place,
  operation: Extract<Operation, { do: 'restore' }>,
  restores: (bytes: Uint8Array | undefined) => void,
): Promise<void> {
  const target = { path: home + operation.path };
  const { versions } = await service.versions(target);
  const wanted = versions[Math.min(operation.back, versions.length - 1)];
  if (wanted === undefined || wanted.is_current || wanted.needs_file_id === true) return;
  const isKept = async (): Promise<boolean> =>
    (await service.versions(target)).versions.some(({ version }) => version === wanted.version);
  try {
    restores(await gathered((await service.read(target, { version: wanted.version })).bytes));
    await service.restore(target, wanted.version);
  } catch (error) {
    // Old versions are dropped at any time; one that is still listed is there.
    if (!Fault.is(error, 'not-found') || (await isKept())) throw error;
    restores(undefined);
  }
}

type MountedPlace = Place & { readonly mount: PosixTree };

async function performMounted(place: MountedPlace, operation: Operation): Promise<void> {
  const { mount } = place;
  switch (operation.do) {
    case 'm.create':
      return create(place, operation);
    case 'm.write':
      return withHandle(place, operation.path, async (handle) => {
        await mount.write(handle, operation.offset, bytesOf(operation.content).slice());
      });
    case 'm.cut': {
      const { node } = await nodeAt(place, operation.path);
      await mount.setAttributes(node, { size: operation.size }, CALLER);
      return;
    }
    case 'm.mkdir':
    case 'm.symlink': {
      const { parent, name } = await slotAt(place, operation.path);
      const isFolder = operation.do === 'm.mkdir';
      const what = isFolder ? { kind: NODE_KIND.folder } : { kind: NODE_KIND.symlink, target: utf8(operation.target) };
      await mount.make(parent, name, { ...what, mode: isFolder ? 0o755 : 0o777, umask: 0 }, CALLER);
      return;
    }
    case 'm.link': {
      const { node } = await nodeAt(place, operation.from);
      const { parent, name } = await slotAt(place, operation.to);
      await mount.link(node, parent, name);
      return;
    }
    case 'm.rename':
      await mount.rename(await slotAt(place, operation.from), await slotAt(place, operation.to), 'replace');
      return;
    case 'm.unlink':
    case 'm.rmdir':
      return remove(place, operation);
    case 'm.chmod': {
      const { node } = await nodeAt(place, operation.path);
      await mount.setAttributes(node, { mode: operation.mode }, CALLER);
      return;
    }
    case 'm.tag': {
      const { node } = await nodeAt(place, operation.path);
      await mount.setAttribute(node, utf8('user.tag'), utf8(operation.tag), 'set', {});
      return;
    }
    case 'm.fsync':
      return withHandle(place, operation.path, async (handle) => {
        await mount.fsync(handle, false);
      });
    case 'm.sync':
      await mount.syncFs();
      return;
    default:
      assert(false, 'an operation is known', { operation });
  }
}

async function create(place: MountedPlace, operation: Extract<Operation, { do: 'm.create' }>): Promise<void> {
  const { mount } = place;
  const { parent, name } = await slotAt(place, operation.path);
  const { handle } = await mount.create(parent, name, { mode: 0o644, umask: 0 }, OPEN, CALLER);
  const bytes = bytesOf(operation.content).slice();
  try {
    if (bytes.length > 0) await mount.write(handle, 0, bytes);
    await mount.flush(handle);
  } finally {
    await mount.release(handle);
  }
}

/** As the kernel does it: what has no name any more and is not open is forgotten. */
async function remove(
  place: MountedPlace,
  operation: Extract<Operation, { do: 'm.unlink' | 'm.rmdir' }>,
): Promise<void> {
  const { mount } = place;
  const { parent, name } = await slotAt(place, operation.path);
  const found = await mount.lookup(parent, name);
  if (operation.do === 'm.unlink') await mount.unlink(parent, name);
  else await mount.removeFolder(parent, name);
  if (found !== undefined) mount.forgotten(found.node);
}

async function withHandle(place: MountedPlace, path: string, act: (handle: number) => Promise<void>): Promise<void> {
  const { mount } = place;
  const handle = await mount.open((await nodeAt(place, path)).node, OPEN);
  try {
    await act(handle);
    await mount.flush(handle);
  } finally {
    await mount.release(handle);
  }
}

async function slotAt(
  place: MountedPlace,
  path: string,
): Promise<{ readonly parent: number; readonly name: Uint8Array<ArrayBuffer> }> {
  const cut = path.lastIndexOf('/');
  const { node } = await nodeAt(place, path.slice(0, cut));
  return { parent: node, name: utf8(path.slice(cut + 1)) as Uint8Array<ArrayBuffer> };
}

class Missing extends Error {}

/** A look-up that finds nothing: the kernel would answer ENOENT by itself. */
export function isMissing(error: unknown): boolean {
  return error instanceof Missing;
}

async function nodeAt({ mount, home }: MountedPlace, path: string): Promise<PosixNode> {
  let found: PosixNode | undefined = await mount.stat(mount.root);
  for (const name of (home + path).split('/').filter((part) => part !== '')) {
    found = await mount.lookup(found.node, utf8(name));
    if (found === undefined) throw new Missing(`There is no ${path}.`);
  }
  return found;
}

const PIECE_BYTES = 5_000;

function* inPieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.slice(at, at + PIECE_BYTES);
}

/** A part handed out is valid until the next is asked for. */
export async function gathered(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part.slice());
  return Buffer.concat(parts);
}
