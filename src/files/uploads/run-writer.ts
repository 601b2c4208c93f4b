/**
 * A run of bytes on its way into a hidden content that is there already: cut, stored, and put as extents from `base` on,
 * in bounded steps. Whose steps these are, and what else changes with them, the caller says.
 */
import { assert } from '../../base/index.ts';
import type { CompressionLevel, ContentSummary, ContentWriter, Draft } from '../../chunks/index.ts';
import type { ContentId, Put } from '../../meta/index.ts';
import { extentsOfDrafts } from '../content/extents.ts';
import type { Context, Space } from '../context.ts';

/** Bytes handed to the chunk store at once. */
const PIECE_BYTES = 4 * 1024 * 1024;

export interface RunOptions {
  readonly content: ContentId;
  /** Where in the content the run begins. */
  readonly base: number;
  readonly level: CompressionLevel;
  /** Bytes of the run, where known. */
  readonly size?: number | undefined;
  /** Drafts of one step. */
  readonly stepDrafts: number;
  /** Commits the rows of a step, which end `length` bytes behind the beginning of the run. */
  readonly onStep: (puts: readonly Put[], length: number) => Promise<void>;
}

/** Rows that are left for the change that ends the run. */
export interface RunEnd extends ContentSummary {
  readonly puts: readonly Put[];
}

export class RunWriter implements AsyncDisposable {
  readonly #space: Space;
  readonly #options: RunOptions;
  readonly #writer: ContentWriter;
  /** At most one step under way: the stream goes on while it is made durable. */
  #step: Promise<void> = Promise.resolve();
  #stepFault: unknown;
  #lengthTaken = 0;

  constructor(context: Context, space: Space, options: RunOptions) {
    this.#space = space;
    this.#options = options;
    this.#writer = context.chunks.newWriter({ level: options.level, size: options.size });
  }

  get size(): number {
    return this.#writer.size;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      await this.#writer.write(bytes.subarray(at, at + PIECE_BYTES));
      if (this.#writer.readyCount >= this.#options.stepDrafts) await this.#startStep();
    }
  }

  /** Commits all but the last rows, and answers those. Dispose after their commit, or instead of it. */
  async finish(): Promise<RunEnd> {
    const summary = await this.#writer.finish();
    while (this.#writer.readyCount > this.#options.stepDrafts) await this.#startStep();
    await this.#endStep();
    return { ...summary, puts: this.#take().puts };
  }

  async #startStep(): Promise<void> {
    await this.#endStep();
    const { puts, length } = this.#take();
    this.#step = this.#options.onStep(puts, length).catch((error: unknown) => {
      this.#stepFault = error;
    });
  }

  async #endStep(): Promise<void> {
    await this.#step;
    if (this.#stepFault !== undefined) throw this.#stepFault;
  }

  #take(): { readonly puts: readonly Put[]; readonly length: number } {
    const { drafts, puts } = this.#writer.take();
    const last: Draft | undefined = drafts.at(-1);
    if (last !== undefined) this.#lengthTaken = last.offset + last.length;
    assert(this.#lengthTaken <= this.#writer.size, 'drafts do not reach beyond what was written');
    const { content, base } = this.#options;
    const rows = extentsOfDrafts(this.#space, content, drafts, base, 'replace');
    return { puts: [...puts, ...rows], length: this.#lengthTaken };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#step;
    await this.#writer[Symbol.asyncDispose]();
  }
}
