/** Objects on a disk: the contract on both disks, what lies where, what leftovers and open handles do. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { utf8 } from '../base/index.ts';
import { assertBytes, assertFault, bytesOf, objectStoreContract, streamOf } from './contract.ts';
import type { Disk, DiskFile } from './disk.ts';
import { DiskObjects } from './disk-objects.ts';
import { HandleCache } from './handle-cache.ts';
import { NodeDisk } from './node-disk.ts';
import { SeededDisk } from './seeded-disk.ts';

const top = mkdtempSync(join(tmpdir(), 'holdfast-disk-objects-'));
after(() => rmSync(top, { recursive: true, force: true }));

const freshFolder = (): string => mkdtempSync(join(top, 'store-'));

objectStoreContract('a real folder', () => DiskObjects.open(new NodeDisk(freshFolder())));
objectStoreContract('a real folder below another, with two handles', () =>
  DiskObjects.open(new NodeDisk(freshFolder()), { folder: 'deep/down', readHandlesMax: 2 }),
);
objectStoreContract('a seeded disk', () => DiskObjects.open(new SeededDisk({ seed: 1 })));

test('object lies where the layout says, and nothing else lies there', async () => {
  const folder = freshFolder();
  await using store = await DiskObjects.open(new NodeDisk(folder));
  for (const name of ['packs/7/c0ffee', 'packs/7', 'x']) await store.put(name, utf8('y'));
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  assert.deepEqual(
    found.sort(),
    [
      '7=',
      '7=/7',
      '=temp',
      'packs',
      ...['packs/7', 'packs/7/c0=', 'packs/7/c0=/c0ffee', 'packs/7=', 'packs/7=/7', 'x=', 'x=/x'],
    ].filter((path) => !path.startsWith('7=')),
  );
});

test('list shows nothing of what strangers put into the folder', async () => {
  const folder = freshFolder();
  await using store = await DiskObjects.open(new NodeDisk(folder));
  await store.put('ab/cd', utf8('y'));
  for (const path of ['readme', 'README.TXT', 'zz=', 'ab/stray', 'ab/cd=/Foreign', 'ab/cd=/xx']) {
    writeFileSync(join(folder, path), 'stray');
  }
  assert.deepEqual(await store.list(), { objects: [{ name: 'ab/cd', lengthBytes: 1 }] });
});

test('store opens again with everything, and without what a killed put left', async () => {
  const folder = freshFolder();
  {
    await using store = await DiskObjects.open(new NodeDisk(folder));
    await store.put('kept', streamOf(bytesOf(300_000, 1), 64_000));
    await using appender = await store.append('log', 0);
    await appender.append([utf8('abc')]);
    await appender.sync();
  }
  for (let count = 0; count < 100; count++) writeFileSync(join(folder, '=temp', `${count}`), 'half');
  await using store = await DiskObjects.open(new NodeDisk(folder));
  assert.deepEqual(readdirSync(join(folder, '=temp')), []);
  assertBytes(await store.get('kept'), bytesOf(300_000, 1));
  await using appender = await store.append('log', 3);
  await appender.append([utf8('def')]);
  assertBytes(await store.get('log'), utf8('abcdef'));
});

test('put leaves no temporary file when it fails', async () => {
  const disk = new SeededDisk({ seed: 1 });
  await using store = await DiskObjects.open(disk);
  await store.put('aa', utf8('makes the folder'));
  for (let call = 1; call <= 5; call++) {
    disk.failAt(call, 'io');
    await assertFault('io', store.put(`ab${call}`, utf8('x')));
    assert.deepEqual(disk.listSync('=temp'), []);
  }
});

test('put answers exists only after the name is durable', async () => {
  const disk = new SeededDisk({ seed: 1 });
  await using store = await DiskObjects.open(disk);
  // The name is there, but its folder could not be synced: the first put must not have succeeded.
  await store.put('aa', utf8('makes the folder'));
  disk.failAt(5, 'io');
  await assertFault('io', store.put('aab', utf8('x')));
  await assertFault('exists', store.put('aab', utf8('x')));
  for (let seed = 0; seed < 20; seed++) assert.notEqual(disk.crash(seed).statSync('aa=/aab'), undefined);
});

test('delete is seen by readers that had the object open', async () => {
  await using store = await DiskObjects.open(new NodeDisk(freshFolder()));
  await store.put('one', bytesOf(1_000, 1));
  await store.get('one');
  const reads = [1, 2, 3].map(() => store.get('one', { offset: 0, length: 1_000 }));
  await Promise.all([...reads, store.delete('one')].map((each) => each.catch(() => {})));
  await assertFault('not-found', store.get('one', { offset: 0, length: 1_000 }));
  await store.put('one', bytesOf(1_000, 2));
  assertBytes(await store.get('one'), bytesOf(1_000, 2));
});

test('append at a byte inside a long object reads back while others read it', async () => {
  await using store = await DiskObjects.open(new NodeDisk(freshFolder()));
  await using appender = await store.append('log', 0);
  const readers = Array.from({ length: 50 }, async (_, index) => {
    await appender.append([bytesOf(10_000, index)]);
    assertBytes(await store.get('log', { offset: 10_000 * index, length: 10_000 }), bytesOf(10_000, index));
  });
  await Promise.all(readers);
  assert.equal(appender.lengthBytes, 500_000);
});

/** Counts open files, and says so when one is read after it was closed. */
function countingDisk(): { readonly open: (key: string) => Promise<DiskFile>; readonly openNow: () => number } {
  let openCount = 0;
  const open = async (): Promise<DiskFile> => {
    await turn();
    openCount++;
    let isOpen = true;
    const close = async (): Promise<void> => {
      assert.ok(isOpen, 'closed twice');
      isOpen = false;
      openCount--;
    };
    const read = async (): Promise<number> => {
      assert.ok(isOpen, 'read after close');
      await turn();
      assert.ok(isOpen, 'closed under a read');
      return 1;
    };
    const unused = async (): Promise<never> => assert.fail('only reads are made here');
    const [write, truncate, sync, sizeBytes] = [unused, unused, unused, unused];
    return { read, write, truncate, sync, sizeBytes, close, [Symbol.asyncDispose]: close };
  };
  return { open, openNow: () => openCount };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('handles stay within their bound and none is closed under a read', async () => {
  const counting = countingDisk();
  const cache = new HandleCache(counting.open, 4);
  const into = new Uint8Array(1);
  const reads = Array.from({ length: 300 }, async (_, index) => {
    if (index % 3 === 0) await turn();
    await cache.use(`${(index * 7) % 20}`, (file) => file.read(into, 0));
    if (index % 11 === 0) cache.forget(`${index % 20}`);
  });
  await Promise.all(reads);
  await turn();
  assert.ok(cache.openCount <= 4 && counting.openNow() <= 4, `${cache.openCount} of 4 handles are open`);
  for (let index = 0; index < 30; index++) {
    await cache.use(`${index}`, (file) => file.read(into, 0));
    assert.ok(cache.openCount <= 4);
  }
  await cache.clear();
  assert.equal(counting.openNow(), 0);
});

test('handle that could not be opened is tried again by the next read', async () => {
  let tries = 0;
  const counting = countingDisk();
  const cache = new HandleCache(async (key) => {
    if (++tries === 1) throw new Error('not now');
    return counting.open(key);
  }, 4);
  const read = (file: DiskFile): Promise<number> => file.read(new Uint8Array(1), 0);
  await assert.rejects(cache.use('a', read), /not now/);
  assert.equal(cache.openCount, 0);
  assert.equal(await cache.use('a', read), 1);
  await cache.clear();
});

test('requests that fail on the disk come through as its faults', async () => {
  const broken = new SeededDisk({ seed: 1 });
  await using store = await DiskObjects.open(broken satisfies Disk);
  await using appender = await store.append('log', 0);
  await appender.append([utf8('abc')]);
  broken.failAt(1, 'io');
  await assertFault('io', appender.sync());
  await assertFault('io', appender.append([utf8('d')]));
  await assertFault('io', appender.sync());
  broken.failAt(1, 'io');
  await assertFault('io', store.delete('log'));
});
