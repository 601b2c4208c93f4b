/** Values that may be promises, and the room that offers them as a module of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { andThen } from './maybe.ts';

test('what follows a value runs at once, and what follows a promise when it is there', async () => {
  assert.equal(
    andThen(1, (value) => value + 1),
    2,
  );
  const later = andThen(Promise.resolve(1), (value) => value + 1);
  assert.ok(later instanceof Promise);
  assert.equal(await later, 2);
});

test('the room can be imported when it is needed: an export called then would make a promise of it', async () => {
  const room = await import('./index.ts');
  assert.ok(!('then' in room));
});
