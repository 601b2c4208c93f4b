/**
 * `kill -9` of a server, or of the client, in the middle of `holdfast put` of a large file over a network that takes its
 * time. The client goes on by itself when the server is back; a new client goes on where the killed one was. Between them
 * stands a proxy that counts the bytes that the client sends: after every kill these are what was missing and no more (but
 * for the heads of requests and the questions which chunks are there), and in the end the file is whole.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server as NetServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Random, seededRandom } from '../../src/base/index.ts';
import { HttpFileService } from '../../src/client/index.ts';
import { nodeTransport } from '../../src/http/index.ts';
import { HOLDFAST, type Server, startServer } from './server.ts';

const FILE_BYTES = 96 * 2 ** 20;
/** What goes through the proxy in a second: so that a kill meets the middle. */
const BYTES_PER_SECOND = 48 * 2 ** 20;
/** Heads of requests, and small requests, of one run. */
const HEADS_BYTES_MAX = 32 * 1024;
/** The names of its chunks, by which the store is asked what it has of a part: 90 bytes for each 16 KiB at the most. */
const QUESTIONS_SHARE_MAX = 90 / (16 * 1024);
const CLIENT_MS_MAX = 60_000;

export interface UploadKillQuestion {
  readonly seed: number;
  readonly rounds: number;
  readonly onRound?: (round: number, sentence: string) => void;
}

/** @throws AssertionError that names the seed and the round. */
export async function uploadKillRounds({ seed, rounds, onRound = () => {} }: UploadKillQuestion): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-upload-kill-'));
  const random = seededRandom(seed);
  const file = join(folder, 'large');
  await using proxy = await openProxy();
  const start = (): Promise<Server> =>
    startServer({
      store: join(folder, 'store'),
      environment: { HOLDFAST_HTTP_ALLOWED_HOSTS: `127.0.0.1:${proxy.port}` },
    });
  let server = await start();
  try {
    for (let round = 1; round <= rounds; round++) {
      const goal = `/large-${round}`;
      // Another one each time: of what the store has nothing would be sent.
      const bytes = fileOf(random);
      writeFileSync(file, bytes);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      proxy.lead(server.origin);
      const before = proxy.sentBytes;
      let client = put(file, goal, proxy.port);
      // After the first byte, so that the start of the client does not count.
      await proxy.flows(before + 4_096 + random.below(FILE_BYTES - 2 ** 22));
      const victim = round % 2 === 0 ? 'client' : 'server';
      if (victim === 'client') client.kill();
      else {
        proxy.lead(undefined);
        await server.stop('SIGKILL');
        server = await start();
      }
      if (victim === 'client') await client.ended;
      await proxy.isQuiet();
      const missing = await missingOf(server.origin, goal);
      const sent = proxy.sentBytes;
      proxy.lead(server.origin);
      if (victim === 'client') client = put(file, goal, proxy.port);
      assert.equal(await client.ended, 0, `seed ${seed}, round ${round}: ${client.output()}`);
      const again = proxy.sentBytes - sent;
      const where = `seed ${seed}, round ${round}, ${victim} killed: ${missing} bytes were missing, ${again} were sent`;
      // Less, when the server was still storing what had come as it was asked.
      assert.ok(again <= missing * (1 + QUESTIONS_SHARE_MAX) + HEADS_BYTES_MAX, where);
      assert.equal(await sha256Of(server.origin, goal), sha256, where);
      onRound(round, where);
    }
    await using transport = transportTo(server.origin);
    assert.deepEqual((await transport.service.uploads.list()).uploads, []);
    assert.equal((await transport.service.check()).is_clean, true);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Noise without a chunk that is there twice: every chunk has a number of its own in it. */
function fileOf(random: Random): Buffer {
  const block = random.bytes(2 ** 20);
  const bytes = Buffer.alloc(FILE_BYTES);
  for (let at = 0; at < bytes.length; at += block.length) {
    bytes.set(block, at);
    for (let spot = 0; spot < 128; spot++) bytes.writeUInt32LE(random.below(2 ** 32), at + spot * 8_192);
  }
  return bytes;
}

interface Client {
  readonly ended: Promise<number | NodeJS.Signals>;
  kill(): void;
  output(): string;
}

function put(file: string, goal: string, port: number): Client {
  const args = ['put', file, goal, '--server', `http://127.0.0.1:${port}`];
  const child = spawn(HOLDFAST, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      output += data.toString();
    });
  const timer = setTimeout(() => child.kill('SIGABRT'), CLIENT_MS_MAX);
  const ended = new Promise<number | NodeJS.Signals>((done) => {
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      done(signal ?? code ?? -1);
    });
  });
  return { ended, kill: () => void child.kill('SIGKILL'), output: () => output };
}

function transportTo(origin: string): AsyncDisposable & { readonly service: HttpFileService } {
  const transport = nodeTransport({ origin });
  return {
    service: new HttpFileService({ transport: transport.send }),
    [Symbol.asyncDispose]: async () => transport[Symbol.dispose](),
  };
}

/** Bytes of parts that are not there; 0 when the file is. */
async function missingOf(origin: string, goal: string): Promise<number> {
  await using transport = transportTo(origin);
  const { uploads } = transport.service;
  const [upload] = (await uploads.list({ path: goal })).uploads;
  if (upload === undefined) return (await isThere(transport.service, goal)) ? 0 : FILE_BYTES;
  const { parts } = await uploads.parts(upload.upload_id);
  return parts.reduce((sum, { received, size }) => sum + (received ? 0 : (size ?? 0)), 0);
}

async function isThere(service: HttpFileService, path: string): Promise<boolean> {
  return service.stat({ path }).then(
    () => true,
    () => false,
  );
}

async function sha256Of(origin: string, path: string): Promise<string> {
  await using transport = transportTo(origin);
  const hash = createHash('sha256');
  for await (const piece of (await transport.service.read({ path })).bytes) hash.update(piece);
  return hash.digest('hex');
}

interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** What clients have sent through it. */
  readonly sentBytes: number;
  /** Where connections go from now on; nowhere: they are ended. */
  lead(origin: string | undefined): void;
  /** Resolves when so many bytes have been sent through it. */
  flows(sentBytes: number): Promise<void>;
  /** Resolves when no connection is open. */
  isQuiet(): Promise<void>;
}

async function openProxy(): Promise<Proxy> {
  let [sentBytes, dueMs] = [0, 0];
  let goal: number | undefined;
  const sockets = new Set<Socket>();
  const server: NetServer = createServer((client) => {
    if (goal === undefined) return void client.destroy();
    const behind = connect(goal, '127.0.0.1');
    for (const [one, other] of [
      [client, behind],
      [behind, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    behind.pipe(client);
    client.on('data', (data: Buffer) => {
      sentBytes += data.length;
      behind.write(data);
      // All connections share one link.
      dueMs = Math.max(dueMs, performance.now()) + (data.length / BYTES_PER_SECOND) * 1_000;
      client.pause();
      setTimeout(() => client.resume(), Math.max(0, dueMs - performance.now()));
    });
    client.on('end', () => behind.end());
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  const until = async (is: () => boolean): Promise<void> => {
    const endMs = performance.now() + CLIENT_MS_MAX;
    while (!is()) {
      assert.ok(performance.now() < endMs, 'the proxy waited too long');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get sentBytes() {
      return sentBytes;
    },
    lead: (origin) => {
      goal = origin === undefined ? undefined : Number(new URL(origin).port);
      if (goal === undefined) for (const socket of sockets) socket.destroy();
    },
    flows: (wanted) => until(() => sentBytes >= wanted),
    isQuiet: () => until(() => sockets.size === 0),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
