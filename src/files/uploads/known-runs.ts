/**
 * Chunks that are there already, put into an upload without their bytes. Whoever asks learns of chunks that he could read
 * anyway and of no others: names are keyed, and only references of his own space count. While a realm has one space, every
 * reference in its index is one of them; where it has several, nothing is known to be his, and all is missing.
 *
 * Every chunk is read and verified before it is answered to be there, and the commit that puts its extent raises the
 * count of its references: one that went in between is `gone`, and is looked at again.
 */
import type { ChunkClaim, Chunking } from '../../api/index.ts';
import { bytesOfHex, Fault, hexOf } from '../../base/index.ts';
import { type ContentId, EXTENT_KIND, type ExtentRow } from '../../meta/index.ts';
import type { Context, Space } from '../context.ts';

/** @throws Fault `unsupported`. */
export function chunkingOf({ chunks }: Context): Chunking {
  const { idAlgorithm, chunker, chunkBytesMin, chunkBytesMean, chunkBytesMax } = chunks.format;
  if (idAlgorithm !== 'blake3')
    throw new Fault(
      'unsupported',
      `This store names its chunks by ${idAlgorithm}, which proves nothing, so it does not say which it has. Send all bytes.`,
      { ids: idAlgorithm },
    );
  const { idKey, gears } = chunks.cuttingKeys();
  return {
    ids: idAlgorithm,
    chunker,
    bytes_min: chunkBytesMin,
    bytes_mean: chunkBytesMean,
    bytes_max: chunkBytesMax,
    id_key: hexOf(idKey),
    ...(gears === undefined ? {} : { gears: Buffer.from(gears).toString('base64') }),
  };
}

/** A run of a part, and the extent that covers it where it is there. */
export interface KnownRun {
  readonly index: number;
  readonly size: number;
  readonly extent: ExtentRow | undefined;
}

/** Looks every chunk up, from `offset` in the content on. */
export async function knownRuns(
  context: Context,
  space: Space,
  content: ContentId,
  offset: number,
  claims: readonly ChunkClaim[],
): Promise<readonly KnownRun[]> {
  const isAlone = await isAloneInRealm(context, space);
  const runs: KnownRun[] = [];
  let at = offset;
  for (const [index, { size, id }] of claims.entries()) {
    const chunk = bytesOfHex(id) ?? new Uint8Array(0);
    const isThere = isAlone && (await isWhole(context, space, chunk, size));
    const extent: ExtentRow = {
      ...{ space: space.space, content, offset: at, length: size, kind: EXTENT_KIND.chunk },
      ...{ chunk, chunkOffset: 0, unsettled: 0, data: null, born: 0 },
    };
    runs.push({ index, size, extent: isThere ? extent : undefined });
    at += size;
  }
  return runs;
}

async function isAloneInRealm(context: Context, space: Space): Promise<boolean> {
  const spaces = await context.meta.scan('spaces', { prefix: [], limit: 1_000 });
  return spaces.filter(({ realm }) => realm === space.realm).length === 1;
}

async function isWhole(context: Context, space: Space, chunk: Uint8Array, size: number): Promise<boolean> {
  const row = await context.meta.get('chunks', [space.realm, chunk]);
  if (row === undefined || row.refs === 0 || row.plainLength !== size) return false;
  try {
    return (await context.chunks.read(chunk)).length === size;
  } catch (error) {
    // Whoever sends its bytes heals it.
    if (Fault.is(error, 'corrupt', 'not-found', 'gone')) return false;
    throw error;
  }
}
