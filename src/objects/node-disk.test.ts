/** The real disk: the contract in a temporary folder, its faults in words, and what a full one leaves. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Fault, utf8 } from '../base/index.ts';
import { assertBytes, assertFault, bytesOf } from './contract.ts';
import { diskContract } from './disk-contract.ts';
import { diskFault } from './disk-fault.ts';
import { DiskObjects } from './disk-objects.ts';
import { NodeDisk } from './node-disk.ts';

const top = mkdtempSync(join(tmpdir(), 'holdfast-node-disk-'));
after(() => rmSync(top, { recursive: true, force: true }));

const freshDisk = (): NodeDisk => new NodeDisk(mkdtempSync(join(top, 'disk-')));

diskContract('a real folder', async () => freshDisk());

test('disk keeps what it makes for its owner alone', async () => {
  const disk = freshDisk();
  await disk.makeFolder('folder');
  await (await disk.open('folder/file', 'create')).close();
  assert.equal(statSync(join(disk.root, 'folder')).mode & 0o777, 0o700);
  assert.equal(statSync(join(disk.root, 'folder/file')).mode & 0o777, 0o600);
});

test('disk refuses a path that leaves its root as a broken invariant', async () => {
  for (const path of ['..', 'a/../..', '/etc/passwd', './a', 'a/..', 'a\0']) {
    await assert.rejects(freshDisk().stat(path), { name: 'InvariantError' });
  }
  assert.equal(await freshDisk().stat('a..b'), undefined);
});

test('fault says what was done to which path, why and what to do when the disk refuses', async () => {
  const disk = freshDisk();
  const fault = await disk.open('none', 'read').catch((error: unknown) => error);
  assert.ok(Fault.is(fault, 'not-found'));
  assert.match(fault.message, /^Opening \/.*\/none failed: there is no such file or folder \(ENOENT\)\. Check/);
  assert.ok(fault.cause instanceof Error);
  assert.deepEqual(fault.about, { path: join(disk.root, 'none'), errno: 'ENOENT' });
});

test('fault code follows the error code of the operating system', () => {
  const codes = {
    ENOSPC: 'full',
    EDQUOT: 'full',
    EROFS: 'read-only',
    EACCES: 'denied',
    EPERM: 'denied',
    ENOENT: 'not-found',
    EEXIST: 'exists',
    ENOTEMPTY: 'not-empty',
    EIO: 'io',
    EMFILE: 'io',
    ESTRANGE: 'io',
  };
  for (const [errno, code] of Object.entries(codes)) {
    const fault = diskFault(errno, 'Writing to', '/x/y');
    assert.equal(fault.code, code);
    assert.match(fault.message, /^Writing to \/x\/y failed: .+ \(E[A-Z]+\)\. .+\.$/);
  }
});

/** Where to make a small disk; `undefined`, with the reason on standard error, where that is not allowed. */
function smallMount(): string | undefined {
  const folder = mkdtempSync(join(top, 'small-'));
  const options = ['-t', 'tmpfs', '-o', 'size=2m,nr_inodes=60', 'tmpfs', folder];
  const done =
    process.getuid?.() === 0 ? spawnSync('mount', options, { encoding: 'utf8', timeout: 10_000 }) : undefined;
  if (done?.status === 0) return folder;
  process.stderr.write(`NOT RUN: full disk on a real small mount; ${done?.stderr ?? 'needs root'}\n`);
  return undefined;
}

test('store on a full disk says so, keeps what it had and works again when there is room', async () => {
  const folder = smallMount();
  if (folder === undefined) return;
  try {
    await using store = await DiskObjects.open(new NodeDisk(folder));
    await store.put('kept/one', bytesOf(500_000, 1));
    await assertFault('full', store.put('too/large', bytesOf(3_000_000, 2)));
    assert.equal(await store.head('too/large'), undefined);
    await using appender = await store.append('log', 0);
    await appender.append([utf8('first')]);
    await assertFault('full', appender.append([bytesOf(1_000_000, 3), bytesOf(2_000_000, 4)]));
    await assertFault('full', appender.append([utf8('more')]));
    await appender.close();
    assertBytes(await store.get('kept/one'), bytesOf(500_000, 1));
    await using again = await store.append('log', 5);
    await again.append([utf8(' second')]);
    await again.sync();
    assertBytes(await store.get('log'), utf8('first second'));
    await store.put('fits/now', bytesOf(1_000_000, 5));
    await refusedForNames(store);
  } finally {
    spawnSync('umount', [folder], { timeout: 10_000 });
  }
});

test('store on a disk that became read-only says so and still reads', async () => {
  const folder = smallMount();
  if (folder === undefined) return;
  try {
    await using store = await DiskObjects.open(new NodeDisk(folder));
    await store.put('kept', utf8('bytes'));
    assert.equal(spawnSync('mount', ['-o', 'remount,ro', folder], { timeout: 10_000 }).status, 0);
    await assertFault('read-only', store.put('kept-not', utf8('bytes')));
    await assertFault('read-only', store.append('log', 0));
    await assertFault('read-only', store.delete('kept'));
    await assertFault('read-only', DiskObjects.open(new NodeDisk(folder), { folder: 'other' }));
    assertBytes(await store.get('kept'), utf8('bytes'));
  } finally {
    spawnSync('umount', [folder], { timeout: 10_000 });
  }
});

/** A disk may have room for bytes and none for names. */
async function refusedForNames(store: DiskObjects): Promise<void> {
  const puts = async (): Promise<void> => {
    for (let count = 0; count < 100; count++) await store.put(`small/${count}`, utf8('x'));
  };
  await assertFault('full', puts());
  const { objects } = await store.list({ prefix: 'small/' });
  assert.ok(objects.length > 0);
  for (const { name } of objects) assertBytes(await store.get(name), utf8('x'));
}

test('file reads in this turn what it reads otherwise, or nothing, and nothing once it is closed', async () => {
  const disk = freshDisk();
  const bytes = bytesOf(50_000, 3);
  const file = await disk.open('file', 'create');
  await file.write([bytes], 0);
  for (const [offset, length] of [
    [0, 50_000],
    [7, 1],
    [49_999, 1],
    [12_345, 20_000],
  ] as const) {
    const into = new Uint8Array(length);
    if (file.readNow?.(into, offset) === true) assertBytes(into, bytes.subarray(offset, offset + length));
  }
  assert.equal(file.readNow?.(new Uint8Array(2), 49_999), false);
  await file.close();
  assert.equal(file.readNow?.(new Uint8Array(1), 0), false);
});
