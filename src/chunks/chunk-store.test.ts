/** Streams through the whole store: round trips, dedup, many at once, holes, small contents, faults of the backend. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concatBytes, Fault, seededRandom } from '../base/index.ts';
import { MemoryMeta, type MetaStore, openSqliteFile } from '../meta/index.ts';
import { MemoryObjects, type ObjectStore } from '../objects/index.ts';
import { ChunkStand, REALM, SMALL_FORMAT } from './chunk-stand.ts';
import { CHUNKERS, DEFAULT_CHUNK_FORMAT, type Draft, ID_ALGORITHMS, INLINE_BYTES_MAX } from './chunk-store.ts';
import { xxh3Of } from './hashes/content-hash.ts';
import { DEFAULT_CHUNK_STORE_OPTIONS } from './options.ts';

const text = (length: number, seed = 1): Uint8Array => {
  const random = seededRandom(seed);
  const words = Array.from({ length: Math.ceil(length / 3) }, () => `w${random.below(9000)} `);
  return Buffer.from(words.join('')).subarray(0, length);
};
const noise = (length: number, seed = 1): Uint8Array => seededRandom(seed).bytes(length);

async function assertRoundTrip(
  stand: ChunkStand,
  bytes: Uint8Array,
  splits?: readonly number[],
): Promise<readonly Draft[]> {
  const { drafts, hash } = await stand.put(bytes, splits === undefined ? {} : { splits });
  assert.deepEqual(Buffer.from(hash), Buffer.from(xxh3Of(bytes)));
  let offset = 0;
  for (const draft of drafts) {
    assert.equal(draft.offset, offset);
    assert.ok(draft.length > 0);
    offset += draft.length;
  }
  assert.equal(offset, bytes.length);
  assert.ok((await stand.get(drafts)).equals(bytes));
  return drafts;
}

const PLACES: readonly (readonly [string, () => MetaStore, () => ObjectStore])[] = [
  ['SQLite and appending objects', () => openSqliteFile(':memory:'), () => new MemoryObjects()],
  [
    'asynchronous metadata and objects that are put whole',
    () => new MemoryMeta(),
    () => new MemoryObjects({ append: false }),
  ],
];

for (const [place, newMeta, newObjects] of PLACES) {
  for (const idAlgorithm of ID_ALGORITHMS) {
    test(`contents of every size come back with ${idAlgorithm}, ${place}`, async () => {
      const format = { ...DEFAULT_CHUNK_FORMAT, idAlgorithm };
      await using stand = await ChunkStand.open({ format, meta: newMeta(), objects: newObjects() });
      const sizes = [
        0, 1, 63, 64, 4095, 4096, 4097, 16_383, 16_384, 16_385, 131_071, 131_072, 131_073, 524_288, 3_000_001,
      ];
      for (const size of sizes)
        for (const bytes of [text(size, size), noise(size, size)]) await assertRoundTrip(stand, bytes);
      const { damages } = await stand.verify();
      assert.deepEqual(damages, []);
    });
  }
}

for (const chunker of CHUNKERS) {
  test(`drafts do not depend on how the stream was split, with ${chunker}`, async () => {
    await using stand = await ChunkStand.open({ format: { ...SMALL_FORMAT, chunker } });
    const bytes = concatBytes([text(300_000), new Uint8Array(50_000), noise(400_000)]);
    const whole = await assertRoundTrip(stand, bytes);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 90_000 }), { maxLength: 12 }), async (splits) => {
        assert.deepEqual((await stand.put(bytes, { splits })).drafts, whole);
      }),
      { numRuns: 12 },
    );
    assert.deepEqual((await stand.put(bytes, { splits: Array.from({ length: 3_000 }, () => 100) })).drafts, whole);
  });
}

for (const idAlgorithm of ID_ALGORITHMS) {
  test(`the same bytes are stored once, also after a restart, with ${idAlgorithm}`, async () => {
    const first = await ChunkStand.open({ format: { ...SMALL_FORMAT, idAlgorithm } });
    const bytes = concatBytes([text(200_000), noise(200_000)]);
    const { drafts } = await first.put(bytes);
    const packBytes = (await first.store.stats()).packBytes;
    assert.deepEqual((await first.put(bytes)).drafts, drafts);
    await using second = await first.reopen();
    await assertRoundTrip(second, bytes);
    const stats = await second.store.stats();
    assert.equal(stats.packBytes, packBytes);
    assert.equal(stats.uniqueBytes, bytes.length);
    assert.equal(stats.chunks, drafts.length);
  });
}

test('two writers that store the same new chunk at once share one record, and each can commit it', async () => {
  await using stand = await ChunkStand.open();
  const bytes = noise(100_000);
  const [one, two] = [stand.store.newWriter({ level: 1 }), stand.store.newWriter({ level: 1 })];
  await Promise.all([one.write(bytes), two.write(bytes)]);
  await Promise.all([one.finish(), two.finish()]);
  // The first one is given up: what it stored must still be good for the second.
  one.take();
  await one[Symbol.asyncDispose]();
  const taken = two.take();
  assert.equal(taken.puts.length, taken.drafts.length);
  await stand.commitDrafts(taken);
  await two[Symbol.asyncDispose]();
  assert.ok((await stand.get(taken.drafts)).equals(bytes));
  const { report } = await stand.verify();
  assert.equal(report.chunksVerified, taken.drafts.length);
});

test('100 writers at once, in small pieces, all come back, and share their batches', async () => {
  await using stand = await ChunkStand.open({ options: { batchesInFlight: 2 } });
  const contents = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? text(60_000, i) : noise(30_000 + i * 100, i)));
  const stored = await Promise.all(
    contents.map((bytes) => stand.put(bytes, { splits: Array.from({ length: 20 }, () => 1_500) })),
  );
  for (const [i, { drafts }] of stored.entries()) assert.ok((await stand.get(drafts)).equals(contents[i] ?? noise(1)));
});

test('worker threads store what the main thread would', async () => {
  const options = { ...DEFAULT_CHUNK_STORE_OPTIONS, batchBytes: 512 * 1024 };
  await using stand = await ChunkStand.open({ format: DEFAULT_CHUNK_FORMAT, options });
  const bytes = concatBytes([text(6_000_000), noise(2_000_000), text(1_000_000, 2)]);
  await assertRoundTrip(stand, bytes);
  const { report, damages } = await stand.verify();
  assert.deepEqual(damages, []);
  assert.equal(report.bytesVerified, bytes.length);
  const { storedBytes } = await stand.store.stats();
  assert.ok(storedBytes < 6_500_000, String(storedBytes));
});

test('a content of up to the bound is one inline draft; zeros are a hole, however long', async () => {
  await using stand = await ChunkStand.open();
  const kinds = async (bytes: Uint8Array): Promise<string[]> =>
    (await assertRoundTrip(stand, bytes)).map(({ kind }) => kind);
  assert.deepEqual(await kinds(text(INLINE_BYTES_MAX)), ['inline']);
  assert.deepEqual(await kinds(new Uint8Array(100)), ['hole']);
  assert.deepEqual(await kinds(new Uint8Array(2_000_000)), ['hole']);
  assert.ok(!(await kinds(text(INLINE_BYTES_MAX + 1))).includes('inline'));
  const mixed = await kinds(concatBytes([noise(20_000), new Uint8Array(1_000_000), noise(20_000, 2)]));
  assert.equal(mixed.filter((kind) => kind === 'hole').length, 1);
});

test('level none stores everything raw', async () => {
  await using stand = await ChunkStand.open();
  const bytes = text(200_000);
  const { drafts } = await stand.put(bytes, { level: 'none' });
  assert.ok((await stand.get(drafts)).equals(bytes));
  assert.ok((await stand.store.stats()).storedBytes > bytes.length);
});

test('drafts can be taken and committed while the stream goes on', async () => {
  await using stand = await ChunkStand.open({ options: { batchBytes: 512 * 1024 } });
  await using writer = stand.store.newWriter({ level: 'none' });
  const bytes = noise(8_000_000);
  const drafts: Draft[] = [];
  for (let at = 0; at < bytes.length; at += 100_000) {
    await writer.write(bytes.subarray(at, at + 100_000));
    if (writer.readyCount < 200) continue;
    const taken = writer.take();
    drafts.push(...taken.drafts);
    await stand.commitDrafts(taken);
  }
  assert.ok(drafts.length > 500, 'some came before the end');
  await writer.finish();
  const rest = writer.take();
  await stand.commitDrafts(rest);
  assert.ok((await stand.get([...drafts, ...rest.drafts])).equals(bytes));
});

test('a writer takes bytes that are used again right after', async () => {
  await using stand = await ChunkStand.open();
  await using writer = stand.store.newWriter({ level: 1, size: 300_000 });
  const piece = new Uint8Array(1_000);
  const all: Uint8Array[] = [];
  for (let i = 0; i < 300; i++) {
    piece.set(noise(1_000, i + 1));
    all.push(piece.slice());
    await writer.write(piece);
  }
  piece.fill(0);
  await writer.finish();
  const taken = writer.take();
  await stand.commitDrafts(taken);
  assert.ok((await stand.get(taken.drafts)).equals(concatBytes(all)));
});

test('a writer that is aborted or closed takes nothing more, and others go on', async () => {
  await using stand = await ChunkStand.open();
  const controller = new AbortController();
  await using writer = stand.store.newWriter({ level: 1, signal: controller.signal });
  await writer.write(noise(100_000));
  controller.abort();
  await assert.rejects(writer.write(noise(100)), (error) => Fault.is(error, 'aborted'));
  await assert.rejects(writer.finish(), (error) => Fault.is(error, 'aborted'));
  await assertRoundTrip(stand, noise(100_000));
});

test('slices of chunks, in any order and repeated, are what they say', async () => {
  await using stand = await ChunkStand.open();
  const bytes = concatBytes([text(200_000), noise(200_000)]);
  const { drafts } = await stand.put(bytes);
  const random = seededRandom(3);
  const slices = Array.from({ length: 300 }, () => {
    const draft = drafts[random.below(drafts.length)];
    assert.ok(draft?.kind === 'chunk');
    const offset = random.below(draft.length);
    return { id: draft.id, offset, length: 1 + random.below(draft.length - offset), at: draft.offset + offset };
  });
  let number = 0;
  for await (const part of stand.store.readAll(slices)) {
    const { at, length } = slices[number++] ?? { at: 0, length: 0 };
    assert.ok(Buffer.from(part).equals(bytes.subarray(at, at + length)));
  }
  assert.equal(number, slices.length);
});

test('a reader that stops in the middle leaves nothing behind', async () => {
  await using stand = await ChunkStand.open();
  const { drafts } = await stand.put(noise(500_000));
  const slices = drafts.flatMap((draft) =>
    draft.kind === 'chunk' ? [{ id: draft.id, offset: 0, length: draft.length }] : [],
  );
  for await (const part of stand.store.readAll(slices)) if (part.length > 0) break;
  const controller = new AbortController();
  controller.abort();
  const isAborted = (error: unknown): boolean => Fault.is(error, 'aborted');
  const reading = stand.store.readAll(slices, { signal: controller.signal })[Symbol.asyncIterator]();
  await assert.rejects(reading.next(), isAborted);
});

test('reading a chunk nobody has is a fault that names it', async () => {
  await using stand = await ChunkStand.open();
  const id = noise(32);
  await assert.rejects(stand.store.read(id), (error) => {
    assert.ok(Fault.is(error, 'corrupt'));
    assert.equal(error.about.chunk, Buffer.from(id).toString('hex'));
    return true;
  });
});

test('in an xxh3-128 store, equal names of different bytes are refused and not mixed up', async () => {
  const format = { ...SMALL_FORMAT, idAlgorithm: 'xxh3-128' } as const;
  await using stand = await ChunkStand.open({ format });
  const [one, two] = [noise(8_000, 1), noise(8_000, 2)];
  const { drafts } = await stand.put(one);
  const first = drafts[0];
  assert.ok(first?.kind === 'chunk');
  // As if the second began with a chunk of the same name: its row points at the bytes of the first.
  await using other = await ChunkStand.open({ format, seed: 2 });
  const forged = (await other.put(two)).drafts[0];
  assert.ok(forged?.kind === 'chunk');
  const row = await stand.meta.get('chunks', [REALM, first.id]);
  assert.ok(row);
  await stand.commit([
    { now: stand.clock.now(), puts: [{ table: 'chunks', mode: 'insert', row: { ...row, id: forged.id, refs: 0 } }] },
  ]);
  await assert.rejects(stand.put(two), (error) => Fault.is(error, 'corrupt', 'mismatch'));
});

test('a stream that goes on with what it has said already has drafts ready while it goes on', async () => {
  await using stand = await ChunkStand.open();
  const said = stand.random.bytes(64 * 1024);
  await using writer = stand.store.newWriter({ level: 'none' });
  let draftCount = 0;
  for (let round = 0; round < 400; round++) {
    await writer.write(said);
    // Long enough for the batch that is filling to be stored, if anybody asked for it.
    await new Promise((resolve) => setImmediate(resolve));
    draftCount += writer.take().drafts.length;
  }
  await writer.finish();
  const rest = writer.take().drafts.length;
  assert.ok(draftCount > 3 * 1_024 && rest < 2_048, `${draftCount} drafts on the way, ${rest} at the end`);
});
