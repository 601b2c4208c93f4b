/**
 * A cache with a bound: what was used longest ago goes first when the weights of all entries pass `weightMax`.
 * An entry heavier than the bound is not kept. Weights are whatever the owner counts in: bytes, rows, file handles.
 */

export interface LruOptions<K, V> {
  readonly weightMax: number;
  /** 1 when absent. Must not change while the entry is held. */
  readonly weigh?: (value: V, key: K) => number;
  /** Called when an entry leaves, for whatever reason but clear(). */
  readonly onEvict?: (value: V, key: K) => void;
}

export class Lru<K, V> {
  readonly #entries = new Map<K, V>();
  readonly #options: LruOptions<K, V>;
  #weight = 0;

  constructor(options: LruOptions<K, V>) {
    this.#options = options;
  }

  get weight(): number {
    return this.#weight;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value, now the most recently used. */
  get(key: K): V | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  has(key: K): boolean {
    return this.#entries.has(key);
  }

  set(key: K, value: V): void {
    this.delete(key);
    const weight = this.#weigh(value, key);
    if (weight > this.#options.weightMax) {
      this.#options.onEvict?.(value, key);
      return;
    }
    this.#entries.set(key, value);
    this.#weight += weight;
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= this.#options.weightMax) break;
      this.delete(oldest);
    }
  }

  delete(key: K): boolean {
    const value = this.#entries.get(key);
    if (value === undefined) return false;
    this.#entries.delete(key);
    this.#weight -= this.#weigh(value, key);
    this.#options.onEvict?.(value, key);
    return true;
  }

  clear(): void {
    this.#entries.clear();
    this.#weight = 0;
  }

  values(): IterableIterator<V> {
    return this.#entries.values();
  }

  #weigh(value: V, key: K): number {
    return this.#options.weigh?.(value, key) ?? 1;
  }
}
