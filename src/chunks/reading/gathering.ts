/**
 * Slices gathered to what one request reads: records of one pack that lie one behind the other. All of it happens in the
 * caller's turn wherever slices and the places of their chunks come at once, as they do from an embedded engine: a
 * promise for each chunk costs more than finding it does.
 * Holds the slices of one request, and the one that did not fit any more.
 */
import { andThen, isPromise, type Maybe } from '../../base/index.ts';
import type { ChunkId, PackId } from '../../meta/index.ts';
import type { ChunkSlice, SliceSource } from '../chunk-store.ts';
import type { OpenPack } from '../packs/open-pack.ts';
import type { Place } from '../packs/pack-format.ts';
import { ROOM_PLAIN_BYTES } from './decode-request.ts';

/** Records that lie this close are read with one request; what is between them is thrown away. */
const GAP_BYTES_MAX = 32 * 1024;
/** Bytes that one request reads, beside the plain bytes that one room for them takes. */
const REQUEST_BYTES_MAX = 1024 * 1024;

/** One record: what is asked for, and where it is. */
export interface Located {
  readonly id: ChunkId;
  readonly pack: PackId;
  readonly object: string;
  readonly place: Place;
  /** Set while this process still writes the pack. */
  readonly open: OpenPack | undefined;
  /** Bytes of the object that may be read; 0 while this process still writes it. */
  readonly packBytes: number;
  /** Whether another chunk is needed to decode it. */
  readonly isPatch: boolean;
}

/** A slice and where its chunk is. */
export interface Wanted {
  readonly slice: ChunkSlice;
  readonly located: Located;
}

/** A slice whose chunk is here or on its way already, or cannot be had. */
export interface Met {
  readonly slice: ChunkSlice;
  readonly plain: Promise<Uint8Array>;
}

export type Gathered = { readonly group: readonly Wanted[] } | { readonly met: Met } | 'end';

export class Gathering {
  readonly #draw: SliceSource;
  readonly #meet: (slice: ChunkSlice) => Maybe<Wanted | Met>;
  #group: Wanted[] = [];
  #groupBytes = 0;
  /** What was drawn behind the group. */
  #behind: Wanted | Met | undefined;
  #isEnd = false;
  #askedBytes = 0;

  constructor(draw: SliceSource, meet: (slice: ChunkSlice) => Maybe<Wanted | Met>) {
    this.#draw = draw;
    this.#meet = meet;
  }

  /** Bytes of the slices drawn so far. */
  get askedBytes(): number {
    return this.#askedBytes;
  }

  /** The next request, in the order of the slices. One call at a time. */
  next(): Maybe<Gathered> {
    for (;;) {
      const one = this.#take();
      if (isPromise(one)) return one.then((came) => this.#put(came) ?? this.next());
      const gathered = this.#put(one);
      if (gathered !== undefined) return gathered;
    }
  }

  #take(): Maybe<Wanted | Met | undefined> {
    const behind = this.#behind;
    this.#behind = undefined;
    if (behind !== undefined || this.#isEnd) return behind;
    return andThen(this.#draw(), (slice) => {
      if (slice === undefined) {
        this.#isEnd = true;
        return undefined;
      }
      this.#askedBytes += slice.length;
      return this.#meet(slice);
    });
  }

  /** Undefined while the group may still grow. */
  #put(one: Wanted | Met | undefined): Gathered | undefined {
    if (one !== undefined && 'located' in one && this.#fits(one)) {
      this.#group.push(one);
      this.#groupBytes += one.slice.length;
      return undefined;
    }
    if (this.#group.length > 0) {
      this.#behind = one;
      const group = this.#group;
      this.#group = [];
      this.#groupBytes = 0;
      return { group };
    }
    return one === undefined ? 'end' : { met: one as Met };
  }

  #fits({ slice, located }: Wanted): boolean {
    const first = this.#group[0]?.located;
    const last = this.#group.at(-1)?.located;
    if (first === undefined || last === undefined) return true;
    return this.#groupBytes + slice.length <= ROOM_PLAIN_BYTES && isNeighbour(first, last, located);
  }
}

function isNeighbour(first: Located, last: Located, next: Located): boolean {
  const end = last.place.offset + last.place.length;
  const { offset, length } = next.place;
  return (
    next.object === last.object &&
    next.open === last.open &&
    offset >= end &&
    offset - end <= GAP_BYTES_MAX &&
    offset + length - first.place.offset <= REQUEST_BYTES_MAX
  );
}

/** Slices of any kind as something that is drawn from, and what ends it early. */
export function sourceOf(slices: SliceSource | Iterable<ChunkSlice> | AsyncIterable<ChunkSlice>): {
  readonly draw: SliceSource;
  readonly end: () => Maybe<unknown>;
} {
  if (typeof slices === 'function') return { draw: slices, end: () => undefined };
  const iterator = Symbol.iterator in slices ? slices[Symbol.iterator]() : slices[Symbol.asyncIterator]();
  const sliceOfStep = (step: IteratorResult<ChunkSlice>): ChunkSlice | undefined =>
    step.done === true ? undefined : step.value;
  return { draw: () => andThen(iterator.next(), sliceOfStep), end: () => iterator.return?.() };
}
