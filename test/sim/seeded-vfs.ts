/**
 * SQLite's file system on a seeded disk: what the database writes, syncs, shortens and removes goes to the same disk as
 * everything else of a store, and a power cut or a failing call strikes it alike.
 *
 * It behaves as SQLite's own file system on Unix does where that decides what a crash leaves: the folder is synced with
 * the first sync of a log or journal that was opened to be made, and when a removal asks for it; the name of the
 * database itself is not. An empty file counts as absent where SQLite asks whether a journal is there.
 * Of the disk it claims sectors of 512 bytes and, unless told otherwise, nothing else: no atomic write, no kept
 * neighbours of a torn one. There is no shared memory, so a log needs `locking_mode = EXCLUSIVE`.
 *
 * One VFS serves all disks; `mount` gives a disk the number with which its paths begin: `/7/meta/db`.
 */
import { assert, type Clock, Fault, msOfMoment, type Random } from '../../src/base/index.ts';
import type { SeededDisk, SeededFile } from '../../src/objects/index.ts';
import { loadSqliteWasm, type Pointer, type SqliteStruct, type SqliteWasm } from '../infra/sqlite-wasm.ts';

export const VFS_NAME = 'seeded';
const SECTOR_BYTES = 512;
const PATH_BYTES_MAX = 512;
/** Milliseconds of SQLite's time at 1970. */
const JULIAN_1970_MS = 210_866_760_000_000;

const OK = 0;
const FULL = 13;
const CANTOPEN = 14;
const NOTFOUND = 12;
const IOERR = {
  read: 266,
  shortRead: 522,
  write: 778,
  sync: 1034,
  folderSync: 1290,
  truncate: 1546,
  size: 1802,
  delete: 2570,
  access: 3338,
  close: 4106,
  deleteAbsent: 5898,
} as const;
const OPEN = { create: 0x4, deleteOnClose: 0x8, readOnly: 0x1, journal: 0x800, superJournal: 0x4000, log: 0x80000 };
const ACCESS_EXISTS = 0;
const POWERSAFE_OVERWRITE = 0x1000;

export interface Mount extends Disposable {
  readonly number: number;
  /**
   * SQLite has one source of chance for all databases (salts of logs come from it). From here on it is this mount's,
   * from its next bytes, so that a run does not depend on what other databases drew.
   */
  lead(): void;
  /** The error behind SQLite's last result code; taking it clears it. */
  takeError(): unknown;
}

export interface MountOptions {
  readonly disk: SeededDisk;
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Claims, as SQLite does of a Unix disk, that a write never harms bytes beside it; then the log is not padded to
   * whole sectors. True of the seeded disk. False when absent.
   */
  readonly isPowersafeOverwrite?: boolean;
}

interface Mounted extends MountOptions {
  error: unknown;
}

interface OpenFile {
  readonly mounted: Mounted;
  readonly file: SeededFile;
  readonly path: string;
  readonly isDeletedOnClose: boolean;
  /** Folder to sync with the next sync. */
  unsyncedFolder: string | undefined;
}

const mounts = new Map<number, Mounted>();
let mountCount = 0;
let leader: Mounted | undefined;
let vfs: Promise<SeededVfs> | undefined;

/** Gives a disk a number under which SQLite finds it, until it is disposed. */
export function mount(sqlite: SqliteWasm, options: MountOptions): Mount {
  const number = ++mountCount;
  const mounted: Mounted = { ...options, error: undefined };
  mounts.set(number, mounted);
  return {
    number,
    lead: () => {
      leader = mounted;
      sqlite.functions.sqlite3_randomness(0, 0);
    },
    takeError: () => {
      const { error } = mounted;
      mounted.error = undefined;
      return error;
    },
    [Symbol.dispose]: () => {
      mounts.delete(number);
    },
  };
}

/** SQLite with the VFS registered; the same each time. */
export function sqliteWithSeededVfs(): Promise<SqliteWasm> {
  vfs ??= loadSqliteWasm().then((sqlite) => new SeededVfs(sqlite));
  return vfs.then(({ sqlite }) => sqlite);
}

class SeededVfs {
  readonly sqlite: SqliteWasm;
  readonly #files = new Map<Pointer, OpenFile>();
  readonly #ioMethods: SqliteStruct;

  constructor(sqlite: SqliteWasm) {
    this.sqlite = sqlite;
    this.#ioMethods = sqlite.newIoMethods(this.#fileMethods());
    sqlite.registerVfs(VFS_NAME, { $iVersion: 2, $szOsFile: 4, $mxPathname: PATH_BYTES_MAX }, this.#diskMethods());
  }

  #diskMethods() {
    return {
      xOpen: (_vfs: Pointer, name: Pointer, file: Pointer, flags: number, outFlags: Pointer) => {
        this.sqlite.poke32(file, 0);
        // Nameless files are temporary ones; this build keeps those in memory.
        if (name === 0) return CANTOPEN;
        const at = placeOf(this.sqlite.textAt(name));
        return answer(at.mounted, CANTOPEN, () => {
          this.#files.set(file, open(at, flags));
          this.sqlite.poke32(file, this.#ioMethods.pointer);
          if (outFlags !== 0) this.sqlite.poke32(outFlags, flags);
          return OK;
        });
      },
      xDelete: (_vfs: Pointer, name: Pointer, syncsFolder: number) => {
        const { mounted, path, folder } = placeOf(this.sqlite.textAt(name));
        const removed = answer(mounted, IOERR.delete, () => {
          if (mounted.disk.statSync(path) === undefined) return IOERR.deleteAbsent;
          mounted.disk.removeSync(path);
          return OK;
        });
        if (removed !== OK || syncsFolder === 0) return removed;
        return answer(mounted, IOERR.folderSync, () => mounted.disk.syncFolderSync(folder));
      },
      xAccess: (_vfs: Pointer, name: Pointer, wanted: number, out: Pointer) => {
        const { mounted, path } = placeOf(this.sqlite.textAt(name));
        return answer(mounted, IOERR.access, () => {
          const stat = mounted.disk.statSync(path);
          const isThere =
            stat !== undefined && (wanted !== ACCESS_EXISTS || stat.kind !== 'file' || stat.sizeBytes > 0);
          this.sqlite.poke32(out, isThere ? 1 : 0);
        });
      },
      xFullPathname: (_vfs: Pointer, name: Pointer, bytesMax: number, out: Pointer) => {
        const heap = this.sqlite.heap();
        const end = heap.indexOf(0, name) + 1;
        if (end - name > bytesMax) return CANTOPEN;
        heap.copyWithin(out, name, end);
        return OK;
      },
      xRandomness: (_vfs: Pointer, count: number, out: Pointer) => {
        this.sqlite.heap().set(leader?.random.bytes(count) ?? new Uint8Array(count), out);
        return count;
      },
      xSleep: (_vfs: Pointer, microseconds: number) => microseconds,
      xCurrentTimeInt64: (_vfs: Pointer, out: Pointer) => {
        const nowMs = leader === undefined ? 0 : Math.floor(msOfMoment(leader.clock.now()));
        this.sqlite.poke64(out, BigInt(JULIAN_1970_MS + nowMs));
        return OK;
      },
      xGetLastError: () => OK,
    };
  }

  #fileMethods() {
    return {
      xClose: (pointer: Pointer) => {
        const { mounted, file, path, isDeletedOnClose } = this.#file(pointer);
        this.#files.delete(pointer);
        return answer(mounted, IOERR.close, () => {
          file.closeSync();
          if (isDeletedOnClose) mounted.disk.removeSync(path);
        });
      },
      xRead: (pointer: Pointer, into: Pointer, count: number, offset: bigint) => {
        const { mounted, file } = this.#file(pointer);
        return answer(mounted, IOERR.read, () => {
          const bytes = this.sqlite.heap().subarray(into, into + count);
          const found = file.readSync(bytes, Number(offset));
          if (found === count) return OK;
          bytes.fill(0, found);
          return IOERR.shortRead;
        });
      },
      xWrite: (pointer: Pointer, from: Pointer, count: number, offset: bigint) => {
        const { mounted, file } = this.#file(pointer);
        return answer(mounted, IOERR.write, () =>
          file.writeSync([this.sqlite.heap().subarray(from, from + count)], Number(offset)),
        );
      },
      xTruncate: (pointer: Pointer, length: bigint) => {
        const { mounted, file } = this.#file(pointer);
        return answer(mounted, IOERR.truncate, () => file.truncateSync(Number(length)));
      },
      xSync: (pointer: Pointer, _flags: number) => {
        const opened = this.#file(pointer);
        const synced = answer(opened.mounted, IOERR.sync, () => opened.file.syncSync());
        if (synced !== OK || opened.unsyncedFolder === undefined) return synced;
        const folder = opened.unsyncedFolder;
        opened.unsyncedFolder = undefined;
        return answer(opened.mounted, IOERR.folderSync, () => opened.mounted.disk.syncFolderSync(folder));
      },
      xFileSize: (pointer: Pointer, out: Pointer) => {
        const { mounted, file } = this.#file(pointer);
        return answer(mounted, IOERR.size, () => this.sqlite.poke64(out, BigInt(file.sizeBytesSync())));
      },
      // One process, one connection: who holds the store decides that, not this file system.
      xLock: (_pointer: Pointer, _kind: number) => OK,
      xUnlock: (_pointer: Pointer, _kind: number) => OK,
      xCheckReservedLock: (_pointer: Pointer, out: Pointer) => {
        this.sqlite.poke32(out, 0);
        return OK;
      },
      xFileControl: (_pointer: Pointer, _operation: number, _argument: Pointer) => NOTFOUND,
      xSectorSize: (_pointer: Pointer) => SECTOR_BYTES,
      xDeviceCharacteristics: (pointer: Pointer) =>
        this.#file(pointer).mounted.isPowersafeOverwrite === true ? POWERSAFE_OVERWRITE : 0,
    };
  }

  #file(pointer: Pointer): OpenFile {
    const file = this.#files.get(pointer);
    assert(file !== undefined, 'SQLite uses files that it opened');
    return file;
  }
}

interface Place {
  readonly mounted: Mounted;
  readonly path: string;
  readonly folder: string;
}

function placeOf(name: string): Place {
  const [, number, path = ''] = /^\/(\d+)\/(.+)$/.exec(name) ?? [];
  const mounted = mounts.get(Number(number));
  assert(mounted !== undefined, 'SQLite opens files of mounted disks only', { name });
  return { mounted, path, folder: path.slice(0, Math.max(0, path.lastIndexOf('/'))) };
}

function open({ mounted, path, folder }: Place, flags: number): OpenFile {
  const { disk } = mounted;
  const mode = (flags & OPEN.readOnly) !== 0 ? 'read' : 'write';
  const isMaking = (flags & OPEN.create) !== 0;
  const isThere = disk.statSync(path) !== undefined;
  const isLog = (flags & (OPEN.journal | OPEN.superJournal | OPEN.log)) !== 0;
  return {
    mounted,
    file: disk.openSync(path, isMaking && !isThere ? 'create' : mode),
    path,
    isDeletedOnClose: (flags & OPEN.deleteOnClose) !== 0,
    unsyncedFolder: isMaking && isLog ? folder : undefined,
  };
}

/**
 * Runs one call and answers a result code; nothing may be thrown through SQLite. What was thrown is kept for whoever
 * called SQLite, so that a bug in here comes out as what it is.
 */
function answer(mounted: Mounted, code: number, act: () => unknown): number {
  try {
    const answered = act();
    return typeof answered === 'number' ? answered : OK;
  } catch (error) {
    mounted.error ??= error;
    // As on Unix: a disk without room is told apart where bytes are written, and nowhere else.
    return code === IOERR.write && Fault.is(error, 'full') ? FULL : code;
  }
}
