/**
 * How a command gets at a store, wherever it is and whoever holds it:
 *
 *   --server URL                         → HTTP to that server
 *   nobody holds the store               → open it in this process
 *   somebody does and answers            → through their control socket
 *   somebody does and does not answer    → try both again, for REACH_MS_MAX; then `locked`, naming them
 *   it passes from hand to hand          → each of them is waited for as long, REACH_HANDS_MAX times that in all
 *
 * Who opens a store for one command answers on the control socket too, so that a long command does not shut out the
 * others: DOOR_DELAY_MS after the store a bell hangs at its door (doorbell.ts), because most commands are done by then,
 * and whoever rings it makes this process load the door. Closing waits for what others have under way. When a holder ends between two requests of ours, the next request
 * reaches the store anew (steady-transport.ts).
 */
import type { FileService, Transport } from '../api/index.ts';
import {
  type Clock,
  Fault,
  hexOf,
  type Log,
  type Random,
  silentLog,
  systemClock,
  systemRandom,
} from '../base/index.ts';
import type { Config } from './config.ts';
import { controlSocketOf } from './control-socket.ts';
import type { Doorbell } from './doorbell.ts';
import { type OpenStore, openStore } from './open-store.ts';
import type { ServerOptions } from './options-table.ts';
import { SteadyTransport, type Way } from './steady-transport.ts';
import { openDoors, type StoreDoors } from './store-doors.ts';
import { holderOf, type LockHolder, lockedFault } from './store-lock.ts';

/** How long a store is tried that one and the same has locked and does not answer for. */
export const REACH_MS_MAX = 5_000;
/** How often that long a store is tried that somebody else is always faster to open. */
const REACH_HANDS_MAX = 12;
/** How long after opening a store for one command somebody listens on its control socket. */
export const DOOR_DELAY_MS = 100;

const RETRY_MS_MIN = 10;
const RETRY_MS_MAX = 200;
/** Longest wait for others' requests when a command is done; longer than any request should take. */
const DRAIN_MS_MAX = 24 * 3_600_000;

export interface ReachQuestion {
  readonly config: Config;
  /** What this process is, for those it shuts out: `holdfast put`. */
  readonly command: string;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  readonly doorDelayMs?: number;
  readonly reachMsMax?: number;
}

/** A store that was reached; dispose lets go of it, after what others have under way through this process. */
export interface ReachedStore extends AsyncDisposable {
  readonly service: FileService;
  /** How: this process holds the store, or its holder or a server was asked. */
  readonly through: 'process' | 'control' | 'server';
  /** The folder or URL. */
  readonly where: string;
}

type Parts = Required<Omit<ReachQuestion, 'signal'>> & Pick<ReachQuestion, 'signal'>;

/**
 * Reaches the store or server that the configuration names.
 * @throws Fault `invalid` when flags name both, `not-found`, `locked` naming the holder, `aborted`, and what openStore throws.
 */
export async function reachStore(question: ReachQuestion): Promise<ReachedStore> {
  const parts: Parts = {
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    doorDelayMs: DOOR_DELAY_MS,
    reachMsMax: REACH_MS_MAX,
    ...question,
  };
  const origin = serverOf(question.config);
  return origin === undefined ? reachFolder(parts) : reachServer(origin, parts);
}

const RANKS = { default: 0, file: 1, environment: 2, flag: 3 } as const;

/** The server to ask, if it is one that counts: whichever of `store` and `server` was named nearer to the command. */
function serverOf({ values, origins }: Config): string | undefined {
  if (values.server === undefined) return undefined;
  const [store, server] = [RANKS[origins.store.kind], RANKS[origins.server.kind]];
  if (store === server && store === RANKS.flag) {
    throw new Fault('invalid', '--store and --server name two different places. Give one of them.', {
      store: values.store,
      server: values.server,
    });
  }
  return server >= store ? values.server : undefined;
}

async function reachServer(origin: string, { clock, random }: Parts): Promise<ReachedStore> {
  const [{ nodeTransport }, { HttpFileService }] = await Promise.all([
    import('../http/index.ts'),
    import('../client/index.ts'),
  ]);
  const url = URL.parse(origin);
  const transport = nodeTransport({ origin: url?.origin ?? origin });
  // A server may stand below a path of a proxy.
  const baseUrl = (url?.pathname ?? '').replace(/\/+$/, '');
  return {
    service: new HttpFileService({ transport: transport.send, baseUrl, clock, random }),
    through: 'server',
    where: origin,
    [Symbol.asyncDispose]: async () => transport[Symbol.dispose](),
  };
}

async function reachFolder(parts: Parts): Promise<ReachedStore> {
  const found = await openOrAsk(parts);
  const where = parts.config.values.store;
  if (found.kind === 'open') {
    const held = new HeldStore(found.store, parts);
    const service = found.store.service({ door: 'cli', request: hexOf(parts.random.bytes(8)) });
    return { service, through: 'process', where, [Symbol.asyncDispose]: () => held[Symbol.asyncDispose]() };
  }
  const { HttpFileService } = await import('../client/index.ts');
  const steady = new SteadyTransport(found.way, () => findWay(parts));
  return {
    service: new HttpFileService({ transport: steady.send, clock: parts.clock, random: parts.random }),
    through: 'control',
    where,
    [Symbol.asyncDispose]: () => steady[Symbol.asyncDispose](),
  };
}

/** A new way to the store for a command whose holder has ended: the next holder, or this process itself. */
async function findWay(parts: Parts): Promise<Way> {
  const found = await openOrAsk(parts);
  if (found.kind === 'asked') return found.way;
  await using building = new AsyncDisposableStack();
  const held = building.use(new HeldStore(found.store, { ...parts, doorDelayMs: 0 }));
  // Its own requests go through its own door: one way for all of them, whoever holds the store.
  await held.openDoor();
  const way = building.use(await controlWay(parts.config.values.store));
  const owned = building.move();
  return { transport: way.transport, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

type Found = { readonly kind: 'open'; readonly store: OpenStore } | { readonly kind: 'asked'; readonly way: Way };

async function openOrAsk(parts: Parts): Promise<Found> {
  const { clock, signal, random } = parts;
  const folder = parts.config.values.store;
  const patience = new Patience(folder, clock, parts.reachMsMax);
  for (let delayMs = RETRY_MS_MIN; ; delayMs = Math.min(RETRY_MS_MAX, delayMs * 2)) {
    const store = await openUnlessLocked(parts);
    if (store !== undefined) return { kind: 'open', store };
    const way = await answeringWay(folder, signal);
    if (way !== undefined) return { kind: 'asked', way };
    // Somebody is just opening or closing the store, or hangs.
    const holder = holderOf(folder);
    if (patience.isOverWith(holder)) throw lockedFault(folder, holder);
    // Not all at the same moment: two that try at once each find the other one there.
    await clock.sleep(delayMs * (0.5 + random.fraction()), signal);
  }
}

/**
 * How long one waits for whoever holds a store. Somebody new in it is no reason to give up: it goes from hand to hand, and
 * each has as long as the first. Nobody by name is a moment: between taking the lock and saying so, between taking the
 * name away and letting go, or somebody who only tries as well.
 */
class Patience {
  readonly #clock: Clock;
  readonly #reachMsMax: number;
  readonly #endMs: number;
  #holder: LockHolder | undefined;
  #sinceMs: number;

  constructor(folder: string, clock: Clock, reachMsMax: number) {
    this.#clock = clock;
    this.#reachMsMax = reachMsMax;
    this.#sinceMs = clock.monotonicMs();
    this.#endMs = this.#sinceMs + reachMsMax * REACH_HANDS_MAX;
    this.#holder = holderOf(folder);
  }

  isOverWith(holder: LockHolder | undefined): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs >= this.#endMs) return true;
    if (holder === undefined) return false;
    if (holder.pid !== this.#holder?.pid || holder.since !== this.#holder.since) {
      this.#holder = holder;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs >= this.#reachMsMax;
  }
}

async function openUnlessLocked(parts: Parts): Promise<OpenStore | undefined> {
  const { config, command, clock, random, log } = parts;
  try {
    return await openStore({ options: config.values, command, clock, random, log });
  } catch (error) {
    if (Fault.is(error, 'locked')) return undefined;
    throw error;
  }
}

/** A way through the holder's control socket; `undefined` when nobody answers there. */
async function answeringWay(folder: string, signal: AbortSignal | undefined): Promise<Way | undefined> {
  await using building = new AsyncDisposableStack();
  const way = building.use(await controlWay(folder));
  try {
    const answer = await way.transport({ method: 'GET', path: '/v1/health', headers: {}, signal });
    for await (const _ of answer.body);
    if (answer.status !== 200) return undefined;
  } catch (error) {
    if (Fault.is(error, 'unavailable')) return undefined;
    throw error;
  }
  const owned = building.move();
  return { transport: way.transport, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function controlWay(folder: string): Promise<Way> {
  const { nodeTransport } = await import('../http/index.ts');
  await using building = new AsyncDisposableStack();
  const address = building.use(controlSocketOf(folder));
  const transport = building.use(nodeTransport({ socketPath: address.path }));
  const owned = building.move();
  const send: Transport = transport.send;
  return { transport: send, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A store held for one command: a bell at its door after a while, and a door once somebody has rung. */
class HeldStore implements AsyncDisposable {
  readonly #store: OpenStore;
  readonly #parts: Parts;
  readonly #timer: Disposable;
  #bell: Promise<Doorbell | undefined> | undefined;
  #doors: Promise<StoreDoors> | undefined;

  constructor(store: OpenStore, parts: Parts) {
    this.#store = store;
    this.#parts = parts;
    this.#timer = parts.clock.after(parts.doorDelayMs, () => {
      if (this.#doors === undefined) this.#bell ??= this.#hangBell();
    });
  }

  /** Answers on the control socket from now on. */
  openDoor(): Promise<StoreDoors> {
    const { config, clock, random, log } = this.#parts;
    this.#doors ??= openDoors({ store: this.#store, options: config.values, tcp: false, clock, random, log });
    return this.#doors;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer[Symbol.dispose]();
    await using _store = this.#store;
    await using bell = await this.#bell;
    await bell?.stop();
    await using doors = await this.#doors?.catch(() => undefined);
    await doors?.drain(DRAIN_MS_MAX);
  }

  /** Never rejects: without a bell others cannot get in and are told who holds the store; the command itself goes on. */
  async #hangBell(): Promise<Doorbell | undefined> {
    const { log } = this.#parts;
    const complain = (error: unknown): void => log.warn('server.no-control-socket', { error });
    try {
      const { Doorbell } = await import('./doorbell.ts');
      const open = (): Promise<StoreDoors> => {
        const doors = this.openDoor();
        doors.catch(complain);
        return doors;
      };
      const bell = await Doorbell.hang({ folder: this.#store.folder, open });
      this.#store.lock.announce({ addresses: [bell.shown] });
      return bell;
    } catch (error) {
      complain(error);
      return undefined;
    }
  }
}

/** Opens the store for a server: waits, within the bound, for a command that holds it, and not for another server. */
export async function openForServer(
  question: Omit<ReachQuestion, 'config'> & { readonly options: ServerOptions; readonly create: boolean },
): Promise<OpenStore> {
  const { options, clock = systemClock, reachMsMax = REACH_MS_MAX, signal } = question;
  const { random = systemRandom, log = silentLog, command, create } = question;
  const patience = new Patience(options.store, clock, reachMsMax);
  for (;;) {
    try {
      return await openStore({ options, command, create, background: true, clock, random, log });
    } catch (error) {
      const holder = holderOf(options.store);
      if (!Fault.is(error, 'locked') || isServer(holder) || patience.isOverWith(holder)) throw error;
      await clock.sleep(RETRY_MS_MAX, signal);
    }
  }
}

/** Only servers answer on the network or are mounted; one will not be done in a moment. */
function isServer(holder: LockHolder | undefined): boolean {
  if (holder === undefined) return false;
  return holder.mounts.length > 0 || holder.addresses.some((address) => URL.canParse(address));
}
