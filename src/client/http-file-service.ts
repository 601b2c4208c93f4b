/**
 * A FileService on the other side of a connection. It speaks the routes of the api room through an injected transport,
 * so that the same client runs in a browser, over TCP and over the control socket, and faults arrive as the faults they
 * were: code, sentence and `about`.
 *
 * Reads are tried again when the server cannot be reached or is busy; changes only when it is certain that nothing of
 * the request has arrived. A download that is shorter or longer than announced is a fault, never a short file.
 */
import {
  type AtOptions,
  type AttributeChange,
  type BatchAnswer,
  type BatchRequest,
  type BulkAnswer,
  type BulkItem,
  type BulkResult,
  type ByteSource,
  type CallOptions,
  type ChangePage,
  type ChangesQuery,
  type Changing,
  type CheckLine,
  type CheckOptions,
  type CheckReport,
  type DeletedOptions,
  type DeletedPage,
  type Expecting,
  type FileRead,
  type FileRecord,
  type FileService,
  faultOfProblem,
  type GcLine,
  type GcOptions,
  type GcReport,
  type GcStatus,
  type ListOptions,
  type ListPage,
  type LockChange,
  type LockList,
  type LockOptions,
  type LockRecord,
  type LogPage,
  type LogQuery,
  type MoveOptions,
  type PruneOptions,
  type PrunePlan,
  pathOfText,
  type ReadOptions,
  type Removed,
  type RemoveOptions,
  type RepairLine,
  type RepairOptions,
  type RepairReport,
  type RestoreOptions,
  type RestorePlan,
  type RestoreTreeOptions,
  type RouteId,
  routeOf,
  type SearchQuery,
  type ServerInfo,
  type SnapshotOptions,
  type SnapshotPage,
  type SnapshotRecord,
  type StoreStats,
  type Target,
  type Transport,
  type TransportAnswer,
  type Usage,
  type UsageQuery,
  urlOfPath,
  urlOfRoute,
  type VersionPage,
  type VersionsOptions,
  type WriteOptions,
} from '../api/index.ts';
import {
  bytesOfHex,
  type Clock,
  concatBytes,
  Fault,
  hexOf,
  type Random,
  retry,
  systemClock,
  systemRandom,
  textOfUtf8,
  utf8,
} from '../base/index.ts';
import { writeManyThrough } from './bulk-writes.ts';
import { httpUploads } from './http-uploads.ts';
import { linesOf } from './lines.ts';

export interface HttpFileServiceOptions {
  readonly transport: Transport;
  /** In front of every path of the API, without a slash at its end; none when absent. */
  readonly baseUrl?: string;
  /** For the waits between tries; the system's when absent. */
  readonly clock?: Clock;
  readonly random?: Random;
  /** Tries in all of what is safe to try again; 4 when absent. */
  readonly attemptsMax?: number;
}

const ATTEMPTS_MAX = 4;
const RETRY_DELAY_MS = 50;
const RETRY_DELAY_MS_MAX = 2_000;
/** Bytes of an answer that is not a file: a page of 1,000 records with long names has 10 MB. */
const JSON_BYTES_MAX = 64 * 1024 * 1024;

interface Call {
  readonly path?: string | undefined;
  readonly id?: number | undefined;
  readonly upload?: string | undefined;
  readonly part?: number | undefined;
  readonly query?: object | undefined;
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
  readonly json?: unknown;
  readonly body?: Uint8Array | ByteSource | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class HttpFileService implements FileService {
  readonly #options: HttpFileServiceOptions;
  readonly uploads = httpUploads({
    ask: (id, call) => this.#json(id, call),
    exactly,
    digestOf: (sha256) => `sha-256=:${base64OfHex(sha256)}:`,
  });

  constructor(options: HttpFileServiceOptions) {
    this.#options = options;
  }

  async info(options: CallOptions = {}): Promise<ServerInfo> {
    return this.#json('health', { signal: options.signal });
  }

  async stat(target: Target, options: AtOptions & { readonly withAttributes?: boolean } = {}): Promise<FileRecord> {
    const query = { attributes: options.withAttributes, at: options.at };
    return this.#json('path' in target ? 'recordRead' : 'recordReadById', { ...target, query, signal: options.signal });
  }

  async list(target: Target, options: ListOptions = {}): Promise<ListPage> {
    const { cursor, limit, kind, glob, withAttributes, at, signal } = options;
    const query = { cursor, limit, kind, glob, attributes: withAttributes, at };
    return this.#json('path' in target ? 'folderList' : 'folderListById', { ...target, query, signal });
  }

  async *manifest(target: Target, options: AtOptions = {}): AsyncGenerator<FileRecord> {
    const query = { ...('path' in target ? { path: target.path } : { file_id: target.id }), at: options.at };
    const headers = { accept: 'application/x-ndjson' };
    const answer = await this.#answer('manifest', { query, headers, signal: options.signal });
    for await (const line of linesOf(answer.body)) yield JSON.parse(line) as FileRecord;
  }

  async makeFolder(
    path: string,
    options: Changing & {
      readonly parents?: boolean;
      readonly permissions?: number;
      readonly idempotencyKey?: string;
    } = {},
  ): Promise<FileRecord> {
    const query = { parents: options.parents, mode: options.permissions };
    const headers = keysOf(options);
    return this.#json('folderCreate', { path, query, headers, signal: options.signal });
  }

  async write(path: string, source: ByteSource, options: WriteOptions): Promise<FileRecord> {
    const id = options.mode === 'create' ? 'fileCreate' : 'filePut';
    const create = options.mode === 'put' ? true : undefined;
    const query = { create, parents: options.parents, ...expected(options) };
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': options.size === undefined ? undefined : String(options.size),
      'x-file-hash': options.xxhash3,
      'content-digest': options.sha256 === undefined ? undefined : `sha-256=:${base64OfHex(options.sha256)}:`,
      'x-modified-time': options.modified,
      'x-file-mode': options.permissions?.toString(8),
      ...keysOf(options),
    };
    const body = options.size === undefined ? source : exactly(source, options.size);
    return this.#json(id, { path, query, headers, body, signal: options.signal });
  }

  writeMany(items: AsyncIterable<BulkItem> | Iterable<BulkItem>, options: Changing = {}): AsyncIterable<BulkResult> {
    const boundary = `holdfast-${hexOf((this.#options.random ?? systemRandom).bytes(16))}`;
    const headers = {
      'content-type': `multipart/form-data; boundary=${boundary}`,
      prefer: 'return=representation',
      ...keysOf(options),
    };
    const sendForm = (form: Uint8Array): Promise<BulkAnswer> => {
      const length = { 'content-length': String(form.length) };
      const call = { query: { parents: false }, headers: { ...headers, ...length }, body: form };
      return this.#json('bulkUpload', { ...call, signal: options.signal });
    };
    return writeManyThrough({ service: this, boundary, sendForm }, items, options);
  }

  async read(target: Target, options: ReadOptions = {}): Promise<FileRead> {
    const { offset = 0, length, signal } = options;
    // HTTP has no range without a byte; what is asked for is still checked against the file.
    if (length === 0) return this.#readNothing(target, options);
    const range = length === undefined ? `bytes=${offset}-` : `bytes=${offset}-${offset + length - 1}`;
    const isWhole = offset === 0 && length === undefined;
    const call = { ...readCall(target, options), signal };
    const id = 'path' in target ? 'fileRead' : 'download';
    let answer: TransportAnswer;
    try {
      answer = await this.#answer(id, { ...call, headers: { ...RECORD_WANTED, range: isWhole ? undefined : range } });
    } catch (error) {
      // The end of a file is a place in it, but no range can begin there.
      const isAtEnd = Fault.is(error, 'range') && length === undefined && error.about.size === offset;
      if (!isAtEnd) throw error;
      return this.#readNothing(target, options);
    }
    const record = recordOfAnswer(answer);
    const wanted = length ?? (record?.size ?? 0) - offset;
    const isPart = answer.status === 206;
    const isRight = record !== undefined && isPart !== isWhole && Number(answer.headers['content-length']) === wanted;
    if (isRight) return { record, bytes: counted(answer.body, wanted, record.path) };
    await answer.body[Symbol.asyncIterator]().return?.();
    throw record === undefined || isPart === isWhole ? unexpectedAnswer(answer) : outside(record, offset, length);
  }

  /** An empty range: the file must be there and reach that far. */
  async #readNothing(target: Target, options: ReadOptions): Promise<FileRead> {
    const { offset = 0, signal } = options;
    const id = 'path' in target ? 'fileHead' : 'downloadHead';
    const answer = await this.#answer(id, { ...readCall(target, options), headers: RECORD_WANTED, signal });
    await textOf(answer);
    const record = recordOfAnswer(answer);
    if (record === undefined) throw unexpectedAnswer(answer);
    if (offset > record.size) throw outside(record, offset, 0);
    return { record, bytes: counted(nothing(), 0, record.path) };
  }

  async setAttributes(
    target: Target,
    change: AttributeChange,
    options: Expecting & { readonly idempotencyKey?: string } = {},
  ): Promise<FileRecord> {
    const headers = keysOf(options);
    const call = { ...target, json: change, query: expected(options), headers, signal: options.signal };
    return this.#json('path' in target ? 'fileChange' : 'fileChangeById', call);
  }

  async move(from: string, to: string, options: MoveOptions = {}): Promise<FileRecord> {
    return this.#relocate('move', from, to, options);
  }

  async copy(from: string, to: string, options: MoveOptions = {}): Promise<FileRecord> {
    return this.#relocate('copy', from, to, options);
  }

  #relocate(id: 'move' | 'copy', from: string, to: string, options: MoveOptions): Promise<FileRecord> {
    const { overwrite, parents } = options;
    const json = { from_path: from, to_path: to, overwrite, parents, ...expected(options) };
    return this.#json(id, { json, headers: keysOf(options), signal: options.signal });
  }

  async remove(path: string, options: RemoveOptions = {}): Promise<Removed> {
    const query = { recursive: options.recursive, dry_run: options.dryRun, ...expected(options) };
    const headers = { prefer: 'return=representation', ...keysOf(options) };
    return this.#json('fileRemove', { path, query, headers, signal: options.signal });
  }

  async search(query: SearchQuery): Promise<ListPage> {
    const { sizeMin, sizeMax, modifiedAfter, modifiedBefore, signal, ...plain } = query;
    const renamed = {
      size_min: sizeMin,
      size_max: sizeMax,
      modified_after: modifiedAfter,
      modified_before: modifiedBefore,
    };
    return this.#json('search', { query: { ...plain, ...renamed }, signal });
  }

  async versions(target: Target, options: VersionsOptions = {}): Promise<VersionPage> {
    const { signal, ...query } = options;
    return this.#json('path' in target ? 'versionList' : 'versionListById', { ...target, query, signal });
  }

  async deleted(path: string, { signal, ...query }: DeletedOptions = {}): Promise<DeletedPage> {
    return this.#json('deletedList', { path, query, signal });
  }

  async restore(target: Target, version: number, options: RestoreOptions = {}): Promise<FileRecord> {
    const which = 'path' in target ? { path: target.path } : { file_id: target.id };
    const json = { ...which, version, to_path: options.to, dry_run: options.dryRun, ...expected(options) };
    return this.#json('restore', {
      json,
      headers: keysOf(options),
      signal: options.signal,
    });
  }

  async restoreTree(path: string | undefined, at: string, options: RestoreTreeOptions = {}): Promise<RestorePlan> {
    return this.#json('treeRestore', {
      json: { at, path, dry_run: options.dryRun, force: options.force },
      signal: options.signal,
    });
  }

  async undo(commit: number, options: RestoreTreeOptions = {}): Promise<RestorePlan> {
    return this.#json('undo', {
      json: { commit, dry_run: options.dryRun, force: options.force },
      signal: options.signal,
    });
  }

  async changes({ signal, waitMs, ...query }: ChangesQuery = {}): Promise<ChangePage> {
    const wait = waitMs === undefined ? undefined : Math.ceil(waitMs / 1_000);
    return this.#json('changes', { query: { ...query, wait }, signal });
  }

  async log({ signal, ...query }: LogQuery = {}): Promise<LogPage> {
    return this.#json('log', { query, signal });
  }

  async createSnapshot(name: string, options: SnapshotOptions = {}): Promise<SnapshotRecord> {
    const { path, idempotencyKey, signal } = options;
    const headers = { 'idempotency-key': idempotencyKey };
    return this.#json('snapshotCreate', { json: { name, path }, headers, signal });
  }

  async pruneSnapshots({ keep, schedule, dryRun, signal }: PruneOptions = {}): Promise<PrunePlan> {
    return this.#json('snapshotPrune', { json: { keep, schedule, dry_run: dryRun }, signal });
  }

  async snapshots(
    options: CallOptions & { readonly cursor?: string | undefined; readonly limit?: number | undefined } = {},
  ): Promise<SnapshotPage> {
    const { signal, ...query } = options;
    return this.#json('snapshotList', { query, signal });
  }

  async snapshot(name: string, options: CallOptions = {}): Promise<SnapshotRecord> {
    return this.#json('snapshotRead', { path: pathOfName(name), signal: options.signal });
  }

  async removeSnapshot(
    name: string,
    options: CallOptions & { readonly dryRun?: boolean } = {},
  ): Promise<SnapshotRecord> {
    const query = { dry_run: options.dryRun };
    return this.#json('snapshotRemove', { path: pathOfName(name), query, signal: options.signal });
  }

  async lock(path: string, options: LockOptions = {}): Promise<LockRecord> {
    const { holder, session, signal } = options;
    return this.#json('lockTake', { json: { path, ...lockChange(options), holder, session }, signal });
  }

  async changeLock(token: number, change: LockChange = {}): Promise<LockRecord> {
    return this.#json('lockChange', { id: token, json: lockChange(change), signal: change.signal });
  }

  async unlock(token: number, options: CallOptions = {}): Promise<LockRecord> {
    return this.#json('lockRelease', { id: token, signal: options.signal });
  }

  async locks(options: CallOptions & { readonly path?: string | undefined } = {}): Promise<LockList> {
    return this.#json('lockList', { query: { path: options.path }, signal: options.signal });
  }

  async batch(
    request: BatchRequest,
    options: Changing & { readonly idempotencyKey?: string | undefined } = {},
  ): Promise<BatchAnswer> {
    return this.#json('batch', { json: request, headers: keysOf(options), signal: options.signal });
  }

  async stats(options: CallOptions = {}): Promise<StoreStats> {
    return this.#json('stats', { signal: options.signal });
  }

  async usage({ signal, ...query }: UsageQuery = {}): Promise<Usage> {
    return this.#json('usage', { query, signal });
  }

  async check(options: CheckOptions = {}): Promise<CheckReport> {
    const json = { sample: options.sample, rebuild_index: options.rebuildIndex };
    const answer = await this.#answer('check', { json, signal: options.signal });
    const report = await reportOf<CheckLine>(answer, options.onProgress);
    if (report !== undefined) return report;
    throw new Fault('unavailable', 'The check broke off before its report came. Try again.', {});
  }

  async repair({ from, dryRun, onProgress, signal }: RepairOptions): Promise<RepairReport> {
    const answer = await this.#answer('repair', { json: { from, dry_run: dryRun }, signal });
    const told = (done: number, total: number, what?: string): void =>
      onProgress?.(done, total, what === 'search' ? 'search' : 'check');
    const report = await reportOf<RepairLine>(answer, told);
    if (report !== undefined) return report;
    throw new Fault('unavailable', 'The repair broke off before its report came. What it did stays; try again.', {});
  }

  async gcStatus({ signal }: CallOptions = {}): Promise<GcStatus> {
    return this.#json('gcStatus', { signal });
  }

  async pauseGc(isPaused: boolean, { signal }: CallOptions = {}): Promise<GcStatus> {
    return this.#json('gcPause', { json: { is_paused: isPaused }, signal });
  }

  async gc(options: GcOptions = {}): Promise<GcReport> {
    const json = { dry_run: options.dryRun, grace_seconds: options.graceSeconds };
    const answer = await this.#answer('gc', { json, signal: options.signal });
    const report = await reportOf<GcLine>(answer, options.onProgress);
    if (report !== undefined) return report;
    throw new Fault(
      'unavailable',
      'The collection broke off before its report came. What it did stays; try again.',
      {},
    );
  }

  // ---- one request

  async #json<T>(id: RouteId, call: Call): Promise<T> {
    const answer = await this.#answer(id, call);
    const text = await textOf(answer);
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      throw new Fault('unavailable', 'What answered is no Holdfast server: its answer is not JSON.', {}, error);
    }
  }

  /** A successful answer. @throws the fault that the server answered. */
  async #answer(id: RouteId, call: Call): Promise<TransportAnswer> {
    const { signal } = call;
    const { method } = routeOf(id);
    const isRead = method === 'GET' || method === 'HEAD';
    const { clock = systemClock, random = systemRandom, attemptsMax = ATTEMPTS_MAX } = this.#options;
    // A source can be pulled only once.
    const isSafe = (error: unknown): boolean =>
      isNeverSent(error) || (isRead && Fault.is(error, 'unavailable', 'busy'));
    const isPassing = (error: unknown): boolean => call.body === undefined && isSafe(error);
    const delays = { delayMs: RETRY_DELAY_MS, delayMsMax: RETRY_DELAY_MS_MAX };
    return retry(() => this.#send(id, call), { clock, random, attemptsMax, ...delays, isPassing, signal });
  }

  async #send(id: RouteId, call: Call): Promise<TransportAnswer> {
    const path = call.path === undefined ? undefined : urlOfPath(pathOfText(call.path));
    const named = { id: call.id, upload: call.upload, part: call.part };
    const url = `${this.#options.baseUrl ?? ''}${urlOfRoute(id, { ...named, path, query: call.query })}`;
    const json = call.json === undefined ? undefined : utf8(JSON.stringify(call.json));
    const headers = {
      accept: 'application/json',
      ...(json === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(json.length) }),
      ...definedOnly(call.headers ?? {}),
    };
    const { method } = routeOf(id);
    const { signal } = call;
    const answer = await this.#options.transport({ method, path: url, headers, body: json ?? call.body, signal });
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw await this.#faultOf(answer);
  }

  async #faultOf(answer: TransportAnswer): Promise<Fault> {
    const text = await textOf(answer);
    let document: unknown;
    try {
      document = JSON.parse(text);
    } catch {
      return unexpectedAnswer(answer);
    }
    return faultOfProblem(document) ?? unexpectedAnswer(answer);
  }
}

/** Where a name stands as a path. Names with slashes and backslashes are none, and would be read as something else. */
function pathOfName(name: string): string {
  if (name !== '' && name !== '.' && name !== '..' && !/[/\\\0]/.test(name)) return `/${name}`;
  throw new Fault('not-found', `There is no snapshot ${JSON.stringify(name)}.`, { snapshot: name });
}

/** Asks a read for the whole record beside the bytes. */
const RECORD_WANTED = { prefer: 'file-record' };

function readCall(target: Target, { version, at }: ReadOptions): Pick<Call, 'path' | 'query'> {
  const which = { version, at };
  return 'path' in target ? { path: target.path, query: which } : { query: { file_id: target.id, ...which } };
}

function recordOfAnswer(answer: TransportAnswer): FileRecord | undefined {
  const header = answer.headers['x-file-record'];
  return header === undefined ? undefined : (JSON.parse(decodeURIComponent(header)) as FileRecord);
}

function expected({ expectedVersion, expectedId }: Expecting): {
  expected_version?: number | undefined;
  expected_file_id?: number | undefined;
} {
  return { expected_version: expectedVersion, expected_file_id: expectedId };
}

/** Headers that say who repeats a request, and which lock is presented. */
function keysOf(
  options: Changing & { readonly idempotencyKey?: string | undefined },
): Readonly<Record<string, string | undefined>> {
  return { 'idempotency-key': options.idempotencyKey, 'lock-token': options.lockToken?.toString() };
}

function lockChange({ mode, leaseMs, waitMs }: LockChange): object {
  const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);
  return { mode, lease_seconds: seconds(leaseMs), wait_seconds: seconds(waitMs) };
}

function definedOnly(headers: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const defined: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) defined[name] = value;
  return defined;
}

function base64OfHex(hex: string): string {
  const bytes = bytesOfHex(hex);
  if (bytes !== undefined) return btoa(String.fromCharCode(...bytes));
  throw new Fault('invalid', `${JSON.stringify(hex)} is no SHA-256 in hex.`, { sha256: hex });
}

function isNeverSent(error: unknown): boolean {
  return Fault.is(error, 'unavailable') && error.about.was_sent === false;
}

function unexpectedAnswer(answer: TransportAnswer): Fault {
  const sentence = `The server answered ${answer.status} in a form that is not Holdfast's. Is it a Holdfast server, and the address right?`;
  return new Fault(answer.status >= 500 ? 'unavailable' : 'unsupported', sentence, { status: answer.status });
}

function outside(record: FileRecord, offset: number, length: number | undefined): Fault {
  const asked = length === undefined ? 'the bytes' : `${length} bytes`;
  const sentence = `${record.path} has ${record.size} bytes; ${asked} from ${offset} do not lie inside it.`;
  return new Fault('range', sentence, { path: record.path, size: record.size, offset, length });
}

async function textOf(answer: TransportAnswer): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of answer.body) {
    length += piece.length;
    if (length > JSON_BYTES_MAX) throw new Fault('unavailable', 'The answer of the server is beyond all bounds.', {});
    pieces.push(piece.slice());
  }
  const text = textOfUtf8(concatBytes(pieces));
  if (text !== undefined) return text;
  throw new Fault('unavailable', 'The answer of the server is not UTF-8.', {});
}

/** Exactly `length` bytes or a fault. */
async function* counted(body: AsyncIterable<Uint8Array>, length: number, path: string): AsyncGenerator<Uint8Array> {
  let count = 0;
  for await (const piece of body) {
    count += piece.length;
    if (count > length) break;
    yield piece;
  }
  if (count === length) return;
  const sentence = `The download of ${path} has not the ${length} bytes it was to have. Do not use what came of it.`;
  throw new Fault('unavailable', sentence, { path, length, count });
}

/**
 * A source that keeps to its announced size: HTTP has no way to send a byte more, or to end with one less. The piece that
 * completes it is held back until the source has ended well, because with it the server has all it waits for.
 */
async function* exactly(source: ByteSource, size: number): AsyncGenerator<Uint8Array> {
  let count = 0;
  let last: Uint8Array | undefined;
  for await (const piece of source) {
    count += piece.length;
    if (count > size) break;
    if (count < size) yield piece;
    else if (piece.length > 0) last = piece.slice();
  }
  if (count !== size) throw wrongSize(count, size);
  if (last !== undefined) yield last;
}

function wrongSize(count: number, size: number): Fault {
  const actual = count > size ? 'more' : String(count);
  const sentence = `The content was announced with ${size} bytes, but its source has ${actual}. Nothing was stored.`;
  return new Fault('mismatch', sentence, { announced: size, actual: count });
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** The report behind the lines of progress; undefined when they end before it. */
async function reportOf<Line extends { readonly report?: unknown }>(
  answer: TransportAnswer,
  onProgress: ((done: number, total: number, what?: string) => void) | undefined,
): Promise<Line['report'] | undefined> {
  for await (const line of linesOf(answer.body)) {
    const { progress, report, problem } = JSON.parse(line) as Line & (CheckLine | GcLine | RepairLine);
    if (progress !== undefined)
      onProgress?.(progress.done, progress.total, 'what' in progress ? progress.what : undefined);
    if (problem !== undefined) throw faultOfProblem(problem) ?? unexpectedAnswer(answer);
    if (report !== undefined) return report;
  }
  return undefined;
}
