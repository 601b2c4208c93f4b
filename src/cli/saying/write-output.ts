/**
 * File bytes on standard output: chunks gathered into larger writes, because a system call for each costs more than
 * the copy. They must be copied anyway, for the source may use its chunk again.
 */
import type { Say } from './say.ts';

const GATHERED_BYTES = 256 * 1024;

export async function writeToOutput(say: Say, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  let gathered = Buffer.allocUnsafeSlow(GATHERED_BYTES);
  let length = 0;
  for await (const chunk of bytes) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + GATHERED_BYTES - length);
      gathered.set(part, length);
      length += part.length;
      at += part.length;
      if (length < GATHERED_BYTES) continue;
      await say.bytes(gathered);
      // A stream may hold on to what it was given until the reader takes it.
      gathered = Buffer.allocUnsafeSlow(GATHERED_BYTES);
      length = 0;
    }
  }
  if (length > 0) await say.bytes(gathered.subarray(0, length));
}
