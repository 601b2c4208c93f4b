/** The steady transport: requests survive the end of who answered them, and are never sent twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Transport, TransportRequest } from '../api/index.ts';
import { Fault } from '../base/index.ts';
import { REPLAY_BYTES_MAX, ReplayedBody } from './replayed-body.ts';
import { SEARCHES_MAX, SteadyTransport, type Way } from './steady-transport.ts';

const GET: TransportRequest = { method: 'GET', path: '/v1/health', headers: {} };

interface FakeWay extends Way {
  readonly received: Uint8Array[][];
  isOpen: boolean;
}

/** Answers `count` requests, then is gone: `pulled` chunks of a body are lost with a refused connection. */
function wayFor(count: number, { pulled = 1, wasSent = false } = {}): FakeWay {
  let left = count;
  const way: FakeWay = {
    received: [],
    isOpen: true,
    async transport(request) {
      const chunks: Uint8Array[] = [];
      const body = request.body ?? [];
      for await (const chunk of body instanceof Uint8Array ? [body] : body) {
        chunks.push(chunk);
        if (left <= 0 && chunks.length >= pulled) break;
      }
      if (left-- <= 0) throw new Fault('unavailable', 'Nobody is there.', { was_sent: wasSent });
      way.received.push(chunks);
      return { status: 200, headers: {}, body: (async function* () {})() };
    },
    async [Symbol.asyncDispose]() {
      way.isOpen = false;
    },
  };
  return way;
}

function steady(
  ways: readonly FakeWay[],
): { readonly send: Transport; readonly finds: () => number } & AsyncDisposable {
  let next = 1;
  const transport = new SteadyTransport(ways[0] ?? wayFor(0), async () => {
    const way = ways[next++];
    if (way === undefined) throw new Fault('locked', 'Somebody holds it.');
    return way;
  });
  return { send: transport.send, finds: () => next - 1, [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose]() };
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (Fault.is(error) ? error.code : String(error)),
  );
}

test('a request finds the store anew when the way to it is gone, and all ways are let go at the end', async () => {
  const ways = [wayFor(1), wayFor(9)];
  const transport = steady(ways);
  await transport.send(GET);
  await transport.send(GET);
  await transport.send(GET);
  assert.equal(transport.finds(), 1);
  await transport[Symbol.asyncDispose]();
  assert.deepEqual(
    ways.map((way) => way.isOpen),
    [false, false],
  );
});

test('many requests that lose the way at once find one new way together', async () => {
  await using transport = steady([wayFor(0), wayFor(99)]);
  await Promise.all(Array.from({ length: 20 }, () => transport.send(GET)));
  assert.equal(transport.finds(), 1);
});

test('a body that was begun for a lost way arrives whole and once', async () => {
  const ways = [wayFor(0, { pulled: 2 }), wayFor(1)];
  let ended = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    const reused = new Uint8Array(1);
    try {
      for (let i = 0; i < 5; i++) {
        reused[0] = i;
        yield reused;
      }
    } finally {
      ended++;
    }
  }
  await using transport = steady(ways);
  const kept: number[] = [];
  ways[1] = {
    ...wayFor(1),
    transport: async (request) => {
      for await (const chunk of request.body as AsyncIterable<Uint8Array>) kept.push(chunk[0] ?? -1);
      return { status: 200, headers: {}, body: (async function* () {})() };
    },
  };
  await transport.send({ ...GET, method: 'PUT', body: source() });
  assert.deepEqual(kept, [0, 1, 2, 3, 4]);
  assert.equal(ended, 1);
});

test('a request that may have arrived is never sent again', async () => {
  await using transport = steady([wayFor(0, { wasSent: true }), wayFor(9)]);
  assert.equal(await codeOf(transport.send(GET)), 'unavailable');
  assert.equal(transport.finds(), 0);
});

test('a body beyond the bound is not sent again, and its source is ended', async () => {
  let ended = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield new Uint8Array(REPLAY_BYTES_MAX / 2);
    } finally {
      ended++;
    }
  }
  await using transport = steady([wayFor(0, { pulled: 3 }), wayFor(9)]);
  assert.equal(await codeOf(transport.send({ ...GET, body: source() })), 'unavailable');
  assert.equal(ended, 1);
});

test('a search goes on while the old holder only waits for our own answers', async () => {
  let refusals = 0;
  let left = 2;
  const first: Way = {
    async transport(request) {
      if (left-- <= 0) throw new Fault('unavailable', 'Nobody is there.', { was_sent: false });
      return wayFor(1).transport(request);
    },
    async [Symbol.asyncDispose]() {},
  };
  const answers: AsyncIterable<Uint8Array>[] = [];
  await using transport = new SteadyTransport(first, async () => {
    if (++refusals < 3) throw new Fault('locked', 'It is closing.');
    // The second of the open answers is read to its end while the search goes on.
    for (const answer of answers) for await (const _ of answer);
    if (refusals === 3) throw new Fault('locked', 'It is closing.');
    return wayFor(9);
  });
  for (let i = 0; i < 2; i++) answers.push((await transport.send(GET)).body);
  assert.equal(await codeOf(transport.send(GET)), 'locked', 'nothing is under way any more, so the refusal counts');
  assert.equal(refusals, 3);
});

test('a request that waits for a way can be given up', async () => {
  const transport = new SteadyTransport(wayFor(0), () => new Promise(() => {}));
  assert.equal(await codeOf(transport.send({ ...GET, signal: AbortSignal.timeout(10) })), 'aborted');
});

test('a search that fails fails the requests that wait for it, and closing still works', async () => {
  const transport = steady([wayFor(0)]);
  assert.equal(await codeOf(transport.send(GET)), 'locked');
  await transport[Symbol.asyncDispose]();
});

test('ways that are lost again and again are given up at a bound', async () => {
  const ways = Array.from({ length: SEARCHES_MAX + 9 }, () => wayFor(0));
  await using transport = steady(ways);
  assert.equal(await codeOf(transport.send(GET)), 'unavailable');
  assert.equal(transport.finds(), SEARCHES_MAX);
});

test('a store that passes through many hands refuses nothing: every holder that is found is asked', async () => {
  await using transport = steady([...Array.from({ length: 20 }, () => wayFor(0)), wayFor(1)]);
  assert.equal(await codeOf(transport.send(GET)), 'none');
  assert.equal(transport.finds(), 20);
});

test('a replayed body of a plain list is whole each time', async () => {
  await using body = new ReplayedBody([Uint8Array.of(1), Uint8Array.of(2)]);
  const all = async (): Promise<number[]> => {
    const seen: number[] = [];
    for await (const chunk of body.bytes()) seen.push(chunk[0] ?? -1);
    return seen;
  };
  assert.deepEqual(await all(), [1, 2]);
  assert.deepEqual(await all(), [1, 2]);
});
