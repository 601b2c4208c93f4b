/** One flipped bit anywhere in a pack: the chunk it hits is a named fault, everything else reads as before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concatBytes, Fault, hexOf, seededRandom, utf8 } from '../../base/index.ts';
import { type ChunkId, PACK_STATE } from '../../meta/index.ts';
import { MemoryObjects, type ObjectStore } from '../../objects/index.ts';
import { ChunkStand, REALM, SECRET } from '../chunk-stand.ts';
import { DEFAULT_CHUNK_FORMAT } from '../chunk-store.ts';
import { bufferOf } from '../hashes/content-hash.ts';
import { ID_BYTES, newIdHasher } from '../hashes/ids.ts';
import { encodeFooter, encodeIndex, encodePackHeader, type IndexEntry } from '../packs/pack-format.ts';
import { encodePatch, encodeRecord, type PatchBase } from '../packs/record.ts';

const OPTIONS = { chunkCacheBytes: 0, packIndexCacheBytes: 0 } as const;
const idOf = newIdHasher('blake3', SECRET);

/** Objects that show one bit flipped, wherever it is read. */
class FlippedObjects {
  readonly inner: ObjectStore;
  /** Bit of the object, or -1. */
  bit = -1;
  /** Set: what can be had at once. */
  now: ObjectStore['getNow'];

  constructor(inner: ObjectStore) {
    this.inner = inner;
  }

  get store(): ObjectStore {
    const inner = this.inner;
    return {
      abilities: inner.abilities,
      put: (name, bytes, options) => inner.put(name, bytes, options),
      get: async (name, range) => this.#flipped(await inner.get(name, range), range?.offset ?? 0),
      getNow: (name, range) => {
        const bytes = this.now?.(name, range);
        return bytes && this.#flipped(bytes, range.offset);
      },
      head: (name) => inner.head(name),
      list: (options) => inner.list(options),
      delete: (name) => inner.delete(name),
      copy: (from, to) => inner.copy(from, to),
      append: (name, at) => inner.append(name, at),
      close: () => inner.close(),
      [Symbol.asyncDispose]: () => inner.close(),
    };
  }

  #flipped(bytes: Uint8Array, offset: number): Uint8Array {
    const at = (this.bit >> 3) - offset;
    if (this.bit >= 0 && at >= 0 && at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << (this.bit & 7));
    return bytes;
  }
}

interface Chunk {
  readonly id: ChunkId;
  readonly plain: Uint8Array;
  /** Set when it is known. */
  readonly from: number;
  readonly to: number;
}

/** A store with one pack of four small chunks, each compressing to little. */
async function onePack(canAppend: boolean) {
  const flipped = new FlippedObjects(new MemoryObjects({ append: canAppend }));
  const first = await ChunkStand.open({ objects: flipped.store, options: OPTIONS });
  const plains = [1, 2, 3].map((n) => utf8(`${n} says: the same again and again. `.repeat(110 + n)));
  await using writer = first.store.newWriter({ level: 3 });
  await writer.write(concatBytes(plains));
  await writer.finish();
  const taken = writer.take();
  await first.commitDrafts(taken);
  await first.commit(await first.store.sync());
  const stand = await first.crash({ objects: flipped.store, options: OPTIONS });
  const [pack] = await stand.meta.scan('packs', { prefix: [REALM], limit: 10 });
  assert.ok(pack);
  assert.equal(pack.state, canAppend ? PACK_STATE.open : PACK_STATE.sealed);
  let at = 40;
  const whole = await flipped.inner.get(pack.object);
  const chunks: Chunk[] = [];
  for (const draft of taken.drafts) {
    assert.ok(draft.kind === 'chunk');
    const row = await stand.meta.get('chunks', [REALM, draft.id]);
    assert.ok(row);
    chunks.push({ id: draft.id, plain: await stand.store.read(draft.id), from: at, to: at + row.storedLength });
    at += row.storedLength;
  }
  assert.ok(chunks.length >= 2);
  return { stand, flipped, chunks, pack, lengthBytes: pack.lengthBytes, whole };
}

for (const canAppend of [true, false]) {
  const kind = canAppend ? 'an open' : 'a sealed';
  test(`a flipped bit anywhere in ${kind} pack costs the chunk it hits and no other`, async () => {
    const { stand, flipped, chunks, pack, lengthBytes } = await onePack(canAppend);
    for (let bit = 0; bit < lengthBytes * 8; bit++) {
      flipped.bit = bit;
      for (const { id, plain, from, to } of chunks) {
        const isHit = bit >> 3 >= from && bit >> 3 < to;
        // The others once a byte; that is enough to see them untouched.
        if (!isHit && bit % 8 !== (bit % 64) >> 3) continue;
        try {
          assert.deepEqual(await stand.store.read(id), plain);
          assert.ok(!isHit, `bit ${bit} was not noticed`);
        } catch (error) {
          if (!Fault.is(error, 'corrupt')) throw error;
          assert.ok(isHit, `bit ${bit} hit a chunk that it is not in`);
          assert.equal(error.about.chunk, hexOf(id));
          assert.equal(error.about.pack, pack.pack);
          assert.equal(error.about.object, pack.object);
        }
      }
    }
  });

  test(`verify names what a flipped bit in ${kind} pack hits`, async () => {
    const { stand, flipped, chunks, lengthBytes } = await onePack(canAppend);
    for (let bit = 0; bit < lengthBytes * 8; bit += 29) {
      flipped.bit = bit;
      const { damages } = await stand.verify();
      const hit = chunks.filter(({ from, to }) => bit >> 3 >= from && bit >> 3 < to).map(({ id }) => hexOf(id));
      const named = damages.flatMap((damage) => damage.chunks).map(hexOf);
      assert.ok(damages.length > 0, `bit ${bit} was not noticed`);
      assert.deepEqual([...new Set(named)], hit, `bit ${bit}`);
      if (hit.length > 0) continue;
      assert.equal(damages.length, 1, JSON.stringify([bit, lengthBytes, damages]));
      assert.equal(damages[0]?.code, bit >> 3 < 40 ? 'pack-header-damaged' : 'pack-index-damaged');
    }
    flipped.bit = -1;
    assert.deepEqual((await stand.verify()).damages, []);
  });
}

test('reads of many chunks at once name the damaged one, after those before it', async () => {
  const { stand, flipped, chunks } = await onePack(false);
  const hit = chunks[1];
  assert.ok(hit);
  flipped.bit = (hit.from + 80) * 8;
  const slices = chunks.map(({ id, plain }) => ({ id, offset: 0, length: plain.length }));
  const parts: Uint8Array[] = [];
  const reading = (async () => {
    for await (const part of stand.store.readAll(slices)) parts.push(part);
  })();
  await assert.rejects(reading, (error) => Fault.is(error, 'corrupt') && error.about.chunk === hexOf(hit.id));
  assert.deepEqual(parts, [chunks[0]?.plain]);
});

/** A pack with one full record and a chain of patches on it, put by hand; rows are left to a rebuild. */
async function patchedPack(): Promise<{
  readonly stand: ChunkStand;
  readonly plains: readonly Uint8Array[];
  readonly entries: readonly IndexEntry[];
}> {
  const plains = [
    utf8('line of the first version\n'.repeat(150) + Array.from({ length: 300 }, (_, i) => `${i * 7919}`).join()),
  ];
  for (let n = 1; n <= 3; n++) plains.push(concatBytes([utf8(`edit ${n}\n`), plains[n - 1] ?? new Uint8Array(0)]));
  const records = plains.map((plain, n) => {
    const record = { realm: REALM, id: idOf(plain), plainLength: plain.length };
    const base = plains[n - 1];
    if (base === undefined) return encodeRecord(record, plain, 3);
    const patchBase: PatchBase = { id: idOf(base), plain: base, depth: n - 1 };
    const patch = encodePatch(record, plain, patchBase, 3);
    assert.ok(patch && patch.length < 200);
    return patch;
  });
  // The deepest first: order in the pack must not matter.
  const ordered = records.map((record, n) => ({ record, id: idOf(plains[n] ?? new Uint8Array(0)) })).reverse();
  const identity = { realm: REALM, pack: 900, idBytes: ID_BYTES.blake3 };
  const parts: Uint8Array[] = [encodePackHeader(identity)];
  const entries: IndexEntry[] = [];
  let offset = 40;
  for (const { record, id } of ordered) {
    entries.push({ id, offset, length: record.length });
    parts.push(record);
    offset += record.length;
  }
  const index = encodeIndex(entries, identity.idBytes);
  parts.push(
    index,
    encodeFooter(identity, { indexOffset: offset, indexLength: index.length, entryCount: entries.length }),
  );
  const whole = concatBytes(parts);
  const stand = await ChunkStand.open({ options: OPTIONS });
  await stand.objects.put('packs/by-hand', whole);
  const row = {
    realm: REALM,
    pack: identity.pack,
    object: 'packs/by-hand',
    state: PACK_STATE.sealed,
    lengthBytes: whole.length,
    recordCount: entries.length,
    liveBytes: 0,
    liveCount: 0,
    owner: '',
    createdSeconds: 0,
    verifiedSeconds: null,
  };
  await stand.commit([{ now: stand.clock.now(), puts: [{ table: 'packs', mode: 'insert', row }] }]);
  return { stand, plains, entries };
}

test('a chain of patches is indexed by depth, read and verified', async () => {
  const { stand, plains } = await patchedPack();
  assert.equal(await stand.store.rebuildIndex(), plains.length);
  for (const [n, plain] of plains.entries()) {
    assert.deepEqual(await stand.store.read(idOf(plain)), Buffer.from(plain));
    const row = await stand.meta.get('chunks', [REALM, idOf(plain)]);
    assert.equal(row?.depth, n);
    assert.equal(row?.refs, n < plains.length - 1 ? 1 : 0, 'each but the last is the base of one');
  }
  const { report, damages } = await stand.verify();
  assert.deepEqual(damages, []);
  assert.equal(report.chunksVerified, plains.length);
});

test('a damaged base makes its dependants faults, and nothing else', async () => {
  const { stand, plains, entries } = await patchedPack();
  await stand.store.rebuildIndex();
  const other = await stand.put(utf8('x'.repeat(10_000)));
  const base = entries.find(({ id }) => hexOf(id) === hexOf(idOf(plains[1] ?? new Uint8Array(0))));
  assert.ok(base);
  const whole = await stand.objects.get('packs/by-hand');
  await stand.objects.delete('packs/by-hand');
  whole[base.offset + base.length - 1] = (whole[base.offset + base.length - 1] ?? 0) ^ 1;
  await stand.objects.put('packs/by-hand', whole);
  const outcomes = await Promise.allSettled(plains.map((plain) => stand.store.read(idOf(plain))));
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'rejected'],
  );
  assert.ok((await stand.get(other.drafts)).length === 10_000);
});

test('a small content that is read again and again is read from its pack twice', async () => {
  let getCount = 0;
  const inner = new MemoryObjects();
  const objects: ObjectStore = new Proxy(inner, {
    get: (target, name) => {
      if (name === 'get') getCount++;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  await using stand = await ChunkStand.open({ objects, options: { chunkCacheBytes: 1_000_000 } });
  for (const length of [6_000, 60_000]) {
    const bytes = concatBytes(
      Array.from({ length: length / 100 }, (_, n) => utf8(String(n * n).padEnd(100, `${length}`))),
    );
    const { drafts } = await stand.put(bytes);
    getCount = 0;
    await stand.get(drafts);
    await stand.get(drafts);
    assert.ok(getCount > 0);
    getCount = 0;
    for (let n = 0; n < 5; n++) assert.ok((await stand.get(drafts)).equals(bytes));
    assert.equal(getCount, 0, `${drafts.length} chunks`);
  }
});

test('bytes that pass once are whole, also around a chunk that two reads share, and their memory is free behind them', async () => {
  await using stand = await ChunkStand.open({ format: DEFAULT_CHUNK_FORMAT });
  const bytes = seededRandom(8).bytes(6 * 2 ** 20);
  // Half of it compresses, so that some requests are decoded into memory of their own and some are not.
  for (let at = 0; at < 3 * 2 ** 20; at += 64) bytes.fill(at >> 13, at, at + 60);
  const { drafts } = await stand.put(bytes);
  const slices = drafts.flatMap((draft) =>
    draft.kind === 'chunk' ? [{ id: draft.id, offset: 0, length: draft.length }] : [],
  );
  const half = slices.length >> 1;
  const shared = slices[half];
  assert.ok(shared !== undefined);
  const before = [...slices.slice(0, half), { ...shared, length: 1_000 }];
  const after = [{ ...shared, offset: 1_000, length: shared.length - 1_000 }, ...slices.slice(half + 1)];
  const copies: Uint8Array[] = [];
  const pieces: Uint8Array[] = [];
  for (const run of [before, after, before])
    for await (const piece of stand.store.readAll(run, { isOnce: true })) {
      pieces.push(piece);
      copies.push(piece.slice());
    }
  const beforeBytes = before.reduce((sum, { length }) => sum + length, 0);
  assert.ok(bufferOf(concatBytes(copies)).equals(concatBytes([bytes, bytes.subarray(0, beforeBytes)])));
  const freed = pieces.filter((piece, number) => piece.length < (copies[number]?.length ?? 0)).length;
  assert.ok(freed > pieces.length / 2, `${freed} of ${pieces.length} pieces are free again`);
});

test('a chunk that can be had in this turn is verified like any other, and a damaged one is left to be named', async () => {
  for (const canAppend of [true, false]) {
    const { stand, flipped, chunks, pack, whole } = await onePack(canAppend);
    flipped.now = (name, { offset, length }) =>
      name === pack.object ? whole.slice(offset, offset + length) : undefined;
    const again = await stand.crash({ objects: flipped.store, options: { chunkCacheBytes: 0 } });
    for (const { id, plain, from } of chunks) {
      // Once by the other way, which looks up where it is.
      await again.store.read(id);
      flipped.bit = -1;
      assert.deepEqual(again.store.readNow(id), plain);
      flipped.bit = (from + 80) * 8;
      assert.equal(again.store.readNow(id), undefined);
      await assert.rejects(
        again.store.read(id),
        (error) => Fault.is(error, 'corrupt') && error.about.chunk === hexOf(id),
      );
      flipped.bit = -1;
      assert.deepEqual(again.store.readNow(id), plain);
    }
  }
});
