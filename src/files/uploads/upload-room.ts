/**
 * How large an upload may become, asked before its bytes are taken: so that what cannot be completed is refused when it is
 * announced, or as soon as it has grown too large, and not after all of it was sent. Completing decides, for others write
 * meanwhile.
 *
 * What stands on disk is not asked: how much of it the bytes will take is known only once they have been cut, compared with
 * what is there, and compressed.
 */
import type { Path } from '../../api/index.ts';
import { textOfPath } from '../../api/index.ts';
import { assert, Fault } from '../../base/index.ts';
import { checkSize } from '../content/build-content.ts';
import type { Context, Space } from '../context.ts';
import { findPath } from '../tree.ts';

/** Takes a size that the file will have at least. @throws Fault `too-large`, `quota`. */
export type CheckRoom = (size: number) => void;

/** What there is room for at `path` as things stand: the version that is replaced may make room for the new one. */
export async function roomFor(context: Context, space: Space, path: Path): Promise<CheckRoom> {
  const row = await context.meta.get('spaces', [space.space]);
  assert(row !== undefined, 'the space of an upload is there', { space: space.space });
  const { quotaBytes, liveBytes, historyBytes, name } = row;
  if (quotaBytes === null) return (size) => checkSize(context, size);
  const replacedBytes = (await findPath(context, space, path))?.node.size ?? 0;
  const usedBytes = liveBytes + historyBytes;
  return (size) => {
    checkSize(context, size);
    const neededBytes = usedBytes - replacedBytes + size;
    if (neededBytes <= quotaBytes) return;
    const sentence =
      `${name} may hold ${quotaBytes} bytes, files and kept versions together; it holds ${usedBytes} and would hold ` +
      `${neededBytes} with the ${size} bytes or more of ${textOfPath(path)}. Remove files or versions, or raise the quota.`;
    throw new Fault('quota', sentence, { space: space.space, usedBytes, neededBytes, quotaBytes });
  };
}
