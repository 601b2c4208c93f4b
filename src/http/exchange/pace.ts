/**
 * Whoever keeps a request open and hardly moves it. A connection that stands still is ended by its own timeout; one byte
 * now and then would keep it for ever, with its place among the transfers and what was begun for it. So running requests
 * are looked at several times within that timeout: where it was the client's turn at each look, and too few bytes had
 * moved since the one before, the client is too slow.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../base/index.ts';
import { arrivalOf } from './arrival.ts';

/** Looks within the time for which a connection may stand still. */
const LOOKS = 4;

export interface Paced {
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
}

interface Seen {
  readonly bytes: number;
  readonly slowLooks: number;
}

export interface PaceParts<T extends Paced> {
  readonly clock: Clock;
  /** For how long in all it must be too slow. */
  readonly windowMs: number;
  /** Bytes a second, either way; 0 for any. */
  readonly bytesPerSecondMin: number;
  readonly isClientsTurn: (running: T) => boolean;
  readonly onSlow: (running: T) => void;
}

export class Pace<T extends Paced> implements Disposable {
  readonly #parts: PaceParts<T>;
  readonly #running: ReadonlyMap<unknown, T>;
  readonly #seen = new WeakMap<T, Seen>();
  #timer: Disposable | undefined;

  /** `running` is looked at, not changed. */
  constructor(running: ReadonlyMap<unknown, T>, parts: PaceParts<T>) {
    this.#running = running;
    this.#parts = parts;
  }

  /** Something runs: looks from now on, until nothing does. */
  start(): void {
    const { clock, windowMs, bytesPerSecondMin } = this.#parts;
    if (bytesPerSecondMin > 0) this.#timer ??= clock.after(windowMs / LOOKS, () => this.#look());
  }

  #look(): void {
    this.#timer = undefined;
    const { windowMs, bytesPerSecondMin, isClientsTurn, onSlow } = this.#parts;
    const bytesMin = (bytesPerSecondMin * windowMs) / LOOKS / 1_000;
    for (const running of [...this.#running.values()]) {
      const bytes = arrivalOf(running.message).bodyBytes + running.message.socket.bytesWritten;
      const before = this.#seen.get(running);
      const isSlow = before !== undefined && isClientsTurn(running) && bytes - before.bytes < bytesMin;
      const slowLooks = isSlow ? before.slowLooks + 1 : 0;
      this.#seen.set(running, { bytes, slowLooks });
      if (slowLooks >= LOOKS) onSlow(running);
    }
    if (this.#running.size > 0) this.start();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }
}
