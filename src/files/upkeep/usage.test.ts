/** What a path or a snapshot alone holds is, to the byte, what a collection gives back when it is gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStand, type Stand } from '../../../test/stand.ts';
import { Fault, type Random, seededRandom } from '../../base/index.ts';
import type { FilesOptions } from '../context.ts';
import { keepRulesOf } from '../past/keep-rules.ts';
import type { OpenFlags, PosixTree } from '../posix/posix.ts';

const RW: OpenFlags = { read: true, write: true, append: false, truncate: false, sync: false };
const KEPT_SECONDS = 1_000;
const OPTIONS: Partial<FilesOptions> = {
  versionsKept: keepRulesOf('last 3'),
  historyKeptSeconds: KEPT_SECONDS,
  gc: { graceSeconds: 0, freedShareMin: 0, intervalSeconds: 0 },
};

/** Contents made of few blocks, so that they share chunks with each other. */
function contentOf(random: Random, blocks: readonly Uint8Array[]): Uint8Array {
  const count = 1 + random.below(4);
  return Buffer.concat(Array.from({ length: count }, () => blocks[random.below(blocks.length)] ?? new Uint8Array()));
}

async function put(stand: Stand, path: string, bytes: Uint8Array): Promise<void> {
  await stand.service.write(path, [bytes], { mode: 'put', parents: true });
}

/** Lets the window of history pass, and takes away all that nothing needs. */
async function settle(stand: Stand): Promise<number> {
  await stand.files.reapNow();
  stand.clock.advance((KEPT_SECONDS + 1) * 1_000);
  const { freed_bytes, waiting_bytes, recut_chunks } = await stand.service.gc();
  assert.equal(waiting_bytes, 0);
  // What was re-cut behind it goes with the next one; that is not of what is measured next.
  for (let more = recut_chunks; more > 0; ) more = (await stand.service.gc()).recut_chunks;
  return freed_bytes;
}

const FOLDERS = ['a', 'b', 'c', 'd'];

/** Files with versions, copies, hard links and files that took each other's place; some of it in snapshots. */
async function fill(stand: Stand, random: Random): Promise<void> {
  const blocks = Array.from({ length: 24 }, () => random.bytes(20_000 + random.below(150_000)));
  const { files, service } = stand;
  await using tree = await files.openTree({
    user: 'owner',
    diskSpace: () => ({ totalBytes: 2 ** 40, freeBytes: 2 ** 40 }),
  });
  const anyPath = (): string => `/${FOLDERS[random.below(FOLDERS.length)]}/${random.below(6)}`;
  for (const folder of FOLDERS) await service.makeFolder(`/${folder}`);
  for (let step = 0; step < 120; step++) {
    const [from, to] = [anyPath(), anyPath()];
    stand.clock.advance(1_000);
    const isThere = (await service.search({ path: '/', pattern: from.slice(1) })).entries.length > 0;
    const kind = random.below(10);
    if (kind < 5 || !isThere) await put(stand, to, contentOf(random, blocks));
    else if (from === to) await service.setAttributes({ path: from }, { mode: 0o600 + random.below(64) });
    else if (kind === 5) await service.copy(from, to, { overwrite: true });
    else if (kind === 6) await service.move(from, to, { overwrite: true });
    else if (kind === 7) await service.remove(from);
    else if (kind === 8) await link(tree, stand, from, `${to}-${step}`);
    else await overwrite(tree, stand, from, random);
    if (step % 40 === 30) await service.createSnapshot(`s${step}`, step === 70 ? { path: '/a' } : {});
  }
  await files.settle();
}

async function link(tree: PosixTree, stand: Stand, from: string, to: string): Promise<void> {
  const [node, folder] = [await idOf(stand, from), await idOf(stand, to.slice(0, to.lastIndexOf('/')))];
  await tree.link(node, folder, Buffer.from(to.slice(to.lastIndexOf('/') + 1)));
}

/** Changes a part of a file in place, as a mount does. */
async function overwrite(tree: PosixTree, stand: Stand, path: string, random: Random): Promise<void> {
  const handle = await tree.open(await idOf(stand, path), RW);
  await tree.write(handle, random.below(60_000), random.bytes(1_000 + random.below(40_000)));
  await tree.fsync(handle, false);
  await tree.release(handle);
}

async function idOf(stand: Stand, path: string): Promise<number> {
  return (await stand.service.stat({ path })).file_id;
}

for (const seed of [1, 2, 3]) {
  test(`of a path only what it alone holds comes back when it is removed (seed ${seed})`, async () => {
    await using stand = await openStand({ seed, options: OPTIONS, background: false });
    await fill(stand, seededRandom(seed));
    await settle(stand);
    const { entries } = await stand.service.search({ path: '/', kind: 'file' });
    const paths = [...entries.map(({ path }) => path).filter((_, n) => n % 3 === seed % 3), '/a', '/b'];
    let [isAny, isNone] = [false, false];
    for (const path of paths) {
      const usage = await stand.service.usage({ path, exclusive: true });
      const removed = await stand.service.remove(path, { recursive: true });
      assert.deepEqual([usage.files, usage.folders, usage.bytes], [removed.files, removed.folders, removed.bytes]);
      assert.equal(await settle(stand), usage.exclusive_bytes, path);
      isAny ||= (usage.exclusive_bytes ?? 0) > 0;
      isNone ||= usage.exclusive_bytes === 0;
    }
    assert.ok(isAny && isNone, 'the tree has both');
  });

  test(`of a snapshot only what it alone holds comes back when it is deleted (seed ${seed})`, async () => {
    await using stand = await openStand({ seed, options: OPTIONS, background: false });
    const random = seededRandom(seed);
    await fill(stand, random);
    for (const path of ['/a', '/c']) await stand.service.remove(path, { recursive: true });
    await settle(stand);
    const { snapshots } = await stand.service.snapshots();
    assert.ok(snapshots.length >= 2);
    let sum = 0;
    for (const { name } of snapshots) {
      const usage = await stand.service.usage({ snapshot: name, exclusive: true });
      await stand.service.removeSnapshot(name);
      assert.equal(await settle(stand), usage.exclusive_bytes, name);
      sum += usage.exclusive_bytes ?? 0;
    }
    assert.ok(sum > 0);
  });
}

test('what the very next collection gives back minds the share of a pack that it must be', async () => {
  const gc = { graceSeconds: 0, freedShareMin: 0.25, intervalSeconds: 0 };
  await using stand = await openStand({ options: { ...OPTIONS, gc }, background: false });
  await put(stand, '/small', seededRandom(1).bytes(20_000));
  await put(stand, '/large', seededRandom(2).bytes(400_000));
  for (const path of ['/small', '/large']) {
    await settle(stand);
    const usage = await stand.service.usage({ path, exclusive: true });
    assert.ok((usage.exclusive_bytes ?? 0) > 0);
    await stand.service.remove(path);
    assert.equal(await settle(stand), usage.next_gc_bytes, path);
    if (path === '/small') assert.equal(usage.next_gc_bytes, 0, 'too little of its pack');
    else assert.ok((usage.next_gc_bytes ?? 0) > (usage.exclusive_bytes ?? 0), 'and what waited with it');
  }
});

test('a path of a snapshot has a size, but holds nothing of it alone', async () => {
  await using stand = await openStand({ options: OPTIONS, background: false });
  await put(stand, '/a/x', seededRandom(1).bytes(50_000));
  await stand.service.createSnapshot('s');
  await put(stand, '/a/y', seededRandom(2).bytes(10_000));
  assert.equal((await stand.service.usage()).bytes, 60_000);
  const past = await stand.service.usage({ path: '/a', snapshot: 's' });
  assert.deepEqual(past, { path: '/a', snapshot: 's', files: 1, folders: 1, bytes: 50_000 });
  await assert.rejects(stand.service.usage({ path: '/a', snapshot: 's', exclusive: true }), (error) =>
    Fault.is(error, 'invalid'),
  );
  assert.equal(
    (await stand.service.usage({ path: '/a/x', exclusive: true })).exclusive_bytes,
    0,
    'the snapshot holds it',
  );
});
