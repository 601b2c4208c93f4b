/**
 * Many files on their way out, each by itself in one answer. Small ones are read together where the service can; every
 * byte is verified before it goes out. Two forms: parts of multipart/mixed, for everything that knows forms, and frames,
 * which cost nothing to read and can say of a file that has begun that it fails:
 *
 *   letter  length (4 bytes, big-endian)  bytes
 *   F       FileRecord as JSON: a file begins
 *   D       bytes of it
 *   E       nothing: it is whole
 *   P       a Problem as JSON, with the path or id that was asked for: it fails, also behind F and D
 *   Z       {"done", "failed"} as JSON: the end of all
 *
 * Heads and small contents are put together into large pieces before they are sent.
 */
import {
  type FileRecord,
  type FileService,
  PROBLEM_TYPE,
  type Problem,
  pathOfText,
  type Target,
  urlOfPath,
} from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import { dispositionOf, headersOfRecord, typeOfName } from '../exchange/served-content.ts';

export const FRAMES_TYPE = 'application/vnd.holdfast.frames';

/** Files up to this size are read together. */
const SMALL_BYTES_MAX = 256 * 1024;
/** Targets that are looked up before the first of them is read. */
const WINDOW_TARGETS = 256;
const GATHERED_BYTES = 128 * 1024;

export type Sent =
  | { readonly kind: 'begin'; readonly record: FileRecord }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'end' }
  /** Of a file that has begun, or instead of it. */
  | { readonly kind: 'failed'; readonly target: Target; readonly fault: Error };

type Looked =
  | { readonly target: Target; readonly record: FileRecord }
  | { readonly target: Target; readonly fault: Fault };

/** How all of them are read; absent `at` for what is there now. */
export interface Reading {
  readonly at?: string;
  readonly signal: AbortSignal;
}

/** The files in the order asked for, each standing or failing alone. */
export async function* filesOf(
  service: FileService,
  targets: readonly Target[],
  options: Reading,
): AsyncGenerator<Sent> {
  for (let from = 0; from < targets.length; from += WINDOW_TARGETS) {
    const looked: Looked[] = [];
    for (const target of targets.slice(from, from + WINDOW_TARGETS)) looked.push(await look(service, target, options));
    for (let at = 0; at < looked.length; ) {
      // Only what is there now can be read many at once.
      const small = options.at === undefined ? smallFrom(service, looked, at) : [];
      if (small.length > 0) yield* readTogether(service, small, options.signal);
      else yield* readAlone(service, looked[at] as Looked, options);
      at += Math.max(1, small.length);
    }
  }
}

async function look(service: FileService, target: Target, options: Reading): Promise<Looked> {
  try {
    return { target, record: await service.stat(target, options) };
  } catch (error) {
    return { target, fault: ownFault(error, options.signal) };
  }
}

/** @throws what is not the fault of one file. */
function ownFault(error: unknown, signal: AbortSignal): Fault {
  if (!Fault.is(error) || signal.aborted) throw error;
  return error;
}

type Small = Extract<Looked, { record: FileRecord }>;

function smallFrom(service: FileService, looked: readonly Looked[], from: number): readonly Small[] {
  if (service.readMany === undefined) return [];
  const small: Small[] = [];
  for (let at = from; at < looked.length; at++) {
    const one = looked[at];
    if (one === undefined || 'fault' in one || one.record.kind !== 'file' || one.record.size > SMALL_BYTES_MAX) break;
    small.push(one);
  }
  return small;
}

async function* readTogether(service: FileService, small: readonly Small[], signal: AbortSignal): AsyncGenerator<Sent> {
  let at = 0;
  const reads = service.readMany?.(
    small.map(({ record }) => record),
    { signal },
  );
  for await (const read of reads ?? []) {
    const { target } = small[at++] as Small;
    if (!read.ok) {
      yield { kind: 'failed', target, fault: ownFault(read.fault, signal) };
      continue;
    }
    yield { kind: 'begin', record: read.record };
    yield { kind: 'bytes', bytes: read.bytes };
    yield { kind: 'end' };
  }
}

async function* readAlone(service: FileService, looked: Looked, options: Reading): AsyncGenerator<Sent> {
  const { target } = looked;
  try {
    if ('fault' in looked) throw looked.fault;
    const { record, bytes } = await service.read(target, options);
    let hasBegun = false;
    for await (const piece of bytes) {
      // Not before the first piece: damage found there is known before anything is sent.
      if (!hasBegun) yield { kind: 'begin', record };
      hasBegun = true;
      yield { kind: 'bytes', bytes: piece };
    }
    if (!hasBegun) yield { kind: 'begin', record };
    yield { kind: 'end' };
  } catch (error) {
    yield { kind: 'failed', target, fault: ownFault(error, options.signal) };
  }
}

export type ProblemOf = (fault: Error, target: Target) => Problem;

/** As frames. */
export async function* framed(sent: AsyncIterable<Sent>, problemOf: ProblemOf): AsyncGenerator<Uint8Array> {
  const out = new Gathering();
  let [done, failed] = [0, 0];
  for await (const one of sent) {
    switch (one.kind) {
      case 'begin':
        yield* out.add(frame('F', JSON.stringify(one.record)));
        break;
      case 'bytes':
        yield* out.add(frameHead('D', one.bytes.length));
        yield* out.add(one.bytes);
        break;
      case 'end':
        done++;
        yield* out.add(frameHead('E', 0));
        break;
      case 'failed':
        failed++;
        yield* out.add(frame('P', JSON.stringify(aboutTarget(problemOf(one.fault, one.target), one.target))));
    }
  }
  yield* out.add(frame('Z', JSON.stringify({ done, failed })));
  yield* out.rest();
}

function aboutTarget(problem: Problem, target: Target): object {
  return 'id' in target ? { ...problem, file_id: target.id } : { ...problem, path: target.path };
}

function frameHead(letter: string, length: number): Buffer {
  const head = Buffer.allocUnsafe(5);
  head.write(letter, 'latin1');
  head.writeUInt32BE(length, 1);
  return head;
}

function frame(letter: string, text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([frameHead(letter, bytes.length), bytes]);
}

/** As parts of multipart/mixed. */
export async function* inParts(
  sent: AsyncIterable<Sent>,
  boundary: string,
  problemOf: ProblemOf,
): AsyncGenerator<Uint8Array> {
  const out = new Gathering();
  let [done, failed] = [0, 0];
  const part = (headers: Readonly<Record<string, string>>): Buffer => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return Buffer.from(`--${boundary}\r\n${lines.join('')}\r\n`, 'latin1');
  };
  const end = Buffer.from('\r\n');
  let isOpen = false;
  for await (const one of sent) {
    switch (one.kind) {
      case 'begin':
        isOpen = true;
        yield* out.add(part(headersOfPart(one.record)));
        break;
      case 'bytes':
        yield* out.add(one.bytes);
        break;
      case 'end':
        done++;
        isOpen = false;
        yield* out.add(end);
        break;
      case 'failed': {
        failed++;
        if (isOpen) yield* out.add(end);
        isOpen = false;
        const text = Buffer.from(JSON.stringify(aboutTarget(problemOf(one.fault, one.target), one.target)));
        const headers = {
          'Content-Type': PROBLEM_TYPE,
          ...nameOfTarget(one.target),
          'Content-Length': String(text.length),
        };
        yield* out.add(Buffer.concat([part(headers), text, end]));
      }
    }
  }
  const summary = JSON.stringify({ done, failed });
  yield* out.add(part({ 'Content-Type': 'application/json', 'Content-Length': String(summary.length) }));
  yield* out.add(Buffer.from(`${summary}\r\n--${boundary}--\r\n`));
  yield* out.rest();
}

function headersOfPart(record: FileRecord): Record<string, string> {
  return {
    'Content-Type': typeOfName(record.name),
    'Content-Disposition': dispositionOf(record.name),
    'Content-Length': String(record.size),
    'X-File-Path': urlOfPath(pathOfText(record.path)),
    ...headersOfRecord(record),
    'X-File-Mode': record.mode.toString(8),
  };
}

/** A path that is none stands as text, percent-encoded. */
function nameOfTarget(target: Target): Record<string, string> {
  if ('id' in target) return { 'X-File-Id': String(target.id) };
  try {
    return { 'X-File-Path': urlOfPath(pathOfText(target.path)) };
  } catch {
    return { 'X-File-Path': encodeURIComponent(target.path.toWellFormed()) };
  }
}

/** Small pieces put together; what is large goes out as it is. A piece is gone when the next one is asked for. */
class Gathering {
  readonly #memory = Buffer.allocUnsafeSlow(GATHERED_BYTES);
  #length = 0;

  *add(bytes: Uint8Array): Generator<Uint8Array> {
    if (this.#length + bytes.length > GATHERED_BYTES) yield* this.rest();
    if (bytes.length > GATHERED_BYTES / 2) {
      yield* this.rest();
      yield bytes;
      return;
    }
    this.#memory.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  *rest(): Generator<Uint8Array> {
    if (this.#length > 0) yield this.#memory.subarray(0, this.#length);
    this.#length = 0;
  }
}
