/**
 * Reads of one open file of the past. Bytes of a commit never change, so a reader who goes on where he ended has a
 * stream, which asks ahead; everybody else gets exactly what he asks for. Reads are answered one after the other.
 */
import type { NodeRow, SyncReader } from '../../meta/index.ts';
import { extentsIn } from '../content/extents.ts';
import { readContent } from '../content/read-content.ts';
import type { Space, View } from '../context.ts';
import type { Found } from '../tree.ts';

interface Stream {
  readonly pieces: AsyncIterator<Uint8Array>;
  /** Where in the file the next byte is. */
  at: number;
  /** What is left of the piece that came last. */
  left: Uint8Array;
}

export class PastFile implements Disposable {
  readonly #view: View;
  readonly #space: Space;
  readonly #row: NodeRow;
  readonly #found: Found;
  readonly #abort = new AbortController();
  #stream: Stream | undefined;
  #end = 0;
  #line: Promise<unknown> = Promise.resolve();

  constructor(view: View, space: Space, found: Found) {
    this.#view = view;
    this.#space = space;
    this.#row = found.node;
    this.#found = found;
  }

  read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    const end = Math.min(offset + length, this.#row.size);
    if (end <= offset || this.#row.content === null) return Promise.resolve([]);
    const done = this.#line.then(() => this.#read(offset, end - offset));
    this.#line = done.catch(() => undefined);
    return done;
  }

  async #read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    const isNext = offset === this.#end && offset > 0;
    this.#end = offset + length;
    if (this.#stream?.at !== offset) this.#drop();
    this.#stream ??= this.#open(offset, isNext ? this.#row.size - offset : length);
    const pieces = await take(this.#stream, length);
    if (this.#stream.at === this.#row.size || !isNext) this.#drop();
    return pieces;
  }

  #open(offset: number, length: number): Stream {
    const content = this.#row.content ?? 0;
    const range = { offset, length };
    const bytes = readContent(this.#view, this.#space, content, range, this.#found, { signal: this.#abort.signal });
    return { pieces: bytes[Symbol.asyncIterator](), at: offset, left: new Uint8Array(0) };
  }

  #drop(): void {
    void this.#stream?.pieces.return?.().catch(() => undefined);
    this.#stream = undefined;
  }

  /** Where data, or a hole, begins from `offset` on; undefined for nowhere. The end of the file is a hole. */
  seek(rows: SyncReader, offset: number, what: 'data' | 'hole'): number | undefined {
    const { size, content } = this.#row;
    if (offset >= size || offset < 0) return undefined;
    let at = offset;
    const extents = content === null ? [] : extentsIn(rows, this.#space, content, { offset, end: size });
    for (const extent of extents) {
      if (what === 'data') return Math.max(offset, extent.offset);
      if (extent.offset > at) return at;
      at = Math.max(at, extent.offset + extent.length);
    }
    return what === 'data' ? undefined : Math.min(at, size);
  }

  [Symbol.dispose](): void {
    this.#abort.abort();
    this.#drop();
  }
}

/** The next `length` bytes, copied: a stream uses its memory again. */
async function take(stream: Stream, length: number): Promise<readonly Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  for (let wanted = length; wanted > 0; ) {
    if (stream.left.length === 0) {
      const step = await stream.pieces.next();
      if (step.done === true) break;
      stream.left = step.value;
      continue;
    }
    const part = stream.left.slice(0, wanted);
    stream.left = stream.left.subarray(part.length);
    pieces.push(part);
    stream.at += part.length;
    wanted -= part.length;
  }
  return pieces;
}
