/** Rows on their way to another thread come out as they went in, with the checksum that every reader asks for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EMPTY_BYTES } from '../../base/index.ts';
import type { SqlValue } from '../sql.ts';
import { checksumOf } from './row-checksum.ts';
import { RowRunWriter, readRowRuns } from './row-runs.ts';
import type { RowWrite } from './row-source.ts';
import { type ColumnType, keyOf, type Row, TABLE_NAMES, table, type Value } from './tables.ts';

const long = fc.uint8Array({ maxLength: 2_000 });
const int = fc.oneof(
  fc.maxSafeInteger(),
  fc.constantFrom(0, -1, 2 ** 31, -(2 ** 31), 2 ** 32, -(2 ** 32), 2 ** 53 - 1, 1 - 2 ** 53),
);
const VALUES: Readonly<Record<ColumnType, fc.Arbitrary<Value>>> = {
  int,
  'int?': fc.option(int),
  text: fc.oneof(fc.string({ unit: 'binary' }), fc.string({ minLength: 600, maxLength: 700 })),
  bytes: long,
  'bytes?': fc.option(long),
};

const anyWrite: fc.Arbitrary<RowWrite> = fc
  .tuple(fc.constantFrom(...TABLE_NAMES), fc.constantFrom('insert', 'replace', 'delete'))
  .chain(([name, verb]) => {
    const of = table(name);
    const values = of.types.map((type) => VALUES[type]);
    return fc.tuple(...values).map((each): RowWrite => {
      const row: Row = Object.fromEntries(of.columns.map((column, i) => [column, each[i] ?? null]));
      return { table: name, key: keyOf(of, row), row: verb === 'delete' ? undefined : row, isNew: verb === 'insert' };
    });
  });

interface Seen {
  readonly table: string;
  readonly values?: readonly SqlValue[];
  readonly key?: readonly SqlValue[];
  readonly isNew?: boolean;
}

function seenIn(bytes: Uint8Array<ArrayBuffer>): readonly Seen[] {
  const seen: Seen[] = [];
  const plain = (value: SqlValue): SqlValue => (value instanceof Uint8Array ? new Uint8Array(value) : value);
  readRowRuns(bytes, {
    put: (of, values, isNew) => seen.push({ table: of.name, values: values.map(plain), isNew }),
    delete: (of, key) => seen.push({ table: of.name, key: key.map(plain) }),
  });
  return seen;
}

function meantBy({ table: name, key, row, isNew }: RowWrite): Seen {
  if (row === undefined) return { table: name, key };
  const of = table(name);
  const values = of.columns.map((column) => row[column] ?? null);
  return { table: name, values: [...values, checksumOf(of, values) ?? null], isNew };
}

test('rows come out of a run as they went in, in order, with their checksums', () => {
  fc.assert(
    fc.property(fc.array(anyWrite, { maxLength: 20 }), fc.nat(20), (writes, cut) => {
      const run = new RowRunWriter();
      for (const write of writes.slice(0, cut)) run.put(write);
      const first = run.take();
      for (const write of writes.slice(cut)) run.put(write);
      assert.deepEqual([...seenIn(first), ...seenIn(run.take())], writes.map(meantBy));
      assert.equal(run.lengthBytes, 0);
    }),
    { numRuns: 500 },
  );
});

test('a short view of much memory takes only its own bytes along', () => {
  const run = new RowRunWriter();
  const view = new Uint8Array(1024 * 1024).subarray(7, 10);
  run.put({ table: 'attributes', key: [1, 2, view], row: undefined, isNew: false });
  assert.ok(run.lengthBytes < 100);
});

test('a row that does not fit its table is noticed where it is packed', () => {
  const good: Row = { name: 'a', next: 1 };
  for (const bad of [{ next: 2 ** 53 }, { next: 0.5 }, { next: null }, { next: '1' }, { name: 1 }, { name: '\ud800' }])
    assert.throws(
      () =>
        new RowRunWriter().put({
          table: 'counters',
          key: ['a'],
          row: { ...good, ...bad } as Row,
          isNew: true,
        }),
      /InvariantError/,
      JSON.stringify(bad),
    );
  const missing = { table: 'counters', key: ['a'], row: { name: 'a' }, isNew: true } as const;
  assert.throws(() => new RowRunWriter().put(missing), /InvariantError/);
});

test('what is taken shares no memory with anybody, also when it is nothing', () => {
  const run = new RowRunWriter();
  const taken = [run.take(), run.take()];
  run.put({ table: 'counters', key: ['a'], row: undefined, isNew: false });
  taken.push(run.take(), run.take());
  assert.equal(new Set([EMPTY_BYTES, ...taken].map(({ buffer }) => buffer)).size, 5);
});
