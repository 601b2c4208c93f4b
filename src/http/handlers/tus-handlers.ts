/**
 * tus 1.0 (tus.io/protocols/resumable-upload), as the uploads of the service: core, creation, creation-with-upload,
 * expiration, termination. Whatever has come of an upload stays; the request that brings its last bytes makes the file,
 * in one commit. Where that is refused, the answer says why and the upload stays with all its bytes: the next HEAD or
 * PATCH tries again, so that no client takes an upload for a file that is not there.
 * Why this is no package: docs/decisions/tus.md.
 */
import {
  pathOfText,
  TUS_PATH,
  TUS_VERSION,
  textOfPath,
  UPLOAD_NOTE_BYTES_MAX,
  type UploadOptions,
  type UploadRecord,
} from '../../api/index.ts';
import { Fault, momentOfIso } from '../../base/index.ts';
import type { Answer, AnswerHeaders } from '../exchange/answer.ts';
import { badHeader, httpDateOf } from '../exchange/conditions.ts';
import type { Exchange, Handler, Handlers } from '../exchange/exchange.ts';
import { present } from './file-handlers.ts';

const EXTENSIONS = 'creation,creation-with-upload,expiration,termination';
const BODY_TYPE = 'application/offset+octet-stream';

type About = Exchange<'tusHead'> | Exchange<'tusPatch'> | Exchange<'tusRemove'> | Exchange<'tusOverride'>;

const tusOptions: Handler<'tusOptions'> = ({ door }) => ({
  kind: 'empty',
  status: 204,
  headers: {
    'tus-version': TUS_VERSION,
    'tus-extension': EXTENSIONS,
    'tus-max-size': String(door.options.fileBytesMax),
  },
});

const tusCreate: Handler<'tusCreate'> = async (exchange) => {
  checkVersion(exchange);
  const { service, signal, headers } = exchange;
  const size = numberIn(exchange, 'upload-length');
  const note = headers['upload-metadata'] === undefined ? undefined : String(headers['upload-metadata']);
  const { path, ...options } = wishesOf(note ?? '', exchange.query.path ?? '/');
  const begun = await service.uploads.create(path, {
    ...{ size, isAppended: true, parents: true },
    ...present({ note }),
    ...options,
    signal,
  });
  const hasBody = headers['content-type'] !== undefined;
  const upload = hasBody ? await append(exchange, begun.upload_id, 0) : begun;
  const made = await finished(exchange, upload);
  const location = `${TUS_PATH}/${made.upload_id}`;
  return { kind: 'empty', status: 201, headers: { location, ...headersOf(made) } };
};

async function head(exchange: About): Promise<Answer> {
  const { service, signal, upload: id } = exchange;
  const upload = await finished(exchange, await service.uploads.find(id, { signal }));
  const { size, note } = upload;
  const known = {
    ...(size === null ? {} : { 'upload-length': String(size) }),
    ...(note ? { 'upload-metadata': note } : {}),
  };
  return { kind: 'empty', status: 200, headers: { ...headersOf(upload), ...known, 'cache-control': 'no-store' } };
}

async function patch(exchange: About): Promise<Answer> {
  const { service, signal, upload: id } = exchange;
  const offset = numberIn(exchange, 'upload-offset');
  const before = await service.uploads.find(id, { signal });
  // Of an upload that has all its bytes nothing more can come but the wish that it be made.
  const isWhole = before.received === before.size && offset === before.received;
  const upload = isWhole ? before : await append(exchange, id, offset);
  return { kind: 'empty', status: 204, headers: headersOf(await finished(exchange, upload)) };
}

async function remove(exchange: About): Promise<Answer> {
  await exchange.service.uploads.remove(exchange.upload, { signal: exchange.signal });
  return { kind: 'empty', status: 204 };
}

async function append(exchange: Exchange, id: string, offset: number): Promise<UploadRecord> {
  const { service, signal, headers } = exchange;
  const type = headers['content-type'];
  if (type?.split(';')[0]?.trim().toLowerCase() !== BODY_TYPE) {
    throw new Fault('unsupported', `The bytes of an upload come as ${BODY_TYPE}.`, {
      content_type: type?.slice(0, 100) ?? null,
    });
  }
  return service.uploads.append(id, offset, exchange.source(), { signal });
}

/** As it is once its file has been made, if all of it is there. @throws what makes that impossible. */
async function finished({ service, signal }: Exchange, upload: UploadRecord): Promise<UploadRecord> {
  if (upload.state !== 'open' || upload.size === null || upload.received < upload.size) return upload;
  await service.uploads.complete(upload.upload_id, { signal });
  return { ...upload, state: 'complete' };
}

function headersOf({ received, expires, state }: UploadRecord): AnswerHeaders {
  const date = state === 'open' ? httpDateOf(expires) : undefined;
  return { 'upload-offset': String(received), ...(date === undefined ? {} : { 'upload-expires': date }) };
}

/** @throws Fault `unsupported`, which becomes a 412 that names the version. */
function checkVersion({ headers }: Exchange): void {
  const version = headers['tus-resumable'];
  if (version === TUS_VERSION) return;
  const sentence = `This server speaks tus ${TUS_VERSION}; the request says ${version === undefined ? 'nothing' : JSON.stringify(String(version).slice(0, 100))} in Tus-Resumable.`;
  throw new Fault('unsupported', sentence, { tus_version: TUS_VERSION });
}

function numberIn({ headers }: Exchange, name: 'upload-length' | 'upload-offset'): number {
  const value = headers[name];
  const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw badHeader(`The ${name}`, String(value ?? ''), '1024');
}

/** Where the file goes and what it shall be, as the metadata and the query say. */
function wishesOf(
  text: string,
  folder: string,
): Pick<UploadOptions, 'mode' | 'modified' | 'xxhash3' | 'sha256'> & { readonly path: string } {
  if (text.length > UPLOAD_NOTE_BYTES_MAX) {
    throw new Fault('too-large', `Upload-Metadata may have ${UPLOAD_NOTE_BYTES_MAX} bytes.`, {
      bytesMax: UPLOAD_NOTE_BYTES_MAX,
    });
  }
  const metadata = metadataOf(text);
  const value = (name: string): string | undefined => {
    // Uppy says `null` of what it does not have.
    const found = metadata.get(name);
    return found === '' || found === 'null' ? undefined : found;
  };
  const below = value('relativePath') ?? value('filename') ?? value('name');
  const path =
    value('path') ?? (below === undefined ? undefined : `${folder.replace(/\/+$/, '')}/${below.replace(/^\/+/, '')}`);
  if (path === undefined) {
    const sentence = 'Upload-Metadata names no file: it has neither `path` nor `filename`, `name` or `relativePath`.';
    throw new Fault('invalid', sentence, {});
  }
  const hash = (name: string, digits: number): string | undefined => {
    const found = value(name);
    if (found === undefined || new RegExp(`^[0-9a-fA-F]{${digits}}$`).test(found)) return found?.toLowerCase();
    throw badHeader(`The ${name} of the Upload-Metadata`, found, `${digits} hex digits`);
  };
  const modified = value('modified');
  if (modified !== undefined && momentOfIso(modified) === undefined)
    throw badHeader('The modified of the Upload-Metadata', modified, '2026-01-02T03:04:05Z');
  return {
    path: textOfPath(pathOfText(path)),
    ...(value('overwrite') === 'false' ? { mode: 'create' as const } : {}),
    ...present({ modified, xxhash3: hash('xxhash3', 16), sha256: hash('sha256', 64) }),
  };
}

/** `key base64,key base64`; a key may stand alone. */
function metadataOf(text: string): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (const pair of text.split(',')) {
    const [key = '', value = '', ...rest] = pair.trim().split(/ +/);
    if (key === '') continue;
    if (rest.length > 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value))
      throw badHeader('The upload-metadata', text, 'filename bm90ZXMudHh0');
    pairs.set(key, Buffer.from(value, 'base64').toString('utf8'));
  }
  return pairs;
}

const METHODS: Readonly<Record<string, (exchange: About) => Promise<Answer>>> = {
  HEAD: head,
  PATCH: patch,
  DELETE: remove,
};

function spoken(act: (exchange: About) => Promise<Answer>): (exchange: About) => Promise<Answer> {
  return async (exchange) => {
    checkVersion(exchange);
    return act(exchange);
  };
}

async function override(exchange: About): Promise<Answer> {
  const method = String(exchange.headers['x-http-method-override'] ?? '').toUpperCase();
  const act = Object.hasOwn(METHODS, method) ? METHODS[method] : undefined;
  if (act !== undefined) return act(exchange);
  const sentence = 'A POST to an upload says in X-HTTP-Method-Override which method is meant: PATCH, DELETE or HEAD.';
  throw new Fault('invalid', sentence, { method });
}

export const tusHandlers = {
  tusOptions,
  tusCreate,
  tusHead: spoken(head),
  tusPatch: spoken(patch),
  tusRemove: spoken(remove),
  tusOverride: spoken(override),
} satisfies Partial<Handlers>;
