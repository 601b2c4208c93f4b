/** tus as its specification words it, request by request. What a real client makes of it: test/e2e/tus.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Asked, type FakeDoor, openFakeDoor, type Told } from './fake-door.ts';

const TUS = { 'tus-resumable': '1.0.0' };
const BYTES = { ...TUS, 'content-type': 'application/offset+octet-stream' };
const base64 = (text: string): string => Buffer.from(text).toString('base64');

async function ask(door: FakeDoor, method: string, path: string, asked: Asked = {}): Promise<Told> {
  const told = await door.ask(method, path, asked);
  // On every answer, whatever it says.
  assert.equal(told.headers['tus-resumable'], '1.0.0', `${method} ${path}`);
  return told;
}

async function begin(door: FakeDoor, size: number, metadata: string, more: Asked = {}): Promise<Told> {
  const headers = { ...TUS, 'upload-length': String(size), 'upload-metadata': metadata, ...more.headers };
  return ask(door, 'POST', '/v1/tus', { ...more, headers });
}

const named = (path: string): string => `path ${base64(path)}`;

async function textAt(door: FakeDoor, path: string): Promise<string> {
  return (await door.ask('GET', `/v1/files${path}`)).text;
}

test('an upload is begun, sent in pieces, looked at and becomes a file with its last byte', async () => {
  await using door = await openFakeDoor();
  const metadata = `filename ${base64('käse.txt')},filetype ${base64('text/plain')},flag`;
  const headers = { ...TUS, 'upload-length': '9', 'upload-metadata': metadata };
  const begun = await ask(door, 'POST', '/v1/tus?path=/docs/', { headers });
  assert.equal(begun.status, 201);
  const location = begun.headers.location ?? '';
  assert.match(location, /^\/v1\/tus\/[\w-]+$/);
  assert.ok(Date.parse(begun.headers['upload-expires'] ?? '') > Date.now());
  const piece = async (offset: number, body: string): Promise<Told> =>
    ask(door, 'PATCH', location, { headers: { ...BYTES, 'upload-offset': String(offset) }, body });
  const first = await piece(0, 'first');
  assert.deepEqual([first.status, first.headers['upload-offset']], [204, '5']);
  const wrong = await piece(3, 'x');
  assert.deepEqual([wrong.status, wrong.json.code], [409, 'conflict']);
  const head = await ask(door, 'HEAD', location, { headers: TUS });
  assert.deepEqual(
    [head.status, head.headers['upload-offset'], head.headers['upload-length'], head.headers['upload-metadata']],
    [200, '5', '9', metadata],
  );
  assert.equal(head.headers['cache-control'], 'no-store');
  assert.equal((await door.ask('GET', '/v1/files/docs/k%C3%A4se.txt')).status, 404);
  const last = await piece(5, 'last');
  assert.deepEqual([last.status, last.headers['upload-offset'], last.headers['upload-expires']], [204, '9', undefined]);
  assert.equal(await textAt(door, '/docs/k%C3%A4se.txt'), 'firstlast');
  // The client that did not get the answer asks again.
  assert.equal((await piece(9, '')).status, 204);
  assert.equal((await ask(door, 'HEAD', location, { headers: TUS })).headers['upload-offset'], '9');
});

test('the first bytes may come with the beginning, also all of them, also none', async () => {
  await using door = await openFakeDoor();
  const some = await begin(door, 6, named('/a'), { headers: BYTES, body: 'abc' });
  assert.deepEqual([some.status, some.headers['upload-offset']], [201, '3']);
  const all = await begin(door, 3, named('/b'), { headers: BYTES, body: 'abc' });
  assert.deepEqual([all.status, all.headers['upload-offset']], [201, '3']);
  const empty = await begin(door, 0, named('/c'));
  assert.deepEqual([empty.status, empty.headers['upload-offset']], [201, '0']);
  assert.deepEqual([await textAt(door, '/b'), await textAt(door, '/c')], ['abc', '']);
});

test('where the file cannot be made the answer says why, until it can', async () => {
  await using door = await openFakeDoor();
  const metadata = `${named('/a')},overwrite ${base64('false')}`;
  const { headers } = await begin(door, 3, metadata);
  await door.service.write('/a', [Buffer.from('mine')], { mode: 'create' });
  const location = headers.location ?? '';
  const piece = { headers: { ...BYTES, 'upload-offset': '0' }, body: 'abc' };
  assert.deepEqual((await ask(door, 'PATCH', location, piece)).json.code, 'exists');
  // All bytes are there, but no client may take that for a file.
  assert.equal((await ask(door, 'HEAD', location, { headers: TUS })).status, 409);
  assert.equal((await begin(door, 3, metadata)).status, 409);
  await door.service.remove('/a');
  assert.equal((await ask(door, 'HEAD', location, { headers: TUS })).status, 200);
  assert.equal(await textAt(door, '/a'), 'abc');
});

test('a hash that was announced is held against all bytes', async () => {
  await using door = await openFakeDoor();
  const { status, json } = await begin(door, 3, `${named('/a')},xxhash3 ${base64('0123456789abcdef')}`, {
    headers: BYTES,
    body: 'abc',
  });
  assert.deepEqual([status, json.code], [400, 'mismatch']);
  assert.equal((await door.ask('GET', '/v1/files/a')).status, 404);
});

test('an upload is removed, and then it is gone', async () => {
  await using door = await openFakeDoor();
  const { headers } = await begin(door, 6, named('/a'), { headers: BYTES, body: 'abc' });
  const location = headers.location ?? '';
  assert.equal((await ask(door, 'DELETE', location, { headers: TUS })).status, 204);
  for (const method of ['HEAD', 'PATCH', 'DELETE'])
    assert.equal((await ask(door, method, location, { headers: { ...BYTES, 'upload-offset': '3' } })).status, 404);
  assert.deepEqual((await door.service.uploads.list()).uploads, []);
});

test('what there is stands in the answer to OPTIONS, and another version is refused', async () => {
  await using door = await openFakeDoor({ options: { fileBytesMax: 1_000 } });
  const options = await ask(door, 'OPTIONS', '/v1/tus');
  assert.equal(options.status, 204);
  assert.equal(options.headers['tus-version'], '1.0.0');
  assert.equal(options.headers['tus-extension'], 'creation,creation-with-upload,expiration,termination');
  assert.equal(options.headers['tus-max-size'], '1000');
  for (const version of [{}, { 'tus-resumable': '0.2.2' }]) {
    const refused = await ask(door, 'POST', '/v1/tus', { headers: { ...version, 'upload-length': '1' } });
    assert.deepEqual([refused.status, refused.headers['tus-version']], [412, '1.0.0']);
  }
});

test('clients that can only POST say which method they mean', async () => {
  await using door = await openFakeDoor();
  const { headers } = await begin(door, 3, named('/a'));
  const location = headers.location ?? '';
  const meaning = (method: string) => ({ ...BYTES, 'upload-offset': '0', 'x-http-method-override': method });
  const sent = await ask(door, 'POST', location, { headers: meaning('PATCH'), body: 'abc' });
  assert.deepEqual([sent.status, sent.headers['upload-offset']], [204, '3']);
  assert.equal((await ask(door, 'POST', location, { headers: meaning('GET') })).status, 400);
  assert.equal(await textAt(door, '/a'), 'abc');
});

test('what no client should send is refused, and nothing of it is left open', async () => {
  await using door = await openFakeDoor({ options: { fileBytesMax: 1_000 } });
  const code = async (headers: Readonly<Record<string, string>>, path = '/v1/tus'): Promise<unknown> =>
    (await ask(door, 'POST', path, { headers: { ...TUS, ...headers } })).json.code;
  const one = { 'upload-length': '1' };
  assert.equal(await code({ 'upload-metadata': named('/a') }), 'invalid');
  assert.equal(await code({ 'upload-length': '-1', 'upload-metadata': named('/a') }), 'invalid');
  assert.equal(await code({ 'upload-length': '1e3', 'upload-metadata': named('/a') }), 'invalid');
  assert.equal(await code(one), 'invalid');
  assert.equal(await code({ ...one, 'upload-metadata': 'path /' }), 'invalid');
  assert.equal(await code({ ...one, 'upload-metadata': named('/a/../b') }), 'invalid');
  assert.equal(await code({ ...one, 'upload-metadata': `${named('/a')},sha256 ${base64('x')}` }), 'invalid');
  assert.equal(await code({ ...one, 'upload-metadata': `${named('/a')},modified ${base64('now')}` }), 'invalid');
  assert.equal(await code({ ...one, 'upload-metadata': `${named('/a')},x ${base64('y'.repeat(9_000))}` }), 'too-large');
  assert.deepEqual((await door.service.uploads.list()).uploads, []);
  const { headers } = await begin(door, 3, named('/a'));
  const location = headers.location ?? '';
  const wrongType = await ask(door, 'PATCH', location, { headers: { ...TUS, 'upload-offset': '0' }, body: 'abc' });
  assert.deepEqual([wrongType.status, wrongType.json.code], [415, 'unsupported']);
  const noOffset = await ask(door, 'PATCH', location, { headers: BYTES, body: 'abc' });
  assert.equal(noOffset.status, 400);
  const tooMuch = await ask(door, 'PATCH', location, { headers: { ...BYTES, 'upload-offset': '0' }, body: 'abcd' });
  assert.ok([400, 413].includes(tooMuch.status), String(tooMuch.status));
});
