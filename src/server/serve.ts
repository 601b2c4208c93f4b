/**
 * A server: a store held open, with its doors, until it is told to stop. Stopping drains: no new requests, those under
 * way are waited for within a bound, everything is made durable, the lock is let go. A second word to stop hurries.
 */
import { type Clock, type Log, type Random, systemClock, systemRandom } from '../base/index.ts';
import type { Config } from './config.ts';
import { openLog } from './log-sink.ts';
import type { OpenStore } from './open-store.ts';
import { openForServer } from './reach-store.ts';
import { checkAddress, openDoors, type StoreDoors } from './store-doors.ts';

export interface ServeQuestion {
  readonly config: Config;
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
}

export interface RunningServer {
  readonly url: string;
  /** The control socket. */
  readonly socket: string;
  readonly store: string;
  readonly storeId: string;
  /** True when the store was made just now. */
  readonly isNew: boolean;
  /** Drains and ends it, as the signal does; fine twice. */
  stop(): void;
  /** Resolves when the server has ended; rejects when closing the store failed. */
  readonly ended: Promise<void>;
}

/** Starts a server; resolves when it answers. @throws Fault as openStore and the HTTP door do. */
export async function serve(question: ServeQuestion): Promise<RunningServer> {
  const { config, clock = systemClock, random = systemRandom, signal } = question;
  const options = config.values;
  const log = question.log ?? openLog({ level: options['log.level'], format: options['log.format'], clock });
  await checkAddress(options);
  await using building = new AsyncDisposableStack();
  const store = building.use(
    await openForServer({
      ...question,
      options,
      command: 'holdfast serve',
      create: question.create === true,
      clock,
      random,
      log,
    }),
  );
  const doors = building.use(await openDoors({ store, options, tcp: true, clock, random, log }));
  const owned = building.move();
  const { url = '', socket } = doors;
  log.info('server.ready', { url, socket, store: store.folder, store_id: store.format.storeId, is_new: store.isNew });
  const stopping = stopOf(signal);
  const drainMs = options['http.drain_timeout'];
  const ended = stopping.promise.then(() => end({ store, doors, owned, log, drainMs, hurry: question.hurry }));
  return {
    url,
    socket,
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
  readonly owned: AsyncDisposableStack;
  readonly log: Log;
  readonly drainMs: number;
  readonly hurry: AbortSignal | undefined;
}

async function end({ store, doors, owned, log, drainMs, hurry }: Ending): Promise<void> {
  log.info('server.draining', { store: store.folder });
  await using _owned = owned;
  // Asked again with no time left, the doors end what is still under way; the first call tells how many that were.
  hurry?.addEventListener('abort', () => void doors.drain(0), { once: true });
  const { ended } = await doors.drain(hurry?.aborted ? 0 : drainMs);
  log.info('server.drained', { ended });
}

/** What a person sees when a server is ready; the curl line works as it is printed, in any shell and folder. */
export function bannerOf(server: Pick<RunningServer, 'url' | 'store' | 'isNew'>): string {
  const { url, store, isNew } = server;
  return [
    `${isNew ? 'Made a new store and serve' : 'Serving'} ${store} on ${url}`,
    '',
    'Try it:',
    `  echo 'Hello, Holdfast' | curl -T - '${url}/v1/files/hello.txt?create'`,
    `  curl '${url}/v1/files/hello.txt'`,
    '',
    `Its interface: ${url}/v1/docs    Stop it with Ctrl+C.`,
    '',
  ].join('\n');
}
