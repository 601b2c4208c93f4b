/**
 * Uploads on a whole store: any order of parts with anything in between gives the file that was sent; what is durable
 * survives a restart; what goes leaves nothing behind; and nobody holds up anybody.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import { type FileService, PART_BYTES_MIN, type UploadRecord } from '../../api/index.ts';
import { bytesOfHex, Fault, type FaultCode, hexOf, seededRandom } from '../../base/index.ts';
import { Cutter, xxh3Of } from '../../chunks/index.ts';
import { openSqliteFile } from '../../meta/index.ts';
import { MemoryObjects } from '../../objects/index.ts';

const PART = PART_BYTES_MIN;
const DAY_MS = 24 * 3600 * 1000;

async function fault(promise: Promise<unknown>, code: FaultCode): Promise<Fault> {
  const caught = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(Fault.is(caught, code), `expected ${code}, got ${caught}`);
  return caught;
}

function partOf(whole: Uint8Array, part: number): Uint8Array {
  return whole.subarray((part - 1) * PART, part * PART);
}

function begin(service: FileService, size: number | undefined, path = '/f'): Promise<UploadRecord> {
  return service.uploads.create(path, { size, partSize: PART });
}

async function readOf(service: FileService, path: string): Promise<Buffer> {
  return bytesOf((await service.read({ path })).bytes);
}

/** Rows that uploads and their hidden contents have. */
async function rowsOf({ meta }: Stand): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of ['uploads', 'uploadParts', 'contents', 'extents', 'extentsHistory', 'reaps'] as const)
    counts[table] = (await meta.scan(table, { prefix: [], limit: 10_000 })).length;
  return counts;
}

async function checkClean(stand: Stand): Promise<void> {
  const problems: unknown[] = [];
  for await (const problem of stand.meta.check()) problems.push(problem);
  assert.deepEqual(problems, []);
}

/** Bytes that begin, and then stand still until told. */
function stalled(first: Uint8Array): {
  source: AsyncIterable<Uint8Array>;
  goOn: (rest: Uint8Array) => void;
  began: Promise<void>;
} {
  const { promise: rest, resolve: goOn } = Promise.withResolvers<Uint8Array>();
  const { promise: began, resolve: begin } = Promise.withResolvers<void>();
  async function* source(): AsyncGenerator<Uint8Array> {
    yield first;
    begin();
    yield await rest;
  }
  return { source: source(), goOn, began };
}

type Act =
  | { readonly act: 'send'; readonly part: number }
  | { readonly act: 'break'; readonly part: number; readonly share: number }
  | { readonly act: 'other'; readonly part: number }
  | { readonly act: 'complete' }
  | { readonly act: 'restart' };

const PARTS = 4;

test('whatever order parts come in, broken off, repeated or with a restart between, the file is what was sent', async () => {
  const part = fc.integer({ min: 1, max: PARTS });
  const act: fc.Arbitrary<Act> = fc.oneof(
    { weight: 4, arbitrary: fc.record({ act: fc.constant('send' as const), part }) },
    {
      weight: 2,
      arbitrary: fc.record({
        act: fc.constant('break' as const),
        part,
        share: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('other' as const), part }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('complete' as const) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('restart' as const) }) },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(act, { maxLength: 14 }),
      fc.boolean(),
      fc.integer({ min: 1, max: PART }),
      async (acts, isSized, last) => {
        const whole = seededRandom(last).bytes((PARTS - 1) * PART + last);
        // One part is a hole, and one is noise that repeats.
        whole.fill(0, PART, 2 * PART);
        await using meta = openSqliteFile(':memory:');
        await using objects = new MemoryObjects();
        let [stand, restarts] = [await openStand({ meta, objects }), 0];
        try {
          const upload = await begin(stand.service, isSized ? whole.length : undefined);
          const id = upload.upload_id;
          const there = new Set<number>();
          for (const each of acts) {
            const { uploads } = stand.service;
            switch (each.act) {
              case 'send':
                await uploads.putPart(id, each.part, [partOf(whole, each.part)]);
                there.add(each.part);
                break;
              case 'break': {
                const sent = seededRandom(each.part).bytes(Math.floor(each.share * partOf(whole, each.part).length));
                await assert.rejects(uploads.putPart(id, each.part, breaking(sent)));
                break;
              }
              case 'other':
                if (there.has(each.part))
                  await fault(
                    uploads.putPart(id, each.part, [new Uint8Array(partOf(whole, each.part).length).fill(7)]),
                    'conflict',
                  );
                break;
              case 'complete': {
                const isWhole =
                  there.size === Math.max(0, ...there) && (isSized ? there.size === PARTS : there.size > 0);
                // Without a size, as many as are there in a row are a whole.
                if (!isWhole && there.size > 0) await fault(uploads.complete(id), 'incomplete');
                break;
              }
              case 'restart':
                await stand[Symbol.asyncDispose]();
                stand = await openStand({ meta, objects, restarts: ++restarts });
                break;
            }
            const received = [...there].reduce((sum, one) => sum + partOf(whole, one).length, 0);
            assert.equal((await uploads.find(id)).received, received);
          }
          for (let one = PARTS; one >= 1; one--) await stand.service.uploads.putPart(id, one, [partOf(whole, one)]);
          const sha256 = createHash('sha256').update(whole).digest('hex');
          const record = await stand.service.uploads.complete(id, { sha256, size: whole.length });
          assert.ok((await readOf(stand.service, '/f')).equals(whole));
          const plain = await stand.service.write('/plain', [whole], { mode: 'create' });
          assert.equal(record.xxhash3, plain.xxhash3);
          await stand.service.remove('/plain');
          await checkClean(stand);
          assert.equal((await rowsOf(stand)).extentsHistory, 0);
        } finally {
          await stand[Symbol.asyncDispose]();
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('an upload that there is no room for is refused when it begins, or as soon as it has grown too large', async () => {
  await using stand = await openStand({ options: { fileBytesMax: 4 * PART } });
  const { uploads } = stand.service;
  const { meta } = stand;
  await stand.service.write('/f', [new Uint8Array(PART)], { mode: 'put' });
  const begun = await rowsOf(stand);
  await fault(begin(stand.service, 4 * PART + 1), 'too-large');
  const [space] = await meta.scan('spaces', { prefix: [], limit: 1 });
  assert.ok(space !== undefined);
  const parts = await begin(stand.service, undefined, '/parts');
  await fault(uploads.putPart(parts.upload_id, 5, [new Uint8Array(1)]), 'too-large');
  const quota = { ...space, quotaBytes: 3 * PART };
  await meta.commit([
    { space: space.space, now: stand.clock.now(), puts: [{ table: 'spaces', mode: 'replace', row: quota }] },
  ]);

  const refused = await fault(begin(stand.service, 2 * PART + 1, '/other'), 'quota');
  assert.deepEqual(
    [refused.about.usedBytes, refused.about.neededBytes, refused.about.quotaBytes],
    [PART, 3 * PART + 1, 3 * PART],
  );
  await fault(begin(stand.service, 3 * PART + 1), 'quota');
  // What is replaced may make room.
  await uploads.remove((await begin(stand.service, 3 * PART)).upload_id);
  await fault(uploads.putPart(parts.upload_id, 3, [new Uint8Array(1)]), 'quota');
  await fault(uploads.putPart(parts.upload_id, 3, [], { size: 1 }), 'quota');
  await uploads.putPart(parts.upload_id, 2, [new Uint8Array(PART)]);
  await uploads.putPart(parts.upload_id, 1, [new Uint8Array(PART)]);
  await uploads.remove(parts.upload_id);

  const grows = await uploads.create('/grows', { isAppended: true });
  const pieces = [new Uint8Array(2 * PART), new Uint8Array(1)];
  await fault(uploads.append(grows.upload_id, 0, pieces), 'quota');
  // What there was room for stays, and can be completed.
  const wrong = await fault(uploads.complete(grows.upload_id, { xxhash3: '0'.repeat(16) }), 'mismatch');
  assert.match(wrong.message, /The upload is kept as it is/);
  assert.equal((await uploads.complete(grows.upload_id)).size, 2 * PART);
  await stand.service.remove('/grows');
  const { uploadParts } = await rowsOf(stand);
  assert.equal(uploadParts, begun.uploadParts);
  await checkClean(stand);
});

async function* breaking(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 10_007) yield bytes.subarray(at, at + 10_007);
  throw new Error('the client went away');
}

test('an upload that is removed, or expires, leaves nothing; one that goes on does not expire', async () => {
  await using stand = await openStand();
  const { uploads } = stand.service;
  const before = await rowsOf(stand);
  const whole = seededRandom(5).bytes(3 * PART);
  const removed = await begin(stand.service, whole.length);
  for (const part of [1, 2]) await uploads.putPart(removed.upload_id, part, [partOf(whole, part)]);
  await assert.rejects(uploads.putPart(removed.upload_id, 3, breaking(partOf(whole, 3))));
  await uploads.remove(removed.upload_id);
  await stand.files.reapNow();
  assert.deepEqual(await rowsOf(stand), before);
  const expiring = await begin(stand.service, whole.length);
  const kept = await begin(stand.service, whole.length);
  await uploads.putPart(expiring.upload_id, 1, [partOf(whole, 1)]);
  stand.clock.advance(DAY_MS - 1_000);
  await uploads.putPart(kept.upload_id, 1, [partOf(whole, 1)]);
  stand.clock.advance(2_000);
  await fault(uploads.find(expiring.upload_id), 'not-found');
  await fault(uploads.putPart(expiring.upload_id, 2, [partOf(whole, 2)]), 'not-found');
  assert.deepEqual(
    (await uploads.list()).uploads.map(({ upload_id }) => upload_id),
    [kept.upload_id],
  );
  assert.equal(await stand.files.expireUploadsNow(), 1);
  assert.equal((await uploads.find(kept.upload_id)).received, PART);
  stand.clock.advance(2 * DAY_MS);
  assert.equal(await stand.files.expireUploadsNow(), 1);
  await stand.files.reapNow();
  assert.deepEqual(await rowsOf(stand), before);
  await checkClean(stand);
});

test('open uploads have a bound; what has expired makes room', async () => {
  const uploads = { expireAfterSeconds: 60, openMax: 3 };
  await using stand = await openStand({ options: { uploads } });
  for (let count = 0; count < 3; count++) await begin(stand.service, 10, `/f${count}`);
  const { about } = await fault(begin(stand.service, 10), 'busy');
  assert.deepEqual(about, { open: 3, openMax: 3 });
  stand.clock.advance(61_000);
  await begin(stand.service, 10);
});

test('who sends the same part again takes the place of one that stands still', async () => {
  await using stand = await openStand();
  const { uploads } = stand.service;
  const whole = seededRandom(6).bytes(2 * PART);
  const { upload_id: id } = await begin(stand.service, whole.length);
  const first = stalled(partOf(whole, 1).subarray(0, 1_000));
  const ended = fault(uploads.putPart(id, 1, first.source), 'aborted');
  await first.began;
  // Another part is not in its way.
  await uploads.putPart(id, 2, [partOf(whole, 2)]);
  await uploads.putPart(id, 1, [partOf(whole, 1)]);
  await ended;
  await uploads.complete(id);
  assert.ok((await readOf(stand.service, '/f')).equals(whole));
});

test('completing ends what is still being sent, and nothing of it is behind the end', async () => {
  await using stand = await openStand();
  const { uploads } = stand.service;
  const whole = seededRandom(7).bytes(2 * PART);
  const { upload_id: id } = await begin(stand.service, undefined);
  await uploads.putPart(id, 1, [partOf(whole, 1)]);
  const behind = stalled(partOf(whole, 2).subarray(0, 50_000));
  const sending = uploads.putPart(id, 2, behind.source);
  await behind.began;
  const [record] = await Promise.all([uploads.complete(id), fault(sending, 'aborted')]);
  assert.equal(record.size, PART);
  const extents = await stand.meta.scan('extents', { prefix: [], limit: 1_000 });
  assert.ok(extents.every(({ offset, length }) => offset + length <= PART));
});

test('the hash is that of the whole also where parts cross, come at once, and one breaks off behind the frontier', async () => {
  await using stand = await openStand();
  const { uploads } = stand.service;
  const whole = seededRandom(8).bytes(9 * PART + 17);
  const { upload_id: id } = await begin(stand.service, whole.length);
  await uploads.putPart(id, 1, [partOf(whole, 1)]);
  await assert.rejects(uploads.putPart(id, 2, breaking(partOf(whole, 3))));
  await Promise.all([3, 5, 2, 4].map((part) => uploads.putPart(id, part, [partOf(whole, part)])));
  await Promise.all([10, 9, 8, 7, 6].map((part) => uploads.putPart(id, part, [partOf(whole, part)])));
  const record = await uploads.complete(id);
  assert.equal(record.xxhash3, (await stand.service.write('/plain', [whole], { mode: 'put' })).xxhash3);
});

test('one that grows is durable as far as it says, through restarts', async () => {
  await using meta = openSqliteFile(':memory:');
  await using objects = new MemoryObjects();
  const whole = seededRandom(9).bytes(20 * PART);
  let received = 0;
  let id: string | undefined;
  for (let restarts = 0; received < whole.length; restarts++) {
    await using stand = await openStand({ meta, objects, restarts });
    const { uploads } = stand.service;
    id ??= (await uploads.create('/f', { isAppended: true, size: whole.length })).upload_id;
    assert.equal((await uploads.find(id)).received, received);
    const next = whole.subarray(received, received + 3 * PART + 99);
    if (restarts % 2 === 0) await assert.rejects(uploads.append(id, received, breaking(next)));
    else await uploads.append(id, received, [next]);
    received += next.length;
    assert.equal((await uploads.find(id)).received, received);
  }
  await using stand = await openStand({ meta, objects, restarts: 99 });
  await stand.service.uploads.complete(id ?? '', { sha256: createHash('sha256').update(whole).digest('hex') });
  assert.ok((await readOf(stand.service, '/f')).equals(whole));
});

/** As a client cuts and names a part. */
async function claimsOf(service: FileService, bytes: Uint8Array): Promise<{ size: number; id: string }[]> {
  const { bytes_min, bytes_mean, bytes_max, id_key, ids, chunker } = await service.uploads.chunking();
  const sizes = { chunkBytesMin: bytes_min, chunkBytesMean: bytes_mean, chunkBytesMax: bytes_max };
  const format = { ...sizes, idAlgorithm: ids, chunker: chunker as 'ultracdc' };
  const cutter = new Cutter(format, { idKey: bytesOfHex(id_key) ?? new Uint8Array(0) });
  const chunks = await cutter.chunksOf([bytes.subarray(0, 33_333), bytes.subarray(33_333)]);
  return chunks.map(({ length, id }) => ({ size: length, id: hexOf(id) }));
}

const HAVE_PART = 16 * PART;

/** The bytes of the chunks that are missing. */
function restOf(bytes: Uint8Array, claims: readonly { size: number }[], missing: readonly number[]): Buffer {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const [index, { size }] of claims.entries()) {
    if (missing.includes(index)) pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return Buffer.concat(pieces);
}

async function checkCounts(stand: Stand): Promise<void> {
  await checkClean(stand);
  assert.equal((await stand.service.check()).is_clean, true);
}

test('what the store has of a file is not sent: a new version costs the chunks that differ', async () => {
  await using stand = await openStand();
  const { uploads } = stand.service;
  const old = seededRandom(10).bytes(2 * HAVE_PART);
  old.fill(0, 300_000, 600_000);
  await stand.service.write('/f', [old], { mode: 'create' });
  const fresh = Buffer.from(old);
  seededRandom(11)
    .bytes(1_000)
    .forEach((byte, index) => {
      fresh[1_200_000 + index] = byte;
    });
  const { upload_id: id } = await uploads.create('/f', { size: fresh.length, partSize: HAVE_PART });
  let sent = 0;
  for (const part of [2, 1]) {
    const bytes = fresh.subarray((part - 1) * HAVE_PART, part * HAVE_PART);
    const claims = await claimsOf(stand.service, bytes);
    // Asked again it answers the same.
    await uploads.have(id, part, claims);
    const { missing, missing_bytes } = await uploads.have(id, part, claims);
    const rest = restOf(bytes, claims, missing);
    assert.equal(rest.length, missing_bytes);
    sent += rest.length;
    await fault(uploads.putPart(id, part, [rest, Buffer.from('x')], { isRest: true }), 'mismatch');
    await fault(uploads.putPart(id, part, [rest], { isRest: true, size: rest.length + 1 }), 'mismatch');
    await uploads.have(id, part, claims);
    const record = await uploads.putPart(id, part, [rest], { isRest: true, size: rest.length });
    assert.deepEqual([record.size, record.xxhash3], [HAVE_PART, hexOf(xxh3Of(bytes))]);
    await fault(uploads.have(id, part, claims), 'conflict');
    await fault(uploads.putPart(id, part, [new Uint8Array(HAVE_PART)]), 'conflict');
  }
  // Zeros are no chunks, the change is in one or two, and the chunks at the borders of parts are others.
  assert.ok(sent < 300_000 + 8 * 131_072, `${sent} bytes were sent`);
  await uploads.complete(id, { sha256: createHash('sha256').update(fresh).digest('hex') });
  assert.ok((await readOf(stand.service, '/f')).equals(fresh));
  await checkCounts(stand);
});

test('chunks that were answered to be there stay for the upload, though every file that had them goes', async () => {
  await using stand = await openStand({ options: { versionsKept: [], historyKeptSeconds: 0 } });
  const { uploads } = stand.service;
  const bytes = seededRandom(12).bytes(HAVE_PART);
  await stand.service.write('/old', [bytes], { mode: 'create' });
  const { upload_id: id } = await uploads.create('/f', { size: bytes.length, partSize: HAVE_PART });
  const claims = await claimsOf(stand.service, bytes);
  assert.deepEqual((await uploads.have(id, 1, claims)).missing, []);
  await stand.service.remove('/old');
  await stand.files.reapNow();
  await stand.files.sweepHistoryNow();
  await stand.service.gc({ graceSeconds: 0 });
  await uploads.putPart(id, 1, [], { isRest: true, size: 0 });
  await uploads.complete(id);
  assert.ok((await readOf(stand.service, '/f')).equals(bytes));
  await checkCounts(stand);
  // And an upload that is removed lets go of them.
  const { upload_id: other } = await uploads.create('/g', { size: bytes.length, partSize: HAVE_PART });
  assert.deepEqual((await uploads.have(other, 1, claims)).missing, []);
  await uploads.remove(other);
  await stand.service.remove('/f');
  await stand.files.reapNow();
  await stand.files.sweepHistoryNow();
  await stand.service.gc({ graceSeconds: 0 });
  const { upload_id: last } = await uploads.create('/h', { size: bytes.length, partSize: HAVE_PART });
  assert.deepEqual((await uploads.have(last, 1, claims)).missing_bytes, HAVE_PART);
  await checkCounts(stand);
});

test('a question must cover its part, claims of another length know nothing, and broken rests are asked for again', async () => {
  await using stand = await openStand();
  const { uploads } = stand.service;
  const bytes = seededRandom(13).bytes(HAVE_PART);
  await stand.service.write('/old', [bytes.subarray(0, HAVE_PART / 2)], { mode: 'create' });
  const { upload_id: id } = await uploads.create('/f', { size: bytes.length, partSize: HAVE_PART });
  const claims = await claimsOf(stand.service, bytes);
  await fault(uploads.have(id, 1, claims.slice(1)), 'mismatch');
  await fault(uploads.have(id, 2, claims), 'range');
  const [first, second, ...others] = claims;
  assert.ok(first !== undefined && second !== undefined);
  const lying = [{ ...first, size: first.size - 1 }, { ...second, size: second.size + 1 }, ...others];
  assert.deepEqual((await uploads.have(id, 1, lying)).missing.slice(0, 2), [0, 1]);
  const { missing } = await uploads.have(id, 1, claims);
  assert.ok(missing.length > 0 && missing.length < claims.length);
  const rest = restOf(bytes, claims, missing);
  await assert.rejects(uploads.putPart(id, 1, breaking(rest.subarray(0, rest.length / 2)), { isRest: true }));
  assert.equal((await uploads.find(id)).received, 0);
  const again = await uploads.have(id, 1, claims);
  await uploads.putPart(id, 1, [restOf(bytes, claims, again.missing)], { isRest: true });
  await uploads.complete(id);
  assert.ok((await readOf(stand.service, '/f')).equals(bytes));
  await checkCounts(stand);
});
