/** Opening a store: from nothing, again, beside somebody, and where it cannot be. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault, utf8 } from '../base/index.ts';
import { configOf } from './config.ts';
import { initStore, type OpenStore, openStore } from './open-store.ts';

const CALLER = { door: 'test', request: 'r1' };

function folder(): Promise<{ readonly path: string } & AsyncDisposable> {
  return mkdtempDisposable(join(tmpdir(), 'holdfast-'));
}

function open(store: string, create = false): Promise<OpenStore> {
  return openStore({ options: configOf({ store }).values, create, command: 'holdfast test' });
}

async function refusalOf(promise: Promise<OpenStore | object>): Promise<Fault> {
  try {
    const opened = await promise;
    if (Symbol.asyncDispose in opened) await (opened as AsyncDisposable)[Symbol.asyncDispose]();
  } catch (error) {
    assert.ok(Fault.is(error), String(error instanceof Error ? error.stack : error));
    return error;
  }
  throw new Error('it was opened');
}

async function textOf(store: OpenStore, path: string): Promise<string> {
  const { bytes } = await store.service(CALLER).read({ path });
  const parts: Uint8Array[] = [];
  for await (const part of bytes) parts.push(part.slice());
  return Buffer.concat(parts).toString();
}

test('a store is made, keeps what is written, and opens again', async () => {
  await using place = await folder();
  const path = join(place.path, 'new', 'store');
  let id: string;
  {
    await using store = await open(path, true);
    assert.equal(store.isNew, true);
    id = store.info().store_id;
    await store.service(CALLER).write('/a.txt', [utf8('hello')], { mode: 'create' });
  }
  await using store = await open(path, true);
  assert.equal(store.isNew, false);
  assert.equal(store.info().store_id, id);
  assert.equal(await textOf(store, '/a.txt'), 'hello');
});

test('a folder without a store is refused with what to do, and nothing is left in it', async () => {
  await using place = await folder();
  const refusal = await refusalOf(open(place.path));
  assert.equal(refusal.code, 'not-found');
  assert.match(refusal.message, /Make one with `holdfast init`/);
  assert.deepEqual(readdirSync(place.path), []);
  assert.equal((await refusalOf(open(join(place.path, 'nowhere')))).code, 'not-found');
  assert.equal(existsSync(join(place.path, 'nowhere')), false);
});

test('a folder with something else in it is never made a store', async () => {
  await using place = await folder();
  writeFileSync(join(place.path, 'letter.txt'), 'dear');
  assert.equal((await refusalOf(open(place.path, true))).code, 'not-empty');
  const options = configOf({ store: place.path }).values;
  assert.equal((await refusalOf(initStore({ options }))).code, 'not-empty');
  assert.deepEqual(readdirSync(place.path), ['letter.txt']);
  const file = join(place.path, 'letter.txt');
  assert.equal((await refusalOf(open(join(file, 'store'), true))).code, 'not-folder');
  assert.equal((await refusalOf(open(file, true))).code, 'not-folder');
});

test('init makes a store with what was chosen, once', async () => {
  await using place = await folder();
  const { values: options } = configOf({ store: place.path, 'create.ids': 'xxh3-128', 'create.chunker': 'fastcdc' });
  const format = await initStore({ options });
  assert.equal(format.chunks.idAlgorithm, 'xxh3-128');
  assert.equal((await refusalOf(initStore({ options }))).code, 'exists');
  await using store = await open(place.path);
  assert.deepEqual(store.format, format);
  assert.deepEqual(format.chunks.chunker, 'fastcdc');
});

test('everything in a store is for its owner only', async () => {
  await using place = await folder();
  const path = join(place.path, 'store');
  await using store = await open(path, true);
  await store.service(CALLER).write('/a.bin', [new Uint8Array(100_000).fill(7)], { mode: 'create' });
  assert.equal(statSync(path).mode & 0o777, 0o700);
  for (const name of ['secret', 'format', 'lock', 'lock.holder', 'meta', 'objects']) {
    assert.equal(statSync(join(path, name)).mode & 0o077, 0, name);
  }
});

test('a store that is open is locked for others, and free when it is closed', async () => {
  await using place = await folder();
  {
    await using _store = await open(place.path, true);
    const refusal = await refusalOf(open(place.path));
    assert.equal(refusal.code, 'locked');
    assert.match(refusal.message, /in use by holdfast test \(process \d+/);
    assert.equal((await refusalOf(open(place.path, true))).code, 'locked');
  }
  await using _again = await open(place.path);
});

test('closing twice is fine, and a failed opening lets go of the lock', async () => {
  await using place = await folder();
  const store = await open(place.path, true);
  await store[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  const format = readFileSync(join(place.path, 'format'));
  writeFileSync(join(place.path, 'format'), format.subarray(1));
  assert.equal((await refusalOf(open(place.path))).code, 'corrupt');
  writeFileSync(join(place.path, 'format'), format);
  await using _again = await open(place.path);
});

test('a folder that may be read but not written is refused as read-only', async () => {
  await using place = await folder();
  const path = join(place.path, 'store');
  await initStore({ options: configOf({ store: path }).values });
  chmodSync(place.path, 0o755);
  for (const name of ['format', 'secret']) chmodSync(join(path, name), 0o444);
  chmodSync(path, 0o555);
  // Root may write everywhere, so the attempt is made as nobody.
  const script = `
    const { openStore, configOf } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
    await openStore({ options: configOf({ store: '/nowhere' }).values, command: 'x' }).catch(() => {});
    if (process.getuid() === 0) process.setuid(65534);
    await openStore({ options: configOf({ store: ${JSON.stringify(path)} }).values, command: 'x' }).then(
      () => console.log('opened'), (error) => console.log(error.code, error.message));`;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  chmodSync(path, 0o700);
  assert.match(done.stdout, /^read-only The store .* may be read but not written by this user/, done.stderr);
});

test('a store where no folder can be made is refused, and all folders above one are made', async () => {
  // In a process of its own with an end: a mkdir that never returns would take the tests with it.
  const script = `
    const { initStore, configOf } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
    await initStore({ options: configOf({ store: '/proc/holdfast/store' }).values }).then(
      () => console.log('made'), (error) => console.log(error.code, error.message));`;
  const args = ['--input-type=module', '-e', script];
  const done = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' });
  assert.match(done.stdout, /^not-found \/proc\/holdfast\/store could not be made/, done.stderr);

  await using place = await folder();
  const deep = join(place.path, 'a/b/c');
  await initStore({ options: configOf({ store: deep }).values });
  for (const path of ['a', 'a/b', 'a/b/c']) assert.equal(statSync(join(place.path, path)).mode & 0o777, 0o700, path);
  writeFileSync(join(place.path, 'file'), '');
  for (const path of ['file', 'file/below']) {
    const refused = await refusalOf(initStore({ options: configOf({ store: join(place.path, path) }).values }));
    assert.equal(refused.code, 'not-folder');
  }
});

test('the small memory profile and options of its own open a store that keeps files', async () => {
  await using place = await folder();
  const { values: options } = configOf({
    store: place.path,
    memory: 'small',
    'chunks.workers': 0,
    'chunks.cache': 0,
    'compression.level': 'none',
    'compression.rules': [{ match: '*.txt', level: 3 }],
    max_file_size: 1_000,
  });
  await using store = await openStore({ options, create: true, command: 'holdfast test' });
  await store.service(CALLER).write('/a.txt', [utf8('hello')], { mode: 'create' });
  assert.equal(await textOf(store, '/a.txt'), 'hello');
  const tooLarge = store.service(CALLER).write('/b', [new Uint8Array(1_001)], { mode: 'create' });
  assert.equal((await refusalOf(tooLarge)).code, 'too-large');
});

test('a store in a folder made beforehand with wider rights still opens', async () => {
  await using place = await folder();
  const path = join(place.path, 'store');
  mkdirSync(path, { mode: 0o755 });
  await using store = await open(path, true);
  assert.equal(store.isNew, true);
});
