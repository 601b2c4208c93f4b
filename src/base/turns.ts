/**
 * One at a time for each key, in order of arrival: what looks at a name and then changes it takes its turn, so that
 * nothing of this process comes between. A turn that fails does not fail the next one.
 */
const NOBODY_BEFORE = Promise.resolve();

export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Keys at which somebody is or waits; bounded by the callers' own number. */
  get busyCount(): number {
    return this.#last.size;
  }

  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? NOBODY_BEFORE;
    const { promise: mine, resolve: leave } = Promise.withResolvers<void>();
    this.#last.set(key, mine);
    await before;
    try {
      return await task();
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
      leave();
    }
  }
}
