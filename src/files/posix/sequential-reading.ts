/**
 * Readers of a mount that go through a file from one end towards the other. Reading chunk by chunk makes one trip to the
 * pack for each and decodes it on the main thread; whoever has read on where the last read ended gets a stream instead,
 * which asks for chunks in big requests ahead of the reader and has threads check and decode them.
 *
 * A stream is of a file as it is: it is dropped as soon as the file has anything that it had not when the stream began,
 * and what it cannot serve (a hole, bytes that stand in a row, a fault) is read as if there were none, so that what
 * comes back, and every fault, is the same with it and without.
 * What is answered is good in the turn of the event loop in which it comes: then its memory is used again, since fresh
 * memory for each answer costs more than what is copied into it.
 * Bounds: STREAMS_MAX streams of a tree, each with what the chunk store reads ahead for one (`chunks.read_ahead`) and
 * one piece; the one that was not used for longest goes first.
 */
import { isPromise, type Maybe } from '../../base/index.ts';
import type { ChunkSlice } from '../../chunks/index.ts';
import { type ContentId, EXTENT_KIND, type NodeRow, type SyncReader } from '../../meta/index.ts';
import { extentsIn } from '../content/extents.ts';
import type { Context, Space } from '../context.ts';
import type { OpenFile } from './open-file.ts';

const STREAMS_MAX = 4;
/** Bytes that have to be left of the file; a stream costs a few turns of the event loop to begin and to end. */
const LEFT_BYTES_MIN = 512 * 1024;
/** Reads that have to follow each other before a stream begins. */
const IN_ORDER_MIN = 2;
/** Bytes of the file whose extents are looked up at once. */
const PAGE_BYTES = 8 * 1024 * 1024;
/** What the kernel asks for at once, and how much memory for answers is kept to be used again. */
const ANSWER_BYTES = 1024 * 1024;
const SPARES_MAX = 4;

export interface ReadersOptions {
  readonly context: Context;
  readonly space: Space;
  /** What is pending. */
  readonly rows: SyncReader;
}

/** The streams of one tree. */
export class SequentialReaders {
  readonly #options: ReadersOptions;
  /** Least recently used first. */
  readonly #streaming = new Set<SequentialReader>();
  readonly #spares: Uint8Array[] = [];

  constructor(options: ReadersOptions) {
    this.#options = options;
  }

  /** For one handle; undefined for a file that is too short to be worth it. */
  of(file: OpenFile): SequentialReader | undefined {
    return file.row.size < LEFT_BYTES_MIN ? undefined : new SequentialReader(this, file);
  }

  /** Chunks one behind the other from `offset` on, up to what is no chunk. */
  begin(content: ContentId, offset: number, end: number): AsyncIterator<Uint8Array> {
    const { context, space, rows } = this.#options;
    const slices = slicesOf(rows, space, content, offset, end);
    return context.chunks.readAll(slices, { expectedBytes: end - offset })[Symbol.asyncIterator]();
  }

  /** Memory for an answer. */
  answerOf(length: number): Uint8Array {
    if (length > ANSWER_BYTES) return Buffer.allocUnsafeSlow(length);
    return (this.#spares.pop() ?? Buffer.allocUnsafeSlow(ANSWER_BYTES)).subarray(0, length);
  }

  /** The answer has been given: whoever asked uses it in this turn. */
  answered(answer: Uint8Array): void {
    setImmediate(() => {
      if (this.#spares.length >= SPARES_MAX || answer.buffer.byteLength !== ANSWER_BYTES) return;
      this.#spares.push(new Uint8Array(answer.buffer));
    });
  }

  used(reader: SequentialReader): void {
    this.#streaming.delete(reader);
    this.#streaming.add(reader);
    for (const [oldest] of this.#streaming.entries()) {
      if (this.#streaming.size <= STREAMS_MAX) break;
      oldest.drop();
    }
  }

  ended(reader: SequentialReader): void {
    this.#streaming.delete(reader);
  }
}

/** Reads of one handle. */
export class SequentialReader implements Disposable {
  readonly #readers: SequentialReaders;
  readonly #file: OpenFile;
  #nextOffset = 0;
  #inOrderCount = 0;
  #stream: Stream | undefined;

  constructor(readers: SequentialReaders, file: OpenFile) {
    this.#readers = readers;
    this.#file = file;
  }

  /** Whether there is a stream. */
  get isStreaming(): boolean {
    return this.#stream !== undefined;
  }

  /** As OpenFile.read. */
  read(offset: number, length: number): Maybe<readonly Uint8Array[]> {
    const { row, buffer } = this.#file;
    const end = Math.min(offset + length, row.size);
    if (end <= offset) return [];
    const isNext = offset === this.#nextOffset;
    this.#nextOffset = end;
    this.#inOrderCount = isNext ? this.#inOrderCount + 1 : 0;
    if (this.#stream !== undefined && !(isNext && this.#stream.isOf(row) && buffer.isEmpty)) this.drop();
    if (this.#stream === undefined) {
      const isWorthIt = this.#inOrderCount >= IN_ORDER_MIN && row.size - offset >= LEFT_BYTES_MIN && buffer.isEmpty;
      if (!isWorthIt || row.content === null) return this.#file.read(offset, length);
      this.#stream = new Stream(row, this.#readers.begin(row.content, offset, row.size));
    }
    this.#readers.used(this);
    return this.#readFrom(this.#stream, offset, end - offset);
  }

  async #readFrom(stream: Stream, offset: number, length: number): Promise<readonly Uint8Array[]> {
    const answer = this.#readers.answerOf(length);
    const isTaken = await stream.take(answer);
    this.#readers.answered(answer);
    // The file may have changed meanwhile, under extents that were still to be looked up.
    const isSame = stream.isOf(this.#file.row) && this.#file.buffer.isEmpty;
    if (isTaken && isSame) return [answer];
    if (this.#stream === stream) this.drop();
    const again = this.#file.read(offset, length);
    return isPromise(again) ? await again : again;
  }

  drop(): void {
    this.#stream?.end();
    this.#stream = undefined;
    this.#inOrderCount = 0;
    this.#readers.ended(this);
  }

  [Symbol.dispose](): void {
    this.drop();
  }
}

class Stream {
  readonly #row: NodeRow;
  readonly #pieces: AsyncIterator<Uint8Array>;
  /** What is left of the piece that came last; its memory is good until the next one is asked for. */
  #piece: Uint8Array = new Uint8Array(0);
  #coming: Promise<IteratorResult<Uint8Array>> | undefined;
  /** Everybody takes after the one before. */
  #line: Promise<unknown> = Promise.resolve();
  #isOver = false;

  constructor(row: NodeRow, pieces: AsyncIterator<Uint8Array>) {
    this.#row = row;
    this.#pieces = pieces;
  }

  isOf(row: NodeRow): boolean {
    return row === this.#row;
  }

  /** Fills `into` with the next bytes; false when the stream does not have so many. Never rejects. */
  take(into: Uint8Array): Promise<boolean> {
    const taken = this.#line.then(() => this.#take(into));
    this.#line = taken;
    return taken;
  }

  async #take(into: Uint8Array): Promise<boolean> {
    for (let at = 0; at < into.length; ) {
      if (this.#piece.length === 0 && !(await this.#fetch())) return false;
      const part = this.#piece.subarray(0, into.length - at);
      into.set(part, at);
      at += part.length;
      this.#piece = this.#piece.subarray(part.length);
    }
    // Nobody looks at this piece any more: what comes behind it is asked for before somebody wants it.
    if (this.#piece.length === 0) this.#ask();
    return true;
  }

  #ask(): void {
    if (this.#isOver || this.#coming !== undefined) return;
    this.#coming = this.#pieces.next();
    // Met by whoever waits for it, and by nobody when the stream ends before.
    this.#coming.catch(() => {});
  }

  async #fetch(): Promise<boolean> {
    this.#ask();
    const coming = this.#coming;
    this.#coming = undefined;
    try {
      const step = await coming;
      this.#isOver ||= step === undefined || step.done === true;
      if (step === undefined || step.done === true) return false;
      this.#piece = step.value;
      return !this.#isOver;
    } catch {
      // Whoever reads it for itself meets the fault, if it is one.
      this.#isOver = true;
      return false;
    }
  }

  end(): void {
    this.#isOver = true;
    void this.#pieces.return?.().catch(() => {});
  }
}

function* slicesOf(
  rows: SyncReader,
  space: Space,
  content: ContentId,
  offset: number,
  end: number,
): Generator<ChunkSlice, void> {
  for (let at = offset; at < end; ) {
    const page = extentsIn(rows, space, content, { offset: at, end: Math.min(end, at + PAGE_BYTES) });
    if (page.length === 0) return;
    for (const extent of page) {
      if (extent.offset > at || extent.kind !== EXTENT_KIND.chunk || extent.chunk === null) return;
      const skip = at - extent.offset;
      const length = Math.min(extent.length - skip, end - at);
      yield { id: extent.chunk, offset: extent.chunkOffset + skip, length };
      at += length;
    }
  }
}
