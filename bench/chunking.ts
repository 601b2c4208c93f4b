/**
 * Where files are cut: how much is new after one byte is inserted in front of a log, and how fast each chunker goes.
 * Reads the insides of the chunks room on purpose: the published UltraCDC is no option of the product, and this is the
 * comparison that shows why. Chunks are told apart by SHA-256 here, whatever a store would name them by.
 */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from '../src/base/index.ts';
import { type Chunker, newChunker } from '../src/chunks/cutting/chunker.ts';
import { type ChunkerName, DEFAULT_CHUNK_FORMAT } from '../src/chunks/index.ts';
import { incompressible, logFile, mixedTar } from './corpora.ts';
import { type Comparison, inRounds, type Report } from './harness.ts';
import { makePlace } from './places.ts';

const MIB = 2 ** 20;
const EDITS = 100;
const EDIT_BYTES_MAX = 64;

interface Contestant {
  readonly name: string;
  readonly chunker: ChunkerName;
  readonly withoutFallback: boolean;
}
const CONTESTANTS: readonly Contestant[] = [
  { name: 'ultracdc', chunker: 'ultracdc', withoutFallback: false },
  { name: 'ultracdc as published', chunker: 'ultracdc', withoutFallback: true },
  { name: 'fastcdc', chunker: 'fastcdc', withoutFallback: false },
];

export const chunking: Comparison = {
  summary: 'what one inserted byte costs, for a log and for a mixed tar, and the speed of each chunker',
  async run(report, { rounds, isSmall }) {
    const bytes = isSmall ? 10_000_000 : 100_000_000;
    using place = makePlace('corpora', 4 * bytes + 256 * MIB);
    logFile(join(place.folder, 'log'), bytes);
    report.note(`log: generated, ${bytes / 1e6} MB`);
    report.note(`mixed: ${mixedTar(join(place.folder, 'mixed.tar'), bytes)}`);
    await corpus(report, 'log', readFileSync(join(place.folder, 'log')), rounds);
    await corpus(report, 'mixed', readFileSync(join(place.folder, 'mixed.tar')), rounds);
    judge(report);
  },
};

async function corpus(report: Report, title: string, plain: Buffer, rounds: number): Promise<void> {
  const inserted = Buffer.concat([Buffer.from('x'), plain]);
  const edited = withEdits(plain);
  const add = (name: string, metric: string, value: number): void => report.add(name, `${title} ${metric}`, value);
  await inRounds(report, rounds, CONTESTANTS, async ({ name, chunker, withoutFallback }) => {
    const cutter = newChunker({ ...DEFAULT_CHUNK_FORMAT, chunker }, Buffer.alloc(32, 1), { withoutFallback });
    const started = performance.now();
    const cuts = cutAll(cutter, plain);
    add(name, 'MBs', plain.length / 1e3 / (performance.now() - started));
    const known = new Set(piecesOf(plain, cuts).map(nameOf));
    add(name, 'meanKiB', plain.length / cuts.length / 1024);
    add(
      name,
      'atMaxPercent',
      (100 * lengthsOf(cuts).filter((length) => length >= DEFAULT_CHUNK_FORMAT.chunkBytesMax).length) / cuts.length,
    );
    add(name, 'insertPercent', newPercent(cutter, known, inserted));
    add(name, 'editsPercent', newPercent(cutter, known, edited));
  });
  report.table(
    title,
    CONTESTANTS.map(({ name }) => name),
    [
      { metric: `${title} MBs`, title: 'MB/s', against: 'fastcdc' },
      { metric: `${title} meanKiB`, title: 'mean KiB', digits: 1 },
      { metric: `${title} atMaxPercent`, title: 'cut at the limit %', digits: 1 },
      { metric: `${title} insertPercent`, title: 'new after 1 byte in front %', digits: 2 },
      { metric: `${title} editsPercent`, title: `new after ${EDITS} edits %`, digits: 2 },
    ],
  );
}

function judge(report: Report): void {
  for (const contestant of ['ultracdc', 'fastcdc']) {
    report.judge({
      says: `one byte in front of a log makes < 1 % new with ${contestant}`,
      contestant,
      metric: 'log insertPercent',
      atMost: 1,
      unit: '%',
    });
  }
  report.judge({
    says: 'and nearly all of it with ultracdc as published',
    contestant: 'ultracdc as published',
    metric: 'log insertPercent',
    atLeast: 90,
    unit: '%',
  });
}

/** Ends of all chunks. The bytes pass through the chunker's window, as they do in a store. */
function cutAll(chunker: Chunker, bytes: Uint8Array): number[] {
  const { window } = chunker;
  const ends: number[] = [];
  const needed = DEFAULT_CHUNK_FORMAT.chunkBytesMax;
  for (let base = 0; base < bytes.length; ) {
    const filled = bytes.subarray(base, base + window.length);
    window.set(filled);
    const isLast = base + filled.length === bytes.length;
    let at = 0;
    while (at < filled.length && (isLast || filled.length - at >= needed)) {
      at += chunker.cut(at, filled.length - at);
      ends.push(base + at);
    }
    base += at;
  }
  return ends;
}

function lengthsOf(ends: readonly number[]): number[] {
  return ends.map((end, at) => end - (ends[at - 1] ?? 0));
}

function piecesOf(bytes: Buffer, ends: readonly number[]): Buffer[] {
  return ends.map((end, at) => bytes.subarray(ends[at - 1] ?? 0, end));
}

function nameOf(piece: Buffer): string {
  return hash('sha256', piece, 'base64');
}

function newPercent(chunker: Chunker, known: ReadonlySet<string>, bytes: Buffer): number {
  const fresh = piecesOf(bytes, cutAll(chunker, bytes)).filter((piece) => !known.has(nameOf(piece)));
  return (100 * fresh.reduce((sum, piece) => sum + piece.length, 0)) / bytes.length;
}

/** Overwrites, insertions and deletions of 1–64 bytes at places spread over the whole. */
function withEdits(plain: Buffer): Buffer {
  const random = seededRandom(5);
  const noise = Buffer.concat([...incompressible(EDITS * EDIT_BYTES_MAX, 6)]);
  const parts: Buffer[] = [];
  let at = 0;
  for (let edit = 0; edit < EDITS; edit++) {
    const place = Math.floor((plain.length / EDITS) * (edit + random.fraction() * 0.9));
    const length = 1 + random.below(EDIT_BYTES_MAX);
    const [inserts, removes] = [random.below(3) !== 0, random.below(3) !== 0];
    parts.push(plain.subarray(at, place));
    if (inserts || !removes) parts.push(noise.subarray(edit * EDIT_BYTES_MAX, edit * EDIT_BYTES_MAX + length));
    at = place + (removes ? length : 0);
  }
  parts.push(plain.subarray(at));
  return Buffer.concat(parts);
}
