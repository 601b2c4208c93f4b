/**
 * Giving back bytes that nobody needs any more: what becomes unreachable is taken apart first (removed trees, versions
 * and history that are not kept any longer), then the chunk store collects. A preview takes apart too, for that loses
 * nothing anybody can reach, and says to the byte what a collection at the same moment gives back.
 *
 * Behind the operations a collection runs now and then, in small steps: it rests as long as it worked, and longer while
 * somebody waits for a commit.
 */
import type { GcOptions, GcReport } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Collection } from '../../chunks/index.ts';
import type { Context } from '../context.ts';

/** Packs that one report names; the rest is counted. */
export const PACKS_NAMED_MAX = 1_000;
/** How long a collection behind the operations rests at once at most, and how much longer while others wait. */
const REST_MS_MAX = 2_000;
const BUSY_REST = 4;

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

export async function collect(context: Context, tidying: Tidying, options: GcOptions = {}): Promise<GcReport> {
  if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Collecting');
  await tidy(tidying);
  const { gc } = context.options;
  const isPreview = options.dryRun === true;
  const collection = await context.chunks.collect({
    graceSeconds: options.graceSeconds ?? gc.graceSeconds,
    freedShareMin: gc.freedShareMin,
    isPreview,
    onProgress: options.onProgress,
    signal: options.signal,
  });
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

/** The collection that runs behind the operations. */
export class BackgroundCollector {
  readonly #context: () => Context;
  readonly #signal: AbortSignal;
  #timer: Disposable | undefined;
  #running: Promise<void> = Promise.resolve();

  /** Ends when the signal fires; wait for `close` then. */
  constructor(context: () => Context, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
  }

  plan(): void {
    const { clock, options } = this.#context();
    const { intervalSeconds } = options.gc;
    if (intervalSeconds === 0 || this.#signal.aborted) return;
    this.#timer = clock.after(intervalSeconds * 1000, () => {
      this.#running = this.#run().finally(() => this.plan());
    });
  }

  async close(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { chunks, options, log } = this.#context();
    try {
      const { graceSeconds, freedShareMin } = options.gc;
      const pause = this.#pacing();
      const done = await chunks.collect({ graceSeconds, freedShareMin, pause, signal: this.#signal });
      const { freedBytes: bytes, packs, problems } = done;
      if (bytes > 0 || problems.length > 0)
        log.info('files.collected', { bytes, packs: packs.length, problems: problems.length });
    } catch (error) {
      if (!this.#signal.aborted) log.warn('files.collect-failed', { error: String(error) });
    }
  }

  #pacing(): () => Promise<void> {
    const { clock, groups } = this.#context();
    let since = clock.monotonicMs();
    return async () => {
      const workedMs = clock.monotonicMs() - since;
      const isBusy = groups.stats().waiting > 0;
      await clock.sleep(Math.min(REST_MS_MAX, isBusy ? BUSY_REST * workedMs : workedMs), this.#signal);
      since = clock.monotonicMs();
    };
  }
}
