/** The door over a service in memory: statuses, headers, ranges, conditions, and everything that may come in wrong. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { Compile } from 'typebox/compile';
import { FileRecord, type FileService, Problem } from '../api/index.ts';
import { Fault, utf8 } from '../base/index.ts';
import { type Asked, ended, type FakeDoor, type FakeDoorOptions, openFakeDoor, type Told } from './fake-door.ts';
import { xxhash3Of } from './fake-file-service.ts';

const checkProblem = Compile(Problem);
const checkRecord = Compile(FileRecord);

function assertProblem(told: Told, status: number, code?: string): void {
  assert.equal(told.status, status, told.text);
  assert.equal(told.headers['content-type'], 'application/problem+json');
  assert.ok(checkProblem.Check(told.json), JSON.stringify(checkProblem.Errors(told.json)));
  assert.equal(told.json.status, status);
  assert.equal(told.json.detail, told.json.error);
  if (code !== undefined) assert.equal(told.json.code, code);
}

function withDoor(title: string, act: (door: FakeDoor) => Promise<void>, options: FakeDoorOptions = {}): void {
  test(title, async () => {
    await using door = await openFakeDoor(options);
    await act(door);
  });
}

async function names(door: FakeDoor): Promise<string[]> {
  return (await door.service.list({ path: '/' })).entries.map(({ name }) => name);
}

const digest = (text: string): string => `sha-256=:${createHash('sha256').update(text).digest('base64')}:`;

describe('files over HTTP', () => {
  withDoor(
    'a file is made, replaced, told about and removed with the statuses that clients expect',
    async ({ ask }) => {
      assertProblem(await ask('PUT', '/v1/files/a.txt', { body: 'x' }), 404, 'not-found');
      const made = await ask('POST', '/v1/files/a.txt', { body: 'abc' });
      assert.equal(made.status, 201);
      assert.equal(made.headers.location, '/v1/files/a.txt');
      assert.ok(checkRecord.Check(made.json));
      assert.equal(made.headers.etag, `"${made.json.file_id}-${made.json.version}"`);
      assertProblem(await ask('POST', '/v1/files/a.txt', { body: 'abc' }), 409, 'exists');
      assert.equal((await ask('PUT', '/v1/files/a.txt', { body: 'abcd' })).status, 200);
      assert.equal((await ask('PUT', '/v1/files/a.txt?create', { body: 'abcde' })).status, 200);
      assert.equal((await ask('PUT', '/v1/files/b.txt?create', { body: 'abcde' })).status, 201);
      assert.equal((await ask('PATCH', '/v1/files/a.txt', { body: '{"mode":384}' })).json.mode, 0o600);
      const head = await ask('HEAD', '/v1/files/a.txt');
      assert.deepEqual([head.status, head.bytes.length], [200, 0]);
      assert.equal(head.headers['content-length'], '5');
      assert.equal(head.headers['x-file-size'], '5');
      assert.equal(head.headers['x-file-hash'], xxhash3Of(utf8('abcde')));
      assert.ok(Number.isFinite(Date.parse(head.headers['x-modified-time'] ?? '')));
      const removed = await ask('DELETE', '/v1/files/a.txt');
      assert.deepEqual([removed.status, removed.text], [204, '']);
      const told = await ask('DELETE', '/v1/files/b.txt', { headers: { prefer: 'return=representation' } });
      assert.deepEqual([told.status, told.json.files], [200, 1]);
      assertProblem(await ask('GET', '/v1/files/a.txt'), 404, 'not-found');
      assert.equal((await ask('HEAD', '/v1/files/a.txt')).status, 404);
    },
  );

  withDoor('headers of an upload set times, permissions and checks', async ({ ask }) => {
    const headers = {
      'x-modified-time': '2001-02-03T04:05:06.789Z',
      'x-file-mode': '0640',
      'x-file-size': '3',
      'x-file-hash': xxhash3Of(utf8('abc')).toUpperCase(),
      'content-digest': `unixsum=30637, ${digest('abc')}`,
      'content-md5': 'kAFQmDzST7DWlj99KOF/cg==',
    };
    const { json } = await ask('POST', '/v1/files/a', { headers, body: 'abc' });
    assert.deepEqual([json.mode, json.modified], [0o640, '2001-02-03T04:05:06.789Z']);
    assert.equal((await ask('GET', '/v1/files/a')).headers['last-modified'], 'Sat, 03 Feb 2001 04:05:06 GMT');
  });

  withDoor('a request with an idempotency key is done once', async ({ ask }) => {
    const headers = { 'idempotency-key': '"one"' };
    const first = await ask('POST', '/v1/files/a', { headers, body: 'abc' });
    const second = await ask('POST', '/v1/files/a', { headers: { 'idempotency-key': 'one' }, body: 'abc' });
    assert.deepEqual([second.status, second.json], [201, first.json]);
    assertProblem(await ask('POST', '/v1/files/b', { headers, body: 'abc' }), 409, 'conflict');
  });

  withDoor('served content cannot run in a browser', async ({ ask, service }) => {
    const cases: [path: string, type: string, disposition: string][] = [
      ['page.html', 'application/octet-stream', 'attachment; filename="page.html"'],
      ['image.svg', 'application/octet-stream', 'attachment; filename="image.svg"'],
      ['a b.PNG', 'image/png', 'attachment; filename="a b.PNG"'],
      [
        'ü"\r\n.txt',
        'text/plain; charset=utf-8',
        `attachment; filename="____.txt"; filename*=UTF-8''%C3%BC%22%0D%0A.txt`,
      ],
      ['\\xFF', 'application/octet-stream', `attachment; filename="_xFF"; filename*=UTF-8''%5CxFF`],
    ];
    for (const [name, type, disposition] of cases) {
      const { file_id } = await service.write(`/${name}`, [utf8('<script>')], { mode: 'create' });
      const { headers, text } = await ask('GET', `/v1/download?file_id=${file_id}`);
      assert.equal(text, '<script>');
      assert.equal(headers['content-type'], type);
      assert.equal(headers['content-disposition'], disposition);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.match(headers['content-security-policy'] ?? '', /sandbox/);
      assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
      assert.equal(headers['access-control-allow-origin'], undefined);
    }
  });

  withDoor('one range is answered, several or unreadable ones with the whole file', async ({ ask, service }) => {
    await service.write('/a', [utf8('0123456789')], { mode: 'create' });
    await service.write('/empty', [], { mode: 'create' });
    const cases: [range: string, status: number, text: string, contentRange?: string][] = [
      ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
      ['bytes=2-5', 206, '2345', 'bytes 2-5/10'],
      ['bytes=7-', 206, '789', 'bytes 7-9/10'],
      ['bytes=7-99', 206, '789', 'bytes 7-9/10'],
      ['bytes=-3', 206, '789', 'bytes 7-9/10'],
      ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
      ['BYTES = 1-1', 206, '1', 'bytes 1-1/10'],
      ['bytes=0-1,4-5', 200, '0123456789'],
      ['bytes=5-2', 200, '0123456789'],
      ['bytes=x', 200, '0123456789'],
      ['bytes=-', 200, '0123456789'],
      ['pages=1-2', 200, '0123456789'],
    ];
    for (const [range, status, text, contentRange] of cases) {
      const told = await ask('GET', '/v1/files/a', { headers: { range } });
      assert.deepEqual([told.status, told.text, told.headers['content-range']], [status, text, contentRange], range);
      assert.equal(told.headers['content-length'], String(text.length));
    }
    for (const range of ['bytes=10-', 'bytes=99-100', 'bytes=-0']) {
      const told = await ask('GET', '/v1/files/a', { headers: { range } });
      assertProblem(told, 416, 'range');
      assert.equal(told.headers['content-range'], 'bytes */10');
    }
    assertProblem(await ask('GET', '/v1/files/empty', { headers: { range: 'bytes=0-' } }), 416);
    assert.equal((await ask('GET', '/v1/files/empty', { headers: { range: 'bytes=-5' } })).status, 200);
    assert.equal((await ask('HEAD', '/v1/files/a', { headers: { range: 'bytes=0-0' } })).status, 200);
  });

  withDoor('a large file comes whole, and in ranges across pieces', async ({ ask, service }) => {
    const bytes = Buffer.alloc(3_000_000, 'some text that repeats at odd places ');
    await service.write('/a', [bytes], { mode: 'create' });
    assert.ok((await ask('GET', '/v1/files/a')).bytes.equals(bytes));
    const part = await ask('GET', '/v1/files/a', { headers: { range: 'bytes=65530-2500000' } });
    assert.ok(part.bytes.equals(bytes.subarray(65_530, 2_500_001)));
  });

  withDoor('reads are conditional', async ({ ask, service }) => {
    const modified = '2001-02-03T04:05:06.5Z';
    const old = await service.write('/a', [utf8('old')], { mode: 'create', modified });
    const { file_id, version } = await service.write('/a', [utf8('0123456789')], { mode: 'put', modified });
    const [tag, oldTag] = [`"${file_id}-${version}"`, `"${file_id}-${old.version}"`];
    const [at, before, after] = ['06', '05', '07'].map((second) => `Sat, 03 Feb 2001 04:05:${second} GMT`);
    const cases: [headers: Record<string, string | undefined>, status: number][] = [
      [{ 'if-none-match': tag }, 304],
      [{ 'if-none-match': `W/${tag}` }, 304],
      [{ 'if-none-match': `"x", ${tag}` }, 304],
      [{ 'if-none-match': '*' }, 304],
      [{ 'if-none-match': oldTag }, 200],
      [{ 'if-modified-since': at }, 304],
      [{ 'if-modified-since': after }, 304],
      [{ 'if-modified-since': before }, 200],
      [{ 'if-modified-since': 'lately' }, 200],
      [{ 'if-modified-since': at, 'if-none-match': oldTag }, 200],
      [{ 'if-match': tag }, 200],
      [{ 'if-match': '*' }, 200],
      [{ 'if-match': `${oldTag}, ${tag}` }, 200],
      [{ 'if-match': oldTag }, 412],
      [{ 'if-match': `W/${tag}` }, 412],
      [{ 'if-unmodified-since': at }, 200],
      [{ 'if-unmodified-since': before }, 412],
      [{ 'if-match': 'no quotes' }, 400],
      [{ range: 'bytes=0-1', 'if-range': tag }, 206],
      [{ range: 'bytes=0-1', 'if-range': at }, 206],
      [{ range: 'bytes=0-1', 'if-range': oldTag }, 200],
      [{ range: 'bytes=0-1', 'if-range': `W/${tag}` }, 200],
      [{ range: 'bytes=0-1', 'if-range': after }, 200],
      [{ range: 'bytes=0-1', 'if-none-match': tag }, 304],
    ];
    for (const [headers, status] of cases) {
      const told = await ask('GET', '/v1/files/a', { headers: headers as Record<string, string> });
      assert.equal(told.status, status, JSON.stringify(headers));
      if (status === 304) assert.deepEqual([told.text, told.headers.etag], ['', tag]);
      if (headers.range === undefined) {
        const head = await ask('HEAD', '/v1/files/a', { headers: headers as Record<string, string> });
        assert.equal(head.status, status, `HEAD ${JSON.stringify(headers)}`);
      }
    }
  });

  withDoor('every change is conditional: 412 for headers, 409 for the body and the query', async ({ ask, service }) => {
    const old = await service.write('/a', [utf8('one')], { mode: 'create' });
    const now = await service.write('/a', [utf8('two')], { mode: 'put' });
    const stale = { 'if-match': `"${old.file_id}-${old.version}"` };
    const other = { 'if-match': `"${now.file_id + 1_000}-${now.version}"` };
    const changes: [method: string, path: string, body?: string][] = [
      ['PUT', '/v1/files/a', 'x'],
      ['PATCH', '/v1/files/a', '{"mode":0}'],
      ['PATCH', `/v1/file/${now.file_id}`, '{"mode":0}'],
      ['POST', '/v1/move', '{"from_path":"/a","to_path":"/b"}'],
      ['POST', '/v1/copy', '{"from_path":"/a","to_path":"/b"}'],
      ['POST', '/v1/restore', `{"path":"/a","version":${old.version}}`],
      ['DELETE', '/v1/files/a'],
    ];
    for (const [method, path, body] of changes) {
      const asked = (headers: Record<string, string>): Asked => (body === undefined ? { headers } : { headers, body });
      for (const headers of [stale, other, { 'if-match': `W/"${now.file_id}-${now.version}"` }]) {
        assertProblem(await ask(method, path, asked(headers)), 412, 'conflict');
      }
      const several = { 'if-match': `"x", "${old.file_id}-${old.version}"` };
      assertProblem(await ask(method, path, asked(several)), 412, 'conflict');
    }
    for (const [method, path, body] of changes.slice(0, 3).concat(changes.slice(6))) {
      const asked = body === undefined ? {} : { body };
      const told = await ask(method, `${path}?expected_version=${old.version}`, asked);
      assertProblem(told, 409, 'conflict');
      const about = told.json.about as Record<string, unknown>;
      assert.deepEqual([about.expected_version, about.current_version], [old.version, now.version]);
    }
    const moved = `{"from_path":"/a","to_path":"/b","expected_version":${old.version}}`;
    assertProblem(await ask('POST', '/v1/move', { body: moved }), 409, 'conflict');
    assert.deepEqual(await names({ service } as FakeDoor), ['a']);
    assert.equal((await service.stat({ path: '/a' })).version, now.version);
    const right = { 'if-match': `"${now.file_id}-${now.version}"` };
    assert.equal((await ask('PUT', '/v1/files/a', { headers: right, body: 'three' })).status, 200);
    assert.equal((await ask('PUT', '/v1/files/a', { headers: { 'if-match': '*' }, body: 'four' })).status, 200);
    assert.equal((await ask('DELETE', '/v1/files/a', { headers: { 'if-match': '*' } })).status, 204);
  });

  withDoor('If-None-Match: * makes and never replaces', async ({ ask }) => {
    const headers = { 'if-none-match': '*' };
    assert.equal((await ask('PUT', '/v1/files/a?create', { headers, body: 'one' })).status, 201);
    assertProblem(await ask('PUT', '/v1/files/a?create', { headers, body: 'two' }), 412, 'exists');
    assert.equal((await ask('GET', '/v1/files/a')).text, 'one');
  });

  withDoor('If-Match: * never makes', async ({ ask }) => {
    const headers = { 'if-match': '*' };
    assertProblem(await ask('PUT', '/v1/files/a?create', { headers, body: 'one' }), 412, 'conflict');
    assertProblem(await ask('GET', '/v1/files/a'), 404);
  });
});

describe('paths in URLs', () => {
  withDoor('slashes may be plain or escaped, and bytes may be anything', async ({ ask, service }) => {
    const cases: [url: string, path: string][] = [
      ['a%2Fb', '/a/b'],
      ['a%2fb', '/a/b'],
      ['/a/b', '/a/b'],
      ['a/b/', '/a/b'],
      ['x/caf%E9', '/x/caf\\xE9'],
      ['x/%FF%FE%01', '/x/\\xFF\\xFE\u0001'],
      ['x/100%25', '/x/100%'],
      ['x/q%3Fa%3Db%23', '/x/q?a=b#'],
      ['x/a+b', '/x/a+b'],
      ['x/%5Cx41', '/x/\\x5Cx41'],
      ['x/:id', '/x/:id'],
      ['x/*', '/x/*'],
      ['x/%C3%BC', '/x/ü'],
      ['x/...', '/x/...'],
    ];
    for (const [url, path] of cases) {
      const made = await ask('PUT', `/v1/files/${url}?create&parents`, { body: path });
      assert.equal(made.json.path, path, url);
      assert.equal((await ask('GET', `/v1/files/${url}`)).text, path);
      assert.equal((await ask('GET', `/v1/metadata/${url}`)).json.path, path);
      assert.equal(((await ask('GET', `/v1/versions/${url}`)).json as { path: string }).path, path);
    }
    assert.equal((await service.stat({ path: '/x/caf\\xE9' })).name_raw, 'caf%E9');
  });

  withDoor('an empty path is the root', async ({ ask, service }) => {
    await service.makeFolder('/f');
    for (const url of ['/v1/directories', '/v1/directories/', '/v1/directories?limit=5', '/v1/directories/%2F']) {
      assert.equal(((await ask('GET', url)).json.entries as unknown[]).length, 1, url);
    }
    assertProblem(await ask('DELETE', '/v1/directories/'), 400, 'invalid');
    assertProblem(await ask('GET', '/v1/files/'), 409, 'is-folder');
    assertProblem(await ask('POST', '/v1/files', { body: 'x' }), 409, 'is-folder');
  });

  const wrong = [
    'a/../b',
    '..',
    '.',
    '%2e%2e',
    'a/%2E%2E/b',
    'a%00b',
    'a//b',
    'a%2F%2Fb',
    'a%',
    'a%4',
    'a%zz',
    '%',
    '.snapshots/x',
  ];
  wrong.push('n'.repeat(256), '%FF'.repeat(256), 'd/'.repeat(2_100), '.holdfast');
  for (const path of wrong) {
    withDoor(
      `${path.slice(0, 20)}${path.length > 20 ? '…' : ''} is no path, for no method`,
      async ({ raw, service }) => {
        for (const [method, room] of [
          ['GET', 'files'],
          ['PUT', 'files'],
          ['POST', 'files'],
          ['DELETE', 'files'],
          ['HEAD', 'files'],
          ['POST', 'directories'],
          ['GET', 'directories'],
          ['GET', 'versions'],
          ['GET', 'metadata'],
        ] as const) {
          const head = `${method} /v1/${room}/${path} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
          const told = await raw(head);
          assert.match(told, /^HTTP\/1\.1 400 /, method);
          if (method !== 'HEAD') assert.match(told, /"code":"invalid"/);
        }
        assert.equal((await service.list({ path: '/' })).entries.length, 0);
      },
    );
  }
});

describe('what comes in wrong', () => {
  withDoor('what stands in the body, and is sent in the query, is told where it belongs', async ({ ask }) => {
    const form = await ask('POST', '/v1/upload?path=/a', { body: 'x' });
    assert.match(String(form.json.detail), /^path is no query parameter here: it stands in the form, as a field/);
    const json = await ask('POST', '/v1/move?from_path=/a', { body: '{}' });
    assert.match(String(json.json.detail), /^from_path is no query parameter here: it stands in the JSON/);
  });

  withDoor('a member that is missing somewhere inside is named with its place', async ({ ask }) => {
    const { json } = await ask('POST', '/v1/batch', { body: '{"operations":[{"path":"/a"}]}' });
    assert.equal(json.detail, 'The member operations/0/op is missing.');
  });

  type Bad = [title: string, method: string, path: string, asked: Asked, status: number, code: string];
  const bad: Bad[] = [
    ['an unknown route', 'GET', '/v1/nothing', {}, 404, 'not-found'],
    ['a route above', 'GET', '/v1', {}, 404, 'not-found'],
    ['a URL with a wrong escape', 'GET', '/v1/%zz', {}, 400, 'invalid'],
    ['a method that a route has not', 'POST', '/v1/health', {}, 405, 'unsupported'],
    ['another method', 'PATCH', '/v1/directories/a', { body: '{}' }, 405, 'unsupported'],
    ['a method that no route has', 'OPTIONS', '/v1/files/a', {}, 405, 'unsupported'],
    ['an unknown query parameter', 'GET', '/v1/files/a?versoin=1', {}, 400, 'invalid'],
    ['a query parameter twice', 'GET', '/v1/files/a?version=1&version=2', {}, 400, 'invalid'],
    ['a number that is none', 'GET', '/v1/files/a?version=one', {}, 400, 'invalid'],
    ['a number without a value', 'GET', '/v1/files/a?version', {}, 400, 'invalid'],
    ['a number out of bounds', 'GET', '/v1/directories/?limit=1001', {}, 400, 'invalid'],
    ['a boolean that is none', 'DELETE', '/v1/files/a?recursive=maybe', {}, 400, 'invalid'],
    ['a query that is not UTF-8', 'GET', '/v1/search?pattern=%FF', {}, 400, 'invalid'],
    ['a required parameter that is missing', 'GET', '/v1/download', {}, 400, 'invalid'],
    ['a moment that is none', 'GET', '/v1/search?modified_after=2026-13-01T00:00:00Z', {}, 400, 'invalid'],
    ['an id that is none', 'GET', '/v1/file/x', {}, 400, 'invalid'],
    ['an id of zero', 'GET', '/v1/file/0', {}, 400, 'invalid'],
    ['an id of nothing', 'GET', '/v1/file/77', {}, 404, 'not-found'],
    ['a body that is no JSON', 'POST', '/v1/move', { body: '{from' }, 400, 'invalid'],
    ['a body that is empty', 'POST', '/v1/move', {}, 400, 'invalid'],
    ['a body that is no object', 'POST', '/v1/move', { body: '[]' }, 400, 'invalid'],
    ['a body that is not UTF-8', 'POST', '/v1/move', { body: Buffer.from([0xff]) }, 400, 'invalid'],
    ['an unknown member', 'POST', '/v1/move', { body: '{"from_path":"/a","to_path":"/b","x":1}' }, 400, 'invalid'],
    ['a poisonous member', 'PATCH', '/v1/files/a', { body: '{"__proto__":{"mode":1}}' }, 400, 'invalid'],
    ['a member of the wrong type', 'POST', '/v1/move', { body: '{"from_path":1,"to_path":"/b"}' }, 400, 'invalid'],
    ['a member that is missing', 'POST', '/v1/move', { body: '{"from_path":"/a"}' }, 400, 'invalid'],
    [
      'an attribute outside user.*',
      'PATCH',
      '/v1/files/a',
      { body: '{"attributes":{"system.x":"AA=="}}' },
      400,
      'invalid',
    ],
    ['no file named', 'POST', '/v1/restore', { body: '{"version":1}' }, 400, 'invalid'],
    ['two files named', 'POST', '/v1/restore', { body: '{"version":1,"path":"/a","file_id":1}' }, 400, 'invalid'],
    [
      'JSON under another type',
      'POST',
      '/v1/move',
      { body: '{}', headers: { 'content-type': 'text/plain' } },
      415,
      'unsupported',
    ],
    [
      'a type that is none',
      'POST',
      '/v1/move',
      { body: '{}', headers: { 'content-type': 'json' } },
      415,
      'unsupported',
    ],
    [
      'a packed body',
      'PUT',
      '/v1/files/a?create',
      { body: 'x', headers: { 'content-encoding': 'gzip' } },
      415,
      'unsupported',
    ],
    [
      'a part of a file',
      'PUT',
      '/v1/files/a?create',
      { body: 'x', headers: { 'content-range': 'bytes 0-0/2' } },
      400,
      'invalid',
    ],
    ['a form that is none', 'POST', '/v1/upload', { body: 'x' }, 415, 'unsupported'],
    [
      'a wrong XXH3',
      'PUT',
      '/v1/files/a?create',
      { body: 'x', headers: { 'x-file-hash': '0'.repeat(16) } },
      400,
      'mismatch',
    ],
    [
      'an XXH3 that is none',
      'PUT',
      '/v1/files/a?create',
      { body: 'x', headers: { 'x-file-hash': 'abc' } },
      400,
      'invalid',
    ],
    [
      'a wrong SHA-256',
      'PUT',
      '/v1/files/a?create',
      { body: 'x', headers: { 'content-digest': digest('y') } },
      400,
      'mismatch',
    ],
    ...(
      [
        ['another MD5', { 'content-md5': 'kAFQmDzST7DWlj99KOF/cg==' }, 400, 'mismatch'],
        ['an MD5 that is none', { 'content-md5': 'abc' }, 400, 'invalid'],
        ['another SHA-512', { 'content-digest': `sha-512=:${Buffer.alloc(64).toString('base64')}:` }, 400, 'mismatch'],
        ['a SHA-512 that is none', { 'content-digest': 'sha-512=:AAAA:' }, 400, 'invalid'],
        [
          'a second SHA-256 that is another',
          { 'content-digest': digest('x'), 'repr-digest': digest('y') },
          400,
          'mismatch',
        ],
        [
          'an unknown digest, strictly',
          { 'content-digest': 'crc32c=:AAAA:', prefer: 'handling=strict' },
          400,
          'invalid',
        ],
      ] as const
    ).map(
      ([name, headers, status, code]): Bad => [name, 'PUT', '/v1/files/a?create', { body: 'x', headers }, status, code],
    ),
    [
      'a SHA-256 that is none',
      'PUT',
      '/v1/files/a?create',
      { body: 'x', headers: { 'repr-digest': 'sha-256=:AA=:' } },
      400,
      'invalid',
    ],
    ['another size', 'PUT', '/v1/files/a?create', { body: 'x', headers: { 'x-file-size': '2' } }, 400, 'mismatch'],
    [
      'a time that is none',
      'PUT',
      '/v1/files/a?create',
      { body: 'x', headers: { 'x-modified-time': 'now' } },
      400,
      'invalid',
    ],
    [
      'a mode that is none',
      'PUT',
      '/v1/files/a?create',
      { body: 'x', headers: { 'x-file-mode': '999' } },
      400,
      'invalid',
    ],
    ['an empty key', 'PUT', '/v1/files/a?create', { body: 'x', headers: { 'idempotency-key': '""' } }, 400, 'invalid'],
  ];
  for (const [title, method, path, asked, status, code] of bad) {
    withDoor(`${title} is answered ${status} ${code}`, async (door) => {
      const told = await door.ask(method, path, asked);
      assertProblem(told, status, code);
      if (status === 405) assert.ok((told.headers.allow ?? '').length > 2);
      assert.deepEqual(await names(door), []);
    });
  }

  withDoor('faults name the path and have the words of the older contract', async ({ ask }) => {
    const { json } = await ask('GET', '/v1/files/no/such');
    assert.deepEqual([json.path, json.error_code], ['/no/such', 'file_not_found']);
    const wrong = await ask('PUT', '/v1/files/a?create', { body: 'x', headers: { 'x-file-hash': '0'.repeat(16) } });
    assert.equal(wrong.json.error_code, 'hash_mismatch');
    const foreign = await ask('GET', '/v1/health', { headers: { origin: 'http://evil.example' } });
    assert.equal(foreign.json.error_code, 'permission_denied');
  });

  withDoor('unknown names are answered with the known ones', async ({ ask }) => {
    const { json } = await ask('GET', '/v1/directories/?lmit=5');
    assert.match(String(json.detail), /lmit.*Known here: .*limit/s);
  });

  withDoor('10 MB of JSON where 1 KB is expected is refused before it is read', async (door) => {
    const socket = await door.socket();
    const started = performance.now();
    socket.write('POST /v1/move HTTP/1.1\r\nHost: test.example\r\nContent-Length: 10485760\r\n\r\n{');
    const told = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())));
    assert.match(told, /^HTTP\/1\.1 413 .*Connection: close.*"code":"too-large"/is);
    assert.ok(performance.now() - started < 1_000);
    socket.destroy();
    // A client that sends first and reads afterwards gets to read the answer as well.
    assertProblem(await door.ask('POST', '/v1/move', { body: Buffer.alloc(10 * 2 ** 20, 32) }), 413, 'too-large');
    async function* unannounced(): AsyncGenerator<Uint8Array> {
      for (let sent = 0; sent < 10 * 2 ** 20; sent += 65_536) yield Buffer.alloc(65_536, 32);
    }
    assertProblem(await door.ask('POST', '/v1/move', { body: unannounced() }), 413, 'too-large');
  });

  withDoor(
    'a file beyond the limit is refused, announced or not',
    async (door) => {
      const told = await door.raw(
        'PUT /v1/files/a?create HTTP/1.1\r\nHost: test.example\r\nContent-Length: 1001\r\nConnection: close\r\n\r\n',
      );
      assert.match(told, /^HTTP\/1\.1 413 /);
      async function* unannounced(): AsyncGenerator<Uint8Array> {
        for (let sent = 0; sent < 50; sent++) yield Buffer.alloc(100);
      }
      assertProblem(await door.ask('PUT', '/v1/files/a?create', { body: unannounced() }), 413, 'too-large');
      assert.deepEqual(await names(door), []);
      assert.equal((await door.ask('PUT', '/v1/files/a?create', { body: Buffer.alloc(1_000) })).status, 201);
    },
    { options: { fileBytesMax: 1_000 } },
  );

  withDoor('an upload that ends early leaves nothing, whether the client waits or not', async (door) => {
    const head = 'PUT /v1/files/a?create HTTP/1.1\r\nHost: test.example\r\n';
    const waiting = await door.socket();
    waiting.write(`${head}Content-Length: 100\r\n\r\nonly some`);
    waiting.end();
    assert.match(await ended(waiting), /^HTTP\/1\.1 400 .*"code":"aborted"/s);
    const chunked = await door.socket();
    chunked.write(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n`);
    chunked.end();
    await ended(chunked);
    const gone = await door.socket();
    gone.write(`${head}Content-Length: 100\r\n\r\nonly some`);
    await new Promise((resolve) => setTimeout(resolve, 30));
    gone.destroy();
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.deepEqual(await names(door), []);
  });

  withDoor('an upload longer than announced keeps what was announced and refuses the rest', async (door) => {
    const told = await door.raw(
      'PUT /v1/files/a?create HTTP/1.1\r\nHost: test.example\r\nContent-Length: 3\r\n\r\nabcdef\r\n\r\n',
    );
    assert.match(told, /^HTTP\/1\.1 201 .*HTTP\/1\.1 400 /s);
    assert.equal((await door.ask('GET', '/v1/files/a')).text, 'abc');
  });

  withDoor('a client that waits for 100 is answered before it sends anything', async (door) => {
    await door.service.write('/a', [utf8('x')], { mode: 'create' });
    const head = (path: string, more = '') =>
      `POST /v1/files/${path} HTTP/1.1\r\nHost: test.example\r\nExpect: 100-continue\r\nContent-Length: 3\r\n${more}\r\n`;
    assert.match(await door.raw(head('a')), /^HTTP\/1\.1 409 .*connection: close/is);
    const socket = await door.socket();
    const all = ended(socket);
    socket.write(head('b', 'Connection: close\r\n'));
    await new Promise<void>((resolve) => socket.once('data', () => resolve()));
    socket.write('abc');
    assert.match(await all, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201 /);
  });

  withDoor('what is not HTTP is answered in HTTP', async ({ raw }) => {
    assert.match(await raw('hello\r\n\r\n'), /^HTTP\/1\.1 400 .*problem\+json.*"code":"invalid"/s);
    assert.match(
      await raw('BREW /v1/health HTTP/1.1\r\nHost: test.example\r\n\r\n'),
      /^HTTP\/1\.1 400 .*problem\+json/s,
    );
    const long = `GET /v1/health HTTP/1.1\r\nHost: test.example\r\nX-Long: ${'x'.repeat(70_000)}\r\n\r\n`;
    assert.match(await raw(long), /^HTTP\/1\.1 431 .*problem\+json.*"code":"too-large"/s);
    assert.match(
      await raw('GET /v1/health HTTP/1.1\r\nConnection: close\r\n\r\n'),
      /^HTTP\/1\.1 400 .*"code":"invalid"/s,
    );
    const two = 'GET /v1/health HTTP/1.1\r\nHost: test.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n';
    assert.match(await raw(two), /^HTTP\/1\.1 400 /);
  });

  withDoor('requests in a row on one connection are answered in their order', async ({ raw, service }) => {
    await service.write('/a', [Buffer.alloc(300_000, 'a')], { mode: 'create' });
    const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: test.example\r\n${more}\r\n`;
    const told = await raw(get('/v1/files/a') + get('/v1/files/none') + get('/v1/files/a', 'Connection: close\r\n'));
    assert.deepEqual(
      [...told.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
      ['200', '404', '200'],
    );
    assert.equal([...told.matchAll(/a{300000}/g)].length, 2);
  });
});

describe('who may ask', () => {
  const hosts: [title: string, headers: Record<string, string>, status: number][] = [
    ['its own address', { host: '127.0.0.1:PORT' }, 200],
    ['localhost', { host: 'LocalHost:PORT' }, 200],
    ['IPv6', { host: '[::1]:PORT' }, 200],
    ['a configured name', { host: 'files.example' }, 200],
    ['a configured name with the port', { host: 'files.example:PORT' }, 200],
    ['a foreign name', { host: 'evil.example:PORT' }, 403],
    ['a foreign name that looks alike', { host: 'localhost.evil.example:PORT' }, 403],
    ['another port', { host: 'localhost:1' }, 403],
    ['its own page', { origin: 'http://localhost:PORT' }, 200],
    ['a foreign page', { origin: 'https://evil.example' }, 403],
    ['a page of another port', { origin: 'http://localhost:1' }, 403],
    ['a page of no origin', { origin: 'null' }, 403],
    ['an image on a foreign page', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }, 403],
    ['a link on a foreign page', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, 200],
  ];
  for (const [title, headers, status] of hosts) {
    withDoor(
      `${title}: ${status}`,
      async ({ ask, port }) => {
        const real = Object.entries(headers).map(([name, value]) => [name, value.replace('PORT', String(port))]);
        const told = await ask('GET', '/v1/health', { headers: Object.fromEntries(real) });
        assert.equal(told.status, status);
        if (status === 403) assertProblem(told, 403, 'denied');
        assert.equal(told.headers['access-control-allow-origin'], undefined);
      },
      { options: { hosts: ['files.example', 'test.example'] } },
    );
  }

  withDoor('a foreign page cannot write, not even where there is no route', async (door) => {
    const headers = { origin: 'https://evil.example' };
    assertProblem(await door.ask('PUT', '/v1/files/a?create', { headers, body: 'x' }), 403, 'denied');
    assertProblem(await door.ask('POST', '/v1/nothing', { headers, body: 'x' }), 403, 'denied');
    assert.deepEqual(await names(door), []);
  });

  withDoor('an absolute request target counts more than the Host header', async ({ raw, port }) => {
    const ask = (target: string) =>
      raw(`GET ${target} HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`);
    assert.match(await ask(`http://localhost:${port}/v1/health`), /^HTTP\/1\.1 200 /);
    assert.match(await ask('http://evil.example/v1/health'), /^HTTP\/1\.1 403 /);
  });
});

describe('answers that go wrong midway', () => {
  const size = 500_000;
  const damaged =
    (after: number) =>
    (service: FileService): FileService => ({
      ...methodsOf(service),
      async read(target, options) {
        const { record } = await service.read(target, options);
        async function* bytes(): AsyncGenerator<Uint8Array> {
          for (let sent = 0; sent < after; sent += 50_000) yield new Uint8Array(50_000);
          throw new Fault('corrupt', 'A chunk of this file is damaged. Run holdfast check.', { chunk: 'aa' });
        }
        return { record, bytes: bytes() };
      },
    });

  function methodsOf(service: FileService): FileService {
    const names = [
      'info',
      'stat',
      'list',
      'manifest',
      'makeFolder',
      'write',
      'writeMany',
      'read',
      'setAttributes',
      'move',
    ];
    names.push('copy', 'remove', 'search', 'versions', 'restore', 'stats', 'check', 'gc');
    const own = service as unknown as Record<string, (...args: unknown[]) => unknown>;
    const bound = names.map((name) => [name, (...args: unknown[]) => own[name]?.(...args)]);
    return Object.fromEntries(bound) as FileService;
  }

  withDoor(
    'damage in the first piece is an error of its own',
    async ({ ask, service, events }) => {
      await service.write('/a', [new Uint8Array(size)], { mode: 'create' });
      assertProblem(await ask('GET', '/v1/files/a'), 500, 'corrupt');
      assert.ok(events.some(({ level, event }) => level === 'error' && event === 'http.fault'));
    },
    { wrap: damaged(0) },
  );

  withDoor(
    'damage later ends the connection before the announced length',
    async ({ ask, raw, service }) => {
      await service.write('/a', [new Uint8Array(size)], { mode: 'create' });
      await assert.rejects(ask('GET', '/v1/files/a'), (error) => Fault.is(error, 'unavailable'));
      const told = await raw('GET /v1/files/a HTTP/1.1\r\nHost: test.example\r\n\r\n');
      assert.ok(told.startsWith('HTTP/1.1 200') && told.length < size, String(told.length));
    },
    { wrap: damaged(200_000) },
  );

  withDoor(
    'a list that breaks off does not end as if it were whole',
    async ({ raw }) => {
      const told = await raw('GET /v1/manifest HTTP/1.1\r\nHost: test.example\r\n\r\n');
      assert.match(told, /^HTTP\/1\.1 200 /);
      assert.ok(!told.endsWith('0\r\n\r\n'));
    },
    {
      wrap: (service) => ({
        ...methodsOf(service),
        async *manifest() {
          const record = await service.stat({ path: '/' });
          for (let count = 0; count < 1_000; count++) yield record;
          throw new Fault('io', 'The disk is gone.', {});
        },
      }),
    },
  );

  withDoor(
    'a bug is answered 500 without details and logged with its stack',
    async ({ ask, events }) => {
      const told = await ask('GET', '/v1/stats');
      assertProblem(told, 500, 'io');
      assert.ok(!told.text.includes('secret'));
      const bug = events.find(({ event }) => event === 'http.bug');
      assert.match(String(bug?.data.stack), /secret/);
      assert.equal(bug?.data.request, told.json.request);
      assert.equal(told.headers['x-request-id'], told.json.request);
    },
    { wrap: (service) => ({ ...methodsOf(service), stats: () => Promise.reject(new TypeError('secret')) }) },
  );

  withDoor(
    'a connection goes on when a small body was refused halfway, and ends when a large one was',
    async ({ raw }) => {
      const put = (length: number, more = '') =>
        `PUT /v1/files/a HTTP/1.1\r\nHost: test.example\r\nContent-Length: ${length}\r\n${more}\r\n`;
      const small = put(100_000) + 'x'.repeat(100_000);
      const told = await raw(`${small + put(5, 'Connection: close\r\n')}abcde`);
      assert.equal([...told.matchAll(/HTTP\/1\.1 507 /g)].length, 2);
      const started = performance.now();
      const large = await raw(put(10_000_000) + 'x'.repeat(300_000));
      assert.match(large, /^HTTP\/1\.1 507 .*connection: close/is);
      assert.ok(performance.now() - started < 2_000);
    },
    {
      options: { dropBytesMax: 100_000, lingerMs: 200 },
      wrap: (service) => ({
        ...methodsOf(service),
        async write(_path, source) {
          for await (const _ of source) break;
          throw new Fault('full', 'The disk is full. Make room and try again.', {});
        },
      }),
    },
  );

  const signals: AbortSignal[] = [];
  withDoor(
    'a client that goes away stops what was done for it',
    async ({ socket }) => {
      const open = await socket();
      open.write('GET /v1/files/a HTTP/1.1\r\nHost: test.example\r\n\r\n');
      while (signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      open.destroy();
      const [signal] = signals;
      if (signal?.aborted === false) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      assert.ok(Fault.is(signal?.reason, 'aborted'));
    },
    {
      wrap: (service) => ({
        ...methodsOf(service),
        read: (_, options) =>
          new Promise((_resolve, reject) => {
            const signal = options?.signal as AbortSignal;
            signals.push(signal);
            signal.addEventListener('abort', () => reject(Fault.aborted(signal, 'Reading')));
          }),
      }),
    },
  );

  withDoor(
    'a client that does not take its answer is not waited for forever',
    async ({ socket, service, events }) => {
      await service.write('/a', [new Uint8Array(30_000_000)], { mode: 'create' });
      const open = await socket();
      open.pause();
      open.write('GET /v1/files/a HTTP/1.1\r\nHost: test.example\r\n\r\n');
      const isGone = (): boolean => events.some(({ data }) => data.code === 'aborted');
      for (let waited = 0; !isGone() && waited < 3_000; waited += 20)
        await new Promise((resolve) => setTimeout(resolve, 20));
      assert.ok(isGone());
      open.destroy();
    },
    { options: { idleTimeoutMs: 200 } },
  );

  withDoor(
    'a client that does not go on sending is not waited for forever, one that is worked for is',
    async (door) => {
      const slow = await door.socket();
      slow.write('PUT /v1/files/a?create HTTP/1.1\r\nHost: test.example\r\nContent-Length: 100\r\n\r\nsome');
      await ended(slow);
      assert.deepEqual(await names(door), []);
      assert.equal((await door.ask('GET', '/v1/stats')).status, 200);
    },
    {
      options: { idleTimeoutMs: 150 },
      wrap: (service) => ({
        ...methodsOf(service),
        stats: async () => {
          await new Promise((resolve) => setTimeout(resolve, 500));
          return service.stats();
        },
      }),
    },
  );

  withDoor(
    'headers that take too long are answered 408',
    async ({ raw }) => {
      assert.match(await raw('GET /v1/health HTTP/1.1\r\nHost: loc'), /^HTTP\/1\.1 408 .*"code":"timeout"/s);
    },
    { options: { headersTimeoutMs: 100 } },
  );
});
