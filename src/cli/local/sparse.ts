/**
 * Where a block of bytes holds data and where only zeros, so that long runs of zeros become holes in the file. Pieces
 * are aligned within the block; shorter runs are written, because a hole costs the file system more than it saves.
 */

export const HOLE_BYTES_MIN = 16 * 1024;

const ZEROS = Buffer.alloc(HOLE_BYTES_MIN);

export interface Run {
  readonly start: number;
  readonly end: number;
}

/** The runs of `block` that are not zeros, in order, each as long as it can be. */
export function* dataRuns(block: Uint8Array): Generator<Run, void> {
  let start: number | undefined;
  for (let at = 0; at < block.length; at += HOLE_BYTES_MIN) {
    const end = Math.min(block.length, at + HOLE_BYTES_MIN);
    const isZero = isAllZero(block, at, end);
    if (!isZero) start ??= at;
    else if (start !== undefined) {
      yield { start, end: at };
      start = undefined;
    }
  }
  if (start !== undefined) yield { start, end: block.length };
}

function isAllZero(block: Uint8Array, start: number, end: number): boolean {
  // Nearly all data differs in its first byte, and a comparison costs a call.
  return block[start] === 0 && ZEROS.compare(block, start, end, 0, end - start) === 0;
}
