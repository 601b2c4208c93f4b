/** The programs that people copy and keep files with, on a mount. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { run, TestMount, whyNoMount, whyWithout } from './fuse-mount.ts';

const skip = whyNoMount() ?? false;
const limits = { skip, timeout: 180_000 } as const;
const source = mkdtempSync(join(tmpdir(), 'holdfast-fuse-source-'));
after(() => rmSync(source, { recursive: true }));

const MAKE = `
  set -e; cd "$1"; mkdir -p sub/deep; for i in 1 2 3 4 5 6 7 8 9 10 20 30 40; do head -c $((i * 9973)) /dev/urandom > f$i; done
  ln -s f1 link; ln -s nowhere dangling; ln f2 sub/hard; mkfifo pipe; chmod 4755 f3; chmod 000 f4
  setfattr -n user.colour -v blue f5; touch -d '2001-02-03 04:05:06.789012345' f6; touch -d '1969-01-01' f7
  chown 65534:65534 f8; truncate -s 3M sparse; printf x | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none
  printf bytes > "$(printf 'n\\377me')"; mkdir -m 2770 shared`;

const withTools = { ...limits, skip: skip || whyWithout('rsync', 'setfattr') };
test('cp -a, rsync -aHAX and tar bring a folder in and out unchanged', withTools, async () => {
  await using mount = await TestMount.start({ allowOther: true });
  await run('sh', '-c', MAKE, 'sh', source);
  const same = async (target: string, flags = '-aHAXn'): Promise<void> =>
    assert.equal(await run('rsync', flags, '--delete', '--checksum', '-i', `${source}/`, `${target}/`), '');
  await run('cp', '-a', source, mount.at('copied'));
  await same(mount.at('copied'));
  await run('rsync', '-aHAX', `${source}/`, `${mount.at('synced')}/`);
  await same(mount.at('synced'));
  await run('sh', '-c', `mkdir "$2" && tar -C "$1" -c . | tar -C "$2" -x --xattrs`, 'sh', source, mount.at('untarred'));
  await same(mount.at('untarred'), '-aHn');
  await run('rsync', '-aHAX', '--inplace', `${source}/`, `${mount.at('synced')}/`);
  await run('mv', mount.at('copied'), mount.at('moved'));
  await same(mount.at('moved'));
  const back = `${source}-back`;
  try {
    await run('mv', mount.at('moved'), back);
    await same(back);
  } finally {
    rmSync(back, { recursive: true, force: true });
  }
  await run('sh', '-c', 'rm -r "$1"/*', 'sh', mount.path);
  assert.equal(mount.said, '');
});

test('git clones, commits, packs and finds nothing wrong', limits, async () => {
  await using mount = await TestMount.start();
  const git = (...args: string[]): Promise<string> =>
    run('git', '-C', mount.at('clone'), '-c', 'user.email=a@example.org', '-c', 'user.name=a', ...args);
  const origin = join(source, 'origin');
  await run('git', 'init', '-q', origin);
  await run('cp', '-r', resolve(import.meta.dirname, '../../src/base'), join(origin, 'base'));
  await run('git', '-C', origin, 'add', '-A');
  await run('git', '-C', origin, '-c', 'user.email=a@example.org', '-c', 'user.name=a', 'commit', '-qm', 'one');
  await run('git', 'clone', '-q', origin, mount.at('clone'));
  await run('cp', mount.at('clone', 'base', 'index.ts'), mount.at('clone', 'new'));
  await git('add', 'new');
  await git('commit', '-qm', 'two');
  await git('gc', '-q');
  await git('fsck', '--strict');
  assert.equal(await git('status', '--short'), '');
});

test('shared mappings are written through, and seen by read', limits, async () => {
  await using mount = await TestMount.start();
  // dd cannot map; git's index and ld do. cmp of a file that `cp` wrote and `ld` maps would need a linker: fio maps.
  const hasFio = await run('fio', '--version').then(
    () => true,
    () => false,
  );
  if (!hasFio) {
    process.stderr.write('# SKIPPED: mappings are not tested here: fio is not installed\n');
    return;
  }
  const words = ['--name=m', `--directory=${mount.path}`, '--ioengine=mmap', '--rw=randrw', '--bs=4k', '--size=4m'];
  const said = await run('fio', ...words, '--verify=crc32c', '--do_verify=1', '--output-format=terse');
  assert.match(said, /;m;0;0;/);
});
