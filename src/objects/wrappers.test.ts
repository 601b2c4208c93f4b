/** The wrappers: each passes the contract over every kind of place, alone and stacked, and adds what it says. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type Clock, concatBytes, Fault, ManualClock, seededRandom, systemClock, utf8 } from '../base/index.ts';
import { aroundObjects } from './around-objects.ts';
import { assertBytes, assertFault, bytesOf, type MakeStore, objectStoreContract, streamOf } from './contract.ts';
import { DiskObjects } from './disk-objects.ts';
import { faultyObjects } from './faulty-objects.ts';
import { limitObjects } from './limit-objects.ts';
import { MemoryObjects } from './memory-objects.ts';
import { NodeDisk } from './node-disk.ts';
import type { ObjectStore } from './object-store.ts';
import { retryObjects } from './retry-objects.ts';
import { SeededDisk } from './seeded-disk.ts';

const top = mkdtempSync(join(tmpdir(), 'holdfast-wrappers-'));
after(() => rmSync(top, { recursive: true, force: true }));

/** Sleeps one turn of the event loop, however long the delay: order without waiting. */
const hastyClock: Clock = { ...systemClock, sleep: () => new Promise((resolve) => setImmediate(resolve)) };

const retried = (inner: ObjectStore, attemptsMax = 5): ObjectStore =>
  retryObjects(inner, { clock: hastyClock, random: seededRandom(3), attemptsMax });
const limited = (inner: ObjectStore): ObjectStore => limitObjects(inner, { running: 2 });
const unlucky = (inner: ObjectStore, failShare: number): ReturnType<typeof faultyObjects> =>
  faultyObjects(inner, { random: seededRandom(5), clock: hastyClock, failShare, latencyMsMax: 5 });

const PLACES: Readonly<Record<string, MakeStore>> = {
  memory: async () => new MemoryObjects(),
  'memory without append': async () => new MemoryObjects({ append: false }),
  'a seeded disk': () => DiskObjects.open(new SeededDisk({ seed: 2 })),
  'a real folder': () => DiskObjects.open(new NodeDisk(mkdtempSync(join(top, 'store-')))),
};

for (const [place, make] of Object.entries(PLACES)) {
  objectStoreContract(`retry over ${place}`, async () => retried(await make()));
  objectStoreContract(`limit over ${place}`, async () => limited(await make()));
  objectStoreContract(`faulty, but never failing, over ${place}`, async () => unlucky(await make(), 0));
}
objectStoreContract('retry over limit over faulty memory that fails one request in five', async () =>
  wholeStreams(retried(limited(unlucky(new MemoryObjects(), 0.2)), 40)),
);

/** Streams gathered first, as they cannot be drawn twice: everything can then be tried again. */
function wholeStreams(inner: ObjectStore): ObjectStore {
  return {
    ...aroundObjects(inner, (_, work) => work()),
    put: async (name, bytes, options = {}) => {
      if (bytes instanceof Uint8Array) return await inner.put(name, bytes, options);
      const parts: Uint8Array[] = [];
      for await (const part of bytes) {
        if (options.signal?.aborted) throw Fault.aborted(options.signal, 'The put');
        parts.push(part.slice());
      }
      await inner.put(name, concatBytes(parts), options);
    },
  };
}

/** A store whose requests fail as the script says: before their effect, after it, or not. */
function scripted(inner: ObjectStore, ends: ('before' | 'after' | 'good')[]): ObjectStore & { calls: string[] } {
  const calls: string[] = [];
  const store = aroundObjects(inner, async ({ operation }, work) => {
    calls.push(operation);
    const end = operation === 'head' || operation === 'get' ? 'good' : (ends.shift() ?? 'good');
    if (end === 'before') throw new Fault('unavailable', 'Lost on the way there.');
    const answer = await work();
    if (end === 'after') throw new Fault('unavailable', 'Lost on the way back.');
    return answer;
  });
  return { ...store, calls };
}

describe('retry', () => {
  test('put succeeds once when the answer of the first one was lost', async () => {
    const inner = scripted(new MemoryObjects(), ['after', 'good']);
    await retried(inner).put('a', utf8('bytes'));
    assert.deepEqual(inner.calls, ['put', 'put', 'head', 'get']);
    assertBytes(await inner.get('a'), utf8('bytes'));
  });

  test('put answers exists when what is there is not its own', async () => {
    for (const other of ['longer bytes', 'other']) {
      const memory = new MemoryObjects();
      await memory.put('a', utf8(other));
      await assertFault('exists', retried(scripted(memory, ['before'])).put('a', utf8('bytes')));
      await assertFault('exists', retried(scripted(memory, [])).put('a', utf8(other)));
      assertBytes(await memory.get('a'), utf8(other));
    }
  });

  test('put of a stream is tried again only while nothing was drawn from it', async () => {
    const inner = scripted(new MemoryObjects(), ['before', 'before', 'good']);
    await retried(inner).put('a', streamOf(bytesOf(5_000, 1), 999));
    assertBytes(await inner.get('a'), bytesOf(5_000, 1));
    const lost = scripted(new MemoryObjects(), ['after', 'good']);
    await assertFault('unavailable', retried(lost).put('a', streamOf(bytesOf(5_000, 1), 999)));
    assert.deepEqual(lost.calls, ['put']);
  });

  test('copy succeeds once when the answer of the first one was lost', async () => {
    const memory = new MemoryObjects();
    await memory.put('from', bytesOf(3_000_000, 1));
    await retried(scripted(memory, ['after'])).copy('from', 'to');
    assertBytes(await memory.get('to'), bytesOf(3_000_000, 1));
    await assertFault('exists', retried(scripted(memory, [])).copy('from', 'to'));
    await memory.put('else', utf8('x'));
    await assertFault('exists', retried(scripted(memory, ['before'])).copy('from', 'else'));
  });

  test('append and sync of an open appender are never tried again', async () => {
    const memory = new MemoryObjects();
    const inner = scripted(memory, ['good', 'after']);
    const store = retried(inner);
    await using appender = await store.append('log', 0);
    await assertFault('unavailable', appender.append([utf8('once')]));
    await assertFault('unavailable', appender.append([utf8('twice')]));
    assert.deepEqual(inner.calls, ['append', 'append-bytes']);
    assertBytes(await memory.get('log'), utf8('once'));
  });

  test('request ends with the last failure when tries are used up, and at once when it does not pass', async () => {
    const inner = scripted(new MemoryObjects(), ['before', 'before', 'before', 'before']);
    await assertFault('unavailable', retried(inner, 3).delete('a'));
    assert.equal(inner.calls.length, 3);
    await assertFault('not-found', retried(scripted(new MemoryObjects(), [])).get('a'));
  });

  test('waiting for the next try ends when the asker gives up', async () => {
    const clock = new ManualClock();
    const inner = aroundObjects(new MemoryObjects(), () => Promise.reject(new Fault('busy', 'Not now.')));
    const store = retryObjects(inner, { clock, random: seededRandom(1) });
    const controller = new AbortController();
    const asked = store.get('a', { signal: controller.signal });
    setImmediate(() => controller.abort());
    await assertFault('aborted', asked);
  });
});

describe('limit', () => {
  test('at most so many requests run, others wait in line, and the line has an end', async () => {
    let [running, most] = [0, 0];
    const slow = aroundObjects(new MemoryObjects(), async (_, work) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return await work();
    });
    const store = limitObjects(slow, { running: 3, waiting: 5 });
    const ends = await Promise.allSettled(Array.from({ length: 12 }, (_, index) => store.put(`${index}`, utf8('x'))));
    assert.equal(most, 3);
    const refused = ends.filter((end) => end.status === 'rejected');
    assert.equal(refused.length, 4);
    assert.ok(refused.every((end) => Fault.is(end.reason, 'busy')));
  });

  test('appender takes nothing more when one of its appends found the line full', async () => {
    const memory = new MemoryObjects();
    const store = limitObjects(memory, { running: 1, waiting: 0 });
    await using appender = await store.append('log', 0);
    const blocking = store.put('slow', streamOf(bytesOf(10_000, 1), 100));
    await assertFault('busy', appender.append([utf8('lost')]));
    await blocking;
    await assertFault('busy', appender.append([utf8('behind a gap')]));
    assertBytes(await memory.get('log'), utf8(''));
  });
});

describe('faulty', () => {
  test('requests fail before or after their effect, the same ones for the same seed', async () => {
    const run = async (): Promise<string> => {
      const memory = new MemoryObjects();
      const store = unlucky(memory, 0.5);
      const ends: string[] = [];
      for (let index = 0; index < 60; index++) {
        const end = await store.put(`${index}`, utf8('x')).then(
          () => 'good',
          (error: unknown) => (Fault.is(error, 'unavailable') ? 'failed' : String(error)),
        );
        ends.push(`${end} ${(await memory.head(`${index}`)) !== undefined}`);
      }
      assert.equal(store.faultCount(), ends.filter((end) => end.startsWith('failed')).length);
      return ends.join();
    };
    const first = await run();
    assert.equal(first, await run());
    for (const end of ['good true', 'failed true', 'failed false']) assert.ok(first.includes(end));
    assert.ok(!first.includes('good false'));
  });

  test('append is torn, whole or without effect, and the appender is done for', async () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const memory = new MemoryObjects();
      const store = faultyObjects(memory, { random: seededRandom(seed), clock: hastyClock, appendFailShare: 1 });
      await using appender = await store.append('log', 0);
      await assertFault('unavailable', appender.append([bytesOf(50, 1), bytesOf(50, 2)]));
      await assertFault('unavailable', appender.append([utf8('x')]));
      const found = await memory.get('log');
      assertBytes(found, concatBytes([bytesOf(50, 1), bytesOf(50, 2)]).subarray(0, found.length));
      lengths.add(found.length);
      await appender.close();
      store.setQuiet(true);
      await using again = await store.append('log', found.length);
      await again.append([utf8('goes on')]);
    }
    assert.ok(lengths.has(100) && lengths.size > 10);
  });

  test('opening an appender that is said to have failed can be tried again', async () => {
    const store = retried(unlucky(new MemoryObjects(), 0.5), 50);
    for (let index = 0; index < 30; index++) {
      await using appender = await store.append(`log/${index}`, 0);
      assert.equal(appender.lengthBytes, 0);
    }
  });

  test('crash loses what was not synced and ends whoever was at work', async () => {
    const memory = new MemoryObjects();
    const store = faultyObjects(memory, {
      random: seededRandom(1),
      clock: hastyClock,
      latencyMsMax: 1,
      loseUnsynced: (random) => memory.loseUnsynced(random),
    });
    const appender = await store.append('log', 0);
    await appender.append([bytesOf(1_000, 1)]);
    await appender.sync();
    await appender.append([bytesOf(100_000, 2)]);
    const atWork = store.put('late', utf8('x'));
    await Promise.all([store.crash(), assertFault('unavailable', atWork)]);
    await assertFault('unavailable', appender.append([utf8('x')]));
    assert.equal(await store.head('late'), undefined);
    assertBytes(await store.get('log', { offset: 0, length: 1_000 }), bytesOf(1_000, 1));
    assert.notEqual((await store.head('log'))?.lengthBytes, 101_000);
    await using again = await store.append('log', 1_000);
    await again.append([utf8('new life')]);
  });
});
