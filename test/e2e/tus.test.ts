/** tus-js-client as it is published, and plain curl, against a real server: whole, broken off and gone on with, given up. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { silentLog } from '../../src/base/index.ts';
import { configOf, serve } from '../../src/server/index.ts';
import { Upload, type UploadOptions } from '../infra/tus-client.ts';

const MIB = 2 ** 20;

interface Serving extends AsyncDisposable {
  readonly url: string;
}

async function serving(store: string): Promise<Serving> {
  const server = await serve({ config: configOf({ store, 'http.port': 0 }), create: true, log: silentLog });
  return {
    url: server.url ?? '',
    async [Symbol.asyncDispose]() {
      server.stop();
      await server.ended;
    },
  };
}

/** Resolves with the upload when it is done. */
function uploaded(bytes: Buffer, options: UploadOptions, watch: (upload: Upload) => void = () => {}): Promise<Upload> {
  return new Promise((resolve, reject) => {
    const upload = new Upload(bytes, {
      retryDelays: [50, 100, 200, 400, 800],
      ...options,
      onSuccess: () => resolve(upload),
      onError: reject,
    });
    watch(upload);
    upload.start();
  });
}

async function hashAt(url: string, path: string): Promise<string> {
  const answer = await fetch(`${url}/v1/files${path}`);
  assert.equal(answer.status, 200);
  return createHash('sha256')
    .update(Buffer.from(await answer.arrayBuffer()))
    .digest('hex');
}

const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function openUploads(url: string): Promise<number> {
  const answer = await fetch(`${url}/v1/uploads`);
  return ((await answer.json()) as { uploads: unknown[] }).uploads.length;
}

/** Lets connections through to a port, and cuts them when so many bytes have gone that way. */
async function cuttingProxy(
  port: number,
  cuts: number[],
): Promise<Server & { readonly url: string; readonly passed: () => number }> {
  const open = new Set<Socket>();
  let passed = 0;
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => open.delete(socket));
    }
    near.on('data', (piece) => {
      passed += piece.length;
      const [next] = cuts;
      if (next !== undefined && passed >= next) {
        cuts.shift();
        near.destroy();
        far.destroy();
      } else if (!far.write(piece)) near.pause();
    });
    // What it has taken is with the kernel, so that little is lost with a cut.
    far.on('drain', () => near.resume());
    far.on('data', (piece) => near.write(piece));
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  server.on('close', () => {
    for (const socket of open) socket.destroy();
  });
  return Object.assign(server, { url, passed: () => passed });
}

test('a file comes whole, in one request and in pieces, with the first bytes or without, also by POST alone', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-tus-'));
  await using server = await serving(join(place.path, 'store'));
  const endpoint = `${server.url}/v1/tus?path=/up`;
  const bytes = randomBytes(3 * MIB + 17);
  const ways: Partial<UploadOptions>[] = [
    {},
    { chunkSize: MIB },
    { chunkSize: MIB, uploadDataDuringCreation: true },
    { overridePatchMethod: true, chunkSize: 2 * MIB },
  ];
  for (const [number, way] of ways.entries()) {
    const metadata = { filename: `f${number}`, filetype: 'application/octet-stream', sha256: hashOf(bytes) };
    await uploaded(bytes, { endpoint, metadata, ...way });
    assert.equal(await hashAt(server.url, `/up/f${number}`), hashOf(bytes));
  }
  await uploaded(Buffer.alloc(0), { endpoint, metadata: { name: 'empty', relativePath: 'null' } });
  assert.equal(await hashAt(server.url, '/up/empty'), hashOf(Buffer.alloc(0)));
  assert.equal(await openUploads(server.url), 0);
});

test('an upload whose connection is cut goes on by itself, and sends only what was missing', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-tus-'));
  await using server = await serving(join(place.path, 'store'));
  const bytes = randomBytes(24 * MIB);
  const cuts = [6 * MIB, 15 * MIB];
  const proxy = await cuttingProxy(Number(new URL(server.url).port), cuts);
  try {
    const metadata = { path: '/cut' };
    // The proxy's port is not the server's own: the Host says so.
    const headers = { host: new URL(server.url).host };
    const offsets: number[] = [];
    await uploaded(bytes, {
      ...{ endpoint: `${proxy.url}/v1/tus`, metadata, headers },
      onAfterResponse: (request, response) => {
        if (request.getMethod() === 'HEAD') offsets.push(Number(response.getHeader('Upload-Offset')));
      },
    });
    assert.deepEqual(cuts, []);
    // Once for each cut; and again where the server was still storing what had come before it.
    assert.ok(offsets.length >= 2 && offsets.length <= 8, String(offsets));
    assert.deepEqual(
      offsets,
      offsets.toSorted((a, b) => a - b),
    );
    assert.ok((offsets.at(-1) ?? 0) > 6 * MIB, String(offsets));
    // From the beginning each time it would be 45: what was on its way when it was cut is sent again, and little more.
    assert.ok(proxy.passed() < 36 * MIB, `${proxy.passed()} bytes were sent`);
    assert.equal(await hashAt(server.url, '/cut'), hashOf(bytes));
  } finally {
    proxy.close();
  }
});

test('an upload outlives the server, and is gone on with by whoever knows its URL', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-tus-'));
  const store = join(place.path, 'store');
  const bytes = randomBytes(8 * MIB);
  let path = '';
  {
    await using server = await serving(store);
    const stopped = Promise.withResolvers<void>();
    const upload = new Upload(bytes, {
      ...{ endpoint: `${server.url}/v1/tus`, metadata: { path: '/later' }, chunkSize: 2 * MIB },
      onChunkComplete: (_size, accepted) => {
        if (accepted >= 4 * MIB) void upload.abort().then(stopped.resolve);
      },
    });
    upload.start();
    await stopped.promise;
    path = new URL(upload.url ?? '').pathname;
  }
  await using server = await serving(store);
  const sent: number[] = [];
  await uploaded(bytes, {
    uploadUrl: `${server.url}${path}`,
    onBeforeRequest: (request) => void sent.push(Number(request.getHeader('Upload-Offset') ?? -1)),
  });
  assert.deepEqual(sent, [-1, 4 * MIB]);
  assert.equal(await hashAt(server.url, '/later'), hashOf(bytes));
});

test('an upload that is given up is gone, with its bytes', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-tus-'));
  await using server = await serving(join(place.path, 'store'));
  const done = Promise.withResolvers<void>();
  const upload = new Upload(randomBytes(8 * MIB), {
    ...{ endpoint: `${server.url}/v1/tus`, metadata: { path: '/never' }, chunkSize: MIB },
    onChunkComplete: (_size, accepted) => {
      if (accepted === 2 * MIB) void upload.abort(true).then(done.resolve, done.reject);
    },
  });
  upload.start();
  await done.promise;
  assert.equal(await openUploads(server.url), 0);
  assert.equal((await fetch(`${server.url}/v1/files/never`)).status, 404);
});

test('plain curl speaks it too', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-tus-'));
  await using server = await serving(join(place.path, 'store'));
  const bytes = randomBytes(2 * MIB);
  await writeFile(join(place.path, 'file'), bytes);
  const script = `
    AT=$(curl -fsS -D - -o /dev/null -X POST -H 'Tus-Resumable: 1.0.0' -H "Upload-Length: ${bytes.length}" \\
      -H "Upload-Metadata: path $(printf /by-curl | base64)" "$URL/v1/tus" | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
    head -c 1000000 file | curl -fsS -X PATCH -H 'Tus-Resumable: 1.0.0' -H 'Upload-Offset: 0' \\
      -H 'Content-Type: application/offset+octet-stream' --data-binary @- "$URL$AT"
    curl -fsS -I -H 'Tus-Resumable: 1.0.0' "$URL$AT" | tr -d '\\r' | sed -n 's/^[Uu]pload-[Oo]ffset: //p'
    tail -c +1000001 file | curl -fsS -X PATCH -H 'Tus-Resumable: 1.0.0' -H 'Upload-Offset: 1000000' \\
      -H 'Content-Type: application/offset+octet-stream' --data-binary @- "$URL$AT"`;
  const env = { PATH: process.env.PATH ?? '', URL: server.url };
  const { stdout } = await promisify(execFile)('bash', ['-eu', '-c', script], { cwd: place.path, env });
  assert.equal(stdout.trim(), '1000000');
  assert.equal(await hashAt(server.url, '/by-curl'), hashOf(bytes));
});
