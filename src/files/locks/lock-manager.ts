/**
 * Who may do what with which part of a tree: locks in the modes IS, IX, S, SIX and X on keys that stand above one
 * another. The interface is data in and data out and may wait everywhere, so that a database can stand behind it;
 * MemoryLocks (memory-locks.ts) is the one for a process that has the store to itself.
 *
 * - A request names places: a key with a mode, and all keys above it, which get the fitting intent. It is granted whole
 *   or waits whole, holding nothing of what it waits for: so requests for many places cannot block each other half way.
 *   An engine that must take them one by one takes them in the order of `wantsOf`, which is the same for everybody.
 * - Locks of one session never conflict with each other.
 * - First come, first served: a request waits behind every earlier one with which it conflicts. Whoever holds something
 *   on a key already goes before those who wait for it, since they wait for him anyway.
 * - A wait that could never end is refused at once as `deadlock`, and names the circle. A session that waits is taken to
 *   give nothing back until it has what it waits for.
 * - A lock with a lease ends by itself unless it is renewed. Tokens rise with every grant and are never given twice.
 */
import type { Moment } from '../../base/index.ts';
import { intentOf, joinModes, type LockMode } from '../../meta/index.ts';

/** What is to be locked. */
export interface LockPlace {
  readonly key: string;
  readonly mode: LockMode;
  /** Every key above once, in any order: of all chains, where something stands in several places. */
  readonly above: readonly string[];
}

export interface LockRequest {
  readonly session: string;
  /** Who it is, for people. */
  readonly holder: string;
  /** What it is on, for people: a path. */
  readonly what: string;
  readonly places: readonly LockPlace[];
  /** Ends after this long unless renewed; absent: with its release. */
  readonly leaseMs?: number | undefined;
}

/** A lock that is held. */
export interface Grant extends LockRequest {
  /** Rises with every grant, also through restarts. */
  readonly token: number;
  readonly granted: Moment;
  /** Absent: with its release. */
  readonly expires?: Moment | undefined;
}

export interface LockWait {
  /** How long to wait at most; 0 for not at all; absent: as long as it takes. */
  readonly waitMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Do not wait for a lock with a lease: it may last. */
  readonly isBrief?: boolean | undefined;
}

export interface LockManager {
  /** @throws Fault `locked` when the wait is over, `deadlock`, `busy`, `aborted`. */
  acquire(request: LockRequest, wait?: LockWait): Promise<Lock>;
  /** At once or not at all. @throws Fault `locked`, which names the holder and since when; `busy`. */
  tryAcquire(request: LockRequest): Promise<Lock>;
  /**
   * Gives the lock what `mode` gives as well: at once when nobody else is in the way, else in its turn; what is held
   * meanwhile stays. @throws Fault as `acquire`, and `lock-lost`.
   */
  upgrade(token: number, mode: LockMode, wait?: LockWait): Promise<Grant>;
  /** Gives up what `mode` does not give, at once. @throws Fault `invalid` when `mode` gives more; `lock-lost`. */
  downgrade(token: number, mode: LockMode): Promise<Grant>;
  /** From now on for this long. @throws Fault `lock-lost`. */
  renew(token: number, leaseMs: number): Promise<Grant>;
  /** False when it was not held any more. Also what an administrator does to somebody else's lock. */
  release(token: number): Promise<boolean>;
  find(token: number): Promise<Grant | undefined>;
  /** Held now, the oldest first. */
  list(): Promise<readonly Grant[]>;
}

/** A lock in the hands of its holder: `await using lock = await locks.acquire(…)` gives it back on every way out. */
export class Lock implements AsyncDisposable {
  readonly #manager: LockManager;
  #grant: Grant;

  constructor(manager: LockManager, grant: Grant) {
    this.#manager = manager;
    this.#grant = grant;
  }

  get grant(): Grant {
    return this.#grant;
  }

  get token(): number {
    return this.#grant.token;
  }

  async upgrade(mode: LockMode, wait?: LockWait): Promise<void> {
    this.#grant = await this.#manager.upgrade(this.token, mode, wait);
  }

  async downgrade(mode: LockMode): Promise<void> {
    this.#grant = await this.#manager.downgrade(this.token, mode);
  }

  async renew(leaseMs: number): Promise<void> {
    this.#grant = await this.#manager.renew(this.token, leaseMs);
  }

  /** Safe twice, and after the lease has ended. */
  async release(): Promise<void> {
    await this.#manager.release(this.token);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

export interface Want {
  readonly key: string;
  readonly mode: LockMode;
}

/** What a request asks for, one mode a key, in the one order in which everybody takes them. */
export function wantsOf(places: readonly LockPlace[]): readonly Want[] {
  const [first] = places;
  const wants: Want[] = [];
  if (places.length === 1 && first !== undefined) {
    const intent = intentOf(first.mode);
    for (const key of first.above) wants.push({ key, mode: intent });
    wants.push({ key: first.key, mode: first.mode });
  } else for (const [key, mode] of modesOf(places)) wants.push({ key, mode });
  return wants.sort(byKey);
}

function modesOf(places: readonly LockPlace[]): ReadonlyMap<string, LockMode> {
  const modes = new Map<string, LockMode>();
  const add = (key: string, mode: LockMode): void => {
    const before = modes.get(key);
    modes.set(key, before === undefined ? mode : joinModes(before, mode));
  };
  for (const { key, mode, above } of places) {
    add(key, mode);
    for (const each of above) add(each, intentOf(mode));
  }
  return modes;
}

function byKey(a: Want, b: Want): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}
