/**
 * The mount does what a Linux file system does: every case of posix/ runs on a fresh ext4 and on the mount of a store, and
 * their outcomes are the same. ext4 against itself shows that the cases say the same thing twice; a server that answers
 * slowly or never is a difference, not a hang.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Mount, mountExt4, whyNoExt4 } from './ext4.ts';
import { temporaryFolder } from './holdfast.ts';
import { mountStore } from './mounted.ts';
import { CASES } from './posix/cases.ts';
import { differences, type Outcomes, report, runSuite } from './posix/compare.ts';

const CASE_COUNT_MIN = 300;
const skip = whyNoExt4() ?? false;
const limits = { skip, timeout: 280_000 * Number(process.env.TEST_HOLDFAST_SCALE ?? 1) };
if (skip !== false) process.stderr.write(`# SKIPPED: the POSIX suite does not run: ${skip}\n`);

let oracle: Promise<Outcomes> | undefined;

function onExt4(): Promise<Outcomes> {
  oracle ??= runOn(mountExt4());
  return oracle;
}

async function runOn(mount: Mount): Promise<Outcomes> {
  using held = mount;
  return await runSuite(held.path);
}

test('cases have names of their own, and are many', () => {
  const names = CASES.map(({ name }) => name);
  assert.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  );
  assert.ok(names.length >= CASE_COUNT_MIN, `${names.length} cases`);
});

test('a case that blocks or ends its process is an outcome, and the others run', limits, async () => {
  const module = join(import.meta.dirname, 'posix/cases-that-end-badly.ts');
  using folder = temporaryFolder();
  const run = (name: string): Promise<Outcomes> => {
    mkdirSync(join(folder.path, name));
    return runSuite(join(folder.path, name), { module, caseMsMax: 2_000 });
  };
  const [first, second] = [await run('first'), await run('second')];
  assert.equal(first.get('well'), 'well');
  assert.deepEqual(first.get('blocks'), { process: 'gave no answer in 2 s' });
  assert.deepEqual(first.get('ends'), { process: 'ended with SIGKILL' });
  assert.deepEqual(first.get('throws'), { stopped: 'mkdir: ENOENT' });
  assert.match(report(differences(first, second)), /^differs\n {4}other: oracle "[\d.]+", here "[\d.]+"$/);
});

test('ext4 agrees with itself, and no case breaks', limits, async () => {
  const [first, second] = [await onExt4(), await runOn(mountExt4())];
  assert.equal(report(differences(first, second)), '');
  // A case that ends early shows little: on the oracle each comes to its end.
  const unfinished = [...first].filter(([, outcome]) =>
    /^\{"(stopped|broke|process|missing)":/.test(JSON.stringify(outcome)),
  );
  assert.deepEqual(unfinished, []);
});

test('a mounted store does in every case what ext4 does', limits, async () => {
  const expected = await onExt4();
  await using mount = await mountStore();
  const found = differences(expected, await runSuite(mount.path));
  assert.equal(
    found.length,
    0,
    `${found.length} of ${CASES.length} cases differ:\n${report(found)}\n${mount.output()}`,
  );
});
