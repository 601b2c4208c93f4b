/**
 * The past through every way in: a tree with everything a tree can have, a snapshot of it, then all of it changed and
 * half of it deleted. Programs on the mount, the command line and HTTP still give every byte, mode, attribute and link
 * of then; also after an unmount and a new mount.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/index.ts';
import { whyNoMount } from './fuse-mount.ts';
import { holdfast, run, temporaryFolder } from './holdfast.ts';
import { mountStore } from './mounted.ts';
import { Libc } from './posix/libc.ts';

const SCALE = Number(process.env.TEST_HOLDFAST_SCALE ?? 1);
const TOOL_SECONDS_MAX = 60 * SCALE;
const FILES = 24;
const skip = whyNoMount() ?? false;
const hasRsync = spawnSync('sh', ['-c', 'command -v rsync']).status === 0;
if (!hasRsync) process.stderr.write('# There is no rsync here: cp stands in for it.\n');

async function tool(...words: readonly string[]): Promise<string> {
  const ran = await run('timeout', [String(TOOL_SECONDS_MAX), ...words], { environment: { LC_ALL: 'C' } });
  assert.equal(ran.code, 0, `${words.join(' ')} ended with ${ran.code}\n${ran.stdout}\n${ran.stderr}`);
  return ran.stdout.toString();
}

async function command(store: string, ...words: readonly string[]): Promise<Buffer> {
  const ran = await holdfast(['--store', store, ...words]);
  assert.equal(ran.code, 0, `${words.join(' ')}: ${ran.stderr}`);
  return ran.stdout;
}

async function makeData(folder: string): Promise<void> {
  const random = seededRandom(11);
  mkdirSync(join(folder, 'in/deep/er'), { recursive: true });
  for (let i = 0; i < FILES; i++) {
    const path = join(folder, i % 3 === 0 ? 'in/deep' : 'in', `f${i}`);
    writeFileSync(path, random.bytes([0, 100, 5_000, 200_000][i % 4] ?? 0));
    chmodSync(path, 0o600 + (i % 8));
    utimesSync(path, 1_000_000 + i, 2_000_000 + i);
  }
  linkSync(join(folder, 'in/f1'), join(folder, 'in/deep/er/second name'));
  symlinkSync('../f1', join(folder, 'in/deep/link'));
  await tool('mkfifo', join(folder, 'in/pipe'));
  new Libc().setxattr(join(folder, 'in/f2'), 'user.colour', 'red');
  writeFileSync(join(folder, 'in/sparse'), 'end');
  truncateSync(join(folder, 'in/sparse'), 3_000_000);
  appendFileSync(join(folder, 'in/sparse'), 'behind the hole');
}

/** Every file changed in one way or another, half of them deleted, the folders renamed. */
function changeAll(folder: string): void {
  for (const [index, name] of readdirSync(join(folder, 'in')).entries()) {
    const path = join(folder, 'in', name);
    if (!lstatSync(path).isFile()) continue;
    if (index % 2 === 0) rmSync(path);
    else if (index % 3 === 0) appendFileSync(path, 'more');
    else if (index % 5 === 0) truncateSync(path, 10);
    else writeFileSync(path, `now ${index}`);
    if (index % 4 === 1) chmodSync(path, 0o777);
  }
  rmSync(join(folder, 'in/deep'), { recursive: true });
  renameSync(join(folder, 'in'), join(folder, 'out'));
  mkdirSync(join(folder, 'in'));
  writeFileSync(join(folder, 'in/f1'), 'another file of that name');
}

/** What stands there, but numbers that differ between file systems. */
async function listing(folder: string): Promise<string> {
  // Sizes of folders are a file system's own business.
  const lines = await tool(
    'find',
    folder,
    '-mindepth',
    '1',
    '(',
    '-type',
    'd',
    '-printf',
    '%P %M %n %T@\\n',
    ')',
    '-o',
    '-printf',
    '%P %M %n %s %T@ %l\\n',
  );
  return lines.split('\n').sort().join('\n');
}

test('a snapshot gives back every byte, mode, attribute and link, through mount, CLI and HTTP', { skip }, async () => {
  using folder = temporaryFolder();
  const store = join(folder.path, 'store');
  const copy = join(folder.path, 'copy');
  await command(store, 'init');
  let before = '';
  {
    await using mount = await mountStore({ store });
    await makeData(mount.path);
    await tool('cp', '-a', join(mount.path, 'in'), copy);
    before = await listing(join(mount.path, 'in'));
    await command(store, 'snapshot', 'create', 'then');
    await command(store, 'snapshot', 'create', 'folder only', '/in/deep');
    changeAll(mount.path);
    await look(mount.path);
  }
  // A new process, nothing in any cache.
  await using mount = await mountStore({ store });
  await look(mount.path);
  const brought = join(folder.path, 'brought');
  // The command line asks the process that has the mount, over HTTP; what is no file, folder or symlink stays there.
  const got = await holdfast(['--store', store, 'get', '--at', 'then', '/in', brought]);
  assert.equal(got.code, 5, got.stderr);
  await tool('diff', '-r', '--no-dereference', '--exclude=pipe', copy, brought);
  assert.match((await command(store, 'check')).toString(), /clean/);
  assert.equal((await command(store, 'ls', '--at', 'folder only', '/in/deep')).toString().includes('link'), true);

  async function look(root: string): Promise<void> {
    const past = join(root, '.snapshots/then/in');
    assert.ok(!readdirSync(root).includes('.snapshots'), 'the past is not listed');
    assert.deepEqual(readdirSync(join(root, '.snapshots')).sort(), ['folder only', 'then']);
    await tool('diff', '-r', '--no-dereference', '--exclude=pipe', copy, past);
    assert.equal(await listing(past), before);
    assert.equal(new Libc().getxattr(join(past, 'f2'), 'user.colour').toString(), 'red');
    assert.equal(readlinkSync(join(past, 'deep/link')), '../f1');
    assert.equal(lstatSync(join(past, 'f1')).ino, lstatSync(join(past, 'deep/er/second name')).ino);
    const target = mkdtempSync(join(folder.path, 'rsync-'));
    if (hasRsync) await tool('rsync', '-aX', '--no-specials', '--no-devices', `${past}/`, target);
    else await tool('cp', '-a', `${past}/.`, target);
    await tool('diff', '-r', '--no-dereference', '--exclude=pipe', copy, target);
    assert.equal(await listing(join(root, '.snapshots/folder only')), await listing(join(past, 'deep')));
    for (const change of [
      () => writeFileSync(join(past, 'f1'), 'x'),
      () => writeFileSync(join(past, 'fresh'), 'x'),
      () => rmSync(join(past, 'f1')),
      () => renameSync(join(past, 'f1'), join(past, 'f3')),
      () => renameSync(join(past, 'f1'), join(root, 'f1')),
      () => mkdirSync(join(root, '.snapshots/mine')),
      () => chmodSync(join(past, 'f1'), 0o777),
      () => truncateSync(join(past, 'f1'), 0),
    ])
      assert.throws(change, /EROFS|Read-only|EACCES/);
    await tool('cp', join(past, 'f7'), join(root, 'brought back'));
    assert.ok(readFileSync(join(root, 'brought back')).equals(readFileSync(join(copy, 'f7'))));
    rmSync(join(root, 'brought back'));
  }
});

test('the past is there by time and by commit, a deleted snapshot is gone at once, what is open is read to its end', {
  skip,
}, async () => {
  await using mount = await mountStore();
  const file = join(mount.path, 'f');
  const first = seededRandom(3).bytes(3_000_000);
  writeFileSync(file, first);
  await command(mount.store, 'snapshot', 'create', 's');
  const made = JSON.parse((await command(mount.store, 'snapshot', 'show', 's', '--json')).toString()) as {
    commit: number;
  };
  await new Promise((done) => setTimeout(done, 20));
  const time = new Date().toISOString();
  writeFileSync(file, 'second');
  await command(mount.store, 'ls', '/');
  const past = join(mount.path, '.snapshots');
  for (const name of ['s', `@${time}`, `@${made.commit}`])
    assert.ok(readFileSync(join(past, name, 'f')).equals(Buffer.from(first)), name);
  assert.ok(!existsSync(join(past, '@2001-01-01T00:00:00Z')));
  assert.ok(!existsSync(join(past, 'none')));
  await command(mount.store, 'snapshot', 'create', 'none');
  assert.ok(existsSync(join(past, 'none/f')), 'a name that was not there is seen when it comes');
  await command(mount.store, 'snapshot', 'delete', 'none');
  assert.ok(!existsSync(join(past, 'none')));
  assert.deepEqual(readdirSync(past), ['s']);
});
