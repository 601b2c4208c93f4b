/** The write buffer against a plain array of bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../../base/index.ts';
import { WriteBuffer } from './write-buffer.ts';

const SIZE = 64;
const NONE = -1;

test('a write buffer reads back the latest bytes of each place, through freezing, holding and cutting', () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const random = seededRandom(seed);
      const buffer = new WriteBuffer();
      // What is readable here; what was stored goes, unless something newer lies over it.
      const model = { fresh: blank(), frozen: blank(), held: blank() };
      for (let step = 0; step < 40; step++) {
        const roll = random.below(8);
        const offset = random.below(SIZE);
        const length = 1 + random.below(SIZE - offset);
        if (roll < 4) {
          const bytes = random.bytes(length);
          buffer.write(offset, bytes);
          model.fresh.splice(offset, length, ...bytes);
        } else if (roll === 4 && !buffer.hasFrozen) {
          buffer.freeze();
          model.frozen = model.fresh;
          model.fresh = blank();
        } else if (roll === 5) {
          const under = model.frozen.map((byte, i) => (byte === NONE ? (model.held[i] ?? NONE) : byte));
          const end = under.findLastIndex((byte) => byte !== NONE) + 1;
          const start = under.findLastIndex((byte, i) => byte === NONE && i < end) + 1;
          // What is held may begin before anything that is here.
          const early = Math.max(0, start - random.below(4));
          buffer.stored(end > start ? { offset: early, end } : undefined);
          model.held = blank().map((_, i) => (i >= early && i < end ? (under[i] ?? NONE) : NONE));
          model.frozen = blank();
        } else if (roll === 6 && [...model.frozen, ...model.held].every((byte) => byte === NONE)) {
          buffer.truncate(offset);
          model.fresh.fill(NONE, offset);
        } else if (roll === 7 && [...model.frozen, ...model.held].every((byte) => byte === NONE)) {
          buffer.forget(offset, length);
          model.fresh.fill(NONE, offset, offset + length);
        }
        const found = blank();
        const from = random.below(SIZE);
        let last = from;
        for (const piece of buffer.read(from, SIZE)) {
          assert.ok(piece.offset >= last, 'in order, without overlap');
          last = piece.offset + piece.bytes.length;
          found.splice(piece.offset, piece.bytes.length, ...piece.bytes);
        }
        const wanted = model.fresh.map((byte, i) =>
          i < from ? NONE : byte !== NONE ? byte : model.frozen[i] !== NONE ? model.frozen[i] : model.held[i],
        );
        assert.deepEqual(found, wanted);
      }
    }),
    { numRuns: 300 },
  );
});

function blank(): number[] {
  return new Array<number>(SIZE).fill(NONE);
}

test('small writes one behind the other share a run and little memory', () => {
  const buffer = new WriteBuffer();
  for (let n = 0; n < 1_000; n++) buffer.write(n * 10, new Uint8Array(10).fill(n));
  assert.equal(buffer.runCount, 1);
  assert.ok(buffer.heldBytes < 20_000);
});
