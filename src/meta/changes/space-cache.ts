/**
 * What every change asks of its space and few ever change: its pins, and whether it has any lock, or any folder that was
 * unlinked whole and is not taken apart yet. Nearly always there is none, so that answer is kept; the other is not, and the
 * rows are asked again. Whoever keeps it must clear it when a group is rolled back, or when others may have written.
 */
import type { SpaceId } from '../ids.ts';
import type { Change } from '../meta-store.ts';
import { type LockRow, REAP_KIND } from '../rows/rows.ts';
import type { Overlay } from './overlay.ts';
import { PinCache, type PinSet } from './pins.ts';

/** Spaces of which it is kept that there is none; beyond, all are forgotten. */
export const ABSENT_SPACES_MAX = 1_000;

export class SpaceCache {
  readonly #pins = new PinCache();
  readonly #withoutLocks = new Set<SpaceId>();
  readonly #withoutUnlinked = new Set<SpaceId>();

  pinsOf(space: SpaceId, rows: Overlay): PinSet {
    return this.#pins.of(space, rows);
  }

  /** One of the locks of the space. */
  anyLock(space: SpaceId, rows: Overlay): LockRow | undefined {
    if (this.#withoutLocks.has(space)) return undefined;
    const [any] = rows.scan('locks', { prefix: [space], limit: 1 });
    if (any === undefined) keep(this.#withoutLocks, space);
    return any;
  }

  /** Whether a folder of the space is being taken apart. */
  hasUnlinked(space: SpaceId, rows: Overlay): boolean {
    if (this.#withoutUnlinked.has(space)) return false;
    const isNone = rows.scan('reaps', { prefix: [space, REAP_KIND.folder], limit: 1 }).length === 0;
    if (isNone) keep(this.#withoutUnlinked, space);
    return !isNone;
  }

  /** The change was applied. */
  applied({ puts = [], deletes = [] }: Change): void {
    for (const { table, row } of puts) {
      if (table === 'pins') this.#pins.forget(row.space);
      else if (table === 'locks') this.#withoutLocks.delete(row.space);
      else if (table === 'reaps') this.#withoutUnlinked.delete(row.space);
    }
    for (const { table, key } of deletes) if (table === 'pins') this.#pins.forget(key[0]);
  }

  clear(): void {
    this.#pins.clear();
    this.#withoutLocks.clear();
    this.#withoutUnlinked.clear();
  }
}

function keep(spaces: Set<SpaceId>, space: SpaceId): void {
  if (spaces.size >= ABSENT_SPACES_MAX) spaces.clear();
  spaces.add(space);
}
