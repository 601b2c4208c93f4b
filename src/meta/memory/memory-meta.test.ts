/** The memory engine keeps the contract, whether its reads answer at once or later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testMetaStore } from '../contract/contract.ts';
import { bytes, entryRow, firstChanges } from '../contract/contract-rows.ts';
import { MemoryMeta } from './memory-meta.ts';

testMetaStore('memory metadata that answers later', () => new MemoryMeta());
testMetaStore('memory metadata that answers at once', () => new MemoryMeta({ synchronousReads: true }));

test('memory metadata keeps 100,000 rows in order', async () => {
  await using meta = new MemoryMeta({ synchronousReads: true });
  await meta.commit(firstChanges());
  const now = { seconds: 1, nanoseconds: 0 };
  for (let step = 0; step < 100; step++) {
    const rows = Array.from({ length: 1_000 }, (_, i) => entryRow(1, 1, `${(i * 7919 + step) % 1_000}/${step}`, i + 1));
    await meta.commit([{ space: 1, now, puts: rows.map((row) => ({ table: 'entries', mode: 'insert', row })) }]);
  }
  let after: readonly Uint8Array[] = [bytes()];
  let count = 0;
  for (;;) {
    const page = await meta.scan('entries', { prefix: [1, 1], after, limit: 7_777 });
    count += page.length;
    const last = page.at(-1);
    if (last === undefined) break;
    after = [last.name];
  }
  assert.equal(count, 100_000);
});
