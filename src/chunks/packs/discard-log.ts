/**
 * The discard log: which chunks a collection has taken out of the index, pack by pack, written after that is committed.
 * It is a hint and nothing else: whoever finds one knows which packs an earlier collection was at when it ended, and
 * looks at those first; whether a record is needed only the index says. docs/formats/discard.md.
 *
 *   frame   u32 "HFdc", u16 version, u8 id length, u8 0, u64 realm, u64 pack, u64 seconds, u32 count, u32 0,
 *           ids, u64 XXH3-64 of everything in the frame before
 *
 * One object a collection, made with its first frame. The setting `gc.discard_checkpoint` names it and says up to where
 * its packs are done with; it is written before the object's first byte and goes with the object when all are.
 */
import { equalBytes, Fault, hexOf, type Random } from '../../base/index.ts';
import type { Change, ChunkId, Delete, MetaReader, PackId, Put, RealmId } from '../../meta/index.ts';
import type { Appender, ObjectStore } from '../../objects/index.ts';
import { bufferOf, xxh3Of } from '../hashes/content-hash.ts';

export const DISCARD_FOLDER = 'discards/';
export const DISCARD_CHECKPOINT = 'gc.discard_checkpoint';
const DISCARD_MAGIC = 0x63644648; // "HFdc"
const DISCARD_VERSION = 1;
const HEAD_BYTES = 40;
const CHECKSUM_BYTES = 8;
const NAME_BYTES = 16;
/** A log that is longer was written by a collection of a hundred million chunks; its rest is not read. */
const LOG_BYTES_MAX = 64 * 1024 * 1024;

export interface DiscardFrame {
  readonly realm: RealmId;
  readonly pack: PackId;
  readonly seconds: number;
  readonly ids: readonly ChunkId[];
}

export function encodeDiscard(frame: DiscardFrame, idBytes: number): Uint8Array {
  const bytes = Buffer.alloc(HEAD_BYTES + frame.ids.length * idBytes + CHECKSUM_BYTES);
  bytes.writeUInt32LE(DISCARD_MAGIC, 0);
  bytes.writeUInt16LE(DISCARD_VERSION, 4);
  bytes.writeUInt8(idBytes, 6);
  bytes.writeBigUInt64LE(BigInt(frame.realm), 8);
  bytes.writeBigUInt64LE(BigInt(frame.pack), 16);
  bytes.writeBigUInt64LE(BigInt(frame.seconds), 24);
  bytes.writeUInt32LE(frame.ids.length, 32);
  for (const [number, id] of frame.ids.entries()) bytes.set(id, HEAD_BYTES + number * idBytes);
  const end = bytes.length - CHECKSUM_BYTES;
  bytes.set(xxh3Of(bytes.subarray(0, end)).reverse(), end);
  return bytes;
}

/** Frames from `at` on, up to the end or the first that is torn. */
export function* readDiscards(log: Uint8Array, at = 0): Generator<DiscardFrame & { readonly end: number }> {
  const bytes = bufferOf(log);
  while (at + HEAD_BYTES + CHECKSUM_BYTES <= bytes.length) {
    if (bytes.readUInt32LE(at) !== DISCARD_MAGIC || bytes.readUInt16LE(at + 4) !== DISCARD_VERSION) return;
    const idBytes = bytes.readUInt8(at + 6);
    const count = bytes.readUInt32LE(at + 32);
    const checked = at + HEAD_BYTES + count * idBytes;
    const end = checked + CHECKSUM_BYTES;
    if (end > bytes.length) return;
    if (!equalBytes(xxh3Of(bytes.subarray(at, checked)).reverse(), bytes.subarray(checked, end))) return;
    const ids = Array.from({ length: count }, (_, number) => {
      const idAt = at + HEAD_BYTES + number * idBytes;
      return bytes.subarray(idAt, idAt + idBytes);
    });
    const [realm, pack, seconds] = [8, 16, 24].map((field) => Number(bytes.readBigUInt64LE(at + field)));
    yield { realm: realm ?? 0, pack: pack ?? 0, seconds: seconds ?? 0, ids, end };
    at = end;
  }
}

export interface DiscardLogContext {
  readonly objects: ObjectStore;
  readonly index: Pick<MetaReader, 'get'>;
  readonly random: Random;
  readonly idBytes: number;
  readonly commit: (parts: Pick<Change, 'puts' | 'deletes'>) => Promise<void>;
}

interface Checkpoint {
  readonly object: string;
  readonly offset: number;
}

export class DiscardLog implements AsyncDisposable {
  readonly #context: DiscardLogContext;
  readonly #leftBehind: Checkpoint | undefined;
  #object: string | undefined;
  #appender: Appender | undefined;

  private constructor(context: DiscardLogContext, leftBehind: Checkpoint | undefined) {
    this.#context = context;
    this.#leftBehind = leftBehind;
  }

  static async open(context: DiscardLogContext): Promise<DiscardLog> {
    const row = await context.index.get('settings', [DISCARD_CHECKPOINT]);
    return new DiscardLog(context, row && checkpointOf(row.value));
  }

  /** Whether this is the log being written; one that was left behind is garbage like any other. */
  isWriting(object: string): boolean {
    return object === this.#object;
  }

  /** Packs that a collection that was cut off had begun with. Anything odd about the log means none. */
  async begunPacks(realm: RealmId): Promise<ReadonlySet<PackId>> {
    const packs = new Set<PackId>();
    if (this.#leftBehind === undefined) return packs;
    const { object, offset } = this.#leftBehind;
    const info = await this.#context.objects.head(object);
    if (info === undefined || info.lengthBytes <= offset) return packs;
    const length = Math.min(LOG_BYTES_MAX, info.lengthBytes - offset);
    const log = await this.#context.objects.get(object, { offset, length });
    for (const frame of readDiscards(log)) if (frame.realm === realm) packs.add(frame.pack);
    return packs;
  }

  /** Notes what is out of the index, and durably so. Where the place for objects cannot append, nothing is noted. */
  async append(frame: DiscardFrame): Promise<void> {
    const { objects, idBytes } = this.#context;
    if (!objects.abilities.append) return;
    this.#appender ??= await this.#begin();
    const appender = this.#appender;
    await appender.append([encodeDiscard(frame, idBytes)]);
    await appender.sync();
  }

  async #begin(): Promise<Appender> {
    const { objects, random, commit } = this.#context;
    const object = `${DISCARD_FOLDER}${hexOf(random.bytes(NAME_BYTES))}`;
    this.#object = object;
    await commit({ puts: [checkpointPut({ object, offset: 0 })] });
    return await objects.append(object, 0);
  }

  /** Goes into the commit after which nothing is left to do of all that was noted so far. */
  checkpoint(): readonly Put[] {
    if (this.#object === undefined || this.#appender === undefined) return [];
    return [checkpointPut({ object: this.#object, offset: this.#appender.lengthBytes })];
  }

  /** Everything noted is done: the log goes, and the setting. */
  async end(): Promise<void> {
    await this[Symbol.asyncDispose]();
    if (this.#object === undefined && this.#leftBehind === undefined) return;
    const gone: Delete = { table: 'settings', key: [DISCARD_CHECKPOINT] };
    await this.#context.commit({ deletes: [gone] });
    if (this.#object !== undefined) await this.#context.objects.delete(this.#object);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const appender = this.#appender;
    this.#appender = undefined;
    await appender?.close();
  }
}

function checkpointPut({ object, offset }: Checkpoint): Put {
  return { table: 'settings', mode: 'replace', row: { name: DISCARD_CHECKPOINT, value: `${object} ${offset}` } };
}

function checkpointOf(value: string): Checkpoint {
  const [object = '', offset = ''] = value.split(' ');
  if (object.startsWith(DISCARD_FOLDER) && /^\d+$/.test(offset)) return { object, offset: Number(offset) };
  throw new Fault(
    'corrupt',
    `The setting ${DISCARD_CHECKPOINT} says ${JSON.stringify(value)}, which is no place in a log.`,
    {
      setting: DISCARD_CHECKPOINT,
    },
  );
}
