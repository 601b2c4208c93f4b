/**
 * The way in and out of something that is closed once: work passes while it is open, closing lets nothing more in and
 * waits until what is inside has ended.
 */
import { Fault } from '../base/index.ts';

export class Gate {
  readonly #what: string;
  #inside = 0;
  #isClosed = false;
  readonly #empty = Promise.withResolvers<void>();

  constructor(what: string) {
    this.#what = what;
  }

  /** @throws Fault `unavailable` when closed. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) {
      throw new Fault('unavailable', `${this.#what} is closed and takes no more requests. Open it anew.`);
    }
    this.#inside++;
    try {
      return await work();
    } finally {
      this.#inside--;
      this.#settle();
    }
  }

  /** Resolves when nobody is inside; safe to call again. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#settle();
    return this.#empty.promise;
  }

  #settle(): void {
    if (this.#isClosed && this.#inside === 0) this.#empty.resolve();
  }
}
