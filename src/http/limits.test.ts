/** What clients may keep of a door: places among the transfers, time, patience. Whatever they do, it comes back. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { ended, type FakeDoor, openFakeDoor } from './fake-door.ts';
import type { HttpOptions } from './options.ts';

const HOST = 'Host: test.example\r\n';

/** A PUT whose body begins and does not end. */
async function beginPut(door: FakeDoor, path: string, length = 100): Promise<Socket> {
  const socket = await door.socket();
  socket.write(`PUT /v1/files/${path}?create HTTP/1.1\r\n${HOST}Content-Length: ${length}\r\n\r\nx`);
  return socket;
}

const small: Partial<HttpOptions> = { transfersMax: 2, transfersWaitingMax: 1, transferWaitMs: 300 };

test('transfers wait for their turn, and where too many wait they are told to come again', async () => {
  await using door = await openFakeDoor({ options: { ...small, transferWaitMs: 20_000 } });
  await door.service.write('/a', [Buffer.from('content')], { mode: 'put' });
  const held = [await beginPut(door, 'one'), await beginPut(door, 'two')];
  await wait(50);
  const third = door.ask('GET', '/v1/files/a');
  await wait(50);
  const fourth = await door.ask('GET', '/v1/files/a');
  assert.deepEqual([fourth.status, fourth.json.code, fourth.headers['retry-after']], [429, 'busy', '1']);
  // Whatever neither brings nor takes files goes on.
  assert.equal((await door.ask('GET', '/v1/metadata/a')).status, 200);
  assert.equal((await door.ask('HEAD', '/v1/files/a')).status, 200);
  const one = held[0];
  const answered = one === undefined ? '' : ended(one);
  one?.end('x'.repeat(99));
  assert.equal((await third).text, 'content');
  assert.match(await answered, /^HTTP\/1\.1 201/);
  held[1]?.destroy();
});

test('who waited long enough is told to come again, and who goes away leaves the line', async () => {
  await using door = await openFakeDoor({ options: small });
  await door.service.write('/a', [Buffer.from('content')], { mode: 'put' });
  const held = [await beginPut(door, 'one'), await beginPut(door, 'two')];
  await wait(50);
  const left = await door.socket();
  left.write(`GET /v1/files/a HTTP/1.1\r\n${HOST}\r\n`);
  await wait(50);
  left.destroy();
  await wait(50);
  const late = await door.ask('GET', '/v1/files/a');
  assert.deepEqual([late.status, late.json.code], [429, 'busy']);
  assert.match(late.text, /for 0\.3 s/);
  for (const socket of held) socket.destroy();
  while ((await door.ask('GET', '/v1/files/a')).status !== 200) await wait(20);
  // All places are there again.
  const all = await Promise.all([1, 2, 3].map(() => door.ask('GET', '/v1/files/a')));
  assert.deepEqual(
    all.map(({ status }) => status),
    [200, 200, 200],
  );
});

test('a body that trickles is given up with 408, a client that takes nothing is cut off, and their places come back', async () => {
  const options = { transfersMax: 2, idleTimeoutMs: 800, bytesPerSecondMin: 5_000, lingerMs: 100 };
  await using door = await openFakeDoor({ options });
  await door.service.write('/large', [Buffer.alloc(30_000_000, 'x')], { mode: 'put' });
  const trickling = await beginPut(door, 'slow', 10_000);
  const told = ended(trickling);
  const timer = setInterval(() => trickling.write('x'), 100);
  const taking = await door.socket();
  taking.pause();
  taking.write(`GET /v1/files/large HTTP/1.1\r\n${HOST}\r\n`);
  const cut = new Promise((done) => taking.once('close', done));
  try {
    assert.match(await told, /^HTTP\/1\.1 408 .*"code":"timeout"/s);
  } finally {
    clearInterval(timer);
  }
  await wait(300);
  taking.resume();
  await cut;
  assert.equal((await door.ask('GET', '/v1/files/slow')).status, 404);
  const all = await Promise.all([1, 2].map(() => door.ask('GET', '/v1/files/large')));
  assert.deepEqual(
    all.map(({ bytes }) => bytes.length),
    [30_000_000, 30_000_000],
  );
  assert.deepEqual(await door.door.drain(2_000), { ended: 0 });
});

test('a body that stands still is given up with 408, and its place comes back', async () => {
  await using door = await openFakeDoor({ options: { transfersMax: 1, idleTimeoutMs: 300, lingerMs: 100 } });
  const told = await ended(await beginPut(door, 'still'));
  assert.match(told, /^HTTP\/1\.1 408 .*Nothing of the body came for 0\.3 s.*"code":"timeout"/s);
  const next = await beginPut(door, 'one', 1);
  const file = ended(next);
  // Without it the connection is kept for the next request.
  next.end();
  assert.match(await file, /^HTTP\/1\.1 201/);
  assert.equal((await door.ask('GET', '/v1/files/still')).status, 404);
});

test('a client that is slow but moves is waited for', async () => {
  await using door = await openFakeDoor({ options: { idleTimeoutMs: 400, bytesPerSecondMin: 200 } });
  const socket = await beginPut(door, 'slow', 1_001);
  const told = ended(socket);
  for (let sent = 0; sent < 1_000; sent += 50) {
    await wait(50);
    socket.write('x'.repeat(50));
  }
  await wait(50);
  socket.end();
  assert.match(await told, /^HTTP\/1\.1 201/);
});

test('a request that takes too long is given up with 504', async () => {
  await using door = await openFakeDoor({
    options: { requestTimeoutMs: 200 },
    wrap: (service) => ({
      ...service,
      stat: (_target, { signal } = {}) =>
        new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error))),
    }),
  });
  const late = await door.ask('GET', '/v1/metadata/a');
  assert.deepEqual([late.status, late.json.code], [504, 'timeout']);
});

test('a JSON body that does not end is given up with the request', async () => {
  await using door = await openFakeDoor({ options: { requestTimeoutMs: 200 } });
  const socket = await door.socket();
  socket.write(`POST /v1/move HTTP/1.1\r\n${HOST}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{`);
  assert.match(await ended(socket), /^HTTP\/1\.1 504 .*"code":"timeout"/s);
});

test('a change feed goes on beyond the time of a request', async () => {
  await using door = await openFakeDoor({
    options: { requestTimeoutMs: 100, bytesPerSecondMin: 1_000, idleTimeoutMs: 200 },
  });
  const socket = await door.socket();
  let text = '';
  socket.on('data', (data) => {
    text += data.toString();
  });
  socket.write(`GET /v1/changes HTTP/1.1\r\n${HOST}Accept: text/event-stream\r\n\r\n`);
  await wait(600);
  await door.service.makeFolder('/late');
  while (!text.includes('event: commit')) await wait(10);
  socket.destroy();
});
