/** Where the door listens, and how it ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Fault, utf8 } from '../base/index.ts';
import { ended, type FakeDoor, openFakeDoor } from './fake-door.ts';
import { nodeTransport } from './node-transport.ts';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const HEALTH = 'GET /v1/health HTTP/1.1\r\nHost: test.example\r\n\r\n';

describe('listening', () => {
  test('everything but loopback is refused with a sentence that says why', async () => {
    await using door = await openFakeDoor();
    for (const host of ['0.0.0.0', '::', '192.168.1.1', 'files.example', '', '127.evil.example', '::ffff:10.0.0.1']) {
      await assert.rejects(
        door.door.listen({ host, port: 0 }),
        (error) => Fault.is(error, 'denied') && /no accounts yet/.test(error.message),
        host,
      );
    }
    for (const host of ['localhost', '127.0.0.2']) await door.door.listen({ host, port: 0 });
  });

  test('a port in use is a fault that names it', async () => {
    await using door = await openFakeDoor();
    const again = door.door.listen({ host: '127.0.0.1', port: door.port });
    await assert.rejects(again, (error) => Fault.is(error, 'exists') && error.message.includes(String(door.port)));
  });

  test('the control socket is private, replaces a left one, and asks for no Host', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-listen-'));
    const socketPath = join(folder, 'control.sock');
    try {
      const left = createServer().listen(socketPath);
      await new Promise((resolve) => left.once('listening', resolve));
      await using door = await openFakeDoor();
      await door.door.listen({ socketPath });
      assert.equal(statSync(socketPath).mode & 0o777, 0o600);
      using transport = nodeTransport({ socketPath });
      const headers = { host: 'anything.example', origin: 'http://anything.example' };
      const answer = await transport.send({ method: 'GET', path: '/v1/health', headers });
      assert.equal(answer.status, 200);
      for await (const _ of answer.body);
      left.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('a connection that was accepted before the door listened is served, with what it had sent, and drained', async () => {
    await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-listen-'));
    const socketPath = join(place.path, 'control.sock');
    const before = createServer({ pauseOnConnect: true }).listen(socketPath);
    const accepted = once(before, 'connection');
    const visitor = connect(socketPath);
    visitor.write(HEALTH);
    const [connection] = (await accepted) as [Socket];
    before.close();
    await pause(20);
    await using door = await openFakeDoor();
    assert.throws(() => door.door.admit(connection), /Broken invariant/);
    await door.door.listen({ socketPath });
    const told = ended(visitor);
    door.door.admit(connection);
    await once(visitor, 'data');
    visitor.write('GET /v1/health HTTP/1.1\r\nX-Half: ');
    await pause(20);
    const drained = door.door.drain(5_000);
    visitor.write('yes\r\n\r\n');
    assert.match(await told, /"status":"ok".*connection: close.*"status":"draining"/is);
    assert.deepEqual(await drained, { ended: 0 });
    assert.ok(connection.destroyed);
  });

  test('a control socket with too long a path is a fault that says so', async () => {
    await using door = await openFakeDoor();
    const long = door.door.listen({ socketPath: `/tmp/${'x'.repeat(120)}/control.sock` });
    await assert.rejects(long, (error) => Fault.is(error, 'invalid') && /shorter path/.test(error.message));
  });

  test('a thousand idle connections are kept, and answered when they ask', async () => {
    await using door = await openFakeDoor();
    const sockets = await Promise.all(Array.from({ length: 1_000 }, () => door.socket()));
    const ask = (socket: (typeof sockets)[number]): Promise<string> =>
      new Promise((resolve) => {
        socket.once('data', (data) => resolve(data.toString()));
        socket.write(HEALTH);
      });
    for (let round = 0; round < 2; round++) {
      const told = await Promise.all(sockets.map(ask));
      assert.ok(told.every((text) => text.startsWith('HTTP/1.1 200 ')));
    }
    for (const socket of sockets) socket.destroy();
  });
});

describe('draining', () => {
  async function slowly(door: FakeDoor): Promise<{ finish: () => void; told: Promise<string> }> {
    const socket = await door.socket();
    const told = ended(socket);
    socket.write('PUT /v1/files/a?create HTTP/1.1\r\nHost: test.example\r\nContent-Length: 6\r\n\r\nabc');
    await pause(30);
    return { finish: () => socket.write('def'), told };
  }

  test('running requests finish, idle connections end, new ones are refused, health says so', async () => {
    await using door = await openFakeDoor();
    const idle = await door.socket();
    const idleEnds = ended(idle);
    const asking = await door.socket();
    const askingEnds = ended(asking);
    asking.write('GET /v1/health HTTP/1.1\r\nHost: test.example\r\nX-Half: ');
    const { finish, told } = await slowly(door);
    const drained = door.door.drain(5_000);
    await idleEnds;
    await assert.rejects(door.socket());
    asking.write('yes\r\n\r\n');
    assert.match(await askingEnds, /connection: close.*"status":"draining"/is);
    finish();
    assert.match(await told, /^HTTP\/1\.1 201 .*connection: close/is);
    assert.deepEqual(await drained, { ended: 0 });
    assert.equal((await door.service.stat({ path: '/a' })).size, 6);
    await assert.rejects(door.door.listen({ host: '127.0.0.1', port: 0 }), (error) => Fault.is(error, 'unavailable'));
  });

  test('what still runs at the deadline is ended and leaves nothing', async () => {
    await using door = await openFakeDoor();
    const { told } = await slowly(door);
    const started = performance.now();
    assert.deepEqual(await door.door.drain(100), { ended: 1 });
    assert.ok(performance.now() - started < 2_000);
    assert.equal(await told, '');
    assert.deepEqual((await door.service.list({ path: '/' })).entries, []);
    assert.deepEqual(await door.door.drain(100), { ended: 1 }, 'safe twice');
  });

  test('a door that never listened ends as well', async () => {
    const door = await openFakeDoor();
    await door.service.write('/a', [utf8('x')], { mode: 'create' });
    await door[Symbol.asyncDispose]();
    await door[Symbol.asyncDispose]();
  });
});
