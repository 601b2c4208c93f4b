/**
 * The `format` record and the `secret` of a store: what they say, their bytes, and how they are judged.
 * Both are written once, when the store is made, and never changed. Pure; docs/formats/store.md has them byte by byte.
 *
 * A checked record is JSON text whose last member is the SHA-256 of every byte before it, so that any flipped bit is
 * found, and so that a later version can still be told from damage:
 *
 *   {                                   \
 *     "record": "holdfast-store",        |  all of this, without the comma and line end that follow it,
 *     "version": 1,                      |  is what the checksum is computed over
 *     …                                 /
 *     "sha256": "64 hex digits"
 *   }
 */
import { createHash } from 'node:crypto';
import { bytesOfHex, Fault, hexOf, textOfUtf8 } from '../base/index.ts';
import { CHUNKERS, type ChunkFormat, ID_ALGORITHMS } from '../chunks/index.ts';

/** The one this Holdfast writes; it reads all from 1 up to this. */
export const FORMAT_VERSION = 1;
export const SECRET_BYTES = 32;

/**
 * Feature bits, as in file systems' super blocks. Bits nobody here knows mean: compatible – nothing; read-compatible –
 * the store may be read but not written; incompatible – it may not be touched. None is given out yet.
 */
export interface FeatureBits {
  readonly compatible: number;
  readonly readCompatible: number;
  readonly incompatible: number;
}

export const FEATURES_KNOWN: FeatureBits = { compatible: 0, readCompatible: 0, incompatible: 0 };

export interface FormatRecord {
  readonly version: number;
  /** 32 hex digits, drawn at random when the store is made. */
  readonly storeId: string;
  readonly features: FeatureBits;
  readonly chunks: ChunkFormat;
  /** ISO 8601. */
  readonly created: string;
}

const RECORD = 'holdfast-store';
const INCOMPATIBLE_HELP = 'Use the Holdfast that made it, or a newer one; nothing was changed.';

export function textOfFormat(format: FormatRecord): string {
  return checkedText({
    record: RECORD,
    version: format.version,
    store_id: format.storeId,
    features: {
      compatible: format.features.compatible,
      read_compatible: format.features.readCompatible,
      incompatible: format.features.incompatible,
    },
    chunks: {
      ids: format.chunks.idAlgorithm,
      chunker: format.chunks.chunker,
      bytes_min: format.chunks.chunkBytesMin,
      bytes_mean: format.chunks.chunkBytesMean,
      bytes_max: format.chunks.chunkBytesMax,
    },
    created: format.created,
  });
}

function checkedText(members: Readonly<Record<string, unknown>>): string {
  const covered = JSON.stringify(members, undefined, 2).slice(0, -'\n}'.length);
  return `${covered},\n  "sha256": "${sha256(covered)}"\n}\n`;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/**
 * Reads a format record. `where` is its path, for faults.
 * @throws Fault `corrupt` when a byte of it changed; `incompatible` when this Holdfast must not touch the store.
 */
export function formatOfBytes(bytes: Uint8Array, where: string): FormatRecord {
  const members = checkedMembers(bytes, where);
  // The version is looked at first: nothing else is promised to look the same in a later one.
  if (members.record !== RECORD || typeof members.version !== 'number')
    throw damaged(where, 'it is no record of a store');
  if (members.version > FORMAT_VERSION) {
    throw new Fault(
      'incompatible',
      `The store's format record ${where} has format version ${members.version}; this Holdfast knows versions up to ${FORMAT_VERSION}. ${INCOMPATIBLE_HELP}`,
      { path: where, version: members.version, versionMax: FORMAT_VERSION },
    );
  }
  const features = treeOf(members.features);
  const bits: FeatureBits = {
    compatible: wholeOf(features.compatible, where, 'features.compatible'),
    readCompatible: wholeOf(features.read_compatible, where, 'features.read_compatible'),
    incompatible: wholeOf(features.incompatible, where, 'features.incompatible'),
  };
  refuseUnknownFeatures(bits, where);
  return {
    version: members.version,
    storeId: textOf(members.store_id, where, 'store_id'),
    features: bits,
    chunks: chunksOf(treeOf(members.chunks), where),
    created: textOf(members.created, where, 'created'),
  };
}

function checkedMembers(bytes: Uint8Array, where: string): Readonly<Record<string, unknown>> {
  const text = textOfUtf8(bytes) ?? '';
  const tail = /,\n {2}"sha256": "([0-9a-f]{64})"\n\}\n$/.exec(text);
  const covered = tail === null ? '' : text.slice(0, tail.index);
  if (tail === null || sha256(covered) !== tail[1]) throw damaged(where, 'its checksum does not match its bytes');
  return treeOf(JSON.parse(`${covered}}`));
}

function damaged(where: string, why: string): Fault {
  return new Fault(
    'corrupt',
    `The file ${where} is damaged: ${why}. Put back a copy of it from a backup of this store; nothing was changed.`,
    { path: where },
  );
}

function refuseUnknownFeatures(bits: FeatureBits, where: string): void {
  const unknown = unknownBits(bits.incompatible, FEATURES_KNOWN.incompatible);
  const unknownForWriting = unknownBits(bits.readCompatible, FEATURES_KNOWN.readCompatible);
  if (unknown.length > 0 || unknownForWriting.length > 0) {
    const [what, list] = unknown.length > 0 ? ['incompatible', unknown] : ['read-compatible', unknownForWriting];
    throw new Fault(
      'incompatible',
      `The store's format record ${where} uses ${what} features that this Holdfast does not know (bits ${list.join(', ')}). ${INCOMPATIBLE_HELP}`,
      { path: where, kind: what, bits: list },
    );
  }
}

function unknownBits(bits: number, known: number): readonly number[] {
  // By division, because `&` would cut at 32 bits and the record may have 53.
  return Array.from({ length: 53 }, (_, bit) => bit).filter((bit) => hasBit(bits, bit) && !hasBit(known, bit));
}

function hasBit(bits: number, bit: number): boolean {
  return Math.floor(bits / 2 ** bit) % 2 === 1;
}

function chunksOf(tree: Readonly<Record<string, unknown>>, where: string): ChunkFormat {
  return {
    idAlgorithm: oneOf(tree.ids, ID_ALGORITHMS, where, 'chunk ids'),
    chunker: oneOf(tree.chunker, CHUNKERS, where, 'a chunker'),
    chunkBytesMin: wholeOf(tree.bytes_min, where, 'chunks.bytes_min'),
    chunkBytesMean: wholeOf(tree.bytes_mean, where, 'chunks.bytes_mean'),
    chunkBytesMax: wholeOf(tree.bytes_max, where, 'chunks.bytes_max'),
  };
}

function oneOf<T extends string>(value: unknown, known: readonly T[], where: string, what: string): T {
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  throw new Fault(
    'incompatible',
    `The store's format record ${where} names ${what} that this Holdfast does not know: ${JSON.stringify(value)}. It knows ${known.join(', ')}. ${INCOMPATIBLE_HELP}`,
    { path: where, value },
  );
}

function treeOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function wholeOf(value: unknown, where: string, name: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw damaged(where, `\`${name}\` is not a whole number`);
}

function textOf(value: unknown, where: string, name: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw damaged(where, `\`${name}\` is not a text`);
}

/**
 * The secret's file: `holdfast-secret-1`, the 32 bytes in hex and a check, with one space between and a line end.
 * The check is over the store's id too, so that the secret of another store is found out before it names a chunk.
 */
export function textOfSecret(secret: Uint8Array, storeId: string): string {
  const hex = hexOf(secret);
  return `${SECRET_WORD} ${hex} ${secretCheck(hex, storeId)}\n`;
}

const SECRET_WORD = 'holdfast-secret-1';
/** Hex digits of the check: enough to find damage, too few to be worth anything to somebody who lacks the secret. */
const SECRET_CHECK_DIGITS = 16;

function secretCheck(hex: string, storeId: string): string {
  return sha256(`${SECRET_WORD} ${storeId} ${hex}`).slice(0, SECRET_CHECK_DIGITS);
}

/** @throws Fault `corrupt` when a byte of it changed, or when it belongs to another store. */
export function secretOfBytes(bytes: Uint8Array, storeId: string, where: string): Uint8Array {
  const match = /^holdfast-secret-1 ([0-9a-f]{64}) ([0-9a-f]{16})\n$/.exec(textOfUtf8(bytes) ?? '');
  const hex = match?.[1] ?? '';
  const secret = bytesOfHex(hex);
  if (match === null || secret === undefined || match[2] !== secretCheck(hex, storeId)) {
    throw damaged(where, 'it does not match its own check, or belongs to another store');
  }
  return secret;
}
