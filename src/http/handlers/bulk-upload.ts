/**
 * A form with thousands of files on its way into the service. Parts come one after the other; small ones are held whole,
 * so that the service may build many side by side, and a larger one is streamed: the next part is asked for when it has
 * been read. Nothing is held beyond that, so a slow store slows down the sender.
 */
import {
  type BulkItem,
  type BulkResult,
  PathReader,
  pathOfText,
  pathOfUrl,
  textOfBytes,
  textOfPath,
} from '../../api/index.ts';
import { andThen, Fault, isPromise, type Maybe, oneByOne, rescue } from '../../base/index.ts';
import { checkDigests, checkedDigests } from '../exchange/digests.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { boundaryOf, FormReader, type Part } from '../exchange/multipart.ts';
import { announcedBy, checkSize } from '../exchange/write-headers.ts';
import type { HttpOptions } from '../options.ts';

/** A part of up to so many bytes is held whole. */
const HELD_BYTES_MAX = 64 * 1024;
const KINDS: ReadonlyMap<string, BulkItem['kind']> = new Map([
  ['file', 'file'],
  ['folder', 'folder'],
  ['symlink', 'symlink'],
]);

type Upload = Exchange<'bulkUpload'>;

/** What became of each part, in their order. @throws Fault `invalid`, `too-large`, `aborted` for the form itself. */
export function uploadMany(exchange: Upload): AsyncIterable<BulkResult> {
  /** Of each item handed out: whether it is a folder that nobody has named. */
  const implied: boolean[] = [];
  const items = oneByOne(itemsOf(exchange, implied));
  const results = exchange.service.writeMany(items, { signal: exchange.signal })[Symbol.asyncIterator]();
  const told: AsyncIterator<BulkResult> = {
    async next() {
      for (;;) {
        const result = await results.next();
        if (result.done === true || implied.shift() !== true) return result;
      }
    },
    async return() {
      await results.return?.();
      return { done: true, value: undefined };
    },
  };
  return { [Symbol.asyncIterator]: () => told };
}

/** In runs: all that lies in what has come. A part that is streamed ends its run, since the next cannot be read before it. */
async function* itemsOf(exchange: Upload, implied: boolean[]): AsyncGenerator<readonly BulkItem[], void> {
  const { path: folder = '/', parents = true } = exchange.query;
  const { options } = exchange.door;
  const reading: Reading = { root: textOfPath(pathOfText(folder)), paths: new PathReader(), options };
  const above = new FoldersAbove();
  let run: BulkItem[] = [];
  let count = 0;
  const boundary = boundaryOf(exchange.headers['content-type']);
  if (boundary === undefined) {
    throw new Fault('unsupported', 'An upload of many files is a form: multipart/form-data with a boundary.', {
      content_type: exchange.headers['content-type']?.slice(0, 100) ?? null,
    });
  }
  const { bulkBytesMax, formFieldBytesMax } = options;
  const body = exchange.source(bulkBytesMax, 'form')[Symbol.asyncIterator]();
  try {
    const source = { [Symbol.asyncIterator]: () => body };
    const form = new FormReader(source, boundary, { partHeaderBytesMax: formFieldBytesMax });
    for (;;) {
      const begun = form.tryNext();
      const whole = begun?.part?.whole();
      if (whole === undefined && run.length > 0) {
        // What has come so far need not wait for the rest.
        const soFar = run;
        run = [];
        yield soFar;
      }
      const part = begun === undefined ? await form.next() : begun.part;
      if (part === undefined) break;
      if (++count > options.bulkPartsMax) {
        const sentence = `The form has more than ${options.bulkPartsMax} files. Send the rest in another; those before are kept.`;
        throw new Fault('too-large', sentence, { partsMax: options.bulkPartsMax });
      }
      const read = new PartRead(part, whole, options);
      const made = itemOf(reading, part, read);
      const item = isPromise(made) ? await made : made;
      if (parents) {
        for (const path of above.of(item.path)) {
          implied.push(true);
          run.push({ path, kind: 'folder' });
        }
      }
      implied.push(false);
      run.push(item);
      if (!read.isLarge) continue;
      const last = run;
      run = [];
      yield last;
      await read.ended;
    }
    await mustBeOver(body, formFieldBytesMax);
  } catch (error) {
    // Where the form breaks off, what came before stays.
    if (run.length > 0) yield run;
    throw error;
  } finally {
    await body.return?.();
  }
}

/** @throws Fault `invalid` when something stands behind the form. */
async function mustBeOver(body: AsyncIterator<Uint8Array>, bytesMax: number): Promise<void> {
  let behind = 0;
  for (let rest = await body.next(); rest.done !== true; rest = await body.next()) {
    behind += rest.value.length;
    if (behind > bytesMax) throw new Fault('invalid', 'Something stands behind the end of the form.', {});
  }
}

/** Folders that the form has not made yet, though something in it stands in them. */
class FoldersAbove {
  readonly #made = new Set<string>(['/', '']);

  /** Those above a path, the outermost first. */
  of(path: string): readonly string[] {
    // What is in a folder that was made has all above it made.
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (this.#made.has(parent)) return NO_FOLDERS;
    const folders: string[] = [];
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const folder = path.slice(0, end);
      if (this.#made.has(folder)) break;
      this.#made.add(folder);
      folders.unshift(folder);
    }
    return folders;
  }
}

const NO_FOLDERS: readonly string[] = [];

/** What every part of one form is read with. */
interface Reading {
  /** The folder that all of it goes below. */
  readonly root: string;
  readonly paths: PathReader;
  readonly options: HttpOptions;
}

/** Whatever is wrong with one part is the fault of its file alone. */
function itemOf({ root, paths, options }: Reading, part: Part, read: PartRead): Maybe<BulkItem> {
  const path = pathOf(root, part);
  return rescue(
    (): Maybe<BulkItem> => {
      paths.of(path);
      const { headers } = part;
      const kind = KINDS.get(headers['x-file-kind'] ?? 'file');
      if (kind === undefined)
        throw new Fault('invalid', `A part is a file, a folder or a symlink, not ${headers['x-file-kind']}.`, { path });
      const { size, xxhash3, sha256, modified, permissions } = announcedBy(headers, options.fileBytesMax);
      return andThen(read.start(), (held): BulkItem => {
        const item = { path, kind, modified, permissions };
        if (kind === 'folder') return item;
        if (kind === 'symlink') return { ...item, target: textOfBytes(wholeOf(held, path)) };
        const content = { path, kind, modified, permissions, xxhash3, sha256, size: size ?? held?.length };
        if (held === undefined) return { ...content, source: () => checkedDigests(headers, read.pieces()) };
        checkDigests(headers, held);
        return { ...content, source: () => [held], bytes: held };
      });
    },
    (error) => {
      if (!Fault.is(error, 'invalid', 'mismatch', 'too-large')) throw error;
      const failing = (): never => {
        throw error;
      };
      return { path, kind: 'file', source: failing };
    },
  );
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
  readonly #whole: Uint8Array | undefined;
  readonly #fileBytesMax: number;
  /** Of one that is streamed. */
  #done: PromiseWithResolvers<void> | undefined;
  #pieces: AsyncIterator<Uint8Array> | undefined;
  /** What was read to see whether it is small. */
  readonly #first: Uint8Array[] = [];
  #bytes = 0;
  #isLarge = false;

  /** `whole`: all of it, where that has come already. */
  constructor(part: Part, whole: Uint8Array | undefined, { fileBytesMax }: HttpOptions) {
    this.#part = part;
    this.#whole = whole;
    this.#fileBytesMax = fileBytesMax;
  }

  /** Whether there is more of it than is held, as far as it was looked at. */
  get isLarge(): boolean {
    return this.#isLarge;
  }

  /** When nobody reads the part any more, so that the next one may be asked for. */
  get ended(): Promise<void> | undefined {
    return this.#done?.promise;
  }

  /** All of it; `undefined` when it is large. At once when all of it has come. */
  start(): Maybe<Uint8Array | undefined> {
    const whole = this.#whole;
    if (whole === undefined) return this.#gather();
    if (whole.length > HELD_BYTES_MAX) {
      this.#isLarge = true;
      this.#first.push(whole);
      return undefined;
    }
    checkSize(whole.length, this.#fileBytesMax);
    return whole;
  }

  async #gather(): Promise<Uint8Array | undefined> {
    this.#pieces = this.#part.bytes[Symbol.asyncIterator]();
    let length = 0;
    for (let next = await this.#pieces.next(); next.done !== true; next = await this.#pieces.next()) {
      length += next.value.length;
      this.#first.push(next.value);
      this.#isLarge = length > HELD_BYTES_MAX;
      if (this.#isLarge) return undefined;
    }
    checkSize(length, this.#fileBytesMax);
    const [only] = this.#first;
    return this.#first.length === 1 && only !== undefined ? only : Buffer.concat(this.#first, length);
  }

  /** The same bytes once, for whoever streams them. The next part waits until they are read, or left. */
  pieces(): AsyncIterable<Uint8Array> {
    const done = Promise.withResolvers<void>();
    this.#done = done;
    const pieces: AsyncIterator<Uint8Array> = {
      next: async () => {
        try {
          const next = await this.#next();
          if (next.done === true) done.resolve();
          return next;
        } catch (error) {
          done.resolve();
          throw error;
        }
      },
      return: async () => {
        done.resolve();
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
