/** Many files in one request: forms in, parts and frames out, removals, and the facts of a sync plan. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { BulkAnswer, BulkUploaded, FileRecord, FileService, Problem, SyncAnswer } from '../api/index.ts';
import { Fault } from '../base/index.ts';
import { type FakeDoor, openFakeDoor } from './fake-door.ts';
import { xxhash3Of } from './fake-file-service.ts';

const JSON_BODY = { 'content-type': 'application/json' };

interface Sent {
  readonly filename?: string;
  readonly content?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

function formOf(files: readonly Sent[], end = '--B--\r\n'): Buffer {
  const parts = files.map(({ filename, content = '', headers = {} }) => {
    const name = filename === undefined ? '' : `; filename="${filename}"`;
    const lines = Object.entries(headers).map(([key, value]) => `${key}: ${value}\r\n`);
    const head = `--B\r\nContent-Disposition: form-data; name="files"${name}\r\n${lines.join('')}\r\n`;
    return Buffer.concat([Buffer.from(head), Buffer.from(content), Buffer.from('\r\n')]);
  });
  return Buffer.concat([...parts, Buffer.from(end)]);
}

const FORM = { 'content-type': 'multipart/form-data; boundary=B' };

async function upload(door: FakeDoor, files: readonly Sent[], query = '', headers = {}): Promise<BulkAnswer> {
  const answer = await door.ask('POST', `/v1/bulk/upload${query}`, {
    headers: { ...FORM, ...headers },
    body: formOf(files),
  });
  assert.equal(answer.status, 200, answer.text);
  return answer.json as BulkAnswer;
}

async function pathsOf(service: FileService): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of service.manifest({ path: '/' })) paths.push(path);
  return paths;
}

test('a form of files is kept below a folder, with the folders in the names and what their headers say', async () => {
  await using door = await openFakeDoor();
  const large = Buffer.alloc(300_000, 'large ');
  const answer = await upload(
    door,
    [
      { filename: 'a.txt', content: 'one', headers: { 'X-File-Hash': xxhash3Of(Buffer.from('one')) } },
      {
        filename: 'sub/b.txt',
        content: 'two',
        headers: { 'X-File-Mode': '600', 'X-Modified-Time': '2026-01-02T03:04:05Z' },
      },
      { filename: 'large', content: large },
      { headers: { 'X-File-Path': 'sub/caf%E9' }, content: '' },
      { filename: 'empty/folder', headers: { 'X-File-Kind': 'folder' } },
      { filename: 'link', headers: { 'X-File-Kind': 'symlink' }, content: 'a.txt' },
    ],
    '?path=/up',
  );
  const all = ['/up/a.txt', '/up/sub/b.txt', '/up/large', '/up/sub/caf\\xE9', '/up/empty/folder', '/up/link'];
  assert.deepEqual(answer, { success: all, failed: [] });
  const { mode, modified } = await door.service.stat({ path: '/up/sub/b.txt' });
  assert.deepEqual([mode, modified], [0o600, '2026-01-02T03:04:05.000Z']);
  assert.equal((await door.service.stat({ path: '/up/large' })).xxhash3, xxhash3Of(large));
  assert.equal((await door.service.stat({ path: '/up/link' })).target, 'a.txt');
  assert.equal((await door.service.stat({ path: '/up/empty/folder' })).kind, 'folder');
});

test('each file of a form fails alone, and the answer says why', async () => {
  await using door = await openFakeDoor();
  await door.service.makeFolder('/folder');
  const answer = await upload(door, [
    { filename: 'good', content: 'x' },
    { filename: 'wrong', content: 'x', headers: { 'X-File-Hash': '0123456789abcdef' } },
    { filename: 'short', content: 'x', headers: { 'X-File-Size': '2' } },
    { filename: 'large-and-wrong', content: Buffer.alloc(200_000), headers: { 'X-File-Size': '2' } },
    { filename: 'md5', content: 'x', headers: { 'Content-MD5': 'kAFQmDzST7DWlj99KOF/cg==' } },
    { filename: 'large-md5', content: Buffer.alloc(200_000), headers: { 'Content-MD5': 'kAFQmDzST7DWlj99KOF/cg==' } },
    { filename: '../out', content: 'x' },
    { filename: 'when', content: 'x', headers: { 'X-Modified-Time': 'yesterday' } },
    { filename: 'what', content: 'x', headers: { 'X-File-Kind': 'socket' } },
    { filename: 'good/below', content: Buffer.alloc(200_000) },
    { filename: 'folder', content: 'x' },
    { filename: 'last', content: 'x' },
  ]);
  assert.deepEqual(answer.success, ['/good', '/last']);
  assert.deepEqual(
    answer.failed.map(({ path, code }) => `${path} ${code}`),
    [
      '/wrong mismatch',
      '/short mismatch',
      '/large-and-wrong mismatch',
      '/md5 mismatch',
      '/large-md5 mismatch',
      '/../out invalid',
      '/when invalid',
      '/what invalid',
      '/good/below not-folder',
      '/folder is-folder',
    ],
  );
  assert.equal(answer.failed[0]?.error_code, 'hash_mismatch');
  assert.deepEqual(await pathsOf(door.service), ['/folder', '/good', '/last']);
});

test('without parents a missing folder is the fault of what is in it', async () => {
  await using door = await openFakeDoor();
  const answer = await upload(door, [{ filename: 'no/a', content: 'x' }], '?parents=false');
  assert.deepEqual([answer.success, answer.failed[0]?.code], [[], 'not-found']);
});

test('a form that is none is refused, and what came before it breaks off stays', async () => {
  await using door = await openFakeDoor({ options: { bulkPartsMax: 3 } });
  const ask = (body: Buffer, headers: Record<string, string> = FORM) =>
    door.ask('POST', '/v1/bulk/upload', { headers, body });
  assert.equal((await ask(formOf([]), { 'content-type': 'text/plain' })).json.code, 'unsupported');
  assert.equal((await ask(formOf([{ content: 'a field' }]))).json.code, 'invalid');
  assert.equal((await ask(formOf([{ filename: 'a', content: 'x' }], '--B'))).json.code, 'invalid');
  const behind = formOf([], `--B--\r\n${'x'.repeat(600_000)}`);
  assert.equal((await ask(behind)).json.code, 'invalid');
  const many = Array.from({ length: 4 }, (_, index) => ({ filename: `m${index}`, content: 'x' }));
  const refused = await ask(formOf(many));
  assert.deepEqual([refused.status, refused.json.code], [413, 'too-large']);
  assert.deepEqual(await pathsOf(door.service), ['/a', '/m0', '/m1', '/m2']);
});

test('a form that is too large is refused', async () => {
  await using door = await openFakeDoor({ options: { bulkBytesMax: 1_000, fileBytesMax: 400 } });
  const ask = (size: number) =>
    door.ask('POST', '/v1/bulk/upload', {
      headers: FORM,
      body: formOf([{ filename: 'a', content: Buffer.alloc(size) }]),
    });
  const form = await ask(2_000);
  assert.equal(form.status, 413);
  assert.match(String(form.json.detail), /^The form has 2\d{3} bytes; the most that one form may have here is 1000\.$/);
  const one = await ask(500);
  assert.equal((one.json as BulkAnswer).failed[0]?.code, 'too-large');
});

test('lines come while the form is still being sent, and the connection goes on', async () => {
  await using door = await openFakeDoor();
  const seen = Promise.withResolvers<void>();
  const socket = await door.socket();
  const told: string[] = [];
  socket.on('data', (data) => {
    told.push(data.toString());
    if (told.join('').includes('"/f0"')) seen.resolve();
  });
  const first = formOf([{ filename: 'f0', content: 'x' }], '');
  const rest = formOf([{ filename: 'f1', content: 'y' }]);
  const head = `POST /v1/bulk/upload HTTP/1.1\r\nHost: test.example\r\nAccept: application/x-ndjson\r\nContent-Type: ${FORM['content-type']}\r\n`;
  socket.write(`${head}Content-Length: ${first.length + rest.length}\r\n\r\n`);
  // The end of a part shows only with what comes behind it.
  socket.write(Buffer.concat([first, rest.subarray(0, 60)]));
  await seen.promise;
  socket.write(rest.subarray(60));
  while (!told.join('').includes('"failed"')) await wait(5);
  socket.write('GET /v1/health HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n');
  await new Promise((done) => socket.once('close', done));
  const lines = [...told.join('').matchAll(/\{"path".*\n|\{"done.*\n/g)].map(
    ([line]) => JSON.parse(line) as BulkUploaded,
  );
  assert.deepEqual(
    lines.map(({ path, ok }) => [path, ok]),
    [
      ['/f0', true],
      ['/f1', true],
      [undefined, undefined],
    ],
  );
  assert.deepEqual({ ...lines[2] }, { done: 2, failed: 0 });
  assert.match(told.join(''), /"status":"ok"/);
});

test('a client that goes away in the middle of a large part leaves nothing of it, and nothing open', async () => {
  await using door = await openFakeDoor();
  const socket = await door.socket();
  const body = formOf([
    { filename: 'a', content: 'x' },
    { filename: 'big', content: Buffer.alloc(500_000) },
  ]);
  socket.write(
    `POST /v1/bulk/upload HTTP/1.1\r\nHost: test.example\r\nContent-Type: ${FORM['content-type']}\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  socket.write(body.subarray(0, 300_000));
  while (!(await pathsOf(door.service)).includes('/a')) await wait(5);
  socket.destroy();
  assert.deepEqual(await door.door.drain(2_000), { ended: 0 });
  assert.deepEqual(await pathsOf(door.service), ['/a']);
});

// ---- down

type Frame = { readonly letter: string; readonly bytes: Buffer };

function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 1);
    frames.push({ letter: bytes.toString('latin1', at, at + 1), bytes: bytes.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return frames;
}

interface GotPart {
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

function partsIn(bytes: Buffer, type: string): GotPart[] {
  const boundary = /boundary=(\S+)$/.exec(type)?.[1] ?? '';
  const text = bytes.toString('latin1');
  assert.ok(text.endsWith(`\r\n--${boundary}--\r\n`));
  return text
    .slice(0, -`--${boundary}--\r\n`.length)
    .split(`--${boundary}\r\n`)
    .slice(1)
    .map((part) => {
      const end = part.indexOf('\r\n\r\n');
      const lines = part
        .slice(0, end)
        .split('\r\n')
        .map((line) => line.split(': '));
      const headers = Object.fromEntries(lines.map(([name = '', value = '']) => [name.toLowerCase(), value]));
      return { headers, text: part.slice(end + 4, -2) };
    });
}

async function filled(door: FakeDoor): Promise<void> {
  const put = (path: string, bytes: Uint8Array) => door.service.write(path, [bytes], { mode: 'put', parents: true });
  await put('/f/a.txt', Buffer.from('one'));
  await put('/f/caf\\xE9', Buffer.from('two'));
  await put('/f/large', Buffer.alloc(700_000, 'x'));
  await put('/f/empty', Buffer.alloc(0));
}

test('many files come in the order asked for, each by itself', async () => {
  await using door = await openFakeDoor();
  await filled(door);
  const { file_id } = await door.service.stat({ path: '/f/a.txt' });
  const paths = ['/f/large', '/f/empty', '/f/none', '/f', '/f/caf\\xE9', '/a/../b'];
  const body = JSON.stringify({ paths, file_ids: [file_id, 999_999] });
  const answer = await door.ask('POST', '/v1/bulk/download', { headers: JSON_BODY, body });
  assert.equal(answer.status, 200);
  const parts = partsIn(answer.bytes, answer.headers['content-type'] ?? '');
  const told = parts.map(({ headers, text }) =>
    headers['content-type'] === 'application/problem+json' ? (JSON.parse(text) as Problem).code : text.length,
  );
  assert.deepEqual(told, [
    700_000,
    0,
    'not-found',
    'is-folder',
    3,
    'invalid',
    3,
    'not-found',
    '{"done":4,"failed":4}'.length,
  ]);
  const [large, , none, , cafe, , byId] = parts;
  assert.equal(large?.headers['content-length'], '700000');
  assert.equal(large?.headers['x-file-hash'], xxhash3Of(Buffer.alloc(700_000, 'x')));
  assert.equal(none?.headers['x-file-path'], 'f/none');
  assert.equal((JSON.parse(none?.text ?? '') as Problem).path, '/f/none');
  assert.equal(cafe?.headers['x-file-path'], 'f/caf%E9');
  assert.deepEqual([byId?.headers['x-file-path'], byId?.text], ['f/a.txt', 'one']);

  const framed = await door.ask('POST', '/v1/bulk/download', {
    headers: { ...JSON_BODY, accept: 'application/vnd.holdfast.frames' },
    body,
  });
  assert.equal(framed.headers['content-type'], 'application/vnd.holdfast.frames');
  const frames = framesOf(framed.bytes);
  const letters = frames.map(({ letter }) => letter).join('');
  assert.match(letters, /^FD+EFEPPFDEPFDEPZ$/);
  const records = frames
    .filter(({ letter }) => letter === 'F')
    .map(({ bytes }) => JSON.parse(String(bytes)) as FileRecord);
  assert.deepEqual(
    records.map(({ path }) => path),
    ['/f/large', '/f/empty', '/f/caf\\xE9', '/f/a.txt'],
  );
  assert.equal(String(frames.at(-1)?.bytes), '{"done":4,"failed":4}');
});

test('a file that is damaged behind its beginning says so, and the next one comes whole', async () => {
  const damaged = (service: FileService): FileService =>
    new Proxy(service, {
      get(target, name, receiver) {
        if (name !== 'read') return Reflect.get(target, name, receiver)?.bind(target);
        return async (...words: Parameters<FileService['read']>) => {
          const read = await target.read(...words);
          return { ...read, bytes: read.record.path === '/f/large' ? half(read.bytes) : read.bytes };
        };
      },
    });
  async function* half(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of bytes) {
      yield piece;
      throw new Fault('corrupt', '/f/large is damaged.', { path: '/f/large' });
    }
  }
  await using door = await openFakeDoor({ wrap: damaged });
  await filled(door);
  const body = JSON.stringify({ paths: ['/f/large', '/f/a.txt'] });
  const answer = await door.ask('POST', '/v1/bulk/download', { headers: JSON_BODY, body });
  const parts = partsIn(answer.bytes, answer.headers['content-type'] ?? '');
  assert.ok((parts[0]?.text.length ?? 0) < 700_000);
  assert.deepEqual(
    [parts[1]?.headers['x-file-path'], (JSON.parse(parts[1]?.text ?? '') as Problem).code],
    ['f/large', 'corrupt'],
  );
  assert.deepEqual([parts[2]?.text, parts[3]?.text], ['one', '{"done":1,"failed":1}']);
  const framed = await door.ask('POST', '/v1/bulk/download', {
    headers: { ...JSON_BODY, accept: 'application/vnd.holdfast.frames' },
    body,
  });
  assert.match(
    framesOf(framed.bytes)
      .map(({ letter }) => letter)
      .join(''),
    /^FD+PFDEZ$/,
  );
});

test('lists that are too long, or name nothing that can be, are refused', async () => {
  await using door = await openFakeDoor();
  const paths = Array.from({ length: 10_001 }, () => '/a');
  for (const route of ['download', 'delete']) {
    const answer = await door.ask('POST', `/v1/bulk/${route}`, { headers: JSON_BODY, body: JSON.stringify({ paths }) });
    assert.deepEqual([answer.status, answer.json.code], [400, 'invalid']);
  }
});

test('many are removed, each alone', async () => {
  await using door = await openFakeDoor();
  await filled(door);
  const remove = async (json: object): Promise<BulkAnswer> =>
    (await door.ask('POST', '/v1/bulk/delete', { headers: JSON_BODY, body: JSON.stringify(json) })).json as BulkAnswer;
  const paths = ['/f/a.txt', '/none', '/f'];
  const dry = await remove({ paths, dry_run: true });
  assert.deepEqual([dry.success, dry.failed.map(({ code }) => code)], [['/f/a.txt'], ['not-found', 'not-empty']]);
  assert.equal((await pathsOf(door.service)).length, 5);
  const real = await remove({ paths, recursive: true });
  assert.deepEqual([real.success, real.failed[0]?.error_code], [['/f/a.txt', '/f'], 'file_not_found']);
  assert.deepEqual(await pathsOf(door.service), []);
});

test('the bulk manifest is the manifest', async () => {
  await using door = await openFakeDoor();
  await filled(door);
  const [one, other] = await Promise.all(
    ['/v1/manifest', '/v1/bulk/manifest'].map((path) => door.ask('GET', `${path}?path=/f`)),
  );
  assert.equal(one?.text, other?.text);
  assert.equal(one?.text.trim().split('\n').length, 4);
});

// ---- sync

test('files are downloaded as they were at a moment, and a moment that is none is refused as a whole', async () => {
  await using door = await openFakeDoor();
  await filled(door);
  await door.service.createSnapshot('then', { path: '/f' });
  await door.service.write('/f/a.txt', [Buffer.from('one more')], { mode: 'put' });
  await door.service.remove('/f/empty');
  const body = JSON.stringify({ paths: ['/f/a.txt', '/f/empty', '/g'] });
  const ask = (at: string) => door.ask('POST', `/v1/bulk/download?at=${at}`, { headers: JSON_BODY, body });
  const answer = await ask('then');
  const parts = partsIn(answer.bytes, answer.headers['content-type'] ?? '');
  assert.deepEqual([parts[0]?.text, parts[1]?.text], ['one', '']);
  assert.equal((JSON.parse(parts[2]?.text ?? '') as Problem).code, 'not-found');
  assert.deepEqual(JSON.parse(parts[3]?.text ?? ''), { done: 2, failed: 1 });
  const none = await ask('none');
  assert.deepEqual([none.status, none.json.code], [404, 'not-found']);
});

test('a manifest becomes a plan, and with the cursor of the last plan removals are known', async () => {
  await using door = await openFakeDoor();
  await filled(door);
  const sync = async (json: object): Promise<SyncAnswer> => {
    const answer = await door.ask('POST', '/v1/bulk/sync', { headers: JSON_BODY, body: JSON.stringify(json) });
    assert.equal(answer.status, 200, answer.text);
    return answer.json as unknown as SyncAnswer;
  };
  const of = (text: string, modified = '2026-01-01T00:00:00Z') =>
    ({ size: text.length, xxhash3: xxhash3Of(Buffer.from(text)), modified }) as const;
  const files = { 'f/a.txt': of('one'), '/f/caf\\xE9': of('other'), '/g/new': of('new') };
  const first = await sync({ client_manifest: { files }, conflict_resolution: 'prefer_local' });
  const { cursor, ...plan } = first;
  const remote = (await door.service.stat({ path: '/f/caf\\xE9' })).modified;
  assert.deepEqual(plan, {
    client_upload: ['/f/caf\\xE9', '/g/new'],
    client_download: ['/f/empty', '/f/large'],
    client_delete: [],
    client_create_dirs: [],
    server_create_dirs: ['/g'],
    server_delete: [],
    conflicts: [
      { path: '/f/caf\\xE9', resolution: 'use_local', local_modified: '2026-01-01T00:00:00Z', remote_modified: remote },
    ],
  });
  // The client has what the server had; then both go on.
  await door.service.remove('/f/large');
  await door.service.write('/f/a.txt', [Buffer.from('one more')], { mode: 'put' });
  const before = {
    '/f/a.txt': of('one'),
    '/f/caf\\xE9': of('two!'),
    '/f/large': { size: 700_000, xxhash3: xxhash3Of(Buffer.alloc(700_000, 'x')) },
  };
  const second = await sync({ client_manifest: { files: before }, base: cursor });
  assert.deepEqual(second.client_delete, ['/f/large']);
  assert.deepEqual(second.client_download, ['/f/a.txt']);
  assert.deepEqual(second.client_upload, ['/f/caf\\xE9']);
  assert.deepEqual(second.server_delete, ['/f/empty']);
  assert.deepEqual(second.conflicts, []);
  assert.notEqual(second.cursor, cursor);
  // Nothing has changed since: the base is what is there.
  const third = await sync({ client_manifest: { files: {} }, base: second.cursor, path: '/f' });
  assert.deepEqual(third.server_delete, ['/f/empty', '/f/caf\\xE9', '/f/a.txt']);
});

test('a base is good for the folder that it was planned for and what is below, and for nothing else', async () => {
  await using door = await openFakeDoor();
  await filled(door);
  await door.service.makeFolder('/f/g');
  const ask = (json: object) =>
    door.ask('POST', '/v1/bulk/sync', {
      headers: JSON_BODY,
      body: JSON.stringify({ client_manifest: { files: {} }, ...json }),
    });
  const { cursor } = (await ask({ path: '/f' })).json as unknown as SyncAnswer;
  for (const path of ['/f', '/f/g']) assert.equal((await ask({ path, base: cursor })).status, 200);
  // The client never had the rest: with this base all of it would look like removed there.
  for (const path of [undefined, '/', '/other', '/f2']) {
    const { status, json } = await ask({ path, base: cursor });
    assert.deepEqual([status, json.code], [400, 'invalid']);
    assert.equal((json.about as Record<string, unknown>).base_folder, '/f');
  }
  const feed = (await door.ask('GET', '/v1/changes?after=now')).json.next;
  assert.equal((await ask({ path: '/f', base: feed })).json.code, 'invalid');
});

test('a manifest or a base that cannot be is refused', async () => {
  await using door = await openFakeDoor({ options: { syncEntriesMax: 3 } });
  const codeOf = async (json: object): Promise<unknown> =>
    (await door.ask('POST', '/v1/bulk/sync', { headers: JSON_BODY, body: JSON.stringify(json) })).json.code;
  const manifest = (...paths: string[]) => ({ files: Object.fromEntries(paths.map((path) => [path, { size: 1 }])) });
  assert.equal(await codeOf({ client_manifest: manifest('/a', '/a/b') }), 'invalid');
  assert.equal(await codeOf({ client_manifest: manifest('/a/../b') }), 'invalid');
  assert.equal(await codeOf({ client_manifest: manifest('/a'), path: '/f' }), 'invalid');
  assert.equal(await codeOf({ client_manifest: manifest('/a'), base: 'yesterday' }), 'invalid');
  assert.equal(await codeOf({ client_manifest: manifest('/a', '/b', '/c', '/d') }), 'too-large');
  for (const name of ['a', 'b', 'c', 'd']) await door.service.makeFolder(`/${name}`);
  assert.equal(await codeOf({ client_manifest: manifest() }), 'too-large');
});
