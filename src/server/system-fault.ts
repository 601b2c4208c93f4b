/**
 * Errors of the operating system as Faults, for the few calls that this room makes itself (folders' modes, sockets,
 * configuration files); the rest goes through a Disk, which has its own table.
 */
import { Fault, type FaultCode } from '../base/index.ts';

const CODES: Readonly<Record<string, readonly [FaultCode, string]>> = {
  ENOENT: ['not-found', 'it is not there'],
  ENOTDIR: ['not-folder', 'a part of its path is not a folder'],
  EISDIR: ['is-folder', 'it is a folder'],
  EROFS: ['read-only', 'its file system is mounted read-only. Mount it for writing, or use another store'],
  EACCES: ['denied', 'its permissions do not allow it. Change them, or run as the user it belongs to'],
  EPERM: ['denied', 'the system does not allow it. Run as the user it belongs to'],
  ENOSPC: ['full', 'the disk is full. Free some room and try again'],
  EDQUOT: ['full', "the disk's quota is used up. Free some room and try again"],
  ELOOP: ['invalid', 'it has too many symbolic links'],
  ENAMETOOLONG: ['invalid', 'its path is too long'],
  EMFILE: ['busy', 'this process has too many files open. Raise its limit (ulimit -n)'],
  ENFILE: ['busy', 'the system has too many files open'],
};

/** `PATH could not be DONE: why.` @param done a past participle, `read` or `written to`. */
export function faultOfSystem(error: unknown, done: string, path: string): Fault {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? '';
  const [fault, why] = CODES[code] ?? ['io', error instanceof Error ? error.message : String(error)];
  return new Fault(fault, `${path} could not be ${done}: ${why}.`, { path, ...(code === '' ? {} : { code }) }, error);
}

export function isSystemError(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '');
}
