/**
 * The thread that reads records: gets the bytes of one request and which records in them are wanted, checks header,
 * checksum and id of each, and answers all plain bytes in one buffer. What it cannot make sense of it only marks: the
 * main thread reads that record again by itself and finds the words for what is wrong.
 * Buffers are transferred, not copied; nothing is kept between messages.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../base/index.ts';
import type { IdAlgorithm } from '../chunk-store.ts';
import { ID_BYTES, newIdHasher } from '../hashes/ids.ts';
import { decodeRequest, recordsIn } from './decode-request.ts';

export interface DecodeWorkerData {
  readonly idAlgorithm: IdAlgorithm;
  readonly secret: Uint8Array;
}

export interface DecodeRequest {
  readonly job: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** See decodeRequest; absent: whatever records there are from the first byte on. */
  readonly wanted?: { readonly table: Uint32Array<ArrayBuffer>; readonly ids: Uint8Array<ArrayBuffer> } | undefined;
  /** Memory of an earlier answer, to be used again. */
  readonly spare?: Uint8Array<ArrayBuffer> | undefined;
}

export interface DecodeAnswer {
  readonly job: number;
  readonly plain: Uint8Array<ArrayBuffer>;
  readonly table: Uint32Array<ArrayBuffer>;
  /** Ids of the records, one behind the other. */
  readonly ids: Uint8Array;
  /** Where the last one ends in the bytes, when they were not named. */
  readonly endBytes: number;
}

const port = parentPort;
assert(port !== null, 'this file runs as a worker thread');
const { idAlgorithm, secret } = workerData as DecodeWorkerData;
const idOf = newIdHasher(idAlgorithm, secret);
const idBytes = ID_BYTES[idAlgorithm];

port.on('message', ({ job, bytes, wanted, spare }: DecodeRequest) => {
  const { table, ids, endBytes } = wanted === undefined ? recordsIn(bytes, idBytes) : { ...wanted, endBytes: 0 };
  const plain = decodeRequest({ bytes, table, ids, idOf, spare });
  // Given back now: nothing else here makes garbage that would bring the collector to it.
  if (plain.buffer !== bytes.buffer) bytes.buffer.transfer(0);
  if (spare !== undefined && plain.buffer !== spare.buffer) spare.buffer.transfer(0);
  const answer: DecodeAnswer = { job, plain, table, ids, endBytes };
  port.postMessage(answer, [plain.buffer, table.buffer]);
});
port.postMessage('ready');
