/**
 * Locks on paths that last: taken for a while, renewed, raised, lowered, given back or broken, through any door, also by
 * a command that ends at once. Each is held twice: by the manager, which knows who waits, and as rows, against which
 * every change is checked in the transaction that does it. So a write that was decided before a lock was granted and
 * comes after it is refused, one by a holder whose lease has ended as well, and a restart forgets no lock.
 *
 * Order: a lock is granted by the manager, then becomes rows, then is answered; its rows go before the manager gives it
 * to whoever waits. When a lease ends its rows go in the same turn; should that fail, they say themselves since when
 * they count for nothing.
 */
import { type LockChange, type LockOptions, type LockRecord, type Path, textOfPath } from '../../api/index.ts';
import { Fault, hexOf, isoOfMoment, momentOfMs, msOfMoment } from '../../base/index.ts';
import {
  type Change,
  covers,
  type Delete,
  type LockMode,
  type LockRow,
  type LocksExpect,
  lostFault,
  type MetaReader,
  type Put,
  type SpaceId,
} from '../../meta/index.ts';
import { type Caller, type Context, commit, type LockKeeper, type Space } from '../context.ts';
import { findPath, getPlace } from '../tree.ts';
import { type Grant, type Lock, type LockPlace, wantsOf } from './lock-manager.ts';
import { type FoundPlace, LockPlaces } from './lock-places.ts';
import { LockTokens } from './lock-tokens.ts';
import { MemoryLocks } from './memory-locks.ts';

export const LEASE_MS_DEFAULT = 60_000;
export const LEASE_MS_MIN = 1_000;
export const LEASE_MS_MAX = 24 * 3600 * 1000;
export const LOCK_WAIT_MS_MAX = 10 * 60 * 1000;
/** Places that were found and had moved until the lock was granted, before it is given up. */
const FINDS_MAX = 20;
/** Locks that one page of rows has at the opening. */
const ROWS_PAGE = 1_000;

/** A lock with a lease: the rows that stand for it name its space. */
interface Leased {
  readonly space: Space;
  readonly path: string;
}

export class Locks implements LockKeeper {
  readonly manager: MemoryLocks;
  readonly #context: () => Context;
  readonly #leased = new Map<number, Leased>();
  /** Those who have others wait. */
  readonly #pauses = new Map<Promise<void>, () => void>();
  /** Rows that are on their way out. */
  readonly #forgetting = new Set<Promise<void>>();

  constructor(context: () => Context, parts: Pick<Context, 'clock' | 'meta'>) {
    this.#context = context;
    const tokens = new LockTokens(parts.meta);
    this.manager = new MemoryLocks({ clock: parts.clock, tokens, onExpired: (grant) => this.#forget(grant) });
  }

  /** Takes up the locks of processes before this one. */
  async load(space: Space): Promise<void> {
    const { meta, clock } = this.#context();
    const rows: LockRow[] = [];
    for (let last: LockRow | undefined; ; last = rows.at(-1)) {
      const after = last === undefined ? {} : { after: [last.token, last.key] };
      const page = await meta.scan('locks', { prefix: [space.space], ...after, limit: ROWS_PAGE });
      rows.push(...page);
      if (page.length < ROWS_PAGE) break;
    }
    const nowMs = msOfMoment(clock.now());
    for (const [token, group] of Map.groupBy(rows, (row) => row.token)) {
      const grant = grantOf(token, group);
      this.#leased.set(token, { space, path: grant.what });
      if ((group[0]?.expiresMs ?? 0) > nowMs) this.manager.adopt(grant);
      else this.#forget(grant);
    }
  }

  /** @throws Fault `locked`, `deadlock`, `busy`, `aborted`, `invalid`, `not-found` for a folder above that is not there. */
  async lock(space: Space, caller: Caller, path: Path, options: LockOptions): Promise<LockRecord> {
    const { clock, random } = this.#context();
    const what = textOfPath(path);
    const leaseMs = leaseOf(options.leaseMs);
    const endMs = clock.monotonicMs() + waitOf(options.waitMs);
    const holder = options.holder ?? `${caller.user} (${caller.door} ${caller.request})`;
    for (let finds = 1; finds <= FINDS_MAX; finds++) {
      const found = await this.#find(space, path, options.mode ?? 'X');
      const session = options.session ?? hexOf(random.bytes(8));
      const request = { session, holder, what, places: [found.place], leaseMs };
      const waitMs = Math.max(0, endMs - clock.monotonicMs());
      const lock = await this.manager.acquire(request, { waitMs, signal: options.signal });
      if (await this.#keep(space, lock, found))
        return recordOfGrant((await this.manager.find(lock.token)) ?? lock.grant);
    }
    throw new Fault('busy', `${what} could not be locked: it was moved ${FINDS_MAX} times meanwhile. Try again.`, {
      path: what,
    });
  }

  /** Renews a lock, raises it or lowers it. @throws Fault `lock-lost`, and as `lock`. */
  async change(token: number, change: LockChange): Promise<LockRecord> {
    const { manager } = this;
    const { space } = this.#get(token);
    const grant = await manager.find(token);
    if (grant === undefined) throw lostFault(token);
    if (change.mode !== undefined) await this.#setMode(grant, change.mode, change);
    const leaseMs = leaseOf(change.leaseMs ?? grant.leaseMs);
    const renewed = await manager.renew(token, leaseMs);
    await this.#commit(space.space, { puts: putsOf(space.space, renewed), deletes: [] });
    return recordOfGrant(renewed);
  }

  async #setMode(grant: Grant, mode: LockMode, change: LockChange): Promise<void> {
    const { manager } = this;
    const isLower = grant.places.every((place) => covers(place.mode, mode));
    if (isLower) await manager.downgrade(grant.token, mode);
    else await manager.upgrade(grant.token, mode, { waitMs: waitOf(change.waitMs), signal: change.signal });
  }

  /** Gives a lock back, whoever holds it. @throws Fault `lock-lost`. */
  async unlock(token: number): Promise<LockRecord> {
    const { space } = this.#get(token);
    const grant = await this.manager.find(token);
    if (grant === undefined) throw lostFault(token);
    await this.#commit(space.space, { puts: [], deletes: deletesOf(space.space, grant) });
    this.#leased.delete(token);
    await this.manager.release(token);
    return recordOfGrant(grant);
  }

  /** The locks of a space, or those on exactly this path. The oldest first. */
  async list(space: Space, path?: Path): Promise<readonly LockRecord[]> {
    const what = path === undefined ? undefined : textOfPath(path);
    const grants = (await this.manager.list()).filter(
      ({ token }) => this.#leased.get(token)?.space.space === space.space,
    );
    return grants.filter((grant) => what === undefined || grant.what === what).map(recordOfGrant);
  }

  async withNeeds(change: Change, isForced = false): Promise<Change> {
    for (const [paused] of this.#pauses) await paused;
    const expect = change.expects?.find((each): each is LocksExpect => each.kind === 'locks');
    if (expect === undefined || expect.needs !== undefined || change.record === undefined) return change;
    if (!isForced && !this.manager.hasLeases && expect.held.length === 0) return change;
    const space = this.#spaceOf(expect.space);
    const places = new LockPlaces(this.#context().meta, space, change);
    const { needs, expects } = await places.needsOf(change.record.items);
    const others = (change.expects ?? []).filter((each) => each !== expect);
    return { ...change, expects: [...others, ...expects, { ...expect, needs }] };
  }

  /** Until it is disposed, changes that are about to be handed in wait; what was handed in goes through. */
  pauseOthers(): Disposable {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pauses.set(promise, resolve);
    return {
      [Symbol.dispose]: () => {
        this.#pauses.delete(promise);
        resolve();
      },
    };
  }

  /** What many changes need together, planned on these rows. */
  async needsOf(rows: MetaReader, space: Space, changes: readonly Change[]): ReturnType<LockPlaces['needsOf']> {
    const puts = changes.flatMap((change) => change.puts ?? []);
    const [first] = changes;
    const places = new LockPlaces(rows, space, first === undefined ? undefined : { ...first, puts });
    return places.needsOf(changes.flatMap((change) => change.record?.items ?? []));
  }

  /** Waits until what ended is forgotten. */
  async close(): Promise<void> {
    this.manager.close();
    await Promise.all(this.#forgetting);
  }

  #spaceOf(id: SpaceId): Space {
    const space = this.#context().spaceOf(id);
    if (space === undefined) throw new Fault('not-found', `There is no space ${id}.`, { space: id });
    return space;
  }

  #get(token: number): Leased {
    const leased = this.#leased.get(token);
    if (leased === undefined) throw lostFault(token);
    return leased;
  }

  /** The place as it is now: of what stands at the path, or of the name when nothing does. */
  async #find(space: Space, path: Path, mode: LockMode): Promise<FoundPlace> {
    const context = this.#context();
    const places = new LockPlaces(context.meta, space);
    if (path.length === 0) return places.ofRoot(mode);
    const found = await findPath(context, space, path);
    const { parent, name } = found?.entry ?? (await namedPlace(context, space, path));
    return places.of(parent, name, mode);
  }

  /** Writes the lock down. False when what was locked is not there any more: then it was given back. */
  async #keep(space: Space, lock: Lock, { expects }: FoundPlace): Promise<boolean> {
    const { token, grant } = lock;
    this.#leased.set(token, { space, path: grant.what });
    try {
      await commit(this.#context(), {
        ...{ space: space.space, now: this.#context().clock.now(), expects },
        puts: putsOf(space.space, grant),
      });
    } catch (error) {
      this.#leased.delete(token);
      await lock.release();
      if (!Fault.is(error, 'conflict')) throw error;
      return false;
    }
    return true;
  }

  async #commit(space: SpaceId, rows: Pick<Change, 'puts' | 'deletes'>): Promise<void> {
    await commit(this.#context(), { space, now: this.#context().clock.now(), ...rows });
  }

  /** In this very turn, so that the rows go before those of whoever waited. */
  #forget(grant: Grant): void {
    const leased = this.#leased.get(grant.token);
    if (leased === undefined) return;
    this.#leased.delete(grant.token);
    const { space } = leased.space;
    const done = this.#commit(space, { puts: [], deletes: deletesOf(space, grant) })
      .catch((error: unknown) => this.#context().log.warn('locks.forget-failed', { error: String(error) }))
      .finally(() => this.#forgetting.delete(done));
    this.#forgetting.add(done);
  }
}

async function namedPlace(context: Context, space: Space, path: Path): Promise<{ parent: number; name: Uint8Array }> {
  const { parent, name } = await getPlace(context, space, path);
  return { parent: parent.node, name };
}

function leaseOf(leaseMs: number = LEASE_MS_DEFAULT): number {
  if (leaseMs >= LEASE_MS_MIN && leaseMs <= LEASE_MS_MAX) return leaseMs;
  const sentence = `A lock lasts from ${LEASE_MS_MIN / 1000} s to ${LEASE_MS_MAX / 3_600_000} h until it is renewed, not ${leaseMs / 1000} s.`;
  throw new Fault('invalid', sentence, { lease_ms: leaseMs });
}

function waitOf(waitMs = 0): number {
  if (waitMs >= 0 && waitMs <= LOCK_WAIT_MS_MAX) return waitMs;
  const sentence = `One waits for a lock up to ${LOCK_WAIT_MS_MAX / 60_000} minutes, not ${waitMs / 1000} s.`;
  throw new Fault('invalid', sentence, { wait_ms: waitMs });
}

export function recordOfGrant(grant: Grant): LockRecord {
  return {
    token: grant.token,
    path: grant.what,
    mode: grant.places[0]?.mode ?? 'X',
    holder: grant.holder,
    session: grant.session,
    granted: isoOfMoment(grant.granted),
    expires: isoOfMoment(grant.expires ?? grant.granted),
  };
}

function putsOf(space: SpaceId, grant: Grant): readonly Put[] {
  const target = grant.places[0]?.key;
  const row = {
    ...{ space, token: grant.token, session: grant.session, holder: grant.holder, path: grant.what },
    grantedMs: Math.round(msOfMoment(grant.granted)),
    expiresMs: Math.round(msOfMoment(grant.expires ?? grant.granted)),
  };
  return wantsOf(grant.places).map(({ key, mode }) => ({
    ...{ table: 'locks', mode: 'replace' },
    row: { ...row, key, mode, isTarget: key === target ? 1 : 0 },
  }));
}

function deletesOf(space: SpaceId, grant: Grant): readonly Delete[] {
  return wantsOf(grant.places).map(({ key }) => ({ table: 'locks', key: [space, grant.token, key] }));
}

function grantOf(token: number, rows: readonly LockRow[]): Grant {
  const target = rows.find((row) => row.isTarget === 1) ?? rows[0];
  if (target === undefined) throw new Fault('corrupt', `The lock ${token} has no rows.`, { token });
  const place: LockPlace = {
    ...{ key: target.key, mode: target.mode },
    above: rows.filter((row) => row !== target).map((row) => row.key),
  };
  return {
    ...{ token, session: target.session, holder: target.holder, what: target.path, places: [place] },
    granted: momentOfMs(target.grantedMs),
    expires: momentOfMs(target.expiresMs),
    leaseMs: target.expiresMs - target.grantedMs,
  };
}
