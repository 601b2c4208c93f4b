/**
 * Rows in the order of their key strings, for the memory engine: a list of short sorted leaves, so that putting a row
 * moves at most one leaf's worth of others. Leaves hold at most LEAF_ROWS_MAX rows and are never empty (but the first).
 */
export const LEAF_ROWS_MAX = 512;

interface Leaf<T> {
  readonly keys: string[];
  readonly rows: T[];
}

/** Keys from `low` up to but without `high`, both as whole strings. */
export interface KeySpan {
  readonly low: string;
  readonly high: string;
  readonly limit: number;
  readonly isReverse: boolean;
}

export class SortedRows<T> {
  #leaves: Leaf<T>[] = [{ keys: [], rows: [] }];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get(key: string): T | undefined {
    const leaf = this.#leafOf(key);
    const at = lowerBound(leaf.keys, key);
    return leaf.keys[at] === key ? leaf.rows[at] : undefined;
  }

  /** The same rows, in an order of its own that goes on apart from this one. */
  copy(): SortedRows<T> {
    const copy = new SortedRows<T>();
    copy.#leaves = this.#leaves.map(({ keys, rows }) => ({ keys: [...keys], rows: [...rows] }));
    copy.#count = this.#count;
    return copy;
  }

  /** Puts or, for undefined, removes. Answers what was there. */
  set(key: string, row: T | undefined): T | undefined {
    const leaf = this.#leafOf(key);
    const at = lowerBound(leaf.keys, key);
    const before = leaf.keys[at] === key ? leaf.rows[at] : undefined;
    if (row === undefined) {
      if (before !== undefined) this.#remove(leaf, at);
    } else if (before !== undefined) leaf.rows[at] = row;
    else this.#insert(leaf, at, key, row);
    return before;
  }

  scan(span: KeySpan): readonly T[] {
    const found: T[] = [];
    const step = span.isReverse ? -1 : 1;
    // Reversed, everything from `high` on is too far already.
    for (let at = this.#leafIndexOf(span.isReverse ? span.high : span.low); ; at += step) {
      const leaf = this.#leaves[at];
      if (leaf === undefined || found.length >= span.limit) break;
      const low = lowerBound(leaf.keys, span.low);
      const high = lowerBound(leaf.keys, span.high);
      const rows = leaf.rows.slice(low, high);
      if (span.isReverse) rows.reverse();
      found.push(...rows);
      if (span.isReverse ? low > 0 : high < leaf.keys.length) break;
    }
    return found.slice(0, span.limit);
  }

  #insert(leaf: Leaf<T>, at: number, key: string, row: T): void {
    leaf.keys.splice(at, 0, key);
    leaf.rows.splice(at, 0, row);
    this.#count++;
    if (leaf.keys.length <= LEAF_ROWS_MAX) return;
    const half = leaf.keys.length >>> 1;
    const next: Leaf<T> = { keys: leaf.keys.splice(half), rows: leaf.rows.splice(half) };
    this.#leaves.splice(this.#leaves.indexOf(leaf) + 1, 0, next);
  }

  #remove(leaf: Leaf<T>, at: number): void {
    leaf.keys.splice(at, 1);
    leaf.rows.splice(at, 1);
    this.#count--;
    if (leaf.keys.length === 0 && this.#leaves.length > 1) this.#leaves.splice(this.#leaves.indexOf(leaf), 1);
  }

  #leafOf(key: string): Leaf<T> {
    const leaf = this.#leaves[this.#leafIndexOf(key)];
    if (leaf === undefined) throw new Error('Broken invariant: sorted rows have a first leaf');
    return leaf;
  }

  /** The last leaf that begins at or before the key, or the first. */
  #leafIndexOf(key: string): number {
    let low = 0;
    let high = this.#leaves.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.#leaves[middle]?.keys[0] ?? '') <= key) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** How many keys come before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
