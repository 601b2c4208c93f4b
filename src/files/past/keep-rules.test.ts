/** The words, and the plan against a slow and obvious model that takes each rule at its word. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  boundedByAge,
  itemsToDrop,
  type KeepRule,
  type KeepRules,
  keepRulesOf,
  planKeep,
  readKeepRules,
  textOfKeepRules,
} from './keep-rules.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;
const AS_OF = Date.UTC(2026, 10, 20, 12) / 1000;
const RUNS = 400;

const period = fc.constantFrom('hourly', 'daily', 'weekly', 'monthly', 'yearly', 'last') as fc.Arbitrary<
  KeepRule['of']
>;
const rule: fc.Arbitrary<KeepRule> = fc.oneof(
  fc
    .tuple(period, fc.oneof(fc.nat(6), fc.constant(Number.POSITIVE_INFINITY)))
    .map(([of, count]): KeepRule => ({ of, count })),
  fc.tuple(period, fc.nat(400 * DAY)).map(([of, withinSeconds]): KeepRule => ({ of, withinSeconds })),
);
const rules = fc.array(rule, { maxLength: 5 });
/** Times, newest first, several of them close to each other. */
const times = fc
  .array(fc.oneof(fc.nat(3 * HOUR), fc.nat(5 * DAY), fc.nat(900 * DAY)), { maxLength: 40 })
  .map((ages) => ages.sort((a, b) => a - b).map((age) => AS_OF - age));

function kept(items: readonly number[], given: KeepRules): readonly number[] {
  return planKeep({ items, secondsOf: (item) => item, rules: given, asOfSeconds: AS_OF }).kept.map(({ item }) => item);
}

/** What a person would do with a calendar: for each rule, one pile for each period, the newest of each pile. */
function model(items: readonly number[], given: KeepRules): readonly number[] {
  const label = (of: KeepRule['of'], seconds: number, place: number): string => {
    const iso = new Date(seconds * 1000).toISOString();
    if (of === 'last') return String(place);
    if (of === 'hourly') return iso.slice(0, 13);
    if (of === 'daily') return iso.slice(0, 10);
    if (of === 'monthly') return iso.slice(0, 7);
    if (of === 'yearly') return iso.slice(0, 4);
    // The Monday of the week.
    const day = new Date(seconds * 1000);
    while (day.getUTCDay() !== 1) day.setUTCDate(day.getUTCDate() - 1);
    return day.toISOString().slice(0, 10);
  };
  const places = new Set<number>();
  for (const each of given) {
    const piles = new Map<string, number>();
    for (const [place, seconds] of items.entries()) {
      if ('withinSeconds' in each && AS_OF - seconds >= each.withinSeconds) continue;
      const name = label(each.of, seconds, place);
      if (!piles.has(name)) piles.set(name, place);
    }
    const newest = [...piles.values()].slice(0, 'count' in each ? Math.min(each.count, piles.size) : piles.size);
    for (const place of newest) places.add(place);
  }
  return [...places].sort((a, b) => a - b).map((place) => items[place] ?? 0);
}

test('a plan keeps what a calendar and each rule at its word keep, and says why', () => {
  fc.assert(
    fc.property(times, rules, (items, given) => {
      assert.deepEqual(kept(items, given), model(items, given));
      const plan = planKeep({ items, secondsOf: (item) => item, rules: given, asOfSeconds: AS_OF });
      assert.ok(plan.kept.every(({ reasons }) => reasons.length > 0));
      assert.equal(plan.kept.length + plan.dropped.length, items.length);
      const question = { items, secondsOf: (item: number) => item, rules: given, asOfSeconds: AS_OF };
      assert.deepEqual(itemsToDrop(question), plan.dropped);
    }),
    { numRuns: RUNS },
  );
});

test('planning over what a plan kept drops nothing', () => {
  fc.assert(
    fc.property(times, rules, (items, given) => {
      const once = kept(items, given);
      assert.deepEqual(kept(once, given), once);
    }),
    { numRuns: RUNS },
  );
});

test('one more rule, or a higher number, drops nothing that was kept', () => {
  fc.assert(
    fc.property(times, rules, rule, fc.nat(5), (items, given, more, grow) => {
      const before = new Set(kept(items, given));
      const wider = given.map((each) => ('count' in each ? { ...each, count: each.count + grow } : each));
      for (const after of [kept(items, [...given, more]), kept(items, wider)])
        assert.ok([...before].every((item) => after.includes(item)));
    }),
    { numRuns: RUNS },
  );
});

test('any rule with a number above 0 keeps the newest, and so does every age that it has not reached', () => {
  fc.assert(
    fc.property(times, fc.integer({ min: 1, max: 5 }), period, (items, count, of) => {
      const [newest] = items;
      if (newest === undefined) return;
      assert.equal(kept(items, [{ of, count }])[0], newest);
      assert.equal(kept(items, [{ of, withinSeconds: AS_OF - newest + 1 }])[0], newest);
    }),
    { numRuns: RUNS },
  );
});

test('a clock that went back makes nothing younger than what came after it', () => {
  const items = [AS_OF - 5 * DAY, AS_OF, AS_OF - 5 * DAY - 60];
  assert.deepEqual(kept(items, keepRulesOf('all within 1 day')), []);
  assert.deepEqual(kept(items, keepRulesOf('daily 2')), [AS_OF - 5 * DAY]);
});

test('rules read as people write them, and back again', () => {
  const text = 'hourly 24, daily 30, monthly 12, versions 20, all within 7 days';
  const read = keepRulesOf(text);
  assert.deepEqual(read, [
    { of: 'hourly', count: 24 },
    { of: 'daily', count: 30 },
    { of: 'monthly', count: 12 },
    { of: 'last', count: 20 },
    { of: 'last', withinSeconds: 7 * DAY },
  ]);
  assert.equal(textOfKeepRules(read), 'hourly 24, daily 30, monthly 12, last 20, all within 7 days');
  assert.deepEqual(keepRulesOf('none'), []);
  assert.deepEqual(keepRulesOf('ALL'), [{ of: 'last', count: Number.POSITIVE_INFINITY }]);
  assert.deepEqual(keepRulesOf('all within 36h'), [{ of: 'last', withinSeconds: 36 * HOUR }]);
  assert.equal(textOfKeepRules(keepRulesOf('yearly all, daily within 2w')), 'yearly all, daily within 14 days');
  fc.assert(fc.property(rules, (given) => assert.deepEqual(keepRulesOf(textOfKeepRules(given)), given)));
});

test('what says nothing of the kind is refused, with an example', () => {
  for (const text of [
    '',
    'daily',
    'daily -1',
    'daily 1.5',
    'every 3',
    'daily 3,',
    'all within',
    'all within 7',
    'last within x',
    'none, daily 1',
    'daily 99999999',
    'all within 999999999 days',
  ])
    assert.equal(readKeepRules(text), undefined, text);
  assert.throws(() => keepRulesOf('daily'), /hourly 24, daily 30/);
});

test('of what is gone only what an age bounds is kept', () => {
  const read = keepRulesOf('last 20, daily within 60 days, all within 1 day');
  assert.equal(textOfKeepRules(boundedByAge(read)), 'daily within 60 days, all within 1 day');
});
