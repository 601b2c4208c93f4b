/** What was removed: found by folder and by name, and brought back by its path. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DISK } from '../../../test/random-work.ts';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import type { DeletedRecord } from '../../api/index.ts';
import { Fault, utf8 } from '../../base/index.ts';

async function put(stand: Stand, path: string, text: string): Promise<void> {
  await stand.service.write(path, [utf8(text)], { mode: 'put', parents: true });
}

async function gone(stand: Stand, path: string, recursive = false): Promise<readonly DeletedRecord[]> {
  const entries: DeletedRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = await stand.service.deleted(path, { cursor, limit: 2, recursive });
    entries.push(...page.entries);
    cursor = page.next;
  } while (cursor !== undefined);
  return entries;
}

async function textAt(stand: Stand, path: string): Promise<string> {
  return (await bytesOf((await stand.service.read({ path })).bytes)).toString();
}

test('a removed file is known by its path: its versions are listed, and come back', async () => {
  await using stand = await openStand();
  for (const text of ['one', 'two', 'three']) await put(stand, '/d/f', text);
  await stand.service.remove('/d/f');
  const { path, versions } = await stand.service.versions({ path: '/d/f' });
  assert.deepEqual([path, versions.map(({ size }) => size)], ['/d/f', [5, 3, 3]]);
  const dry = await stand.service.restore({ path: '/d/f' }, 1, { dryRun: true });
  assert.equal(dry.size, 3);
  await stand.service.restore({ path: '/d/f' }, 1);
  assert.equal(await textAt(stand, '/d/f'), 'one');
  assert.equal((await stand.service.versions({ path: '/d/f' })).versions.length, 4);
  assert.deepEqual(await gone(stand, '/d'), []);
  await assert.rejects(stand.service.versions({ path: '/d/none' }), (error) => Fault.is(error, 'not-found'));
  await assert.rejects(stand.service.restore({ path: '/d/none' }, 1), (error) => Fault.is(error, 'not-found'));
});

test('of several files that had one name each is there, the last first; what came back and went again is one', async () => {
  await using stand = await openStand();
  await put(stand, '/f', 'first');
  await stand.service.remove('/f');
  await put(stand, '/f', 'second!');
  await stand.service.remove('/f');
  const two = await gone(stand, '/f');
  assert.deepEqual(
    two.map(({ size }) => size),
    [7, 5],
  );
  await stand.service.restore({ id: two[1]?.file_id ?? 0 }, two[1]?.version ?? 0);
  assert.equal(await textAt(stand, '/f'), 'first');
  await stand.service.remove('/f');
  assert.deepEqual(
    (await gone(stand, '/f')).map(({ size }) => size),
    [5, 7],
  );
  const [last] = (await stand.service.versions({ path: '/f' })).versions;
  assert.equal(last?.size, 5);
});

test('what was moved, replaced or has another name is not deleted', async () => {
  await using stand = await openStand();
  await put(stand, '/a', 'a');
  await put(stand, '/b', 'b');
  await stand.service.move('/a', '/b', { overwrite: true });
  await stand.service.move('/b', '/c');
  const tree = await stand.files.openTree({ user: 'owner', diskSpace: () => DISK });
  const node = await tree.lookup(tree.root, utf8('c'));
  assert.ok(node !== undefined);
  await tree.link(node.node, tree.root, utf8('d'));
  await tree.unlink(tree.root, utf8('c'));
  await tree[Symbol.asyncDispose]();
  assert.deepEqual(await gone(stand, '/'), []);
});

test('folders, symlinks and what went with a folder come back to the moment before, as long as it is kept', async () => {
  await using stand = await openStand();
  await put(stand, '/w/deep/f', 'here');
  await stand.service.remove('/w', { recursive: true });
  await stand.files.reapNow();
  const [folder] = await gone(stand, '/');
  assert.deepEqual([folder?.path, folder?.kind, folder?.version], ['/w', 'folder', undefined]);
  const at = String(folder?.at);
  assert.deepEqual((await stand.service.list({ path: '/w/deep' }, { at })).entries.length, 1);
  await stand.service.restoreTree('/w', at);
  assert.equal(await textAt(stand, '/w/deep/f'), 'here');
  assert.deepEqual(await gone(stand, '/', true), []);
  await stand.service.remove('/w/deep/f');
  assert.deepEqual(
    (await gone(stand, '/', true)).map(({ path, kind }) => [path, kind]),
    [['/w/deep/f', 'file']],
  );
  assert.deepEqual(await gone(stand, '/'), []);
});

test('what nothing keeps is not listed', async () => {
  await using stand = await openStand({ options: { historyKeptSeconds: 0 } });
  await put(stand, '/f', 'file');
  await stand.service.makeFolder('/w');
  await stand.service.remove('/f');
  await stand.service.remove('/w');
  assert.deepEqual(
    (await gone(stand, '/')).map(({ path, at }) => [path, at]),
    [['/f', undefined]],
  );
  stand.clock.advance(25 * 3_600_000);
  await stand.files.sweepNow();
  assert.deepEqual(await gone(stand, '/'), []);
  await assert.rejects(stand.service.versions({ path: '/f' }), (error) => Fault.is(error, 'not-found'));
});
