/** Metadata from a checkpoint finds its packs, although they were written anew, sealed or made since. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, seededRandom, silentLog } from '../../base/index.ts';
import { Checkpoints, findCheckpoint, loadCheckpoint, openSqliteFile, PACK_STATE } from '../../meta/index.ts';
import { DiskObjects, SeededDisk } from '../../objects/index.ts';
import { ChunkStand, REALM, type Stored } from '../chunk-stand.ts';

const STORE = '01'.repeat(16);
const OPTIONS = { packBytesMax: 250_000, chunkCacheBytes: 0 } as const;
const noise = (length: number, seed: number): Uint8Array => seededRandom(seed).bytes(length);

async function put(stand: ChunkStand, seeds: readonly number[]): Promise<Map<number, Stored>> {
  const stored = new Map<number, Stored>();
  for (const seed of seeds) stored.set(seed, await stand.put(noise(30_000, seed)));
  await stand.commit(await stand.store.sync());
  return stored;
}

async function checkpoint({ meta, objects }: ChunkStand): Promise<void> {
  const parts = { clock: new ManualClock(), random: seededRandom(1), log: silentLog };
  await new Checkpoints({ meta, objects, storeId: STORE, ...parts }).make({ isHurried: true });
}

/** The same objects under metadata that was brought back from them. */
async function broughtBack({ objects }: Pick<ChunkStand, 'objects'>): Promise<ChunkStand> {
  const chain = await findCheckpoint(objects, STORE);
  assert.ok(chain);
  const meta = openSqliteFile(':memory:');
  await loadCheckpoint(objects, chain, meta);
  return await ChunkStand.open({ meta, objects, options: OPTIONS, seed: 9 });
}

async function assertSound(stand: ChunkStand, contents: ReadonlyMap<number, Stored>): Promise<void> {
  for (const [seed, { drafts }] of contents) assert.ok((await stand.get(drafts)).equals(noise(30_000, seed)));
  assert.deepEqual((await stand.verify()).damages, []);
  for await (const problem of stand.meta.check()) if (problem.table !== 'contents') assert.fail(problem.sentence);
}

test('packs that were written anew, filled up and made since are found, and what came later has chunks without a name', async () => {
  const stand = await ChunkStand.open({ options: OPTIONS });
  const kept = await put(stand, [1, 2, 3, 4, 5, 6]);
  const gone = await put(stand, [11, 12, 13, 14, 15, 16]);
  for (const content of gone.values()) await stand.drop(content);
  await checkpoint(stand);
  const collected = await stand.store.collect({ graceSeconds: 0, freedShareMin: 0.1 });
  assert.ok(collected.packs.some(({ action }) => action === 'rewrite'));
  const later = await put(stand, [21, 22, 23, 24, 25, 26, 27, 28, 29]);
  await stand.store.close();
  const back = await broughtBack(stand);
  const adopted = await back.store.adoptPacks();
  assert.ok(adopted.changed > 0 && adopted.added > 0 && adopted.forgotten > 20, JSON.stringify(adopted));
  await assertSound(back, kept);
  let unnamedBytes = 0;
  for (const row of await back.meta.scan('chunks', { prefix: [REALM], limit: 1_000 }))
    if (row.refs === 0) unnamedBytes += row.storedLength;
  assert.ok(unnamedBytes >= 270_000 && unnamedBytes < 500_000, String(unnamedBytes));
  // What comes again is there already, and what is new goes where there is room.
  const before = await back.objectBytes();
  back.skipContents(1_000);
  const again = await put(back, [...later.keys()]);
  assert.ok((await back.objectBytes()) - before < 1_000);
  const fresh = await put(back, [31, 32, 33]);
  await assertSound(back, new Map([...kept, ...again, ...fresh]));
  assert.deepEqual(await back.store.adoptPacks(), { added: 0, changed: 0, missing: 0, forgotten: 0 });
});

test('an object whose pack nobody can tell is left alone, and a pack whose object is gone is counted', async () => {
  const stand = await ChunkStand.open({ options: OPTIONS });
  await put(stand, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await checkpoint(stand);
  await stand.store.close();
  const packs = await stand.meta.scan('packs', { prefix: [REALM], limit: 10 });
  const sealed = packs.find(({ state }) => state === PACK_STATE.sealed);
  await stand.objects.delete(sealed?.object ?? '');
  await stand.objects.put('packs/00', new Uint8Array(100));
  const back = await broughtBack(stand);
  assert.deepEqual(await back.store.adoptPacks(), { added: 0, changed: 0, missing: 1, forgotten: 0 });
  assert.ok(await back.objects.head('packs/00'));
});

test('what a killed process had not synced is durable before a row says that it is there', async () => {
  const disk = new SeededDisk({ seed: 1 });
  const objects = await DiskObjects.open(disk);
  const stand = await ChunkStand.open({ objects, options: OPTIONS });
  const kept = await put(stand, [1, 2]);
  await checkpoint(stand);
  // Written, and the process is killed before anything waits for it.
  const later = [3, 4, 5, 6, 7, 8, 9, 10];
  for (const seed of later) {
    await using writer = stand.store.newWriter({ level: 1 });
    await writer.write(noise(30_000, seed));
    await writer.finish();
  }
  const killed = disk.clone(2);
  const back = await broughtBack({ objects: await DiskObjects.open(killed) });
  const adopted = await back.store.adoptPacks();
  assert.ok(adopted.changed > 0 && adopted.added > 0, JSON.stringify(adopted));
  for (const moods of killed.crashMoods()) {
    const afterCut = await back.crash({ objects: await DiskObjects.open(killed.crash(3, moods)), seed: 10 });
    await assertSound(afterCut, kept);
  }
});
