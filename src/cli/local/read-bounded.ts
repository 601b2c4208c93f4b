/** A small file of the caller's, or standard input, whole in memory. */
import { concatBytes, Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import type { LocalReader } from './local-disk.ts';

/** Bytes at most: as much as a server takes by its own choice. */
export const SMALL_FILE_BYTES_MAX = 128 * 2 ** 20;
const BLOCK_BYTES = 256 * 1024;

/** `-` is standard input. @throws Fault `too-large`, and what the disk says. */
export async function readBounded(path: string, context: Pick<Context, 'disk' | 'stdin'>): Promise<Uint8Array> {
  if (path === '-') return whole(path, context.stdin());
  await using reader = await context.disk.openReader(path);
  return await whole(path, blocksOf(reader));
}

async function* blocksOf(reader: LocalReader): AsyncGenerator<Uint8Array> {
  for (;;) {
    const block = new Uint8Array(BLOCK_BYTES);
    const length = await reader.read(block);
    if (length === 0) return;
    yield block.subarray(0, length);
  }
}

async function whole(path: string, source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of source) {
    length += part.length;
    if (length > SMALL_FILE_BYTES_MAX)
      throw new Fault('too-large', `${path} has more than ${SMALL_FILE_BYTES_MAX} bytes.`, { path });
    parts.push(part);
  }
  return concatBytes(parts);
}
