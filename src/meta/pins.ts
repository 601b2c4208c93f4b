/**
 * Which rows of a space a pin still needs. Pins are few and change seldom, so an engine keeps them between changes; it
 * must clear the cache when a group is rolled back or when another process may have written.
 */
import type { CommitNumber, SpaceId } from './ids.ts';
import type { Overlay } from './overlay.ts';
import type { PinRow } from './rows.ts';

/** Spaces whose pins are kept at once; beyond, all are forgotten. */
export const PIN_SPACES_MAX = 1_000;
const PIN_PAGE_ROWS = 1_000;

export class PinCache {
  readonly #spaces = new Map<SpaceId, readonly PinRow[]>();

  of(space: SpaceId, rows: Pick<Overlay, 'scan'>): readonly PinRow[] {
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
    this.#spaces.set(space, pins);
    return pins;
  }

  forget(space: SpaceId): void {
    this.#spaces.delete(space);
  }

  clear(): void {
    this.#spaces.clear();
  }
}

/** Whether a pin that has not expired covers a commit at which a row of this life was visible: born ≤ c < died. */
export function isPinned(
  pins: readonly PinRow[],
  life: { readonly born: CommitNumber; readonly died: CommitNumber; readonly nowSeconds: number },
): boolean {
  if (life.born >= life.died) return false;
  return pins.some(
    (pin) =>
      pin.fromCommit < life.died &&
      (pin.toCommit === null || pin.toCommit >= life.born) &&
      (pin.expiresSeconds === null || pin.expiresSeconds > life.nowSeconds),
  );
}
