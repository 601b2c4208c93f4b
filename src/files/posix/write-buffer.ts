/**
 * Bytes written to a file and not yet stored: runs in order that do not overlap. A later write wins over an earlier one.
 * What is being stored is frozen: it can still be read here, new writes lie over it, and it goes when it is stored. The
 * end of a stream whose last chunk is not yet whole is held: handed over, but to be read nowhere else.
 */
import { assert } from '../../base/index.ts';

/** Bytes written one behind the other. The array may be larger than what is written. */
interface Run {
  readonly offset: number;
  bytes: Uint8Array;
  length: number;
}

export interface Written {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** A run that grows in small steps gets room for this much first, and twice as much each time. */
const GROW_BYTES_MIN = 4 * 1024;
/** A longer one is followed by another, so that growing never copies much. */
const RUN_BYTES_MAX = 256 * 1024;

export class WriteBuffer {
  #runs: Run[] = [];
  #frozen: readonly Run[] = [];
  #held: readonly Run[] = [];
  #bytes = { fresh: 0, frozen: 0, held: 0 };

  /** Bytes of memory, at most: what was written over counts until it is stored. */
  get heldBytes(): number {
    return this.#bytes.fresh + this.#bytes.frozen + this.#bytes.held;
  }

  /** Behind the last byte that is here; 0 for none. */
  get endOffset(): number {
    const ends = [this.#runs, this.#frozen, this.#held].map((runs) => runs.at(-1)).filter((run) => run !== undefined);
    return ends.reduce((end, run) => Math.max(end, run.offset + run.length), 0);
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0 && this.#frozen.length === 0 && this.#held.length === 0;
  }

  get hasFrozen(): boolean {
    return this.#frozen.length > 0;
  }

  /** Whether there is anything that is not frozen. */
  get hasFresh(): boolean {
    return this.#runs.length > 0;
  }

  /** All there is, when that is one run that nothing has been done about yet. */
  get only(): Written | undefined {
    const [run] = this.#runs;
    if (run === undefined || this.#runs.length > 1 || this.#frozen.length > 0 || this.#held.length > 0)
      return undefined;
    return { offset: run.offset, bytes: run.bytes.subarray(0, run.length) };
  }

  get runCount(): number {
    return this.#runs.length;
  }

  /** Copies the bytes. */
  write(offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const at = this.#clear(offset, offset + bytes.length);
    const before = this.#runs[at - 1];
    const isNext = before !== undefined && before.offset + before.length === offset;
    if (isNext && before.length + bytes.length <= RUN_BYTES_MAX) {
      const room = before.bytes.length;
      append(before, bytes);
      this.#bytes.fresh += before.bytes.length - room;
      return;
    }
    this.#bytes.fresh += bytes.length;
    // Runs are often short-lived: no room beyond what is there until one is seen to grow.
    this.#runs.splice(at, 0, { offset, bytes: copyOf(bytes), length: bytes.length });
  }

  /** Forgets what is not frozen from `offset` on up to `end`; answers where a run at `offset` belongs. */
  #clear(offset: number, end: number): number {
    let at = this.#firstEndingAfter(offset);
    for (let run = this.#runs[at]; run !== undefined && run.offset < end; run = this.#runs[at]) {
      const head = offset - run.offset;
      const tail = run.offset + run.length - end;
      const parts: Run[] = [];
      if (head > 0) parts.push({ offset: run.offset, bytes: run.bytes.subarray(0, head), length: head });
      if (tail > 0) parts.push({ offset: end, bytes: run.bytes.subarray(run.length - tail, run.length), length: tail });
      this.#runs.splice(at, 1, ...parts);
      if (head > 0) at++;
      if (tail > 0) break;
    }
    return at;
  }

  /** The file was cut: nothing from `size` on is written any more. Nothing may be frozen. */
  truncate(size: number): void {
    assert(this.#frozen.length + this.#held.length === 0, 'what is being stored is not cut');
    this.#clear(size, Number.MAX_SAFE_INTEGER);
  }

  /** Bytes of a range are something else now. Nothing may be frozen. */
  forget(offset: number, length: number): void {
    assert(this.#frozen.length + this.#held.length === 0, 'what is being stored is not changed');
    this.#clear(offset, offset + length);
  }

  /** Everything so far, in order; it stays readable until `stored`. */
  freeze(): readonly Written[] {
    assert(this.#frozen.length === 0, 'one freeze at a time');
    this.#frozen = this.#runs;
    this.#runs = [];
    this.#bytes = { fresh: 0, frozen: this.#bytes.fresh, held: this.#bytes.held };
    return this.#frozen.map(({ offset, bytes, length }) => ({ offset, bytes: bytes.subarray(0, length) }));
  }

  /**
   * What was frozen, and held from before, can be read elsewhere now; but for the bytes from `tail.offset` up to
   * `tail.end`, which are held on.
   */
  stored(tail?: { readonly offset: number; readonly end: number }): void {
    // Not all of it need be here: a stream may begin with bytes that are stored elsewhere.
    const pieces = tail === undefined ? [] : over(this.#frozen, this.#held, tail.offset, tail.end);
    const held = pieces.map(({ offset, bytes }): Run => ({ offset, bytes: copyOf(bytes), length: bytes.length }));
    this.#held = held;
    giveMemory(this.#frozen);
    this.#frozen = [];
    this.#bytes = { fresh: this.#bytes.fresh, frozen: 0, held: held.reduce((sum, { length }) => sum + length, 0) };
  }

  /** All of it is given up. */
  clear(): void {
    this.#runs = [];
    this.#frozen = [];
    this.#held = [];
    this.#bytes = { fresh: 0, frozen: 0, held: 0 };
  }

  /** What is written in the range, in order: pieces that do not overlap, the latest bytes of each place. */
  read(offset: number, end: number): readonly Written[] {
    if (this.isEmpty) return [];
    if (this.#held.length === 0) return over(this.#runs, this.#frozen, offset, end);
    const below = over(this.#frozen, this.#held, offset, end);
    const asRuns = below.map((piece): Run => ({ ...piece, length: piece.bytes.length }));
    return over(this.#runs, asRuns, offset, end);
  }

  #firstEndingAfter(offset: number): number {
    return firstEndingAfter(this.#runs, offset);
  }
}

function firstEndingAfter(runs: readonly Run[], offset: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle];
    if (run !== undefined && run.offset + run.length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function pieces(runs: readonly Run[], from: number, offset: number, end: number): Written[] {
  const found: Written[] = [];
  for (let at = from; ; at++) {
    const run = runs[at];
    if (run === undefined || run.offset >= end) return found;
    const start = Math.max(offset, run.offset);
    const stop = Math.min(end, run.offset + run.length);
    found.push({ offset: start, bytes: run.bytes.subarray(start - run.offset, stop - run.offset) });
  }
}

/** Pieces of `upper`, and of `lower` where there are none. */
function over(upper: readonly Run[], lower: readonly Run[], offset: number, end: number): Written[] {
  const first = pieces(upper, firstEndingAfter(upper, offset), offset, end);
  if (lower.length === 0) return first;
  const found: Written[] = [];
  let at = offset;
  for (const piece of [...first, { offset: end, bytes: new Uint8Array(0) }]) {
    if (piece.offset > at) found.push(...pieces(lower, firstEndingAfter(lower, at), at, piece.offset));
    if (piece.bytes.length > 0) found.push(piece);
    at = piece.offset + piece.bytes.length;
  }
  return found;
}

function append(run: Run, bytes: Uint8Array): void {
  const length = run.length + bytes.length;
  if (length > run.bytes.length) {
    const room = Math.max(length, Math.min(RUN_BYTES_MAX, 2 * run.bytes.length), GROW_BYTES_MIN);
    const grown = Buffer.allocUnsafeSlow(room);
    grown.set(run.bytes.subarray(0, run.length));
    run.bytes = grown;
  }
  run.bytes.set(bytes, run.length);
  run.length = length;
}

function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = takeMemory(bytes.length);
  copy.set(bytes);
  return copy;
}

/**
 * Memory of large runs that are stored, for the next ones: fresh memory for each write costs the kernel a clearing and
 * the collector a look. Only whole memories of runs that were frozen come here; nobody holds a view of those any more.
 */
const spare = new Map<number, Uint8Array[]>();
let spareBytes = 0;
const SPARE_BYTES_MAX = 8 * 1024 * 1024;
const SPARE_RUN_BYTES_MIN = 64 * 1024;

function takeMemory(length: number): Uint8Array {
  const found = spare.get(length)?.pop();
  if (found === undefined) return Buffer.allocUnsafeSlow(length);
  spareBytes -= length;
  return found;
}

function giveMemory(runs: readonly Run[]): void {
  for (const { bytes } of runs) {
    const isWhole = bytes.length >= SPARE_RUN_BYTES_MIN && bytes.length === bytes.buffer.byteLength;
    if (!isWhole || spareBytes + bytes.length > SPARE_BYTES_MAX) continue;
    const same = spare.get(bytes.length);
    if (same === undefined) spare.set(bytes.length, [bytes]);
    else same.push(bytes);
    spareBytes += bytes.length;
  }
}
