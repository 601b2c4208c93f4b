/**
 * The worker threads that take small files whole, started when the first files come. Files go to the thread with
 * the least to do. A thread that dies answers nothing more: what it was at is taken the usual way, and another one is
 * started for the next. Threads keep the process alive only while they have work, and end when they have had none for a
 * while.
 */
import { Worker } from 'node:worker_threads';
import type { Clock, Log } from '../../base/index.ts';
import type { HeldFile, LocalFile } from '../chunk-store.ts';
import type { AskedFile } from './whole-file.ts';
import type { TakeAnswer, TakeRequest, TakeStart } from './whole-file-worker.ts';

/** Heap of a thread: it holds one file's numbers at a time; bytes lie elsewhere. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 } as const;

/** Threads without work for so long are ended. */
const IDLE_MS = 10_000;

interface Thread {
  readonly worker: Worker;
  /** By memory. */
  readonly jobs: Map<number, (numbers: Uint32Array | undefined) => void>;
}

export interface WholeFileThreadsOptions {
  readonly count: number;
  readonly start: TakeStart;
  readonly clock: Clock;
  readonly log: Log;
}

export class WholeFileThreads implements AsyncDisposable {
  readonly #options: WholeFileThreadsOptions;
  readonly #threads = new Set<Thread>();
  /** Where bytes in memory lie for a thread, by memory. */
  readonly #held: readonly Uint8Array[];
  #idleTimer: Disposable | undefined;

  constructor(options: WholeFileThreadsOptions) {
    this.#options = options;
    this.#held = options.start.held.map((memory) => new Uint8Array(memory));
  }

  /** Answers what whole-file.ts says of the files; undefined when the thread died. One request a memory at a time. */
  take(memory: number, files: readonly (LocalFile | HeldFile)[]): Promise<Uint32Array | undefined> {
    this.#idleTimer?.[Symbol.dispose]();
    const thread = this.#leastBusy();
    return new Promise((done) => {
      if (thread.jobs.size === 0) thread.worker.ref();
      thread.jobs.set(memory, done);
      const request: TakeRequest = { memory, files: this.#asked(memory, files) };
      thread.worker.postMessage(request);
    });
  }

  /** Call when nothing is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#idleTimer?.[Symbol.dispose]();
    await this.#endAll();
  }

  async #endAll(): Promise<void> {
    const threads = [...this.#threads];
    this.#threads.clear();
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  /** What is in memory lies where the thread sees it, one behind the other. */
  #asked(memory: number, files: readonly (LocalFile | HeldFile)[]): readonly AskedFile[] {
    const held = this.#held[memory];
    let at = 0;
    return files.map((file) => {
      if (!('bytes' in file)) return file;
      held?.set(file.bytes, at);
      at += file.size;
      return { size: file.size, level: file.level };
    });
  }

  #leastBusy(): Thread {
    const [idlest] = [...this.#threads].sort((a, b) => a.jobs.size - b.jobs.size);
    const isEnough = this.#threads.size >= this.#options.count;
    return idlest !== undefined && (idlest.jobs.size === 0 || isEnough) ? idlest : this.#start();
  }

  #start(): Thread {
    const worker = new Worker(new URL('./whole-file-worker.ts', import.meta.url), {
      workerData: this.#options.start,
      resourceLimits: WORKER_LIMITS,
      // Nothing of the process's own flags (inspectors, test runners) belongs into a worker.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    const thread: Thread = { worker, jobs: new Map() };
    worker.on('message', ({ memory, numbers }: TakeAnswer) => {
      const done = thread.jobs.get(memory);
      thread.jobs.delete(memory);
      if (thread.jobs.size === 0) worker.unref();
      this.#endWhenIdle();
      done?.(numbers);
    });
    worker.on('error', (error) => this.#lose(thread, error));
    worker.on('exit', () => this.#lose(thread, undefined));
    worker.unref();
    this.#threads.add(thread);
    return thread;
  }

  #endWhenIdle(): void {
    if ([...this.#threads].some(({ jobs }) => jobs.size > 0)) return;
    this.#idleTimer = this.#options.clock.after(IDLE_MS, () => void this.#endAll());
  }

  #lose(thread: Thread, error: unknown): void {
    this.#threads.delete(thread);
    if (thread.jobs.size === 0) return;
    this.#options.log.warn('chunks.thread-ended', { thread: 'whole-file', error: String(error) });
    for (const done of thread.jobs.values()) done(undefined);
    thread.jobs.clear();
  }
}
