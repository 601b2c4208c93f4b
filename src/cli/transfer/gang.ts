/**
 * A few things at once, for producers: `start` waits for room before it begins the next, so that whoever walks a tree
 * is slowed to the speed of the work. The first failure that is not handled inside a task stops the gang: the next
 * `start` and `settle` throw it.
 */

export class Gang {
  readonly #atOnce: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** @param atOnce tasks at once, 1 or more. */
  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** Begins `task` as soon as there is room, and resolves then. @throws what an earlier task threw. */
  async start(task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#atOnce) await Promise.race(this.#running);
    this.#throwFailure();
    const running: Promise<void> = task()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Waits until nothing runs. @throws what a task threw. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    this.#throwFailure();
  }

  /** Waits until nothing runs, and keeps failures to itself: for a way out that already has one. */
  async wait(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
