/**
 * Time in a simulated run: it goes on while somebody waits, a little in every turn of the event loop, so that timers fire
 * among everything else that happens. What takes more turns than anything does hangs.
 */
import type { ManualClock, Random } from '../../src/base/index.ts';
import { turn } from './slow-disk.ts';

/** Something is not as it must be. */
export class Wrong extends Error {}

/** Turns that one operation, opening or closing takes at most. */
const TURNS_MAX = 20_000;
/** By how much the clock moves on in a turn, at most. */
const TURN_MS_MAX = 20;

export interface DriveOptions {
  readonly clock: ManualClock;
  readonly random: Random;
  /** What is waited for, should it hang. */
  readonly what: string;
}

/** Answers as the work does. @throws Wrong when it hangs. */
export async function drive<T>(work: Promise<T>, { clock, random, what }: DriveOptions): Promise<T> {
  let isDone = false;
  const done = (): void => {
    isDone = true;
  };
  work.then(done, done);
  for (let turns = 0; ; turns++) {
    await turn();
    if (isDone) return work;
    if (turns > TURNS_MAX) throw new Wrong(`${what} hangs`);
    clock.advance(random.below(TURN_MS_MAX));
  }
}

/** With all causes. */
export function shownError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.stack}${error.cause === undefined ? '' : `\ncaused by ${shownError(error.cause)}`}`;
}
