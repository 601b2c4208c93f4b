/**
 * The lock manager of one process: everything is decided in one turn, so nothing can come between a look and a grant.
 *
 * Each key that somebody holds or waits for has a spot: its holders, those who wait in order of arrival, and how many of
 * each mode there are of both, so that what meets no conflict (the usual case) looks at five numbers a key. Whoever
 * waits watches one of those who are in the way, at first the last one ahead in line, and is looked at again only when
 * that one has gone: so a long line costs one look for each that leaves it. A grant may free what its own session waits
 * for, which goes before others now that the session is inside.
 *
 * Deadlocks are found when a request begins to wait: only then can a circle close, and it goes through that request. A
 * session that holds nothing and waits for nothing else cannot be in one.
 *
 * Leases end in steps of LEASE_STEP_MS, rounded up, so that any number of locks needs few timers. Bounded by
 * LOCKS_HELD_MAX and LOCKS_WAITING_MAX.
 */
import {
  assert,
  type Clock,
  Fault,
  isPromise,
  type Maybe,
  type Moment,
  momentOfMs,
  msOfMoment,
} from '../../base/index.ts';
import { CONFLICTS, covers, joinModes, type LockMode, lockedFault, lostFault, MODE_NUMBER } from '../../meta/index.ts';
import {
  type Grant,
  Lock,
  type LockManager,
  type LockPlace,
  type LockRequest,
  type LockWait,
  type Want,
  wantsOf,
} from './lock-manager.ts';

export const LOCKS_HELD_MAX = 100_000;
export const LOCKS_WAITING_MAX = 30_000;
export const LEASE_STEP_MS = 100;
const SPOTS_KEPT_MAX = 10_000;

/** Gives numbers that rise, each once: `take` after a `reserve` answers at once. */
export interface TokenSource {
  reserve(): Maybe<void>;
  take(): number;
  /** Gives back a reservation. */
  spare(): void;
}

export interface MemoryLocksOptions {
  readonly clock: Clock;
  readonly tokens: TokenSource;
  /** A lease has ended. Called in the same turn; must not throw. */
  readonly onExpired?: (grant: Grant) => void;
}

/** Who is in the way of somebody; those who watch it are looked at when it goes. */
interface Watched {
  watchers: Set<Asking> | undefined;
}

interface Held extends Watched {
  grant: Grant;
  wants: readonly Want[];
  /** When its lease ends, in steps of LEASE_STEP_MS; 0 for none. */
  step: number;
  /** Somebody waits for it to get more. */
  isRising: boolean;
}

interface Asking extends Watched {
  readonly request: LockRequest;
  readonly wants: readonly Want[];
  /** The lock that is to get more; undefined for a new one. */
  readonly of: Held | undefined;
  readonly order: number;
  readonly sinceMs: number;
  readonly granted: (held: Held) => void;
  readonly refused: (fault: Fault) => void;
  /** It was granted or refused. */
  isOver: boolean;
  watches: Watched | undefined;
}

const NEW_ASKING = { isOver: false, watches: undefined, watchers: undefined };
const NEW_HELD = { step: 0, isRising: false, watchers: undefined };

class Spot {
  readonly held = new Map<Held, LockMode>();
  readonly heldCounts = [0, 0, 0, 0, 0];
  readonly waiting = new Map<Asking, LockMode>();
  readonly waitingCounts = [0, 0, 0, 0, 0];
}

/** Somebody who is in the way at a key: he holds it, or waits for it since earlier. */
type Blocker = Held | Asking;

export class MemoryLocks implements LockManager {
  readonly #options: MemoryLocksOptions;
  /** Up to SPOTS_KEPT_MAX stay when they are empty: making them is most of what a lock would cost. */
  readonly #spots = new Map<string, Spot>();
  readonly #held = new Map<number, Held>();
  readonly #heldBySession = new Map<string, number>();
  readonly #askingBySession = new Map<string, Set<Asking>>();
  readonly #leases = new Map<number, { readonly held: Set<Held>; readonly timer: Disposable }>();
  #askingCount = 0;
  #order = 0;

  constructor(options: MemoryLocksOptions) {
    this.#options = options;
  }

  /** Keys that somebody holds or waits for. */
  get keyCount(): number {
    let count = 0;
    for (const spot of this.#spots.values()) if (!isEmpty(spot)) count++;
    return count;
  }

  get waitingCount(): number {
    return this.#askingCount;
  }

  async acquire(request: LockRequest, wait: LockWait = {}): Promise<Lock> {
    const { tokens } = this.#options;
    const reserved = tokens.reserve();
    if (isPromise(reserved)) await reserved;
    const asked = this.#ask(request, wantsOf(request.places), undefined, wait, () => tokens.spare());
    const held = isPromise(asked) ? await asked : asked;
    return new Lock(this, held.grant);
  }

  tryAcquire(request: LockRequest): Promise<Lock> {
    return this.acquire(request, { waitMs: 0 });
  }

  async upgrade(token: number, mode: LockMode, wait: LockWait = {}): Promise<Grant> {
    const held = this.#get(token);
    if (held.isRising) {
      const sentence = `The lock ${token} on ${held.grant.what} waits for an upgrade already. Wait for that one.`;
      throw new Fault('conflict', sentence, { lock_token: token });
    }
    const places = held.grant.places.map((place) => ({ ...place, mode: joinModes(place.mode, mode) }));
    held.isRising = true;
    try {
      const asked = await this.#ask({ ...held.grant, places }, wantsOf(places), held, wait, () => {});
      return asked.grant;
    } finally {
      held.isRising = false;
    }
  }

  async downgrade(token: number, mode: LockMode): Promise<Grant> {
    const held = this.#get(token);
    const tooHigh = held.grant.places.find((place) => !covers(place.mode, mode));
    if (tooHigh !== undefined) {
      const sentence = `${held.grant.what} is locked as ${tooHigh.mode}, which cannot go down to ${mode}. Ask for an upgrade.`;
      throw new Fault('invalid', sentence, { token, mode: tooHigh.mode, wanted: mode });
    }
    this.#setPlaces(
      held,
      held.grant.places.map((place) => ({ ...place, mode })),
    );
    this.#wake(held);
    return held.grant;
  }

  async renew(token: number, leaseMs: number): Promise<Grant> {
    const held = this.#get(token);
    this.#endLease(held);
    this.#beginLease(held, leaseMs);
    return held.grant;
  }

  async release(token: number): Promise<boolean> {
    const held = this.#held.get(token);
    if (held === undefined) return false;
    this.#drop(held);
    return true;
  }

  async find(token: number): Promise<Grant | undefined> {
    return this.#held.get(token)?.grant;
  }

  async list(): Promise<readonly Grant[]> {
    return [...this.#held.values()].map(({ grant }) => grant);
  }

  /** Whether any lock has a lease: nothing else can stand in the way of somebody who asks and does not wait. */
  get hasLeases(): boolean {
    return this.#leases.size > 0;
  }

  /** Takes up a lock that was granted by a process before this one; its lease goes on. */
  adopt(grant: Grant): void {
    const held: Held = { grant, wants: wantsOf(grant.places), ...NEW_HELD };
    this.#place(held);
    if (grant.expires !== undefined)
      this.#beginLease(held, Math.max(0, msOfMoment(grant.expires) - msOfMoment(this.#options.clock.now())));
  }

  /** Forgets everything; who waits hears `unavailable`. */
  close(): void {
    for (const { timer } of this.#leases.values()) timer[Symbol.dispose]();
    const closing = new Fault('unavailable', 'The store is closing; nobody waits for a lock any more.');
    for (const asking of [...this.#askingBySession.values()].flatMap((each) => [...each])) asking.refused(closing);
  }

  // ---- asking

  #ask(
    request: LockRequest,
    wants: readonly Want[],
    of: Held | undefined,
    wait: LockWait,
    spare: () => void,
  ): Maybe<Held> {
    try {
      const probe = { request, wants, of, order: Number.POSITIVE_INFINITY };
      const blocker = this.#firstBlocker(probe);
      if (blocker === undefined) {
        const held = this.#grant(request, wants, of);
        this.#wakeSession(request.session);
        return held;
      }
      if (wait.waitMs === 0 || (wait.isBrief === true && isLeased(blocker))) throw this.#lockedFault(request, blocker);
      if (wait.signal?.aborted) throw Fault.aborted(wait.signal, `Waiting for a lock on ${request.what}`);
      if (this.#askingCount >= LOCKS_WAITING_MAX) throw tooManyFault('wait for locks', this.#askingCount);
      return this.#wait(request, wants, of, wait, spare);
    } catch (error) {
      spare();
      throw error;
    }
  }

  /** Waits in line. @throws Fault `deadlock` at once when the line goes round in a circle. */
  #wait(
    request: LockRequest,
    wants: readonly Want[],
    of: Held | undefined,
    wait: LockWait,
    spare: () => void,
  ): Promise<Held> {
    const { clock } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<Held>();
    const leave = (): void => {
      asking.isOver = true;
      timer?.[Symbol.dispose]();
      wait.signal?.removeEventListener('abort', onAbort);
      this.#leaveLine(asking);
    };
    const refused = (fault: Fault): void => {
      if (asking.isOver) return;
      leave();
      spare();
      reject(fault);
      this.#wake(asking);
    };
    const granted = (held: Held): void => {
      leave();
      handOver(asking, held);
      resolve(held);
    };
    const onAbort = (): void => refused(Fault.aborted(wait.signal, `Waiting for a lock on ${request.what}`));
    const sinceMs = clock.monotonicMs();
    const asking: Asking = { request, wants, of, order: ++this.#order, sinceMs, granted, refused, ...NEW_ASKING };
    const circle = this.#circleOf(asking);
    if (circle !== undefined) throw deadlockFault(request, circle);
    watch(asking, this.#lastBlocker(asking));
    this.#enterLine(asking);
    const timer =
      wait.waitMs === undefined ? undefined : clock.after(wait.waitMs, () => refused(this.#tooLate(asking)));
    wait.signal?.addEventListener('abort', onAbort, { once: true });
    return promise;
  }

  #tooLate(asking: Asking): Fault {
    const blocker = this.#firstBlocker(asking);
    assert(blocker !== undefined, 'whoever waits is held up by somebody', { what: asking.request.what });
    return this.#lockedFault(asking.request, blocker);
  }

  #enterLine(asking: Asking): void {
    for (const { key, mode } of asking.wants) {
      const spot = this.#spot(key);
      spot.waiting.set(asking, mode);
      spot.waitingCounts[MODE_NUMBER[mode]]!++;
    }
    const { session } = asking.request;
    const others = this.#askingBySession.get(session);
    if (others === undefined) this.#askingBySession.set(session, new Set([asking]));
    else others.add(asking);
    this.#askingCount++;
  }

  #leaveLine(asking: Asking): void {
    asking.watches?.watchers?.delete(asking);
    for (const { key, mode } of asking.wants) {
      const spot = this.#spot(key);
      spot.waiting.delete(asking);
      spot.waitingCounts[MODE_NUMBER[mode]]!--;
      this.#tidy(key, spot);
    }
    const { session } = asking.request;
    const others = this.#askingBySession.get(session);
    others?.delete(asking);
    if (others?.size === 0) this.#askingBySession.delete(session);
    this.#askingCount--;
  }

  // ---- who is in the way

  #firstBlocker(asking: Pick<Asking, 'request' | 'wants' | 'of' | 'order'>): Blocker | undefined {
    for (const want of asking.wants) {
      const spot = this.#spots.get(want.key);
      if (spot === undefined) continue;
      const conflicts = CONFLICTS[want.mode];
      if (!hasAny(spot.heldCounts, conflicts) && !hasAny(spot.waitingCounts, conflicts)) continue;
      for (const blocker of blockersAt(spot, conflicts, asking)) return blocker;
    }
    return undefined;
  }

  /** The one that is likely to go last. */
  #lastBlocker(asking: Asking): Blocker {
    let last: Blocker | undefined;
    for (const blocker of this.#blockers(asking)) last = blocker;
    assert(last !== undefined, 'whoever waits is held up by somebody', { what: asking.request.what });
    return last;
  }

  *#blockers(asking: Asking): Generator<Blocker> {
    for (const want of asking.wants) {
      const spot = this.#spots.get(want.key);
      if (spot !== undefined) yield* blockersAt(spot, CONFLICTS[want.mode], asking);
    }
  }

  /** The shortest way from `asking` through those it waits for, and those they wait for, back to its own session. */
  #circleOf(asking: Asking): readonly Blocker[] | undefined {
    const { session } = asking.request;
    if (!this.#heldBySession.has(session) && !this.#askingBySession.has(session)) return undefined;
    const cameFrom = new Map<string, { readonly blocker: Blocker; readonly from: string | undefined }>();
    const line: { readonly asking: Asking; readonly session: string | undefined }[] = [{ asking, session: undefined }];
    for (let next = line.shift(); next !== undefined; next = line.shift()) {
      for (const blocker of this.#blockers(next.asking)) {
        const other = requestOf(blocker).session;
        const step = { blocker, from: next.session };
        if (other === session) return circleTo(step, cameFrom);
        if (cameFrom.has(other)) continue;
        cameFrom.set(other, step);
        for (const theirs of this.#askingBySession.get(other) ?? []) line.push({ asking: theirs, session: other });
      }
    }
    return undefined;
  }

  // ---- holding

  #grant(request: LockRequest, wants: readonly Want[], of: Held | undefined): Held {
    if (of !== undefined) {
      this.#setPlaces(of, request.places);
      return of;
    }
    if (this.#held.size >= LOCKS_HELD_MAX) throw tooManyFault('are held', this.#held.size);
    const { session, holder, what, places, leaseMs } = request;
    const granted = this.#options.clock.now();
    const token = this.#options.tokens.take();
    const held: Held = { grant: { token, session, holder, what, places, granted }, wants, ...NEW_HELD };
    this.#place(held);
    if (leaseMs !== undefined) this.#beginLease(held, leaseMs);
    return held;
  }

  #place(held: Held): void {
    this.#held.set(held.grant.token, held);
    const { session } = held.grant;
    this.#heldBySession.set(session, (this.#heldBySession.get(session) ?? 0) + 1);
    this.#hold(held);
  }

  #hold(held: Held): void {
    for (const { key, mode } of held.wants) {
      const spot = this.#spot(key);
      spot.held.set(held, mode);
      spot.heldCounts[MODE_NUMBER[mode]]!++;
    }
  }

  #letGo(held: Held): void {
    for (const { key, mode } of held.wants) {
      const spot = this.#spot(key);
      spot.held.delete(held);
      spot.heldCounts[MODE_NUMBER[mode]]!--;
      this.#tidy(key, spot);
    }
  }

  #setPlaces(held: Held, places: readonly LockPlace[]): void {
    this.#letGo(held);
    held.grant = { ...held.grant, places };
    held.wants = wantsOf(places);
    this.#hold(held);
  }

  #drop(held: Held): void {
    const { token, session } = held.grant;
    this.#held.delete(token);
    const count = (this.#heldBySession.get(session) ?? 1) - 1;
    if (count === 0) this.#heldBySession.delete(session);
    else this.#heldBySession.set(session, count);
    this.#endLease(held);
    this.#letGo(held);
    // Whoever wanted to raise it has nothing to raise any more.
    for (const asking of this.#askingBySession.get(session) ?? [])
      if (asking.of === held) asking.refused(lostFault(token));
    this.#wake(held);
  }

  /** Somebody is not in the way any more, or less so: looks at those who watched him, in order of arrival. */
  #wake(gone: Watched): void {
    const { watchers } = gone;
    if (watchers === undefined || watchers.size === 0) return;
    gone.watchers = undefined;
    this.#grantFree(watchers);
  }

  /** The earliest first; a grant may free others of its session, which take their place in the order. */
  #grantFree(woken: Iterable<Asking>): void {
    let line = [...woken].sort(byOrder);
    for (let asking = line.shift(); asking !== undefined; asking = line.shift()) {
      if (asking.isOver) continue;
      const blocker = this.#firstBlocker(asking);
      if (blocker !== undefined) {
        watch(asking, blocker);
        continue;
      }
      this.#grantWaiting(asking);
      const others = this.#askingBySession.get(asking.request.session);
      if (others !== undefined) line = [...new Set([...line, ...others])].sort(byOrder);
    }
  }

  #grantWaiting(asking: Asking): void {
    try {
      asking.granted(this.#grant(asking.request, asking.wants, asking.of));
    } catch (error) {
      if (!Fault.is(error)) throw error;
      asking.refused(error);
    }
  }

  #wakeSession(session: string): void {
    const asking = this.#askingBySession.get(session);
    if (asking !== undefined) this.#grantFree(asking);
  }

  #spot(key: string): Spot {
    let spot = this.#spots.get(key);
    if (spot === undefined) {
      spot = new Spot();
      this.#spots.set(key, spot);
    }
    return spot;
  }

  #tidy(key: string, spot: Spot): void {
    if (this.#spots.size > SPOTS_KEPT_MAX && isEmpty(spot)) this.#spots.delete(key);
  }

  #get(token: number): Held {
    const held = this.#held.get(token);
    if (held === undefined) throw lostFault(token);
    return held;
  }

  // ---- leases

  #beginLease(held: Held, leaseMs: number): void {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    held.step = Math.max(1, Math.ceil((nowMs + leaseMs) / LEASE_STEP_MS));
    const expires = laterBy(clock.now(), held.step * LEASE_STEP_MS - nowMs);
    held.grant = { ...held.grant, leaseMs, expires };
    const step = this.#leases.get(held.step);
    if (step !== undefined) step.held.add(held);
    else {
      const all = new Set([held]);
      const timer = clock.after(held.step * LEASE_STEP_MS - nowMs, () => this.#expire(all));
      this.#leases.set(held.step, { held: all, timer });
    }
  }

  #endLease(held: Held): void {
    const step = this.#leases.get(held.step);
    if (step === undefined) return;
    step.held.delete(held);
    if (step.held.size > 0) return;
    step.timer[Symbol.dispose]();
    this.#leases.delete(held.step);
  }

  #expire(all: Set<Held>): void {
    for (const held of [...all]) {
      this.#drop(held);
      this.#options.onExpired?.(held.grant);
    }
  }

  // ---- refusals

  #lockedFault(request: LockRequest, blocker: Blocker): Fault {
    const { clock } = this.#options;
    const other = requestOf(blocker);
    const isHeld = 'grant' in blocker;
    const heldMs = isHeld
      ? msOfMoment(clock.now()) - msOfMoment(blocker.grant.granted)
      : clock.monotonicMs() - blocker.sinceMs;
    return lockedFault({
      ...{ path: request.what, holder: other.holder, heldMs, isHeld },
      ...(isHeld ? { token: blocker.grant.token, expires: blocker.grant.expires } : {}),
      ...(other.what === request.what ? {} : { lockedPath: other.what }),
    });
  }
}

function byOrder(a: Asking, b: Asking): number {
  return a.order - b.order;
}

function watch(asking: Asking, blocker: Watched): void {
  asking.watches?.watchers?.delete(asking);
  asking.watches = blocker;
  blocker.watchers ??= new Set();
  blocker.watchers.add(asking);
}

/** What was asked for is held now, and just as much in the way. */
function handOver(asking: Asking, held: Held): void {
  for (const watcher of asking.watchers ?? []) watch(watcher, held);
}

function isEmpty(spot: Spot): boolean {
  return spot.held.size === 0 && spot.waiting.size === 0;
}

function requestOf(blocker: Blocker): LockRequest {
  return 'grant' in blocker ? blocker.grant : blocker.request;
}

function isLeased(blocker: Blocker): boolean {
  return requestOf(blocker).leaseMs !== undefined;
}

function hasAny(counts: readonly number[], modes: readonly number[]): boolean {
  for (const mode of modes) if ((counts[mode] ?? 0) > 0) return true;
  return false;
}

function* blockersAt(
  spot: Spot,
  conflicts: readonly number[],
  asking: Pick<Asking, 'request' | 'order'>,
): Generator<Blocker> {
  const { session } = asking.request;
  let isInside = false;
  for (const [held, mode] of spot.held) {
    if (held.grant.session === session) isInside = true;
    else if (conflicts.includes(MODE_NUMBER[mode])) yield held;
  }
  if (isInside || !hasAny(spot.waitingCounts, conflicts)) return;
  for (const [other, mode] of spot.waiting) {
    if (other.order >= asking.order) break;
    if (other.request.session !== session && conflicts.includes(MODE_NUMBER[mode])) yield other;
  }
}

interface Step {
  readonly blocker: Blocker;
  /** The session that waits for it; undefined for the one that asks. */
  readonly from: string | undefined;
}

function circleTo(last: Step, cameFrom: ReadonlyMap<string, Step>): readonly Blocker[] {
  const circle = [last.blocker];
  for (let { from } = last; from !== undefined; ) {
    const step = cameFrom.get(from);
    if (step === undefined) break;
    circle.unshift(step.blocker);
    from = step.from;
  }
  return circle;
}

/** Who waits for whom: from the one that asks round to itself. */
function deadlockFault(request: LockRequest, circle: readonly Blocker[]): Fault {
  const others = circle.map(requestOf);
  const cycle = [request, ...others.slice(0, -1)].map((waiter, i) => ({
    holder: waiter.holder,
    waits_for: others[i]?.holder ?? '',
    path: others[i]?.what ?? '',
  }));
  const told = cycle.map((step) => `${step.holder} waits for ${step.waits_for} at ${step.path}`).join(', ');
  const sentence = `Waiting for a lock on ${request.what} would never end: ${told}. Give back what you hold, and take it again in one request.`;
  return new Fault('deadlock', sentence, { path: request.what, cycle });
}

function tooManyFault(what: string, count: number): Fault {
  return new Fault('busy', `${count} locks ${what} already. Try again in a moment.`, { count });
}

function laterBy(moment: Moment, ms: number): Moment {
  return momentOfMs(Math.round(msOfMoment(moment) + ms));
}
