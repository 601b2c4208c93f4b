/** The bulk routes: many files up, down and away in one request, and the plan for making two trees one. */
import {
  BATCH_OPERATIONS_MAX,
  type BatchOperation,
  type BulkAnswer,
  type BulkFailed,
  type BulkResult,
  type BulkUploaded,
  FAULT_MEANINGS,
  type FaultMeaning,
  type Problem,
  problemOfFault,
  type Target,
} from '../../api/index.ts';
import { Fault, type FaultCode, hexOf } from '../../base/index.ts';
import type { Answer } from '../exchange/answer.ts';
import { answeredFault } from '../exchange/answered-fault.ts';
import { arrivalOf } from '../exchange/arrival.ts';
import type { Exchange, Handlers } from '../exchange/exchange.ts';
import { FRAMES_TYPE, filesOf, framed, inParts } from './bulk-download.ts';
import { uploadMany } from './bulk-upload.ts';
import { present } from './file-handlers.ts';
import { answerSync } from './sync-plan.ts';

const NO_STORE = { 'cache-control': 'no-store', vary: 'Accept' } as const;

async function upload(exchange: Exchange<'bulkUpload'>): Promise<Answer> {
  const { accept, prefer } = exchange.headers;
  if (accepts(accept, 'application/x-ndjson')) {
    const headers = { 'content-type': 'application/x-ndjson', ...NO_STORE };
    return { kind: 'stream', status: 200, headers, pieces: uploadLines(exchange), readsBody: true };
  }
  const isWanted = /(^|,)\s*return=representation\s*(,|;|$)/i.test(String(prefer ?? ''));
  const answer: Required<BulkAnswer> = { success: [], failed: [], results: [] };
  for await (const result of uploadMany(exchange)) {
    if (result.ok) answer.success.push(result.path);
    else answer.failed.push(failedOf(result.path, faultOf(exchange, result.fault)));
    if (isWanted) answer.results.push(uploadedOf(exchange, result));
  }
  const { results, ...rest } = answer;
  return { kind: 'json', status: 200, json: isWanted ? { ...rest, results } : rest };
}

function accepts(accept: string | undefined, type: string): boolean {
  return accept?.split(',').some((one) => one.split(';')[0]?.trim().toLowerCase() === type) ?? false;
}

async function* uploadLines(exchange: Exchange<'bulkUpload'>): AsyncGenerator<string> {
  let [done, failed] = [0, 0];
  for await (const result of uploadMany(exchange)) {
    if (result.ok) done++;
    else failed++;
    yield `${JSON.stringify(uploadedOf(exchange, result))}\n`;
  }
  yield `${JSON.stringify({ done, failed })}\n`;
}

function uploadedOf(exchange: Exchange, result: BulkResult): BulkUploaded {
  const { path } = result;
  if (result.ok) return { path, ok: true, record: result.record };
  return { path, ok: false, problem: problemOf(exchange, result.fault, path) };
}

/** Of an error that belongs to one file. What is no fault is a bug, and says nothing of itself. */
function faultOf(exchange: Exchange, error: Error): Fault {
  return answeredFault(error, exchange.headers).fault;
}

function problemOf(exchange: Exchange, error: Error, path: string | undefined): Problem {
  return problemOfFault(faultOf(exchange, error), { request: arrivalOf(exchange.message).request, path });
}

function failedOf(path: string, fault: { readonly code: string; readonly message: string }): BulkFailed {
  const meaning: FaultMeaning | undefined = FAULT_MEANINGS[fault.code as FaultCode];
  return { path, error: fault.message, error_code: meaning?.olderCode ?? fault.code, code: fault.code };
}

async function download(exchange: Exchange<'bulkDownload'>): Promise<Answer> {
  const { paths = [], file_ids = [] } = await exchange.body(exchange.door.options.batchBytesMax);
  const targets: readonly Target[] = [...paths.map((path) => ({ path })), ...file_ids.map((id) => ({ id }))];
  const { at } = exchange.query;
  if (at !== undefined) await checkMoment(exchange, at);
  const files = filesOf(exchange.service, targets, { ...present({ at }), signal: exchange.signal });
  const problem = (fault: Error, target: Target): Problem =>
    problemOf(exchange, fault, 'path' in target ? target.path : undefined);
  if (accepts(exchange.headers.accept, FRAMES_TYPE)) {
    const headers = { 'content-type': FRAMES_TYPE, ...NO_STORE };
    return { kind: 'stream', status: 200, headers, pieces: framed(files, problem) };
  }
  // Of chance, so that no content has it in it.
  const boundary = `holdfast-${hexOf(exchange.door.random.bytes(16))}`;
  const headers = { 'content-type': `multipart/mixed; boundary=${boundary}`, ...NO_STORE };
  return { kind: 'stream', status: 200, headers, pieces: inParts(files, boundary, problem) };
}

/** A moment that is none, or is not kept, is refused as a whole; what a snapshot does not show is so file by file. */
async function checkMoment({ service, signal }: Exchange, at: string): Promise<void> {
  try {
    await service.stat({ path: '/' }, { at, signal });
  } catch (error) {
    if (!Fault.is(error, 'not-found') || error.about.path === undefined) throw error;
  }
}

async function remove(exchange: Exchange<'bulkDelete'>): Promise<Answer> {
  const { service, signal, door } = exchange;
  const { paths, recursive = false, dry_run = false } = await exchange.body(door.options.batchBytesMax);
  const answer: BulkAnswer = { success: [], failed: [] };
  for (let from = 0; from < paths.length; from += BATCH_OPERATIONS_MAX) {
    const some = paths.slice(from, from + BATCH_OPERATIONS_MAX);
    const operations = some.map((path): BatchOperation => ({ op: 'delete', path, recursive }));
    const { results } = await service.batch({ operations, mode: 'best-effort', dry_run }, { signal });
    for (const { index, ok, code, error } of results) {
      const path = some[index] ?? '';
      if (ok) answer.success.push(path);
      else answer.failed.push(failedOf(path, { code: code ?? 'io', message: error ?? '' }));
    }
  }
  return { kind: 'json', status: 200, json: answer };
}

async function sync(exchange: Exchange<'bulkSync'>): Promise<Answer> {
  const { service, signal, door } = exchange;
  const body = await exchange.body(door.options.batchBytesMax);
  const answer = await answerSync({ service, body, entriesMax: door.options.syncEntriesMax, signal });
  return { kind: 'json', status: 200, json: answer };
}

export const bulkHandlers = {
  bulkUpload: upload,
  bulkDownload: download,
  bulkDelete: remove,
  bulkSync: sync,
} satisfies Partial<Handlers>;
