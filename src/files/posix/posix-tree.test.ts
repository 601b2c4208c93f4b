/** The tree of a POSIX door against plain models: bytes of a file, and what other doors see. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import { Fault, isPromise, type Maybe, seededRandom, systemClock } from '../../base/index.ts';
import { NODE_KIND, type NodeId, openSqliteFile, type RowSource, type SpaceId } from '../../meta/index.ts';
import { keepRulesOf } from '../past/keep-rules.ts';
import { ALLOCATE, type Handle, type OpenFlags, type PosixCaller, type PosixTree } from './posix.ts';

const ROOT: PosixCaller = { uid: 0, gid: 0, pid: 1 };
const RW: OpenFlags = { read: true, write: true, append: false, truncate: false, sync: false };
const bytes = (text: string): Uint8Array => Buffer.from(text);

function openTree(stand: Stand, freeBytes: number = 2 ** 40): Promise<PosixTree> {
  return stand.files.openTree({ user: 'owner', diskSpace: () => ({ totalBytes: 2 ** 40, freeBytes }) });
}

async function readAll(tree: PosixTree, handle: Handle, offset: number, length: number): Promise<Buffer> {
  return Buffer.concat(await tree.read(handle, offset, length));
}

async function exercise(seed: number, steps: number, sizeMax: number, freeBytes?: number): Promise<void> {
  await using stand = await openStand({
    seed,
    groupClock: systemClock,
    options: { versionsKept: keepRulesOf('last 20') },
  });
  const random = seededRandom(seed);
  let tree = await openTree(stand, freeBytes);
  const made = await tree.create(tree.root, bytes('f'), { mode: 0o644, umask: 0 }, RW, ROOT);
  let handle = made.handle;
  const { node } = made.node;
  let model = Buffer.alloc(0);
  const grow = (size: number): void => {
    if (size > model.length) model = Buffer.concat([model, Buffer.alloc(size - model.length)]);
  };
  for (let step = 0; step < steps; step++) {
    const what = `seed ${seed} step ${step}`;
    const offset = random.below(sizeMax);
    const length = 1 + random.below(random.below(4) === 0 ? sizeMax - offset : Math.min(6_000, sizeMax - offset));
    const roll = random.below(100);
    if (roll < 35) {
      const data = random.below(3) === 0 ? Buffer.alloc(length, random.below(256)) : Buffer.from(random.bytes(length));
      assert.equal(await tree.write(handle, offset, data), length, what);
      grow(offset + length);
      data.copy(model, offset);
      data.fill(0xee);
    } else if (roll < 60) {
      const found = await readAll(tree, handle, offset, length);
      assert.ok(found.equals(model.subarray(offset, offset + length)), `${what}: read ${offset}+${length}`);
    } else if (roll < 66) {
      const size = random.below(4) === 0 ? 0 : random.below(sizeMax);
      await tree.setAttributes(node, { size }, ROOT);
      grow(size);
      model = model.subarray(0, size);
    } else if (roll < 72) {
      await tree.allocate(handle, ALLOCATE.punchHole | ALLOCATE.keepSize, offset, length, ROOT);
      model.fill(0, Math.min(offset, model.length), Math.min(offset + length, model.length));
    } else if (roll < 75) {
      await tree.allocate(handle, ALLOCATE.zeroRange, offset, length, ROOT);
      grow(offset + length);
      model.fill(0, offset, offset + length);
    } else if (roll < 80) {
      const to = random.below(sizeMax);
      const apart = Math.min(length, Math.abs(to - offset), sizeMax - to);
      if (apart === 0) continue;
      const wanted = Math.max(0, Math.min(apart, model.length - offset));
      const copied = await tree.copyRange({ handle, offset }, { handle, offset: to }, apart, ROOT);
      assert.equal(copied, wanted, what);
      const source = Buffer.from(model.subarray(offset, offset + copied));
      grow(copied === 0 ? 0 : to + copied);
      source.copy(model, to);
    } else if (roll < 85) await tree.fsync(handle, false);
    else if (roll < 90) {
      await tree.flush(handle);
      await tree.release(handle);
      handle = await tree.open(node, RW);
    } else if (roll < 93) {
      const read = await stand.service.read({ path: '/f' }, {});
      // What was written and not flushed may not be there yet; afterwards it is.
      for await (const _ of read.bytes) void _;
    } else if (roll < 95) {
      await tree.release(handle);
      await tree[Symbol.asyncDispose]();
      const outside = await bytesOf((await stand.service.read({ path: '/f' }, {})).bytes);
      assert.ok(outside.equals(model), `${what}: another door`);
      tree = await openTree(stand, freeBytes);
      handle = await tree.open(node, RW);
    } else if (roll < 97) {
      const found = await (async () => tree.seek(handle, offset, 'data'))().catch(() => undefined);
      const stop = found ?? model.length;
      assert.ok(
        model.subarray(offset, stop).every((byte) => byte === 0),
        `${what}: a hole of zeros`,
      );
    } else await new Promise((resolve) => setTimeout(resolve, 1));
    assert.equal((await tree.stat(node)).size, model.length, what);
  }
  assert.ok((await readAll(tree, handle, 0, sizeMax)).equals(model));
  await tree.release(handle);
  await tree[Symbol.asyncDispose]();
  assert.ok((await bytesOf((await stand.service.read({ path: '/f' }, {})).bytes)).equals(model));
  await stand.files.reapNow();
  assert.deepEqual((await stand.service.check({})).problems, []);
}

for (const seed of [1, 2, 3, 4]) {
  test(`a file that is written at random reads as a plain array of bytes does (seed ${seed})`, async () => {
    await exercise(seed, 400, seed % 2 === 0 ? 20_000 : 400_000);
  });
}

test('a file that is written at random reads right also while the disk is nearly full', async () => {
  await exercise(5, 400, 400_000, 1);
});

test('writing nothing behind the end of a file leaves it as it is', async () => {
  await using stand = await openStand();
  await using tree = await openTree(stand);
  const made = await tree.create(tree.root, bytes('f'), { mode: 0o644, umask: 0 }, RW, ROOT);
  assert.equal(await tree.write(made.handle, 12_000, bytes('')), 0);
  assert.equal((await tree.stat(made.node.node)).size, 0);
  await tree.release(made.handle);
});

test('the bytes of a space are right after a file was unlinked while it was open and changed', async () => {
  await using stand = await openStand({
    seed: 5,
    groupClock: systemClock,
    options: { versionsKept: keepRulesOf('last 20') },
  });
  const tree = await openTree(stand);
  const name = bytes('f');
  const liveBytes = async (): Promise<number | undefined> => (await stand.meta.get('spaces', [1]))?.liveBytes;
  const made = await tree.create(tree.root, name, { mode: 0o644, umask: 0 }, RW, ROOT);
  await tree.write(made.handle, 0, bytes('a hundred bytes or so'));
  await tree.release(made.handle);
  await tree.syncFs();
  assert.equal(await liveBytes(), 21);
  for (const [open, text] of [
    [{ ...RW, truncate: true }, ''],
    [RW, 'and longer than it was before'],
  ] as const) {
    const found = await tree.lookup(tree.root, name);
    const handle =
      found === undefined
        ? (await tree.create(tree.root, name, { mode: 0o644, umask: 0 }, open, ROOT)).handle
        : await tree.open(found.node, open);
    if (text !== '') await tree.write(handle, 0, bytes(text));
    // Neither the new size nor the bytes are saved yet.
    await tree.unlink(tree.root, name);
    await tree.release(handle);
    await tree.syncFs();
    assert.equal(await liveBytes(), 0, text);
  }
  await tree[Symbol.asyncDispose]();
});

test('what one tree does while another one stores its bytes becomes durable in order', async () => {
  await using stand = await openStand({ groupClock: systemClock });
  // Asked first, the quiet one has nothing to store when the group is closed.
  await using quiet = await openTree(stand);
  await using busy = await openTree(stand);
  const make = (tree: PosixTree, name: string): ReturnType<PosixTree['create']> =>
    tree.create(tree.root, bytes(name), { mode: 0o644, umask: 0 }, RW, ROOT);
  const log = await make(quiet, 'log');
  const large = await make(busy, 'large');
  const other = await make(busy, 'other');
  await quiet.syncFs();
  await busy.write(large.handle, 0, seededRandom(1).bytes(900_000));
  const touch = (): Maybe<unknown> => busy.setAttributes(other.node.node, { mode: 0o600 }, ROOT);
  touch();
  const synced = Promise.resolve(busy.fsync(other.handle, false)).then(() => committedOf(stand, log.node.node));
  // The busy one stores its bytes once it lets nobody change anything.
  while (!isPromise(touch())) await new Promise((resolve) => setImmediate(resolve));
  let isSynced = false;
  void synced.then(() => (isSynced = true));
  for (let number = 0; !isSynced && number < 300; number++) {
    await quiet.write(log.handle, number, bytes('x'));
    await quiet.release((await make(quiet, `after-${number}`)).handle);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { size, after } = await synced;
  assert.ok(size >= after, `${after} files are durable, and ${size} of the bytes that were written before them`);
});

/** What a crash would leave now: bytes of the node, and how many names begin with `after-`. */
async function committedOf(stand: Stand, node: NodeId): Promise<{ readonly size: number; readonly after: number }> {
  const [row] = await stand.meta.scan('spaces', { prefix: [], limit: 1 });
  const space = row?.space ?? (0 as SpaceId);
  const size = (await stand.meta.get('nodes', [space, node]))?.size ?? 0;
  const entries = await stand.meta.scan('entries', { prefix: [space], limit: 1_000 });
  return { size, after: entries.filter(({ name }) => Buffer.from(name).toString().startsWith('after-')).length };
}

test('what is written after another door replaced an open file leaves that state as a version, and loses nothing', async () => {
  await using stand = await openStand({ seed: 6, groupClock: systemClock });
  const tree = await openTree(stand);
  const { handle, node } = await tree.create(tree.root, bytes('f'), { mode: 0o644, umask: 0 }, RW, ROOT);
  const old = Buffer.alloc(300_000, 'old ');
  await tree.write(handle, 0, old);
  await tree.fsync(handle, false);
  const fresh = Buffer.from(seededRandom(6).bytes(200_000));
  const late = Buffer.alloc(100_000, 'late');
  const put = stand.service.write('/f', [fresh], { mode: 'put' });
  await tree.write(handle, 250_000, late);
  await put;
  await tree.write(handle, 10, bytes('here'));
  const wanted = Buffer.concat([fresh, Buffer.alloc(150_000)]);
  wanted.write('here', 10);
  const found = await readAll(tree, handle, 0, 400_000);
  assert.ok(found.subarray(0, 200_000).equals(wanted.subarray(0, 200_000)));
  await tree.release(handle);
  await tree.syncFs();
  const after = await bytesOf((await stand.service.read({ path: '/f' }, {})).bytes);
  assert.ok(after.subarray(0, 200_000).equals(wanted.subarray(0, 200_000)));
  const { versions } = await stand.service.versions({ path: '/f' }, {});
  const kept = await Promise.all(
    versions.map(async ({ version }) => bytesOf((await stand.service.read({ path: '/f' }, { version })).bytes)),
  );
  assert.ok(
    kept.some((each) => each.equals(fresh)),
    'what was put stands among the versions',
  );
  assert.equal((await tree.stat(node.node)).size, after.length);
  await tree[Symbol.asyncDispose]();
  assert.deepEqual((await stand.service.check({})).problems, []);
});

test('a lost group whose rows cannot be read either reaches those who have the files open', async () => {
  const meta = openSqliteFile(':memory:');
  let isFailing = false;
  let isBroken = false;
  const broken = (): never => {
    isBroken = true;
    throw new Fault('io', 'The disk is gone.');
  };
  const rows: RowSource = {
    get: (...asked) => (isBroken ? broken() : meta.rows.get(...asked)),
    scan: (...asked) => meta.rows.scan(...asked),
  };
  const failing = new Proxy(meta, {
    get(target, name) {
      if (name === 'rows') return rows;
      if (name === 'write' && isFailing) return async () => broken();
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  await using stand = await openStand({ seed: 3, groupClock: systemClock, meta: failing });
  const tree = await openTree(stand);
  const { handle } = await tree.create(tree.root, bytes('f'), { mode: 0o644, umask: 0 }, RW, ROOT);
  await tree.syncFs();
  await tree.write(handle, 0, bytes('here'));
  isFailing = true;
  await assert.rejects(async () => tree.fsync(handle, false), /The disk is gone/);
  [isFailing, isBroken] = [false, false];
  // The groups go on, and what is known of the file is not written over.
  await tree.make(tree.root, bytes('d'), { kind: NODE_KIND.folder, mode: 0o755, umask: 0 }, ROOT);
  await tree.syncFs();
  assert.equal(tree.lookup(tree.root, bytes('f')) === undefined, false);
  await tree[Symbol.asyncDispose]();
  assert.deepEqual((await stand.service.check({})).problems, []);
});

test('bytes that wait in a file whose name is taken away do not reach the version that is kept', async () => {
  await using stand = await openStand({ seed: 7, groupClock: systemClock });
  const tree = await openTree(stand);
  const first = await tree.create(tree.root, bytes('f'), { mode: 0o644, umask: 0 }, RW, ROOT);
  const kept = Buffer.from(seededRandom(7).bytes(100_000));
  await tree.write(first.handle, 0, kept);
  await tree.release(first.handle);
  await tree.syncFs();
  const handle = await tree.open(first.node.node, RW);
  await tree.write(handle, 0, Buffer.alloc(50_000, 1));
  await tree.unlink(tree.root, bytes('f'));
  await tree.fsync(handle, false);
  assert.equal((await readAll(tree, handle, 0, 1))[0], 1);
  await tree.release(handle);
  await tree[Symbol.asyncDispose]();
  const { versions } = await stand.service.versions({ id: first.node.node }, {});
  const restored = await stand.service.restore({ id: first.node.node }, versions[0]?.version ?? 0, {});
  assert.ok((await bytesOf((await stand.service.read({ path: restored.path }, {})).bytes)).equals(kept));
  assert.deepEqual((await stand.service.check({})).problems, []);
});

test('names that were listed are found as they are now, also when they changed since they were listed', async () => {
  await using stand = await openStand({ groupClock: systemClock });
  await using tree = await openTree(stand);
  const make = async (name: string): Promise<NodeId> => {
    const { node, handle } = await tree.create(tree.root, bytes(name), { mode: 0o644, umask: 0 }, RW, ROOT);
    await tree.release(handle);
    return node.node;
  };
  const nodes = [await make('a'), await make('b'), await make('c'), await make('d')];
  await tree.syncFs();
  const folder = await tree.openFolder(tree.root);
  const found = async (): Promise<readonly (NodeId | undefined)[]> => {
    const names = ['a', 'b', 'c', 'd'].map((name) => tree.lookup(tree.root, bytes(name)));
    return (await Promise.all(names)).map((node) => node?.node);
  };
  const listed = await tree.readFolder(folder, 0, 10);
  assert.deepEqual(
    listed.map(({ node }) => node),
    nodes,
  );
  assert.deepEqual(await found(), nodes);
  // A page that is kept while it is read is older than what was changed meanwhile.
  await tree.readFolder(folder, 0, 1);
  await tree.unlink(tree.root, bytes('b'));
  const replaced = await make('e');
  await tree.rename({ parent: tree.root, name: bytes('e') }, { parent: tree.root, name: bytes('c') }, 'replace');
  await tree.readFolder(folder, 1, 10);
  assert.deepEqual(await found(), [nodes[0], undefined, replaced, nodes[3]]);
  await stand.service.move('/d', '/f', {});
  assert.deepEqual(await found(), [nodes[0], undefined, replaced, undefined]);
  await tree.releaseFolder(folder);
});

test('a node is reached by its number as long as a name below the root leads to it', async () => {
  await using stand = await openStand({ seed: 8, groupClock: systemClock });
  await using tree = await openTree(stand);
  const folder = async (parent: NodeId, name: string): Promise<NodeId> =>
    (await tree.make(parent, bytes(name), { kind: NODE_KIND.folder, mode: 0o755, umask: 0 }, ROOT)).node;
  const shown = await folder(tree.root, 'shown');
  const aside = await folder(tree.root, 'aside');
  const below = await folder(shown, 'below');
  const { node, handle } = await tree.create(below, bytes('file'), { mode: 0o644, umask: 0 }, RW, ROOT);
  await tree.release(handle);
  await tree.link(node.node, aside, bytes('other'));
  await tree.syncFs();
  const isStale = (error: unknown): boolean => Fault.is(error) && error.about.errno === 'ESTALE';
  const reached = async (from: PosixTree, number: NodeId): Promise<NodeId> => (await from.reach(number)).node;

  const options = { user: 'owner', diskSpace: () => ({ totalBytes: 1, freeBytes: 1 }), root: [bytes('shown')] };
  await using part = await stand.files.openTree(options);
  assert.equal(await reached(part, node.node), node.node);
  assert.equal(await reached(part, shown), shown);
  await assert.rejects(async () => reached(part, aside), isStale, 'stands beside the root');
  await assert.rejects(async () => reached(part, tree.root), isStale, 'stands above the root');

  await tree.unlink(below, bytes('file'));
  await tree.syncFs();
  await assert.rejects(async () => reached(part, node.node), isStale, 'only a name outside is left');
  assert.equal(await reached(tree, node.node), node.node);
  await stand.service.remove('/aside', { recursive: true });
  await assert.rejects(async () => reached(tree, node.node), isStale, 'its folder was removed whole');
  await assert.rejects(async () => reached(tree, aside), isStale);
});

test('room that the disk does not have is not promised, what is there already counts', async () => {
  await using stand = await openStand({ seed: 9, groupClock: systemClock });
  await using tree = await openTree(stand, 10_000_000);
  const { node, handle } = await tree.create(tree.root, bytes('f'), { mode: 0o644, umask: 0 }, RW, ROOT);
  const isFull = (error: unknown): boolean => Fault.is(error, 'full') && error.about.errno === 'ENOSPC';
  const allocate = async (mode: number, length: number): Promise<void> => tree.allocate(handle, mode, 0, length, ROOT);
  await assert.rejects(allocate(0, 10_000_001), isFull);
  await assert.rejects(allocate(ALLOCATE.keepSize, 20_000_000), isFull);
  assert.equal((await tree.stat(node.node)).size, 0, 'a refusal leaves the file as it is');
  await allocate(0, 9_000_000);
  await tree.write(handle, 0, Buffer.alloc(500_000, 'a'));
  await tree.syncFs();
  await allocate(0, 10_400_000);
  await assert.rejects(allocate(0, 10_600_000), isFull);
  assert.equal((await tree.stat(node.node)).size, 10_400_000);
});

test('what a sparse file has allocated is told alike before and after it is stored', async () => {
  await using stand = await openStand({ seed: 10, groupClock: systemClock });
  await using tree = await openTree(stand);
  const { node, handle } = await tree.create(tree.root, bytes('f'), { mode: 0o644, umask: 0 }, RW, ROOT);
  const random = seededRandom(10);
  const allocated = async (): Promise<number | undefined> => (await tree.stat(node.node)).allocatedBytes;
  await tree.setAttributes(node.node, { size: 4_000_000 }, ROOT);
  assert.equal(await allocated(), 0);
  let expected = 0;
  for (const [offset, length, more] of [
    [0, 100_000, 100_000],
    [20_000, 50_000, 0],
    [90_000, 20_000, 10_000],
    [1_000_000, 3_000, 3_000],
    [500_000, 600_000, 597_000],
    [3_999_000, 1_000, 1_000],
  ] as const) {
    const what = `${offset}+${length}`;
    await tree.write(handle, offset, random.bytes(length));
    expected += more;
    assert.equal(await allocated(), expected, `${what} written`);
    if (offset !== 1_000_000) await tree.syncFs();
    assert.equal(await allocated(), expected, `${what} stored`);
  }
  await tree.setAttributes(node.node, { size: 1_000_000 }, ROOT);
  assert.equal(await allocated(), expected - 101_000);
});
