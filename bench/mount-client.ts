/**
 * A program that uses a mount, as a process of its own, so that it can be pinned and waits like any other program: each
 * call blocks. Checks what it reads, and prints its figures as one line of JSON. Everything random comes from the seed.
 *
 *   append FILE COUNT SEED            COUNT times: append 4 KiB, fsync
 *   overwrite FILE COUNT SEED         COUNT times: overwrite 4 KiB somewhere in the file, fsync
 *   read FILE ORIGINAL SECONDS SEED   reads 4 KiB here and there, no page twice
 *   write FOLDER FLAG SECONDS SEED    writes files of 8 MiB without pause, one fsync each; makes FLAG when it begins
 */
import { closeSync, fstatSync, fsyncSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Random, seededRandom } from '../src/base/index.ts';
import { incompressible, mixedStream } from './corpora.ts';
import { quantileOf } from './harness.ts';

const PAGE_BYTES = 4096;
const MIB = 2 ** 20;
const LOAD_FILE_BYTES = 8 * MIB;
const LOAD_WRITE_BYTES = 256 * 1024;
/** Files of the load that stay; older ones are written anew. */
const LOAD_FILES = 8;

const [mode = '', ...words] = process.argv.slice(2);
const modes: Readonly<Record<string, (words: readonly string[]) => object>> = { append, overwrite, read, write };
process.stdout.write(`${JSON.stringify(modes[mode]?.(words) ?? {})}\n`);

function append([path = '', count = '', seed = '']: readonly string[]): object {
  const bytes = Buffer.concat([...incompressible(Number(count) * PAGE_BYTES, Number(seed))]);
  const file = openSync(path, 'a');
  const started = performance.now();
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
    writeSync(file, bytes, at, PAGE_BYTES);
    fsyncSync(file);
  }
  const seconds = (performance.now() - started) / 1000;
  closeSync(file);
  requireSame(readFileSync(path), bytes, path);
  return { perSecond: Number(count) / seconds };
}

function overwrite([path = '', count = '', seed = '']: readonly string[]): object {
  const random = seededRandom(Number(seed));
  const image = readFileSync(path);
  const fresh = Buffer.concat([...incompressible(Number(count) * PAGE_BYTES, Number(seed))]);
  const file = openSync(path, 'r+');
  const started = performance.now();
  for (let at = 0; at < fresh.length; at += PAGE_BYTES) {
    const page = fresh.subarray(at, at + PAGE_BYTES);
    const offset = random.below(image.length / PAGE_BYTES) * PAGE_BYTES;
    writeSync(file, page, 0, PAGE_BYTES, offset);
    fsyncSync(file);
    image.set(page, offset);
  }
  const seconds = (performance.now() - started) / 1000;
  closeSync(file);
  requireSame(readFileSync(path), image, path);
  return { perSecond: Number(count) / seconds };
}

function read([path = '', originalPath = '', seconds = '', seed = '']: readonly string[]): object {
  const file = openSync(path, 'r');
  const original = openSync(originalPath, 'r');
  const pages = shuffled(Math.floor(fstatSync(original).size / PAGE_BYTES), seededRandom(Number(seed)));
  const [into, wanted] = [Buffer.alloc(PAGE_BYTES), Buffer.alloc(PAGE_BYTES)];
  const samples: number[] = [];
  const until = performance.now() + Number(seconds) * 1000;
  for (const page of pages) {
    const started = performance.now();
    if (started > until) break;
    readSync(file, into, 0, PAGE_BYTES, page * PAGE_BYTES);
    samples.push(performance.now() - started);
    readSync(original, wanted, 0, PAGE_BYTES, page * PAGE_BYTES);
    requireSame(into, wanted, `${path} at ${page * PAGE_BYTES}`);
  }
  closeSync(file);
  const [p50, p99] = [quantileOf(samples, 0.5), quantileOf(samples, 0.99)];
  return { count: samples.length, p50, p99, max: samples.reduce((most, one) => Math.max(most, one), 0) };
}

function write([folder = '', flag = '', seconds = '', seed = '']: readonly string[]): object {
  const content = Buffer.concat([...mixedStream(LOAD_FILE_BYTES, Number(seed))]);
  closeSync(openSync(flag, 'w'));
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  let bytes = 0;
  for (let number = 0; elapsed() < Number(seconds); number++) {
    const path = join(folder, `load-${number % LOAD_FILES}`);
    rmSync(path, { force: true });
    // No page is like one before, so nothing of it can be had for free.
    for (let at = 0; at < content.length; at += PAGE_BYTES) content.writeDoubleLE(number + at / content.length, at);
    const file = openSync(path, 'w');
    for (let at = 0; at < content.length; at += LOAD_WRITE_BYTES)
      bytes += writeSync(file, content, at, LOAD_WRITE_BYTES);
    fsyncSync(file);
    closeSync(file);
  }
  const mibs = bytes / MIB / elapsed();
  for (let number = 0; number < LOAD_FILES; number++) rmSync(join(folder, `load-${number}`), { force: true });
  return { mibs };
}

function shuffled(count: number, random: Random): Uint32Array {
  const numbers = Uint32Array.from({ length: count }, (_, at) => at);
  for (let at = count - 1; at > 0; at--) {
    const other = random.below(at + 1);
    [numbers[at], numbers[other]] = [numbers[other] ?? 0, numbers[at] ?? 0];
  }
  return numbers;
}

function requireSame(got: Buffer, wanted: Buffer, what: string): void {
  if (!got.equals(wanted)) throw new Error(`${what} has other bytes than were written.`);
}
