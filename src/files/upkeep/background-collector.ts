/**
 * The collection that runs behind the operations now and then, in small steps: it rests as long as it worked, and longer
 * while somebody waits for a commit. It can be paused: the one under way ends after the step that it is in, and what it
 * has begun the next one finishes, as after a crash.
 */
import { Fault, type Moment } from '../../base/index.ts';
import type { Context, Space } from '../context.ts';
import type { CollectStanding } from './collect-standing.ts';
import { NOTHING_RECUT, type Recut, recut } from './recut.ts';

/** How long it rests at once at most, and how much longer while others wait. */
const REST_MS_MAX = 2_000;
const BUSY_REST = 4;
/** Re-cutting looks at every extent, so it is not done behind each collection. */
const RECUT_MS = 24 * 3600 * 1000;

export class BackgroundCollector {
  readonly #context: () => Context;
  readonly #spaces: () => readonly Space[];
  readonly #standing: CollectStanding;
  readonly #signal: AbortSignal;
  #timer: Disposable | undefined;
  #running: Promise<void> = Promise.resolve();
  #pausing = new AbortController();
  /** When every extent was last looked at. */
  #recutAtMs = Number.NEGATIVE_INFINITY;

  /** Ends when the signal fires; wait for `close` then. */
  constructor(context: () => Context, spaces: () => readonly Space[], standing: CollectStanding, signal: AbortSignal) {
    this.#context = context;
    this.#spaces = spaces;
    this.#standing = standing;
    this.#signal = signal;
  }

  plan(): void {
    const { clock, options } = this.#context();
    const { intervalSeconds } = options.gc;
    if (intervalSeconds === 0 || this.#signal.aborted) return;
    this.#standing.next = later(clock.now(), intervalSeconds);
    this.#timer = clock.after(intervalSeconds * 1000, () => {
      this.#standing.next = undefined;
      this.#running = this.#run().finally(() => this.plan());
    });
  }

  /** Answers when the one under way, if there is one, has ended. */
  async pause(isPaused: boolean): Promise<void> {
    await this.#standing.pause(isPaused);
    if (!isPaused) {
      this.#pausing = new AbortController();
      return;
    }
    this.#pausing.abort(new Fault('aborted', 'Collections are paused.'));
    if (this.#standing.next === undefined) await this.#running;
  }

  async close(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { chunks, options, log } = this.#context();
    const signal = AbortSignal.any([this.#signal, this.#pausing.signal]);
    try {
      if ((await this.#standing.pausedSince()) !== undefined) return;
      const { graceSeconds, freedShareMin } = options.gc;
      const pause = this.#pacing(signal);
      const done = await this.#standing.follow(async (onProgress) => ({
        collection: await chunks.collect({ graceSeconds, freedShareMin, pause, onProgress, signal }),
        recut: await this.#recut(pause, signal),
      }));
      const { freedBytes: bytes, packs, problems } = done.collection;
      const { recutCount } = done.recut;
      if (bytes > 0 || problems.length > 0 || recutCount > 0)
        log.info('files.collected', { bytes, packs: packs.length, problems: problems.length, recut: recutCount });
    } catch (error) {
      if (!signal.aborted) log.warn('files.collect-failed', { error: String(error) });
    }
  }

  async #recut(pause: () => Promise<void>, signal: AbortSignal): Promise<Recut> {
    const nowMs = this.#context().clock.monotonicMs();
    if (nowMs - this.#recutAtMs < RECUT_MS) return NOTHING_RECUT;
    const done = await recut(this.#context(), this.#spaces(), { isPreview: false, pause, signal });
    this.#recutAtMs = nowMs;
    return done;
  }

  #pacing(signal: AbortSignal): () => Promise<void> {
    const { clock, groups } = this.#context();
    let since = clock.monotonicMs();
    return async () => {
      const workedMs = clock.monotonicMs() - since;
      const isBusy = groups.stats().waiting > 0;
      await clock.sleep(Math.min(REST_MS_MAX, isBusy ? BUSY_REST * workedMs : workedMs), signal);
      since = clock.monotonicMs();
    };
  }
}

function later({ seconds, nanoseconds }: Moment, bySeconds: number): Moment {
  return { seconds: seconds + bySeconds, nanoseconds };
}
