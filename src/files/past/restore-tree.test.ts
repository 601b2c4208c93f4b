/** Going back, against pictures: everything to a snapshot, and single commits one after the other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { act, DISK, pictureOf } from '../../../test/random-work.ts';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import { Fault, seededRandom, utf8 } from '../../base/index.ts';

type Picture = Readonly<Record<string, unknown>>;

/** What a tree is, whatever its nodes are called: a file that is made again is another node. */
async function sightOf(
  stand: Stand,
  options: { readonly at?: string; readonly withTimes?: boolean } = {},
): Promise<Picture> {
  const picture = await pictureOf(stand, options.at);
  return Object.fromEntries(
    Object.entries(picture).map(([path, record]) => {
      const { file_id: _, version: __, modified, created: ___, ...rest } = record as Record<string, unknown>;
      return [path, options.withTimes === false ? rest : { ...rest, modified }];
    }),
  );
}

for (const seed of [1, 2, 3, 4]) {
  test(`everything comes back as a snapshot has it, and the undoing of that too; seed ${seed}`, async () => {
    await using stand = await openStand({ seed });
    const tree = await stand.files.openTree({ user: 'owner', diskSpace: () => DISK });
    const random = seededRandom(seed);
    const work = async (count: number): Promise<void> => {
      for (let step = 0; step < count; step++) {
        await act(stand, tree, random);
        stand.clock.advance(random.below(5_000));
      }
    };
    await work(40);
    await stand.service.createSnapshot('s');
    const then = await sightOf(stand);
    await work(25);
    const now = await sightOf(stand, { withTimes: false });
    const plan = await stand.service.restoreTree(undefined, 's', { dryRun: true });
    const done = await stand.service.restoreTree(undefined, 's');
    assert.deepEqual(
      [done.added, done.removed, done.changed, done.moved],
      [plan.added, plan.removed, plan.changed, plan.moved],
    );
    assert.deepEqual(await sightOf(stand), then);
    const again = await stand.service.restoreTree(undefined, 's');
    assert.deepEqual(again.changes, [], 'nothing is left to bring back');
    const [last] = (await stand.service.log({ limit: 1 })).commits;
    if (done.changes.length > 0) {
      await stand.service.undo(last?.commit ?? 0);
      assert.deepEqual(await sightOf(stand, { withTimes: false }), now);
    }
    await tree[Symbol.asyncDispose]();
    await stand.files.reapNow();
    assert.deepEqual((await stand.service.check()).problems, []);
  });
}

for (const seed of [11, 12, 13]) {
  test(`commits are undone one after the other, back to where it began; seed ${seed}`, async () => {
    await using stand = await openStand({ seed });
    const tree = await stand.files.openTree({ user: 'owner', diskSpace: () => DISK });
    const random = seededRandom(seed);
    const head = async (): Promise<number> => (await stand.meta.get('spaces', [1]))?.head ?? 0;
    for (let step = 0; step < 20; step++) await act(stand, tree, random);
    const sights = new Map<number, Picture>();
    await tree.syncFs();
    const start = await head();
    for (let step = 0; step < 12; step++) {
      sights.set(await head(), await sightOf(stand, { withTimes: false, at: String(await head()) }));
      stand.clock.advance(120_000);
      await act(stand, tree, random);
      await tree.syncFs();
    }
    // Only what is undone last can have no later changes in its way.
    for (let commit = await head(); commit > start; commit--) {
      try {
        await stand.service.undo(commit);
      } catch (error) {
        // A folder that had to be built anew is another one for what came before. Refusing is always right.
        if (!Fault.is(error, 'conflict')) throw error;
        break;
      }
      const sight = sights.get(commit - 1);
      if (sight !== undefined) assert.deepEqual(await sightOf(stand, { withTimes: false }), sight, `before ${commit}`);
    }
    await tree[Symbol.asyncDispose]();
    await stand.files.reapNow();
    assert.deepEqual((await stand.service.check()).problems, []);
  });
}

test('undoing is refused where later changes stand in the way, which it names', async () => {
  await using stand = await openStand();
  const { service } = stand;
  const head = async (): Promise<number> => (await stand.meta.get('spaces', [1]))?.head ?? 0;
  await service.write('/f', [utf8('one')], { mode: 'put' });
  const first = await head();
  await service.write('/f', [utf8('two')], { mode: 'put' });
  const second = await head();
  await service.write('/f', [utf8('three')], { mode: 'put' });
  const refusal = async (commit: number): Promise<string> => {
    const error: unknown = await service.undo(commit).catch((fault: unknown) => fault);
    assert.ok(Fault.is(error, 'conflict'), String(error));
    return error.message;
  };
  assert.match(await refusal(second), /\/f was written later/);
  assert.match(await refusal(first), /\/f was written later/);
  await service.makeFolder('/d', { parents: true });
  const made = await head();
  await service.write('/d/g', [utf8('x')], { mode: 'put' });
  assert.match(await refusal(made), /\/d\/g was changed later/);
  await service.move('/f', '/d/f');
  const moved = await head();
  await service.write('/f', [utf8('another')], { mode: 'put' });
  assert.match(await refusal(moved), /\/f is something else now/);
});

test('the writes of a file are undone one after the other, down to its making', async () => {
  await using stand = await openStand();
  const { service } = stand;
  const commits: number[] = [];
  for (const text of ['one', 'two', 'three', 'four']) {
    await service.write('/f', [utf8(text)], { mode: 'put' });
    commits.push((await stand.meta.get('spaces', [1]))?.head ?? 0);
  }
  for (const expected of ['three', 'two', 'one']) {
    await service.undo(commits.pop() ?? 0);
    assert.equal(String(await bytesOf((await service.read({ path: '/f' })).bytes)), expected);
  }
  await service.setAttributes({ path: '/f' }, { mode: 0o600 });
  await assert.rejects(service.undo(commits[0] ?? 0), /the attributes of \/f were changed later/);
  await service.undo((await stand.meta.get('spaces', [1]))?.head ?? 0);
  await service.undo(commits[0] ?? 0);
  await assert.rejects(service.stat({ path: '/f' }), /There is nothing at \/f/);
  assert.deepEqual((await service.check()).problems, []);
});

test('a file that was deleted comes back with its versions behind it, and more names than one', async () => {
  await using stand = await openStand();
  const { service } = stand;
  const head = async (): Promise<number> => (await stand.meta.get('spaces', [1]))?.head ?? 0;
  await service.write('/f', [utf8('one')], { mode: 'put' });
  await service.write('/f', [utf8('two')], { mode: 'put' });
  await service.remove('/f');
  await service.undo(await head());
  const { versions } = await service.versions({ path: '/f' });
  assert.deepEqual(
    versions.map(({ version, is_current }) => [version, is_current]),
    [
      [3, true],
      [2, false],
      [1, false],
    ],
  );
});

test('a file gets its name back from another that has it as a second name', async () => {
  await using stand = await openStand();
  const { service } = stand;
  await using tree = await stand.files.openTree({ user: 'owner', diskSpace: () => DISK });
  await service.makeFolder('/p');
  const other = await service.write('/p/y', [utf8('other')], { mode: 'put' });
  await service.write('/x', [utf8('own')], { mode: 'put' });
  await service.createSnapshot('before');
  await service.move('/x', '/y');
  await tree.link(other.file_id, tree.root, utf8('x'));
  await tree.syncFs();
  await service.restoreTree('/', 'before');
  const { entries } = await service.list({ path: '/' });
  assert.deepEqual(
    entries.map(({ path, links }) => [path, links]),
    [
      ['/p', 2],
      ['/x', 1],
    ],
  );
  assert.equal((await bytesOf((await service.read({ path: '/x' })).bytes)).toString(), 'own');
  assert.deepEqual((await service.check()).problems, []);
});

/** Names, with what they lead to and how many names that has. */
async function namesOf({ service }: Stand): Promise<Record<string, string>> {
  const names: Record<string, string> = {};
  for await (const { path, file_id, links, kind } of service.manifest({ path: '/' }))
    if (kind === 'file')
      names[path] = `${file_id} ${links} ${await bytesOf((await service.read({ path })).bytes).then(String)}`;
  return names;
}

for (const gone of [['/p'], ['/q'], ['/p', '/q']])
  test(`a file with names in two folders is one file again when ${gone.join(' and ')} comes back`, async () => {
    await using stand = await openStand();
    const { service } = stand;
    await using tree = await stand.files.openTree({ user: 'owner', diskSpace: () => DISK });
    const [p, q] = [await service.makeFolder('/p'), await service.makeFolder('/q')];
    const shared = await service.write('/p/x', [utf8('shared')], { mode: 'put' });
    await service.write('/p/inner', [utf8('inner')], { mode: 'put' });
    await tree.link(shared.file_id, q.file_id, utf8('y'));
    const inner = await service.stat({ path: '/p/inner' });
    await tree.link(inner.file_id, p.file_id, utf8('other'));
    await tree.syncFs();
    await service.createSnapshot('before');
    for (const folder of gone) await service.remove(folder, { recursive: true });
    const [removal] = (await service.log({ limit: 1 })).commits;
    if (gone.length === 1) {
      const left = gone[0] === '/p' ? '/q/y' : '/p/x';
      await service.write(left, [utf8('later')], { mode: 'put' });
      await service.undo(removal?.commit ?? 0);
      await stand.files.reapNow();
      const names = await namesOf(stand);
      assert.equal(names['/p/x'], names['/q/y']);
      assert.match(names[left] ?? '', / 2 later$/, 'undoing a removal takes back nothing else');
      await service.remove(gone[0] ?? '', { recursive: true });
    }
    await service.restoreTree('/', 'before');
    await stand.files.reapNow();
    const names = await namesOf(stand);
    assert.equal(names['/p/x'], names['/q/y']);
    assert.match(names['/p/x'] ?? '', / 2 shared$/);
    assert.equal(names['/p/inner'], names['/p/other']);
    assert.match(names['/p/inner'] ?? '', / 2 inner$/);
    assert.deepEqual((await service.check()).problems, []);
  });

test('undoing a move takes nothing back that came after it', async () => {
  await using stand = await openStand();
  const { service } = stand;
  await service.makeFolder('/a');
  for (const path of ['/f', '/a/f']) await service.write(path, [utf8('first')], { mode: 'put' });
  for (const [from, to] of [
    ['/f', '/g'],
    ['/a', '/b'],
  ] as const) {
    await service.move(from, to);
    const [moved] = (await service.log({ limit: 1 })).commits;
    const [before, after] = from === '/f' ? ['/f', '/g'] : ['/a/f', '/b/f'];
    await service.write(after, [utf8('later')], { mode: 'put' });
    await service.undo(moved?.commit ?? 0);
    assert.equal(String(await bytesOf((await service.read({ path: before })).bytes)), 'later');
  }
});

test('more differences than one change holds are brought back by exchange, in one commit', async () => {
  await using stand = await openStand();
  const { service } = stand;
  const items = Array.from({ length: 4_600 }, (_, i) => ({
    ...{ path: `/d/f${i}`, kind: 'file' as const, size: 2 },
    source: () => [utf8('ab')],
  }));
  await service.makeFolder('/d');
  for await (const result of service.writeMany(items)) assert.ok(result.ok);
  await service.createSnapshot('s');
  await service.move('/d', '/e');
  await service.makeFolder('/d');
  const before = (await stand.meta.get('spaces', [1]))?.head ?? 0;
  await service.restoreTree('/d', 's');
  assert.equal((await stand.meta.get('spaces', [1]))?.head, before + 1);
  for (const name of ['f0', 'f4599'])
    assert.equal((await bytesOf((await service.read({ path: `/d/${name}` })).bytes)).toString(), 'ab');
  await stand.files.reapNow();
  for await (const problem of stand.meta.check()) assert.fail(problem.sentence);
});
