/** The record codec: what goes in comes out, and no flipped bit passes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concatBytes, seededRandom, utf8 } from '../../base/index.ts';
import { newIdHasher } from '../hashes/ids.ts';
import {
  BASE_DEPTH_MAX,
  CODEC,
  decodeRecord,
  encodePatch,
  encodeRecord,
  isFlaw,
  isRecordWhole,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  readHeader,
} from './record.ts';

const REALM = 5;
const idOf = newIdHasher('blake3', new Uint8Array(32));
const newRecord = (plain: Uint8Array) => ({ realm: REALM, id: idOf(plain), plainLength: plain.length });

function headerOf(record: Uint8Array, at = 0): RecordHeader {
  const header = readHeader(record, at);
  if (isFlaw(header)) throw new Error(header.flaw);
  return header;
}

/** Bytes that compress in part. */
const plains = fc
  .tuple(fc.uint8Array({ maxLength: 3_000 }), fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 0, max: 60 }))
  .map(([noise, period, times]) => concatBytes([noise, ...Array.from({ length: times }, () => period)]));
const levels = fc.constantFrom('none' as const, -3, 1, 3, 9);

test('a record gives back what it was made from, and says so in its header', () => {
  fc.assert(
    fc.property(plains, levels, fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (plain, level, realm) => {
      const record = encodeRecord({ ...newRecord(plain), realm }, plain, level);
      const header = headerOf(record);
      assert.equal(header.realm, realm);
      assert.deepEqual(Buffer.from(header.id), Buffer.from(idOf(plain)));
      assert.equal(header.plainLength, plain.length);
      assert.equal(header.recordLength, record.length);
      assert.ok(record.length <= plain.length + RECORD_HEADER_BYTES);
      assert.ok(isRecordWhole(record, 0, header));
      assert.deepEqual(Buffer.from(decodeRecord(record, 0, header)), Buffer.from(plain));
    }),
  );
});

test('a record with an id of 16 bytes keeps it', () => {
  const plain = utf8('some bytes');
  const id = newIdHasher('xxh3-128', new Uint8Array(32))(plain);
  const header = headerOf(encodeRecord({ realm: 1, id, plainLength: plain.length }, plain, 1));
  assert.deepEqual(Buffer.from(header.id), Buffer.from(id));
});

test('records one behind the other are walked by their headers alone', () => {
  fc.assert(
    fc.property(fc.array(plains, { maxLength: 6 }), (all) => {
      const bytes = concatBytes(all.map((plain) => encodeRecord(newRecord(plain), plain, 1)));
      const found: Buffer[] = [];
      for (let at = 0; at < bytes.length; ) {
        const header = headerOf(bytes, at);
        found.push(Buffer.from(decodeRecord(bytes, at, header)));
        at += header.recordLength;
      }
      assert.deepEqual(
        found,
        all.map((plain) => Buffer.from(plain)),
      );
    }),
    { numRuns: 50 },
  );
});

test('bytes that do not compress are stored as they are', () => {
  const plain = seededRandom(1).bytes(10_000);
  const header = headerOf(encodeRecord(newRecord(plain), plain, 3));
  assert.equal(header.codec, CODEC.raw);
  assert.equal(header.storedLength, plain.length);
});

/** True when the damage is noticed before anything is handed out, or nothing that is handed out is wrong. */
function isNoticed(record: Uint8Array, plain: Uint8Array, base?: Uint8Array): boolean {
  const header = readHeader(record);
  if (isFlaw(header) || !isRecordWhole(record, 0, header)) return true;
  // A checksum that passed wrongly would end here.
  assert.deepEqual(decodeRecord(record, 0, header, base), plain);
  return false;
}

function assertEveryBitNoticed(record: Uint8Array, plain: Uint8Array, base?: Uint8Array): void {
  for (let bit = 0; bit < record.length * 8; bit++) {
    const damaged = record.slice();
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.ok(isNoticed(damaged, plain, base), `bit ${bit}`);
  }
}

test('a flipped bit anywhere in a record is noticed', () => {
  const plain = utf8('the quick brown fox jumps over the lazy dog, again and again and again. '.repeat(6));
  assertEveryBitNoticed(encodeRecord(newRecord(plain), plain, 1), plain);
  assertEveryBitNoticed(encodeRecord(newRecord(plain), plain, 'none'), plain);
  const base = utf8('the quick brown fox jumps over the lazy dog, over and over and over. '.repeat(6));
  const patch = encodePatch(newRecord(plain), plain, { id: idOf(base), plain: base, depth: 0 }, 1);
  assert.ok(patch);
  assertEveryBitNoticed(patch, plain, base);
});

test('a record cut short anywhere is noticed', () => {
  const plain = utf8('abc '.repeat(100));
  const record = encodeRecord(newRecord(plain), plain, 1);
  for (let length = 0; length < record.length; length++) assert.ok(isNoticed(record.slice(0, length), plain));
});

test('a patch is small and needs its base', () => {
  const base = seededRandom(2).bytes(60_000);
  const plain = base.slice();
  plain.set(utf8('an edit'), 30_000);
  const patch = encodePatch(newRecord(plain), plain, { id: idOf(base), plain: base, depth: 3 }, 1);
  assert.ok(patch && patch.length < 400);
  const header = headerOf(patch);
  assert.equal(header.codec, CODEC.patch);
  assert.equal(header.depth, 4);
  assert.deepEqual(Buffer.from(header.base ?? []), Buffer.from(idOf(base)));
  assert.deepEqual(Buffer.from(decodeRecord(patch, 0, header, base)), Buffer.from(plain));
  // With another base something else comes out, which is why whoever decodes checks the id.
  const wrong = decodeRecord(patch, 0, header, seededRandom(3).bytes(60_000));
  assert.ok(!Buffer.from(wrong).equals(plain));
});

test('a chain of patches is never deeper than its bound, and useless patches are none', () => {
  const base = seededRandom(4).bytes(1_000);
  const plain = concatBytes([base, utf8('more')]);
  const deepest = { id: idOf(base), plain: base, depth: BASE_DEPTH_MAX };
  assert.equal(encodePatch(newRecord(plain), plain, deepest, 1), undefined);
  const other = seededRandom(5).bytes(1_000);
  assert.equal(encodePatch(newRecord(other), other, { ...deepest, depth: 0 }, 1), undefined);
});

test('a header of a later version is a flaw, not a guess', () => {
  const plain = utf8('x'.repeat(100));
  const record = encodeRecord(newRecord(plain), plain, 'none');
  record[16] = 2;
  assert.ok(isFlaw(readHeader(record)));
});
