/** Cuts: the module against its reference, its source, and what chunking is for (little is new after a small edit). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildChunker } from '../../../tools/build-wasm.ts';
import { concatBytes, Fault, seededRandom } from '../../base/index.ts';
import { CHUNKERS, type ChunkerName, type ChunkFormat, DEFAULT_CHUNK_FORMAT } from '../chunk-store.ts';
import { gearTableOf, newIdHasher } from '../hashes/ids.ts';
import { type Chunker, type ChunkerOptions, newChunker } from './chunker.ts';
import { referenceCuts } from './chunker-reference.ts';

const SECRET = new Uint8Array(32).fill(7);
const SMALL = { ...DEFAULT_CHUNK_FORMAT, chunkBytesMin: 1024, chunkBytesMean: 4096, chunkBytesMax: 8192 };
const gears = new BigUint64Array(Uint8Array.from(gearTableOf(SECRET)).buffer);

/** Cuts a whole stream through the window, as a writer does. */
function cutsOf(chunker: Chunker, bytes: Uint8Array, format: ChunkFormat): number[] {
  const lengths: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const part = bytes.subarray(at, at + chunker.window.length);
    const isLast = at + part.length === bytes.length;
    chunker.window.set(part);
    let used = 0;
    while (used < part.length && (isLast || part.length - used >= format.chunkBytesMax)) {
      const length = chunker.cut(used, part.length - used);
      lengths.push(length);
      used += length;
    }
    at += used;
  }
  return lengths;
}

/** Stretches of noise, text, runs of one byte, short periods and bytes near the pattern, one behind the other. */
const streams = fc
  .array(
    fc.record({
      kind: fc.constantFrom('noise', 'text', 'run', 'period', 'near'),
      length: fc.integer({ min: 1, max: 12_000 }),
      seed: fc.integer({ min: 1, max: 1_000_000 }),
    }),
    { maxLength: 8 },
  )
  .map((parts) => concatBytes(parts.map(stretch)));

function stretch({ kind, length, seed }: { readonly kind: string; readonly length: number; readonly seed: number }) {
  const random = seededRandom(seed);
  if (kind === 'noise') return random.bytes(length);
  if (kind === 'run') return new Uint8Array(length).fill(seed & 255);
  if (kind === 'near') return random.bytes(length).map((byte) => (byte < 16 ? byte : 0xaa));
  if (kind === 'text') return Uint8Array.from({ length }, () => 32 + random.below(90));
  const period = random.bytes(1 + (seed % 24));
  return Uint8Array.from({ length }, (_, i) => period[i % period.length] ?? 0);
}

for (const chunker of CHUNKERS) {
  test(`${chunker} cuts like the reference on any bytes`, () => {
    const format = { ...SMALL, chunker };
    const module = newChunker(format, SECRET);
    fc.assert(
      fc.property(streams, (bytes) => {
        assert.deepEqual(cutsOf(module, bytes, format), referenceCuts(bytes, format, gears));
      }),
      { numRuns: 150 },
    );
  });

  test(`${chunker} cuts like the reference at the sizes of a real store`, () => {
    const format = { ...DEFAULT_CHUNK_FORMAT, chunker };
    const module = newChunker(format, SECRET);
    const bytes = concatBytes([seededRandom(1).bytes(700_000), logText(700_000, 2), new Uint8Array(100_000)]);
    const cuts = cutsOf(module, bytes, format);
    assert.deepEqual(cuts, referenceCuts(bytes, format, gears));
    for (const length of cuts.slice(0, -1))
      assert.ok(length >= format.chunkBytesMin && length <= format.chunkBytesMax, String(length));
  });
}

test('ultracdc as published cuts like the reference without its fallback', () => {
  const module = newChunker(SMALL, SECRET, { withoutFallback: true });
  const bytes = concatBytes([logText(60_000, 3), seededRandom(4).bytes(60_000)]);
  assert.deepEqual(cutsOf(module, bytes, SMALL), referenceCuts(bytes, SMALL, gears, true));
});

test('fastcdc cuts elsewhere in a store with another secret', () => {
  const format = { ...SMALL, chunker: 'fastcdc' } as const;
  const bytes = seededRandom(5).bytes(200_000);
  const other = newChunker(format, new Uint8Array(32).fill(8));
  assert.notDeepEqual(cutsOf(newChunker(format, SECRET), bytes, format), cutsOf(other, bytes, format));
});

test('the committed module is what its source compiles to', async () => {
  const committed = readFileSync(new URL('./chunker.wasm', import.meta.url));
  assert.ok(Buffer.from(await buildChunker()).equals(committed), 'run tools/build-wasm.ts and commit chunker.wasm');
});

/** Lines as servers write them. */
function logText(bytes: number, seed: number): Uint8Array {
  const random = seededRandom(seed);
  const lines: string[] = [];
  for (let length = 0, second = 0; length < bytes; second += random.below(3)) {
    const time = new Date(1.7e12 + second * 1000).toISOString();
    const line = `${time} INFO http.server request id=${random.below(1e9)} path=/v1/files/${random.below(5000)} status=200 ms=${random.below(300)}\n`;
    lines.push(line);
    length += line.length;
  }
  return Buffer.from(lines.join('')).subarray(0, bytes);
}

/** Bytes of chunks of `after` that `before` does not have, as a share of all. */
function newShare(before: Uint8Array, after: Uint8Array, name: ChunkerName, options: ChunkerOptions = {}): number {
  const format = { ...DEFAULT_CHUNK_FORMAT, chunker: name };
  const chunker = newChunker(format, SECRET, options);
  const idOf = newIdHasher('xxh3-128', SECRET);
  const named = (bytes: Uint8Array): { readonly id: string; readonly length: number }[] => {
    let at = 0;
    return cutsOf(chunker, bytes, format).map((length) => {
      const id = Buffer.from(idOf(bytes.subarray(at, at + length))).toString('hex');
      at += length;
      return { id, length };
    });
  };
  const known = new Set(named(before).map(({ id }) => id));
  const added = named(after).filter(({ id }) => !known.has(id));
  return added.reduce((sum, { length }) => sum + length, 0) / after.length;
}

const inFront = (bytes: Uint8Array): Uint8Array => concatBytes([new Uint8Array([120]), bytes]);

test('one byte in front of a log makes under 1 % new with the fallback, and nearly everything without it', () => {
  const log = logText(20_000_000, 6);
  assert.ok(newShare(log, inFront(log), 'ultracdc') < 0.01);
  assert.ok(newShare(log, inFront(log), 'fastcdc') < 0.01);
  assert.ok(newShare(log, inFront(log), 'ultracdc', { withoutFallback: true }) > 0.9);
});

for (const chunker of CHUNKERS) {
  test(`${chunker} finds its old cuts again behind an edit, in noise and in text`, () => {
    for (const bytes of [seededRandom(7).bytes(6_000_000), logText(6_000_000, 8)]) {
      const edited = bytes.slice();
      edited.fill(1, 3_000_000, 3_000_040);
      assert.ok(newShare(bytes, edited, chunker) < 0.06);
      assert.ok(newShare(bytes, inFront(bytes), chunker) < 0.06);
      assert.ok(
        newShare(bytes, concatBytes([edited.subarray(0, 2_999_990), edited.subarray(3_000_017)]), chunker) < 0.06,
      );
    }
  });

  test(`${chunker} makes chunks of about the mean of noise and of text`, () => {
    const format = { ...DEFAULT_CHUNK_FORMAT, chunker };
    for (const bytes of [seededRandom(9).bytes(8_000_000), logText(8_000_000, 10)]) {
      const mean = bytes.length / cutsOf(newChunker(format, SECRET), bytes, format).length;
      assert.ok(mean > 40_000 && mean < 90_000, String(mean));
    }
  });
}

test('a chunker refuses sizes that do not fit each other', () => {
  const refused: Partial<ChunkFormat>[] = [
    { chunkBytesMean: 60_000 },
    { chunkBytesMin: 64 * 1024 },
    { chunkBytesMax: 80 * 1024 },
    { chunkBytesMin: 100 },
    { chunkBytesMax: 64 * 1024 * 1024 },
  ];
  for (const sizes of refused) {
    const isInvalid = (error: unknown): boolean => Fault.is(error, 'invalid');
    assert.throws(() => newChunker({ ...DEFAULT_CHUNK_FORMAT, ...sizes }, SECRET), isInvalid);
  }
});

test('the quick looks tell zeros and noise from everything else', () => {
  const chunker = newChunker(DEFAULT_CHUNK_FORMAT, SECRET);
  chunker.window.fill(0);
  assert.ok(chunker.isZero(3, 70_001));
  for (const at of [3, 64, 40_000, 70_003]) {
    chunker.window[at] = 1;
    assert.equal(chunker.isZero(3, 70_001), false);
    chunker.window[at] = 0;
  }
  assert.equal(chunker.looksRandom(0, 65_536), false);
  chunker.window.set(seededRandom(11).bytes(65_536));
  assert.ok(chunker.looksRandom(0, 65_536));
  chunker.window.set(logText(65_536, 12));
  assert.equal(chunker.looksRandom(0, 65_536), false);
});
