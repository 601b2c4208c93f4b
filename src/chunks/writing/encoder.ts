/**
 * From chunks to records in a pack, in batches: a chunk is copied into the batch that is filling; a full batch is
 * encoded (in a worker thread, or here when it has little or nothing to compress) and appended with one write.
 * A long stream fills batches of its own with bytes as they come, blocks, which a thread cuts and later encodes where
 * they lie.
 *
 * Batching follows the load, as in a group commit: when somebody waits and nothing is under way, a batch starts at once
 * however small; what comes meanwhile gathers in the next one. So one writer alone never waits for company, and many
 * small ones share. Memory is the fixed number of batches; `room` is where writers wait.
 */
import { assert, type Clock, Fault } from '../../base/index.ts';
import type { ChunkId, PackId, RealmId } from '../../meta/index.ts';
import type { ChunkFormat, CompressionLevel } from '../chunk-store.ts';
import type { Compressibility } from '../cutting/compressibility.ts';
import { bufferOf } from '../hashes/content-hash.ts';
import type { ChunkStoreOptions } from '../options.ts';
import type { NewPlace, OpenPack } from '../packs/open-pack.ts';
import type { PackWriter } from '../packs/pack-writer.ts';
import {
  BATCH_COUNT_MAX,
  type BatchMemory,
  batchMemoryBytes,
  batchMemoryOf,
  blockBytesOf,
  blockStartOf,
  decideCut,
  encodeBatch,
  encodedAt,
  placeChunk,
} from './batch.ts';
import { type CutStream, EncodeThreads } from './encode-threads.ts';

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
  /** `number` is the one in the batch's table. */
  chunks: { readonly number: number; readonly chunk: NewChunk; readonly compressibility: Compressibility }[];
  /** Where the next chunk goes; of a block, the bytes it was filled with. */
  at: number;
  /** Asks whoever fills the block to be done with it. */
  onWanted: (() => void) | undefined;
  /** Chunks of a block that was cut; undefined for a batch that is no block. */
  cutCount: number | undefined;
  bytesToCompress: number;
  settle: () => void;
  settled: Promise<void>;
}

/** A batch that one writer fills, has cut, and then stores or drops. */
export type Block = Pick<Batch, 'number' | 'memory' | 'at'>;

/** A chunk to store. */
export interface ChunkToStore {
  readonly id: ChunkId;
  readonly key: string;
  readonly level: CompressionLevel;
  readonly compressibility: Compressibility;
  readonly heals: PackId | undefined;
}

export interface EncoderContext {
  readonly realm: RealmId;
  readonly packs: PackWriter;
  readonly format: ChunkFormat;
  readonly secret: Uint8Array;
  readonly clock: Clock;
  readonly options: ChunkStoreOptions;
  readonly onFailed: (chunk: NewChunk) => void;
}

export class Encoder implements AsyncDisposable {
  readonly #context: EncoderContext;
  readonly #threads: EncodeThreads | undefined;
  readonly #batches: readonly Batch[];
  readonly #free: Batch[];
  /** Bytes that a block takes. */
  readonly blockBytes: number;
  /** Where they begin. */
  readonly #blockStart: number;
  #filling: Batch | undefined;
  /** Encoding or appending. */
  readonly #underWay = new Set<Promise<void>>();
  #isFlushWanted = false;
  #mainBytesLeft = MAIN_BYTES_MAX;
  readonly #line: (() => void)[] = [];

  constructor(context: EncoderContext) {
    this.#context = context;
    const { clock, realm, format, secret } = context;
    const { workerCount, batchesInFlight, batchBytes } = context.options;
    const memoryBytes = batchMemoryBytes(batchBytes, format.chunkBytesMax);
    this.#blockStart = blockStartOf(format);
    this.blockBytes = blockBytesOf(batchBytes, format);
    this.#batches = Array.from({ length: Math.max(2, batchesInFlight) }, (_, number) => newBatch(number, memoryBytes));
    this.#free = [...this.#batches];
    const memories = this.#batches.map(({ memory }) => memory.shared);
    const workerData = { memories, realm, format, secret };
    this.#threads = workerCount === 0 ? undefined : new EncodeThreads({ count: workerCount, workerData, clock });
  }

  /** Whether the chunks of one window can be added now, in this synchronous turn. */
  get hasRoom(): boolean {
    return this.#free.length > 0;
  }

  /** Resolves when a batch has become free; somebody else may have taken it, so ask `hasRoom` again. */
  async room(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw Fault.aborted(signal, 'Writing');
    for (const { onWanted } of this.#batches) onWanted?.();
    await new Promise<void>((turn) => this.#line.push(turn));
  }

  /** Copies the chunk into the batch that is filling. Needs `room`. */
  add(
    chunk: ChunkToStore & {
      readonly plain: Uint8Array;
      /** It is noise by all one knows. Then zstd gives up so early that a thread is not worth its message. */
      readonly isNoise: boolean;
    },
  ): NewChunk {
    const batch = this.#filling ?? this.#takeFree();
    this.#filling = batch;
    const { plain, level, isNoise, compressibility } = chunk;
    const number = batch.chunks.length;
    batch.at = placeChunk(batch.memory, { ...chunk, number, at: batch.at, realm: this.#context.realm });
    if (level !== 'none' && !isNoise) batch.bytesToCompress += plain.length;
    const added = newChunkOf(chunk, plain.length, batch.settled);
    batch.chunks.push({ number, chunk: added, compressibility });
    if (batch.at >= this.#context.options.batchBytes || batch.chunks.length === BATCH_COUNT_MAX) this.#start();
    return added;
  }

  /** A stream to be cut in a thread; undefined where there are none, or chunks so small that blocks would be too. */
  openStream(): CutStream | undefined {
    return this.blockBytes < 2 * this.#context.format.chunkBytesMax ? undefined : this.#threads?.openStream();
  }

  /**
   * An empty block, to be stored or dropped: once `onWanted` is called, which may be more than once, without waiting for
   * more bytes. Needs `room`.
   */
  takeBlock(onWanted: () => void): Block {
    const block = this.#takeFree();
    block.cutCount = 0;
    block.onWanted = onWanted;
    return block;
  }

  /** Copies what there is room for behind what the block has; answers how much that was. */
  fillBlock(block: Block, bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.blockBytes - block.at);
    bufferOf(bytes).copy(block.memory.buffer, this.#blockStart + block.at, 0, taken);
    block.at += taken;
    return taken;
  }

  /** Encodes and appends those of the block's `count` chunks that `toStore` names; it is free again by itself. */
  storeBlock(
    block: Block,
    count: number,
    toStore: readonly (ChunkToStore & { readonly number: number; readonly plainLength: number })[],
  ): readonly NewChunk[] {
    const batch = this.#batches[block.number];
    assert(batch?.cutCount !== undefined, 'a block is a batch that was taken');
    batch.cutCount = count;
    batch.onWanted = undefined;
    for (let number = 0; number < count; number++) decideCut(batch.memory, number, undefined);
    for (const chunk of toStore) {
      decideCut(batch.memory, chunk.number, chunk.level);
      const added = newChunkOf(chunk, chunk.plainLength, batch.settled);
      batch.chunks.push({ number: chunk.number, chunk: added, compressibility: chunk.compressibility });
    }
    const added = batch.chunks.map(({ chunk }) => chunk);
    if (added.length === 0) this.#release(batch);
    else this.#launch(batch);
    return added;
  }

  dropBlock(block: Block): void {
    const batch = this.#batches[block.number];
    assert(batch?.cutCount !== undefined, 'a block is a batch that was taken');
    this.#release(batch);
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
    this.#launch(batch);
  }

  #launch(batch: Batch): void {
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
      const places = batch.chunks.map((chunk) => placeOf(batch, chunk));
      const parts = [batch.memory.data.subarray(0, lengthBytes)];
      const { pack, offset } = await this.#context.packs.append({ parts, places, lengthBytes });
      for (const [index, { chunk }] of batch.chunks.entries()) {
        const place = places[index];
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
    const { bytesToCompress, cutCount } = batch;
    if (cutCount !== undefined && this.#threads !== undefined)
      return this.#threads.encode(batch.number, cutCount, 'encode-block');
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

function placeOf(batch: Batch, { number, chunk, compressibility }: Batch['chunks'][number]): NewPlace {
  const { offset, length, wasTried, isSmaller } = encodedAt(batch.memory, number);
  if (wasTried) compressibility.tried(isSmaller);
  return { key: chunk.key, offset, length, isHeal: chunk.heals !== undefined };
}

function newChunkOf({ id, key, heals }: ChunkToStore, plainLength: number, settled: Promise<void>): NewChunk {
  return { id, key, plainLength, heals, settled, pack: undefined, endBytes: 0, storedLength: 0, fault: undefined };
}

function newBatch(number: number, memoryBytes: number): Batch {
  const memory = batchMemoryOf(new SharedArrayBuffer(memoryBytes));
  const batch: Batch = {
    ...{ number, memory, chunks: [], at: 0, onWanted: undefined, cutCount: undefined, bytesToCompress: 0 },
    ...{ settle: () => {}, settled: Promise.resolve() },
  };
  resetBatch(batch);
  return batch;
}

function resetBatch(batch: Batch): void {
  const { promise, resolve } = Promise.withResolvers<void>();
  batch.chunks = [];
  batch.at = 0;
  batch.onWanted = undefined;
  batch.cutCount = undefined;
  batch.bytesToCompress = 0;
  batch.settle = resolve;
  batch.settled = promise;
}
