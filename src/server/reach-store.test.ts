/** Reaching a store: alone, beside others, through who holds it, and past their end. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { FileService } from '../api/index.ts';
import { Fault, silentLog, utf8 } from '../base/index.ts';
import { configOf, loadConfig } from './config.ts';
import { initStore } from './open-store.ts';
import { type ReachedStore, type ReachQuestion, reachStore } from './reach-store.ts';
import { serve } from './serve.ts';
import { StoreLock } from './store-lock.ts';

const ROOM = JSON.stringify(new URL('./index.ts', import.meta.url).href);
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/holdfast', import.meta.url));
const children = new Set<ChildProcess>();
/** The first line that each of them wrote. */
const firstSaid = new WeakMap<ChildProcess, string>();
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

interface Place extends AsyncDisposable {
  readonly path: string;
}

async function newStore(): Promise<Place> {
  const place = await mkdtempDisposable(join(tmpdir(), 'holdfast-'));
  await initStore({ options: configOf({ store: place.path }).values });
  return place;
}

function reach(store: string, more: Partial<ReachQuestion> = {}): Promise<ReachedStore> {
  return reachStore({ config: configOf({ store }), command: 'holdfast test', ...more });
}

/** Runs a script in a second process; resolves when it has written its first line. */
async function started(script: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // Compiled once for all of them; beside the installed packages, as the command line keeps it.
    env: { ...process.env, NODE_COMPILE_CACHE: CACHE },
  });
  children.add(child);
  const wrote = child.stdout === null ? Promise.reject(new Error('no pipe')) : once(child.stdout, 'data');
  const left = once(child, 'exit').then(([code]) => Promise.reject(new Error(`it ended with ${code}`)));
  const said = (await Promise.race([wrote, left])) as readonly unknown[];
  firstSaid.set(child, String(said[0]));
  left.catch(() => {});
  return child;
}

function serverProcess(store: string): Promise<ChildProcess> {
  return started(`
    const { serve, configOf } = await import(${ROOM});
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const stop = new AbortController();
    process.once('SIGTERM', () => stop.abort());
    const config = configOf({ store: ${JSON.stringify(store)}, 'http.port': 0 });
    const server = await serve({ config, signal: stop.signal, log });
    console.log(server.url);
    await server.ended;`);
}

async function ended(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
  children.delete(child);
  child.kill(signal);
  const [code] = await once(child, 'exit');
  return code as number | null;
}

async function textOf(service: FileService, path: string): Promise<string> {
  const { bytes } = await service.read({ path });
  const parts: Uint8Array[] = [];
  for await (const part of bytes) parts.push(part.slice());
  return Buffer.concat(parts).toString();
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (Fault.is(error) ? error.code : String(error)),
  );
}

async function put(service: FileService, path: string, text: string): Promise<void> {
  await service.write(path, [utf8(text)], { mode: 'put' });
}

test('a store that nobody holds is opened in this process, and let go at the end', async () => {
  await using place = await newStore();
  for (const round of ['one', 'two']) {
    await using reached = await reach(place.path);
    assert.equal(reached.through, 'process');
    await put(reached.service, '/a', round);
    assert.equal(await textOf(reached.service, '/a'), round);
  }
  assert.equal(existsSync(join(place.path, 'control.sock')), false);
});

test('a store that a server in another process holds is reached through its socket, and is the same store', async () => {
  await using place = await newStore();
  const server = await serverProcess(place.path);
  {
    await using reached = await reach(place.path);
    assert.equal(reached.through, 'control');
    await put(reached.service, '/a', 'through the socket');
    assert.equal(await textOf(reached.service, '/a'), 'through the socket');
    assert.equal(await codeOf(reached.service.stat({ path: '/nothing' })), 'not-found');
  }
  assert.equal(await ended(server, 'SIGTERM'), 0);
  await using reached = await reach(place.path);
  assert.equal(reached.through, 'process');
  assert.equal(await textOf(reached.service, '/a'), 'through the socket');
});

test('kill -9 of the holder frees the store, its stale socket is no hindrance, and what it acknowledged is there', async () => {
  await using place = await newStore();
  const server = await serverProcess(place.path);
  {
    await using reached = await reach(place.path);
    await put(reached.service, '/a', 'acknowledged');
  }
  await ended(server, 'SIGKILL');
  assert.equal(existsSync(join(place.path, 'control.sock')), true);
  {
    await using reached = await reach(place.path, { doorDelayMs: 0 });
    assert.equal(reached.through, 'process');
    assert.equal(await textOf(reached.service, '/a'), 'acknowledged');
  }
  const next = await serverProcess(place.path);
  assert.equal(await ended(next, 'SIGTERM'), 0);
});

test('a command goes on when the holder ends between two of its requests, also in the middle of many', async () => {
  await using place = await newStore();
  let server = await serverProcess(place.path);
  await using reached = await reach(place.path);
  await put(reached.service, '/1', 'one');
  await ended(server, 'SIGTERM');
  // Nobody holds it now: this process takes over.
  await put(reached.service, '/2', 'two');
  assert.deepEqual([await textOf(reached.service, '/1'), await textOf(reached.service, '/2')], ['one', 'two']);
  await reached[Symbol.asyncDispose]();
  server = await serverProcess(place.path);
  await using again = await reach(place.path);
  const writes = Array.from({ length: 20 }, (_, index) => put(again.service, `/many-${index}`, String(index)));
  await writes[0];
  await ended(server, 'SIGTERM');
  const outcomes = await Promise.all(writes.map(codeOf));
  assert.deepEqual([...new Set(outcomes)], ['none']);
  for (let index = 0; index < 20; index++) assert.equal(await textOf(again.service, `/many-${index}`), String(index));
});

test('a holder that does not answer is waited for within the bound and then named', async () => {
  await using place = await newStore();
  const holder = await started(`
    const { openStore, configOf } = await import(${ROOM});
    const store = await openStore({ options: configOf({ store: ${JSON.stringify(place.path)} }).values, command: 'holdfast sleep' });
    console.log('held');
    process.stdin.once('data', async () => { await store[Symbol.asyncDispose](); process.exit(0); });`);
  const startedMs = performance.now();
  const refused = reach(place.path, { reachMsMax: 300 });
  await assert.rejects(
    refused,
    (error) => Fault.is(error, 'locked') && error.message.includes(`holdfast sleep (process ${holder.pid}`),
  );
  assert.ok(performance.now() - startedMs < 3_000);
  // One that ends within the bound lets the waiting command in.
  setTimeout(() => holder.stdin?.write('go\n'), 200);
  await using reached = await reach(place.path);
  assert.equal(reached.through, 'process');
  children.delete(holder);
});

test('a store that goes from hand to hand is waited for, and one that somebody keeps is not', async () => {
  await using place = await newStore();
  let held = StoreLock.take(place.path, { pid: process.pid, command: 'the first', since: 'hand 0' });
  const reaching = reach(place.path, { reachMsMax: 400 });
  let isReached = false;
  reaching.then(
    () => {
      isReached = true;
    },
    () => {},
  );
  // Three times as long as one of them is waited for.
  for (let hand = 1; hand <= 6; hand++) {
    await new Promise((done) => setTimeout(done, 200));
    if (isReached) break;
    held[Symbol.dispose]();
    try {
      held = StoreLock.take(place.path, { pid: process.pid, command: 'the next', since: `hand ${hand}` });
    } catch (error) {
      // Whoever waits was faster, as it may.
      if (!Fault.is(error, 'locked')) throw error;
    }
  }
  held[Symbol.dispose]();
  await using reached = await reaching;
  assert.equal(reached.through, 'process');
});

test('waiting for a holder can be given up', async () => {
  await using place = await newStore();
  await using _held = await reach(place.path, { doorDelayMs: 60_000 });
  assert.equal(await codeOf(reach(place.path, { signal: AbortSignal.timeout(50) })), 'aborted');
});

test('a command that holds the store answers others, and waits for what they have under way', async () => {
  await using place = await newStore();
  const first = await reach(place.path, { doorDelayMs: 0 });
  await put(first.service, '/a', 'of the first');
  await using second = await reach(place.path);
  assert.equal(second.through, 'control');
  assert.equal(await textOf(second.service, '/a'), 'of the first');
  const gate = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield utf8('half ');
    begun.resolve();
    await gate.promise;
    yield utf8('and half');
  }
  const writing = second.service.write('/slow', slow(), { mode: 'create' });
  await begun.promise;
  await second.service.stat({ path: '/a' });
  const closing = first[Symbol.asyncDispose]();
  const winner = await Promise.race([
    closing.then(() => 'closed'),
    new Promise((done) => setTimeout(done, 100, 'waits')),
  ]);
  assert.equal(winner, 'waits');
  gate.resolve();
  await writing;
  await closing;
  // The first is gone; the second goes on by itself.
  assert.equal(await textOf(second.service, '/slow'), 'half and half');
});

test('a command that nobody visits loads no door, and hangs its socket up for its owner alone', async () => {
  await using place = await newStore();
  const holder = await started(`
    const { reachStore, configOf } = await import(${ROOM});
    const { existsSync, statSync } = await import('node:fs');
    const loaded = new Set();
    (await import('node:module')).registerHooks({ resolve(name, context, next) { loaded.add(name); return next(name, context); } });
    const socket = ${JSON.stringify(join(place.path, 'control.sock'))};
    const reached = await reachStore({ config: configOf({ store: ${JSON.stringify(place.path)} }), command: 'holdfast test', doorDelayMs: 1 });
    while (!existsSync(socket)) await new Promise((done) => setTimeout(done, 5));
    console.log(JSON.stringify({ isLoaded: loaded.has('fastify'), mode: statSync(socket).mode & 0o777 }));
    process.stdin.once('data', async () => {
      await reached[Symbol.asyncDispose]();
      process.exit(loaded.has('fastify') && !existsSync(socket) ? 0 : 1);
    });`);
  assert.deepEqual(JSON.parse(firstSaid.get(holder) ?? '{}'), { isLoaded: false, mode: 0o600 });
  {
    // Three at once: all of them ring before the door is there.
    const visitors = await Promise.all([1, 2, 3].map(() => reach(place.path)));
    for (const [number, visitor] of visitors.entries()) {
      assert.equal(visitor.through, 'control');
      await put(visitor.service, `/v-${number}`, 'x'.repeat(100_000));
    }
    for (const [number, visitor] of visitors.entries()) {
      assert.equal((await textOf(visitor.service, `/v-${number}`)).length, 100_000);
      await visitor[Symbol.asyncDispose]();
    }
  }
  holder.stdin?.write('go\n');
  const [code] = await once(holder, 'exit');
  children.delete(holder);
  assert.equal(code, 0);
});

test('requests on their way to a holder that closes are answered, by it or by the next, and done once', async () => {
  await using place = await newStore();
  // Loaded beforehand: on a busy machine that takes seconds, for which nobody is to lose patience here.
  await import('../http/index.ts');
  for (let round = 0; round < 10; round++) {
    const holder = await reach(place.path, { doorDelayMs: 0 });
    while (!existsSync(join(place.path, 'control.sock'))) await new Promise((done) => setTimeout(done, 1));
    // They come to the bell, and stay with the door behind it.
    const visitors = await Promise.all([1, 2, 3].map(() => reach(place.path, { doorDelayMs: 60_000 })));
    assert.ok(visitors.every(({ through }) => through === 'control'));
    let isClosing = false;
    const working = visitors.map(async ({ service }, visitor) => {
      // Whatever is done twice is refused the second time: it is there already.
      for (let file = 0; !isClosing || file < 3; file++)
        await service.write(`/${round}-${visitor}-${file}`, [utf8('x')], { mode: 'create' });
    });
    await new Promise((done) => setTimeout(done, round));
    const closed = holder[Symbol.asyncDispose]().then(() => {
      isClosing = true;
    });
    await Promise.all([closed, ...working]);
    for (const visitor of visitors) await visitor[Symbol.asyncDispose]();
  }
});

test('many commands at once on one store all get their work done', async () => {
  await using place = await newStore();
  const script = (name: number): string => `
    const { reachStore, configOf } = await import(${ROOM});
    const reached = await reachStore({ config: configOf({ store: ${JSON.stringify(place.path)} }), command: 'holdfast test', doorDelayMs: 5 });
    for (let i = 0; i < 5; i++) await reached.service.write('/${name}-' + i, [new TextEncoder().encode('x')], { mode: 'create' });
    await reached[Symbol.asyncDispose]();
    console.log('done');`;
  const all = await Promise.all([0, 1, 2, 3].map((name) => started(script(name))));
  for (const child of all) children.delete(child);
  await using reached = await reach(place.path);
  const { entries } = await reached.service.list({ path: '/' });
  assert.equal(entries.length, 20);
});

test('a server is reached by its URL, and whichever of store and server is named nearer counts', async () => {
  await using place = await newStore();
  const log = silentLog;
  const server = await serve({ config: configOf({ store: place.path, 'http.port': 0 }), log });
  try {
    const environment = { HOLDFAST_SERVER: server.url };
    const config = await loadConfig({ environment, workingFolder: place.path });
    await using reached = await reachStore({ config, command: 'holdfast test' });
    assert.equal(reached.through, 'server');
    await put(reached.service, '/a', 'by URL');
    assert.equal(await textOf(reached.service, '/a'), 'by URL');
    const flag = (name: string, value: string) => [name, { flag: `--${name}`, values: [value] }] as const;
    const flags = new Map([flag('store', place.path)]);
    const nearer = await loadConfig({ environment, workingFolder: place.path, flags });
    await using control = await reachStore({ config: nearer, command: 'holdfast test' });
    assert.equal(control.through, 'control');
    const both = await loadConfig({ environment, flags: new Map([...flags, flag('server', server.url ?? '')]) });
    assert.equal(await codeOf(reachStore({ config: both, command: 'holdfast test' })), 'invalid');
  } finally {
    server.stop();
    await server.ended;
  }
});

test('a store whose path is too long for a socket is reached all the same', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-'));
  const store = join(place.path, 'd'.repeat(120));
  await initStore({ options: configOf({ store }).values });
  await using first = await reach(store, { doorDelayMs: 0 });
  await put(first.service, '/a', 'far down');
  await using second = await reach(store);
  assert.equal(second.through, 'control');
  assert.equal(await textOf(second.service, '/a'), 'far down');
});

test('a store that is not there is not found at once', async () => {
  assert.equal(await codeOf(reach(join(tmpdir(), 'holdfast-nowhere'))), 'not-found');
});
