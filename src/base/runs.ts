/**
 * What comes in runs, one by one. A generator costs a microsecond and half a kilobyte for each thing it yields, and as much
 * again in every layer that passes it on; one that yields runs of things, and this in front of it, costs a promise each.
 */

/** The things of all runs, in order. To be iterated once; ending early ends the runs. */
export function oneByOne<T>(runs: AsyncGenerator<readonly T[], void>): AsyncIterableIterator<T, void> {
  return new OneByOne(runs);
}

class OneByOne<T> implements AsyncIterableIterator<T, void> {
  readonly #runs: AsyncGenerator<readonly T[], void>;
  #run: readonly T[] = [];
  #at = 0;

  constructor(runs: AsyncGenerator<readonly T[], void>) {
    this.#runs = runs;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, void>> {
    if (this.#at < this.#run.length) return Promise.resolve({ done: false, value: this.#run[this.#at++] as T });
    return this.#nextRun();
  }

  async #nextRun(): Promise<IteratorResult<T, void>> {
    for (;;) {
      const { done, value } = await this.#runs.next();
      if (done === true) {
        this.#run = [];
        return { done: true, value: undefined };
      }
      if (value.length === 0) continue;
      this.#run = value;
      this.#at = 1;
      return { done: false, value: value[0] as T };
    }
  }

  async return(): Promise<IteratorResult<T, void>> {
    this.#run = [];
    await this.#runs.return();
    return { done: true, value: undefined };
  }
}
