/**
 * What goes in comes out, byte for byte: through the command line, through HTTP, after `kill -9` of the server and a
 * restart. The large sizes are `npm run soak -- round-trip`; this is the same walk, small.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/index.ts';
import { makeTree, mixed, sha256, text, treeHash } from './data.ts';
import { holdfast, run, temporaryFolder } from './holdfast.ts';
import { startServer } from './server.ts';

const MIB = 2 ** 20;
const SCALE = Number(process.env.TEST_HOLDFAST_SCALE ?? 1);

test('a large mixed file and a tree come back whole, and again after the server was killed', {
  timeout: 600_000 * SCALE,
}, async () => {
  using folder = temporaryFolder();
  const store = join(folder.path, 'store');
  const big = join(folder.path, 'big.bin');
  const random = seededRandom(1);
  writeFileSync(big, '');
  for (let part = 0; part < 3.2 * SCALE; part++) writeFileSync(big, mixed(random, 16 * MIB), { flag: 'a' });
  const tree = join(folder.path, 'tree');
  makeTree(tree, 1_000 * SCALE, 2);
  const [bigHash, hash] = [sha256(readFileSync(big)), treeHash(tree)];

  {
    const server = await startServer({ store });
    for (const [source, goal] of [
      [big, '/big.bin'],
      [tree, '/tree'],
    ] as const) {
      const put = await holdfast(['put', '--store', store, source, goal]);
      assert.equal(put.code, 0, put.stderr);
    }
    assert.equal(await server.stop('SIGKILL'), 'SIGKILL');
  }
  {
    await using _server = await startServer({ store });
    const beside = await holdfast(['get', '--store', store, '/', join(folder.path, 'beside')]);
    assert.equal(beside.code, 0, beside.stderr);
  }
  const alone = await holdfast(['get', '--store', store, '/', join(folder.path, 'alone')]);
  assert.equal(alone.code, 0, alone.stderr);
  for (const out of ['beside', 'alone']) {
    assert.equal(sha256(readFileSync(join(folder.path, out, 'big.bin'))), bigHash, out);
    assert.equal(treeHash(join(folder.path, out, 'tree')), hash, out);
  }
  const check = await holdfast(['check', '--store', store, '--json']);
  assert.equal(check.code, 0, check.stdout.toString() + check.stderr);
});

test('files of every awkward size and name come back', { timeout: 120_000 * SCALE }, async () => {
  using folder = temporaryFolder();
  const source = join(folder.path, 'in');
  mkdirSync(source);
  const random = seededRandom(3);
  const sizes = [0, 1, 4_095, 4_096, 4_097, 16_383, 16_384, 16_385, 65_536, 131_071, 131_072, 131_073, 1_000_003];
  for (const size of sizes) writeFileSync(join(source, `size-${size}`), random.bytes(size));
  const names = ['x'.repeat(255), 'ümläut €', '日本語', 'a\nb', 'back\\x41slash', ' space ', '%2F', '🙂'];
  for (const name of names) writeFileSync(join(source, name), name);
  for (const raw of [
    [0xff, 0xfe],
    [0x61, 0x80, 0x62],
    [0xc3, 0x28],
  ]) {
    writeFileSync(Buffer.concat([Buffer.from(`${source}/`), Buffer.from(raw)]), Buffer.from(raw));
  }
  const store = join(folder.path, 'store');
  assert.equal((await holdfast(['init', '--store', store])).code, 0);
  const put = await holdfast(['put', '--store', store, source, '/in']);
  assert.equal(put.code, 0, put.stderr);
  const out = join(folder.path, 'out');
  const get = await holdfast(['get', '--store', store, '/in', out]);
  assert.equal(get.code, 0, get.stderr);
  assert.equal(treeHash(out), treeHash(source));
  for (const size of sizes) {
    const [before, after] = [statSync(join(source, `size-${size}`)), statSync(join(out, `size-${size}`))];
    assert.equal(after.mtimeMs, before.mtimeMs);
    assert.equal(after.mode, before.mode);
  }
});

test('a sparse file stays sparse', { timeout: 120_000 * SCALE }, async () => {
  using folder = temporaryFolder();
  const source = join(folder.path, 'sparse');
  const size = 256 * MIB * SCALE;
  const file = openSync(source, 'w');
  ftruncateSync(file, size);
  writeSync(file, 'middle', 100 * MIB);
  writeSync(file, 'end', size - 3);
  closeSync(file);
  const store = join(folder.path, 'store');
  assert.equal((await holdfast(['init', '--store', store])).code, 0);
  const put = await holdfast(['put', '--store', store, source, '/sparse']);
  assert.equal(put.code, 0, put.stderr);
  const out = join(folder.path, 'out');
  assert.equal((await holdfast(['get', '--store', store, '/sparse', out])).code, 0);
  const stat = statSync(out);
  assert.equal(stat.size, size);
  assert.ok(stat.blocks * 512 < MIB, `${stat.blocks * 512} bytes on disk`);
  const same = await run('cmp', [source, out]);
  assert.equal(same.code, 0, same.stdout.toString());
});

test('a hundred files go up at once with curl and come back', { timeout: 120_000 * SCALE }, async () => {
  using folder = temporaryFolder();
  await using server = await startServer();
  const random = seededRandom(4);
  const files = Array.from({ length: 100 }, (_, number) => {
    const path = join(folder.path, `f${number}`);
    const bytes = number % 3 === 0 ? Buffer.from(random.bytes(200_000)) : text(random, 1_000 + number * 5_000);
    writeFileSync(path, bytes);
    return { path, url: `${server.origin}/v1/files/many/f${number}`, hash: sha256(bytes) };
  });
  await fetch(`${server.origin}/v1/directories/many`, { method: 'POST' });
  const sent = await Promise.all(files.map(({ path, url }) => run('curl', ['-sS', '-f', '-T', path, `${url}?create`])));
  for (const { code, stderr } of sent) assert.equal(code, 0, stderr);
  for (const { url, hash } of files) {
    const answer = await fetch(url);
    assert.equal(
      createHash('sha256')
        .update(Buffer.from(await answer.arrayBuffer()))
        .digest('hex'),
      hash,
    );
  }
});

test('the same content a second time takes next to nothing', { timeout: 120_000 * SCALE }, async () => {
  using folder = temporaryFolder();
  const store = join(folder.path, 'store');
  const random = seededRandom(5);
  const file = join(folder.path, 'data');
  writeFileSync(file, mixed(random, 24 * MIB * SCALE));
  assert.equal((await holdfast(['init', '--store', store])).code, 0);
  assert.equal((await holdfast(['put', '--store', store, file, '/one'])).code, 0);
  const before = await diskBytes(store);
  assert.equal((await holdfast(['put', '--store', store, file, '/two'])).code, 0);
  const after = await diskBytes(store);
  assert.ok(after - before < before * 0.01, `${before} → ${after}`);

  const log = join(folder.path, 'log');
  const lines = text(random, 8 * MIB);
  writeFileSync(log, lines);
  assert.equal((await holdfast(['put', '--store', store, log, '/log'])).code, 0);
  const withLog = await diskBytes(store);
  writeFileSync(log, Buffer.concat([Buffer.from('!'), lines]));
  assert.equal((await holdfast(['put', '--store', store, log, '/log'])).code, 0);
  const shifted = await diskBytes(store);
  // One byte in front moves every byte; a few chunks are new, the rest is found again.
  assert.ok(
    shifted - withLog < (withLog - after) * 0.1,
    `${withLog - after} for all, ${shifted - withLog} for one byte more`,
  );
});

/** Pack bytes: what files take; the database grows in pages and is looked at in the bench. */
async function diskBytes(store: string): Promise<number> {
  const { stdout } = await holdfast(['stats', '--store', store, '--json']);
  const stats = JSON.parse(stdout.toString().trim().split('\n').at(-1) ?? '{}') as { pack_bytes?: number };
  assert.ok(existsSync(store) && stats.pack_bytes !== undefined, stdout.toString());
  return stats.pack_bytes;
}
