/**
 * A writer that keeps nothing: for a batch that only says what it would do, and must leave no bytes behind. It answers the
 * size and the hash that the content would have; there are no chunks to it.
 */
import {
  type ChunkStore,
  type ContentSummary,
  type ContentWriter,
  type Drafts,
  newContentHash,
} from '../../chunks/index.ts';
import { withInstead } from './held-writers.ts';

/** The same store, whose writers keep nothing. */
export function keepingNothing(chunks: ChunkStore): ChunkStore {
  return withInstead(chunks, 'newWriter', (): ContentWriter => new SizingWriter());
}

class SizingWriter implements ContentWriter {
  readonly #hash = newContentHash();
  #size = 0;
  readonly readyCount = 0;

  get size(): number {
    return this.#size;
  }

  get cutBytes(): number {
    return this.#size;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.#size += bytes.length;
  }

  async settle(): Promise<void> {}

  async finish(): Promise<ContentSummary> {
    return { size: this.#size, hash: this.#hash.digest() };
  }

  take(): Drafts {
    return { drafts: [], puts: [] };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
