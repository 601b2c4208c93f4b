/**
 * Bytes of an open file that the system has in memory, read in the caller's turn: preadv2(2) with RWF_NOWAIT, which
 * answers what is there and never waits for a disk. A trip through the thread pool costs several times what such a read
 * does, and stands in line behind whatever else waits there. Node has no call for it, so it is called directly where
 * Node's foreign functions are there (Linux, 64 bit); elsewhere, and on file systems that do not know the flag (tmpfs),
 * the answer is always that nobody knows, and who asked reads as usual. So no fault comes from here either.
 */
import { createRequire } from 'node:module';

const RWF_NOWAIT = 0x8;
/** After so many refusals in a row it is tried only now and then: nothing is in memory, or the file system cannot. */
const REFUSALS_MAX = 64;
const TRIED_OF = 64;

type ReadNow = (fd: number, into: Uint8Array, offset: number) => boolean;

let call: ReadNow | undefined;
let isTried = false;

/** Fills all of `into` from `offset`; false when that would have to wait, or does not work, and then it may be half full. */
export function readNow(fd: number, into: Uint8Array, offset: number): boolean {
  if (!isTried) {
    isTried = true;
    call = load();
  }
  return call?.(fd, into, offset) ?? false;
}

function load(): ReadNow | undefined {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) return undefined;
  try {
    const { dlopen, getRawPointer } = createRequire(import.meta.url)('node:ffi') as typeof import('node:ffi');
    const { functions } = dlopen(null, {
      preadv2: { arguments: ['i32', 'pointer', 'i32', 'i64', 'i32'], return: 'i64' },
    });
    // struct iovec: address and length, of 64 bits each.
    const part = new BigUint64Array(2);
    let refusals = 0;
    return (fd, into, offset) => {
      if (refusals >= REFUSALS_MAX && refusals++ % TRIED_OF !== 0) return false;
      part[0] = getRawPointer(into);
      part[1] = BigInt(into.length);
      const isFull = Number(functions.preadv2(fd, part, 1, BigInt(offset), RWF_NOWAIT)) === into.length;
      refusals = isFull ? 0 : refusals + 1;
      return isFull;
    };
  } catch {
    // An older Node, or one built or started without foreign functions.
    return undefined;
  }
}
