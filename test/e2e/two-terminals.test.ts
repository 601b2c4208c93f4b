/** Whoever reads in one terminal is not disturbed by whatever is done in another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { whyNoMount } from './fuse-mount.ts';
import { holdfast } from './holdfast.ts';
import { bothFor, mountForReader } from './two-terminals.ts';

const SCALE = Number(process.env.TEST_HOLDFAST_SCALE ?? 1);
const SECONDS = 6;
/** Everything once, 60 files and two times `find` and `sha256sum`, on a machine that is busy. */
const ROUND_MS_MAX = 10_000 * SCALE;
const limits = { skip: whyNoMount() ?? false, timeout: 180_000 * SCALE } as const;

test('find, cat and sha256sum go on beside writes, renames, snapshots, deletes and collections', limits, async () => {
  await using mounted = await mountForReader(1);
  const { reader, writer } = await bothFor(mounted, SECONDS, 2);
  assert.deepEqual(reader.problems, []);
  assert.ok(reader.rounds >= 2, `${reader.rounds} rounds`);
  assert.ok(reader.roundMsMax < ROUND_MS_MAX, `a round took ${reader.roundMsMax} ms`);
  assert.ok(writer.files > 0 && writer.snapshots > 0, JSON.stringify(writer));
  const { code, stdout, stderr } = await holdfast(['--store', mounted.store, 'check']);
  assert.equal(code, 0, `${stdout}${stderr}`);
});
