/**
 * Many clients that want locks on few paths, for a while: what a test runs for a second and a soak for a minute. Each
 * keeps its own books of who is inside what, so a grant that should not be is seen whatever the manager believes; a
 * client that waits longer than many turns of everybody was forgotten or starved.
 */
import { type Clock, Fault, type Random, seededRandom, systemClock } from '../../base/index.ts';
import { areCompatible, LOCK_MODES, type LockMode, MemoryMeta } from '../../meta/index.ts';
import { type LockManager, type LockPlace, wantsOf } from './lock-manager.ts';
import { LockTokens } from './lock-tokens.ts';
import { MemoryLocks } from './memory-locks.ts';

export interface RaceOptions {
  readonly seed: number;
  readonly clientCount: number;
  readonly pathCount: number;
  readonly durationMs: number;
}

export interface RaceReport {
  readonly grants: number;
  readonly deadlocks: number;
  /** Grants of the client that had the fewest. */
  readonly fewest: number;
  readonly longestWaitMs: number;
  readonly problems: readonly string[];
}

/** No one waits longer than this when every holder is quick. */
const WAIT_MS_MAX = 20_000;

export async function raceForLocks(options: RaceOptions): Promise<RaceReport> {
  const clock = systemClock;
  const locks = new MemoryLocks({ clock, tokens: new LockTokens(new MemoryMeta()) });
  const books = new Books();
  const endMs = clock.monotonicMs() + options.durationMs;
  const clients = Array.from(
    { length: options.clientCount },
    (_, i) => new Client(i, options, { clock, locks, books }),
  );
  await Promise.all(clients.map((client) => client.run(endMs)));
  const counts = clients.map(({ grants }) => grants);
  const problems = [...books.problems, ...clients.flatMap((client) => client.problems)];
  if (locks.keyCount > 0) problems.push(`${locks.keyCount} keys are left behind`);
  const hungry = counts.filter((count) => count === 0).length;
  if (hungry > 0) problems.push(`${hungry} clients never had a lock`);
  return {
    grants: counts.reduce((sum, count) => sum + count, 0),
    deadlocks: clients.reduce((sum, client) => sum + client.deadlocks, 0),
    fewest: Math.min(...counts),
    longestWaitMs: Math.round(Math.max(...clients.map((client) => client.longestWaitMs))),
    problems,
  };
}

/** Who is inside what, by those who are inside. */
class Books {
  readonly problems: string[] = [];
  readonly #inside = new Map<string, Map<string, LockMode>>();
  #highest = 0;

  enter(session: string, token: number, places: readonly LockPlace[]): void {
    if (token <= this.#highest) this.problems.push(`token ${token} came after ${this.#highest}`);
    this.#highest = Math.max(this.#highest, token);
    this.change(session, places);
  }

  change(session: string, places: readonly LockPlace[]): void {
    for (const { key, mode } of wantsOf(places)) {
      const inside = this.#inside.get(key) ?? new Map<string, LockMode>();
      for (const [other, theirs] of inside)
        if (other !== session && !areCompatible(mode, theirs))
          this.problems.push(`${session} got ${mode} on ${key} while ${other} had ${theirs}`);
      inside.set(session, mode);
      this.#inside.set(key, inside);
    }
  }

  leave(session: string, places: readonly LockPlace[]): void {
    for (const { key } of wantsOf(places)) this.#inside.get(key)?.delete(session);
  }
}

interface RaceParts {
  readonly clock: Clock;
  readonly locks: LockManager;
  readonly books: Books;
}

class Client {
  readonly problems: string[] = [];
  grants = 0;
  deadlocks = 0;
  longestWaitMs = 0;
  readonly #session: string;
  readonly #random: Random;
  readonly #pathCount: number;
  readonly #parts: RaceParts;

  constructor(index: number, { seed, pathCount }: RaceOptions, parts: RaceParts) {
    this.#session = `client ${index}`;
    this.#random = seededRandom(seed * 100_003 + index);
    this.#pathCount = pathCount;
    this.#parts = parts;
  }

  async run(endMs: number): Promise<void> {
    const { clock } = this.#parts;
    do await this.#turn();
    while (clock.monotonicMs() < endMs);
  }

  /** One lock, or two at once; sometimes raised, lowered, held over a turn of the loop. */
  async #turn(): Promise<void> {
    const { clock, locks, books } = this.#parts;
    const places = Array.from({ length: 1 + this.#random.below(2) }, () => this.#place());
    const sinceMs = clock.monotonicMs();
    const request = { session: this.#session, holder: this.#session, what: places[0]?.key ?? '', places };
    try {
      await using lock = await locks.acquire(request, { waitMs: WAIT_MS_MAX });
      this.longestWaitMs = Math.max(this.longestWaitMs, clock.monotonicMs() - sinceMs);
      this.grants++;
      books.enter(this.#session, lock.token, lock.grant.places);
      try {
        await aTurn();
        if (this.#random.below(4) === 0) await this.#raise(lock);
      } finally {
        books.leave(this.#session, lock.grant.places);
      }
    } catch (error) {
      if (!Fault.is(error)) throw error;
      this.problems.push(`${this.#session}: ${error.message}`);
    }
  }

  async #raise(lock: Awaited<ReturnType<LockManager['acquire']>>): Promise<void> {
    const { books } = this.#parts;
    const before = lock.grant.places;
    try {
      await lock.upgrade('X', { waitMs: WAIT_MS_MAX });
      books.change(this.#session, lock.grant.places);
      await aTurn();
    } catch (error) {
      if (!Fault.is(error, 'deadlock')) throw error;
      this.deadlocks++;
      if (lock.grant.places !== before) this.problems.push(`${this.#session} has more than it was given`);
    }
  }

  #place(): LockPlace {
    const path = this.#random.below(this.#pathCount);
    const isFolder = this.#random.below(50) === 0;
    const folder = `user/${path % 10}`;
    const mode = LOCK_MODES[this.#random.below(LOCK_MODES.length)] ?? 'X';
    return isFolder
      ? { key: folder, mode, above: ['user'] }
      : { key: `${folder}/${path}`, mode, above: ['user', folder] };
  }
}

function aTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
