/**
 * The scrub that runs behind the operations of a server: it reads packs back that nobody has verified for long, within a
 * rate, and slower while somebody waits for a commit. What it finds is logged, with the files that need what is damaged
 * left to a check; where it stands can be asked (`stats`).
 */
import type { ChunkDamage } from '../../chunks/index.ts';
import type { Context } from '../context.ts';

/** How long it waits when nothing is due, or something went wrong. */
const LOOK_MS = 60_000;
/** It rests at least this long at once, so that timers do not cost more than reading. */
const REST_MS_MIN = 20;
/** How many times longer it rests while others wait. */
const BUSY_REST = 4;

export class BackgroundScrubber {
  readonly #context: () => Context;
  readonly #signal: AbortSignal;
  #timer: Disposable | undefined;
  #running: Promise<void> = Promise.resolve();
  /** What is owed for bytes read, milliseconds. */
  #owedMs = 0;

  /** Ends when the signal fires; wait for `close` then. */
  constructor(context: () => Context, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
  }

  plan(): void {
    const { clock, options } = this.#context();
    if (options.scrub.bytesPerSecond === 0 || this.#signal.aborted) return;
    this.#timer = clock.after(LOOK_MS, () => {
      this.#running = this.#run().finally(() => this.plan());
    });
  }

  async close(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { log } = this.#context();
    try {
      while (!this.#signal.aborted && (await this.#next()));
    } catch (error) {
      if (!this.#signal.aborted) log.warn('files.scrub-failed', { error: String(error) });
    }
  }

  /** One pack; false when none is due. */
  async #next(): Promise<boolean> {
    const { chunks, clock, log, options } = this.#context();
    let damages = 0;
    const done = await chunks.scrub({
      dueSeconds: clock.now().seconds - options.scrub.everySeconds,
      onDamage: (damage) => {
        damages++;
        this.#tell(damage);
      },
      pause: (bytes) => this.#pause(bytes),
      signal: this.#signal,
    });
    if (done === undefined) return false;
    const { pack, bytes, chunks: count, isWhole } = done;
    if (isWhole) log.debug('files.scrubbed', { pack, bytes, chunks: count });
    else log.error('files.scrub-found-damage', { pack, bytes, damages });
    return true;
  }

  #tell({ code, sentence, pack, object, chunks }: ChunkDamage): void {
    const about = { code, error: sentence, pack, object, chunks: chunks.length };
    this.#context().log.error('files.scrub-damage', about);
  }

  async #pause(bytes: number): Promise<void> {
    const { clock, groups, options } = this.#context();
    const isBusy = groups.stats().waiting > 0;
    this.#owedMs += ((isBusy ? BUSY_REST : 1) * bytes * 1000) / options.scrub.bytesPerSecond;
    if (this.#owedMs < REST_MS_MIN) return;
    const restMs = this.#owedMs;
    this.#owedMs = 0;
    await clock.sleep(restMs, this.#signal);
  }
}
