/** `put` against a store in memory and a real local folder: what goes, what stays, what is named. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { Fault } from '../base/index.ts';
import { EXIT } from './exit-codes.ts';
import { realDisk } from './local/local-disk.ts';
import { Stage } from './stage.ts';

/** A small tree: two files, a nested one, an empty folder, symlinks of which one is a loop. */
function makeTree(stage: Stage, name = 'tree'): void {
  const root = stage.path(name);
  mkdirSync(`${root}/sub/deep`, { recursive: true });
  mkdirSync(`${root}/empty`);
  writeFileSync(`${root}/a.txt`, 'alpha');
  writeFileSync(`${root}/sub/b.txt`, 'beta', { mode: 0o640 });
  writeFileSync(`${root}/sub/deep/c`, '');
  symlinkSync('../a.txt', `${root}/sub/link`);
  symlinkSync('.', `${root}/loop`);
}

const TREE = [
  '/tree',
  '/tree/a.txt',
  '/tree/empty',
  '/tree/loop',
  '/tree/sub',
  '/tree/sub/b.txt',
  '/tree/sub/deep',
  '/tree/sub/deep/c',
  '/tree/sub/link',
];

test('put stores a tree with its names, contents, modes, times and symlinks', async () => {
  using stage = new Stage();
  makeTree(stage);
  const exact = '2020-02-03T04:05:06.123456789Z';
  execFileSync('touch', ['-d', exact, stage.path('tree/a.txt'), stage.path('tree/sub')]);
  assert.equal(await stage.run('put', stage.path('tree')), EXIT.ok);
  assert.deepEqual(stage.service.paths(), ['/', ...TREE]);
  assert.equal(stage.service.text('/tree/a.txt'), 'alpha');
  assert.equal(stage.service.nodes.get('/tree/sub/b.txt')?.mode, 0o640);
  assert.equal(stage.service.nodes.get('/tree/a.txt')?.modified, exact);
  assert.equal(stage.service.nodes.get('/tree/sub')?.modified, exact, 'also of a folder that was filled');
  assert.equal(stage.service.nodes.get('/tree/loop')?.target, '.');
  assert.match(stage.stderr.text, /^put: 3 files, 4 folders, 2 symlinks, 9 B in /);
  assert.equal(stage.stdout.text, '');
});

test('put asks nothing of the store for a tree that it knows, and stores what changed', async () => {
  using stage = new Stage();
  makeTree(stage);
  await stage.run('put', stage.path('tree'), '/tree');
  stage.service.calls.length = 0;
  assert.equal(await stage.run('put', stage.path('tree'), '/tree'), EXIT.ok);
  assert.deepEqual(stage.service.calls, []);
  assert.match(stage.stderr.text, /9 items unchanged/);
  writeFileSync(stage.path('tree/sub/b.txt'), 'longer than before');
  chmodSync(stage.path('tree/a.txt'), 0o600);
  rmSync(stage.path('tree/sub/deep/c'));
  await stage.run('put', stage.path('tree'), '/tree');
  assert.deepEqual(stage.service.calls.sort(), [
    'attributes /tree/a.txt',
    'attributes /tree/sub',
    'attributes /tree/sub/deep',
    'bulk file /tree/sub/b.txt',
  ]);
  assert.equal(stage.service.text('/tree/sub/b.txt'), 'longer than before');
  assert.ok(stage.service.nodes.has('/tree/sub/deep/c'), 'put never removes');
});

test('put leaves out the store that it writes to, wherever it stands, and names it', async () => {
  using stage = new Stage();
  makeTree(stage);
  mkdirSync(stage.path('tree/sub/data/objects'), { recursive: true });
  writeFileSync(stage.path('tree/sub/data/format'), 'x');
  symlinkSync(stage.path('tree/sub/data'), stage.path('store'));
  stage.storeFolder = stage.path('store');
  assert.equal(await stage.run('put', stage.path('tree')), EXIT.ok);
  assert.deepEqual(stage.service.paths(), ['/', ...TREE]);
  assert.match(stage.stderr.text, /tree\/sub\/data is the store itself/);
  assert.equal(await stage.run('put', stage.path('tree/sub/data'), '/data'), EXIT.ok);
  assert.deepEqual(stage.service.paths(), ['/', ...TREE]);
  assert.match(stage.stderr.text, /is the store itself/);
  await stage.run('diff', stage.path('tree'), '/tree');
  assert.doesNotMatch(stage.stdout.text, /data/);
});

test('put and diff refuse a glob that could never match, by name', async () => {
  using stage = new Stage();
  makeTree(stage);
  for (const glob of ['[', 'a[b', '[]', '{a', 'x{a,b', '']) {
    for (const verb of ['put', 'diff']) {
      assert.equal(await stage.run(verb, '--exclude', glob, stage.path('tree'), '/'), EXIT.usage, `${verb} ${glob}`);
      assert.ok(stage.stderr.text.includes(JSON.stringify(glob)), stage.stderr.text);
    }
  }
  assert.deepEqual(stage.service.paths(), ['/']);
  for (const glob of ['[ab]', '[]]', '[!]]', '{a,b}', '\\[', 'a}'])
    assert.equal(await stage.run('put', '-n', '--exclude', glob, stage.path('tree'), '/t'), EXIT.ok, glob);
});

test('put --checksum finds a change that size and time hide, and only sets the time of what is equal', async () => {
  using stage = new Stage();
  makeTree(stage);
  await stage.run('put', stage.path('tree'), '/tree');
  const { atime, mtime } = statSync(stage.path('tree/a.txt'));
  writeFileSync(stage.path('tree/a.txt'), 'ALPHA');
  utimesSync(stage.path('tree/a.txt'), atime, mtime);
  execFileSync('touch', ['-r', stage.path('tree/a.txt'), stage.path('tree/a.txt')]);
  utimesSync(stage.path('tree/sub/b.txt'), 1, 1);
  stage.service.calls.length = 0;
  await stage.run('put', '-c', stage.path('tree'), '/tree');
  assert.equal(stage.service.text('/tree/a.txt'), 'ALPHA');
  assert.ok(stage.service.calls.includes('attributes /tree/sub/b.txt'));
  assert.ok(!stage.service.calls.includes('bulk file /tree/sub/b.txt'));
});

test('put keeps every byte of names that are not UTF-8 or as long as names can be', async () => {
  using stage = new Stage();
  mkdirSync(stage.path('t'));
  const odd = Buffer.from([0x61, 0xff, 0xfe, 0x62]);
  writeFileSync(Buffer.concat([Buffer.from(`${stage.path('t')}/`), odd]), 'odd');
  const long = `${'ü'.repeat(127)}x`;
  writeFileSync(`${stage.path('t')}/${long}`, 'long');
  writeFileSync(`${stage.path('t')}/back\\x41slash`, 'escaped');
  writeFileSync(`${stage.path('t')}/new\nline`, 'control');
  assert.equal(await stage.run('put', stage.path('t'), '/t'), EXIT.ok);
  assert.equal(stage.service.text('/t/a\\xFF\\xFEb'), 'odd');
  assert.equal(stage.service.text(`/t/${long}`), 'long');
  assert.equal(stage.service.text('/t/back\\x5Cx41slash'), 'escaped');
  assert.equal(await stage.run('get', '/t', stage.path('out')), EXIT.ok);
  assert.equal(readFileSync(Buffer.concat([Buffer.from(`${stage.path('out')}/`), odd]), 'utf8'), 'odd');
  assert.equal(readFileSync(`${stage.path('out')}/back\\x41slash`, 'utf8'), 'escaped');
  stage.service.calls.length = 0;
  await stage.run('put', stage.path('out'), '/t');
  assert.deepEqual(
    stage.service.calls.filter((call) => call.startsWith('bulk')),
    [],
    'what came back is equal',
  );
});

test('put skips and names special files, unreadable ones and folders, and says so in its exit code', async () => {
  using stage = new Stage();
  makeTree(stage);
  execFileSync('mkfifo', [stage.path('tree/pipe')]);
  const denied = (path: string): Fault =>
    new Fault('denied', `Reading ${path} failed: this user may not do that.`, { local: path });
  stage.disk = {
    ...realDisk,
    readWhole: (path, expected, target) => {
      if (path.endsWith('a.txt')) throw denied(path);
      return realDisk.readWhole(path, expected, target);
    },
    list: (folder) => {
      if (folder.endsWith('deep')) throw denied(folder);
      return realDisk.list(folder);
    },
  };
  assert.equal(await stage.run('put', stage.path('tree')), EXIT.partly);
  assert.equal(stage.service.text('/tree/sub/b.txt'), 'beta');
  assert.ok(!stage.service.nodes.has('/tree/a.txt'));
  assert.ok(!stage.service.nodes.has('/tree/pipe'));
  assert.match(stage.stderr.text, /pipe is a fifo, which is not kept; skipped/);
  assert.match(stage.stderr.text, /a\.txt failed: this user may not do that/);
  assert.match(stage.stderr.text, /deep failed/);
  assert.match(stage.stderr.text, /1 skipped, 2 failed/);
});

test('put of one missing file is exit code 3, of one among others 5', async () => {
  using stage = new Stage();
  writeFileSync(stage.path('here'), 'x');
  assert.equal(await stage.run('put', stage.path('missing'), '/x'), EXIT.notFound);
  assert.match(stage.stderr.text, /missing is not there/);
  assert.equal(await stage.run('put', stage.path('missing'), stage.path('here'), '/'), EXIT.partly);
  assert.equal(stage.service.text('/here'), 'x');
});

test('put takes a file that vanishes between looking and reading as gone, not as failed', async () => {
  using stage = new Stage();
  makeTree(stage);
  stage.disk = {
    ...realDisk,
    readWhole: (path, expected, target) => {
      if (path.endsWith('a.txt')) unlinkSync(path);
      return realDisk.readWhole(path, expected, target);
    },
  };
  assert.equal(await stage.run('put', '--json', stage.path('tree')), EXIT.ok);
  assert.ok(stage.stdout.json.some((line) => line.action === 'vanished'));
});

test('put tries a small file again that changes while it is read', async () => {
  using stage = new Stage();
  writeFileSync(stage.path('f'), 'before');
  let readCount = 0;
  stage.disk = {
    ...realDisk,
    readWhole: (path, expected, target) => {
      if (readCount++ === 0) writeFileSync(path, 'after it changed');
      return realDisk.readWhole(path, expected, target);
    },
  };
  assert.equal(await stage.run('put', stage.path('f'), '/f'), EXIT.ok);
  assert.equal(stage.service.text('/f'), 'after it changed');
});

test('put stores a large file that never rests as it was read, names it, and takes it again next time', async () => {
  using stage = new Stage();
  const path = stage.path('big');
  writeFileSync(path, Buffer.alloc(3 * 1024 * 1024, 1));
  let changeCount = 0;
  stage.disk = {
    ...realDisk,
    openReader: async (raw) => {
      const reader = await realDisk.openReader(raw);
      return {
        ...reader,
        read: (target) => {
          writeFileSync(path, String(++changeCount), { flag: 'a' });
          return reader.read(target);
        },
      };
    },
  };
  assert.equal(await stage.run('put', path, '/big'), EXIT.conflict);
  assert.match(stage.stderr.text, /kept changing while it was read; it is stored as it was read/);
  assert.ok((stage.service.nodes.get('/big')?.bytes.length ?? 0) >= 3 * 1024 * 1024);
  stage.disk = realDisk;
  assert.equal(await stage.run('put', path, '/big'), EXIT.ok);
  assert.deepEqual(stage.service.nodes.get('/big')?.bytes.length, statSync(path).size);
  assert.match(stage.stderr.text, /^put: 1 file,/);
});

test('put reads large and sparse files in blocks, byte for byte', async () => {
  using stage = new Stage();
  const path = stage.path('sparse');
  const head = Buffer.alloc(1_500_001, 'abcdefg');
  writeFileSync(path, head);
  truncateSync(path, 5_000_000);
  assert.equal(await stage.run('put', path, '/sparse'), EXIT.ok);
  assert.ok(readFileSync(path).equals(stage.service.nodes.get('/sparse')?.bytes ?? Buffer.alloc(0)));
});

test('put never puts a file in the place of a folder or the other way round, and names it once', async () => {
  using stage = new Stage();
  makeTree(stage);
  stage.service.seed('/tree/a.txt/inside', 'x');
  stage.service.seed('/tree/sub', 'a file here');
  assert.equal(await stage.run('put', stage.path('tree'), '/tree'), EXIT.partly);
  assert.equal(stage.service.text('/tree/sub'), 'a file here');
  assert.equal(stage.service.text('/tree/a.txt/inside'), 'x');
  assert.equal(stage.stderr.text.match(/Move or remove the one that is wrong/g)?.length, 2);
});

test('put gives a symlink its new target', async () => {
  using stage = new Stage();
  mkdirSync(stage.path('t'));
  symlinkSync('new', stage.path('t/link'));
  await stage.service.makeFolder('/t');
  stage.service.seedLink('/t/link', 'old');
  assert.equal(await stage.run('put', stage.path('t'), '/t'), EXIT.ok);
  assert.equal(stage.service.nodes.get('/t/link')?.target, 'new');
});

test('put follows its rules of where things go', async () => {
  using stage = new Stage();
  makeTree(stage);
  writeFileSync(stage.path('f'), 'f');
  const cases: readonly (readonly [readonly string[], string])[] = [
    [['tree'], '/tree/a.txt'],
    [['tree', '/new'], '/new/a.txt'],
    [['tree', '/into/'], '/into/tree/a.txt'],
    [['tree/', '/contents/'], '/contents/a.txt'],
    [['tree/.', '/dot'], '/dot/a.txt'],
    [['f', '/g'], '/g'],
    [['f', '/new'], '/new/f'],
    [['f', 'deep/er/name'], '/deep/er/name'],
    [['f', 'tree', '/both'], '/both/f'],
    [['f', 'tree', '/both'], '/both/tree/a.txt'],
  ];
  for (const [words, path] of cases) {
    const local = words.map((word, index) =>
      words.length > 1 && index === words.length - 1 ? word : `${stage.folder}/${word}`,
    );
    assert.equal(await stage.run('put', ...local), EXIT.ok, words.join(' '));
    assert.ok(stage.service.nodes.has(path), `${words.join(' ')} makes ${path}`);
  }
  assert.equal(await stage.run('put', stage.path('f'), stage.path('tree'), '/g'), EXIT.conflict);
});

test('put - stores standard input, and needs a name for it', async () => {
  using stage = new Stage();
  stage.input = [Buffer.from('from '), Buffer.from('a pipe')];
  assert.equal(await stage.run('put', '-', '/in/pipe'), EXIT.ok);
  assert.equal(stage.service.text('/in/pipe'), 'from a pipe');
  assert.equal(await stage.run('put', '-'), EXIT.usage);
  assert.equal(await stage.run('put', '-', '/in/'), EXIT.usage);
  assert.equal(await stage.run('put', '-', stage.path('x'), '/in'), EXIT.usage);
});

test('put --dry-run says what it would do and changes nothing; --exclude leaves things out', async () => {
  using stage = new Stage();
  makeTree(stage);
  assert.equal(await stage.run('put', '-n', '--json', stage.path('tree')), EXIT.ok);
  assert.deepEqual(stage.service.paths(), ['/']);
  assert.equal(stage.stdout.json.filter((line) => line.action === 'stored').length, 3);
  await stage.run('put', '--exclude', '*.txt', '--exclude', 'sub/deep', stage.path('tree'));
  assert.deepEqual(stage.service.paths(), ['/', '/tree', '/tree/empty', '/tree/loop', '/tree/sub', '/tree/sub/link']);
});

test('put --json writes a line for each item and a summary, and a failure on standard error', async () => {
  using stage = new Stage();
  writeFileSync(stage.path('f'), 'data');
  await stage.run('put', '--json', stage.path('f'), '/f');
  const [item, summary] = stage.stdout.json;
  assert.deepEqual(item, {
    event: 'item',
    action: 'stored',
    kind: 'file',
    path: '/f',
    local: stage.path('f'),
    bytes: 4,
  });
  assert.equal(summary?.event, 'summary');
  assert.equal(summary?.files, 1);
  assert.equal(stage.stderr.text, '');
  await stage.run('put', '--json', stage.path('no'), '/f');
  assert.equal(stage.stderr.json[0]?.code, 'not-found');
});

test('put ends at once when the store is full, and when it is interrupted', async () => {
  using stage = new Stage();
  makeTree(stage);
  stage.service.faults.set('/tree/sub/b.txt', new Fault('full', 'No room.'));
  assert.equal(await stage.run('put', stage.path('tree')), EXIT.full);
  assert.ok(stage.isDisposed);
  stage.interrupt();
  assert.equal(await stage.run('put', stage.path('tree')), EXIT.interrupted);
});
