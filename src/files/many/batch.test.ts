/** Batches over a store: one commit, seen at once and whole, in turn with others; what the contract cannot see. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overlap } from '../../../test/soak/batches.ts';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import type { BatchOperation, FileRecord } from '../../api/index.ts';
import { Fault, seededRandom } from '../../base/index.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

async function pathsOf(stand: Stand): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of stand.service.manifest({ path: '/' })) paths.push(path);
  return paths;
}

async function textOf(stand: Stand, path: string): Promise<string> {
  return (await bytesOf((await stand.service.read({ path })).bytes)).toString();
}

async function sound(stand: Stand): Promise<void> {
  assert.deepEqual((await stand.service.check()).problems, []);
  assert.equal(stand.files.locks.manager.keyCount, 0, 'no lock is left behind');
}

test('a batch is one commit, with everything it did in its change list, and versions that name it', async () => {
  await using stand = await openStand();
  await stand.service.write('/a', [Buffer.from('one')], { mode: 'put' });
  const before = (await stand.meta.get('spaces', [1]))?.head ?? 0;
  await stand.service.batch({
    operations: [
      { op: 'put', path: '/a', content: base64('two') },
      { op: 'move', from_path: '/a', to_path: '/b' },
      { op: 'put', path: '/b', content: base64('three') },
      { op: 'mkdir', path: '/f' },
      { op: 'copy', from_path: '/b', to_path: '/f/c' },
      { op: 'delete', path: '/b' },
    ],
  });
  assert.equal((await stand.meta.get('spaces', [1]))?.head, before + 1);
  const commit = await stand.meta.get('commits', [1, before + 1]);
  assert.deepEqual([commit?.kind, commit?.actor, commit?.door], ['batch', 'owner', 'test']);
  const items = await stand.meta.scan('changes', { prefix: [1, before + 1], limit: 100 });
  assert.equal(items.length, 6);
  assert.equal((await stand.meta.get('commits', [1, before + 2]))?.kind, undefined);
  const { versions } = await stand.service.versions({ path: '/f/c' });
  assert.deepEqual(
    versions.map((version) => version.commit),
    [before + 1],
  );
  assert.equal(await textOf(stand, '/f/c'), 'three');
  await sound(stand);
});

test('what is put inline is kept as a stream of the same bytes is', async () => {
  await using stand = await openStand();
  const contents = [0, 1, 4_096, 4_097].flatMap((length) => [Buffer.alloc(length), Buffer.alloc(length, 'content ')]);
  const { results } = await stand.service.batch({
    operations: contents.map((bytes, n) => ({ op: 'put', path: `/inline${n}`, content: bytes.toString('base64') })),
  });
  for (const [n, bytes] of contents.entries()) {
    const pieces = (async function* () {
      for (let at = 0; at < bytes.length; at += 1_000) yield bytes.subarray(at, at + 1_000);
    })();
    const streamed = await stand.service.write(`/streamed${n}`, pieces, { mode: 'create' });
    const { record } = results[n] as { record: FileRecord };
    assert.deepEqual([record.size, record.xxhash3], [streamed.size, streamed.xxhash3]);
    const read = await stand.service.read({ path: `/inline${n}` });
    assert.ok((await bytesOf(read.bytes)).equals(bytes));
  }
  await sound(stand);
});

test('a collection between the plan of a batch and its commit leaves what the batch has written', async () => {
  await using stand = await openStand();
  const random = seededRandom(7);
  const [before, within] = [random.bytes(50_000), random.bytes(50_000)];
  await stand.service.write('/before', [before], { mode: 'put' });
  const { groups } = stand.files.context;
  const commitPlanned = groups.commitPlanned.bind(groups);
  let collected = 0;
  groups.commitPlanned = async (planning, guard) => {
    collected++;
    await stand.chunks.collect({ graceSeconds: 0, freedShareMin: 0 });
    return await commitPlanned(planning, guard);
  };
  await stand.service.batch({
    operations: [{ op: 'put', path: '/within', content: Buffer.from(within).toString('base64') }],
  });
  assert.equal(collected, 1);
  assert.deepEqual(await bytesOf((await stand.service.read({ path: '/within' })).bytes), Buffer.from(within));
  assert.deepEqual(await bytesOf((await stand.service.read({ path: '/before' })).bytes), Buffer.from(before));
  await sound(stand);
});

test('a batch is seen whole or not at all, also through a mount', async () => {
  await using stand = await openStand();
  await using tree = await stand.files.openTree({ user: 'owner', diskSpace: () => undefined } as never);
  const operations: BatchOperation[] = Array.from({ length: 200 }, (_, i) => ({ op: 'mkdir', path: `/f${i}` }));
  let isDone = false;
  const looking = (async () => {
    const seen = new Set<number>();
    while (!isDone) {
      seen.add((await stand.service.list({ path: '/' })).entries.length);
      let mounted = 0;
      for (let i = 0; i < 200; i++) if (tree.lookup(tree.root, Buffer.from(`f${i}`)) !== undefined) mounted++;
      assert.ok(mounted === 0 || mounted === 200, `the mount shows ${mounted}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return seen;
  })();
  await stand.service.batch({ operations });
  isDone = true;
  for (const count of await looking) assert.ok(count === 0 || count === 200, `${count} were seen`);
  assert.equal((await stand.service.list({ path: '/' })).entries.length, 200);
});

test('a thousand mixed operations go through in one batch, and undo nothing of each other', async () => {
  await using stand = await openStand();
  const operations: BatchOperation[] = [];
  for (let i = 0; i < 200; i++) {
    operations.push(
      { op: 'mkdir', path: `/d${i}` },
      { op: 'put', path: `/d${i}/a`, content: base64(`content ${i}`) },
      { op: 'copy', from_path: `/d${i}/a`, to_path: `/d${i}/b` },
      { op: 'update', path: `/d${i}/b`, change: { mode: 0o600 } },
      i % 2 === 0 ? { op: 'delete', path: `/d${i}/a` } : { op: 'move', from_path: `/d${i}`, to_path: `/e${i}` },
    );
  }
  const answer = await stand.service.batch({ operations });
  assert.deepEqual([answer.done, answer.failed], [1_000, 0]);
  const paths = await pathsOf(stand);
  assert.equal(paths.length, 100 * 2 + 100 * 3);
  assert.equal(await textOf(stand, '/d10/b'), 'content 10');
  assert.equal(await textOf(stand, '/e11/a'), 'content 11');
  await sound(stand);
});

test('batches that overlap take turns: no deadlock, none is lost, and each was whole when the next began', async () => {
  await using stand = await openStand();
  const folders = 6;
  for (let i = 0; i < folders; i++) await stand.service.write(`/n${i}`, [Buffer.from('0')], { mode: 'put' });
  // Each adds one to several numbers at once; a number is read by nobody but the batch that expects its version.
  const clients = Array.from({ length: 20 }, async (_, client) => {
    const random = seededRandom(client);
    for (let round = 0; round < 3; ) {
      const chosen = [...new Set([random.below(folders), random.below(folders), random.below(folders)])];
      const records = await Promise.all(chosen.map((i) => stand.service.stat({ path: `/n${i}` })));
      const texts = await Promise.all(chosen.map((i) => textOf(stand, `/n${i}`)));
      const operations = chosen.map((i, at): BatchOperation => {
        const expected = records[at]?.version ?? 0;
        return {
          op: 'put',
          path: `/n${i}`,
          content: base64(String(Number(texts[at]) + 1)),
          expected_version: expected,
        };
      });
      try {
        await stand.service.batch({ operations: client % 2 === 0 ? operations : operations.toReversed() });
        for (const i of chosen) counts[i] = (counts[i] ?? 0) + 1;
        round++;
      } catch (error) {
        assert.ok(Fault.is(error, 'conflict'), String(error));
      }
    }
  });
  const counts: Record<number, number> = {};
  await Promise.all(clients);
  for (let i = 0; i < folders; i++) assert.equal(await textOf(stand, `/n${i}`), String(counts[i] ?? 0), `n${i}`);
  await sound(stand);
});

test('batches of the same names from many clients: one order of all explains what is left', async () => {
  await using stand = await openStand();
  await stand.service.makeFolder('/f');
  const batches = Array.from({ length: 20 }, (_, client) =>
    Array.from(
      { length: 30 },
      (_, i): BatchOperation => ({
        ...{ op: 'put', path: `/f/${(i * (client % 2 === 0 ? 1 : 29)) % 30}`, content: base64(`client ${client}`) },
      }),
    ),
  );
  await Promise.all(batches.map((operations) => stand.service.batch({ operations })));
  const texts = new Set<string>();
  for (let i = 0; i < 30; i++) texts.add(await textOf(stand, `/f/${i}`));
  assert.equal(texts.size, 1, 'all files are of the batch that came last');
  assert.equal((await stand.service.versions({ path: '/f/7' })).versions.length, 20);
  await sound(stand);
});

test('overlapping batches of mixed operations: done one after the other, in the order of the log, they leave the same', async () => {
  const { done } = await overlap(1, { clients: 6, batches: 2, operations: 60 });
  assert.equal(done, 13);
});

test('a batch beside single operations on the same files ends, and loses nothing', async () => {
  await using stand = await openStand();
  let isDone = false;
  const singles = Array.from({ length: 4 }, async (_, client) => {
    for (let i = 0; !isDone; i++)
      await stand.service.write(`/f${i % 10}`, [Buffer.from(`single ${client}`)], { mode: 'put' });
  });
  const operations = Array.from(
    { length: 10 },
    (_, i): BatchOperation => ({
      ...{ op: 'put', path: `/f${i}`, content: base64('batch') },
    }),
  );
  for (let round = 0; round < 5; round++) await stand.service.batch({ operations });
  isDone = true;
  await Promise.all(singles);
  for (let i = 0; i < 10; i++) {
    const { versions } = await stand.service.versions({ path: `/f${i}` });
    assert.ok(versions.length >= 5);
  }
  await sound(stand);
});

test('a lock that lasts stops only the operations that it stands in the way of, and the answer names them', async () => {
  await using stand = await openStand();
  await stand.service.makeFolder('/f');
  await stand.service.makeFolder('/mine');
  await stand.service.lock('/f', { holder: 'Ann' });
  const operations: BatchOperation[] = [
    { op: 'mkdir', path: '/g' },
    { op: 'put', path: '/f/a', content: base64('x'), id: 'a' },
    { op: 'put', path: '/g/b', content: base64('y') },
    { op: 'mkdir', path: '/after', depends_on: ['a'] },
    { op: 'move', from_path: '/mine', to_path: '/f/mine' },
  ];
  const error = await stand.service.batch({ operations }).catch((reason: unknown) => reason);
  assert.ok(Fault.is(error, 'locked'), String(error));
  assert.deepEqual([error.about.operation, error.about.operation_id, error.about.path], [1, 'a', '/f/a']);
  assert.match(error.message, /^Operation 1 \(put\) of the batch failed, so nothing was done: \/f\/a is locked by Ann/);
  assert.deepEqual(await pathsOf(stand), ['/f', '/mine']);

  const answer = await stand.service.batch({ operations, mode: 'best-effort' });
  assert.deepEqual([answer.done, answer.failed], [2, 3]);
  assert.deepEqual(
    answer.results.map(({ code }) => code),
    [undefined, 'locked', undefined, 'aborted', 'locked'],
  );
  assert.deepEqual(await pathsOf(stand), ['/f', '/g', '/g/b', '/mine']);
});

test('a batch stops at a lock that lasts, and what it would be is told without doing it', async () => {
  await using stand = await openStand();
  await stand.service.makeFolder('/f');
  await stand.service.lock('/f', { holder: 'Ann' });
  const operations: BatchOperation[] = [
    { op: 'mkdir', path: '/g' },
    { op: 'put', path: '/f/a', content: base64('x') },
  ];
  const error = await stand.service.batch({ operations }).catch((reason: unknown) => reason);
  assert.ok(Fault.is(error, 'locked') && error.about.holder === 'Ann', String(error));
  assert.deepEqual(await pathsOf(stand), ['/f']);
  const tried = await stand.service.batch({ operations, dry_run: true });
  assert.deepEqual([tried.done, tried.dry_run], [2, true]);
  // Also of large contents, and of what is done with them, nothing is left in a pack.
  const large = Buffer.from(Array.from({ length: 9_000 }, (_, i) => `${i} `).join(''));
  const before = (await stand.service.stats()).pack_bytes;
  const looked = await stand.service.batch({
    operations: [
      { op: 'put', path: '/large', content: large.toString('base64') },
      { op: 'copy', from_path: '/large', to_path: '/copy' },
    ],
    dry_run: true,
  });
  const records = looked.results.map(({ record }) => record as FileRecord);
  assert.deepEqual(
    records.map(({ path, size }) => `${path} ${size}`),
    [`/large ${large.length}`, `/copy ${large.length}`],
  );
  assert.equal((await stand.service.stats()).pack_bytes, before);
  const { xxhash3 } = await stand.service.write('/g', [large], { mode: 'put' });
  assert.equal(records[0]?.xxhash3, xxhash3);
  assert.ok((await stand.service.stats()).pack_bytes > before);
  await stand.service.remove('/g');
  assert.deepEqual(await pathsOf(stand), ['/f']);
});
