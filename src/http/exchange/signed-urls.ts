/**
 * URLs that carry their own permission: an HMAC-SHA256, with a key of the store, over everything that they allow (the
 * method, which part of which upload or which version of which file, how many bytes, until when). Whoever has such a URL
 * may do exactly that, and nothing else.
 *
 * The signed text is one line each: "holdfast-url-1", the method, what it is for, its two names, the bytes, the end
 * (Unix seconds). Its signature is base64url and compared in constant time.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { urlOfRoute } from '../../api/index.ts';
import { type Clock, Fault } from '../../base/index.ts';

const PURPOSE = 'holdfast-url-1';
export const SIGNING_KEY_BYTES = 32;

/** What a signed URL says in its query. */
export interface SignedQuery {
  readonly expires?: number | undefined;
  readonly signature?: string | undefined;
}

interface Allowed {
  readonly method: 'GET' | 'PUT';
  readonly names:
    | readonly [kind: 'part', upload: string, part: number]
    | readonly [kind: 'file', id: number, version: number];
  readonly bytesMax: number;
}

export class UrlSigner {
  readonly #key: Uint8Array;
  readonly #clock: Clock;

  constructor(key: Uint8Array, clock: Clock) {
    this.#key = key;
    this.#clock = clock;
  }

  /** Unix seconds, so long from now. */
  expiresAfter(seconds: number): number {
    return this.#clock.now().seconds + seconds;
  }

  /** How long, in seconds, from now. */
  secondsUntil(expires: number): number {
    return Math.max(0, expires - this.#clock.now().seconds);
  }

  /** Where a part may be put; path and query. */
  part(upload: string, part: number, bytesMax: number, expires: number): string {
    const signature = this.#sign({ method: 'PUT', names: ['part', upload, part], bytesMax }, expires);
    return urlOfRoute('partPut', { upload, part, query: { expires, size_max: bytesMax, signature } });
  }

  /** Where a version of a file may be read; path and query. */
  file(id: number, version: number, expires: number): string {
    const signature = this.#sign({ method: 'GET', names: ['file', id, version], bytesMax: 0 }, expires);
    return urlOfRoute('download', { query: { file_id: id, version, expires, signature } });
  }

  /** @throws Fault `signature`, `expired`. */
  checkPart(upload: string, part: number, query: SignedQuery & { readonly size_max?: number | undefined }): void {
    this.#check({ method: 'PUT', names: ['part', upload, part], bytesMax: query.size_max ?? -1 }, query);
  }

  /** @throws Fault `signature`, `expired`. */
  checkFile(id: number, version: number | undefined, query: SignedQuery): void {
    this.#check({ method: 'GET', names: ['file', id, version ?? -1], bytesMax: 0 }, query);
  }

  #sign({ method, names, bytesMax }: Allowed, expires: number): string {
    const text = [PURPOSE, method, ...names, bytesMax, expires].join('\n');
    return createHmac('sha256', this.#key).update(text).digest('base64url');
  }

  #check(allowed: Allowed, { expires = -1, signature = '' }: SignedQuery): void {
    const [given, right] = [Buffer.from(signature), Buffer.from(this.#sign(allowed, expires))];
    // The signature first: an end that nobody signed says nothing.
    if (given.length !== right.length || !timingSafeEqual(given, right)) throw alteredUrl(allowed.method);
    if (expires > this.#clock.now().seconds) return;
    const sentence = 'The time of this URL is over. Ask for a fresh one.';
    throw new Fault('expired', sentence, { expires: new Date(expires * 1000).toISOString() });
  }
}

export function alteredUrl(method: Allowed['method']): Fault {
  const sentence =
    'The signature of this URL does not fit: the URL was altered, or is used for something else than it was made for. Ask for a fresh one.';
  return new Fault('signature', sentence, { method });
}

/** Whether a request means to be allowed by its URL. */
export function isSigned(query: SignedQuery & { readonly size_max?: number | undefined }): boolean {
  return query.signature !== undefined || query.expires !== undefined || query.size_max !== undefined;
}
