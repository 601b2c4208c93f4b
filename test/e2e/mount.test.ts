/** `holdfast mount` and `holdfast umount`: what a person sees, from the first write to the dead mount of yesterday. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, statSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { test } from 'node:test';
import { run as program, whyNoMount } from './fuse-mount.ts';
import { holdfast } from './holdfast.ts';
import { isMounted, Place, startRunning, until } from './running.ts';

const skip = whyNoMount() ?? false;
const limits = { skip, timeout: 120_000 * Number(process.env.TEST_HOLDFAST_SCALE ?? 1) } as const;

const shell = (line: string): Promise<string> => program('sh', '-c', line);

test('what a shell writes into a mount is there after SIGINT and mounting again', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  const words = ['mount', '--store', place.store, at];
  {
    await using mount = await startRunning(words);
    const [mounted] = mount.records;
    assert.deepEqual([mounted?.event, mounted?.mount_point, mounted?.store], ['mounted', at, place.store]);
    await shell(
      `cd ${at} && mkdir -p a/b && echo one > a/b/f && echo two >> a/b/f && ln -s b a/l && dd if=/dev/zero of=z bs=1M count=3 status=none`,
    );
    assert.equal(await mount.stop('SIGINT'), 0);
    assert.equal(isMounted(at), false);
    assert.deepEqual(await fs.readdir(at), []);
  }
  await using mount = await startRunning(words);
  assert.equal(await shell(`cat ${at}/a/l/f && stat -c %s ${at}/z`), 'one\ntwo\n3145728\n');
  // As when the terminal is closed.
  assert.equal(await mount.stop('SIGHUP'), 0);
  assert.equal(isMounted(at), false);
  assert.equal((await holdfast(['cat', '--store', place.store, '/a/b/f'])).stdout.toString(), 'one\ntwo\n');
});

test('a person is told in one line where it is mounted', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  const mounting = holdfast(['mount', '--store', place.store, at]);
  await until('it is mounted', () => isMounted(at));
  assert.equal((await holdfast(['umount', at])).stdout.toString(), `unmounted ${at}\n`);
  const { code, stdout } = await mounting;
  assert.equal(code, 0);
  assert.match(stdout.toString(), new RegExp(`^Made a new store and mounted ${place.store} at ${at}\\. [^\\n]*\\n$`));
});

test('commands work through a mount, and both sides see at once what the other did', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  await using _mount = await startRunning(['mount', '--store', place.store, at]);
  const store = ['--store', place.store];
  await fs.writeFile(`${at}/mine`, 'written in the mount');
  assert.equal((await holdfast(['cat', ...store, '/mine'])).stdout.toString(), 'written in the mount');
  const put = await holdfast(['put', ...store, '-', '/theirs'], { input: Buffer.from('put beside it') });
  assert.equal(put.code, 0, put.stderr);
  assert.equal(await fs.readFile(`${at}/theirs`, 'utf8'), 'put beside it');
  assert.deepEqual(await fs.readdir(at), ['mine', 'theirs']);
  await holdfast(['put', ...store, '-', '/theirs'], { input: Buffer.from('put again, and longer') });
  assert.equal(await fs.readFile(`${at}/theirs`, 'utf8'), 'put again, and longer');
  assert.equal((await holdfast(['rm', ...store, '/theirs'])).code, 0);
  await assert.rejects(fs.stat(`${at}/theirs`), { code: 'ENOENT' });
  await fs.rename(`${at}/mine`, `${at}/renamed`);
  const listed = await holdfast(['ls', ...store]);
  assert.equal(listed.stdout.toString(), 'renamed\n', listed.stderr);
});

test('a second process is refused a mounted store, and told who holds it', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  await using mount = await startRunning(['mount', '--store', place.store, at]);
  for (const words of [
    ['mount', place.folder('n')],
    ['serve', '--port', '0'],
    ['up', '--port', '0'],
  ]) {
    const begunMs = performance.now();
    const { code, stderr } = await holdfast([...words, '--store', place.store, '--json']);
    const fault = JSON.parse(stderr.trim().split('\n').at(-1) ?? '');
    assert.deepEqual([code, fault.code, fault.about.holder.pid], [6, 'locked', mount.pid]);
    assert.match(fault.error, new RegExp(`holdfast mount \\(process ${mount.pid}, .*mounted at ${at}\\)`));
    // A mount does not end by itself in a moment, so nobody waits for it.
    assert.ok(performance.now() - begunMs < 5_000);
  }
  await fs.writeFile(`${at}/still`, 'works');
});

test('a mount point that will not do is refused with its reason', limits, async () => {
  using place = new Place();
  const full = place.folder('full');
  await fs.writeFile(`${full}/file`, 'here before');
  const refused = async (...words: string[]): Promise<{ code: string; error: string; exit: number }> => {
    const { code: exit, stderr } = await holdfast(['mount', '--store', place.store, '--json', ...words]);
    return { ...JSON.parse(stderr.trim().split('\n').at(-1) ?? ''), exit };
  };
  const missing = await refused(place.at('nowhere'));
  assert.deepEqual([missing.code, missing.exit], ['not-found', 3]);
  assert.match(missing.error, /There is no folder .*nowhere to mount at/);
  await assert.rejects(fs.stat(place.store), { code: 'ENOENT' }, 'no store was made for a mount that cannot be');
  assert.deepEqual([(await refused(`${full}/file`)).code], ['not-folder']);
  assert.deepEqual([(await refused(full)).code], ['not-empty']);
  assert.deepEqual([(await refused(place.at('store', 'objects'))).code], ['invalid']);
  assert.deepEqual([(await refused('--over-entries', place.path)).code], ['invalid']);
  const other = place.folder('m');
  assert.deepEqual([(await refused('--user', 'nobody-here', other)).code], ['not-found']);
  assert.deepEqual([(await refused('--subdir', '/not/there', other)).code], ['not-found']);
  await using _mount = await startRunning(['mount', '--store', place.store, '--over-entries', full]);
  assert.deepEqual(await fs.readdir(full), []);
  const second = await holdfast(['mount', '--store', place.at('other-store'), full]);
  assert.equal(second.code, 6);
  assert.match(second.stderr, /A Holdfast is mounted at .* already/);
});

test('a mount point named through a symlink is the folder it leads to', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  await fs.symlink('m', place.at('link'));
  await using mount = await startRunning(['mount', '--store', place.store, place.at('link')]);
  assert.equal(mount.records[0]?.mount_point, at);
  assert.equal(isMounted(at), true);
  const { code, stderr } = await holdfast(['umount', place.at('link')]);
  assert.equal(code, 0, stderr);
  assert.equal(await mount.ended, 0);
});

test('umount waits until the mount is gone, and everything is stored then', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  await using mount = await startRunning(['mount', '--store', place.store, at]);
  await fs.writeFile(`${at}/f`, 'kept');
  const { code, stdout, stderr } = await holdfast(['umount', '--json', at]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(stdout.toString()), { event: 'unmounted', mount_point: at });
  assert.equal(isMounted(at), false);
  assert.equal(await mount.ended, 0, mount.output());
  assert.equal((await holdfast(['cat', '--store', place.store, '/f'])).stdout.toString(), 'kept');
});

test("somebody else's umount ends the command, with everything stored", limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  await using mount = await startRunning(['mount', '--store', place.store, at]);
  await fs.writeFile(`${at}/f`, 'kept');
  await program('umount', at);
  assert.equal(await mount.ended, 0, mount.output());
  assert.equal((await holdfast(['cat', '--store', place.store, '/f'])).stdout.toString(), 'kept');
});

test('umount refuses what is no mount of Holdfast, and names who keeps one busy', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  const refused = async (path: string): Promise<{ exit: number; code: string; error: string }> => {
    const { code, stderr } = await holdfast(['umount', '--json', path]);
    return { exit: code, ...JSON.parse(stderr) };
  };
  const none = await refused(at);
  assert.deepEqual([none.exit, none.code], [3, 'not-found']);
  assert.match((await refused('/proc')).error, /what is mounted there is proc/);
  await using mount = await startRunning(['mount', '--store', place.store, at]);
  const idler = spawn('sleep', ['60'], { cwd: at, stdio: 'ignore' });
  try {
    const busy = await refused(at);
    assert.deepEqual([busy.exit, busy.code], [6, 'locked']);
    assert.match(busy.error, new RegExp(`in use by sleep \\(process ${idler.pid}\\)`));
    await fs.writeFile(`${at}/still`, 'works');
    const { code, stderr } = await holdfast(['umount', '--lazy', at]);
    assert.equal(code, 0, stderr);
    assert.equal(isMounted(at), false);
  } finally {
    idler.kill('SIGKILL');
    await once(idler, 'exit');
  }
  // Detached, it lived on for the program that used it.
  assert.equal(await mount.ended, 0, mount.output());
});

test('a signal waits for programs that use the mount, and a second one does not', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  const words = ['mount', '--store', place.store, '--mount-unmount-timeout', '1h', at];
  const mount = await startRunning(words);
  const file = await fs.open(`${at}/f`, 'w');
  try {
    await file.write('synced ');
    await file.sync();
    await file.write('and only written');
    mount.signal('SIGTERM');
    await until('it drains', () => mount.output().includes('server.drained'));
    assert.equal(isMounted(at), true);
    const begunMs = performance.now();
    assert.equal(await mount.stop('SIGTERM'), 0, mount.output());
    assert.ok(performance.now() - begunMs < 20_000);
    assert.equal(isMounted(at), false);
    await assert.rejects(file.write('too late'));
  } finally {
    await file.close().catch(() => {});
  }
  const { stdout } = await holdfast(['cat', '--store', place.store, '/f']);
  assert.equal(stdout.toString(), 'synced and only written');
});

test('a mount left dead by kill -9 is taken away and mounted again, with all that was synced', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  const words = ['mount', '--store', place.store, at];
  const first = await startRunning(words);
  const file = await fs.open(`${at}/f`, 'w');
  await file.write('synced');
  await file.sync();
  await file.close();
  assert.equal(await first.stop('SIGKILL'), 'SIGKILL');
  await assert.rejects(fs.readdir(at), { code: 'ENOTCONN' });
  await using second = await startRunning(words);
  assert.equal(await fs.readFile(`${at}/f`, 'utf8'), 'synced');
  assert.equal(await second.stop('SIGKILL'), 'SIGKILL');
  assert.equal((await holdfast(['umount', at])).code, 0);
  assert.equal(isMounted(at), false);
});

test('a read-only mount shows everything and refuses every change', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  const store = ['--store', place.store];
  await holdfast(['init', ...store]);
  await holdfast(['put', ...store, '-', '/a/f'], { input: Buffer.from('here') });
  await using _mount = await startRunning(['mount', ...store, '--read-only', at]);
  assert.equal(await fs.readFile(`${at}/a/f`, 'utf8'), 'here');
  const changes = [
    fs.writeFile(`${at}/new`, 'x'),
    fs.appendFile(`${at}/a/f`, 'x'),
    fs.rm(`${at}/a/f`),
    fs.mkdir(`${at}/b`),
    fs.rename(`${at}/a/f`, `${at}/g`),
    fs.chmod(`${at}/a/f`, 0o600),
    fs.utimes(`${at}/a/f`, 1, 1),
  ];
  for (const { reason } of (await Promise.allSettled(changes)) as PromiseRejectedResult[])
    assert.equal(reason?.code, 'EROFS');
  // Other doors may still write, and it is seen.
  await holdfast(['put', ...store, '-', '/a/f'], { input: Buffer.from('changed beside') });
  assert.equal(await fs.readFile(`${at}/a/f`, 'utf8'), 'changed beside');
});

test(
  'a mount with --mandatory-locks answers EBUSY for what another door has locked, and for nothing else',
  limits,
  async () => {
    using place = new Place();
    const at = place.folder('m');
    const store = ['--store', place.store];
    await holdfast(['init', ...store]);
    for (const path of ['/a/f', '/a/g', '/b/h'])
      await holdfast(['put', ...store, '-', path], { input: Buffer.from(path) });
    await using _mount = await startRunning(['mount', ...store, '--mandatory-locks', at]);
    const early = await fs.open(`${at}/a/f`, 'r+');
    const lock = async (path: string, ...more: string[]): Promise<string> => {
      const { stdout, stderr, code } = await holdfast(['lock', ...store, '--json', ...more, path]);
      assert.equal(code, 0, stderr);
      return String((JSON.parse(stdout.toString()) as { token: number }).token);
    };
    const codesOf = async (acts: readonly Promise<unknown>[]): Promise<readonly unknown[]> =>
      (await Promise.allSettled(acts)).map((act) => (act.status === 'fulfilled' ? 'done' : act.reason.code));
    const token = await lock('/a/f');
    const refused = [
      fs.appendFile(`${at}/a/f`, 'x'),
      fs.writeFile(`${at}/a/f`, 'x'),
      fs.truncate(`${at}/a/f`, 1),
      fs.rm(`${at}/a/f`),
      fs.rename(`${at}/a/f`, `${at}/a/other`),
      fs.rename(`${at}/a/g`, `${at}/a/f`),
      fs.rename(`${at}/a`, `${at}/c`),
      fs.chmod(`${at}/a/f`, 0o600),
    ];
    assert.deepEqual(
      await codesOf(refused),
      refused.map(() => 'EBUSY'),
    );
    assert.equal(await fs.readFile(`${at}/a/f`, 'utf8'), '/a/f');
    // What is beside it, and who was in before.
    const others = [fs.appendFile(`${at}/a/g`, 'x'), fs.writeFile(`${at}/a/new`, 'n'), early.write('early')];
    assert.deepEqual(await codesOf(others), ['done', 'done', 'done']);
    await early.close();
    assert.equal((await holdfast(['unlock', ...store, token])).code, 0);
    await fs.appendFile(`${at}/a/f`, 'x');
    // A locked folder is locked with all that is in it, also what is not there yet.
    await lock('/b');
    const inside = [
      fs.appendFile(`${at}/b/h`, 'x'),
      fs.writeFile(`${at}/b/new`, 'n'),
      fs.mkdir(`${at}/b/d`),
      fs.rm(`${at}/b/h`),
    ];
    assert.deepEqual(
      await codesOf(inside),
      inside.map(() => 'EBUSY'),
    );
    assert.deepEqual(await fs.readdir(`${at}/b`), ['h']);
  },
);

test('a mount takes no notice of locks of other doors when it is not told to', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  const store = ['--store', place.store];
  await holdfast(['init', ...store]);
  await holdfast(['put', ...store, '-', '/f'], { input: Buffer.from('f') });
  await using _mount = await startRunning(['mount', ...store, at]);
  assert.equal((await holdfast(['lock', ...store, '/f'])).code, 0);
  await fs.appendFile(`${at}/f`, 'x');
  await fs.rm(`${at}/f`);
});

test('--subdir shows only that folder of the store', limits, async () => {
  using place = new Place();
  const at = place.folder('m');
  const store = ['--store', place.store];
  await holdfast(['init', ...store]);
  for (const path of ['/a/b/inside', '/a/outside', '/top'])
    await holdfast(['put', ...store, '-', path], { input: Buffer.from(path) });
  await using _mount = await startRunning(['mount', ...store, '--subdir', 'a/b', at]);
  assert.equal(await shell(`cd ${at} && find . | sort`), '.\n./inside\n');
  assert.equal(await shell(`findmnt -n -o SOURCE,FSTYPE ${at}`), `${await fs.realpath(place.store)} fuse.holdfast\n`);
  assert.equal(await shell(`ls -a ${at}/..`).then((text) => text.includes('outside')), false);
  await fs.writeFile(`${at}/new`, 'n');
  assert.equal((await holdfast(['ls', ...store, '/a/b'])).stdout.toString(), 'inside\nnew\n');
});

test('a user whom /dev/fuse does not let in is told what to do', limits, async (context) => {
  if (process.getuid?.() !== 0) return notRun(context, 'only root can run a command as somebody else');
  using place = new Place();
  await fs.chmod(place.path, 0o755);
  const nobody = 65_534;
  for (const path of [place.folder('store'), place.folder('m')]) chownSync(path, nobody, nobody);
  const asNobody = { uid: nobody, environment: { HOME: place.path } };
  const words = ['--store', place.store, '--json'];
  const made = await holdfast(['init', ...words], asNobody);
  if (made.code === -1 || /EACCES|denied/i.test(made.stderr))
    return notRun(context, `the checkout cannot be read by others: ${made.stderr}`);
  assert.equal(made.code, 0, made.stderr);
  if ((statSync('/dev/fuse').mode & 0o006) === 0o006) return notRun(context, '/dev/fuse lets everybody in');
  const { code, stderr } = await holdfast(['mount', ...words, place.at('m')], asNobody);
  const fault = JSON.parse(stderr.trim().split('\n').at(-1) ?? '');
  if (fault.code === 'unavailable') return notRun(context, fault.error);
  assert.deepEqual([code, fault.code], [9, 'denied']);
  assert.match(fault.error, /\/dev\/fuse may not be opened by this user\. .*chmod 0666 \/dev\/fuse/);
  assert.equal(isMounted(place.at('m')), false);
});

function notRun(context: { skip(message?: string): void }, why: string): void {
  process.stderr.write(`# SKIPPED: ${why}\n`);
  context.skip(why);
}
