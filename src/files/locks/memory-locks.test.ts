/** The manager against lock-model.ts at every step, and what the model knows nothing of: time, tokens, waiting, bounds. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Fault, isPromise, ManualClock, seededRandom } from '../../base/index.ts';
import { areCompatible, covers, joinModes, LOCK_MODES, type LockMode, MemoryMeta } from '../../meta/index.ts';
import type { Lock, LockPlace, LockRequest } from './lock-manager.ts';
import { LockModel } from './lock-model.ts';
import { raceForLocks } from './lock-race.ts';
import { LockTokens, TOKEN_BLOCK_COUNT } from './lock-tokens.ts';
import { LEASE_STEP_MS, MemoryLocks } from './memory-locks.ts';

interface Stand {
  readonly clock: ManualClock;
  readonly locks: MemoryLocks;
  readonly expired: number[];
}

function stand(): Stand {
  const clock = new ManualClock();
  const expired: number[] = [];
  const tokens = new LockTokens(new MemoryMeta());
  return { clock, expired, locks: new MemoryLocks({ clock, tokens, onExpired: ({ token }) => expired.push(token) }) };
}

/** `a/b/c` stands below `a/b` and `a`. */
function placeOf(path: string, mode: LockMode): LockPlace {
  const names = path.split('/');
  return { key: path, mode, above: names.slice(1).map((_, i) => names.slice(0, i + 1).join('/')) };
}

function ask(session: string, path: string, mode: LockMode, leaseMs?: number): LockRequest {
  return { session, holder: session.toUpperCase(), what: `/${path}`, places: [placeOf(path, mode)], leaseMs };
}

async function refusal(promise: Promise<unknown>): Promise<Fault> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(Fault.is(error), `refused, not ${String(error)}`);
  return error;
}

/** Whether a promise has answered by now. */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(
    () => (done = true),
    () => (done = true),
  );
  await new Promise((resolve) => setImmediate(resolve));
  return done;
}

describe('the modes of locks', () => {
  test('side by side stand exactly those of the table', () => {
    const table = ['11110', '11000', '10100', '10000', '00000'];
    const found = LOCK_MODES.map((a) => LOCK_MODES.map((b) => Number(areCompatible(a, b))).join(''));
    assert.deepEqual(found, table);
  });

  test('what gives more conflicts with at least as much, and two together give what each gives', () => {
    for (const a of LOCK_MODES)
      for (const b of LOCK_MODES) {
        const both = joinModes(a, b);
        assert.ok(covers(both, a) && covers(both, b));
        for (const c of LOCK_MODES) {
          if (covers(c, a) && covers(c, b)) assert.ok(covers(c, both), `${both} is the least of ${a} and ${b}`);
          if (covers(a, b) && !areCompatible(b, c)) assert.ok(!areCompatible(a, c));
        }
      }
  });
});

describe('locks of one process', () => {
  test('two sessions hold side by side exactly what the table allows', async () => {
    for (const a of LOCK_MODES)
      for (const b of LOCK_MODES) {
        const { locks } = stand();
        await using _held = await locks.tryAcquire(ask('a', 'x', a));
        const second = locks.tryAcquire(ask('b', 'x', b));
        if (areCompatible(a, b)) await (await second).release();
        else assert.equal((await refusal(second)).code, 'locked');
      }
  });

  test('a folder locked whole holds off what is in it, and the other way round; siblings do not', async () => {
    const { locks } = stand();
    await using folder = await locks.tryAcquire(ask('a', 'u/f', 'X'));
    const below = await refusal(locks.tryAcquire(ask('b', 'u/f/file', 'S')));
    assert.deepEqual([below.code, below.about.holder, below.about.locked_path], ['locked', 'A', '/u/f']);
    await (await locks.tryAcquire(ask('b', 'u/g/file', 'X'))).release();
    await folder.release();
    await using _one = await locks.tryAcquire(ask('b', 'u/f/one', 'X'));
    await using _two = await locks.tryAcquire(ask('c', 'u/f/two', 'X'));
    assert.equal((await refusal(locks.tryAcquire(ask('a', 'u/f', 'S')))).code, 'locked');
    await (await locks.tryAcquire(ask('a', 'u/f', 'IX'))).release();
  });

  test('a refusal names the holder, how long it has the lock, and when that ends', async () => {
    const { clock, locks } = stand();
    const lock = await locks.tryAcquire(ask('a', 'x', 'X', 60_000));
    clock.advance(12_345);
    const { about, message } = await refusal(locks.tryAcquire(ask('b', 'x', 'S')));
    assert.deepEqual(
      [about.holder, about.held_ms, about.lock_token, about.expires],
      ['A', 12_345, lock.token, '2026-01-01T00:01:00.000Z'],
    );
    assert.match(message, /^\/x is locked by A, since 12 s; the lock ends at 2026-01-01T00:01:00.000Z/);
  });

  test('who waits is served in order of arrival, readers together, and nobody is overtaken', async () => {
    const { locks } = stand();
    const first = await locks.acquire(ask('a', 'x', 'S'));
    const writer = locks.acquire(ask('b', 'x', 'X'));
    const readers = ['c', 'd'].map((session) => locks.acquire(ask(session, 'x', 'S')));
    assert.equal(await isDone(Promise.race(readers)), false, 'a reader does not pass the writer that waits');
    await first.release();
    assert.equal(await isDone(Promise.race(readers)), false);
    await (await writer).release();
    for (const reader of readers) await (await reader).release();
    assert.equal(locks.keyCount, 0);
  });

  test('an upgrade is at once when alone, waits while another reads, and goes before those who wait', async () => {
    const { locks } = stand();
    const alone = await locks.acquire(ask('a', 'x', 'S'));
    await alone.upgrade('X');
    assert.equal((await refusal(locks.tryAcquire(ask('b', 'x', 'IS')))).code, 'locked');
    await alone.downgrade('S');
    const other = await locks.tryAcquire(ask('b', 'x', 'S'));
    const writer = locks.acquire(ask('c', 'x', 'X'));
    const upgraded = alone.upgrade('X');
    assert.equal(await isDone(upgraded), false);
    await other.release();
    await upgraded;
    assert.equal(await isDone(writer), false);
    await alone.release();
    await (await writer).release();
  });

  test('an upgrade raises the intents above as well', async () => {
    const { locks } = stand();
    const lock = await locks.acquire(ask('a', 'u/x', 'S'));
    await using _reader = await locks.tryAcquire(ask('b', 'u', 'S'));
    assert.equal((await refusal(locks.upgrade(lock.token, 'X', { waitMs: 0 }))).code, 'locked');
    assert.equal((await locks.find(lock.token))?.places[0]?.mode, 'S');
  });

  test('two who read and both want to write: the second is told at once that it would never end', async () => {
    const { locks } = stand();
    const [a, b] = [await locks.acquire(ask('a', 'x', 'S')), await locks.acquire(ask('b', 'x', 'S'))];
    const first = a.upgrade('X');
    const { code, about } = await refusal(b.upgrade('X'));
    assert.equal(code, 'deadlock');
    assert.deepEqual(about.cycle, [
      { holder: 'B', waits_for: 'A', path: '/x' },
      { holder: 'A', waits_for: 'B', path: '/x' },
    ]);
    await b.release();
    await first;
    await a.release();
  });

  test('a circle of three is named in its order', async () => {
    const { locks } = stand();
    for (const [session, path] of [
      ['a', 'x'],
      ['b', 'y'],
      ['c', 'z'],
    ] as const)
      await locks.acquire(ask(session, path, 'X'));
    const waits = [locks.acquire(ask('a', 'y', 'X')), locks.acquire(ask('b', 'z', 'X'))];
    const { about } = await refusal(locks.acquire(ask('c', 'x', 'S')));
    assert.deepEqual(about.cycle, [
      { holder: 'C', waits_for: 'A', path: '/x' },
      { holder: 'A', waits_for: 'B', path: '/y' },
      { holder: 'B', waits_for: 'C', path: '/z' },
    ]);
    locks.close();
    for (const wait of waits) assert.equal((await refusal(wait)).code, 'unavailable');
  });

  test('many places in one request are had whole or waited for whole', async () => {
    const { locks } = stand();
    const held = await locks.acquire(ask('a', 'y', 'X'));
    const both: LockRequest = { ...ask('b', 'x', 'X'), places: [placeOf('x', 'X'), placeOf('y', 'X')] };
    const waiting = locks.acquire(both);
    assert.equal(await isDone(waiting), false);
    // It holds nothing yet, but it was first.
    assert.equal((await refusal(locks.tryAcquire(ask('c', 'x', 'X')))).about.holder, 'B');
    await held.release();
    assert.equal((await refusal(locks.tryAcquire(ask('c', 'x', 'X')))).about.holder, 'B');
    await (await waiting).release();
  });

  test('a lease ends by itself, frees who waits, and can be renewed until then', async () => {
    const { clock, locks, expired } = stand();
    const lock = await locks.acquire(ask('a', 'x', 'X', 1_000));
    const waiting = locks.acquire(ask('b', 'x', 'X'));
    clock.advance(900);
    await lock.renew(1_000);
    clock.advance(900);
    assert.equal(await isDone(waiting), false);
    clock.advance(LEASE_STEP_MS);
    const next = await waiting;
    assert.ok(next.token > lock.token);
    assert.deepEqual(expired, [lock.token]);
    assert.equal((await refusal(lock.renew(1_000))).code, 'lock-lost');
    assert.equal((await refusal(lock.upgrade('X'))).code, 'lock-lost');
    await lock.release();
    assert.equal((await locks.list()).length, 1, 'giving back what is lost gives back nobody else’s');
  });

  test('waiting has an end: the time given, the caller, a lock with a lease for whoever is brief', async () => {
    const { clock, locks } = stand();
    const lock = await locks.acquire(ask('a', 'x', 'X', 60_000));
    const timed = refusal(locks.acquire(ask('b', 'x', 'X'), { waitMs: 500 }));
    const leaving = new AbortController();
    const aborted = refusal(locks.acquire(ask('c', 'x', 'X'), { signal: leaving.signal }));
    const behind = locks.acquire(ask('d', 'x', 'X'));
    assert.equal((await refusal(locks.acquire(ask('e', 'x', 'X'), { isBrief: true }))).code, 'locked');
    clock.advance(500);
    assert.equal((await timed).code, 'locked');
    leaving.abort();
    assert.equal((await aborted).code, 'aborted');
    await lock.release();
    await (await behind).release();
    assert.equal(locks.keyCount + locks.waitingCount, 0);
  });

  test('a lock that is broken is lost for its holder, also in the middle of an upgrade', async () => {
    const { locks } = stand();
    const [a, b] = [await locks.acquire(ask('a', 'x', 'S')), await locks.acquire(ask('b', 'x', 'S'))];
    const upgrade = refusal(a.upgrade('X'));
    assert.equal(await locks.release(a.token), true);
    assert.equal((await upgrade).code, 'lock-lost');
    await b.upgrade('X');
  });

  test('tokens rise in the order of grants, also after an unclean start', async () => {
    const meta = new MemoryMeta();
    const clock = new ManualClock();
    const seen: number[] = [];
    for (let start = 0; start < 3; start++) {
      const locks = new MemoryLocks({ clock, tokens: new LockTokens(meta) });
      const blocked = await locks.acquire(ask('a', 'x', 'X'));
      const waiting = locks.acquire(ask('b', 'x', 'X'));
      const meanwhile = await locks.acquire(ask('c', 'y', 'X'));
      await blocked.release();
      seen.push(blocked.token, meanwhile.token, (await waiting).token);
    }
    assert.deepEqual(
      seen,
      seen.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(seen).size, 9);
    const tokens = new LockTokens(meta);
    const drawn = new Set<number>();
    for (let i = 0; i < TOKEN_BLOCK_COUNT + 10; i++) {
      const reserved = tokens.reserve();
      if (isPromise(reserved)) await reserved;
      drawn.add(tokens.take());
    }
    assert.equal(drawn.size, TOKEN_BLOCK_COUNT + 10);
  });

  test('a lock of a process before goes on with its lease', async () => {
    const before = stand();
    const lock = await before.locks.acquire(ask('a', 'x', 'X', 1_000));
    const { clock, locks, expired } = stand();
    clock.advance(500);
    locks.adopt(lock.grant);
    assert.equal((await refusal(locks.tryAcquire(ask('b', 'x', 'X')))).about.lock_token, lock.token);
    clock.advance(500 + LEASE_STEP_MS);
    assert.deepEqual(expired, [lock.token]);
    await (await locks.tryAcquire(ask('b', 'x', 'X'))).release();
  });
});

const PATHS = ['u', 'u/f', 'u/f/a', 'u/f/b', 'u/g', 'u/g/c'] as const;
const SESSIONS = ['a', 'b', 'c', 'd'] as const;

test('whatever is asked in whatever order, the manager answers as the model does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 }), async (seed) => {
      await followModel(seed, 60);
    }),
    { numRuns: 100 },
  );
});

/** Random requests, upgrades, downgrades, releases and withdrawals, compared with the model after each. */
async function followModel(seed: number, steps: number): Promise<void> {
  const random = seededRandom(seed);
  const { locks } = stand();
  const model = new LockModel();
  const answers = new Map<number, 'granted' | 'refused' | 'deadlock'>();
  const held = new Map<number, Lock>();
  const leaving = new Map<number, AbortController>();
  const oneOf = <T>(choices: readonly T[]): T => choices[random.below(choices.length)] as T;
  const begin = (id: number, done: Promise<Lock | undefined>): void => {
    done.then(
      (lock) => {
        answers.set(id, 'granted');
        if (lock !== undefined) held.set(id, lock);
      },
      (error: unknown) => answers.set(id, Fault.is(error, 'deadlock') ? 'deadlock' : 'refused'),
    );
  };
  for (let id = 1; id <= steps; id++) {
    const mode = oneOf(LOCK_MODES);
    const roll = random.below(10);
    const signal = (): AbortSignal => {
      const controller = new AbortController();
      leaving.set(id, controller);
      return controller.signal;
    };
    const expected = new Map<number, string>();
    const granted = (ids: readonly number[]): void => {
      for (const each of ids) expected.set(each, 'granted');
    };
    const lock = model.held.length === 0 ? undefined : oneOf(model.held);
    if (roll < 5 || lock === undefined) {
      const session = oneOf(SESSIONS);
      const places = Array.from({ length: 1 + random.below(2) }, () => placeOf(oneOf(PATHS), mode));
      const answer = model.ask({ id, session, places, of: undefined });
      if (answer !== 'waits') expected.set(id, answer);
      if (answer === 'granted') granted(model.freed);
      begin(id, locks.acquire({ session, holder: session, what: String(id), places }, { signal: signal() }));
    } else if (roll === 5) {
      const places = lock.places.map((place) => ({ ...place, mode: joinModes(place.mode, mode) }));
      const isRising = model.waiting.some(({ of }) => of === lock);
      const answer = isRising ? 'refused' : model.ask({ id, session: lock.session, places, of: lock });
      if (answer !== 'waits') expected.set(id, answer);
      if (answer === 'granted') granted(model.freed);
      const token = held.get(lock.id)?.token ?? 0;
      begin(
        id,
        locks.upgrade(token, mode, { signal: signal() }).then(() => undefined),
      );
    } else if (roll === 6) {
      const isLower = lock.places.every((place) => covers(place.mode, mode));
      const token = held.get(lock.id)?.token ?? 0;
      const done = locks.downgrade(token, mode);
      if (isLower) granted(model.downgrade(lock.id, mode));
      else assert.equal((await refusal(done)).code, 'invalid');
    } else if (roll === 7 && model.waiting.length > 0) {
      const { id: other } = oneOf(model.waiting);
      expected.set(other, 'refused');
      granted(model.giveUp(other));
      leaving.get(other)?.abort();
    } else {
      for (const asking of model.waiting) if (asking.of?.id === lock.id) expected.set(asking.id, 'refused');
      granted(model.release(lock.id));
      await held.get(lock.id)?.release();
    }
    await new Promise((resolve) => setImmediate(resolve));
    for (const [each, answer] of expected)
      assert.equal(answers.get(each), answer, `step ${id}: what became of ${each}`);
    for (const { id: each } of model.waiting) assert.equal(answers.get(each), undefined, `step ${id}: ${each} waits`);
    assert.equal(locks.waitingCount, model.waiting.length);
    assert.ok(model.isSound);
  }
  for (const each of [...leaving.values()]) each.abort();
  for (const lock of held.values()) await lock.release();
  await new Promise((resolve) => setImmediate(resolve));
  for (const lock of held.values()) await lock.release();
  assert.equal(locks.keyCount, 0, 'nothing is left behind');
}

test('a thousand clients on a hundred paths: nobody holds what another holds, and everybody has a turn', async () => {
  const report = await raceForLocks({ seed: 7, clientCount: 1_000, pathCount: 100, durationMs: 1_500 });
  assert.deepEqual(report.problems, []);
  assert.ok(report.grants >= 1_000 && report.deadlocks > 0, `${report.grants} grants`);
});
