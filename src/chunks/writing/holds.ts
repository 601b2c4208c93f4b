/**
 * Which chunks somebody counts on before a row of his names them: a writer holds the id of every chunk it cuts, from
 * before it asks whether the store has it until the change that refers to it was handed in. What is held is not
 * collected, neither its row nor its record, so a writer whose chunk was there when it asked finds it there when it
 * commits. Held first, asked second: whoever looks at the holds and then takes something away cannot be overtaken.
 *
 * A writer holds no more than its drafts that wait, and those of its latest step.
 */
import { assert } from '../../base/index.ts';

/** All holds of a store, by the map key of the chunk's id. */
export class Holds {
  readonly #counts = new Map<string, number>();

  has(key: string): boolean {
    return this.#counts.has(key);
  }

  hold(key: string): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  release(key: string): void {
    const count = this.#counts.get(key);
    assert(count !== undefined, 'what is let go of was held');
    if (count === 1) this.#counts.delete(key);
    else this.#counts.set(key, count - 1);
  }
}

/** The holds of one writer, in the order of its drafts. */
export class WriterHolds {
  readonly #holds: Holds;
  /** Of drafts that were not taken yet. */
  #waiting: string[] = [];
  /** Of the drafts that were taken last. */
  #taken: string[] = [];

  constructor(holds: Holds) {
    this.#holds = holds;
  }

  hold(key: string): void {
    this.#holds.hold(key);
    this.#waiting.push(key);
  }

  /** The first `count` are being taken: what was taken before is committed, or will never be. */
  take(count: number): void {
    for (const key of this.#taken) this.#holds.release(key);
    this.#taken = this.#waiting.splice(0, count);
  }

  releaseAll(): void {
    this.take(this.#waiting.length);
    this.take(0);
  }
}
