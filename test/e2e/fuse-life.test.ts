/** How mounts begin and end: refusals, crashes, programs that hold on, processes that leave. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { run, TestMount, whyNoMount } from './fuse-mount.ts';

const skip = whyNoMount() ?? false;
const limits = { skip, timeout: 60_000 } as const;
const room = mkdtempSync(join(tmpdir(), 'holdfast-fuse-life-'));
after(() => rmSync(room, { recursive: true }));

const faulting = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code, String(error));
  return true;
};

test('a mount point that is missing, a file, or not empty is refused with its reason', limits, async () => {
  const file = join(room, 'file');
  await fs.writeFile(file, '');
  await assert.rejects(TestMount.start({ mountPoint: join(room, 'absent') }), faulting('not-found'));
  await assert.rejects(TestMount.start({ mountPoint: file }), faulting('not-folder'));
  await assert.rejects(TestMount.start({ mountPoint: room }), faulting('not-empty'));
  await using mount = await TestMount.start({ mountPoint: room, overEntries: true });
  assert.deepEqual(await fs.readdir(mount.path), []);
});

test('the options of a mount say what it does not do', limits, async () => {
  await using mount = await TestMount.start();
  const options = (await run('findmnt', '-n', '-o', 'OPTIONS', mount.path)).trim().split(',');
  for (const option of ['nosuid', 'nodev', 'noatime', 'default_permissions'])
    assert.ok(options.includes(option), option);
});

test('a second mount at the same place is refused', limits, async () => {
  await using mount = await TestMount.start();
  await assert.rejects(TestMount.start({ mountPoint: mount.path }), faulting('locked'));
  await fs.writeFile(mount.at('still'), 'works');
});

test('an unmount leaves nothing open and the process ends by itself', limits, async () => {
  const mount = await TestMount.start();
  await fs.writeFile(mount.at('a'), 'x');
  await mount.call({ call: 'unmount', options: {} });
  assert.deepEqual(await mount.ended, { nodes: 2, open: 0 });
  assert.equal(await mount.exit(), 0);
  assert.equal(mount.isMounted, false);
  await mount[Symbol.asyncDispose]();
});

test("somebody else's umount ends it as cleanly", limits, async () => {
  await using mount = await TestMount.start();
  await fs.writeFile(mount.at('a'), 'x');
  await run('umount', mount.path);
  assert.equal((await mount.ended).open, 0);
  assert.equal(await mount.exit(), 0);
});

test('while a program holds on, unmounting is refused or cut, as asked', limits, async () => {
  await using mount = await TestMount.start();
  const file = await fs.open(mount.at('a'), 'w');
  await file.write('x');
  await assert.rejects(mount.call({ call: 'unmount', options: { busyMs: 300, refuseBusy: true } }), faulting('locked'));
  await file.write('y');
  await mount.call({ call: 'unmount', options: { busyMs: 300 } });
  assert.equal((await mount.ended).open, 0);
  assert.equal(mount.isMounted, false);
  await assert.rejects(file.write('z'));
  await file.close().catch(() => {});
});

test('a process that exits without unmounting does not hang, and leaves no mount', limits, async () => {
  await using mount = await TestMount.start();
  await fs.writeFile(mount.at('a'), 'x');
  mount.child.send({ call: 'exit' });
  assert.equal(await mount.exit(), 3);
  assert.equal(mount.isMounted, false);
});

test('a mount whose server was killed is taken away and mounted again', limits, async () => {
  const mountPoint = join(room, 'killed');
  await fs.mkdir(mountPoint);
  await using first = await TestMount.start({ mountPoint });
  await fs.writeFile(first.at('a'), 'x');
  const held = await fs.open(first.at('a'), 'r');
  await first.kill();
  await assert.rejects(fs.stat(first.at('a')), /ENOTCONN/);
  await using second = await TestMount.start({ mountPoint });
  await fs.writeFile(second.at('b'), 'x');
  assert.deepEqual(await fs.readdir(second.path), ['b']);
  await held.close().catch(() => {});
});

test('a read-only mount refuses writes', limits, async () => {
  await using mount = await TestMount.start({ readOnly: true });
  await assert.rejects(fs.writeFile(mount.at('a'), 'x'), { code: 'EROFS' });
});

test('a mount without spinning, and one with writeback, work alike', limits, async () => {
  for (const options of [{ spinMicroseconds: 0 }, { writeback: true }]) {
    await using mount = await TestMount.start(options);
    for (let i = 0; i < 50; i++) await fs.writeFile(mount.at(`f${i}`), `content ${i}`);
    await fs.appendFile(mount.at('f7'), ', more');
    assert.equal(await fs.readFile(mount.at('f7'), 'utf8'), 'content 7, more');
    const file = await fs.open(mount.at('f8'), 'a');
    await file.write('!');
    await mount.call({ call: 'unmount', options: { busyMs: 0 } });
    await file.close().catch(() => {});
  }
});
