/**
 * A file of many gigabytes through one door (signed part URLs by curl, several at once; tus-js-client; plain `curl -T` of
 * a stream), while the server's memory is watched: resident, and heap and external of all its threads, most after the
 * first gigabyte and at the end. The server may live in a memory cgroup that kills it above a bound, page cache counted.
 * The bytes are half text and half noise, no chunk twice; then they are read back and their hash compared.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import type { FileRecord, UploadPartPage, UploadRecord } from '../../src/api/index.ts';
import { hexOf, seededRandom } from '../../src/base/index.ts';
import { newContentHash } from '../../src/chunks/index.ts';
import type { Soak, SoakWords } from '../../tools/soak.ts';
import { mixed } from '../e2e/data.ts';
import { type Server, startServer } from '../e2e/server.ts';
import { Upload } from '../infra/tus-client.ts';

const PART_BYTES = 32 * 2 ** 20;
const PARTS_A_GIB = 2 ** 30 / PART_BYTES;
const RSS_MIB_MAX = { normal: 320, small: 256 } as const;
const HEAP_MIB_MAX = 256;
/** What the end may have above the first gigabyte. */
const GROWTH_MIB_MAX = 32;
const CGROUPS = '/sys/fs/cgroup/memory';
const SAMPLER = resolve(import.meta.dirname, '../infra/memory-sampler.ts');

const DOORS = { parts: sendParts, tus: sendTus, curl: sendStream } as const;

export const soak: Soak = {
  about:
    'GiBs through a door, memory watched: --door parts|tus|curl --gib 10 --at-once 3 --memory normal|small --cgroup-mib N; a minute for 2',
  run: async (words) => {
    const memory = words.text('memory') === 'small' ? 'small' : 'normal';
    const figures = await uploadWatched(words, memory);
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    assert.ok(figures.mostMib < RSS_MIB_MAX[memory], `${figures.mostMib} MiB resident at most`);
    assert.ok(figures.heapAndExternalMib < HEAP_MIB_MAX, `${figures.heapAndExternalMib} MiB of heap and external`);
    const growth = figures.sentMib - figures.afterFirstMib;
    assert.ok(growth < GROWTH_MIB_MAX, `${growth} MiB more after the first GiB`);
  },
};

interface Figures {
  readonly door: string;
  readonly memory: string;
  readonly gib: number;
  readonly cgroupMib: number;
  /** Most resident memory of the server: idle, after 1 GiB, when all was sent and complete, and when it was read back. */
  readonly idleMib: number;
  readonly afterFirstMib: number;
  readonly sentMib: number;
  readonly mostMib: number;
  /** Sum over the threads of the most that each had at any time. */
  readonly heapAndExternalMib: number;
  readonly sendSeconds: number;
  readonly readSeconds: number;
  readonly serverCpuSeconds: number;
}

/** What a door's sending needs. */
interface Sending {
  readonly server: Server;
  readonly folder: string;
  readonly count: number;
  readonly atOnce: number;
  readonly parts: Parts;
  /** So many parts have come. */
  readonly sent: (parts: number) => void;
}

async function uploadWatched(words: SoakWords, memory: 'normal' | 'small'): Promise<Figures> {
  const [gib, atOnce, cgroupMib] = [words.number('gib', 10), words.number('at-once', 3), words.number('cgroup-mib', 0)];
  const door = (words.text('door') ?? 'parts') as keyof typeof DOORS;
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-upload-memory-'));
  try {
    const sampled = join(folder, 'memory');
    const environment = {
      HOLDFAST_MEMORY: memory,
      NODE_OPTIONS: `--import ${SAMPLER}`,
      TEST_MEMORY_FILE: sampled,
    };
    await using server = await startServer({ store: join(folder, 'store'), environment });
    using _bounded = cgroupMib > 0 ? bounded(server, cgroupMib) : undefined;
    const idleMib = mostMibOf(server);
    let afterFirstMib = 0;
    const parts = new Parts();
    const sent = (count: number): void => {
      if (count === PARTS_A_GIB) afterFirstMib = mostMibOf(server);
      if (count % (PARTS_A_GIB / 2) === 0)
        process.stdout.write(`${count / PARTS_A_GIB} GiB: ${mostMibOf(server)} MiB, ${cpuSecondsOf(server)} s\n`);
    };
    const started = performance.now();
    await DOORS[door]({ server, folder, count: gib * PARTS_A_GIB, atOnce, parts, sent });
    const [ended, sentMib] = [performance.now(), mostMibOf(server)];
    await checkBack(server, gib * 2 ** 30, parts.hash());
    return {
      ...{ door, memory, gib, cgroupMib, idleMib, afterFirstMib, sentMib, mostMib: mostMibOf(server) },
      heapAndExternalMib: heapAndExternalMib(sampled),
      sendSeconds: Math.round(ended - started) / 1_000,
      readSeconds: Math.round(performance.now() - ended) / 1_000,
      serverCpuSeconds: cpuSecondsOf(server),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// ---- doors

async function sendParts({ server, folder, count, atOnce, parts, sent }: Sending): Promise<void> {
  const size = count * PART_BYTES;
  const upload = await ask<UploadRecord>(server, 'POST', '/v1/uploads', { path: '/big', size, part_size: PART_BYTES });
  let next = 1;
  const work = async (worker: number): Promise<void> => {
    for (let part = next++; part <= count; part = next++) {
      const file = join(folder, `part-${worker}`);
      writeFileSync(file, parts.next(part));
      await promisify(execFile)('curl', ['-fsS', '-T', file, await urlOf(server, upload.upload_id, part)]);
      sent(part);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, (_, worker) => work(worker)));
  await ask(server, 'POST', `/v1/uploads/${upload.upload_id}/complete`, { size, xxhash3: parts.hash() });
}

async function sendTus({ server, count, parts, sent }: Sending): Promise<void> {
  await new Promise<void>((done, failed) => {
    const options = {
      endpoint: `${server.origin}/v1/tus`,
      chunkSize: PART_BYTES,
      uploadSize: count * PART_BYTES,
      metadata: { path: '/big' },
      onSuccess: () => done(),
      onError: failed,
      onChunkComplete: (_: number, received: number) => sent(received / PART_BYTES),
    };
    new Upload(Readable.from(all(parts, count, () => {})), options).start();
  });
}

async function sendStream({ server, count, parts, sent }: Sending): Promise<void> {
  const url = `${server.origin}/v1/files/big?create`;
  const curl = spawn('curl', ['-fsS', '-H', 'Expect:', '-T', '-', url], { stdio: ['pipe', 'ignore', 'inherit'] });
  const code = new Promise<number | null>((done) => curl.on('exit', done));
  await pipeline(Readable.from(all(parts, count, sent)), curl.stdin);
  assert.equal(await code, 0);
}

async function* all(parts: Parts, count: number, sent: (parts: number) => void): AsyncGenerator<Buffer> {
  for (let part = 1; part <= count; part++) {
    // The reader may keep what it was given while the next is made.
    yield Buffer.from(parts.next(part));
    sent(part);
  }
}

/** The bytes of parts, taken in order: no chunk twice, and the same work for the maker whatever the number. */
class Parts {
  readonly #bytes = mixed(seededRandom(1), PART_BYTES);
  readonly #hash = newContentHash();
  #count = 0;

  /** Good until the next is taken. */
  next(part: number): Buffer {
    assert.equal(part, ++this.#count);
    for (let at = 0; at < PART_BYTES; at += 8_192) this.#bytes.writeUInt32LE(part, at);
    this.#hash.update(this.#bytes);
    return this.#bytes;
  }

  hash(): string {
    return hexOf(this.#hash.digest());
  }
}

async function checkBack(server: Server, size: number, hash: string): Promise<void> {
  const record = await ask<FileRecord>(server, 'GET', '/v1/metadata/big');
  assert.deepEqual([record.size, record.xxhash3], [size, hash]);
  const answer = await fetch(`${server.origin}/v1/files/big`);
  assert.ok(answer.ok && answer.body !== null);
  const back = newContentHash();
  let length = 0;
  for await (const bytes of answer.body as unknown as AsyncIterable<Uint8Array>) {
    back.update(bytes);
    length += bytes.length;
  }
  assert.deepEqual([length, hexOf(back.digest())], [size, hash]);
}

async function urlOf(server: Server, upload: string, part: number): Promise<string> {
  const page = await ask<UploadPartPage>(server, 'GET', `/v1/uploads/${upload}/parts?after=${part - 1}&limit=1`);
  return page.parts[0]?.url ?? '';
}

async function ask<T>(server: Server, method: string, path: string, body?: object): Promise<T> {
  const json = body === undefined ? {} : { body: JSON.stringify(body) };
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${server.origin}${path}`, { method, headers, ...json });
  const text = await answer.text();
  assert.ok(answer.ok, text);
  return JSON.parse(text) as T;
}

// ---- figures

/** Puts the server into a memory cgroup (version 1, as root) of its own until disposed; by then it must have left or ended. */
function bounded({ child }: Server, mib: number): Disposable {
  const group = join(CGROUPS, `holdfast-soak-${process.pid}`);
  mkdirSync(group);
  writeFileSync(join(group, 'memory.limit_in_bytes'), String(mib * 2 ** 20));
  writeFileSync(join(group, 'cgroup.procs'), String(child.pid));
  return {
    [Symbol.dispose]() {
      writeFileSync(join(CGROUPS, 'cgroup.procs'), String(child.pid));
      rmdirSync(group);
    },
  };
}

function mostMibOf({ child }: Server): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kib) / 1_024);
}

function heapAndExternalMib(sampled: string): number {
  const bytes = globSync(`${sampled}.*`).reduce((sum, file) => sum + Number(readFileSync(file, 'utf8')), 0);
  return Math.round(bytes / 2 ** 20);
}

/** User and system time, in hundredths of a second each. */
function cpuSecondsOf({ child }: Server): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
