/** What programs do with files on a mount, through the kernel, over a tree that answers at once and one that does not. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, type Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { test } from 'node:test';
import { run, TestMount, whyNoMount, whyWithout } from './fuse-mount.ts';

const skip = whyNoMount() ?? false;
const limits = { skip, timeout: 120_000 } as const;

const failing = (code: string) => (error: unknown) => {
  assert.equal((error as NodeJS.ErrnoException).code, code);
  return true;
};

for (const { name, tree } of [
  { name: 'at once', tree: {} },
  { name: 'later', tree: { delayMs: 1 } },
]) {
  test(`files, folders and links keep POSIX's rules on a tree that answers ${name}`, limits, async () => {
    await using mount = await TestMount.start({ tree });
    const at = (...names: string[]) => mount.at(...names);

    await fs.mkdir(at('folder', 'inner'), { recursive: true });
    await fs.writeFile(at('folder', 'file'), 'first');
    await fs.appendFile(at('folder', 'file'), ', second');
    assert.equal(await fs.readFile(at('folder', 'file'), 'utf8'), 'first, second');
    await fs.truncate(at('folder', 'file'), 5);
    await fs.link(at('folder', 'file'), at('hard'));
    await fs.symlink('folder/file', at('soft'));
    assert.equal(await fs.readlink(at('soft')), 'folder/file');
    assert.equal(await fs.readFile(at('soft'), 'utf8'), 'first');
    assert.equal((await fs.stat(at('hard'))).nlink, 2);
    assert.equal((await fs.stat(at('folder'))).nlink, 3);

    await assert.rejects(fs.rmdir(at('folder')), failing('ENOTEMPTY'));
    await assert.rejects(fs.unlink(at('absent')), failing('ENOENT'));
    await assert.rejects(fs.mkdir(at('folder')), failing('EEXIST'));
    await assert.rejects(fs.readdir(at('hard')), failing('ENOTDIR'));
    await assert.rejects(fs.rename(at('folder'), at('folder', 'inner', 'x')), failing('EINVAL'));
    await assert.rejects(fs.writeFile(at('n'.repeat(256)), ''), failing('ENAMETOOLONG'));

    await fs.rename(at('hard'), at('folder', 'moved'));
    assert.deepEqual((await fs.readdir(at('folder'))).sort(), ['file', 'inner', 'moved']);
    await fs.chmod(at('folder', 'file'), 0o4711);
    await fs.utimes(at('folder', 'file'), new Date(-1_500), new Date(4_000_000_000_250));
    const stats = await fs.stat(at('folder', 'file'));
    assert.equal(stats.mode & 0o7777, 0o4711);
    assert.equal(stats.atimeMs, -1_500);
    assert.equal(stats.mtimeMs, 4_000_000_000_250);

    const open = await fs.open(at('folder', 'moved'), 'r+');
    await fs.unlink(at('folder', 'moved'));
    await fs.unlink(at('folder', 'file'));
    assert.equal((await open.read({ position: 0 })).buffer.toString('utf8', 0, 5), 'first');
    assert.equal((await open.stat()).nlink, 0);
    await open.write('still here', 0);
    await open.close();
    await fs.rm(at('folder'), { recursive: true });
    assert.deepEqual(await fs.readdir(mount.path), ['soft']);
  });
}

test('names that are not UTF-8 come back byte for byte, in listings too', limits, async () => {
  await using mount = await TestMount.start();
  const name = Buffer.from([0x61, 0xff, 0xfe, 0x20, 0x0a, 0x62]);
  await fs.writeFile(Buffer.concat([Buffer.from(`${mount.path}/`), name]), 'x');
  assert.deepEqual(await fs.readdir(mount.path, { encoding: 'buffer' }), [name]);
});

test('a root whose id is not 1, and a node whose id is, are told apart', limits, async () => {
  await using mount = await TestMount.start({ tree: { root: 77 } });
  await fs.writeFile(mount.at('a'), 'x');
  assert.equal((await fs.stat(mount.path)).ino, 1);
  assert.notEqual((await fs.stat(mount.at('a'))).ino, 1);
  assert.equal(await fs.readFile(mount.at('a'), 'utf8'), 'x');
});

test('a folder of thousands lists whole, with attributes, and while it is emptied', limits, async () => {
  await using mount = await TestMount.start();
  const names = Array.from({ length: 3_000 }, (_, i) => `a file with a name of some length, number ${i}`);
  for (const name of names) await fs.writeFile(mount.at(name), '');
  assert.deepEqual((await fs.readdir(mount.path)).sort(), names.toSorted());
  assert.equal((await run('ls', '-l', mount.path)).split('\n').length, names.length + 2);
  const folder = await fs.opendir(mount.path, { bufferSize: 16 });
  for await (const entry of folder) await fs.unlink(mount.at(entry.name));
  assert.deepEqual(await fs.readdir(mount.path), []);
});

test('large files are the same when read back, in pieces of every size and by mmap-like programs', limits, async () => {
  await using mount = await TestMount.start();
  const bytes = Buffer.alloc(9_000_001);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31 + (i >> 11)) & 0xff;
  await fs.writeFile(mount.at('big'), bytes);
  await using file = await fs.open(mount.at('big'), constants.O_RDWR | constants.O_DIRECT);
  for (const [offset, length] of [
    [0, 4_096],
    [4_096, 1_048_576],
    [8_192, 3_145_728],
    [8_998_912, 4_096],
  ] as const) {
    const into = Buffer.alloc(length);
    const { bytesRead } = await file.read(into, 0, length, offset);
    assert.ok(into.subarray(0, bytesRead).equals(bytes.subarray(offset, offset + length)));
  }
  assert.ok((await fs.readFile(mount.at('big'))).equals(bytes));
});

test('more writers at once than there are buffers, each answered later, keep their bytes apart', limits, async () => {
  await using mount = await TestMount.start({ tree: { delayMs: 0 } });
  // Programs of their own: this process has four threads for files. Files are made before, since the kernel makes them
  // one after the other in a folder.
  const each = async (act: string): Promise<void> => {
    const bytes = `bytes() { tr '\\0' "\\\\$(printf %o $(($1 + 33)))" < /dev/zero | head -c 1200000; }`;
    const loop = `i=0; while [ $i -lt 80 ]; do act $i & i=$((i + 1)); done; wait; test ! -e bad`;
    await run('sh', '-c', `cd '${mount.path}'; ${bytes}; act() { ${act}; }; ${loop}`);
  };
  await each('touch w$1');
  await mount.call({ call: 'delay', ms: 300 });
  await each('bytes $1 | dd of=w$1 bs=600000 iflag=fullblock conv=notrunc status=none');
  assert.equal((await mount.stats()).buffers, 64);
  await mount.call({ call: 'delay', ms: 0 });
  await each('bytes $1 | cmp - w$1 || touch bad');
});

test('setuid and setgid go when somebody else writes, and umask and setgid folders count', limits, async () => {
  await using mount = await TestMount.start({ allowOther: true });
  const script = `
    umask 027; : > plain; mkdir shared; chgrp 65534 shared; chmod 2775 shared; : > shared/file; mkdir shared/sub
    : > tool; chmod 6777 tool
    setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'echo x > tool'
    stat -c '%a %g' plain shared/file shared/sub tool`;
  const { stdout } = await new Promise<{ stdout: string }>((resolve, reject) =>
    execFile('sh', ['-c', script], { cwd: mount.path }, (error, stdout) =>
      error ? reject(error) : resolve({ stdout }),
    ),
  );
  assert.deepEqual(stdout.trim().split('\n'), ['640 0', '640 65534', '2750 65534', '777 0']);
});

test('a flock is waited for, given on, and waiting for it can be interrupted', limits, async () => {
  await using mount = await TestMount.start();
  await fs.writeFile(mount.at('lock'), '');
  const holder = spawn('flock', [mount.at('lock'), 'sh', '-c', 'echo held; read x'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  await assert.rejects(run('flock', '-n', mount.at('lock'), 'true'));
  // -w interrupts the waiting system call with a timer signal.
  const started = performance.now();
  await assert.rejects(run('flock', '-w', '0.3', mount.at('lock'), 'true'));
  assert.ok(performance.now() - started < 5_000);
  const waiting = run('flock', mount.at('lock'), 'echo', 'mine');
  holder.stdin.end('\n');
  assert.equal(await waiting, 'mine\n');
});

test('two processes share an SQLite database on a mount', limits, async () => {
  await using mount = await TestMount.start();
  const script = `
    const { DatabaseSync } = require('node:sqlite');
    const db = new DatabaseSync(process.argv[1]);
    db.exec('PRAGMA busy_timeout = 30000; CREATE TABLE IF NOT EXISTS t (n INTEGER)');
    for (let i = 0; i < 100; i++) db.exec('BEGIN IMMEDIATE; INSERT INTO t SELECT count(*) FROM t; COMMIT');
    console.log(db.prepare('SELECT count(DISTINCT n) AS c FROM t').get().c);`;
  const node = (): Promise<string> => run(process.execPath, '--no-warnings', '-e', script, mount.at('db'));
  await Promise.all([node(), node()]);
  assert.equal((await node()).trim(), '300');
});

const withAttributes = { ...limits, skip: skip || whyWithout('setfattr', 'getfattr') };
test('attributes are kept, listed, and missing ones are said to be missing', withAttributes, async () => {
  await using mount = await TestMount.start();
  await fs.writeFile(mount.at('a'), '');
  await run('setfattr', '-n', 'user.colour', '-v', 'blue', mount.at('a'));
  assert.match(await run('getfattr', '-d', mount.at('a')), /user\.colour="blue"/);
  await run('setfattr', '-x', 'user.colour', mount.at('a'));
  await assert.rejects(run('getfattr', '-n', 'user.colour', mount.at('a')), /No such attribute/);
});

test('holes are found and made', limits, async () => {
  await using mount = await TestMount.start();
  await run('truncate', '-s', '1M', mount.at('a'));
  await run('dd', `of=${mount.at('a')}`, 'if=/dev/urandom', 'bs=64K', 'count=2', 'seek=4', 'conv=notrunc');
  await run('fallocate', '--punch-hole', '--offset', '327680', '--length', '65536', mount.at('a'));
  await run('cp', '--sparse=always', mount.at('a'), mount.at('b'));
  await run('cmp', mount.at('a'), mount.at('b'));
  await run('fallocate', '--length', '2M', mount.at('b'));
  assert.equal((await fs.stat(mount.at('b'))).size, 2_097_152);
});

test(
  'what changes through another door is seen at once, although the kernel may remember for an hour',
  limits,
  async () => {
    await using mount = await TestMount.start({ attributeSeconds: 3_600, entrySeconds: 3_600, tree: { root: 5 } });
    await fs.writeFile(mount.at('known'), 'x');
    const read = async (): Promise<Stats> => await fs.stat(mount.at('known'));
    const { ino } = await read();
    const lookAround = async (): Promise<void> => {
      await read();
      await fs.readFile(mount.at('known'));
      await fs.readdir(mount.path);
      await assert.rejects(fs.stat(mount.at('absent')), failing('ENOENT'));
    };
    // Twice, since what was written and read first changed times, which the kernel asks for once more.
    await lookAround();
    await lookAround();
    const before = await mount.stats();
    await lookAround();
    const cached = await mount.stats();
    for (const operation of ['lookup', 'getattr', 'read', 'readdir', 'readdirplus']) {
      assert.equal(cached.operations[operation], before.operations[operation], operation);
    }

    const name = (text: string): number[] => [...Buffer.from(text)];
    const parent = 5 as never;
    await mount.call({
      call: 'outside',
      changes: [
        { kind: 'node', node: ino as never, data: true },
        { kind: 'entry', parent, name: name('absent') as never },
        { kind: 'removed', parent, name: name('never known') as never, node: 4_711 as never },
      ],
    });
    await lookAround();
    const after = await mount.stats();
    assert.equal(after.operations.lookup, (cached.operations.lookup ?? 0) + 1);
    assert.ok((after.operations.getattr ?? 0) > (cached.operations.getattr ?? 0), 'attributes are asked for anew');
    assert.equal(after.operations.read, (cached.operations.read ?? 0) + 1);
    const listed = ({ operations }: typeof after): number => (operations.readdir ?? 0) + (operations.readdirplus ?? 0);
    assert.ok(listed(after) > listed(cached), 'the listing is read anew');

    await mount.call({
      call: 'outside',
      changes: [{ kind: 'removed', parent, name: name('known') as never, node: ino as never }],
    });
    await fs.stat(mount.at('known'));
    assert.equal((await mount.stats()).operations.lookup, (after.operations.lookup ?? 0) + 1);
  },
);

test("changes beyond the notifier's bound make the kernel ask for every name anew", limits, async () => {
  await using mount = await TestMount.start({ attributeSeconds: 3_600, entrySeconds: 3_600 });
  await fs.writeFile(mount.at('a'), 'x');
  const before = await mount.stats();
  const changes = Array.from({ length: 70_000 }, (_, i) => ({ kind: 'node', node: 10_000 + i, data: false }) as never);
  await mount.call({ call: 'outside', changes });
  await fs.stat(mount.at('a'));
  const after = await mount.stats();
  assert.match(mount.said, /notices-overflowed/);
  assert.equal(after.operations.lookup, (before.operations.lookup ?? 0) + 1);
});
