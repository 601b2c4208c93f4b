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

/** Times that one request looks for the store anew. */
const SEARCHES_MAX = 5;

export class SteadyTransport implements AsyncDisposable {
  readonly #find: () => Promise<Way>;
  #way: Promise<Way>;

  /** @param find finds the store, or is refused; called again when a way is lost, never twice at once. */
  constructor(first: Way, find: () => Promise<Way>) {
    this.#find = find;
    this.#way = Promise.resolve(first);
  }

  readonly send: Transport = async (request) => {
    await using body = isSource(request.body) ? new ReplayedBody(request.body) : undefined;
    for (let search = 0; ; search++) {
      const way = this.#way;
      const { transport } = await way;
      try {
        return await this.#sendOnce(transport, request, body);
      } catch (error) {
        const canGoOn = wasNotSent(error) && (body?.canReplay ?? true) && search < SEARCHES_MAX;
        if (!canGoOn || request.signal?.aborted) throw error;
        this.#findAnew(way);
      }
    }
  };

  #sendOnce(transport: Transport, request: TransportRequest, body: ReplayedBody | undefined): Promise<TransportAnswer> {
    return transport(body === undefined ? request : { ...request, body: body.bytes() });
  }

  /** Many requests may find the way lost; the first looks for another, and the others use what it finds. */
  #findAnew(lost: Promise<Way>): void {
    if (this.#way !== lost) return;
    this.#way = lost.then(async (way) => {
      await way[Symbol.asyncDispose]();
      return await this.#find();
    });
    // Whoever waits for it is told; nobody may be waiting any more.
    this.#way.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A way that was not found has nothing to let go of, and who asked for it has been told.
    const way = await this.#way.catch(() => undefined);
    await way?.[Symbol.asyncDispose]();
  }
}

function isSource(body: TransportRequest['body']): body is ByteSource {
  return body !== undefined && !(body instanceof Uint8Array);
}

function wasNotSent(error: unknown): boolean {
  return Fault.is(error, 'unavailable') && error.about.was_sent === false;
}
