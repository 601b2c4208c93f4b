/**
 * Chunks that are damaged or missing, stored anew from a second copy of their bytes: runs of bytes that are cut as any
 * content is, or single chunks as another store has them. Nothing of a copy is believed: the id of every candidate is
 * made anew with this store's key, and only bytes with the id of a wanted chunk are taken. So a copy may be damaged
 * itself, have other keys, or other files altogether. Where ids are no proof (xxh3-128) nothing is repaired.
 *
 * A repaired chunk is one record appended to the open pack; its row names it in a commit that comes after the record is
 * durable and expects the row to be as it was read. A repair that is cut off has repaired what it has.
 */
import { type Clock, Fault, hexOf, type Log, type Maybe } from '../../base/index.ts';
import type { Change, ChunkId, ChunkRow, MetaReader, Put, RealmId } from '../../meta/index.ts';
import type { ChunkFormat, RepairCandidate, RepairOptions } from '../chunk-store.ts';
import { newChunker } from '../cutting/chunker.ts';
import { bufferOf } from '../hashes/content-hash.ts';
import { type IdHasher, keyOfId } from '../hashes/ids.ts';
import { type Step, walkRecords } from '../packs/pack-file.ts';
import type { PackWriter } from '../packs/pack-writer.ts';
import { CODEC, decodeRecord, encodeRecord, isRecordWhole } from '../packs/record.ts';
import { breath } from './stats.ts';

/** Chunks whose rows one commit writes. */
const STEP_CHUNKS = 64;
const LEVEL = 1;

export interface RepairContext {
  readonly realm: RealmId;
  readonly format: ChunkFormat;
  readonly secret: Uint8Array;
  readonly idOf: IdHasher;
  readonly index: Pick<MetaReader, 'get'>;
  readonly packs: PackWriter;
  readonly clock: Clock;
  readonly log: Log;
  readonly commit: (change: Change) => Promise<unknown>;
  /** Nothing that was known of the chunk is true any more. */
  readonly onRepaired: (id: ChunkId) => void;
}

/** Answers the wanted chunks that are whole now, or would be. */
export async function repairChunks(context: RepairContext, options: RepairOptions): Promise<readonly ChunkId[]> {
  if (context.format.idAlgorithm === 'xxh3-128') {
    const sentence =
      'The ids of this store (xxh3-128) are no proof of what bytes are, so none are taken from elsewhere. Put the files again.';
    throw new Fault('unsupported', sentence, {});
  }
  const repair = new Repair(context, options);
  for await (const candidate of options.candidates) {
    if (repair.isDone) break;
    await repair.take(candidate);
  }
  await repair.flush();
  return repair.repaired;
}

class Repair {
  readonly #context: RepairContext;
  readonly #options: RepairOptions;
  readonly #wanted: Map<string, ChunkId>;
  #waiting: { readonly id: ChunkId; readonly plain: Uint8Array }[] = [];
  readonly repaired: ChunkId[] = [];

  constructor(context: RepairContext, options: RepairOptions) {
    this.#context = context;
    this.#options = options;
    this.#wanted = new Map(options.wanted.map((id) => [keyOfId(id), id]));
  }

  get isDone(): boolean {
    return this.#wanted.size === 0;
  }

  async take(candidate: RepairCandidate): Promise<void> {
    if (candidate.kind === 'chunk') await this.#offer(candidate.bytes);
    else await this.#cut(candidate.bytes);
    this.#checkSignal();
  }

  /** As a writer of content would cut it. */
  async #cut(bytes: AsyncIterable<Uint8Array>): Promise<void> {
    const chunker = newChunker(this.#context.format, this.#context.secret);
    const { window } = chunker;
    let filled = 0;
    const cutWhile = async (lengthMin: number): Promise<void> => {
      let at = 0;
      while (filled - at >= lengthMin) {
        const length = chunker.cut(at, filled - at);
        await this.#offer(window.subarray(at, at + length));
        at += length;
      }
      window.copyWithin(0, at, filled);
      filled -= at;
    };
    for await (const piece of bytes) {
      for (let from = 0; from < piece.length; ) {
        const taken = Math.min(piece.length - from, window.length - filled);
        window.set(piece.subarray(from, from + taken), filled);
        filled += taken;
        from += taken;
        if (filled === window.length) await cutWhile(this.#context.format.chunkBytesMax);
      }
      this.#checkSignal();
    }
    await cutWhile(1);
  }

  async #offer(plain: Uint8Array): Promise<void> {
    if (plain.length === 0) return;
    const key = keyOfId(this.#context.idOf(plain));
    const id = this.#wanted.get(key);
    if (id === undefined) return;
    this.#wanted.delete(key);
    this.#waiting.push({ id, plain: plain.slice() });
    if (this.#waiting.length >= STEP_CHUNKS) await this.flush();
  }

  async flush(): Promise<void> {
    const chunks = this.#waiting.splice(0);
    if (chunks.length > 0 && this.#options.isDryRun !== true) await this.#store(chunks);
    else this.repaired.push(...chunks.map(({ id }) => id));
  }

  async #store(chunks: readonly { readonly id: ChunkId; readonly plain: Uint8Array }[]): Promise<void> {
    const { realm, index, packs, commit, clock, log, onRepaired } = this.#context;
    const puts: { readonly put: Put; readonly before: ChunkRow }[] = [];
    for (const { id, plain } of chunks) {
      const before = await index.get('chunks', [realm, id]);
      if (before === undefined) continue;
      const record = encodeRecord({ realm, id, plainLength: plain.length }, plain, LEVEL);
      const place = { key: keyOfId(id), offset: 0, length: record.length, isHeal: true };
      const { pack } = await packs.append({ parts: [record], places: [place], lengthBytes: record.length });
      const fresh = { pack: pack.row.pack, plainLength: plain.length, storedLength: record.length };
      const row: ChunkRow = { ...before, ...fresh, base: null, depth: 0 };
      puts.push({ put: { table: 'chunks', mode: 'replace', row }, before });
    }
    await packs.sync();
    for (const change of await packs.changes()) await commit(change);
    for (const { put, before } of puts) {
      const key = [realm, before.id] as const;
      const equals = { pack: before.pack };
      await commit({ now: clock.now(), expects: [{ kind: 'row', table: 'chunks', key, equals }], puts: [put] });
      onRepaired(before.id);
      this.repaired.push(before.id);
      log.warn('chunks.repaired', { chunk: hexOf(before.id), pack: before.pack });
    }
    await breath();
  }

  #checkSignal(): void {
    if (this.#options.signal?.aborted) throw Fault.aborted(this.#options.signal, 'Repairing chunks');
  }
}

/** A pack of any store, as bytes. */
export interface PackBytes {
  readonly lengthBytes: number;
  /** Exactly `length` bytes from `offset`. */
  get(offset: number, length: number): Maybe<Uint8Array>;
}

/**
 * Every chunk that can be had from a pack without anything else: records that are whole, and need neither a base nor a
 * key. With `isWanted`, only those whose id it takes: ids of another store say nothing to this one.
 */
export async function* chunksOfPack(
  pack: PackBytes,
  isWanted?: (id: ChunkId) => boolean,
): AsyncGenerator<RepairCandidate> {
  const objects = {
    get: async (_: string, range: { readonly offset?: number; readonly length?: number } = {}) => {
      const { offset = 0, length = pack.lengthBytes - offset } = range;
      if (offset + length > pack.lengthBytes) throw new Fault('range', 'The pack ends before that.');
      return await pack.get(offset, length);
    },
  };
  const place = { realm: 0, pack: 0, idBytes: 0, object: 'pack', lengthBytes: pack.lengthBytes };
  for await (const step of walkRecords(objects, place)) {
    if (step.kind !== 'record' || step.header.sealSuite !== 0 || step.header.codec === CODEC.patch) continue;
    if (isWanted?.(step.header.id) === false || !isRecordWhole(step.bytes, step.at, step.header)) continue;
    const plain = plainOf(step);
    if (plain !== undefined) yield { kind: 'chunk', bytes: plain };
  }
}

function plainOf({ bytes, at, header }: Extract<Step, { kind: 'record' }>): Uint8Array | undefined {
  try {
    return bufferOf(decodeRecord(bytes, at, header));
  } catch (error) {
    if (Fault.is(error, 'corrupt')) return undefined;
    throw error;
  }
}
