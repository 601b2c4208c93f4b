/** The routes about single files: make, replace, read, change, remove; with conditions, ranges and announced checksums. */
import {
  type FileRecord,
  type FileService,
  pathOfText,
  type Target,
  UPLOAD_FIELDS,
  type UploadFields,
  urlOfPath,
} from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Answer, AnswerHeaders } from '../exchange/answer.ts';
import { etagOf, failedPrecondition, isRangeWanted, judgeRead } from '../exchange/conditions.ts';
import { checkedDigests } from '../exchange/digests.ts';
import type { Exchange, Handler, Handlers } from '../exchange/exchange.ts';
import { boundaryOf, type Part, partsOf } from '../exchange/multipart.ts';
import { fieldReader } from '../exchange/query.ts';
import { type ByteRange, rangeOf } from '../exchange/ranges.ts';
import { headersOfContent } from '../exchange/served-content.ts';
import { alteredUrl, isSigned } from '../exchange/signed-urls.ts';
import { type Announced, announcedBy, checkSize, idempotencyKeyOf } from '../exchange/write-headers.ts';

/** How often a read is begun anew when the file changes between looking at its size and reading a range. */
const READ_ATTEMPTS_MAX = 4;

/** Without its undefined members. */
type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

export function present<T extends object>(value: T): Present<T> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Present<T>;
}

export function recordAnswer(record: FileRecord, status = 200, headers: AnswerHeaders = {}): Answer {
  return { kind: 'json', status, headers: { etag: etagOf(record), ...headers }, json: record };
}

export function madeAnswer(record: FileRecord): Answer {
  const room = record.is_directory ? 'directories' : 'files';
  return recordAnswer(record, 201, { location: `/v1/${room}/${urlOfPath(pathOfText(record.path))}` });
}

/** The record, or `undefined` when nothing is there. */
export async function findRecord(
  service: FileService,
  target: Target,
  signal: AbortSignal,
): Promise<FileRecord | undefined> {
  try {
    return await service.stat(target, { signal });
  } catch (error) {
    if (Fault.is(error, 'not-found', 'not-folder')) return undefined;
    throw error;
  }
}

const fileCreate: Handler<'fileCreate'> = async (exchange) => {
  const { service, signal, query, path } = exchange;
  const announced = announcedBy(exchange.headers, exchange.door.options.fileBytesMax);
  const options = { ...announced, mode: 'create', parents: query.parents ?? false, signal } as const;
  return madeAnswer(await service.write(path, checkedDigests(exchange.headers, exchange.source()), options));
};

const filePut: Handler<'filePut'> = async (exchange) => {
  const { service, signal, query, path } = exchange;
  const announced = announcedBy(exchange.headers, exchange.door.options.fileBytesMax);
  const find = () => findRecord(service, { path }, signal);
  const { isNew, isOld, ...expected } = await exchange.expectation(query, find);
  if (isOld === true && query.create === true && (await find()) === undefined) {
    const sentence = `There is nothing at ${path}, and the condition of the request asks for a file.`;
    throw new Fault('conflict', sentence, { path, current_version: null });
  }
  const mode = isNew === true ? 'create' : query.create === true && isOld !== true ? 'put' : 'replace';
  const options = { ...announced, ...expected, mode, parents: query.parents ?? false, signal } as const;
  const record = await service.write(path, checkedDigests(exchange.headers, exchange.source()), options);
  // Versions of a file begin with 1, and whoever replaces one raises it.
  return record.version === 1 ? madeAnswer(record) : recordAnswer(record);
};

async function change(exchange: Exchange<'fileChange'> | Exchange<'fileChangeById'>, target: Target): Promise<Answer> {
  const { service, signal } = exchange;
  const find = () => findRecord(service, target, signal);
  const { isNew, isOld: _, ...expected } = await exchange.expectation(exchange.query, find);
  if (isNew === true) await refuseExisting(find);
  const body = await exchange.body();
  const options = { ...expected, ...present({ idempotencyKey: idempotencyKeyOf(exchange.headers) }), signal };
  return recordAnswer(await service.setAttributes(target, body, options));
}

/** `If-None-Match: *` on something that changes what is there. */
async function refuseExisting(find: () => Promise<FileRecord | undefined>): Promise<void> {
  const record = await find();
  if (record !== undefined) throw failedPrecondition(record);
}

type ReadExchange = Exchange<'fileRead'> | Exchange<'fileHead'> | Exchange<'download'> | Exchange<'downloadHead'>;

/** What GET, HEAD and download answer. */
async function read(exchange: ReadExchange, target: Target): Promise<Answer> {
  const { service, signal, headers, query } = exchange;
  const caching = 'file_id' in query ? signedCaching(exchange as Exchange<'download'>) : {};
  const version = present({ version: query.version, at: query.at });
  const isHead = exchange.message.method === 'HEAD';
  const conditions = [
    'if-match',
    'if-none-match',
    'if-modified-since',
    'if-unmodified-since',
    ...(isHead ? [] : ['range']),
  ];
  if (!isHead && conditions.every((name) => headers[name] === undefined)) {
    const { record, bytes } = await service.read(target, { ...version, signal });
    return contentAnswer(exchange, record, bytes, 'whole', caching);
  }
  for (let attempt = 1; attempt <= READ_ATTEMPTS_MAX; attempt++) {
    const record = await recordOfContent(exchange, target, version);
    const verdict = judgeRead(headers, record);
    if (verdict === 'failed') throw failedPrecondition(record);
    if (verdict === 'not-modified')
      return { kind: 'empty', status: 304, headers: { etag: etagOf(record), ...caching } };
    const range = isHead || !isRangeWanted(headers, record) ? 'whole' : rangeOf(headers.range, record.size);
    if (range === 'none') throw unsatisfiable(headers.range, record);
    if (isHead) return contentAnswer(exchange, record, [], 'whole', caching);
    const found = await service.read(target, { ...version, ...(range === 'whole' ? {} : range), signal });
    if (etagOf(found.record) === etagOf(record))
      return contentAnswer(exchange, found.record, found.bytes, range, caching);
    await endUnread(found.bytes);
  }
  throw new Fault('busy', 'The file changes faster than it can be read. Try again in a moment.', {});
}

/** A signed URL is for one version, which never changes: whoever stands in front may keep it as long as it is good. */
function signedCaching({ query, door }: Exchange<'download'>): AnswerHeaders {
  if (!isSigned(query)) return {};
  // A moment is not in what was signed, and a version is the same at each.
  if (query.at !== undefined) throw alteredUrl('GET');
  door.signer.checkFile(query.file_id, query.version, query);
  const seconds = door.signer.secondsUntil(query.expires ?? 0);
  return { 'cache-control': `public, max-age=${seconds}, immutable`, 'cross-origin-resource-policy': 'cross-origin' };
}

function unsatisfiable(range: string | undefined, record: FileRecord): Fault {
  const sentence = `The range ${JSON.stringify(range)} has no byte of ${record.path}, which has ${record.size}.`;
  return new Fault('range', sentence, { path: record.path, size: record.size });
}

/** The record of the content that a read would answer, with the faults of a read. */
async function recordOfContent(
  { service, signal }: ReadExchange,
  target: Target,
  version: { version?: number; at?: string },
): Promise<FileRecord> {
  if (version.version === undefined) {
    const record = await service.stat(target, { ...version, signal });
    if (record.kind === 'file') return record;
  }
  const { record, bytes } = await service.read(target, { ...version, signal });
  await endUnread(bytes);
  return record;
}

async function endUnread(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  await bytes[Symbol.asyncIterator]().return?.();
}

function contentAnswer(
  exchange: ReadExchange,
  record: FileRecord,
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  range: ByteRange | 'whole',
  caching: AnswerHeaders,
): Answer {
  const source = Symbol.asyncIterator in bytes ? bytes : noBytes();
  const isRecordWanted = /(^|,)\s*file-record\s*(,|;|$)/i.test(String(exchange.headers.prefer ?? ''));
  const whole = isRecordWanted ? { 'x-file-record': encodeURIComponent(JSON.stringify(record)) } : {};
  const headers = { ...headersOfContent(record), ...whole, ...caching };
  if (range === 'whole') return { kind: 'bytes', status: 200, headers, length: record.size, bytes: source };
  const last = range.offset + range.length - 1;
  const partial = { ...headers, 'content-range': `bytes ${range.offset}-${last}/${record.size}` };
  return { kind: 'bytes', status: 206, headers: partial, length: range.length, bytes: source };
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}

const fileRemove: Handler<'fileRemove'> = async (exchange) => {
  const { recursive = false, ...query } = exchange.query;
  return removeAnswer(exchange, query, recursive);
};

export async function removeAnswer(
  exchange: Exchange<'fileRemove'> | Exchange<'folderRemove'>,
  query: { readonly dry_run?: boolean; readonly expected_version?: number; readonly expected_file_id?: number },
  recursive: boolean,
): Promise<Answer> {
  const { service, signal, path } = exchange;
  const find = () => findRecord(service, { path }, signal);
  const { isNew, isOld: _, ...expected } = await exchange.expectation(query, find);
  if (isNew === true) await refuseExisting(find);
  const dryRun = query.dry_run ?? false;
  const key = present({ idempotencyKey: idempotencyKeyOf(exchange.headers) });
  const removed = await service.remove(path, { ...expected, ...key, recursive, dryRun, signal });
  const isWanted = dryRun || /(^|,)\s*return=representation\s*(,|;|$)/i.test(String(exchange.headers.prefer ?? ''));
  return isWanted ? { kind: 'json', status: 200, json: removed } : { kind: 'empty', status: 204 };
}

const readFields = fieldReader(UPLOAD_FIELDS);

const upload: Handler<'upload'> = async (exchange) => {
  const boundary = boundaryOf(exchange.headers['content-type']);
  if (boundary === undefined) {
    throw new Fault('unsupported', 'An upload is a form: multipart/form-data with a boundary.', {
      content_type: exchange.headers['content-type']?.slice(0, 100) ?? null,
    });
  }
  const { formFieldsMax, formFieldBytesMax, fileBytesMax } = exchange.door.options;
  // The form around the file: every field with its headers.
  const formBytesMax = fileBytesMax + 2 * (formFieldsMax + 2) * formFieldBytesMax;
  const parts = partsOf(exchange.source(formBytesMax, 'form'), boundary, { partHeaderBytesMax: formFieldBytesMax });
  const { file, fields } = await fieldsBefore(parts, exchange);
  const path = pathOfUpload(fields.path, file.filename ?? '');
  const announced: Announced = {
    ...announcedBy(keyOnly(exchange), fileBytesMax),
    ...present({ size: fields.size, modified: fields.modified, permissions: fields.mode }),
    ...present({ xxhash3: fields.xxhash3?.toLowerCase(), sha256: fields.sha256?.toLowerCase() }),
  };
  const find = () => findRecord(exchange.service, { path }, exchange.signal);
  const { isNew, isOld, ...expected } = await exchange.expectation(fields, find);
  const mode = isNew === true || fields.overwrite === false ? 'create' : isOld === true ? 'replace' : 'put';
  // Only for the status, as with PUT.
  const isMade = mode === 'create' || (mode === 'put' && (await find()) === undefined);
  const options = {
    ...announced,
    ...expected,
    mode,
    parents: fields.parents ?? false,
    signal: exchange.signal,
  } as const;
  const record = await exchange.service.write(path, wholeForm(file, parts, fileBytesMax), options);
  const { file_id, version } = record;
  const location = `/v1/files/${urlOfPath(pathOfText(record.path))}`;
  const status = isMade ? 201 : 200;
  return { kind: 'json', status, headers: { etag: etagOf(record), location }, json: { file_id, version, record } };
};

/** Length and checksums of the headers are those of the form, not of the file in it. */
function keyOnly(exchange: Exchange): Exchange['headers'] {
  const key = exchange.headers['idempotency-key'];
  return key === undefined ? {} : { 'idempotency-key': key };
}

/** All fields up to the file. */
async function fieldsBefore(
  parts: AsyncGenerator<Part>,
  exchange: Exchange,
): Promise<{ file: Part; fields: UploadFields }> {
  const { formFieldsMax, formFieldBytesMax } = exchange.door.options;
  const fields = new Map<string, string>();
  for (;;) {
    const next = await parts.next();
    if (next.done === true) throw new Fault('invalid', 'The form has no file in it.', {});
    const part = next.value;
    if (part.filename !== undefined) return { file: part, fields: readFields(fields) as UploadFields };
    if (fields.has(part.name)) throw new Fault('invalid', `The field ${JSON.stringify(part.name)} is there twice.`, {});
    if (fields.size >= formFieldsMax)
      throw new Fault('too-large', `The form has more than ${formFieldsMax} fields.`, {});
    fields.set(part.name, await textOfPart(part, formFieldBytesMax));
  }
}

async function textOfPart(part: Part, bytesMax: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of part.bytes) {
    length += piece.length;
    if (length > bytesMax)
      throw new Fault('too-large', `The field ${part.name} may have ${bytesMax} bytes at most.`, {});
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** The last part of the name that the browser gives, in the folder that the path names. */
function pathOfUpload(path: string | undefined, filename: string): string {
  if (path !== undefined && path !== '' && !path.endsWith('/')) return path;
  const name = filename.split('/').at(-1) ?? '';
  if (name !== '') return `${path ?? '/'}${name}`;
  throw new Fault('invalid', 'The form gives the file neither a path nor a name.', {});
}

/** The file ends only when the form has ended as well behind it, so that half a form keeps nothing. */
async function* wholeForm(file: Part, parts: AsyncGenerator<Part>, bytesMax: number): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const piece of file.bytes) {
    size += piece.length;
    checkSize(size, bytesMax);
    yield piece;
  }
  const next = await parts.next();
  if (next.done === true) return;
  throw new Fault(
    'invalid',
    `The form goes on after its file, with ${JSON.stringify(next.value.name)}. Put the file last.`,
    {},
  );
}

const symlinkCreate: Handler<'symlinkCreate'> = async (exchange) => {
  const { path } = exchange;
  const body = await exchange.body();
  const item = { path, kind: 'symlink', ...present(body), target: body.target } as const;
  for await (const result of exchange.service.writeMany([item], { signal: exchange.signal })) {
    if (!result.ok) throw result.fault;
    return recordAnswer(result.record, 201);
  }
  throw new Error('Broken invariant: one item had no result.');
};

export const fileHandlers = {
  fileCreate,
  filePut,
  fileChange: (exchange) => change(exchange, { path: exchange.path }),
  fileChangeById: (exchange) => change(exchange, { id: exchange.id }),
  fileRead: (exchange) => read(exchange, { path: exchange.path }),
  fileHead: (exchange) => read(exchange, { path: exchange.path }),
  download: (exchange) => read(exchange, { id: exchange.query.file_id }),
  downloadHead: (exchange) => read(exchange, { id: exchange.query.file_id }),
  fileRemove,
  upload,
  symlinkCreate,
  recordRead: async ({ service, path, query, signal }) =>
    recordAnswer(
      await service.stat({ path }, { ...present({ at: query.at }), withAttributes: query.attributes ?? false, signal }),
    ),
  recordReadById: async ({ service, id, query, signal }) =>
    recordAnswer(
      await service.stat({ id }, { ...present({ at: query.at }), withAttributes: query.attributes ?? false, signal }),
    ),
} satisfies Partial<Handlers>;
