/** The past where much has happened to one name; that it is right at all is judged by contract.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entryRow } from '../contract/contract-rows.ts';
import type { MetaReader } from '../meta-store.ts';
import type { EntryRow, Past } from '../rows/rows.ts';
import { openSqliteFile } from '../sqlite/sqlite-file.ts';
import { pastRows } from './past.ts';

const LIVES = 5_000;

test('a name that was replaced thousands of times is jumped over, forwards and backwards', async () => {
  await using meta = openSqliteFile(':memory:');
  const row = (name: string, life: number): Past<EntryRow> => ({
    ...entryRow(1, 2, name, life),
    born: life,
    died: life + 1,
  });
  const busy = Array.from({ length: LIVES }, (_, i) => row('busy', i + 1));
  const others = ['a', 'z'].map((name) => ({ ...row(name, 1), died: LIVES + 1 }));
  await meta.write(
    [...busy, ...others].map((past) => ({
      table: 'entriesHistory',
      key: [past.space, past.parent, past.name, past.died],
      row: { ...past },
      isNew: true,
    })),
  );
  let rowsRead = 0;
  const counting: MetaReader = {
    get: (table, key) => meta.get(table, key),
    scan: (name, range) => {
      const found = meta.scan(name, range);
      rowsRead += (found as readonly unknown[]).length;
      return found;
    },
  };
  const names = (rows: readonly EntryRow[]): string[] => rows.map(({ name }) => Buffer.from(name).toString());
  for (const at of [1, 2, 4_000]) {
    rowsRead = 0;
    const past = pastRows(counting, at);
    const forwards = await past.scan('entries', { prefix: [1, 2], limit: 100 });
    assert.deepEqual(names(forwards), ['a', 'busy', 'z']);
    assert.equal(forwards[1]?.node, at);
    assert.ok(!('died' in (forwards[0] ?? {})));
    assert.ok(rowsRead < 1_000, `${rowsRead} rows read for three names`);
    const backwards = await past.scan('entries', { prefix: [1, 2], limit: 100, reverse: true });
    assert.deepEqual(names(backwards), ['z', 'busy', 'a']);
  }
});
