/**
 * What every metadata engine must do: the suite that each of them runs. Rows, scans and their ranges, expectations,
 * modes, commit numbers and times, history under pins, counted references, quota, groups; and a run of random changes
 * against contract-model.ts.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { compareBytes, Fault, type FaultCode } from '../../base/index.ts';
import { pastRows } from '../changes/past.ts';
import { LOCK_MODES, type LockMode } from '../lock-modes.ts';
import {
  type Change,
  type MetaProblem,
  type MetaReader,
  type MetaStore,
  type Outcome,
  SCAN_ROWS_MAX,
  THIS_COMMIT,
} from '../meta-store.ts';
import { keyString } from '../rows/row-key.ts';
import { type NodeRow, type PinRow, REAP_KIND, type Rows, type TableName } from '../rows/rows.ts';
import { keyOf, type Row, TABLE_NAMES, table } from '../rows/tables.ts';
import { anyChange, Dice } from './contract-dice.ts';
import { Model, VISIBLE_TABLES } from './contract-model.ts';
import {
  at,
  bytes,
  chunkRow,
  contentRow,
  entryRow,
  extentRow,
  fileNode,
  firstChanges,
  folderNode,
  lockRow,
  packRow,
  pinRow,
  RECORD,
  spaceRow,
} from './contract-rows.ts';

/** Opens an empty engine, which the test closes. */
export type OpenMeta = () => Promise<MetaStore> | MetaStore;

export function testMetaStore(name: string, open: OpenMeta): void {
  describe(name, () => {
    testRows(open);
    testScans(open);
    testExpectations(open);
    testCommits(open);
    testHistory(open);
    testReferences(open);
    testCheck(open);
    testRandomChanges(open);
  });
}

/** An engine with space 1 (root folder 1, realm 1, head 0) and pack 1. */
async function opened(open: OpenMeta): Promise<MetaStore> {
  const meta = await open();
  await mustCommit(meta, ...firstChanges());
  return meta;
}

async function mustCommit(meta: MetaStore, ...changes: readonly Change[]): Promise<readonly Outcome[]> {
  const outcomes = await meta.commit(changes);
  for (const outcome of outcomes) if (!outcome.ok) throw outcome.fault;
  return outcomes;
}

async function mustRefuse(meta: MetaStore, change: Change, code: FaultCode): Promise<Fault> {
  const before = await dump(meta);
  const [outcome] = await meta.commit([change]);
  assert.ok(outcome !== undefined && !outcome.ok, `refused with ${code}`);
  assert.equal(outcome.fault.code, code, outcome.fault.message);
  assert.deepEqual(await dump(meta), before, 'a refused change leaves nothing');
  return outcome.fault;
}

async function rowsOf(meta: MetaStore, name: TableName): Promise<readonly Row[]> {
  return (await meta.scan(name, { prefix: [], limit: SCAN_ROWS_MAX } as never)) as unknown as readonly Row[];
}

async function dump(meta: MetaStore): Promise<Readonly<Record<string, readonly Row[]>>> {
  const all: Record<string, readonly Row[]> = {};
  for (const name of TABLE_NAMES) all[name] = await rowsOf(meta, name);
  return all;
}

async function problemsOf(meta: MetaStore): Promise<readonly MetaProblem[]> {
  return gathered(meta.check());
}

async function gathered<T>(each: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const one of each) all.push(one);
  return all;
}

const name = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A change of space 1, a commit unless told otherwise. */
function change(parts: Partial<Change>): Change {
  return { space: 1, now: at(100), record: RECORD, ...parts };
}

/** The same without a record. */
function innerStep(parts: Partial<Change>): Change {
  return { space: 1, now: at(100), ...parts };
}

function testRows(open: OpenMeta): void {
  test('a row comes back as it was put, in every table', async () => {
    await using meta = await opened(open);
    const pin: PinRow = { ...pinRow(1, 7, 2, null), name: 'ünï\u0000\u{1f4be}', expiresSeconds: 2 ** 40 };
    const node: NodeRow = {
      ...fileNode(1, 9, null),
      size: Number.MAX_SAFE_INTEGER,
      modifiedSeconds: -1,
      createdSeconds: -(2 ** 40),
      target: bytes(0, 255, 10),
    };
    await mustCommit(
      meta,
      innerStep({
        puts: [
          { table: 'pins', mode: 'insert', row: pin },
          { table: 'nodes', mode: 'insert', row: node },
          { table: 'settings', mode: 'replace', row: { name: '', value: 'x'.repeat(100_000) } },
          {
            table: 'attributes',
            mode: 'insert',
            row: { space: 1, node: 9, name: name('user.a'), value: bytes(), born: 0 },
          },
        ],
      }),
    );
    assert.deepEqual(await meta.get('pins', [1, 7]), pin);
    assert.deepEqual(await meta.get('nodes', [1, 9]), { ...node, versionCommit: 0, born: 0 });
    assert.equal((await meta.get('settings', ['']))?.value.length, 100_000);
    assert.deepEqual((await meta.get('attributes', [1, 9, name('user.a')]))?.value, bytes());
    assert.equal(await meta.get('nodes', [1, 10]), undefined);
    assert.equal(await meta.get('attributes', [1, 9, name('user.')]), undefined);
  });

  test('a row does not change when the buffers it was put from do', async () => {
    await using meta = await opened(open);
    const target = bytes(1, 2, 3);
    await mustCommit(
      meta,
      innerStep({ puts: [{ table: 'nodes', mode: 'insert', row: { ...fileNode(1, 9, null), target } }] }),
    );
    target.fill(9);
    assert.deepEqual((await meta.get('nodes', [1, 9]))?.target, bytes(1, 2, 3));
  });

  test('keep leaves a row that is there, replace does not, insert of one fails the group', async () => {
    await using meta = await opened(open);
    const put = (mode: 'keep' | 'replace' | 'insert', value: string): Change =>
      innerStep({ puts: [{ table: 'settings', mode, row: { name: 'a', value } }] });
    await mustCommit(meta, put('keep', '1'), put('keep', '2'));
    assert.equal((await meta.get('settings', ['a']))?.value, '1');
    await mustCommit(meta, put('replace', '3'));
    assert.equal((await meta.get('settings', ['a']))?.value, '3');
    await assert.rejects(async () => meta.commit([put('replace', '4'), put('insert', '5')]), /InvariantError/);
    assert.equal((await meta.get('settings', ['a']))?.value, '3', 'the whole group is undone');
    await mustCommit(meta, put('replace', '6'));
  });

  test('a row that is deleted and put again in one change ends as put', async () => {
    await using meta = await opened(open);
    const row = entryRow(1, 1, 'a', 5);
    await mustCommit(meta, change({ puts: [{ table: 'entries', mode: 'insert', row }] }));
    await mustCommit(
      meta,
      change({
        deletes: [
          { table: 'entries', key: [1, 1, name('a')] },
          { table: 'entries', key: [1, 1, name('absent')] },
        ],
        puts: [{ table: 'entries', mode: 'insert', row: { ...row, node: 6 } }],
      }),
    );
    assert.deepEqual(await rowsOf(meta, 'entries'), [{ ...row, node: 6, born: 2 }]);
  });

  test('leased ids are never answered twice', async () => {
    await using meta = await open();
    assert.equal(await meta.leaseIds('node', 10), 1);
    assert.equal(await meta.leaseIds('node', 1), 11);
    assert.equal(await meta.leaseIds('content', 5), 1);
    assert.equal(await meta.leaseIds('node', 1000), 12);
    assert.equal((await meta.get('counters', ['node']))?.next, 1012);
  });
}

function testScans(open: OpenMeta): void {
  /** Names whose order goes wrong when bytes are taken for text, signed, or cut at a zero. */
  const names = [
    bytes(0),
    bytes(0, 0),
    bytes(0, 1),
    bytes(0, 255),
    bytes(1),
    bytes(97),
    bytes(97, 0),
    bytes(97, 98),
    bytes(127),
    bytes(128),
    bytes(195, 164),
    bytes(254, 255),
    bytes(255),
    bytes(255, 0),
    bytes(255, 255),
  ];

  async function withEntries(): Promise<MetaStore> {
    const meta = await opened(open);
    const row = (parent: number, entry: Uint8Array, node: number): Rows['entries'] => ({
      space: 1,
      parent,
      name: entry,
      node,
      kind: 1,
      born: 0,
    });
    const rows = [1, 2, 3].flatMap((parent) => names.map((each, i) => row(parent, each, 100 + (i % 4))));
    // Put in an order that is not the keys'.
    const puts = rows.toReversed().map((each) => ({ table: 'entries' as const, mode: 'insert' as const, row: each }));
    await mustCommit(meta, innerStep({ puts }));
    return meta;
  }

  test('a scan answers rows in the order of their bytes, from any edge, both ways', async () => {
    await using meta = await withEntries();
    const sorted = names.toSorted(compareBytes);
    const scanned = async (range: object): Promise<readonly Uint8Array[]> =>
      (await meta.scan('entries', { prefix: [1, 2], limit: 100, ...range })).map((row) => row.name);
    assert.deepEqual(await scanned({}), sorted);
    assert.deepEqual(await scanned({ reverse: true }), sorted.toReversed());
    for (const edge of [...sorted, bytes(), bytes(97, 97), bytes(255, 255, 255)]) {
      const past = sorted.filter((each) => compareBytes(each, edge) > 0);
      const before = sorted.filter((each) => compareBytes(each, edge) < 0);
      const equal = sorted.filter((each) => compareBytes(each, edge) === 0);
      assert.deepEqual(await scanned({ after: [edge] }), past);
      assert.deepEqual(await scanned({ from: [edge] }), [...equal, ...past]);
      assert.deepEqual(await scanned({ after: [edge], reverse: true }), before.toReversed());
      assert.deepEqual(await scanned({ from: [edge], reverse: true }), [...before, ...equal].toReversed());
      assert.deepEqual(await scanned({ after: [edge], limit: 2 }), past.slice(0, 2));
    }
  });

  test('a scan has any number of key columns before its edge and in it', async () => {
    await using meta = await withEntries();
    const all = (await rowsOf(meta, 'entries')) as unknown as readonly Rows['entries'][];
    assert.equal(all.length, 3 * names.length);
    const parts = (row: Rows['entries']): readonly [number, number, Uint8Array] => [row.space, row.parent, row.name];
    const isPrefix = (row: Rows['entries'], prefix: readonly unknown[]): boolean =>
      prefix.every((part, i) => compareParts(parts(row)[i], part) === 0);
    const keys: readonly (readonly (number | Uint8Array)[])[] = [
      [],
      [0],
      [1],
      [2],
      [1, 1],
      [1, 2],
      [1, 9],
      ...names.map((each) => [1, 2, each] as const),
    ];
    for (const key of keys) {
      for (let split = 0; split <= key.length; split++) {
        const [prefix, edge] = [key.slice(0, split), key.slice(split)];
        const inside = all.filter((row) => isPrefix(row, prefix));
        const order = (row: Rows['entries']): number => compareKeys(parts(row).slice(split), edge);
        const expected = {
          after: inside.filter((row) => order(row) > 0),
          from: inside.filter((row) => order(row) >= 0),
          afterReverse: inside.filter((row) => order(row) < 0).toReversed(),
          fromReverse: inside.filter((row) => order(row) <= 0).toReversed(),
        };
        const range = { prefix: prefix as never, limit: 1_000 };
        if (edge.length === 0) {
          assert.deepEqual(await meta.scan('entries', range), inside);
          assert.deepEqual(await meta.scan('entries', { ...range, reverse: true }), inside.toReversed());
          continue;
        }
        assert.deepEqual(await meta.scan('entries', { ...range, after: edge }), expected.after);
        assert.deepEqual(await meta.scan('entries', { ...range, from: edge }), expected.from);
        assert.deepEqual(await meta.scan('entries', { ...range, after: edge, reverse: true }), expected.afterReverse);
        assert.deepEqual(await meta.scan('entries', { ...range, from: edge, reverse: true }), expected.fromReverse);
      }
    }
  });

  test('an index answers the rows of its table in its own order, and follows changes', async () => {
    await using meta = await withEntries();
    const byNode = await meta.scan('entriesByNode', { prefix: [1, 101], limit: 100 });
    const expected = [1, 2, 3].flatMap((parent) =>
      names.filter((_, i) => i % 4 === 1).map((each) => ({ parent, each })),
    );
    assert.deepEqual(
      byNode.map((row) => ({ parent: row.parent, each: row.name })),
      expected,
    );
    const reversed = await meta.scan('entriesByNode', { prefix: [1], after: [101, 2], reverse: true, limit: 3 });
    assert.deepEqual(
      reversed.map((row) => [row.node, row.parent]),
      [
        [101, 1],
        [101, 1],
        [101, 1],
      ],
    );
    await mustCommit(
      meta,
      innerStep({
        deletes: [{ table: 'entries', key: [1, 1, bytes(0, 0)] }],
        puts: [
          {
            table: 'entries',
            mode: 'replace',
            row: { space: 1, parent: 2, name: bytes(0, 0), node: 999, kind: 1, born: 0 },
          },
        ],
      }),
    );
    const after = await meta.scan('entriesByNode', { prefix: [1, 101], limit: 100 });
    assert.equal(after.length, byNode.length - 2);
    assert.equal((await meta.scan('entriesByNode', { prefix: [1, 999], limit: 100 })).length, 1);
  });

  test('text and large numbers are ordered by bytes and by value', async () => {
    await using meta = await opened(open);
    const texts = ['', 'a', 'a\u0000', 'ab', 'b', 'é', '\uffff', '\u{10000}', '\u{1f4be}'];
    const offsets = [0, 1, 255, 256, 2 ** 14, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 2 ** 32, 2 ** 42, Number.MAX_SAFE_INTEGER];
    await mustCommit(
      meta,
      innerStep({
        puts: [
          ...texts
            .toReversed()
            .map((each) => ({ table: 'settings', mode: 'insert', row: { name: each, value: '' } }) as const),
          { table: 'contents', mode: 'insert', row: contentRow(1, 5) },
          ...offsets
            .toReversed()
            .map((offset) => ({ table: 'extents', mode: 'insert', row: extentRow(1, 5, offset, null) }) as const),
        ],
      }),
    );
    const settings = await meta.scan('settings', { prefix: [], limit: 100 });
    assert.deepEqual(
      settings.map((row) => row.name),
      texts,
    );
    const above = await meta.scan('settings', { prefix: [], after: ['é'], limit: 100 });
    assert.deepEqual(
      above.map((row) => row.name),
      texts.slice(6),
    );
    const extents = await meta.scan('extents', { prefix: [1, 5], from: [256], limit: 100 });
    assert.deepEqual(
      extents.map((row) => row.offset),
      offsets.slice(3),
    );
  });

  test('a page of more rows than a scan may answer is a bug of the caller', async () => {
    await using meta = await opened(open);
    await assert.rejects(async () => meta.scan('nodes', { prefix: [], limit: SCAN_ROWS_MAX + 1 }), /InvariantError/);
    await assert.rejects(async () => meta.scan('nodes', { prefix: [], limit: 0 }), /InvariantError/);
  });
}

function compareParts(a: unknown, b: unknown): number {
  return a instanceof Uint8Array && b instanceof Uint8Array ? compareBytes(a, b) : Number(a) - Number(b);
}

/** Compares as many parts as the edge has. */
function compareKeys(key: readonly unknown[], edge: readonly unknown[]): number {
  for (const [i, part] of edge.entries()) {
    const order = compareParts(key[i], part);
    if (order !== 0) return order;
  }
  return 0;
}

function testExpectations(open: OpenMeta): void {
  test('a stale expectation is a conflict that says what was found, and its neighbours go through', async () => {
    await using meta = await opened(open);
    const put = (key: string): Change =>
      change({ puts: [{ table: 'entries', mode: 'insert', row: entryRow(1, 1, key, 5) }] });
    const outcomes = await meta.commit([
      put('a'),
      { ...put('b'), expects: [{ kind: 'absent', table: 'entries', key: [1, 1, name('a')] }] },
      put('c'),
    ]);
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.ok ? outcome.commit : outcome.fault.code)),
      [1, 'conflict', 2],
    );
    const fault = outcomes[1]?.ok === false ? outcomes[1].fault : undefined;
    assert.deepEqual(fault?.about, {
      expectation: 'absent',
      table: 'entries',
      key: { space: 1, parent: 1, name: 'a' },
      found: { space: 1, parent: 1, name: 'a', node: 5, kind: 1, born: 1 },
    });
    assert.deepEqual(
      (await meta.scan('entries', { prefix: [1, 1], limit: 10 })).map((row) => row.born),
      [1, 2],
    );
  });

  test('a row expectation compares only the columns it names, bytes by value', async () => {
    await using meta = await opened(open);
    await mustCommit(
      meta,
      change({ puts: [{ table: 'contents', mode: 'insert', row: { ...contentRow(1, 5), hash: bytes(1, 2) } }] }),
    );
    const expecting = (equals: Partial<Rows['contents']>): Change =>
      change({ expects: [{ kind: 'row', table: 'contents', key: [1, 5], equals }] });
    await mustCommit(meta, expecting({}), expecting({ hash: bytes(1, 2) }), expecting({ base: null, refs: 0 }));
    const fault = await mustRefuse(meta, expecting({ size: 10, hash: bytes(1, 3), base: 4 }), 'conflict');
    assert.deepEqual(fault.about.found, { hash: '0102', base: null });
    const absent = change({ expects: [{ kind: 'row', table: 'contents', key: [1, 6] }] });
    assert.equal((await mustRefuse(meta, absent, 'conflict')).about.found, null);
  });

  test('empty expects a folder without entries, also of the same group', async () => {
    await using meta = await opened(open);
    const expecting = change({ expects: [{ kind: 'empty', space: 1, folder: 1 }] });
    await mustCommit(meta, expecting);
    const put = change({ puts: [{ table: 'entries', mode: 'insert', row: entryRow(1, 1, 'a', 5) }] });
    const outcomes = await meta.commit([put, expecting]);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.ok),
      [true, false],
    );
  });

  test('without a lock in the space nothing is in the way, and what needs nothing hears of the first', async () => {
    await using meta = await opened(open);
    const bare = change({ expects: [{ kind: 'locks', space: 1, held: [] }] });
    const lock = innerStep({ puts: [{ table: 'locks', mode: 'insert', row: lockRow(1, 7, 'n:5') }] });
    const outcomes = await meta.commit([bare, lock, bare]);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.ok),
      [true, true, false],
    );
    const fault = await mustRefuse(meta, bare, 'conflict');
    assert.equal(fault.about.expectation, 'locks');
    await mustCommit(meta, change({ expects: [{ kind: 'locks', space: 1, held: [], needs: [] }] }));
    await mustCommit(meta, { ...bare, expects: [{ kind: 'locks', space: 2, held: [] }] });
  });

  test('a write that another session’s lock forbids is refused, and names the holder and since when', async () => {
    await using meta = await opened(open);
    const intent: Rows['locks'] = { ...lockRow(1, 7, 'n:1'), mode: 'IX', isTarget: 0 };
    await mustCommit(
      meta,
      innerStep({
        puts: [
          { table: 'locks', mode: 'insert', row: lockRow(1, 7, 'n:5') },
          { table: 'locks', mode: 'insert', row: intent },
        ],
      }),
    );
    const needing = (key: string, mode: LockMode, held: readonly number[] = []): Change =>
      change({ expects: [{ kind: 'locks', space: 1, held, needs: [{ key, mode, path: '/a' }] }] });
    for (const mode of LOCK_MODES) {
      const { about } = await mustRefuse(meta, needing('n:5', mode), 'locked');
      assert.deepEqual(about, {
        ...{ path: '/a', locked_path: '/locked', holder: 'A', held_ms: 10_000, lock_token: 7 },
        expires: '1970-01-01T00:03:20.000Z',
      });
    }
    for (const mode of ['IS', 'IX'] as const) await mustCommit(meta, needing('n:1', mode));
    for (const mode of ['S', 'SIX', 'X'] as const) await mustRefuse(meta, needing('n:1', mode), 'locked');
    await mustCommit(meta, needing('n:51', 'X'), needing('n:5', 'X', [7]));
  });

  test('a lock that is presented must be held still: given back, expired and unknown ones are lost', async () => {
    await using meta = await opened(open);
    const presenting = (held: readonly number[], seconds = 100): Change => ({
      ...change({ expects: [{ kind: 'locks', space: 1, held }] }),
      now: at(seconds),
    });
    await mustRefuse(meta, presenting([7]), 'lock-lost');
    const put = { table: 'locks', mode: 'insert', row: lockRow(1, 7, 'n:5') } as const;
    await mustCommit(meta, innerStep({ puts: [put] }));
    const writing = (seconds: number): Change => ({
      ...change({ expects: [{ kind: 'locks', space: 1, held: [7], needs: [{ key: 'n:5', mode: 'X', path: '/a' }] }] }),
      now: at(seconds),
    });
    await mustCommit(meta, writing(199));
    const lost = await mustRefuse(meta, writing(200), 'lock-lost');
    assert.equal(lost.about.lock_token, 7);
    await mustRefuse(meta, presenting([7, 8]), 'lock-lost');
    // Nobody else is held off by it either, once it has ended.
    const other: Change = {
      ...writing(200),
      expects: [{ kind: 'locks', space: 1, held: [], needs: [{ key: 'n:5', mode: 'X', path: '/a' }] }],
    };
    await mustCommit(meta, other);
    await mustCommit(meta, innerStep({ deletes: [{ table: 'locks', key: [1, 7, 'n:5'] }] }));
    await mustRefuse(meta, presenting([7]), 'lock-lost');
  });

  test('reachable expects that no folder above is gone or being taken apart', async () => {
    await using meta = await opened(open);
    const folders = [folderNode(1, 2, 1), folderNode(1, 3, 2), folderNode(1, 4, 3)];
    await mustCommit(
      meta,
      change({
        puts: [
          ...folders.map((row) => ({ table: 'nodes', mode: 'insert', row }) as const),
          { table: 'nodes', mode: 'insert', row: fileNode(1, 9, null) },
        ],
      }),
    );
    const expecting = (folder: number): Change => change({ expects: [{ kind: 'reachable', space: 1, folder }] });
    await mustCommit(meta, expecting(1), expecting(4));
    await mustRefuse(meta, expecting(5), 'conflict');
    await mustRefuse(meta, expecting(9), 'conflict');
    const reap = { space: 1, kind: REAP_KIND.folder, target: 3, owner: '', died: THIS_COMMIT } as const;
    await mustCommit(meta, change({ puts: [{ table: 'reaps', mode: 'insert', row: reap }] }));
    assert.equal((await meta.get('reaps', [1, REAP_KIND.folder, 3]))?.died, 4, 'the commit that unlinked it');
    await mustCommit(meta, expecting(1), expecting(2));
    await mustRefuse(meta, expecting(3), 'conflict');
    await mustRefuse(meta, expecting(4), 'conflict');
    await mustCommit(meta, innerStep({ deletes: [{ table: 'nodes', key: [1, 3] }] }));
    await mustRefuse(meta, expecting(4), 'conflict');
  });

  test('touches of one folder add up and keep the later time, and fail when it is gone', async () => {
    await using meta = await opened(open);
    const touch = (links: number, seconds: number): Change =>
      change({ now: at(seconds, 5), touches: [{ space: 1, folder: 1, links }] });
    await mustCommit(meta, touch(1, 200), touch(1, 150), touch(-1, 300));
    const root = await meta.get('nodes', [1, 1]);
    assert.deepEqual(
      [root?.links, root?.modifiedSeconds, root?.changedSeconds, root?.changedNanoseconds, root?.born],
      [3, 300, 300, 5, 3],
    );
    const quiet = { space: 1, folder: 1, links: 0, keepsModified: true };
    await mustCommit(meta, change({ now: at(400, 5), touches: [quiet] }));
    const left = await meta.get('nodes', [1, 1]);
    assert.deepEqual([left?.links, left?.modifiedSeconds, left?.changedSeconds, left?.born], [3, 300, 400, 4]);
    const two = change({
      touches: [
        { space: 1, folder: 1, links: 1 },
        { space: 1, folder: 1, links: 1 },
      ],
    });
    await mustCommit(meta, two);
    assert.equal((await meta.get('nodes', [1, 1]))?.links, 5);
    const gone = change({ touches: [{ space: 1, folder: 7, links: 0 }] });
    assert.equal((await mustRefuse(meta, gone, 'conflict')).about.expectation, 'touch');
  });
}

function testCommits(open: OpenMeta): void {
  test('commits are numbered without gaps, their time never goes back, and they keep their change list', async () => {
    await using meta = await opened(open);
    const item = {
      node: 5,
      kind: 4,
      before: { parent: 1, name: name('a') },
      after: { parent: 2, name: name('b') },
    } as const;
    const outcomes = await mustCommit(
      meta,
      change({
        now: at(100, 9),
        record: {
          ...RECORD,
          operation: 'op',
          items: [
            { ...item, version: 3 },
            { node: 6, kind: 1 },
          ],
        },
      }),
      change({ now: at(50) }),
      innerStep({ now: at(900) }),
      change({ now: at(100, 10) }),
    );
    assert.deepEqual(
      outcomes.map((outcome) => outcome.ok && [outcome.commit, outcome.time]),
      [
        [1, at(100, 9)],
        [2, at(100, 9)],
        [2, at(100, 9)],
        [3, at(100, 10)],
      ],
    );
    const { items: _, ...who } = RECORD;
    assert.deepEqual(await meta.scan('commits', { prefix: [1], limit: 10 }), [
      { space: 1, commit: 1, ...at(100, 9), ...who, operation: 'op' },
      { space: 1, commit: 2, ...at(100, 9), ...who, operation: '' },
      { space: 1, commit: 3, ...at(100, 10), ...who, operation: '' },
    ]);
    const none = { parentBefore: null, nameBefore: null, parentAfter: null, nameAfter: null, version: null };
    assert.deepEqual(await meta.scan('changes', { prefix: [1], limit: 10 }), [
      {
        ...{ space: 1, commit: 1, sequence: 0, node: 5, kind: 4, version: 3 },
        ...{ parentBefore: 1, nameBefore: name('a'), parentAfter: 2, nameAfter: name('b') },
      },
      { ...none, space: 1, commit: 1, sequence: 1, node: 6, kind: 1 },
    ]);
    const space = await meta.get('spaces', [1]);
    assert.deepEqual([space?.head, space?.headSeconds, space?.headNanoseconds], [3, 100, 10]);
  });

  test('THIS_COMMIT becomes the number of the commit, and born is filled in', async () => {
    await using meta = await opened(open);
    const versions = { space: 1, node: 5, version: 1, content: 5, commit: 1, replacedBy: THIS_COMMIT, size: 0 };
    const times = { modifiedSeconds: 0, modifiedNanoseconds: 0, replacedSeconds: 0, replacedNode: null, heir: null };
    await mustCommit(
      meta,
      change({}),
      change({
        puts: [
          { table: 'contents', mode: 'insert', row: contentRow(1, 5) },
          { table: 'nodes', mode: 'insert', row: { ...fileNode(1, 5, 5), versionCommit: THIS_COMMIT } },
          { table: 'versions', mode: 'insert', row: { ...versions, ...times } },
        ],
      }),
    );
    const node = await meta.get('nodes', [1, 5]);
    assert.deepEqual([node?.versionCommit, node?.born], [2, 2]);
    const version = await meta.get('versions', [1, 5, 1]);
    assert.deepEqual([version?.commit, version?.replacedBy], [1, 2]);
  });

  test('bytes add to the counters of the space, and quota names both figures', async () => {
    await using meta = await opened(open);
    const quota: Change = innerStep({
      puts: [{ table: 'spaces', mode: 'replace', row: { ...spaceRow(1), quotaBytes: 100, head: 77 } }],
    });
    const adding = (live: number, history: number): Change => change({ bytes: { live, history } });
    await mustCommit(meta, adding(60, 0), quota, adding(-10, 10));
    const space = await meta.get('spaces', [1]);
    assert.deepEqual(
      [space?.liveBytes, space?.historyBytes, space?.head],
      [50, 10, 2],
      'a replaced row keeps the counters',
    );
    const fault = await mustRefuse(meta, adding(41, 0), 'quota');
    assert.deepEqual([fault.about.usedBytes, fault.about.neededBytes, fault.about.quotaBytes], [60, 101, 100]);
    await mustCommit(meta, adding(40, 0), adding(-100 + 10, 20 - 30), adding(0, 0));
    await assert.rejects(async () => meta.commit([adding(-1, 0)]), /InvariantError/);
  });

  test('a quota that is passed already still lets bytes go', async () => {
    await using meta = await opened(open);
    const quota: Change = innerStep({
      puts: [{ table: 'spaces', mode: 'replace', row: { ...spaceRow(1), quotaBytes: 10 } }],
    });
    await mustCommit(meta, change({ bytes: { live: 60, history: 0 } }), quota);
    await mustCommit(meta, change({ bytes: { live: -20, history: 20 } }), change({ bytes: { live: -20, history: 0 } }));
    await mustRefuse(meta, change({ bytes: { live: 1, history: 0 } }), 'quota');
  });

  test('an essential change that is refused fails the group', async () => {
    await using meta = await opened(open);
    const refused = change({ expects: [{ kind: 'row', table: 'nodes', key: [1, 99] }] });
    const before = await dump(meta);
    await assert.rejects(
      async () => meta.commit([change({}), refused, change({})], { essential: 2 }),
      (error) => Fault.is(error, 'conflict'),
    );
    assert.deepEqual(await dump(meta), before);
    const outcomes = await meta.commit([change({}), refused, change({})], { essential: 1 });
    assert.deepEqual(
      outcomes.map((outcome) => outcome.ok),
      [true, false, true],
    );
  });

  test('a change in a space that is not there is a conflict; a closed engine is unavailable', async () => {
    const meta = await opened(open);
    await mustRefuse(meta, { ...change({}), space: 5 }, 'conflict');
    await meta.close();
    await meta.close();
    await assert.rejects(
      async () => meta.get('spaces', [1]),
      (error) => Fault.is(error, 'unavailable'),
    );
    await assert.rejects(
      async () => meta.commit([]),
      (error) => Fault.is(error, 'unavailable'),
    );
  });
}

function testHistory(open: OpenMeta): void {
  const link = (node: number, parts: Partial<Change> = {}): Change =>
    change({ puts: [{ table: 'entries', mode: 'replace', row: entryRow(1, 1, 'a', node) }], ...parts });
  const pinned = (pin: PinRow): Change => innerStep({ puts: [{ table: 'pins', mode: 'replace', row: pin }] });
  const lives = async (meta: MetaStore): Promise<readonly (readonly number[])[]> =>
    (await meta.scan('entriesHistory', { prefix: [1], limit: 100 })).map((row) => [row.node, row.born, row.died]);

  test('a displaced row is gone when no pin needs it, and goes to history when one does', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, link(5), link(6));
    assert.deepEqual(await lives(meta), []);
    await mustCommit(meta, pinned(pinRow(1, 1, 2, 2)), link(7), link(8));
    assert.deepEqual(await lives(meta), [[6, 2, 3]], 'visible at 2, not at 3');
    await mustCommit(meta, pinned(pinRow(1, 2, 4, null)), change({}), link(9));
    assert.deepEqual(await lives(meta), [
      [6, 2, 3],
      [8, 4, 6],
    ]);
    await mustCommit(meta, change({ deletes: [{ table: 'entries', key: [1, 1, name('a')] }] }));
    assert.deepEqual((await lives(meta)).at(-1), [9, 6, 7]);
    const byNode = await meta.scan('entriesHistoryByNode', { prefix: [1, 8], limit: 10 });
    assert.deepEqual(
      byNode.map((row) => row.died),
      [6],
    );
  });

  test('a pin that has expired keeps nothing, and one that was removed keeps nothing more', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, link(5), pinned({ ...pinRow(1, 1, 0, null), expiresSeconds: 200 }));
    await mustCommit(meta, link(6, { now: at(199) }), link(7, { now: at(200) }));
    assert.deepEqual(await lives(meta), [[5, 1, 2]]);
    await mustCommit(meta, pinned(pinRow(1, 1, 0, null)), link(8));
    // Also by a change outside any space.
    await mustCommit(meta, { now: at(1), deletes: [{ table: 'pins', key: [1, 1] }] }, link(9));
    assert.deepEqual(await lives(meta), [
      [5, 1, 2],
      [7, 3, 4],
    ]);
  });

  test('a row born in the commit that displaces it leaves no history', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, pinned(pinRow(1, 1, 0, null)));
    await mustCommit(
      meta,
      change({
        touches: [
          { space: 1, folder: 1, links: 1 },
          { space: 1, folder: 1, links: 1 },
        ],
      }),
    );
    const past = await meta.scan('nodesHistory', { prefix: [1], limit: 10 });
    assert.deepEqual(
      past.map((row) => [row.node, row.links, row.born, row.died]),
      [[1, 2, 0, 1]],
    );
  });

  test('an inner step counts as part of the head commit: what it displaces was visible before the head only', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, link(5), pinned(pinRow(1, 1, 0, null)), change({}));
    const { record: _, ...step } = link(6);
    await mustCommit(meta, step);
    assert.deepEqual(await lives(meta), [[5, 1, 2]]);
    assert.equal((await meta.get('entries', [1, 1, name('a')]))?.born, 2);
    await mustCommit(meta, { ...step, now: at(101) });
    assert.deepEqual(await lives(meta), [[5, 1, 2]], 'born and died at the head: visible at no commit');
  });

  test('what is reaped goes to history as if it had died when it became unreachable', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, link(5), pinned(pinRow(1, 1, 0, 3)), change({}), change({}), change({}));
    await mustCommit(meta, innerStep({ died: 2, deletes: [{ table: 'entries', key: [1, 1, name('a')] }] }));
    assert.deepEqual(await lives(meta), [[5, 1, 2]]);
  });
}

function testReferences(open: OpenMeta): void {
  const id = bytes(7, 0, 255);
  const file = (node: number, content: number, chunk: Uint8Array | null): Change =>
    change({
      puts: [
        ...(chunk === null ? [] : [{ table: 'chunks', mode: 'keep', row: chunkRow(chunk) } as const]),
        { table: 'contents', mode: 'insert', row: contentRow(1, content) },
        { table: 'extents', mode: 'insert', row: extentRow(1, content, 0, chunk) },
        { table: 'nodes', mode: 'insert', row: fileNode(1, node, content) },
      ],
    });
  const remove = (node: number): Change => change({ now: at(500), deletes: [{ table: 'nodes', key: [1, node] }] });
  const reap = (content: number): Change =>
    innerStep({
      now: at(600),
      deletes: [
        { table: 'extents', key: [1, content, 0] },
        { table: 'contents', key: [1, content] },
        { table: 'reaps', key: [1, REAP_KIND.content, content] },
      ],
    });
  const chunkCounts = async (meta: MetaStore): Promise<readonly unknown[]> => {
    const chunk = await meta.get('chunks', [1, id]);
    const pack = await meta.get('packs', [1, 1]);
    return [chunk?.refs, chunk?.zeroSeconds, pack?.liveCount, pack?.liveBytes];
  };

  test('a chunk is counted by the rows that name it, and its pack by the chunks that live', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, file(5, 5, id));
    assert.deepEqual(await chunkCounts(meta), [1, null, 1, 10]);
    await mustCommit(meta, file(6, 6, id));
    assert.deepEqual(await chunkCounts(meta), [2, null, 1, 10]);
    await mustCommit(meta, remove(5), reap(5));
    assert.deepEqual(await chunkCounts(meta), [1, null, 1, 10]);
    await mustCommit(meta, remove(6), reap(6));
    assert.deepEqual(await chunkCounts(meta), [0, 600, 0, 0]);
    await mustCommit(meta, file(7, 7, id));
    assert.deepEqual(await chunkCounts(meta), [1, null, 1, 10], 'a dying chunk is revived by who names it');
    assert.deepEqual(await problemsOf(meta), []);
  });

  test('a content that nobody names is queued, and a queued one cannot be named again', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, file(5, 5, null), remove(5));
    assert.equal((await meta.get('contents', [1, 5]))?.refs, 0);
    assert.deepEqual(await meta.get('reaps', [1, REAP_KIND.content, 5]), {
      space: 1,
      kind: 1,
      target: 5,
      owner: '',
      died: 2,
    });
    const again = change({ puts: [{ table: 'nodes', mode: 'insert', row: fileNode(1, 6, 5) }] });
    await mustRefuse(meta, again, 'conflict');
    await mustCommit(meta, reap(5));
    await mustRefuse(meta, again, 'conflict');
  });

  test('a content built hidden is linked by the change that removes the note of its builder', async () => {
    await using meta = await opened(open);
    const note = { space: 1, kind: REAP_KIND.content, target: 5, owner: 'me', died: THIS_COMMIT } as const;
    await mustCommit(
      meta,
      innerStep({
        puts: [
          { table: 'contents', mode: 'insert', row: contentRow(1, 5) },
          { table: 'reaps', mode: 'insert', row: note },
        ],
      }),
    );
    assert.deepEqual(await problemsOf(meta), []);
    const link = change({
      puts: [
        { table: 'contents', mode: 'replace', row: { ...contentRow(1, 5), size: 77 } },
        { table: 'nodes', mode: 'insert', row: fileNode(1, 5, 5) },
      ],
    });
    await mustRefuse(meta, link, 'conflict');
    await mustCommit(meta, { ...link, deletes: [{ table: 'reaps', key: [1, REAP_KIND.content, 5] }] });
    const content = await meta.get('contents', [1, 5]);
    assert.deepEqual([content?.refs, content?.size], [1, 77]);
    assert.deepEqual(await problemsOf(meta), []);
  });

  test('a row that moves to history goes on naming its content and chunk', async () => {
    await using meta = await opened(open);
    const pin: Change = innerStep({ puts: [{ table: 'pins', mode: 'insert', row: pinRow(1, 1, 0, null) }] });
    await mustCommit(meta, pin, file(5, 5, id), remove(5));
    assert.equal((await meta.get('contents', [1, 5]))?.refs, 1);
    await mustRefuse(meta, reap(5), 'conflict');
    await mustCommit(meta, change({ deletes: [{ table: 'extents', key: [1, 5, 0] }] }));
    assert.deepEqual(await chunkCounts(meta), [1, null, 1, 10]);
    assert.equal((await rowsOf(meta, 'extentsHistory')).length, 1);
    await mustCommit(
      meta,
      innerStep({
        deletes: [
          { table: 'pins', key: [1, 1] },
          { table: 'nodesHistory', key: [1, 5, 2] },
          { table: 'extentsHistory', key: [1, 5, 0, 3] },
        ],
      }),
    );
    assert.equal((await meta.get('chunks', [1, id]))?.refs, 0);
    assert.deepEqual(await meta.get('reaps', [1, REAP_KIND.content, 5]), {
      space: 1,
      kind: 1,
      target: 5,
      owner: '',
      died: 3,
    });
    assert.deepEqual(await problemsOf(meta), []);
  });

  test('extents of a content that nobody names leave no history', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, file(5, 5, id), remove(5));
    await mustCommit(meta, innerStep({ puts: [{ table: 'pins', mode: 'insert', row: pinRow(1, 1, 0, null) }] }));
    await mustCommit(meta, { ...reap(5), died: 2 });
    assert.deepEqual(await rowsOf(meta, 'extentsHistory'), []);
    assert.deepEqual(await chunkCounts(meta), [0, 600, 0, 0]);
  });

  test('naming a chunk that is not there is gone, and says which', async () => {
    await using meta = await opened(open);
    const named = file(5, 5, null);
    const extents = [id, bytes(9)].map(
      (chunk, i) => ({ table: 'extents', mode: 'insert', row: extentRow(1, 5, i + 1, chunk) }) as const,
    );
    const fault = await mustRefuse(meta, { ...named, puts: [...(named.puts ?? []), ...extents] }, 'gone');
    assert.deepEqual(fault.about.chunks, ['0700ff', '09']);
    const elsewhere = { table: 'chunks', mode: 'keep', row: { ...chunkRow(id), pack: 8 } } as const;
    const chunkless = file(5, 5, id);
    const inLostPack = { ...chunkless, puts: [elsewhere, ...(chunkless.puts ?? []).slice(1)] };
    assert.deepEqual((await mustRefuse(meta, inLostPack, 'gone')).about, { pack: 8, chunks: ['0700ff'] });
  });

  test('a pack loses its row only while none of the chunks that it is said to have names it', async () => {
    await using meta = await opened(open);
    const expecting = (pack: number, ...chunks: readonly Uint8Array[]): Change =>
      innerStep({ expects: [{ kind: 'unnamed', realm: 1, pack, chunks }] });
    await mustCommit(meta, expecting(1, id), file(5, 5, id), expecting(2, id), expecting(1, bytes(9)));
    const fault = await mustRefuse(meta, expecting(1, bytes(9), id), 'conflict');
    assert.deepEqual([fault.about.expectation, fault.about.found], ['unnamed', { pack: 1, refs: 1 }]);
    await mustCommit(meta, remove(5), reap(5));
    // A row is a name, whoever refers to it.
    await mustRefuse(meta, expecting(1, id), 'conflict');
    await mustCommit(meta, innerStep({ deletes: [{ table: 'chunks', key: [1, id] }] }), expecting(1, id));
  });

  test('a chunk that is removed with the last row that names it takes its share from the pack', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, file(5, 5, id));
    await mustCommit(
      meta,
      change({
        deletes: [
          { table: 'chunks', key: [1, id] },
          { table: 'extents', key: [1, 5, 0] },
        ],
      }),
    );
    assert.deepEqual(await chunkCounts(meta), [undefined, undefined, 0, 0]);
  });

  test('a base is counted by its dependants, must be there, and must be of lower depth', async () => {
    await using meta = await opened(open);
    const [base, other] = [bytes(1), bytes(2)];
    const put = (chunk: Uint8Array, on: Uint8Array | null, depth: number): Change =>
      innerStep({ puts: [{ table: 'chunks', mode: 'keep', row: { ...chunkRow(chunk), base: on, depth } }] });
    await mustRefuse(meta, put(id, base, 1), 'gone');
    await mustCommit(meta, put(base, null, 0), put(other, base, 1));
    await mustRefuse(meta, put(id, other, 1), 'gone');
    await mustCommit(meta, put(id, other, 2));
    assert.equal((await meta.get('chunks', [1, base]))?.refs, 1);
    assert.deepEqual(
      [(await meta.get('packs', [1, 1]))?.liveCount, (await meta.get('chunks', [1, base]))?.zeroSeconds],
      [2, null],
    );
    const drop = (chunk: Uint8Array): Change => innerStep({ deletes: [{ table: 'chunks', key: [1, chunk] }] });
    await mustRefuse(meta, drop(other), 'conflict');
    await mustCommit(meta, drop(id), drop(other), drop(base));
    assert.deepEqual((await meta.get('packs', [1, 1]))?.liveCount, 0);
    assert.deepEqual(await problemsOf(meta), []);
  });

  test('a replaced pack or chunk keeps its counts, and a chunk takes its living share with it to another pack', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, file(5, 5, id));
    await mustCommit(meta, {
      now: at(1),
      puts: [
        { table: 'packs', mode: 'replace', row: { ...packRow(1), lengthBytes: 99 } },
        { table: 'packs', mode: 'insert', row: packRow(2) },
      ],
    });
    const pack = await meta.get('packs', [1, 1]);
    assert.deepEqual([pack?.lengthBytes, pack?.liveCount, pack?.liveBytes], [99, 1, 10]);
    await mustRefuse(meta, { now: at(1), deletes: [{ table: 'packs', key: [1, 1] }] }, 'conflict');
    const moved = { ...chunkRow(id), pack: 2, storedLength: 4 };
    await mustCommit(meta, { now: at(1), puts: [{ table: 'chunks', mode: 'replace', row: moved }] });
    const counts = await Promise.all([1, 2].map((number) => meta.get('packs', [1, number])));
    assert.deepEqual(
      counts.map((row) => [row?.liveCount, row?.liveBytes]),
      [
        [0, 0],
        [1, 4],
      ],
    );
    assert.equal((await meta.get('chunks', [1, id]))?.refs, 1);
    await mustCommit(meta, { now: at(1), deletes: [{ table: 'packs', key: [1, 1] }] });
    assert.deepEqual(await problemsOf(meta), []);
  });

  test('a counted row that is deleted and replaced in one change keeps its counts, inserted it has those it is given', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, file(5, 5, id), file(6, 6, id));
    const renew = (mode: 'replace' | 'insert', refs: number, liveCount: number): Change => ({
      now: at(900),
      deletes: [
        { table: 'chunks', key: [1, id] },
        { table: 'packs', key: [1, 1] },
      ],
      puts: [
        { table: 'packs', mode, row: { ...packRow(1), liveCount, liveBytes: 10 * liveCount } },
        { table: 'chunks', mode, row: { ...chunkRow(id), refs } },
      ],
    });
    await mustCommit(meta, renew('replace', 7, 7));
    assert.deepEqual(await chunkCounts(meta), [2, null, 1, 10]);
    // The chunk lives before and after, so it adds nothing to what the pack is given.
    await mustCommit(meta, renew('insert', 3, 1));
    assert.deepEqual(await chunkCounts(meta), [3, null, 1, 10]);
    await mustCommit(meta, renew('insert', 0, 1));
    assert.deepEqual(await chunkCounts(meta), [0, 900, 0, 0]);
  });

  test('recounting writes every count anew from the rows', async () => {
    await using meta = await opened(open);
    await mustCommit(meta, file(5, 5, id), file(6, 6, id), remove(6));
    const good = await dump(meta);
    assert.equal(await meta.recount(at(700)), 0);
    assert.deepEqual(await dump(meta), good);
    await mustCommit(
      meta,
      innerStep({
        puts: [
          { table: 'packs', mode: 'insert', row: { ...packRow(2), liveBytes: 5, liveCount: 1 } },
          { table: 'contents', mode: 'insert', row: { ...contentRow(1, 9), refs: 4 } },
          { table: 'chunks', mode: 'insert', row: { ...chunkRow(bytes(1)), refs: 2 } },
          { table: 'chunks', mode: 'insert', row: { ...chunkRow(bytes(2)), refs: 3, pack: 2 } },
        ],
      }),
    );
    assert.equal(await meta.recount(at(700)), 5);
    assert.deepEqual(await problemsOf(meta), []);
    assert.deepEqual((await meta.get('chunks', [1, bytes(1)]))?.zeroSeconds, 700);
    assert.deepEqual((await meta.get('reaps', [1, REAP_KIND.content, 9]))?.owner, '');
    assert.deepEqual(await chunkCounts(meta), [2, null, 1, 10]);
  });
}

function testCheck(open: OpenMeta): void {
  test('a check names counts that do not add up, and what is named but not there', async () => {
    await using meta = await opened(open);
    await mustCommit(
      meta,
      innerStep({
        puts: [
          { table: 'contents', mode: 'insert', row: { ...contentRow(1, 5), refs: 3 } },
          { table: 'chunks', mode: 'insert', row: { ...chunkRow(bytes(1)), refs: 2 } },
          { table: 'packs', mode: 'insert', row: { ...packRow(2), liveBytes: 5, liveCount: 1 } },
          { table: 'spaces', mode: 'insert', row: { ...spaceRow(2), head: 3 } },
          {
            table: 'commits',
            mode: 'insert',
            row: { space: 2, commit: 4, ...at(1), actor: '', door: '', request: '', kind: '', operation: '' },
          },
        ],
      }),
    );
    const found = (await problemsOf(meta)).map(({ table: where, about }) => [where, about]);
    assert.deepEqual(found, [
      ['contents', { key: { space: 1, content: 5 }, stored: { refs: 3 }, counted: { refs: 0 } }],
      ['chunks', { key: { realm: 1, id: '01' }, stored: { refs: 2 }, counted: { refs: 0 } }],
      [
        'packs',
        { key: { realm: 1, pack: 2 }, stored: { liveCount: 1, liveBytes: 5 }, counted: { liveCount: 0, liveBytes: 0 } },
      ],
      ['spaces', { key: { space: 2 }, what: 'has a head that lies before a commit of it' }],
    ]);
  });

  test('a check that is given up ends', async () => {
    await using meta = await opened(open);
    await assert.rejects(
      async () => gathered(meta.check({ signal: AbortSignal.abort() })),
      (error) => Fault.is(error, 'aborted'),
    );
  });
}

/** Runs of the property, and groups of a few changes that each makes. */
const RUNS = 25;
const GROUPS_MAX = 40;

function testRandomChanges(open: OpenMeta): void {
  test('random changes leave what the model says, also in history, and refused ones nothing', async () => {
    const group = fc.array(fc.nat(), { minLength: 1, maxLength: 3 });
    const groups = fc.array(group, { maxLength: GROUPS_MAX, size: 'max' });
    const property = fc.asyncProperty(groups, (each) => runRandomChanges(open, each));
    await fc.assert(property, { numRuns: RUNS });
  });
}

async function runRandomChanges(open: OpenMeta, groups: readonly (readonly number[])[]): Promise<void> {
  await using meta = await open();
  const model = new Model();
  for (const first of [...firstChanges(1), ...firstChanges(2)]) {
    assert.deepEqual(model.apply(first), []);
    await mustCommit(meta, first);
  }
  const pins = new PinWatch();
  for (const group of groups) {
    const changes: Change[] = [];
    const expected: (readonly FaultCode[])[] = [];
    for (const seed of group) {
      const made = anyChange(new Dice(seed), model);
      changes.push(made);
      expected.push(model.apply(made));
      pins.see(model);
    }
    const outcomes = await meta.commit(changes);
    for (const [i, outcome] of outcomes.entries()) {
      const codes = expected[i] ?? [];
      const wanted = `${codes.join(' or ') || 'ok'}, but: ${outcome.ok ? 'ok' : outcome.fault.message}`;
      assert.ok(outcome.ok ? codes.length === 0 : codes.includes(outcome.fault.code), wanted);
    }
    const found = await dump(meta);
    for (const each of TABLE_NAMES) assert.deepEqual(found[each], model.rows(each), each);
  }
  await checkPictures(meta, model, pins);
  checkNumbers(model);
  assert.deepEqual(await problemsOf(meta), []);
}

/** Remembers since which commit each pin stands unchanged. */
class PinWatch {
  readonly #since = new Map<string, { readonly row: string; readonly pin: PinRow; readonly head: number }>();

  see(model: Model): void {
    const rows = model.rows('pins') as unknown as readonly PinRow[];
    const ids = new Set(rows.map((pin) => `${pin.space} ${pin.pin}`));
    for (const id of this.#since.keys()) if (!ids.has(id)) this.#since.delete(id);
    for (const pin of rows) {
      const [id, row] = [`${pin.space} ${pin.pin}`, JSON.stringify(pin)];
      if (this.#since.get(id)?.row === row) continue;
      const head = model.get<Rows['spaces']>('spaces', [pin.space])?.head ?? 0;
      this.#since.set(id, { row, pin, head });
    }
  }

  /** Pins that never expire, with the first commit that they must have kept whole. */
  kept(): readonly { readonly pin: PinRow; readonly head: number }[] {
    return [...this.#since.values()].filter(({ pin }) => pin.expiresSeconds === null);
  }
}

/** Everything visible at a pinned commit is still there: live rows and history together are the picture of then. */
async function checkPictures(meta: MetaStore, model: Model, pins: PinWatch): Promise<void> {
  const all = await dump(meta);
  for (const { pin, head } of pins.kept()) {
    const last = model.get<Rows['spaces']>('spaces', [pin.space])?.head ?? 0;
    for (let commit = Math.max(head, pin.fromCommit); commit <= Math.min(pin.toCommit ?? last, last); commit++) {
      const picture = model.pictures.get(`${pin.space} ${commit}`);
      for (const name of VISIBLE_TABLES) {
        if (name === 'extents') continue;
        const then = [...(picture?.get(name)?.values() ?? [])];
        assert.deepEqual(
          sortedRows(name, visibleRows(all, name, pin.space, commit)),
          sortedRows(name, then),
          `${name} at ${commit}`,
        );
        await checkPast(pastRows(meta, commit), name, pin.space, sortedRows(name, then));
      }
      const named = new Set([...(picture?.get('nodes')?.values() ?? [])].map((row) => row.content));
      const ofNamed = (row: Row): boolean => named.has(row.content ?? 0);
      const then = [...(picture?.get('extents')?.values() ?? [])].filter(ofNamed);
      const now = visibleRows(all, 'extents', pin.space, commit).filter(ofNamed);
      assert.deepEqual(sortedRows('extents', now), sortedRows('extents', then), `extents at ${commit}`);
    }
  }
}

/** The past read in pages, forwards and backwards, and row by row, is the picture. */
async function checkPast(
  past: MetaReader,
  name: (typeof VISIBLE_TABLES)[number],
  space: number,
  picture: readonly Row[],
): Promise<void> {
  const bare = (rows: readonly object[]): unknown[] => rows.map((row) => ({ ...row }));
  for (const reverse of [false, true]) {
    const found: Row[] = [];
    for (let limit = 1; ; limit++) {
      const last = found.at(-1);
      const after = last === undefined ? {} : { after: keyOf(table(name), last).slice(1) };
      const page = await past.scan(name, { prefix: [space], ...after, limit, reverse });
      found.push(...(page as unknown as readonly Row[]));
      if (page.length < limit) break;
    }
    assert.deepEqual(bare(found), bare(reverse ? picture.toReversed() : picture), `the past of ${name}`);
  }
  for (const row of picture)
    assert.deepEqual({ ...(await past.get(name, keyOf(table(name), row) as never)) }, { ...row }, name);
  if (name !== 'entries') return;
  for (const node of new Set(picture.map((row) => Number(row.node)))) {
    const names = await past.scan('entriesByNode', { prefix: [space, node], limit: 1_000 });
    const then = picture.filter((row) => row.node === node);
    assert.deepEqual(bare(names), bare(then), 'the names that a node had');
    assert.deepEqual(
      bare(await past.scan('entriesByNode', { prefix: [space, node], limit: 1 })),
      bare(then.slice(0, 1)),
    );
  }
}

function visibleRows(
  all: Readonly<Record<string, readonly Row[]>>,
  name: TableName,
  space: number,
  commit: number,
): readonly Row[] {
  const isBorn = (row: Row): boolean => row.space === space && Number(row.born) <= commit;
  const past = (all[table(name).history ?? name] ?? []).filter((row) => isBorn(row) && Number(row.died) > commit);
  const bare = past.map(({ died: _, ...row }) => row);
  return [...(all[name] ?? []).filter(isBorn), ...bare];
}

function sortedRows(name: TableName, rows: readonly Row[]): readonly Row[] {
  const id = (row: Row): string => keyString(keyOf(table(name), row));
  return rows.toSorted((a, b) => (id(a) < id(b) ? -1 : 1));
}

function checkNumbers(model: Model): void {
  for (const space of model.rows('spaces') as unknown as readonly Rows['spaces'][]) {
    const commits = (model.rows('commits') as unknown as readonly Rows['commits'][]).filter(
      (row) => row.space === space.space,
    );
    assert.deepEqual(
      commits.map((row) => row.commit),
      Array.from({ length: space.head }, (_, i) => i + 1),
    );
    for (const [i, row] of commits.entries()) assert.ok(i === 0 || row.seconds >= (commits[i - 1]?.seconds ?? 0));
  }
}
