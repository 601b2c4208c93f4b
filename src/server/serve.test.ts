/** A server: ready, answering in both places, stopping without losing anything. */
import assert from 'node:assert/strict';
import { existsSync, statSync, watch } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault, silentLog } from '../base/index.ts';
import { configOf } from './config.ts';
import { openStore } from './open-store.ts';
import type { ServerOptions } from './options-table.ts';
import { bannerOf, type RunningServer, type ServeQuestion, serve } from './serve.ts';
import { holderOf } from './store-lock.ts';

function folder(): Promise<{ readonly path: string } & AsyncDisposable> {
  return mkdtempDisposable(join(tmpdir(), 'holdfast-'));
}

async function start(
  store: string,
  more: Partial<ServeQuestion> = {},
  options: Partial<ServerOptions> = {},
): Promise<RunningServer & AsyncDisposable> {
  const config = configOf({ store, 'http.port': 0, ...options });
  const server = await serve({ config, create: true, log: silentLog, ...more });
  return Object.assign(server, {
    [Symbol.asyncDispose]: async () => {
      server.stop();
      await server.ended;
    },
  });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    assert.ok(Fault.is(error), String(error));
    return error.code;
  }
  return 'none';
}

test('a server makes its store, answers on its address and on its socket, and says where', async () => {
  await using place = await folder();
  const store = join(place.path, 'holdfast-data');
  await using server = await start(store);
  assert.equal(server.isNew, true);
  assert.match(server.url ?? '', /^http:\/\/127\.0\.0\.1:\d+$/);
  const health = await fetch(`${server.url}/v1/health`);
  assert.equal(((await health.json()) as { store_id: string }).store_id, server.storeId);
  assert.equal(statSync(server.socket).mode & 0o777, 0o600);
  assert.deepEqual(holderOf(store)?.addresses, [server.url, server.socket]);
});

test('the lines of the banner work as they are printed', async () => {
  await using place = await folder();
  await using server = await start(place.path);
  const banner = bannerOf(server);
  const [, text, target] = /^ {2}echo '([^']*)' \| curl -T - '([^']*)'$/m.exec(banner) ?? [];
  const [, source] = /^ {2}curl '([^']*)'$/m.exec(banner) ?? [];
  // What curl -T - does: a PUT of unknown length.
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(`${text}\n`));
      controller.close();
    },
  });
  const made = await fetch(target ?? '', { method: 'PUT', body, duplex: 'half' } as RequestInit);
  assert.equal(made.status, 201, await made.text());
  assert.equal(await (await fetch(source ?? '')).text(), `${text}\n`);
});

test('a stopped server lets go of address, socket and lock, and what it took is there', async () => {
  await using place = await folder();
  const stop = new AbortController();
  const server = await start(place.path, { signal: stop.signal });
  await fetch(`${server.url}/v1/files/a?create`, { method: 'PUT', body: 'kept' });
  stop.abort();
  await server.ended;
  assert.equal(existsSync(server.socket), false);
  await assert.rejects(fetch(`${server.url}/v1/health`));
  await using store = await openStore({ options: configOf({ store: place.path }).values, command: 'holdfast test' });
  const record = await store.service({ door: 'test', request: 'r' }).stat({ path: '/a' });
  assert.equal(record.size, 4);
});

/** A download that was begun and is not read: under way until somebody ends it. */
function stuckDownload(url: string): Promise<{ readonly closed: Promise<void> }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, (answer) => {
      answer.on('error', () => {});
      resolve({ closed: new Promise((done) => answer.once('close', done)) });
    });
    sent.on('error', reject);
    sent.end();
  });
}

test('a drain waits for requests under way, within its bound', async () => {
  await using place = await folder();
  const server = await start(place.path, {}, { 'http.drain_timeout': 300 });
  const bytes = new Uint8Array(32 * 2 ** 20);
  crypto.getRandomValues(bytes.subarray(0, 65_536));
  await fetch(`${server.url}/v1/files/a?create`, { method: 'PUT', body: bytes });
  await stuckDownload(`${server.url}/v1/files/a`);
  const startedMs = performance.now();
  server.stop();
  await server.ended;
  const tookMs = performance.now() - startedMs;
  assert.ok(tookMs >= 250 && tookMs < 5_000, `${tookMs} ms`);
});

test('a second word hurries a drain', async () => {
  await using place = await folder();
  const hurry = new AbortController();
  const server = await start(place.path, { hurry: hurry.signal }, { 'http.drain_timeout': 60_000 });
  await fetch(`${server.url}/v1/files/a?create`, { method: 'PUT', body: new Uint8Array(32 * 2 ** 20) });
  await stuckDownload(`${server.url}/v1/files/a`);
  server.stop();
  setTimeout(() => hurry.abort(), 50);
  const startedMs = performance.now();
  await server.ended;
  assert.ok(performance.now() - startedMs < 10_000);
});

test('a server that cannot start names why and lets go of the store', async () => {
  await using place = await folder();
  assert.equal(await codeOf(start(place.path, { create: false })), 'not-found');
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => other.once('listening', done));
  const address = other.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  assert.equal(await codeOf(start(place.path, {}, { 'http.port': port })), 'exists');
  other.close();
  assert.equal(await codeOf(start(place.path, {}, { 'http.host': '0.0.0.0' })), 'denied');
  await using server = await start(place.path);
  assert.equal(await codeOf(start(place.path)), 'locked');
  assert.equal((await fetch(`${server.url}/v1/health`)).status, 200);
});

test('a host that is refused leaves no trace, and a port that is taken opens no control socket', async () => {
  await using place = await folder();
  const store = join(place.path, 'store');
  assert.equal(await codeOf(start(store, {}, { 'http.host': '0.0.0.0' })), 'denied');
  assert.equal(existsSync(store), false);
  {
    await using server = await start(store);
    assert.ok(existsSync(server.socket));
  }
  const other = createServer();
  await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
  const address = other.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const seen: (string | null)[] = [];
  const watcher = watch(store, (_, name) => seen.push(name));
  try {
    assert.equal(await codeOf(start(store, {}, { 'http.port': port })), 'exists');
    await new Promise((done) => setTimeout(done, 50));
    assert.deepEqual(
      seen.filter((name) => name?.endsWith('.sock')),
      [],
    );
  } finally {
    watcher.close();
    other.close();
  }
});
