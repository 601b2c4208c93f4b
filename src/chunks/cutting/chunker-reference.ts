/**
 * The two chunkers once more, in plain TypeScript, byte by byte, straight from docs/formats/chunking.md: for tests only.
 * chunker.wasm must cut exactly like this. Clear before fast.
 */
import type { ChunkFormat } from '../chunk-store.ts';

const MASK_SMALL = 0x2f;
const MASK_LARGE = 0x2c;
const PATTERN = 0xaa;
const LOW_ENTROPY_WINDOWS = 64;
const BITS = Array.from({ length: 256 }, (_, value) => value.toString(2).replaceAll('0', '').length);

/** Lengths of all chunks of a whole stream. */
export function referenceCuts(
  bytes: Uint8Array,
  format: ChunkFormat,
  gears: BigUint64Array,
  withoutFallback = false,
): number[] {
  const lengths: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const rest = bytes.subarray(at, at + format.chunkBytesMax);
    const length =
      format.chunker === 'ultracdc' ? ultracdc(rest, format, withoutFallback) : fastcdc(rest, format, gears);
    lengths.push(length);
    at += length;
  }
  return lengths;
}

function distanceBefore(bytes: Uint8Array, place: number): number {
  let sum = 0;
  for (let i = place - 8; i < place; i++) sum += BITS[(bytes[i] ?? 0) ^ PATTERN] ?? 0;
  return sum;
}

function isSameWindow(bytes: Uint8Array, a: number, b: number): boolean {
  for (let i = 0; i < 8; i++) if (bytes[a + i] !== bytes[b + i]) return false;
  return true;
}

function ultracdc(bytes: Uint8Array, format: ChunkFormat, withoutFallback: boolean): number {
  const { chunkBytesMin, chunkBytesMean, chunkBytesMax } = format;
  if (bytes.length <= chunkBytesMin) return bytes.length;
  const normal = Math.min(chunkBytesMean - chunkBytesMean / 64, bytes.length);
  let equalWindows = 0;
  for (let i = chunkBytesMin + 8; i <= bytes.length - 8; i += 8) {
    if (isSameWindow(bytes, i, i - 8)) {
      equalWindows++;
      if (equalWindows === LOW_ENTROPY_WINDOWS) return i + 8;
      continue;
    }
    equalWindows = 0;
    const mask = i >= normal ? MASK_LARGE : MASK_SMALL;
    for (let j = 0; j < 8; j++) if ((distanceBefore(bytes, i + j) & mask) === 0) return i + j;
  }
  if (bytes.length < chunkBytesMax || withoutFallback) return bytes.length;
  return extremum(bytes, chunkBytesMean / 2, chunkBytesMean * 1.5);
}

function extremum(bytes: Uint8Array, from: number, to: number): number {
  let [best, place] = [-1, from];
  for (let p = from; p < to; p++) {
    const hash = windowHash(bytes, p);
    if (hash > best) [best, place] = [hash, p];
  }
  return place;
}

function windowHash(bytes: Uint8Array, place: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + place - 8, 8);
  const sum = Math.imul(view.getUint32(0, true), 0x9e3779b1) + Math.imul(view.getUint32(4, true), 0x85ebca77);
  const mixed = (sum >>> 0) ^ ((sum >>> 0) >>> 15);
  return Math.imul(mixed, 0xc2b2ae3d) >>> 0;
}

function fastcdc(bytes: Uint8Array, format: ChunkFormat, gears: BigUint64Array): number {
  const { chunkBytesMin, chunkBytesMean } = format;
  const bits = BigInt(Math.log2(chunkBytesMean));
  let hash = 0n;
  for (let i = chunkBytesMin; i < bytes.length; i++) {
    hash = BigInt.asUintN(64, (hash << 1n) + (gears[bytes[i] ?? 0] ?? 0n));
    const zeroBits = i < chunkBytesMean ? bits + 2n : bits - 2n;
    if (hash >> (64n - zeroBits) === 0n) return i + 1;
  }
  return bytes.length;
}
