/**
 * The lock manager of one process: everything is decided in one turn, so nothing can come between a look and a grant.
 *
 * Each key that somebody holds or waits for has a spot: its holders, those who wait in order of arrival, and which modes
 * there are of both as bits of a number, so that what meets no conflict (the usual case) looks at two numbers a key. What
 * a lock has at its keys are its stakes, which know their spots and stand in lists: giving it back looks nothing up.
 * Whoever waits watches one of those who are in the way, at first the last one ahead in line, and is looked at again only when
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
import {
  CONFLICTS,
  covers,
  intentOf,
  joinModes,
  type LockMode,
  lockedFault,
  lostFault,
  MODE_NUMBER,
} from '../../meta/index.ts';
import {
  type Grant,
  Lock,
  type LockManager,
  type LockPlace,
  type LockRequest,
  type LockWait,
  wantsOf,
} from './lock-manager.ts';

export const LOCKS_HELD_MAX = 100_000;
export const LOCKS_WAITING_MAX = 30_000;
export const LEASE_STEP_MS = 100;
const SPOTS_KEPT_MAX = 10_000;
const SESSIONS_KEPT_MAX = 10_000;

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
  stakes: readonly Stake[];
  /** When its lease ends, in steps of LEASE_STEP_MS; 0 for none. */
  step: number;
  /** Somebody waits for it to get more. */
  isRising: boolean;
}

interface Asking extends Watched {
  readonly request: LockRequest;
  readonly stakes: readonly Stake[];
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

interface Session {
  readonly name: string;
  heldCount: number;
  /** What it waits for. */
  readonly asking: Set<Asking>;
}
const NO_ASKING: ReadonlySet<Asking> = new Set();

const NEW_ASKING = { isOver: false, watches: undefined, watchers: undefined };
const NEW_HELD = { step: 0, isRising: false, watchers: undefined };

/** How many there are of each mode, and as a bit for each mode whether there are any. */
class Modes {
  readonly #counts = [0, 0, 0, 0, 0];
  bits = 0;

  add(mode: number): void {
    if (this.#counts[mode]!++ === 0) this.bits |= 1 << mode;
  }

  remove(mode: number): void {
    if (--this.#counts[mode]! === 0) this.bits &= ~(1 << mode);
  }
}

class Spot {
  readonly key: string;
  readonly heldModes = new Modes();
  /** The stakes of those who hold something here, the oldest first. */
  first: Stake | undefined;
  last: Stake | undefined;
  readonly waitingModes = new Modes();
  readonly waiting = new Map<Asking, number>();

  constructor(key: string) {
    this.key = key;
  }

  hold(stake: Stake, held: Held): void {
    stake.held = held;
    stake.before = this.last;
    if (this.last === undefined) this.first = stake;
    else this.last.after = stake;
    this.last = stake;
    this.heldModes.add(stake.mode);
  }

  letGo(stake: Stake): void {
    const { before, after } = stake;
    if (before === undefined) this.first = after;
    else before.after = after;
    if (after === undefined) this.last = before;
    else after.before = before;
    stake.before = undefined;
    stake.after = undefined;
    this.heldModes.remove(stake.mode);
  }
}

/** What a lock has, or will have, at one key. Its spot is the key's own for as long as it is held or waited for. */
interface Stake {
  readonly spot: Spot;
  /** As MODE_NUMBER. */
  readonly mode: number;
  held: Held | undefined;
  before: Stake | undefined;
  after: Stake | undefined;
}

/** For each mode the bits of those with which it conflicts. */
const CONFLICT_BITS: readonly number[] = modeBits();

/** Somebody who is in the way at a key: he holds it, or waits for it since earlier. */
type Blocker = Held | Asking;

export class MemoryLocks implements LockManager {
  readonly #options: MemoryLocksOptions;
  /** Up to SPOTS_KEPT_MAX stay when they are empty: making them is most of what a lock would cost. */
  readonly #spots = new Map<string, Spot>();
  readonly #held = new Map<number, Held>();
  /** Up to SESSIONS_KEPT_MAX stay when they hold and want nothing, as with spots. */
  readonly #sessions = new Map<string, Session>();
  readonly #leases = new Map<number, { readonly held: Set<Held>; readonly timer: Disposable }>();
  #leasedCount = 0;
  /** A step that nobody's lease ends at any more, kept for the next: the usual lock is given back at once. */
  #idleStep = 0;
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
    const asked = this.#ask(request, this.#stakesAt(request.places), undefined, wait);
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
      const asked = await this.#ask({ ...held.grant, places }, this.#stakesAt(places), held, wait);
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
    const places = held.grant.places.map((place) => ({ ...place, mode }));
    this.#setPlaces(held, places, this.#stakesAt(places));
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
    return this.#leasedCount > 0;
  }

  /** Takes up a lock that was granted by a process before this one; its lease goes on. */
  adopt(grant: Grant): void {
    const held: Held = { grant, stakes: this.#stakesAt(grant.places), ...NEW_HELD };
    this.#place(held);
    if (grant.expires !== undefined)
      this.#beginLease(held, Math.max(0, msOfMoment(grant.expires) - msOfMoment(this.#options.clock.now())));
  }

  /** Forgets everything; who waits hears `unavailable`. */
  close(): void {
    for (const { timer } of this.#leases.values()) timer[Symbol.dispose]();
    const closing = new Fault('unavailable', 'The store is closing; nobody waits for a lock any more.');
    for (const asking of [...this.#sessions.values()].flatMap((each) => [...each.asking])) asking.refused(closing);
  }

  // ---- asking

  #ask(request: LockRequest, stakes: readonly Stake[], of: Held | undefined, wait: LockWait): Maybe<Held> {
    try {
      const blocker = this.#firstBlocker(stakes, request.session, Number.POSITIVE_INFINITY);
      if (blocker === undefined) {
        const held = this.#grant(request, stakes, of);
        this.#wakeSession(request.session);
        return held;
      }
      if (wait.waitMs === 0 || (wait.isBrief === true && isLeased(blocker))) throw this.#lockedFault(request, blocker);
      if (wait.signal?.aborted) throw Fault.aborted(wait.signal, `Waiting for a lock on ${request.what}`);
      if (this.#askingCount >= LOCKS_WAITING_MAX) throw tooManyFault('wait for locks', this.#askingCount);
      return this.#wait(request, stakes, of, wait);
    } catch (error) {
      this.#refuse(stakes, of);
      throw error;
    }
  }

  /** Nothing comes of it: the number that a new lock would have had is free again, and so are spots made for it alone. */
  #refuse(stakes: readonly Stake[], of: Held | undefined): void {
    if (of === undefined) this.#options.tokens.spare();
    for (const { spot } of stakes) this.#tidy(spot);
  }

  /** Waits in line. @throws Fault `deadlock` at once when the line goes round in a circle. */
  #wait(request: LockRequest, stakes: readonly Stake[], of: Held | undefined, wait: LockWait): Promise<Held> {
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
      this.#refuse(stakes, of);
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
    const asking: Asking = { request, stakes, of, order: ++this.#order, sinceMs, granted, refused, ...NEW_ASKING };
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
    const blocker = this.#blockerOf(asking);
    assert(blocker !== undefined, 'whoever waits is held up by somebody', { what: asking.request.what });
    return this.#lockedFault(asking.request, blocker);
  }

  #enterLine(asking: Asking): void {
    for (const { spot, mode } of asking.stakes) {
      spot.waiting.set(asking, mode);
      spot.waitingModes.add(mode);
    }
    this.#session(asking.request.session).asking.add(asking);
    this.#askingCount++;
  }

  #leaveLine(asking: Asking): void {
    asking.watches?.watchers?.delete(asking);
    for (const { spot, mode } of asking.stakes) {
      spot.waiting.delete(asking);
      spot.waitingModes.remove(mode);
    }
    const session = this.#session(asking.request.session);
    session.asking.delete(asking);
    this.#tidySession(session);
    this.#askingCount--;
  }

  // ---- who is in the way

  #firstBlocker(stakes: readonly Stake[], session: string, order: number): Blocker | undefined {
    for (const stake of stakes) {
      const { heldModes, waitingModes } = stake.spot;
      if (((heldModes.bits | waitingModes.bits) & CONFLICT_BITS[stake.mode]!) === 0) continue;
      for (const blocker of blockersAt(stake, session, order)) return blocker;
    }
    return undefined;
  }

  #blockerOf({ stakes, request, order }: Asking): Blocker | undefined {
    return this.#firstBlocker(stakes, request.session, order);
  }

  /** The one that is likely to go last. */
  #lastBlocker(asking: Asking): Blocker {
    let last: Blocker | undefined;
    for (const blocker of this.#blockers(asking)) last = blocker;
    assert(last !== undefined, 'whoever waits is held up by somebody', { what: asking.request.what });
    return last;
  }

  *#blockers({ stakes, request, order }: Asking): Generator<Blocker> {
    for (const stake of stakes) yield* blockersAt(stake, request.session, order);
  }

  /** The shortest way from `asking` through those it waits for, and those they wait for, back to its own session. */
  #circleOf(asking: Asking): readonly Blocker[] | undefined {
    const { session } = asking.request;
    const own = this.#sessions.get(session);
    if (own === undefined || isIdle(own)) return undefined;
    const cameFrom = new Map<string, { readonly blocker: Blocker; readonly from: string | undefined }>();
    const line: { readonly asking: Asking; readonly session: string | undefined }[] = [{ asking, session: undefined }];
    for (let next = line.shift(); next !== undefined; next = line.shift()) {
      for (const blocker of this.#blockers(next.asking)) {
        const other = requestOf(blocker).session;
        const step = { blocker, from: next.session };
        if (other === session) return circleTo(step, cameFrom);
        if (cameFrom.has(other)) continue;
        cameFrom.set(other, step);
        for (const theirs of this.#sessions.get(other)?.asking ?? []) line.push({ asking: theirs, session: other });
      }
    }
    return undefined;
  }

  // ---- holding

  #grant(request: LockRequest, stakes: readonly Stake[], of: Held | undefined): Held {
    if (of !== undefined) {
      this.#setPlaces(of, request.places, stakes);
      return of;
    }
    if (this.#held.size >= LOCKS_HELD_MAX) throw tooManyFault('are held', this.#held.size);
    const { session, holder, what, places, leaseMs } = request;
    const granted = this.#options.clock.now();
    const token = this.#options.tokens.take();
    const nowMs = leaseMs === undefined ? 0 : this.#options.clock.monotonicMs();
    const step = leaseMs === undefined ? 0 : stepOf(nowMs + leaseMs);
    const expires = leaseMs === undefined ? undefined : endOf(step, granted, nowMs);
    const grant = { token, session, holder, what, places, granted, leaseMs, expires };
    const held: Held = { grant, stakes, step, isRising: false, watchers: undefined };
    this.#place(held);
    if (step > 0) this.#endAt(held, step, nowMs);
    return held;
  }

  #place(held: Held): void {
    this.#held.set(held.grant.token, held);
    this.#session(held.grant.session).heldCount++;
    this.#hold(held);
  }

  #hold(held: Held): void {
    for (const stake of held.stakes) stake.spot.hold(stake, held);
  }

  #setPlaces(held: Held, places: readonly LockPlace[], stakes: readonly Stake[]): void {
    const before = held.stakes;
    for (const stake of before) stake.spot.letGo(stake);
    held.grant = { ...held.grant, places };
    held.stakes = stakes;
    this.#hold(held);
    for (const { spot } of before) this.#tidy(spot);
  }

  #drop(held: Held): void {
    const { token } = held.grant;
    const session = this.#session(held.grant.session);
    this.#held.delete(token);
    session.heldCount--;
    this.#endLease(held);
    for (const stake of held.stakes) {
      stake.spot.letGo(stake);
      this.#tidy(stake.spot);
    }
    // Whoever wanted to raise it has nothing to raise any more.
    for (const asking of session.asking) if (asking.of === held) asking.refused(lostFault(token));
    this.#tidySession(session);
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
      const blocker = this.#blockerOf(asking);
      if (blocker !== undefined) {
        watch(asking, blocker);
        continue;
      }
      this.#grantWaiting(asking);
      const others = this.#sessions.get(asking.request.session)?.asking ?? NO_ASKING;
      if (others.size > 0) line = [...new Set([...line, ...others])].sort(byOrder);
    }
  }

  #grantWaiting(asking: Asking): void {
    try {
      asking.granted(this.#grant(asking.request, asking.stakes, asking.of));
    } catch (error) {
      if (!Fault.is(error)) throw error;
      asking.refused(error);
    }
  }

  #wakeSession(session: string): void {
    const asking = this.#sessions.get(session)?.asking ?? NO_ASKING;
    if (asking.size > 0) this.#grantFree(asking);
  }

  /** A stake for each key, in any order: a request is granted whole or not at all. */
  #stakesAt(places: readonly LockPlace[]): readonly Stake[] {
    const stakes: Stake[] = [];
    const [only] = places;
    if (places.length === 1 && only !== undefined) {
      const intent = MODE_NUMBER[intentOf(only.mode)];
      for (const key of only.above) stakes.push(this.#stake(key, intent));
      stakes.push(this.#stake(only.key, MODE_NUMBER[only.mode]));
    } else for (const { key, mode } of wantsOf(places)) stakes.push(this.#stake(key, MODE_NUMBER[mode]));
    return stakes;
  }

  #stake(key: string, mode: number): Stake {
    let spot = this.#spots.get(key);
    if (spot === undefined) {
      spot = new Spot(key);
      this.#spots.set(key, spot);
    }
    return { spot, mode, held: undefined, before: undefined, after: undefined };
  }

  #tidy(spot: Spot): void {
    if (this.#spots.size > SPOTS_KEPT_MAX && isEmpty(spot)) this.#spots.delete(spot.key);
  }

  #session(name: string): Session {
    let session = this.#sessions.get(name);
    if (session === undefined) {
      session = { name, heldCount: 0, asking: new Set() };
      this.#sessions.set(name, session);
    }
    return session;
  }

  #tidySession(session: Session): void {
    if (this.#sessions.size > SESSIONS_KEPT_MAX && isIdle(session)) this.#sessions.delete(session.name);
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
    const step = stepOf(nowMs + leaseMs);
    held.grant = { ...held.grant, leaseMs, expires: endOf(step, clock.now(), nowMs) };
    this.#endAt(held, step, nowMs);
  }

  #endAt(held: Held, at: number, nowMs: number): void {
    held.step = at;
    this.#leasedCount++;
    const step = this.#leases.get(at);
    if (step !== undefined) step.held.add(held);
    else {
      const all = new Set([held]);
      const timer = this.#options.clock.after(at * LEASE_STEP_MS - nowMs, () => this.#expire(at, all));
      this.#leases.set(at, { held: all, timer });
    }
    if (this.#idleStep === at) this.#idleStep = 0;
  }

  #endLease(held: Held): void {
    const { step: at } = held;
    const step = this.#leases.get(at);
    if (at === 0 || step === undefined || !step.held.delete(held)) return;
    held.step = 0;
    this.#leasedCount--;
    if (step.held.size > 0) return;
    this.#forgetStep(this.#idleStep);
    this.#idleStep = at;
  }

  #forgetStep(at: number): void {
    this.#leases.get(at)?.timer[Symbol.dispose]();
    this.#leases.delete(at);
  }

  #expire(at: number, all: Set<Held>): void {
    for (const held of [...all]) {
      this.#drop(held);
      this.#options.onExpired?.(held.grant);
    }
    this.#forgetStep(at);
    if (this.#idleStep === at) this.#idleStep = 0;
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

function isIdle({ heldCount, asking }: Session): boolean {
  return heldCount === 0 && asking.size === 0;
}

function isEmpty(spot: Spot): boolean {
  return spot.first === undefined && spot.waiting.size === 0;
}

function requestOf(blocker: Blocker): LockRequest {
  return 'grant' in blocker ? blocker.grant : blocker.request;
}

function isLeased(blocker: Blocker): boolean {
  return requestOf(blocker).leaseMs !== undefined;
}

function modeBits(): number[] {
  const bits: number[] = [];
  for (const mode of Object.keys(CONFLICTS) as LockMode[])
    bits[MODE_NUMBER[mode]] = CONFLICTS[mode].reduce((sum, other) => sum | (1 << other), 0);
  return bits;
}

function* blockersAt({ spot, mode }: Stake, session: string, order: number): Generator<Blocker> {
  const conflicts = CONFLICT_BITS[mode] ?? 0;
  let isInside = false;
  for (let stake = spot.first; stake !== undefined; stake = stake.after) {
    const { held } = stake;
    if (held === undefined) continue;
    if (held.grant.session === session) isInside = true;
    else if ((conflicts & (1 << stake.mode)) !== 0) yield held;
  }
  if (isInside || (spot.waitingModes.bits & conflicts) === 0) return;
  for (const [other, theirs] of spot.waiting) {
    if (other.order >= order) break;
    if (other.request.session !== session && (conflicts & (1 << theirs)) !== 0) yield other;
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

/** The step at or after a moment of the monotonic clock. */
function stepOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / LEASE_STEP_MS));
}

/** When a step is, told by a clock that shows `now` while the monotonic one shows `nowMs`. */
function endOf(step: number, now: Moment, nowMs: number): Moment {
  return momentOfMs(Math.round(msOfMoment(now) + step * LEASE_STEP_MS - nowMs));
}
