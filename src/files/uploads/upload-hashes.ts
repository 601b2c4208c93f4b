/**
 * Hashes of whole uploads, computed as bytes arrive in order. Where they do not (parts out of order, several at once, a
 * part that broke off, a restart), the hash falls behind and catches up by reading what is stored, at the latest when
 * the upload completes; nothing but the hash state and what one read has in flight is held for it.
 *
 * A hash cannot take bytes back. So whoever feeds it bytes that then do not become durable has spoilt it, and it begins
 * anew with the first byte of the file.
 */
import { createHash, type Hash } from 'node:crypto';
import { assert } from '../../base/index.ts';
import { type ContentHash, newContentHash } from '../../chunks/index.ts';

export interface WholeHashes {
  /** XXH3-64, 8 bytes big-endian. */
  readonly xxhash3: Uint8Array;
  /** Hex; where it was wanted. */
  readonly sha256: string | undefined;
}

/** Bytes on their way in that are the next to be hashed. Ends with keep or drop. */
export interface Following {
  update(bytes: Uint8Array): void;
  /** They are durable. */
  keep(): void;
  /** They are not. */
  drop(): void;
}

class RunningHash {
  readonly #xxhash3: ContentHash = newContentHash();
  readonly #sha256: Hash | undefined;
  /** From the beginning. */
  bytes = 0;
  /** One at a time feeds it; resolves when that one is done. */
  taken: Promise<void> | undefined;

  constructor(wantsSha256: boolean) {
    this.#sha256 = wantsSha256 ? createHash('sha256') : undefined;
  }

  update(bytes: Uint8Array): void {
    this.#xxhash3.update(bytes);
    this.#sha256?.update(bytes);
    this.bytes += bytes.length;
  }

  digest(): WholeHashes {
    return { xxhash3: this.#xxhash3.digest(), sha256: this.#sha256?.copy().digest('hex') };
  }

  get hasSha256(): boolean {
    return this.#sha256 !== undefined;
  }

  /** Answers how to let go of it. */
  take(): () => void {
    assert(this.taken === undefined, 'one at a time feeds a hash');
    const { promise, resolve } = Promise.withResolvers<void>();
    this.taken = promise;
    return () => {
      this.taken = undefined;
      resolve();
    };
  }
}

export class UploadHashes {
  /** As many as there are open uploads that this process has seen. */
  readonly #running = new Map<string, RunningHash>();

  /** Undefined when other bytes come first, or somebody is at it. */
  follow(key: string, offset: number, wantsSha256: boolean): Following | undefined {
    const hash = this.#of(key, wantsSha256);
    if (hash.taken !== undefined || hash.bytes !== offset) return undefined;
    const release = hash.take();
    return {
      update: (bytes) => hash.update(bytes),
      keep: release,
      drop: () => {
        if (hash.bytes !== offset && this.#running.get(key) === hash) this.#running.delete(key);
        release();
      },
    };
  }

  /** Bytes from the beginning that are hashed; undefined while somebody is at it. */
  reached(key: string, wantsSha256: boolean): number | undefined {
    const hash = this.#of(key, wantsSha256);
    return hash.taken === undefined ? hash.bytes : undefined;
  }

  /** The hashes of the first `length` bytes, after reading those of them that are not hashed yet. */
  async reach(
    key: string,
    wanted: { readonly length: number; readonly sha256: boolean },
    read: (offset: number, length: number) => AsyncIterable<Uint8Array>,
  ): Promise<WholeHashes> {
    for (;;) {
      const hash = this.#of(key, wanted.sha256);
      if (hash.taken !== undefined) {
        await hash.taken;
        continue;
      }
      if (hash.bytes > wanted.length) {
        this.#running.delete(key);
        continue;
      }
      const release = hash.take();
      try {
        const left = wanted.length - hash.bytes;
        if (left > 0) for await (const bytes of read(hash.bytes, left)) hash.update(bytes);
        assert(hash.bytes === wanted.length, 'a read has as many bytes as were asked for');
        return hash.digest();
      } finally {
        release();
      }
    }
  }

  forget(key: string): void {
    this.#running.delete(key);
  }

  #of(key: string, wantsSha256: boolean): RunningHash {
    const known = this.#running.get(key);
    if (known !== undefined && (known.hasSha256 || !wantsSha256)) return known;
    const fresh = new RunningHash(wantsSha256);
    this.#running.set(key, fresh);
    return fresh;
  }
}
