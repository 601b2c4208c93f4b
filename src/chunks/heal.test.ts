/** Bytes that come again heal what is damaged: they are never acknowledged on the strength of a record that is not whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, hexOf, type LogEvent, logTo, seededRandom } from '../base/index.ts';
import { PACK_STATE } from '../meta/index.ts';
import { ChunkStand, REALM, SMALL_FORMAT, type StandOptions, type Stored } from './chunk-stand.ts';

const noise = (length: number, seed: number): Uint8Array => seededRandom(seed).bytes(length);
const OPTIONS = { chunkCacheBytes: 0, packIndexCacheBytes: 0 } as const;
const DAY_MS = 24 * 60 * 60 * 1000;
const BYTES = noise(60_000, 1);

interface Made {
  readonly stand: ChunkStand;
  readonly stored: Stored;
  readonly events: LogEvent[];
  readonly standOptions: StandOptions;
}

/** A store with two contents; its pack is open, or sealed, and the process that wrote it has ended. */
async function makeStand(kind: 'open' | 'sealed', more: StandOptions = {}): Promise<Made> {
  const events: LogEvent[] = [];
  const standOptions: StandOptions = {
    ...more,
    options: { ...OPTIONS, ...(kind === 'sealed' ? { packBytesMax: 80_000 } : {}) },
    log: logTo((event) => events.push(event), 'debug'),
  };
  const first = await ChunkStand.open(standOptions);
  const stored = await first.put(BYTES);
  await first.put(noise(60_000, 2));
  await first.commit(await first.store.sync());
  const stand = await first.reopen(standOptions);
  const [pack] = await stand.meta.scan('packs', { prefix: [REALM], limit: 1 });
  assert.equal(pack?.state, kind === 'open' ? PACK_STATE.open : PACK_STATE.sealed);
  return { stand, stored, events, standOptions };
}

/** Flips a bit in the stored bytes (or the header) of the first record of the first pack. */
async function damage(stand: ChunkStand, place: 'bytes' | 'header' = 'bytes'): Promise<void> {
  const [pack] = await stand.meta.scan('packs', { prefix: [REALM], limit: 1 });
  assert.ok(pack);
  const bytes = Buffer.from(await stand.objects.get(pack.object));
  const at = place === 'bytes' ? 400 : 44;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await stand.objects.delete(pack.object);
  await stand.objects.put(pack.object, bytes);
}

async function assertHealed(stand: ChunkStand, ...contents: readonly Stored[]): Promise<void> {
  for (const { drafts } of contents) assert.ok((await stand.get(drafts)).equals(BYTES));
  const { damages } = await stand.verify();
  assert.deepEqual(damages, []);
  for await (const problem of stand.meta.check()) assert.fail(problem.sentence);
}

const isCorrupt = (error: unknown): boolean => Fault.is(error, 'corrupt');

for (const kind of ['open', 'sealed'] as const) {
  for (const place of ['bytes', 'header'] as const) {
    test(`a chunk that a reader found damaged (${place}, ${kind} pack) is stored anew when its bytes come again`, async () => {
      const { stand, stored, events, standOptions } = await makeStand(kind);
      await damage(stand, place);
      await assert.rejects(stand.get(stored.drafts), isCorrupt);
      const again = await stand.put(BYTES);
      await assertHealed(stand, stored, again);
      const healed = events.filter(({ event }) => event === 'chunks.healed');
      assert.equal(healed.length, 1);
      const [draft] = stored.drafts;
      assert.equal(healed[0]?.data.chunk, hexOf(draft?.kind === 'chunk' ? draft.id : new Uint8Array()));
      assert.equal(typeof healed[0]?.data.newPack, 'number');
      const next = await stand.reopen(standOptions);
      await assertHealed(next, stored, again);
    });
  }

  test(`what one process found damaged in ${kind} packs, the next one heals`, async () => {
    const { stand, stored, standOptions } = await makeStand(kind);
    await damage(stand);
    await assert.rejects(stand.get(stored.drafts), isCorrupt);
    const next = await stand.reopen(standOptions);
    const again = await next.put(BYTES);
    await assertHealed(next, stored, again);
    await next.commit(await next.store.sync());
    const last = await next.reopen(standOptions);
    await assertHealed(last, stored, again);
  });

  test(`what a check found damaged in ${kind} packs, the next process heals`, async () => {
    const { stand, stored, standOptions } = await makeStand(kind);
    await damage(stand);
    assert.equal((await stand.verify()).damages.length, 1);
    const next = await stand.reopen(standOptions);
    const again = await next.put(BYTES);
    await assertHealed(next, stored, again);
  });
}

test('a chunk in a pack that was not looked at for long is read before it counts, and healed', async () => {
  const { stand, stored } = await makeStand('sealed');
  await damage(stand);
  stand.clock.advance(31 * DAY_MS);
  const again = await stand.put(BYTES);
  await assertHealed(stand, stored, again);
});

test('a lost pack is healed chunk by chunk as its bytes come again', async () => {
  const { stand, stored } = await makeStand('sealed');
  const [pack] = await stand.meta.scan('packs', { prefix: [REALM], limit: 1 });
  await stand.objects.delete(pack?.object ?? '');
  await assert.rejects(stand.get(stored.drafts), isCorrupt);
  assert.deepEqual(
    (await stand.verify()).damages.map(({ code }) => code),
    ['pack-missing'],
  );
  const again = await stand.put(BYTES);
  // The other content had its beginning in that pack.
  await stand.put(noise(60_000, 2));
  await assertHealed(stand, stored, again);
  assert.deepEqual((await stand.verify(0.5)).damages, []);
});

test('chunks found whole are remembered, and packs that a check found whole are trusted without a look', async () => {
  const { stand } = await makeStand('sealed');
  let reads = 0;
  const get = stand.objects.get.bind(stand.objects);
  stand.objects.get = (...asked) => {
    reads++;
    return get(...asked);
  };
  stand.clock.advance(31 * DAY_MS);
  await stand.put(BYTES);
  assert.ok(reads > 0, 'an old pack is read');
  reads = 0;
  await stand.put(BYTES);
  assert.equal(reads, 0, 'what was verified is remembered');
  await stand.verify();
  const next = await stand.reopen({ options: OPTIONS });
  reads = 0;
  await next.put(BYTES);
  assert.equal(reads, 0, 'what a check verified is trusted');
});

test('a check that finds a suspect pack whole again takes the suspicion away', async () => {
  const { stand, stored } = await makeStand('sealed');
  await damage(stand);
  await assert.rejects(stand.get(stored.drafts), isCorrupt);
  await damage(stand);
  assert.deepEqual((await stand.verify()).damages, []);
  const rows = await stand.meta.scan('packs', { prefix: [REALM], limit: 10 });
  assert.ok(rows.every(({ verifiedSeconds }) => verifiedSeconds === stand.clock.now().seconds));
});

test('many uploads of the same bytes at once heal a chunk together', async () => {
  const { stand, stored } = await makeStand('sealed');
  await damage(stand);
  await assert.rejects(stand.get(stored.drafts), isCorrupt);
  const again = await Promise.all(Array.from({ length: 5 }, () => stand.put(BYTES)));
  await assertHealed(stand, stored, ...again);
});

test('a store with ids that are no proof is never healed from what comes: the upload is refused', async () => {
  const { stand, stored } = await makeStand('sealed', { format: { ...SMALL_FORMAT, idAlgorithm: 'xxh3-128' } });
  await damage(stand);
  stand.clock.advance(31 * DAY_MS);
  await assert.rejects(stand.put(BYTES), isCorrupt);
  await assert.rejects(stand.get(stored.drafts), isCorrupt);
});
