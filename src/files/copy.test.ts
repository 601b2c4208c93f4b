/** Copying a folder whose source changes under the copy: every step copies what stands there, and the copy is sound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, openStand, type Stand } from '../../test/stand.ts';
import { type MetaStore, NODE_KIND, openSqliteFile } from '../meta/index.ts';

const SPACE = 1;

/** Metadata that calls `hook` once, behind the first read that `matches`, before its answer is handed out. */
function interrupted(inner: MetaStore): { readonly meta: MetaStore; arm(matches: Matches, hook: Hook): void } {
  let armed: { readonly matches: Matches; readonly hook: Hook } | undefined;
  const behind = async (what: string, key: readonly unknown[], answer: unknown): Promise<unknown> => {
    const call = armed;
    if (call === undefined || !call.matches(what, key)) return answer;
    armed = undefined;
    await call.hook();
    return answer;
  };
  const meta = new Proxy(inner, {
    get(target, name) {
      const own = Reflect.get(target, name);
      if (name === 'get')
        return async (table: string, key: readonly unknown[]) =>
          behind(`get ${table}`, key, await own.call(target, table, key));
      if (name === 'scan')
        return async (table: string, range: { readonly prefix: readonly unknown[] }) =>
          behind(`scan ${table}`, range.prefix, await own.call(target, table, range));
      return typeof own === 'function' ? own.bind(target) : own;
    },
  });
  return {
    meta,
    arm(matches, hook) {
      armed = { matches, hook };
    },
  };
}
type Matches = (what: string, key: readonly unknown[]) => boolean;
type Hook = () => Promise<void>;

const bytes = (text: string): readonly Uint8Array[] => [Buffer.from(text)];

async function idOf(stand: Stand, path: string): Promise<number> {
  const record = await stand.service.stat({ path });
  return record.file_id;
}

for (const fate of ['written', 'removed', 'replaced by another'] as const) {
  test(`a folder copy goes on when a source was ${fate} and its content dropped meanwhile`, async () => {
    await using base = openSqliteFile(':memory:');
    const { meta, arm } = interrupted(base);
    await using stand = await openStand({
      meta,
      options: { versionsKept: [], historyKeptSeconds: 0 },
    });
    await stand.service.makeFolder('/a');
    await stand.service.write('/a/f', bytes('before'), { mode: 'put' });
    await stand.service.write('/a/g', bytes('stays'), { mode: 'put' });
    const node = await idOf(stand, '/a/f');
    const row = await base.get('nodes', [SPACE, node]);
    const content = row?.content ?? 0;
    arm(
      (what, key) => what === 'get nodes' && key[1] === node,
      async () => {
        if (fate === 'written') await stand.service.write('/a/f', bytes('after'), { mode: 'put' });
        else if (fate === 'removed') await stand.service.remove('/a/f');
        else {
          await stand.service.write('/other', bytes('after'), { mode: 'put' });
          await stand.service.move('/other', '/a/f', { overwrite: true });
        }
        stand.clock.advance(1_000);
        await stand.files.sweepNow();
        await stand.files.reapNow();
        assert.equal(await base.get('contents', [SPACE, content]), undefined);
      },
    );
    await stand.service.copy('/a', '/b');
    assert.equal((await bytesOf((await stand.service.read({ path: '/b/g' })).bytes)).toString(), 'stays');
    if (fate === 'removed') await assert.rejects(stand.service.stat({ path: '/b/f' }));
    else assert.equal((await bytesOf((await stand.service.read({ path: '/b/f' })).bytes)).toString(), 'after');
    const report = await stand.service.check({});
    assert.deepEqual(report.problems, []);
  });
}

test('a folder copy counts the links of what it copied when the source gets a folder meanwhile', async () => {
  await using base = openSqliteFile(':memory:');
  const { meta, arm } = interrupted(base);
  await using stand = await openStand({ meta });
  for (const path of ['/a', '/a/sub', '/a/sub/one', '/a/sub/two', '/a/empty']) await stand.service.makeFolder(path);
  const sub = await idOf(stand, '/a/sub');
  arm(
    (what, key) => what === 'scan entries' && key[1] === sub,
    async () => {
      await stand.service.makeFolder('/a/sub/late');
    },
  );
  await stand.service.copy('/a', '/b');
  for (const path of ['/b', '/b/sub', '/b/sub/one', '/b/empty']) {
    const folder = await idOf(stand, path);
    const row = await base.get('nodes', [SPACE, folder]);
    const entries = await base.scan('entries', { prefix: [SPACE, folder], limit: 100 });
    const folders = entries.filter(({ kind }) => kind === NODE_KIND.folder).length;
    assert.equal(row?.links, 2 + folders, path);
  }
});
