/** The writing thread's work: writes whole or not at all, and what is refused is said as what it is. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Fault } from '../../base/index.ts';
import { RowRunWriter } from '../rows/row-runs.ts';
import type { RowWrite } from '../rows/row-source.ts';
import type { SqlDatabase } from '../sql.ts';
import { openNodeSqlite } from './node-sqlite.ts';
import { openSqliteMeta } from './sqlite-meta.ts';
import { errorOf, type WriterAnswer, type WriterRequest } from './writer-messages.ts';
import { WriterSession } from './writer-session.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-meta-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let number = 0;

/** Nothing more comes. */
const LAST = { kind: 'rows', bytes: new Uint8Array(0), isLast: true } as const;

function setting(name: string, value = 'x', isNew = false): RowWrite {
  return { table: 'settings', key: [name], row: { name, value }, isNew };
}

/** A session, whose rows another connection reads. `fail` makes statements fail that match. */
function stand(): {
  readonly db: SqlDatabase;
  readonly fail: (when: RegExp, errcode: number) => void;
  readonly names: () => readonly string[];
  readonly write: (...slices: readonly (readonly RowWrite[])[]) => Error | undefined;
  readonly ask: (request: WriterRequest) => WriterAnswer | undefined;
  readonly [Symbol.dispose]: () => void;
} {
  const path = join(folder, `${number++}.db`);
  const reading = openNodeSqlite(path, { isShared: true });
  const meta = openSqliteMeta(reading, { isShared: true });
  const db = openNodeSqlite(path, { isShared: true });
  let failing: { readonly when: RegExp; readonly errcode: number } | undefined;
  const pass = <T>(sql: string, act: () => T): T => {
    if (failing?.when.test(sql)) throw Object.assign(new Error('injected'), { errcode: failing.errcode });
    return act();
  };
  const session = new WriterSession({
    ...db,
    prepare: (sql) => {
      const statement = db.prepare(sql);
      return { ...statement, run: (values) => pass(sql, () => statement.run(values)) };
    },
  });
  // As messages do.
  const ask = (request: WriterRequest): WriterAnswer | undefined => structuredClone(session.take(request));
  const write = (...slices: readonly (readonly RowWrite[])[]): Error | undefined => {
    const run = new RowRunWriter();
    for (const slice of slices) {
      for (const each of slice) run.put(each);
      assert.equal(ask({ kind: 'rows', bytes: run.take(), isLast: false }), undefined);
    }
    const answer = ask(LAST);
    return answer?.kind === 'failed' ? errorOf(answer.error) : undefined;
  };
  return {
    db,
    fail: (when, errcode) => {
      failing = { when, errcode };
    },
    names: () => meta.scan('settings', { prefix: [], limit: 1000 }).map(({ name }) => name),
    write,
    ask,
    [Symbol.dispose]: () => {
      session.take({ kind: 'close' });
      void meta.close();
    },
  };
}

test('the slices of a write become visible with its end, together', () => {
  using session = stand();
  const run = new RowRunWriter();
  for (const name of ['a', 'b']) {
    run.put(setting(name));
    session.ask({ kind: 'rows', bytes: run.take(), isLast: false });
    assert.deepEqual(session.names(), []);
  }
  assert.deepEqual(session.ask(LAST), { kind: 'done' });
  assert.deepEqual(session.names(), ['a', 'b']);
  assert.equal(session.write([{ table: 'settings', key: ['a'], row: undefined, isNew: false }]), undefined);
  assert.deepEqual(session.names(), ['b']);
  assert.equal(session.write(), undefined, 'nothing is written in no time');
});

test('a write that is given up leaves nothing', () => {
  using session = stand();
  const run = new RowRunWriter();
  run.put(setting('a'));
  session.ask({ kind: 'rows', bytes: run.take(), isLast: false });
  assert.deepEqual(session.ask({ kind: 'drop' }), { kind: 'done' });
  assert.equal(session.write([setting('b')]), undefined);
  assert.deepEqual(session.names(), ['b']);
});

test('a row that is there already ends its write, the slices behind it too, and the next one goes through', () => {
  using session = stand();
  assert.equal(session.write([setting('a')]), undefined);
  const error = session.write([setting('b')], [setting('a', 'y', true)], [setting('c')]);
  assert.equal(error?.name, 'InvariantError');
  assert.match(error.message, /settings\(name a\)/);
  assert.deepEqual(session.names(), ['a']);
  assert.equal(session.write([setting('c')]), undefined);
  assert.deepEqual(session.names(), ['a', 'c']);
});

test('a full disk is full on the other side, drops the write whole, and the next one that has room goes through', () => {
  using session = stand();
  assert.equal(session.write([setting('a')]), undefined);
  const pages = Number(session.db.prepare('PRAGMA page_count').get([])?.[0]);
  session.db.exec(`PRAGMA max_page_count = ${pages + 1}`);
  const large = Array.from({ length: 50 }, (_, i) => setting(`large ${i}`, 'x'.repeat(3_000)));
  const error = session.write(large.slice(0, 25), large.slice(25));
  assert.ok(Fault.is(error, 'full'), String(error));
  assert.equal(error.about.sqlite, 13);
  assert.ok(error.cause instanceof Error, 'the cause is kept');
  assert.deepEqual(session.names(), ['a']);
  assert.equal(session.write([setting('b')]), undefined);
  session.db.exec('PRAGMA max_page_count = 1000000');
  assert.equal(session.write(large), undefined);
  assert.equal(session.names().length, 52);
});

test('what SQLite refuses keeps its kind, and a failed sync stays', () => {
  using session = stand();
  for (const [when, errcode, code] of [
    [/INSERT OR|REPLACE/, 8, 'read-only'],
    [/INSERT OR|REPLACE/, 10 | (3 << 8), 'io'],
    [/^BEGIN/, 5, 'locked'],
    [/^COMMIT/, 13, 'full'],
  ] as const) {
    session.fail(when, errcode);
    const error = session.write([setting('a')]);
    assert.ok(Fault.is(error, code), `${when}: ${error}`);
    session.fail(/^$/, 0);
    assert.deepEqual(session.names(), []);
  }
  assert.equal(session.write([setting('a')]), undefined);
  session.fail(/^COMMIT/, 10 | (4 << 8));
  const run = new RowRunWriter();
  run.put(setting('b'));
  session.ask({ kind: 'rows', bytes: run.take(), isLast: false });
  const answer = session.ask(LAST);
  assert.ok(answer?.kind === 'failed' && answer.isBroken && answer.error.code === 'io');
  session.fail(/^$/, 0);
  assert.ok(Fault.is(session.write([setting('c')]), 'io'), 'what the disk kept is unknown, so nothing more is taken');
});
