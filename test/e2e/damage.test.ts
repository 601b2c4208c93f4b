/**
 * Damage on disk: one flipped bit anywhere in a pack, its index, or a record header is named, costs only what needs it,
 * and is never served; a lost chunk index is made anew from the packs.
 */
import assert from 'node:assert/strict';
import { cpSync, globSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/index.ts';
import { mixed, sha256 } from './data.ts';
import { holdfast, temporaryFolder } from './holdfast.ts';
import { startServer } from './server.ts';

const FILES = 8;

interface Made {
  readonly store: string;
  readonly hashes: ReadonlyMap<string, string>;
}

async function makeStore(folder: string): Promise<Made> {
  const source = join(folder, 'in');
  mkdirSync(source);
  const random = seededRandom(11);
  const hashes = new Map<string, string>();
  for (let number = 0; number < FILES; number++) {
    const bytes = mixed(random, 300_000 + number * 50_000);
    writeFileSync(join(source, `f${number}`), bytes);
    hashes.set(`/in/f${number}`, sha256(bytes));
  }
  const store = join(folder, 'store');
  assert.equal((await holdfast(['init', '--store', store])).code, 0);
  const put = await holdfast(['put', '--store', store, source, '/in']);
  assert.equal(put.code, 0, put.stderr);
  return { store, hashes };
}

function packsOf(store: string): string[] {
  return globSync('objects/packs/**', { cwd: store })
    .map((path) => join(store, path))
    .filter((path) => statSync(path).isFile());
}

interface CheckResult {
  readonly code: number;
  readonly files: readonly string[];
  readonly output: string;
}

async function check(store: string, ...flags: string[]): Promise<CheckResult> {
  const { code, stdout, stderr } = await holdfast(['check', '--store', store, '--json', ...flags]);
  const output = stdout.toString() + stderr;
  const files = [...output.matchAll(/"(\/in\/f\d+)"/g)].map((match) => match[1] ?? '');
  return { code, files: [...new Set(files)].sort(), output };
}

/** The files that a server of the damaged store does not give out; what it gives out must be right. */
async function failingOf(store: string, hashes: ReadonlyMap<string, string>, where: string): Promise<string[]> {
  await using server = await startServer({ store });
  const failed: string[] = [];
  for (const [file, hash] of hashes) {
    const answer = await fetch(`${server.origin}/v1/files${file}`);
    // Damage behind the first bytes breaks the connection off.
    const bytes = await answer.arrayBuffer().catch(() => undefined);
    if (answer.ok && bytes !== undefined)
      assert.equal(sha256(Buffer.from(bytes)), hash, `${where}: ${file} was served with wrong bytes`);
    else failed.push(file);
    if (!answer.ok && bytes !== undefined)
      assert.match(Buffer.from(bytes).toString(), /"code":"corrupt".*(chunk|pack)/is);
  }
  return failed.sort();
}

test('a flipped bit in a pack fails the files that need it, names them, and nothing else', {
  timeout: 300_000,
}, async () => {
  using folder = temporaryFolder();
  const { store, hashes } = await makeStore(folder.path);
  const [pack = ''] = packsOf(store);
  const size = statSync(pack).size;
  const random = seededRandom(12);
  // In the pack's header, in the first record's header, in stored bytes, near the end (an index, when it is sealed).
  const places = [3, 44, 60, 120, ...Array.from({ length: 4 }, () => random.below(size)), size - 20];
  for (const place of places) {
    const damaged = join(folder.path, `damaged-${place}`);
    cpSync(store, damaged, { recursive: true });
    const [path = ''] = packsOf(damaged);
    const bytes = readFileSync(path);
    bytes[place] = (bytes[place] ?? 0) ^ (1 << random.below(8));
    writeFileSync(path, bytes);
    const found = await check(damaged);
    const failed = await failingOf(damaged, hashes, `byte ${place}`);
    const [one] = failed;
    if (one !== undefined) {
      const cat = await holdfast(['cat', '--store', damaged, one]);
      assert.equal(cat.code, 7, cat.stderr);
      assert.match(cat.stderr, /chunk|pack/);
    }
    assert.deepEqual(found.files, failed, `byte ${place}: check names the files that fail\n${found.output}`);
    assert.equal(found.code, 1, `byte ${place}: check finds it\n${found.output}`);
    assert.ok(failed.length < FILES, `byte ${place}: one bit costs only what needs it`);
  }
});

test('a damaged file that is put again heals, also where it is shared, and the check is clean', {
  timeout: 120_000,
}, async () => {
  using folder = temporaryFolder();
  const { store, hashes } = await makeStore(folder.path);
  assert.equal((await holdfast(['cp', '--store', store, '/in/f3', '/shared'])).code, 0);
  const [pack = ''] = packsOf(store);
  const bytes = readFileSync(pack);
  for (let at = 200_000; at < bytes.length; at += 400_000) bytes[at] = (bytes[at] ?? 0) ^ 4;
  writeFileSync(pack, bytes);
  const found = await check(store);
  assert.equal(found.code, 1, found.output);
  const source = join(folder.path, 'in');
  // What looks the same is kept without being read, so it has to be asked for.
  const again = await holdfast(['put', '--store', store, '--again', source, '/in']);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /healed (a damaged chunk|\d+ damaged chunks): the bytes that came/);
  for (const [file, hash] of [...hashes, ['/shared', hashes.get('/in/f3')] as const]) {
    const back = await holdfast(['cat', '--store', store, file]);
    assert.equal(sha256(back.stdout), hash, back.stderr);
  }
  const healed = await check(store);
  assert.equal(healed.code, 0, healed.output);
});

test('the chunk index comes back from the packs', { timeout: 120_000 }, async () => {
  using folder = temporaryFolder();
  const { store, hashes } = await makeStore(folder.path);
  const before = await check(store);
  assert.equal(before.code, 0, before.output);
  const [database = ''] = globSync('meta/*.sqlite', { cwd: store });
  const db = new DatabaseSync(join(store, database));
  db.exec('DELETE FROM chunks');
  db.close();
  const lost = await check(store);
  assert.equal(lost.code, 1, lost.output);
  assert.ok(lost.files.length > 0, lost.output);
  const cat = await holdfast(['cat', '--store', store, '/in/f0']);
  assert.equal(cat.code, 7, cat.stderr);
  const rebuilt = await check(store, '--rebuild-index');
  assert.equal(rebuilt.code, 0, rebuilt.output);
  for (const [file, hash] of hashes) {
    const back = await holdfast(['cat', '--store', store, file]);
    assert.equal(sha256(back.stdout), hash, back.stderr);
  }
  assert.equal((await check(store)).code, 0);
});

test('a damaged chunk is healed for every file that shares it when its bytes are put again, and that is logged', {
  timeout: 300_000,
}, async () => {
  using folder = temporaryFolder();
  const store = join(folder.path, 'store');
  const bytes = seededRandom(21).bytes(600_000);
  const shared = [bytes, Buffer.concat([bytes, Buffer.from('end')]), Buffer.concat([bytes, bytes])];
  const source = join(folder.path, 'in');
  mkdirSync(source);
  for (const [number, content] of shared.entries()) writeFileSync(join(source, `f${number}`), content);
  assert.equal((await holdfast(['init', '--store', store])).code, 0);
  assert.equal((await holdfast(['put', '--store', store, source, '/in'])).code, 0);
  const [pack = ''] = packsOf(store);
  const stored = readFileSync(pack);
  stored[5_000] = (stored[5_000] ?? 0) ^ 1;
  writeFileSync(pack, stored);
  const damaged = await check(store);
  assert.equal(damaged.code, 1);
  assert.deepEqual(damaged.files, ['/in/f0', '/in/f1', '/in/f2']);
  {
    await using server = await startServer({ store });
    const answer = await fetch(`${server.origin}/v1/files/again?create`, { method: 'PUT', body: bytes });
    assert.equal(answer.status, 201);
    const healed = [...server.output().matchAll(/chunks\.healed/g)];
    assert.equal(healed.length, 1, server.output());
  }
  assert.equal((await check(store)).code, 0);
  for (const [number, content] of shared.entries()) {
    const { stdout } = await holdfast(['cat', '--store', store, `/in/f${number}`]);
    assert.equal(sha256(stdout), sha256(content));
  }
});
