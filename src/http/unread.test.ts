/** What a broken Unix socket proves about a request: told by the kernel itself. */
import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TransportRequest } from '../api/index.ts';
import { Fault } from '../base/index.ts';
import { nodeTransport } from './index.ts';

/** The fault of a request to a server that does this to the connection. */
async function faultOf(treat: (socket: Socket) => void, more: Partial<TransportRequest> = {}): Promise<Fault> {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-'));
  const socketPath = join(place.path, 'socket');
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    treat(socket);
  });
  await new Promise<void>((done) => server.listen(socketPath, done));
  using transport = nodeTransport({ socketPath });
  try {
    await transport.send({ method: 'DELETE', path: '/v1/files/a', headers: {}, ...more });
  } catch (error) {
    assert.ok(Fault.is(error, 'unavailable'), String(error));
    return error;
  } finally {
    server.close();
  }
  throw new Error('it was answered');
}

test('a request that nobody read before the connection ended was not sent', async () => {
  const fault = await faultOf((socket) => setTimeout(() => socket.destroy(), 30));
  assert.equal(fault.about.was_sent, false);
});

test('a request whose connection was never let in was not sent', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-'));
  const socketPath = join(place.path, 'socket');
  const server = createServer(() => assert.fail('somebody was let in'));
  await new Promise<void>((done) => server.listen(socketPath, done));
  using transport = nodeTransport({ socketPath });
  const answer = transport.send({ method: 'DELETE', path: '/v1/files/a', headers: {} });
  // Before the loop turns: the connection stands in line, and the line ends.
  server.close();
  await assert.rejects(answer, (error) => Fault.is(error, 'unavailable') && error.about.was_sent === false);
});

test('a request that was read before the connection ended may have been acted on', async () => {
  const fault = await faultOf((socket) => {
    socket.on('data', () => setTimeout(() => socket.destroy(), 30));
    socket.resume();
  });
  assert.equal(fault.about.was_sent, true);
});

test('a body that the other end stopped reading was not sent whole', async () => {
  async function* body(): AsyncGenerator<Uint8Array> {
    for (;;) yield new Uint8Array(65_536);
  }
  const treat = (socket: Socket): void => {
    socket.once('data', () => socket.destroy());
    socket.resume();
  };
  const fault = await faultOf(treat, { method: 'PUT', body: body() });
  assert.equal(fault.about.was_sent, false);
});

test('a request was not sent when its kept connection ended before its body had begun', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-'));
  const socketPath = join(place.path, 'socket');
  const server = createHttpServer((_, response) => response.end());
  await new Promise<void>((done) => server.listen(socketPath, done));
  using transport = nodeTransport({ socketPath });
  const request: TransportRequest = { method: 'PUT', path: '/v1/files/a', headers: {} };
  for await (const _ of (await transport.send(request)).body);
  async function* body(): AsyncGenerator<Uint8Array> {
    server.closeAllConnections();
    await new Promise((done) => setTimeout(done, 50));
    yield new Uint8Array(1);
  }
  try {
    await assert.rejects(transport.send({ ...request, body: body() }), (error) => {
      assert.ok(Fault.is(error, 'unavailable'), String(error));
      assert.deepEqual([error.about.was_reused, error.about.was_sent], [true, false]);
      return true;
    });
  } finally {
    server.close();
  }
});
