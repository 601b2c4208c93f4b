/** How much a realm holds, counted from the rows in bounded pages. */
import type { ChunkRow, MetaStore, PackRow, RealmId } from '../../meta/index.ts';
import type { ChunkStoreStats } from '../chunk-store.ts';

const PAGE_ROWS = 5_000;

export interface RowsContext {
  readonly meta: MetaStore;
  readonly realm: RealmId;
}

export async function* chunkRows({ meta, realm }: RowsContext): AsyncGenerator<readonly ChunkRow[]> {
  let after: readonly [Uint8Array] | undefined;
  for (;;) {
    const rows = await meta.scan('chunks', { prefix: [realm], limit: PAGE_ROWS, ...(after && { after }) });
    if (rows.length > 0) yield rows;
    const last = rows.at(-1);
    if (rows.length < PAGE_ROWS || last === undefined) return;
    after = [last.id];
    await breath();
  }
}

export async function* packRows({ meta, realm }: RowsContext): AsyncGenerator<PackRow> {
  let after: readonly [number] | undefined;
  for (;;) {
    const rows = await meta.scan('packs', { prefix: [realm], limit: PAGE_ROWS, ...(after && { after }) });
    yield* rows;
    const last = rows.at(-1);
    if (rows.length < PAGE_ROWS || last === undefined) return;
    after = [last.pack];
  }
}

/** Lets others have their turn: an engine that answers at once would otherwise hold the thread for a whole table. */
export function breath(): Promise<void> {
  return new Promise((done) => setImmediate(done));
}

export async function chunkStats(context: RowsContext): Promise<ChunkStoreStats> {
  let [chunks, uniqueBytes, storedBytes, packs, packBytes] = [0, 0, 0, 0, 0];
  for await (const rows of chunkRows(context)) {
    for (const row of rows) {
      if (row.refs === 0) continue;
      chunks++;
      uniqueBytes += row.plainLength;
      storedBytes += row.storedLength;
    }
  }
  let suspectPacks = 0;
  let oldestVerifiedSeconds: number | undefined;
  for await (const { lengthBytes, verifiedSeconds, createdSeconds } of packRows(context)) {
    packs++;
    packBytes += lengthBytes;
    if (verifiedSeconds === 0) suspectPacks++;
    else oldestVerifiedSeconds = Math.min(oldestVerifiedSeconds ?? Infinity, verifiedSeconds ?? createdSeconds);
  }
  return { chunks, uniqueBytes, storedBytes, packs, packBytes, suspectPacks, oldestVerifiedSeconds };
}
