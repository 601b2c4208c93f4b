/**
 * What the store has already: chunks whose rows are committed (asked of the metadata, remembered within a bound), and
 * chunks that this process is storing or has appended, whose rows may not be committed yet. The second kind is shared
 * too, so that the same new chunk in two uploads is stored once; each of them then commits the row (mode keep).
 *
 * A committed chunk counts while its pack is trusted (see pack-trust.ts). After that it is read and verified first; one
 * that is damaged is answered as such, and whoever has its bytes stores them anew, for all who share it.
 *
 * A chunk whose row is about to be collected is known no more (`doom`), so it is stored anew; one that somebody holds is
 * not collected. Writers hold before they ask, so one of the two is always in time.
 *
 * Forgetting is always safe: at worst a chunk is stored twice, and the row that is committed first wins.
 */
import { andThen, Lru, type Maybe } from '../../base/index.ts';
import type { ChunkId, MetaStore, PackId, RealmId } from '../../meta/index.ts';
import type { OpenPack } from '../packs/open-pack.ts';
import type { PackTrust } from '../packs/pack-trust.ts';
import type { NewChunk } from './encoder.ts';
import { Holds } from './holds.ts';

/**
 * A chunk somebody can refer to: its row is committed, or `chunk` is being stored by this process. Or one that nobody
 * may refer to any more: its row is there, but what `pack` has of it is damaged.
 */
export type Known =
  | { readonly kind: 'committed' }
  | { readonly kind: 'new'; readonly chunk: NewChunk }
  | { readonly kind: 'damaged'; readonly pack: PackId };

const COMMITTED: Known = { kind: 'committed' };

export interface KnownChunksOptions {
  readonly meta: MetaStore;
  readonly realm: RealmId;
  readonly idCacheEntries: number;
  readonly pendingEntries: number;
  readonly trust: PackTrust;
  /** Wall clock, seconds. */
  readonly nowSeconds: () => number;
  /** Reads the chunk from its pack; false when that is damaged. Absent where every hit is compared with what is there. */
  readonly verify: ((id: ChunkId) => Promise<boolean>) | undefined;
}

export class KnownChunks {
  /** Chunks that writers count on. */
  readonly holds = new Holds();
  readonly #options: KnownChunksOptions;
  readonly #doomed = new Set<string>();
  readonly #pending = new Map<string, NewChunk>();
  /** Until when (wall seconds) each counts without a look at its pack. */
  readonly #committed: Lru<string, number>;

  constructor(options: KnownChunksOptions) {
    this.#options = options;
    this.#committed = new Lru({ weightMax: options.idCacheEntries });
  }

  /** Absent is an answer: nobody has it, or it was forgotten. Ask for what is held only. */
  find(id: ChunkId, key: string): Maybe<Known | undefined> {
    const pending = this.findNew(key);
    if (pending !== undefined) return pending;
    const { meta, realm, trust, nowSeconds } = this.#options;
    if (this.#doomed.has(key)) return undefined;
    const now = nowSeconds();
    if ((this.#committed.get(key) ?? 0) > now) return COMMITTED;
    return andThen(meta.get('chunks', [realm, id]), (row) => {
      if (row === undefined) return undefined;
      return andThen(trust.trustedUntil(row.pack), (until): Maybe<Known> => {
        if (until <= now) return this.#verified(id, key, row.pack);
        this.#committed.set(key, until);
        return COMMITTED;
      });
    });
  }

  #verified(id: ChunkId, key: string, pack: PackId): Maybe<Known> {
    const { verify, trust } = this.#options;
    if (verify === undefined) return COMMITTED;
    return verify(id).then((isWhole) => {
      if (!isWhole) return { kind: 'damaged', pack };
      this.#committed.set(key, trust.untilFromNow());
      return COMMITTED;
    });
  }

  /** What this process itself is storing; answers at once. */
  findNew(key: string): Known | undefined {
    const chunk = this.#pending.get(key);
    return chunk === undefined ? undefined : { kind: 'new', chunk };
  }

  add(chunk: NewChunk): void {
    this.#pending.set(chunk.key, chunk);
    // The oldest go first, but none that is still on its way: there are never more of those than batches hold.
    for (const oldest of this.#pending.values()) {
      if (
        this.#pending.size <= this.#options.pendingEntries ||
        (oldest.pack === undefined && oldest.fault === undefined)
      )
        break;
      this.#pending.delete(oldest.key);
    }
  }

  forget(chunk: NewChunk): void {
    if (this.#pending.get(chunk.key) === chunk) this.#pending.delete(chunk.key);
  }

  /** What was appended to the pack and not made durable is lost: nobody may refer to it any more. */
  forgetLost(pack: OpenPack): void {
    for (const chunk of [...this.#pending.values()]) {
      if (chunk.pack !== pack || chunk.endBytes <= pack.durable.lengthBytes) continue;
      chunk.fault ??= pack.fault;
      this.#pending.delete(chunk.key);
    }
  }

  /** What the store has of this chunk is damaged. One that is on its way is not what was found so. */
  forgetDamaged(key: string): void {
    this.#committed.delete(key);
    if (this.#pending.get(key)?.pack !== undefined) this.#pending.delete(key);
  }

  /** A pack is not trusted any more: whatever stands in one is asked for again. */
  forgetTrusted(): void {
    this.#committed.clear();
    for (const chunk of [...this.#pending.values()]) if (chunk.pack !== undefined) this.#pending.delete(chunk.key);
  }

  /**
   * Rows of these chunks are about to be deleted: from now on nobody refers to them. Answers those that may be; the others
   * are held. Until `spare`.
   */
  doom(keys: readonly string[]): readonly string[] {
    const doomed = keys.filter((key) => !this.holds.has(key));
    for (const key of doomed) {
      this.#doomed.add(key);
      this.#committed.delete(key);
    }
    return doomed;
  }

  /** Their rows are gone, or stay. */
  spare(keys: readonly string[]): void {
    for (const key of keys) this.#doomed.delete(key);
  }

  /** The pack is about to be rewritten: records in it that no row names are not shared any more. */
  forgetPack(pack: PackId): void {
    for (const chunk of [...this.#pending.values()]) if (chunk.pack?.row.pack === pack) this.#pending.delete(chunk.key);
  }

  /** Chunk rows may be gone (a rebuild): ask the metadata again. */
  forgetCommitted(): void {
    this.#committed.clear();
  }
}
