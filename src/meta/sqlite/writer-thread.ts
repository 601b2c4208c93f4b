/**
 * The thread that writes SQLite metadata, as the one that decides sees it. Rows go over in slices with a turn of the
 * event loop after each, so that ten thousand of them hold nobody up; the thread writes the first while the next are
 * packed. One write at a time; the caller keeps the order (sqlite-file.ts).
 *
 * It keeps the process alive only while something is awaited of it.
 */
import { Worker } from 'node:worker_threads';
import { Fault } from '../../base/index.ts';
import { RowRunWriter } from '../rows/row-runs.ts';
import type { RowWrite } from '../rows/row-source.ts';
import type { SettleRequest } from './sqlite-writing.ts';
import { errorOf, type WriterAnswer, type WriterRequest, type WriterStart } from './writer-messages.ts';

/** Rows, and about how many bytes of them, that are packed in one turn: less than a millisecond. */
const SLICE_ROWS = 500;
const SLICE_BYTES = 128 * 1024;

/** Heap of the thread: slices and the values of a row at a time; pages are SQLite's own. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 } as const;

export class WriterThread {
  readonly #worker: Worker;
  readonly #run = new RowRunWriter();
  /** What the next answer settles. */
  #awaited: PromiseWithResolvers<void> | undefined;
  #isReady = false;
  #broken: Fault | undefined;

  /** Resolves when the thread has opened the file. @throws Fault `io`: it could not be started, or not open the file. */
  readonly ready: Promise<void>;

  constructor(start: WriterStart) {
    this.#worker = new Worker(new URL('./writer-worker.ts', import.meta.url), {
      workerData: start,
      resourceLimits: WORKER_LIMITS,
      // Nothing of the process's own flags (inspectors, test runners) belongs into a worker.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    this.#worker.on('message', (answer: WriterAnswer) => this.#take(answer));
    this.#worker.on('error', (error) => this.#lose(error));
    this.#worker.on('exit', () => this.#lose(undefined));
    this.ready = this.#answer();
    this.ready.catch(() => undefined);
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Set when what reached the disk is unknown: a commit failed there, or the thread ended. Nothing more is taken. */
  get broken(): Fault | undefined {
    return this.#broken;
  }

  /** Resolves when all rows are durable. @throws Fault `full`, `io`, `read-only`, and what is wrong with a row: then none is. */
  async write(writes: Iterable<RowWrite>): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken;
    try {
      await this.#sendSlices(writes);
    } catch (error) {
      this.#run.take();
      await this.#ask({ kind: 'drop' });
      throw error;
    }
    await this.#ask({ kind: 'rows', bytes: this.#run.take(), isLast: true });
  }

  /** See SqliteWriting; the caller keeps it apart from writes. */
  async settle(what: SettleRequest): Promise<void> {
    await this.#ask({ kind: 'settle', what });
  }

  /** All but the last. */
  async #sendSlices(writes: Iterable<RowWrite>): Promise<void> {
    const run = this.#run;
    let rowCount = 0;
    for (const write of writes) {
      run.put(write);
      if (++rowCount % SLICE_ROWS !== 0 && run.lengthBytes < SLICE_BYTES) continue;
      this.#send({ kind: 'rows', bytes: run.take(), isLast: false });
      await turn();
    }
  }

  #ask(request: WriterRequest): Promise<void> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    const answered = this.#answer();
    this.#send(request);
    return answered;
  }

  /** Lets go of the file. Never rejects: what was awaited was answered before, and what is durable stays. */
  async close(): Promise<void> {
    await this.ready.catch(() => undefined);
    await this.#ask({ kind: 'close' }).catch(() => undefined);
    this.#worker.removeAllListeners();
    await this.#worker.terminate();
  }

  #answer(): Promise<void> {
    this.#awaited = Promise.withResolvers();
    this.#worker.ref();
    return this.#awaited.promise;
  }

  #send(request: WriterRequest): void {
    this.#worker.postMessage(request, request.kind === 'rows' ? [request.bytes.buffer] : []);
  }

  #take(answer: WriterAnswer): void {
    const awaited = this.#awaited;
    this.#awaited = undefined;
    this.#worker.unref();
    if (answer.kind === 'failed') {
      const error = errorOf(answer.error);
      if (answer.isBroken && Fault.is(error)) this.#broken = error;
      awaited?.reject(error);
    } else {
      if (answer.kind === 'ready') this.#isReady = true;
      awaited?.resolve();
    }
  }

  #lose(cause: unknown): void {
    const sentence =
      'The thread that writes the metadata ended. What it kept of the last changes is unknown until the store is ' +
      'opened anew; nothing more is taken until then.';
    this.#broken ??= new Fault('io', sentence, {}, cause);
    this.#awaited?.reject(this.#broken);
    this.#awaited = undefined;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
