/**
 * The power is cut at many calls of the disk while uploads are made, sent, completed and removed. What a start finds: every
 * part that was acknowledged is there, with its hash; progress is never ahead of bytes; sending what is missing gives the
 * file; and what was removed, or goes then, leaves no row.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FileService, PART_BYTES_MIN } from '../../src/api/index.ts';
import { Fault, hexOf, ManualClock, msOfMoment, seededRandom } from '../../src/base/index.ts';
import { xxh3Of } from '../../src/chunks/index.ts';
import { SeededDisk } from '../../src/objects/index.ts';
import { bytesOf } from './script.ts';
import { boot, type World } from './world.ts';

const SEED = 31;
const PART = PART_BYTES_MIN;
const WHOLE = seededRandom(SEED).bytes(3 * PART + 5_000);
WHOLE.fill(0, PART + 100, PART + 30_000);

/** What was acknowledged of an upload. */
interface Told {
  readonly id: string;
  readonly parts: readonly number[];
  /** Of one that grows. */
  readonly received: number;
  readonly end: 'open' | 'completing' | 'complete' | 'removing' | 'removed';
}

function partOf(part: number): Uint8Array {
  return WHOLE.subarray((part - 1) * PART, part * PART);
}

async function work({ service }: World, tell: (path: string, told: Partial<Told>) => void): Promise<void> {
  const { uploads } = service;
  const begin = async (path: string, options: object): Promise<string> => {
    const { upload_id: id } = await uploads.create(path, { size: WHOLE.length, ...options });
    tell(path, { id, parts: [], received: 0, end: 'open' });
    return id;
  };
  const inParts = await begin('/parts', { partSize: PART });
  const grown = await begin('/grown', { isAppended: true });
  const gone = await begin('/gone', { partSize: PART });
  await uploads.putPart(inParts, 4, [partOf(4)]);
  tell('/parts', { parts: [4] });
  await uploads.append(grown, 0, [partOf(1), partOf(2).subarray(0, 777)]);
  tell('/grown', { received: PART + 777 });
  await assert.rejects(uploads.putPart(inParts, 2, breaking(partOf(1))));
  await Promise.all([2, 1].map((part) => uploads.putPart(inParts, part, [partOf(part)])));
  tell('/parts', { parts: [1, 2, 4] });
  await uploads.putPart(gone, 1, [partOf(3)]);
  tell('/gone', { end: 'removing' });
  await uploads.remove(gone);
  tell('/gone', { end: 'removed' });
  await uploads.putPart(inParts, 3, [partOf(3)]);
  tell('/parts', { parts: [1, 2, 3, 4], end: 'completing' });
  await uploads.complete(inParts);
  tell('/parts', { end: 'complete' });
  await assert.rejects(uploads.append(grown, PART + 777, breaking(WHOLE.subarray(PART + 777, 2 * PART))));
  tell('/grown', { received: 2 * PART });
  await uploads.append(grown, 2 * PART, [WHOLE.subarray(2 * PART)]);
  tell('/grown', { received: WHOLE.length, end: 'completing' });
  await uploads.complete(grown);
  tell('/grown', { end: 'complete' });
}

async function* breaking(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
  throw new Error('the client went away');
}

async function goOn(service: FileService, path: string, told: Told): Promise<void> {
  const { uploads } = service;
  const isGone = told.end === 'removed' || told.end === 'removing';
  const upload = await uploads.find(told.id).catch((error: unknown) => {
    if (isGone && Fault.is(error, 'not-found')) return undefined;
    throw error;
  });
  if (told.end === 'removed') assert.equal(upload, undefined);
  if (upload === undefined) return;
  if (told.end === 'removing') {
    await uploads.remove(told.id);
    return;
  }
  if (told.end === 'complete') assert.equal(upload.state, 'complete');
  else if (told.end !== 'completing') assert.equal(upload.state, 'open');
  if (upload.part_size === null) {
    assert.ok(upload.received >= told.received, `${path}: ${upload.received} of ${told.received}`);
    if (upload.state === 'open') await uploads.append(told.id, upload.received, [WHOLE.subarray(upload.received)]);
  } else {
    const { parts } = await uploads.parts(told.id);
    for (const { part, received, xxhash3 } of parts) {
      assert.ok(received || !told.parts.includes(part), `${path}: part ${part} is lost`);
      if (received) assert.equal(xxhash3, hexOf(xxh3Of(partOf(part))));
      else await uploads.putPart(told.id, part, [partOf(part)]);
    }
  }
  await uploads.complete(told.id, { size: WHOLE.length });
  assert.ok(Buffer.from(await bytesOf(service, path)).equals(WHOLE), path);
}

test('what was acknowledged of an upload survives a power cut anywhere, and it can be gone on with', async () => {
  const clock = new ManualClock();
  const disk = new SeededDisk({ seed: SEED, clock });
  const told = new Map<string, Told>();
  const images: { readonly disk: SeededDisk; readonly told: ReadonlyMap<string, Told>; readonly call: number }[] = [];
  const chance = seededRandom(SEED + 1);
  {
    using _watch = disk.watch(() => {
      if (told.size > 0 && chance.fraction() < 0.12)
        images.push({ disk: disk.crash(chance.below(1e6)), told: new Map(told), call: disk.mutationCount });
    });
    await using world = await boot(disk, { seed: SEED, clock });
    await work(world, (path, more) => told.set(path, { ...(told.get(path) as Told), ...more }));
  }
  assert.ok(images.length >= 20, `only ${images.length} cuts`);
  for (const image of images) {
    const later = new ManualClock(msOfMoment(clock.now()) + 60_000);
    await using world = await boot(image.disk, { seed: SEED + image.call, clock: later });
    try {
      for (const [path, each] of image.told) await goOn(world.service, path, each);
      assert.equal((await world.service.check()).is_clean, true);
      later.advance(3 * 24 * 3600 * 1000);
      await world.files.expireUploadsNow();
      await world.files.reapNow();
      for (const table of ['uploads', 'uploadParts', 'reaps'] as const)
        assert.deepEqual(await world.meta.scan(table, { prefix: [], limit: 10 }), []);
    } catch (error) {
      throw new Error(`seed ${SEED}, power cut ahead of call ${image.call}`, { cause: error });
    }
  }
});
