/** Many local files in one stream: taken whole where they stand, and what changed meanwhile read from its source. */
import assert from 'node:assert/strict';
import { lstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesOf, openStand } from '../../../test/stand.ts';
import type { BulkItem, BulkResult } from '../../api/index.ts';
import { Fault, utf8 } from '../../base/index.ts';

const COUNT = 300;
const contentOf = (at: number): Uint8Array => utf8(`${at} `.repeat(at === 7 ? 200_000 : 100 * at));

function itemsIn(folder: string): readonly BulkItem[] {
  return Array.from({ length: COUNT }, (_, at) => {
    const path = join(folder, `f${at}`);
    writeFileSync(path, contentOf(at));
    const { size, mtimeNs, dev, ino } = lstatSync(path, { bigint: true });
    const local = { path, size: Number(size), mtimeNs, identity: `${dev}:${ino}` };
    return { path: `/f${at}`, kind: 'file', size: local.size, local, source: () => [contentOf(at)] };
  });
}

test('local files are taken where they stand, in order, and read back', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bulk-'));
  try {
    await using stand = await openStand();
    let sourceCount = 0;
    const items = itemsIn(folder).map((item) => ({
      ...item,
      source: () => {
        sourceCount++;
        return item.source?.() ?? [];
      },
    }));
    // Changed since it was looked at: its source is asked.
    writeFileSync(join(folder, 'f250'), 'other');
    const results: string[] = [];
    for await (const result of stand.service.writeMany(items)) {
      assert.ok(result.ok);
      results.push(result.path);
      assert.equal(result.record.size, contentOf(results.length - 1).length);
    }
    assert.deepEqual(
      results,
      items.map(({ path }) => path),
    );
    assert.ok(sourceCount < 40, `${sourceCount} files were read the usual way`);
    for (const at of [0, 7, 40, 250, COUNT - 1]) {
      const { bytes, record } = await stand.service.read({ path: `/f${at}` });
      assert.ok((await bytesOf(bytes)).equals(contentOf(at)));
      assert.match(record.xxhash3 ?? '', /^[0-9a-f]{16}$/);
    }
    assert.deepEqual((await stand.service.check({})).problems, []);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('files in memory are taken together, and one that is not what was announced fails alone', async () => {
  await using stand = await openStand();
  const contents = Array.from({ length: 300 }, (_, n) => Buffer.from(`content ${n} `.repeat(1 + (n % 700))));
  const wrong = 200;
  const items = contents.map((bytes, n): BulkItem => {
    const xxhash3 = n === wrong ? { xxhash3: '0123456789abcdef' } : {};
    return { path: `/m${n}`, kind: 'file', bytes, source: () => [bytes], size: bytes.length, ...xxhash3 };
  });
  const results: BulkResult[] = [];
  for await (const result of stand.service.writeMany(items)) results.push(result);
  assert.deepEqual(
    results.map(({ path }) => path),
    items.map(({ path }) => path),
  );
  for (const [n, result] of results.entries()) {
    if (n === wrong) assert.ok(!result.ok && Fault.is(result.fault, 'mismatch'));
    else {
      const { bytes } = await stand.service.read({ path: `/m${n}` });
      assert.ok((await bytesOf(bytes)).equals(contents[n] ?? Buffer.alloc(0)));
    }
  }
});

test('a small local file in front of many large ones is not waited for in vain', { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bulk-'));
  try {
    await using stand = await openStand();
    const large = Buffer.alloc(400_000, 7);
    const items = itemsIn(folder)
      .slice(0, 50)
      .flatMap((item, at): BulkItem[] => [
        item,
        ...(at < 40 || at > 41
          ? []
          : Array.from({ length: 40 }, (_, n): BulkItem => {
              return { path: `/large-${at}-${n}`, kind: 'file', size: large.length, source: () => [large] };
            })),
      ]);
    let count = 0;
    for await (const result of stand.service.writeMany(items)) if (result.ok) count++;
    assert.equal(count, 130);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a source that fails fails its own item only', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bulk-'));
  try {
    await using stand = await openStand();
    const items = itemsIn(folder).map((item) => ({
      ...item,
      source: () => {
        throw new Fault('conflict', 'It changed.', { changed: true });
      },
    }));
    rmSync(join(folder, 'f100'));
    const failed: string[] = [];
    let index = 0;
    for await (const result of stand.service.writeMany(items)) if (!result.ok && index++ >= 0) failed.push(result.path);
    // The first few go the usual way, f7 is too large; then there is the one that is gone.
    assert.equal(failed.at(-1), '/f100');
    assert.equal(failed.length, 32 + 1 + 1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('one file under two names gets the bytes that come last, and keeps those that came before as a version', async () => {
  await using stand = await openStand();
  const { service } = stand;
  await service.write('/a', [utf8('old')], { mode: 'create' });
  {
    const diskSpace = () => ({ totalBytes: 2 ** 40, freeBytes: 2 ** 40 });
    await using tree = await stand.files.openTree({ user: 'owner', diskSpace });
    const file = await tree.lookup(tree.root, utf8('a'));
    await tree.link(file?.node ?? 0, tree.root, utf8('b'));
  }
  const items = ['a', 'b'].map((name): BulkItem => {
    return { path: `/${name}`, kind: 'file', source: () => [utf8(`new ${name}`)] };
  });
  for await (const result of service.writeMany(items)) assert.ok(result.ok);
  for (const path of ['/a', '/b']) {
    const { record, bytes } = await service.read({ path });
    assert.equal(record.links, 2);
    assert.equal((await bytesOf(bytes)).toString(), 'new b');
  }
  const { versions } = await service.versions({ path: '/a' });
  assert.equal(versions.length, 3);
});

test('a folder of a stream keeps its time over many commits, also when one is refused, and gets a new one from the next stream', async () => {
  await using stand = await openStand();
  const modified = '2020-02-03T04:05:06.789Z';
  const folder = (path: string): BulkItem => ({ path, kind: 'folder', modified });
  const file = (path: string): BulkItem => ({ path, kind: 'file', size: 1, source: () => [utf8('x')] });
  const files = (below: string): BulkItem[] => Array.from({ length: 520 }, (_, at) => file(`${below}/f${at}`));
  const timesOf = async (...paths: string[]): Promise<string[]> =>
    Promise.all(paths.map(async (path) => (await stand.service.stat({ path })).modified));
  // One path twice in a batch: all of it is done one by one, after it was planned to its end.
  const items = [folder('/a'), ...files('/a'), folder('/a/b'), file('/a/b/x'), file('/a/b/x'), folder('/c')];
  for await (const result of stand.service.writeMany([...items, ...files('/c'), file('/a/late')])) assert.ok(result.ok);
  assert.deepEqual(await timesOf('/a/b', '/c'), [modified, modified]);
  assert.notDeepEqual(await timesOf('/a'), [modified], 'what comes out of order counts as any other');
  for await (const result of stand.service.writeMany([file('/c/more')])) assert.ok(result.ok);
  assert.notDeepEqual(await timesOf('/c'), [modified]);
  assert.deepEqual((await stand.service.check({})).problems, []);
});

test('what somebody else puts into a folder that a stream has made is seen, and becomes an older version', async () => {
  await using stand = await openStand();
  const { service } = stand;
  const [count, theirs] = [2_400, 2_000];
  async function* items(): AsyncGenerator<BulkItem> {
    yield { path: '/x', kind: 'folder' };
    for (let n = 0; n < count; n++) {
      if (n === 1_800) {
        // The commit of the first thousand is on its way.
        while (!(await service.stat({ path: '/x/f0' }).catch(() => undefined)))
          await new Promise((resolve) => setImmediate(resolve));
        await service.write(`/x/f${theirs}`, [utf8('theirs')], { mode: 'create' });
      }
      yield { path: `/x/f${n}`, kind: 'file', size: 4, source: () => [utf8('ours')] };
    }
    // Once more, long after its first commit.
    yield { path: '/x/f0', kind: 'file', size: 5, source: () => [utf8('again')] };
  }
  let made = 0;
  for await (const result of service.writeMany(items())) {
    assert.ok(result.ok);
    made++;
  }
  assert.equal(made, count + 2);
  for (const [path, content] of [
    [`/x/f${theirs}`, 'ours'],
    ['/x/f0', 'again'],
  ] as const) {
    assert.equal((await bytesOf((await service.read({ path })).bytes)).toString(), content);
    assert.equal((await service.versions({ path })).versions.length, 2, path);
  }
  assert.deepEqual((await service.check({})).problems, []);
});
