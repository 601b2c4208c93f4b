/**
 * Numbers of locks, which rise and are never given twice, also after an unclean start: drawn from blocks that are leased
 * durably before the first of them is used. Who asks for a lock reserves one, and takes it in the turn of the grant, so
 * that numbers rise in the order of grants.
 */
import { assert, type Maybe } from '../../base/index.ts';
import type { MetaStore } from '../../meta/index.ts';
import type { TokenSource } from './memory-locks.ts';

/** Numbers of one lease: a hundredth of a second's sync is shared by so many locks. */
export const TOKEN_BLOCK_COUNT = 65_536;

export class LockTokens implements TokenSource {
  readonly #meta: Pick<MetaStore, 'leaseIds'>;
  /** Leased and not taken, the lowest first. */
  readonly #blocks: { next: number; readonly end: number }[] = [];
  #free = 0;
  #leasing: Promise<void> | undefined;

  constructor(meta: Pick<MetaStore, 'leaseIds'>) {
    this.#meta = meta;
  }

  reserve(): Maybe<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    this.#leasing ??= this.#lease();
    return this.#leasing.then(() => this.reserve());
  }

  take(): number {
    const [block] = this.#blocks;
    assert(block !== undefined, 'a number is reserved before it is taken');
    const token = block.next++;
    if (block.next === block.end) this.#blocks.shift();
    return token;
  }

  spare(): void {
    this.#free++;
  }

  async #lease(): Promise<void> {
    try {
      const first = await this.#meta.leaseIds('lock', TOKEN_BLOCK_COUNT);
      this.#blocks.push({ next: first, end: first + TOKEN_BLOCK_COUNT });
      this.#free += TOKEN_BLOCK_COUNT;
    } finally {
      this.#leasing = undefined;
    }
  }
}
