/**
 * A real folder as a Disk, over node:fs. Files and folders are made for their owner's eyes only.
 * Durability is the operating system's: `sync` is fdatasync, which covers the bytes and a changed length, all that a
 * reader needs; times are not waited for. A folder is synced through a handle of its own.
 * The folder itself must exist, and its own name be durable, before a NodeDisk stands on it.
 */
import { type FileHandle, mkdir, open, readdir, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { assert } from '../base/index.ts';
import { inByteOrder } from './byte-order.ts';
import type { Disk, DiskFile, DiskOpenMode, DiskStat } from './disk.ts';
import { diskFault, errnoOf } from './disk-fault.ts';
import { readNow } from './read-now.ts';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const FLAGS = { read: 'r', write: 'r+', create: 'wx+' } as const satisfies Record<DiskOpenMode, string>;
const LEAVES_ROOT = /^\/|(?:^|\/)\.{1,2}(?:\/|$)|\0/;

export class NodeDisk implements Disk {
  /** Absolute path of the folder that is this disk's root. */
  readonly root: string;

  constructor(root: string) {
    this.root = resolve(root);
  }

  async open(path: string, mode: DiskOpenMode): Promise<DiskFile> {
    const full = this.#full(path);
    const handle = await tried(mode === 'create' ? 'Making' : 'Opening', full, open(full, FLAGS[mode], FILE_MODE));
    return new NodeFile(handle, full);
  }

  async stat(path: string): Promise<DiskStat | undefined> {
    const full = this.#full(path);
    try {
      const found = await stat(full);
      const kind = found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other';
      return { kind, sizeBytes: found.size, modifiedMs: found.mtimeMs };
    } catch (error) {
      if (isOneOf(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw translated(error, 'Looking at', full);
    }
  }

  async list(path: string): Promise<string[]> {
    const full = this.#full(path);
    try {
      return inByteOrder(await readdir(full));
    } catch (error) {
      if (isOneOf(error, 'ENOENT')) return [];
      throw translated(error, 'Listing', full);
    }
  }

  async makeFolder(path: string): Promise<void> {
    const full = this.#full(path);
    try {
      await mkdir(full, FOLDER_MODE);
    } catch (error) {
      if (isOneOf(error, 'EEXIST') && (await this.stat(path))?.kind === 'folder') return;
      throw translated(error, 'Making folder', full);
    }
  }

  async rename(from: string, to: string): Promise<void> {
    const [source, target] = [this.#full(from), this.#full(to)];
    await tried(`Renaming ${source} to`, target, rename(source, target));
  }

  async remove(path: string): Promise<void> {
    const full = this.#full(path);
    try {
      await unlink(full);
    } catch (error) {
      if (!isOneOf(error, 'ENOENT')) throw translated(error, 'Removing', full);
    }
  }

  async removeFolder(path: string): Promise<void> {
    const full = this.#full(path);
    try {
      await rmdir(full);
    } catch (error) {
      if (!isOneOf(error, 'ENOENT')) throw translated(error, 'Removing folder', full);
    }
  }

  async syncFolder(path: string): Promise<void> {
    const full = this.#full(path);
    const handle = await tried('Opening folder', full, open(full, 'r'));
    try {
      await tried('Syncing folder', full, handle.sync());
    } finally {
      await handle.close();
    }
  }

  #full(path: string): string {
    assert(!LEAVES_ROOT.test(path), 'a path stays below the root of its disk', { path });
    return path === '' ? this.root : `${this.root}/${path}`;
  }
}

class NodeFile implements DiskFile {
  readonly #handle: FileHandle;
  readonly #path: string;
  #closing: Promise<void> | undefined;

  constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    let done = 0;
    try {
      // A read may come back short before the end (a signal, a network file system); only 0 means the end.
      while (done < into.length) {
        const { bytesRead } = await this.#handle.read(into, done, into.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    } catch (error) {
      throw translated(error, 'Reading', this.#path);
    }
  }

  readNow(into: Uint8Array, offset: number): boolean {
    return this.#closing === undefined && into.length > 0 && readNow(this.#handle.fd, into, offset);
  }

  async write(parts: readonly Uint8Array[], offset: number): Promise<void> {
    let at = offset;
    let rest = parts.filter((part) => part.length > 0);
    try {
      // A short write is how a nearly full disk answers first: the next one names the reason.
      while (rest.length > 0) {
        const { bytesWritten } = await this.#handle.writev(rest, at);
        assert(bytesWritten > 0, 'a write of bytes writes some or fails', { path: this.#path });
        at += bytesWritten;
        rest = behind(rest, bytesWritten);
      }
    } catch (error) {
      throw translated(error, 'Writing to', this.#path);
    }
  }

  truncate(lengthBytes: number): Promise<void> {
    return tried('Shortening', this.#path, this.#handle.truncate(lengthBytes));
  }

  sync(): Promise<void> {
    return tried('Syncing', this.#path, this.#handle.datasync());
  }

  async sizeBytes(): Promise<number> {
    return (await tried('Measuring', this.#path, this.#handle.stat())).size;
  }

  close(): Promise<void> {
    this.#closing ??= tried('Closing', this.#path, this.#handle.close());
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** What is left of `parts` after their first `count` bytes. */
function behind(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count;
  for (const [index, part] of parts.entries()) {
    if (left < part.length) return [part.subarray(left), ...parts.slice(index + 1)];
    left -= part.length;
  }
  return [];
}

function isOneOf(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(errnoOf(error) ?? '');
}

function translated(error: unknown, did: string, path: string): unknown {
  const errno = errnoOf(error);
  return errno === undefined ? error : diskFault(errno, did, path, error);
}

async function tried<T>(did: string, path: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw translated(error, did, path);
  }
}
