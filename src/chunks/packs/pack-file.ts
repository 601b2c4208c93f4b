/**
 * Reading packs as objects: the index of a sealed one, and the walk from record to record that works without any index.
 * The walk steps over damage: behind a header that is not one it looks for the next that is, so that one flipped bit
 * costs one record. Nothing here decides what a damage means; it is answered as data.
 */
import { Fault } from '../../base/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import { bufferOf } from '../hashes/content-hash.ts';
import { keyOfId } from '../hashes/ids.ts';
import {
  INDEX_MAGIC,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
  type PackFooter,
  type PackIdentity,
  PackIndex,
  type Place,
  readFooter,
} from './pack-format.ts';
import {
  isFlaw,
  isRecordWhole,
  RECORD_HEADER_BYTES_MAX,
  RECORD_MAGIC,
  type RecordHeader,
  readHeader,
} from './record.ts';

/** Bytes a walk reads at once. */
const WALK_BYTES = 1024 * 1024;
/** Footer and index are read together when the index is not larger than this. */
const TAIL_BYTES = 128 * 1024;
/** No honest record is longer: the largest chunk there may be, and its header. */
export const RECORD_BYTES_MAX = 16 * 1024 * 1024 + RECORD_HEADER_BYTES_MAX;

const MAGIC_BYTES = Buffer.alloc(4);
MAGIC_BYTES.writeUInt32LE(RECORD_MAGIC);

/** One object that holds a pack. */
export interface PackObject extends PackIdentity {
  readonly object: string;
  /** Bytes that count; what lies behind is not looked at. */
  readonly lengthBytes: number;
}

export interface SealedIndex {
  readonly index: PackIndex;
  readonly footer: PackFooter;
}

/**
 * The index as it stands in a sealed pack; `undefined` when it or the footer is damaged.
 * @throws Fault `not-found` and whatever the backend throws.
 */
export async function loadIndex(objects: ObjectStore, pack: PackObject): Promise<SealedIndex | undefined> {
  const tailLength = Math.min(TAIL_BYTES, pack.lengthBytes);
  const tailAt = pack.lengthBytes - tailLength;
  const tail = await getRange(objects, pack.object, tailAt, tailLength);
  if (tail === undefined || tailLength < PACK_FOOTER_BYTES) return undefined;
  const footer = readFooter(tail.subarray(tailLength - PACK_FOOTER_BYTES), pack);
  if (footer === undefined) return undefined;
  if (footer.indexOffset + footer.indexLength !== pack.lengthBytes - PACK_FOOTER_BYTES) return undefined;
  const bytes =
    footer.indexOffset >= tailAt
      ? // A copy, so that the cache holds the index and not the whole tail.
        tail.slice(footer.indexOffset - tailAt, tailLength - PACK_FOOTER_BYTES)
      : await getRange(objects, pack.object, footer.indexOffset, footer.indexLength);
  const index = bytes && PackIndex.read(bytes, pack.idBytes);
  return index?.count === footer.entryCount ? { index, footer } : undefined;
}

/** `undefined` when the object ends before the range does. */
export async function getRange(
  objects: Pick<ObjectStore, 'get'>,
  object: string,
  offset: number,
  length: number,
): Promise<Uint8Array | undefined> {
  try {
    return await objects.get(object, { offset, length });
  } catch (error) {
    if (Fault.is(error, 'range')) return undefined;
    throw error;
  }
}

export type Step =
  | {
      readonly kind: 'record';
      readonly offset: number;
      readonly header: RecordHeader;
      /** Holds the record at `at`; valid until the next step is asked for. */
      readonly bytes: Uint8Array;
      readonly at: number;
    }
  | { readonly kind: 'damage'; readonly offset: number; readonly length: number; readonly flaw: string };

/** Walks the records of a pack up to its index (sealed) or to the end of what counts (open). */
export async function* walkRecords(
  objects: Pick<ObjectStore, 'get'>,
  pack: PackObject,
  from = PACK_HEADER_BYTES,
  to = pack.lengthBytes,
): AsyncGenerator<Step> {
  const window = new Window(objects, pack.object, to);
  let offset = from;
  while (offset < to) {
    if (!(await window.load(offset, Math.min(RECORD_HEADER_BYTES_MAX, to - offset)))) {
      yield { kind: 'damage', offset, length: to - offset, flaw: 'the object ends before it' };
      return;
    }
    const at = offset - window.offset;
    const header = readHeader(window.bytes, at);
    if (isFlaw(header)) {
      if (window.bytes.length - at >= 4 && window.bytes.readUInt32LE(at) === INDEX_MAGIC) return;
      const next = await nextRecord(window, offset + 1, to);
      yield { kind: 'damage', offset, length: next - offset, flaw: header.flaw };
      offset = next;
      continue;
    }
    if (offset + header.recordLength > to || !(await window.load(offset, header.recordLength))) {
      yield { kind: 'damage', offset, length: to - offset, flaw: 'it ends before its stored bytes do' };
      return;
    }
    yield { kind: 'record', offset, header, bytes: window.bytes, at: offset - window.offset };
    offset += header.recordLength;
  }
}

/**
 * Where the records of a pack lie, by the map key of their ids. Of several records of one chunk the last whole one
 * counts (that is the one that healed it); one that is not whole counts only where there is no other.
 */
export async function recordPlaces(
  objects: ObjectStore,
  pack: PackObject,
  onDamage?: (offset: number) => void,
): Promise<Map<string, Place>> {
  const places = new Map<string, Place>();
  for await (const step of walkRecords(objects, pack)) {
    if (step.kind === 'damage') {
      onDamage?.(step.offset);
      continue;
    }
    const key = keyOfId(step.header.id);
    if (places.has(key) && !isRecordWhole(step.bytes, step.at, step.header)) continue;
    places.set(key, { offset: step.offset, length: step.header.recordLength });
  }
  return places;
}

/** Where the next good header stands, or the index, or the end. */
async function nextRecord(window: Window, from: number, to: number): Promise<number> {
  let offset = from;
  while (offset < to) {
    if (!(await window.load(offset, Math.min(RECORD_HEADER_BYTES_MAX, to - offset)))) return to;
    const at = window.bytes.indexOf(MAGIC_BYTES, offset - window.offset);
    if (at < 0) {
      offset = Math.max(offset + 1, window.offset + window.bytes.length - MAGIC_BYTES.length + 1);
      continue;
    }
    const found = window.offset + at;
    if (!(await window.load(found, Math.min(RECORD_HEADER_BYTES_MAX, to - found)))) return to;
    const header = readHeader(window.bytes, found - window.offset);
    if (!isFlaw(header) && found + header.recordLength <= to) return found;
    offset = found + 1;
  }
  return to;
}

/** A stretch of an object in memory that moves forward. */
class Window {
  readonly #objects: Pick<ObjectStore, 'get'>;
  readonly #object: string;
  readonly #end: number;
  bytes: Buffer = Buffer.alloc(0);
  offset = 0;

  constructor(objects: Pick<ObjectStore, 'get'>, object: string, end: number) {
    this.#objects = objects;
    this.#object = object;
    this.#end = end;
  }

  /** Makes sure that `length` bytes from `offset` are there; false when the object is too short. */
  async load(offset: number, length: number): Promise<boolean> {
    if (offset >= this.offset && offset + length <= this.offset + this.bytes.length) return true;
    if (offset + length > this.#end || length > RECORD_BYTES_MAX) return false;
    const wanted = Math.min(Math.max(length, WALK_BYTES), this.#end - offset);
    const bytes =
      (await getRange(this.#objects, this.#object, offset, wanted)) ??
      (await getRange(this.#objects, this.#object, offset, length));
    if (bytes === undefined) return false;
    this.bytes = bufferOf(bytes);
    this.offset = offset;
    return true;
  }
}
