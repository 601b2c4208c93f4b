/**
 * From a content to its bytes: extents in pages, chunks read ahead by the chunk store, holes as zeros. While somebody
 * reads a content it is marked, so that a file may be replaced or removed under its readers and they still get every
 * byte of what they opened.
 */
import { textOfPath } from '../../api/index.ts';
import { andThen, Fault, hexOf, isPromise, type Maybe } from '../../base/index.ts';
import type { ChunkSlice, ReadAllOptions, SliceSource } from '../../chunks/index.ts';
import { type ContentId, EXTENT_KIND, type ExtentRow } from '../../meta/index.ts';
import type { Sharing, Space, View } from '../context.ts';
import type { Found } from '../tree.ts';

/** Extents of one page. */
const PAGE_EXTENTS = 1_000;
/** Extents are never longer, so the one that covers an offset starts at most this far before it. */
const EXTENT_BYTES_MAX = 2 ** 20;
const ZEROS = new Uint8Array(128 * 1024);
/** Other files that share what is damaged, in the sentence; `about` names more. */
const OTHERS_IN_SENTENCE_MAX = 5;

export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** Marks a content as being read until disposed. */
export function markReading(context: View, space: Space, content: ContentId): Disposable {
  const key = `${space.space}:${content}`;
  context.reading.set(key, (context.reading.get(key) ?? 0) + 1);
  let isDone = false;
  return {
    [Symbol.dispose]() {
      if (isDone) return;
      isDone = true;
      const left = (context.reading.get(key) ?? 1) - 1;
      if (left > 0) context.reading.set(key, left);
      else {
        context.reading.delete(key);
        context.onUnreachable();
      }
    },
  };
}

/** A run of the asked range: chunks one behind the other, bytes that stand in the row, or zeros. */
type Segment =
  | { readonly kind: 'chunk'; readonly slice: ChunkSlice }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'zeros'; readonly length: number };

/** Exactly the range's bytes, verified. @throws Fault `corrupt` that names the file besides chunk and pack. */
export async function* readContent(
  context: View,
  space: Space,
  content: ContentId,
  range: Range,
  found: Pick<Found, 'path'>,
  options: Pick<ReadAllOptions, 'signal' | 'isOnce'> = {},
): AsyncGenerator<Uint8Array> {
  // The list of chunks is older than the run that is being read, and somebody may pause at a hole between two runs.
  using _reading = context.chunks.beginReading();
  let left = range.length;
  const segments = new Segments(context, space, content, range);
  try {
    for (let segment = await segments.next(); segment !== undefined; ) {
      if (segment.kind === 'chunk') {
        // A run of chunks goes to the chunk store as one, so that it can read ahead; it ends at a hole or inline bytes.
        const run = takeRun(segments, segment.slice);
        for await (const bytes of context.chunks.readAll(run.draw, { ...options, expectedBytes: left })) {
          left -= bytes.length;
          yield bytes;
        }
        segment = run.next;
        continue;
      }
      const bytes = segment.kind === 'bytes' ? segment.bytes : undefined;
      for (let length = bytes?.length ?? (segment.kind === 'zeros' ? segment.length : 0); length > 0; ) {
        const part = bytes ?? ZEROS.subarray(0, Math.min(length, ZEROS.length));
        length -= part.length;
        left -= part.length;
        yield part;
      }
      segment = await segments.next();
    }
  } catch (error) {
    throw await nameFile(context, space, error, found);
  }
  if (left !== 0)
    throw await nameFile(
      context,
      space,
      new Fault('corrupt', 'The extents of a content do not add up to its size.', { content, left }),
      found,
    );
}

/** The fault with the file named, and who else shares what is damaged; what no file is to blame for stays as it is. */
export async function nameFile(
  context: View,
  space: Space,
  error: unknown,
  found: Pick<Found, 'path'>,
): Promise<unknown> {
  if (!Fault.is(error, 'corrupt', 'not-found', 'gone')) return error;
  const path = textOfPath(found.path);
  const sharing = await sharingOf(context, space, error);
  const others = sharing.files.filter((other) => other !== path);
  const sentence = `${path} cannot be read: ${error.message} ${sharedBy(others, sharing)}${mendingOf(context)}`;
  const more = sharing.more > 0 ? { files_more: sharing.more } : {};
  return new Fault('corrupt', sentence, { ...error.about, path, files: [path, ...others], ...more }, error);
}

/** What heals it, for every file that shares it: bytes that prove by their id what they are. */
function mendingOf({ chunks }: View): string {
  const isProof = chunks.format.idAlgorithm !== 'xxh3-128';
  return isProof ? ' Put the file again (`holdfast put --again`), or run `holdfast repair --from COPY`.' : '';
}

const NOBODY: Sharing = { files: [], more: 0, isAll: false };

/** An error on the way to tell more about an error is not worth telling instead. */
async function sharingOf(context: View, space: Space, error: Fault): Promise<Sharing> {
  const { chunk } = error.about;
  if (typeof chunk !== 'string' || error.about.damage === 'inline-damaged') return NOBODY;
  try {
    return await context.sharingOf(space, new Uint8Array(Buffer.from(chunk, 'hex')));
  } catch (second) {
    context.log.warn('files.sharers-unknown', { chunk, error: String(second) });
    return NOBODY;
  }
}

function sharedBy(others: readonly string[], { more, isAll }: Sharing): string {
  if (others.length === 0 && isAll) return 'No other file shares what is damaged.';
  const named = others.slice(0, OTHERS_IN_SENTENCE_MAX).join(', ');
  const left = others.length - OTHERS_IN_SENTENCE_MAX + more;
  const rest = isAll ? '.' : ', and possibly more: `holdfast check` names them all.';
  if (others.length === 0) return 'Run `holdfast check` to see what else is damaged.';
  return `It is shared by ${named}${left > 0 ? ` and ${left} more files` : ''}${rest}`;
}

interface Run {
  readonly draw: SliceSource;
  /** The segment that ended the run, once the run is done. */
  next: Segment | undefined;
}

function takeRun(segments: Segments, first: ChunkSlice): Run {
  let isFirst = true;
  const run: Run = {
    draw() {
      if (isFirst) {
        isFirst = false;
        return first;
      }
      return andThen(segments.next(), (segment) => {
        if (segment?.kind === 'chunk') return segment.slice;
        run.next = segment;
        return undefined;
      });
    },
    next: undefined,
  };
  return run;
}

/** The segments of a range, one after the other; without a promise where metadata answers without one. */
export class Segments {
  readonly #context: View;
  readonly #extents: ExtentPages;
  readonly #end: number;
  #at: number;
  /** The extent that `#at` has not passed. */
  #extent: ExtentRow | undefined;

  constructor(context: View, space: Space, content: ContentId, range: Range) {
    this.#context = context;
    this.#extents = new ExtentPages(context, space, content, range.offset);
    this.#at = range.offset;
    this.#end = range.offset + range.length;
  }

  /** Undefined behind the last one. */
  next(): Maybe<Segment | undefined> {
    while (this.#at < this.#end) {
      const extent = this.#extent ?? this.#extents.next();
      if (isPromise(extent)) return extent.then((came) => this.#segmentAt(came) ?? this.next());
      const segment = this.#segmentAt(extent);
      if (segment !== undefined) return segment;
    }
    return undefined;
  }

  /** Undefined for an extent that ends before there is anything to read. */
  #segmentAt(extent: ExtentRow | undefined): Segment | undefined {
    if (extent !== undefined && extent.offset + extent.length <= this.#at) return undefined;
    this.#extent = extent;
    return this.#nextIn(extent);
  }

  #nextIn(extent: ExtentRow | undefined): Segment {
    const start = extent === undefined ? this.#end : Math.min(this.#end, extent.offset);
    const at = this.#at;
    if (extent === undefined || start > at) {
      this.#at = start;
      return { kind: 'zeros', length: start - at };
    }
    this.#extent = undefined;
    this.#at = Math.min(this.#end, extent.offset + extent.length);
    return segmentOf(this.#context, extent, at - extent.offset, this.#at - at);
  }
}

function segmentOf(context: View, extent: ExtentRow, skip: number, length: number): Segment {
  if (extent.kind === EXTENT_KIND.chunk && extent.chunk !== null) {
    return { kind: 'chunk', slice: { id: extent.chunk, offset: extent.chunkOffset + skip, length } };
  }
  if (extent.kind === EXTENT_KIND.inline && extent.data !== null) {
    const plain = context.chunks.readInline(extent.data);
    const from = extent.chunkOffset + skip;
    return { kind: 'bytes', bytes: plain.subarray(from, from + length) };
  }
  const about = {
    content: extent.content,
    offset: extent.offset,
    kind: extent.kind,
    chunk: extent.chunk === null ? null : hexOf(extent.chunk),
  };
  throw new Fault('corrupt', 'An extent names neither a chunk nor bytes.', about);
}

/** Extents that end behind an offset, in order, a page at a time. */
class ExtentPages {
  readonly #context: View;
  readonly #prefix: readonly [number, ContentId];
  #from: { readonly from: readonly [number] } | { readonly after: readonly [number] };
  #page: readonly ExtentRow[] = [];
  #index = 0;
  #isLast = false;

  constructor(context: View, space: Space, content: ContentId, offset: number) {
    this.#context = context;
    this.#prefix = [space.space, content];
    this.#from = { from: [Math.max(0, offset - EXTENT_BYTES_MAX)] };
  }

  /** Undefined behind the last one. */
  next(): Maybe<ExtentRow | undefined> {
    const extent = this.#page[this.#index];
    if (extent === undefined && !this.#isLast) return andThen(this.#turn(), () => this.next());
    this.#index++;
    return extent;
  }

  #turn(): Maybe<void> {
    const range = { prefix: this.#prefix, ...this.#from, limit: PAGE_EXTENTS };
    return andThen(this.#context.meta.scan('extents', range), (page) => {
      this.#page = page;
      this.#index = 0;
      this.#isLast = page.length < PAGE_EXTENTS;
      const last = page.at(-1);
      if (last !== undefined) this.#from = { after: [last.offset] };
    });
  }
}
