/**
 * Of things with counted references: those whose every reference is among what a source brings. Most have one, and are
 * answered at once; the others are counted in a map that never has more than `openMax` of them. Where there are more,
 * the source is asked again, once for each part of them that fits: parts are by a hash of the key, chosen by how many
 * namings fell into each.
 *
 * Answered once each. What changes between two askings is answered as one of them saw it.
 */

/** One or more references to a thing. */
export interface Naming<T> {
  /** The same for all references to one thing. */
  readonly key: string;
  readonly count: number;
  /** How many references the thing has in all. */
  readonly refs: number;
  readonly value: T;
}

/** Things that are counted at once; each takes a few hundred bytes. */
export const OPEN_MAX = 200_000;
/** Parts that keys fall into. */
const PARTS = 65_536;

/** A thing that has been named, though not by all its references at once. */
interface Open<T> {
  readonly value: T;
  readonly refs: number;
  count: number;
}

export interface FullyNamedOptions<T> {
  /** OPEN_MAX when absent. */
  readonly openMax?: number;
  /** What further references say of a thing, added to what the first said. */
  readonly join?: (into: T, from: T) => void;
}

export async function* fullyNamed<T>(
  source: () => AsyncIterable<Naming<T>>,
  { openMax = OPEN_MAX, join }: FullyNamedOptions<T> = {},
): AsyncGenerator<T> {
  const namings = new Float64Array(PARTS);
  const open = new Map<string, Open<T>>();
  let isTooMuch = false;
  for await (const naming of source()) {
    if (naming.count >= naming.refs) {
      yield naming.value;
      continue;
    }
    const part = partOf(naming.key);
    namings[part] = (namings[part] ?? 0) + 1;
    if (isTooMuch) continue;
    add(open, naming, join);
    isTooMuch = open.size > openMax;
  }
  if (!isTooMuch) return yield* whole(open);
  for (const { first, end } of partsThatFit(namings, openMax)) {
    open.clear();
    for await (const naming of source()) {
      const part = partOf(naming.key);
      if (naming.count < naming.refs && part >= first && part < end) add(open, naming, join);
    }
    yield* whole(open);
  }
}

function add<T>(
  open: Map<string, Open<T>>,
  { key, count, refs, value }: Naming<T>,
  join: FullyNamedOptions<T>['join'],
): void {
  const known = open.get(key);
  if (known === undefined) {
    open.set(key, { value, refs, count });
    return;
  }
  known.count += count;
  join?.(known.value, value);
}

function* whole<T>(open: ReadonlyMap<string, Open<T>>): Generator<T> {
  for (const { value, refs, count } of open.values()) if (count >= refs) yield value;
}

/** Runs of parts with at most `most` namings each; a single part may have more, but hardly more things. */
function partsThatFit(
  namings: Float64Array,
  most: number,
): readonly { readonly first: number; readonly end: number }[] {
  const runs: { first: number; end: number }[] = [];
  let [first, sum] = [0, 0];
  for (const [part, count] of namings.entries()) {
    if (sum > 0 && sum + count > most) {
      runs.push({ first, end: part });
      [first, sum] = [part, 0];
    }
    sum += count;
  }
  if (sum > 0) runs.push({ first, end: PARTS });
  return runs;
}

/** FNV-1a over the key's units. */
function partOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 16)) & (PARTS - 1);
}
