/** Threads that compress: the same records as the main thread makes, ended when idle, replaced when they die. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, ManualClock, utf8 } from '../../base/index.ts';
import { newIdHasher } from '../hashes/ids.ts';
import { decodeRecord, isFlaw, isRecordWhole, readHeader } from '../packs/record.ts';
import { batchMemoryBytes, batchMemoryOf, blockStartOf, cutAt, encodeBatch, encodedAt, placeChunk } from './batch.ts';
import { EncodeThreads } from './encode-threads.ts';

const idOf = newIdHasher('blake3', new Uint8Array(32));
const plains = [
  utf8('abc '.repeat(3_000)),
  new Uint8Array(0),
  utf8('x'),
  crypto.getRandomValues(new Uint8Array(9_000)),
];

const format = {
  idAlgorithm: 'blake3',
  chunker: 'ultracdc',
  chunkBytesMin: 2_048,
  chunkBytesMean: 4_096,
  chunkBytesMax: 16_384,
} as const;
const secret = new Uint8Array(32);

function newThreads(memories: readonly SharedArrayBuffer[], clock = new ManualClock()): EncodeThreads {
  return new EncodeThreads({ count: 1, workerData: { memories, realm: 1, format, secret }, clock });
}

function filledBatch() {
  const shared = new SharedArrayBuffer(batchMemoryBytes(64 * 1024, 16 * 1024));
  const memory = batchMemoryOf(shared);
  let at = 0;
  for (const [number, plain] of plains.entries())
    at = placeChunk(memory, { number, at, realm: 1, id: idOf(plain), plain, level: number === 2 ? 'none' : 1 });
  return { shared, memory };
}

test('a batch becomes whole records, one directly behind the other, in a thread as on the main thread', async () => {
  const [here, there] = [filledBatch(), filledBatch()];
  await using threads = newThreads([there.shared]);
  const lengthBytes = encodeBatch(here.memory, plains.length);
  assert.equal(await threads.encode(0, plains.length), lengthBytes);
  assert.deepEqual(there.memory.data.slice(0, lengthBytes), here.memory.data.slice(0, lengthBytes));
  let end = 0;
  for (const [number, plain] of plains.entries()) {
    const { offset, length } = encodedAt(here.memory, number);
    assert.equal(offset, end);
    const header = readHeader(here.memory.data, offset);
    assert.ok(!isFlaw(header) && header.recordLength === length && isRecordWhole(here.memory.data, offset, header));
    assert.deepEqual(Buffer.from(decodeRecord(here.memory.data, offset, header)), Buffer.from(plain));
    end += length;
  }
  assert.equal(end, lengthBytes);
});

test('idle threads end, and the next batch starts new ones', async () => {
  const clock = new ManualClock();
  const { shared, memory } = filledBatch();
  await using threads = newThreads([shared], clock);
  const lengthBytes = await threads.encode(0, plains.length);
  assert.equal(threads.threadCount, 1);
  clock.advance(9_000);
  assert.equal(threads.threadCount, 1);
  clock.advance(2_000);
  assert.equal(threads.threadCount, 0);
  memory.data.set(filledBatch().memory.data);
  memory.table.set(filledBatch().memory.table);
  assert.equal(await threads.encode(0, plains.length), lengthBytes);
});

test('a thread that dies fails its batch with a fault, and a new one takes the next', async () => {
  const { shared, memory } = filledBatch();
  await using threads = newThreads([shared]);
  // A batch that does not exist ends the thread.
  await assert.rejects(threads.encode(7, 1), (error) => Fault.is(error, 'io'));
  assert.equal(threads.threadCount, 0);
  assert.ok((await threads.encode(0, plains.length)) > 0);
  assert.ok(encodedAt(memory, 0).isSmaller);
});

test('a thread that dies fails its streams with a fault, and those that are opened next go to a new one', async () => {
  const { shared, memory } = filledBatch();
  await using threads = newThreads([shared]);
  using stream = threads.openStream();
  const block = { length: 5_000, isLast: true, asksNoise: false };
  assert.equal(await stream.cut(0, { ...block, isLast: false }), 0);
  await assert.rejects(threads.encode(7, 1), (error) => Fault.is(error, 'io'));
  await assert.rejects(stream.cut(0, block), (error) => Fault.is(error, 'io'));
  using next = threads.openStream();
  memory.data.fill(1);
  assert.ok((await next.cut(0, block)) > 0);
});

test('a stream that stands still comes back when its thread ends, and goes on in another with the same cuts', async () => {
  const clock = new ManualClock();
  const [here, there] = [filledBatch(), filledBatch()];
  await using threads = newThreads([here.shared, there.shared], clock);
  const bytes = crypto.getRandomValues(new Uint8Array(40_000));
  using whole = threads.openStream();
  using halted = threads.openStream();
  const at = blockStartOf(format);
  const parts: { plainLength: number; id: Uint8Array }[] = [];
  for (const [start, end] of [
    [0, 9_000],
    [9_000, 30_000],
    [30_000, bytes.length],
  ] as const) {
    there.memory.data.set(bytes.subarray(start, end), at);
    const cutting = halted.cut(1, { length: end - start, isLast: end === bytes.length, asksNoise: false });
    const count = await cutting;
    for (let number = 0; number < count; number++) {
      const { length, id } = cutAt(there.memory, number, 32);
      parts.push({ plainLength: length, id });
    }
    if (end === bytes.length) break;
    clock.advance(10_000);
    // In the first round it is asked again while it is on its way back.
    if (start === 0) continue;
    while (threads.threadCount > 0) {
      await new Promise(setImmediate);
      clock.advance(10_000);
    }
  }
  here.memory.data.set(bytes, at);
  const count = await whole.cut(0, { length: bytes.length, isLast: true, asksNoise: false });
  const expected = Array.from({ length: count }, (_, number) => {
    const { length, id } = cutAt(here.memory, number, 32);
    return { plainLength: length, id };
  });
  assert.deepEqual(parts, expected);
});
