/**
 * Small files on their way out of a service that reads many together: producers hand in one after the other, and each is
 * taken care of when its bytes come, in the same order. Holds ITEMS_MAX at once, so that whoever walks a tree is slowed
 * to the speed of the work; that must be more than what the service draws ahead.
 */
import type { FileRecord, FileService, WholeRead } from '../../api/index.ts';

const ITEMS_MAX = 512;

/** Called when the file has come, or failed. What it rejects with ends all. */
export type Take = (read: WholeRead) => Promise<void>;

interface Item {
  readonly record: FileRecord;
  readonly take: Take;
}

export class SmallFiles {
  readonly #service: FileService;
  readonly #signal: AbortSignal;
  /** Handed in, not yet drawn. */
  #waiting: Item[] = [];
  /** Drawn, not yet answered. */
  readonly #asked: Item[] = [];
  #isEnded = false;
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  /** Woken when something was handed in, and when there is room. */
  #more = Promise.withResolvers<void>();
  #room = Promise.withResolvers<void>();

  constructor(service: FileService, signal: AbortSignal) {
    this.#service = service;
    this.#signal = signal;
  }

  /** Whether the service reads many together at all. */
  get isUsable(): boolean {
    return this.#service.readMany !== undefined;
  }

  /** Resolves as soon as there is room for it. @throws what ended all. */
  async add(record: FileRecord, take: Take): Promise<void> {
    while (this.#waiting.length + this.#asked.length >= ITEMS_MAX && this.#failure === undefined)
      await this.#room.promise;
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#waiting.push({ record, take });
    this.#more.resolve();
    this.#running ??= this.#run().catch((error: unknown) => {
      this.#failure = { error };
      this.#room.resolve();
    });
  }

  /** No more come: resolves when all have been taken care of. More may come afterwards. @throws what ended all. */
  async settle(): Promise<void> {
    await this.wait();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The same for a way out that already has a failure. */
  async wait(): Promise<void> {
    this.#isEnded = true;
    this.#more.resolve();
    await this.#running;
    this.#running = undefined;
    this.#isEnded = false;
  }

  async #run(): Promise<void> {
    const reads = this.#service.readMany?.(this.#records(), { signal: this.#signal }) ?? [];
    for await (const read of reads as AsyncIterable<WholeRead>) {
      const item = this.#asked.shift();
      await item?.take(read);
      this.#room.resolve();
      this.#room = Promise.withResolvers();
    }
  }

  async *#records(): AsyncGenerator<FileRecord, void> {
    for (;;) {
      const item = this.#waiting.shift();
      if (item !== undefined) {
        this.#asked.push(item);
        yield item.record;
      } else if (this.#isEnded) return;
      else {
        this.#more = Promise.withResolvers();
        await this.#more.promise;
      }
    }
  }
}
