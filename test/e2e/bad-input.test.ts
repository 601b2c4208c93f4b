/** Bad input and bad moments: each gets a clear error with its own exit code or status, and nothing is lost. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { seededRandom } from '../../src/base/index.ts';
import { sha256, text } from './data.ts';
import { holdfast, run, temporaryFolder } from './holdfast.ts';
import { type Server, startServer } from './server.ts';

interface ProblemAnswer {
  readonly code: string;
  readonly detail: string;
  readonly error: string;
  readonly path: string | null;
}

async function problem(answer: Response): Promise<ProblemAnswer> {
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  return (await answer.json()) as ProblemAnswer;
}

async function newStore(folder: string): Promise<string> {
  const store = join(folder, 'store');
  const made = await holdfast(['init', '--store', store]);
  assert.equal(made.code, 0, made.stderr);
  return store;
}

test('a store of an unknown version is refused and left alone', async () => {
  using folder = temporaryFolder();
  const store = await newStore(folder.path);
  const path = join(store, 'format');
  const before = readFileSync(path, 'utf8');
  writeFileSync(path, before.replace(/"(format_?[vV]ersion|version)":\s*\d+/, '"$1": 999'));
  assert.notEqual(readFileSync(path, 'utf8'), before, before);
  const refused = await holdfast(['ls', '--store', store]);
  // Told apart from damage where the record says so itself, but never opened.
  assert.ok(refused.code === 11 || refused.code === 7, refused.stderr);
  assert.match(refused.stderr, /format|version/);
});

test('an empty path is refused, not taken for the root', async () => {
  using folder = temporaryFolder();
  const store = await newStore(folder.path);
  for (const words of [['ls'], ['mkdir'], ['rm', '-r'], ['get']]) {
    const refused = await holdfast([...words, '--store', store, '']);
    assert.equal(refused.code, 2, `${words.join(' ')}: ${refused.stderr}`);
    assert.match(refused.stderr, /path is empty/);
  }
});

test('an unknown id algorithm is refused at init', async () => {
  using folder = temporaryFolder();
  const made = await holdfast(['init', '--store', join(folder.path, 's'), '--id-algorithm', 'md5']);
  assert.equal(made.code, 2, made.stderr);
  assert.match(made.stderr, /blake3/);
});

test('what is no store, and a folder that holds something else, are refused', async () => {
  using folder = temporaryFolder();
  const none = await holdfast(['ls', '--store', join(folder.path, 'none')]);
  assert.equal(none.code, 3, none.stderr);
  assert.match(none.stderr, /init/);
  const full = join(folder.path, 'full');
  mkdirSync(full);
  writeFileSync(join(full, 'mine'), 'mine');
  const refused = await holdfast(['init', '--store', full]);
  assert.equal(refused.code, 4, refused.stderr);
  assert.equal(readFileSync(join(full, 'mine'), 'utf8'), 'mine');
});

test('a store whose metadata is gone is refused, never shown empty', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder();
  const store = await newStore(folder.path);
  const put = await holdfast(['put', '--store', store, '-', '/kept'], { input: Buffer.from('kept') });
  assert.equal(put.code, 0, put.stderr);
  const meta = join(store, 'meta', 'metadata.sqlite');
  const before = readFileSync(meta);
  for (const harm of [() => writeFileSync(meta, ''), () => rmSync(meta)]) {
    harm();
    const refused = await holdfast(['ls', '--store', store]);
    assert.equal(refused.code, 7, refused.stderr);
    assert.match(refused.stderr, /metadata\.sqlite is (empty|missing)/);
  }
  writeFileSync(meta, before);
  const back = await holdfast(['cat', '--store', store, '/kept']);
  assert.equal(back.stdout.toString(), 'kept', back.stderr);
});

test('a full disk is said, nothing is lost, and there is room again after making some', {
  timeout: 120_000,
}, async (context) => {
  using folder = temporaryFolder();
  const disk = join(folder.path, 'disk');
  mkdirSync(disk);
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', disk]);
  if (mounted.code !== 0) return notRun(context, `a small tmpfs cannot be mounted here: ${mounted.stderr}`);
  try {
    const store = await newStore(disk);
    const small = join(folder.path, 'small');
    writeFileSync(small, text(seededRandom(1), 20_000));
    assert.equal((await holdfast(['put', '--store', store, small, '/small'])).code, 0);
    const filler = join(disk, 'filler');
    writeFileSync(filler, Buffer.alloc(4 * 2 ** 20));
    const big = join(folder.path, 'big');
    writeFileSync(big, seededRandom(2).bytes(20 * 2 ** 20));
    const refused = await holdfast(['put', '--store', store, big, '/big']);
    assert.ok(refused.code === 8 || refused.code === 5, `${refused.code} ${refused.stderr}`);
    assert.match(refused.stderr, /room|full|space/i);
    writeFileSync(filler, '');
    const absent = await holdfast(['stat', '--store', store, '/big']);
    assert.equal(absent.code, 3, absent.stderr);
    const back = await holdfast(['cat', '--store', store, '/small']);
    assert.equal(sha256(back.stdout), sha256(readFileSync(small)), back.stderr);
    const again = await holdfast(['put', '--store', store, small, '/again']);
    assert.equal(again.code, 0, again.stderr);
    const check = await holdfast(['check', '--store', store]);
    assert.equal(check.code, 0, check.stdout.toString() + check.stderr);
  } finally {
    await run('umount', [disk]);
  }
});

test('a read-only folder is said', { timeout: 60_000 }, async (context) => {
  using folder = temporaryFolder();
  const disk = join(folder.path, 'disk');
  mkdirSync(disk);
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', disk]);
  if (mounted.code !== 0) return notRun(context, `a tmpfs cannot be mounted here: ${mounted.stderr}`);
  try {
    const store = await newStore(disk);
    assert.equal((await run('mount', ['-o', 'remount,ro', disk])).code, 0);
    const refused = await holdfast(['mkdir', '--store', store, '/x']);
    assert.equal(refused.code, 9, refused.stderr);
    assert.match(refused.stderr, /read-only|cannot be written/i);
  } finally {
    await run('umount', [disk]);
  }
});

test('a source file that cannot be read is skipped and named, and the others are stored', {
  timeout: 60_000,
}, async (context) => {
  if (process.getuid?.() !== 0) return notRun(context, 'only root can run a command as somebody else');
  using folder = temporaryFolder();
  chmodSync(folder.path, 0o777);
  const source = join(folder.path, 'in');
  mkdirSync(source);
  writeFileSync(join(source, 'open'), 'open');
  writeFileSync(join(source, 'secret'), 'secret', { mode: 0o600 });
  const nobody = 65_534;
  const store = join(folder.path, 'store');
  const ownCache = { HOME: folder.path, XDG_CACHE_HOME: '', NODE_COMPILE_CACHE: '' };
  const asNobody = { uid: nobody, environment: ownCache };
  const made = await holdfast(['init', '--store', store], asNobody);
  if (made.code === -1 || /EACCES|denied/i.test(made.stderr))
    return notRun(context, `the checkout cannot be read by others: ${made.stderr}`);
  assert.equal(made.code, 0, made.stderr);
  const put = await holdfast(['put', '--store', store, source, '/in'], asNobody);
  assert.equal(put.code, 5, put.stderr);
  assert.match(put.stderr, /secret/);
  const open = await holdfast(['cat', '--store', store, '/in/open'], asNobody);
  assert.equal(open.stdout.toString(), 'open');
  assert.ok(existsSync(join(folder.path, '.cache', 'holdfast')), 'compiled code is kept where its user may write');
});

test('bad requests get their own status and leave nothing', { timeout: 60_000 }, async () => {
  await using server = await startServer();
  const { origin } = server;
  const cases: readonly (readonly [string, string, RequestInit, number, string])[] = [
    ['path with NUL', '/v1/files/a%00b?create', { method: 'PUT', body: 'x' }, 400, 'invalid'],
    ['name of 256 bytes', `/v1/files/${'n'.repeat(256)}?create`, { method: 'PUT', body: 'x' }, 400, 'invalid'],
    ['bad escape', '/v1/files/a%zz?create', { method: 'PUT', body: 'x' }, 400, 'invalid'],
    ['reserved name', '/v1/files/.vault?create', { method: 'PUT', body: 'x' }, 400, 'invalid'],
    ['replace what is not there', '/v1/files/none', { method: 'PUT', body: 'x' }, 404, 'not-found'],
    ['missing folder', '/v1/files/no/such/folder?create', { method: 'PUT', body: 'x' }, 404, 'not-found'],
    [
      'wrong size header',
      '/v1/files/h1?create',
      { method: 'PUT', body: 'xyz', headers: { 'x-file-size': '5' } },
      400,
      'mismatch',
    ],
    [
      'wrong hash header',
      '/v1/files/h2?create',
      { method: 'PUT', body: 'xyz', headers: { 'x-file-hash': '0123456789abcdef' } },
      400,
      'mismatch',
    ],
    ['unknown member', '/v1/move', json({ from_path: '/a', to_path: '/b', hurry: true }), 400, 'invalid'],
    ['unknown route', '/v1/nothing', {}, 404, 'not-found'],
  ];
  for (const [name, path, init, status, code] of cases) {
    const answer = await fetch(origin + path, init);
    assert.equal(answer.status, status, `${name}: ${await answer.clone().text()}`);
    const said = await problem(answer);
    assert.equal(said.code, code, name);
    assert.ok(said.detail.length > 10 && said.error === said.detail, name);
  }
  // Clients tidy such paths up before they send them; curl can be told not to.
  for (const path of ['a/../b', 'a/%2E%2E/b', './x', '%2e']) {
    const sent = ['-sS', '--path-as-is', '-w', '%{http_code}', '-T', '-', `${origin}/v1/files/${path}?create`];
    const { stdout } = await run('curl', sent, { input: Buffer.from('x') });
    assert.match(stdout.toString(), /"code":"invalid".*400$/s, path);
  }
  const missing = await problem(await fetch(`${origin}/v1/move`, json({ from_path: '/a' })));
  assert.match(missing.detail, /to_path is missing/);
  const listing = (await (await fetch(`${origin}/v1/directories/`)).json()) as { entries: unknown[] };
  assert.deepEqual(listing.entries, []);
});

function json(value: unknown): RequestInit {
  return { method: 'POST', body: JSON.stringify(value), headers: { 'content-type': 'application/json' } };
}

test('10 MB of JSON where little is expected is refused at once', { timeout: 60_000 }, async () => {
  await using server = await startServer();
  const answer = await fetch(
    `${server.origin}/v1/move`,
    json({ from_path: '/a', to_path: 'x'.repeat(10_000_000) }),
  ).catch((error: unknown) => error);
  // The server may close the connection before all is sent; then nothing can be read of its answer.
  if (answer instanceof Response) assert.equal(answer.status, 413);
  assert.equal((await fetch(`${server.origin}/v1/health`)).status, 200);
});

test('an upload that ends early, or is longer than announced, leaves nothing', { timeout: 60_000 }, async () => {
  await using server = await startServer();
  await rawUpload(server, 'short', 1_000, 400);
  const long = await fetch(`${server.origin}/v1/files/long?create`, {
    method: 'PUT',
    body: 'x'.repeat(500),
    headers: { 'x-file-size': '100' },
  });
  assert.equal((await problem(long)).code, 'mismatch');
  for (const name of ['short', 'long'])
    assert.equal((await fetch(`${server.origin}/v1/files/${name}`)).status, 404, name);
});

/** Announces `length` bytes, sends fewer, and hangs up. */
function rawUpload(server: Server, name: string, length: number, sent: number): Promise<void> {
  const { hostname, port } = new URL(server.origin);
  return new Promise((done, fail) => {
    const socket = connect(Number(port), hostname, () => {
      socket.write(
        `PUT /v1/files/${name}?create HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Length: ${length}\r\n\r\n`,
      );
      socket.write('x'.repeat(sent), () => setTimeout(() => socket.destroy(), 200));
    });
    socket.on('close', () => setTimeout(done, 200));
    socket.on('error', fail);
  });
}

test('a second process on the same store works through the first, and a second server is told who holds it', {
  timeout: 60_000,
}, async () => {
  await using server = await startServer();
  const put = await holdfast(['put', '--store', server.store, '-', '/from-stdin'], { input: Buffer.from('hello') });
  assert.equal(put.code, 0, put.stderr);
  assert.equal(await (await fetch(`${server.origin}/v1/files/from-stdin`)).text(), 'hello');
  const second = await holdfast(['serve', '--store', server.store, '--port', '0']);
  assert.equal(second.code, 6, second.stderr);
  assert.match(second.stderr, new RegExp(`${server.child.pid}|holdfast serve`));
});

test('an address beyond this machine is refused with the reason', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder();
  const refused = await holdfast(['serve', '--store', join(folder.path, 's'), '--host', '0.0.0.0', '--port', '0']);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /loopback|account/i);
});

test('SIGTERM lets a running upload finish', { timeout: 60_000 }, async () => {
  await using server = await startServer();
  const upload = spawn('sh', [
    '-c',
    `(printf first; sleep 1; printf second) | curl -sS -f -T - '${server.origin}/v1/files/slow?create'`,
  ]);
  await new Promise((done) => setTimeout(done, 400));
  const ended = server.stop('SIGTERM');
  const code = await new Promise((done) => upload.on('exit', done));
  assert.equal(code, 0);
  assert.equal(await ended, 0);
  const cat = await holdfast(['cat', '--store', server.store, '/slow']);
  assert.equal(cat.stdout.toString(), 'firstsecond', cat.stderr);
});

/** Said loudly in the test's own output: this check did not run here. */
function notRun(context: TestContext, why: string): void {
  context.diagnostic(`NOT RUN: ${why}`);
  process.stderr.write(`NOT RUN: ${context.name}: ${why}\n`);
  context.skip(why);
}
