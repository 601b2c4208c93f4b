/**
 * What a collection would give back if some chunks had no reference any more: the same plan as a collection makes
 * (collection-plan.ts), once for what is and once for what would be. The difference belongs to those chunks.
 *
 * A patch keeps its base for one collection longer, so bases are not counted with it.
 */
import type { ChunkRow, PackId, PackRow } from '../../meta/index.ts';
import type { Weight } from '../chunk-store.ts';
import { planPack, type Records } from './collection-plan.ts';
import type { RowsContext } from './stats.ts';

interface WeighContext extends RowsContext {
  readonly idBytes: number;
}

/** Memory: a count for each pack that has one of the chunks. */
export async function weighChunks(
  context: WeighContext,
  chunks: AsyncIterable<ChunkRow>,
  rule: { readonly freedShareMin: number },
): Promise<Weight> {
  const without = new Map<PackId, { count: number; bytes: number }>();
  let count = 0;
  for await (const { pack, storedLength } of chunks) {
    const sum = without.get(pack) ?? { count: 0, bytes: 0 };
    without.set(pack, sum);
    sum.count++;
    sum.bytes += storedLength;
    count++;
  }
  let [bytes, collectedBytes] = [0, 0];
  for (const [pack, gone] of without) {
    const row = await context.meta.get('packs', [context.realm, pack]);
    if (row === undefined) continue;
    bytes += difference(context.idBytes, row, gone, 0);
    collectedBytes += difference(context.idBytes, row, gone, rule.freedShareMin);
  }
  return { chunks: count, bytes, collectedBytes };
}

function difference(idBytes: number, row: PackRow, gone: Records, freedShareMin: number): number {
  const live = { count: row.liveCount, bytes: row.liveBytes };
  const left = { count: live.count - gone.count, bytes: live.bytes - gone.bytes };
  return freedOf(idBytes, row, left, freedShareMin) - freedOf(idBytes, row, live, freedShareMin);
}

/** What a collection gives back of a pack of which only `live` is needed. */
function freedOf(idBytes: number, row: PackRow, live: Records, freedShareMin: number): number {
  const { pack, object, lengthBytes: objectBytes } = row;
  const none = { count: 0, bytes: 0 };
  const facts = { pack, object, objectBytes, idBytes, live, waiting: none, due: none, isClaimed: false };
  const { bytesBefore, bytesAfter } = planPack(facts, { freedShareMin });
  return bytesBefore - bytesAfter;
}
