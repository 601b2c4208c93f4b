/** However much of the past is kept, what is done now never looks at it: no statement of a live operation reads history. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, openStand } from '../../test/stand.ts';
import { utf8 } from '../base/index.ts';
import { openNodeSqlite, openSqliteMeta, type SqlDatabase, type SqlValue } from '../meta/index.ts';

const SNAPSHOTS = 20;
const DISK = { totalBytes: 2 ** 40, freeBytes: 2 ** 40 };
const OPEN = { read: true, write: true, append: false, truncate: false, sync: false };
const ROOT = { uid: 0, gid: 0, pid: 1 };

test('the query plans of live operations name no history table', async () => {
  const statements = new Set<string>();
  const db = openNodeSqlite(':memory:');
  const watched: SqlDatabase = new Proxy(db, {
    get(target, name) {
      const found = Reflect.get(target, name) as unknown;
      if (name === 'prepare')
        return (sql: string) => {
          const statement = target.prepare(sql);
          const asked = <T>(act: () => T): T => {
            statements.add(sql);
            return act();
          };
          return {
            get: (values: SqlValue[]) => asked(() => statement.get(values)),
            all: (values: SqlValue[]) => asked(() => statement.all(values)),
            run: (values: SqlValue[]) => asked(() => statement.run(values)),
          };
        };
      return typeof found === 'function' ? found.bind(target) : found;
    },
  });
  const meta = openSqliteMeta(watched);
  {
    await using stand = await openStand({ meta, background: false });
    const { service } = stand;
    const tree = await stand.files.openTree({ user: 'owner', diskSpace: () => DISK });
    for (let i = 0; i < SNAPSHOTS; i++) {
      await service.createSnapshot(`s${i}`);
      await service.write(`/d/f${i % 3}`, [utf8(`${i}`)], { mode: 'put', parents: true });
    }
    const { node, handle } = await tree.create(tree.root, utf8('m'), { mode: 0o644, umask: 0 }, OPEN, ROOT);
    await tree.write(handle, 0, new Uint8Array(200_000).fill(7));
    await tree.fsync(handle, false);
    await tree.write(handle, 1_000, utf8('in place'));
    await tree.fsync(handle, false);
    await tree.release(handle);
    await tree.setAttributes(node.node, { mode: 0o600 }, ROOT);
    await tree.setAttribute(node.node, utf8('user.a'), utf8('1'), 'set', {});
    await tree.rename({ parent: tree.root, name: utf8('m') }, { parent: tree.root, name: utf8('n') }, 'replace');
    await tree.unlink(tree.root, utf8('n'));
    await tree.syncFs();
    await service.move('/d/f0', '/d/f1', { overwrite: true });
    await service.copy('/d', '/e');
    await service.setAttributes({ path: '/d/f1' }, { mode: 0o600 });
    await service.list({ path: '/d' });
    await service.search({ pattern: 'f*' });
    await service.versions({ path: '/d/f1' });
    await bytesOf((await service.read({ path: '/d/f1' })).bytes);
    await service.remove('/e', { recursive: true });
    await service.log();
    assert.ok(statements.size > 20);
    const plans = [...statements]
      .filter((sql) => /^\s*(SELECT|INSERT|DELETE|UPDATE)/i.test(sql))
      .map((sql) => {
        const parameters = Array.from({ length: (sql.match(/\?/g) ?? []).length }, () => null);
        return { sql, plan: JSON.stringify(db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(parameters)) };
      });
    for (const { sql, plan } of plans) assert.doesNotMatch(plan, /History/, sql);
    await tree[Symbol.asyncDispose]();
  }
  await meta.close();
});
