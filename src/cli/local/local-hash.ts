/**
 * The XXH3-64 of a local file, as the store's records carry it. The hash is loaded only where something is compared by
 * content, because it brings native code with it.
 */
import { hexOf } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { blocksOf } from './local-blocks.ts';
import { changedFault, isSameState, type LocalStat } from './local-disk.ts';

/** 16 hex digits. @throws Fault `conflict` when the file is no longer as `expected` says. */
export async function localHash(
  context: Pick<Context, 'disk' | 'signal'>,
  path: string,
  expected: LocalStat,
): Promise<string> {
  const { newContentHash } = await import('../../chunks/index.ts');
  const hash = newContentHash();
  await using reader = await context.disk.openReader(path);
  for await (const block of blocksOf(reader, expected.size, context.signal)) hash.update(block);
  if (!isSameState(reader.stat(), expected)) throw changedFault(path);
  return hexOf(hash.digest());
}
