/**
 * The disk as Holdfast sees it: the few calls of an operating system that its own files need, so that the same code
 * runs on a real folder and on a seeded disk that loses what was not synced, tears writes, fills up or fails.
 * Paths are `/`-separated and relative to the disk's own root, which is ''. Errors are Faults: `not-found`, `exists`,
 * `not-empty`, `not-folder`, `is-folder`, `full`, `read-only`, `denied`, and `io` for all else.
 *
 * Durability, as POSIX gives it and no more: bytes of a file are durable after `sync` of its handle; a name (made,
 * renamed or removed) is durable after `syncFolder` of its folder.
 */

export interface DiskFile extends AsyncDisposable {
  /** Reads up to `into.length` bytes from `offset`; answers how many, fewer only at the end of the file. */
  read(into: Uint8Array, offset: number): Promise<number>;
  /**
   * The same in the caller's turn, where the system can say without waiting for anything: whether all of `into` was
   * filled. When it was not, `read` finds out why. Absent where there is no such way.
   */
  readNow?(into: Uint8Array, offset: number): boolean;
  /** Writes all of `parts` from `offset`, one behind the other. On a fault any prefix may have been written. */
  write(parts: readonly Uint8Array[], offset: number): Promise<void>;
  truncate(lengthBytes: number): Promise<void>;
  /** Bytes written so far survive a power cut once this resolves. */
  sync(): Promise<void>;
  sizeBytes(): Promise<number>;
  close(): Promise<void>;
}

export interface DiskStat {
  readonly kind: 'file' | 'folder' | 'other';
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** `read`: must exist. `write`: must exist, read and write. `create`: must not exist, read and write. */
export type DiskOpenMode = 'read' | 'write' | 'create';

export interface Disk {
  open(path: string, mode: DiskOpenMode): Promise<DiskFile>;
  /** Absent is an answer. */
  stat(path: string): Promise<DiskStat | undefined>;
  /** Names in a folder, in byte order; none when the folder is absent. */
  list(path: string): Promise<string[]>;
  /** Makes a folder; its parent must exist. Fine when it is there already. Not durable before `syncFolder(parent)`. */
  makeFolder(path: string): Promise<void>;
  /** Replaces what stands at `to`, atomically. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; fine when it is absent. */
  remove(path: string): Promise<void>;
  /** Removes an empty folder; fine when it is absent, `not-empty` when it is not empty. */
  removeFolder(path: string): Promise<void>;
  syncFolder(path: string): Promise<void>;
}
