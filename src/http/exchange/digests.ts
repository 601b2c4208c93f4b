/**
 * Digests that a request announces for its body: Content-Digest and Repr-Digest (RFC 9530; nothing is encoded on its way
 * here, so they mean the same) and Content-MD5 (RFC 1864). The first SHA-256 goes to the service, which knows the bytes
 * anyway; the others are computed here while the bytes pass, and a body that has another ends in a Fault instead of ending,
 * so that nothing of it is kept.
 *
 * What stands under a name that is not known here is passed over, as RFC 9530 lets a recipient do; a client that sends
 * `Prefer: handling=strict` is refused instead.
 */
import { createHash, type Hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { Fault, hexOf } from '../../base/index.ts';
import { badHeader } from './conditions.ts';

/** By their names in RFC 9530, how node:crypto calls them, and how many bytes they have. */
const ALGORITHMS = {
  'sha-256': { hash: 'sha256', bytes: 32 },
  'sha-512': { hash: 'sha512', bytes: 64 },
  sha: { hash: 'sha1', bytes: 20 },
  md5: { hash: 'md5', bytes: 16 },
} as const;
type Algorithm = keyof typeof ALGORITHMS;

interface Announced {
  readonly header: string;
  readonly algorithm: Algorithm;
  readonly digest: Buffer;
}

/** The first SHA-256 that is announced, in hex. @throws Fault `invalid`. */
export function sha256Of(headers: IncomingHttpHeaders): string | undefined {
  const first = announcedIn(headers).find(({ algorithm }) => algorithm === 'sha-256');
  return first && hexOf(first.digest);
}

/**
 * The same bytes, checked against all digests but the one that `sha256Of` answers; the source itself where there are none.
 * @throws Fault `invalid`; while it is read `mismatch`.
 */
export function checkedDigests(
  headers: IncomingHttpHeaders,
  source: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const others = othersIn(headers);
  return others.length === 0 ? source : checked(source, others);
}

/** The same for a body that is here as a whole. @throws Fault `mismatch` as well. */
export function checkDigests(headers: IncomingHttpHeaders, bytes: Uint8Array): void {
  for (const one of othersIn(headers)) mustEqual(one, newHash(one).update(bytes).digest());
}

function othersIn(headers: IncomingHttpHeaders): readonly Announced[] {
  const all = announcedIn(headers);
  const first = all.find(({ algorithm }) => algorithm === 'sha-256');
  return all.filter((one) => one !== first);
}

async function* checked(
  source: AsyncIterable<Uint8Array>,
  announced: readonly Announced[],
): AsyncGenerator<Uint8Array> {
  const hashes = announced.map(newHash);
  for await (const bytes of source) {
    for (const hash of hashes) hash.update(bytes);
    yield bytes;
  }
  for (const [number, one] of announced.entries()) mustEqual(one, hashes[number]?.digest());
}

function newHash({ algorithm }: Announced): Hash {
  return createHash(ALGORITHMS[algorithm].hash);
}

function mustEqual({ header, algorithm, digest }: Announced, actual: Buffer | undefined): void {
  if (actual?.equals(digest) === true) return;
  const shown = { announced: digest.toString('base64'), actual: actual?.toString('base64') };
  const sentence = `The bytes that came have the ${algorithm} digest ${shown.actual}, but ${header} announced ${shown.announced}. Nothing was stored; send it again.`;
  throw new Fault('mismatch', sentence, { what: header, algorithm, ...shown });
}

const NONE: readonly Announced[] = [];

function announcedIn(headers: IncomingHttpHeaders): readonly Announced[] {
  const { 'content-md5': md5, 'content-digest': content, 'repr-digest': representation } = headers;
  if (md5 === undefined && content === undefined && representation === undefined) return NONE;
  const isStrict = /(^|[\s,])handling\s*=\s*"?strict"?\s*(,|;|$)/i.test(String(headers.prefer ?? ''));
  const found = ['content-digest', 'repr-digest'].flatMap((header) =>
    dictionaryOf(headers[header]).flatMap((member): Announced[] => {
      const { name, value } = member;
      if (isKnown(name)) return [{ header, algorithm: name, digest: digestOf(name, value, header) }];
      if (isStrict) throw unknownDigest(header, name);
      return [];
    }),
  );
  if (md5 === undefined) return found;
  const value = /^\s*([A-Za-z0-9+/]{22}==)\s*$/.exec(String(md5))?.[1];
  if (value === undefined) throw badHeader('The content-md5', String(md5), 'the MD5 of the body in base64');
  return [...found, { header: 'content-md5', algorithm: 'md5', digest: Buffer.from(value, 'base64') }];
}

function isKnown(name: string): name is Algorithm {
  return Object.hasOwn(ALGORITHMS, name);
}

/** Members of a structured dictionary whose values are bytes: base64 has no commas. */
function dictionaryOf(header: string | readonly string[] | undefined): { name: string; value: string }[] {
  if (header === undefined) return [];
  return String(header)
    .split(',')
    .map((member) => {
      const equals = member.indexOf('=');
      const [name, value] = equals < 0 ? [member, ''] : [member.slice(0, equals), member.slice(equals + 1)];
      return { name: name.trim().toLowerCase(), value: value.trim() };
    })
    .filter(({ name }) => name !== '');
}

function digestOf(algorithm: Algorithm, value: string, header: string): Buffer {
  const match = /^:([A-Za-z0-9+/]+={0,2}):(\s*;.*)?$/.exec(value);
  const digest = Buffer.from(match?.[1] ?? '', 'base64');
  if (match !== null && digest.length === ALGORITHMS[algorithm].bytes) return digest;
  throw badHeader(`The ${header}`, `${algorithm}=${value}`, `${algorithm}=:base64:`);
}

function unknownDigest(header: string, name: string): Fault {
  const known = Object.keys(ALGORITHMS);
  const shown = name.slice(0, 100);
  const sentence = `The ${header} header announces ${shown}, which cannot be checked here; ${known.join(', ')} can. Without \`Prefer: handling=strict\` it is passed over.`;
  return new Fault('invalid', sentence, { algorithm: shown, known });
}
