/** Header, index and footer of a pack: found again, and no flipped bit passes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hexOf, seededRandom } from '../../base/index.ts';
import {
  encodeFooter,
  encodeIndex,
  encodePackHeader,
  type IndexEntry,
  isPackHeader,
  PackIndex,
  readFooter,
} from './pack-format.ts';

const IDENTITY = { realm: 3, pack: 77, idBytes: 32 };

const entriesOf = (idBytes: number) =>
  fc.array(
    fc.record({
      id: fc.uint8Array({ minLength: idBytes, maxLength: idBytes }),
      offset: fc.integer({ min: 40, max: 2 ** 31 }),
      length: fc.integer({ min: 72, max: 200_000 }),
    }),
    { maxLength: 80 },
  );

for (const idBytes of [16, 32]) {
  test(`an index finds what was put into it and nothing else, with ids of ${idBytes} bytes`, () => {
    fc.assert(
      fc.property(
        entriesOf(idBytes),
        fc.uint8Array({ minLength: idBytes, maxLength: idBytes }),
        (entries, stranger) => {
          const index = PackIndex.read(encodeIndex(entries, idBytes), idBytes);
          assert.ok(index);
          assert.equal(index.count, entries.length);
          const model = new Map<string, IndexEntry>();
          for (const entry of entries.toSorted((a, b) => b.offset - a.offset)) model.set(hexOf(entry.id), entry);
          for (const entry of model.values())
            assert.deepEqual(index.find(entry.id), { offset: entry.offset, length: entry.length });
          if (!model.has(hexOf(stranger))) assert.equal(index.find(stranger), undefined);
          const inOrder = [...index.entries()].map(({ id }) => hexOf(id));
          assert.deepEqual(inOrder, inOrder.toSorted());
        },
      ),
    );
  });
}

function* flips(bytes: Uint8Array): Generator<Uint8Array> {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice();
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    yield damaged;
  }
}

test('a flipped bit anywhere in header, index or footer is noticed', () => {
  const random = seededRandom(1);
  const entries = Array.from({ length: 9 }, (_, i) => ({ id: random.bytes(32), offset: 40 + 100 * i, length: 100 }));
  const header = encodePackHeader(IDENTITY);
  assert.ok(isPackHeader(header, IDENTITY));
  for (const damaged of flips(header)) assert.equal(isPackHeader(damaged, IDENTITY), false);
  const index = encodeIndex(entries, 32);
  for (const damaged of flips(index)) assert.equal(PackIndex.read(damaged, 32), undefined);
  const place = { indexOffset: 940, indexLength: index.length, entryCount: 9 };
  const footer = encodeFooter(IDENTITY, place);
  assert.deepEqual(readFooter(footer, IDENTITY), place);
  for (const damaged of flips(footer)) assert.equal(readFooter(damaged, IDENTITY), undefined);
});

test('header and footer of another realm, pack or id length are not taken for this pack', () => {
  const header = encodePackHeader(IDENTITY);
  const footer = encodeFooter(IDENTITY, { indexOffset: 1, indexLength: 2, entryCount: 3 });
  for (const other of [
    { ...IDENTITY, realm: 4 },
    { ...IDENTITY, pack: 78 },
    { ...IDENTITY, idBytes: 16 },
  ])
    assert.equal(isPackHeader(header, other), false);
  for (const other of [
    { ...IDENTITY, realm: 4 },
    { ...IDENTITY, idBytes: 16 },
  ])
    assert.equal(readFooter(footer, other), undefined);
});
