/** Names: golden values that must never change, and what keys and secrets are for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fault, hexOf, utf8 } from '../../base/index.ts';
import { ID_ALGORITHMS } from '../chunk-store.ts';
import { newContentHash, xxh3Of } from './content-hash.ts';
import { gearTableOf, ID_BYTES, idOfKey, keyOfId, newIdHasher } from './ids.ts';

const SECRET = Uint8Array.from({ length: 32 }, (_, i) => i);

test('ids of one secret never change', () => {
  const golden = Object.fromEntries(
    ID_ALGORITHMS.map((algorithm) => [algorithm, hexOf(newIdHasher(algorithm, SECRET)(utf8('holdfast')))]),
  );
  assert.deepEqual(golden, {
    blake3: '9416a248229f5ce47579c9891d03965c00d11b95ecee486a162430878c5d36c9',
    'xxh3-128': '8c9326f9ef1d996e015468307cba2ebf',
  });
  assert.equal(hexOf(gearTableOf(SECRET).subarray(0, 16)), '0b5e9b5e47d16b47e19a537f20997244');
});

test('the content hash is the XXH3-64 that everybody computes', () => {
  assert.equal(hexOf(xxh3Of(new Uint8Array(0))), '2d06800538d394c2');
  assert.equal(hexOf(xxh3Of(utf8('abc'))), '78af5f94892f3950');
});

test('a content hash does not depend on how the bytes came', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 6 }), (parts) => {
      const hash = newContentHash();
      for (const part of parts) hash.update(part);
      assert.deepEqual(Buffer.from(hash.digest()), Buffer.from(xxh3Of(Buffer.concat(parts))));
    }),
  );
});

for (const algorithm of ID_ALGORITHMS) {
  test(`${algorithm} ids have their length, differ between stores and not between calls`, () => {
    const idOf = newIdHasher(algorithm, SECRET);
    const other = newIdHasher(algorithm, new Uint8Array(32));
    for (const length of [0, 1, 16, 200, 241, 5_000]) {
      const plain = new Uint8Array(length).fill(3);
      const id = idOf(plain);
      assert.equal(id.length, ID_BYTES[algorithm]);
      idOf(utf8('something else'));
      assert.deepEqual(idOf(plain), id);
      assert.notDeepEqual(other(plain), id);
      assert.deepEqual(idOfKey(keyOfId(id)), id);
    }
  });

  test(`${algorithm} ids need a secret of 32 bytes`, () => {
    assert.throws(
      () => newIdHasher(algorithm, new Uint8Array(31)),
      (error) => Fault.is(error, 'invalid'),
    );
  });
}
