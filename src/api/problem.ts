/**
 * Faults on the wire. One table says for every fault code what it is called, which HTTP status answers it and which word
 * the older error contract has for it; docs/errors.md shows the same and a test compares them. A fault becomes a problem
 * document (RFC 9457) and comes back from it as the same fault: code, sentence and `about`. The cause stays on the
 * server, in its log.
 */
import { FAULT_CODES, Fault, type FaultAbout, type FaultCode } from '../base/index.ts';
import type { Problem } from './records.ts';

export const PROBLEM_TYPE = 'application/problem+json';

export interface FaultMeaning {
  /** A few words for the code itself; the fault's sentence says what happened this time. */
  readonly title: string;
  readonly status: number;
  /** The word of the older contract, where it has one. */
  readonly olderCode?: 'file_not_found' | 'permission_denied' | 'hash_mismatch' | 'network_error' | 'server_error';
}

export const FAULT_MEANINGS = {
  'not-found': { title: 'Nothing is there', status: 404, olderCode: 'file_not_found' },
  exists: { title: 'Something is there already', status: 409 },
  conflict: { title: 'It changed meanwhile', status: 409 },
  invalid: { title: 'The request is wrong', status: 400 },
  'not-folder': { title: 'A folder is needed', status: 409 },
  'is-folder': { title: 'A file is needed', status: 409 },
  'not-empty': { title: 'The folder is not empty', status: 409 },
  'too-large': { title: 'Too large', status: 413 },
  range: { title: 'The range lies outside', status: 416 },
  mismatch: {
    title: 'The bytes are not those announced',
    status: 400,
    olderCode: 'hash_mismatch',
  },
  incomplete: { title: 'Not all of it has come', status: 409 },
  full: { title: 'The disk is full', status: 507, olderCode: 'server_error' },
  quota: { title: 'The space is full', status: 507 },
  corrupt: { title: 'Stored bytes are damaged', status: 500, olderCode: 'server_error' },
  'not-kept': { title: 'That moment is not kept', status: 410 },
  gone: { title: 'A chunk is no longer there', status: 503, olderCode: 'server_error' },
  busy: { title: 'Too much at once', status: 503, olderCode: 'server_error' },
  locked: { title: 'Somebody else holds it', status: 423 },
  deadlock: { title: 'Waiting for it would never end', status: 409 },
  'lock-lost': { title: 'The lock is not held any more', status: 412 },
  denied: { title: 'Not allowed', status: 403, olderCode: 'permission_denied' },
  signature: { title: 'The signature does not fit', status: 403, olderCode: 'permission_denied' },
  expired: { title: 'The URL is over its time', status: 403, olderCode: 'permission_denied' },
  'read-only': { title: 'It cannot be written', status: 403, olderCode: 'permission_denied' },
  unsupported: { title: 'This cannot be done here', status: 501 },
  incompatible: { title: 'Made by another Holdfast', status: 500, olderCode: 'server_error' },
  aborted: { title: 'Given up', status: 400, olderCode: 'network_error' },
  timeout: { title: 'It took too long', status: 504, olderCode: 'network_error' },
  unavailable: { title: 'It cannot be reached', status: 503, olderCode: 'network_error' },
  io: { title: 'The operating system refused', status: 500, olderCode: 'server_error' },
} as const satisfies Record<FaultCode, FaultMeaning>;

/** The status that answers a fault, unless a door knows better (a failed If-Match is a `conflict` with 412). */
export const HTTP_STATUS: Readonly<Record<FaultCode, number>> = Object.fromEntries(
  FAULT_CODES.map((code) => [code, FAULT_MEANINGS[code].status]),
) as Record<FaultCode, number>;

export interface ProblemContext {
  readonly request: string;
  /** Instead of the status of the code. */
  readonly status?: number | undefined;
  /** The path of the request, for faults that name none. */
  readonly path?: string | undefined;
}

export function problemOfFault(fault: Fault, context: ProblemContext): Problem {
  const meaning: FaultMeaning = FAULT_MEANINGS[fault.code];
  const named = fault.about.path;
  return {
    type: `/v1/docs#fault-${fault.code}`,
    title: meaning.title,
    status: context.status ?? meaning.status,
    detail: fault.message,
    code: fault.code,
    path: typeof named === 'string' ? named : (context.path ?? null),
    error: fault.message,
    error_code: meaning.olderCode ?? fault.code,
    about: aboutOfWire(fault.about),
    request: context.request,
  };
}

/** `about` is plain data by contract; whatever is not (a bigint, a cycle) must not spoil the answer. */
function aboutOfWire(about: FaultAbout): Record<string, unknown> {
  try {
    return JSON.parse(
      JSON.stringify(about, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    );
  } catch {
    return {};
  }
}

const CODES: ReadonlySet<string> = new Set(FAULT_CODES);

/** The fault that a problem document tells of; `undefined` when it is none of ours. */
export function faultOfProblem(document: unknown): Fault | undefined {
  if (typeof document !== 'object' || document === null) return undefined;
  const { code, detail, about } = document as Partial<Record<keyof Problem, unknown>>;
  if (typeof code !== 'string' || typeof detail !== 'string' || !CODES.has(code)) return undefined;
  const plain = typeof about === 'object' && about !== null ? (about as FaultAbout) : {};
  return new Fault(code as FaultCode, detail, plain);
}
