/** Frames of kept contexts: the same as node:zlib's own, whatever came before, damage included. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants as zlib, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { seededRandom } from '../../base/index.ts';
import { compressFrame, decompressFrame, hasKeptContexts } from './zstd.ts';

const plains = fc
  .record({
    seed: fc.integer({ min: 1, max: 1_000_000 }),
    length: fc.integer({ min: 0, max: 150_000 }),
    values: fc.integer({ min: 1, max: 256 }),
  })
  .map(({ seed, length, values }) =>
    seededRandom(seed)
      .bytes(length)
      .map((byte) => byte % values),
  );

test('contexts are kept on the Node that the project brings', () => {
  assert.ok(hasKeptContexts());
});

test('a kept context makes the frames of the documented functions, level by level, and reads them', () => {
  fc.assert(
    fc.property(plains, fc.constantFrom(-7, -2, 1, 2, 3, 6, 9), (plain, level) => {
      const expected = zstdCompressSync(plain, { params: { [zlib.ZSTD_c_compressionLevel]: level } });
      const frame = Buffer.from(compressFrame(plain, level));
      assert.ok(expected.equals(frame));
      assert.ok(zstdDecompressSync(frame).equals(plain));
      assert.ok(Buffer.from(decompressFrame(frame, plain.length)).equals(plain));
    }),
    { numRuns: 60 },
  );
});

test('memory shared between threads is read like any other', () => {
  const plain = new Uint8Array(new SharedArrayBuffer(50_000)).map((_, i) => i % 50);
  assert.ok(zstdDecompressSync(compressFrame(plain, 1)).equals(plain));
});

test('a damaged, short or longer frame throws and does not touch the next one', () => {
  const plain = Buffer.from(Array.from({ length: 9_000 }, (_, i) => `${i} `).join(''));
  const frame = Buffer.from(compressFrame(plain, 1));
  const random = seededRandom(2);
  for (let round = 0; round < 200; round++) {
    const damaged = Buffer.from(frame);
    const at = random.below(frame.length);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8));
    const bad = [damaged, frame.subarray(0, random.below(frame.length))][round % 2] ?? damaged;
    try {
      const got = decompressFrame(bad, plain.length);
      // zstd frames of node carry no checksum: what decodes is as long as asked, no more is promised here.
      assert.ok(got.length <= plain.length);
    } catch (error) {
      assert.ok(error instanceof Error);
    }
    assert.ok(Buffer.from(decompressFrame(frame, plain.length)).equals(plain), `round ${round}`);
  }
  assert.throws(() => decompressFrame(frame, plain.length - 1));
  assert.ok(Buffer.from(decompressFrame(frame, plain.length)).equals(plain));
});
