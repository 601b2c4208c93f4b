/**
 * Trying again, with a bound: exponential delays with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
 * Only what the caller names as passing is tried again; everything else, and the last failure, comes through unchanged.
 */
import type { Clock } from './clock.ts';
import { Fault } from './fault.ts';
import type { Random } from './random.ts';

export interface RetryOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Tries in all, 1 or more. */
  readonly attemptsMax: number;
  /** Bound of the first delay; doubles each time. */
  readonly delayMs: number;
  readonly delayMsMax: number;
  readonly isPassing: (error: unknown) => boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Runs `attempt` (told its number, from 1) until it succeeds, fails for good, or the tries are used up. */
export async function retry<T>(attempt: (number: number) => Promise<T>, options: RetryOptions): Promise<T> {
  for (let number = 1; ; number++) {
    if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Retrying');
    try {
      return await attempt(number);
    } catch (error) {
      if (number >= options.attemptsMax || !options.isPassing(error)) throw error;
      const boundMs = Math.min(options.delayMsMax, options.delayMs * 2 ** (number - 1));
      await options.clock.sleep(options.random.fraction() * boundMs, options.signal);
    }
  }
}
