/**
 * The thread that cuts and compresses, in batch memories that are handed over once, when it starts. It answers with the
 * number of the batch. Between messages it keeps of each stream that it cuts what is behind the last cut, until the
 * stream ends or is dropped; so blocks of one stream go to one thread, in order.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../base/index.ts';
import type { RealmId } from '../../meta/index.ts';
import type { ChunkFormat } from '../chunk-store.ts';
import { newChunker } from '../cutting/chunker.ts';
import { ID_BYTES, newIdHasher } from '../hashes/ids.ts';
import { batchMemoryOf, cutBlock, encodeBatch, encodeBlock } from './batch.ts';

export interface EncodeWorkerData {
  readonly memories: readonly SharedArrayBuffer[];
  readonly realm: RealmId;
  readonly format: ChunkFormat;
  readonly secret: Uint8Array;
}

export type EncodeRequest =
  | { readonly kind: 'encode' | 'encode-block'; readonly batch: number; readonly count: number }
  | {
      readonly kind: 'cut';
      readonly batch: number;
      readonly stream: number;
      /** What another thread kept of the stream. */
      readonly tail: Uint8Array | undefined;
      /** Bytes of the stream in the block. */
      readonly length: number;
      readonly isLast: boolean;
      /** Whether to tell which chunks look like noise. */
      readonly asksNoise: boolean;
    }
  /** To `give` is answered with what is kept of the stream. */
  | { readonly kind: 'drop' | 'give'; readonly stream: number };

export type EncodeAnswer =
  /** Bytes of the records, or chunks that were cut. */
  { readonly batch: number; readonly answer: number } | { readonly stream: number; readonly tail: Uint8Array };

/** What is kept of a stream. */
interface Tail {
  readonly memory: Uint8Array;
  length: number;
}

const port = parentPort;
assert(port !== null, 'this file runs as a worker thread');
const { realm, format, secret, ...given } = workerData as EncodeWorkerData;
const memories = given.memories.map(batchMemoryOf);
const idBytes = ID_BYTES[format.idAlgorithm];
const windowBytes = Math.max(...given.memories.map(({ byteLength }) => byteLength));
const idOf = newIdHasher(format.idAlgorithm, secret);
const cutter = { format, chunker: newChunker(format, secret, { windowBytes }), idOf };
const tails = new Map<number, Tail>();
/**
 * Memory of streams that ended, as many as were open at once: little else here makes garbage that would bring the
 * collector to it, and a file of gigabytes comes as hundreds of streams.
 */
const spares: Uint8Array[] = [];

function memoryOf(batch: number): ReturnType<typeof batchMemoryOf> {
  const memory = memories[batch];
  assert(memory !== undefined, 'a batch names a memory', { batch });
  return memory;
}

function newTail(given: Uint8Array = new Uint8Array(0)): Tail {
  const memory = spares.pop() ?? Buffer.allocUnsafeSlow(format.chunkBytesMax);
  memory.set(given);
  return { memory, length: given.length };
}

/** What is kept of it is needed no more. */
function endTail(stream: number): void {
  const kept = tails.get(stream);
  tails.delete(stream);
  if (kept !== undefined) spares.push(kept.memory);
}

function cut(request: EncodeRequest & { readonly kind: 'cut' }): number {
  const { stream, length, isLast, asksNoise } = request;
  const kept = tails.get(stream) ?? newTail(request.tail);
  const block = { tail: kept.memory.subarray(0, kept.length), length, isLast, asksNoise };
  const { count, tail } = cutBlock(memoryOf(request.batch), cutter, block);
  kept.memory.set(tail);
  kept.length = tail.length;
  tails.set(stream, kept);
  if (isLast) endTail(stream);
  return count;
}

port.on('message', (request: EncodeRequest) => {
  if (request.kind === 'drop') endTail(request.stream);
  else port.postMessage(answerTo(request));
});

function answerTo(request: EncodeRequest): EncodeAnswer {
  if ('batch' in request) return { batch: request.batch, answer: workOn(request) };
  const { stream } = request;
  const kept = tails.get(stream);
  const tail = new Uint8Array(kept?.memory.subarray(0, kept.length) ?? []);
  endTail(stream);
  return { stream, tail };
}

function workOn(request: Extract<EncodeRequest, { readonly batch: number }>): number {
  const memory = memoryOf(request.batch);
  switch (request.kind) {
    case 'cut':
      return cut(request);
    case 'encode':
      return encodeBatch(memory, request.count);
    case 'encode-block':
      return encodeBlock(memory, request.count, { realm, idBytes });
  }
}
