/** The transport of Node programs, against servers that answer early, break off, or are not there. */
import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcp, type Socket } from 'node:net';
import { test } from 'node:test';
import type { TransportAnswer } from '../api/index.ts';
import { Fault } from '../base/index.ts';
import { nodeTransport } from './node-transport.ts';

interface Standing extends AsyncDisposable {
  readonly origin: string;
}

async function serving(listener: RequestListener): Promise<Standing> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function textOf({ body }: TransportAnswer): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const piece of body) parts.push(piece);
  return Buffer.concat(parts).toString();
}

const request = { method: 'PUT', path: '/', headers: {} };

test('an answer that comes while the body is still being sent is read, and sending stops', async () => {
  await using server = await serving((_, response) => {
    response.writeHead(409, { connection: 'close' });
    response.end('no');
  });
  using transport = nodeTransport(server);
  let pulled = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (; pulled < 100_000; pulled++) yield new Uint8Array(65_536);
  }
  const answer = await transport.send({ ...request, body: endless() });
  assert.deepEqual([answer.status, await textOf(answer)], [409, 'no']);
  assert.ok(pulled < 100_000);
});

test('what the source throws comes through, and the request never ends as if it were whole', async () => {
  let wasWhole: boolean | undefined;
  const closed = Promise.withResolvers<void>();
  await using server = await serving((message) => {
    message.resume();
    message.on('close', () => {
      wasWhole = message.complete;
      closed.resolve();
    });
    message.on('error', () => {});
  });
  using transport = nodeTransport(server);
  async function* breaking(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(100_000);
    throw new Error('the source broke');
  }
  await assert.rejects(transport.send({ ...request, body: breaking() }), /the source broke/);
  await closed.promise;
  assert.equal(wasWhole, false);
});

test('an answer that breaks off is a fault, announced length or not', async () => {
  await using server = await serving((message, response) => {
    response.writeHead(200, message.url === '/announced' ? { 'content-length': '100' } : {});
    response.write('some');
    setTimeout(() => response.destroy(), 20);
  });
  using transport = nodeTransport(server);
  for (const path of ['/announced', '/chunked']) {
    const answer = await transport.send({ method: 'GET', path, headers: {} });
    await assert.rejects(textOf(answer), (error) => Fault.is(error, 'unavailable'));
  }
});

test('a server that is not there, and one that hangs up, are told apart', async () => {
  const tcp = createTcp((socket: Socket) => socket.destroy()).listen(0, '127.0.0.1');
  await new Promise((resolve) => tcp.once('listening', resolve));
  const origin = `http://127.0.0.1:${(tcp.address() as AddressInfo).port}`;
  using transport = nodeTransport({ origin });
  const get = { method: 'GET', path: '/', headers: {} };
  await assert.rejects(transport.send(get), (error) => Fault.is(error, 'unavailable') && error.about.was_sent === true);
  await new Promise((resolve) => tcp.close(resolve));
  await assert.rejects(
    transport.send(get),
    (error) => Fault.is(error, 'unavailable') && error.about.was_sent === false,
  );
  using nowhere = nodeTransport({ socketPath: '/nowhere/control.sock' });
  await assert.rejects(nowhere.send(get), (error) => Fault.is(error, 'unavailable') && error.about.was_sent === false);
});

test('a signal ends a request that waits, and an answer that is being read', async () => {
  await using server = await serving((message, response) => {
    if (message.url === '/wait') return;
    response.writeHead(200);
    response.write('some');
  });
  using transport = nodeTransport(server);
  const waiting = new AbortController();
  setTimeout(() => waiting.abort(), 20);
  const wait = transport.send({ method: 'GET', path: '/wait', headers: {}, signal: waiting.signal });
  await assert.rejects(wait, (error) => Fault.is(error, 'aborted'));
  const reading = new AbortController();
  const answer = await transport.send({ method: 'GET', path: '/read', headers: {}, signal: reading.signal });
  setTimeout(() => reading.abort(), 20);
  await assert.rejects(textOf(answer), (error) => Fault.is(error, 'aborted'));
});

test('connections are kept, and one that is left early does not block the next request', async () => {
  const ports = new Set<number | undefined>();
  await using server = await serving((message, response) => {
    ports.add(message.socket.remotePort);
    response.end(Buffer.alloc(message.url === '/large' ? 5_000_000 : 10));
  });
  using transport = nodeTransport(server);
  const get = (path: string) => transport.send({ method: 'GET', path, headers: {} });
  for (let count = 0; count < 5; count++) await textOf(await get('/small'));
  assert.equal(ports.size, 1);
  for (let count = 0; count < 100; count++) await (await get('/large')).body[Symbol.asyncIterator]().return?.();
  assert.equal((await textOf(await get('/small'))).length, 10);
});

test('an address that is none is refused', () => {
  for (const origin of ['localhost:8420', 'https://localhost', 'http://localhost/path', 'file:///x', '']) {
    assert.throws(
      () => nodeTransport({ origin }),
      (error) => Fault.is(error, 'invalid'),
      origin,
    );
  }
});
