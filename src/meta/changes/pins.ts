/**
 * Which rows of a space a pin still needs. Pins change seldom, so they are kept between changes as runs of commits, and
 * asking costs O(log pins) however many snapshots there are. Whoever keeps them must clear the cache when a group is
 * rolled back or when another process may have written.
 */
import type { CommitNumber, SpaceId } from '../ids.ts';
import type { PinRow } from '../rows/rows.ts';
import type { Overlay } from './overlay.ts';

/** Spaces whose pins are kept at once; beyond, all are forgotten. */
export const PIN_SPACES_MAX = 1_000;
const PIN_PAGE_ROWS = 1_000;

/** A row was visible at every commit c with born ≤ c < died. */
export interface Life {
  readonly born: CommitNumber;
  readonly died: CommitNumber;
}

export class PinCache {
  readonly #spaces = new Map<SpaceId, PinSet>();

  of(space: SpaceId, rows: Pick<Overlay, 'scan'>): PinSet {
    const known = this.#spaces.get(space);
    if (known !== undefined) return known;
    const pins: PinRow[] = [];
    for (let page: readonly PinRow[] = []; ; ) {
      const last = page.at(-1);
      const after = last === undefined ? {} : { after: [last.pin] };
      page = rows.scan('pins', { prefix: [space], ...after, limit: PIN_PAGE_ROWS });
      pins.push(...page);
      if (page.length < PIN_PAGE_ROWS) break;
    }
    if (this.#spaces.size >= PIN_SPACES_MAX) this.#spaces.clear();
    const set = new PinSet(pins);
    this.#spaces.set(space, set);
    return set;
  }

  forget(space: SpaceId): void {
    this.#spaces.delete(space);
  }

  clear(): void {
    this.#spaces.clear();
  }
}

/** The pins of one space. */
export class PinSet {
  readonly #pins: readonly PinRow[];
  /** What the pins that count keep, from when and until when (seconds) just those count. */
  #runs: { readonly runs: Runs; readonly since: number; readonly until: number } | undefined;

  constructor(pins: readonly PinRow[]) {
    this.#pins = pins;
  }

  get isEmpty(): boolean {
    return this.#pins.length === 0;
  }

  /** Whether a pin that has not expired covers a commit at which a row of this life was visible. */
  needs({ born, died }: Life, nowSeconds: number): boolean {
    return born < died && this.#runsAt(nowSeconds).meets(born, died);
  }

  /** Whether a pin that has not expired keeps all that was visible at the commit. */
  keeps(commit: CommitNumber, nowSeconds: number): boolean {
    return this.#runsAt(nowSeconds).meets(commit, commit + 1);
  }

  #runsAt(nowSeconds: number): Runs {
    const known = this.#runs;
    if (known !== undefined && known.since <= nowSeconds && nowSeconds < known.until) return known.runs;
    const counting = this.#pins.filter(({ expiresSeconds }) => expiresSeconds === null || expiresSeconds > nowSeconds);
    const ends = counting.map(({ expiresSeconds }) => expiresSeconds ?? Number.POSITIVE_INFINITY);
    const until = ends.reduce((least, end) => Math.min(least, end), Number.POSITIVE_INFINITY);
    const runs = new Runs(counting);
    this.#runs = { runs, since: nowSeconds, until };
    return runs;
  }
}

/** Runs of commits, first to last, by their first; beside each the greatest last of it and all before. */
class Runs {
  readonly #firsts: Float64Array;
  readonly #lasts: Float64Array;

  constructor(pins: readonly PinRow[]) {
    const sorted = pins
      .filter(({ fromCommit, toCommit }) => toCommit === null || toCommit >= fromCommit)
      .sort((a, b) => a.fromCommit - b.fromCommit);
    this.#firsts = Float64Array.from(sorted, ({ fromCommit }) => fromCommit);
    let greatest = Number.NEGATIVE_INFINITY;
    this.#lasts = Float64Array.from(sorted, ({ toCommit }) => {
      greatest = Math.max(greatest, toCommit ?? Number.POSITIVE_INFINITY);
      return greatest;
    });
  }

  /** Whether one of the runs has a commit from `from` up to but without `end`. */
  meets(from: CommitNumber, end: CommitNumber): boolean {
    let [low, high] = [0, this.#firsts.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#firsts[middle] ?? 0) < end) low = middle + 1;
      else high = middle;
    }
    return low > 0 && (this.#lasts[low - 1] ?? 0) >= from;
  }
}
