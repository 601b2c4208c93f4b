/**
 * BLAKE3, native (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, "BLAKE3: one function, fast everywhere", 2020). The
 * platform's own package is asked for first, because a lock file with the package that lists all platforms does not
 * install everywhere; on other platforms that one serves, once it is installed by hand (docs/decisions/dependencies.md).
 */
import { createRequire } from 'node:module';
import { Fault } from '../../base/index.ts';

/** What is used of the binding. Hashing is synchronous; a hasher may be reset and used again. */
export interface Blake3Hasher {
  reset(): void;
  update(bytes: Uint8Array): unknown;
  /** 32 bytes, a fresh array each time. */
  digestBuffer(): Buffer;
}

interface Binding {
  readonly Blake3Hasher: {
    /** @param key 32 bytes. */
    newKeyed(key: Buffer): Blake3Hasher;
    deriveKey(context: string, material: Uint8Array): Buffer;
  };
}

const PACKAGES = ['@napi-rs/blake-hash-linux-x64-gnu', '@napi-rs/blake-hash'] as const;

export const { Blake3Hasher } = load();

function load(): Binding {
  const require = createRequire(import.meta.url);
  const failures: unknown[] = [];
  for (const name of PACKAGES) {
    try {
      return require(name) as Binding;
    } catch (error) {
      failures.push(error);
    }
  }
  const sentence = `There is no BLAKE3 for ${process.platform} on ${process.arch}. Run \`npm install --no-save ${PACKAGES[1]}\` and try again.`;
  throw new Fault('unsupported', sentence, { packages: PACKAGES }, failures);
}
