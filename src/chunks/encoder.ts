/**
 * From chunks to records in a pack, in batches: a chunk is copied into the batch that is filling; a full batch is
 * encoded (in a worker thread, or here when it has little or nothing to compress) and appended with one write.
 *
 * Batching follows the load, as in a group commit: when somebody waits and nothing is under way, a batch starts at once
 * however small; what comes meanwhile gathers in the next one. So one writer alone never waits for company, and many
 * small ones share. Memory is the fixed number of batches; `room` is where writers wait.
 */
import { assert, type Clock, Fault } from '../base/index.ts';
import type { ChunkId, PackId, RealmId } from '../meta/index.ts';
import {
  BATCH_COUNT_MAX,
  type BatchMemory,
  batchMemoryBytes,
  batchMemoryOf,
  encodeBatch,
  encodedAt,
  placeChunk,
} from './batch.ts';
import type { CompressionLevel } from './chunk-store.ts';
import type { Compressibility } from './compressibility.ts';
import { EncodeThreads } from './encode-threads.ts';
import type { NewPlace, OpenPack } from './open-pack.ts';
import type { ChunkStoreOptions } from './options.ts';
import type { PackWriter } from './pack-writer.ts';

/** Batches with fewer bytes to compress are encoded on the main thread: a message and a wake-up cost as much. */
const THREAD_BYTES_MIN = 64 * 1024;
/** Bytes compressed on the main thread before worker threads are started at all. */
const MAIN_BYTES_MAX = 1024 * 1024;
/** Batches under way below which a waiting one starts without being full. */
const EAGER_BATCHES = 2;

/** A chunk that this process stores: being encoded, or appended, or failed. */
export interface NewChunk {
  readonly id: ChunkId;
  readonly key: string;
  readonly plainLength: number;
  /** The pack whose record of this chunk is damaged, when this one is to take its place. */
  readonly heals: PackId | undefined;
  /** Resolves when it is appended or failed; never rejects. */
  readonly settled: Promise<void>;
  /** Set when it is appended. */
  pack: OpenPack | undefined;
  /** End of its record in the pack, and the bytes of the record. */
  endBytes: number;
  storedLength: number;
  /** Set when it could not be stored, or when what was appended got lost before it was durable. */
  fault: unknown;
}

interface Batch {
  readonly number: number;
  readonly memory: BatchMemory;
  chunks: { readonly chunk: NewChunk; readonly compressibility: Compressibility }[];
  /** Where the next chunk goes. */
  at: number;
  bytesToCompress: number;
  settle: () => void;
  settled: Promise<void>;
}

export interface EncoderContext {
  readonly realm: RealmId;
  readonly packs: PackWriter;
  readonly chunkBytesMax: number;
  readonly clock: Clock;
  readonly options: ChunkStoreOptions;
  readonly onFailed: (chunk: NewChunk) => void;
}

export class Encoder implements AsyncDisposable {
  readonly #context: EncoderContext;
  readonly #threads: EncodeThreads | undefined;
  readonly #batches: readonly Batch[];
  readonly #free: Batch[];
  #filling: Batch | undefined;
  /** Encoding or appending. */
  readonly #underWay = new Set<Promise<void>>();
  #isFlushWanted = false;
  #mainBytesLeft = MAIN_BYTES_MAX;
  readonly #line: (() => void)[] = [];

  constructor(context: EncoderContext) {
    this.#context = context;
    const { workerCount, batchesInFlight, batchBytes } = context.options;
    const memoryBytes = batchMemoryBytes(batchBytes, context.chunkBytesMax);
    this.#batches = Array.from({ length: Math.max(2, batchesInFlight) }, (_, number) => newBatch(number, memoryBytes));
    this.#free = [...this.#batches];
    const memories = this.#batches.map(({ memory }) => memory.shared);
    this.#threads =
      workerCount === 0 ? undefined : new EncodeThreads({ count: workerCount, memories, clock: context.clock });
  }

  /** Whether the chunks of one window can be added now, in this synchronous turn. */
  get hasRoom(): boolean {
    return this.#free.length > 0;
  }

  /** Resolves when a batch has become free; somebody else may have taken it, so ask `hasRoom` again. */
  async room(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw Fault.aborted(signal, 'Writing');
    await new Promise<void>((turn) => this.#line.push(turn));
  }

  /** Copies the chunk into the batch that is filling. Needs `room`. */
  add(chunk: {
    readonly id: ChunkId;
    readonly key: string;
    readonly plain: Uint8Array;
    readonly level: CompressionLevel;
    readonly compressibility: Compressibility;
    readonly heals: PackId | undefined;
    /** It is noise by all one knows. Then zstd gives up so early that a thread is not worth its message. */
    readonly isNoise: boolean;
  }): NewChunk {
    const batch = this.#filling ?? this.#takeFree();
    this.#filling = batch;
    const { id, key, plain, level, heals, isNoise } = chunk;
    batch.at = placeChunk(batch.memory, {
      ...chunk,
      number: batch.chunks.length,
      at: batch.at,
      realm: this.#context.realm,
    });
    if (level !== 'none' && !isNoise) batch.bytesToCompress += plain.length;
    const added: NewChunk = {
      id,
      key,
      plainLength: plain.length,
      heals,
      settled: batch.settled,
      pack: undefined,
      endBytes: 0,
      storedLength: 0,
      fault: undefined,
    };
    batch.chunks.push({ chunk: added, compressibility: chunk.compressibility });
    if (batch.at >= this.#context.options.batchBytes || batch.chunks.length === BATCH_COUNT_MAX) this.#start();
    return added;
  }

  /** Somebody waits for the chunks added so far. */
  flush(): void {
    if (this.#filling === undefined || this.#isFlushWanted) return;
    this.#isFlushWanted = true;
    // Behind everything that is ready to run, so that writers that end together share a batch.
    setImmediate(() => this.#startWanted());
  }

  /** Waits until everything added is settled. */
  async drain(): Promise<void> {
    while (this.#filling !== undefined || this.#underWay.size > 0) {
      this.#start();
      await Promise.all(this.#underWay);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
    await this.#threads?.[Symbol.asyncDispose]();
  }

  #takeFree(): Batch {
    const batch = this.#free.pop();
    assert(batch !== undefined, 'whoever adds a chunk has waited for room');
    return batch;
  }

  #startWanted(): void {
    if (!this.#isFlushWanted || this.#underWay.size >= EAGER_BATCHES) return;
    this.#start();
  }

  #start(): void {
    const batch = this.#filling;
    if (batch === undefined) return;
    this.#filling = undefined;
    this.#isFlushWanted = false;
    const done = this.#store(batch).finally(() => {
      this.#underWay.delete(done);
      this.#release(batch);
    });
    this.#underWay.add(done);
  }

  /** Never rejects. */
  async #store(batch: Batch): Promise<void> {
    try {
      const lengthBytes = await this.#encode(batch);
      const places = batch.chunks.map(({ chunk }, number) => placeOf(batch, chunk, number));
      const parts = [batch.memory.data.subarray(0, lengthBytes)];
      const { pack, offset } = await this.#context.packs.append({ parts, places, lengthBytes });
      for (const [number, { chunk }] of batch.chunks.entries()) {
        const place = places[number];
        assert(place !== undefined, 'every chunk has a place');
        chunk.pack = pack;
        chunk.storedLength = place.length;
        chunk.endBytes = offset + place.offset + place.length;
      }
    } catch (error) {
      for (const { chunk } of batch.chunks) {
        chunk.fault = error;
        this.#context.onFailed(chunk);
      }
    }
  }

  #encode(batch: Batch): number | Promise<number> {
    const { bytesToCompress } = batch;
    const isForMain = bytesToCompress < THREAD_BYTES_MIN || bytesToCompress <= this.#mainBytesLeft;
    if (this.#threads === undefined || isForMain) {
      this.#mainBytesLeft -= bytesToCompress;
      return encodeBatch(batch.memory, batch.chunks.length);
    }
    return this.#threads.encode(batch.number, batch.chunks.length);
  }

  #release(batch: Batch): void {
    batch.settle();
    resetBatch(batch);
    this.#free.push(batch);
    // All of them: one that turns out to have nothing new to store would not hand its turn on.
    for (const turn of this.#line.splice(0)) turn();
    this.#startWanted();
  }
}

function placeOf(batch: Batch, chunk: NewChunk, number: number): NewPlace {
  const { offset, length, wasTried, isSmaller } = encodedAt(batch.memory, number);
  if (wasTried) batch.chunks[number]?.compressibility.tried(isSmaller);
  return { key: chunk.key, offset, length, isHeal: chunk.heals !== undefined };
}

function newBatch(number: number, memoryBytes: number): Batch {
  const memory = batchMemoryOf(new SharedArrayBuffer(memoryBytes));
  const batch = { number, memory, chunks: [], at: 0, bytesToCompress: 0, settle: () => {}, settled: Promise.resolve() };
  resetBatch(batch);
  return batch;
}

function resetBatch(batch: Batch): void {
  const { promise, resolve } = Promise.withResolvers<void>();
  batch.chunks = [];
  batch.at = 0;
  batch.bytesToCompress = 0;
  batch.settle = resolve;
  batch.settled = promise;
}
