/**
 * Forms with files (multipart/form-data, RFC 7578 and RFC 2046 §5.1), read as a stream: parts come in order, the bytes of
 * a part are pulled by whoever reads it, and no more than one piece of the source and a delimiter are held. A form that
 * breaks off is a Fault, so that the file in it is never taken for whole. Why this is no package: docs/decisions/multipart.md.
 *
 *   preamble? --boundary CRLF headers CRLF CRLF bytes  CRLF--boundary CRLF headers …  CRLF--boundary-- epilogue?
 */
import { textOfBytes } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';

export interface Part {
  /** Name of the field. */
  readonly name: string;
  /** Text form; absent on fields that are no files. */
  readonly filename: string | undefined;
  /** All its headers, names in lower case, bytes one to one; of a name that is there twice the last. */
  readonly headers: Readonly<Record<string, string>>;
  /** Its content; what is not read is passed over when the next part is asked for. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Its content, when that is not read yet and all of it has come; it is read then. */
  whole(): Uint8Array | undefined;
}

export interface FormLimits {
  /** Bytes of the headers of one part, and before the first part. */
  readonly partHeaderBytesMax: number;
}

/** The boundary of a Content-Type; `undefined` when it is no form. */
export function boundaryOf(contentType: string | undefined): string | undefined {
  if (contentType === undefined || !/^multipart\/form-data\s*;/i.test(contentType)) return undefined;
  const match = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

/** @throws Fault `invalid` for what is no form, `aborted` and others from the source. */
export async function* partsOf(
  source: AsyncIterable<Uint8Array>,
  boundary: string,
  limits: FormLimits,
): AsyncGenerator<Part> {
  const reader = new FormReader(source, boundary, limits);
  for (;;) {
    const part = await reader.next();
    if (part === undefined) return;
    yield part;
  }
}

const LINE_BREAK = Buffer.from('\r\n');
const HEADERS_END = Buffer.from('\r\n\r\n');

/** Reads a form part by part, at once where a part is there: of thousands of small files most are. */
export class FormReader {
  readonly #window: Window;
  readonly #delimiter: Buffer;
  readonly #limits: FormLimits;
  #isBegun = false;
  /** The part before. */
  #content: PartContent | undefined;

  constructor(source: AsyncIterable<Uint8Array>, boundary: string, limits: FormLimits) {
    this.#window = new Window(source[Symbol.asyncIterator]());
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
    this.#limits = limits;
    // The first delimiter may stand at the very start; a line break in front makes it like all others.
    this.#window.prepend(LINE_BREAK);
  }

  /** The next part, undefined behind the last; passes over what was not read of the one before. */
  async next(): Promise<Part | undefined> {
    for (;;) {
      const begun = this.tryNext();
      if (begun !== undefined) return begun.part;
      await (this.#content?.isDone === false ? this.#content.passOver() : this.#window.fill());
    }
  }

  /** The same at once; undefined when more must come first. */
  tryNext(): { readonly part: Part | undefined } | undefined {
    const { partHeaderBytesMax } = this.#limits;
    if (!this.#isBegun) {
      if (this.#window.takeUntil(this.#delimiter, partHeaderBytesMax) === undefined) return undefined;
      this.#isBegun = true;
    }
    if (this.#content?.isDone === false && this.#content.whole() === undefined) return undefined;
    const isEnd = this.#isEnd();
    if (isEnd !== false) return isEnd === true ? { part: undefined } : undefined;
    const lines = this.#window.takeUntil(HEADERS_END, partHeaderBytesMax);
    if (lines === undefined) return undefined;
    const headers = headersOf(lines);
    this.#content = new PartContent(this.#window, this.#delimiter);
    return { part: new FormPart(headers, this.#content) };
  }

  /** Behind a delimiter: `--` ends the form, a line break begins a part. */
  #isEnd(): boolean | undefined {
    const { held } = this.#window;
    if (held.length < 2) return undefined;
    if (held[0] === DASH && held[1] === DASH) return true;
    if (held[0] === 0x0d && held[1] === 0x0a) return false;
    throw badForm('has something behind a boundary that is neither a part nor its end');
  }
}

const DASH = 0x2d;

class FormPart implements Part {
  readonly name: string;
  readonly filename: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: PartContent;

  constructor(headers: Readonly<Record<string, string>>, bytes: PartContent) {
    const { name, filename } = dispositionOf(headers);
    this.name = name;
    this.filename = filename;
    this.headers = headers;
    this.bytes = bytes;
  }

  whole(): Uint8Array | undefined {
    return this.bytes.whole();
  }
}

function badForm(why: string): Fault {
  return new Fault('invalid', `The form ${why}.`, {});
}

/** Pieces of the source, joined only as far as looking for a delimiter needs it. */
class Window {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source;
  }

  get held(): Buffer {
    return this.#held;
  }

  prepend(bytes: Buffer): void {
    this.#held = Buffer.concat([bytes, this.#held]);
  }

  drop(length: number): void {
    this.#held = this.#held.subarray(length);
  }

  /** @throws Fault `invalid` when there is no more. */
  async fill(): Promise<void> {
    const next = await this.#source.next();
    if (next.done === true) throw badForm('breaks off before its last boundary');
    const bytes = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    this.#held = Buffer.concat([this.#held, bytes]);
  }

  /** What stands before `mark`; goes behind the mark. Undefined, and nothing gone, while it is not there. */
  takeUntil(mark: Buffer, bytesMax: number): Buffer | undefined {
    const at = this.#held.indexOf(mark);
    if (at > bytesMax || (at < 0 && this.#held.length > bytesMax + mark.length)) {
      throw badForm(`has a part with more than ${bytesMax} bytes of headers, or no boundary at all`);
    }
    if (at < 0) return undefined;
    const before = this.#held.subarray(0, at);
    this.drop(at + mark.length);
    return before;
  }
}

/** The bytes of one part, up to the delimiter. */
class PartContent implements AsyncIterable<Uint8Array> {
  readonly #window: Window;
  readonly #delimiter: Buffer;
  #isDone = false;

  constructor(window: Window, delimiter: Buffer) {
    this.#window = window;
    this.#delimiter = delimiter;
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** All that was not read yet, when it is there to its end. */
  whole(): Buffer | undefined {
    const { held } = this.#window;
    const at = this.#isDone ? -1 : held.indexOf(this.#delimiter);
    if (at < 0) return undefined;
    this.#window.drop(at + this.#delimiter.length);
    this.#isDone = true;
    return held.subarray(0, at);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (!this.#isDone) {
      const piece = this.#next();
      if (piece.length > 0) yield piece;
      else if (!this.#isDone) await this.#window.fill();
    }
  }

  /** All that is held and surely no part of a delimiter. */
  #next(): Buffer {
    const { held } = this.#window;
    const at = held.indexOf(this.#delimiter);
    const length = at >= 0 ? at : Math.max(0, held.length - this.#delimiter.length + 1);
    this.#window.drop(at >= 0 ? at + this.#delimiter.length : length);
    this.#isDone = at >= 0;
    return held.subarray(0, length);
  }

  async passOver(): Promise<void> {
    for await (const _ of this);
  }
}

function headersOf(lines: Buffer): Readonly<Record<string, string>> {
  // A name that objects have, `__proto__`, is left alone by them; all others that are asked for have a hyphen.
  const headers: Record<string, string> = {};
  // Bytes become text one to one, so that a name that is not UTF-8 keeps its bytes.
  const text = lines.toString('latin1');
  for (let start = 0; start < text.length; ) {
    const found = text.indexOf('\r\n', start);
    const end = found < 0 ? text.length : found;
    const mark = text.indexOf(':', start);
    if (mark > start && mark < end)
      headers[text.slice(start, mark).trim().toLowerCase()] = text.slice(mark + 1, end).trim();
    start = end + 2;
  }
  return headers;
}

/** How nearly all say it: parameters of plain printable ASCII, which is its own text form. */
const PLAIN_DISPOSITION = /^form-data; name="([ !#$&-[\]-~]*)"(?:; filename="([ !#$&-[\]-~]*)")?$/;

function dispositionOf(headers: Readonly<Record<string, string>>): { name: string; filename: string | undefined } {
  const line = headers['content-disposition'];
  const plain = line === undefined ? null : PLAIN_DISPOSITION.exec(line);
  if (plain !== null) return { name: plain[1] ?? '', filename: plain[2] };
  if (line === undefined || !/^form-data\b/i.test(line))
    throw badForm('has a part without Content-Disposition: form-data');
  const name = parameterOf(line, 'name');
  if (name === undefined) throw badForm('has a part without a name');
  return { name, filename: parameterOf(line, 'filename') };
}

const PARAMETERS = {
  name: /;\s*name=(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))/i,
  filename: /;\s*filename=(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))/i,
} as const;

/** Browsers write quotes and line breaks inside as %22, %0D and %0A (HTML, "multipart/form-data encoding algorithm"). */
function parameterOf(line: string, name: keyof typeof PARAMETERS): string | undefined {
  const match = PARAMETERS[name].exec(line);
  const value = match?.[1] ?? match?.[2];
  const plain = value
    ?.replace(/\\(["\\])/g, '$1')
    .replace(/%(22|0D|0A)/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return plain === undefined ? undefined : textOfBytes(Buffer.from(plain, 'latin1'));
}
