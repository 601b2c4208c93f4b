/** Damaged content comes back from a second copy: a store, a damaged store, another store, or a folder of files. */
import assert from 'node:assert/strict';
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/index.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { sha256 } from './data.ts';
import { holdfast, type Ran, temporaryFolder } from './holdfast.ts';
import { startServer } from './server.ts';

const FILES = 4;

interface Stand {
  readonly folder: string;
  readonly source: string;
  readonly store: string;
}

async function makeStore(store: string, source: string, ...flags: string[]): Promise<void> {
  assert.equal((await holdfast(['init', '--store', store, ...flags])).code, 0);
  const put = await holdfast(['put', '--store', store, source, '/in']);
  assert.equal(put.code, 0, put.stderr);
}

async function makeStand(folder: string, ...flags: string[]): Promise<Stand> {
  const source = join(folder, 'in');
  mkdirSync(source);
  const random = seededRandom(5);
  for (let number = 0; number < FILES; number++)
    writeFileSync(join(source, `f${number}`), random.bytes(300_000 + 50_000 * number));
  const store = join(folder, 'store');
  await makeStore(store, source, ...flags);
  return { folder, source, store };
}

/** Flips a bit every so many bytes of the packs: most chunks are damaged then. */
function damage(store: string, first: number, step: number): void {
  for (const path of globSync('objects/packs/**', { cwd: store }).map((each) => join(store, each))) {
    if (!statSync(path).isFile()) continue;
    const bytes = readFileSync(path);
    for (let at = first; at < bytes.length; at += step) bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  }
}

function repair(store: string, from: string, ...flags: string[]): Promise<Ran> {
  return holdfast(['repair', '--store', store, '--from', from, '--json', ...flags]);
}

function summary({ stdout }: Ran): Record<string, unknown> {
  return JSON.parse(stdout.toString().trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
}

async function assertWhole({ folder, source, store }: Stand): Promise<void> {
  const check = await holdfast(['check', '--store', store]);
  assert.equal(check.code, 0, check.stdout.toString());
  const out = join(folder, 'out');
  const get = await holdfast(['get', '--store', store, '/in', out]);
  assert.equal(get.code, 0, get.stderr);
  for (let number = 0; number < FILES; number++)
    assert.equal(sha256(readFileSync(join(out, `f${number}`))), sha256(readFileSync(join(source, `f${number}`))));
  rmSync(out, { recursive: true });
}

test('a copy of the store gives back what is damaged, as far as it is whole itself, and a dry run only says so', {
  timeout: 300_000,
}, async () => {
  using folder = temporaryFolder();
  const stand = await makeStand(folder.path);
  const copy = join(folder.path, 'copy');
  cpSync(stand.store, copy, { recursive: true });
  damage(stand.store, 10_000, 150_000);
  damage(copy, 900_000, 500_000);
  const dry = await repair(stand.store, copy, '--dry-run');
  const { damaged_chunks: damaged, repaired_chunks: able, source } = summary(dry);
  assert.ok(Number(damaged) > 5 && Number(able) > 5, dry.stdout.toString() + dry.stderr);
  assert.equal(source, 'store');
  assert.equal((await holdfast(['check', '--store', stand.store])).code, EXIT.different);
  const done = await repair(stand.store, copy);
  assert.equal(summary(done).repaired_chunks, able);
  assert.equal(done.code, able === damaged ? 0 : EXIT.different);
  // The rest, if any, comes from the files themselves.
  const rest = await repair(stand.store, stand.source);
  assert.equal(rest.code, 0, rest.stdout.toString() + rest.stderr);
  assert.equal(summary(rest).source, 'folder');
  await assertWhole(stand);
  assert.equal(summary(await repair(stand.store, copy)).damaged_chunks, 0);
});

test('a running server repairs, says how far it is, and goes on serving; from elsewhere it is refused', {
  timeout: 300_000,
}, async () => {
  using folder = temporaryFolder();
  const stand = await makeStand(folder.path);
  damage(stand.store, 10_000, 150_000);
  {
    await using server = await startServer({ store: stand.store });
    const before = await fetch(`${server.origin}/v1/files/in/f0`)
      .then((answer) => answer.arrayBuffer())
      .catch(String);
    const refused = await fetch(`${server.origin}/v1/repair`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ from: stand.source }),
    });
    assert.equal(refused.status, 403);
    assert.match(await refused.text(), /"code":"denied"/);
    const done = await repair(stand.store, stand.source);
    assert.equal(done.code, 0, done.stdout.toString() + done.stderr);
    assert.ok(Number(summary(done).repaired_chunks) > 5);
    const missing = await repair(stand.store, join(folder.path, 'nowhere'));
    assert.equal(missing.code, EXIT.notFound);
    const after = await fetch(`${server.origin}/v1/files/in/f0`);
    assert.equal(sha256(Buffer.from(await after.arrayBuffer())), sha256(readFileSync(join(stand.source, 'f0'))));
    assert.notDeepEqual(before, 'served as it was');
    await server.stop();
  }
  await assertWhole(stand);
});

test('a store with other keys and a folder with one of the files give what they have; the rest is named', {
  timeout: 300_000,
}, async () => {
  using folder = temporaryFolder();
  const stand = await makeStand(folder.path);
  damage(stand.store, 10_000, 150_000);
  const some = join(folder.path, 'some');
  mkdirSync(join(some, 'deep'), { recursive: true });
  cpSync(join(stand.source, 'f2'), join(some, 'deep', 'other-name'));
  const partly = await repair(stand.store, some);
  assert.equal(partly.code, EXIT.different, partly.stderr);
  assert.deepEqual(summary(partly).repaired_files, ['/in/f2']);
  const problems = partly.stdout.toString();
  assert.match(problems, /"event":"problem".*\/in\/f1/);
  assert.doesNotMatch(problems, /"event":"problem".*\/in\/f2/);
  const other = join(folder.path, 'other');
  await makeStore(other, stand.source, '--id-algorithm', 'xxh3-128');
  const rest = await repair(stand.store, other);
  assert.equal(rest.code, 0, rest.stdout.toString() + rest.stderr);
  await assertWhole(stand);
});

test('a store whose ids are no proof refuses, and so does a copy that is not there', { timeout: 300_000 }, async () => {
  using folder = temporaryFolder();
  const stand = await makeStand(folder.path, '--id-algorithm', 'xxh3-128');
  damage(stand.store, 10_000, 150_000);
  const refused = await repair(stand.store, stand.source);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /no proof/);
  assert.equal((await repair(stand.store, join(folder.path, 'nowhere'))).code, EXIT.notFound);
});
