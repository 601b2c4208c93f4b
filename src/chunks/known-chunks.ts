/**
 * What the store has already: chunks whose rows are committed (asked of the metadata, remembered within a bound), and
 * chunks that this process is storing or has appended, whose rows may not be committed yet. The second kind is shared
 * too, so that the same new chunk in two uploads is stored once; each of them then commits the row (mode keep).
 *
 * Forgetting is always safe: at worst a chunk is stored twice, and the row that is committed first wins.
 */
import { Lru, type Maybe, then } from '../base/index.ts';
import type { ChunkId, MetaStore, RealmId } from '../meta/index.ts';
import type { NewChunk } from './encoder.ts';
import type { OpenPack } from './open-pack.ts';

/** A chunk somebody can refer to: `row` is committed, or `chunk` is being stored by this process. */
export type Known = { readonly kind: 'committed' } | { readonly kind: 'new'; readonly chunk: NewChunk };

const COMMITTED: Known = { kind: 'committed' };

export interface KnownChunksOptions {
  readonly meta: MetaStore;
  readonly realm: RealmId;
  readonly idCacheEntries: number;
  readonly pendingEntries: number;
}

export class KnownChunks {
  readonly #meta: MetaStore;
  readonly #realm: RealmId;
  readonly #pendingEntries: number;
  readonly #pending = new Map<string, NewChunk>();
  readonly #committed: Lru<string, true>;

  constructor(options: KnownChunksOptions) {
    this.#meta = options.meta;
    this.#realm = options.realm;
    this.#pendingEntries = options.pendingEntries;
    this.#committed = new Lru({ weightMax: options.idCacheEntries });
  }

  /** Absent is an answer: nobody has it, or it was forgotten. */
  find(id: ChunkId, key: string): Maybe<Known | undefined> {
    const pending = this.findNew(key);
    if (pending !== undefined) return pending;
    if (this.#committed.get(key)) return COMMITTED;
    return then(this.#meta.get('chunks', [this.#realm, id]), (row) => {
      if (row === undefined) return undefined;
      this.#committed.set(key, true);
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
      if (this.#pending.size <= this.#pendingEntries || (oldest.pack === undefined && oldest.fault === undefined))
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

  /** Chunk rows may be gone (a rebuild, a collection): ask the metadata again. */
  forgetCommitted(): void {
    this.#committed.clear();
  }
}
