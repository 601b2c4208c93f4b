/**
 * What the shell learns: one number for each kind of ending, stable across releases. Scripts branch on these.
 * Every fault code has its number in a table that the compiler checks; `docs/cli.md` prints EXIT_MEANINGS.
 */
import { Fault, type FaultCode } from '../base/index.ts';

export const EXIT = {
  ok: 0,
  different: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  partly: 5,
  unavailable: 6,
  corrupt: 7,
  full: 8,
  denied: 9,
  io: 10,
  incompatible: 11,
  internal: 70,
  interrupted: 130,
  brokenPipe: 141,
  terminated: 143,
} as const;

export type ExitName = keyof typeof EXIT;
export type ExitCode = (typeof EXIT)[ExitName];

export const EXIT_MEANINGS = {
  ok: 'Done, all of it.',
  different: '`diff` found differences, `check` found damage.',
  usage: 'The command line is wrong; nothing was done.',
  notFound: 'A path, version, local file or store is not there.',
  conflict:
    'Something stands in the way: it exists already, has another version or kind than expected, or is not empty.',
  partly: 'Some items failed, were skipped or changed while they were read; each is named. The others are done.',
  unavailable: 'The store or server is locked, busy, shutting down or out of reach. Worth trying again.',
  corrupt: 'Stored bytes are damaged, or bytes did not match their announced checksum. Nothing wrong was handed out.',
  full: 'No room: disk, quota or a size limit.',
  denied: 'Not allowed, or the place is read-only.',
  io: 'The operating system refused, for a reason of its own.',
  incompatible: 'This store or server cannot do that, or was made by a newer Holdfast.',
  internal: 'A bug in Holdfast.',
  interrupted: 'Ended by Ctrl+C.',
  brokenPipe: 'The reader of the output went away.',
  terminated: 'Ended by SIGTERM.',
} as const satisfies Record<ExitName, string>;

const EXIT_OF_FAULT = {
  'not-found': EXIT.notFound,
  'not-kept': EXIT.notFound,
  exists: EXIT.conflict,
  conflict: EXIT.conflict,
  invalid: EXIT.usage,
  'not-folder': EXIT.conflict,
  'is-folder': EXIT.conflict,
  'not-empty': EXIT.conflict,
  'too-large': EXIT.full,
  range: EXIT.usage,
  mismatch: EXIT.corrupt,
  incomplete: EXIT.conflict,
  full: EXIT.full,
  quota: EXIT.full,
  corrupt: EXIT.corrupt,
  gone: EXIT.unavailable,
  busy: EXIT.unavailable,
  locked: EXIT.unavailable,
  deadlock: EXIT.conflict,
  'lock-lost': EXIT.conflict,
  denied: EXIT.denied,
  signature: EXIT.denied,
  expired: EXIT.denied,
  'read-only': EXIT.denied,
  unsupported: EXIT.incompatible,
  incompatible: EXIT.incompatible,
  aborted: EXIT.interrupted,
  timeout: EXIT.unavailable,
  unavailable: EXIT.unavailable,
  io: EXIT.io,
} as const satisfies Record<FaultCode, ExitCode>;

/** The exit code of an error; what is no Fault is a bug. */
export function exitOf(error: unknown): ExitCode {
  return Fault.is(error) ? EXIT_OF_FAULT[error.code] : EXIT.internal;
}

/** Faults that end a whole run, because the next item would meet them too. */
const ENDING: readonly FaultCode[] = [
  'full',
  'quota',
  'locked',
  'read-only',
  'unavailable',
  'timeout',
  'aborted',
  'incompatible',
];

/** False for what concerns one item alone, so that the others go on. Bugs end the run. */
export function endsTheRun(error: unknown): boolean {
  return !Fault.is(error) || ENDING.includes(error.code);
}
