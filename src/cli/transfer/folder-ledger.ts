/**
 * Knows when a folder is finished: everything in it has been handed out, and everything handed out is done. Only then
 * may its mode and its times be set, because making things in it changes its times and needs its permission. Holds the
 * folders that are open or have work under way, never the whole tree.
 */
import { liesUnder } from '../local/raw.ts';

interface Folder<T> {
  readonly relative: string;
  readonly value: T;
  readonly parent: Folder<T> | undefined;
  pending: number;
  isClosed: boolean;
}

/** Says that one item is done; called once. */
export type Done = () => void;

export interface Place<T> {
  /** The folder around it; `undefined` at the top. */
  readonly parent: T | undefined;
  readonly done: Done;
}

export class FolderLedger<T> {
  readonly #finish: (value: T) => void;
  readonly #open: Folder<T>[] = [];

  /** `finish` is called once for each folder, those within before those around. */
  constructor(finish: (value: T) => void) {
    this.#finish = finish;
  }

  /**
   * Opens a folder; the folders around it that do not hold it are closed. Call in the order of a manifest. Answers the
   * folder that it stands in, and what to call when it has been made itself.
   */
  enter(relative: string, value: T): Place<T> {
    const parent = this.#closeTo(relative);
    if (parent !== undefined) parent.pending++;
    const folder: Folder<T> = { relative, value, parent, pending: 1, isClosed: false };
    this.#open.push(folder);
    return { parent: parent?.value, done: () => this.#settle(folder) };
  }

  /** The folder that the path stands in, open since; and what to call when the item is done. */
  item(relative: string): Place<T> {
    const parent = this.#closeTo(relative);
    if (parent === undefined) return { parent: undefined, done: () => {} };
    parent.pending++;
    return { parent: parent.value, done: () => this.#settle(parent) };
  }

  /** Closes what is still open. */
  end(): void {
    while (this.#open.length > 0) this.#close();
  }

  #closeTo(relative: string): Folder<T> | undefined {
    for (let top = this.#open.at(-1); top !== undefined; top = this.#open.at(-1)) {
      if (liesUnder(relative, top.relative)) return top;
      this.#close();
    }
    return undefined;
  }

  #close(): void {
    const folder = this.#open.pop();
    if (folder === undefined) return;
    folder.isClosed = true;
    this.#check(folder);
  }

  #settle(folder: Folder<T>): void {
    folder.pending--;
    this.#check(folder);
  }

  #check(folder: Folder<T>): void {
    if (!folder.isClosed || folder.pending > 0) return;
    this.#finish(folder.value);
    if (folder.parent !== undefined) this.#settle(folder.parent);
  }
}
