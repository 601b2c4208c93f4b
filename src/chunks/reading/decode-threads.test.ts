/** Records decoded in threads: the same bytes, the same faults, and no harm from a thread that dies. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { concatBytes, Fault, hexOf, ManualClock, silentLog, utf8 } from '../../base/index.ts';
import { PACK_STATE } from '../../meta/index.ts';
import { ChunkStand, REALM, SECRET } from '../chunk-stand.ts';
import { DEFAULT_CHUNK_FORMAT } from '../chunk-store.ts';
import { newIdHasher } from '../hashes/ids.ts';
import { encodeRecord } from '../packs/record.ts';
import { decodeRequest, ROOM_BYTES, UNDECODED } from './decode-request.ts';
import { DecodeThreads, type DecodeWanted } from './decode-threads.ts';

const idOf = newIdHasher('blake3', SECRET);
const random = crypto.getRandomValues(new Uint8Array(300));

/** Some records with a gap between them, as one request brings them. */
function requestOf(plains: readonly Uint8Array[]) {
  const records = plains.map((plain) =>
    encodeRecord({ realm: 1, id: idOf(plain), plainLength: plain.length }, plain, 3),
  );
  const gap = new Uint8Array(7);
  const bytes = new Uint8Array(concatBytes(records.flatMap((record) => [gap, record])));
  const table = new Uint32Array(records.length * 2);
  let at = 0;
  for (const [number, record] of records.entries()) {
    table.set([at + gap.length, record.length], number * 2);
    at += gap.length + record.length;
  }
  return { bytes, table, ids: new Uint8Array(concatBytes(plains.map(idOf))) };
}

function wantedOf({ bytes, table, ids }: ReturnType<typeof requestOf>): DecodeWanted {
  return { bytes, wanted: { table, ids } };
}

function plainsIn({ plain, table }: { plain: Uint8Array; table: Uint32Array }): (Buffer | undefined)[] {
  return Array.from({ length: table.length / 2 }, (_, number) => {
    const [at = UNDECODED, length = 0] = table.subarray(number * 2, number * 2 + 2);
    return at === UNDECODED ? undefined : Buffer.from(plain.subarray(at, at + length));
  });
}

const MIXED = [utf8('abc '.repeat(300)), random, utf8(''), utf8('xyz '.repeat(200))];
const RAW = [random, random.slice(0, 150), utf8('x')];

for (const [name, plains] of Object.entries({ mixed: MIXED, raw: RAW })) {
  test(`a flipped bit in a request of ${name} records costs the record it hits and no other`, () => {
    const whole = requestOf(plains);
    const expected = plains.map((plain) => Buffer.from(plain));
    // Memory of an earlier answer, as the thread has it: thousands of rooms of their own would be most of the test.
    const spare = new Uint8Array(ROOM_BYTES);
    for (let bit = -1; bit < whole.bytes.length * 8; bit++) {
      const request = { ...whole, bytes: whole.bytes.slice(), table: whole.table.slice(), idOf, spare };
      if (bit >= 0) request.bytes[bit >> 3] = (request.bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const plain = decodeRequest(request);
      const isHit = (number: number): boolean => {
        const [at = 0, length = 0] = whole.table.subarray(number * 2, number * 2 + 2);
        return bit >> 3 >= at && bit >> 3 < at + length;
      };
      const found = plainsIn({ plain, table: request.table });
      assert.deepEqual(
        found,
        expected.map((bytes, number) => (isHit(number) ? undefined : bytes)),
        `bit ${bit}`,
      );
    }
  });
}

test('raw records come out side by side in their own memory, so that a reader gets them as one piece', () => {
  const request = { ...requestOf(RAW), idOf };
  const plain = decodeRequest(request);
  assert.equal(plain.buffer, request.bytes.buffer);
  assert.deepEqual(Buffer.from(plain.subarray(0, 451)), Buffer.concat(RAW));
  assert.deepEqual([...request.table], [0, 300, 300, 150, 450, 1]);
});

test('a record of another chunk is not taken for the wanted one', () => {
  const request = { ...requestOf(MIXED), idOf };
  request.ids[3] = (request.ids[3] ?? 0) ^ 1;
  const plain = decodeRequest(request);
  assert.deepEqual(
    plainsIn({ plain, table: request.table }).map((bytes) => bytes !== undefined),
    [false, true, true, true],
  );
});

async function untilReady(threads: DecodeThreads): Promise<void> {
  for (let tries = 0; threads.readyCount === 0 && tries < 500; tries++) await sleep(10);
}

function newThreads(clock = new ManualClock()) {
  const workerData = { idAlgorithm: 'blake3', secret: SECRET } as const;
  return new DecodeThreads({ count: 1, workerData, clock, log: silentLog });
}

test('threads answer what was asked, use memory again, and end when idle', async () => {
  const clock = new ManualClock();
  await using threads = newThreads(clock);
  const early = requestOf(MIXED);
  assert.equal(await threads.decode(wantedOf(early)), undefined);
  assert.ok(early.bytes.length > 0, 'without a thread nothing is given away');
  threads.start();
  await untilReady(threads);
  const many = Array.from({ length: 6 }, (_, n) => [...MIXED, utf8(`${n} `.repeat(700_000))]);
  const answers = await Promise.all(many.map((plains) => threads.decode(wantedOf(requestOf(plains)))));
  for (const [n, answer] of answers.entries()) {
    assert.ok(answer);
    assert.deepEqual(
      plainsIn(answer),
      many[n]?.map((plain) => Buffer.from(plain)),
    );
    threads.giveBack(answer);
  }
  const again = await threads.decode(wantedOf(requestOf(MIXED)));
  assert.ok(again);
  assert.deepEqual(
    plainsIn(again),
    MIXED.map((plain) => Buffer.from(plain)),
  );
  assert.ok(again.plain.buffer.byteLength > 1024 * 1024, 'memory of an earlier answer');
  clock.advance(11_000);
  assert.equal(threads.readyCount, 0);
});

test('a thread that dies leaves its request to the main thread, and after some deaths none are started', async () => {
  await using threads = newThreads();
  for (let deaths = 0; deaths < 3; deaths++) {
    threads.start();
    await untilReady(threads);
    assert.equal(threads.readyCount, 1);
    const { bytes, table } = requestOf(MIXED);
    // Ids that are none end the thread.
    const ids = null as unknown as Uint8Array<ArrayBuffer>;
    assert.equal(await threads.decode({ bytes, wanted: { table, ids } }), undefined);
    assert.equal(threads.readyCount, 0);
  }
  threads.start();
  await sleep(50);
  assert.equal(threads.readyCount, 0);
});

/** More than starts threads, half of it random. Nothing in it repeats, or its chunks might not be neighbours in the pack. */
async function bigStand() {
  const format = DEFAULT_CHUNK_FORMAT;
  const stand = await ChunkStand.open({ format, options: { workerCount: 1, chunkCacheBytes: 0 } });
  const bytes = Buffer.alloc(20 * 1024 * 1024);
  for (let at = 0; at < bytes.length; at += 131_072) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    bytes.fill(`${at} says it again. `, at + 65_536, at + 131_072);
  }
  const { drafts } = await stand.put(bytes);
  const slices = drafts.flatMap((draft) =>
    draft.kind === 'chunk' ? [{ id: draft.id, offset: 0, length: draft.length }] : [],
  );
  return { stand, bytes, slices };
}

/** Reads until threads take part, which shows in pieces whose memory is gone later; answers what was read last. */
async function readInThreads({ stand, slices }: Awaited<ReturnType<typeof bigStand>>): Promise<Buffer> {
  for (let tries = 0; tries < 50; tries++) {
    const pieces: Uint8Array[] = [];
    const copies: Buffer[] = [];
    for await (const piece of stand.store.readAll(slices)) {
      pieces.push(piece);
      copies.push(Buffer.from(piece));
    }
    if (pieces.some((piece, n) => piece.length !== copies[n]?.length)) return Buffer.concat(copies);
    await sleep(20);
  }
  assert.fail('no thread took part');
}

test('a big read comes out of threads in order, may be ended in the middle, and names the damaged chunk', async () => {
  const big = await bigStand();
  const { stand, bytes, slices } = big;
  await using _stand = stand;
  assert.ok(bytes.equals(await readInThreads(big)));

  const abort = new AbortController();
  const reading = (async () => {
    for await (const _ of stand.store.readAll(slices, { signal: abort.signal })) abort.abort();
  })();
  await assert.rejects(reading, (error) => Fault.is(error, 'aborted'));
  for await (const piece of stand.store.readAll(slices)) {
    assert.ok(piece.length > 0);
    break;
  }

  const packs = await stand.meta.scan('packs', { prefix: [REALM], limit: 10 });
  const pack = packs.find(({ state }) => state !== PACK_STATE.sealed) ?? packs[0];
  assert.ok(pack);
  const whole = await stand.objects.get(pack.object);
  const at = whole.length >> 1;
  whole[at] = (whole[at] ?? 0) ^ 1;
  const broken = await stand.crash({
    options: { workerCount: 1, chunkCacheBytes: 0 },
    objects: withBytes(stand, pack.object, whole),
  });
  await using _broken = broken;
  const alone = await Promise.allSettled(slices.map(({ id }) => broken.store.read(id)));
  const hit = alone.findIndex(({ status }) => status === 'rejected');
  const outcome = alone[hit];
  assert.ok(outcome?.status === 'rejected' && Fault.is(outcome.reason, 'corrupt'));
  // Threads are ready after a read of what is whole.
  await readInThreads({ ...big, stand: broken, slices: slices.filter((_, n) => n !== hit) });
  const before: Buffer[] = [];
  const failing = (async () => {
    for await (const piece of broken.store.readAll(slices)) before.push(Buffer.from(piece));
  })();
  const { message } = outcome.reason;
  await assert.rejects(
    failing,
    (error) =>
      Fault.is(error, 'corrupt') && error.message === message && error.about.chunk === hexOf(slices[hit]?.id ?? random),
  );
  // Every byte in front of the damaged chunk, and none of it or behind it.
  const goodBytes = slices.slice(0, hit).reduce((sum, { length }) => sum + length, 0);
  assert.ok(Buffer.concat(before).equals(bytes.subarray(0, goodBytes)));
});

/** The stand's objects, one of them with other bytes. */
function withBytes(stand: ChunkStand, name: string, bytes: Uint8Array): ChunkStand['objects'] {
  const inner = stand.objects;
  return {
    abilities: inner.abilities,
    put: (target, source, options) => inner.put(target, source, options),
    get: async (wanted, range) => {
      if (wanted !== name) return await inner.get(wanted, range);
      const from = range?.offset ?? 0;
      return bytes.slice(from, range?.length === undefined ? undefined : from + range.length);
    },
    head: (wanted) => inner.head(wanted),
    list: (options) => inner.list(options),
    delete: (wanted) => inner.delete(wanted),
    copy: (from, to) => inner.copy(from, to),
    append: (target, at) => inner.append(target, at),
    close: () => inner.close(),
    [Symbol.asyncDispose]: () => inner.close(),
  };
}
