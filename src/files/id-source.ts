/**
 * Ids of nodes, contents and pins, drawn from blocks that are leased durably before the first of them is used, so that none
 * is ever given twice, also after an unclean start (which only skips the rest of a block).
 */
import type { Maybe } from '../base/index.ts';
import type { ContentId, MetaStore, NodeId, SpaceId } from '../meta/index.ts';

/** Ids of one lease: large enough that leases are rare, small beside 2^53. */
export const ID_BLOCK_COUNT = 4_096;

interface Block {
  next: number;
  end: number;
}

export class IdSource {
  readonly #meta: MetaStore;
  readonly #blocks = new Map<string, Block>();
  readonly #leasing = new Map<string, Promise<void>>();

  constructor(meta: MetaStore) {
    this.#meta = meta;
  }

  /** At once but for the first of a block. */
  node(space: SpaceId): Maybe<NodeId> {
    return this.#draw(`node:${space}`);
  }

  content(space: SpaceId): Maybe<ContentId> {
    return this.#draw(`content:${space}`);
  }

  pin(space: SpaceId): Maybe<number> {
    return this.#draw(`pin:${space}`);
  }

  #draw(kind: string): Maybe<number> {
    const block = this.#blocks.get(kind);
    if (block !== undefined && block.next < block.end) return block.next++;
    return this.#lease(kind).then(() => this.#draw(kind));
  }

  /** One lease at a time of each kind, whoever waits shares it. */
  async #lease(kind: string): Promise<void> {
    const under = this.#leasing.get(kind);
    if (under !== undefined) return under;
    const lease = (async () => {
      const first = await this.#meta.leaseIds(kind, ID_BLOCK_COUNT);
      this.#blocks.set(kind, { next: first, end: first + ID_BLOCK_COUNT });
    })();
    this.#leasing.set(kind, lease);
    try {
      await lease;
    } finally {
      this.#leasing.delete(kind);
    }
  }
}
