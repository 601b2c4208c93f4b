/**
 * What the operating system answers, in words: one table from its error codes to Faults, used by the real disk and by
 * the seeded one, so that both refuse alike. Every sentence says what was done to which path, why it failed and what
 * to do. What carries no code of the operating system is a bug and passes unchanged.
 */
import { Fault, type FaultCode } from '../base/index.ts';

interface Reason {
  readonly code: FaultCode;
  readonly why: string;
  readonly advice: string;
}

const CHECK_DISK = 'Look into the system log for errors of the disk, and check it before you write more.';
const CHECK_LIMIT = 'Raise the limit of open files (ulimit -n) for Holdfast.';

const REASONS: Readonly<Record<string, Reason>> = {
  ENOSPC: { code: 'full', why: 'the disk has no room left', advice: 'Free room on it, or move to a larger one.' },
  EDQUOT: { code: 'full', why: 'the disk quota is used up', advice: 'Free room, or have the quota raised.' },
  EROFS: { code: 'read-only', why: 'the disk is mounted read-only', advice: 'Mount it so that it can be written.' },
  EACCES: { code: 'denied', why: 'access is not allowed', advice: 'Give the user that runs Holdfast access to it.' },
  EPERM: { code: 'denied', why: 'that is not permitted', advice: 'Check owner, mode and attributes of the path.' },
  ENOENT: { code: 'not-found', why: 'there is no such file or folder', advice: 'Check whether somebody removed it.' },
  EEXIST: { code: 'exists', why: 'there is something under that name', advice: 'Choose another name, or remove it.' },
  ENOTEMPTY: { code: 'not-empty', why: 'the folder is not empty', advice: 'Remove what is in it first.' },
  ENOTDIR: { code: 'not-folder', why: 'a file stands where a folder is needed', advice: 'Move that file away.' },
  EISDIR: { code: 'is-folder', why: 'a folder stands where a file is needed', advice: 'Move that folder away.' },
  EMFILE: { code: 'io', why: 'this process has too many files open', advice: CHECK_LIMIT },
  ENFILE: { code: 'io', why: 'this machine has too many files open', advice: CHECK_LIMIT },
  EBADF: { code: 'io', why: 'the file is not open for that', advice: 'Open it again.' },
  EIO: { code: 'io', why: 'the disk reports an error', advice: CHECK_DISK },
};

/** A fault for an error code of the operating system; `did` is what was done, as in `Writing to`. */
export function diskFault(errno: string, did: string, path: string, cause?: unknown): Fault {
  const reason = REASONS[errno] ?? { code: 'io', why: 'the operating system refused', advice: CHECK_DISK };
  const sentence = `${did} ${path === '' ? 'the root folder' : path} failed: ${reason.why} (${errno}). ${reason.advice}`;
  return new Fault(reason.code, sentence, { path, errno }, cause);
}

/** The error code of the operating system that an error carries; `undefined` for anything else. */
export function errnoOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}
