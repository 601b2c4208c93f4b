/** The lock of a store: one holder, named to the others, gone with its process however that ends. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../base/index.ts';
import { holderOf, StoreLock } from './store-lock.ts';

const WHO = { pid: process.pid, command: 'holdfast test', since: '2026-01-01T00:00:00.000Z' };

function folder(): Promise<{ readonly path: string } & AsyncDisposable> {
  return mkdtempDisposable(join(tmpdir(), 'holdfast-'));
}

function refusalOf(path: string): Fault {
  try {
    StoreLock.take(path, WHO)[Symbol.dispose]();
  } catch (error) {
    assert.ok(Fault.is(error), String(error));
    return error;
  }
  throw new Error('the lock was given');
}

/** A second process that takes the lock, says so, and holds it until it is ended. */
async function holderProcess(path: string): Promise<{ readonly pid: number; kill(): Promise<void> }> {
  const script = `
    const { StoreLock } = await import(${JSON.stringify(new URL('./store-lock.ts', import.meta.url).href)});
    const lock = StoreLock.take(${JSON.stringify(path)}, { pid: process.pid, command: 'holdfast serve', since: '2026-01-02T03:04:05.000Z' });
    lock.announce({ addresses: ['http://127.0.0.1:1'] });
    console.log('held');
    setInterval(() => lock.holder, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return {
    pid: child.pid ?? 0,
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

test('a lock is given to one at a time, in one process too', async () => {
  await using place = await folder();
  {
    using lock = StoreLock.take(place.path, WHO);
    lock.announce({ addresses: ['http://127.0.0.1:8420'] });
    lock.announce({ mounts: ['/mnt/a', '/mnt/b'] });
    const refusal = refusalOf(place.path);
    const where = { addresses: ['http://127.0.0.1:8420'], mounts: ['/mnt/a', '/mnt/b'] };
    assert.deepEqual(refusal.about.holder, { ...WHO, ...where });
    assert.match(refusal.message, /answering at http:\/\/127\.0\.0\.1:8420, mounted at \/mnt\/a and \/mnt\/b\)/);
    // A refused attempt must not have let go of the first one's lock.
    assert.equal(refusalOf(place.path).code, 'locked');
  }
  const again = StoreLock.take(place.path, WHO);
  again[Symbol.dispose]();
  again[Symbol.dispose]();
});

test('a lock leaves an empty file and no holder when it is let go', async () => {
  await using place = await folder();
  StoreLock.take(place.path, WHO)[Symbol.dispose]();
  assert.deepEqual(readdirSync(place.path), ['lock']);
  assert.equal(statSync(join(place.path, 'lock')).size, 0);
  assert.equal(holderOf(place.path), undefined);
});

test('a lock held by another process is refused by its name, and free once that is killed', async () => {
  await using place = await folder();
  const other = await holderProcess(place.path);
  const refusal = refusalOf(place.path);
  assert.equal(refusal.code, 'locked');
  assert.ok(
    refusal.message.includes(
      `holdfast serve (process ${other.pid}, since 2026-01-02T03:04:05.000Z, answering at http://127.0.0.1:1)`,
    ),
    refusal.message,
  );
  await other.kill();
  assert.ok(existsSync(join(place.path, 'lock.holder')), 'the dead one could not clean up');
  assert.equal(holderOf(place.path), undefined, 'the word of a dead process is not believed');
  using lock = StoreLock.take(place.path, WHO);
  assert.equal(holderOf(place.path)?.pid, lock.holder.pid);
});

test('a nonsensical holder file only makes the refusal say less', async () => {
  await using place = await folder();
  using _lock = StoreLock.take(place.path, WHO);
  for (const text of ['', 'null', '[]', '{"pid":1}', '{"pid":"x","command":1,"since":2}']) {
    writeFileSync(join(place.path, 'lock.holder'), text);
    assert.match(refusalOf(place.path).message, /in use by another process, which has not said its name yet/);
  }
});

test('a damaged lock file is named', async () => {
  await using place = await folder();
  writeFileSync(
    join(place.path, 'lock'),
    'this is not what SQLite wrote, and long enough to be read as a header of it'.repeat(20),
  );
  const refusal = refusalOf(place.path);
  assert.equal(refusal.code, 'corrupt');
  assert.match(refusal.message, /remove it/);
});

test('a folder that is not there is not found', () => {
  assert.equal(refusalOf('/nowhere/at/all').code, 'not-found');
});
