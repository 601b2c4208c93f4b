/**
 * The worker threads that cut streams and compress, started when the first batch comes that is worth one. A batch goes
 * to the thread with the least to do, the blocks of a stream to one and the same. A thread that dies fails its batches
 * and its streams, and is replaced at the next one.
 * Threads keep the process alive only while they have work, and end when they have had none for a while; what they
 * have of streams that stand still is kept here until those go on.
 */
import { Worker } from 'node:worker_threads';
import { type Clock, Fault } from '../../base/index.ts';
import type { EncodeAnswer, EncodeRequest, EncodeWorkerData } from './encode-worker.ts';

/** Heap of a thread: it holds one chunk's output at a time, so little young garbage is all it makes. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 } as const;

/** Threads without work for so long are ended. */
const IDLE_MS = 10_000;

/** To compress a block takes about so many times as long as to cut it. */
const LOAD_OF_ENCODING = 3;

/** What a thread does about a batch memory: one thing at a time. */
interface Job {
  readonly load: number;
  readonly done: (answer: number) => void;
  readonly fail: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly jobs: Map<number, Job>;
  readonly streams: Map<number, Stream>;
  load: number;
  fault: Fault | undefined;
}

interface Stream {
  readonly number: number;
  /** Which keeps what is behind its last cut; undefined: `tail` is that. */
  thread: Thread | undefined;
  tail: Uint8Array | undefined;
  /** Its thread is giving it back. */
  leaving: PromiseWithResolvers<void> | undefined;
}

/** A stream that is cut in a thread. Dispose when it has ended, or instead of it. */
export interface CutStream extends Disposable {
  /**
   * Cuts the `length` bytes in block `batch`, which follow those of the last call; answers the number of chunks.
   * @throws Fault `io` when the thread died.
   */
  cut(batch: number, block: { length: number; isLast: boolean; asksNoise: boolean }): Promise<number>;
}

export class EncodeThreads implements AsyncDisposable {
  readonly #count: number;
  readonly #workerData: EncodeWorkerData;
  readonly #clock: Clock;
  readonly #threads = new Set<Thread>();
  #streamCount = 0;
  #idleTimer: Disposable | undefined;

  constructor(options: { readonly count: number; readonly workerData: EncodeWorkerData; readonly clock: Clock }) {
    this.#count = options.count;
    this.#workerData = options.workerData;
    this.#clock = options.clock;
  }

  /** Threads there are now. */
  get threadCount(): number {
    return this.#threads.size;
  }

  /** Encodes batch memory `batch` in place; answers the bytes of its records. @throws Fault `io` when the thread died. */
  encode(batch: number, count: number, kind: 'encode' | 'encode-block' = 'encode'): Promise<number> {
    return this.#run(this.#leastBusy(), { kind, batch, count });
  }

  openStream(): CutStream {
    const stream: Stream = { number: this.#streamCount++, thread: undefined, tail: undefined, leaving: undefined };
    return {
      cut: (batch, block) =>
        stream.leaving === undefined
          ? this.#cut(stream, batch, block)
          : stream.leaving.promise.then(() => this.#cut(stream, batch, block)),
      [Symbol.dispose]: () => this.#drop(stream),
    };
  }

  #cut(stream: Stream, batch: number, block: Parameters<CutStream['cut']>[1]): Promise<number> {
    const { number, tail } = stream;
    const thread = stream.thread ?? this.#leastBusy();
    if (stream.thread === undefined) thread.streams.set(number, stream);
    stream.thread = thread;
    stream.tail = undefined;
    return this.#run(thread, { kind: 'cut', batch, stream: number, tail, ...block });
  }

  #drop({ number, thread }: Stream): void {
    if (thread?.streams.delete(number) !== true || thread.fault !== undefined) return;
    thread.worker.postMessage({ kind: 'drop', stream: number } satisfies EncodeRequest);
    this.#endWhenIdle();
  }

  #run(thread: Thread, request: EncodeRequest & { readonly batch: number }): Promise<number> {
    if (thread.fault !== undefined) return Promise.reject(thread.fault);
    this.#idleTimer?.[Symbol.dispose]();
    const load = request.kind === 'cut' ? 1 : LOAD_OF_ENCODING;
    return new Promise((done, fail) => {
      if (thread.jobs.size === 0) thread.worker.ref();
      thread.jobs.set(request.batch, { load, done, fail });
      thread.load += load;
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
    const [idlest] = [...this.#threads].sort((a, b) => a.load - b.load || a.streams.size - b.streams.size);
    const isIdle = idlest !== undefined && idlest.load === 0 && idlest.streams.size === 0;
    return idlest !== undefined && (isIdle || this.#threads.size >= this.#count) ? idlest : this.#start();
  }

  #start(): Thread {
    const worker = new Worker(new URL('./encode-worker.ts', import.meta.url), {
      workerData: this.#workerData,
      resourceLimits: WORKER_LIMITS,
      // Nothing of the process's own flags (inspectors, test runners) belongs into a worker.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    const thread: Thread = { worker, jobs: new Map(), streams: new Map(), load: 0, fault: undefined };
    worker.on('message', (answer: EncodeAnswer) => {
      if ('stream' in answer) this.#takeBack(thread, answer.stream, answer.tail);
      else this.#answered(thread, answer.batch, answer.answer);
    });
    worker.on('error', (error) => this.#fail(thread, error));
    worker.on('exit', () => this.#fail(thread, undefined));
    worker.unref();
    this.#threads.add(thread);
    return thread;
  }

  #answered(thread: Thread, batch: number, answer: number): void {
    const job = thread.jobs.get(batch);
    thread.jobs.delete(batch);
    thread.load -= job?.load ?? 0;
    if (thread.jobs.size === 0) thread.worker.unref();
    this.#endWhenIdle();
    job?.done(answer);
  }

  #takeBack(thread: Thread, number: number, tail: Uint8Array): void {
    const stream = thread.streams.get(number);
    thread.streams.delete(number);
    if (stream !== undefined) {
      stream.thread = undefined;
      stream.tail = tail;
      stream.leaving?.resolve();
      stream.leaving = undefined;
    }
    this.#endWhenIdle();
  }

  /** An idle thread costs some 20 MB; the next batch starts a new one. */
  #endWhenIdle(): void {
    if (this.#isBusy) return;
    this.#idleTimer?.[Symbol.dispose]();
    this.#idleTimer = this.#clock.after(IDLE_MS, () => this.#endIdle());
  }

  get #isBusy(): boolean {
    return [...this.#threads].some(({ jobs }) => jobs.size > 0);
  }

  /** First the streams come back; the time after that ends the threads. */
  #endIdle(): void {
    if (this.#isBusy) return;
    const streams = [...this.#threads].flatMap((thread) => [...thread.streams.values()]);
    if (streams.length === 0) void this.#endAll();
    for (const stream of streams) {
      if (stream.leaving !== undefined) continue;
      stream.leaving = Promise.withResolvers();
      stream.thread?.worker.postMessage({ kind: 'give', stream: stream.number } satisfies EncodeRequest);
    }
  }

  #fail(thread: Thread, cause: unknown): void {
    this.#threads.delete(thread);
    // The first one knows why: the exit follows the error.
    thread.fault ??= new Fault(
      'io',
      'A thread that compresses chunks ended; what it was working on was not stored. Try again.',
      {},
      cause,
    );
    for (const job of thread.jobs.values()) job.fail(thread.fault);
    thread.jobs.clear();
    // Who goes on with one of these is told by the thread's fault.
    for (const { leaving } of thread.streams.values()) leaving?.resolve();
  }
}
