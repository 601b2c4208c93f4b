/**
 * The thread that writes SQLite metadata: a connection of its own, one transaction after the other. Rows are written as
 * they come in, and become durable with the end of their write; when one is refused, the rest of its write is passed
 * over and the end says why. Started and spoken to by writer-thread.ts.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../base/index.ts';
import { openNodeSqlite } from './node-sqlite.ts';
import { readRowRuns } from './row-runs.ts';
import { faultOfSql } from './sql-fault.ts';
import { configure, SqliteWriting } from './sqlite-writing.ts';
import { sentOf, type WriterAnswer, type WriterRequest, type WriterStart } from './writer-messages.ts';

const BUSY_MS_MAX = 10_000;

const port = parentPort;
assert(port !== null, 'this file runs as a worker thread');
const { path, settings } = workerData as WriterStart;
const db = openNodeSqlite(path, { isShared: true });
// Nobody else writes while this thread may; what the other connection does at the same time is over in a moment.
db.exec(`PRAGMA busy_timeout = ${BUSY_MS_MAX}`);
configure(db, settings);
const writing = new SqliteWriting(db);

/** A write that has begun, and how it went so far. */
let state: 'none' | 'open' | { readonly refusal: unknown } = 'none';

function begin(): void {
  try {
    writing.begin();
    state = 'open';
  } catch (error) {
    state = { refusal: error };
  }
}

function refuse(error: unknown): void {
  state = { refusal: faultOfSql(error, 'commit') };
  writing.rollBack(error);
}

function take(bytes: Uint8Array<ArrayBuffer>): void {
  if (state === 'none') begin();
  if (state !== 'open') return;
  try {
    readRowRuns(bytes, writing);
  } catch (error) {
    refuse(error);
  }
}

function end(isGivenUp: boolean): void {
  try {
    if (state === 'open' && !isGivenUp) writing.commit();
    else if (state === 'open') writing.rollBack(undefined);
  } catch (error) {
    refuse(error);
  }
  const ended = state;
  state = 'none';
  if (typeof ended === 'string' || isGivenUp) answer({ kind: 'done' });
  else answer({ kind: 'failed', error: sentOf(ended.refusal), isBroken: writing.broken !== undefined });
}

function answer(message: WriterAnswer): void {
  port?.postMessage(message);
}

port.on('message', (request: WriterRequest) => {
  if (request.kind === 'rows') take(request.bytes);
  else if (request.kind === 'end') end(request.isGivenUp);
  else {
    db.close();
    answer({ kind: 'done' });
    port.close();
  }
});
answer({ kind: 'ready' });
