/** The door's routes about folders, trees, forms, the store and itself, over a service in memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Fault, utf8 } from '../base/index.ts';
import { type FakeDoor, type FakeDoorOptions, openFakeDoor } from './fake-door.ts';

function withDoor(title: string, act: (door: FakeDoor) => Promise<void>, options: FakeDoorOptions = {}): void {
  test(title, async () => {
    await using door = await openFakeDoor(options);
    await act(door);
  });
}

async function names(door: FakeDoor, path = '/'): Promise<string[]> {
  return (await door.service.list({ path })).entries.map(({ name }) => name);
}

interface Entries {
  readonly entries: readonly { readonly path: string; readonly attributes?: object }[];
  readonly next?: string;
}

describe('folders over HTTP', () => {
  withDoor('a folder is made, listed in pages and removed with what is in it', async ({ ask, service }) => {
    const made = await ask('POST', '/v1/directories/f?mode=448');
    assert.deepEqual([made.status, made.headers.location, made.json.mode], [201, '/v1/directories/f', 0o700]);
    assert.equal((await ask('POST', '/v1/directories/f')).status, 409);
    assert.equal((await ask('POST', '/v1/directories/x/y')).status, 404);
    assert.equal((await ask('POST', '/v1/directories/x/y?parents=true')).status, 201);
    for (const name of ['a', 'b', 'c']) await service.write(`/f/${name}`, [utf8(name)], { mode: 'create' });
    const first = (await ask('GET', '/v1/directories/f?limit=2')).json as unknown as Entries;
    assert.deepEqual(
      first.entries.map(({ path }) => path),
      ['/f/a', '/f/b'],
    );
    const second = await ask('GET', `/v1/directories/f?limit=2&cursor=${encodeURIComponent(first.next ?? '')}`);
    assert.deepEqual(
      (second.json as unknown as Entries).entries.map(({ path }) => path),
      ['/f/c'],
    );
    const byId = await ask('GET', `/v1/file/${made.json.file_id}/entries?glob=[ab]&kind=file`);
    assert.equal((byId.json as unknown as Entries).entries.length, 2);
    assert.equal((await ask('DELETE', '/v1/files/f')).json.code, 'not-empty');
    const would = await ask('DELETE', '/v1/directories/f?dry_run');
    assert.deepEqual([would.status, would.json.files, would.json.dry_run], [200, 3, true]);
    assert.equal((await ask('DELETE', '/v1/directories/f')).status, 204);
    assert.equal((await ask('DELETE', '/v1/files/x?recursive')).status, 204);
    assert.equal((await ask('GET', '/v1/directories/f')).status, 404);
  });

  withDoor('a file is not removed as a folder', async (door) => {
    await door.service.write('/a', [utf8('x')], { mode: 'create' });
    const told = await door.ask('DELETE', '/v1/directories/a');
    assert.deepEqual([told.status, told.json.code], [409, 'not-folder']);
    assert.deepEqual(await names(door), ['a']);
  });

  withDoor('versions, restore, move, copy and search have their routes', async ({ ask }) => {
    const one = await ask('POST', '/v1/files/a', { body: 'one' });
    await ask('PUT', '/v1/files/a', { body: 'two' });
    const told = await ask('GET', `/v1/file/${one.json.file_id}/versions?limit=1`);
    assert.equal((told.json.versions as unknown[]).length, 1);
    assert.equal((await ask('GET', `/v1/files/a?version=${one.json.version}`)).text, 'one');
    const body = JSON.stringify({ file_id: one.json.file_id, version: one.json.version });
    assert.equal((await ask('POST', '/v1/restore', { body })).status, 200);
    assert.equal((await ask('GET', '/v1/files/a')).text, 'one');
    const copied = await ask('POST', '/v1/copy', { body: '{"from_path":"/a","to_path":"/d/b","parents":true}' });
    assert.deepEqual([copied.status, copied.headers.location], [201, '/v1/files/d/b']);
    const moved = await ask('POST', '/v1/move', { body: '{"from_path":"/d/b","to_path":"/a","overwrite":true}' });
    assert.deepEqual([moved.status, moved.json.path], [200, '/a']);
    const exists = { headers: { 'if-none-match': '*' }, body: '{"from_path":"/a","to_path":"/d","overwrite":true}' };
    assert.equal((await ask('POST', '/v1/move', exists)).status, 412);
    const found = (await ask('GET', '/v1/search?pattern=*&kind=folder')).json as unknown as Entries;
    assert.deepEqual(
      found.entries.map(({ path }) => path),
      ['/d'],
    );
  });

  withDoor('a manifest comes as lines, or as one object for who prefers it', async ({ ask, service }) => {
    const empty = await ask('GET', '/v1/manifest', { headers: { accept: 'application/json' } });
    assert.deepEqual(empty.json, { files: {} });
    for (let count = 0; count < 500; count++) await service.write(`/f${count}`, [], { mode: 'create' });
    const lines = await ask('GET', '/v1/manifest');
    assert.equal(lines.headers['content-type'], 'application/x-ndjson');
    const records = lines.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { path: string });
    assert.equal(records.length, 500);
    const object = await ask('GET', '/v1/manifest?path=/', { headers: { accept: 'application/json' } });
    assert.deepEqual(
      Object.keys(object.json.files as object),
      records.map(({ path }) => path),
    );
    assert.equal((await ask('GET', '/v1/manifest?path=/none')).status, 404);
    const head = await ask('HEAD', '/v1/manifest');
    assert.deepEqual([head.status, head.text], [200, '']);
  });
});

describe('forms over HTTP', () => {
  const form = (parts: [name: string, value: string, filename?: string][], end = '--B--\r\n') => ({
    headers: { 'content-type': 'multipart/form-data; boundary=B' },
    body: `${parts
      .map(([name, value, filename]) => {
        const file = filename === undefined ? '' : `; filename="${filename}"`;
        return `--B\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n${value}\r\n`;
      })
      .join('')}${end}`,
  });

  withDoor('a form makes a file, and a new version of it', async ({ ask }) => {
    const fields: [string, string][] = [
      ['path', '/d/a.txt'],
      ['parents', 'true'],
      ['mode', '384'],
      ['size', '3'],
      ['modified', '2001-02-03T04:05:06Z'],
    ];
    const told = await ask('POST', '/v1/upload', form([...fields, ['file', 'abc', 'x.txt']]));
    assert.equal(told.status, 201, told.text);
    const record = told.json.record as Record<string, unknown>;
    assert.deepEqual([record.path, record.mode, record.size], ['/d/a.txt', 0o600, 3]);
    assert.deepEqual([told.json.file_id, told.json.version], [record.file_id, record.version]);
    const again = await ask(
      'POST',
      '/v1/upload',
      form([
        ['path', '/d/a.txt'],
        ['file', 'abcd', 'x.txt'],
      ]),
    );
    assert.equal(again.status, 200, 'a file that was replaced is not said to be made');
    assert.equal(again.json.file_id, told.json.file_id);
    assert.ok(Number(again.json.version) > Number(told.json.version));
    const fixed = form([
      ['path', '/d/a.txt'],
      ['overwrite', 'false'],
      ['file', 'x', 'x.txt'],
    ]);
    assert.equal((await ask('POST', '/v1/upload', fixed)).json.code, 'exists');
    const onto = (path: string, headers: Record<string, string>) => {
      const { headers: own, body } = form([
        ['path', path],
        ['file', 'abcde', 'x.txt'],
      ]);
      return ask('POST', '/v1/upload', { headers: { ...own, ...headers }, body });
    };
    assert.equal((await onto('/d/a.txt', { 'if-none-match': '*' })).status, 412);
    assert.equal((await onto('/d/a.txt', { 'if-match': '"1-999"' })).status, 412);
    assert.equal((await onto('/d/new.txt', { 'if-none-match': '*' })).status, 201);
    assert.equal((await onto('/d/none.txt', { 'if-match': '*' })).status, 404);
    assert.equal((await onto('/d/a.txt', { 'if-match': String(again.headers.etag) })).status, 200);
    const download = await ask('GET', `/v1/download?file_id=${told.json.file_id}&version=${told.json.version}`);
    assert.equal(download.text, 'abc');
  });

  withDoor('a form without a path uses the name of the file', async (door) => {
    await door.ask('POST', '/v1/upload', form([['file', '1', 'C:/folder/a.txt']]));
    await door.ask(
      'POST',
      '/v1/upload',
      form([
        ['path', 'd/'],
        ['parents', '1'],
        ['file', '2', '../../b.txt'],
      ]),
    );
    assert.deepEqual(await names(door), ['a.txt', 'd']);
    assert.deepEqual(await names(door, '/d'), ['b.txt']);
  });

  const wrong: [title: string, asked: ReturnType<typeof form>, status: number][] = [
    ['without a file', form([['path', '/a']]), 400],
    [
      'that breaks off',
      form(
        [
          ['path', '/a'],
          ['file', 'abc', 'a'],
        ],
        '',
      ),
      400,
    ],
    [
      'that breaks off in its end',
      form(
        [
          ['path', '/a'],
          ['file', 'abc', 'a'],
        ],
        '--B',
      ),
      400,
    ],
    [
      'with two files',
      form([
        ['path', '/a'],
        ['file', 'abc', 'a'],
        ['file', 'def', 'b'],
      ]),
      400,
    ],
    [
      'with a field behind the file',
      form([
        ['file', 'abc', 'a'],
        ['path', '/a'],
      ]),
      400,
    ],
    [
      'with an unknown field',
      form([
        ['pth', '/a'],
        ['file', 'abc', 'a'],
      ]),
      400,
    ],
    [
      'with a field twice',
      form([
        ['path', '/a'],
        ['path', '/b'],
        ['file', 'abc', 'a'],
      ]),
      400,
    ],
    [
      'with another size',
      form([
        ['path', '/a'],
        ['size', '4'],
        ['file', 'abc', 'a'],
      ]),
      400,
    ],
    [
      'with a wrong checksum',
      form([
        ['path', '/a'],
        ['sha256', '0'.repeat(64)],
        ['file', 'abc', 'a'],
      ]),
      400,
    ],
    [
      'with a path that is none',
      form([
        ['path', '/a/../b'],
        ['file', 'abc', 'a'],
      ]),
      400,
    ],
    [
      'with a huge field',
      form([
        ['path', 'x'.repeat(100_000)],
        ['file', 'abc', 'a'],
      ]),
      413,
    ],
    [
      'with many fields',
      form([...Array.from({ length: 40 }, (_, n): [string, string] => [`f${n}`, '']), ['file', 'abc', 'a']]),
      413,
    ],
    [
      'whose file is too large',
      form([
        ['path', '/a'],
        ['file', 'x'.repeat(10_001), 'a'],
      ]),
      413,
    ],
  ];
  for (const [title, asked, status] of wrong) {
    withDoor(
      `a form ${title} keeps nothing`,
      async (door) => {
        const told = await door.ask('POST', '/v1/upload', asked);
        assert.equal(told.status, status, told.text);
        assert.deepEqual(await names(door), []);
      },
      { options: { fileBytesMax: 10_000 } },
    );
  }
});

describe('the store over HTTP', () => {
  withDoor('a check tells its progress and ends with its report', async ({ ask }) => {
    const told = await ask('POST', '/v1/check');
    assert.equal(told.headers['content-type'], 'application/x-ndjson');
    const lines = told.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal((lines.at(-1)?.report as { is_clean?: boolean } | undefined)?.is_clean, true);
    assert.equal((await ask('POST', '/v1/check', { body: '{"sample":2}' })).status, 400);
    assert.equal((await ask('POST', '/v1/check', { body: '{"sample":0.5,"rebuild_index":true}' })).status, 200);
  });

  withDoor(
    'a long check goes on telling, also when it stands still, and what stops it',
    async ({ ask }) => {
      const told = await ask('POST', '/v1/check', { body: '{}' });
      const lines = told.text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      assert.ok(lines.length >= 3, told.text);
      assert.deepEqual(lines[0], { progress: { done: 1, total: 9 } });
      assert.equal((lines.at(-1)?.problem as { code?: string } | undefined)?.code, 'io');
    },
    {
      options: { progressMs: 20 },
      wrap: (service) =>
        Object.assign(Object.create(service) as typeof service, {
          check: async (options: { onProgress?: (done: number, total: number) => void }) => {
            options.onProgress?.(1, 9);
            await new Promise((resolve) => setTimeout(resolve, 90));
            throw new Fault('io', 'The disk cannot be read.', {});
          },
        }),
    },
  );

  withDoor('health, the document, the page and the root answer', async ({ ask }) => {
    const health = await ask('GET', '/v1/health');
    assert.deepEqual(health.json, {
      name: 'holdfast',
      version: '0.0.0',
      status: 'ok',
      store_id: 'fake',
      uptime_seconds: 1,
    });
    assert.equal((await ask('GET', '/v1/openapi.json')).json.openapi, '3.1.0');
    const page = await ask('GET', '/v1/docs');
    assert.match(page.headers['content-security-policy'] ?? '', /default-src 'none'/);
    assert.match(page.text, /fault-not-found/);
    assert.ok(!/(src|href)="(https?:)?\/\//.test(page.text), 'the page loads nothing from other hosts');
    assert.match((await ask('GET', '/')).text, /curl -T FILE/);
    const browser = await ask('GET', '/', { headers: { accept: 'text/html,*/*' } });
    assert.deepEqual([browser.status, browser.headers.location], [303, '/v1/docs']);
    const head = await ask('HEAD', '/v1/health');
    assert.deepEqual([head.status, head.text], [200, '']);
  });
});
