/**
 * Cutting a stream: loads chunker.wasm and gives its functions a window of memory to look at.
 * The window is scratch: whoever puts bytes there is done with them in the same synchronous turn. Chunks are cut only
 * when at least a largest chunk is there, or the end of the stream: so cuts depend on the bytes alone, never on how
 * they arrived. Algorithms and constants: docs/formats/chunking.md; source: chunker.as.ts.
 */
import { readFileSync } from 'node:fs';
import { assert, Fault } from '../../base/index.ts';
import type { ChunkFormat } from '../chunk-store.ts';
import { gearTableOf } from '../hashes/ids.ts';

const PAGE_BYTES = 65_536;
/** Where the module expects the gear table, and where our window starts. */
const GEARS_AT = 1024;
const WINDOW_AT = PAGE_BYTES;
/** The chunkers read this many bytes behind the end. */
const OVERREAD_BYTES = 64;
/** Bounds of the window; it holds two of the largest chunks at least. */
const WINDOW_BYTES_MIN = 512 * 1024;
/** Smaller ones would cost more than they save, and a window of them would not fit a batch. */
const CHUNK_BYTES_LEAST = 1024;
const CHUNK_BYTES_LIMIT = 16 * 1024 * 1024;

/** Samples of four times this many bytes say whether compression may pay. */
const SAMPLE_BYTES = 1024;
/** Evenly spread values of 4 n samples sum up to this; a tenth more still counts as even. */
const EVEN_SUM_MAX = ((4 * SAMPLE_BYTES) ** 2 / 256 + 4 * SAMPLE_BYTES) * 1.1;

/** The part of the platform that is used here; its types come with browsers only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
};

interface ChunkerModule {
  ultracdc(
    start: number,
    length: number,
    chunkMin: number,
    chunkNormal: number,
    chunkMax: number,
    chunkMean: number,
    hasFallback: number,
  ): number;
  fastcdc(
    start: number,
    length: number,
    chunkMin: number,
    chunkNormal: number,
    chunkMax: number,
    bitsSmall: number,
    bitsLarge: number,
  ): number;
  isZero(start: number, length: number): number;
  sameness(start: number, length: number, sampleLength: number): number;
}

export interface ChunkerOptions {
  /** For tests only: UltraCDC as published, without the extremum fallback. */
  readonly withoutFallback?: boolean;
  /** What stands for the secret are the gears themselves. */
  readonly hasGears?: boolean;
  /** The window holds at least this many bytes. */
  readonly windowBytes?: number;
}

export interface Chunker {
  /** Scratch memory to put bytes into; offsets below are offsets in it. */
  readonly window: Uint8Array;
  /**
   * Length of the chunk that starts at `offset`, of `length` bytes there are. Unless the stream ends there, `length` is
   * at least the largest chunk.
   */
  cut(offset: number, length: number): number;
  isZero(offset: number, length: number): boolean;
  /** Whether a sample looks like noise: byte values spread evenly, so that compressing hardly pays. */
  looksRandom(offset: number, length: number): boolean;
}

/** @throws Fault `invalid` when the sizes do not fit each other. */
export function checkChunkFormat(format: ChunkFormat): void {
  const { chunkBytesMin, chunkBytesMean, chunkBytesMax } = format;
  const isPowerOfTwo = Number.isInteger(Math.log2(chunkBytesMean));
  const isOrdered =
    CHUNK_BYTES_LEAST <= chunkBytesMin && chunkBytesMin < chunkBytesMean && chunkBytesMean * 1.5 <= chunkBytesMax;
  if (isPowerOfTwo && isOrdered && chunkBytesMax <= CHUNK_BYTES_LIMIT) return;
  throw new Fault(
    'invalid',
    'Chunk sizes do not fit: the mean must be a power of two, the least below it and the largest one and a half times it or more.',
    { chunkBytesMin, chunkBytesMean, chunkBytesMax },
  );
}

/** Bytes that a chunker's window has. */
export function windowBytesOf(format: ChunkFormat, options: Pick<ChunkerOptions, 'windowBytes'> = {}): number {
  return Math.max(options.windowBytes ?? WINDOW_BYTES_MIN, 2 * format.chunkBytesMax);
}

/** Compiled once a process. */
let compiled: object | undefined;

export function newChunker(format: ChunkFormat, secret: Uint8Array, options: ChunkerOptions = {}): Chunker {
  checkChunkFormat(format);
  compiled ??= new WebAssembly.Module(readFileSync(new URL('./chunker.wasm', import.meta.url)));
  const windowBytes = windowBytesOf(format, options);
  const pages = Math.ceil((WINDOW_AT + windowBytes + OVERREAD_BYTES) / PAGE_BYTES);
  // Never grown: views on it stay valid.
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const instance = new WebAssembly.Instance(compiled, { env: { memory } });
  const module = instance.exports as ChunkerModule;
  // UltraCDC has no gears; deriving them takes a while that every opening would pay.
  if (format.chunker === 'fastcdc')
    new Uint8Array(memory.buffer).set(options.hasGears === true ? secret : gearTableOf(secret), GEARS_AT);
  const window = new Uint8Array(memory.buffer, WINDOW_AT, windowBytes);
  const cut = cutterOf(module, format, options);
  return {
    window,
    cut(offset, length) {
      assert(offset >= 0 && length > 0 && offset + length <= windowBytes, 'a cut lies in the window');
      return cut(WINDOW_AT + offset, length);
    },
    isZero: (offset, length) => module.isZero(WINDOW_AT + offset, length) !== 0,
    looksRandom: (offset, length) =>
      length >= SAMPLE_BYTES * 4 && module.sameness(WINDOW_AT + offset, length, SAMPLE_BYTES) < EVEN_SUM_MAX,
  };
}

function cutterOf(
  module: ChunkerModule,
  format: ChunkFormat,
  options: ChunkerOptions,
): (start: number, length: number) => number {
  const { chunkBytesMin: min, chunkBytesMean: mean, chunkBytesMax: max } = format;
  if (format.chunker === 'ultracdc') {
    const normal = mean - mean / 64;
    const hasFallback = options.withoutFallback === true ? 0 : 1;
    return (start, length) => module.ultracdc(start, length, min, normal, max, mean, hasFallback);
  }
  const bits = Math.log2(mean);
  return (start, length) => module.fastcdc(start, length, min, mean, max, bits + 2, bits - 2);
}
