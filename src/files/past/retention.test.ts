/** Which versions go, as a table: the plan is a pure function. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VersionRow } from '../../meta/index.ts';
import { boundedByAge, keepRulesOf } from './keep-rules.ts';
import { versionsToDrop } from './retention.ts';

const DAY = 24 * 3600;
const now = { seconds: 100 * DAY, nanoseconds: 0 };
const RULES = keepRulesOf('last 3, all within 1 day');

function version(number: number, ageSeconds: number): VersionRow {
  return {
    space: 1,
    node: 2,
    version: number,
    content: number,
    commit: number,
    replacedBy: number + 1,
    size: 10,
    modifiedSeconds: 0,
    modifiedNanoseconds: 0,
    replacedSeconds: now.seconds - ageSeconds,
    replacedNode: null,
    heir: null,
  };
}

function dropped(ages: readonly number[], rules = RULES): readonly number[] {
  const versions = ages.map((age, index) => version(index + 1, age));
  return versionsToDrop(versions, rules, now).map(({ version: number }) => number);
}

test('versions replaced lately are all kept, however many', () => {
  assert.deepEqual(dropped(new Array(500).fill(60)), []);
});

test('of older versions the last few are kept', () => {
  assert.deepEqual(dropped([9 * DAY, 8 * DAY, 7 * DAY, 6 * DAY, 5 * DAY]), [2, 1]);
});

test('young versions count towards the few that are kept', () => {
  assert.deepEqual(dropped([9 * DAY, 8 * DAY, 7 * DAY, 60, 30]), [2, 1]);
  assert.deepEqual(dropped([9 * DAY, 8 * DAY, 60, 50, 40, 30]), [2, 1]);
});

test('a removed file keeps only what is young', () => {
  assert.deepEqual(dropped([9 * DAY, 8 * DAY, 60], boundedByAge(RULES)), [2, 1]);
});

test('a version that is exactly a day old is old', () => {
  assert.deepEqual(dropped([DAY, DAY - 1], boundedByAge(RULES)), [1]);
});
