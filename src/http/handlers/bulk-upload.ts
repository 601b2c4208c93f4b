/**
 * A form with thousands of files on its way into the service. Parts come one after the other; small ones are held whole,
 * so that the service may build many side by side, and a larger one is streamed: the next part is asked for when it has
 * been read. Nothing is held beyond that, so a slow store slows down the sender.
 */
import { type BulkItem, type BulkResult, pathOfText, pathOfUrl, textOfBytes, textOfPath } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { boundaryOf, type Part, partsOf } from '../exchange/multipart.ts';
import { announcedBy, checkSize } from '../exchange/write-headers.ts';
import type { HttpOptions } from '../options.ts';

/** A part of up to so many bytes is held whole. */
const HELD_BYTES_MAX = 64 * 1024;
const KINDS: Readonly<Record<string, BulkItem['kind']>> = { file: 'file', folder: 'folder', symlink: 'symlink' };

type Upload = Exchange<'bulkUpload'>;

/** What became of each part, in their order. @throws Fault `invalid`, `too-large`, `aborted` for the form itself. */
export async function* uploadMany(exchange: Upload): AsyncGenerator<BulkResult> {
  /** Of each item handed out: whether it is a folder that nobody has named. */
  const implied: boolean[] = [];
  for await (const result of exchange.service.writeMany(itemsOf(exchange, implied), { signal: exchange.signal })) {
    if (implied.shift() !== true) yield result;
  }
}

async function* itemsOf(exchange: Upload, implied: boolean[]): AsyncGenerator<BulkItem> {
  const { path: folder = '/', parents = true } = exchange.query;
  const { options } = exchange.door;
  const root = textOfPath(pathOfText(folder));
  const made = new Set<string>(['/']);
  let count = 0;
  for await (const part of formOf(exchange)) {
    if (++count > options.bulkPartsMax) {
      const sentence = `The form has more than ${options.bulkPartsMax} files. Send the rest in another; those before are kept.`;
      throw new Fault('too-large', sentence, { partsMax: options.bulkPartsMax });
    }
    const read = new PartRead(part, options);
    const item = await itemOf(root, part, read, options);
    if (parents) {
      for (const above of foldersAbove(item.path)) {
        if (made.has(above)) continue;
        made.add(above);
        implied.push(true);
        yield { path: above, kind: 'folder' };
      }
    }
    implied.push(false);
    yield item;
    await read.ended;
  }
}

/** Its parts, and nothing behind them. */
async function* formOf(exchange: Upload): AsyncGenerator<Part> {
  const boundary = boundaryOf(exchange.headers['content-type']);
  if (boundary === undefined) {
    throw new Fault('unsupported', 'An upload of many files is a form: multipart/form-data with a boundary.', {
      content_type: exchange.headers['content-type']?.slice(0, 100) ?? null,
    });
  }
  const { bulkBytesMax, formFieldBytesMax } = exchange.door.options;
  const body = exchange.source(bulkBytesMax, 'form')[Symbol.asyncIterator]();
  try {
    const source = { [Symbol.asyncIterator]: () => body };
    yield* partsOf(source, boundary, { partHeaderBytesMax: formFieldBytesMax });
    let behind = 0;
    for (let rest = await body.next(); rest.done !== true; rest = await body.next()) {
      behind += rest.value.length;
      if (behind > formFieldBytesMax) throw new Fault('invalid', 'Something stands behind the end of the form.', {});
    }
  } finally {
    await body.return?.();
  }
}

/** The outermost first. Nothing for a path that is refused anyway. */
function foldersAbove(text: string): string[] {
  const folders: string[] = [];
  for (let end = text.lastIndexOf('/'); end > 0; end = text.lastIndexOf('/', end - 1))
    folders.unshift(text.slice(0, end));
  return folders;
}

/** Whatever is wrong with one part is the fault of its file alone. */
async function itemOf(root: string, part: Part, read: PartRead, options: HttpOptions): Promise<BulkItem> {
  const path = pathOf(root, part);
  try {
    pathOfText(path);
    const { headers } = part;
    const kind = KINDS[headers['x-file-kind'] ?? 'file'];
    if (kind === undefined)
      throw new Fault('invalid', `A part is a file, a folder or a symlink, not ${headers['x-file-kind']}.`, { path });
    const { size, xxhash3, sha256, modified, permissions } = announcedBy(headers, options.fileBytesMax);
    const item = { path, kind, modified, permissions };
    const held = await read.start();
    if (kind === 'folder') return item;
    if (kind === 'symlink') return { ...item, target: textOfBytes(wholeOf(held, path)) };
    const source = held === undefined ? (): AsyncIterable<Uint8Array> => read.pieces() : () => [held];
    const bytes = held === undefined ? {} : { bytes: held };
    return { ...item, source, ...bytes, size: size ?? held?.length, xxhash3, sha256 };
  } catch (error) {
    if (!Fault.is(error, 'invalid', 'mismatch', 'too-large')) throw error;
    const failing = (): never => {
      throw error;
    };
    return { path, kind: 'file', source: failing };
  }
}

function wholeOf(held: Uint8Array | undefined, path: string): Uint8Array {
  if (held !== undefined) return held;
  throw new Fault('too-large', `The target of the symlink ${path} is too long.`, { path });
}

/** Absolute, text form; not yet looked at. */
function pathOf(root: string, part: Part): string {
  const exact = part.headers['x-file-path'];
  if (exact === undefined && part.filename === undefined) {
    const sentence = `The part ${JSON.stringify(part.name)} is no file: it has neither a filename nor X-File-Path. Fields stand in the query here.`;
    throw new Fault('invalid', sentence, { field: part.name });
  }
  const below = exact === undefined ? (part.filename ?? '') : textOfPath(pathOfUrl(exact));
  return `${root === '/' ? '' : root}/${below.replace(/^\/+/, '')}`;
}

/** The bytes of one part, held whole when they are few. */
class PartRead {
  readonly #part: Part;
  readonly #fileBytesMax: number;
  readonly #done = Promise.withResolvers<void>();
  #pieces: AsyncIterator<Uint8Array> | undefined;
  /** What was read to see whether it is small. */
  readonly #first: Uint8Array[] = [];
  #isStreamed = false;
  #bytes = 0;

  constructor(part: Part, { fileBytesMax }: HttpOptions) {
    this.#part = part;
    this.#fileBytesMax = fileBytesMax;
  }

  /** When nobody reads the part any more, so that the next one may be asked for. */
  get ended(): Promise<void> | undefined {
    return this.#isStreamed ? this.#done.promise : undefined;
  }

  /** All of it; `undefined` when it is large. */
  async start(): Promise<Uint8Array | undefined> {
    this.#pieces = this.#part.bytes[Symbol.asyncIterator]();
    let length = 0;
    for (let next = await this.#pieces.next(); next.done !== true; next = await this.#pieces.next()) {
      length += next.value.length;
      this.#first.push(next.value);
      if (length > HELD_BYTES_MAX) return undefined;
    }
    checkSize(length, this.#fileBytesMax);
    const [only] = this.#first;
    return this.#first.length === 1 && only !== undefined ? only : Buffer.concat(this.#first, length);
  }

  /** The same bytes once, for whoever streams them. The next part waits until they are read, or left. */
  pieces(): AsyncIterable<Uint8Array> {
    this.#isStreamed = true;
    const pieces: AsyncIterator<Uint8Array> = {
      next: async () => {
        try {
          const next = await this.#next();
          if (next.done === true) this.#done.resolve();
          return next;
        } catch (error) {
          this.#done.resolve();
          throw error;
        }
      },
      return: async () => {
        this.#done.resolve();
        return { done: true, value: undefined };
      },
    };
    return { [Symbol.asyncIterator]: () => pieces };
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    const held = this.#first.shift();
    const next = held === undefined ? await this.#pieces?.next() : { done: false, value: held };
    if (next === undefined || next.done === true) return { done: true, value: undefined };
    this.#bytes += next.value.length;
    checkSize(this.#bytes, this.#fileBytesMax);
    return next;
  }
}
