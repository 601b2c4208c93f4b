/**
 * Giving back bytes that nobody needs any more: what becomes unreachable is taken apart first (removed trees, versions
 * and history that are not kept any longer), then the chunk store collects. A preview takes apart too, for that loses
 * nothing anybody can reach, and says to the byte what a collection at the same moment gives back.
 */
import type { GcOptions, GcReport } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context, Space } from '../context.ts';
import type { CollectStanding, Done } from './collect-standing.ts';
import { recut } from './recut.ts';

/** Packs that one report names; the rest is counted. */
export const PACKS_NAMED_MAX = 1_000;

/** What must be done before anything is counted as unreachable. */
export interface Tidying {
  reapNow(): Promise<void>;
  sweepNow(): Promise<number>;
  sweepHistoryNow(): Promise<number>;
}

/** Afterwards what is counted as needed is needed. */
export async function tidy(tidying: Tidying): Promise<void> {
  // Taking a folder apart makes versions of its files.
  await tidying.reapNow();
  await tidying.sweepNow();
  await tidying.sweepHistoryNow();
  await tidying.reapNow();
}

export async function collect(
  context: Context,
  tidying: Tidying & { readonly spaces: readonly Space[]; readonly collecting: CollectStanding },
  options: GcOptions = {},
): Promise<GcReport> {
  if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Collecting');
  await tidy(tidying);
  const { gc } = context.options;
  const isPreview = options.dryRun === true;
  const { signal } = options;
  const collectNow = async (onProgress: GcOptions['onProgress']): Promise<Done> => {
    const graceSeconds = options.graceSeconds ?? gc.graceSeconds;
    const { freedShareMin } = gc;
    const collection = await context.chunks.collect({ graceSeconds, freedShareMin, isPreview, onProgress, signal });
    // Behind the collection, so that the preview is right of that: what is given up here goes with the next one.
    return { collection, recut: await recut(context, tidying.spaces, { isPreview, signal }) };
  };
  const done = isPreview
    ? await collectNow(options.onProgress)
    : await tidying.collecting.follow((onProgress) =>
        collectNow((bytes, total) => {
          onProgress(bytes, total);
          options.onProgress?.(bytes, total);
        }),
      );
  return reportOf(done, await historyBytesOf(context, tidying.spaces), isPreview);
}

/** What is kept beside what is there now, for those who wonder why nothing comes back. */
async function historyBytesOf(context: Context, spaces: readonly Space[]): Promise<number> {
  let bytes = 0;
  for (const { space } of spaces) bytes += (await context.meta.get('spaces', [space]))?.historyBytes ?? 0;
  return bytes;
}

function reportOf(
  { collection, recut: { count, storedBytes, usedBytes, recutCount, recutBytes } }: Done,
  historyBytes: number,
  isPreview: boolean,
): GcReport {
  const { packs, orphans, problems } = collection;
  const named = packs
    .slice(0, PACKS_NAMED_MAX)
    .flatMap(({ pack, object, action, bytesBefore, bytesAfter, chunksDiscarded }) => {
      if (action === 'keep') return [];
      return [{ pack, object, action, bytes_before: bytesBefore, bytes_after: bytesAfter, chunks: chunksDiscarded }];
    });
  return {
    dry_run: isPreview,
    freed_bytes: collection.freedBytes,
    packs_rewritten: packs.filter(({ action }) => action === 'rewrite').length,
    packs_dropped: packs.filter(({ action }) => action === 'drop').length,
    packs_joined: packs.filter(({ action }) => action === 'join').length,
    chunks_discarded: packs.reduce((sum, { chunksDiscarded }) => sum + chunksDiscarded, 0),
    objects_removed: orphans.length,
    objects_removed_bytes: orphans.reduce((sum, { bytes }) => sum + bytes, 0),
    waiting_bytes: collection.waitingBytes,
    waiting_chunks: collection.waitingCount,
    kept_bytes: collection.keptBytes,
    history_bytes: historyBytes,
    partial_chunks: count,
    partial_bytes: storedBytes,
    partial_used_bytes: usedBytes,
    recut_chunks: recutCount,
    recut_bytes: recutBytes,
    packs: named,
    packs_more: packs.length - named.length,
    problems: problems.map(({ pack, code, sentence }) => ({ pack, code, error: sentence })),
  };
}
