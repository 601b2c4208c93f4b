/**
 * The one error of Holdfast. A fault has a code from a closed list, a sentence for people that says what happened to
 * what, why, and what to do, plain data about it, and its cause, which is always kept.
 * Doors translate codes with tables that the compiler checks, so that a forgotten code does not compile.
 * Everything that is not a Fault (and not an abort) is a bug and ends the work it happened in.
 */

export const FAULT_CODES = [
  'not-found', // there is nothing under this name or id
  'exists', // there is something under this name already
  'conflict', // it changed since it was read: expected version, stale row
  'invalid', // the request itself is wrong
  'not-folder', // a folder is needed here
  'is-folder', // a file is needed here
  'not-empty', // the folder still has entries
  'too-large', // beyond a named size limit
  'range', // the asked range lies outside the content
  'mismatch', // bytes differ from the announced length or checksum
  'incomplete', // bytes or parts of an upload have not come yet
  'full', // the disk has no room
  'quota', // the space may not hold more
  'corrupt', // stored bytes are damaged; nothing of them is served
  'not-kept', // the moment that was asked for is no longer kept, or never was
  'gone', // a chunk that was counted on is no longer there; store it anew
  'busy', // a bounded queue is full, try again
  'locked', // somebody else holds it
  'deadlock', // waiting for a lock would never end
  'lock-lost', // the lock that this relies on is not held any more
  'denied', // not allowed
  'signature', // the signature of a URL does not fit what is asked
  'expired', // a signed URL is over its time
  'read-only', // the place cannot be written
  'unsupported', // this store, door or backend cannot do that
  'incompatible', // made by a newer or different Holdfast
  'aborted', // the caller gave up
  'timeout', // it took longer than its limit
  'unavailable', // the other side cannot be reached, or is shutting down
  'io', // the operating system refused, and none of the above says why
] as const;

export type FaultCode = (typeof FAULT_CODES)[number];

/** Plain data, fit for JSON, that names what a fault is about. */
export type FaultAbout = Readonly<Record<string, unknown>>;

export class Fault extends Error {
  readonly code: FaultCode;
  readonly about: FaultAbout;

  constructor(code: FaultCode, sentence: string, about: FaultAbout = {}, cause?: unknown) {
    super(sentence, cause === undefined ? undefined : { cause });
    this.name = 'Fault';
    this.code = code;
    this.about = about;
  }

  /** True for a Fault, of one of the codes when any are given. */
  static is(error: unknown, ...codes: readonly FaultCode[]): error is Fault {
    return error instanceof Fault && (codes.length === 0 || codes.includes(error.code));
  }

  /** The fault for a signal that has fired; its reason is kept as the cause. */
  static aborted(signal: AbortSignal | undefined, what: string): Fault {
    const reason: unknown = signal?.reason;
    return Fault.is(reason) ? reason : new Fault('aborted', `${what} was given up.`, {}, reason);
  }
}

/** A broken invariant: a bug in Holdfast itself. Stays on in production. */
export function assert(condition: unknown, sentence: string, about: FaultAbout = {}): asserts condition {
  if (condition) return;
  const error = new Error(`Broken invariant: ${sentence} ${JSON.stringify(about)}`);
  error.name = 'InvariantError';
  throw error;
}

/** For the default branch of an exhaustive switch: does not compile while a case is missing. */
export function never(value: never, what: string): never {
  throw new Error(`Broken invariant: unknown ${what} ${JSON.stringify(value)}`);
}
