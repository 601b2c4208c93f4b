/**
 * Small files of this machine, or in memory, taken whole by threads (whole-file.ts): here the main thread's share of it. It looks up which of
 * their chunks the store has, appends the records of the others with one write, and answers drafts. What a thread
 * refuses, and what needs more than a look (bytes to be compared, a chunk to be healed), is left to whoever asked: he
 * hands the file's bytes to a ContentWriter instead.
 *
 * Bound: MEMORIES of TAKEN_BYTES_MAX plain bytes each, twice where the bytes come from memory; who comes on top waits.
 */
import { assert, type Clock, isPromise, type Log } from '../../base/index.ts';
import type { Put, RealmId } from '../../meta/index.ts';
import type { ChunkFormat, Draft, Drafts, HeldFile, LocalFile, TakenFile } from '../chunk-store.ts';
import { ID_BYTES } from '../hashes/ids.ts';
import type { NewPlace } from '../packs/open-pack.ts';
import { PackClaims } from '../packs/pack-claims.ts';
import type { PackWriter } from '../packs/pack-writer.ts';
import type { Encoder, NewChunk } from './encoder.ts';
import { WriterHolds } from './holds.ts';
import type { Known, KnownChunks } from './known-chunks.ts';
import { PIECE, RECORD_ID_AT, recordRoomBytes } from './whole-file.ts';
import { WholeFileThreads } from './whole-file-threads.ts';

/** Files, and plain bytes of them, that are taken together. */
export const TAKEN_FILES_MAX = 128;
export const TAKEN_BYTES_MAX = 1024 * 1024;

export interface WholeFilesOptions {
  readonly realm: RealmId;
  readonly format: ChunkFormat;
  readonly secret: Uint8Array;
  readonly threadCount: number;
  readonly known: KnownChunks;
  readonly encoder: Encoder;
  readonly packs: PackWriter;
  readonly clock: Clock;
  readonly log: Log;
  /** A chunk that the store has is no proof of equal bytes: they must be compared. */
  readonly isCompared: boolean;
  readonly onClaim: (claims: PackClaims) => void;
  readonly onReleased: (claims: PackClaims) => void;
}

/** The least numbers that say something of a hash or an id (whole-file.ts). */
const NUMBERS_MIN = 4;
const HASH_BYTES = 8;

interface Piece {
  readonly kind: number;
  readonly length: number;
  readonly recordAt: number;
  readonly recordLength: number;
  readonly id: Uint8Array;
  readonly key: string;
  /** What the store has of it. */
  found: Known | undefined;
}

interface Numbered {
  readonly size: number;
  readonly hash: Uint8Array;
  readonly pieces: readonly Piece[];
}

/** Records of one memory that are to be appended. */
interface Appending {
  readonly parts: Uint8Array[];
  readonly places: NewPlace[];
  readonly chunks: NewChunk[];
  lengthBytes: number;
  readonly settled: Promise<void>;
}

/** A file whose drafts are known, and the chunks that must be in a pack before it can be linked. */
interface Planned {
  readonly size: number;
  readonly hash: Uint8Array;
  readonly drafts: readonly Draft[];
  readonly chunks: readonly NewChunk[];
}

export class WholeFiles implements AsyncDisposable {
  readonly #options: WholeFilesOptions;
  readonly #threads: WholeFileThreads;
  readonly #memories: readonly Buffer[];
  readonly #free: number[];
  readonly #line: (() => void)[] = [];
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(options: WholeFilesOptions) {
    this.#options = options;
    const { realm, format, secret, threadCount, clock, log } = options;
    const bytes = recordRoomBytes(TAKEN_BYTES_MAX, TAKEN_FILES_MAX, format.chunkBytesMin);
    const memories = Array.from({ length: 2 * threadCount + 1 }, () => new SharedArrayBuffer(bytes));
    this.#memories = memories.map((memory) => Buffer.from(memory));
    this.#free = memories.map((_, number) => number);
    const held = memories.map(() => new SharedArrayBuffer(TAKEN_BYTES_MAX));
    const start = { realm, format, secret, memories, held };
    this.#threads = new WholeFileThreads({ count: threadCount, start, clock, log });
  }

  /** Undefined for a file that is left to the caller. */
  take(files: readonly (LocalFile | HeldFile)[]): Promise<readonly (TakenFile | undefined)[]> {
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    assert(files.length <= TAKEN_FILES_MAX && bytes <= TAKEN_BYTES_MAX, 'no more files are taken than fit', { bytes });
    const taken = this.#take(files).finally(() => this.#underWay.delete(taken));
    this.#underWay.add(taken);
    return taken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    await this.#threads[Symbol.asyncDispose]();
  }

  async #take(files: readonly (LocalFile | HeldFile)[]): Promise<readonly (TakenFile | undefined)[]> {
    const number = await this.#memory();
    const holds = new WriterHolds(this.#options.known.holds);
    try {
      const memory = this.#memories[number];
      const numbers = await this.#threads.take(number, files);
      if (memory === undefined || numbers === undefined) return files.map(() => undefined);
      const asked: Promise<void>[] = [];
      const numbered = this.#read(numbers, memory, asked, holds);
      if (asked.length > 0) await Promise.all(asked);
      return await this.#store(numbered, memory, holds);
    } catch (error) {
      holds.releaseAll();
      throw error;
    } finally {
      this.#free.push(number);
      this.#line.shift()?.();
    }
  }

  async #memory(): Promise<number> {
    for (;;) {
      const number = this.#free.pop();
      if (number !== undefined) return number;
      await new Promise<void>((turn) => this.#line.push(turn));
    }
  }

  /** What the numbers say, and what the store has of it: once all that is `asked` has been answered. */
  #read(
    numbers: Uint32Array,
    memory: Buffer,
    asked: Promise<void>[],
    holds: WriterHolds,
  ): readonly (Numbered | undefined)[] {
    const files: (Numbered | undefined)[] = [];
    const idBytes = ID_BYTES[this.#options.format.idAlgorithm];
    const names = new Slab(numbers.length, idBytes);
    let at = 0;
    const next = (): number => numbers[at++] ?? 0;
    while (at < numbers.length) {
      if (next() === 0) {
        files.push(undefined);
        continue;
      }
      const size = next();
      const hash = names.hash(next(), next());
      const pieces: Piece[] = [];
      for (let left = next(); left > 0; left--) {
        const [kind, length, recordAt, recordLength] = [next(), next(), next(), next()];
        if (kind !== PIECE.chunk) {
          pieces.push({ kind, length, recordAt, recordLength, id: hash, key: '', found: undefined });
          continue;
        }
        const idAt = recordAt + RECORD_ID_AT;
        const id = names.copy(memory, idAt, idBytes);
        const key = memory.toString('latin1', idAt, idAt + idBytes);
        const piece: Piece = { kind, length, recordAt, recordLength, id, key, found: undefined };
        pieces.push(piece);
        holds.hold(piece.key);
        this.#find(piece, asked);
      }
      files.push({ size, hash, pieces });
    }
    return files;
  }

  #find(piece: Piece, asked: Promise<void>[]): void {
    const found = this.#options.known.find(piece.id, piece.key);
    if (isPromise(found)) asked.push(found.then((answer) => void (piece.found = answer)));
    else piece.found = found;
  }

  async #store(
    numbered: readonly (Numbered | undefined)[],
    memory: Buffer,
    holds: WriterHolds,
  ): Promise<readonly (TakenFile | undefined)[]> {
    const { promise: settled, resolve: settle } = Promise.withResolvers<void>();
    const appending: Appending = { parts: [], places: [], chunks: [], lengthBytes: 0, settled };
    const planned = numbered.map((file) => (file === undefined ? undefined : this.#plan(file, memory, appending)));
    await this.#append(appending);
    settle();
    return await this.#taken(planned, holds);
  }

  #plan(file: Numbered, memory: Buffer, appending: Appending): Planned | undefined {
    if (this.#needsMore(file)) return undefined;
    const drafts: Draft[] = [];
    const chunks: NewChunk[] = [];
    let offset = 0;
    for (const piece of file.pieces) {
      const { kind, length, recordAt, recordLength } = piece;
      if (kind === PIECE.hole) addHole(drafts, offset, length);
      else if (kind === PIECE.inline) {
        const record = Buffer.allocUnsafeSlow(recordLength);
        memory.copy(record, 0, recordAt, recordAt + recordLength);
        drafts.push({ kind: 'inline', offset, length, record });
      } else {
        drafts.push({ kind: 'chunk', offset, length, id: piece.id });
        const chunk = this.#chunkOf(piece, memory, appending);
        if (chunk !== undefined) chunks.push(chunk);
      }
      offset += length;
    }
    return { size: file.size, hash: file.hash, drafts, chunks };
  }

  /** Whether bytes must be compared or a chunk healed before the file can be linked. */
  #needsMore(file: Numbered): boolean {
    const { isCompared, known } = this.#options;
    const seen = new Set<string>();
    for (const { kind, key, found } of file.pieces) {
      if (kind !== PIECE.chunk) continue;
      if (found?.kind === 'damaged') return true;
      if (!isCompared) continue;
      if (found !== undefined || seen.has(key) || known.findNew(key) !== undefined) return true;
      seen.add(key);
    }
    return false;
  }

  /** The chunk where this process stores it; its record joins what is appended when nobody had it. */
  #chunkOf(piece: Piece, memory: Buffer, appending: Appending): NewChunk | undefined {
    const { known } = this.#options;
    // Asked again: it may have come meanwhile, or stand twice among these files.
    const now = known.findNew(piece.key);
    if (now?.kind === 'new') return now.chunk;
    if (piece.found?.kind === 'committed') return undefined;
    const chunk: NewChunk = {
      id: piece.id,
      key: piece.key,
      plainLength: piece.length,
      heals: undefined,
      settled: appending.settled,
      pack: undefined,
      endBytes: 0,
      storedLength: piece.recordLength,
      fault: undefined,
    };
    known.add(chunk);
    const { recordAt, recordLength } = piece;
    appending.parts.push(memory.subarray(recordAt, recordAt + recordLength));
    appending.places.push({ key: piece.key, offset: appending.lengthBytes, length: recordLength, isHeal: false });
    appending.chunks.push(chunk);
    appending.lengthBytes += recordLength;
    return chunk;
  }

  /** Never rejects: chunks say themselves what became of them. */
  async #append({ parts, places, chunks, lengthBytes }: Appending): Promise<void> {
    if (chunks.length === 0) return;
    try {
      const { pack, offset } = await this.#options.packs.append({ parts: joined(parts), places, lengthBytes });
      for (const [number, chunk] of chunks.entries()) {
        const place = places[number];
        assert(place !== undefined, 'every chunk has a place');
        chunk.pack = pack;
        chunk.endBytes = offset + place.offset + place.length;
      }
    } catch (error) {
      for (const chunk of chunks) {
        chunk.fault = error;
        this.#options.known.forget(chunk);
      }
    }
  }

  async #taken(
    planned: readonly (Planned | undefined)[],
    holds: WriterHolds,
  ): Promise<readonly (TakenFile | undefined)[]> {
    const claims = new PackClaims();
    this.#options.onClaim(claims);
    let left = 1;
    const release = (): void => {
      if (--left > 0) return;
      this.#options.onReleased(claims);
      holds.releaseAll();
    };
    const taken: (TakenFile | undefined)[] = [];
    for (const file of planned) {
      if (file !== undefined)
        for (const { pack, settled } of file.chunks) if (pack === undefined) await this.#wait(settled);
      // What could not be stored is said by whoever tries again.
      const isStored = file?.chunks.every(({ pack, fault }) => pack !== undefined && fault === undefined) === true;
      if (file === undefined || !isStored) {
        taken.push(undefined);
        continue;
      }
      for (const { pack, endBytes } of file.chunks) if (pack !== undefined) claims.add(pack, endBytes);
      left++;
      taken.push({ size: file.size, hash: file.hash, drafts: this.#draftsOf(file), release: once(release) });
    }
    release();
    return taken;
  }

  async #wait(settled: Promise<void>): Promise<void> {
    this.#options.encoder.flush();
    await settled;
  }

  #draftsOf({ drafts, chunks }: Planned): Drafts {
    const { realm, clock } = this.#options;
    const zeroSeconds = clock.now().seconds;
    const puts = (chunks.length > 1 ? [...new Set(chunks)] : chunks).map((chunk): Put => {
      const { id, pack, plainLength, storedLength } = chunk;
      assert(pack !== undefined, 'a chunk that is taken is in a pack');
      const row = {
        realm,
        id,
        pack: pack.row.pack,
        refs: 0,
        plainLength,
        storedLength,
        base: null,
        depth: 0,
        zeroSeconds,
      };
      return { table: 'chunks', mode: 'keep', row };
    });
    return { drafts, puts };
  }
}

/** Hashes and ids of files that are taken together, in one memory: each in its own costs more than all else about it. */
class Slab {
  readonly #memory: Buffer<ArrayBuffer>;
  #at = 0;

  /** `numberCount` numbers say five of each file, a hash among them, and four of each piece. */
  constructor(numberCount: number, idBytes: number) {
    this.#memory = Buffer.allocUnsafeSlow(Math.ceil(numberCount / NUMBERS_MIN) * Math.max(idBytes, HASH_BYTES));
  }

  hash(high: number, low: number): Uint8Array {
    const view = this.#take(HASH_BYTES);
    this.#memory.writeUInt32BE(high, this.#at - HASH_BYTES);
    this.#memory.writeUInt32BE(low, this.#at - 4);
    return view;
  }

  copy(from: Buffer, at: number, length: number): Uint8Array {
    const view = this.#take(length);
    from.copy(this.#memory, this.#at - length, at, at + length);
    return view;
  }

  #take(length: number): Uint8Array {
    const start = this.#at;
    this.#at += length;
    assert(this.#at <= this.#memory.length, 'a slab has room for all that is numbered');
    return new Uint8Array(this.#memory.buffer, start, length);
  }
}

/** Holes side by side are one. */
function addHole(drafts: Draft[], offset: number, length: number): void {
  const last = drafts.at(-1);
  if (last?.kind !== 'hole') drafts.push({ kind: 'hole', offset, length });
  else drafts[drafts.length - 1] = { kind: 'hole', offset: last.offset, length: last.length + length };
}

/** Parts that lie one behind the other as one. */
function joined(parts: readonly Uint8Array[]): readonly Uint8Array[] {
  const runs: Uint8Array[] = [];
  for (const part of parts) {
    const last = runs.at(-1);
    const isNext = last !== undefined && last.byteOffset + last.length === part.byteOffset;
    if (isNext) runs[runs.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.length + part.length);
    else runs.push(part);
  }
  return runs;
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) act();
    isDone = true;
  };
}
