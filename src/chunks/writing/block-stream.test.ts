/** Long streams are cut in threads: to the same chunks as on the main thread, however many there are at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, hexOf, seededRandom } from '../../base/index.ts';
import { ChunkStand, SMALL_FORMAT, type StandOptions } from '../chunk-stand.ts';
import type { Draft } from '../chunk-store.ts';

const MIB = 1024 * 1024;

/** Text, noise, zeros and things that came before, in pieces of up to 400 KiB. */
function mixedBytes(seed: number, length: number): Buffer {
  const random = seededRandom(seed);
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const end = Math.min(length, at + 1 + random.below(400_000));
    const kind = random.below(4);
    if (kind === 0) bytes.set(random.bytes(end - at), at);
    else if (kind === 1) bytes.fill(`line ${at} of ${seed} says it again; `, at, end);
    else if (kind === 2) bytes.copy(bytes, at, 0, Math.min(at, end - at));
    at = end;
  }
  return bytes;
}

function shown(drafts: readonly Draft[]): readonly string[] {
  return drafts.map((draft) => {
    const id = draft.kind === 'chunk' ? hexOf(draft.id) : '';
    return `${draft.kind} ${draft.offset} ${draft.length} ${id}`;
  });
}

/** What is taken ends a hole that goes on. */
function withJoinedHoles(drafts: readonly Draft[]): readonly Draft[] {
  const joined: Draft[] = [];
  for (const draft of drafts) {
    const last = joined.at(-1);
    if (last?.kind !== 'hole' || draft.kind !== 'hole') joined.push(draft);
    else joined[joined.length - 1] = { ...last, length: last.length + draft.length };
  }
  return joined;
}

const threaded = (more: StandOptions = {}): Promise<ChunkStand> =>
  ChunkStand.open({ ...more, options: { workerCount: 2, ...more.options } });

test('a long stream becomes the same drafts in threads as on the main thread, however it comes', async () => {
  await using there = await threaded();
  for (const seed of [1, 2, 3, 4]) {
    await using here = await ChunkStand.open();
    const random = seededRandom(seed);
    const bytes = mixedBytes(seed, 2 * MIB + random.below(MIB));
    const splits = Array.from({ length: 6 }, () => random.below(seed % 2 === 0 ? 900_000 : 200_000));
    const level = seed === 4 ? 'none' : 1;
    const [expected, found] = [await here.put(bytes, { level }), await there.put(bytes, { level, splits })];
    assert.deepEqual(shown(found.drafts), shown(expected.drafts));
    assert.deepEqual(found.hash, expected.hash);
    assert.ok(bytes.equals(await there.get(found.drafts)));
  }
  assert.deepEqual((await there.verify()).damages, []);
});

test('what a long stream has in common with itself, with others at once and with the store is stored once', async () => {
  await using stand = await threaded();
  const bytes = mixedBytes(7, 2 * MIB);
  const twice = Buffer.concat([bytes, bytes]);
  const stored = await Promise.all([twice, twice, twice].map((one) => stand.put(one)));
  for (const { drafts } of stored) assert.ok(twice.equals(await stand.get(drafts)));
  const { report, damages } = await stand.verify();
  assert.deepEqual(damages, []);
  assert.equal(report.orphanBytes, 0);
  const ids = new Set(stored.flatMap(({ drafts }) => drafts.flatMap((d) => (d.kind === 'chunk' ? [hexOf(d.id)] : []))));
  assert.equal(report.chunksVerified, ids.size);
  // Nobody commits it, so whatever it would store would be in no row.
  await using writer = stand.store.newWriter({ level: 1 });
  await writer.write(twice);
  await writer.finish();
  assert.equal((await stand.verify()).report.orphanBytes, 0);
});

test('where names are no proof, long streams with the same chunks are compared and all come back', async () => {
  const format = { ...SMALL_FORMAT, idAlgorithm: 'xxh3-128' } as const;
  await using stand = await threaded({ format });
  const parts = [11, 12, 13].map((seed) => mixedBytes(seed, MIB));
  const orders = [
    [0, 1, 2, 0],
    [1, 2, 0, 1],
    [2, 0, 1, 2],
  ];
  const wholes = orders.map((order) => Buffer.concat(order.map((number) => parts[number] ?? Buffer.alloc(0))));
  const stored = await Promise.all(wholes.map((whole) => stand.put(whole, { splits: [300_000, 1_100_000] })));
  for (const [number, { drafts }] of stored.entries()) assert.ok(wholes[number]?.equals(await stand.get(drafts)));
  assert.deepEqual((await stand.verify()).damages, []);
});

test('many long streams that stand still keep no other from going on', async () => {
  await using stand = await threaded({ options: { batchesInFlight: 2 } });
  const bytes = mixedBytes(21, 3 * MIB);
  const still = Array.from({ length: 12 }, () => stand.store.newWriter({ level: 1 }));
  for (const writer of still) await writer.write(bytes.subarray(0, 2 * MIB));
  const { drafts } = await stand.put(bytes);
  assert.ok(bytes.equals(await stand.get(drafts)));
  for (const writer of still) {
    await writer.write(bytes.subarray(2 * MIB));
    assert.equal((await writer.finish()).size, bytes.length);
    assert.deepEqual(shown(writer.take().drafts), shown(drafts));
    await writer[Symbol.asyncDispose]();
  }
});

test('a long stream that is settled in the middle has said all that is cut, and goes on', async () => {
  await using stand = await threaded();
  const bytes = mixedBytes(31, 4 * MIB);
  await using writer = stand.store.newWriter({ level: 1 });
  const drafts: Draft[] = [];
  for (let at = 0; at < bytes.length; at += MIB) {
    await writer.write(bytes.subarray(at, at + MIB));
    await writer.settle();
    const taken = writer.take();
    drafts.push(...taken.drafts);
    const end = drafts.reduce((sum, { length }) => sum + length, 0);
    assert.equal(end, writer.cutBytes);
    assert.ok(end > at, 'less than a block is held back');
  }
  await writer.finish();
  drafts.push(...writer.take().drafts);
  assert.deepEqual(shown(withJoinedHoles(drafts)), shown((await stand.put(bytes)).drafts));
});

test('a long stream that is left in the middle gives everything back; one shorter than announced is kept', async () => {
  await using stand = await threaded({ options: { batchesInFlight: 2 } });
  const bytes = mixedBytes(41, 3 * MIB).fill('It begins so. ', 0, 100);
  for (let round = 0; round < 5; round++) {
    const abort = new AbortController();
    await using writer = stand.store.newWriter({ level: 1, signal: abort.signal });
    const writing = writer.write(bytes);
    if (round % 2 === 0) abort.abort();
    await writing.catch((error: unknown) => assert.ok(Fault.is(error, 'aborted')));
  }
  for (const length of [100, 300_000, 2 * MIB]) {
    await using writer = stand.store.newWriter({ level: 1, size: 2 * MIB });
    await writer.write(bytes.subarray(0, length));
    assert.equal((await writer.finish()).size, length);
    const taken = writer.take();
    await stand.commitDrafts(taken);
    assert.ok(bytes.subarray(0, length).equals(await stand.get(taken.drafts)));
    assert.equal(taken.drafts[0]?.kind === 'inline', length === 100);
  }
});
