/**
 * The worker threads that compress, started when the first batch comes that is worth one. A batch goes to the thread
 * with the least to do. A thread that dies fails its batches and is replaced at the next one.
 * Threads keep the process alive only while they have work, and end when they have had none for a while.
 */
import { Worker } from 'node:worker_threads';
import { type Clock, Fault } from '../base/index.ts';
import type { EncodeAnswer, EncodeRequest } from './encode-worker.ts';

/** Heap of a thread: it holds one chunk's output at a time, so little young garbage is all it makes. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 } as const;

/** Threads without work for so long are ended. */
const IDLE_MS = 10_000;

interface Job {
  readonly done: (lengthBytes: number) => void;
  readonly fail: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly jobs: Map<number, Job>;
}

export class EncodeThreads implements AsyncDisposable {
  readonly #count: number;
  readonly #memories: readonly SharedArrayBuffer[];
  readonly #clock: Clock;
  readonly #threads = new Set<Thread>();
  #idleTimer: Disposable | undefined;

  constructor(options: {
    readonly count: number;
    readonly memories: readonly SharedArrayBuffer[];
    readonly clock: Clock;
  }) {
    this.#count = options.count;
    this.#memories = options.memories;
    this.#clock = options.clock;
  }

  /** Threads there are now. */
  get threadCount(): number {
    return this.#threads.size;
  }

  /** Encodes batch memory `batch` in place; answers the bytes of its records. @throws Fault `io` when the thread died. */
  encode(batch: number, count: number): Promise<number> {
    this.#idleTimer?.[Symbol.dispose]();
    const thread = this.#leastBusy();
    return new Promise((done, fail) => {
      if (thread.jobs.size === 0) thread.worker.ref();
      thread.jobs.set(batch, { done, fail });
      const request: EncodeRequest = { batch, count };
      thread.worker.postMessage(request);
    });
  }

  /** Call when no batch is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#idleTimer?.[Symbol.dispose]();
    await this.#endAll();
  }

  async #endAll(): Promise<void> {
    const threads = [...this.#threads];
    this.#threads.clear();
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  #leastBusy(): Thread {
    const threads = [...this.#threads].sort((a, b) => a.jobs.size - b.jobs.size);
    const [idlest] = threads;
    return idlest !== undefined && (idlest.jobs.size === 0 || threads.length >= this.#count) ? idlest : this.#start();
  }

  #start(): Thread {
    const worker = new Worker(new URL('./encode-worker.ts', import.meta.url), {
      workerData: this.#memories,
      resourceLimits: WORKER_LIMITS,
      // Nothing of the process's own flags (inspectors, test runners) belongs into a worker.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    const thread: Thread = { worker, jobs: new Map() };
    worker.on('message', ({ batch, lengthBytes }: EncodeAnswer) => {
      const job = thread.jobs.get(batch);
      thread.jobs.delete(batch);
      if (thread.jobs.size === 0) worker.unref();
      this.#endWhenIdle();
      job?.done(lengthBytes);
    });
    worker.on('error', (error) => this.#fail(thread, error));
    worker.on('exit', () => this.#fail(thread, undefined));
    worker.unref();
    this.#threads.add(thread);
    return thread;
  }

  /** An idle thread costs some 20 MB; the next batch starts a new one. */
  #endWhenIdle(): void {
    if ([...this.#threads].some(({ jobs }) => jobs.size > 0)) return;
    this.#idleTimer = this.#clock.after(IDLE_MS, () => void this.#endAll());
  }

  #fail(thread: Thread, cause: unknown): void {
    this.#threads.delete(thread);
    const fault = new Fault(
      'io',
      'A thread that compresses chunks ended; what it was working on was not stored. Try again.',
      {},
      cause,
    );
    for (const job of thread.jobs.values()) job.fail(fault);
    thread.jobs.clear();
  }
}
