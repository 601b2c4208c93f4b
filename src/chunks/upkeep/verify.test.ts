/** Verification: counts what it read, finds what is missing either way, samples, tells its progress, stops when told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, hexOf, seededRandom } from '../../base/index.ts';
import type { PackRow } from '../../meta/index.ts';
import { ChunkStand, REALM } from '../chunk-stand.ts';

const noise = (length: number, seed: number): Uint8Array => seededRandom(seed).bytes(length);
const OPTIONS = { packBytesMax: 250_000, chunkCacheBytes: 0, packIndexCacheBytes: 0 } as const;

/** Three packs or more, the last one open. */
async function packedStand(): Promise<{ readonly stand: ChunkStand; readonly packs: readonly PackRow[] }> {
  const stand = await ChunkStand.open({ options: OPTIONS });
  for (let n = 1; n <= 4; n++) await stand.put(noise(180_000, n));
  await stand.commit(await stand.store.sync());
  await stand.store.sync();
  const packs = await stand.meta.scan('packs', { prefix: [REALM], limit: 100 });
  assert.ok(packs.length >= 3);
  return { stand: await stand.crash({ options: OPTIONS }), packs };
}

test('a sound store is clean, and everything in it is counted', async () => {
  const { stand, packs } = await packedStand();
  const { report, damages } = await stand.verify();
  assert.deepEqual(damages, []);
  assert.equal(report.bytesVerified, 4 * 180_000);
  assert.equal(report.packsVerified, packs.length);
  assert.equal(report.orphanBytes, 0);
});

test('records that no row names are counted, not damage', async () => {
  const { stand } = await packedStand();
  const rows = await stand.meta.scan('chunks', { prefix: [REALM], limit: 3 });
  await stand.loseRows(rows.map(({ id }) => id));
  const { report, damages } = await stand.verify();
  assert.deepEqual(damages, []);
  assert.equal(
    report.orphanBytes,
    rows.reduce((sum, { storedLength }) => sum + storedLength, 0),
  );
});

test('a lost pack is one damage that names every chunk that was in it', async () => {
  const { stand, packs } = await packedStand();
  const lost = packs[1];
  assert.ok(lost);
  await stand.objects.delete(lost.object);
  const rows = await stand.meta.scan('chunks', { prefix: [REALM], limit: 10_000 });
  const expected = rows.filter(({ pack }) => pack === lost.pack).map(({ id }) => hexOf(id));
  const { damages } = await stand.verify();
  assert.deepEqual(
    damages.map(({ code }) => code),
    ['pack-missing'],
  );
  assert.deepEqual(damages[0]?.chunks.map(hexOf), expected);
  assert.deepEqual((await stand.verify(0.5)).damages.map(({ code }) => code).includes('pack-missing'), true);
});

test('a pack cut short is torn, and the chunks behind the cut are named', async () => {
  const { stand, packs } = await packedStand();
  const torn = packs[0];
  assert.ok(torn);
  const bytes = await stand.objects.get(torn.object, { offset: 0, length: 100_000 });
  await stand.objects.delete(torn.object);
  await stand.objects.put(torn.object, bytes);
  const { damages } = await stand.verify();
  const codes = new Set(damages.map(({ code }) => code));
  assert.ok(codes.has('pack-torn') && codes.has('pack-index-damaged'));
  const named = new Set(damages.flatMap(({ chunks }) => chunks).map(hexOf));
  for (const row of await stand.meta.scan('chunks', { prefix: [REALM], limit: 10_000 })) {
    const isReadable = await stand.store.read(row.id).then(
      () => true,
      (error) => !Fault.is(error, 'corrupt'),
    );
    assert.equal(named.has(hexOf(row.id)), !isReadable);
  }
});

test('a row that names a pack without its record is a missing chunk', async () => {
  const { stand } = await packedStand();
  const [row] = await stand.meta.scan('chunks', { prefix: [REALM], limit: 1 });
  assert.ok(row);
  const id = noise(32, 99);
  await stand.commit([
    { now: stand.clock.now(), puts: [{ table: 'chunks', mode: 'insert', row: { ...row, id, refs: 0 } }] },
  ]);
  const { damages } = await stand.verify();
  assert.deepEqual(
    damages.map((damage) => damage.chunks.map(hexOf)),
    [[hexOf(id)]],
  );
});

test('a sample reads about its share, the whole reads all', async () => {
  const { stand } = await packedStand();
  const whole = (await stand.verify(1)).report.chunksVerified;
  const { report, damages } = await stand.verify(0.3);
  assert.deepEqual(damages, []);
  assert.ok(report.chunksVerified > whole * 0.15 && report.chunksVerified < whole * 0.5, String(report.chunksVerified));
});

test('verification tells its progress to the end, and stops when told', async () => {
  const { stand } = await packedStand();
  const seen: (readonly [number, number])[] = [];
  await stand.store.verify({ onDamage: () => {}, onProgress: (done, total) => seen.push([done, total]) });
  const last = seen.at(-1);
  assert.ok(last && last[0] === last[1] && last[1] > 0);
  const controller = new AbortController();
  controller.abort();
  const stopped = stand.store.verify({ onDamage: () => {}, signal: controller.signal });
  await assert.rejects(stopped, (error) => Fault.is(error, 'aborted'));
});
