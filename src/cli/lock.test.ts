/** `lock`, `unlock`, `locks`, and --lock-token. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.ts';

test('a lock is taken, listed, presented, renewed and given back', async () => {
  using stage = new Stage();
  stage.service.seed('/d/a', 'x');
  assert.equal(await stage.run('lock', '--for', '5m', '--holder', 'Ann', '/d/a'), 0);
  const token = stage.stdout.lines[0] ?? '';
  assert.match(token, /^\d+$/);
  assert.match(stage.stderr.text, /locked \/d\/a until .*, as Ann/);
  assert.equal(await stage.run('lock', '/d/a'), 6);
  assert.equal(await stage.run('rm', '/d/a'), 6);
  stage.stdout.clear();
  assert.equal(await stage.run('locks'), 0);
  assert.match(stage.stdout.text, new RegExp(`${token} +X +/d/a +Ann`));
  stage.stdout.clear();
  assert.equal(await stage.run('locks', '--json', '/d/a'), 0);
  assert.deepEqual([stage.stdout.json[0]?.path, stage.stdout.json[0]?.holder], ['/d/a', 'Ann']);
  assert.equal(await stage.run('lock', '--renew', '--for', '1h', token), 0);
  assert.equal(await stage.run('unlock', '/d/a'), 6, 'it is Ann’s');
  assert.equal(await stage.run('rm', '--lock-token', token, '/d/a'), 0);
  assert.equal(await stage.run('unlock', '--holder', 'Ann', '/d/a'), 0);
  assert.equal(await stage.run('unlock', token), 4, 'it was given back');
  assert.equal(await stage.run('unlock', '/d/a'), 3, 'there is none');
});

test('a lock of somebody else is broken by force, and unlock takes several', async () => {
  using stage = new Stage();
  stage.service.seed('/a', 'x');
  stage.service.seed('/b', 'x');
  for (const path of ['/a', '/b']) assert.equal(await stage.run('lock', '--holder', 'Ann', path), 0);
  assert.equal(await stage.run('unlock', '--force', '/a', '/b'), 0);
  stage.stdout.clear();
  assert.equal(await stage.run('locks'), 0);
  assert.equal(stage.stdout.text, '');
});

test('what is no token, no mode and no time is named', async () => {
  using stage = new Stage();
  assert.equal(await stage.run('lock', '--renew', '/a'), 2);
  assert.equal(await stage.run('lock', '--mode', 'Y', '/a'), 2);
  assert.equal(await stage.run('lock', '--for', '2d', '/a'), 2);
  assert.equal(await stage.run('rm', '--lock-token', 'x', '/a'), 2);
});
