/**
 * The blocks of one long stream: filled here, cut in a thread one after the other, and handed on in the order in which
 * they were filled. The caller's bytes are copied at once, so the stream goes on while blocks are cut; what is behind
 * the last cut of a block stays with the thread. After a fault nothing more is handed on.
 *
 * A block that is not full waits for more, but only until somebody needs its memory: then it is cut as it is. So
 * streams that stand still keep nobody from writing.
 *
 * Bound: BLOCKS_CUTTING_MAX blocks that are not handed on, beside the one that is filling; whoever writes more waits,
 * and for a free one as well.
 */
import type { CutStream } from './encode-threads.ts';
import type { Block, Encoder } from './encoder.ts';

/** Enough for the thread to have the next one at hand, few enough to leave most to encoding and appending. */
const BLOCKS_CUTTING_MAX = 3;

export interface BlockStreamOptions {
  readonly encoder: Encoder;
  readonly stream: CutStream;
  /** Whether to tell which chunks look like noise. */
  readonly asksNoise: boolean;
  /** Bytes that are cut when the stream is to be settled; fewer wait for more. */
  readonly settleBytes: number;
  readonly signal: AbortSignal | undefined;
  /** A block was cut into `count` chunks: stores or drops it, whatever happens. */
  readonly onCut: (block: Block, count: number) => Promise<void>;
}

export class BlockStream implements AsyncDisposable {
  readonly #options: BlockStreamOptions;
  /** Each resolves when its block was handed on, after those before it; none rejects. */
  readonly #cutting: Promise<void>[] = [];
  #filling: Block | undefined;
  #fault: unknown;

  constructor(options: BlockStreamOptions) {
    this.#options = options;
  }

  /** Why the stream does not go on; undefined while all is well. */
  get fault(): unknown {
    return this.#fault;
  }

  /** Copies all of `bytes`. @throws the fault of the stream. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      // Asked again in the very turn that takes it: somebody else may have been quicker.
      while (this.#filling === undefined && this.#mustWait) await this.#room();
      if (this.#fault !== undefined) throw this.#fault;
      at += this.#fill(bytes.subarray(at));
    }
  }

  /** The stream ends. Resolves when all of it is handed on. @throws the fault of the stream. */
  async end(): Promise<void> {
    while (this.#filling === undefined && this.#mustWait) await this.#room();
    if (this.#fault !== undefined) throw this.#fault;
    this.#filling ??= this.#take();
    this.#cut(this.#filling, true);
    await this.settle();
  }

  /** All that is worth a cut is handed on. @throws the fault of the stream. */
  async settle(): Promise<void> {
    if (this.#filling !== undefined && this.#filling.at >= this.#options.settleBytes) this.#cut(this.#filling, false);
    await this.#cutting.at(-1);
    if (this.#fault !== undefined) throw this.#fault;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#filling !== undefined) this.#options.encoder.dropBlock(this.#filling);
    this.#filling = undefined;
    await this.#cutting.at(-1);
    this.#options.stream[Symbol.dispose]();
  }

  #fill(bytes: Uint8Array): number {
    const { encoder } = this.#options;
    this.#filling ??= this.#take();
    const taken = encoder.fillBlock(this.#filling, bytes);
    if (this.#filling.at === encoder.blockBytes) this.#cut(this.#filling, false);
    return taken;
  }

  #take(): Block {
    const block = this.#options.encoder.takeBlock(() => {
      if (this.#filling === block) this.#cut(block, false);
    });
    return block;
  }

  #cut(block: Block, isLast: boolean): void {
    const { stream, asksNoise } = this.#options;
    this.#filling = undefined;
    const cut = stream.cut(block.number, { length: block.at, isLast, asksNoise });
    const handedOn = this.#handOn(block, cut, this.#cutting.at(-1));
    this.#cutting.push(handedOn);
    void handedOn.then(() => this.#cutting.shift());
  }

  get #mustWait(): boolean {
    return this.#cutting.length >= BLOCKS_CUTTING_MAX || !this.#options.encoder.hasRoom;
  }

  async #room(): Promise<void> {
    const { encoder, signal } = this.#options;
    if (this.#cutting.length >= BLOCKS_CUTTING_MAX) await this.#cutting[0];
    else await encoder.room(signal);
  }

  async #handOn(block: Block, cut: Promise<number>, before: Promise<void> | undefined): Promise<void> {
    const { encoder, onCut } = this.#options;
    try {
      const [count] = await Promise.all([cut, before]);
      if (this.#fault === undefined) return await onCut(block, count);
    } catch (error) {
      this.#fault ??= error;
    }
    encoder.dropBlock(block);
  }
}
