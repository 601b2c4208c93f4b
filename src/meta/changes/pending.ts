/**
 * What is true once everything handed in so far has become durable: layers of changed rows over the engine's committed
 * ones, the group that is forming on top. A change is applied here the moment it is handed in, so that each is decided
 * on what the ones before it did, and a stale one is refused without harm to its neighbours.
 *
 * Reads look through the layers from the top down; a scan merges them. All in one turn, nothing waits.
 */

import { assert } from '../../base/index.ts';
import type { Change } from '../meta-store.ts';
import { keyString, spanOf } from '../rows/row-key.ts';
import type { AnyRange, RowSource } from '../rows/row-source.ts';
import type { IndexName, TableName } from '../rows/rows.ts';
import { type Key, type KeyPart, keyOf, type Row, table, type Way, wayOf } from '../rows/tables.ts';
import { type Applied, applyChange, type Joint } from './apply.ts';
import { Layer, type LayerRow } from './layer.ts';
import { Overlay } from './overlay.ts';
import { SpaceCache } from './space-cache.ts';

/** What `SpaceCache` knows is of these. */
const CACHED_TABLES = ['pins', 'locks', 'reaps'] as const;

/** Rows below that are asked for beyond what is wanted, since the layer may hide some; more where that was too few. */
const HIDDEN_FIRST = 2;
const HIDDEN_GROWTH = 8;

export class Pending implements RowSource {
  readonly #engine: RowSource;
  readonly #cache = new SpaceCache();
  /** The lowest first: it becomes durable first. */
  readonly #layers: Layer[] = [];
  #revision = 0;

  constructor(engine: RowSource) {
    this.#engine = engine;
  }

  get top(): Layer | undefined {
    return this.#layers.at(-1);
  }

  /** Another number whenever something else is true here than before. */
  get revision(): number {
    return this.#revision;
  }

  /** From now on changes go to a layer of their own. */
  begin(): Layer {
    const layer = new Layer();
    this.#layers.push(layer);
    return layer;
  }

  /** The lowest layer is durable: the engine's own rows say the same now. */
  settle(layer: Layer): void {
    assert(this.#layers[0] === layer, 'layers become durable in order');
    this.#layers.shift();
  }

  /** The layer and all that stand on it have failed. */
  drop(layer: Layer): void {
    const at = this.#layers.indexOf(layer);
    if (at >= 0) this.#layers.length = at;
    this.#cache.clear();
    this.#revision++;
  }

  get(name: TableName, key: Key): Row | undefined {
    return this.#get(name, key, this.#layers.length);
  }

  scan(name: TableName | IndexName, range: AnyRange): readonly Row[] {
    return this.#scan(name, range, this.#layers.length);
  }

  /** Applies to the top layer. @throws Fault `conflict`, `gone`, `quota`: then nothing was done. */
  apply(change: Change, joint?: Joint): Applied {
    return this.#applyAt(change, this.#layers.length, joint);
  }

  /**
   * One after the other as one commit, all of them or none; each is decided on what those before it did.
   * @throws Fault as `apply`.
   */
  applyTogether(changes: readonly Change[]): Applied {
    return this.#aside(() => {
      let joint: Joint | undefined;
      let applied: Applied | undefined;
      for (const change of changes) {
        const { record } = change;
        const done = this.apply(change, record === undefined ? undefined : joint);
        if (record === undefined) continue;
        applied ??= done;
        joint = { commit: done.commit, itemCount: (joint?.itemCount ?? 0) + record.items.length };
      }
      assert(applied !== undefined, 'one of the changes is a commit');
      return applied;
    });
  }

  /**
   * Takes over rows that were decided on just what is true here, if `guard` applies.
   * @throws Fault as `apply` for the guard: then nothing was done.
   */
  adopt(decided: Layer, guard: Change): void {
    this.#aside(() => this.apply(guard));
    this.top?.absorb(decided);
    if (CACHED_TABLES.some((name) => decided.hasTable(name))) this.#cache.clear();
  }

  /** What `act` applies comes to the top layer when it is through, and not at all when it fails. */
  #aside<T>(act: () => T): T {
    const below = this.top;
    assert(below !== undefined, 'a layer has begun');
    const scratch = this.begin();
    try {
      const answer = act();
      this.#layers.pop();
      below.absorb(scratch);
      return answer;
    } catch (error) {
      this.drop(scratch);
      throw error;
    }
  }

  /**
   * Applies to a layer that others may stand on, a change of rows whose columns they leave alone (packs: how long, in
   * which state). Where a higher layer has its own copy of such a row, that gets the same.
   */
  applyBelow(layer: Layer, change: Change): void {
    const at = this.#layers.indexOf(layer);
    assert(at >= 0, 'the layer is pending');
    this.#applyAt(change, at + 1, undefined);
    for (let above = at + 1; above < this.#layers.length; above++) {
      const isCopied = (change.puts ?? []).some(
        ({ table: name, row }) =>
          this.#layers[above]?.get(name, keyString(keyOf(table(name), row as unknown as Row))) !== undefined,
      );
      if (isCopied) this.#applyAt(change, above + 1, undefined);
    }
  }

  /** `depth`: how many layers, from the lowest, are seen; the last of them takes the rows. */
  #applyAt(change: Change, depth: number, joint: Joint | undefined): Applied {
    const layer = this.#layers[depth - 1];
    assert(layer !== undefined, 'a layer has begun');
    const overlay = new Overlay({
      get: (name, key, id) => this.#get(name, key, depth, id),
      scan: (name, range) => this.#scan(name, range, depth),
    });
    const applied = applyChange(change, overlay, this.#cache, joint);
    layer.take(overlay.changed());
    this.#revision++;
    return applied;
  }

  #get(name: TableName, key: Key, depth: number, keyId?: string): Row | undefined {
    let id = keyId;
    for (let at = depth - 1; at >= 0; at--) {
      const layer = this.#layers[at];
      if (layer === undefined || !layer.hasTable(name)) continue;
      id ??= keyString(key);
      const found = layer.get(name, id);
      if (found !== undefined) return found.row;
    }
    return this.#engine.get(name, key);
  }

  #scan(name: TableName | IndexName, range: AnyRange, depth: number): readonly Row[] {
    const layer = this.#layers[depth - 1];
    if (layer === undefined) return this.#engine.scan(name, range);
    const way = wayOf(name);
    if (!layer.hasTable(way.table.name)) return this.#scan(name, range, depth - 1);
    const over = rowsInRange(layer, way, name, range);
    if (over.length === 0 && way.index === undefined) return this.#scan(name, range, depth - 1);
    // As many rows below may be hidden as the layer has in the range, but mostly few of the first are: a few more than asked
    // for are read first. All of them, for each look at a file of which much is pending, cost more than all else.
    const hidden = hiddenCount(layer, way, over);
    for (let more = Math.min(hidden, HIDDEN_FIRST); ; more = Math.min(hidden, HIDDEN_GROWTH * more)) {
      const limit = range.limit + more;
      const below = this.#scan(name, { ...range, limit }, depth - 1);
      const isAll = below.length < limit;
      const merged = merge(layer, way, { rows: below, isAll }, over, range);
      if (isAll || more === hidden || merged.length === range.limit) return merged;
    }
  }
}

/** The layer's rows that the range asks for, those it removed included, ascending by the way's key. */
function rowsInRange(layer: Layer, way: Way, name: TableName | IndexName, range: AnyRange): readonly LayerRow[] {
  const { low, high } = spanOf(name, range);
  if (way.index === undefined) return layer.span(way.table.name, { low, high });
  // An index is seldom asked while rows are pending, so it is looked through instead of kept.
  const found: { readonly id: string; readonly row: LayerRow }[] = [];
  for (const row of layer.all(way.table.name)) {
    // Most are of something else, which takes no key string to see.
    if (row.row === undefined || !maybeBegins(way, row.row, range.prefix)) continue;
    const id = wayString(way, row.row);
    if (id >= low && id < high) found.push({ id, row });
  }
  return found.sort((a, b) => (a.id < b.id ? -1 : 1)).map(({ row }) => row);
}

/** False when the row's key surely does not begin so; bytes are not looked at. */
function maybeBegins(way: Way, row: Row, prefix: Key): boolean {
  for (let i = 0; i < prefix.length; i++) {
    const part = prefix[i];
    if (!(part instanceof Uint8Array) && row[way.key[i] ?? ''] !== part) return false;
  }
  return true;
}

/** How many rows from below the layer may hide, at most. */
function hiddenCount(layer: Layer, way: Way, over: readonly LayerRow[]): number {
  if (way.index === undefined) return over.reduce((count, { isNew }) => count + (isNew ? 0 : 1), 0);
  return layer.hidingCount(way.table.name);
}

function wayString(way: Way, row: Row): string {
  return keyString(way.key.map((column) => row[column] as KeyPart));
}

/**
 * The first rows of both, without those below that the layer hides. Where there are more below than `rows`, it ends with
 * the last of them: what comes behind it is not known.
 */
function merge(
  layer: Layer,
  way: Way,
  below: { readonly rows: readonly Row[]; readonly isAll: boolean },
  over: readonly LayerRow[],
  range: AnyRange,
): readonly Row[] {
  const isReverse = range.reverse === true;
  const merged: Row[] = [];
  let at = isReverse ? over.length - 1 : 0;
  /** The layer's rows in front of the row with this id, or with it. */
  const takeUpTo = (id: string | undefined): void => {
    for (; at >= 0 && at < over.length && merged.length < range.limit; at += isReverse ? -1 : 1) {
      const row = over[at]?.row;
      if (row === undefined) continue;
      const own = id === undefined ? undefined : wayString(way, row);
      if (own !== undefined && id !== undefined && (isReverse ? own < id : own > id)) return;
      merged.push(row);
    }
  };
  for (const row of below.rows) {
    if (merged.length === range.limit) break;
    const tableId = keyString(keyOf(way.table, row));
    takeUpTo(way.index === undefined ? tableId : wayString(way, row));
    if (merged.length < range.limit && layer.get(way.table.name, tableId) === undefined) merged.push(row);
  }
  if (below.isAll) takeUpTo(undefined);
  return merged;
}
