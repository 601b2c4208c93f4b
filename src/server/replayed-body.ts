/**
 * The body of a request that may have to be sent again, because the server it was begun for turned out not to be there.
 * A source can be pulled only once, so what was pulled is kept, up to a bound; a refused connection shows long before
 * that. Beyond the bound the body cannot be sent again, and says so.
 */
import type { ByteSource } from '../api/index.ts';

/** Bytes kept for sending again. */
export const REPLAY_BYTES_MAX = 1024 * 1024;

export class ReplayedBody implements AsyncDisposable {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #canReplay = true;
  #isDone = false;

  constructor(source: ByteSource) {
    this.#source = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  /** False once more has been pulled than is kept. */
  get canReplay(): boolean {
    return this.#canReplay;
  }

  /** The whole body; may be asked for again while `canReplay`, when nobody pulls the one before any more. */
  async *bytes(): AsyncGenerator<Uint8Array> {
    for (const chunk of [...this.#kept]) yield chunk;
    while (!this.#isDone) {
      const next = await this.#source.next();
      if (next.done) {
        this.#isDone = true;
        return;
      }
      this.#keep(next.value);
      yield next.value;
    }
  }

  #keep(chunk: Uint8Array): void {
    if (!this.#canReplay) return;
    this.#keptBytes += chunk.length;
    this.#canReplay = this.#keptBytes <= REPLAY_BYTES_MAX;
    // A copy: whoever made the chunk may use its memory again.
    if (this.#canReplay) this.#kept.push(chunk.slice());
    else this.#kept = [];
  }

  /** Lets go of what is kept and ends the source, if it has not ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#kept = [];
    this.#canReplay = false;
    if (this.#isDone) return;
    this.#isDone = true;
    await this.#source.return?.();
  }
}
