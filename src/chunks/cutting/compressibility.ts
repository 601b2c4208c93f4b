/**
 * Whether it is worth trying to compress the next chunk of a stream. Chunks that do not look like noise are always
 * tried. Of those that do, one is tried now and then; as long as that does not pay, the others are stored as they are,
 * so that incompressible data runs at the speed of the disk, and data that only looks random costs one miss.
 * How streams begin is judged in the same way over all streams of a store: many small files of noise (photos, archives)
 * would otherwise each pay for a try of its own.
 */

/** Of chunks that look random, every so many is tried after a miss. */
const TRIED_ONE_IN = 16;

export class Compressibility {
  #skipped = 0;
  #isTrying = false;
  /** Whether the last try of a random-looking chunk paid. */
  #hasPaid = false;
  readonly #beginnings: Compressibility | undefined;
  /** Whether what is being tried counts for the beginnings as well. */
  #isTryingBeginning = false;

  /** `beginnings` is shared by all streams and decides about the first random-looking chunk of each. */
  constructor(beginnings?: Compressibility) {
    this.#beginnings = beginnings;
  }

  /** Whether the last chunk that looked random and was tried became smaller. */
  get hasPaid(): boolean {
    return this.#hasPaid;
  }

  /** Whether to try the next chunk. A yes for a random-looking one is followed by `tried`. */
  isWorthTrying(looksRandom: boolean): boolean {
    if (!looksRandom || this.#hasPaid) return true;
    const isFirst = this.#skipped === 0 && !this.#isTrying;
    const isTriedFirst = isFirst && (this.#beginnings?.isWorthTrying(true) ?? true);
    this.#isTryingBeginning ||= isTriedFirst;
    if (isTriedFirst || this.#skipped >= TRIED_ONE_IN) {
      this.#skipped = 0;
      this.#isTrying = true;
      return true;
    }
    this.#skipped++;
    return false;
  }

  /** What became of a try. */
  tried(isSmaller: boolean): void {
    if (this.#isTryingBeginning) this.#beginnings?.tried(isSmaller);
    this.#isTryingBeginning = false;
    if (this.#isTrying || this.#hasPaid) this.#hasPaid = isSmaller;
    this.#isTrying = false;
    if (!isSmaller) this.#skipped = Math.max(1, this.#skipped);
  }
}
