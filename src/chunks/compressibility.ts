/**
 * Whether it is worth trying to compress the next chunk of a stream. Chunks that do not look like noise are always
 * tried. Of those that do, one is tried now and then; as long as that does not pay, the others are stored as they are,
 * so that incompressible data runs at the speed of the disk, and data that only looks random costs one miss.
 */

/** Of chunks that look random, every so many is tried after a miss. */
const TRIED_ONE_IN = 16;

export class Compressibility {
  #skipped = 0;
  #isTrying = false;
  /** Whether the last try of a random-looking chunk paid. */
  #hasPaid = false;

  /** Whether to try the next chunk. A yes for a random-looking one is followed by `tried`. */
  isWorthTrying(looksRandom: boolean): boolean {
    if (!looksRandom || this.#hasPaid) return true;
    const isFirst = this.#skipped === 0 && !this.#isTrying;
    if (isFirst || this.#skipped >= TRIED_ONE_IN) {
      this.#skipped = 0;
      this.#isTrying = true;
      return true;
    }
    this.#skipped++;
    return false;
  }

  /** What became of a try. */
  tried(isSmaller: boolean): void {
    if (this.#isTrying || this.#hasPaid) this.#hasPaid = isSmaller;
    this.#isTrying = false;
    if (!isSmaller) this.#skipped = Math.max(1, this.#skipped);
  }
}
