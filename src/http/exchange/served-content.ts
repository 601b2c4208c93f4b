/**
 * How the bytes of a file are served, so that no browser ever runs them: as an attachment, sandboxed, with a type that
 * is not guessed again. Types are given only for formats that cannot carry scripts; all else is plain bytes.
 */
import type { FileRecord } from '../../api/index.ts';
import { etagOf, httpDateOf } from './conditions.ts';

const PLAIN_BYTES = 'application/octet-stream';

const SAFE_TYPES: Readonly<Record<string, string>> = {
  txt: 'text/plain; charset=utf-8',
  log: 'text/plain; charset=utf-8',
  md: 'text/plain; charset=utf-8',
  csv: 'text/csv; charset=utf-8',
  json: 'application/json',
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  gif: 'image/gif',
  webp: 'image/webp',
  avif: 'image/avif',
  mp4: 'video/mp4',
  webm: 'video/webm',
  mp3: 'audio/mpeg',
  ogg: 'audio/ogg',
  wav: 'audio/wav',
  flac: 'audio/flac',
  zip: 'application/zip',
  gz: 'application/gzip',
  tar: 'application/x-tar',
};

export function headersOfContent(record: FileRecord): Record<string, string> {
  const headers: Record<string, string> = {
    'content-type': typeOfName(record.name),
    'content-disposition': dispositionOf(record.name),
    'content-security-policy': "sandbox; default-src 'none'",
    'cache-control': 'private, no-cache',
    'accept-ranges': 'bytes',
    ...headersOfRecord(record),
  };
  return headers;
}

export function headersOfRecord(record: FileRecord): Record<string, string> {
  const modified = httpDateOf(record.modified);
  return {
    etag: etagOf(record),
    ...(modified === undefined ? {} : { 'last-modified': modified }),
    'x-file-id': String(record.file_id),
    'x-file-version': String(record.version),
    'x-file-size': String(record.size),
    ...(record.xxhash3 === null ? {} : { 'x-file-hash': record.xxhash3 }),
    'x-modified-time': record.modified,
  };
}

export function typeOfName(name: string): string {
  const ending = /\.([A-Za-z0-9]{1,5})$/.exec(name)?.[1]?.toLowerCase() ?? '';
  return Object.hasOwn(SAFE_TYPES, ending) ? (SAFE_TYPES[ending] ?? PLAIN_BYTES) : PLAIN_BYTES;
}

/** RFC 6266, with the name in RFC 8187 encoding where ASCII cannot hold it. Names may have any byte but NUL and slash. */
export function dispositionOf(name: string): string {
  if (/^[A-Za-z0-9 !#$&+\-.^_`|~()[\]{}@=,]*$/.test(name)) return `attachment; filename="${name}"`;
  const plain = name.replace(/[^A-Za-z0-9 !#$&+\-.^_`|~()[\]{}@=,]/g, '_');
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
