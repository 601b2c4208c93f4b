/** A client that sends a file in parts: what it sends again after every kind of break, and what it makes of files that change. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileService } from '../src/api/index.ts';
import { bytesOfHex, Fault, hexOf, ManualClock, seededRandom } from '../src/base/index.ts';
import { Cutter, xxh3Of } from '../src/chunks/index.ts';
import { type PartsOptions, type PartsSource, uploadInParts } from '../src/client/index.ts';
import { bytesOf, openStand, type Stand } from './stand.ts';

const PART = 128 * 1024;
const MODIFIED = '2024-05-06T07:08:09.123456789Z';
const WHOLE = Buffer.alloc(4 * PART + 999);
for (let at = 0; at < WHOLE.length; at += 4_096)
  WHOLE.writeUInt32LE((Math.imul(at, 2_654_435_761) >>> 0) % 2 ** 32, at);

interface Wire {
  readonly service: FileService;
  /** Parts that were sent whole, in order. */
  readonly sent: number[];
  /** Announced with all parts. */
  bytes: number;
  /** Parts that were asked about. */
  readonly asked: number[];
  /** Called with every part ahead of its answer, and throws for a connection that breaks. */
  before: (part: number) => void;
  after: (part: number) => void;
}

function wireOf({ service }: Stand): Wire {
  const wire: Wire = { service: { ...service }, sent: [], bytes: 0, asked: [], before: () => {}, after: () => {} };
  const uploads: { -readonly [M in keyof FileService['uploads']]: FileService['uploads'][M] } = {
    ...service.uploads,
    putPart: async (upload, part, source, options) => {
      wire.before(part);
      wire.bytes += options?.size ?? 0;
      const record = await service.uploads.putPart(upload, part, source, options);
      wire.sent.push(part);
      wire.after(part);
      return record;
    },
  };
  uploads.have = (upload, part, ...rest) => {
    wire.asked.push(part);
    return service.uploads.have(upload, part, ...rest);
  };
  return Object.assign(wire, { service: { ...service, uploads } });
}

function sourceOf(bytes: Uint8Array, check: () => void = () => {}): PartsSource {
  return {
    size: bytes.length,
    check,
    read: (offset, length) => {
      const run = bytes.subarray(offset, offset + length);
      return { bytes: [run.subarray(0, 1_000), run.subarray(1_000)], hash: () => hexOf(xxh3Of(run)) };
    },
  };
}

function options(more: Partial<PartsOptions> = {}): PartsOptions {
  const clock = new ManualClock();
  const sleep = async (): Promise<void> => {};
  const now = { now: () => clock.now(), monotonicMs: () => clock.monotonicMs(), after: clock.after.bind(clock), sleep };
  return { modified: MODIFIED, permissions: 0o640, partSize: PART, clock: now, random: seededRandom(1), ...more };
}

const unreachable = (): never => {
  throw new Fault('unavailable', 'The server cannot be reached.');
};

async function checkStored({ service }: Stand, bytes: Uint8Array = WHOLE): Promise<void> {
  const read = await service.read({ path: '/f' });
  assert.ok((await bytesOf(read.bytes)).equals(bytes));
  assert.deepEqual([read.record.mode, read.record.modified], [0o640, MODIFIED]);
  assert.deepEqual((await service.uploads.list()).uploads, []);
}

test('a run that was cut off is gone on with: only parts that are not there are sent', async () => {
  await using stand = await openStand();
  const wire = wireOf(stand);
  wire.before = (part) => {
    if (part === 4) throw new Error('killed');
  };
  await assert.rejects(uploadInParts(wire.service, '/f', sourceOf(WHOLE), options({ atOnce: 1 })), /killed/);
  assert.deepEqual(wire.sent, [1, 2, 3]);
  wire.before = () => {};
  let told = 0;
  await uploadInParts(wire.service, '/f', sourceOf(WHOLE), options({ onBytes: (bytes) => (told += bytes) }));
  assert.deepEqual(wire.sent.slice(3).sort(), [4, 5]);
  assert.equal(told, WHOLE.length);
  await checkStored(stand);
});

test('a server that is away for a while is waited for, and what an answer that was lost was about is not sent again', async () => {
  await using stand = await openStand();
  const wire = wireOf(stand);
  let breaks = 0;
  wire.before = () => {
    if (breaks++ % 3 === 0) unreachable();
  };
  let lost = 0;
  wire.after = (part) => {
    if (part === 2 && lost++ === 0) unreachable();
  };
  let told = 0;
  await uploadInParts(wire.service, '/f', sourceOf(WHOLE), options({ onBytes: (bytes) => (told += bytes) }));
  assert.equal(lost, 1);
  assert.deepEqual(wire.sent.toSorted(), [1, 2, 3, 4, 5]);
  assert.equal(wire.bytes, WHOLE.length);
  assert.equal(told, WHOLE.length);
  await checkStored(stand);
});

test('a part that was stored while the store was asked about its chunks is not sent, and nothing fails', async () => {
  await using stand = await openStand();
  const wire = wireOf(stand);
  const bytes = Buffer.from(seededRandom(5).bytes(4 * PART));
  const { have } = wire.service.uploads;
  let stored = 0;
  const uploads: FileService['uploads'] = {
    ...wire.service.uploads,
    have: async (upload, part, ...rest) => {
      // What a connection that broke had sent is stored only now.
      if (stored++ === 0) await stand.service.uploads.putPart(upload, part, [bytes.subarray(0, PART)]);
      return have(upload, part, ...rest);
    },
  };
  await uploadInParts({ ...wire.service, uploads }, '/f', cutting(bytes), options({ atOnce: 1 }));
  assert.ok(stored > 0);
  assert.deepEqual(wire.sent, [2, 3, 4]);
  await checkStored(stand, bytes);
});

test('parts of a file that was another one, with the same size and time, are found out by their hash', async () => {
  await using stand = await openStand();
  const wire = wireOf(stand);
  const other = Buffer.from(WHOLE);
  other[PART + 5] = (other[PART + 5] ?? 0) ^ 1;
  wire.before = (part) => {
    if (part === 3) throw new Error('killed');
  };
  await assert.rejects(uploadInParts(wire.service, '/f', sourceOf(other), options({ atOnce: 1 })), /killed/);
  wire.before = () => {};
  await uploadInParts(wire.service, '/f', sourceOf(WHOLE), options());
  await checkStored(stand);
});

test('an upload that is removed meanwhile is begun anew; one of another time is left alone', async () => {
  await using stand = await openStand();
  const wire = wireOf(stand);
  const older = await stand.service.uploads.create('/f', { size: WHOLE.length, modified: '2020-01-01T00:00:00Z' });
  let removed = 0;
  wire.before = (part) => {
    if (part === 2 && removed++ === 0) throw new Fault('not-found', 'There is no such upload.', { upload_id: 'x' });
  };
  await uploadInParts(wire.service, '/f', sourceOf(WHOLE), options());
  assert.equal((await stand.service.uploads.find(older.upload_id)).received, 0);
  await stand.service.uploads.remove(older.upload_id);
  await checkStored(stand);
});

test('a file that changes while it is sent becomes visible in no way', async () => {
  await using stand = await openStand();
  const check = (): void => {
    throw new Fault('conflict', 'It changed.', { changed: true });
  };
  const sending = uploadInParts(stand.service, '/f', sourceOf(WHOLE, check), options());
  await assert.rejects(sending, (error) => Fault.is(error, 'conflict') && error.about.changed === true);
  await assert.rejects(stand.service.stat({ path: '/f' }), (error) => Fault.is(error, 'not-found'));
});

/** Cuts as the store does. */
function cutting(bytes: Uint8Array): PartsSource {
  const cut: PartsSource['cut'] = async (offset, length, { ids, bytes_min, bytes_mean, bytes_max, id_key }) => {
    const sizes = { chunkBytesMin: bytes_min, chunkBytesMean: bytes_mean, chunkBytesMax: bytes_max };
    const format = { idAlgorithm: ids, chunker: 'ultracdc', ...sizes } as const;
    const cutter = new Cutter(format, { idKey: bytesOfHex(id_key) ?? new Uint8Array(0) });
    const chunks = await cutter.chunksOf([bytes.subarray(offset, offset + length)]);
    return chunks.map((chunk) => ({ size: chunk.length, id: hexOf(chunk.id) }));
  };
  return { ...sourceOf(bytes), cut };
}

test('of a file that the store has in another version only what differs is sent', async () => {
  await using stand = await openStand();
  const old = Buffer.from(seededRandom(3).bytes(16 * 8 * PART));
  const fresh = Buffer.from(old);
  fresh.write('another sentence', 5 * 8 * PART + 77);
  await stand.service.write('/f', [old], { mode: 'put' });
  const wire = wireOf(stand);
  let told = 0;
  const partSize = 8 * PART;
  const onBytes = (bytes: number): void => void (told += bytes);
  await uploadInParts(wire.service, '/f', cutting(fresh), options({ partSize, onBytes }));
  assert.equal(wire.asked.length, 16);
  // The chunk that differs, and one or two at the beginning and at the end of each part, where the cuts are others.
  assert.ok(wire.bytes < 16 * 3 * 131_072, `${wire.bytes} of ${fresh.length} bytes were sent`);
  assert.equal(told, fresh.length);
  await checkStored(stand, fresh);
});

test('a store that has nothing of a file is asked rarely', async () => {
  await using stand = await openStand();
  const wire = wireOf(stand);
  const bytes = Buffer.from(seededRandom(4).bytes(40 * PART));
  await uploadInParts(wire.service, '/f', cutting(bytes), options({ atOnce: 1 }));
  assert.deepEqual(wire.asked, [1, 3, 6, 11, 20, 37]);
  assert.equal(wire.bytes, bytes.length);
  await checkStored(stand, bytes);
});
