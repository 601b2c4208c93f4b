/**
 * One stream on its way into the store: gathers what comes in small pieces, cuts in the shared window, names each chunk,
 * and hands what is new to the encoder. All of a window's work happens in one synchronous turn where the metadata
 * answers at once; otherwise the window is copied aside while it is asked.
 *
 * What is held per writer: the bytes behind the last cut (at most GATHER_BYTES, growing from little), and one small
 * object a draft that was not taken. Records that nobody takes stay in the pack, unreferenced.
 */
import { assert, Fault, hexOf, isPromise, type Log, type Maybe } from '../base/index.ts';
import type { ChunkId, PackId, Put, RealmId } from '../meta/index.ts';
import {
  type ChunkFormat,
  type ContentSummary,
  type ContentWriter,
  type Draft,
  type Drafts,
  INLINE_BYTES_MAX,
  type WriterOptions,
} from './chunk-store.ts';
import type { Chunker } from './chunker.ts';
import { Compressibility } from './compressibility.ts';
import { bufferOf, type ContentHash, newContentHash, xxh3Of } from './content-hash.ts';
import type { Encoder, NewChunk } from './encoder.ts';
import { WriterHolds } from './holds.ts';
import { type IdHasher, keyOfId } from './ids.ts';
import type { Known, KnownChunks } from './known-chunks.ts';
import { PackClaims } from './pack-claims.ts';
import { encodeRecord } from './record.ts';

/** Drafts behind one that is not ready, at which its batch is hurried and waited for. */
const DRAFTS_WAITING_MAX = 1_024;
/** Least and first size of what is gathered. */
const GATHER_BYTES_FIRST = 4 * 1024;

/** What all writers of a store share. */
export interface WriterContext {
  readonly realm: RealmId;
  readonly format: ChunkFormat;
  readonly chunker: Chunker;
  readonly idOf: IdHasher;
  readonly known: KnownChunks;
  readonly encoder: Encoder;
  readonly log: Log;
  /** Whether it pays to compress streams that begin with noise. */
  readonly beginnings: Compressibility;
  /** Wall clock, seconds. */
  readonly nowSeconds: () => number;
  /** Reads a chunk back, to compare; given where ids alone are not proof (xxh3-128). */
  readonly readBack: ((id: ChunkId, chunk: NewChunk | undefined) => Promise<Uint8Array>) | undefined;
  readonly onClosed: (writer: StreamWriter) => void;
}

/** A piece of the window between two cuts. */
interface Cut {
  readonly at: number;
  readonly length: number;
  readonly id: ChunkId;
  readonly key: string;
  readonly isHole: boolean;
  readonly looksRandom: boolean;
}

interface PendingDraft {
  readonly draft: Draft;
  /** The chunk when this process stores it. */
  readonly chunk: NewChunk | undefined;
}

export class StreamWriter implements ContentWriter {
  readonly #context: WriterContext;
  readonly #options: WriterOptions;
  #hash: ContentHash | undefined;
  /** Of a content that came whole in one piece. */
  #wholeHash: Uint8Array | undefined;
  readonly #compressibility: Compressibility;
  readonly #gatherBytes: number;
  #gathered: Uint8Array = new Uint8Array(0);
  #gatheredLength = 0;
  #size = 0;
  /** Where the next draft begins. */
  #draftedBytes = 0;
  #drafts: PendingDraft[] = [];
  /** Drafts at the front that are known to be ready. */
  #readyCount = 0;
  readonly #holds: WriterHolds;
  /** Packs that hold records of this writer, and up to where. */
  readonly #claims = new PackClaims();
  #isBusy = false;
  #fault: unknown;
  #state: 'open' | 'finished' | 'closed' = 'open';

  constructor(context: WriterContext, options: WriterOptions) {
    this.#context = context;
    this.#options = options;
    this.#holds = new WriterHolds(context.known.holds);
    this.#compressibility = new Compressibility(context.beginnings);
    this.#gatherBytes = 2 * context.format.chunkBytesMax;
  }

  get size(): number {
    return this.#size;
  }

  get cutBytes(): number {
    return this.#draftedBytes;
  }

  async settle(): Promise<void> {
    await this.#alone(() => this.#waitForDrafts());
  }

  get readyCount(): number {
    while (this.#readyCount < this.#drafts.length && this.#isReady(this.#drafts[this.#readyCount])) this.#readyCount++;
    return this.#readyCount;
  }

  async write(bytes: Uint8Array): Promise<void> {
    assert(this.#state === 'open', 'nothing is written behind the end');
    await this.#alone(async () => {
      if (this.#isWhole(bytes)) return await this.#cutWhole(bytes);
      assert(this.#wholeHash === undefined || bytes.length === 0, 'no more comes than was announced');
      this.#hash ??= newContentHash();
      this.#hash.update(bytes);
      this.#size += bytes.length;
      let at = 0;
      while (this.#gatheredLength + bytes.length - at >= this.#gatherBytes) at = await this.#cutFrom(bytes, at);
      this.#gather(bytes.subarray(at));
      if (this.#drafts.length - this.readyCount > DRAFTS_WAITING_MAX) await this.#hurryFirst();
    });
  }

  take(): Drafts {
    const ready = this.#drafts.splice(0, this.readyCount);
    this.#readyCount = 0;
    const puts: Put[] = [];
    const seen = new Set<string>();
    this.#holds.take(ready.filter(({ draft }) => draft.kind === 'chunk').length);
    for (const { chunk } of ready) {
      if (chunk === undefined || seen.has(chunk.key)) continue;
      if (chunk.fault !== undefined) throw chunk.fault;
      seen.add(chunk.key);
      puts.push(this.#rowOf(chunk));
    }
    return { drafts: ready.map(({ draft }) => draft), puts };
  }

  async finish(): Promise<ContentSummary> {
    assert(this.#state === 'open', 'a stream ends once');
    await this.#alone(async () => {
      if (this.#draftedBytes === 0 && this.#size <= INLINE_BYTES_MAX) this.#keepInline();
      else await this.#cutRest();
      this.#gathered = new Uint8Array(0);
      this.#gatheredLength = 0;
      await this.#waitForDrafts();
    });
    this.#state = 'finished';
    return { size: this.#size, hash: this.#wholeHash ?? (this.#hash ?? newContentHash()).digest() };
  }

  /** Why records of this writer cannot be committed any more; undefined while all is well. */
  get lostFault(): unknown {
    return this.#claims.lostFault;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#drafts = [];
    this.#gathered = new Uint8Array(0);
    this.#claims.clear();
    this.#holds.releaseAll();
    this.#context.onClosed(this);
  }

  /** One call at a time, and none after a fault: what is behind it would not fit what came before. */
  async #alone(work: () => Promise<void>): Promise<void> {
    assert(!this.#isBusy, 'a writer is used by one caller at a time');
    this.#isBusy = true;
    try {
      this.#checkGoesOn();
      await work();
    } catch (error) {
      this.#fault ??= error;
      throw error;
    } finally {
      this.#isBusy = false;
    }
  }

  #checkGoesOn(): void {
    if (this.#options.signal?.aborted) throw Fault.aborted(this.#options.signal, 'Writing a content');
    if (this.#state === 'closed') throw new Fault('aborted', 'The content writer was closed while it was writing.');
    // A chunk that could not be stored is never ready; noticed here, a long stream stops early.
    const fault = this.#fault ?? this.lostFault ?? this.#drafts[this.readyCount]?.chunk?.fault;
    if (fault !== undefined) throw fault;
  }

  /** Keeps bytes until there are enough to cut. */
  #gather(bytes: Uint8Array): void {
    const length = this.#gatheredLength + bytes.length;
    if (length > this.#gathered.length) {
      const announced = Math.min(this.#options.size ?? 0, this.#gatherBytes);
      const room = Math.max(GATHER_BYTES_FIRST, 2 * this.#gathered.length, length, announced);
      const grown = Buffer.allocUnsafeSlow(Math.min(room, this.#gatherBytes));
      grown.set(this.#gathered.subarray(0, this.#gatheredLength));
      this.#gathered = grown;
    }
    this.#gathered.set(bytes, this.#gatheredLength);
    this.#gatheredLength = length;
  }

  /** Fills the window from what is gathered and from `bytes`, cuts it up; answers how far `bytes` is used. */
  async #cutFrom(bytes: Uint8Array, at: number): Promise<number> {
    const { chunker, encoder, format } = this.#context;
    while (!encoder.hasRoom) await encoder.room(this.#options.signal);
    const gathered = this.#gatheredLength;
    const taken = Math.min(bytes.length - at, chunker.window.length - gathered);
    chunker.window.set(this.#gathered.subarray(0, gathered), 0);
    chunker.window.set(bytes.subarray(at, at + taken), gathered);
    const end = await this.#cutWindow(gathered + taken, format.chunkBytesMax);
    // Whatever is left came from `bytes`: at least one largest chunk was cut, or more than was gathered.
    if (end >= gathered) {
      this.#gatheredLength = 0;
      return at + end - gathered;
    }
    this.#gathered.copyWithin(0, end, gathered);
    this.#gatheredLength = gathered - end;
    return at;
  }

  /** All that was announced, at once, and neither to be kept inline nor too much for the window. */
  #isWhole(bytes: Uint8Array): boolean {
    const { length } = bytes;
    const isAll = this.#size === 0 && length === this.#options.size;
    return isAll && length > INLINE_BYTES_MAX && length <= this.#context.chunker.window.length;
  }

  /** From where it lies into the window: most small files come so, and need no memory of their own. */
  async #cutWhole(bytes: Uint8Array): Promise<void> {
    const { chunker, encoder } = this.#context;
    this.#wholeHash = xxh3Of(bytes);
    this.#size = bytes.length;
    while (!encoder.hasRoom) await encoder.room(this.#options.signal);
    chunker.window.set(bytes, 0);
    await this.#cutWindow(bytes.length, 1);
  }

  async #cutRest(): Promise<void> {
    if (this.#gatheredLength === 0) return;
    const { chunker, encoder } = this.#context;
    while (!encoder.hasRoom) await encoder.room(this.#options.signal);
    chunker.window.set(this.#gathered.subarray(0, this.#gatheredLength), 0);
    await this.#cutWindow(this.#gatheredLength, 1);
  }

  /** Cuts while at least `lengthMin` of the window's first `length` bytes are left; answers where the last cut is. */
  async #cutWindow(length: number, lengthMin: number): Promise<number> {
    const cuts: Cut[] = [];
    let at = 0;
    while (length - at >= lengthMin) {
      const cut = this.#nextCut(at, length - at);
      cuts.push(cut);
      at += cut.length;
    }
    await this.#keep(cuts, at);
    return at;
  }

  #nextCut(at: number, available: number): Cut {
    const { chunker, idOf } = this.#context;
    const length = chunker.cut(at, available);
    if (chunker.isZero(at, length))
      return { at, length, id: new Uint8Array(0), key: '', isHole: true, looksRandom: false };
    const id = idOf(chunker.window.subarray(at, at + length));
    const looksRandom = this.#options.level !== 'none' && chunker.looksRandom(at, length);
    return { at, length, id, key: keyOfId(id), isHole: false, looksRandom };
  }

  /** Turns cuts into drafts; the window is free again when it resolves, and at once while nothing has to be asked. */
  async #keep(cuts: readonly Cut[], length: number): Promise<void> {
    const { known, chunker } = this.#context;
    for (const { isHole, key } of cuts) if (!isHole) this.#holds.hold(key);
    const found = cuts.map((cut): Maybe<Known | undefined> => (cut.isHole ? undefined : known.find(cut.id, cut.key)));
    if (found.some(isPromise) || this.#mustCompare(cuts, found)) {
      const copy = chunker.window.slice(0, length);
      await this.#keepFrom(copy, cuts, await Promise.all(found));
      return;
    }
    for (const [number, cut] of cuts.entries()) this.#keepCut(cut, chunker.window, found[number] as Known | undefined);
  }

  /** Whether bytes must be compared before these chunks can be taken for known ones. */
  #mustCompare(cuts: readonly Cut[], found: readonly unknown[]): boolean {
    if (this.#context.readBack === undefined) return false;
    const keys = cuts.filter(({ isHole }) => !isHole).map(({ key }) => key);
    return new Set(keys).size < keys.length || found.some((known) => known !== undefined);
  }

  async #keepFrom(copy: Uint8Array, cuts: readonly Cut[], found: readonly (Known | undefined)[]): Promise<void> {
    const { encoder, known, readBack } = this.#context;
    await Promise.all(cuts.map((cut, number) => this.#compare(cut, copy, found[number])));
    for (const [number, cut] of cuts.entries()) {
      let answer = found[number];
      for (;;) {
        while (!encoder.hasRoom) await encoder.room(this.#options.signal);
        const added = readBack === undefined || answer !== undefined ? undefined : known.findNew(cut.key);
        if (added === undefined) break;
        // It came meanwhile, or stands twice in this very window.
        await this.#compare(cut, copy, added);
        answer = added;
      }
      this.#checkGoesOn();
      this.#keepCut(cut, copy, answer);
    }
  }

  #keepCut(cut: Cut, from: Uint8Array, found: Known | undefined): void {
    const offset = this.#draftedBytes;
    this.#draftedBytes += cut.length;
    if (cut.isHole) {
      this.#keepHole(offset, cut.length);
      return;
    }
    const draft: Draft = { kind: 'chunk', offset, length: cut.length, id: cut.id };
    if (found?.kind === 'committed') {
      this.#drafts.push({ draft, chunk: undefined });
      return;
    }
    // Asked again: it may have come meanwhile, or stand twice in this very window.
    const known = found?.kind === 'new' ? found : this.#context.known.findNew(cut.key);
    const heals = found?.kind === 'damaged' ? found.pack : undefined;
    const chunk = known?.kind === 'new' ? known.chunk : this.#store(cut, from, heals);
    this.#drafts.push({ draft, chunk });
  }

  /** Holes side by side are one. */
  #keepHole(offset: number, length: number): void {
    const last = this.#drafts.at(-1)?.draft;
    if (last?.kind !== 'hole') {
      this.#drafts.push({ draft: { kind: 'hole', offset, length }, chunk: undefined });
      return;
    }
    const draft: Draft = { kind: 'hole', offset: last.offset, length: last.length + length };
    this.#drafts[this.#drafts.length - 1] = { draft, chunk: undefined };
  }

  /** `heals` is the pack whose record of the chunk is damaged. */
  #store(cut: Cut, from: Uint8Array, heals: PackId | undefined): NewChunk {
    const { encoder, known } = this.#context;
    const { level } = this.#options;
    const isWorthTrying = level !== 'none' && this.#compressibility.isWorthTrying(cut.looksRandom);
    const chunk = encoder.add({
      id: cut.id,
      key: cut.key,
      plain: from.subarray(cut.at, cut.at + cut.length),
      level: isWorthTrying ? level : 'none',
      compressibility: this.#compressibility,
      heals,
      isNoise: cut.looksRandom && !this.#compressibility.hasPaid,
    });
    known.add(chunk);
    return chunk;
  }

  /** Where ids are no proof, equal names must have equal bytes. */
  async #compare(cut: Cut, from: Uint8Array, found: Known | undefined): Promise<void> {
    const { readBack } = this.#context;
    if (readBack === undefined || found === undefined) return;
    const chunk = found.kind === 'new' ? found.chunk : undefined;
    if (chunk !== undefined && chunk.pack === undefined) {
      this.#context.encoder.flush();
      await chunk.settled;
      if (chunk.fault !== undefined) throw chunk.fault;
    }
    const there = await readBack(cut.id, chunk);
    if (bufferOf(there).equals(from.subarray(cut.at, cut.at + cut.length))) return;
    throw new Fault(
      'mismatch',
      'Different bytes have the same chunk id here, so they cannot be kept apart. With xxh3-128 ids somebody who knows the store can make such bytes; a store with blake3 ids does not have this.',
      { chunk: bufferOf(cut.id).toString('hex') },
    );
  }

  #keepInline(): void {
    const { realm, idOf } = this.#context;
    const { level } = this.#options;
    const plain = this.#gathered.subarray(0, this.#gatheredLength);
    this.#draftedBytes = plain.length;
    if (plain.length === 0) return;
    if (plain.every((byte) => byte === 0)) {
      this.#keepHole(0, plain.length);
      return;
    }
    const record = encodeRecord({ realm, id: idOf(plain), plainLength: plain.length }, plain, level);
    this.#drafts.push({ draft: { kind: 'inline', offset: 0, length: plain.length, record }, chunk: undefined });
  }

  async #waitForDrafts(): Promise<void> {
    while (this.readyCount < this.#drafts.length) await this.#hurryFirst();
  }

  /** Waits for the first draft that is not ready. What repeats itself adds nothing that would fill its batch. */
  async #hurryFirst(): Promise<void> {
    const first = this.#drafts[this.readyCount]?.chunk;
    assert(first !== undefined, 'only chunks are waited for');
    this.#context.encoder.flush();
    await first.settled;
    if (first.fault !== undefined) throw first.fault;
    this.#checkGoesOn();
  }

  #isReady(pending: PendingDraft | undefined): boolean {
    const chunk = pending?.chunk;
    if (chunk?.pack === undefined) return pending !== undefined && chunk === undefined;
    this.#claims.add(chunk.pack, chunk.endBytes);
    return true;
  }

  #rowOf(chunk: NewChunk): Put {
    assert(chunk.pack !== undefined, 'a ready chunk is in a pack');
    const row = {
      realm: this.#context.realm,
      id: chunk.id,
      pack: chunk.pack.row.pack,
      refs: 0,
      plainLength: chunk.plainLength,
      storedLength: chunk.storedLength,
      base: null,
      depth: 0,
      zeroSeconds: this.#context.nowSeconds(),
    };
    if (chunk.heals === undefined) return { table: 'chunks', mode: 'keep', row };
    this.#context.log.warn('chunks.healed', { chunk: hexOf(chunk.id), pack: chunk.heals, newPack: row.pack });
    // Whatever the row names by now: this record was written from bytes whose id was just computed.
    return { table: 'chunks', mode: 'replace', row };
  }
}
