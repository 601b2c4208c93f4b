/**
 * What small reads will want next. A tree that was put in one go lies in its packs in the order in which it is read
 * again, a few records a file: fetched one by one, each costs a trip to the disk and back and is checked on the main
 * thread. So when reads of one pack follow each other, a window of records behind them is fetched at once, and a thread
 * checks and decodes all that is in it, each against its own checksum and the id in its header. Whoever then asks for
 * one of these ids gets it; whatever a thread could not vouch for is not here, and is read as if nothing had been ahead.
 *
 * Bounds: WINDOWS_MAX windows, each at most one room of plain bytes. Nothing is fetched ahead of a reader that jumps.
 */
import { Fault } from '../../base/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import { keyOfId } from '../hashes/ids.ts';
import { TABLE_FIELDS, UNDECODED } from './decode-request.ts';
import type { Decoded, DecodeThreads } from './decode-threads.ts';

/** Record bytes of one window; with what usual content gains by compression they fill most of a room. */
const WINDOW_BYTES = 640 * 1024;
/** The one that is read from, the next one, and one for a reader that is a little behind. */
const WINDOWS_MAX = 3;
/** Reads that have to follow each other before anything is fetched ahead. */
const IN_ORDER_MIN = 8;
/** A read that begins this close behind the last one follows it. */
const GAP_BYTES_MAX = 32 * 1024;

/** A run of bytes in a pack that a read asks for. */
export interface PackRun {
  readonly object: string;
  readonly offset: number;
  /** Behind its last byte. */
  readonly end: number;
  /** Bytes of the pack's object that may be read. */
  readonly packBytes: number;
}

interface Window {
  readonly object: string;
  readonly offset: number;
  readonly end: number;
  readonly packBytes: number;
  readonly ready: Promise<void>;
  /** Plain bytes by key of id, in memory that is used again; empty until it is ready, and when it could not be read. */
  plains: ReadonlyMap<string, Uint8Array>;
  decoded: Decoded | undefined;
  /** Records of its second half, by key: who comes there wants the next window soon. */
  late: ReadonlySet<string>;
  /** Where its last whole record ends. */
  wholeEnd: number;
  hasNext: boolean;
}

export class ReadAhead {
  readonly #objects: ObjectStore;
  readonly #threads: DecodeThreads;
  readonly #idBytes: number;
  /** Newest first. */
  #windows: readonly Window[] = [];
  #last: PackRun | undefined;
  #inOrderCount = 0;

  constructor(parts: { readonly objects: ObjectStore; readonly threads: DecodeThreads; readonly idBytes: number }) {
    this.#objects = parts.objects;
    this.#threads = parts.threads;
    this.#idBytes = parts.idBytes;
  }

  /** Plain, verified bytes when they are here already. */
  find(key: string): Uint8Array | undefined {
    for (const window of this.#windows) {
      const plain = window.plains.get(key);
      if (plain === undefined) continue;
      if (window.late.has(key)) this.#goOn(window);
      // A copy: the window's memory serves the next one, however long this is kept.
      return plain.slice();
    }
    return undefined;
  }

  /** Told of a read that `find` could not serve; resolves when `find` may serve it, or at once is absent. */
  reading(run: PackRun): Promise<void> | undefined {
    const coming = this.#windows.find((window) => covers(window, run));
    // Whoever was covered and did not find it reads by itself.
    if (coming !== undefined) return coming.plains.size === 0 ? coming.ready : undefined;
    const last = this.#last;
    const isNext = last?.object === run.object && run.offset >= last.end && run.offset - last.end <= GAP_BYTES_MAX;
    this.#last = run;
    this.#inOrderCount = isNext ? this.#inOrderCount + 1 : 0;
    if (this.#inOrderCount < IN_ORDER_MIN) return undefined;
    this.#threads.start();
    if (this.#threads.readyCount === 0) return undefined;
    const window = this.#open(run);
    return covers(window, run) ? window.ready : undefined;
  }

  #goOn(window: Window): void {
    if (window.hasNext || window.wholeEnd >= window.packBytes) return;
    window.hasNext = true;
    const { object, wholeEnd, packBytes } = window;
    this.#open({ object, offset: wholeEnd, end: wholeEnd, packBytes });
  }

  #open({ object, offset, packBytes }: PackRun): Window {
    const end = Math.min(packBytes, offset + WINDOW_BYTES);
    const window: Window = {
      ...{ object, offset, end, packBytes },
      ready: Promise.resolve().then(() => this.#fill(window)),
      plains: new Map(),
      decoded: undefined,
      late: new Set(),
      wholeEnd: offset,
      hasNext: false,
    };
    const windows = [window, ...this.#windows];
    this.#windows = windows.slice(0, WINDOWS_MAX);
    for (const old of windows.slice(WINDOWS_MAX)) this.#drop(old);
    return window;
  }

  #drop(window: Window): void {
    window.plains = new Map();
    if (window.decoded !== undefined) this.#threads.giveBack(window.decoded);
    window.decoded = undefined;
  }

  /** Never rejects: what cannot be read here is met by whoever reads it for itself. */
  async #fill(window: Window): Promise<void> {
    const { object, offset, end } = window;
    try {
      const bytes = await this.#objects.get(object, { offset, length: end - offset });
      if (!ownsBuffer(bytes)) return;
      const decoded = await this.#threads.decode({ bytes });
      if (decoded === undefined) return;
      const { plain, table, ids, endBytes } = decoded;
      const plains = new Map<string, Uint8Array>();
      const late = new Set<string>();
      for (let number = 0; number * TABLE_FIELDS < table.length; number++) {
        const [at = UNDECODED, length = 0] = table.subarray(number * TABLE_FIELDS, (number + 1) * TABLE_FIELDS);
        if (at === UNDECODED) continue;
        const key = keyOfId(ids.subarray(number * this.#idBytes, (number + 1) * this.#idBytes));
        plains.set(key, plain.subarray(at, at + length));
        if (2 * number * TABLE_FIELDS >= table.length) late.add(key);
      }
      window.wholeEnd = offset + endBytes;
      window.late = late;
      window.plains = plains;
      window.decoded = decoded;
      if (!this.#windows.includes(window)) this.#drop(window);
    } catch (error) {
      if (!Fault.is(error)) throw error;
    }
  }
}

function covers(window: Window, run: PackRun): boolean {
  return window.object === run.object && window.offset <= run.offset && run.end <= window.end;
}

function ownsBuffer(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer && bytes.length === bytes.buffer.byteLength;
}
