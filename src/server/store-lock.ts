/**
 * The lock of a store: one process at a time has a store open, and whoever it is, the kernel lets go of the lock when
 * that process dies, however it dies.
 *
 * It is an exclusive transaction held open on the empty SQLite file `lock`: SQLite takes fcntl locks, which belong to a
 * process, survive no exit, and are not inherited. Two traps come with them. Closing any other descriptor of the file
 * in this process would drop the lock, so nothing but SQLite ever opens it. And on a file it may not write SQLite
 * quietly begins a reading transaction instead, so the lock is proven by a change inside the transaction, which is
 * never committed and, with the journal in memory, never leaves a trace.
 *
 * Beside it `lock.holder` says who holds it: for people and for finding doors, never for deciding who does. It may be
 * stale after a crash, and is believed only while the lock is taken and its process is alive.
 */
import { accessSync, closeSync, constants, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Fault } from '../base/index.ts';
import { faultOfSystem, isSystemError } from './system-fault.ts';

export const LOCK_NAME = 'lock';
export const HOLDER_NAME = 'lock.holder';

const SQLITE_BUSY = 5;
const SQLITE_NOTADB = 26;

/** Who holds a store. */
export interface LockHolder {
  readonly pid: number;
  /** What it was started to do: `holdfast serve`. */
  readonly command: string;
  /** ISO 8601. */
  readonly since: string;
  /** Where it answers: URLs and socket paths; none at first. */
  readonly addresses: readonly string[];
  /** Folders where it is mounted. */
  readonly mounts: readonly string[];
}

export class StoreLock implements Disposable {
  readonly #folder: string;
  readonly #database: DatabaseSync;
  #holder: LockHolder;

  private constructor(folder: string, database: DatabaseSync, holder: LockHolder) {
    this.#folder = folder;
    this.#database = database;
    this.#holder = holder;
  }

  /**
   * Takes the lock of the store in `folder`, which must exist, at once or not at all.
   * @throws Fault `locked`, naming the holder; `read-only`, `denied`, `full`, `io`.
   */
  static take(folder: string, who: Omit<LockHolder, 'addresses' | 'mounts'>): StoreLock {
    requireWritable(folder);
    makeLockFile(join(folder, LOCK_NAME));
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(join(folder, LOCK_NAME));
      database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE; PRAGMA user_version = 1;');
    } catch (error) {
      closeQuietly(database);
      throw faultOfLock(error, folder);
    }
    const lock = new StoreLock(folder, database, { ...who, addresses: [], mounts: [] });
    try {
      lock.#writeHolder();
    } catch (error) {
      closeQuietly(database);
      throw faultOfSystem(error, 'written', join(folder, HOLDER_NAME));
    }
    return lock;
  }

  get holder(): LockHolder {
    return this.#holder;
  }

  /** Tells others where this process answers and is mounted; what is not said stays. */
  announce(where: Partial<Pick<LockHolder, 'addresses' | 'mounts'>>): void {
    this.#holder = { ...this.#holder, ...where };
    this.#writeHolder();
  }

  #writeHolder(): void {
    // Renamed into place, so that nobody reads half of it; not synced, because it means nothing after a crash.
    const path = join(this.#folder, HOLDER_NAME);
    const next = `${path}.new`;
    writeFileSync(next, `${JSON.stringify(this.#holder)}\n`, { mode: 0o600 });
    renameSync(next, path);
  }

  /** Lets go; fine twice. */
  [Symbol.dispose](): void {
    if (!this.#database.isOpen) return;
    // While the lock is still held, or the next holder's word could be the one that goes.
    rmSync(join(this.#folder, HOLDER_NAME), { force: true });
    closeQuietly(this.#database);
  }
}

function requireWritable(folder: string): void {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (isSystemError(error, 'EACCES') && isReadable(folder)) {
      const sentence = `The store ${folder} may be read but not written by this user. Run as the user it belongs to, or change its permissions.`;
      throw new Fault('read-only', sentence, { store: folder }, error);
    }
    throw faultOfSystem(error, 'written to', folder);
  }
}

/** SQLite would make it readable for all. Opened only when it is new: closing it otherwise would drop a lock on it. */
function makeLockFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw faultOfSystem(error, 'made', path);
  }
}

function isReadable(folder: string): boolean {
  try {
    accessSync(folder, constants.R_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Closing rolls back, so the file stays as empty as it was. */
function closeQuietly(database: DatabaseSync | undefined): void {
  if (database?.isOpen) database.close();
}

function faultOfLock(error: unknown, folder: string): Fault {
  const code = (error as { readonly errcode?: number }).errcode ?? 0;
  // The low byte of SQLite's code is the kind, whatever the rest says.
  const kind = code & 0xff;
  if (kind === SQLITE_BUSY) return lockedFault(folder, holderOf(folder), error);
  const path = join(folder, LOCK_NAME);
  if (kind === SQLITE_NOTADB) {
    return new Fault(
      'corrupt',
      `The lock file ${path} is damaged. It holds nothing of worth: when no Holdfast uses this store, remove it.`,
      { path },
      error,
    );
  }
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (cause) {
    return faultOfSystem(cause, 'opened for writing', path);
  }
  return new Fault('io', `The lock file ${path} could not be locked: ${(error as Error).message}.`, { path }, error);
}

/** The fault for a store that somebody else has open. */
export function lockedFault(folder: string, holder: LockHolder | undefined, cause?: unknown): Fault {
  const who =
    holder === undefined
      ? 'another process, which has not said its name yet'
      : `${holder.command} (process ${holder.pid}, since ${holder.since}${whereOf(holder)})`;
  return new Fault(
    'locked',
    `The store ${folder} is in use by ${who}. Wait until it is done, or end it.`,
    { store: folder, ...(holder === undefined ? {} : { holder }) },
    cause,
  );
}

function whereOf({ addresses, mounts }: LockHolder): string {
  const answering = addresses.length === 0 ? '' : `, answering at ${addresses.join(' and ')}`;
  return mounts.length === 0 ? answering : `${answering}, mounted at ${mounts.join(' and ')}`;
}

/** Who says that it holds the store in `folder`; `undefined` when nobody alive does. Ask only when the lock is taken. */
export function holderOf(folder: string): LockHolder | undefined {
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(join(folder, HOLDER_NAME), 'utf8'));
  } catch {
    // Absent or unreadable: this file is only ever a hint.
    return undefined;
  }
  const { pid, command, since, addresses, mounts } = (data ?? {}) as Partial<Record<keyof LockHolder, unknown>>;
  if (typeof pid !== 'number' || typeof command !== 'string' || typeof since !== 'string') return undefined;
  if (!isAlive(pid)) return undefined;
  return { pid, command, since, addresses: textsOf(addresses), mounts: textsOf(mounts) };
}

function textsOf(data: unknown): readonly string[] {
  return Array.isArray(data) ? data.filter((one) => typeof one === 'string') : [];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
