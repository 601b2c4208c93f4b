/** The format record and the secret: their exact bytes, and that no flipped bit goes unseen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, utf8 } from '../base/index.ts';
import { DEFAULT_CHUNK_FORMAT } from '../chunks/index.ts';
import { type FormatRecord, formatOfBytes, secretOfBytes, textOfFormat, textOfSecret } from './format-record.ts';

const FORMAT: FormatRecord = {
  version: 1,
  storeId: '00112233445566778899aabbccddeeff',
  features: { compatible: 0, readCompatible: 0, incompatible: 0 },
  chunks: DEFAULT_CHUNK_FORMAT,
  created: '2026-01-01T00:00:00.000Z',
};
const SECRET = Uint8Array.from({ length: 32 }, (_, index) => index);

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    assert.ok(Fault.is(error), String(error));
    return error.code;
  }
  return 'none';
}

test('a format record has exactly the bytes of its description', () => {
  assert.equal(
    textOfFormat(FORMAT),
    `{
  "record": "holdfast-store",
  "version": 1,
  "store_id": "00112233445566778899aabbccddeeff",
  "features": {
    "compatible": 0,
    "read_compatible": 0,
    "incompatible": 0
  },
  "chunks": {
    "ids": "blake3",
    "chunker": "ultracdc",
    "bytes_min": 16384,
    "bytes_mean": 65536,
    "bytes_max": 131072
  },
  "created": "2026-01-01T00:00:00.000Z",
  "sha256": "539e83d728676d01f373041f897929592fc6dec6918011ad148477289dcc58b0"
}
`,
  );
  assert.deepEqual(formatOfBytes(utf8(textOfFormat(FORMAT)), 'f'), FORMAT);
});

test('a secret has exactly the bytes of its description', () => {
  const text = textOfSecret(SECRET, FORMAT.storeId);
  assert.equal(
    text,
    'holdfast-secret-1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 7d353e528a21baaa\n',
  );
  assert.deepEqual(secretOfBytes(utf8(text), FORMAT.storeId, 's'), SECRET);
});

test('every flipped bit of a format record is found', () => {
  const bytes = utf8(textOfFormat(FORMAT));
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(
      codeOf(() => formatOfBytes(flipped, 'f')),
      'corrupt',
      `bit ${bit}`,
    );
  }
});

test('every flipped bit of a secret is found', () => {
  const bytes = utf8(textOfSecret(SECRET, FORMAT.storeId));
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(
      codeOf(() => secretOfBytes(flipped, FORMAT.storeId, 's')),
      'corrupt',
      `bit ${bit}`,
    );
  }
});

test('every shortened format record is found', () => {
  const bytes = utf8(textOfFormat(FORMAT));
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(
      codeOf(() => formatOfBytes(bytes.subarray(0, length), 'f')),
      'corrupt',
      `${length} bytes`,
    );
  }
  assert.equal(
    codeOf(() => formatOfBytes(utf8(`${textOfFormat(FORMAT)} `), 'f')),
    'corrupt',
  );
});

test('the secret of another store is refused', () => {
  const text = textOfSecret(SECRET, 'ffffffffffffffffffffffffffffffff');
  assert.equal(
    codeOf(() => secretOfBytes(utf8(text), FORMAT.storeId, 's')),
    'corrupt',
  );
});

test('a newer format version is incompatible, not damaged, whatever else changed in it', () => {
  const newer = utf8(textOfFormat({ ...FORMAT, version: 2, storeId: '' }));
  assert.throws(
    () => formatOfBytes(newer, '/s/format'),
    (error) => Fault.is(error, 'incompatible') && /\/s\/format has format version 2; .* up to 1/.test(error.message),
  );
});

test('unknown feature bits are refused by what they say, up to the highest', () => {
  const withBits = (features: FormatRecord['features']): string =>
    codeOf(() => formatOfBytes(utf8(textOfFormat({ ...FORMAT, features })), 'f'));
  assert.equal(withBits({ compatible: 2 ** 52 + 1, readCompatible: 0, incompatible: 0 }), 'none');
  assert.equal(withBits({ compatible: 0, readCompatible: 4, incompatible: 0 }), 'incompatible');
  assert.equal(withBits({ compatible: 0, readCompatible: 0, incompatible: 1 }), 'incompatible');
  assert.equal(withBits({ compatible: 0, readCompatible: 0, incompatible: 2 ** 52 }), 'incompatible');
});

test('an unknown id algorithm or chunker is incompatible and named', () => {
  const chunks = { ...FORMAT.chunks, idAlgorithm: 'md5' } as unknown as FormatRecord['chunks'];
  assert.throws(
    () => formatOfBytes(utf8(textOfFormat({ ...FORMAT, chunks })), 'f'),
    (error) => Fault.is(error, 'incompatible') && error.message.includes('"md5". It knows blake3, xxh3-128'),
  );
});
