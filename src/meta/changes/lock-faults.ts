/** The refusals of locks, worded once: by the manager when somebody asks for a lock, by the engine when somebody writes. */
import { Fault, isoOfMoment, type Moment } from '../../base/index.ts';

export interface LockedAbout {
  /** What was asked for. */
  readonly path: string;
  readonly holder: string;
  readonly heldMs: number;
  /** False: the other one waits for it too, since earlier. */
  readonly isHeld: boolean;
  /** What the lock in the way is on, where that is something else. */
  readonly lockedPath?: string | undefined;
  readonly token?: number | undefined;
  readonly expires?: Moment | undefined;
}

export function lockedFault(about: LockedAbout): Fault {
  const { path, holder, isHeld, lockedPath, token } = about;
  const heldMs = Math.max(0, Math.round(about.heldMs));
  const by = lockedPath === undefined ? `by ${holder}` : `by ${holder}, who holds ${lockedPath}`;
  const expires = about.expires === undefined ? undefined : isoOfMoment(about.expires);
  const until = expires === undefined ? '' : `; the lock ends at ${expires} unless it is renewed`;
  const sentence = isHeld
    ? `${path} is locked ${by}, since ${shownAge(heldMs)}${until}. Wait for it, or ask ${holder}.`
    : `${path} is waited for by ${holder} already, since ${shownAge(heldMs)}. Ask again, and wait longer.`;
  return new Fault('locked', sentence, {
    path,
    holder,
    held_ms: heldMs,
    ...(lockedPath === undefined ? {} : { locked_path: lockedPath }),
    ...(token === undefined ? {} : { lock_token: token }),
    ...(expires === undefined ? {} : { expires }),
  });
}

export function lostFault(token: number): Fault {
  return new Fault(
    'lock-lost',
    `The lock ${token} is not held any more: its lease ended, it was given back, or it was broken. Nothing was done; take the lock again, and read again before you write.`,
    { lock_token: token },
  );
}

function shownAge(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}
