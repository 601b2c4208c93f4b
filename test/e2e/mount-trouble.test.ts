/**
 * Bad moments of a mount: a full disk, damaged and missing packs, files that would be too large, and being told to end in
 * the middle of a copy. Each costs what it must and nothing else, and the mount lives.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, globSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/index.ts';
import { mountTmpfs } from './ext4.ts';
import { whyNoMount } from './fuse-mount.ts';
import { holdfast } from './holdfast.ts';
import { isMounted, Place, startRunning, until } from './running.ts';

const skip = whyNoMount() ?? false;
const limits = { skip, timeout: 180_000 * Number(process.env.TEST_HOLDFAST_SCALE ?? 1) } as const;
const PAGE_BYTES = 4_096;
/** More than the largest chunk. */
const CHUNK_BYTES_MAX = 1024 * 1024;

const noise = (seed: number, length: number): Buffer => Buffer.from(seededRandom(seed).bytes(length));

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await fs.open(path, 'w');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function checkIsClean(store: string): Promise<void> {
  const { code, stdout, stderr } = await holdfast(['--store', store, 'check']);
  assert.equal(code, 0, `check says\n${stdout}${stderr}`);
}

function packsOf(store: string): string[] {
  return globSync('objects/packs/**', { cwd: store })
    .map((path) => join(store, path))
    .filter((path) => statSync(path).isFile());
}

test(
  'a full disk refuses what does not fit, keeps what is durable, and takes more once there is room',
  limits,
  async () => {
    using disk = mountTmpfs(96);
    using place = new Place();
    const at = place.folder('m');
    const store = join(disk.path, 'store');
    const words = ['mount', '--store', store, at];
    const ballast = join(disk.path, 'ballast');
    writeFileSync(ballast, Buffer.alloc(40_000_000));
    const kept = new Map<string, Buffer>();
    {
      await using mount = await startRunning(words);
      const code = await fillUp(at, kept);
      assert.equal(code, 'ENOSPC', mount.output());
      assert.ok(kept.size > 3, `only ${kept.size} files fitted`);
      // Small files go the way of metadata, and find it as full.
      await assert.rejects(fillWithSmall(at), { code: 'ENOSPC' });
      for (const [name, bytes] of kept) assert.ok((await fs.readFile(join(at, name))).equals(bytes), name);
      await fs.rm(ballast);
      for (let number = 1; number <= 3; number++) {
        kept.set(`later-${number}`, noise(1_000 + number, 2_000_000));
        await writeSynced(join(at, `later-${number}`), kept.get(`later-${number}`) ?? Buffer.alloc(0));
      }
      for (const [name, bytes] of kept) assert.ok((await fs.readFile(join(at, name))).equals(bytes), name);
      assert.equal(await mount.stop(), 0, mount.output());
    }
    await using _again = await startRunning(words);
    for (const [name, bytes] of kept) assert.ok((await fs.readFile(join(at, name))).equals(bytes), name);
    await checkIsClean(store);
  },
);

test('a file replaced by renaming, with nobody waiting, is whole also when the disk is full', limits, async () => {
  using disk = mountTmpfs(96);
  using place = new Place();
  const at = place.folder('m');
  const words = ['mount', '--store', join(disk.path, 'store'), at];
  const ballast = join(disk.path, 'ballast');
  writeFileSync(ballast, Buffer.alloc(10_000_000));
  const isWhole = async (): Promise<boolean> => {
    const found = await fs.readFile(join(at, 'current'));
    const number = Number(found.subarray(0, 10).toString());
    return found.equals(generation(number));
  };
  {
    await using mount = await startRunning(words);
    await writeSynced(join(at, 'current'), generation(0));
    let faults = 0;
    for (let number = 1; number <= 200 && faults < 20; number++) {
      try {
        await fs.writeFile(join(at, 'next'), generation(number));
        await fs.rename(join(at, 'next'), join(at, 'current'));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
        faults++;
      }
    }
    assert.ok(faults > 0, 'the disk is full');
    assert.ok(await isWhole(), mount.output());
    assert.equal(await mount.stop('SIGKILL'), 'SIGKILL');
  }
  // A mount writes a little of its own.
  await fs.rm(ballast);
  await using _again = await startRunning(words);
  assert.ok(await isWhole());
  await checkIsClean(join(disk.path, 'store'));
});

/** Says which it is in its first ten bytes. */
function generation(number: number): Buffer {
  return Buffer.concat([Buffer.from(String(number).padStart(10)), noise(number, 1_000_000)]);
}

/** Writes until that fails; answers how. */
async function fillUp(at: string, kept: Map<string, Buffer>): Promise<string | undefined> {
  for (let number = 1; number <= 200; number++) {
    const bytes = noise(number, 1_000_000);
    try {
      await writeSynced(join(at, `file-${number}`), bytes);
      kept.set(`file-${number}`, bytes);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  }
  return undefined;
}

async function fillWithSmall(at: string): Promise<void> {
  for (let number = 1; number <= 5_000; number++)
    await writeSynced(join(at, `small-${number}`), noise(10_000 + number, 3_500));
}

test('a damaged chunk fails reads of its own bytes, and nothing else', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  const words = ['mount', '--store', place.store, at];
  const [large, other] = [noise(1, 6_000_000), noise(2, 1_000_000)];
  {
    await using _mount = await startRunning(words);
    await fs.writeFile(join(at, 'large'), large);
    await fs.writeFile(join(at, 'other'), other);
  }
  const hit = 3_000_000;
  const damaged = packsOf(place.store).filter((path) => flip(path, large.subarray(hit, hit + 100)));
  assert.equal(damaged.length, 1, 'noise is stored as it is, in one pack');
  await using mount = await startRunning(words);
  const failed = await failedPages(join(at, 'large'), large);
  const [first = 0, last = 0] = [failed[0], failed.at(-1)];
  assert.ok(first <= hit && hit < last + PAGE_BYTES, `failed ${first} to ${last}`);
  assert.equal(failed.length, (last - first) / PAGE_BYTES + 1, 'one run of pages failed');
  assert.ok(last - first <= CHUNK_BYTES_MAX, `failed ${first} to ${last}`);
  assert.ok((await fs.readFile(join(at, 'other'))).equals(other));
  // Written over, the file is whole again.
  const patch = noise(3, last - first + PAGE_BYTES);
  const file = await fs.open(join(at, 'large'), 'r+');
  await file.write(patch, 0, patch.length, first);
  await file.sync();
  await file.close();
  patch.copy(large, first);
  assert.ok((await fs.readFile(join(at, 'large'))).equals(large));
  assert.equal(await mount.stop(), 0, mount.output());
});

/** Turns a bit where the bytes stand in the file; answers whether they do. */
function flip(path: string, bytes: Buffer): boolean {
  const pack = readFileSync(path);
  const found = pack.indexOf(bytes);
  if (found < 0) return false;
  pack[found] = (pack[found] ?? 0) ^ 4;
  writeFileSync(path, pack);
  return true;
}

/** Offsets of pages that fail with EIO. @throws AssertionError for one that reads wrong or fails otherwise. */
async function failedPages(path: string, expected: Buffer): Promise<number[]> {
  const failed: number[] = [];
  const page = Buffer.alloc(PAGE_BYTES);
  const file = await fs.open(path);
  for (let at = 0; at < expected.length; at += PAGE_BYTES) {
    try {
      const { bytesRead } = await file.read(page, 0, PAGE_BYTES, at);
      assert.ok(page.subarray(0, bytesRead).equals(expected.subarray(at, at + PAGE_BYTES)), `wrong bytes at ${at}`);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EIO', String(error));
      failed.push(at);
    }
  }
  await file.close();
  return failed;
}

test('a missing pack fails reads of what is in it, until it is back', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  const words = ['mount', '--store', place.store, at];
  const large = noise(1, 2_000_000);
  {
    await using _mount = await startRunning(words);
    await fs.writeFile(join(at, 'large'), large);
    await fs.writeFile(join(at, 'small'), 'kept with the metadata');
  }
  const packs = packsOf(place.store);
  const aside = (path: string): string => join(place.path, basename(path));
  for (const path of packs) renameSync(path, aside(path));
  {
    await using mount = await startRunning(words);
    await assert.rejects(fs.readFile(join(at, 'large')), { code: 'EIO' });
    assert.equal(await fs.readFile(join(at, 'small'), 'utf8'), 'kept with the metadata');
    await writeSynced(join(at, 'new'), noise(2, 500_000));
    assert.ok((await fs.readFile(join(at, 'new'))).equals(noise(2, 500_000)));
    assert.equal(await mount.stop(), 0, mount.output());
  }
  for (const path of packs) {
    await fs.mkdir(dirname(path), { recursive: true });
    renameSync(aside(path), path);
  }
  await using _mount = await startRunning(words);
  assert.ok((await fs.readFile(join(at, 'large'))).equals(large));
  await checkIsClean(place.store);
});

test('a file may not grow beyond max_file_size, and keeps what it has', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  await using _mount = await startRunning(['mount', '--store', place.store, '--max-file-size', '1MiB', at]);
  const path = join(at, 'f');
  const whole = noise(1, 1024 * 1024);
  await writeSynced(path, whole);
  const file = await fs.open(path, 'r+');
  await assert.rejects(file.write(Buffer.from('x'), 0, 1, whole.length), { code: 'EFBIG' });
  await assert.rejects(file.truncate(whole.length + 1), { code: 'EFBIG' });
  await assert.rejects(fs.appendFile(path, 'x'), { code: 'EFBIG' });
  await file.write(Buffer.from('x'), 0, 1, 5);
  await file.sync();
  await file.close();
  whole[5] = 'x'.charCodeAt(0);
  assert.ok((await fs.readFile(path)).equals(whole));
});

for (const { how, timeout } of [
  { how: 'is cut off when it takes longer than the mount waits', timeout: '1s' },
  { how: 'is waited for while the mount waits', timeout: '1h' },
])
  test(`SIGTERM in the middle of a large copy: the copy ${how}, and what was written is there`, limits, async () => {
    using place = new Place();
    const at = place.folder('m');
    const source = place.at('source');
    writeFileSync(source, noise(1, 30_000_000));
    const isCut = timeout === '1s';
    const mount = await startRunning(['mount', '--store', place.store, '--mount-unmount-timeout', timeout, at]);
    await writeSynced(join(at, 'synced'), noise(2, 300_000));
    // Slow enough that the signal comes in its middle; it goes on for ever when it is to be cut off.
    const line = isCut ? `while cat ${source}; do sleep 0.1; done` : `cat ${source}; sleep 1; cat ${source}`;
    const copy = spawn('sh', ['-c', `{ ${line}; } > ${join(at, 'copy')}`], { stdio: 'ignore' });
    const copied = once(copy, 'exit');
    await until('it copies', () => statSync(join(at, 'copy'), { throwIfNoEntry: false })?.size !== undefined);
    assert.equal(await mount.stop('SIGTERM'), 0, mount.output());
    assert.equal(isMounted(at), false);
    await copied;
    await using _again = await startRunning(['mount', '--store', place.store, at]);
    assert.ok((await fs.readFile(join(at, 'synced'))).equals(noise(2, 300_000)));
    const size = await sizeOfCopies(join(at, 'copy'), readFileSync(source));
    if (!isCut) assert.equal(size, 60_000_000);
    await checkIsClean(place.store);
  });

/** The file's size. @throws AssertionError when it is anything but the source, again and again, cut off somewhere. */
async function sizeOfCopies(path: string, source: Buffer): Promise<number> {
  let at = 0;
  for await (const piece of createReadStream(path) as AsyncIterable<Buffer>) {
    for (let done = 0; done < piece.length; ) {
      const from = (at + done) % source.length;
      const length = Math.min(piece.length - done, source.length - from);
      assert.ok(piece.subarray(done, done + length).equals(source.subarray(from, from + length)), `at ${at + done}`);
      done += length;
    }
    at += piece.length;
  }
  return at;
}
