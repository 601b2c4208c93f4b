/**
 * Who holds which bytes of which node: the locks that programs on one mount take against each other. Two tables of this
 * class stand beside each other, since POSIX record locks (fcntl) and flock are separate spaces that never meet.
 *
 * - Ranges include both ends; `end` is Infinity for "to the end, however far the file grows".
 * - Locks of one owner never conflict with each other: a new one replaces what it covers, cutting and joining.
 * - In a `whole` table (flock) there is one lock a node and owner, and changing its type gives the old lock up first, as
 *   Linux does: whoever waited may get in between, and a refused change leaves no lock.
 * - Whoever waits is granted in order of arrival, as soon as nothing that is held conflicts; one that waits for something
 *   else does not hold up those behind it.
 * - Waiting that could never end is refused as `deadlock` (in `ranges` tables, as POSIX asks).
 * Pure: nothing of the protocol, no clock. Bounded by the options.
 */

export type LockType = 'read' | 'write';

export interface LockRange {
  readonly start: number;
  readonly end: number;
  readonly type: LockType;
  /** Opaque; equal for locks that do not conflict. */
  readonly owner: string;
  /** The open file through which it was set: its release drops what is left of it. */
  readonly handle: number;
  /** Told to whoever asks who is in the way. */
  readonly pid: number;
}

export interface LockTableOptions {
  readonly kind: 'ranges' | 'whole';
  /** Locks held on one node. */
  readonly heldMax?: number;
  /** Requests that wait for one node. */
  readonly waitingMax?: number;
}

export type LockAnswer = 'granted' | 'conflict' | 'deadlock' | 'too-many';

/** A request in line. */
export interface Waiting {
  /** Leaves the line; `granted` is not called any more. False when it has left already. */
  cancel(): boolean;
}

const HELD_MAX = 65_536;
const WAITING_MAX = 4_096;

interface Waiter {
  readonly lock: LockRange;
  readonly granted: () => void;
}

interface NodeLocks {
  held: LockRange[];
  waiting: Waiter[];
}

export class LockTable {
  readonly #kind: 'ranges' | 'whole';
  readonly #heldMax: number;
  readonly #waitingMax: number;
  readonly #nodes = new Map<number, NodeLocks>();

  constructor(options: LockTableOptions) {
    this.#kind = options.kind;
    this.#heldMax = options.heldMax ?? HELD_MAX;
    this.#waitingMax = options.waitingMax ?? WAITING_MAX;
  }

  /** Nodes with locks or waiting requests. */
  get nodeCount(): number {
    return this.#nodes.size;
  }

  /** The first lock, by start, that stands in the way of `lock`. */
  conflict(node: number, lock: LockRange): LockRange | undefined {
    return this.#conflicts(node, lock).reduce<LockRange | undefined>(
      (first, other) => (first === undefined || other.start < first.start ? other : first),
      undefined,
    );
  }

  /** Sets the lock if nothing is in the way. */
  set(node: number, lock: LockRange): LockAnswer {
    const locks = this.#at(node);
    // flock gives the old lock up before it asks for the new one.
    if (this.#kind === 'whole' && this.#hasOtherType(locks, lock))
      this.#drop(node, (held) => held.owner === lock.owner);
    if (this.#conflicts(node, lock).length > 0) return this.#leave(node, 'conflict');
    return this.#put(node, lock);
  }

  /**
   * Sets the lock, now ('granted', and `granted` is not called) or when its turn comes (a Waiting; `granted` is called
   * once, in the turn in which it is set).
   */
  wait(node: number, lock: LockRange, granted: () => void): Exclude<LockAnswer, 'conflict'> | Waiting {
    const answer = this.set(node, lock);
    if (answer !== 'conflict') return answer;
    if (this.#kind === 'ranges' && this.#wouldDeadlock(node, lock)) return 'deadlock';
    const locks = this.#at(node);
    if (locks.waiting.length >= this.#waitingMax) return 'too-many';
    const waiter: Waiter = { lock, granted };
    locks.waiting.push(waiter);
    return {
      cancel: () => {
        const at = locks.waiting.indexOf(waiter);
        if (at < 0) return false;
        locks.waiting.splice(at, 1);
        this.#leave(node, undefined);
        return true;
      },
    };
  }

  /** Gives up the owner's locks within the range. Refused only when cutting one in two would exceed the bound. */
  unlock(node: number, owner: string, start: number, end: number): LockAnswer {
    const locks = this.#nodes.get(node);
    if (locks === undefined) return 'granted';
    const held = cut(locks.held, owner, start, end);
    if (held.length > locks.held.length && held.length > this.#heldMax) return 'too-many';
    locks.held = held;
    this.#grant(node);
    return 'granted';
  }

  /** Gives up everything of the owner on the node. */
  unlockOwner(node: number, owner: string): void {
    this.#drop(node, (lock) => lock.owner === owner);
  }

  /** Gives up everything set through the open file. */
  unlockHandle(node: number, handle: number): void {
    this.#drop(node, (lock) => lock.handle === handle);
  }

  #drop(node: number, which: (lock: LockRange) => boolean): void {
    const locks = this.#nodes.get(node);
    if (locks === undefined) return;
    const held = locks.held.filter((lock) => !which(lock));
    if (held.length === locks.held.length) return;
    locks.held = held;
    this.#grant(node);
  }

  #at(node: number): NodeLocks {
    let locks = this.#nodes.get(node);
    if (locks === undefined) {
      locks = { held: [], waiting: [] };
      this.#nodes.set(node, locks);
    }
    return locks;
  }

  #leave<T>(node: number, answer: T): T {
    const locks = this.#nodes.get(node);
    if (locks !== undefined && locks.held.length === 0 && locks.waiting.length === 0) this.#nodes.delete(node);
    return answer;
  }

  #conflicts(node: number, lock: LockRange): LockRange[] {
    const locks = this.#nodes.get(node);
    return locks === undefined ? [] : locks.held.filter((held) => areInConflict(held, lock));
  }

  #hasOtherType(locks: NodeLocks, lock: LockRange): boolean {
    return locks.held.some((held) => held.owner === lock.owner && held.type !== lock.type);
  }

  #put(node: number, lock: LockRange): 'granted' | 'too-many' {
    const locks = this.#at(node);
    const held = placed(locks.held, lock);
    if (held.length > this.#heldMax && held.length > locks.held.length) return this.#leave(node, 'too-many');
    locks.held = held;
    // A write lock that became a read lock lets readers in.
    if (lock.type === 'read') this.#grant(node);
    return 'granted';
  }

  /** Lets in who waits, in order. What is granted may itself have given something up, so it begins again each time. */
  #grant(node: number): void {
    for (;;) {
      const locks = this.#nodes.get(node);
      const at = locks?.waiting.findIndex(({ lock }) => this.#conflicts(node, lock).length === 0) ?? -1;
      const next = locks?.waiting[at];
      if (locks === undefined || next === undefined) break;
      locks.waiting.splice(at, 1);
      locks.held = placed(locks.held, next.lock);
      next.granted();
    }
    this.#leave(node, undefined);
  }

  /** True when one whom this request would wait for waits, over any number of steps, for its owner. */
  #wouldDeadlock(node: number, lock: LockRange): boolean {
    const seen = new Set<string>();
    const line = this.#conflicts(node, lock).map((held) => held.owner);
    for (let owner = line.pop(); owner !== undefined; owner = line.pop()) {
      if (owner === lock.owner) return true;
      if (seen.has(owner)) continue;
      seen.add(owner);
      for (const [other, locks] of this.#nodes) {
        for (const waiter of locks.waiting) {
          if (waiter.lock.owner === owner) line.push(...this.#conflicts(other, waiter.lock).map((held) => held.owner));
        }
      }
    }
    return false;
  }
}

function areInConflict(a: LockRange, b: LockRange): boolean {
  if (a.owner === b.owner || a.start > b.end || b.start > a.end) return false;
  return a.type === 'write' || b.type === 'write';
}

/** `held` with the lock in it, joined with what it touches. */
function placed(held: readonly LockRange[], lock: LockRange): LockRange[] {
  let { start, end } = lock;
  const others = cut(held, lock.owner, start, end).filter((other) => {
    if (other.owner !== lock.owner || other.type !== lock.type) return true;
    if (other.end + 1 !== start && other.start !== end + 1) return true;
    start = Math.min(start, other.start);
    end = Math.max(end, other.end);
    return false;
  });
  others.push({ ...lock, start, end });
  return others;
}

/** `held` with the owner's locks cut back to what lies outside the range. */
function cut(held: readonly LockRange[], owner: string, start: number, end: number): LockRange[] {
  return held.flatMap((lock) => {
    if (lock.owner !== owner || lock.start > end || start > lock.end) return [lock];
    const before = lock.start < start ? [{ ...lock, end: start - 1 }] : [];
    const behind = lock.end > end ? [{ ...lock, start: end + 1 }] : [];
    return [...before, ...behind];
  });
}
