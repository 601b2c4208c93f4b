/**
 * Power cuts at every point: a script of puts, appends and deletes runs on a seeded disk, the power goes in its first
 * changing call, in its second, and so on to its last; each time several outcomes of the crash are looked at.
 * What was acknowledged must be there whole, what was not acknowledged is there whole or not at all, and only the part
 * of an appended object behind its last sync may be anything.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concatBytes, equalBytes, utf8 } from '../base/index.ts';
import { assertBytes, bytesOf, streamOf } from './contract.ts';
import { DiskObjects } from './disk-objects.ts';
import type { ObjectStore } from './object-store.ts';
import { PowerCut, SeededDisk } from './seeded-disk.ts';

const FOLDER = { folder: 'store/objects' };
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];

/** What must be found under a name after a crash. */
type Promised =
  | { readonly kind: 'whole'; readonly bytes: Uint8Array }
  | { readonly kind: 'absent' }
  | { readonly kind: 'whole-or-absent'; readonly bytes: Uint8Array }
  /** At least the first `synced` bytes; `undefined`: perhaps not even the name. */
  | { readonly kind: 'log'; readonly bytes: Uint8Array; readonly synced: number | undefined }
  | { readonly kind: 'log-or-absent'; readonly bytes: Uint8Array; readonly synced: number | undefined };

type Promises = Map<string, Promised>;

/** Says before each step what a crash in it may leave, and after it what it acknowledged. */
async function script(store: ObjectStore, promises: Promises): Promise<void> {
  await put('packs/1/aaaa', 3_000, 1);
  await put('packs/1/aabb', 700, 2, true);
  await log('packs/1/log1', 4);
  await put('packs/2/aaaa', 0, 5);
  await remove('packs/1/aaaa');
  await put('packs/1/aaaa', 900, 6);
  await remove('packs/1/aaaa');
  await remove('never/was');
  await Promise.all([put('many/one', 2_000, 7), put('many/two', 1_100, 8), put('other/one', 10, 9)]);
  await goOn('packs/1/log1');
  await remove('packs/1/log1');

  async function put(name: string, length: number, seed: number, isStream = false): Promise<void> {
    const bytes = bytesOf(length, seed);
    promises.set(name, { kind: 'whole-or-absent', bytes });
    await store.put(name, isStream ? streamOf(bytes, 300) : bytes);
    promises.set(name, { kind: 'whole', bytes });
  }

  async function remove(name: string): Promise<void> {
    const known = promises.get(name);
    if (known?.kind === 'whole') promises.set(name, { kind: 'whole-or-absent', bytes: known.bytes });
    else if (known?.kind === 'log') promises.set(name, { ...known, kind: 'log-or-absent' });
    await store.delete(name);
    promises.set(name, { kind: 'absent' });
  }

  async function log(name: string, rounds: number): Promise<void> {
    let [bytes, synced]: [Uint8Array, number | undefined] = [new Uint8Array(0), undefined];
    promises.set(name, { kind: 'log', bytes, synced });
    const appender = await store.append(name, 0);
    for (let round = 0; round < rounds; round++) {
      const parts = [bytesOf(400 * round, round), bytesOf(333, 50 + round)];
      bytes = concatBytes([bytes, ...parts]);
      promises.set(name, { kind: 'log', bytes, synced });
      await appender.append(parts);
      if (round % 2 === 0) continue;
      await appender.sync();
      synced = bytes.length;
      promises.set(name, { kind: 'log', bytes, synced });
    }
    await appender.append([utf8('never synced')]);
    await appender.close();
  }

  /** As after a crash: what is behind the synced bytes is dropped, and other bytes follow. */
  async function goOn(name: string): Promise<void> {
    const known = promises.get(name);
    assert.ok(known?.kind === 'log' && known.synced !== undefined);
    const before = known.bytes.subarray(0, known.synced);
    promises.set(name, { kind: 'log', bytes: before, synced: before.length });
    const appender = await store.append(name, before.length);
    const bytes = concatBytes([before, bytesOf(1_500, 77)]);
    promises.set(name, { kind: 'log', bytes, synced: before.length });
    await appender.append([bytesOf(1_500, 77)]);
    await appender.sync();
    promises.set(name, { kind: 'log', bytes, synced: bytes.length });
    await appender.close();
  }
}

async function check(store: ObjectStore, promises: Promises, where: string): Promise<void> {
  const listed = new Set((await store.list()).objects.map(({ name }) => name));
  for (const name of listed) assert.ok(promises.has(name), `${where}: ${name} was never written`);
  for (const [name, promised] of promises) {
    const found = listed.has(name) ? await store.get(name) : undefined;
    assert.ok(isKept(promised, found), `${where}: ${name} is ${found?.length} bytes, promised ${promised.kind}`);
  }
}

function isKept(promised: Promised, found: Uint8Array | undefined): boolean {
  switch (promised.kind) {
    case 'absent':
      return found === undefined;
    case 'whole':
      return found !== undefined && equalBytes(found, promised.bytes);
    case 'whole-or-absent':
      return found === undefined || equalBytes(found, promised.bytes);
    case 'log-or-absent':
    case 'log': {
      const { bytes, synced } = promised;
      if (found === undefined) return synced === undefined || promised.kind === 'log-or-absent';
      return equalBytes(found.subarray(0, synced ?? 0), bytes.subarray(0, synced ?? 0));
    }
  }
}

/** The store of the next start must not only read, but also take what the last one could not finish. */
async function checkUsable(store: ObjectStore, promises: Promises): Promise<void> {
  for (const [name, promised] of promises) {
    if (promised.kind === 'log' && promised.synced !== undefined) {
      await using appender = await store.append(name, promised.synced);
      await appender.append([utf8('tail')]);
      await appender.sync();
      assertBytes(await store.get(name), concatBytes([promised.bytes.subarray(0, promised.synced), utf8('tail')]));
    } else if (promised.kind === 'whole-or-absent' && (await store.head(name)) === undefined) {
      await store.put(name, promised.bytes);
      assertBytes(await store.get(name), promised.bytes);
    }
  }
}

async function runUntilCut(disk: SeededDisk, promises: Promises): Promise<void> {
  try {
    await script(await DiskObjects.open(disk, FOLDER), promises);
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error;
  }
  // Puts that ran side by side end in the same cut; they settle in the turns that follow.
  await new Promise((resolve) => setImmediate(resolve));
}

test('store keeps its promises when the power goes at any point', async () => {
  const whole = new SeededDisk({ seed: 0 });
  await runUntilCut(whole, new Map());
  assert.ok(whole.mutationCount > 60);
  let crashCount = 0;
  for (let point = 1; point <= whole.mutationCount; point++) {
    const disk = new SeededDisk({ seed: point });
    const promises: Promises = new Map();
    disk.crashAt(point);
    await runUntilCut(disk, promises);
    assert.ok(disk.isCut, `the power was to go in call ${point}`);
    for (const seed of SEEDS) {
      await using store = await DiskObjects.open(disk.crash(seed), FOLDER);
      await check(store, promises, `power cut in call ${point}, crash seed ${seed}`);
      await checkUsable(store, promises);
      crashCount++;
    }
  }
  assert.equal(crashCount, whole.mutationCount * SEEDS.length);
});

test('store keeps its promises when the power goes again while it opens', async () => {
  const whole = new SeededDisk({ seed: 0 });
  await runUntilCut(whole, new Map());
  for (let point = 1; point <= whole.mutationCount; point += 5) {
    const promises: Promises = new Map();
    const first = new SeededDisk({ seed: point });
    first.crashAt(point);
    await runUntilCut(first, promises);
    for (let again = 1; again <= 8; again++) {
      const second = first.crash(again);
      second.crashAt(again);
      await DiskObjects.open(second, FOLDER).catch((error: unknown) => assert.ok(error instanceof PowerCut));
      await using store = await DiskObjects.open(second.crash(point), FOLDER);
      await check(store, promises, `power cut in call ${point}, and in call ${again} of opening`);
    }
  }
});
