/**
 * Conditional requests (RFC 9110 §13): entity tags and dates against the file as it is, pure. A tag is
 * `"<file_id>-<version>"`, strong. What changes things turns its condition into an expectation that the service checks
 * in its commit, so that nothing can come between the check and the change.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { FileRecord } from '../../api/index.ts';
import { Fault, Lru, momentOfIso } from '../../base/index.ts';

/** Tags that one header may list. */
const TAGS_MAX = 100;

type Tagged = Pick<FileRecord, 'file_id' | 'version'>;

export function etagOf(record: Tagged): string {
  return `"${record.file_id}-${record.version}"`;
}

export interface EntityTag {
  readonly isWeak: boolean;
  /** With its quotes. */
  readonly tag: string;
}

/** @throws Fault `invalid` when it is no list of entity tags. */
export function tagsOf(header: string): '*' | readonly EntityTag[] {
  if (header.trim() === '*') return '*';
  const tags: EntityTag[] = [];
  const pattern = /\s*(W\/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)/y;
  while (pattern.lastIndex < header.length) {
    const match = pattern.exec(header);
    if (match === null || tags.length >= TAGS_MAX) throw badHeader('A condition', header, '"<file_id>-<version>"');
    tags.push({ isWeak: match[1] !== undefined, tag: match[2] ?? '' });
  }
  if (tags.length === 0) throw badHeader('A condition', header, '"<file_id>-<version>"');
  return tags;
}

export function badHeader(what: string, value: string, wanted: string): Fault {
  const shown = value.slice(0, 200);
  return new Fault('invalid', `${what} header reads ${JSON.stringify(shown)}; it should read like ${wanted}.`, {
    value: shown,
  });
}

/** Milliseconds of an HTTP date, which has no fraction; `undefined` when it is none, and then it is to be ignored. */
export function msOfHttpDate(text: string): number | undefined {
  if (!/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Files of one tree were changed in few seconds, and the same ones are asked for again: the latest are kept. */
const DATES_KEPT = 512;
const dates = new Lru<number, string>({ weightMax: DATES_KEPT });

/** Seconds are all that an HTTP date can say. */
export function httpDateOf(iso: string): string | undefined {
  const moment = momentOfIso(iso);
  if (moment === undefined) return undefined;
  const known = dates.get(moment.seconds);
  if (known !== undefined) return known;
  const date = new Date(moment.seconds * 1000);
  if (!(date.getUTCFullYear() >= 0 && date.getUTCFullYear() <= 9999)) return undefined;
  const text = date.toUTCString();
  dates.set(moment.seconds, text);
  return text;
}

/** What a condition says about a read: go on, `304` or `412`. */
export function judgeRead(headers: IncomingHttpHeaders, record: FileRecord): 'read' | 'not-modified' | 'failed' {
  const tag = etagOf(record);
  const ifMatch = headers['if-match'];
  const since = headers['if-unmodified-since'];
  if (ifMatch !== undefined) {
    if (!hasStrong(ifMatch, tag)) return 'failed';
  } else if (since !== undefined && isModifiedAfter(record, since) === true) return 'failed';
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) return hasWeak(ifNoneMatch, tag) ? 'not-modified' : 'read';
  const modifiedSince = headers['if-modified-since'];
  return modifiedSince !== undefined && isModifiedAfter(record, modifiedSince) === false ? 'not-modified' : 'read';
}

/** True when a Range is to be honoured: there is no If-Range, or it names exactly this content. */
export function isRangeWanted(headers: IncomingHttpHeaders, record: FileRecord): boolean {
  const condition = headers['if-range'];
  if (condition === undefined || Array.isArray(condition)) return condition === undefined;
  if (condition.startsWith('"')) return condition === etagOf(record);
  const ms = msOfHttpDate(condition);
  return ms !== undefined && condition === httpDateOf(record.modified);
}

function hasStrong(header: string, tag: string): boolean {
  const tags = tagsOf(header);
  return tags === '*' || tags.some((one) => !one.isWeak && one.tag === tag);
}

function hasWeak(header: string, tag: string): boolean {
  const tags = tagsOf(header);
  return tags === '*' || tags.some((one) => one.tag === tag);
}

function isModifiedAfter(record: FileRecord, header: string): boolean | undefined {
  const ms = msOfHttpDate(header);
  const moment = momentOfIso(record.modified);
  return ms === undefined || moment === undefined ? undefined : moment.seconds * 1000 > ms;
}

export interface Expectation {
  readonly expectedVersion?: number;
  readonly expectedId?: number;
  /** From If-None-Match: *: nothing may be there. */
  readonly isNew?: boolean;
  /** From If-Match: *: something must be there. */
  readonly isOld?: boolean;
}

/** One plain If-Match is an expectation by itself; the rest needs to know what is there. */
export function needsRecord(headers: IncomingHttpHeaders): boolean {
  const ifMatch = headers['if-match'];
  const ifNoneMatch = headers['if-none-match'];
  if (ifMatch === undefined && headers['if-unmodified-since'] !== undefined) return true;
  if (ifNoneMatch !== undefined && ifNoneMatch.trim() !== '*') return true;
  return ifMatch !== undefined && ifMatch.trim() !== '*' && expectationOfTag(ifMatch) === undefined;
}

function expectationOfTag(ifMatch: string): Expectation | undefined {
  const match = /^\s*"(\d{1,16})-(\d{1,16})"\s*$/.exec(ifMatch);
  return match === null ? undefined : { expectedId: Number(match[1]), expectedVersion: Number(match[2]) };
}

/**
 * What a changing request expects. `record` is what is there now, where needsRecord says that it matters.
 * @throws Fault `conflict` when the condition is false already.
 */
export function expectationOf(headers: IncomingHttpHeaders, record: FileRecord | undefined): Expectation {
  const ifNoneMatch = headers['if-none-match'];
  const ifMatch = headers['if-match'];
  if (ifNoneMatch?.trim() === '*') return { isNew: true };
  if (ifMatch?.trim() === '*') return { isOld: true };
  const plain = ifMatch === undefined ? undefined : expectationOfTag(ifMatch);
  if (!needsRecord(headers)) return plain ?? {};
  if (record === undefined) return {};
  if (judgeRead(headers, record) !== 'read') throw failedPrecondition(record);
  return { expectedId: record.file_id, expectedVersion: record.version };
}

export function failedPrecondition(record: FileRecord): Fault {
  const sentence = `${record.path} is ${etagOf(record)} now, which the condition of the request rules out. Read it again and decide anew.`;
  const about = { path: record.path, current_version: record.version, file_id: record.file_id };
  return new Fault('conflict', sentence, about);
}

/** True when a fault says that a condition in the headers did not hold: then the answer is 412. */
export function isFailedPrecondition(fault: Fault, headers: IncomingHttpHeaders): boolean {
  if (fault.code === 'exists') return headers['if-none-match'] !== undefined;
  if (fault.code !== 'conflict' || !Object.hasOwn(fault.about, 'current_version')) return false;
  const { 'if-match': match, 'if-none-match': noneMatch, 'if-unmodified-since': since } = headers;
  return match !== undefined || noneMatch !== undefined || since !== undefined;
}
