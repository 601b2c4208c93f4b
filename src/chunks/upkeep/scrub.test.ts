/** Packs are read back the longest unread first, and what is found is noted for whoever brings the bytes again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, seededRandom } from '../../base/index.ts';
import { PACK_STATE } from '../../meta/index.ts';
import { ChunkStand, REALM, type Stored } from '../chunk-stand.ts';
import type { ChunkDamage, Scrubbed } from '../chunk-store.ts';

const OPTIONS = { packBytesMax: 80_000, chunkCacheBytes: 0, packIndexCacheBytes: 0 } as const;
const HOUR_MS = 3_600_000;
const bytesOf = (seed: number): Uint8Array => seededRandom(seed).bytes(60_000);

interface Made {
  readonly stand: ChunkStand;
  readonly stored: readonly Stored[];
  readonly damages: ChunkDamage[];
  readonly pauses: number[];
  /** Scrubs until nothing is older than that. */
  readonly scrub: (olderSeconds: number) => Promise<readonly Scrubbed[]>;
}

/** Several packs, an hour apart. */
async function made(): Promise<Made> {
  const stand = await ChunkStand.open({ options: OPTIONS });
  const stored: Stored[] = [];
  for (let seed = 1; seed <= 4; seed++) {
    stored.push(await stand.put(bytesOf(seed)));
    stand.clock.advance(HOUR_MS);
  }
  await stand.commit(await stand.store.sync());
  const [damages, pauses]: [ChunkDamage[], number[]] = [[], []];
  const scrub = async (olderSeconds: number): Promise<readonly Scrubbed[]> => {
    const done: Scrubbed[] = [];
    for (;;) {
      const dueSeconds = stand.clock.now().seconds - olderSeconds;
      const onDamage = (damage: ChunkDamage): void => void damages.push(damage);
      const next = await stand.store.scrub({ dueSeconds, onDamage, pause: async (bytes) => void pauses.push(bytes) });
      if (next === undefined) return done;
      done.push(next);
    }
  };
  return { stand, stored, damages, pauses, scrub };
}

const packsOf = ({ meta }: ChunkStand) => meta.scan('packs', { prefix: [REALM], limit: 100 });

test('packs are read the longest unread first, each once, and the next process goes on from there', async () => {
  const { stand, damages, scrub } = await made();
  const packs = await packsOf(stand);
  const oldFirst = [...packs].sort((a, b) => a.createdSeconds - b.createdSeconds).map(({ pack }) => pack);
  const first = await scrub(2.5 * 3600);
  assert.ok(first.length > 0 && first.length < packs.length);
  assert.deepEqual(
    first.map(({ pack }) => pack),
    oldFirst.slice(0, first.length),
  );
  assert.equal((await scrub(2.5 * 3600)).length, 0, 'what was found whole is not due again');
  const rest = await scrub(60);
  assert.ok(rest.length > 0 && first.length + rest.length >= packs.length - 1);
  assert.deepEqual(damages, []);
  assert.equal((await stand.store.stats()).suspectPacks, 0);
});

test('a damaged record is told, once a round, its pack is not trusted, and its bytes heal it when they come again', async () => {
  const { stand, stored, damages, scrub } = await made();
  const [pack] = await packsOf(stand);
  assert.equal(pack?.state, PACK_STATE.sealed);
  const bytes = Buffer.from(await stand.objects.get(pack?.object ?? ''));
  bytes[400] = (bytes[400] ?? 0) ^ 1;
  await stand.objects.delete(pack?.object ?? '');
  await stand.objects.put(pack?.object ?? '', bytes);
  const done = await scrub(1);
  assert.deepEqual(
    done.filter(({ isWhole }) => !isWhole).map((each) => each.pack),
    [pack?.pack],
  );
  assert.equal(damages.length, 1);
  assert.equal(damages[0]?.code, 'chunk-damaged');
  assert.equal((await packsOf(stand))[0]?.verifiedSeconds, 0);
  assert.equal((await stand.store.stats()).suspectPacks, 1);
  await assert.rejects(stand.get(stored[0]?.drafts ?? []), (error) => Fault.is(error, 'corrupt'));
  const again = await stand.put(bytesOf(1));
  for (const { drafts } of [stored[0], again].filter((each) => each !== undefined))
    assert.ok((await stand.get(drafts)).equals(bytesOf(1)));
  stand.clock.advance(HOUR_MS);
  damages.length = 0;
  await scrub(1);
  assert.deepEqual(damages, [], 'a record that nobody needs any more is only room');
  assert.equal((await stand.store.stats()).suspectPacks, 0);
});

test('a pack that is gone is told with the chunks that were in it; whoever scrubs rests as often as bytes are read', async () => {
  const { stand, damages, pauses, scrub } = await made();
  const [pack, ...others] = await packsOf(stand);
  await stand.objects.delete(pack?.object ?? '');
  stand.clock.advance(1_000);
  const done = await scrub(0);
  assert.equal(done.length, others.length + 1);
  assert.equal(damages[0]?.code, 'pack-missing');
  assert.ok((damages[0]?.chunks.length ?? 0) > 5);
  const read = pauses.reduce((sum, bytes) => sum + bytes, 0);
  assert.ok(read > 150_000 && read < 250_000, String(read));
});
