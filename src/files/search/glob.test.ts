/** Globs against tables of cases, and against a slow obvious matcher for random patterns. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fault } from '../../base/index.ts';
import { GLOB_CHOICES_MAX, globOf } from './glob.ts';

const cases: readonly (readonly [string, string, boolean])[] = [
  ['*.txt', 'a.txt', true],
  ['*.txt', 'a.txt.bak', false],
  ['*', '.hidden', true],
  ['?', 'ä', true],
  ['[a-c]x', 'bx', true],
  ['[!a-c]x', 'bx', false],
  ['[]]', ']', true],
  ['{a,b{c,d}}e', 'bde', true],
  ['{a,b}', 'c', false],
  ['src/**/*.ts', 'src/a/b/c.ts', true],
  ['src/**/*.ts', 'src/c.ts', true],
  ['src/*.ts', 'src/a/c.ts', false],
  ['**/x', 'x', true],
  ['/photos/**', '/photos/2026/cat.jpg', true],
  ['a**b', 'aXXb', true],
];

test('a glob matches what its pattern says', () => {
  for (const [pattern, text, expected] of cases)
    assert.equal(globOf(pattern).matches(text), expected, `${pattern} ~ ${text}`);
});

test('a glob over one name agrees with a regular expression', () => {
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), minLength: 1, maxLength: 8 });
  const name = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 8 });
  fc.assert(
    fc.property(pattern, name, (glob, text) => {
      const slow = new RegExp(`^${glob.replaceAll('*', '.*').replaceAll('?', '.')}$`);
      // `**` alone is a whole segment that crosses folders; over one name it takes exactly what there is.
      assert.equal(globOf(glob).matches(text), slow.test(text));
    }),
    { numRuns: 2_000 },
  );
});

test('a glob takes no longer for hostile patterns', () => {
  const glob = globOf(`${'*a'.repeat(200)}b`);
  assert.equal(glob.matches('a'.repeat(255)), false);
});

test('a glob is refused when it is unfinished or has too many choices', () => {
  for (const pattern of ['{a', '[a', '', 'x'.repeat(2_000), '{a,b}'.repeat(20)]) {
    assert.throws(
      () => globOf(pattern),
      (error) => Fault.is(error, 'invalid'),
      pattern,
    );
  }
  assert.ok(GLOB_CHOICES_MAX >= 64);
});
