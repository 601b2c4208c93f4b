/**
 * Writers of contents that are planned now and committed later. A writer lets go of its chunks when it is disposed, and a
 * collection may then take the records that no row names yet; so one that has finished is not disposed with the operation
 * that used it, but when what was planned is committed or given up. Until then it is also asked whether its records are
 * still there when a group is made durable.
 *
 * Holds what the operations of one batch wrote: a finished writer has no bytes any more.
 */
import type { ChunkStore, ContentWriter } from '../../chunks/index.ts';

export class HeldWriters {
  #finished: ContentWriter[] = [];

  /** The same store, whose finished writers end with `letGo`. */
  around(chunks: ChunkStore): ChunkStore {
    return withInstead(chunks, 'newWriter', (options: Parameters<ChunkStore['newWriter']>[0]) =>
      this.#held(chunks.newWriter(options)),
    );
  }

  #held(writer: ContentWriter): ContentWriter {
    let isFinished = false;
    const finish: ContentWriter['finish'] = async () => {
      const summary = await writer.finish();
      isFinished = true;
      return summary;
    };
    const dispose = async (): Promise<void> => {
      if (isFinished) this.#finished.push(writer);
      else await writer[Symbol.asyncDispose]();
    };
    return withInstead(withInstead(writer, 'finish', finish), Symbol.asyncDispose, dispose);
  }

  /** What was planned with them is committed, or is planned anew. */
  async letGo(): Promise<void> {
    const writers = this.#finished;
    this.#finished = [];
    await Promise.all(writers.map((writer) => writer[Symbol.asyncDispose]()));
  }
}

/** The same object, but for one method. */
export function withInstead<T extends object>(object: T, name: keyof T, instead: unknown): T {
  return new Proxy(object, {
    get(target, asked) {
      if (asked === name) return instead;
      const value: unknown = Reflect.get(target, asked, target);
      return typeof value === 'function' ? (value as (...words: unknown[]) => unknown).bind(target) : value;
    },
  });
}
