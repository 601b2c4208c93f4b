/** Our end of kernel-worker.ts: one thread, one call at a time, in order. Started with the first call. */
import { Worker } from 'node:worker_threads';
import type { KernelRequest } from './kernel-worker.ts';

export class KernelThread implements AsyncDisposable {
  #worker: Worker | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** Answers the errno, 0 for success. Rejects when the thread itself fails. */
  call(request: KernelRequest): Promise<number> {
    const answer = this.#last.then(() => this.#ask(request));
    this.#last = answer.catch(() => {});
    return answer;
  }

  #ask(request: KernelRequest): Promise<number> {
    this.#worker ??= new Worker(new URL('./kernel-worker.ts', import.meta.url), { env: {}, execArgv: [] });
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      const onMessage = (errno: number): void => {
        worker.off('error', onError);
        resolve(errno);
      };
      const onError = (error: unknown): void => {
        worker.off('message', onMessage);
        this.#worker = undefined;
        reject(error);
      };
      worker.once('message', onMessage);
      worker.once('error', onError);
      worker.postMessage(request);
    });
  }

  /** Waits for the call under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    await this.#worker?.terminate();
    this.#worker = undefined;
  }
}
