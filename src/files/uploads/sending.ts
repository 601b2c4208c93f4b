/**
 * Who is sending what just now. A client whose connection broke comes again before the server has noticed that it is
 * gone; so whoever sends the same part takes the place of the one before, which ends first.
 */
import type { ByteSource } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';

interface Sender {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** One's place as the sender of a part. Dispose when all is done. */
export interface SendingPlace extends Disposable {
  /** Fires when somebody else takes the place, or the upload is completed or removed. */
  readonly signal: AbortSignal;
}

export class Senders {
  readonly #senders = new Map<string, Map<number, Sender>>();
  /** Uploads that nobody may begin to send to, with how many want it so. */
  readonly #closed = new Map<string, number>();

  /** Resolves when the one before has ended. @throws Fault `busy` while the upload completes. */
  async take(upload: string, part: number): Promise<SendingPlace> {
    for (;;) {
      if (this.#closed.has(upload)) throw new Fault('busy', 'The upload is being completed or removed.', { part });
      const before = this.#senders.get(upload)?.get(part);
      if (before === undefined) break;
      before.stop.abort(new Fault('aborted', 'Another request sends the same bytes, and took over.', { part }));
      await before.ended;
    }
    const stop = new AbortController();
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const own = this.#senders.get(upload) ?? new Map<number, Sender>();
    this.#senders.set(upload, own);
    own.set(part, { stop, ended });
    return {
      signal: stop.signal,
      [Symbol.dispose]: () => {
        own.delete(part);
        if (own.size === 0 && this.#senders.get(upload) === own) this.#senders.delete(upload);
        resolve();
      },
    };
  }

  /** Ends all who send to an upload, and lets nobody begin until disposed. */
  async close(upload: string, why: string): Promise<Disposable> {
    this.#closed.set(upload, (this.#closed.get(upload) ?? 0) + 1);
    const senders = [...(this.#senders.get(upload)?.values() ?? [])];
    for (const { stop } of senders) stop.abort(new Fault('aborted', why, {}));
    for (const { ended } of senders) await ended;
    return { [Symbol.dispose]: () => this.#open(upload) };
  }

  #open(upload: string): void {
    const left = (this.#closed.get(upload) ?? 1) - 1;
    if (left > 0) this.#closed.set(upload, left);
    else this.#closed.delete(upload);
  }
}

/** The pieces of a source, until it ends or a signal fires: then it throws the signal's reason, also while it waits. */
export async function* piecesUntil(
  source: ByteSource,
  signals: readonly (AbortSignal | undefined)[],
): AsyncGenerator<Uint8Array> {
  const pieces = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  const signal = AbortSignal.any(signals.filter((one) => one !== undefined));
  let give: (error: unknown) => void = () => {};
  const onAbort = (): void => give(Fault.aborted(signal, 'Sending'));
  signal.addEventListener('abort', onAbort);
  try {
    for (;;) {
      if (signal.aborted) throw Fault.aborted(signal, 'Sending');
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        give = reject;
        Promise.resolve(pieces.next()).then(resolve, reject);
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    // One that waits for bytes ends when they come or its connection does.
    void Promise.resolve(pieces.return?.()).catch(() => {});
  }
}
