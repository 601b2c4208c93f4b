/**
 * Giving back bytes that nobody needs any more: what becomes unreachable is taken apart first (removed trees, versions
 * and history that are not kept any longer), then the chunk store collects. A preview takes apart too, for that loses
 * nothing anybody can reach, and says to the byte what a collection at the same moment gives back.
 */
import type { GcOptions, GcReport } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Collection } from '../../chunks/index.ts';
import type { Context } from '../context.ts';
import type { CollectStanding } from './collect-standing.ts';

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
  tidying: Tidying,
  standing: CollectStanding,
  options: GcOptions = {},
): Promise<GcReport> {
  if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Collecting');
  await tidy(tidying);
  const { gc } = context.options;
  const isPreview = options.dryRun === true;
  const collectNow = (onProgress: GcOptions['onProgress']): Promise<Collection> =>
    context.chunks.collect({
      graceSeconds: options.graceSeconds ?? gc.graceSeconds,
      freedShareMin: gc.freedShareMin,
      isPreview,
      onProgress,
      signal: options.signal,
    });
  const collection = isPreview
    ? await collectNow(options.onProgress)
    : await standing.follow((onProgress) =>
        collectNow((done, total) => {
          onProgress(done, total);
          options.onProgress?.(done, total);
        }),
      );
  return reportOf(collection, isPreview);
}

function reportOf(collection: Collection, isPreview: boolean): GcReport {
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
    chunks_discarded: packs.reduce((sum, { chunksDiscarded }) => sum + chunksDiscarded, 0),
    objects_removed: orphans.length,
    objects_removed_bytes: orphans.reduce((sum, { bytes }) => sum + bytes, 0),
    waiting_bytes: collection.waitingBytes,
    waiting_chunks: collection.waitingCount,
    kept_bytes: collection.keptBytes,
    packs: named,
    packs_more: packs.length - named.length,
    problems: problems.map(({ pack, code, sentence }) => ({ pack, code, error: sentence })),
  };
}
