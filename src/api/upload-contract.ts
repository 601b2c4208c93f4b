/** What the uploads of every FileService do: part of its contract (contract.ts). */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Fault, type FaultCode } from '../base/index.ts';
import type { FileService } from './file-service.ts';
import type { UploadRecord } from './records.ts';
import { PART_BYTES_MIN, type UploadOptions } from './upload-service.ts';

const PART = PART_BYTES_MIN;
const HASH_OF_NOTHING = '2d06800538d394c2';

type Check = (title: string, act: (service: FileService) => Promise<void>) => void;

function sample(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function fault(promise: Promise<unknown>, code: FaultCode): Promise<Fault> {
  let caught: unknown;
  try {
    await promise;
  } catch (error) {
    caught = error;
  }
  assert.ok(Fault.is(caught, code), `expected ${code}, got ${String(caught)}`);
  return caught;
}

async function contentOf(service: FileService, path: string): Promise<Buffer> {
  const { bytes } = await service.read({ path });
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) pieces.push(piece.slice());
  return Buffer.concat(pieces);
}

/** In pieces that fit no border. */
function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 20_011) yield bytes.subarray(at, at + 20_011);
}

function begin(service: FileService, path: string, options: UploadOptions = {}): Promise<UploadRecord> {
  return service.uploads.create(path, { partSize: PART, ...options });
}

function send(service: FileService, upload: UploadRecord, part: number, whole: Uint8Array) {
  const bytes = whole.subarray((part - 1) * PART, part * PART);
  return service.uploads.putPart(upload.upload_id, part, pieces(bytes), { size: bytes.length });
}

async function* breakingOff(bytes: Uint8Array, error: Error): AsyncGenerator<Uint8Array> {
  yield* pieces(bytes);
  throw error;
}

export function uploads(check: Check): void {
  check('parts in any order become a file at once, and only when it completes', async (service) => {
    const whole = sample(2 * PART + 5_000);
    const upload = await begin(service, '/a/big', { size: whole.length, parents: true });
    assert.equal(upload.part_size, PART);
    assert.equal(upload.part_count, 3);
    for (const part of [3, 1]) {
      const record = await send(service, upload, part, whole);
      assert.deepEqual([record.part, record.offset, record.received], [part, (part - 1) * PART, true]);
    }
    const { about } = await fault(service.uploads.complete(upload.upload_id), 'incomplete');
    assert.deepEqual(about.missing, [2]);
    await fault(service.stat({ path: '/a/big' }), 'not-found');
    assert.equal((await service.uploads.find(upload.upload_id)).received, PART + 5_000);
    await send(service, upload, 2, whole);
    const record = await service.uploads.complete(upload.upload_id, { size: whole.length, sha256: sha256Of(whole) });
    assert.equal(record.size, whole.length);
    assert.ok((await contentOf(service, '/a/big')).equals(whole));
    const plain = await service.write('/plain', [whole], { mode: 'create' });
    assert.equal(record.xxhash3, plain.xxhash3);
  });

  check('completing again answers the same, and nothing can be added any more', async (service) => {
    const whole = sample(PART + 1);
    const upload = await begin(service, '/f', { size: whole.length });
    await Promise.all([send(service, upload, 1, whole), send(service, upload, 2, whole)]);
    const record = await service.uploads.complete(upload.upload_id);
    assert.deepEqual(await service.uploads.complete(upload.upload_id), record);
    assert.equal((await service.stat({ path: '/f' })).version, 1);
    const { state, record: kept } = await service.uploads.find(upload.upload_id);
    assert.equal(state, 'complete');
    assert.deepEqual(kept, record);
    await fault(send(service, upload, 1, whole), 'conflict');
    assert.deepEqual((await service.uploads.list()).uploads, []);
  });

  check('the same part again answers the same; with other bytes it is a conflict', async (service) => {
    const whole = sample(PART + 100);
    const upload = await begin(service, '/f', { size: whole.length });
    const first = await send(service, upload, 1, whole);
    assert.deepEqual(await send(service, upload, 1, whole), first);
    await fault(send(service, upload, 1, sample(PART, 2)), 'conflict');
    assert.equal((await service.uploads.find(upload.upload_id)).received, PART);
    await send(service, upload, 2, whole);
    await service.uploads.complete(upload.upload_id);
    assert.ok((await contentOf(service, '/f')).equals(whole));
  });

  check(
    'a part that is too large, too small, broken off or not what was announced counts for nothing',
    async (service) => {
      const whole = sample(2 * PART);
      const upload = await begin(service, '/f', { size: whole.length });
      const id = upload.upload_id;
      await fault(service.uploads.putPart(id, 1, [sample(PART + 1)]), 'too-large');
      await fault(service.uploads.putPart(id, 1, [sample(PART - 1)]), 'mismatch');
      await fault(service.uploads.putPart(id, 1, [whole.subarray(0, PART)], { xxhash3: HASH_OF_NOTHING }), 'mismatch');
      const sha256 = sha256Of(sample(10));
      await fault(service.uploads.putPart(id, 1, [whole.subarray(0, PART)], { sha256 }), 'mismatch');
      await assert.rejects(service.uploads.putPart(id, 1, breakingOff(sample(PART - 10, 3), new Error('gone'))));
      for (const part of [0, 3, 1.5]) {
        const refused = service.uploads.putPart(id, part, [whole.subarray(0, PART)]);
        await assert.rejects(refused, (error) => Fault.is(error, 'range', 'invalid', 'not-found'));
      }
      assert.equal((await service.uploads.find(id)).received, 0);
      await send(service, upload, 1, whole);
      await send(service, upload, 2, whole);
      await service.uploads.complete(id);
      assert.ok((await contentOf(service, '/f')).equals(whole));
    },
  );

  check('a whole that is not what was announced is refused, and the upload stays', async (service) => {
    const whole = sample(PART + 7);
    const upload = await begin(service, '/f', { xxhash3: HASH_OF_NOTHING });
    await send(service, upload, 1, whole);
    await send(service, upload, 2, whole);
    await fault(service.uploads.complete(upload.upload_id), 'mismatch');
    const other = await begin(service, '/g');
    await send(service, other, 1, whole);
    await send(service, other, 2, whole);
    await fault(service.uploads.complete(other.upload_id, { size: 5 }), 'mismatch');
    await fault(service.uploads.complete(other.upload_id, { sha256: sha256Of(sample(3)) }), 'mismatch');
    await fault(service.stat({ path: '/g' }), 'not-found');
    assert.equal((await service.uploads.complete(other.upload_id)).size, whole.length);
  });

  check('an expected version is checked when it begins and when it completes; the upload stays', async (service) => {
    await service.write('/f', [sample(3)], { mode: 'create' });
    await fault(begin(service, '/f', { expectedVersion: 7 }), 'conflict');
    await fault(begin(service, '/f', { mode: 'create' }), 'exists');
    await fault(begin(service, '/none', { mode: 'replace' }), 'not-found');
    await fault(begin(service, '/none/below'), 'not-found');
    const upload = await begin(service, '/f', { expectedVersion: 1 });
    await send(service, upload, 1, sample(10));
    await service.write('/f', [sample(4)], { mode: 'replace' });
    await fault(service.uploads.complete(upload.upload_id), 'conflict');
    assert.equal((await service.uploads.find(upload.upload_id)).state, 'open');
    assert.ok((await contentOf(service, '/f')).equals(sample(4)));
  });

  check('an upload of nothing, and one whose size nobody knew', async (service) => {
    const none = await begin(service, '/none', { size: 0 });
    const record = await service.uploads.complete(none.upload_id);
    assert.deepEqual([record.size, record.xxhash3], [0, HASH_OF_NOTHING]);
    const whole = sample(2 * PART + 1);
    const upload = await begin(service, '/f', { modified: '2020-01-02T03:04:05Z', permissions: 0o600 });
    for (const part of [2, 3, 1]) await send(service, upload, part, whole);
    const made = await service.uploads.complete(upload.upload_id);
    assert.deepEqual([made.size, made.mode], [whole.length, 0o600]);
    assert.equal(Date.parse(made.modified), Date.parse('2020-01-02T03:04:05Z'));
    assert.ok((await contentOf(service, '/f')).equals(whole));
  });

  check('only the last part may be shorter', async (service) => {
    const upload = await begin(service, '/f');
    await service.uploads.putPart(upload.upload_id, 1, [sample(10)]);
    await service.uploads.putPart(upload.upload_id, 2, [sample(PART)]);
    await fault(service.uploads.complete(upload.upload_id), 'mismatch');
  });

  check('parts come page by page, with what is there and what is not', async (service) => {
    const whole = sample(4 * PART + 9);
    const upload = await begin(service, '/f', { size: whole.length });
    await send(service, upload, 2, whole);
    const first = await service.uploads.parts(upload.upload_id, { limit: 3 });
    assert.deepEqual(
      first.parts.map(({ part, size, received }) => [part, size, received]),
      [
        [1, PART, false],
        [2, PART, true],
        [3, PART, false],
      ],
    );
    assert.equal(first.next, 3);
    const rest = await service.uploads.parts(upload.upload_id, { after: first.next, limit: 3 });
    assert.deepEqual(
      rest.parts.map(({ part, size, xxhash3 }) => [part, size, xxhash3]),
      [
        [4, PART, null],
        [5, 9, null],
      ],
    );
    assert.equal(rest.next, undefined);
  });

  check('open uploads are listed, by path too, and one that is removed is gone', async (service) => {
    const first = await begin(service, '/a', { size: 10 });
    const second = await begin(service, '/b', { size: 10 });
    const ids = async (path?: string): Promise<string[]> =>
      (await service.uploads.list({ path })).uploads.map(({ upload_id }) => upload_id).sort();
    assert.deepEqual(await ids(), [first.upload_id, second.upload_id].sort());
    assert.deepEqual(await ids('/b'), [second.upload_id]);
    assert.notEqual(first.upload_id, second.upload_id);
    assert.equal((await service.uploads.remove(first.upload_id)).state, 'removed');
    assert.deepEqual(await ids(), [second.upload_id]);
    await fault(service.uploads.find(first.upload_id), 'not-found');
    await fault(service.uploads.remove(first.upload_id), 'not-found');
    await fault(service.uploads.putPart(first.upload_id, 1, [sample(10)]), 'not-found');
    await fault(service.uploads.complete(first.upload_id), 'not-found');
    await fault(service.uploads.find('no-such-upload'), 'not-found');
  });

  check('one that grows keeps what came before a source broke off, and goes on there', async (service) => {
    const whole = sample(3 * PART);
    const upload = await service.uploads.create('/f', { isAppended: true, size: whole.length, note: 'by a door' });
    const id = upload.upload_id;
    assert.deepEqual([upload.part_size, upload.note], [null, 'by a door']);
    await service.uploads.append(id, 0, pieces(whole.subarray(0, PART + 1)));
    await assert.rejects(
      service.uploads.append(id, PART + 1, breakingOff(whole.subarray(PART + 1, 2 * PART), new Error('x'))),
    );
    // Over a connection what came last is not sure to have come.
    let { received } = await service.uploads.find(id);
    for (let tries = 0; received === PART + 1 && tries < 100; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      received = (await service.uploads.find(id)).received;
    }
    assert.ok(received >= PART + 1 && received <= 2 * PART, String(received));
    const { about } = await fault(service.uploads.append(id, 1, [sample(3)]), 'conflict');
    assert.equal(about.received, received);
    await fault(service.uploads.complete(id), 'incomplete');
    await fault(service.uploads.putPart(id, 1, [sample(3)]), 'invalid');
    const after = await service.uploads.append(id, received, pieces(whole.subarray(received)));
    assert.equal(after.received, whole.length);
    await service.uploads.complete(id, { sha256: sha256Of(whole) });
    assert.ok((await contentOf(service, '/f')).equals(whole));
  });

  check('a batch makes files of uploads, with all else that is in it or not at all', async (service) => {
    const whole = sample(PART + 3);
    const upload = await begin(service, '/new/f', { size: whole.length, parents: true });
    const put = { op: 'put', upload_id: upload.upload_id } as const;
    await send(service, upload, 1, whole);
    const { about } = await fault(service.batch({ operations: [put] }), 'incomplete');
    assert.equal(about.operation, 0);
    await send(service, upload, 2, whole);
    await fault(service.batch({ operations: [put, { op: 'delete', path: '/none' }] }), 'not-found');
    await fault(service.batch({ operations: [put, put] }), 'conflict');
    await fault(service.batch({ operations: [{ ...put, path: '/elsewhere' }] }), 'invalid');
    await fault(service.stat({ path: '/new' }), 'not-found');
    assert.equal((await service.uploads.find(upload.upload_id)).state, 'open');
    const move = { op: 'move', from_path: '/new/f', to_path: '/new/g' } as const;
    const answer = await service.batch({ operations: [put, move] });
    assert.deepEqual([answer.done, answer.failed], [2, 0]);
    assert.ok((await contentOf(service, '/new/g')).equals(whole));
    assert.equal((await service.uploads.find(upload.upload_id)).state, 'complete');
    await fault(service.batch({ operations: [put] }), 'conflict');
  });

  check('what a question answers to be missing is all that is sent of a part', async (service) => {
    const whole = sample(PART + 5);
    const upload = await begin(service, '/f', { size: whole.length });
    const id = upload.upload_id;
    const { ids, bytes_max } = await service.uploads.chunking();
    assert.ok(ids === 'blake3' && bytes_max > 0);
    const claims = [
      { size: 5, id: '0'.repeat(64) },
      { size: PART - 5, id: '1'.repeat(64) },
    ];
    assert.deepEqual(await service.uploads.have(id, 1, claims), { part: 1, missing: [0, 1], missing_bytes: PART });
    await fault(service.uploads.have(id, 2, claims), 'mismatch');
    await service.uploads.putPart(id, 1, pieces(whole.subarray(0, PART)), { size: PART, isRest: true });
    await fault(service.uploads.have(id, 1, claims), 'conflict');
    await send(service, upload, 2, whole);
    await service.uploads.complete(id);
    assert.ok((await contentOf(service, '/f')).equals(whole));
  });

  check('parts of a size that cannot be are refused', async (service) => {
    await fault(service.uploads.create('/f', { partSize: 10 }), 'invalid');
    await fault(service.uploads.create('/f', { partSize: PART, size: PART * 10_001 }), 'invalid');
    assert.deepEqual((await service.uploads.list({ path: '/x' })).uploads, []);
  });
}
