/** What is kept between changes: that a space has none of something is asked once, and forgotten when it may be untrue. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../../base/index.ts';
import { at, firstChanges, lockRow, RECORD } from '../contract/contract-rows.ts';
import { MemoryMeta } from '../memory/memory-meta.ts';
import type { Change } from '../meta-store.ts';
import { REAP_KIND } from '../rows/rows.ts';
import { Pending } from './pending.ts';

const locked: Change = { space: 1, now: at(1), puts: [{ table: 'locks', mode: 'insert', row: lockRow(1, 7, 'n:5') }] };
const unlocked: Change = { space: 1, now: at(1), deletes: [{ table: 'locks', key: [1, 7, 'n:5'] }] };
const unlinked: Change = {
  ...{ space: 1, now: at(1) },
  puts: [{ table: 'reaps', mode: 'insert', row: { space: 1, kind: REAP_KIND.folder, target: 1, owner: '', died: 0 } }],
};
const plain: Change = {
  ...{ space: 1, now: at(1), record: RECORD },
  expects: [
    { kind: 'locks', space: 1, held: [] },
    { kind: 'reachable', space: 1, folder: 1 },
  ],
};

async function stand(): Promise<{ readonly pending: Pending; readonly scans: string[]; readonly meta: MemoryMeta }> {
  const meta = new MemoryMeta({ synchronousReads: true });
  await meta.commit(firstChanges(1));
  const scans: string[] = [];
  const pending = new Pending({
    get: (name, key) => meta.rows.get(name, key),
    scan: (name, range) => {
      scans.push(name);
      return meta.rows.scan(name, range);
    },
  });
  return { pending, scans, meta };
}

function isRefused(pending: Pending, expectation: string): void {
  assert.throws(
    () => pending.apply(plain),
    (error) => Fault.is(error, 'conflict') && error.about.expectation === expectation,
  );
}

test('that a space has no locks and no unlinked folders is asked once for many changes', async () => {
  const { pending, scans } = await stand();
  pending.begin();
  for (let i = 0; i < 10; i++) pending.apply(plain);
  assert.deepEqual(scans.sort(), ['locks', 'reaps']);
});

test('a lock, or a folder that is unlinked, is seen by the change right behind it', async () => {
  const { pending } = await stand();
  pending.begin();
  pending.apply(plain);
  pending.apply(locked);
  isRefused(pending, 'locks');
  pending.apply(unlocked);
  pending.apply(plain);
  pending.apply(unlinked);
  isRefused(pending, 'reachable');
});

test('a lock that was given back in a group which is lost is there again', async () => {
  const { pending, meta } = await stand();
  await meta.commit([locked]);
  const layer = pending.begin();
  pending.apply(unlocked);
  pending.apply(plain);
  pending.drop(layer);
  pending.begin();
  isRefused(pending, 'locks');
});
