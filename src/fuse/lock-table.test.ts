/** The lock table against a slow model that knows every byte, and the cases that a model does not show. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type LockRange, LockTable, type LockType, type Waiting } from './lock-table.ts';

const BYTES = 12;

function lockOf(owner: string, type: LockType, start = 0, end = Number.POSITIVE_INFINITY): LockRange {
  return { owner, type, start, end, handle: 1, pid: 1 };
}

/** One type a byte and owner; requests wait in a list that is tried again after every change. */
class Model {
  readonly owners = new Map<string, (LockType | undefined)[]>();
  waiting: { id: number; lock: LockRange }[] = [];
  granted: number[] = [];

  #of(owner: string): (LockType | undefined)[] {
    const bytes = this.owners.get(owner) ?? Array.from({ length: BYTES }, () => undefined);
    this.owners.set(owner, bytes);
    return bytes;
  }

  isFree(lock: LockRange): boolean {
    return [...this.owners].every(
      ([owner, bytes]) =>
        owner === lock.owner ||
        bytes.every((type, at) => {
          const inside = at >= lock.start && at <= lock.end;
          return !inside || type === undefined || (type === 'read' && lock.type === 'read');
        }),
    );
  }

  put(owner: string, start: number, end: number, type: LockType | undefined): void {
    const bytes = this.#of(owner);
    for (let at = start; at <= Math.min(end, BYTES - 1); at++) bytes[at] = type;
    this.retry();
  }

  retry(): void {
    for (;;) {
      const next = this.waiting.find(({ lock }) => this.isFree(lock));
      if (next === undefined) return;
      this.waiting = this.waiting.filter((other) => other !== next);
      this.granted.push(next.id);
      const bytes = this.#of(next.lock.owner);
      for (let at = next.lock.start; at <= Math.min(next.lock.end, BYTES - 1); at++) bytes[at] = next.lock.type;
    }
  }
}

const step = fc.record({
  act: fc.constantFrom('set', 'wait', 'unlock', 'drop', 'cancel'),
  owner: fc.constantFrom('a', 'b', 'c'),
  type: fc.constantFrom<LockType>('read', 'write'),
  start: fc.nat(BYTES - 1),
  length: fc.integer({ min: 1, max: BYTES }),
});

test('the lock table grants what a table of bytes grants, in the same order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = new LockTable({ kind: 'ranges' });
      const model = new Model();
      const granted: number[] = [];
      const lines = new Map<number, Waiting>();
      for (const [id, { act, owner, type, start, length }] of steps.entries()) {
        const end = start + length >= BYTES ? Number.POSITIVE_INFINITY : start + length - 1;
        const lock = lockOf(owner, type, start, end);
        const isFree = model.isFree(lock);
        assert.equal(table.conflict(7, lock) === undefined, isFree);
        if (act === 'unlock') {
          assert.equal(table.unlock(7, owner, start, end), 'granted');
          model.put(owner, start, end, undefined);
        } else if (act === 'drop') {
          table.unlockOwner(7, owner);
          model.put(owner, 0, BYTES, undefined);
        } else if (act === 'set') {
          assert.equal(table.set(7, lock), isFree ? 'granted' : 'conflict');
          if (isFree) model.put(owner, start, end, type);
        } else if (act === 'wait') {
          const answer = table.wait(7, lock, () => granted.push(id));
          if (isFree) {
            assert.equal(answer, 'granted');
            model.put(owner, start, end, type);
          } else if (answer !== 'deadlock') {
            assert.ok(typeof answer === 'object');
            lines.set(id, answer);
            model.waiting.push({ id, lock });
          }
        } else {
          const [first] = lines;
          if (first !== undefined) {
            assert.equal(
              first[1].cancel(),
              model.waiting.some((waiter) => waiter.id === first[0]),
            );
            model.waiting = model.waiting.filter((waiter) => waiter.id !== first[0]);
            lines.delete(first[0]);
          }
        }
        assert.deepEqual(granted, model.granted);
      }
      for (const owner of ['a', 'b', 'c']) {
        table.unlockOwner(7, owner);
        model.put(owner, 0, BYTES, undefined);
      }
      assert.deepEqual(granted, model.granted);
    }),
    { numRuns: 500 },
  );
});

test('a waiting lock is granted when the one in its way is given up, and not twice', () => {
  const table = new LockTable({ kind: 'ranges' });
  let count = 0;
  assert.equal(table.set(1, lockOf('a', 'write', 0, 9)), 'granted');
  const waiting = table.wait(1, lockOf('b', 'write', 5, 5), () => count++);
  assert.ok(typeof waiting === 'object');
  table.unlock(1, 'a', 0, 4);
  assert.equal(count, 0);
  table.unlock(1, 'a', 5, 5);
  assert.equal(count, 1);
  assert.equal(waiting.cancel(), false);
  assert.equal(table.conflict(1, lockOf('a', 'read', 0, 9))?.owner, 'b');
});

test('a request that is cancelled while it waits gets nothing', () => {
  const table = new LockTable({ kind: 'whole' });
  table.set(1, lockOf('a', 'write'));
  const waiting = table.wait(1, lockOf('b', 'write'), () => assert.fail('granted'));
  assert.ok(typeof waiting === 'object' && waiting.cancel());
  table.unlockOwner(1, 'a');
  assert.equal(table.nodeCount, 0);
});

test('waiting in a circle over two nodes is refused, and possible again when the circle is open', () => {
  const table = new LockTable({ kind: 'ranges' });
  const never = (): void => assert.fail('granted');
  table.set(1, lockOf('a', 'write'));
  table.set(2, lockOf('b', 'write'));
  table.set(3, lockOf('c', 'read'));
  assert.equal(typeof table.wait(2, lockOf('a', 'read'), never), 'object');
  assert.equal(typeof table.wait(3, lockOf('b', 'write'), never), 'object');
  assert.equal(table.wait(1, lockOf('c', 'read'), never), 'deadlock');
  assert.equal(table.wait(1, lockOf('b', 'read'), never), 'deadlock');
  table.unlockOwner(2, 'x');
  assert.equal(typeof table.wait(1, lockOf('d', 'read'), never), 'object');
});

test('a flock that changes its type gives the old one up, even when the new one is refused', () => {
  const table = new LockTable({ kind: 'whole' });
  table.set(1, lockOf('a', 'read'));
  table.set(1, lockOf('b', 'read'));
  assert.equal(table.set(1, lockOf('a', 'write')), 'conflict');
  assert.equal(table.set(1, lockOf('b', 'write')), 'granted');
});

test('a write lock that becomes a read lock lets readers in', () => {
  const table = new LockTable({ kind: 'ranges' });
  const granted: string[] = [];
  table.set(1, lockOf('a', 'write'));
  table.wait(1, lockOf('b', 'read'), () => granted.push('b'));
  table.wait(1, lockOf('c', 'write'), () => granted.push('c'));
  table.wait(1, lockOf('d', 'read'), () => granted.push('d'));
  table.set(1, lockOf('a', 'read'));
  assert.deepEqual(granted, ['b', 'd']);
  for (const owner of ['a', 'b', 'd']) table.unlockOwner(1, owner);
  assert.deepEqual(granted, ['b', 'd', 'c']);
});

test('releasing an open file drops the locks that were set through it only', () => {
  const table = new LockTable({ kind: 'ranges' });
  table.set(1, { ...lockOf('a', 'write', 0, 4), handle: 1 });
  table.set(1, { ...lockOf('b', 'write', 5, 9), handle: 2 });
  table.unlockHandle(1, 1);
  assert.equal(table.conflict(1, lockOf('c', 'write', 0, 4)), undefined);
  assert.equal(table.conflict(1, lockOf('c', 'write'))?.owner, 'b');
});

test('the bounds of a node are refusals', () => {
  const table = new LockTable({ kind: 'ranges', heldMax: 2, waitingMax: 1 });
  table.set(1, lockOf('a', 'write', 0, 0));
  table.set(1, lockOf('a', 'write', 2, 2));
  assert.equal(table.set(1, lockOf('a', 'write', 4, 4)), 'too-many');
  assert.equal(table.set(1, lockOf('a', 'write', 1, 1)), 'granted');
  assert.equal(table.set(1, lockOf('a', 'write', 4, 4)), 'granted');
  assert.equal(table.unlock(1, 'a', 1, 1), 'too-many');
  assert.equal(typeof table.wait(1, lockOf('b', 'write', 0, 0), () => {}), 'object');
  assert.equal(
    table.wait(1, lockOf('b', 'write', 2, 2), () => {}),
    'too-many',
  );
});
