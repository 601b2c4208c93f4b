/**
 * The thread that compresses: gets the number of a batch memory and a count, encodes in place, answers the bytes.
 * Keeps nothing between messages; the memories are handed over once, when it starts.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../base/index.ts';
import { batchMemoryOf, encodeBatch } from './batch.ts';

export interface EncodeRequest {
  readonly batch: number;
  readonly count: number;
}

export interface EncodeAnswer {
  readonly batch: number;
  readonly lengthBytes: number;
}

const port = parentPort;
assert(port !== null, 'this file runs as a worker thread');
const memories = (workerData as readonly SharedArrayBuffer[]).map(batchMemoryOf);

port.on('message', ({ batch, count }: EncodeRequest) => {
  const memory = memories[batch];
  assert(memory !== undefined, 'a batch names a memory', { batch });
  const answer: EncodeAnswer = { batch, lengthBytes: encodeBatch(memory, count) };
  port.postMessage(answer);
});
