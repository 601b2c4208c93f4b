/** Going back never loses the only copy of something without saying so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStand, type Stand } from '../../../test/stand.ts';
import { Fault, utf8 } from '../../base/index.ts';
import type { FilesOptions } from '../context.ts';
import { keepRulesOf } from './keep-rules.ts';

async function put(stand: Stand, path: string, text: string): Promise<void> {
  await stand.service.write(path, [utf8(text)], { mode: 'put', parents: true });
}

async function link(stand: Stand, path: string): Promise<void> {
  const made = stand.service.writeMany([{ path, kind: 'symlink', target: 'somewhere' }]);
  for await (const result of made) assert.ok(result.ok);
}

/** A snapshot, and then changes that nothing but the live tree has. */
async function changed(options: Partial<FilesOptions>): Promise<Stand> {
  const stand = await openStand({ options, background: false });
  await put(stand, '/d/f', 'one');
  await put(stand, '/d/g', 'one');
  await stand.service.createSnapshot('s');
  await put(stand, '/d/f', 'two');
  await put(stand, '/d/new', 'new');
  await link(stand, '/d/link');
  await stand.service.makeFolder('/d/empty');
  await stand.service.setAttributes({ path: '/d/new' }, { attributes: { 'user.a': btoa('1') } });
  // The snapshot keeps what g was, not what it becomes now.
  await stand.service.setAttributes({ path: '/d/g' }, { mode: 0o600, attributes: { 'user.b': btoa('2') } });
  return stand;
}

const NO_WINDOW = { historyKeptSeconds: 0 } as const;
const LOST = [
  ['/d/empty', 'folder with what is in it'],
  ['/d/g', 'attribute user.b'],
  ['/d/g', 'mode and owner'],
  ['/d/link', 'symlink'],
  ['/d/new', 'attributes'],
];

async function lostBy(stand: Stand): Promise<unknown> {
  const { losses } = await stand.service.restoreTree('/d', 's', { dryRun: true });
  return losses.map(({ path, what }) => [path, what]).sort();
}

test('what nothing else keeps is named in the plan, refused, and lost only when asked for', async () => {
  await using stand = await changed(NO_WINDOW);
  assert.deepEqual(await lostBy(stand), LOST);
  await assert.rejects(stand.service.restoreTree('/d', 's'), (error) => {
    assert.ok(Fault.is(error, 'conflict'));
    assert.match(error.message, /nothing else keeps: .*\/d\/.*snapshot create/);
    return true;
  });
  assert.equal((await stand.service.stat({ path: '/d/link' })).kind, 'symlink');
  await stand.service.restoreTree('/d', 's', { force: true });
  assert.deepEqual(
    (await stand.service.list({ path: '/d' })).entries.map(({ name }) => name),
    ['f', 'g'],
  );
  assert.deepEqual((await stand.service.check()).problems, []);
});

test('a snapshot made before keeps it all, and so does the window of history', async () => {
  await using stand = await changed(NO_WINDOW);
  await stand.service.createSnapshot('before');
  assert.deepEqual(await lostBy(stand), []);
  await stand.service.restoreTree('/d', 's');
  await stand.service.restoreTree('/d', 'before', { force: true });
  assert.equal((await stand.service.stat({ path: '/d/link' })).target, 'somewhere');
  await using other = await changed({});
  assert.deepEqual(await lostBy(other), []);
  await other.service.restoreTree('/d', 's');
});

test('what came after that snapshot counts again', async () => {
  await using stand = await changed(NO_WINDOW);
  await stand.service.createSnapshot('before');
  await link(stand, '/d/later');
  assert.deepEqual(await lostBy(stand), [['/d/later', 'symlink']]);
  // In a folder that goes whole, what is in it counts.
  await link(stand, '/d/empty/inside');
  assert.deepEqual(await lostBy(stand), [
    ['/d/empty', 'folder with what is in it'],
    ['/d/later', 'symlink'],
  ]);
});

test('contents count where the rules keep no versions of them', async () => {
  await using none = await changed({ ...NO_WINDOW, versionsKept: [] });
  assert.deepEqual(await lostBy(none), [...LOST, ['/d/f', 'content'], ['/d/new', 'content']].sort());
  // By number alone nothing of a removed file is kept.
  await using last = await changed({ ...NO_WINDOW, versionsKept: keepRulesOf('last 3') });
  assert.deepEqual(await lostBy(last), [...LOST, ['/d/new', 'content']].sort());
});
