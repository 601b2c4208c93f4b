/** Versions of files that took each other's place, and of files that are gone: every kept one can be named and restored. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import { Fault } from '../../base/index.ts';

async function write(stand: Stand, path: string, ...texts: readonly string[]): Promise<number> {
  let id = 0;
  for (const text of texts) {
    const record = await stand.service.write(path, [Buffer.from(text)], { mode: 'put', parents: true });
    id = record.file_id;
  }
  return id;
}

async function textAt(stand: Stand, path: string, version?: number): Promise<string> {
  const { bytes } = await stand.service.read({ path }, version === undefined ? {} : { version });
  return (await bytesOf(bytes)).toString();
}

async function listed(stand: Stand, target: { path: string } | { id: number }, limit = 1_000) {
  const all: { readonly file: number; readonly version: number; readonly needsId: boolean }[] = [];
  let cursor: string | undefined;
  do {
    const page = await stand.service.versions(target, { limit, cursor });
    for (const { file_id: file, version, needs_file_id = false } of page.versions)
      all.push({ file, version, needsId: needs_file_id });
    cursor = page.next;
  } while (cursor !== undefined);
  return all;
}

/** /b had two versions; /a, which had three of its own, takes its place. */
async function movedOver(stand: Stand): Promise<{ readonly a: number; readonly b: number }> {
  const b = await write(stand, '/b', 'b one', 'b two');
  const a = await write(stand, '/a', 'a one', 'a two', 'a three');
  await stand.service.move('/a', '/b', { overwrite: true });
  return { a, b };
}

test('every number that versions of a path show alone names one version, also where two files have the same', async () => {
  await using stand = await openStand();
  const { a, b } = await movedOver(stand);
  const all = await listed(stand, { path: '/b' });
  assert.deepEqual(all, [
    { file: a, version: 4, needsId: false },
    { file: a, version: 2, needsId: false },
    { file: a, version: 1, needsId: false },
    { file: b, version: 2, needsId: true },
    { file: b, version: 1, needsId: true },
  ]);
  assert.deepEqual(await listed(stand, { path: '/b' }, 1), all, 'pages say the same');
  const alone = all.filter(({ needsId }) => !needsId).map(({ version }) => version);
  assert.equal(new Set(alone).size, alone.length);
  assert.equal(await textAt(stand, '/b', 2), 'a two');
});

test('a version of a replaced file is listed and restored by its id, into the file that took its place', async () => {
  await using stand = await openStand();
  const { a, b } = await movedOver(stand);
  const own = await stand.service.versions({ id: b });
  assert.equal(own.path, '/b');
  assert.deepEqual(
    own.versions.map(({ version, is_current, needs_file_id }) => [version, is_current, needs_file_id]),
    [
      [2, false, undefined],
      [1, false, undefined],
    ],
  );
  const tried = await stand.service.restore({ id: b }, 2, { dryRun: true });
  assert.equal(tried.file_id, a);
  assert.equal(await textAt(stand, '/b'), 'a three');
  const restored = await stand.service.restore({ id: b }, 2);
  assert.equal(restored.path, '/b');
  assert.equal(restored.file_id, a);
  assert.equal(restored.version, 5);
  assert.equal(await textAt(stand, '/b'), 'b two');
  assert.equal(await textAt(stand, '/b', 4), 'a three');
});

test('a version of a removed file comes back where it stood, and the path goes on with its versions', async () => {
  await using stand = await openStand();
  const gone = await write(stand, '/f/x', 'one', 'two');
  await stand.service.remove('/f/x');
  assert.equal((await stand.service.versions({ id: gone })).path, '/f/x');
  const restored = await stand.service.restore({ id: gone }, 1);
  assert.equal(restored.path, '/f/x');
  assert.notEqual(restored.file_id, gone);
  assert.equal(await textAt(stand, '/f/x'), 'one');
  assert.deepEqual(
    (await listed(stand, { path: '/f/x' })).map(({ version, needsId }) => [version, needsId]),
    [
      [3, false],
      [2, false],
      [1, false],
    ],
  );
  assert.equal(await textAt(stand, '/f/x', 2), 'two');
  const again = await stand.service.restore({ id: gone }, 2);
  assert.equal(again.file_id, restored.file_id, 'the restored file is the heir');
  const { problems } = await stand.service.check({});
  assert.deepEqual(problems, []);
});

test('what took the place of a removed file by being made there is not replaced unasked', async () => {
  await using stand = await openStand();
  const gone = await write(stand, '/x', 'one');
  await stand.service.remove('/x');
  await write(stand, '/x', 'other');
  await assert.rejects(stand.service.restore({ id: gone }, 1), (error) => Fault.is(error, 'exists'));
  const restored = await stand.service.restore({ id: gone }, 1, { to: '/x' });
  assert.equal(restored.version, 2);
  assert.equal(await textAt(stand, '/x'), 'one');
  assert.equal(await textAt(stand, '/x', 1), 'other');
});

test('a file that went with its folder is restored to a place that is named', async () => {
  await using stand = await openStand();
  const gone = await write(stand, '/f/x', 'one');
  await stand.service.remove('/f', { recursive: true });
  await stand.files.reapNow();
  assert.deepEqual((await listed(stand, { id: gone })).length, 1);
  await assert.rejects(stand.service.restore({ id: gone }, 1), (error) => Fault.is(error, 'not-found'));
  const restored = await stand.service.restore({ id: gone }, 1, { to: '/back' });
  assert.equal(restored.path, '/back');
  assert.equal(await textAt(stand, '/back'), 'one');
});

test('a file of which nothing is kept is not found by its id', async () => {
  await using stand = await openStand({ options: { versionsKept: [] } });
  const gone = await write(stand, '/x', 'one');
  await stand.service.remove('/x');
  stand.clock.advance(1_000);
  await stand.files.sweepNow();
  await assert.rejects(stand.service.versions({ id: gone }), (error) => Fault.is(error, 'not-found'));
  await assert.rejects(stand.service.restore({ id: gone }, 1), (error) => Fault.is(error, 'not-found'));
  await assert.rejects(stand.service.versions({ id: 999_999 }), (error) => Fault.is(error, 'not-found'));
});

test('a plan says which versions rules keep, and why, and what of a removed file goes', async () => {
  await using stand = await openStand();
  for (const text of ['1', '2', '3', '4']) {
    await write(stand, '/f', text);
    stand.clock.advance(24 * 3_600_000);
  }
  const plan = async (options: object): Promise<unknown> =>
    (await stand.service.versions({ path: '/f' }, options)).versions.map(({ version, reasons }) => [version, reasons]);
  assert.deepEqual(await plan({ why: true }), [
    [4, ['current']],
    [3, ['last 1 of 20']],
    [2, ['last 2 of 20']],
    [1, ['last 3 of 20']],
  ]);
  assert.deepEqual(await plan({ keep: 'daily 1, all within 50 hours' }), [
    [4, ['current']],
    [3, ['daily 1 of 1', 'all within 50 hours']],
    [2, ['all within 50 hours']],
    [1, []],
  ]);
  await stand.service.remove('/f');
  assert.deepEqual(await plan({ why: true }), [
    [4, ['all within 1 day']],
    [3, []],
    [2, []],
    [1, []],
  ]);
  await stand.files.sweepNow();
  assert.deepEqual(await plan({}), [[4, undefined]]);
});
