/**
 * What every place for objects promises, as tests: a new place is finished when these pass for it, a wrapper too.
 * `make` gives a fresh, empty store for each test; the test closes it. Abilities decide which half of a promise is
 * checked: with `append` that it works, without it that it is refused in words.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { concatBytes, equalBytes, Fault, type FaultCode, seededRandom, utf8 } from '../base/index.ts';
import type { ObjectInfo, ObjectStore } from './object-store.ts';

export type MakeStore = () => Promise<ObjectStore>;

/** Names whose order surprises: folders and objects that share letters, one-letter names, the longest ones. */
const AWKWARD_NAMES = [
  'a',
  'a-',
  'a-b',
  'a.',
  'a/a',
  'a/b/c',
  'a0',
  'aa',
  'aa-b',
  'aa/b',
  'aa/bb/cc',
  'aab',
  'ab',
  '.a',
  '...',
  '-',
  '_/_',
  'z',
  `${'z/'.repeat(100)}z`,
  'l'.repeat(200),
  `${'l'.repeat(200)}/${'m'.repeat(200)}/${'n'.repeat(110)}`,
];
const BAD_NAMES = [
  '',
  '/',
  'a/',
  '/a',
  'a//b',
  '.',
  '..',
  'a/..',
  './a',
  'A',
  'ä',
  'a b',
  'a=',
  'a\0',
  'x'.repeat(201),
];

export function objectStoreContract(place: string, make: MakeStore): void {
  describe(`objects in ${place}`, () => {
    wholeObjects(make);
    ranges(make);
    lists(make);
    removal(make);
    copies(make);
    appends(make);
    closing(make);
    anyOrder(make);
  });
}

function wholeObjects(make: MakeStore): void {
  test('object reads back exactly when it was put at once or as a stream', async () => {
    await using store = await make();
    for (const length of [0, 1, 511, 65_536, 1_500_001]) {
      const bytes = bytesOf(length, length);
      await store.put(`whole/${length}`, bytes);
      await store.put(`stream/${length}`, streamOf(bytes, 100_000));
      assertBytes(await store.get(`whole/${length}`), bytes);
      assertBytes(await store.get(`stream/${length}`), bytes);
      assert.deepEqual(await store.head(`stream/${length}`), { name: `stream/${length}`, lengthBytes: length });
    }
  });

  test('put takes a view of shared memory and keeps nothing of the caller', async () => {
    await using store = await make();
    const shared = new Uint8Array(new SharedArrayBuffer(40)).subarray(10, 30).fill(7);
    await store.put('shared', shared);
    shared.fill(8);
    const found = await store.get('shared');
    assertBytes(found, new Uint8Array(20).fill(7));
    found.fill(9);
    assertBytes(await store.get('shared'), new Uint8Array(20).fill(7));
  });

  test('put refuses a name that is taken and leaves its bytes alone', async () => {
    await using store = await make();
    await store.put('taken', utf8('first'));
    await assertFault('exists', store.put('taken', utf8('other')));
    await assertFault('exists', store.put('taken', streamOf(utf8('other'), 2)));
    assertBytes(await store.get('taken'), utf8('first'));
  });

  test('exactly one put wins when several write one name at once', async () => {
    await using store = await make();
    const puts = [1, 2, 3, 4, 5].map((seed) => store.put('race/one', streamOf(bytesOf(40_000, seed), 9_999)));
    const ends = await Promise.allSettled(puts);
    const winner = ends.findIndex((end) => end.status === 'fulfilled');
    for (const [index, end] of ends.entries()) {
      if (end.status === 'rejected') assert.ok(Fault.is(end.reason, 'exists'), String(end.reason));
      else assert.equal(index, winner);
    }
    assertBytes(await store.get('race/one'), bytesOf(40_000, winner + 1));
  });

  test('put leaves nothing behind when its stream fails or is given up', async () => {
    await using store = await make();
    const ours = new Error('the source broke');
    await assert.rejects(store.put('half', failing(ours)), (error) => error === ours);
    const controller = new AbortController();
    const stream = endless(() => controller.abort());
    await assertFault('aborted', store.put('half', stream, { signal: controller.signal }));
    await assertFault('aborted', store.put('half', utf8('x'), { signal: AbortSignal.abort() }));
    await assertFault('aborted', store.get('half', { signal: AbortSignal.abort() }));
    assert.equal(await store.head('half'), undefined);
    assert.deepEqual(await store.list(), { objects: [] });
    await store.put('half', utf8('whole'));
    assertBytes(await store.get('half'), utf8('whole'));
  });

  test('request answers invalid when its name is none', async () => {
    await using store = await make();
    for (const name of [...BAD_NAMES, `${'x/'.repeat(256)}x`]) {
      await assertFault('invalid', store.put(name, utf8('x')));
      await assertFault('invalid', store.get(name));
      await assertFault('invalid', store.head(name));
      await assertFault('invalid', store.delete(name));
    }
  });
}

function ranges(make: MakeStore): void {
  test('get answers exactly the asked bytes or says that the object ends before', async () => {
    await using store = await make();
    const bytes = bytesOf(100_000, 3);
    await store.put('ranged', bytes);
    for (const [offset, length] of [
      [0, 1],
      [0, 100_000],
      [99_999, 1],
      [512, 1_000],
      [100_000, 0],
      [5, 0],
    ] as const) {
      assertBytes(await store.get('ranged', { offset, length }), bytes.subarray(offset, offset + length));
      const now = store.getNow?.('ranged', { offset, length });
      if (now !== undefined) assertBytes(now, bytes.subarray(offset, offset + length));
    }
    assertBytes(await store.get('ranged', { offset: 99_990 }), bytes.subarray(99_990));
    assertBytes(await store.get('ranged', { offset: 100_000 }), utf8(''));
    for (const range of [{ offset: 0, length: 100_001 }, { offset: 99_999, length: 2 }, { offset: 100_001 }]) {
      await assertFault('range', store.get('ranged', range));
    }
    await assertFault('range', store.get('ranged', { offset: 100_001, length: 0 }));
    assert.equal(store.getNow?.('ranged', { offset: 99_990, length: 11 }), undefined);
    assert.equal(store.getNow?.('none', { offset: 0, length: 1 }), undefined);
    await assertFault('range', store.get('ranged', { offset: 2 ** 50, length: 2 ** 40 }));
    await assertFault('invalid', store.get('ranged', { offset: -1 }));
    await assertFault('invalid', store.get('ranged', { length: 0.5 }));
  });

  test('get answers not-found and head nothing when there is no such object', async () => {
    await using store = await make();
    await store.put('there/is', utf8('x'));
    for (const name of ['there', 'there/is/no', 'there/i', 'nothing']) {
      await assertFault('not-found', store.get(name));
      await assertFault('not-found', store.get(name, { offset: 0, length: 5 }));
      assert.equal(await store.head(name), undefined);
    }
  });

  test('many reads at once of many objects all answer their own bytes', async () => {
    await using store = await make();
    const names = Array.from({ length: 100 }, (_, index) => `many/${index}`);
    await Promise.all(names.map((name, index) => store.put(name, bytesOf(2_000, index))));
    const reads = Array.from({ length: 400 }, async (_, index) => {
      const seed = (index * 37) % 100;
      const found = await store.get(`many/${seed}`, { offset: index, length: 1_000 });
      assertBytes(found, bytesOf(2_000, seed).subarray(index, index + 1_000));
    });
    await Promise.all(reads);
  });
}

function lists(make: MakeStore): void {
  test('list shows names in byte order, by prefix, behind a name and page by page', async () => {
    await using store = await make();
    for (const name of AWKWARD_NAMES) await store.put(name, utf8(name));
    const all = AWKWARD_NAMES.toSorted().map((name) => ({ name, lengthBytes: name.length }));
    assert.deepEqual(await store.list(), { objects: all });
    for (const prefix of ['', 'a', 'a/', 'a-', 'aa', 'aa/', 'aa/b', 'l', 'z/z', '.', 'b', 'abc/d', '/']) {
      const wanted = all.filter(({ name }) => name.startsWith(prefix));
      assert.deepEqual(await store.list({ prefix }), { objects: wanted }, `prefix ${prefix}`);
      for (const limit of [1, 3]) assert.deepEqual(await everyPage(store, { prefix, limit }), wanted);
    }
    for (const after of ['', 'a', 'a/b', 'a/b/c', 'a0', 'zz', 'aa/bb/cc', 'aa/bb/c']) {
      const wanted = all.filter(({ name }) => name > after);
      assert.deepEqual(await store.list({ after }), { objects: wanted }, `after ${after}`);
    }
  });

  test('list has a page after this one only when there is more', async () => {
    await using store = await make();
    assert.deepEqual(await store.list({ limit: 1 }), { objects: [] });
    for (const name of ['p1', 'p2', 'p3']) await store.put(name, utf8(''));
    assert.equal((await store.list({ limit: 3 })).next, undefined);
    assert.equal((await store.list({ limit: 2 })).next, 'p2');
    assert.equal((await store.list({ limit: 2, after: 'p1' })).next, undefined);
  });

  test('list answers invalid when limit or prefix cannot be', async () => {
    await using store = await make();
    for (const limit of [0, -1, 1.5, 1_001]) await assertFault('invalid', store.list({ limit }));
    for (const prefix of ['A', 'a=', 'x'.repeat(513)]) await assertFault('invalid', store.list({ prefix }));
  });
}

function removal(make: MakeStore): void {
  test('delete removes an object for all later requests and is fine with none', async () => {
    await using store = await make();
    await store.delete('never/was');
    await store.put('d/one', utf8('one'));
    await store.put('d/two', utf8('two'));
    assertBytes(await store.get('d/one'), utf8('one'));
    await store.delete('d/one');
    await store.delete('d/one');
    await assertFault('not-found', store.get('d/one', { offset: 0, length: 3 }));
    assert.equal(await store.head('d/one'), undefined);
    assert.deepEqual(await store.list(), { objects: [{ name: 'd/two', lengthBytes: 3 }] });
    await store.put('d/one', utf8('again'));
    assertBytes(await store.get('d/one'), utf8('again'));
  });
}

function copies(make: MakeStore): void {
  test('copy makes an equal object, or is refused without the ability', async () => {
    await using store = await make();
    await store.put('from', utf8('bytes'));
    if (!store.abilities.copy) {
      await assertFault('unsupported', store.copy('from', 'to'));
      return;
    }
    await store.copy('from', 'to');
    assertBytes(await store.get('to'), utf8('bytes'));
    await assertFault('exists', store.copy('from', 'to'));
    await assertFault('not-found', store.copy('none', 'other'));
    await store.delete('from');
    assertBytes(await store.get('to'), utf8('bytes'));
  });
}

function appends(make: MakeStore): void {
  test('append makes an object longer, or is refused without the ability', async () => {
    await using store = await make();
    if (!store.abilities.append) {
      await assertFault('unsupported', store.append('log', 0));
      assert.equal(await store.head('log'), undefined);
      return;
    }
    await using appender = await store.append('log', 0);
    assert.equal(appender.lengthBytes, 0);
    await appender.append([utf8('one '), utf8(''), utf8('two ')]);
    await appender.append([]);
    assert.equal(appender.lengthBytes, 8);
    assertBytes(await store.get('log'), utf8('one two '));
    await appender.append([new Uint8Array(new SharedArrayBuffer(2)).fill(33)]);
    assertBytes(await store.get('log', { offset: 8, length: 2 }), utf8('!!'));
    await appender.sync();
    assert.deepEqual(await store.head('log'), { name: 'log', lengthBytes: 10 });
    assert.deepEqual(await store.list(), { objects: [{ name: 'log', lengthBytes: 10 }] });
    await assertFault('exists', store.put('log', utf8('x')));
  });

  whenAppending('append keeps the order of calls when they overlap', make, async (store) => {
    await using appender = await store.append('order', 0);
    const parts = Array.from({ length: 50 }, (_, index) => bytesOf(100 + 97 * index, index));
    await Promise.all([...parts.map((part) => appender.append([part])), appender.sync()]);
    assertBytes(await store.get('order'), concatBytes(parts));
  });

  whenAppending('append takes thousands of parts in one call', make, async (store) => {
    await using appender = await store.append('parts', 0);
    const parts = Array.from({ length: 3_000 }, (_, index) => bytesOf(index % 50, index));
    await appender.append(parts);
    assertBytes(await store.get('parts'), concatBytes(parts));
  });

  whenAppending('append goes on behind the given byte and drops what stood there', make, async (store) => {
    await using first = await store.append('torn', 0);
    await first.append([utf8('whole|torn tail')]);
    await first.close();
    await using second = await store.append('torn', 6);
    assert.equal(second.lengthBytes, 6);
    assert.equal((await store.head('torn'))?.lengthBytes, 6);
    await second.append([utf8('new')]);
    await second.sync();
    assertBytes(await store.get('torn'), utf8('whole|new'));
    await second.close();
    await using third = await store.append('torn', 0);
    assertBytes(await store.get('torn'), utf8(''));
    await third.close();
    await store.put('sealed', utf8('put'));
    await using fourth = await store.append('sealed', 3);
    await fourth.append([utf8(' and more')]);
    assertBytes(await store.get('sealed'), utf8('put and more'));
  });

  whenAppending('append is refused when bytes before it are missing', make, async (store) => {
    await assertFault('not-found', store.append('none', 1));
    assert.equal(await store.head('none'), undefined);
    await store.put('short', utf8('12345'));
    await assertFault('corrupt', store.append('short', 6));
    await assertFault('invalid', store.append('short', -1));
    await assertFault('invalid', store.append('../short', 0));
    assertBytes(await store.get('short'), utf8('12345'));
  });

  whenAppending('append is refused while another appender has the object', make, async (store) => {
    const first = await store.append('held', 0);
    await assertFault('locked', store.append('held', 0));
    await first.close();
    await first.close();
    await assertFault('unavailable', first.append([utf8('x')]));
    await using second = await store.append('held', 0);
    await second.append([utf8('y')]);
  });

  whenAppending('appender takes nothing more when its object was deleted', make, async (store) => {
    await using appender = await store.append('gone', 0);
    await appender.append([utf8('x')]);
    await appender.sync();
    await store.delete('gone');
    await assertFault('not-found', appender.append([utf8('y')]));
    await assertFault('not-found', appender.sync());
    assert.equal(await store.head('gone'), undefined);
  });

  whenAppending('get of a growing object answers what was appended so far', make, async (store) => {
    await using appender = await store.append('growing', 0);
    for (let round = 1; round <= 20; round++) {
      await appender.append([new Uint8Array(1_000).fill(round)]);
      assert.equal((await store.get('growing')).length, 1_000 * round);
      const last = await store.get('growing', { offset: 1_000 * (round - 1), length: 1_000 });
      assertBytes(last, new Uint8Array(1_000).fill(round));
      await assertFault('range', store.get('growing', { offset: 1_000 * round, length: 1 }));
    }
  });
}

function closing(make: MakeStore): void {
  test('store takes nothing more when it is closed, and closes twice', async () => {
    const store = await make();
    await store.put('last', utf8('x'));
    const reading = store.get('last');
    await Promise.all([store.close(), reading]);
    await store.close();
    await assertFault('unavailable', store.get('last'));
    await assertFault('unavailable', store.put('more', utf8('x')));
    await assertFault('unavailable', store.list());
  });
}

type Step =
  | { readonly do: 'put' | 'delete' | 'get' | 'append'; readonly name: string; readonly size: number }
  | { readonly do: 'list'; readonly prefix: string; readonly after: string; readonly limit: number };

function anyOrder(make: MakeStore): void {
  const name = fc.constantFrom('a', 'ab', 'a/b', 'a/bc', 'a/b/c', 'abc/d', 'b', 'b-', 'b/x');
  const step = fc.oneof(
    fc.record({
      do: fc.constantFrom('put' as const, 'delete' as const, 'get' as const, 'append' as const),
      name,
      size: fc.nat(3_000),
    }),
    fc.record({
      do: fc.constant('list' as const),
      prefix: fc.constantFrom('', 'a', 'a/', 'ab', 'b'),
      after: fc.oneof(fc.constant(''), name),
      limit: fc.integer({ min: 1, max: 5 }),
    }),
  );
  test('store answers as a map does in any order of requests', async () => {
    const property = fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      await using store = await make();
      const model = new Map<string, Uint8Array>();
      for (const [index, each] of steps.entries()) await doStep(store, model, each, index);
    });
    await fc.assert(property, { numRuns: 25, seed: 7 });
  });
}

async function doStep(store: ObjectStore, model: Map<string, Uint8Array>, step: Step, index: number): Promise<void> {
  if (step.do === 'list') {
    const { prefix, after, limit } = step;
    const wanted = infosOf(model).filter((info) => info.name.startsWith(prefix) && info.name > after);
    const page = await store.list({ prefix, after, limit });
    assert.deepEqual(page.objects, wanted.slice(0, limit));
    assert.equal(page.next, wanted.length > limit ? wanted[limit - 1]?.name : undefined);
    return;
  }
  const known = model.get(step.name);
  const bytes = bytesOf(step.size, index);
  switch (step.do) {
    case 'put':
      if (known !== undefined) return await assertFault('exists', store.put(step.name, bytes));
      await store.put(step.name, bytes);
      model.set(step.name, bytes);
      return;
    case 'get':
      if (known === undefined) return await assertFault('not-found', store.get(step.name));
      return assertBytes(await store.get(step.name), known);
    case 'delete':
      await store.delete(step.name);
      model.delete(step.name);
      return;
    case 'append': {
      if (!store.abilities.append) return;
      const at = Math.min(step.size, known?.length ?? 0);
      await using appender = await store.append(step.name, at);
      await appender.append([bytes]);
      model.set(step.name, concatBytes([(known ?? bytes).subarray(0, at), bytes]));
      return;
    }
  }
}

function infosOf(model: ReadonlyMap<string, Uint8Array>): ObjectInfo[] {
  const names = [...model.keys()].sort();
  return names.map((name) => ({ name, lengthBytes: model.get(name)?.length ?? -1 }));
}

function whenAppending(name: string, make: MakeStore, check: (store: ObjectStore) => Promise<void>): void {
  test(name, async () => {
    await using store = await make();
    if (store.abilities.append) await check(store);
  });
}

async function everyPage(store: ObjectStore, options: { prefix: string; limit: number }): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  let after: string | undefined = '';
  while (after !== undefined) {
    const page: Awaited<ReturnType<ObjectStore['list']>> = await store.list({ ...options, after });
    assert.ok(page.objects.length <= options.limit);
    found.push(...page.objects);
    after = page.next;
  }
  return found;
}

/** The same bytes for the same seed; neither zeros nor a pattern. */
export function bytesOf(length: number, seed: number): Uint8Array<ArrayBuffer> {
  return seededRandom(seed).bytes(length);
}

export async function assertFault(code: FaultCode, work: Promise<unknown>): Promise<void> {
  const answer = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(Fault.is(answer, code), `expected fault ${code}, got ${answer}`);
  assert.match(answer.message, /\.$/);
}

export function assertBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(actual.length, expected.length);
  assert.ok(equalBytes(actual, expected), 'bytes differ');
}

export async function* streamOf(bytes: Uint8Array, partBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += partBytes) yield bytes.subarray(at, at + partBytes);
}

async function* failing(error: Error): AsyncGenerator<Uint8Array> {
  yield utf8('some');
  throw error;
}

async function* endless(onThird: () => void): AsyncGenerator<Uint8Array> {
  for (let count = 1; ; count++) {
    if (count === 3) onThird();
    yield bytesOf(1_000, count);
  }
}
