/**
 * A server: a store held open, with its doors, until it is told to stop or nothing of it is left: HTTP if it is asked for,
 * mounts if there are any, and always the control socket. Stopping drains: no new requests, those under way are waited for
 * within a bound; then the mounts are taken away, everything is made durable, the lock is let go. A second word to stop
 * hurries, and loses nothing either.
 */
import { type Clock, type Log, type Random, systemClock, systemRandom } from '../base/index.ts';
import type { Config } from './config.ts';
import { openLog } from './log-sink.ts';
import type { OpenStore } from './open-store.ts';
import { openForServer } from './reach-store.ts';
import { checkAddress, openDoors, type StoreDoors } from './store-doors.ts';
import { checkMounts, type MountWish, openMounts, type StoreMounts } from './store-mounts.ts';

export interface ServeQuestion {
  readonly config: Config;
  /** What holds the store, for whoever finds it locked. Default `holdfast serve`. */
  readonly command?: string;
  /** Answer over HTTP where the options say. Default true. */
  readonly http?: boolean;
  /** Where the store is to be mounted; the option `mounts` is not looked at. Default nowhere. */
  readonly mounts?: readonly MountWish[];
  /** Make the store when there is none. */
  readonly create?: boolean;
  /** Makes the server drain and end. */
  readonly signal?: AbortSignal | undefined;
  /** Ends what is still under way while it drains. */
  readonly hurry?: AbortSignal | undefined;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Standard error as the configuration says when absent. */
  readonly log?: Log;
  readonly reachMsMax?: number;
  /** Threads of the pool; as the environment says when absent. */
  readonly poolThreads?: number;
}

/** What libuv takes when nobody says otherwise. */
const POOL_THREADS = 4;

export interface RunningServer {
  /** Where HTTP answers; absent without. */
  readonly url: string | undefined;
  /** The control socket. */
  readonly socket: string;
  /** Where the store is mounted. */
  readonly mountPoints: readonly string[];
  readonly store: string;
  readonly storeId: string;
  /** True when the store was made just now. */
  readonly isNew: boolean;
  /** Drains and ends it, as the signal does; fine twice. */
  stop(): void;
  /** Resolves when the server has ended; rejects when something could not be made durable, unmounted or closed. */
  readonly ended: Promise<void>;
}

/** Starts a server; resolves when it answers and is mounted. @throws Fault as openStore, the HTTP door and mounts do. */
export async function serve(question: ServeQuestion): Promise<RunningServer> {
  const { config, clock = systemClock, random = systemRandom, signal } = question;
  const { command = 'holdfast serve', http = true, mounts: wishes = [], create = false } = question;
  const options = config.values;
  const log = question.log ?? openLog({ level: options['log.level'], format: options['log.format'], clock });
  const poolThreads = question.poolThreads ?? (Number(process.env.UV_THREADPOOL_SIZE) || POOL_THREADS);
  if (http) await checkAddress(options);
  if (wishes.length > 0) await checkMounts({ wishes, options, log, poolThreads });
  await using building = new AsyncDisposableStack();
  const store = building.use(await openForServer({ ...question, options, command, create, clock, random, log }));
  let mounts: StoreMounts | undefined;
  const told = wishes.length === 0 ? undefined : async () => mounts?.told();
  const doors = building.use(await openDoors({ store, options, tcp: http, told, clock, random, log }));
  if (wishes.length > 0) mounts = building.use(await openMounts({ store, wishes, options, clock, log }));
  const owned = building.move();
  const { url, socket } = doors;
  const mountPoints = mounts?.mountPoints ?? [];
  const where = {
    ...(url === undefined ? {} : { url }),
    socket,
    ...(mountPoints.length === 0 ? {} : { mounts: mountPoints }),
  };
  log.info('server.ready', {
    ...where,
    store: store.folder,
    store_id: store.format.storeId,
    is_new: store.isNew,
  });
  const stopping = stopOf(signal);
  // Somebody unmounted it all, and there is no other way in.
  if (!http) void mounts?.ended.then(stopping.stop);
  const drainMs = options['http.drain_timeout'];
  const busyMs = options['mount.unmount_timeout'];
  const ended = stopping.promise.then(() =>
    end({ store, doors, mounts, owned, log, drainMs, busyMs, hurry: question.hurry }),
  );
  return {
    url,
    socket,
    mountPoints,
    store: store.folder,
    storeId: store.format.storeId,
    isNew: store.isNew,
    stop: stopping.stop,
    ended,
  };
}

function stopOf(signal: AbortSignal | undefined): { readonly promise: Promise<void>; readonly stop: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = (): void => resolve();
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop, { once: true });
  return { promise, stop };
}

interface Ending {
  readonly store: OpenStore;
  readonly doors: StoreDoors;
  readonly mounts: StoreMounts | undefined;
  readonly owned: AsyncDisposableStack;
  readonly log: Log;
  readonly drainMs: number;
  readonly busyMs: number;
  readonly hurry: AbortSignal | undefined;
}

async function end({ store, doors, mounts, owned, log, drainMs, busyMs, hurry }: Ending): Promise<void> {
  log.info('server.draining', { store: store.folder });
  await using _owned = owned;
  // Asked again with no time left, the doors end what is still under way; the first call tells how many that were.
  hurry?.addEventListener('abort', () => void doors.drain(0), { once: true });
  const { ended } = await doors.drain(hurry?.aborted ? 0 : drainMs);
  log.info('server.drained', { ended });
  await mounts?.unmount({ busyMs, hurry });
}

/** What a person sees when a server is ready; the curl line works as it is printed, in any shell and folder. */
export function bannerOf(server: Pick<RunningServer, 'url' | 'store' | 'isNew' | 'mountPoints'>): string {
  const { url, store, isNew, mountPoints } = server;
  const mounts = mountPoints.map((mountPoint) => `Mounted at ${mountPoint}`);
  if (url === undefined) {
    const ways = `Stop it with Ctrl+C, or unmount ${mountPoints.length === 1 ? 'it' : 'them all'}.`;
    return `${isNew ? 'Made a new store and mounted' : 'Mounted'} ${store} at ${mountPoints.join(' and ')}. ${ways}`;
  }
  const first = `${isNew ? 'Made a new store and serve' : 'Serving'} ${store} on ${url}`;
  return [
    first,
    ...mounts,
    '',
    'Try it:',
    `  echo 'Hello, Holdfast' | curl -T - '${url}/v1/files/hello.txt?create'`,
    `  curl '${url}/v1/files/hello.txt'`,
    '',
    `Its interface: ${url}/v1/docs    Stop it with Ctrl+C.`,
    '',
  ].join('\n');
}
