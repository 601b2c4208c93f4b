/** What is left of chunks after files were changed in place is stored anew, and nothing that can be read changes by it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import { type Random, seededRandom } from '../../base/index.ts';
import { RECUT_STEPS, type RecutStep } from '../context.ts';
import { keepRulesOf } from '../past/keep-rules.ts';
import type { OpenFlags, PosixTree } from '../posix/posix.ts';

const RW: OpenFlags = { read: true, write: true, append: false, truncate: false, sync: false };
const SIZE = 1_000_000;
const OPTIONS = {
  versionsKept: keepRulesOf('none'),
  historyKeptSeconds: 0,
  gc: { graceSeconds: 0, freedShareMin: 0, intervalSeconds: 0 },
};

interface Model {
  readonly bytes: Map<string, Buffer>;
}

function treeOf(stand: Stand): Promise<PosixTree> {
  const diskSpace = () => ({ totalBytes: 2 ** 40, freeBytes: 2 ** 40 });
  return stand.files.openTree({ user: 'owner', diskSpace });
}

async function write(stand: Stand, path: string, bytes: Buffer, model: Model): Promise<void> {
  await stand.service.write(path, [bytes], { mode: 'put' });
  model.bytes.set(path, Buffer.from(bytes));
}

/** Writes over nearly all of a file and leaves islands of what was there. */
async function overwrite(stand: Stand, path: string, random: Random, model: Model, isZeros = false): Promise<void> {
  await using tree = await treeOf(stand);
  const handle = await tree.open((await stand.service.stat({ path })).file_id, RW);
  const bytes = model.bytes.get(path) ?? Buffer.alloc(0);
  for (let at = 3_000; at < bytes.length - 100_000; ) {
    const length = 30_000 + random.below(60_000);
    const fresh = isZeros ? Buffer.alloc(length) : Buffer.from(random.bytes(length));
    await tree.write(handle, at, fresh);
    fresh.copy(bytes, at);
    at += length + 1_000 + random.below(9_000);
    // What is written together is stored together.
    if (random.below(3) === 0) await tree.fsync(handle, true);
  }
  await tree.fsync(handle, false);
  await tree.release(handle);
}

async function assertAsModelled(stand: Stand, model: Model, at?: string): Promise<void> {
  for (const [path, bytes] of model.bytes) {
    const read = await stand.service.read({ path }, at === undefined ? {} : { at });
    assert.ok((await bytesOf(read.bytes)).equals(bytes), path);
  }
  const { problems } = await stand.service.check();
  assert.deepEqual(problems, []);
}

/** Files that share chunks by parts: one copied after it was changed in place, and one that overlaps with itself. */
async function fill(stand: Stand, seed: number): Promise<Model> {
  const random = seededRandom(seed);
  const model: Model = { bytes: new Map() };
  await write(stand, '/a', Buffer.from(random.bytes(SIZE)), model);
  await write(stand, '/b', Buffer.from(random.bytes(SIZE)), model);
  await write(stand, '/whole', Buffer.from(random.bytes(100_000)), model);
  await overwrite(stand, '/a', random, model);
  await overwrite(stand, '/b', random, model, true);
  await stand.service.copy('/a', '/c');
  model.bytes.set('/c', Buffer.from(model.bytes.get('/a') ?? []));
  await overwrite(stand, '/c', random, model);
  return model;
}

test('chunks of which less than half is needed are shown apart, re-cut, and then collected', async () => {
  await using stand = await openStand({ options: OPTIONS, background: false });
  const model = await fill(stand, 1);
  const foretold = await stand.service.gc({ dryRun: true });
  assert.ok(foretold.partial_chunks > 5, JSON.stringify(foretold));
  assert.ok(foretold.partial_used_bytes < foretold.partial_bytes / 2);
  assert.equal(foretold.recut_chunks, 0);
  await assertAsModelled(stand, model);
  const first = await stand.service.gc();
  assert.equal(first.freed_bytes, foretold.freed_bytes, 'the collection itself is as foretold');
  assert.deepEqual(
    [first.recut_chunks, first.recut_bytes],
    [foretold.partial_chunks, foretold.partial_bytes],
    'every one of them',
  );
  await assertAsModelled(stand, model);
  const { pack_bytes: before } = await stand.service.stats();
  const second = await stand.service.gc();
  assert.equal(second.partial_chunks, 0);
  assert.equal(second.chunks_discarded, first.recut_chunks);
  assert.ok(second.freed_bytes >= first.recut_bytes);
  assert.equal((await stand.service.stats()).pack_bytes, before - second.freed_bytes);
  await assertAsModelled(stand, model);
});

test('what a snapshot or the window of history needs whole stays; what they need by parts is switched with it', async () => {
  await using stand = await openStand({ options: { ...OPTIONS, historyKeptSeconds: 1_000 }, background: false });
  const random = seededRandom(3);
  const model: Model = { bytes: new Map() };
  await write(stand, '/a', Buffer.from(random.bytes(SIZE)), model);
  await stand.service.createSnapshot('whole');
  const whole: Model = { bytes: new Map([['/a', Buffer.from(model.bytes.get('/a') ?? [])]]) };
  await overwrite(stand, '/a', random, model);
  await stand.service.createSnapshot('parts');
  const parts: Model = { bytes: new Map([['/a', Buffer.from(model.bytes.get('/a') ?? [])]]) };
  assert.equal((await stand.service.gc()).partial_chunks, 0, 'a snapshot needs all of them');
  await stand.service.removeSnapshot('whole');
  stand.clock.advance(2_000_000);
  const first = await stand.service.gc();
  assert.ok(first.recut_chunks > 5, JSON.stringify(first));
  await assertAsModelled(stand, model);
  await assertAsModelled(stand, parts, 'parts');
  const second = await stand.service.gc();
  assert.equal(second.chunks_discarded, first.recut_chunks, 'nothing names them, history neither');
  await assertAsModelled(stand, model);
  await assertAsModelled(stand, parts, 'parts');
  assert.notDeepEqual(whole.bytes, parts.bytes);
});

for (const step of RECUT_STEPS) {
  test(`a re-cut that is cut off at ${step} loses nothing, and the next one finishes`, async () => {
    let left = 2;
    const onRecutStep = (at: RecutStep): void => {
      if (at === step && --left === 0) throw new Error('cut off');
    };
    await using stand = await openStand({ options: OPTIONS, background: false, onRecutStep });
    const model = await fill(stand, 5);
    const { partial_chunks: count } = await stand.service.gc({ dryRun: true });
    await assert.rejects(stand.service.gc(), /cut off/);
    await assertAsModelled(stand, model);
    const rest = await stand.service.gc();
    assert.equal(rest.recut_chunks, step === 'recut-stored' ? count - 1 : count - 2);
    await stand.service.gc();
    assert.equal((await stand.service.gc({ dryRun: true })).partial_chunks, 0);
    await assertAsModelled(stand, model);
    const { stored_bytes, pack_bytes } = await stand.service.stats();
    assert.ok(pack_bytes < stored_bytes * 1.01 + 10_000, `${pack_bytes} for ${stored_bytes}`);
  });
}

test('whoever writes to a file meanwhile wins', async () => {
  let isWritten = false;
  const random = seededRandom(9);
  const model: Model = { bytes: new Map() };
  await using stand: Stand = await openStand({
    options: OPTIONS,
    background: false,
    onRecutStep: async (at) => {
      if (at !== 'recut-stored' || isWritten) return;
      isWritten = true;
      await overwrite(stand, '/a', random, model);
    },
  });
  await write(stand, '/a', Buffer.from(random.bytes(SIZE)), model);
  await overwrite(stand, '/a', random, model);
  await stand.service.gc();
  assert.ok(isWritten);
  await assertAsModelled(stand, model);
  await stand.service.gc();
  await stand.service.gc();
  assert.equal((await stand.service.gc({ dryRun: true })).partial_chunks, 0);
  await assertAsModelled(stand, model);
});
