/**
 * One stream on its way into the store: gathers what comes in small pieces, cuts in the shared window, names each chunk,
 * and hands what is new to the encoder. All of a window's work happens in one synchronous turn where the metadata
 * answers at once; otherwise the window is copied aside while it is asked. A long stream goes in blocks instead, which
 * a thread cuts and names: then only the looking up is done here.
 *
 * What is held per writer: the bytes behind the last cut (two largest chunks at most, growing from little), and one
 * small object a draft that was not taken. Records that nobody takes stay in the pack, unreferenced.
 */
import { assert, Fault, hexOf, isPromise, type Log, type Maybe } from '../../base/index.ts';
import type { ChunkId, PackId, Put, RealmId } from '../../meta/index.ts';
import {
  type ChunkFormat,
  type CompressionLevel,
  type ContentSummary,
  type ContentWriter,
  type Draft,
  type Drafts,
  INLINE_BYTES_MAX,
  type WriterOptions,
} from '../chunk-store.ts';
import type { Chunker } from '../cutting/chunker.ts';
import { Compressibility } from '../cutting/compressibility.ts';
import { bufferOf, type ContentHash, newContentHash, xxh3Of } from '../hashes/content-hash.ts';
import { ID_BYTES, type IdHasher, keyOfId } from '../hashes/ids.ts';
import { PackClaims } from '../packs/pack-claims.ts';
import { encodeRecord } from '../packs/record.ts';
import { cutAt } from './batch.ts';
import { BlockStream } from './block-stream.ts';
import type { Block, ChunkToStore, Encoder, NewChunk } from './encoder.ts';
import { WriterHolds } from './holds.ts';
import type { Known, KnownChunks } from './known-chunks.ts';

/** Drafts behind one that is not ready, at which its batch is hurried and waited for. */
const DRAFTS_WAITING_MAX = 1_024;
/** Least and first size of what is gathered. */
const GATHER_BYTES_FIRST = 4 * 1024;
/** A stream of so many bytes, come or announced, is worth a thread. */
const LONG_BYTES = 1024 * 1024;

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
  /** @throws Fault `full` where there is no room for so many bytes. */
  readonly requireRoom: (bytes: number, isRow?: boolean) => Maybe<void>;
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
  /** Of a long stream, where there are threads. */
  #blocks: BlockStream | undefined;

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
    await this.#alone(async () => {
      await this.#blocks?.settle();
      await this.#waitForDrafts();
    });
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
      if (this.#isLong()) await this.#writeLong(bytes);
      else await this.#writeShort(bytes);
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
      if (this.#draftedBytes === 0 && this.#size <= INLINE_BYTES_MAX) {
        const room = this.#context.requireRoom(this.#size, true);
        if (isPromise(room)) await room;
        this.#keepInline();
      } else if (this.#blocks === undefined) await this.#cutRest();
      else await this.#blocks.end();
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
    await this.#blocks?.[Symbol.asyncDispose]();
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
    const fault = this.#fault ?? this.#blocks?.fault ?? this.lostFault ?? this.#drafts[this.readyCount]?.chunk?.fault;
    if (fault !== undefined) throw fault;
  }

  async #writeShort(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (this.#gatheredLength + bytes.length - at >= this.#gatherBytes) at = await this.#cutFrom(bytes, at);
    this.#gather(bytes.subarray(at));
  }

  /** Whether the stream goes in blocks from here on. */
  #isLong(): boolean {
    if (this.#size > INLINE_BYTES_MAX && Math.max(this.#size, this.#options.size ?? 0) >= LONG_BYTES)
      this.#blocks ??= this.#openBlocks();
    return this.#blocks !== undefined;
  }

  async #writeLong(bytes: Uint8Array): Promise<void> {
    if (this.#gatheredLength > 0) await this.#blocks?.write(this.#gathered.subarray(0, this.#gatheredLength));
    this.#gathered = new Uint8Array(0);
    this.#gatheredLength = 0;
    await this.#blocks?.write(bytes);
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

  #openBlocks(): BlockStream | undefined {
    const { encoder, format } = this.#context;
    const { level, signal } = this.#options;
    const stream = encoder.openStream();
    if (stream === undefined) return undefined;
    const onCut = (block: Block, count: number): Promise<void> => this.#keepBlock(block, count);
    const settleBytes = format.chunkBytesMax;
    return new BlockStream({ encoder, stream, signal, onCut, settleBytes, asksNoise: level !== 'none' });
  }

  /** Turns the cuts of a block into drafts, and stores what is new of it. @throws only before that. */
  async #keepBlock(block: Block, count: number): Promise<void> {
    const { known, format } = this.#context;
    const idBytes = ID_BYTES[format.idAlgorithm];
    const cuts = Array.from({ length: count }, (_, number): Cut => {
      const cut = cutAt(block.memory, number, idBytes);
      return { ...cut, key: keyOfId(cut.id) };
    });
    for (const { isHole, key } of cuts) if (!isHole) this.#holds.hold(key);
    const asked = cuts.map((cut): Maybe<Known | undefined> => (cut.isHole ? undefined : known.find(cut.id, cut.key)));
    const found = asked.some(isPromise) ? await Promise.all(asked) : (asked as (Known | undefined)[]);
    await this.#compareAll(cuts, block.memory.data, found);
    for (let more = this.#cameMeanwhile(cuts, found); more.length > 0; more = this.#cameMeanwhile(cuts, found)) {
      const only = found.map((answer, number) => (more.includes(number) ? answer : undefined));
      await this.#compareAll(cuts, block.memory.data, only);
    }
    // From here on in one turn: what is new is known to others only when it is on its way.
    this.#checkGoesOn();
    this.#storeBlock(block, cuts, found);
  }

  async #compareAll(cuts: readonly Cut[], from: Uint8Array, found: readonly (Known | undefined)[]): Promise<void> {
    if (this.#context.readBack === undefined) return;
    await Promise.all(cuts.map((cut, number) => this.#compare(cut, from, found[number])));
  }

  /** Takes over what others have begun to store since it was looked up; answers which, when it must be compared. */
  #cameMeanwhile(cuts: readonly Cut[], found: (Known | undefined)[]): readonly number[] {
    const { known, readBack } = this.#context;
    const more: number[] = [];
    for (const [number, cut] of cuts.entries()) {
      if (cut.isHole || found[number]?.kind === 'committed' || found[number]?.kind === 'new') continue;
      const added = known.findNew(cut.key);
      if (added === undefined) continue;
      found[number] = added;
      if (readBack !== undefined) more.push(number);
    }
    return more;
  }

  #storeBlock(block: Block, cuts: readonly Cut[], found: readonly (Known | undefined)[]): void {
    const { encoder, known } = this.#context;
    const firsts = new Map<string, number>();
    const toStore: (ChunkToStore & { number: number; plainLength: number })[] = [];
    for (const [number, cut] of cuts.entries()) {
      const answer = found[number];
      if (cut.isHole || answer?.kind === 'committed' || answer?.kind === 'new') continue;
      const first = firsts.get(cut.key);
      if (first !== undefined) {
        this.#checkEqual(cut, cuts[first], block.memory.data);
        continue;
      }
      firsts.set(cut.key, number);
      const heals = answer?.kind === 'damaged' ? answer.pack : undefined;
      toStore.push({ ...this.#toStore(cut, heals), number, plainLength: cut.length });
    }
    const added = new Map<string, NewChunk>();
    for (const chunk of encoder.storeBlock(block, cuts.length, toStore)) {
      known.add(chunk);
      added.set(chunk.key, chunk);
    }
    for (const [number, cut] of cuts.entries()) this.#draft(cut, chunkOf(found[number]) ?? added.get(cut.key));
  }

  /** Equal names in one block: where they are no proof, the bytes must be equal too. */
  #checkEqual(cut: Cut, other: Cut | undefined, from: Uint8Array): void {
    if (this.#context.readBack === undefined || other === undefined) return;
    const there = bufferOf(from.subarray(other.at, other.at + other.length));
    if (!there.equals(from.subarray(cut.at, cut.at + cut.length))) throw sameName(cut.id);
  }

  /** All that was announced, at once, and not too much for the window. */
  #isWhole(bytes: Uint8Array): boolean {
    const { length } = bytes;
    const isAll = this.#size === 0 && length === this.#options.size;
    return isAll && length > 0 && length <= this.#context.chunker.window.length;
  }

  /** From where it lies into the window: most small files come so, and need no memory of their own. */
  async #cutWhole(bytes: Uint8Array): Promise<void> {
    const { chunker, encoder } = this.#context;
    this.#wholeHash = xxh3Of(bytes);
    this.#size = bytes.length;
    if (bytes.length <= INLINE_BYTES_MAX) return this.#gather(bytes);
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
    if (cut.isHole || found?.kind === 'committed') {
      this.#draft(cut, undefined);
      return;
    }
    // Asked again: it may have come meanwhile, or stand twice in this very window.
    const known = found?.kind === 'new' ? found : this.#context.known.findNew(cut.key);
    const heals = found?.kind === 'damaged' ? found.pack : undefined;
    this.#draft(cut, known?.kind === 'new' ? known.chunk : this.#store(cut, from, heals));
  }

  /** The next draft; `chunk` when this process stores it. */
  #draft(cut: Cut, chunk: NewChunk | undefined): void {
    const offset = this.#draftedBytes;
    this.#draftedBytes += cut.length;
    if (cut.isHole) this.#keepHole(offset, cut.length);
    else this.#drafts.push({ draft: { kind: 'chunk', offset, length: cut.length, id: cut.id }, chunk });
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
    const chunk = encoder.add({
      ...this.#toStore(cut, heals),
      plain: from.subarray(cut.at, cut.at + cut.length),
      isNoise: cut.looksRandom && !this.#compressibility.hasPaid,
    });
    known.add(chunk);
    return chunk;
  }

  #toStore({ id, key, looksRandom }: Cut, heals: PackId | undefined): ChunkToStore {
    const { level } = this.#options;
    const isWorthTrying = level !== 'none' && this.#compressibility.isWorthTrying(looksRandom);
    return { id, key, level: isWorthTrying ? level : 'none', compressibility: this.#compressibility, heals };
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
    throw sameName(cut.id);
  }

  #keepInline(): void {
    const plain = this.#gathered.subarray(0, this.#gatheredLength);
    this.#draftedBytes = plain.length;
    if (plain.length === 0) return;
    this.#drafts.push({ draft: inlineDraft(this.#context, plain, this.#options.level), chunk: undefined });
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

/** Of at least one byte: its record, or a hole when it has nothing but zeros. */
export function inlineDraft(
  { realm, idOf }: Pick<WriterContext, 'realm' | 'idOf'>,
  plain: Uint8Array,
  level: CompressionLevel,
): Draft {
  const { length } = plain;
  if (plain.every((byte) => byte === 0)) return { kind: 'hole', offset: 0, length };
  const record = encodeRecord({ realm, id: idOf(plain), plainLength: length }, plain, level);
  return { kind: 'inline', offset: 0, length, record };
}

function chunkOf(found: Known | undefined): NewChunk | undefined {
  return found?.kind === 'new' ? found.chunk : undefined;
}

function sameName(id: ChunkId): Fault {
  return new Fault(
    'mismatch',
    'Different bytes have the same chunk id here, so they cannot be kept apart. With xxh3-128 ids somebody who knows the store can make such bytes; a store with blake3 ids does not have this.',
    { chunk: hexOf(id) },
  );
}
