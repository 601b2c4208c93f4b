/** Sorted rows against a plain sorted list, over many leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/index.ts';
import { KEY_AFTER, keyString } from './row-key.ts';
import { LEAF_ROWS_MAX, SortedRows } from './sorted-rows.ts';

test('sorted rows find, replace, remove and scan over many leaves as a plain list does', () => {
  const random = seededRandom(7);
  const sorted = new SortedRows<number>();
  const plain = new Map<string, number>();
  const anyKey = (): string => keyString([random.below(4 * LEAF_ROWS_MAX)]);
  for (let step = 0; step < 20 * LEAF_ROWS_MAX; step++) {
    const key = anyKey();
    // First mostly filling, later mostly emptying.
    const row = random.below(20 * LEAF_ROWS_MAX) > step ? step : undefined;
    assert.equal(sorted.set(key, row), plain.get(key));
    if (row === undefined) plain.delete(key);
    else plain.set(key, row);
    assert.equal(sorted.count, plain.size);
    if (step % LEAF_ROWS_MAX !== 0) continue;
    const entries = [...plain].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [each, value] of entries) assert.equal(sorted.get(each), value);
    for (let scans = 0; scans < 40; scans++) {
      const [low = '', high = KEY_AFTER] = [[], [anyKey(), anyKey()].sort()][Math.min(1, scans)] ?? [];
      const limit = 1 + random.below(3 * LEAF_ROWS_MAX);
      const inside = entries.filter(([each]) => each >= low && each < high).map(([, value]) => value);
      assert.deepEqual(sorted.scan({ low, high, limit, isReverse: false }), inside.slice(0, limit));
      assert.deepEqual(sorted.scan({ low, high, limit, isReverse: true }), inside.toReversed().slice(0, limit));
    }
  }
});
