/**
 * Room on the disk that new bytes do not get, so that a full disk is no trap: removing, deleting snapshots and giving
 * bytes back all write a little, metadata and packs that are rewritten, before anything comes back. Bytes of files are
 * refused with `full` while they would take from it; a mount shows the disk as full by then.
 *
 * No more than one part in RESERVE_PART of the disk. Looked at again after LOOK_MS, or when what was written since might
 * have come near it, so that a small write costs no system call.
 */
import { type Clock, Fault, type Maybe } from '../base/index.ts';

const RESERVE_PART = 8;
const LOOK_MS = 250;

export interface DiskSpace {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

export interface DiskReserveOptions {
  readonly reserveBytes: number;
  readonly clock: Clock;
  readonly look: () => Promise<DiskSpace>;
}

export class DiskReserve {
  readonly #options: DiskReserveOptions;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #totalBytes = 0;
  /** Bytes that may be written before the next look. */
  #leftBytes = 0;

  constructor(options: DiskReserveOptions) {
    this.#options = options;
  }

  /** What the disk has for bytes of files. */
  async space(): Promise<DiskSpace> {
    const { totalBytes, freeBytes } = await this.#options.look();
    return { totalBytes, freeBytes: Math.max(0, freeBytes - this.#reserveOf(totalBytes)) };
  }

  /**
   * `isRow`: bytes that go into the metadata. They are written several times over (log, database, checkpoint), much of
   * it after this was asked, so they must leave as much again. Answers at once as long as there is plenty.
   * @throws Fault `full`.
   */
  require(bytes: number, isRow = false): Maybe<void> {
    const nowMs = this.#options.clock.monotonicMs();
    const needed = this.#neededFor(bytes, isRow);
    if (nowMs - this.#lookedMs < LOOK_MS && this.#leftBytes > 2 * needed) {
      this.#leftBytes -= bytes;
      return undefined;
    }
    return this.#requireNow(bytes, isRow);
  }

  #reserveOf(totalBytes: number): number {
    return Math.min(this.#options.reserveBytes, Math.floor(totalBytes / RESERVE_PART));
  }

  #neededFor(bytes: number, isRow: boolean): number {
    return isRow ? bytes + this.#reserveOf(this.#totalBytes) : bytes;
  }

  async #requireNow(bytes: number, isRow: boolean): Promise<void> {
    const { totalBytes, freeBytes } = await this.space();
    this.#lookedMs = this.#options.clock.monotonicMs();
    this.#totalBytes = totalBytes;
    this.#leftBytes = freeBytes - bytes;
    if (freeBytes >= this.#neededFor(bytes, isRow)) return;
    const sentence =
      'The disk is full: what is left of it is kept for removing files and giving their bytes back. Remove what is not ' +
      'needed, run `holdfast gc`, or make room on the disk.';
    throw new Fault('full', sentence, { freeBytes, bytes });
  }
}
