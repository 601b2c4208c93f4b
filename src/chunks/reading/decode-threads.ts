/**
 * The worker threads that check and decompress what `readAll` has fetched, started when a process has read enough to be
 * worth it. A request goes to the thread with the least to do; until the first one is ready the main thread goes on by
 * itself. A thread that dies leaves its requests to the main thread, and after a few such deaths no new ones are started.
 * Threads keep the process alive only while they have work, and end when they have had none for a while.
 */
import { Worker } from 'node:worker_threads';
import type { Clock, Log } from '../../base/index.ts';
import { ROOM_BYTES } from './decode-request.ts';
import type { DecodeAnswer, DecodeRequest, DecodeWorkerData } from './decode-worker.ts';

/** Heap of a thread: records are outside of it, so little young garbage is all it makes. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 } as const;
/** Threads without work for so long are ended. */
const IDLE_MS = 10_000;
/** Threads that may die before the main thread does everything itself. */
const DEATHS_MAX = 3;

/** Memory of earlier answers that is kept for later ones, ROOM_BYTES each. */
const SPARES_MAX = 4;

/** One request and what is wanted of it. `bytes` and the table are gone afterwards. */
export type DecodeWanted = Omit<DecodeRequest, 'job' | 'spare'>;
export type Decoded = Omit<DecodeAnswer, 'job'>;

interface Thread {
  readonly worker: Worker;
  /** Answers undefined when the thread died. */
  readonly jobs: Map<number, (decoded: Decoded | undefined) => void>;
  isReady: boolean;
}

export class DecodeThreads implements AsyncDisposable {
  readonly #count: number;
  readonly #workerData: DecodeWorkerData;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #threads = new Set<Thread>();
  readonly #spares: Uint8Array<ArrayBuffer>[] = [];
  #idleTimer: Disposable | undefined;
  #deathCount = 0;
  #jobCount = 0;
  #isClosed = false;

  constructor(options: {
    readonly count: number;
    readonly workerData: DecodeWorkerData;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#count = options.count;
    this.#workerData = options.workerData;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Threads that take requests now. */
  get readyCount(): number {
    return [...this.#threads].filter(({ isReady }) => isReady).length;
  }

  /** Requests that a thread has done or is doing. */
  get jobCount(): number {
    return this.#jobCount;
  }

  /** Starts what threads are missing. Whoever calls it asks `readyCount` before `decode`. */
  start(): void {
    if (this.#isClosed) return;
    while (this.#threads.size < this.#count && this.#deathCount < DEATHS_MAX) this.#start();
    this.#endWhenIdle();
  }

  /** Undefined when no thread is ready (then nothing was transferred), or when the thread died. */
  async decode(wanted: DecodeWanted): Promise<Decoded | undefined> {
    const [thread] = [...this.#threads].filter(({ isReady }) => isReady).sort((a, b) => a.jobs.size - b.jobs.size);
    if (thread === undefined) return undefined;
    this.#idleTimer?.[Symbol.dispose]();
    const job = ++this.#jobCount;
    const { promise, resolve } = Promise.withResolvers<Decoded | undefined>();
    if (thread.jobs.size === 0) thread.worker.ref();
    thread.jobs.set(job, resolve);
    const spare = this.#spares.pop();
    const request: DecodeRequest = { job, ...wanted, spare };
    const given: ArrayBuffer[] = [wanted.bytes.buffer];
    if (wanted.wanted !== undefined) given.push(wanted.wanted.table.buffer);
    if (spare !== undefined) given.push(spare.buffer);
    thread.worker.postMessage(request, given);
    return await promise;
  }

  /** Nobody looks at this answer any more: its memory is used again, or freed without waiting for the collector. */
  giveBack({ plain }: Decoded): void {
    const isFitting = plain.buffer.byteLength === ROOM_BYTES;
    if (isFitting && this.#spares.length < SPARES_MAX && this.#threads.size > 0) this.#spares.push(plain);
    else plain.buffer.transfer(0);
  }

  /** What is under way answers undefined. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#idleTimer?.[Symbol.dispose]();
    await this.#endAll();
  }

  async #endAll(): Promise<void> {
    const threads = [...this.#threads];
    this.#threads.clear();
    this.#spares.length = 0;
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  #start(): void {
    const worker = new Worker(new URL('./decode-worker.ts', import.meta.url), {
      workerData: this.#workerData,
      resourceLimits: WORKER_LIMITS,
      // Nothing of the process's own flags (inspectors, test runners) belongs into a worker.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    const thread: Thread = { worker, jobs: new Map(), isReady: false };
    worker.on('message', (answer: DecodeAnswer | 'ready') => {
      if (answer === 'ready') thread.isReady = true;
      else this.#answer(thread, answer);
    });
    worker.on('error', (error) => this.#lose(thread, error));
    worker.on('exit', () => this.#lose(thread, undefined));
    worker.unref();
    this.#threads.add(thread);
  }

  #answer(thread: Thread, { job, ...decoded }: DecodeAnswer): void {
    const done = thread.jobs.get(job);
    thread.jobs.delete(job);
    if (thread.jobs.size === 0) thread.worker.unref();
    this.#endWhenIdle();
    done?.(decoded);
  }

  /** An idle thread costs some 20 MB; the next big read starts a new one. */
  #endWhenIdle(): void {
    this.#idleTimer?.[Symbol.dispose]();
    if ([...this.#threads].some(({ jobs }) => jobs.size > 0)) return;
    this.#idleTimer = this.#clock.after(IDLE_MS, () => void this.#endAll());
  }

  #lose(thread: Thread, cause: unknown): void {
    // One that was ended on purpose is no longer among them.
    if (this.#threads.delete(thread)) {
      this.#deathCount++;
      this.#log.error('chunks.decode-thread-ended', { cause: cause instanceof Error ? cause.message : 'exit' });
    }
    for (const done of thread.jobs.values()) done(undefined);
    thread.jobs.clear();
  }
}
