/**
 * A small file taken whole: read, from this machine or from memory, into the chunker's window, cut, named, compressed, and left as records in memory
 * that the main thread shares, in one go and on one thread, so that its bytes never pass through another. What there is
 * to know of it goes into a list of numbers; ids stand in the records' own headers.
 *
 *   numbers of a file:   1, size, XXH3-64 high, low, number of pieces, and for each piece
 *                        PIECE kind, plain length, where its record begins in the memory, record length
 *   or, for one that is not as it was looked at, or cannot be read:   0
 *
 * A file that is refused is not a failure: whoever wants it says better what is wrong by reading it himself.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { RealmId } from '../../meta/index.ts';
import {
  type ChunkFormat,
  type CompressionLevel,
  type HeldFile,
  INLINE_BYTES_MAX,
  type LocalFile,
} from '../chunk-store.ts';
import { type Chunker, newChunker } from '../cutting/chunker.ts';
import { Compressibility } from '../cutting/compressibility.ts';
import { bufferOf, xxh3Of } from '../hashes/content-hash.ts';
import { type IdHasher, newIdHasher } from '../hashes/ids.ts';
import { CODEC, closeRecord, compress, openRecord, RECORD_HEADER_BYTES } from '../packs/record.ts';

/** Larger ones are streams. It fits the chunker's window, whatever the format. */
export const WHOLE_FILE_BYTES_MAX = 256 * 1024;

export const PIECE = { chunk: 0, hole: 1, inline: 2 } as const;

/** Where the bytes of a record's header hold its id (record.ts). */
export const RECORD_ID_AT = 40;

/** No symlinks, because somebody saw a file; no waiting, because it may have become a FIFO. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Room that the records of files take at most. */
export function recordRoomBytes(plainBytes: number, fileCount: number, chunkBytesMin: number): number {
  return plainBytes + (fileCount + Math.ceil(plainBytes / chunkBytesMin)) * RECORD_HEADER_BYTES;
}

/** A file of this machine, or one whose bytes come along. */
export type AskedFile = LocalFile | Omit<HeldFile, 'bytes'>;

export interface WholeFileTakerOptions {
  readonly format: ChunkFormat;
  readonly secret: Uint8Array;
  readonly realm: RealmId;
}

export class WholeFileTaker {
  readonly #realm: RealmId;
  readonly #chunker: Chunker;
  readonly #idOf: IdHasher;
  readonly #beginnings = new Compressibility();
  #numbers: number[] = [];
  #memory: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor({ format, secret, realm }: WholeFileTakerOptions) {
    this.#realm = realm;
    this.#chunker = newChunker(format, secret);
    this.#idOf = newIdHasher(format.idAlgorithm, secret);
  }

  /**
   * Takes the files into `memory`, one behind the other; it has recordRoomBytes of room. `held` has the bytes of those
   * without a path.
   */
  take(files: readonly AskedFile[], memory: Buffer, held?: Uint8Array): Uint32Array<ArrayBuffer> {
    this.#numbers = [];
    this.#memory = memory;
    this.#at = 0;
    let heldAt = 0;
    for (const file of files) {
      const { window } = this.#chunker;
      let isThere = true;
      if ('path' in file) isThere = readWhole(file, window);
      else {
        window.set(held?.subarray(heldAt, heldAt + file.size) ?? []);
        heldAt += file.size;
      }
      if (isThere) this.#takeWindow(file.size, file.level);
      else this.#numbers.push(0);
    }
    return Uint32Array.from(this.#numbers);
  }

  #takeWindow(size: number, level: CompressionLevel): void {
    const { window } = this.#chunker;
    const hash = bufferOf(xxh3Of(window.subarray(0, size)));
    this.#numbers.push(1, size, hash.readUInt32BE(0), hash.readUInt32BE(4), 0);
    const countAt = this.#numbers.length - 1;
    const compressibility = new Compressibility(this.#beginnings);
    let count = 0;
    for (let at = 0; at < size; count++) {
      const length = size <= INLINE_BYTES_MAX ? size : this.#chunker.cut(at, size - at);
      this.#takePiece(at, length, {
        kind: size <= INLINE_BYTES_MAX ? PIECE.inline : PIECE.chunk,
        level,
        compressibility,
      });
      at += length;
    }
    this.#numbers[countAt] = count;
  }

  #takePiece(
    at: number,
    length: number,
    how: { readonly kind: number; readonly level: CompressionLevel; readonly compressibility: Compressibility },
  ): void {
    if (this.#chunker.isZero(at, length)) {
      this.#numbers.push(PIECE.hole, length, 0, 0);
      return;
    }
    const plain = this.#chunker.window.subarray(at, at + length);
    const start = this.#at;
    openRecord(this.#memory, start, { realm: this.#realm, id: this.#idOf(plain), plainLength: length });
    const packed = this.#compress(plain, at, how);
    const stored = packed ?? plain;
    bufferOf(stored).copy(this.#memory, start + RECORD_HEADER_BYTES);
    closeRecord(this.#memory, start, packed === undefined ? CODEC.raw : CODEC.zstd, stored.length);
    this.#at = start + RECORD_HEADER_BYTES + stored.length;
    this.#numbers.push(how.kind, length, start, this.#at - start);
  }

  #compress(
    plain: Uint8Array,
    at: number,
    { level, compressibility }: { readonly level: CompressionLevel; readonly compressibility: Compressibility },
  ): Uint8Array | undefined {
    if (level === 'none') return undefined;
    if (!compressibility.isWorthTrying(this.#chunker.looksRandom(at, plain.length))) return undefined;
    const packed = compress(plain, level);
    compressibility.tried(packed !== undefined);
    return packed;
  }
}

/** Whether all of the file, as it was looked at, is in the window now. */
function readWhole(file: LocalFile, window: Uint8Array): boolean {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(isPlain(file.path) ? file.path : Buffer.from(file.path, 'latin1'), READ_FLAGS);
    let length = 0;
    for (let read = -1; read !== 0 && length < file.size; length += read)
      read = readSync(descriptor, window, length, file.size - length, null);
    // The stat comes last: it vouches for everything read before it, and sees what was added behind.
    const { size, mtimeNs, dev, ino } = fstatSync(descriptor, { bigint: true });
    return (
      length === file.size && Number(size) === length && mtimeNs === file.mtimeNs && `${dev}:${ino}` === file.identity
    );
  } catch {
    return false;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

const PLAIN = /^[\x00-\x7f]*$/;

function isPlain(path: string): boolean {
  return PLAIN.test(path);
}
