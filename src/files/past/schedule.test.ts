/** When snapshots are due, and what they are called. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fault } from '../../base/index.ts';
import { type Every, lastDue, nextDue, readEvery, schedulesOf, snapshotNameOf } from './schedule.ts';

function every(text: string): Every {
  const read = readEvery(text);
  assert.ok(read !== undefined, text);
  return read;
}

function seconds(iso: string): number {
  return Date.parse(`${iso}Z`) / 1000;
}

function iso(at: number): string {
  return new Date(at * 1000).toISOString().slice(0, 16);
}

const CASES: readonly (readonly [string, string, string, string])[] = [
  // Friday, 2026-11-20.
  ['hour', '2026-11-20T12:34', '2026-11-20T12:00', '2026-11-20T13:00'],
  ['hour at :45', '2026-11-20T12:34', '2026-11-20T11:45', '2026-11-20T12:45'],
  ['day', '2026-11-20T12:34', '2026-11-20T00:00', '2026-11-21T00:00'],
  ['day at 03:00', '2026-11-20T02:59', '2026-11-19T03:00', '2026-11-20T03:00'],
  ['day at 03:00', '2026-11-20T03:00', '2026-11-20T03:00', '2026-11-21T03:00'],
  ['week', '2026-11-20T12:34', '2026-11-16T00:00', '2026-11-23T00:00'],
  ['week on sunday at 03:00', '2026-11-20T12:34', '2026-11-15T03:00', '2026-11-22T03:00'],
  ['Week on FRI at 13:00', '2026-11-20T12:34', '2026-11-13T13:00', '2026-11-20T13:00'],
  ['month', '2026-11-20T12:34', '2026-11-01T00:00', '2026-12-01T00:00'],
  ['month on 28 at 23:59', '2026-03-01T00:00', '2026-02-28T23:59', '2026-03-28T23:59'],
  ['month on 15 at 03:00', '2027-01-02T00:00', '2026-12-15T03:00', '2027-01-15T03:00'],
  ['6h', '2026-11-20T12:34', '2026-11-20T12:00', '2026-11-20T18:00'],
  ['15m', '2026-11-20T12:34', '2026-11-20T12:30', '2026-11-20T12:45'],
];

for (const [text, now, last, next] of CASES) {
  test(`${text}: at ${now} the last was due at ${last}, the next at ${next}`, () => {
    assert.equal(iso(lastDue(every(text), seconds(now))), last);
    assert.equal(iso(nextDue(every(text), seconds(now))), next);
  });
}

test('the next is the first behind now, and the last one is at or before it', () => {
  const texts = fc.constantFrom(...CASES.map(([text]) => text));
  fc.assert(
    fc.property(texts, fc.integer({ min: 0, max: 4_000_000_000 }), (text, now) => {
      const [last, next] = [lastDue(every(text), now), nextDue(every(text), now)];
      assert.ok(last <= now && now < next);
      assert.equal(lastDue(every(text), next), next);
      assert.equal(lastDue(every(text), next - 1), last);
      assert.equal(nextDue(every(text), last), next);
    }),
  );
});

test('names say when one was due, with the time where there may be several on a day', () => {
  const at = seconds('2026-11-20T13:45:00');
  assert.equal(snapshotNameOf({ name: 'daily', every: every('day at 13:45') }, at), 'auto-daily-2026-11-20');
  assert.equal(snapshotNameOf({ name: 'often', every: every('15m') }, at), 'auto-often-2026-11-20-1345');
  assert.equal(snapshotNameOf({ name: 'm', every: every('month') }, seconds('2026-11-01T00:00')), 'auto-m-2026-11-01');
});

test('what is no time is refused', () => {
  for (const text of [
    '',
    'daily',
    'day at 3',
    'day at 24:00',
    'hour at 03:00',
    'day on monday',
    'week on noday',
    'month on 29',
    'month on 0',
    '30s',
    '0h',
    '400d',
    'hour on monday',
  ])
    assert.equal(readEvery(text), undefined, text);
});

test('schedules that cannot be used are refused, and say why', () => {
  const wish = { name: 'daily', path: '/', every: 'day', keep: 'daily 30' };
  assert.equal(schedulesOf([wish, { ...wish, name: 'other' }]).length, 2);
  const bad = [[wish, wish], [{ ...wish, name: 'A day' }], [{ ...wish, every: 'sometimes' }], [{ ...wish, keep: 'x' }]];
  for (const wishes of bad)
    assert.throws(
      () => schedulesOf(wishes),
      (error) => Fault.is(error, 'invalid'),
    );
});
