/**
 * The modes of a lock and what they mean to each other: which may be held side by side, which is the least that has
 * two, what a lock on something asks of all that stands above it. Gray's hierarchy: S and X are for a thing with all
 * that is in it; IS and IX say that something below is meant; SIX reads all and changes something below.
 */

export const LOCK_MODES = ['IS', 'IX', 'S', 'SIX', 'X'] as const;
export type LockMode = (typeof LOCK_MODES)[number];

/** COMPATIBLE[a] has every mode that another may hold beside a. */
const COMPATIBLE: Readonly<Record<LockMode, readonly LockMode[]>> = {
  IS: ['IS', 'IX', 'S', 'SIX'],
  IX: ['IS', 'IX'],
  S: ['IS', 'S'],
  SIX: ['IS'],
  X: [],
};

/** ABOVE[a] has every mode that gives at least what a gives. */
const ABOVE: Readonly<Record<LockMode, readonly LockMode[]>> = {
  IS: ['IS', 'IX', 'S', 'SIX', 'X'],
  IX: ['IX', 'SIX', 'X'],
  S: ['S', 'SIX', 'X'],
  SIX: ['SIX', 'X'],
  X: ['X'],
};

/** A mode's number: its place in LOCK_MODES. */
export const MODE_NUMBER: Readonly<Record<LockMode, number>> = { IS: 0, IX: 1, S: 2, SIX: 3, X: 4 };

/** CONFLICTS[a] has the numbers of all modes that may not be held beside a. */
export const CONFLICTS: Readonly<Record<LockMode, readonly number[]>> = {
  IS: conflictsOf('IS'),
  IX: conflictsOf('IX'),
  S: conflictsOf('S'),
  SIX: conflictsOf('SIX'),
  X: conflictsOf('X'),
};

function conflictsOf(mode: LockMode): readonly number[] {
  return LOCK_MODES.filter((other) => !COMPATIBLE[mode].includes(other)).map((other) => MODE_NUMBER[other]);
}

export function areCompatible(a: LockMode, b: LockMode): boolean {
  return COMPATIBLE[a].includes(b);
}

/** Whether `held` gives all that `wanted` asks for. */
export function covers(held: LockMode, wanted: LockMode): boolean {
  return ABOVE[wanted].includes(held);
}

/** The least mode that gives what both give: SIX for IX and S. */
export function joinModes(a: LockMode, b: LockMode): LockMode {
  if (covers(a, b)) return a;
  return covers(b, a) ? b : 'SIX';
}

/** What a lock asks of everything above the thing it is on. */
export function intentOf(mode: LockMode): LockMode {
  return mode === 'IS' || mode === 'S' ? 'IS' : 'IX';
}
