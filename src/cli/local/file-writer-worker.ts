/**
 * The thread that writes small files: gets the number of a block and the files whose bytes lie in it, puts each in its
 * place, and answers which ones the disk refused. Started and spoken to by file-writer.ts; keeps nothing between messages.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert, Fault } from '../../base/index.ts';
import type { FileWriterStart, Refusal, WriteAnswer, WriteRequest } from './file-writer.ts';
import { realDisk } from './local-disk.ts';
import { putInPlace } from './write-local.ts';

const port = parentPort;
assert(port !== null, 'this file runs as a worker thread');
const blocks = (workerData as FileWriterStart).blocks.map((block) => new Uint8Array(block));

port.on('message', ({ block, files }: WriteRequest) => {
  const bytes = blocks[block];
  assert(bytes !== undefined, 'a request names a block', { block });
  const refusals: Refusal[] = [];
  let at = 0;
  for (const [number, { file, length }] of files.entries()) {
    try {
      putInPlace(realDisk, file, bytes.subarray(at, at + length));
    } catch (error) {
      // Anything else is a bug, and ends the thread.
      if (!Fault.is(error)) throw error;
      refusals.push({ number, code: error.code, sentence: error.message, about: { ...error.about } });
    }
    at += length;
  }
  port.postMessage({ block, refusals } satisfies WriteAnswer);
});
