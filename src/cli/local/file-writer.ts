/**
 * Small files onto the caller's disk by a thread: their bytes are copied into a block that both share, and a block that
 * is full, or the last one, is written there while this thread brings the next. To make a file, with its mode, its time
 * and its name, costs the kernel more than anything else about a small one.
 *
 * Holds BLOCKS of BLOCK_BYTES; whoever has more to write waits. The thread is started with the first block. When it
 * dies, what it was at is named as not written, and the rest is refused as `isUsable` says.
 */
import { Worker } from 'node:worker_threads';
import { Fault, type FaultCode, type Maybe } from '../../base/index.ts';
import { BLOCK_BYTES } from './local-blocks.ts';
import { textOfRaw } from './raw.ts';
import type { WholeFile } from './write-local.ts';

/** One is filled, one is written, one waits for whichever is faster. */
const BLOCKS = 3;
/** Files that one block holds at most: their names are a message. */
const BLOCK_FILES_MAX = 128;

/** Heap of the thread: it holds the names of one block. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 } as const;

/** Called with undefined when the file stands under its name, else with why it does not. What it rejects with ends all. */
export type Written = (refused: unknown) => Maybe<void>;

export interface FileWriterStart {
  readonly blocks: readonly SharedArrayBuffer[];
}

export interface WriteRequest {
  readonly block: number;
  /** One behind the other in the block. */
  readonly files: readonly { readonly file: WholeFile; readonly length: number }[];
}

export interface WriteAnswer {
  readonly block: number;
  readonly refusals: readonly Refusal[];
}

/** A file of the request, by number, and what a Fault says. */
export interface Refusal {
  readonly number: number;
  readonly code: FaultCode;
  readonly sentence: string;
  readonly about: Record<string, unknown>;
}

interface Block {
  readonly number: number;
  readonly bytes: Uint8Array;
  filled: number;
  files: { readonly file: WholeFile; readonly length: number; readonly written: Written }[];
}

export class FileWriter implements AsyncDisposable {
  readonly #blocks: readonly Block[];
  readonly #shared: readonly SharedArrayBuffer[];
  readonly #free: Block[];
  #filling: Block | undefined;
  #worker: Worker | undefined;
  /** Handed to the thread; answered in this order. */
  readonly #sent = new Set<Block>();
  /** Being told; one block after the other. */
  #telling: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;
  #isLost = false;
  #room = Promise.withResolvers<void>();

  constructor() {
    this.#shared = Array.from({ length: BLOCKS }, () => new SharedArrayBuffer(BLOCK_BYTES));
    this.#blocks = this.#shared.map((shared, number) => ({
      number,
      bytes: new Uint8Array(shared),
      filled: 0,
      files: [],
    }));
    this.#free = [...this.#blocks];
  }

  /** Whether it takes more. */
  get isUsable(): boolean {
    return !this.#isLost;
  }

  /** Copies the bytes, BLOCK_BYTES at most; resolves then, when there is room. @throws what ended all. */
  async add(file: WholeFile, bytes: Uint8Array, written: Written): Promise<void> {
    const filling = this.#filling;
    const isFull = filling !== undefined && filling.filled + bytes.length > BLOCK_BYTES;
    if (isFull) this.#send();
    while (this.#filling === undefined && this.#failure === undefined) {
      this.#filling = this.#free.pop();
      if (this.#filling === undefined) await this.#room.promise;
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    const block = this.#filling as Block;
    block.bytes.set(bytes, block.filled);
    block.filled += bytes.length;
    block.files.push({ file, length: bytes.length, written });
    if (block.files.length === BLOCK_FILES_MAX) this.#send();
  }

  /** Resolves when all files have been told of. @throws what ended all. */
  async settle(): Promise<void> {
    await this.wait();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The same for a way out that already has a failure. */
  async wait(): Promise<void> {
    this.#send();
    while (this.#sent.size > 0) await this.#room.promise;
    await this.#telling;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.wait();
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #send(): void {
    const block = this.#filling;
    if (block === undefined) return;
    this.#filling = undefined;
    this.#sent.add(block);
    if (this.#isLost) {
      this.#lose(undefined);
      return;
    }
    const worker = this.#worker ?? this.#start();
    worker.ref();
    const files = block.files.map(({ file, length }) => ({ file, length }));
    worker.postMessage({ block: block.number, files } satisfies WriteRequest);
  }

  #start(): Worker {
    const workerData: FileWriterStart = { blocks: this.#shared };
    const worker = new Worker(new URL('./file-writer-worker.ts', import.meta.url), {
      workerData,
      resourceLimits: WORKER_LIMITS,
      // Nothing of the process's own flags (inspectors, test runners) belongs into a worker.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    worker.on('message', ({ block, refusals }: WriteAnswer) => {
      const refused = new Map(refusals.map((refusal) => [refusal.number, faultOf(refusal)]));
      const done = this.#blocks[block];
      if (done !== undefined) this.#tell(done, (number) => refused.get(number));
    });
    worker.on('error', (error) => this.#lose(error));
    worker.on('exit', () => this.#lose(undefined));
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  /** Says of each file what became of it; the block is free then. */
  #tell(block: Block, refusedOf: (number: number, file: WholeFile) => unknown): void {
    const { files } = block;
    block.files = [];
    block.filled = 0;
    const tell = async (): Promise<void> => {
      for (const [number, { file, written }] of files.entries()) await written(refusedOf(number, file));
    };
    this.#telling = this.#telling.then(tell).catch((error: unknown) => {
      this.#failure ??= { error };
    });
    void this.#telling.then(() => {
      this.#sent.delete(block);
      this.#free.push(block);
      if (this.#sent.size === 0) this.#worker?.unref();
      this.#room.resolve();
      this.#room = Promise.withResolvers();
    });
  }

  /** Of one that was ended on purpose nothing is awaited. */
  #lose(cause: unknown): void {
    this.#isLost = true;
    for (const block of this.#sent) {
      if (block.files.length === 0) continue;
      this.#tell(block, (_, { path }) => {
        const local = textOfRaw(path);
        return new Fault(
          'io',
          `A thread that writes files ended; ${local} was not written. Try again.`,
          { local },
          cause,
        );
      });
    }
  }
}

function faultOf({ code, sentence, about }: Refusal): Fault {
  return new Fault(code, sentence, about);
}
