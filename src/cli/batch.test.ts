/** `batch`: operations from a file or standard input. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { utf8 } from '../base/index.ts';
import { Stage } from './stage.ts';

test('a batch comes from a file or standard input, and says what became of it', async () => {
  using stage = new Stage();
  stage.service.seed('/a', 'x');
  const file = join(stage.folder, 'b.json');
  writeFileSync(
    file,
    JSON.stringify([
      { op: 'mkdir', path: '/f' },
      { op: 'delete', path: '/a' },
    ]),
  );
  assert.equal(await stage.run('batch', file), 0);
  assert.match(stage.stderr.text, /did 2 operations/);
  stage.input = [utf8(JSON.stringify({ operations: [{ op: 'mkdir', path: '/g', id: 'g' }] }))];
  assert.equal(await stage.run('batch', '-n', '--json', '-'), 0);
  assert.deepEqual(stage.stdout.json, [{ index: 0, id: 'g', ok: true, record: {} }]);
  assert.equal(await stage.run('batch', '-n', '-'), 0);
  assert.match(stage.stderr.text, /would do 1 operation$/m);
});

test('a batch that fails names the operation; best effort ends with 5', async () => {
  using stage = new Stage();
  const file = join(stage.folder, 'b.json');
  writeFileSync(
    file,
    JSON.stringify([
      { op: 'mkdir', path: '/f' },
      { op: 'delete', path: '/none' },
    ]),
  );
  assert.equal(await stage.run('batch', file), 3);
  assert.equal(await stage.run('batch', '--mode', 'best-effort', file), 5);
  assert.match(stage.stderr.text, /operation 1 failed: There is nothing at \/none/);
  writeFileSync(file, 'no JSON');
  assert.equal(await stage.run('batch', file), 2);
  for (const [operation, told] of [
    [
      { op: 'update', path: '/a', change: { attributes: { 'user.a': 5 } } },
      /operations\/0\/change\/attributes\/user\.a/,
    ],
    [{ op: 'nothing' }, /operations\/0\/op cannot be used: it is none of "move"/],
    [{ op: 'mkdir', path: 7 }, /operations\/0\/path cannot be used: it must be string/],
    [5, /operations\/0 cannot be used/],
  ] as const) {
    writeFileSync(file, JSON.stringify([operation]));
    const calls = stage.service.calls.length;
    assert.equal(await stage.run('batch', file), 2);
    assert.match(stage.stderr.text, told);
    assert.equal(stage.service.calls.length, calls);
  }
  writeFileSync(file, '{}');
  assert.equal(await stage.run('batch', file), 2);
  assert.equal(await stage.run('batch', join(stage.folder, 'none')), 3);
});
