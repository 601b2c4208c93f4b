/**
 * zstd, one frame a call, with contexts that are kept: node:zlib's one-shot functions make and free a context for every
 * call, which for 64 KiB costs as much again as a third of the compression and twice the decompression, and leaves two
 * buffers and a stream for the collector. (Measured, MB/s of one core: 52 KiB 470 → 605 and 1,000 → 1,630; 8 KiB
 * 235 → 425 and 400 → 1,050. The bytes are the same.)
 *
 * The way to a kept context is the synchronous write of a zlib stream's handle, which Node does not document. So it is
 * looked at before it is used, tried on a probe, and left for the documented functions whenever anything is not as
 * expected; those also have the last word on whether bytes are damaged.
 */
import {
  createZstdCompress,
  createZstdDecompress,
  constants as zlib,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib';

/** Levels with a context of their own in each thread. */
const CONTEXTS_MAX = 4;
/** Room for the output of a chunk; longer ones are left to the documented functions. */
const OUTPUT_BYTES = 256 * 1024;

/** One zlib stream, used for nothing but its handle. */
interface Stream {
  readonly destroyed: boolean;
  on(event: 'error', listener: () => void): unknown;
  destroy(): unknown;
}

/** The undocumented part. After `writeSync` the state is [room left in the output, input left]. */
interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputAt: number,
    inputLength: number,
    output: Uint8Array,
    outputAt: number,
    outputLength: number,
  ): void;
}

class Context {
  readonly #stream: Stream;
  readonly #handle: Handle;
  readonly #state: Uint32Array;
  readonly #flush: number;

  private constructor(stream: Stream, handle: Handle, state: Uint32Array, flush: number) {
    this.#stream = stream;
    this.#handle = handle;
    this.#state = state;
    this.#flush = flush;
  }

  /** `undefined` when this Node's streams look different. */
  static of(stream: Stream, flush: number): Context | undefined {
    // Without a listener a damaged frame would end the process.
    stream.on('error', () => {});
    const { _handle: handle, _writeState: state } = stream as unknown as Record<string, unknown>;
    const hasWrite = typeof (handle as Partial<Handle> | undefined)?.writeSync === 'function';
    if (hasWrite && state instanceof Uint32Array && state.length === 2)
      return new Context(stream, handle as Handle, state, flush);
    stream.destroy();
    return undefined;
  }

  /** Runs one whole frame; answers its length, or undefined when it did not end well: then the context is spent. */
  run(input: Uint8Array, output: Uint8Array, at = 0, room = output.length): number | undefined {
    this.#handle.writeSync(this.#flush, input, 0, input.length, output, at, room);
    const [roomLeft = 0, inputLeft = 0] = this.#state;
    return this.#stream.destroyed || inputLeft !== 0 ? undefined : room - roomLeft;
  }

  end(): void {
    this.#stream.destroy();
  }
}

let isUsable: boolean | undefined;
const compressors = new Map<number, Context>();
let decompressor: Context | undefined;
let output: Uint8Array | undefined;

/**
 * Plain bytes as one frame. What it answers may be memory of this module: use it before the next call.
 * `level` as zstd counts.
 */
export function compressFrame(plain: Uint8Array, wantedLevel: number): Uint8Array {
  // node:zlib takes −1 for "not set", which is 3: the next faster one is nearer to what was asked for.
  const level = wantedLevel === -1 ? -2 : wantedLevel;
  if (hasKeptContexts() && plain.length <= OUTPUT_BYTES / 2) {
    const frame = keptCompress(plain, level);
    if (frame !== undefined) return frame;
  }
  // chunkSize is the size of the output buffer: with room for all, nothing is joined.
  const chunkSize = Math.max(zlib.Z_MIN_CHUNK, plain.length);
  return zstdCompressSync(plain, { chunkSize, params: { [zlib.ZSTD_c_compressionLevel]: level } });
}

/** Exactly `plainLength` bytes in memory of their own. @throws what node:zlib throws when the frame is damaged or longer. */
export function decompressFrame(frame: Uint8Array, plainLength: number): Uint8Array {
  if (hasKeptContexts()) {
    const plain = keptDecompress(frame, plainLength);
    if (plain !== undefined) return plain;
  }
  return zstdDecompressSync(frame, {
    // With the known size nothing grows, and a frame that claims more is refused instead of filling memory.
    maxOutputLength: Math.max(1, plainLength),
    // One more, because an output buffer that is exactly full makes zlib ask for another one.
    chunkSize: Math.max(zlib.Z_MIN_CHUNK, plainLength + 1),
  });
}

/**
 * The same into `target`, where behind the `plainLength` bytes there is room for one more, which may be overwritten.
 * @throws what node:zlib throws when the frame is damaged or longer.
 */
export function decompressFrameInto(frame: Uint8Array, target: Uint8Array, at: number, plainLength: number): number {
  if (hasKeptContexts() && hasDecompressed(frame, target, at, plainLength)) return plainLength;
  const plain = decompressFrame(frame, plainLength);
  target.set(plain, at);
  return plain.length;
}

/** Whether contexts are kept on this Node; found out once a thread. */
export function hasKeptContexts(): boolean {
  isUsable ??= isProbeRight();
  return isUsable;
}

function isProbeRight(): boolean {
  const probe = Buffer.from('holdfast '.repeat(500));
  const expected = zstdCompressSync(probe, { params: { [zlib.ZSTD_c_compressionLevel]: 3 } });
  // Twice: the second one shows that the context begins anew by itself.
  for (let round = 0; round < 2; round++) {
    const frame = keptCompress(probe, 3);
    if (frame === undefined || !expected.equals(frame)) return false;
    const plain = keptDecompress(frame, probe.length);
    if (plain === undefined || !probe.equals(plain)) return false;
  }
  return true;
}

function keptCompress(plain: Uint8Array, level: number): Uint8Array | undefined {
  output ??= Buffer.allocUnsafeSlow(OUTPUT_BYTES);
  const context = compressors.get(level) ?? newCompressor(level);
  const length = context?.run(plain, output);
  // A full output may be a frame that has more to say.
  if (length !== undefined && length < output.length) return output.subarray(0, length);
  compressors.delete(level);
  context?.end();
  return undefined;
}

function newCompressor(level: number): Context | undefined {
  for (const [other, context] of compressors) {
    if (compressors.size < CONTEXTS_MAX) break;
    compressors.delete(other);
    context.end();
  }
  const stream = createZstdCompress({ params: { [zlib.ZSTD_c_compressionLevel]: level } });
  const context = Context.of(stream, zlib.ZSTD_e_end);
  if (context !== undefined) compressors.set(level, context);
  return context;
}

function keptDecompress(frame: Uint8Array, plainLength: number): Uint8Array | undefined {
  const plain = Buffer.allocUnsafeSlow(plainLength + 1);
  return hasDecompressed(frame, plain, 0, plainLength) ? plain.subarray(0, plainLength) : undefined;
}

function hasDecompressed(frame: Uint8Array, target: Uint8Array, at: number, plainLength: number): boolean {
  decompressor ??= Context.of(createZstdDecompress(), zlib.ZSTD_e_continue);
  // One more than expected: a frame that is longer shows itself, and one that fits has been read to its end.
  if (decompressor?.run(frame, target, at, plainLength + 1) === plainLength) return true;
  // Whatever is left in it would run into the next frame.
  decompressor?.end();
  decompressor = undefined;
  return false;
}
