/**
 * Setting a file's modification time to the nanosecond. Node's own calls take seconds as a floating-point number, which
 * is off by up to 120 ns for a present-day moment; then a file that went out and came back would no longer be equal to
 * itself. So utimensat(2) is called directly where Node's foreign functions are there (Linux, 64 bit); where they are
 * not, or do not do what they should, Node's call is used, and readers of times allow for TIME_TOLERANCE_NS.
 */

import { fstatSync, futimesSync, lstatSync, lutimesSync } from 'node:fs';
import { createRequire } from 'node:module';
import { systemPath } from './raw.ts';

/** Moments nearer than this count as the same. */
export const TIME_TOLERANCE_NS = 1_000n;

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
/** As nanoseconds of the access time: leave it alone. */
const UTIME_OMIT = (1n << 30n) - 2n;

/** Of a path, or of an open file, which saves looking the path up. Answers false when it did not work, for whatever reason. */
type ExactCall = (target: string | number, mtimeNs: bigint) => boolean;

let exact: ExactCall | undefined;
let isExactTried = false;

/** Of the path itself, also when it is a symlink. @throws what the system answers, as Node does. */
export function setFileTimes(path: string, mtimeNs: bigint): void {
  if (isSetExactly(path, mtimeNs)) return;
  const seconds = Number(mtimeNs) / 1e9;
  lutimesSync(systemPath(path), seconds, seconds);
}

/** Of a file that is open for writing, when nothing more is written to it. @throws what the system answers, as Node does. */
export function setOpenFileTimes(fd: number, mtimeNs: bigint): void {
  if (isSetExactly(fd, mtimeNs)) return;
  const seconds = Number(mtimeNs) / 1e9;
  futimesSync(fd, seconds, seconds);
}

function isSetExactly(target: string | number, mtimeNs: bigint): boolean {
  if (isExactTried) return exact?.(target, mtimeNs) === true;
  isExactTried = true;
  exact = loadExact();
  if (exact?.(target, mtimeNs) !== true) return false;
  // Trust is earned once: a layout of timespec other than we think would show here.
  const options = { bigint: true } as const;
  const found = typeof target === 'number' ? fstatSync(target, options) : lstatSync(systemPath(target), options);
  if (found.mtimeNs === mtimeNs) return true;
  exact = undefined;
  return false;
}

function loadExact(): ExactCall | undefined {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) return undefined;
  try {
    const { dlopen } = createRequire(import.meta.url)('node:ffi') as typeof import('node:ffi');
    const { functions } = dlopen(null, {
      utimensat: { arguments: ['i32', 'pointer', 'pointer', 'i32'], return: 'i32' },
      futimens: { arguments: ['i32', 'pointer'], return: 'i32' },
    });
    // struct timespec[2]: access and modification, each seconds and nanoseconds of 64 bits.
    const times = new BigInt64Array([0n, UTIME_OMIT, 0n, 0n]);
    return (target, mtimeNs) => {
      const nanoseconds = ((mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
      times[2] = (mtimeNs - nanoseconds) / 1_000_000_000n;
      times[3] = nanoseconds;
      if (typeof target === 'number') return functions.futimens(target, times) === 0;
      return functions.utimensat(AT_FDCWD, Buffer.from(`${target}\0`, 'latin1'), times, AT_SYMLINK_NOFOLLOW) === 0;
    };
  } catch {
    // An older Node, or one built or started without foreign functions.
    return undefined;
  }
}
