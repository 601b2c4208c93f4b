/**
 * Parallelism with a bound: at most `running` tasks at once, at most `waiting` in line, in order of arrival.
 * A task that finds the line full is refused with Fault `busy`, so that load turns into an answer, not into memory.
 */
import { Fault } from './fault.ts';

export interface Limit {
  /** Runs `task` when its turn comes. @throws Fault `busy` when the line is full, `aborted` when given up in line. */
  run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** Tasks running and waiting. */
  readonly load: { readonly running: number; readonly waiting: number };
}

export interface LimitOptions {
  /** Tasks at once, 1 or more. */
  readonly running: number;
  /** Tasks in line, 0 or more; none when absent means no bound beyond the callers' own. */
  readonly waiting?: number;
  /** What the line is for, in the fault's sentence. */
  readonly what: string;
}

export function limit(options: LimitOptions): Limit {
  const line: { readonly start: () => void; readonly drop: () => void }[] = [];
  let running = 0;
  const next = (): void => {
    running--;
    line.shift()?.start();
  };
  const turn = (signal?: AbortSignal): Promise<void> => {
    if (signal?.aborted) return Promise.reject(Fault.aborted(signal, options.what));
    if (running < options.running) {
      running++;
      return Promise.resolve();
    }
    if (line.length >= (options.waiting ?? Number.POSITIVE_INFINITY)) {
      const sentence = `Too many requests at once for ${options.what}: ${options.running} run and ${line.length} wait. Try again in a moment.`;
      return Promise.reject(new Fault('busy', sentence, { running: options.running, waiting: line.length }));
    }
    return new Promise((resolve, reject) => {
      const place = {
        start: () => {
          signal?.removeEventListener('abort', place.drop);
          running++;
          resolve();
        },
        drop: () => {
          line.splice(line.indexOf(place), 1);
          reject(Fault.aborted(signal, options.what));
        },
      };
      line.push(place);
      signal?.addEventListener('abort', place.drop, { once: true });
    });
  };
  return {
    async run(task, signal) {
      await turn(signal);
      try {
        return await task();
      } finally {
        next();
      }
    },
    get load() {
      return { running, waiting: line.length };
    },
  };
}
