/** Uploads at the door: signed URLs and what refuses them, every error a problem document with its code, progress. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PART_BYTES_MIN } from '../api/index.ts';
import { ManualClock } from '../base/index.ts';
import { UrlSigner } from './exchange/signed-urls.ts';
import { type FakeDoor, openFakeDoor, type Told } from './fake-door.ts';

const PART = PART_BYTES_MIN;
const JSON_TYPE = { 'content-type': 'application/json' };

function post(door: FakeDoor, path: string, body: object = {}): Promise<Told> {
  return door.ask('POST', path, { headers: JSON_TYPE, body: JSON.stringify(body) });
}

async function begin(door: FakeDoor, size: number, more: object = {}) {
  const told = await post(door, '/v1/uploads', { path: '/big', size, part_size: PART, ...more });
  assert.equal(told.status, 201, told.text);
  const { upload_id: id, parts } = told.json as { upload_id: string; parts: { part: number; url: string }[] };
  assert.equal(told.headers.location, `/v1/uploads/${id}`);
  return { id, urls: parts.map(({ url }) => new URL(url)) };
}

function put(
  door: FakeDoor,
  url: URL | string,
  bytes: Uint8Array,
  headers: Record<string, string> = {},
): Promise<Told> {
  const path = typeof url === 'string' ? url : `${url.pathname}${url.search}`;
  return door.ask('PUT', path, { body: bytes, headers });
}

function refused(told: Told, status: number, code: string): void {
  assert.deepEqual([told.status, told.json.code], [status, code], told.text);
  assert.match(told.headers['content-type'] ?? '', /problem\+json/);
  assert.ok(String(told.json.detail).length > 5);
}

test('signed part URLs take the bytes with no other credential, and the file is there when it completes', async () => {
  await using door = await openFakeDoor();
  const whole = Buffer.alloc(2 * PART + 10, 'abcdefg');
  const { id, urls } = await begin(door, whole.length);
  assert.equal(urls.length, 3);
  for (const [index, url] of [...urls.entries()].reverse()) {
    assert.equal(url.origin, door.url);
    const told = await put(door, url, whole.subarray(index * PART, (index + 1) * PART));
    assert.deepEqual([told.status, told.json.part, told.json.received], [200, index + 1, true], told.text);
  }
  const page = await door.ask('GET', `/v1/uploads/${id}/parts`);
  assert.ok((page.json.parts as { url?: string }[]).every(({ url }) => url === undefined));
  const done = await post(door, '/v1/upload/complete', { upload_id: id, size: whole.length });
  assert.deepEqual([done.status, done.json.size], [200, whole.length]);
  assert.deepEqual((await post(door, `/v1/uploads/${id}/complete`)).json, done.json);
  assert.ok((await door.ask('GET', '/v1/files/big')).bytes.equals(whole));
  refused(await put(door, urls[0] ?? '', whole.subarray(0, PART)), 409, 'conflict');
});

test('an altered signature, one for another part, and one that lacks a piece are refused', async () => {
  await using door = await openFakeDoor();
  const { id, urls } = await begin(door, 2 * PART);
  const other = await begin(door, 2 * PART, { path: '/other' });
  const [url] = urls;
  assert.ok(url !== undefined);
  const bytes = Buffer.alloc(PART);
  const altered = (change: (url: URL) => void): URL => {
    const copy = new URL(url);
    change(copy);
    return copy;
  };
  const wrong = [
    altered(({ searchParams }) => searchParams.set('signature', 'x'.repeat(43))),
    altered(({ searchParams }) => searchParams.set('signature', `${searchParams.get('signature')}x`)),
    altered(({ searchParams }) => searchParams.set('expires', '99999999999')),
    altered(({ searchParams }) => searchParams.set('size_max', String(2 * PART))),
    altered(({ searchParams }) => searchParams.delete('signature')),
    altered(({ searchParams }) => searchParams.delete('expires')),
    altered((copy) => (copy.pathname = `/v1/uploads/${id}/parts/2`)),
    altered((copy) => (copy.pathname = `/v1/uploads/${other.id}/parts/1`)),
  ];
  for (const one of wrong) refused(await put(door, one, bytes), 403, 'signature');
  // One for a part says nothing about files.
  const { search } = url;
  refused(await door.ask('GET', `/v1/download?file_id=1&version=1&${search.slice(1)}`), 400, 'invalid');
  assert.equal((await door.ask('GET', `/v1/uploads/${id}`)).json.received, 0);
});

test('a signature ends at its time, and has its size', async () => {
  const clock = new ManualClock();
  const signer = new UrlSigner(new Uint8Array(32), clock);
  const expires = signer.expiresAfter(60);
  const query = Object.fromEntries(new URL(signer.part('u', 1, 10, expires), 'http://x').searchParams);
  const given = { expires, size_max: 10, signature: query.signature };
  signer.checkPart('u', 1, given);
  clock.advance(60_000);
  assert.throws(() => signer.checkPart('u', 1, given), { code: 'expired' });
  assert.throws(() => signer.checkPart('u', 2, given), { code: 'signature' });
  await using door = await openFakeDoor();
  const { urls } = await begin(door, PART);
  const tooLarge = await put(door, urls[0] ?? '', Buffer.alloc(PART + 1));
  refused(tooLarge, 413, 'too-large');
  assert.match(
    String(tooLarge.json.detail),
    new RegExp(`^The part has ${PART + 1} bytes; the most that one part may have here is ${PART}\\.$`),
  );
});

test('every error of a part is a problem with its code, and nothing of it counts', async () => {
  await using door = await openFakeDoor();
  const { id } = await begin(door, 2 * PART);
  const at = (part: number | string): string => `/v1/uploads/${id}/parts/${part}`;
  const bytes = Buffer.alloc(PART, 'x');
  refused(await put(door, at(3), bytes), 416, 'range');
  refused(await put(door, at(0), bytes), 416, 'range');
  refused(await put(door, at('one'), bytes), 400, 'invalid');
  refused(await put(door, at(1), bytes.subarray(1)), 400, 'mismatch');
  refused(await put(door, at(1), bytes, { 'x-file-hash': '0'.repeat(16) }), 400, 'mismatch');
  const digest = `sha-256=:${Buffer.alloc(32).toString('base64')}:`;
  refused(await put(door, at(1), bytes, { 'content-digest': digest }), 400, 'mismatch');
  refused(await put(door, at(1), bytes, { 'content-md5': 'kAFQmDzST7DWlj99KOF/cg==' }), 400, 'mismatch');
  refused(await put(door, at(1), bytes, { 'x-file-size': '5' }), 400, 'mismatch');
  refused(await put(door, '/v1/uploads/unknown/parts/1', bytes), 404, 'not-found');
  refused(await post(door, `/v1/uploads/${id}/complete`), 409, 'incomplete');
  assert.equal((await put(door, at(1), bytes)).status, 200);
  assert.equal((await put(door, at(1), bytes)).status, 200);
  refused(await put(door, at(1), Buffer.alloc(PART, 'y')), 409, 'conflict');
  assert.equal((await door.ask('GET', `/v1/uploads/${id}`)).json.received, PART);
  assert.equal((await door.ask('DELETE', `/v1/uploads/${id}`)).json.state, 'removed');
  refused(await door.ask('GET', `/v1/uploads/${id}`), 404, 'not-found');
});

test('one that grows takes what comes next at its end', async () => {
  await using door = await openFakeDoor();
  const told = await post(door, '/v1/uploads', { path: '/log', appended: true });
  const url = `/v1/uploads/${told.json.upload_id}`;
  assert.equal(told.json.parts, undefined);
  assert.equal((await door.ask('PATCH', `${url}?offset=0`, { body: 'hello ' })).json.received, 6);
  refused(await door.ask('PATCH', `${url}?offset=0`, { body: 'x' }), 409, 'conflict');
  refused(await door.ask('PATCH', url, { body: 'x' }), 400, 'invalid');
  assert.equal((await door.ask('PATCH', `${url}?offset=6`, { body: 'world' })).json.received, 11);
  assert.equal((await post(door, `${url}/complete`)).json.size, 11);
  assert.equal((await door.ask('GET', '/v1/files/log')).text, 'hello world');
});

test('progress comes as events, never falls, and ends when it is complete', async () => {
  await using door = await openFakeDoor();
  const { id } = await begin(door, 2 * PART);
  const watching = door.ask('GET', `/v1/uploads/${id}`, { headers: { accept: 'text/event-stream' } });
  for (const part of [1, 2]) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    await put(door, `/v1/uploads/${id}/parts/${part}`, Buffer.alloc(PART, part));
  }
  await post(door, `/v1/uploads/${id}/complete`);
  const { headers, text } = await watching;
  assert.match(headers['content-type'] ?? '', /event-stream/);
  const events = [...text.matchAll(/^event: progress\ndata: (.*)$/gm)].map(([, data]) => JSON.parse(data ?? ''));
  const received = events.map((event) => event.received as number);
  assert.deepEqual(
    received,
    received.toSorted((a, b) => a - b),
  );
  assert.deepEqual([received.at(-1), events.at(-1)?.state], [2 * PART, 'complete']);
});

test('a signed download is one version for ever, in ranges too, and may be cached', async () => {
  await using door = await openFakeDoor();
  await door.service.write('/f', [Buffer.from('first version')], { mode: 'put' });
  const told = await post(door, '/v1/signed-urls', { path: '/f', expires_in: 600 });
  assert.equal(told.status, 200, told.text);
  await door.service.write('/f', [Buffer.from('second')], { mode: 'put' });
  const url = new URL(String(told.json.url));
  const path = `${url.pathname}${url.search}`;
  const whole = await door.ask('GET', path);
  assert.deepEqual([whole.status, whole.text], [200, 'first version']);
  assert.match(whole.headers['cache-control'] ?? '', /^public, max-age=(600|599), immutable$/);
  const etag = whole.headers.etag ?? '';
  const part = await door.ask('GET', path, { headers: { range: 'bytes=0-4' } });
  assert.deepEqual([part.status, part.text, part.headers.etag], [206, 'first', etag]);
  assert.match(part.headers['cache-control'] ?? '', /immutable/);
  assert.equal((await door.ask('GET', path, { headers: { 'if-none-match': etag } })).status, 304);
  assert.equal((await door.ask('HEAD', path)).headers['content-length'], '13');
  for (const [name, value] of Object.entries({
    version: '2',
    file_id: '9',
    expires: '99999999999',
    signature: 'x',
    at: '1',
  })) {
    const other = new URL(url);
    other.searchParams.set(name, value);
    refused(await door.ask('GET', `${other.pathname}${other.search}`), 403, 'signature');
  }
  refused(await post(door, '/v1/signed-urls', { path: '/f', file_id: 1 }), 400, 'invalid');
  refused(await post(door, '/v1/signed-urls', { path: '/none' }), 404, 'not-found');
  refused(await post(door, '/v1/signed-urls', { path: '/f', expires_in: 10 ** 9 }), 400, 'invalid');
});
