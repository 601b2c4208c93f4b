/** Snapshots against copies of the tree that were made when they were: whatever happens, each gives back what it had. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, openStand, type Stand } from '../../test/stand.ts';
import { Fault, type Random, seededRandom, utf8 } from '../base/index.ts';
import { NODE_KIND } from '../meta/index.ts';
import type { PosixTree } from './posix.ts';

const STEPS = 60;
const FOLDERS = ['/', '/a', '/b', '/a/c'];
const NAMES = ['x', 'y', 'z', 'ä'];
const DISK = { totalBytes: 2 ** 40, freeBytes: 2 ** 40 };
const OPEN = { read: true, write: true, append: false, truncate: false, sync: false };
const ROOT = { uid: 0, gid: 0, pid: 1 };

/** Everything that can be read of a tree. */
async function pictureOf({ service }: Stand, at?: string): Promise<Readonly<Record<string, unknown>>> {
  const picture: Record<string, unknown> = {};
  const past = at === undefined ? {} : { at };
  for await (const { path, kind } of service.manifest({ path: '/' }, past)) {
    // A hash may be forgotten, but not be wrong; bytes say more.
    const { xxhash3, changed: _, ...record } = await service.stat({ path }, { ...past, withAttributes: true });
    const bytes = kind === 'file' ? await bytesOf((await service.read({ path }, past)).bytes) : undefined;
    picture[path] = { ...record, bytes: bytes?.toString('latin1') };
    if (xxhash3 !== null && bytes !== undefined) await service.write('/.check', [bytes], { mode: 'put', xxhash3 });
  }
  await service.remove('/.check').catch(() => undefined);
  delete picture['/.check'];
  return picture;
}

async function act(stand: Stand, tree: PosixTree, random: Random): Promise<void> {
  const { service } = stand;
  const pick = <T>(all: readonly T[]): T => all[random.below(all.length)] as T;
  const path = (): string => `${pick(FOLDERS)}/${pick(NAMES)}`.replace('//', '/');
  const content = (): Uint8Array => random.bytes(pick([0, 10, 3_000, 70_000]));
  const acts: (() => Promise<unknown>)[] = [
    () => service.write(path(), [content()], { mode: 'put', parents: true }),
    () => service.write(path(), [content()], { mode: 'put', parents: true }),
    () => service.makeFolder(path(), { parents: true }),
    () => service.remove(path(), { recursive: true }),
    () => service.remove(pick(FOLDERS), { recursive: true }),
    () => service.move(path(), path(), { overwrite: true }),
    () => service.move(pick(FOLDERS), path()),
    () => service.copy(path(), path(), { overwrite: true }),
    () => service.copy(pick(FOLDERS), path()),
    () => service.setAttributes({ path: path() }, { mode: random.below(0o777), attributes: { 'user.a': btoa('1') } }),
    () => service.setAttributes({ path: path() }, { attributes: { 'user.a': null } }),
    () => throughTree(stand, tree, random, path()),
    () => throughTree(stand, tree, random, path()),
    () => throughTree(stand, tree, random, path()),
  ];
  try {
    await pick(acts)();
  } catch (error) {
    if (!Fault.is(error)) throw error;
  }
}

/** In place, as a mount does: bytes written, cut off, punched; a second name; a name taken away. */
async function throughTree(stand: Stand, tree: PosixTree, random: Random, path: string): Promise<void> {
  const { file_id, kind } = await stand.service.stat({ path });
  if (kind !== 'file') return;
  const handle = await tree.open(file_id, OPEN);
  try {
    for (let count = random.below(3); count >= 0; count--) {
      const offset = random.below(100_000);
      const dice = random.below(10);
      if (dice < 3) await tree.setAttributes(file_id, { size: random.below(100_000), handle }, ROOT);
      else if (dice < 5) await tree.allocate(handle, 3, offset, random.below(50_000) + 1, ROOT);
      else await tree.write(handle, offset, random.bytes(random.below(50_000) + 1));
      if (random.below(2) === 0) await tree.fsync(handle, false);
    }
    if (random.below(3) === 0) await tree.link(file_id, tree.root, utf8(`link${random.below(5)}`));
    if (random.below(4) === 0)
      await tree.make(
        tree.root,
        utf8(`sym${random.below(3)}`),
        { kind: NODE_KIND.symlink, mode: 0o777, umask: 0, target: utf8('a/x') },
        ROOT,
      );
  } finally {
    await tree.release(handle);
  }
}

for (const [seed, historyKeptSeconds] of [1, 2, 3, 4, 5, 6].map((seed) => [seed, seed % 2 === 0 ? 3600 : 0] as const)) {
  test(`snapshots give back what they had, beside others that are deleted; seed ${seed}`, async () => {
    const options = { versionsKeptSeconds: 0, versionsKeptCount: 1, historyKeptSeconds };
    await using stand = await openStand({ seed, options });
    const tree = await stand.files.openTree({ user: 'owner', diskSpace: () => DISK });
    const random = seededRandom(seed);
    const taken = new Map<string, unknown>();
    for (let step = 0; step < STEPS; step++) {
      await act(stand, tree, random);
      stand.clock.advance(random.below(20_000));
      if (step % 10 !== 9) continue;
      const name = `s${step}`;
      await stand.service.createSnapshot(name);
      taken.set(name, await pictureOf(stand));
      if (random.below(3) !== 0) continue;
      const [gone = ''] = [...taken.keys()];
      taken.delete(gone);
      await stand.service.removeSnapshot(gone);
    }
    for (const [name, picture] of taken) assert.deepEqual(await pictureOf(stand, name), picture, name);
    await tree[Symbol.asyncDispose]();
    const [first = ''] = [...taken.keys()];
    await stand.service.removeSnapshot(first);
    taken.delete(first);
    await stand.files.sweepHistoryNow();
    await stand.files.reapNow();
    for (const [name, picture] of taken) assert.deepEqual(await pictureOf(stand, name), picture, `${name}, later`);
    assert.deepEqual((await stand.service.check()).problems, []);
    for (const name of taken.keys()) await stand.service.removeSnapshot(name);
    stand.clock.advance(2 * 3_600_000);
    await stand.service.makeFolder('/last', { parents: true });
    stand.clock.advance(2 * 3_600_000);
    await stand.service.makeFolder('/last of all', { parents: true });
    await stand.files.reapNow();
    await stand.files.sweepHistoryNow();
    await stand.files.reapNow();
    for (const table of ['nodesHistory', 'entriesHistory', 'attributesHistory', 'extentsHistory'] as const) {
      const left = await stand.meta.scan(table, { prefix: [], limit: 1_000 });
      // The window begins at the last commit before it: the folder itself may have changed once since.
      assert.ok(left.length <= (historyKeptSeconds > 0 ? 2 : 0), `${table} has ${left.length} rows`);
    }
    assert.deepEqual((await stand.service.check()).problems, []);
  });
}

test('who reads the past gets every byte although the snapshot is deleted meanwhile, and what it kept goes then', async () => {
  await using stand = await openStand({
    options: { versionsKeptSeconds: 0, versionsKeptCount: 0, historyKeptSeconds: 0 },
  });
  const { service, files, meta } = stand;
  const bytes = seededRandom(7).bytes(400_000);
  await service.write('/f', [bytes], { mode: 'put' });
  await service.write('/g', [bytes.subarray(1)], { mode: 'put' });
  await service.createSnapshot('s');
  await service.remove('/f');
  const { bytes: reading } = await service.read({ path: '/f' }, { at: 's' });
  const parts: Buffer[] = [];
  for await (const part of reading) {
    parts.push(Buffer.from(part));
    if (parts.length > 1) continue;
    await service.removeSnapshot('s');
    await service.remove('/g');
    await files.sweepHistoryNow();
    await files.reapNow();
  }
  assert.ok(Buffer.concat(parts).equals(bytes));
  await assert.rejects(service.read({ path: '/f' }, { at: 's' }), (error) => Fault.is(error, 'not-found'));
  await files.sweepHistoryNow();
  await files.sweepNow();
  await files.reapNow();
  assert.deepEqual(await meta.scan('nodesHistory', { prefix: [], limit: 10 }), []);
  assert.deepEqual(await meta.scan('pins', { prefix: [], limit: 10 }), []);
  assert.deepEqual(await meta.scan('contents', { prefix: [], limit: 10 }), []);
});

test('the window of history moves on with time, and refusals say where it begins', async () => {
  await using stand = await openStand({ options: { historyKeptSeconds: 3600 } });
  const { service, files, clock } = stand;
  await service.write('/f', [utf8('one')], { mode: 'put' });
  const before = new Date(clock.now().seconds * 1000).toISOString();
  clock.advance(7_200_000);
  await service.write('/f', [utf8('two')], { mode: 'put' });
  clock.advance(7_200_000);
  await service.write('/f', [utf8('three')], { mode: 'put' });
  await files.sweepHistoryNow();
  const error = await service.stat({ path: '/f' }, { at: before }).catch((fault: unknown) => fault);
  assert.ok(Fault.is(error, 'not-kept'), String(error));
  assert.equal(error.about.kept_since_commit, 2);
  assert.equal((await bytesOf((await service.read({ path: '/f' }, { at: '2' })).bytes)).toString(), 'two');
});

test('a snapshot is one small commit, whatever the tree', async () => {
  await using stand = await openStand();
  const head = async (): Promise<number> => (await stand.meta.get('spaces', [1]))?.head ?? 0;
  for (let i = 0; i < 50; i++)
    await stand.service.write(`/d${i % 5}/f${i}`, [utf8('x')], { mode: 'put', parents: true });
  const before = await head();
  const rows = async (): Promise<number> => {
    let count = 0;
    for (const table of ['nodes', 'entries', 'nodesHistory', 'entriesHistory', 'contents', 'extents'] as const)
      count += (await stand.meta.scan(table, { prefix: [], limit: 10_000 })).length;
    return count;
  };
  const rowsBefore = await rows();
  await stand.service.createSnapshot('s');
  assert.equal(await head(), before + 1);
  assert.equal(await rows(), rowsBefore);
});
