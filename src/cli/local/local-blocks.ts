/**
 * A large local file as blocks, with the next one read while this one is used: the disk and the hashing work at the
 * same time. Two buffers per file, lent from a small pool, so that a run over many files allocates only a few.
 */
import { Fault } from '../../base/index.ts';
import type { LocalReader } from './local-disk.ts';
import { plainBytes } from './plain-bytes.ts';

export const BLOCK_BYTES = 1024 * 1024;
const BUFFERS_KEPT_MAX = 8;

const spare: Uint8Array[] = [];

/** A buffer of BLOCK_BYTES, from the pool where there is one. */
export function lendBlock(): Uint8Array {
  return spare.pop() ?? plainBytes(BLOCK_BYTES);
}

export function returnBlock(buffer: Uint8Array): void {
  if (spare.length < BUFFERS_KEPT_MAX) spare.push(buffer);
}

/** At most `sizeMax` bytes of the file. A block stays as it is until the next one is asked for. */
export async function* blocksOf(
  reader: Pick<LocalReader, 'read'>,
  sizeMax: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  let [current, next] = [lendBlock(), lendBlock()];
  let left = sizeMax;
  const read = (buffer: Uint8Array): Promise<number> => reader.read(buffer.subarray(0, Math.min(left, BLOCK_BYTES)));
  let ahead = left > 0 ? read(current) : Promise.resolve(0);
  try {
    for (;;) {
      const length = await ahead;
      if (length === 0) return;
      if (signal.aborted) throw Fault.aborted(signal, 'Reading');
      left -= length;
      ahead = left > 0 ? read(next) : Promise.resolve(0);
      // A failure of the read ahead is met at the top of the loop; it must not count as unhandled until then.
      ahead.catch(() => {});
      yield current.subarray(0, length);
      [current, next] = [next, current];
    }
  } finally {
    // The kernel may still be writing into the other buffer; only then may somebody else have it.
    await ahead.catch(() => {});
    returnBlock(current);
    returnBlock(next);
  }
}
