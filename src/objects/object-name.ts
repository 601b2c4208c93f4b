/**
 * What callers may ask of an object store, checked once, at its border: names, ranges and pages.
 * The rules are the strictest of all places, so that a store can move from one place to another: a segment fits in a
 * file name of any file system, a name fits in a key of any bucket, and characters are those whose order is the same
 * as text, as bytes and in every collation.
 */
import { Fault } from '../base/index.ts';
import type { ObjectName, ObjectRange } from './object-store.ts';

export const OBJECT_NAME_CHARACTERS_MAX = 512;
/** File systems end at 255 bytes; the rest is room for what a place adds. */
export const OBJECT_SEGMENT_CHARACTERS_MAX = 200;
export const OBJECT_PAGE_MAX = 1_000;

const SEGMENT = /^(?!\.{1,2}$)[a-z0-9._-]{1,200}$/;
const NAME = /^(?!\.{1,2}(?:\/|$))[a-z0-9._-]{1,200}(?:\/(?!\.{1,2}(?:\/|$))[a-z0-9._-]{1,200})*$/;
const PREFIX = /^[a-z0-9._/-]{0,512}$/;

/** True for what may stand between two slashes of a name. */
export function isObjectSegment(text: string): boolean {
  return SEGMENT.test(text);
}

export function isObjectName(text: string): boolean {
  return text.length <= OBJECT_NAME_CHARACTERS_MAX && NAME.test(text);
}

/** @throws Fault `invalid` when `name` is no object name. */
export function checkObjectName(name: ObjectName): void {
  if (isObjectName(name)) return;
  const sentence =
    `${JSON.stringify(name.slice(0, 80))} is no object name. A name has 1 to ${OBJECT_NAME_CHARACTERS_MAX} characters ` +
    `out of a-z 0-9 . _ - /, and between slashes 1 to ${OBJECT_SEGMENT_CHARACTERS_MAX}, not "." and not "..".`;
  throw new Fault('invalid', sentence, { name });
}

/** @throws Fault `invalid` when offset or length are no whole numbers from 0. */
export function checkRange(name: ObjectName, range: ObjectRange): void {
  for (const value of [range.offset ?? 0, range.length ?? 0]) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    const sentence = `A part of object ${name} was asked for with offset ${range.offset} and length ${range.length}. Both are whole numbers of bytes, from 0.`;
    throw new Fault('invalid', sentence, { name, offset: range.offset, length: range.length });
  }
}

/** The range in numbers, inside an object of `lengthBytes`. @throws Fault `range` when the object ends before it does. */
export function rangeWithin(
  name: ObjectName,
  range: ObjectRange,
  lengthBytes: number,
): { readonly offset: number; readonly length: number } {
  const offset = range.offset ?? 0;
  const length = range.length ?? Math.max(0, lengthBytes - offset);
  if (offset + length <= lengthBytes) return { offset, length };
  const sentence = `Object ${name} has ${lengthBytes} bytes; ${length} from byte ${offset} were asked for. Ask for a part that it has.`;
  throw new Fault('range', sentence, { name, offset, length, lengthBytes });
}

export interface PageRequest {
  readonly prefix: string;
  /** '' before the first name. */
  readonly after: string;
  readonly limit: number;
}

/** A page's options with their defaults. @throws Fault `invalid` for a limit outside 1–1,000 or a prefix no name can have. */
export function pageRequest(options: { prefix?: string; after?: ObjectName; limit?: number } = {}): PageRequest {
  const { prefix = '', after = '', limit = OBJECT_PAGE_MAX } = options;
  if (!Number.isInteger(limit) || limit < 1 || limit > OBJECT_PAGE_MAX) {
    const sentence = `A list of objects was asked for with limit ${limit}. A page has 1 to ${OBJECT_PAGE_MAX} objects.`;
    throw new Fault('invalid', sentence, { limit });
  }
  if (!PREFIX.test(prefix)) {
    const sentence = `No object name begins with ${JSON.stringify(prefix.slice(0, 80))}. Names are made of a-z 0-9 . _ - /.`;
    throw new Fault('invalid', sentence, { prefix });
  }
  return { prefix, after, limit };
}

/** True when some name that begins with `start` can stand on the page. */
export function mayHoldNames(start: string, page: PageRequest): boolean {
  const fits = start.startsWith(page.prefix) || page.prefix.startsWith(start);
  return fits && (start > page.after || page.after.startsWith(start));
}

/** True when the name itself can stand on the page. */
export function isOnPage(name: ObjectName, page: PageRequest): boolean {
  return name.startsWith(page.prefix) && name > page.after;
}

/** @throws Fault `aborted` when the asker has given up. */
export function checkWanted(signal: AbortSignal | undefined, name: ObjectName): void {
  if (signal?.aborted) throw Fault.aborted(signal, `The request for object ${name}`);
}

export function objectMissing(name: ObjectName, cause?: unknown): Fault {
  const sentence = `There is no object ${name}. It was never written, or has been deleted.`;
  return new Fault('not-found', sentence, { name }, cause);
}

export function objectExists(name: ObjectName): Fault {
  const sentence = `There is an object ${name} already, and no name is written twice. Choose a new name, or delete the object first.`;
  return new Fault('exists', sentence, { name });
}

export function objectTooShort(name: ObjectName, lengthBytes: number, at: number): Fault {
  const sentence = `Object ${name} has ${lengthBytes} bytes and cannot be made longer from byte ${at}: bytes before it are lost. Append from what is there.`;
  return new Fault('corrupt', sentence, { name, lengthBytes, at });
}

export function objectHeld(name: ObjectName): Fault {
  const sentence = `Object ${name} is open for appending already, and one appender at a time is allowed. Close the other one first.`;
  return new Fault('locked', sentence, { name });
}

export function cannot(ability: string, place: string): Fault {
  return new Fault('unsupported', `Objects in ${place} cannot ${ability}. Ask its abilities first.`, {
    ability,
    place,
  });
}
