/** The routes about uploads in parts: begin, send, look, complete, remove; and signed URLs. */
import {
  type FileRecord,
  HAVE_CHUNKS_MAX,
  PART_BYTES_MAX,
  pathOfText,
  type Target,
  type UploadOptions,
  type UploadPartPage,
  type UploadPartRecord,
  type UploadRecord,
  urlOfPath,
} from '../../api/index.ts';
import { Fault, isoOfMoment } from '../../base/index.ts';
import type { Answer } from '../exchange/answer.ts';
import { arrivalOf } from '../exchange/arrival.ts';
import { checkedDigests } from '../exchange/digests.ts';
import type { Exchange, Handler, Handlers } from '../exchange/exchange.ts';
import { isSigned } from '../exchange/signed-urls.ts';
import { announcedBy } from '../exchange/write-headers.ts';
import { present, recordAnswer } from './file-handlers.ts';

/** How long signed URLs are good for where nobody says. */
const URL_SECONDS = 3_600;
/** Parts whose URLs stand in the answer to a new upload. */
const FIRST_PARTS = 100;
/** How often progress is looked at, and how often a client gets a sign of life. */
const PROGRESS_MS = 250;
const LIFE_MS = 15_000;
/** Progress that is watched at once in one process; more are asked to look now and then. */
const WATCHERS_MAX = 256;
let watcherCount = 0;

/** In front of every URL that is handed out: as the client has called this server, or as the option says. */
function originOf({ message, door }: Exchange): string {
  if (door.options.publicUrl !== '') return door.options.publicUrl.replace(/\/+$/, '');
  const { entrance, authority } = arrivalOf(message);
  const host = authority ?? message.headers.host;
  return entrance.isOwnHost === undefined || host === undefined ? '' : `http://${host}`;
}

function isoOfSeconds(seconds: number): string {
  return isoOfMoment({ seconds, nanoseconds: 0 });
}

/** Those that are not there get a signed URL. */
function withUrls(
  exchange: Exchange,
  upload: UploadRecord,
  parts: readonly UploadPartRecord[],
  seconds: number | undefined,
): { parts: UploadPartRecord[]; urls_expire: string } {
  const { signer } = exchange.door;
  const expires = signer.expiresAfter(seconds ?? URL_SECONDS);
  const origin = originOf(exchange);
  const urlOf = ({ part, size }: UploadPartRecord): string =>
    `${origin}${signer.part(upload.upload_id, part, size ?? upload.part_size ?? PART_BYTES_MAX, expires)}`;
  return {
    parts: parts.map((part) => (part.received ? part : { ...part, url: urlOf(part) })),
    urls_expire: isoOfSeconds(expires),
  };
}

const uploadCreate: Handler<'uploadCreate'> = async (exchange) => {
  const { service, signal } = exchange;
  const { path, part_size, appended, expires_in, expected_version, expected_file_id, ...rest } = await exchange.body();
  const find = () => service.stat({ path }, { signal });
  const { isNew, isOld, ...expected } = await exchange.expectation(
    present({ expected_version, expected_file_id }),
    find,
  );
  const mode = isNew === true ? 'create' : isOld === true ? 'replace' : rest.mode;
  const options: UploadOptions = {
    ...present({ ...rest, mode, partSize: part_size, isAppended: appended }),
    ...expected,
    signal,
  };
  const upload = await service.uploads.create(path, options);
  const id = upload.upload_id;
  const page = upload.part_size === null ? undefined : await service.uploads.parts(id, { limit: FIRST_PARTS, signal });
  const parts = page === undefined ? {} : withUrls(exchange, upload, page.parts, expires_in);
  return { kind: 'json', status: 201, headers: { location: `/v1/uploads/${id}` }, json: { ...upload, ...parts } };
};

const uploadParts: Handler<'uploadParts'> = async (exchange) => {
  const { service, signal, query, upload: id } = exchange;
  const upload = await service.uploads.find(id, { signal });
  const { after, limit, expires_in } = query;
  const page = await service.uploads.parts(id, { ...present({ after, limit }), signal });
  const isOpen = upload.state === 'open';
  const json: UploadPartPage = isOpen ? { ...page, ...withUrls(exchange, upload, page.parts, expires_in) } : page;
  return { kind: 'json', status: 200, json };
};

const partPut: Handler<'partPut'> = async (exchange) => {
  const { service, signal, query, upload, part, headers, door } = exchange;
  if (isSigned(query)) door.signer.checkPart(upload, part, query);
  const bytesMax = Math.min(query.size_max ?? PART_BYTES_MAX, PART_BYTES_MAX);
  const { size, xxhash3, sha256 } = announcedBy(headers, bytesMax, 'part');
  const announced = present({ size, xxhash3, sha256, isRest: query.rest });
  const source = checkedDigests(headers, exchange.source(bytesMax, 'part'));
  const json = await service.uploads.putPart(upload, part, source, { ...announced, signal });
  return { kind: 'json', status: 200, json };
};

/** A question of HAVE_CHUNKS_MAX chunks has about so many bytes. */
const HAVE_BYTES_MAX = HAVE_CHUNKS_MAX * 128;

const uploadHave: Handler<'uploadHave'> = async (exchange) => {
  const { service, upload, part, signal } = exchange;
  const { chunks } = await exchange.body(HAVE_BYTES_MAX);
  return { kind: 'json', status: 200, json: await service.uploads.have(upload, part, chunks, { signal }) };
};

const uploadAppend: Handler<'uploadAppend'> = async (exchange) => {
  const { service, query, upload, signal } = exchange;
  const json = await service.uploads.append(upload, query.offset, exchange.source(), { signal });
  return { kind: 'json', status: 200, json };
};

const uploadRead: Handler<'uploadRead'> = async (exchange) => {
  const { service, upload, signal, headers } = exchange;
  const json = await service.uploads.find(upload, { signal });
  if (!/\btext\/event-stream\b/i.test(headers.accept ?? '')) return { kind: 'json', status: 200, json };
  if (watcherCount >= WATCHERS_MAX)
    throw new Fault('busy', `${WATCHERS_MAX} uploads are being watched already. Ask now and then instead.`, {
      watchers: WATCHERS_MAX,
    });
  const events = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
  return { kind: 'stream', status: 200, headers: events, pieces: progressOf(exchange, json) };
};

/** An event whenever more is durable; the last one says that it is complete or removed. */
async function* progressOf(exchange: Exchange<'uploadRead'>, first: UploadRecord): AsyncGenerator<string> {
  const { service, upload, signal, door } = exchange;
  watcherCount++;
  try {
    yield eventOf(first);
    for (let [last, quietMs] = [first, 0]; last.state === 'open' && !door.isDraining(); ) {
      await door.clock.sleep(PROGRESS_MS, signal);
      const now = await service.uploads.find(upload, { signal }).catch((error: unknown) => {
        if (Fault.is(error, 'not-found')) return { ...last, state: 'removed' as const };
        throw error;
      });
      quietMs += PROGRESS_MS;
      if (now.received !== last.received || now.state !== last.state) yield eventOf(now);
      else if (quietMs >= LIFE_MS) yield ': still here\n\n';
      else continue;
      [last, quietMs] = [now, 0];
    }
  } finally {
    watcherCount--;
  }
}

function eventOf(upload: UploadRecord): string {
  return `event: progress\ndata: ${JSON.stringify(upload)}\n\n`;
}

/** The bytes of an idle watch end with the client; nothing else does. */
async function complete(
  exchange: Exchange<'uploadComplete'> | Exchange<'uploadCompleteAlias'>,
  upload: string,
  announced: { readonly size?: number; readonly xxhash3?: string; readonly sha256?: string },
): Promise<Answer> {
  const record = await exchange.service.uploads.complete(upload, { ...present(announced), signal: exchange.signal });
  return recordAnswer(record, 200, { location: `/v1/files/${urlOfPath(pathOfText(record.path))}` });
}

async function completeAlias(exchange: Exchange<'uploadCompleteAlias'>): Promise<Answer> {
  const { upload_id, ...announced } = await exchange.body();
  return complete(exchange, upload_id, announced);
}

const signedUrl: Handler<'signedUrl'> = async (exchange) => {
  const { service, signal, door } = exchange;
  const { path, file_id, version, expires_in = URL_SECONDS } = await exchange.body();
  const record = await recordOfVersion(service, targetOf(path, file_id), version, signal);
  const expires = door.signer.expiresAfter(expires_in);
  const url = `${originOf(exchange)}${door.signer.file(record.file_id, record.version, expires)}`;
  const { size } = record;
  const json = { url, path: record.path, file_id: record.file_id, version: record.version, size };
  return { kind: 'json', status: 200, json: { ...json, expires: isoOfSeconds(expires) } };
};

function targetOf(path: string | undefined, id: number | undefined): Target {
  if (path !== undefined && id === undefined) return { path };
  if (path === undefined && id !== undefined) return { id };
  throw new Fault('invalid', 'A signed URL is for one file, named by either path or file_id.', {});
}

/** With the faults that a read of it would have. */
async function recordOfVersion(
  service: Exchange['service'],
  target: Target,
  version: number | undefined,
  signal: AbortSignal,
): Promise<FileRecord> {
  const { record, bytes } = await service.read(target, { ...present({ version }), signal });
  await bytes[Symbol.asyncIterator]().return?.();
  return record;
}

export const uploadHandlers = {
  uploadCreate,
  uploadParts,
  partPut,
  uploadHave,
  chunking: async ({ service, signal }) => ({
    kind: 'json',
    status: 200,
    json: await service.uploads.chunking({ signal }),
  }),
  uploadAppend,
  uploadRead,
  uploadList: async ({ service, query, signal }) => ({
    kind: 'json',
    status: 200,
    json: await service.uploads.list({ ...present({ path: query.path }), signal }),
  }),
  uploadComplete: async (exchange) => complete(exchange, exchange.upload, await exchange.body()),
  uploadCompleteAlias: completeAlias,
  uploadRemove: async ({ service, upload, signal }) => ({
    kind: 'json',
    status: 200,
    json: await service.uploads.remove(upload, { signal }),
  }),
  signedUrl,
} satisfies Partial<Handlers>;
