/**
 * The caller's own disk, as the verbs need it: stat, list, read, write beside and rename. A narrow interface, so that
 * tests can put a refusing disk in its place. Paths are raw strings (raw.ts). Small things are done synchronously: the
 * page cache answers in microseconds, a trip through the thread pool costs more than the read itself. Bytes of large
 * files are read and written in the thread pool, beside the hashing of this thread.
 *
 * Errors of the operating system become Faults that name the file and say what to do.
 */
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  promises,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import type { FileKind } from '../../api/index.ts';
import { Fault, type FaultCode } from '../../base/index.ts';
import { setFileTimes, setOpenFileTimes } from './file-times.ts';
import { rawOfText, systemPath, textOfRaw } from './raw.ts';

export interface LocalStat {
  readonly kind: FileKind;
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint;
  /** Permission bits, 0–0o7777. */
  readonly mode: number;
  /** The same for two paths exactly if they are the same file. */
  readonly identity: string;
}

export interface LocalReader extends AsyncDisposable {
  /** Fills `target` from where the last read ended; 0 at the end. */
  read(target: Uint8Array): Promise<number>;
  stat(): LocalStat;
}

export interface LocalWriter extends AsyncDisposable {
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Ends the file at `size`, sets its bits, and waits for the disk when `isDurable`. */
  finish(options: { readonly size: number; readonly mode: number; readonly isDurable: boolean }): Promise<void>;
}

export interface WholeOptions {
  readonly mode: number;
  readonly mtimeNs: bigint | undefined;
  readonly isDurable: boolean;
}

export interface LocalDisk {
  /** Whether a thread of this process that works on the real disk does just what this does. */
  readonly isThreadable: boolean;
  /** `undefined` when there is nothing. Symlinks are not followed unless `follow` is set. */
  stat(path: string, options?: { readonly follow?: boolean }): LocalStat | undefined;
  /** Names in byte order. */
  list(folder: string): string[];
  readLink(path: string): string;
  /** All bytes of a file that is as `expected` says, in `target`. @throws Fault `conflict` when it is not, or changes meanwhile. */
  readWhole(path: string, expected: LocalStat, target: Uint8Array): Uint8Array;
  /** Reads on from `from`; from the beginning when absent. */
  openReader(path: string, from?: number): Promise<LocalReader>;
  /** Makes a folder; false when there is something already. */
  makeFolder(path: string): boolean;
  /** Makes a new file; `exists` when there is something. Its time is set as `setModified` does. */
  writeWhole(path: string, bytes: Uint8Array, options: WholeOptions): void;
  openWriter(path: string): Promise<LocalWriter>;
  makeLink(path: string, target: string): void;
  setMode(path: string, mode: number): void;
  /** Of the path itself, also when it is a symlink. Exact where the system lets us, else within a microsecond. */
  setModified(path: string, mtimeNs: bigint): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
  /** Waits until the names in a folder are on disk. */
  syncFolder(path: string): void;
}

const CODE_OF_ERRNO: Readonly<Record<string, FaultCode>> = {
  ENOENT: 'not-found',
  ENOTDIR: 'not-folder',
  EISDIR: 'is-folder',
  EEXIST: 'exists',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'read-only',
  ENOSPC: 'full',
  EDQUOT: 'quota',
  EFBIG: 'too-large',
  ENOTEMPTY: 'not-empty',
  ENAMETOOLONG: 'invalid',
  ELOOP: 'conflict',
};

const REASON: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there',
  ENOTDIR: 'a part of its path is no folder',
  EISDIR: 'it is a folder',
  EEXIST: 'it exists already',
  EACCES: 'this user may not do that; check its permissions',
  EPERM: 'the system does not allow it',
  EROFS: 'its file system is read-only',
  ENOSPC: 'the disk has no room left',
  EDQUOT: "this user's quota on the disk is used up",
  EFBIG: 'the file system does not take files that large',
  ENAMETOOLONG: 'its path is longer than the system takes',
  ELOOP: 'it is a symlink now, or its path goes through too many of them',
  EIO: 'the disk reports an error',
  EMFILE: 'too many files are open; raise `ulimit -n`',
};

/** The `identity` of the store's own folder, where it is on this machine. */
export async function identityOfStore(context: {
  readonly disk: LocalDisk;
  readonly storeFolder: () => Promise<string | undefined>;
}): Promise<string | undefined> {
  const folder = await context.storeFolder();
  return folder === undefined ? undefined : context.disk.stat(rawOfText(folder), { follow: true })?.identity;
}

/** A refusal of the operating system as a Fault; everything else passes unchanged. */
export function faultOfSystem(error: unknown, what: string, path: string): unknown {
  const errno = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (Fault.is(error) || errno === undefined || !/^E[A-Z0-9]+$/.test(errno)) return error;
  const shown = textOfRaw(path);
  const sentence = `${what} ${shown} failed: ${REASON[errno] ?? `the system answered ${errno}`}.`;
  return new Fault(CODE_OF_ERRNO[errno] ?? 'io', sentence, { local: shown, errno }, error);
}

function guarded<T>(what: string, path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw faultOfSystem(error, what, path);
  }
}

async function guardedLater<T>(what: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw faultOfSystem(error, what, path);
  }
}

const KIND_OF_FORMAT: Readonly<Record<number, FileKind>> = {
  [constants.S_IFREG]: 'file',
  [constants.S_IFDIR]: 'folder',
  [constants.S_IFLNK]: 'symlink',
  [constants.S_IFIFO]: 'fifo',
  [constants.S_IFSOCK]: 'socket',
  [constants.S_IFCHR]: 'char-device',
  [constants.S_IFBLK]: 'block-device',
};

function statOf(stats: BigIntStats): LocalStat {
  const mode = Number(stats.mode);
  return {
    kind: KIND_OF_FORMAT[mode & constants.S_IFMT] ?? 'file',
    size: Number(stats.size),
    mtimeNs: stats.mtimeNs,
    mode: mode & 0o7777,
    identity: `${stats.dev}:${stats.ino}`,
  };
}

/** A file that changed under our hands; the one who reads it may try again. */
export function changedFault(path: string): Fault {
  const shown = textOfRaw(path);
  return new Fault('conflict', `${shown} changed while it was read. Run the command again when it is at rest.`, {
    local: shown,
    changed: true,
  });
}

export function isSameState(a: LocalStat, b: LocalStat): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.identity === b.identity;
}

/** No symlinks, because the walk saw a file; no waiting, because it may have become a FIFO. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CREATE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export const realDisk: LocalDisk = {
  isThreadable: true,
  stat(path, options) {
    const stat = options?.follow === true ? statSync : lstatSync;
    try {
      const stats = stat(systemPath(path), { bigint: true, throwIfNoEntry: false });
      return stats === undefined ? undefined : statOf(stats);
    } catch (error) {
      const fault = faultOfSystem(error, 'Looking at', path);
      if (Fault.is(fault, 'not-found', 'not-folder')) return undefined;
      throw fault;
    }
  },
  list(folder) {
    return guarded('Listing', folder, () => readdirSync(systemPath(folder), { encoding: 'latin1' }).sort());
  },
  readLink(path) {
    return guarded('Reading the symlink', path, () => readlinkSync(systemPath(path), { encoding: 'latin1' }));
  },
  readWhole(path, expected, target) {
    return guarded('Reading', path, () => readWhole(path, expected, target));
  },
  openReader(path, from) {
    return guardedLater('Reading', path, () => openReader(path, from));
  },
  makeFolder(path) {
    try {
      mkdirSync(systemPath(path), 0o700);
      return true;
    } catch (error) {
      const fault = faultOfSystem(error, 'Making the folder', path);
      if (Fault.is(fault, 'exists')) return false;
      throw fault;
    }
  },
  writeWhole(path, bytes, options) {
    guarded('Writing', path, () => {
      const fd = openSync(systemPath(path), CREATE_FLAGS, 0o600);
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
        fchmodSync(fd, options.mode);
        if (options.mtimeNs !== undefined) setOpenFileTimes(fd, options.mtimeNs);
        if (options.isDurable) fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  },
  openWriter(path) {
    return guardedLater('Writing', path, () => openWriter(path));
  },
  makeLink(path, target) {
    guarded('Making the symlink', path, () => symlinkSync(systemPath(target), systemPath(path)));
  },
  setMode(path, mode) {
    guarded('Setting the mode of', path, () => chmodSync(systemPath(path), mode));
  },
  setModified(path, mtimeNs) {
    guarded('Setting the time of', path, () => setFileTimes(path, mtimeNs));
  },
  rename(from, to) {
    guarded('Writing', to, () => renameSync(systemPath(from), systemPath(to)));
  },
  remove(path) {
    guarded('Removing', path, () => unlinkSync(systemPath(path)));
  },
  syncFolder(path) {
    guarded('Syncing the folder', path, () => {
      const fd = openSync(systemPath(path), constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  },
};

function readWhole(path: string, expected: LocalStat, target: Uint8Array): Uint8Array {
  const fd = openSync(systemPath(path), READ_FLAGS);
  try {
    const bytes = target.subarray(0, expected.size);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(fd, bytes, length, bytes.length - length, null);
    }
    // The stat comes last: it vouches for everything read before it, and sees what was added behind.
    if (!isSameState(statOf(fstatSync(fd, { bigint: true })), expected)) throw changedFault(path);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

async function openReader(path: string, from?: number): Promise<LocalReader> {
  const handle = await promises.open(systemPath(path), READ_FLAGS);
  let at = from;
  return {
    read: (target) =>
      guardedLater('Reading', path, async () => {
        // A pipe has no places in it.
        const { bytesRead } = await handle.read(target, 0, target.length, at ?? null);
        if (at !== undefined) at += bytesRead;
        return bytesRead;
      }),
    stat: () => guarded('Looking at', path, () => statOf(fstatSync(handle.fd, { bigint: true }))),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function openWriter(path: string): Promise<LocalWriter> {
  const handle = await promises.open(systemPath(path), CREATE_FLAGS, 0o600);
  return {
    write: (bytes, position) =>
      guardedLater('Writing', path, async () => {
        for (let at = 0; at < bytes.length; ) {
          at += (await handle.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
        }
      }),
    finish: (options) =>
      guardedLater('Writing', path, async () => {
        await handle.truncate(options.size);
        await handle.chmod(options.mode);
        if (options.isDurable) await handle.sync();
      }),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}
