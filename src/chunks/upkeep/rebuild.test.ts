/** A lost chunk index comes back from the packs: rows, references and the living share of packs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hexOf, seededRandom } from '../../base/index.ts';
import { type ChunkRow, MemoryMeta, type MetaStore, openSqliteFile, type PackRow } from '../../meta/index.ts';
import { ChunkStand, REALM } from '../chunk-stand.ts';

const noise = (length: number, seed: number): Uint8Array => seededRandom(seed).bytes(length);

interface Figures {
  readonly chunks: readonly (readonly unknown[])[];
  readonly packs: readonly (readonly unknown[])[];
}

async function figuresOf(stand: ChunkStand): Promise<Figures> {
  const chunks: readonly ChunkRow[] = await stand.meta.scan('chunks', { prefix: [REALM], limit: 10_000 });
  const packs: readonly PackRow[] = await stand.meta.scan('packs', { prefix: [REALM], limit: 1_000 });
  return {
    chunks: chunks.map((row) => [hexOf(row.id), row.pack, row.refs, row.plainLength, row.storedLength, row.depth]),
    packs: packs.map((row) => [row.pack, row.lengthBytes, row.liveBytes, row.liveCount]),
  };
}

const ENGINES: readonly (readonly [string, () => MetaStore])[] = [
  ['SQLite', () => openSqliteFile(':memory:')],
  ['asynchronous metadata', () => new MemoryMeta()],
];

for (const [engine, newMeta] of ENGINES) {
  test(`a rebuild brings back every row that was lost, with its references, on ${engine}`, async () => {
    const first = await ChunkStand.open({ meta: newMeta(), options: { packBytesMax: 300_000 } });
    const contents = [noise(200_000, 1), noise(200_000, 2), noise(150_000, 3), noise(200_000, 1)];
    const stored = [];
    for (const bytes of contents) stored.push({ bytes, ...(await first.put(bytes)) });
    await first.commit(await first.store.sync());
    const before = await figuresOf(first);
    assert.ok(before.chunks.some(([, , refs]) => refs === 2));
    const rows = await first.meta.scan('chunks', { prefix: [REALM], limit: 10_000 });
    await first.loseRows(rows.map(({ id }) => id));
    assert.deepEqual((await figuresOf(first)).chunks, []);

    await using second = await first.crash({ options: { packBytesMax: 300_000, chunkCacheBytes: 0 } });
    await assert.rejects(second.get(stored[0]?.drafts ?? []));
    assert.equal(await second.store.rebuildIndex(), rows.length);
    assert.deepEqual(await figuresOf(second), before);
    assert.deepEqual((await second.verify()).damages, []);
    for (const { bytes, drafts } of stored) assert.ok((await second.get(drafts)).equals(bytes));
    assert.equal(await second.store.rebuildIndex(), 0, 'a second one finds nothing to do');
  });
}

test('a rebuild counts anew what was counted wrong', async () => {
  await using stand = await ChunkStand.open();
  await stand.put(noise(100_000, 4));
  const before = await figuresOf(stand);
  const [row] = await stand.meta.scan('chunks', { prefix: [REALM], limit: 1 });
  assert.ok(row);
  const key = [REALM, row.id] as const;
  const puts = [{ table: 'chunks', mode: 'insert', row: { ...row, refs: 7 } }] as const;
  await stand.commit([{ now: stand.clock.now(), deletes: [{ table: 'chunks', key }], puts }]);
  assert.notDeepEqual(await figuresOf(stand), before);
  assert.equal(await stand.store.rebuildIndex(), 1);
  assert.deepEqual(await figuresOf(stand), before);
});

test('rows of a damaged record do not come back, and verify says what is missing', async () => {
  await using stand = await ChunkStand.open({ options: { chunkCacheBytes: 0 } });
  const { drafts } = await stand.put(noise(60_000, 5));
  const first = drafts[0];
  assert.ok(first?.kind === 'chunk');
  const [pack] = await stand.meta.scan('packs', { prefix: [REALM], limit: 1 });
  assert.ok(pack);
  const bytes = await stand.objects.get(pack.object);
  bytes[45 + 72] = (bytes[45 + 72] ?? 0) ^ 4;
  await stand.store.close();
  await stand.objects.delete(pack.object);
  await stand.objects.put(pack.object, bytes);
  await using again = await stand.crash({ options: { chunkCacheBytes: 0 } });
  const { damages } = await again.verify();
  assert.deepEqual(damages.flatMap(({ chunks }) => chunks).map(hexOf), [hexOf(first.id)]);
  await again.loseRows([first.id]);
  await again.store.rebuildIndex();
  assert.equal(await again.meta.get('chunks', [REALM, first.id]), undefined);
  await assert.rejects(again.store.read(first.id));
});
