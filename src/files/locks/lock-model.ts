/**
 * What locks mean, slow and obvious: a list of what is held, a line of those who wait, and the rules of
 * lock-manager.ts word for word, each by looking at everything. Tests compare a manager with it step by step.
 */
import { areCompatible, joinModes, type LockMode } from '../../meta/index.ts';
import { type LockPlace, wantsOf } from './lock-manager.ts';

export interface ModelLock {
  readonly id: number;
  readonly session: string;
  places: readonly LockPlace[];
}

export interface ModelAsking {
  readonly id: number;
  readonly session: string;
  readonly places: readonly LockPlace[];
  /** The lock that is to get more. */
  readonly of: ModelLock | undefined;
}

export type ModelAnswer = 'granted' | 'waits' | 'deadlock';

export class LockModel {
  held: ModelLock[] = [];
  waiting: ModelAsking[] = [];
  /** Who was granted along with the last one that was granted at once. */
  freed: readonly number[] = [];

  ask(asking: ModelAsking): ModelAnswer {
    if (this.#isFree(asking, this.waiting)) {
      this.#grant(asking);
      this.freed = this.#grantWaiting();
      return 'granted';
    }
    if (this.#waitsForItself(asking)) return 'deadlock';
    this.waiting.push(asking);
    return 'waits';
  }

  /** Answers who was granted by it, in order. */
  release(id: number): readonly number[] {
    this.held = this.held.filter((lock) => lock.id !== id);
    this.waiting = this.waiting.filter(({ of }) => of?.id !== id);
    return this.#grantWaiting();
  }

  giveUp(id: number): readonly number[] {
    this.waiting = this.waiting.filter((asking) => asking.id !== id);
    return this.#grantWaiting();
  }

  downgrade(id: number, mode: LockMode): readonly number[] {
    const lock = this.held.find((each) => each.id === id);
    if (lock !== undefined) lock.places = lock.places.map((place) => ({ ...place, mode }));
    return this.#grantWaiting();
  }

  /** The mode that a session has on a key, of all its locks together. */
  modeOf(session: string, key: string): LockMode | undefined {
    let mode: LockMode | undefined;
    for (const lock of this.held)
      for (const want of wantsOf(lock.places))
        if (lock.session === session && want.key === key)
          mode = mode === undefined ? want.mode : joinModes(mode, want.mode);
    return mode;
  }

  /** No two sessions hold what must not be held side by side. */
  get isSound(): boolean {
    return this.held.every((a) =>
      this.held.every((b) => a.session === b.session || this.#conflictAt(a.places, b.places) === undefined),
    );
  }

  #grant(asking: ModelAsking): void {
    if (asking.of !== undefined) asking.of.places = asking.places;
    else this.held.push({ id: asking.id, session: asking.session, places: asking.places });
  }

  #grantWaiting(): readonly number[] {
    const granted: number[] = [];
    for (;;) {
      const next = this.waiting.find((asking, i) => this.#isFree(asking, this.waiting.slice(0, i)));
      if (next === undefined) return granted;
      this.waiting = this.waiting.filter((asking) => asking !== next);
      this.#grant(next);
      granted.push(next.id);
    }
  }

  #isFree(asking: ModelAsking, before: readonly ModelAsking[]): boolean {
    return this.#inTheWay(asking, before).length === 0;
  }

  /** Sessions that hold what conflicts, or wait for it since earlier where `asking` has nothing yet. */
  #inTheWay(asking: ModelAsking, before: readonly ModelAsking[]): readonly string[] {
    const sessions = new Set<string>();
    for (const want of wantsOf(asking.places)) {
      const conflicts = (places: readonly LockPlace[]): boolean =>
        wantsOf(places).some(({ key, mode }) => key === want.key && !areCompatible(mode, want.mode));
      for (const lock of this.held)
        if (lock.session !== asking.session && conflicts(lock.places)) sessions.add(lock.session);
      if (this.modeOf(asking.session, want.key) !== undefined) continue;
      for (const other of before)
        if (other.session !== asking.session && conflicts(other.places)) sessions.add(other.session);
    }
    return [...sessions];
  }

  #waitsForItself(asking: ModelAsking): boolean {
    const line = [...this.waiting, asking];
    const edges = line.flatMap((each, i) =>
      this.#inTheWay(each, line.slice(0, i)).map((to) => ({ from: each.session, to })),
    );
    const reached = new Set(this.#inTheWay(asking, this.waiting));
    for (let size = -1; size !== reached.size; ) {
      size = reached.size;
      for (const { from, to } of edges) if (reached.has(from)) reached.add(to);
    }
    return reached.has(asking.session);
  }

  #conflictAt(a: readonly LockPlace[], b: readonly LockPlace[]): string | undefined {
    const others = wantsOf(b);
    return wantsOf(a).find(({ key, mode }) =>
      others.some((other) => other.key === key && !areCompatible(mode, other.mode)),
    )?.key;
  }
}
