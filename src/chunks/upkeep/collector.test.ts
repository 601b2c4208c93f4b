/**
 * Collection: what nobody names comes back, to the byte that was foretold; what somebody names, holds or reads stays,
 * wherever a collection is cut off and whatever happens beside it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, ManualClock, seededRandom } from '../../base/index.ts';
import { type Change, MemoryMeta, openSqliteFile, PACK_STATE, type PackRow } from '../../meta/index.ts';
import { MemoryObjects } from '../../objects/index.ts';
import { ChunkStand, REALM, SECRET, SMALL_FORMAT, type StandOptions, type Stored } from '../chunk-stand.ts';
import type { Collection, CollectOptions } from '../chunk-store.ts';
import { newIdHasher } from '../hashes/ids.ts';
import { DISCARD_CHECKPOINT, encodeDiscard, readDiscards } from '../packs/discard-log.ts';
import { encodePackHeader, PACK_HEADER_BYTES } from '../packs/pack-format.ts';
import { encodePatch, encodeRecord } from '../packs/record.ts';
import { COLLECT_STEPS, type CollectStep } from './collector.ts';

const noise = (length: number, seed: number): Uint8Array => seededRandom(seed).bytes(length);
const OPTIONS = { packBytesMax: 250_000, chunkCacheBytes: 0 } as const;
const NOW: CollectOptions = { graceSeconds: 0, freedShareMin: 0.25 };
const PREVIEW: CollectOptions = { ...NOW, isPreview: true };

interface Kept extends Stored {
  readonly bytes: Uint8Array;
}

/** Contents in several packs, whose records alternate within each pack: one that stays, two that go. */
async function mixedStand(wanted: StandOptions = {}): Promise<{ stand: ChunkStand; kept: Kept[]; gone: Kept[] }> {
  const stand = await ChunkStand.open({ options: OPTIONS, ...wanted });
  const [kept, gone]: [Kept[], Kept[]] = [[], []];
  for (let n = 1; n <= 30; n++) {
    const bytes = noise(30_000, n);
    (n % 3 === 0 ? kept : gone).push({ bytes, ...(await stand.put(bytes)) });
  }
  await stand.commit(await stand.store.sync());
  return { stand, kept, gone };
}

async function packsOf(stand: ChunkStand): Promise<readonly PackRow[]> {
  return await stand.meta.scan('packs', { prefix: [REALM], limit: 1_000 });
}

async function assertSound(stand: ChunkStand, kept: readonly Kept[]): Promise<void> {
  for (const { bytes, drafts } of kept) assert.ok((await stand.get(drafts)).equals(bytes));
  const { damages } = await stand.verify();
  assert.deepEqual(damages, []);
  for await (const problem of stand.meta.check()) if (problem.table !== 'contents') assert.fail(problem.sentence);
}

/** Collects, and holds the preview and the report against what the objects weigh. */
async function collectExactly(stand: ChunkStand, options: CollectOptions = NOW): Promise<Collection> {
  const before = await stand.objectBytes();
  const foretold = await stand.store.collect({ ...options, isPreview: true });
  assert.equal(await stand.objectBytes(), before, 'a preview changes nothing');
  const done = await stand.store.collect(options);
  assert.equal(before - (await stand.objectBytes()), foretold.freedBytes, 'what came back was foretold');
  assert.equal(done.freedBytes, foretold.freedBytes);
  const shown = (collection: Collection) =>
    collection.packs.map(({ pack, action, bytesBefore, bytesAfter }) => ({ pack, action, bytesBefore, bytesAfter }));
  assert.deepEqual(shown(done), shown(foretold));
  return done;
}

for (const [kind, wanted] of [
  ['SQLite, objects that grow', () => ({})],
  ['asynchronous metadata', () => ({ meta: new MemoryMeta() })],
  ['objects that are put whole', () => ({ objects: new MemoryObjects({ append: false }) })],
  ['ids that are no proof', () => ({ format: { ...SMALL_FORMAT, idAlgorithm: 'xxh3-128' as const } })],
] as const) {
  test(`a collection gives back what it foretold, and keeps what is named: ${kind}`, async () => {
    const { stand, kept, gone } = await mixedStand(wanted());
    const packs = await packsOf(stand);
    for (const content of gone) await stand.drop(content);
    const done = await collectExactly(stand);
    if (stand.objects.abilities.append) assert.equal(done.packs.length, packs.length);
    assert.ok(done.freedBytes > 550_000, `two thirds of 900,000 are gone: ${done.freedBytes}`);
    assert.deepEqual(done.problems, []);
    await assertSound(stand, kept);
    assert.equal((await collectExactly(stand)).freedBytes, 0, 'nothing is left to collect');
    for (const content of kept) await stand.drop(content);
    const rest = await collectExactly(stand);
    assert.ok(rest.packs.every(({ action }) => action === 'drop'));
    assert.equal(await stand.objectBytes(), 0);
    assert.deepEqual(await packsOf(stand), []);
    const again = await stand.put(gone[0]?.bytes ?? new Uint8Array());
    assert.ok((await stand.get(again.drafts)).equals(gone[0]?.bytes ?? new Uint8Array()));
    await using next = await stand.reopen({ options: OPTIONS, seed: 2 });
    await assertSound(next, []);
  });
}

test('chunks wait for the grace time, and are shown apart', async () => {
  const { stand, kept, gone } = await mixedStand();
  for (const content of gone) await stand.drop(content);
  const patient = { ...NOW, graceSeconds: 60 };
  const waiting = await stand.store.collect(patient);
  assert.deepEqual([waiting.freedBytes, waiting.packs.length], [0, 0]);
  assert.ok(waiting.waitingBytes > 550_000 && waiting.waitingCount > 100);
  stand.clock.advance(61_000);
  const done = await collectExactly(stand, patient);
  assert.ok(done.freedBytes > 550_000);
  assert.equal(done.waitingCount, 0);
  await assertSound(stand, kept);
});

test('a pack of which too little would come back is kept, and what is unused in it is said', async () => {
  const { stand, kept, gone } = await mixedStand();
  for (const content of gone.slice(0, 2)) await stand.drop(content);
  const done = await collectExactly(stand, { ...NOW, freedShareMin: 0.5 });
  assert.deepEqual([done.packs.length, done.freedBytes], [0, 0]);
  assert.ok(done.keptBytes >= 60_000 && done.keptBytes < 70_000, String(done.keptBytes));
  await assertSound(stand, [...kept, ...gone.slice(2)]);
});

test('packs that a dead process left open are collected, and the next one goes on', async () => {
  const { stand, kept, gone } = await mixedStand();
  for (const content of gone) await stand.drop(content);
  await using next = await stand.crash({ options: OPTIONS, seed: 2 });
  assert.ok((await packsOf(next)).some(({ state }) => state === PACK_STATE.open));
  const done = await collectExactly(next);
  assert.ok(done.freedBytes > 550_000);
  const bytes = noise(50_000, 77);
  const after = { bytes, ...(await next.put(bytes)) };
  await assertSound(next, [...kept, after]);
});

const JOIN_STEPS = ['join-copied', 'join-switched'] as const;

for (const step of COLLECT_STEPS.filter((each) => !JOIN_STEPS.some((join) => join === each))) {
  test(`cut off at "${step}", nothing that is named is lost, and the next collection finishes`, async () => {
    const reached: CollectStep[] = [];
    let isArmed = true;
    let times = step === 'rows-deleted' || step === 'switched' ? 2 : 1;
    const onCollectStep = (at: CollectStep): void => {
      reached.push(at);
      if (isArmed && at === step && --times === 0) throw new Error(`cut off at ${at}`);
    };
    const { stand, kept, gone } = await mixedStand({ onCollectStep });
    const [dropped] = kept.splice(0, 1);
    for (const content of gone) await stand.drop(content);
    // A pack, or two, of which nothing is left.
    await stand.drop(await stand.put(noise(600_000, 99)));
    await assert.rejects(stand.store.collect(NOW), /cut off at/);
    isArmed = false;
    await using next = await stand.crash({ options: OPTIONS, seed: 5 });
    if (dropped !== undefined) await assertSound(next, [...kept, dropped]);
    const left = await next.objectBytes();
    const rest = await next.store.collect(NOW);
    assert.equal(left - (await next.objectBytes()), rest.freedBytes);
    const needed = kept.length * 31_000 + 31_000;
    assert.ok((await next.objectBytes()) < needed + 20_000, `only what is needed is left: ${await next.objectBytes()}`);
    assert.equal(await next.meta.get('settings', [DISCARD_CHECKPOINT]), undefined);
    if (dropped !== undefined) await assertSound(next, [...kept, dropped]);
    assert.ok(reached.includes(step));
  });
}

test('what a writer counts on is not collected: it commits what it was told of', async () => {
  const { stand: first, kept, gone } = await mixedStand();
  await using stand = await first.reopen({ options: OPTIONS, seed: 2 });
  const [wanted] = gone;
  assert.ok(wanted);
  // Asks while the chunks live, commits after they have died and a collection has passed.
  await using writer = stand.store.newWriter({ level: 1 });
  await writer.write(wanted.bytes);
  await writer.finish();
  for (const content of gone) await stand.drop(content);
  const preview = await stand.store.collect(PREVIEW);
  assert.ok(preview.waitingBytes > 30_000 && preview.waitingBytes < 35_000);
  await stand.store.collect(NOW);
  const taken = writer.take();
  assert.deepEqual(taken.puts, [], 'nothing of it was stored again');
  const content = await stand.commitDrafts(taken);
  await assertSound(stand, [...kept, { ...wanted, content, drafts: taken.drafts }]);
});

test('a writer that asks while its chunks leave the index stores them anew', async () => {
  let during: (() => Promise<void>) | undefined;
  const { stand, kept, gone } = await mixedStand({
    onCollectStep: (step) => (step === 'rows-deleted' || step === 'copied' ? during?.() : undefined) as undefined,
  });
  for (const content of gone) await stand.drop(content);
  const again: Kept[] = [];
  let turn = 0;
  during = async () => {
    const bytes = gone[turn++ % gone.length]?.bytes ?? new Uint8Array();
    again.push({ bytes, ...(await stand.put(bytes)) });
  };
  await stand.store.collect(NOW);
  during = undefined;
  assert.ok(again.length >= 6);
  await assertSound(stand, [...kept, ...again]);
  await stand.store.collect(NOW);
  await assertSound(stand, [...kept, ...again]);
});

test('records that somebody appended and has not committed keep their pack as it is', async () => {
  const { stand, kept, gone } = await mixedStand();
  await using writer = stand.store.newWriter({ level: 1 });
  const bytes = noise(100_000, 55);
  await writer.write(bytes);
  await writer.finish();
  for (const content of gone) await stand.drop(content);
  await stand.store.collect(NOW);
  const taken = writer.take();
  const content = await stand.commitDrafts(taken);
  await assertSound(stand, [...kept, { bytes, content, drafts: taken.drafts, hash: new Uint8Array() }]);
});

test('a reading goes on through a collection', async () => {
  const { stand, kept } = await mixedStand();
  const [first, ...others] = kept;
  assert.ok(first);
  const read = stand.get(first.drafts);
  const slices = kept.flatMap(({ drafts }) =>
    drafts.flatMap((draft) => (draft.kind === 'chunk' ? [{ id: draft.id, offset: 0, length: draft.length }] : [])),
  );
  const pieces = stand.store.readAll(slices)[Symbol.asyncIterator]();
  const parts = [(await pieces.next()).value as Uint8Array];
  for (const content of others) await stand.drop(content);
  // It began before they died: none of its chunks goes.
  const beside = await stand.store.collect(NOW);
  assert.ok(beside.waitingCount > 30);
  for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) parts.push(piece.value.slice());
  assert.ok(Buffer.concat(parts).equals(Buffer.concat(kept.map(({ bytes }) => bytes))));
  await read;
  const after = await stand.store.collect(NOW);
  assert.equal(after.waitingCount, 0);
  await assertSound(stand, [first]);
});

test('a check that goes on meanwhile finds no object gone', async () => {
  const { stand, kept, gone } = await mixedStand();
  for (const content of gone) await stand.drop(content);
  const checked = stand.verify();
  const collected = await stand.store.collect(NOW);
  assert.ok(collected.freedBytes > 0);
  assert.deepEqual((await checked).damages, []);
  await new Promise((done) => setImmediate(done));
  await assertSound(stand, kept);
  assert.equal((await stand.store.collect(NOW)).orphans.length, 0, 'the old objects went when the check had ended');
});

test('a pack in which something needed is damaged is kept and reported', async () => {
  const { stand, kept, gone } = await mixedStand();
  for (const content of gone) await stand.drop(content);
  const [pack] = await packsOf(stand);
  const [draft] = kept[0]?.drafts ?? [];
  assert.ok(pack && draft?.kind === 'chunk');
  const bytes = Buffer.from(await stand.objects.get(pack.object));
  const at = bytes.indexOf(draft.id) + 100;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await stand.objects.delete(pack.object);
  await stand.objects.put(pack.object, bytes);
  const done = await stand.store.collect(NOW);
  assert.deepEqual(
    done.problems.map(({ pack: number, code }) => [number, code]),
    [[pack.pack, 'corrupt']],
  );
  assert.ok(done.packs.every(({ pack: number }) => number !== pack.pack));
  assert.ok(Buffer.from(await stand.objects.get(pack.object)).equals(bytes), 'it is as it was');
  for (const { bytes: plain, drafts } of kept.slice(4)) assert.ok((await stand.get(drafts)).equals(plain));
  assert.equal((await stand.meta.get('packs', [REALM, pack.pack]))?.verifiedSeconds, 0);
});

test('a pack whose index is damaged, or whose object is gone, is kept and reported', async () => {
  const { stand, gone } = await mixedStand();
  for (const content of gone) await stand.drop(content);
  const [first, second] = await packsOf(stand);
  assert.ok(first && second);
  const bytes = Buffer.from(await stand.objects.get(first.object));
  bytes[bytes.length - 60] = (bytes[bytes.length - 60] ?? 0) ^ 1;
  await stand.objects.delete(first.object);
  await stand.objects.put(first.object, bytes);
  await stand.objects.delete(second.object);
  await using next = await stand.crash({ options: OPTIONS, seed: 2 });
  const done = await next.store.collect(NOW);
  const found = done.problems.map(({ pack, code }) => [pack, code]).sort((a, b) => Number(a[0]) - Number(b[0]));
  assert.deepEqual(found, [
    [first.pack, 'corrupt'],
    [second.pack, 'not-found'],
  ]);
});

test('objects that no row names go, and nothing else does', async () => {
  const { stand, kept, gone } = await mixedStand();
  await stand.objects.put('packs/00ff', noise(1_000, 1));
  await stand.objects.put('discards/00ff', noise(10, 1));
  await stand.objects.put('checkpoints/1', noise(10, 1));
  const done = await collectExactly(stand);
  assert.deepEqual(done.orphans, [
    { object: 'packs/00ff', bytes: 1_000 },
    { object: 'discards/00ff', bytes: 10 },
  ]);
  assert.ok(await stand.objects.head('checkpoints/1'));
  await assertSound(stand, [...kept, ...gone]);
});

test('patches move with their pack, and a base stays as long as a patch needs it', async () => {
  const stand = await ChunkStand.open({ options: OPTIONS });
  const idOf = newIdHasher('blake3', SECRET);
  const plainBase = noise(6_000, 1);
  const plain = Uint8Array.from(plainBase, (byte, at) => (at === 3_000 ? byte ^ 1 : byte));
  const base = encodeRecord({ realm: REALM, id: idOf(plainBase), plainLength: 6_000 }, plainBase, 'none');
  const dead = encodeRecord({ realm: REALM, id: idOf(noise(9_000, 2)), plainLength: 9_000 }, noise(9_000, 2), 'none');
  const patchBase = { id: idOf(plainBase), plain: plainBase, depth: 0 };
  const patch = encodePatch({ realm: REALM, id: idOf(plain), plainLength: 6_000 }, plain, patchBase, 3);
  assert.ok(patch && patch.length < 1_000);
  const header = encodePackHeader({ realm: REALM, pack: 500, idBytes: 32 });
  assert.equal(header.length, PACK_HEADER_BYTES);
  const whole = Buffer.concat([header, base, dead, patch]);
  await stand.objects.put('packs/aa', whole);
  const rows = [
    { id: idOf(plainBase), record: base, base: null, depth: 0 },
    { id: idOf(noise(9_000, 2)), record: dead, base: null, depth: 0 },
    { id: idOf(plain), record: patch, base: idOf(plainBase), depth: 1 },
  ];
  const now = stand.clock.now();
  const pack: PackRow = {
    ...{ realm: REALM, pack: 500, object: 'packs/aa', state: PACK_STATE.open, lengthBytes: whole.length },
    ...{ recordCount: 3, liveBytes: 0, liveCount: 0, owner: 'dead', createdSeconds: 0, verifiedSeconds: null },
  };
  const chunkPuts = rows.map(({ id, record, base: on, depth }) => {
    const sizes = { plainLength: 6_000, storedLength: record.length };
    const row = { realm: REALM, id, pack: 500, refs: 0, ...sizes, base: on, depth, zeroSeconds: 0 };
    return { table: 'chunks', mode: 'insert', row } as const;
  });
  await stand.commit([{ now, puts: [{ table: 'packs', mode: 'insert', row: pack }, ...chunkPuts] }]);
  const drafts = [{ kind: 'chunk', offset: 0, length: 6_000, id: idOf(plain) }] as const;
  const content = await stand.commitDrafts({ drafts, puts: [] });
  const done = await collectExactly(stand);
  assert.deepEqual(
    done.packs.map(({ action, chunksDiscarded }) => [action, chunksDiscarded]),
    [['rewrite', 1]],
  );
  await assertSound(stand, [{ bytes: plain, content, drafts, hash: new Uint8Array() }]);
  await stand.drop({ content, drafts });
  // The base is named by the patch, so it dies with it and goes the next time.
  await collectExactly(stand, { ...NOW, freedShareMin: 0.01 });
  assert.ok((await stand.objectBytes()) > 6_000);
  await collectExactly(stand);
  assert.equal(await stand.objectBytes(), 0);
});

test('a collection that is told to stop stops, and tells where it is', async () => {
  const { stand, kept, gone } = await mixedStand();
  for (const content of gone) await stand.drop(content);
  const stop = new AbortController();
  const seen: [number, number][] = [];
  const onProgress = (done: number, total: number): void => {
    seen.push([done, total]);
    if (seen.length === 2) stop.abort();
  };
  await assert.rejects(stand.store.collect({ ...NOW, onProgress, signal: stop.signal }), (e) => Fault.is(e, 'aborted'));
  assert.ok(seen.length === 2 && (seen[1]?.[0] ?? 0) < (seen[1]?.[1] ?? 0));
  await collectExactly(stand);
  await assertSound(stand, kept);
});

test('a full disk: what needs no room goes first, and what does not fit stays as it was', async () => {
  const objects = new MemoryObjects();
  const { stand, kept, gone } = await mixedStand({ objects });
  for (const content of gone) await stand.drop(content);
  const append = objects.append.bind(objects);
  objects.append = () => Promise.reject(new Fault('full', 'There is no room.'));
  const done = await stand.store.collect(NOW);
  assert.equal(done.freedBytes, 0);
  assert.ok(done.problems.length > 2 && done.problems.every(({ code }) => code === 'full'));
  objects.append = append;
  await assertSound(stand, kept);
  await collectExactly(stand);
  await assertSound(stand, kept);
});

test('a switch that the disk refused to acknowledge keeps both objects until the next start says which is named', async () => {
  const { stand, kept, gone } = await mixedStand();
  for (const content of gone) await stand.drop(content);
  const { meta } = stand;
  const commit = meta.commit.bind(meta);
  const objects = new Set((await packsOf(stand)).map(({ object }) => object));
  const isSwitch = ({ puts = [] }: Change): boolean =>
    puts.some((put) => put.table === 'packs' && !objects.has(put.row.object));
  // As an engine whose disk fails: it takes nothing more, and the next start finds what it had written.
  let written: readonly Change[] | undefined;
  meta.commit = (changes, options) => {
    if (changes.some(isSwitch)) written ??= changes;
    if (written !== undefined) throw new Fault('io', 'The disk refused to make a commit durable.');
    return commit(changes, options);
  };
  for (let time = 0; time < 2; time++) {
    const failing = await stand.store.collect(NOW).catch((error: unknown) => error);
    assert.ok(Fault.is(failing, 'io') || (failing as Collection).problems.length > 0);
  }
  meta.commit = commit;
  assert.ok(written !== undefined, 'a pack was to be switched');
  await commit(written);
  const next = await stand.crash({ options: OPTIONS, seed: 2 });
  await assertSound(next, kept);
  await collectExactly(next);
  await assertSound(next, kept);
});

test('the discard log says what it was told, up to where it is torn', () => {
  const frame = { realm: 1, pack: 7, seconds: 1_000, ids: [noise(32, 1), noise(32, 2)] };
  const other = { realm: 1, pack: 8, seconds: 1_001, ids: [noise(32, 3)] };
  const log = Buffer.concat([encodeDiscard(frame, 32), encodeDiscard(other, 32)]);
  const read = [...readDiscards(log)];
  assert.deepEqual(
    read.map(({ pack, seconds, ids }) => [pack, seconds, ids.length]),
    [
      [7, 1_000, 2],
      [8, 1_001, 1],
    ],
  );
  assert.deepEqual(
    [...readDiscards(log, read[0]?.end)].map(({ pack }) => pack),
    [8],
  );
  for (let at = 0; at < log.length; at++) {
    const bad = Buffer.from(log);
    bad[at] = (bad[at] ?? 0) ^ 16;
    const left = [...readDiscards(bad)].length;
    // The reserved bytes are under the checksum too.
    assert.ok(left < 2, `a flipped bit at ${at}`);
    assert.ok([...readDiscards(log.subarray(0, at))].length < 2);
  }
});

test('a clock that stands still collects what died in this very second', async () => {
  const stand = await ChunkStand.open({ clock: new ManualClock(), meta: openSqliteFile(':memory:'), options: OPTIONS });
  const stored = await stand.put(noise(50_000, 1));
  await stand.drop(stored);
  assert.ok((await collectExactly(stand)).freedBytes > 50_000);
  assert.equal(await stand.objectBytes(), 0);
});

test('a checkpoint is asked for once, and only by a collection that has something to take away', async () => {
  let asked = 0;
  await using stand = await ChunkStand.open({ options: OPTIONS, beforeCollect: async () => void asked++ });
  const kept = await stand.put(noise(30_000, 1));
  const gone = [await stand.put(noise(400_000, 2)), await stand.put(noise(400_000, 3))];
  await stand.commit(await stand.store.sync());
  await stand.store.collect(NOW);
  assert.equal(asked, 0);
  for (const each of gone) await stand.drop(each);
  await stand.store.collect(PREVIEW);
  assert.equal(asked, 0, 'a preview takes nothing away');
  await stand.store.collect(NOW);
  assert.equal(asked, 1);
  await stand.store.collect(NOW);
  assert.equal(asked, 1);
  assert.ok(kept.drafts.length > 0);
});

/** Contents put one at a time where nothing can be appended: each has a pack of its own. */
async function smallPacks(wanted: StandOptions = {}): Promise<{ stand: ChunkStand; kept: Kept[]; gone: Kept[] }> {
  const stand = await ChunkStand.open({
    options: { ...OPTIONS, packBytesMax: 400_000 },
    objects: new MemoryObjects({ append: false }),
    ...wanted,
  });
  const [kept, gone]: [Kept[], Kept[]] = [[], []];
  for (let n = 1; n <= 40; n++) {
    const bytes = noise(20_000, n);
    (n % 8 === 0 ? gone : kept).push({ bytes, ...(await stand.put(bytes)) });
    await stand.commit(await stand.store.sync());
  }
  return { stand, kept, gone };
}

test('many small packs are joined, to the byte as foretold, and read back', async () => {
  const { stand, kept, gone } = await smallPacks();
  assert.equal((await packsOf(stand)).length, 40);
  for (const content of gone) await stand.drop(content);
  const done = await collectExactly(stand);
  assert.equal(done.packs.filter(({ action }) => action === 'join').length, 35);
  assert.equal(done.packs.filter(({ action }) => action === 'drop').length, 5);
  const packs = await packsOf(stand);
  assert.equal(packs.length, 2);
  assert.ok(packs.every(({ lengthBytes }) => lengthBytes <= 400_000));
  assert.equal(done.keptBytes, 0);
  await assertSound(stand, kept);
  assert.equal((await collectExactly(stand)).freedBytes, 0, 'and that is it');
  await using next = await stand.reopen({ options: OPTIONS, seed: 3 });
  await assertSound(next, kept);
});

test('a small pack in which a record is damaged stays, and the others are joined the next time', async () => {
  const { stand, kept } = await smallPacks();
  const [row] = await packsOf(stand);
  assert.ok(row);
  const bytes = Buffer.from(await stand.objects.get(row.object as never));
  bytes[PACK_HEADER_BYTES + 200] = (bytes[PACK_HEADER_BYTES + 200] ?? 0) ^ 1;
  await stand.objects.delete(row.object as never);
  await stand.objects.put(row.object as never, bytes);
  await stand.store.collect(NOW);
  await stand.store.collect(NOW);
  const packs = await packsOf(stand);
  assert.ok(packs.some(({ pack }) => pack === row.pack));
  assert.ok(packs.length < 10, String(packs.length));
  for (const each of kept.slice(1)) assert.ok((await stand.get(each.drafts)).equals(each.bytes));
});

for (const step of [...JOIN_STEPS, 'dropped', 'object-deleted'] as const) {
  for (const times of [1, 3]) {
    test(`a join cut off at "${step}" (${times}) loses nothing, and the next collection finishes`, async () => {
      let left: number = times;
      const onCollectStep = (at: CollectStep): void => {
        if (at === step && --left === 0) throw new Error(`cut off at ${at}`);
      };
      const { stand, kept } = await smallPacks({ onCollectStep });
      const isReached = await stand.store.collect(NOW).then(
        () => false,
        () => true,
      );
      assert.equal(isReached, left <= 0);
      assert.ok(isReached || (step === 'join-copied' && times === 3), 'there are two groups');
      await using next = await stand.crash({ options: { ...OPTIONS, packBytesMax: 400_000 }, seed: 5 });
      await assertSound(next, kept);
      await collectExactly(next);
      await next.store.collect(NOW);
      assert.ok((await packsOf(next)).length <= 4);
      const needed = 40 * 20_600 + 10_000;
      assert.ok((await next.objectBytes()) < needed, `${await next.objectBytes()} of ${needed}`);
      await assertSound(next, kept);
    });
  }
}

test('who names, removes and reads beside a join sees nothing of it', async () => {
  let during: (() => Promise<void>) | undefined;
  const { stand, kept, gone } = await smallPacks({
    onCollectStep: (step) => (step.startsWith('join') ? during?.() : undefined) as undefined,
  });
  const more: Kept[] = [];
  let turn = 0;
  during = async () => {
    const [again, dropped] = [kept[turn], gone[turn]];
    turn++;
    if (again !== undefined) more.push({ bytes: again.bytes, ...(await stand.put(again.bytes)) });
    if (dropped !== undefined) await stand.drop(dropped);
    for (const each of kept) assert.ok((await stand.get(each.drafts)).equals(each.bytes));
  };
  await stand.store.collect(NOW);
  during = undefined;
  assert.ok(turn >= 3);
  await assertSound(stand, [...kept, ...more]);
  await stand.store.collect(NOW);
  await assertSound(stand, [...kept, ...more]);
});
