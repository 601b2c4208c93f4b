/** Searching by a name that may be a glob. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStand } from '../../../test/stand.ts';

test('a name that is searched for is a part of it, or a glob over all of it where it looks like one', async () => {
  await using stand = await openStand();
  for (const path of ['/Alpha.txt', '/beta.txt', '/banana', '/x[draft].md', '/a*b'])
    await stand.service.write(path, [], { mode: 'put' });
  const find = async (name: string): Promise<string[]> => {
    const { entries } = await stand.service.search({ name });
    return entries.map((entry) => entry.name);
  };
  assert.deepEqual(await find('a*'), ['Alpha.txt', 'a*b']);
  assert.deepEqual(await find('*.TXT'), ['Alpha.txt', 'beta.txt']);
  assert.deepEqual(await find('b?ta.*'), ['beta.txt']);
  assert.deepEqual(await find('[ab]*a'), ['banana']);
  assert.deepEqual(await find('an'), ['banana']);
  assert.deepEqual(await find('[draft'), ['x[draft].md'], 'an unfinished glob is a part of a name');
  assert.deepEqual(await find('[draft]'), ['x[draft].md'], 'what is there literally is found too');
});
