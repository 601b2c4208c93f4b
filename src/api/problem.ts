/**
 * Faults on the wire. One table says for every fault code what it means, which HTTP status answers it, which word the
 * older error contract has for it, which exit code the command line ends with and what a person can do; docs/errors.md
 * shows the same table and a test compares them. A fault becomes a problem document (RFC 9457) and comes back from it as
 * the same fault: code, sentence and `about`. The cause stays on the server, in its log.
 */
import { FAULT_CODES, Fault, type FaultAbout, type FaultCode } from '../base/index.ts';
import type { Problem } from './records.ts';

export const PROBLEM_TYPE = 'application/problem+json';

/** Command-line exit codes, by family. 0 is success; 1 is a bug in Holdfast itself. */
export const EXIT_CODES = {
  invalid: 2,
  absent: 3,
  conflict: 4,
  denied: 5,
  limit: 6,
  damaged: 7,
  unavailable: 8,
  io: 9,
  aborted: 130,
} as const;
export type ExitFamily = keyof typeof EXIT_CODES;

export interface FaultMeaning {
  /** A few words for the code itself; the fault's sentence says what happened this time. */
  readonly title: string;
  readonly status: number;
  readonly exit: ExitFamily;
  /** The word of the older contract, where it has one. */
  readonly olderCode?: 'file_not_found' | 'permission_denied' | 'hash_mismatch' | 'network_error' | 'server_error';
}

export const FAULT_MEANINGS = {
  'not-found': { title: 'Nothing is there', status: 404, exit: 'absent', olderCode: 'file_not_found' },
  exists: { title: 'Something is there already', status: 409, exit: 'conflict' },
  conflict: { title: 'It changed meanwhile', status: 409, exit: 'conflict' },
  invalid: { title: 'The request is wrong', status: 400, exit: 'invalid' },
  'not-folder': { title: 'A folder is needed', status: 409, exit: 'conflict' },
  'is-folder': { title: 'A file is needed', status: 409, exit: 'conflict' },
  'not-empty': { title: 'The folder is not empty', status: 409, exit: 'conflict' },
  'too-large': { title: 'Too large', status: 413, exit: 'limit' },
  range: { title: 'The range lies outside', status: 416, exit: 'limit' },
  mismatch: {
    title: 'The bytes are not those announced',
    status: 400,
    exit: 'damaged',
    olderCode: 'hash_mismatch',
  },
  full: { title: 'The disk is full', status: 507, exit: 'limit', olderCode: 'server_error' },
  quota: { title: 'The space is full', status: 507, exit: 'limit' },
  corrupt: { title: 'Stored bytes are damaged', status: 500, exit: 'damaged', olderCode: 'server_error' },
  gone: { title: 'A chunk is no longer there', status: 503, exit: 'unavailable', olderCode: 'server_error' },
  busy: { title: 'Too much at once', status: 503, exit: 'unavailable', olderCode: 'server_error' },
  locked: { title: 'Somebody else holds it', status: 423, exit: 'denied' },
  denied: { title: 'Not allowed', status: 403, exit: 'denied', olderCode: 'permission_denied' },
  'read-only': { title: 'It cannot be written', status: 403, exit: 'denied', olderCode: 'permission_denied' },
  unsupported: { title: 'This cannot be done here', status: 501, exit: 'invalid' },
  incompatible: { title: 'Made by another Holdfast', status: 500, exit: 'damaged', olderCode: 'server_error' },
  aborted: { title: 'Given up', status: 400, exit: 'aborted', olderCode: 'network_error' },
  timeout: { title: 'It took too long', status: 504, exit: 'unavailable', olderCode: 'network_error' },
  unavailable: { title: 'It cannot be reached', status: 503, exit: 'unavailable', olderCode: 'network_error' },
  io: { title: 'The operating system refused', status: 500, exit: 'io', olderCode: 'server_error' },
} as const satisfies Record<FaultCode, FaultMeaning>;

/** The status that answers a fault, unless a door knows better (a failed If-Match is a `conflict` with 412). */
export const HTTP_STATUS: Readonly<Record<FaultCode, number>> = Object.fromEntries(
  FAULT_CODES.map((code) => [code, FAULT_MEANINGS[code].status]),
) as Record<FaultCode, number>;

/** What a process ends with when this fault was its last word. */
export function exitCodeOf(code: FaultCode): number {
  return EXIT_CODES[FAULT_MEANINGS[code].exit];
}

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
