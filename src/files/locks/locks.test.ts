/** Locks that last, over a store: what the contract cannot see. Leases, restarts, writes under way, several names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStand, type Stand } from '../../../test/stand.ts';
import type { FileRecord } from '../../api/index.ts';
import { Fault, type FaultCode } from '../../base/index.ts';
import { openSqliteFile } from '../../meta/index.ts';

function put(stand: Stand, path: string, lockToken?: number): Promise<FileRecord> {
  return stand.service.write(path, [Buffer.from('x')], { mode: 'put', parents: true, lockToken });
}

async function fault(act: Promise<unknown>, code: FaultCode): Promise<Fault> {
  const error = await act.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(Fault.is(error, code), `${code}, not ${String(error)}`);
  return error;
}

const rowCount = async (stand: Stand): Promise<number> =>
  (await stand.meta.scan('locks', { prefix: [], limit: 1_000 })).length;

test('when its lease ends, a lock holds off nobody, and its holder’s next write is refused', async () => {
  await using stand = await openStand();
  await put(stand, '/a');
  const { token } = await stand.service.lock('/a', { leaseMs: 10_000 });
  stand.clock.advance(9_000);
  await put(stand, '/a', token);
  await stand.service.changeLock(token, { leaseMs: 10_000 });
  stand.clock.advance(9_000);
  await fault(put(stand, '/a'), 'locked');
  stand.clock.advance(1_100);
  await put(stand, '/a');
  await fault(put(stand, '/a', token), 'lock-lost');
  await fault(stand.service.changeLock(token), 'lock-lost');
  assert.equal(await rowCount(stand), 0);
});

test('an expired holder’s write is refused by its token, also when the next one has the lock by then', async () => {
  await using stand = await openStand();
  await put(stand, '/a');
  const late = await stand.service.lock('/a', { leaseMs: 1_000 });
  const next = stand.service.lock('/a', { waitMs: 5_000 });
  stand.clock.advance(1_100);
  const { token } = await next;
  assert.ok(token > late.token);
  const { version } = await put(stand, '/a', token);
  await fault(put(stand, '/a', late.token), 'lock-lost');
  assert.equal((await stand.service.stat({ path: '/a' })).version, version);
});

test('a write that was decided before the lock and comes after it is refused', async () => {
  await using stand = await openStand();
  const { version } = await put(stand, '/a');
  let goOn = (): void => {};
  const paused = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const slow = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('half');
    await paused;
  };
  const writing = stand.service.write('/a', slow(), { mode: 'put' });
  await stand.service.lock('/a');
  goOn();
  await fault(writing, 'locked');
  assert.equal((await stand.service.stat({ path: '/a' })).version, version);
});

test('many writes and locks at once: no write without the token comes between a lock and its release', async () => {
  await using stand = await openStand();
  await put(stand, '/a');
  const events: string[] = [];
  const writers = Array.from({ length: 8 }, async () => {
    for (let i = 0; i < 10; i++) {
      const written = await put(stand, '/a').catch((error: unknown) => error);
      if (!(written instanceof Error)) events.push('write');
      else assert.ok(Fault.is(written, 'locked'), String(written));
    }
  });
  const lockers = Array.from({ length: 4 }, async () => {
    for (let i = 0; i < 5; i++) {
      const { token } = await stand.service.lock('/a', { waitMs: 60_000 });
      const before = (await stand.service.stat({ path: '/a' })).version;
      await new Promise((resolve) => setImmediate(resolve));
      const { version } = await put(stand, '/a', token);
      assert.equal(version, before + 1, 'nobody wrote meanwhile');
      await stand.service.unlock(token);
      events.push('lock');
    }
  });
  await Promise.all([...writers, ...lockers]);
  assert.equal(events.filter((event) => event === 'lock').length, 20);
  assert.deepEqual([await rowCount(stand), stand.files.locks.manager.keyCount], [0, 0]);
});

test('locks outlive the process, with what is left of their lease', async () => {
  await using meta = openSqliteFile(':memory:');
  let token = 0;
  {
    await using stand = await openStand({ meta });
    await stand.service.makeFolder('/f');
    token = (await stand.service.lock('/f', { leaseMs: 10_000, holder: 'Ann' })).token;
    await stand.service.lock('/other', { leaseMs: 1_000 });
  }
  await using stand = await openStand({ meta });
  const { about } = await fault(stand.service.makeFolder('/f/g'), 'locked');
  assert.deepEqual([about.holder, about.lock_token], ['Ann', token]);
  await stand.service.makeFolder('/f/g', { lockToken: token });
  assert.equal((await stand.service.locks()).locks.length, 2);
  const { token: next } = await stand.service.lock('/new');
  assert.ok(next > token + 1);
  stand.clock.advance(10_100);
  await stand.service.makeFolder('/f/h');
  assert.deepEqual(
    (await stand.service.locks()).locks.map((lock) => lock.path),
    ['/new'],
  );
});

test('a file with two names is locked under both, and by the folder of either', async () => {
  await using stand = await openStand();
  await put(stand, '/one/a');
  await put(stand, '/two/b');
  {
    await using tree = await stand.files.openTree({ user: 'owner', diskSpace: () => undefined } as never);
    const at = async (parent: number, name: string) => tree.lookup(parent, Buffer.from(name));
    const [one, two] = [await at(tree.root, 'one'), await at(tree.root, 'two')];
    const file = await at(one?.node ?? 0, 'a');
    await tree.link(file?.node ?? 0, two?.node ?? 0, Buffer.from('a'));
    await tree.syncFs();
  }
  const { token } = await stand.service.lock('/one/a');
  await fault(put(stand, '/two/a'), 'locked');
  await fault(stand.service.lock('/two'), 'locked');
  await stand.service.unlock(token);
  await stand.service.lock('/two');
  await fault(put(stand, '/one/a'), 'locked');
});

test('sessions that wait for each other: the second hears of it at once', async () => {
  await using stand = await openStand();
  await put(stand, '/a');
  await put(stand, '/b');
  const [one, two] = [
    { session: 'one', holder: 'One' },
    { session: 'two', holder: 'Two' },
  ];
  await stand.service.lock('/a', one);
  await stand.service.lock('/b', two);
  const leaving = new AbortController();
  const waiting = fault(stand.service.lock('/b', { ...one, waitMs: 60_000, signal: leaving.signal }), 'aborted');
  await new Promise((resolve) => setTimeout(resolve, 20));
  const { about } = await fault(stand.service.lock('/a', { ...two, waitMs: 60_000 }), 'deadlock');
  assert.deepEqual(about.cycle, [
    { holder: 'Two', waits_for: 'One', path: '/a' },
    { holder: 'One', waits_for: 'Two', path: '/b' },
  ]);
  leaving.abort();
  await waiting;
});
