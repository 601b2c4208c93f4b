/**
 * Open files for reading, kept so that a read costs one pread and not three trips to the operating system.
 * At most `handlesMax` are open, or as many as there are reads in flight when these are more: a handle in use is never
 * closed, the one longest idle goes first. A key that is forgotten is opened anew by the next read, while reads in
 * flight finish on the old handle.
 */
import type { DiskFile } from './disk.ts';

interface Entry {
  readonly key: string;
  readonly file: Promise<DiskFile>;
  /** Once it is open. */
  opened: DiskFile | undefined;
  users: number;
  isForgotten: boolean;
}

export class HandleCache {
  readonly #open: (key: string) => Promise<DiskFile>;
  readonly #handlesMax: number;
  /** In order of last use. */
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new Set<Promise<void>>();
  #openCount = 0;

  constructor(open: (key: string) => Promise<DiskFile>, handlesMax: number) {
    this.#open = open;
    this.#handlesMax = handlesMax;
  }

  /** Handles open or being opened. */
  get openCount(): number {
    return this.#openCount;
  }

  /** Runs `read` with the key's open file, which stays open until it ends. @throws what opening throws. */
  async use<T>(key: string, read: (file: DiskFile) => Promise<T>): Promise<T> {
    const entry = this.#take(key);
    try {
      return await read(await entry.file);
    } finally {
      entry.users--;
      if (entry.isForgotten && entry.users === 0) this.#close(entry);
      this.#trim();
    }
  }

  /** The key's file when it is open: to be used in this turn, and for nothing that waits. */
  peek(key: string): DiskFile | undefined {
    return this.#entries.get(key)?.opened;
  }

  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    entry.isForgotten = true;
    if (entry.users === 0) this.#close(entry);
  }

  /** Closes all that is idle, and waits for it; what is in use closes after its last read. */
  async clear(): Promise<void> {
    for (const key of [...this.#entries.keys()]) this.forget(key);
    await Promise.all(this.#closing);
  }

  #take(key: string): Entry {
    const known = this.#entries.get(key);
    const entry = known ?? this.#newEntry(key);
    entry.users++;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (known === undefined) this.#trim();
    return entry;
  }

  #newEntry(key: string): Entry {
    const entry: Entry = { key, file: this.#open(key), opened: undefined, users: 0, isForgotten: false };
    this.#openCount++;
    entry.file.then(
      (file) => (entry.opened = file),
      () => {
        // What could not be opened must be tried again by the next read.
        if (this.#entries.get(key) === entry) this.forget(key);
      },
    );
    return entry;
  }

  #trim(): void {
    if (this.#openCount <= this.#handlesMax) return;
    for (const entry of this.#entries.values()) {
      if (this.#openCount <= this.#handlesMax) return;
      if (entry.users === 0) this.forget(entry.key);
    }
  }

  #close(entry: Entry): void {
    this.#openCount--;
    // Nothing was written through this handle, so a fault of closing it loses nothing; one of opening was answered.
    const closing = entry.file.then((file) => file.close()).catch(() => {});
    this.#closing.add(closing);
    closing.then(() => this.#closing.delete(closing));
  }
}
