/**
 * When checkpoints of the metadata are made. A server makes one every so often in which something changed, and one when
 * it stops; a short command makes one when it ends, has changed something, and the last is older than that. What goes
 * wrong is logged and is in nobody's way: the checkpoints that are there stay, and the next try comes. One is also made
 * before chunks are collected: none that is newer needs what goes then.
 */
import { type Clock, Fault, type Log, msOfMoment } from '../base/index.ts';
import type { Checkpoints } from '../meta/index.ts';

export interface CheckpointingOptions {
  readonly checkpoints: Checkpoints;
  readonly clock: Clock;
  readonly log: Log;
  /** 0: none are made. */
  readonly everyMs: number;
  readonly isServer: boolean;
}

export class Checkpointing implements AsyncDisposable {
  readonly #options: CheckpointingOptions;
  readonly #closing = new AbortController();
  readonly #waitingBytes: number;
  #timer: Disposable | undefined;
  #making: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  constructor(options: CheckpointingOptions) {
    this.#options = options;
    this.#waitingBytes = options.checkpoints.waitingBytes;
    if (options.isServer && options.everyMs > 0) this.#plan();
  }

  #plan(): void {
    this.#timer = this.#options.clock.after(this.#options.everyMs, () => {
      this.#making = this.#make(false).then(() => {
        if (!this.#closing.signal.aborted) this.#plan();
      });
    });
  }

  /** Makes one now, where any are made; never rejects. */
  async makeNow(): Promise<void> {
    if (this.#options.everyMs > 0) await this.#make(false);
  }

  async #make(isHurried: boolean): Promise<void> {
    const { checkpoints, log } = this.#options;
    try {
      await checkpoints.make(isHurried ? { isHurried } : { signal: this.#closing.signal });
    } catch (error) {
      if (!Fault.is(error, 'aborted', 'unavailable')) log.error('meta.checkpoint-failed', { error: String(error) });
    }
  }

  /** The last one, when one is due. Metadata and objects are still open, and nobody else uses them any more. Fine twice. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#closing.abort(new Fault('unavailable', 'The store is closing.'));
    await this.#making;
    if (this.#isDueAtClose) await this.#make(true);
  }

  get #isDueAtClose(): boolean {
    const { checkpoints, clock, everyMs, isServer } = this.#options;
    if (everyMs === 0 || !checkpoints.isNeeded) return false;
    if (isServer) return true;
    const hasChanged = checkpoints.waitingBytes !== this.#waitingBytes;
    return hasChanged && msOfMoment(clock.now()) - 1000 * (checkpoints.lastSeconds ?? 0) >= everyMs;
  }
}
