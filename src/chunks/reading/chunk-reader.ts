/**
 * From a chunk's id to its plain bytes: metadata says which pack, the pack's index says where, one ranged read fetches
 * the record (neighbours together), and nothing is handed out before record checksum, decoding and id have been checked.
 *
 * Big reads are checked and decoded in worker threads, a request at a time, and small ones that follow each other are
 * read ahead (read-ahead.ts). Whatever a thread cannot vouch for is read
 * again here, so that a fault is the same whoever saw it first.
 * A damaged pack index costs speed, not data: the pack is walked record by record instead, and that is logged.
 * Concurrent reads of one chunk share the work. Bounds: decoded chunks and pack indexes in bytes, read-ahead per call.
 */
import { andThen, assert, Fault, hexOf, isPromise, type Log, Lru, type Maybe, rescue } from '../../base/index.ts';
import {
  type ChunkId,
  type ChunkRow,
  type MetaReader,
  PACK_STATE,
  type PackId,
  type RealmId,
} from '../../meta/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { ChunkSlice, ReadAllOptions, SliceSource } from '../chunk-store.ts';
import { bufferOf } from '../hashes/content-hash.ts';
import { type IdHasher, idOfKey, keyOfId } from '../hashes/ids.ts';
import type { ChunkStoreOptions } from '../options.ts';
import type { OpenPack } from '../packs/open-pack.ts';
import { loadIndex, type PackObject, recordPlaces } from '../packs/pack-file.ts';
import { PackIndex, type Place } from '../packs/pack-format.ts';
import type { PackWriter } from '../packs/pack-writer.ts';
import { BASE_DEPTH_MAX, decodeRecord, isFlaw, isRecordWhole, type RecordHeader, readHeader } from '../packs/record.ts';
import { decodeRequest, TABLE_FIELDS, UNDECODED } from './decode-request.ts';
import type { Decoded, DecodeThreads, DecodeWanted } from './decode-threads.ts';
import { type Gathered, Gathering, type Located, type Met, sourceOf, type Wanted } from './gathering.ts';
import { ReadAhead } from './read-ahead.ts';
import type { Readings } from './readings.ts';

/**
 * Bytes that one `readAll` has asked for before the records of a request are decoded together, in a thread where there
 * is one: less is done before a message is there.
 */
const TOGETHER_BYTES_MIN = 256 * 1024;
/** Bytes that one `readAll` has asked for before threads are started for it: to start them costs as much. */
const START_BYTES_MIN = 16 * 1024 * 1024;
/** Depths of records are below this. */
const DEPTH_BELOW = BASE_DEPTH_MAX + 1;
/** Chunks remembered to have been read whole, so that one that is read again is kept. */
const READ_ONCE_MAX = 2_000;
/** Rows of packs remembered. */
const PACK_ROWS_MAX = 1_000;

export interface ReaderContext {
  readonly objects: ObjectStore;
  readonly index: Pick<MetaReader, 'get'>;
  readonly realm: RealmId;
  readonly idBytes: number;
  readonly idOf: IdHasher;
  readonly packs: PackWriter;
  /** Absent where everything happens on the main thread. The reader's caller ends them. */
  readonly threads: DecodeThreads | undefined;
  readonly log: Log;
  readonly options: ChunkStoreOptions;
  readonly readings: Readings;
  /** What the pack has of this chunk cannot be read. May be called many times for one. */
  readonly onDamage: (id: ChunkId, pack: PackId) => void;
}

/** What one request has brought: its bytes, from `from` in the object on, or already what is in them. */
type Brought = { readonly bytes: Uint8Array; readonly from: number } | { readonly decoded: Decoded };

/** Slices under way that one request reads, or one slice. */
interface Coming {
  /** Their bytes in order; never rejects, but what is in it may. */
  readonly pieces: Promise<readonly Maybe<Uint8Array>[]>;
  /** Bytes of memory they may take. */
  readonly weight: number;
  /** Set where the memory is nobody else's: nothing of it is needed any more. */
  readonly giveBack?: () => void;
}

/** What is known of a `readAll` when it makes a request. */
interface Passing {
  readonly askedBytes: number;
  readonly isOnce: boolean;
}

/** Records that are named. */
type DecodeNamed = DecodeWanted & { readonly wanted: NonNullable<DecodeWanted['wanted']> };

interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
}

export class ChunkReader {
  readonly #context: ReaderContext;
  readonly #plain: Lru<string, Uint8Array>;
  /** Whole chunks that passed by. */
  readonly #readOnce = new Lru<string, true>({ weightMax: READ_ONCE_MAX });
  readonly #indexes: Lru<string, PackIndex>;
  readonly #packObjects = new Lru<PackId, PackObject & { readonly isSealed: boolean }>({ weightMax: PACK_ROWS_MAX });
  readonly #comingIndexes = new Map<string, Promise<PackIndex>>();
  readonly #coming = new Map<string, Promise<Uint8Array>>();
  readonly #ahead: ReadAhead | undefined;

  constructor(context: ReaderContext) {
    this.#context = context;
    const { chunkCacheBytes, packIndexCacheBytes } = context.options;
    this.#plain = new Lru({ weightMax: chunkCacheBytes, weigh: (bytes) => bytes.length });
    this.#indexes = new Lru({ weightMax: packIndexCacheBytes, weigh: (index) => index.bytes.length });
    const { objects, threads, idBytes } = context;
    this.#ahead = threads && new ReadAhead({ objects, threads, idBytes });
  }

  /** The index of a pack that was sealed just now, so that nobody has to read it back. */
  keepIndex(object: string, index: PackIndex): void {
    this.#indexes.set(object, index);
  }

  /** The pack's row names another object, or is gone. */
  forgetPack(pack: PackId): void {
    this.#packObjects.delete(pack);
  }

  /** Rows of packs have changed. */
  forgetPacks(): void {
    this.#packObjects.clear();
  }

  /** The chunk is damaged on disk: nobody is told otherwise from memory. */
  forget(id: ChunkId): void {
    this.#plain.delete(keyOfId(id));
  }

  async read(id: ChunkId, options: ReadOptions = {}): Promise<Uint8Array> {
    if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Reading a chunk');
    const key = keyOfId(id);
    const there = this.#plain.get(key) ?? this.#coming.get(key);
    if (there !== undefined) return there;
    const plain = this.#share(key, this.#load(id));
    this.#cache(key, await plain);
    return plain;
  }

  /** Like `read`, where that takes this turn only; undefined otherwise, and for what is damaged: `read` names it. */
  readNow(id: ChunkId): Uint8Array | undefined {
    const key = keyOfId(id);
    const there = this.#plain.get(key) ?? this.#ahead?.find(key);
    if (there !== undefined || this.#coming.has(key)) return there;
    const plain = this.#decodedNow(id);
    if (plain !== undefined) this.#cache(key, plain);
    return plain;
  }

  #decodedNow(id: ChunkId): Uint8Array | undefined {
    try {
      const located = this.#locate(id);
      if (isPromise(located)) {
        // Whoever reads it next meets its fault.
        located.catch(() => {});
        return undefined;
      }
      const { open, object, place, isPatch } = located;
      if (isPatch) return undefined;
      const bytes = open === undefined ? this.#context.objects.getNow?.(object, place) : open.getNow(place);
      if (bytes === undefined) return undefined;
      const header = this.#checkedHeader(located, bytes);
      return header.base === undefined ? this.#decodeChecked(located, header, bytes, undefined) : undefined;
    } catch (error) {
      if (Fault.is(error)) return undefined;
      throw error;
    }
  }

  /** Like `read`, for bytes that nobody will want again soon: they are not kept. */
  async readOnce(id: ChunkId): Promise<Uint8Array> {
    const key = keyOfId(id);
    return await (this.#plain.get(key) ?? this.#coming.get(key) ?? this.#share(key, this.#load(id)));
  }

  /** A chunk whose row may not be committed yet, from the pack it was appended to. */
  async readAppended(id: ChunkId, pack: OpenPack): Promise<Uint8Array> {
    const key = keyOfId(id);
    const there = this.#plain.get(key) ?? this.#coming.get(key);
    if (there !== undefined) return there;
    const place = await pack.find(id);
    assert(place !== undefined, 'an appended record is in the index of its pack', { chunk: hexOf(id) });
    const { object, pack: number } = pack.row;
    const located = { id, pack: number, object, place, open: pack, packBytes: 0, isPatch: false };
    try {
      return await this.#decode(located, await pack.get(place));
    } catch (error) {
      // The pack was rewritten since; then the chunk has a row, for its record would have been kept otherwise.
      if (Fault.is(error, 'not-found')) return await this.readOnce(id);
      throw error;
    }
  }

  async *readAll(
    slices: SliceSource | AsyncIterable<ChunkSlice> | Iterable<ChunkSlice>,
    options: ReadAllOptions = {},
  ): AsyncGenerator<Uint8Array> {
    using _reading = this.#context.readings.begin();
    const queue: Coming[] = [];
    let weight = 0;
    const source = sourceOf(slices);
    const gathering = new Gathering(source.draw, (slice) => this.#meet(slice));
    let isEnded = false;
    try {
      for (;;) {
        const next = queue.shift();
        weight -= next?.weight ?? 0;
        // Before the next piece is handed out: threads work on what comes behind it while its reader has it.
        while (!isEnded && weight < this.#context.options.readAheadBytes) {
          if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Reading a content');
          const coming = gathering.next();
          const gathered = isPromise(coming) ? await coming : coming;
          isEnded = gathered === 'end';
          const askedBytes = Math.max(gathering.askedBytes, options.expectedBytes ?? 0);
          for (const coming of this.#comingOf(gathered, { askedBytes, isOnce: options.isOnce === true })) {
            queue.push(coming);
            weight += coming.weight;
          }
        }
        if (next === undefined && queue.length === 0) return;
        for (const piece of (await next?.pieces) ?? []) yield isPromise(piece) ? await piece : piece;
        // Only here: whoever ends the iteration instead may still be sending the last piece.
        next?.giveBack?.();
      }
    } finally {
      await source.end();
      // Whoever stops in the middle leaves nothing running behind.
      await Promise.allSettled(queue.map(async ({ pieces }) => Promise.allSettled(await pieces)));
    }
  }

  /** Like `read`, but from the pack itself, whatever the cache has. */
  async readFresh(id: ChunkId): Promise<Uint8Array> {
    return await this.#load(id);
  }

  /** Plain bytes of a record held in memory: the id is checked, a base is read. */
  async decodeRecordOf(
    located: { readonly id: ChunkId; readonly pack: PackId; readonly object: string; readonly place: Place },
    bytes: Uint8Array,
  ): Promise<Uint8Array> {
    return await this.#decode({ ...located, open: undefined, packBytes: 0, isPatch: false }, bytes);
  }

  /** Every record of a pack as its index, or failing that the records themselves, say. */
  indexOf(pack: PackObject & { readonly isSealed: boolean }): Maybe<PackIndex> {
    const key = pack.isSealed ? pack.object : `${pack.object}:${pack.lengthBytes}`;
    const there = this.#indexes.get(key) ?? this.#comingIndexes.get(key);
    if (there !== undefined) return there;
    const coming = this.#loadIndex(pack).finally(() => this.#comingIndexes.delete(key));
    this.#comingIndexes.set(key, coming);
    return coming.then((index) => {
      this.#indexes.set(key, index);
      return index;
    });
  }

  #share(key: string, plain: Promise<Uint8Array>): Promise<Uint8Array> {
    const shared = plain.finally(() => this.#coming.delete(key));
    this.#coming.set(key, shared);
    return shared;
  }

  #cache(key: string, plain: Uint8Array): void {
    // A view would keep all that was read together alive, beyond what the cache counts.
    const isOwn = plain.length >= plain.buffer.byteLength / 2;
    this.#plain.set(key, isOwn ? plain : plain.slice());
  }

  /** `known`: where it is, for whoever has looked just now. */
  async #load(id: ChunkId, depthBelow = DEPTH_BELOW, known?: Located): Promise<Uint8Array> {
    for (let located = known ?? (await this.#locate(id)); ; ) {
      try {
        return await this.#decode(located, await this.#fetch(located), depthBelow);
      } catch (error) {
        if (!Fault.is(error, 'not-found', 'corrupt')) throw error;
        // Rewritten or healed between the two reads: its row names another pack now, or its pack's row another object.
        this.forgetPack(located.pack);
        const again = await this.#locate(id);
        // Ends, for no object has its name twice: each time round, somebody has rewritten or healed it once more.
        const isElsewhere = again.object !== located.object || again.place.offset !== located.place.offset;
        if (!isElsewhere) {
          this.#context.onDamage(id, located.pack);
          throw Fault.is(error, 'not-found') ? missingObject(located, error) : error;
        }
        located = again;
      }
    }
  }

  async #fetch(located: Located): Promise<Uint8Array> {
    const { open, object, place } = located;
    try {
      return await (open?.get(place) ?? this.#context.objects.get(object, place));
    } catch (error) {
      if (Fault.is(error, 'range')) throw damagedChunk(located, 'the object ends before its record does', error);
      throw error;
    }
  }

  #locate(id: ChunkId): Maybe<Located> {
    return andThen(this.#context.index.get('chunks', [this.#context.realm, id]), (row) => {
      if (row === undefined) throw missingChunk(id);
      return rescue(
        () => this.#locateIn(row),
        (error) => this.#locateAgain(row, error),
      );
    });
  }

  /** What went wrong may be that it was looked for where it no longer is. */
  async #locateAgain(before: ChunkRow, error: unknown): Promise<Located> {
    if (!Fault.is(error, 'corrupt')) throw error;
    if (await this.#isElsewhere(before, error.about.object)) return await this.#locate(before.id);
    this.#context.onDamage(before.id, before.pack);
    throw error;
  }

  /** The chunk's row names another pack by now, or its pack's row another object than the one looked into. */
  async #isElsewhere(before: ChunkRow, object: unknown): Promise<boolean> {
    const { index, realm } = this.#context;
    this.forgetPack(before.pack);
    const row = await index.get('chunks', [realm, before.id]);
    if (row?.pack !== before.pack) return true;
    const pack = await index.get('packs', [realm, row.pack]);
    return pack !== undefined && pack.object !== object;
  }

  #locateIn(row: ChunkRow): Maybe<Located> {
    const open = this.#context.packs.find(row.pack);
    if (open !== undefined)
      return andThen(open.find(row.id), (place) =>
        locatedAt(row, place, { open, object: open.row.object, packBytes: 0 }),
      );
    return andThen(this.#packOf(row.pack), (pack) =>
      andThen(this.indexOf(pack), (index) =>
        locatedAt(row, index.find(row.id), { open, object: pack.object, packBytes: pack.lengthBytes }),
      ),
    );
  }

  #packOf(pack: PackId): Maybe<PackObject & { readonly isSealed: boolean }> {
    const there = this.#packObjects.get(pack);
    if (there !== undefined) return there;
    const { index, realm, idBytes } = this.#context;
    return andThen(index.get('packs', [realm, pack]), (row) => {
      if (row === undefined)
        throw new Fault('corrupt', `Pack ${pack} is named by chunks, but the metadata has no such pack.`, { pack });
      const { object, lengthBytes } = row;
      const found = { realm, pack, object, lengthBytes, idBytes, isSealed: row.state !== PACK_STATE.open };
      // An open one grows with every commit.
      if (found.isSealed) this.#packObjects.set(pack, found);
      return found;
    });
  }

  async #loadIndex(pack: PackObject & { readonly isSealed: boolean }): Promise<PackIndex> {
    const { objects, log } = this.#context;
    try {
      const sealed = pack.isSealed ? await loadIndex(objects, pack) : undefined;
      if (sealed !== undefined) return sealed.index;
      if (pack.isSealed) log.error('chunks.pack-index-damaged', { pack: pack.pack, object: pack.object });
      return await this.#walk(pack);
    } catch (error) {
      throw Fault.is(error, 'not-found') ? missingObject(pack, error) : error;
    }
  }

  async #walk(pack: PackObject): Promise<PackIndex> {
    const { objects, log } = this.#context;
    const places = await recordPlaces(objects, pack, (offset) =>
      log.error('chunks.record-damaged', { pack: pack.pack, object: pack.object, offset }),
    );
    return PackIndex.of(
      places.entries().map(([key, place]) => ({ id: idOfKey(key), ...place })),
      pack.idBytes,
    );
  }

  async #decode(located: Located, bytes: Uint8Array, depthBelow = DEPTH_BELOW): Promise<Uint8Array> {
    const header = this.#checkedHeader(located, bytes);
    if (header.depth >= depthBelow) throw damagedChunk(located, 'its base is not below it');
    const base = header.base === undefined ? undefined : await this.#baseOf(located, header.base, header.depth);
    return this.#decodeChecked(located, header, bytes, base);
  }

  #checkedHeader(located: Located, bytes: Uint8Array): RecordHeader {
    const header = readHeader(bytes);
    if (isFlaw(header)) throw damagedChunk(located, header.flaw);
    if (!isRecordWhole(bytes, 0, header)) throw damagedChunk(located, 'its record does not match its checksum');
    if (!bufferOf(header.id).equals(located.id)) throw damagedChunk(located, 'another chunk stands in its place');
    return header;
  }

  #decodeChecked(located: Located, header: RecordHeader, bytes: Uint8Array, base: Uint8Array | undefined): Uint8Array {
    let plain: Uint8Array;
    try {
      plain = decodeRecord(bytes, 0, header, base);
    } catch (error) {
      throw Fault.is(error, 'corrupt') ? damagedChunk(located, 'its record does not decode', error) : error;
    }
    if (bufferOf(this.#context.idOf(plain)).equals(located.id)) return plain;
    throw damagedChunk(located, 'its bytes do not match its id');
  }

  /** A base must have a lower depth, so there is no circle; it is read apart, so none can wait for itself. */
  async #baseOf(located: Located, base: ChunkId, depth: number): Promise<Uint8Array> {
    try {
      return this.#plain.get(keyOfId(base)) ?? (await this.#load(base, depth));
    } catch (error) {
      throw Fault.is(error, 'corrupt')
        ? damagedChunk(located, 'the chunk it is a patch against is damaged', error)
        : error;
    }
  }

  #comingOf(gathered: Gathered, passing: Passing): readonly Coming[] {
    if (gathered === 'end') return [];
    if ('group' in gathered) return this.#request(gathered.group, passing);
    const { slice, plain } = gathered.met;
    return [comingOf(slice, plain, slice.length)];
  }

  /** A fault belongs to its slice: those before it are handed out first. */
  #meet(slice: ChunkSlice): Maybe<Wanted | Met> {
    const key = keyOfId(slice.id);
    const there = this.#plain.get(key) ?? this.#ahead?.find(key);
    const plain = there === undefined ? this.#coming.get(key) : Promise.resolve(there);
    if (plain !== undefined) return { slice, plain };
    return rescue<Wanted | Met>(
      () => andThen(this.#locate(slice.id), (located) => ({ slice, located })),
      (error) => {
        if (error instanceof Fault) return { slice, plain: rejected(error) };
        throw error;
      },
    );
  }

  #request(group: readonly Wanted[], { askedBytes, isOnce }: Passing): readonly Coming[] {
    const { threads } = this.#context;
    if (threads !== undefined && askedBytes >= START_BYTES_MIN) threads.start();
    const isTogether = askedBytes >= TOGETHER_BYTES_MIN && group.every(({ located }) => !located.isPatch);
    const isLent = isTogether && threads !== undefined && threads.readyCount > 0;
    // What is large enough for threads passes once, also while they start.
    const isHere = isTogether && !isLent && (isOnce || askedBytes >= START_BYTES_MIN);
    const ahead = isLent || isHere ? undefined : this.#readingAhead(group);
    const decode = isLent ? threads.decode.bind(threads) : isHere ? this.#decodeHere.bind(this) : undefined;
    const brought = group.length === 1 || ahead !== undefined ? undefined : this.#bring(group, decode);
    brought?.catch(() => {});
    if (decode !== undefined && brought !== undefined) {
      // Not shared with other readers, because the memory is used again as soon as this one has read it.
      const weight = group.reduce((sum, { slice }) => sum + slice.length, 0);
      const back = isLent ? (decoded: Decoded) => threads.giveBack(decoded) : freeDecoded;
      return [{ pieces: this.#piecesOf(group, brought, isOnce), weight, giveBack: () => giveBack(back, brought) }];
    }
    return group.map(({ slice, located }, number) => {
      const key = keyOfId(slice.id);
      const plain = this.#coming.get(key) ?? this.#share(key, this.#plainOf(slice, located, brought ?? ahead, number));
      return comingOf(slice, plain, slice.length);
    });
  }

  /** Resolves when records of the group may have been read ahead; absent when they are to be read for themselves. */
  #readingAhead(group: readonly Wanted[]): Promise<undefined> | undefined {
    const first = group[0]?.located;
    const last = group.at(-1)?.located;
    if (first === undefined || last === undefined || first.packBytes === 0) return undefined;
    const { object, packBytes } = first;
    const run = { object, offset: first.place.offset, end: last.place.offset + last.place.length, packBytes };
    return this.#ahead?.reading(run)?.then(() => undefined);
  }

  /** Bytes of a group that a thread decodes, those side by side in its answer as one piece. Never rejects. */
  async #piecesOf(
    group: readonly Wanted[],
    brought: Promise<Brought | undefined>,
    isOnce: boolean,
  ): Promise<Maybe<Uint8Array>[]> {
    const together = await brought.catch(() => undefined);
    const decoded = together !== undefined && 'decoded' in together ? together.decoded : undefined;
    const pieces: Maybe<Uint8Array>[] = [];
    let run: { readonly at: number; end: number } | undefined;
    for (const [number, { slice, located }] of group.entries()) {
      const place = decoded && placeAt(decoded, number);
      if (decoded === undefined || place === undefined || slice.offset + slice.length > place.length) {
        run = undefined;
        pieces.push(handled(this.#plainOf(slice, located, brought, number).then((plain) => sliceOf(plain, slice))));
        continue;
      }
      // Somebody who reads a part of a chunk comes for the rest soon; whole ones pass by once. Of what is read once only
      // the ends are parts of chunks: to decode these again is less than what they would take of the cache.
      if (slice.length < place.length && !isOnce)
        this.#cache(keyOfId(slice.id), decoded.plain.slice(place.at, place.at + place.length));
      const at = place.at + slice.offset;
      if (run?.end === at) pieces.pop();
      else run = { at, end: at };
      run.end = at + slice.length;
      pieces.push(decoded.plain.subarray(run.at, run.end));
    }
    return pieces;
  }

  /** What a thread does, in this turn. */
  #decodeHere({ bytes, wanted }: DecodeNamed): Decoded {
    const plain = decodeRequest({ bytes, ...wanted, idOf: this.#context.idOf });
    if (plain.buffer !== bytes.buffer) bytes.buffer.transfer(0);
    // No Buffer: whose `slice` would not be a copy.
    return { plain: new Uint8Array(plain.buffer), ...wanted, endBytes: 0 };
  }

  /** One request for all records of a group, decoded together where somebody can. */
  async #bring(
    group: readonly Wanted[],
    decode: ((wanted: DecodeNamed) => Maybe<Decoded | undefined>) | undefined,
  ): Promise<Brought | undefined> {
    const [first] = group;
    const last = group.at(-1);
    assert(first !== undefined && last !== undefined, 'a group has a member');
    const from = first.located.place.offset;
    const place = { offset: from, length: last.located.place.offset + last.located.place.length - from };
    const bytes = await this.#fetch({ ...first.located, place });
    const { objects } = this.#context;
    // What a pack that is still gathered in memory answers is its own memory, and not to be given away.
    const isOwn = ownsBuffer(bytes) && (first.located.open === undefined || objects.abilities.append);
    if (decode === undefined || !isOwn) return { bytes, from };
    const table = tableOf(group, from);
    const ids = Buffer.allocUnsafeSlow(group.length * this.#context.idBytes);
    for (const [number, { slice }] of group.entries()) ids.set(slice.id, number * this.#context.idBytes);
    const decoded = await decode({ bytes, wanted: { table, ids } });
    if (decoded !== undefined) return { decoded };
    // When a thread dies the bytes are gone with it.
    return bytes.length > 0 ? { bytes, from } : undefined;
  }

  async #plainOf(
    slice: ChunkSlice,
    located: Located,
    coming: Promise<Brought | undefined> | undefined,
    number: number,
  ): Promise<Uint8Array> {
    const together = await coming?.catch(() => undefined);
    // What a thread has marked is read again for itself: then the fault is the same whoever saw it first.
    if (together !== undefined && 'decoded' in together)
      return plainAt(together.decoded, number) ?? (await this.#load(slice.id));
    const key = keyOfId(slice.id);
    const ahead = together === undefined ? this.#ahead?.find(key) : undefined;
    if (ahead !== undefined) return ahead;
    // A request that failed as a whole is made again for each record: then the fault names the right one.
    const plain =
      together === undefined
        ? await this.#load(slice.id, DEPTH_BELOW, located)
        : ((await this.#decodeIn(together, located)) ?? (await this.#load(slice.id)));
    // Somebody who reads a part of a chunk comes for the rest soon; of whole ones most pass by once.
    if (slice.length < plain.length || this.#isReadAgain(key)) this.#cache(key, plain);
    return plain;
  }

  #isReadAgain(key: string): boolean {
    const isAgain = this.#readOnce.get(key) === true;
    if (!isAgain) this.#readOnce.set(key, true);
    return isAgain;
  }

  /** Undefined when it is damaged: it is read again alone, which finds out whether it was healed since it was located. */
  async #decodeIn(
    { bytes, from }: { bytes: Uint8Array; from: number },
    located: Located,
  ): Promise<Uint8Array | undefined> {
    const at = located.place.offset - from;
    try {
      return await this.#decode(located, bytes.subarray(at, at + located.place.length));
    } catch (error) {
      if (Fault.is(error, 'corrupt')) return undefined;
      throw error;
    }
  }
}

function giveBack(back: (decoded: Decoded) => void, brought: Promise<Brought | undefined>): void {
  void brought.then(
    (together) => {
      if (together !== undefined && 'decoded' in together) back(together.decoded);
    },
    () => {},
  );
}

/** Without waiting for the collector. */
function freeDecoded({ plain }: Decoded): void {
  plain.buffer.transfer(0);
}

function ownsBuffer(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer && bytes.length === bytes.buffer.byteLength;
}

/** Where the records of a group are in the bytes of its request; see decodeRequest. */
function tableOf(group: readonly Wanted[], from: number): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(group.length * TABLE_FIELDS);
  for (const [number, { located }] of group.entries())
    table.set([located.place.offset - from, located.place.length], number * TABLE_FIELDS);
  return table;
}

/** Undefined for a record that the thread could not vouch for. */
function placeAt({ table }: Decoded, number: number): { readonly at: number; readonly length: number } | undefined {
  const at = table[number * TABLE_FIELDS] ?? UNDECODED;
  return at === UNDECODED ? undefined : { at, length: table[number * TABLE_FIELDS + 1] ?? 0 };
}

function plainAt(decoded: Decoded, number: number): Uint8Array | undefined {
  const place = placeAt(decoded, number);
  return place && decoded.plain.subarray(place.at, place.at + place.length);
}

function comingOf(slice: ChunkSlice, plain: Promise<Uint8Array>, weight: number): Coming {
  const pieces = [handled(plain.then((bytes) => sliceOf(bytes, slice)))];
  return { pieces: Promise.resolve(pieces), weight };
}

/** A rejection is met by whoever asks for the piece; it must not count as unhandled before. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

function locatedAt(
  { id, pack, depth }: ChunkRow,
  place: Place | undefined,
  where: Pick<Located, 'open' | 'object' | 'packBytes'>,
): Located {
  const located = { id, pack, place: place ?? { offset: 0, length: 0 }, isPatch: depth > 0, ...where };
  if (place === undefined) throw damagedChunk(located, 'its record is not in the pack that the index names');
  return located;
}

function sliceOf(plain: Uint8Array, slice: ChunkSlice): Uint8Array {
  if (slice.offset === 0 && slice.length === plain.length) return plain;
  if (slice.offset + slice.length <= plain.length) return plain.subarray(slice.offset, slice.offset + slice.length);
  throw new Fault('corrupt', 'A file names more bytes of a chunk than the chunk has.', {
    chunk: hexOf(slice.id),
    chunkBytes: plain.length,
    offset: slice.offset,
    length: slice.length,
  });
}

function rejected(fault: Fault): Promise<never> {
  return handled(Promise.reject(fault));
}

function missingChunk(id: ChunkId): Fault {
  const sentence =
    'A chunk is not in the index. If the index was lost, `holdfast check --rebuild-index` writes it anew from the packs.';
  return new Fault('corrupt', sentence, { chunk: hexOf(id), damage: 'chunk-missing' });
}

function missingObject(pack: { readonly pack: PackId; readonly object: string }, cause: unknown): Fault {
  const sentence = `Pack ${pack.pack} is gone: there is no object ${pack.object}. Restore it from a copy.`;
  return new Fault('corrupt', sentence, { pack: pack.pack, object: pack.object, damage: 'pack-missing' }, cause);
}

function damagedChunk(located: Located, why: string, cause?: unknown): Fault {
  const { pack, object, place } = located;
  const chunk = hexOf(located.id);
  return new Fault(
    'corrupt',
    `A chunk is damaged: ${why} (pack ${pack}, object ${object}, offset ${place.offset}).`,
    { chunk, pack, object, offset: place.offset, damage: 'chunk-damaged' },
    cause,
  );
}
