/** Moments on the command line, and the verbs that read the past. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeletedRecord } from '../api/index.ts';
import { ManualClock, utf8 } from '../base/index.ts';
import { momentOfWords, placeOf, timedPlaceOf } from './past.ts';
import { Stage } from './stage.ts';

test('what reads as a time or an age behind an @ is a moment, and so is a snapshot unless that very name is there', async () => {
  using stage = new Stage();
  const { service } = stage;
  const clock = new ManualClock(Date.UTC(2026, 0, 2));
  const context = { clock, signal: new AbortController().signal };
  const place = (word: string, flag?: string) => placeOf(service, word, context, flag);
  assert.deepEqual(await place('/a@2h'), { path: '/a', at: '2026-01-01T22:00:00.000Z' });
  assert.deepEqual(await place('/a@2026-01-01'), { path: '/a', at: '2026-01-01T00:00:00.000Z' });
  assert.deepEqual(await place('/me@home'), { path: '/me@home', at: undefined });
  assert.deepEqual(await place('/a', '1d'), { path: '/a', at: '2026-01-01T00:00:00.000Z' });
  assert.deepEqual(await place('/a', 'named'), { path: '/a', at: 'named' });
  const words = await momentOfWords(service, ['/a@1d', '/b@1d', 'out@1d'], context, undefined);
  assert.deepEqual(words, { words: ['/a', '/b', 'out@1d'], at: '2026-01-01T00:00:00.000Z' });
  await assert.rejects(momentOfWords(service, ['/a@1d', '/b', 'out'], context, undefined), /one moment/);

  await service.createSnapshot('home');
  assert.deepEqual(await place('/me@home'), { path: '/me', at: 'home' });
  assert.deepEqual(await place('/me@home', '1d'), { path: '/me@home', at: '2026-01-01T00:00:00.000Z' });
  assert.deepEqual(await momentOfWords(service, ['/a@home', 'out@home'], context, undefined), {
    words: ['/a', 'out@home'],
    at: 'home',
  });
  service.seed('/me@home', 'a file of that name');
  assert.deepEqual(await place('/me@home'), { path: '/me@home', at: undefined });
  assert.deepEqual(timedPlaceOf('/you@home', context), { path: '/you@home', at: undefined });
});

test('a snapshot is made, listed, read by every verb that reads, and deleted', async () => {
  using stage = new Stage();
  stage.service.seed('/d/f', 'one');
  assert.equal(await stage.run('snapshot', 'create', 's', '/d'), 0);
  stage.service.seed('/d/f', 'two!');
  stage.service.seed('/d/g', 'new');
  assert.equal(await stage.run('cat', '--at', 's', '/d/f'), 0);
  assert.equal(stage.stdout.text, 'one');
  assert.equal(await stage.run('cat', '/d/f@s'), 0);
  assert.equal(stage.stdout.text, 'one');
  assert.equal(await stage.run('du', '/d@s', '--json'), 0);
  assert.ok(stage.service.calls.includes('usage /d s false'));
  assert.equal(await stage.run('ls', '--at=s', '/d'), 0);
  assert.deepEqual(stage.stdout.lines, ['f']);
  assert.equal(await stage.run('find', '--at', 's', '/d'), 0);
  assert.deepEqual(stage.stdout.lines, ['/d/f']);
  assert.equal(await stage.run('stat', '--at', 's', '/d/f', '--json'), 0);
  assert.equal(stage.stdout.json[0]?.size, 3);
  assert.equal(await stage.run('get', '--at', 's', '/d', stage.path('out')), 0);
  assert.equal(await stage.run('snapshot', 'list', '--json'), 0);
  assert.deepEqual(
    stage.stdout.json.map(({ name, path }) => [name, path]),
    [['s', '/d']],
  );
  assert.equal(await stage.run('snapshot', 'show', 's'), 0);
  assert.equal(await stage.run('snapshot', 'delete', '-n', 's'), 0);
  assert.equal(await stage.run('snapshot', 'delete', 's', 'none'), 5);
  assert.equal(await stage.run('cat', '--at', 's', '/d/f'), 3);
  assert.equal(await stage.run('snapshot', 'turn'), 2);
  assert.equal(await stage.run('snapshot', 'create'), 2);
});

const GONE: DeletedRecord = {
  ...{ path: '/d/f', name: 'f', kind: 'file', file_id: 17, size: 3, deleted: '2026-11-20T10:00:00.000Z' },
  ...{ commit: 9, actor: 'owner', door: 'http', at: 8 },
};

test('what was removed is listed with how it is had again, and comes back by its path alone', async () => {
  using stage = new Stage();
  stage.service.gone.push({ ...GONE, version: 2 });
  assert.equal(await stage.run('ls', '--deleted', '/d'), 0);
  assert.match(stage.stdout.text, /^2026-11-20 10:00:00 +17:2 +3 +owner \(http\) +\/d\/f\n$/);
  assert.equal(await stage.run('ls', '--deleted', '-r', '--json'), 0);
  assert.equal(stage.stdout.json[0]?.file_id, 17);
  assert.equal(await stage.run('ls', '--deleted', '--at', '2h', '/d'), 2);
  stage.service.gone.push({ ...GONE, path: '/w', kind: 'folder' });
  assert.equal(await stage.run('restore', '-n', '/w'), 0);
  assert.ok(stage.service.calls.includes('restoreTree /w 8'));
  stage.service.gone.push({ ...GONE, file_id: 18, version: 1 });
  assert.equal(await stage.run('restore', '/d/f'), 4);
  assert.match(stage.stderr.text, /More than one thing was removed at \/d\/f[\s\S]*17:2[\s\S]*18:1/);
  assert.equal(await stage.run('restore', '/never'), 3);
  stage.service.seed('/here', 'x');
  assert.equal(await stage.run('restore', '/here'), 2);
});

test('versions are listed with why they stay, where it is asked for', async () => {
  using stage = new Stage();
  for (const text of ['one', 'two', 'three']) await stage.service.write('/f', [utf8(text)], { mode: 'put' });
  assert.equal(await stage.run('versions', '--why', '/f'), 0);
  const ends = stage.stdout.lines.slice(1).map((line) => line.split('–').at(-1)?.trim());
  assert.deepEqual(ends, ['current', 'last 1 of 1', 'goes']);
});

test('pruning prints its plan before anything is deleted', async () => {
  using stage = new Stage();
  assert.equal(await stage.run('snapshot', 'prune', '-n', '--keep', 'daily 1'), 0);
  assert.deepEqual(stage.service.calls, ['pruneSnapshots daily 1  true']);
  assert.match(stage.stdout.text, /^keep +auto-daily-2026-11-20 .*daily 1 of 1\nwould delete +auto-daily-2026-11-19/);
  assert.match(stage.stderr.text, /would delete 1 snapshots that schedules made, and keep 1/);
  assert.equal(await stage.run('snapshot', 'prune', '--schedule=daily'), 0);
  assert.deepEqual(stage.service.calls.slice(1), ['pruneSnapshots  daily true', 'pruneSnapshots  daily false']);
  assert.equal(await stage.run('snapshot', 'prune', '--json'), 0);
  assert.deepEqual(
    stage.stdout.json.map(({ action }) => action),
    ['keep', 'delete'],
  );
  assert.equal(await stage.run('snapshot', 'prune', 'x'), 2);
});

test('going back prints its plan, by snapshot, by moment and by commit; the log is printed commit by commit', async () => {
  using stage = new Stage();
  stage.service.seed('/d/f', 'one');
  await stage.run('snapshot', 'create', 's');
  stage.service.seed('/d/f', 'two!');
  stage.service.seed('/d/g', 'new');
  assert.equal(await stage.run('snapshot', 'diff', 's'), 1);
  assert.deepEqual(stage.stdout.lines, ['~ d/f  (content)', '+ d/g']);
  assert.equal(await stage.run('diff', '--stored', '/d', '/d'), 0);
  const lost = '! /d/link  (symlink: nothing else keeps it, --force loses it)';
  const plan = ['+ /d/gone', '~ /d/f', '> /d/a/  (from /d/b)', lost];
  assert.equal(await stage.run('snapshot', 'restore', '-n', 's', '/d'), 0);
  assert.deepEqual(stage.stdout.lines, plan);
  assert.match(stage.stderr.text, /would be 1 added, 0 removed, 1 changed, 1 moved/);
  assert.equal(await stage.run('restore', '/d@2h'), 0);
  assert.deepEqual(stage.stdout.lines, plan);
  assert.equal(await stage.run('restore', '--at', 's', '/d'), 0);
  assert.equal(await stage.run('undo', '7'), 0);
  assert.equal(await stage.run('undo', 'seven'), 2);
  assert.deepEqual(
    stage.service.calls.filter((call) => /Tree|undo/.test(call)),
    // Planned first, then done.
    [
      'restoreTree /d s',
      ...['restoreTree /d 2025-12-31T22:00:00.000Z', 'restoreTree /d 2025-12-31T22:00:00.000Z'],
      ...['restoreTree /d s', 'restoreTree /d s'],
      ...['undo 7', 'undo 7'],
    ],
  );
  assert.equal(await stage.run('log', '/d'), 0);
  assert.deepEqual(stage.stdout.lines.slice(1), ['    move /b  (from /a)', '    write /f @3', '    … and 2 more']);
});
