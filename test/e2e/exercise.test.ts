/**
 * The random exercisers, small: they agree with the kernel's own file systems, find what is planted and say it shortly,
 * and find nothing on the mount of a store. Large: `npm run soak -- fsx` and `npm run soak -- namespace`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mountExt4, mountTmpfs, whyNoExt4 } from './ext4.ts';
import { temporaryFolder } from './holdfast.ts';
import { mountStore } from './mounted.ts';
import { exerciseFile } from './posix/exercise-file.ts';
import { exerciseNames } from './posix/exercise-names.ts';
import { FALLOCATE, Libc, type Path } from './posix/libc.ts';

const skip = whyNoExt4() ?? false;
const limits = { skip, timeout: 280_000 * Number(process.env.TEST_HOLDFAST_SCALE ?? 1) };
if (skip !== false) process.stderr.write(`# SKIPPED: the exercisers do not run: ${skip}\n`);

/** Forgets the last byte of a hole. */
class ShortHoles extends Libc {
  override fallocate(fd: number, mode: number, offset: number, length: number): void {
    const isHole = (mode & FALLOCATE.PUNCH_HOLE) !== 0 && length > 1;
    super.fallocate(fd, mode, offset, isHole ? length - 1 : length);
  }
}

/** Takes the wrong way round what a rename replaces. */
class LaxRenames extends Libc {
  override renameat2(from: Path, to: Path, flags: number): void {
    super.renameat2(from, to, flags & ~1);
  }
}

test('bytes of a file are as in a buffer, on tmpfs', limits, async () => {
  using folder = mountTmpfs();
  await exerciseFile({ folder: folder.path, seed: 1, operations: 20_000 });
});

test('a hole that is a byte short is found, and told in a few steps', limits, async () => {
  using folder = temporaryFolder();
  const found = await exerciseFile({
    folder: folder.path,
    seed: 2,
    operations: 4_000,
    sizeMax: 65_536,
    sys: () => new ShortHoles(),
  }).catch((error: Error) => error.message);
  assert.match(String(found), /^seed 2, step \d+: byte \d+ of \d+, in .*: is \d+, must be 0\n/);
  const count = Number(/(\d+) steps that fail as well/.exec(String(found))?.[1]);
  assert.ok(count >= 2 && count <= 4, String(found));
});

test('a tree does as another on ext4, and a lax rename is found', limits, async () => {
  using here = mountExt4();
  using there = mountExt4();
  const exercise = { folder: here.path, oracle: there.path, seed: 3, operations: 3_000 };
  await exerciseNames(exercise);
  const found = await exerciseNames({ ...exercise, sys: () => new LaxRenames() }).catch(
    (error: Error) => error.message,
  );
  assert.match(String(found), /^seed 3, step \d+: renameFlags answers \w+, on the oracle \w+\n/);
  const count = Number(/(\d+) steps that fail as well/.exec(String(found))?.[1]);
  assert.ok(count >= 1 && count <= 4, String(found));
});

test('bytes of a file on a mounted store are as in a buffer', limits, async () => {
  await using mount = await mountStore();
  await exerciseFile({ folder: mount.path, seed: 4, operations: 8_000 });
});

test('a tree on a mounted store does as one on ext4', limits, async () => {
  using oracle = mountExt4();
  await using mount = await mountStore();
  await exerciseNames({ folder: mount.path, oracle: oracle.path, seed: 5, operations: 4_000 });
});
