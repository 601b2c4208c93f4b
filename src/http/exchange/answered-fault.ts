/**
 * Which fault and which status answer an error. The status of a fault is the one of its code, unless HTTP has a more
 * exact one for this request; errors of the framework become faults; everything else is a bug and says nothing of itself.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { Fault } from '../../base/index.ts';
import { isFailedPrecondition } from './conditions.ts';

export interface AnsweredFault {
  readonly fault: Fault;
  /** Instead of the status of the code. */
  readonly status: number | undefined;
}

export function answeredFault(error: unknown, headers: IncomingHttpHeaders): AnsweredFault {
  if (Fault.is(error)) return { fault: error, status: statusOf(error, headers) };
  const { statusCode, code } = (error ?? {}) as { statusCode?: unknown; code?: unknown };
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    const why = error instanceof Error ? error.message : 'it is malformed';
    const own = statusCode === 413 ? 'too-large' : statusCode === 415 ? 'unsupported' : 'invalid';
    const fault = new Fault(own, `The request cannot be read: ${why}.`, { reason: code }, error);
    return { fault, status: statusCode };
  }
  const sentence = 'Something went wrong inside the server. Its log says what, under the id of this request.';
  return { fault: new Fault('io', sentence, {}, error), status: 500 };
}

function statusOf(fault: Fault, headers: IncomingHttpHeaders): number | undefined {
  if (isFailedPrecondition(fault, headers)) return 412;
  // Too many at once of one kind, not a server that cannot; and a client that is too slow, not one behind it.
  if (fault.code === 'busy' && Object.hasOwn(fault.about, 'transfers')) return 429;
  if (fault.code === 'timeout' && ['bytes_per_second', 'still_seconds'].some((one) => Object.hasOwn(fault.about, one)))
    return 408;
  if (fault.code !== 'unsupported') return undefined;
  if (Object.hasOwn(fault.about, 'allowed')) return 405;
  if (Object.hasOwn(fault.about, 'tus_version')) return 412;
  return Object.hasOwn(fault.about, 'encoding') || Object.hasOwn(fault.about, 'content_type') ? 415 : undefined;
}

/** Headers that a fault brings along. */
export function headersOfFault(fault: Fault, status: number | undefined): Record<string, string> {
  if (status === 405) return { allow: (fault.about.allowed as readonly string[]).join(', ') };
  if (status === 412 && fault.code === 'unsupported') return { 'tus-version': String(fault.about.tus_version) };
  if (fault.code === 'range') return { 'content-range': `bytes */${fault.about.size ?? '*'}` };
  return ['busy', 'unavailable', 'gone'].includes(fault.code) ? { 'retry-after': '1' } : {};
}
