/**
 * Locks as a fake service has them: a list, by paths. It knows nothing of renames, sessions or waiting; what it refuses
 * is what the contract asks for.
 */
import { Fault, isoOfMoment, momentOfMs } from '../base/index.ts';
import type { LockChange, LockOptions } from './file-service.ts';
import { isWithin, type Path, pathOfText, textOfPath } from './path.ts';
import type { LockRecord } from './records.ts';

const LEASE_MS = 60_000;

interface FakeLock {
  readonly record: LockRecord;
  /** Where it is now. */
  readonly at: Path;
}

export class FakeLocks {
  #locks: FakeLock[] = [];
  #token = 0;

  lock(path: string, options: LockOptions = {}): LockRecord {
    const { mode = 'X', holder = 'somebody', session = '', leaseMs = LEASE_MS } = options;
    if (!(leaseMs >= 1_000 && leaseMs <= 86_400_000))
      throw new Fault('invalid', `A lock of ${leaseMs} ms?`, { leaseMs });
    const at = pathOfText(path);
    const isShared = (lock: LockRecord): boolean => lock.mode === 'S' && mode === 'S';
    const isOwn = (lock: LockRecord): boolean => session !== '' && lock.session === session;
    const other = this.#overlapping(at, true).find((lock) => !isShared(lock) && !isOwn(lock));
    if (other !== undefined) throw lockedBy(other, textOfPath(at));
    const [granted, expires] = [momentOf(0), momentOf(leaseMs)];
    const token = ++this.#token;
    const record = { token, path: textOfPath(at), mode, holder, session: session || `${token}`, granted, expires };
    this.#locks.push({ record, at });
    return record;
  }

  change(token: number, change: LockChange = {}): LockRecord {
    const { record, at } = this.#get(token);
    const mode = change.mode ?? record.mode;
    const others = this.#overlapping(at, true).filter((each) => each.token !== token);
    if (mode === 'X' && others[0] !== undefined) throw lockedBy(others[0], record.path);
    const changed = { ...record, mode, expires: momentOf(change.leaseMs ?? LEASE_MS) };
    this.#locks = this.#locks.map((each) => (each.record.token === token ? { at, record: changed } : each));
    return changed;
  }

  unlock(token: number): LockRecord {
    const { record } = this.#get(token);
    this.#locks = this.#locks.filter((each) => each.record !== record);
    return record;
  }

  list(path?: string): LockRecord[] {
    const text = path === undefined ? undefined : textOfPath(pathOfText(path));
    const records = this.#alive().map(({ record }) => record);
    return records.filter((record) => text === undefined || record.path === text);
  }

  /** `isWhole`: it goes, or goes elsewhere, with all that is in it. @throws Fault `locked`, `lock-lost`. */
  check(path: string, tokens: readonly number[], isWhole = false): void {
    for (const token of tokens) this.#get(token);
    const other = this.#overlapping(pathOfText(path), isWhole).find((lock) => !tokens.includes(lock.token));
    if (other !== undefined) throw lockedBy(other, path);
  }

  /** What was locked moves along. */
  moved(from: string, to: string): void {
    const [source, goal] = [pathOfText(from), pathOfText(to)];
    this.#locks = this.#locks.map((lock) =>
      isWithin(lock.at, source) ? { ...lock, at: [...goal, ...lock.at.slice(source.length)] } : lock,
    );
  }

  #overlapping(path: Path, withBelow: boolean): LockRecord[] {
    const found = this.#alive().filter(({ at }) => isWithin(path, at) || (withBelow && isWithin(at, path)));
    return found.map(({ record }) => record);
  }

  #alive(): FakeLock[] {
    const now = momentOf(0);
    return this.#locks.filter(({ record }) => record.expires > now);
  }

  #get(token: number): FakeLock {
    const lock = this.#alive().find(({ record }) => record.token === token);
    if (lock === undefined) throw new Fault('lock-lost', `The lock ${token} is not held.`, { lock_token: token });
    return lock;
  }
}

function lockedBy(lock: LockRecord, path: string): Fault {
  const { holder, token, expires } = lock;
  const heldMs = Date.now() - Date.parse(lock.granted);
  return new Fault('locked', `${path} is locked by ${holder}.`, {
    path,
    holder,
    held_ms: heldMs,
    lock_token: token,
    expires,
  });
}

function momentOf(fromNowMs: number): string {
  return isoOfMoment(momentOfMs(Date.now() + fromNowMs));
}
