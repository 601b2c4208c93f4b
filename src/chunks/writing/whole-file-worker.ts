/**
 * The thread that takes small files whole: gets the number of a memory and a list of files, leaves their records
 * in the memory, answers what whole-file.ts says of them. Keeps nothing between messages.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../base/index.ts';
import { type AskedFile, WholeFileTaker, type WholeFileTakerOptions } from './whole-file.ts';

export interface TakeStart extends WholeFileTakerOptions {
  readonly memories: readonly SharedArrayBuffer[];
  /** Beside each memory: bytes of files that have no path, one behind the other. */
  readonly held: readonly SharedArrayBuffer[];
}

export interface TakeRequest {
  readonly memory: number;
  readonly files: readonly AskedFile[];
}

export interface TakeAnswer {
  readonly memory: number;
  readonly numbers: Uint32Array<ArrayBuffer>;
}

const port = parentPort;
assert(port !== null, 'this file runs as a worker thread');
const start = workerData as TakeStart;
const memories = start.memories.map((memory) => Buffer.from(memory));
const held = start.held.map((bytes) => new Uint8Array(bytes));
const taker = new WholeFileTaker({ ...start, secret: new Uint8Array(start.secret) });

port.on('message', ({ memory, files }: TakeRequest) => {
  const room = memories[memory];
  assert(room !== undefined, 'a request names a memory', { memory });
  const numbers = taker.take(files, room, held[memory]);
  const answer: TakeAnswer = { memory, numbers };
  port.postMessage(answer, [numbers.buffer]);
});
