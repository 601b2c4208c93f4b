/** Bodies on their way in: gathered into shared buffers, in order, whoever is slow, and the buffers come back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ByteSource, FileService } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import { type FakeDoor, openFakeDoor } from '../fake-door.ts';
import { GATHER_BUFFERS_MAX } from './upload-body.ts';

const LARGE = Buffer.from(Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 7919) >> 5));

/** A door whose files are written by `take` alone, which gets the pieces; what it answers is compared with nothing. */
async function doorTo(take: (source: ByteSource) => Promise<void>): Promise<FakeDoor> {
  const wrap = (service: FileService): FileService => ({
    ...service,
    stat: (target, options) => service.stat(target, options),
    write: async (_path, source, _options) => {
      await take(source);
      return await service.stat({ path: '/' });
    },
  });
  return await openFakeDoor({ wrap });
}

const put = (door: FakeDoor, body: Uint8Array) => door.ask('PUT', '/v1/files/a?create', { body });

/** Bytes of the memory that a piece lies in; a gathered one lies in a larger one than any connection gives. */
const roomOf = (piece: Uint8Array): number => piece.buffer.byteLength;

test('a large body comes in order and in few pieces, each gone when the next is asked for', async () => {
  const seen: Buffer[] = [];
  await using door = await doorTo(async (source) => {
    for await (const piece of source) {
      assert.equal(piece.slice().buffer === piece.buffer, false, 'a slice is a copy');
      seen.push(Buffer.from(piece));
      // Meanwhile more comes in, and must not go where this piece lies.
      await sleep(2);
      assert.ok(seen.at(-1)?.equals(piece));
    }
  });
  assert.equal((await put(door, LARGE)).status, 201);
  assert.ok(Buffer.concat(seen).equals(LARGE));
  assert.ok(seen.length < LARGE.length / 100_000, `${seen.length} pieces`);
});

test('a body that nobody takes is not read beyond a bound', async () => {
  const { promise: goOn, resolve } = Promise.withResolvers<void>();
  await using door = await doorTo(async (source) => {
    const pieces = (Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : undefined) as
      | AsyncIterator<Uint8Array>
      | undefined;
    await pieces?.next();
    await goOn;
    await pieces?.return?.();
  });
  const socket = await door.socket();
  socket.on('error', () => {});
  socket.write('PUT /v1/files/a?create HTTP/1.1\r\nHost: test.example\r\nContent-Length: 400000000\r\n\r\n');
  // The kernel takes some megabytes; what is written beyond that stays here.
  for (let n = 0; n < 40; n++) socket.write(new Uint8Array(1_000_000));
  await sleep(300);
  assert.ok(socket.writableLength > 10_000_000, `${socket.writableLength} bytes were not taken`);
  resolve();
  socket.destroy();
});

test('more uploads than there are buffers all come whole', async () => {
  const whole: boolean[] = [];
  await using door = await doorTo(async (source) => {
    const parts: Buffer[] = [];
    for await (const piece of source) {
      parts.push(Buffer.from(piece));
      await sleep(1);
    }
    whole.push(Buffer.concat(parts).equals(LARGE));
  });
  await Promise.all(Array.from({ length: GATHER_BUFFERS_MAX + 8 }, () => put(door, LARGE)));
  assert.deepEqual(new Set(whole), new Set([true]));
  assert.equal(whole.length, GATHER_BUFFERS_MAX + 8);
});

test('buffers come back from uploads that are refused or forgotten in the middle', async () => {
  let isPatient = false;
  let wasGathered = false;
  await using door = await doorTo(async (source) => {
    if (isPatient) {
      for await (const piece of source) wasGathered ||= roomOf(piece) > 64 * 1024;
      return;
    }
    // Left without a word, as by a form whose file nobody wants.
    if (Symbol.asyncIterator in source) await source[Symbol.asyncIterator]().next();
    throw new Fault('full', 'Enough.', {});
  });
  // Whatever the connection says about being refused in the middle.
  for (let n = 0; n < 2 * GATHER_BUFFERS_MAX; n++) await put(door, LARGE).catch(() => {});
  isPatient = true;
  await put(door, LARGE);
  assert.ok(wasGathered);
});
