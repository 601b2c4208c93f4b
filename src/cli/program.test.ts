/** The program as a whole: ends, streams, words; and the verbs that list, change and report, over a store in memory. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { FAULT_CODES, Fault } from '../base/index.ts';
import { EXIT, exitOf } from './exit-codes.ts';
import { BrokenPipe } from './saying/say.ts';
import { Stage } from './stage.ts';

function seeded(): Stage {
  const stage = new Stage();
  stage.service.seed('/docs/a.txt', 'alpha', { modified: '2020-01-02T03:04:05.000Z', mode: 0o600 });
  stage.service.seed('/docs/b\u001b[2Jc', 'x');
  stage.service.seed('/docs/sub/d.jpg', '1234567890');
  stage.service.seedLink('/docs/link', 'a.txt');
  return stage;
}

test('every fault code has an exit code, and a bug is 70', () => {
  for (const code of FAULT_CODES) assert.ok(exitOf(new Fault(code, 'x')) > 0, code);
  assert.equal(exitOf(new Error('x')), EXIT.internal);
});

test('--version says the version and nothing else', async () => {
  using stage = new Stage();
  assert.equal(await stage.run('--version'), EXIT.ok);
  assert.match(stage.stdout.text, /^holdfast \d+\.\d+\.\d+\n$/);
});

test('an error is one sentence on standard error, with --json an object', async () => {
  using stage = seeded();
  assert.equal(await stage.run('cat', '/nothing'), EXIT.notFound);
  assert.equal(stage.stderr.text, 'holdfast: There is nothing at /nothing.\n');
  assert.equal(stage.stdout.text, '');
  await stage.run('cat', '--json', '/nothing');
  assert.deepEqual(stage.stderr.json, [
    { error: 'There is nothing at /nothing.', code: 'not-found', about: { path: '/nothing' } },
  ]);
  await stage.run('--json', 'nonsense');
  assert.equal(stage.stderr.json[0]?.code, 'invalid');
});

test('a bug says that it is one, and the store is let go', async () => {
  using stage = seeded();
  stage.service.stats = () => Promise.reject(new TypeError('undefined is not a function'));
  assert.equal(await stage.run('stats'), EXIT.internal);
  assert.match(stage.stderr.text, /this is a bug in Holdfast: undefined is not a function/);
  assert.ok(stage.isDisposed);
});

test('a reader that goes away ends the program without a word', async () => {
  using stage = seeded();
  stage.stdout.onWrite = () => {
    throw new BrokenPipe();
  };
  assert.equal(await stage.run('ls', '/docs'), EXIT.brokenPipe);
  assert.equal(await stage.run('cat', '/docs/a.txt'), EXIT.brokenPipe);
  assert.equal(stage.stderr.text, '');
});

test('an interruption is 130 and says that it was one', async () => {
  using stage = seeded();
  const manifest = stage.service.manifest.bind(stage.service);
  stage.service.manifest = async function* (target) {
    yield* manifest(target);
    stage.interrupt();
    throw new Fault('aborted', 'Listing was given up.');
  };
  assert.equal(await stage.run('ls', '-R'), EXIT.interrupted);
  assert.equal(stage.stderr.text, 'holdfast: interrupted; what was finished before stays.\n');
});

test('ls shows names one a line in a pipe, in columns and escaped on a terminal', async () => {
  using stage = seeded();
  assert.equal(await stage.run('ls', 'docs/'), EXIT.ok);
  assert.equal(stage.stdout.text, 'a.txt\nb\u001b[2Jc\nlink\nsub\n');
  await stage.run('ls', '-0', '/docs');
  assert.equal(stage.stdout.text, 'a.txt\0b\u001b[2Jc\0link\0sub\0');
  stage.stdout.isTerminal = true;
  await stage.run('ls', '/docs');
  assert.equal(stage.stdout.text, 'a.txt  b\\x1B[2Jc\nlink  sub/\n');
});

test('ls -l, -R, --glob and of a file', async () => {
  using stage = seeded();
  await stage.run('ls', '-l', '/docs');
  assert.equal(stage.stdout.lines[0], '-rw-------  5  2020-01-02 03:04:05  v1  a.txt');
  assert.match(stage.stdout.text, /l.* link -> a\.txt\n/);
  await stage.run('ls', '-R', '/docs');
  assert.deepEqual(stage.stdout.lines, ['a.txt', 'b\u001b[2Jc', 'link', 'sub', 'sub/d.jpg']);
  await stage.run('ls', '/docs/a.txt');
  assert.deepEqual(stage.stdout.lines, ['/docs/a.txt']);
  await stage.run('ls', '--json', '/docs/sub');
  assert.equal(stage.stdout.json[0]?.path, '/docs/sub/d.jpg');
  assert.equal(await stage.run('ls', '/docs/sub', '/no', '/docs'), EXIT.partly);
  assert.match(stage.stdout.text, /^\/docs\/sub:\nd\.jpg\n\n/);
});

test('stat shows a record for people, and as it came with --json', async () => {
  using stage = seeded();
  await stage.run('stat', '/docs/a.txt');
  assert.match(
    stage.stdout.text,
    /^path +\/docs\/a\.txt\nkind +file\nsize +5 bytes \(5 B\)\nmode +-rw------- \(0600\)\n/,
  );
  await stage.run('stat', '--json', '/docs/a.txt');
  assert.equal(stage.stdout.json[0]?.size, 5);
});

test('cat writes files one after the other, byte for byte, and parts of them', async () => {
  using stage = seeded();
  const noise = Buffer.from(Array.from({ length: 600_000 }, (_, index) => (index * 7) % 256));
  stage.service.seed('/noise', '');
  const node = stage.service.nodes.get('/noise');
  if (node !== undefined) node.bytes = noise;
  assert.equal(await stage.run('cat', '/docs/a.txt', '/noise'), EXIT.ok);
  assert.ok(stage.stdout.bytes.equals(Buffer.concat([Buffer.from('alpha'), noise])));
  await stage.run('cat', '--offset', '1', '--length', '3', '/docs/a.txt');
  assert.equal(stage.stdout.text, 'lph');
});

test('mkdir, mv, cp and rm change the store and refuse what they should', async () => {
  using stage = seeded();
  assert.equal(await stage.run('mkdir', '/x/y'), EXIT.notFound);
  assert.equal(await stage.run('mkdir', '-p', '-m', '700', '/x/y'), EXIT.ok);
  assert.equal(stage.service.nodes.get('/x/y')?.mode, 0o700);
  assert.equal(await stage.run('mkdir', '/x/y'), EXIT.conflict);
  assert.equal(await stage.run('mkdir', '-m', '9', '/z'), EXIT.usage);
  assert.equal(await stage.run('mv', '/docs/a.txt', '/docs/sub/d.jpg', '/x'), EXIT.ok);
  assert.equal(stage.service.text('/x/a.txt'), 'alpha');
  assert.equal(await stage.run('cp', '/x/a.txt', '/x/d.jpg'), EXIT.conflict);
  assert.equal(await stage.run('cp', '--overwrite', '/x/a.txt', '/x/d.jpg'), EXIT.ok);
  assert.equal(await stage.run('cp', '/x', '/docs/'), EXIT.ok);
  assert.equal(stage.service.text('/docs/x/a.txt'), 'alpha');
  assert.equal(await stage.run('mv', '/x', '/docs/link/y'), EXIT.conflict);
  assert.equal(await stage.run('rm', '/x'), EXIT.conflict);
  assert.match(stage.stderr.text, /is a folder. Say `rm -r`/);
  assert.equal(await stage.run('rm', '-rn', '/x'), EXIT.ok);
  assert.equal(stage.stdout.text, 'would remove /x: 2 files, 2 folders, 10 B\n');
  assert.ok(stage.service.nodes.has('/x'));
  assert.equal(await stage.run('rm', '-r', '/x'), EXIT.ok);
  assert.ok(!stage.service.nodes.has('/x'));
  assert.equal(await stage.run('rm', '/x'), EXIT.notFound);
  assert.equal(await stage.run('rm', '-f', '/x'), EXIT.ok);
});

test('mv, cp and rm of several words are one batch, in which each stands or fails alone', async () => {
  using stage = seeded();
  const batches = (): number => stage.service.calls.filter((call) => call.startsWith('batch')).length;
  assert.equal(await stage.run('mkdir', '/x'), EXIT.ok);
  assert.equal(await stage.run('cp', '/docs/a.txt', '/none', '/docs/sub/d.jpg', '/x'), EXIT.partly);
  assert.equal(batches(), 3);
  assert.match(stage.stderr.text, /none/);
  assert.equal(stage.service.text('/x/a.txt'), 'alpha');
  assert.ok(stage.service.nodes.has('/x/d.jpg'));
  // A word that is refused before anything is asked fails alone too.
  assert.equal(await stage.run('rm', '/x/a.txt', '/docs', '/x/none'), EXIT.partly);
  // What is not there, or a folder, is seen first.
  assert.equal(batches(), 4);
  assert.match(stage.stderr.text, /is a folder. Say `rm -r`/);
  assert.ok(!stage.service.nodes.has('/x/a.txt') && stage.service.nodes.has('/docs'));
  assert.equal(await stage.run('rm', '-f', '/x/none', '/x/d.jpg'), EXIT.ok);
  assert.ok(!stage.service.nodes.has('/x/d.jpg'));
});

test('find passes its filters on, turns pages, and stops at the limit', async () => {
  using stage = seeded();
  await stage.run('find', '--kind', 'file');
  assert.equal(stage.stdout.lines.length, 3);
  await stage.run('find', '--kind', 'file', '--limit', '1');
  assert.deepEqual(stage.stdout.lines, ['/docs/a.txt']);
  await stage.run('find', '--size-min', '10', '/docs');
  assert.deepEqual(stage.stdout.lines, ['/docs/sub/d.jpg']);
  // The clock of the stage stands at 2026-01-01.
  await stage.run('find', '--newer', '1d', '--name', 'a.txt');
  assert.deepEqual(stage.stdout.lines, []);
  assert.equal(await stage.run('find', '--newer', 'yesterday'), EXIT.usage);
  assert.match(stage.stderr.text, /--modified-after is "yesterday"; it needs ISO 8601, a date, or an age such as 7d/);
});

test('versions lists, restore makes an older one current', async () => {
  using stage = seeded();
  await stage.service.write('/docs/a.txt', [Buffer.from('second')], { mode: 'put' });
  await stage.run('versions', '/docs/a.txt');
  assert.match(stage.stdout.lines[1] ?? '', /^ +2 +6 .* owner \(cli\) .* current$/);
  assert.equal(await stage.run('restore', '-n', '/docs/a.txt', '1'), EXIT.ok);
  assert.match(stage.stdout.text, /^would make version 1 of \/docs\/a\.txt current/);
  assert.equal(stage.service.text('/docs/a.txt'), 'second');
  assert.equal(await stage.run('restore', '/docs/a.txt@1'), EXIT.ok);
  assert.equal(stage.service.text('/docs/a.txt'), 'alpha');
  assert.equal(await stage.run('restore', '/docs/a.txt'), EXIT.usage);
  assert.equal(await stage.run('restore', '/docs/a.txt', '0'), EXIT.usage);
  assert.equal(await stage.run('restore', '/docs/a.txt', '9'), EXIT.notFound);
});

test('diff says what is added, removed and changed, and why, with exit code 1', async () => {
  using stage = new Stage();
  writeFileSync(stage.path('same'), 'same');
  writeFileSync(stage.path('changed'), 'here');
  writeFileSync(stage.path('only-here'), 'x');
  await stage.run('put', `${stage.folder}/`, '/t');
  assert.equal(await stage.run('diff', stage.folder, '/t'), EXIT.ok);
  assert.equal(stage.stdout.text, '');
  await stage.service.write('/t/changed', [Buffer.from('other')], { mode: 'put', permissions: 0o600 });
  stage.service.nodes.delete('/t/only-here');
  stage.service.seed('/t/only-there/f', 'x');
  assert.equal(await stage.run('diff', stage.folder, '/t'), EXIT.different);
  assert.deepEqual(stage.stdout.lines, [
    '~ changed  (content, mode)',
    '- only-here',
    '+ only-there/',
    '+ only-there/f',
  ]);
  assert.equal(await stage.run('diff', '--stored', '/t', '/t'), EXIT.ok);
  await stage.service.copy('/t', '/u');
  await stage.service.write('/u/same', [Buffer.from('SAME')], { mode: 'put' });
  assert.equal(await stage.run('diff', '--stored', '--json', '/t', '/u'), EXIT.different);
  assert.deepEqual(stage.stdout.json[0], {
    event: 'difference',
    change: 'changed',
    why: ['content'],
    path: 'same',
    kind: 'file',
  });
  assert.equal(await stage.run('diff', '/missing', '/t'), EXIT.notFound);
});

test('repair needs to know from where, and says what was repaired; a rebuild is followed by a check', async () => {
  using stage = seeded();
  assert.equal(await stage.run('repair'), EXIT.usage);
  assert.equal(await stage.run('repair', '--from', '/copy'), EXIT.ok);
  assert.match(stage.stdout.text, /^2 of 2 damaged chunks repaired in .*\n {2}needed by \/a\n$/);
  await stage.run('repair', '--from', '/copy', '--dry-run', '--json');
  assert.equal(stage.stdout.json.at(-1)?.repaired_chunks, 1);
  assert.equal(await stage.run('check', '--force'), EXIT.usage);
  assert.equal(await stage.run('check', '--rebuild-meta'), EXIT.ok);
  assert.match(stage.stdout.text, /metadata as of 2026-01-01T00:00:00.000Z brought back: 1 row\n.*\nclean: /);
});

test('check names damage and the files that need it, with exit code 1', async () => {
  using stage = seeded();
  assert.equal(await stage.run('check', '--sample', '10%', '--rebuild-index'), EXIT.ok);
  assert.deepEqual(stage.service.calls, ['check 0.1 true']);
  assert.match(stage.stdout.text, /^clean: 1 file, 1 chunk, 1 pack, 10 B verified in /);
  const problem = { code: 'chunk-damaged', error: 'Chunk 12 is damaged.', files: ['/docs/a.txt'], files_more: 2 };
  stage.service.report = { ...stage.service.report, problems: [problem], is_clean: false };
  assert.equal(await stage.run('check'), EXIT.different);
  assert.deepEqual(stage.stdout.lines.slice(0, 3), [
    'chunk-damaged: Chunk 12 is damaged.',
    '  needed by /docs/a.txt',
    '  and by 2 more files',
  ]);
  await stage.run('check', '--json');
  assert.equal(stage.stdout.json.at(-1)?.problems, 1);
  assert.equal(await stage.run('check', '--sample', '110%'), EXIT.usage);
});

test('stats, config and init say what they are told', async () => {
  using stage = seeded();
  await stage.run('stats');
  assert.match(stage.stdout.text, /logical +3\.00 MB +3,000,000 +all files as they are\n/);
  assert.match(stage.stdout.text, /in all +3\.33 : 1\n/);
  stage.rows = [{ name: 'store', value: '/s', origin: 'default' }];
  await stage.run('config', 'show', '--origin');
  assert.equal(stage.stdout.text, 'store  /s  default\n');
  assert.equal(await stage.run('config', 'set'), EXIT.usage);
  assert.equal(await stage.run('init', '--id-algorithm', 'xxh3-128', '/s'), EXIT.ok);
  const asked = stage.asked.at(-1);
  assert.deepEqual(asked?.flags.get('store')?.values, ['/s']);
  assert.deepEqual(asked?.flags.get('create.ids')?.values, ['xxh3-128']);
  assert.equal(await stage.run('init', '--chunker', 'fastcdc'), EXIT.ok);
  assert.deepEqual(stage.asked.at(-1)?.flags.get('create.chunker')?.values, ['fastcdc']);
  assert.equal(await stage.run('init', '--chunker', 'none'), EXIT.usage);
  assert.equal(await stage.run('init', '--store', '/s', '/t'), EXIT.usage);
  assert.equal(await stage.run('serve'), EXIT.ok);
  assert.match(stage.stdout.text, /^Serving \/s\n/);
});

test('gc says where collections stand, pauses them and lets them go on', async () => {
  using stage = seeded();
  assert.equal(await stage.run('gc', '--status'), EXIT.ok);
  assert.match(
    stage.stdout.text,
    /^collections +every 1 h 00 min\nunder way +since .*: 250 kB of 1\.00 MB looked at\nlast +/,
  );
  await stage.run('gc', '--pause');
  assert.match(stage.stdout.text, /^collections +paused since 2026-01-01T00:00:00Z; `gc --resume` lets them go on\n/);
  await stage.run('gc', '--resume', '--json');
  assert.equal(stage.stdout.json[0]?.is_paused, false);
  assert.deepEqual(stage.service.calls.slice(-2), ['pauseGc true', 'pauseGc false']);
  assert.equal(await stage.run('gc', '--pause', '--resume'), EXIT.usage);
  assert.equal(await stage.run('gc', '--status', '--dry-run'), EXIT.usage);
});

test('du says what is in a path, and what it alone holds', async () => {
  using stage = seeded();
  assert.equal(await stage.run('du'), EXIT.ok);
  assert.equal(stage.stdout.text, 'path   /\nholds  3 files in 2 folders\nsize   3,000,000 bytes (3.00 MB)\n');
  await stage.run('du', '-x', '/a', 'b');
  assert.match(stage.stdout.text, /only here +2,000,000 bytes \(2\.00 MB\) in 40 chunks\n/);
  await stage.run('du', '--exclusive', '--snapshot', 'monday', '--json');
  assert.equal(stage.stdout.json[0]?.next_gc_bytes, 1_500_000);
  assert.deepEqual(stage.service.calls.slice(-4), [
    ...['usage / - false', 'usage /a - true', 'usage /b - true', 'usage / monday true'],
  ]);
  assert.equal(await stage.run('du', '-x', '--snapshot', 'monday', '/a'), EXIT.usage);
});

test('a mount that a server is in the way of says how both are had', async () => {
  using stage = seeded();
  const about = { store: '/s', holder: { pid: 7, command: 'holdfast serve' } };
  stage.mountFault = new Fault('locked', 'The store /s is in use by holdfast serve.', about);
  assert.equal(await stage.run('mount', '/mnt/x'), EXIT.unavailable);
  assert.match(
    stage.stderr.text,
    /in use by holdfast serve\. To serve and mount .*`holdfast up --mounts '\[{"path":"\/mnt\/x"}\]'`/s,
  );
  stage.mountFault = new Fault('locked', 'The store /s is in use by holdfast put.', {
    holder: { command: 'holdfast put' },
  });
  assert.equal(await stage.run('mount', '/mnt/x'), EXIT.unavailable);
  assert.doesNotMatch(stage.stderr.text, /holdfast up/);
});

test('a collection that gives nothing back says that history has what looks unused', async () => {
  using stage = seeded();
  assert.equal(await stage.run('gc'), EXIT.ok);
  assert.doesNotMatch(stage.stdout.text, /older versions/);
  stage.service.freedBytes = 0;
  assert.equal(await stage.run('gc', '-n'), EXIT.ok);
  assert.match(stage.stdout.text, /^5\.00 MB \(before dedup\) are older versions .*`versions --why PATH`/m);
});

test('removing counts symlinks for themselves', async () => {
  using stage = seeded();
  stage.service.seed('/l/f', 'x');
  stage.service.seedLink('/l/link', 'f');
  assert.equal(await stage.run('rm', '-rn', '/l'), EXIT.ok);
  assert.match(stage.stdout.text, /would remove \/l: 1 file, 1 symlink, 1 folder, /);
  assert.equal(await stage.run('rm', '-n', '/l/link'), EXIT.ok);
  assert.match(stage.stdout.text, /would remove \/l\/link: 1 symlink, /);
});

test('mount, umount and up say where things are', async () => {
  using stage = seeded();
  assert.equal(await stage.run('mount'), EXIT.usage);
  assert.equal(await stage.run('mount', '--json', '--read-only', '/mnt/x'), EXIT.ok);
  assert.deepEqual(JSON.parse(stage.stdout.text), {
    event: 'mounted',
    mount_point: '/mnt/x',
    store: '/s',
    store_id: 'id',
  });
  assert.equal(await stage.run('umount', 'x'), EXIT.ok);
  assert.equal(stage.stdout.text, `unmounted ${process.cwd()}/x\n`);
  assert.equal(await stage.run('up', '--json'), EXIT.ok);
  const events = stage.stdout.text.trimEnd().split('\n');
  assert.deepEqual(
    events.map((line) => JSON.parse(line).event),
    ['mounted', 'serving'],
  );
});
