/**
 * A file of many gigabytes through signed part URLs, sent by curl, several at once, while the server's memory is watched:
 * its most after the first gigabyte and at the end. The bytes are half text and half noise, no chunk twice; size and hash
 * of the whole are checked by completing.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { UploadPartPage, UploadRecord } from '../../src/api/index.ts';
import { hexOf, seededRandom } from '../../src/base/index.ts';
import { newContentHash } from '../../src/chunks/index.ts';
import type { Soak } from '../../tools/soak.ts';
import { mixed } from '../e2e/data.ts';
import { type Server, startServer } from '../e2e/server.ts';

const PART_BYTES = 32 * 2 ** 20;
const PARTS_A_GIB = 2 ** 30 / PART_BYTES;
const RSS_MIB_MAX = { normal: 320, small: 256 } as const;
/** What the end may have above the first gigabyte. */
const GROWTH_MIB_MAX = 32;

export const soak: Soak = {
  about:
    'GiBs through signed parts by curl, memory watched: --gib 10 --at-once 3 --memory normal|small; 1 minute for 2',
  run: async (words) => {
    const memory = words.text('memory') === 'small' ? 'small' : 'normal';
    const figures = await uploadWatched(words.number('gib', 10), words.number('at-once', 3), memory);
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    assert.ok(figures.mostMib < RSS_MIB_MAX[memory], `${figures.mostMib} MiB resident at most`);
    const growth = figures.mostMib - figures.afterFirstMib;
    assert.ok(growth < GROWTH_MIB_MAX, `${growth} MiB more after the first GiB`);
  },
};

interface Figures {
  readonly gib: number;
  /** Most resident memory of the server: idle, after 1 GiB, in all. */
  readonly idleMib: number;
  readonly afterFirstMib: number;
  readonly mostMib: number;
  readonly sendSeconds: number;
  readonly completeSeconds: number;
  readonly serverCpuSeconds: number;
}

async function uploadWatched(gib: number, atOnce: number, memory: 'normal' | 'small'): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-upload-memory-'));
  try {
    await using server = await startServer({ store: join(folder, 'store'), environment: { HOLDFAST_MEMORY: memory } });
    const size = gib * 2 ** 30;
    const idleMib = mostMibOf(server);
    const upload = await ask<UploadRecord>(server, 'POST', '/v1/uploads', {
      path: '/big',
      size,
      part_size: PART_BYTES,
    });
    const parts = new PartFiles(folder);
    const count = gib * PARTS_A_GIB;
    let [next, afterFirstMib] = [1, 0];
    const started = performance.now();
    const work = async (worker: number): Promise<void> => {
      for (let part = next++; part <= count; part = next++) {
        const file = parts.write(part, worker);
        await promisify(execFile)('curl', ['-fsS', '-T', file, await urlOf(server, upload.upload_id, part)]);
        if (part === PARTS_A_GIB) afterFirstMib = mostMibOf(server);
        if (part % (PARTS_A_GIB / 4) === 0)
          process.stdout.write(`${part / PARTS_A_GIB} GiB: ${mostMibOf(server)} MiB, ${cpuSecondsOf(server)} s\n`);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, (_, worker) => work(worker)));
    const sent = performance.now();
    const done = { size, xxhash3: parts.hash() };
    await ask(server, 'POST', `/v1/uploads/${upload.upload_id}/complete`, done);
    return {
      ...{ gib, idleMib, afterFirstMib, mostMib: mostMibOf(server) },
      sendSeconds: Math.round(sent - started) / 1_000,
      completeSeconds: Math.round(performance.now() - sent) / 1_000,
      serverCpuSeconds: cpuSecondsOf(server),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The bytes of parts, taken in order: no chunk twice, and the same work for the maker whatever the number. */
class PartFiles {
  readonly #folder: string;
  readonly #bytes = mixed(seededRandom(1), PART_BYTES);
  readonly #hash = newContentHash();
  #count = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  write(part: number, worker: number): string {
    assert.equal(part, ++this.#count);
    for (let at = 0; at < PART_BYTES; at += 8_192) this.#bytes.writeUInt32LE(part, at);
    this.#hash.update(this.#bytes);
    const file = join(this.#folder, `part-${worker}`);
    writeFileSync(file, this.#bytes);
    return file;
  }

  hash(): string {
    return hexOf(this.#hash.digest());
  }
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

function mostMibOf({ child }: Server): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kib) / 1_024);
}

/** User and system time, in hundredths of a second each. */
function cpuSecondsOf({ child }: Server): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
