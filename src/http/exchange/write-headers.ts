/** What the headers of an upload announce and set, read once into options of the service. */
import type { IncomingHttpHeaders } from 'node:http';
import type { WriteOptions } from '../../api/index.ts';
import { Fault, momentOfIso } from '../../base/index.ts';
import { badHeader } from './conditions.ts';
import { sha256Of } from './digests.ts';

export type Announced = Pick<
  WriteOptions,
  'size' | 'xxhash3' | 'sha256' | 'modified' | 'permissions' | 'idempotencyKey'
>;

/** What a body is whose size is bounded, for sentences. */
export type Sized = 'file' | 'part' | 'form';

/** @throws Fault `invalid`, `mismatch` when two announced sizes differ, `too-large`, `unsupported`. */
export function announcedBy(headers: IncomingHttpHeaders, bytesMax: number, what: Sized = 'file'): Announced {
  if (headers['content-range'] !== undefined) {
    throw new Fault('invalid', 'Content-Range is for answers: an upload is always the whole file.', {});
  }
  const size = sizeOf(headers);
  checkSize(size, bytesMax, what);
  return {
    size,
    xxhash3: one(headers, 'x-file-hash', /^[0-9a-fA-F]{16}$/, '16 hex digits')?.toLowerCase(),
    sha256: sha256Of(headers),
    modified: modifiedOf(headers),
    permissions: permissionsOf(headers),
    idempotencyKey: idempotencyKeyOf(headers),
  };
}

export function checkSize(size: number | undefined, bytesMax: number, what: Sized = 'file'): void {
  if (size === undefined || size <= bytesMax) return;
  const sentence = `The ${what} has ${size} bytes; the most that one ${what} may have here is ${bytesMax}.`;
  throw new Fault('too-large', sentence, { size, bytesMax });
}

function one(headers: IncomingHttpHeaders, name: string, pattern: RegExp, wanted: string): string | undefined {
  const value = headers[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !pattern.test(value)) throw badHeader(`The ${name}`, String(value), wanted);
  return value;
}

function sizeOf(headers: IncomingHttpHeaders): number | undefined {
  const stated = one(headers, 'x-file-size', /^\d{1,16}$/, '1024');
  const length = headers['content-length'];
  if (stated === undefined) return length === undefined ? undefined : Number(length);
  if (length !== undefined && Number(length) !== Number(stated)) {
    const sentence = `X-File-Size announces ${stated} bytes and Content-Length ${length}. They must be equal.`;
    throw new Fault('mismatch', sentence, { announced: Number(stated), actual: Number(length) });
  }
  return Number(stated);
}

function modifiedOf(headers: IncomingHttpHeaders): string | undefined {
  const value = headers['x-modified-time'];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && momentOfIso(value) !== undefined) return value;
  throw badHeader('The x-modified-time', String(value), '2026-01-02T03:04:05Z');
}

function permissionsOf(headers: IncomingHttpHeaders): number | undefined {
  const value = one(headers, 'x-file-mode', /^0?[0-7]{1,4}$/, '644');
  return value === undefined ? undefined : Number.parseInt(value, 8);
}

/** A structured-field string or the bare key. @throws Fault `invalid`. */
export function idempotencyKeyOf(headers: IncomingHttpHeaders): string | undefined {
  const value = one(headers, 'idempotency-key', /^[\x20-\x7e]{1,257}$/, '8e03978e-40d5-43dd-bc93-6894a57f9324');
  const key = value?.replace(/^"(.*)"$/, '$1');
  if (key === undefined) return undefined;
  if (key === '' || key.length > 255) throw badHeader('The idempotency-key', key, 'a key of 1 to 255 characters');
  return key;
}

/** Tokens of the locks that are presented, one or several with commas between. @throws Fault `invalid`. */
export function lockTokensOf(headers: IncomingHttpHeaders): readonly number[] | undefined {
  const value = one(headers, 'lock-token', /^\s*\d{1,15}(\s*,\s*\d{1,15}){0,99}\s*$/, 'the token of a lock, 17');
  return value?.split(',').map(Number);
}

/** @throws Fault `unsupported` (415 at the door) for a body that is packed on the way. */
export function checkEncoding(headers: IncomingHttpHeaders): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return;
  const sentence = `Bodies cannot come with Content-Encoding ${encoding.slice(0, 100)}. Send the bytes as they are; the store compresses them.`;
  throw new Fault('unsupported', sentence, { encoding: encoding.slice(0, 100) });
}
