/**
 * Reading an open folder page by page. Offsets are positions in the order of names as this reading came across them; a
 * page is kept while it is being read, so that names removed meanwhile shift nothing, and where each page began is kept,
 * so that a reader may go back.
 */
import type { EntryRow, NodeId, SpaceId, SyncReader } from '../../meta/index.ts';
import type { FolderEntry } from './posix.ts';

const PAGE_ENTRIES = 1_000;

export class FolderReading {
  readonly #rows: SyncReader;
  readonly #prefix: readonly [SpaceId, NodeId];
  /** The name before each page; the first page has none. */
  #starts: (Uint8Array | undefined)[] = [undefined];
  #page: { readonly number: number; readonly entries: readonly EntryRow[]; readonly changeCount: number } | undefined;
  readonly #changeCount: () => number;

  /** `changeCount`: how often anything was changed so far. */
  constructor(rows: SyncReader, space: SpaceId, folder: NodeId, changeCount: () => number) {
    this.#rows = rows;
    this.#prefix = [space, folder];
    this.#changeCount = changeCount;
  }

  get folder(): NodeId {
    return this.#prefix[1];
  }

  /** Whether nothing was changed since the page that was read last was looked up. */
  get isCurrent(): boolean {
    return this.#page?.changeCount === this.#changeCount();
  }

  /** Entries behind `offset`; none at the end. */
  read(offset: number, count: number): readonly FolderEntry[] {
    if (offset === 0) {
      // From the beginning is anew, as POSIX says of rewinding.
      this.#starts = [undefined];
      this.#page = undefined;
    }
    const number = Math.floor(offset / PAGE_ENTRIES);
    const entries = this.#load(number);
    const from = offset % PAGE_ENTRIES;
    return entries.slice(from, from + count).map(({ name, node, kind }, index) => ({
      ...{ name, node, kind },
      offset: offset + index + 1,
    }));
  }

  #load(number: number): readonly EntryRow[] {
    if (this.#page?.number === number) return this.#page.entries;
    if (number >= this.#starts.length) return [];
    const after = this.#starts[number];
    const range = { prefix: this.#prefix, ...(after === undefined ? {} : { after: [after] as const }) };
    const entries = this.#rows.scan('entries', { ...range, limit: PAGE_ENTRIES });
    this.#page = { number, entries, changeCount: this.#changeCount() };
    const last = entries.at(-1);
    if (last !== undefined && entries.length === PAGE_ENTRIES) this.#starts[number + 1] = last.name;
    return entries;
  }
}
