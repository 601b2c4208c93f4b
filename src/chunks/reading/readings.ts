/**
 * Who reads just now, as far as a collection must know it.
 *
 * `Readings` are streams of many chunks: they took their list of chunks some time ago, so a chunk that lost its last name
 * since the oldest of them began is left alone. Bounded: who reads for longer than READING_SECONDS_MAX is not waited for;
 * he gets a fault only if the file that he reads was changed in place meanwhile, never wrong bytes.
 *
 * `Epochs` are for whoever walks through whole objects (a check) and must not find one gone half-way: an object that a
 * pack was switched away from is deleted when everybody who began before has ended. Single reads need no epoch: they look
 * the chunk up again when its object is gone.
 */

/** A reading that began longer ago holds nothing back any more. */
export const READING_SECONDS_MAX = 3_600;

export class Readings {
  readonly #nowSeconds: () => number;
  /** When each began; the oldest first. */
  readonly #began = new Map<symbol, number>();

  constructor(nowSeconds: () => number) {
    this.#nowSeconds = nowSeconds;
  }

  begin(): Disposable {
    const reading = Symbol('reading');
    this.#began.set(reading, this.#nowSeconds());
    return { [Symbol.dispose]: () => this.#began.delete(reading) };
  }

  /** Wall seconds at which the oldest reading that counts began; absent when nobody reads. */
  oldestSeconds(): number | undefined {
    const least = this.#nowSeconds() - READING_SECONDS_MAX;
    for (const seconds of this.#began.values()) if (seconds >= least) return seconds;
    return undefined;
  }
}

export class Epochs {
  /** One promise a pin; it resolves when its owner has let go. */
  readonly #pins = new Set<Promise<void>>();

  pin(): Disposable {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pins.add(promise);
    const unpin = (): void => {
      this.#pins.delete(promise);
      resolve();
    };
    return { [Symbol.dispose]: unpin };
  }

  get isPinned(): boolean {
    return this.#pins.size > 0;
  }

  /** Resolves when all who hold a pin now have let go. */
  async passed(): Promise<void> {
    await Promise.all(this.#pins);
  }
}
