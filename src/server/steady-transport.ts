/**
 * A way to a store that outlives the process it leads through. Commands work through whoever holds the store; when that
 * process ends between two requests, the next request finds nobody, looks for the store anew (a new holder, or itself),
 * and is sent again. It is sent again only when it is sure that nothing of it arrived, so nothing is ever done twice.
 */
import type { ByteSource, Transport, TransportAnswer, TransportRequest } from '../api/index.ts';
import { Fault } from '../base/index.ts';
import { ReplayedBody } from './replayed-body.ts';

/** A place to send requests to, as long as it lasts. */
export interface Way extends AsyncDisposable {
  readonly transport: Transport;
}

/**
 * Times that one request looks for the store anew. Where many commands take turns, whoever is found may be gone before the
 * request gets to it: one time in three among six that each need a moment. So it is a bound, and nobody's patience: every
 * search found somebody.
 */
export const SEARCHES_MAX = 100;
/** Searches, each of some seconds, while the old holder waits for answers of ours: about an hour. */
const SEARCHES_WHILE_USED_MAX = 720;

/** A way in use: how many of its requests are not answered to the end yet. */
interface Path {
  readonly way: Way;
  underWay: number;
}

export class SteadyTransport implements AsyncDisposable {
  readonly #find: () => Promise<Way>;
  #path: Promise<Path>;
  /** Lost ways: answers may still be arriving on them, so they are let go with the rest. Each is an idle client. */
  readonly #lost: Way[] = [];

  /** @param find finds the store, or is refused; called again when a way is lost, never twice at once. */
  constructor(first: Way, find: () => Promise<Way>) {
    this.#find = find;
    this.#path = Promise.resolve({ way: first, underWay: 0 });
  }

  readonly send: Transport = async (request) => {
    await using body = isSource(request.body) ? new ReplayedBody(request.body) : undefined;
    for (let search = 0; ; search++) {
      const path = this.#path;
      try {
        return await sendOn(await orAborted(path, request.signal), request, body);
      } catch (error) {
        const canGoOn = wasNotSent(error) && (body?.canReplay ?? true) && search < SEARCHES_MAX;
        if (!canGoOn || request.signal?.aborted) throw error;
        this.#findAnew(path);
      }
    }
  };

  /** Many requests may find the way lost; the first looks for another, and the others use what it finds. */
  #findAnew(lost: Promise<Path>): void {
    if (this.#path !== lost) return;
    this.#path = lost.then(async (path) => {
      this.#lost.push(path.way);
      return { way: await this.#findWhileUsed(path), underWay: 0 };
    });
    // Whoever waits for it is told; nobody may be waiting any more.
    this.#path.catch(() => {});
  }

  /** Who closes waits for the requests under way and holds the store meanwhile: as long as they are ours, so do we. */
  async #findWhileUsed(lost: Path): Promise<Way> {
    for (let search = 1; ; search++) {
      try {
        return await this.#find();
      } catch (error) {
        const isOurs = lost.underWay > 0 && search < SEARCHES_WHILE_USED_MAX;
        if (!Fault.is(error, 'locked') || !isOurs) throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A way that was not found has nothing to let go of, and who asked for it has been told.
    const path = await this.#path.catch(() => undefined);
    await using ways = new AsyncDisposableStack();
    for (const way of this.#lost.splice(0)) ways.use(way);
    if (path !== undefined) ways.use(path.way);
  }
}

async function sendOn(path: Path, request: TransportRequest, body: ReplayedBody | undefined): Promise<TransportAnswer> {
  path.underWay++;
  try {
    const answer = await path.way.transport(body === undefined ? request : { ...request, body: body.bytes() });
    path.underWay++;
    return { ...answer, body: countedBody(path, answer.body) };
  } finally {
    path.underWay--;
  }
}

async function* countedBody(path: Path, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } finally {
    path.underWay--;
  }
}

function isSource(body: TransportRequest['body']): body is ByteSource {
  return body !== undefined && !(body instanceof Uint8Array);
}

function wasNotSent(error: unknown): boolean {
  return Fault.is(error, 'unavailable') && error.about.was_sent === false;
}

/** The promise's outcome, or the fault of the signal if that fires first. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(Fault.aborted(signal, 'A request'));
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
