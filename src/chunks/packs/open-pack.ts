/**
 * One pack that still takes records: its appender, where its records lie, how much of it is durable.
 * In a backend without `append` the records gather in memory and the whole pack is put, sealed, at the next sync: then
 * a pack is as large as what was written between two syncs, and nothing of it counts before.
 *
 * An append that fails may have torn the object's end: the appender is opened anew at the last good byte, and only the
 * records of that append are lost. A sync that fails leaves unknown what the disk has, so the pack takes no more.
 */
import { andThen, assert, type Maybe } from '../../base/index.ts';
import { type ChunkId, PACK_STATE, type PackRow } from '../../meta/index.ts';
import type { Appender, ObjectStore } from '../../objects/index.ts';
import { idOfKey, keyOfId } from '../hashes/ids.ts';
import { recordPlaces } from './pack-file.ts';
import {
  encodeFooter,
  encodePackHeader,
  type IndexEntry,
  PACK_HEADER_BYTES,
  PackIndex,
  type Place,
} from './pack-format.ts';

/** A record among the bytes of one append. */
export interface NewPlace {
  /** Map key of the chunk's id. */
  readonly key: string;
  /** Bytes from the start of the append. */
  readonly offset: number;
  readonly length: number;
  /** Takes the place of a damaged record of the same chunk, which may stand in this very pack. */
  readonly isHeal: boolean;
}

/** What one sync made durable. */
export interface Durable {
  readonly lengthBytes: number;
  readonly recordCount: number;
  readonly isSealed: boolean;
}

/** What all packs of a store share. */
export interface PackContext {
  readonly objects: ObjectStore;
  readonly idBytes: number;
}

export class OpenPack {
  readonly row: PackRow;
  /** What was found out about its records since it was opened; undefined for nothing, then the row stays as it is. */
  verifiedSeconds: number | undefined;
  readonly #context: PackContext;
  readonly #places = new Map<string, Place>();
  /** Records of an earlier process, walked when somebody needs them. */
  #earlier: Maybe<ReadonlyMap<string, Place>> | undefined;
  #appender: Appender | undefined;
  /** Without `append`: what will be put. */
  #gathered: Uint8Array[] = [];
  #appendedBytes: number;
  #recordCount: number;
  #durable: Durable;
  #index: PackIndex | undefined;
  #isClosed = false;
  #fault: unknown;

  /** `row` as it is in the metadata: open, and of this process. */
  constructor(context: PackContext, row: PackRow) {
    this.#context = context;
    this.row = row;
    this.#appendedBytes = row.lengthBytes;
    this.#recordCount = row.recordCount;
    this.#durable = { lengthBytes: row.lengthBytes, recordCount: row.recordCount, isSealed: false };
  }

  /** Bytes that reads may ask for. */
  get appendedBytes(): number {
    return this.#appendedBytes;
  }

  get unsyncedBytes(): number {
    return this.#fault === undefined ? this.#appendedBytes - this.#durable.lengthBytes : 0;
  }

  get durable(): Durable {
    return this.#durable;
  }

  /** Takes no more records: it is sealed or about to be, or lost. */
  get isClosed(): boolean {
    return this.#isClosed || this.#fault !== undefined;
  }

  /** Why it takes no more records and what is not durable of it is lost; undefined while all is well. */
  get fault(): unknown {
    return this.#fault;
  }

  /** Gets ready to append. @throws the backend's faults; `corrupt` when durable bytes of it are gone. */
  async open(): Promise<void> {
    if (!this.#context.objects.abilities.append) return;
    this.#appender = await this.#context.objects.append(this.row.object, this.#appendedBytes);
  }

  /** Adds records; they can be read when it resolves. Answers the offset of the first part. One call at a time. */
  async append(parts: readonly Uint8Array[], places: readonly NewPlace[]): Promise<number> {
    assert(!this.isClosed, 'a closed pack takes no records', { pack: this.row.pack });
    const isFirst = this.#appendedBytes === 0;
    const at = isFirst ? PACK_HEADER_BYTES : this.#appendedBytes;
    await this.#write(isFirst ? [this.#header(), ...parts] : parts);
    for (const { key, offset, length, isHeal } of places)
      if (isHeal || !this.#places.has(key)) this.#places.set(key, { offset: at + offset, length });
    this.#recordCount += places.length;
    return at;
  }

  /** Writes index and footer. */
  async seal(): Promise<void> {
    // From here on, before anything is awaited: what came later would stand behind the index.
    this.#isClosed = true;
    const index = PackIndex.of(await this.entries(), this.#context.idBytes);
    const footer = this.#footer(index);
    await this.#write([index.bytes, footer]);
    this.#index = index;
  }

  /** Makes all that was appended before the call durable; a fault is final. */
  async sync(): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault;
    try {
      if (this.#appender === undefined) return await this.#putWhole();
      const durable = {
        lengthBytes: this.#appendedBytes,
        recordCount: this.#recordCount,
        isSealed: this.#index !== undefined,
      };
      await this.#appender.sync();
      this.#durable = durable;
    } catch (error) {
      this.#fault ??= error;
      throw error;
    }
  }

  /** The index of a sealed pack. */
  get index(): PackIndex | undefined {
    return this.#index;
  }

  /** Absent is an answer. */
  find(id: ChunkId): Maybe<Place | undefined> {
    const key = keyOfId(id);
    return this.#places.get(key) ?? andThen(this.#earlierPlaces(), (earlier) => earlier.get(key));
  }

  /** Bytes of the pack, appended ones included. */
  async get(place: Place): Promise<Uint8Array> {
    if (this.#context.objects.abilities.append || this.#durable.isSealed)
      return await this.#context.objects.get(this.row.object, place);
    const whole = this.#joined();
    return whole.subarray(place.offset, place.offset + place.length);
  }

  /** The same where it is to be had in this turn. */
  getNow(place: Place): Uint8Array | undefined {
    return this.#context.objects.getNow?.(this.row.object, place);
  }

  /** The row as it may be committed now. */
  rowNow(): PackRow {
    const { lengthBytes, recordCount, isSealed } = this.#durable;
    const state = isSealed ? PACK_STATE.sealed : PACK_STATE.open;
    return { ...this.row, lengthBytes, recordCount, state, owner: isSealed ? '' : this.row.owner };
  }

  async close(): Promise<void> {
    const appender = this.#appender;
    this.#appender = undefined;
    await appender?.close();
  }

  async #write(parts: readonly Uint8Array[]): Promise<void> {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (this.#appender === undefined) {
      // Copied: the caller's memory is used again.
      this.#gathered.push(...parts.map((part) => part.slice()));
    } else {
      await this.#appendSafely(this.#appender, parts);
    }
    this.#appendedBytes += length;
  }

  async #appendSafely(appender: Appender, parts: readonly Uint8Array[]): Promise<void> {
    try {
      await appender.append(parts);
    } catch (error) {
      await this.#reopen(error);
      throw error;
    }
  }

  /** Drops the torn end, so that the records before it can still be made durable. */
  async #reopen(cause: unknown): Promise<void> {
    try {
      await this.#appender?.close();
      this.#appender = await this.#context.objects.append(this.row.object, this.#appendedBytes);
    } catch {
      this.#fault ??= cause;
    }
  }

  async #putWhole(): Promise<void> {
    if (this.#appendedBytes === 0 || this.#durable.isSealed) return;
    if (this.#index === undefined) await this.seal();
    const whole = this.#joined();
    await this.#context.objects.put(this.row.object, whole);
    this.#durable = { lengthBytes: whole.length, recordCount: this.#recordCount, isSealed: true };
    this.#gathered = [];
  }

  #joined(): Uint8Array {
    if (this.#gathered.length > 1) this.#gathered = [Buffer.concat(this.#gathered)];
    return this.#gathered[0] ?? new Uint8Array(0);
  }

  /** Records that may be read, in no order. */
  async entries(): Promise<IndexEntry[]> {
    const all = new Map([...(await this.#earlierPlaces()), ...this.#places]);
    return [...all].map(([key, place]) => ({ id: idOfKey(key), ...place }));
  }

  #earlierPlaces(): Maybe<ReadonlyMap<string, Place>> {
    if (this.#earlier !== undefined) return this.#earlier;
    if (this.row.lengthBytes === 0) return NOTHING_EARLIER;
    const walk = this.#walkEarlier();
    this.#earlier = walk;
    return walk.then((places) => (this.#earlier = places));
  }

  /** Records that stood here when this process took the pack over. */
  async #walkEarlier(): Promise<ReadonlyMap<string, Place>> {
    const { object, lengthBytes, realm, pack } = this.row;
    const { objects, idBytes } = this.#context;
    return await recordPlaces(objects, { object, lengthBytes, realm, pack, idBytes });
  }

  #header(): Uint8Array {
    return encodePackHeader({ realm: this.row.realm, pack: this.row.pack, idBytes: this.#context.idBytes });
  }

  #footer(index: PackIndex): Uint8Array {
    const { realm, pack } = this.row;
    const place = { indexOffset: this.#appendedBytes, indexLength: index.bytes.length, entryCount: index.count };
    return encodeFooter({ realm, pack, idBytes: this.#context.idBytes }, place);
  }
}

const NOTHING_EARLIER: ReadonlyMap<string, Place> = new Map();
