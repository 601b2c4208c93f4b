/** Many paths read one after the other say what each says alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fault } from '../base/index.ts';
import { PathReader, pathOfText, textOfPath } from './path.ts';

test('paths read one after the other are what each is alone, refusals too', () => {
  const word = fc.constantFrom(
    'a',
    'b',
    '',
    '..',
    '.snapshots',
    'x\\x2fy',
    'caf\\xE9',
    'é',
    '\ud800',
    'n'.repeat(300),
    '\0',
  );
  const path = fc.tuple(fc.boolean(), fc.array(word, { maxLength: 4 })).map(([isAbsolute, words]) => {
    return `${isAbsolute ? '/' : ''}${words.join('/')}`;
  });
  fc.assert(
    fc.property(fc.array(path, { maxLength: 12 }), (texts) => {
      const reader = new PathReader();
      for (const text of texts)
        assert.deepEqual(
          outcome(() => reader.of(text)),
          outcome(() => pathOfText(text)),
        );
    }),
    { numRuns: 2_000 },
  );
});

test('a path that is too long is refused, also in a folder that was read before', () => {
  const folder = `/${Array.from({ length: 16 }, () => 'n'.repeat(250)).join('/')}`;
  const reader = new PathReader();
  assert.equal(reader.of(`${folder}/a`).length, 17);
  assert.throws(
    () => reader.of(`${folder}/${'b'.repeat(200)}`),
    (error) => Fault.is(error, 'invalid'),
  );
});

function outcome(act: () => ReturnType<typeof pathOfText>): string {
  try {
    return textOfPath(act());
  } catch (error) {
    if (!Fault.is(error)) throw error;
    return `${error.code} ${error.message}`;
  }
}
