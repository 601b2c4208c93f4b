/** What a crash, a full disk or a failing sync leaves: nothing acknowledged is lost, and the next process goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, seededRandom, systemClock } from '../../base/index.ts';
import { openSqliteFile, PACK_STATE, type PackRow } from '../../meta/index.ts';
import { faultyObjects, MemoryObjects } from '../../objects/index.ts';
import { ChunkStand, REALM, type Stored } from '../chunk-stand.ts';

const noise = (length: number, seed: number): Uint8Array => seededRandom(seed).bytes(length);

async function packsOf(stand: ChunkStand): Promise<readonly PackRow[]> {
  return await stand.meta.scan('packs', { prefix: [REALM], limit: 1_000 });
}

test('a pack is sealed before it passes its bound, and its row says so', async () => {
  await using stand = await ChunkStand.open({ options: { packBytesMax: 1_000_000 } });
  for (let n = 0; n < 12; n++) await stand.put(noise(300_000, n + 1));
  await stand.commit(await stand.store.sync());
  const packs = await packsOf(stand);
  assert.ok(packs.length >= 4);
  for (const [n, { object, lengthBytes, state, owner }] of packs.entries()) {
    const isLast = n === packs.length - 1;
    assert.equal(state, isLast ? PACK_STATE.open : PACK_STATE.sealed);
    assert.equal(owner === '', !isLast);
    assert.ok(lengthBytes <= 1_000_000);
    if (!isLast) assert.equal((await stand.objects.head(object))?.lengthBytes, lengthBytes);
  }
  assert.deepEqual((await stand.verify()).damages, []);
});

test('a pack that was left open is gone on with, behind its last committed byte', async () => {
  const objects = new MemoryObjects();
  const first = await ChunkStand.open({ objects });
  const kept = await first.put(noise(100_000, 1));
  // Appended and even synced, but never committed: it must not count.
  await using writer = first.store.newWriter({ level: 1 });
  await writer.write(noise(100_000, 2));
  await writer.finish();
  await first.store.sync();
  const [before] = await packsOf(first);
  const copy = new MemoryObjects();
  const appender = await copy.append(before?.object ?? '', 0);
  await appender.append([await objectBytes(first, before), noise(5_000, 3)]);
  await appender.sync();
  await appender.close();
  await using second = await first.crash({ objects: copy });
  const more = await second.put(noise(50_000, 4));
  const packs = await packsOf(second);
  assert.equal(packs.length, 1);
  assert.ok((await second.get(kept.drafts)).equals(noise(100_000, 1)));
  assert.ok((await second.get(more.drafts)).equals(noise(50_000, 4)));
  const { report, damages } = await second.verify();
  assert.deepEqual(damages, []);
  assert.equal(report.orphanBytes, 0);
});

async function objectBytes(stand: ChunkStand, row: PackRow | undefined): Promise<Uint8Array> {
  assert.ok(row);
  return await stand.objects.get(row.object, { offset: 0, length: row.lengthBytes });
}

for (const canAppend of [true, false]) {
  test(`what was acknowledged outlives faults and power cuts, ${canAppend ? 'appending' : 'putting whole packs'}`, async () => {
    let [keptCount, faultCount] = [0, 0];
    for (let seed = 1; seed <= 10; seed++) {
      const inner = new MemoryObjects({ append: canAppend });
      const objects = faultyObjects(inner, {
        random: seededRandom(seed),
        clock: systemClock,
        failShare: canAppend ? 0.08 : 0.3,
        appendFailShare: 0.15,
        loseUnsynced: (random) => inner.loseUnsynced(random),
      });
      const meta = openSqliteFile(':memory:');
      const kept: { readonly stored: Stored; readonly bytes: Uint8Array }[] = [];
      for (let life = 1; life <= 4; life++) {
        objects.setQuiet(true);
        const stand = await ChunkStand.open({
          objects,
          meta,
          seed: seed * 10 + life,
          options: { packBytesMax: 400_000 },
        });
        stand.skipContents(life * 1_000);
        objects.setQuiet(false);
        const puts = Array.from({ length: 12 }, async (_, n) => {
          const bytes = noise(20_000 + n * 9_000, seed * 10_000 + life * 100 + n);
          try {
            kept.push({ stored: await stand.put(bytes, { splits: [7_000] }), bytes });
          } catch (error) {
            if (!Fault.is(error)) throw error;
          }
        });
        await Promise.all(puts);
        await objects.crash();
      }
      objects.setQuiet(true);
      await using last = await ChunkStand.open({ objects, meta, seed: 999 });
      for (const { stored, bytes } of kept) assert.ok((await last.get(stored.drafts)).equals(bytes));
      const { damages } = await last.verify();
      assert.deepEqual(damages, []);
      keptCount += kept.length;
      faultCount += objects.faultCount();
    }
    assert.ok(keptCount > 50 && faultCount > 10, `${keptCount} kept, ${faultCount} faults`);
  });
}

test('a failed append fails its writers only; later ones go on in the same pack', async () => {
  const inner = new MemoryObjects();
  const objects = faultyObjects(inner, {
    random: seededRandom(3),
    clock: systemClock,
    appendFailShare: 1,
    code: 'full',
  });
  objects.setQuiet(true);
  await using stand = await ChunkStand.open({ objects });
  const before = await stand.put(noise(50_000, 1));
  objects.setQuiet(false);
  await assert.rejects(stand.put(noise(50_000, 2)), (error) => Fault.is(error, 'full'));
  objects.setQuiet(true);
  const after = await stand.put(noise(50_000, 2));
  assert.ok((await stand.get(before.drafts)).equals(noise(50_000, 1)));
  assert.ok((await stand.get(after.drafts)).equals(noise(50_000, 2)));
  assert.deepEqual((await stand.verify()).damages, []);
});

test('a long stream stops soon after it can no longer be stored', async () => {
  const luck = { random: seededRandom(4), clock: systemClock, appendFailShare: 1, code: 'full' } as const;
  await using stand = await ChunkStand.open({ objects: faultyObjects(new MemoryObjects(), luck) });
  await using writer = stand.store.newWriter({ level: 'none' });
  const writing = (async () => {
    for (let n = 0; n < 100; n++) await writer.write(noise(500_000, n + 1));
  })();
  await assert.rejects(writing, (error) => Fault.is(error, 'full'));
  assert.ok(writer.size < 10_000_000, String(writer.size));
});

test('after a failed sync nothing that it covered can be committed, and new writers go on elsewhere', async () => {
  const inner = new MemoryObjects();
  let isBad = false;
  const objects = {
    ...plainObjects(inner),
    append: async (name: string, at: number) => {
      const appender = await inner.append(name, at);
      return {
        get lengthBytes() {
          return appender.lengthBytes;
        },
        append: (parts: readonly Uint8Array[]) => appender.append(parts),
        sync: async () => {
          if (isBad) throw new Fault('io', 'The disk did not sync.');
          await appender.sync();
        },
        close: () => appender.close(),
        [Symbol.asyncDispose]: () => appender.close(),
      };
    },
  };
  await using stand = await ChunkStand.open({ objects });
  const before = await stand.put(noise(50_000, 1));
  const writer = stand.store.newWriter({ level: 1 });
  await writer.write(noise(50_000, 2));
  await writer.finish();
  isBad = true;
  await assert.rejects(stand.store.sync(), (error) => Fault.is(error, 'io'));
  isBad = false;
  // As long as somebody holds what was lost, no group may go through that could carry it.
  await assert.rejects(stand.store.sync(), (error) => Fault.is(error, 'io'));
  await writer[Symbol.asyncDispose]();
  const again = await stand.put(noise(50_000, 2));
  assert.ok((await stand.get(before.drafts)).equals(noise(50_000, 1)));
  assert.ok((await stand.get(again.drafts)).equals(noise(50_000, 2)));
  assert.equal((await packsOf(stand)).length, 2);
});

function plainObjects(inner: MemoryObjects) {
  return {
    abilities: inner.abilities,
    put: inner.put.bind(inner),
    get: inner.get.bind(inner),
    head: inner.head.bind(inner),
    list: inner.list.bind(inner),
    delete: inner.delete.bind(inner),
    copy: inner.copy.bind(inner),
    close: inner.close.bind(inner),
    [Symbol.asyncDispose]: inner.close.bind(inner),
  };
}

test('unsynced bytes never pass their bound', async () => {
  const inner = new MemoryObjects();
  let [unsynced, most] = [0, 0];
  const objects = {
    ...plainObjects(inner),
    append: async (name: string, at: number) => {
      const appender = await inner.append(name, at);
      return {
        get lengthBytes() {
          return appender.lengthBytes;
        },
        append: async (parts: readonly Uint8Array[]) => {
          unsynced += parts.reduce((sum, part) => sum + part.length, 0);
          most = Math.max(most, unsynced);
          await appender.append(parts);
        },
        sync: async () => {
          const covered = unsynced;
          await appender.sync();
          unsynced -= covered;
        },
        close: () => appender.close(),
        [Symbol.asyncDispose]: () => appender.close(),
      };
    },
  };
  await using stand = await ChunkStand.open({ objects, options: { unsyncedBytesMax: 2_000_000, batchBytes: 100_000 } });
  await stand.put(noise(12_000_000, 5), { level: 'none' });
  assert.ok(most <= 2_000_000, String(most));
});
