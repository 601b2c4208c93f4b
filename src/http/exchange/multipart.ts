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
  const window = new Window(source[Symbol.asyncIterator]());
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  // The first delimiter may stand at the very start; a line break in front makes it like all others.
  window.prepend(Buffer.from('\r\n'));
  await window.takeUntil(delimiter, limits.partHeaderBytesMax);
  while (!(await isEnd(window))) {
    const lines = await window.takeUntil(Buffer.from('\r\n\r\n'), limits.partHeaderBytesMax);
    const content = new PartContent(window, delimiter);
    const headers = headersOf(lines);
    yield { ...dispositionOf(headers), headers, bytes: content };
    await content.passOver();
  }
}

/** Behind a delimiter: `--` ends the form, a line break begins a part. */
async function isEnd(window: Window): Promise<boolean> {
  const mark = await window.peek(2);
  if (mark === '--') return true;
  if (mark === '\r\n') return false;
  throw badForm('has something behind a boundary that is neither a part nor its end');
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

  async peek(length: number): Promise<string> {
    while (this.#held.length < length) await this.fill();
    return this.#held.toString('latin1', 0, length);
  }

  /** What stands before `mark`; goes behind the mark. */
  async takeUntil(mark: Buffer, bytesMax: number): Promise<Buffer> {
    for (;;) {
      const at = this.#held.indexOf(mark);
      if (at > bytesMax || (at < 0 && this.#held.length > bytesMax + mark.length)) {
        throw badForm(`has a part with more than ${bytesMax} bytes of headers, or no boundary at all`);
      }
      if (at >= 0) {
        const before = this.#held.subarray(0, at);
        this.drop(at + mark.length);
        return before;
      }
      await this.fill();
    }
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
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  // Bytes become text one to one, so that a name that is not UTF-8 keeps its bytes.
  for (const line of lines.toString('latin1').split('\r\n')) {
    const mark = line.indexOf(':');
    if (mark > 0) headers[line.slice(0, mark).trim().toLowerCase()] = line.slice(mark + 1).trim();
  }
  return headers;
}

function dispositionOf(headers: Readonly<Record<string, string>>): { name: string; filename: string | undefined } {
  const line = headers['content-disposition'];
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
