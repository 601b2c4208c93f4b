/** The client alone, against a scripted server: what it asks, what it makes of answers, and when it asks again. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Problem,
  problemOfFault,
  type Transport,
  type TransportAnswer,
  type TransportRequest,
} from '../api/index.ts';
import { Fault, ManualClock, seededRandom, textOfUtf8, utf8 } from '../base/index.ts';
import { fetchTransport } from './fetch-transport.ts';
import { HttpFileService } from './http-file-service.ts';

type Step = (request: TransportRequest) => TransportAnswer | Promise<TransportAnswer>;

interface Scripted {
  readonly service: HttpFileService;
  readonly asked: TransportRequest[];
}

/** Answers with one step after another; the last one goes on answering. */
function scripted(...steps: Step[]): Scripted {
  const asked: TransportRequest[] = [];
  const transport: Transport = async (request) => {
    asked.push(request);
    const step = steps[Math.min(asked.length, steps.length) - 1] as Step;
    return step(request);
  };
  const clock = new ManualClock();
  // Waits are over at once, so that only their number matters.
  clock.sleep = async () => {};
  return { service: new HttpFileService({ transport, baseUrl: '/base', clock, random: seededRandom(1) }), asked };
}

async function* pieces(...parts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield typeof part === 'string' ? utf8(part) : part;
}

const json =
  (value: unknown, status = 200): Step =>
  () => ({ status, headers: {}, body: pieces(JSON.stringify(value)) });
const problem = (fault: Fault): Step => {
  const document: Problem = problemOfFault(fault, { request: 'r' });
  return json(document, document.status);
};
const gone =
  (was_sent: boolean): Step =>
  () => {
    throw new Fault('unavailable', 'The server cannot be reached.', { was_sent });
  };

const RECORD = { file_id: 5, path: '/a', name: 'a', size: 10, version: 2 };
const content =
  (status: number, length: number, ...parts: string[]): Step =>
  () => ({
    status,
    headers: { 'content-length': String(length), 'x-file-record': encodeURIComponent(JSON.stringify(RECORD)) },
    body: pieces(...parts),
  });

async function textOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const piece of bytes) text += new TextDecoder().decode(piece);
  return text;
}

describe('what the client asks', () => {
  test('paths are encoded byte by byte, queries by their text', async () => {
    const { service, asked } = scripted(json({ entries: [] }));
    await service.stat({ path: '/d/caf\\xE9 ü' });
    await service.list({ id: 7 }, { limit: 5, glob: '*.t&t' });
    await service.search({ path: '/d/\\xE9', sizeMin: 0 });
    assert.deepEqual(
      asked.map(({ method, path }) => [method, path]),
      [
        ['GET', '/base/v1/metadata/d/caf%E9%20%C3%BC'],
        ['GET', '/base/v1/file/7/entries?limit=5&glob=*.t%26t'],
        ['GET', '/base/v1/search?path=%2Fd%2F%5CxE9&size_min=0'],
      ],
    );
  });

  test('a write says all it knows', async () => {
    const { service, asked } = scripted(json(RECORD));
    const sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    const options = {
      mode: 'put',
      size: 3,
      sha256,
      xxhash3: '78af5f94892f3950',
      permissions: 0o640,
      parents: true,
    } as const;
    await service.write('/a', [utf8('abc')], {
      ...options,
      expectedVersion: 4,
      idempotencyKey: 'k',
      modified: '2026-01-01T00:00:00Z',
    });
    assert.equal(asked[0]?.method, 'PUT');
    assert.equal(asked[0]?.path, '/base/v1/files/a?create=true&parents=true&expected_version=4');
    assert.deepEqual(asked[0]?.headers, {
      accept: 'application/json',
      'content-type': 'application/octet-stream',
      'content-length': '3',
      'x-file-hash': '78af5f94892f3950',
      'content-digest': 'sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:',
      'x-modified-time': '2026-01-01T00:00:00Z',
      'x-file-mode': '640',
      'idempotency-key': 'k',
    });
  });

  test('a wrong path is refused before anything is asked', async () => {
    const { service, asked } = scripted(json(RECORD));
    await assert.rejects(service.stat({ path: '/a/../b' }), (error) => Fault.is(error, 'invalid'));
    assert.equal(asked.length, 0);
  });
});

describe('what the client makes of answers', () => {
  test('a fault comes back as it was', async () => {
    const fault = new Fault('conflict', 'It changed meanwhile.', { expected_version: 1, current_version: 2 });
    const { service } = scripted(problem(fault));
    await assert.rejects(service.remove('/a'), (error) => {
      assert.ok(Fault.is(error, 'conflict'));
      assert.deepEqual([error.message, error.about], [fault.message, fault.about]);
      return true;
    });
  });

  test('an answer that is not ours is a fault that says so', async () => {
    const page: Step = () => ({ status: 502, headers: {}, body: pieces('<html>') });
    await assert.rejects(scripted(page).service.remove('/a'), (error) => Fault.is(error, 'unavailable'));
    const other: Step = () => ({ status: 200, headers: {}, body: pieces('hello') });
    await assert.rejects(scripted(other).service.stats(), (error) => Fault.is(error, 'unavailable'));
    const redirect: Step = () => ({ status: 302, headers: {}, body: pieces('') });
    await assert.rejects(scripted(redirect).service.stats(), (error) => Fault.is(error, 'unsupported'));
  });

  test('a download has exactly the bytes that were announced, or is a fault', async () => {
    const whole = await scripted(content(200, 10, '01234', '56789')).service.read({ path: '/a' });
    assert.deepEqual([whole.record, await textOf(whole.bytes)], [RECORD, '0123456789']);
    for (const parts of [['01234'], ['0123456789', 'x'], []]) {
      const { bytes } = await scripted(content(200, 10, ...parts)).service.read({ path: '/a' });
      await assert.rejects(textOf(bytes), (error) => Fault.is(error, 'unavailable'), parts.join());
    }
    const other = scripted(content(200, 9, '012345678')).service.read({ path: '/a' });
    await assert.rejects(other, (error) => Fault.is(error, 'range'));
  });

  test('a range that was answered with the whole file is refused', async () => {
    const { service } = scripted(content(200, 10, '0123456789'));
    await assert.rejects(service.read({ path: '/a' }, { offset: 2, length: 3 }), (error) => Fault.is(error));
    const right = await scripted(content(206, 3, '234')).service.read({ path: '/a' }, { offset: 2, length: 3 });
    assert.equal(await textOf(right.bytes), '234');
  });

  test('a manifest is read line by line, however it is cut', async () => {
    const lines = `${JSON.stringify({ ...RECORD, name: 'ü' })}\n${JSON.stringify(RECORD)}\n`;
    const bytes = utf8(lines);
    const cut: Step = () => ({
      status: 200,
      headers: {},
      body: pieces(...Array.from(bytes, (byte) => Uint8Array.of(byte))),
    });
    const names: string[] = [];
    for await (const { name } of scripted(cut).service.manifest({ path: '/' })) names.push(name);
    assert.deepEqual(names, ['ü', 'a']);
  });

  test('a check tells its progress, and fails with the fault it ended with', async () => {
    const told: number[] = [];
    const report = { is_clean: true, problems: [] };
    const good = [{ progress: { done: 1, total: 2 } }, { progress: { done: 2, total: 2 } }, { report }];
    const answer =
      (lines: unknown[]): Step =>
      () => ({ status: 200, headers: {}, body: pieces(...lines.map((line) => `${JSON.stringify(line)}\n`)) });
    assert.deepEqual(await scripted(answer(good)).service.check({ onProgress: (done) => told.push(done) }), report);
    assert.deepEqual(told, [1, 2]);
    const failed = [good[0], { problem: problemOfFault(new Fault('io', 'The disk is gone.'), { request: 'r' }) }];
    await assert.rejects(scripted(answer(failed)).service.check(), (error) => Fault.is(error, 'io'));
    await assert.rejects(scripted(answer(good.slice(0, 2))).service.check(), (error) => Fault.is(error, 'unavailable'));
  });
});

describe('when the client asks again', () => {
  const counts = async (act: (service: HttpFileService) => Promise<unknown>, ...steps: Step[]): Promise<number> => {
    const { service, asked } = scripted(...steps);
    await act(service).catch(() => {});
    return asked.length;
  };
  const busy = problem(new Fault('busy', 'Too many requests at once. Try again.'));

  test('reads are tried again while the server is away or busy, a bounded number of times', async () => {
    const stat = (service: HttpFileService) => service.stat({ path: '/a' });
    assert.equal(await counts(stat, gone(true), busy, json(RECORD)), 3);
    assert.equal(await counts(stat, gone(true)), 4);
    assert.equal(await counts(stat, problem(new Fault('not-found', 'Nothing is there.'))), 1);
    assert.equal(await counts(stat, problem(new Fault('corrupt', 'It is damaged.'))), 1);
  });

  test('changes are tried again only when nothing of them arrived', async () => {
    const move = (service: HttpFileService) => service.move('/a', '/b');
    assert.equal(await counts(move, gone(false), json(RECORD)), 2);
    assert.equal(await counts(move, gone(true)), 1);
    assert.equal(await counts(move, busy), 1);
  });

  test('a write is never tried again, since its source can be pulled once', async () => {
    const write = (service: HttpFileService) => service.write('/a', [utf8('abc')], { mode: 'create' });
    assert.equal(await counts(write, gone(false)), 1);
  });

  test('a signal ends the trying', async () => {
    const controller = new AbortController();
    const step: Step = () => {
      controller.abort();
      throw new Fault('unavailable', 'The server cannot be reached.', { was_sent: false });
    };
    const { service, asked } = scripted(step);
    await assert.rejects(service.stat({ path: '/a' }, { signal: controller.signal }), (error) =>
      Fault.is(error, 'aborted'),
    );
    assert.equal(asked.length, 1);
  });
});

describe('many writes', () => {
  test('are sent some at a time, each behind what it stands on, and told in order', async () => {
    let running = 0;
    let most = 0;
    const began: string[] = [];
    const ended: string[] = [];
    const step: Step = async ({ path }) => {
      began.push(path);
      most = Math.max(most, ++running);
      const isForm = path.includes('/bulk/');
      await new Promise((resolve) => setTimeout(resolve, isForm ? 20 : 1));
      running--;
      ended.push(path);
      const results = [{ path: '/f', ok: true, record: RECORD }];
      const answer = isForm ? { success: ['/f'], failed: [], results } : RECORD;
      return { status: 200, headers: {}, body: pieces(JSON.stringify(answer)) };
    };
    const { service } = scripted(step);
    const items = [
      { path: '/f', kind: 'folder' as const },
      ...Array.from({ length: 60 }, (_, n) => ({ path: `/f/${n}`, kind: 'file' as const, source: () => [utf8('x')] })),
      ...Array.from({ length: 60 }, (_, n) => ({ path: `/g${n}`, kind: 'file' as const, source: () => [utf8('x')] })),
    ];
    const told: string[] = [];
    for await (const result of service.writeMany(items)) told.push(result.path);
    assert.deepEqual(
      told,
      items.map(({ path }) => path),
    );
    assert.ok(most > 4 && most <= 16, `${most} at once`);
    const folder = ended.indexOf('/base/v1/bulk/upload?parents=false');
    const firstInside = began.findIndex((path) => path.includes('/files/f/'));
    assert.ok(folder >= 0 && firstInside > 0 && ended.slice(0, folder).every((path) => !path.includes('/files/f/')));
  });

  test('that are small go together, and each has its own result', async () => {
    const forms: string[] = [];
    const step: Step = async ({ body }) => {
      const form = textOfUtf8(body as Uint8Array) ?? '';
      forms.push(form);
      const results = [...form.matchAll(/x-file-path: (\S+)/g)].map(([, path]) =>
        path === 'bad'
          ? { path: '/bad', ok: false, problem: { code: 'exists', detail: 'There is something.', about: {} } }
          : { path: `/${path}`, ok: true, record: { ...RECORD, path: `/${path}` } },
      );
      return { status: 200, headers: {}, body: pieces(JSON.stringify({ success: [], failed: [], results })) };
    };
    const { service } = scripted(step);
    const file = (path: string, source = (): Uint8Array[] => [utf8(`of ${path}`)]) =>
      ({ path, kind: 'file', size: utf8(`of ${path}`).length, source, modified: '2026-01-02T03:04:05Z' }) as const;
    const broken = file('/broken', () => {
      throw new Error('the source broke');
    });
    const items = [
      file('/a'),
      file('/bad'),
      broken,
      file('/no/../way'),
      { path: '/l', kind: 'symlink', target: 'a' } as const,
    ];
    const told: string[] = [];
    for await (const result of service.writeMany(items))
      told.push(
        `${result.path} ${result.ok ? result.record.path : Fault.is(result.fault) ? result.fault.code : result.fault.message}`,
      );
    assert.deepEqual(told, ['/a /a', '/bad exists', '/broken the source broke', '/no/../way invalid', '/l /l']);
    assert.equal(forms.length, 1);
    assert.match(
      forms[0] ?? '',
      /x-file-kind: file\r\nx-file-size: 5\r\nx-modified-time: 2026-01-02T03:04:05Z\r\n\r\nof \/a\r\n--/,
    );
    assert.match(forms[0] ?? '', /x-file-kind: symlink\r\n\r\na\r\n--holdfast-[0-9a-f]{32}--\r\n$/);
  });
});

describe('the transport over fetch', () => {
  const answering =
    (seen: RequestInit[]): typeof fetch =>
    async (_input, init) => {
      seen.push(init ?? {});
      return new Response('{}', { status: 200 });
    };

  test('uploads are gathered up to a bound', async () => {
    const seen: RequestInit[] = [];
    const transport = fetchTransport({ fetch: answering(seen), gatheredBytesMax: 10 });
    const request = { method: 'PUT', path: '/x', headers: {} };
    await transport({ ...request, body: pieces('abc', 'def') });
    assert.deepEqual(seen[0]?.body, utf8('abcdef'));
    await assert.rejects(transport({ ...request, body: pieces('abcdef', 'ghijk') }), (error) =>
      Fault.is(error, 'too-large'),
    );
    const announced = { ...request, headers: { 'content-length': '11' }, body: pieces('x') };
    await assert.rejects(transport(announced), (error) => Fault.is(error, 'too-large'));
    assert.equal(seen.length, 1);
  });

  test('what the source throws comes through, and a dead server is unavailable', async () => {
    async function* breaking(): AsyncGenerator<Uint8Array> {
      yield utf8('x');
      throw new Error('the source broke');
    }
    const transport = fetchTransport({ fetch: () => Promise.reject(new TypeError('fetch failed')) });
    await assert.rejects(transport({ method: 'PUT', path: '/x', headers: {}, body: breaking() }), /the source broke/);
    await assert.rejects(transport({ method: 'GET', path: '/x', headers: {} }), (error) =>
      Fault.is(error, 'unavailable'),
    );
    const signal = AbortSignal.abort();
    await assert.rejects(transport({ method: 'GET', path: '/x', headers: {}, signal }), (error) =>
      Fault.is(error, 'aborted'),
    );
  });
});
