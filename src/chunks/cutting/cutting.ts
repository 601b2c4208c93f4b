/**
 * Cutting and naming as a store does it, for a program that does not have the store: it asks which of its chunks are there
 * already, and sends only the rest. What it needs for that (`CuttingKeys`) names chunks of this store and opens nothing:
 * it is derived from the store's secret, one purpose each (ids.ts), and tells nothing of other keys.
 */
import type { ChunkFormat, CuttingKeys } from '../chunk-store.ts';
import { gearTableOf, type IdHasher, idKeyOf, newIdHasherOfKey } from '../hashes/ids.ts';
import { newChunker } from './chunker.ts';

export interface CutChunk {
  readonly length: number;
  readonly id: Uint8Array;
}

export function cuttingKeysOf(format: ChunkFormat, secret: Uint8Array): CuttingKeys {
  const idKey = idKeyOf(format.idAlgorithm, secret);
  return format.chunker === 'fastcdc' ? { idKey, gears: gearTableOf(secret) } : { idKey };
}

/** Cuts and names streams, one after the other; in the caller's thread. */
export class Cutter {
  readonly #format: ChunkFormat;
  readonly #chunker: ReturnType<typeof newChunker>;
  readonly #idOf: IdHasher;

  constructor(format: ChunkFormat, keys: CuttingKeys) {
    this.#format = format;
    this.#chunker = newChunker(format, keys.gears ?? new Uint8Array(0), { hasGears: true });
    this.#idOf = newIdHasherOfKey(format.idAlgorithm, keys.idKey);
  }

  /** The chunks of all bytes of a source, in order, as the store would cut them. */
  async chunksOf(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<readonly CutChunk[]> {
    const { window } = this.#chunker;
    const chunks: CutChunk[] = [];
    let length = 0;
    const cut = (lengthMin: number): void => {
      let at = 0;
      while (length - at >= lengthMin) {
        const chunkLength = this.#chunker.cut(at, length - at);
        chunks.push({ length: chunkLength, id: this.#idOf(window.subarray(at, at + chunkLength)) });
        at += chunkLength;
      }
      window.copyWithin(0, at, length);
      length -= at;
    };
    for await (const bytes of source) {
      for (let at = 0; at < bytes.length; ) {
        const taken = Math.min(bytes.length - at, window.length - length);
        window.set(bytes.subarray(at, at + taken), length);
        length += taken;
        at += taken;
        if (length === window.length) cut(this.#format.chunkBytesMax);
      }
    }
    cut(1);
    return chunks;
  }
}
