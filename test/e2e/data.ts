/** Data for end-to-end tests: made from a seed, of the kinds that people have. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Random, seededRandom } from '../../src/base/index.ts';

const WORDS = ['error', 'user', 'return', 'const', 'file', 'http', 'index', 'value', 'time', 'node', 'chunk', 'pack'];

/** Text like a program's, `length` bytes. */
export function text(random: Random, length: number): Buffer {
  const parts: string[] = [];
  for (let size = 0; size < length; ) {
    const line = `${WORDS[random.below(WORDS.length)]} ${random.below(100_000)} ${WORDS[random.below(WORDS.length)]}\n`;
    parts.push(line);
    size += line.length;
  }
  return Buffer.from(parts.join('')).subarray(0, length);
}

/** Half text, a quarter noise, a quarter zeros and repeats. */
export function mixed(random: Random, length: number): Buffer {
  const parts: Buffer[] = [];
  for (let size = 0; size < length; ) {
    const run = 1_000 + random.below(400_000);
    const kind = random.below(4);
    const part =
      kind < 2 ? text(random, run) : kind === 2 ? Buffer.from(random.bytes(run)) : Buffer.alloc(run, random.below(2));
    parts.push(part);
    size += part.length;
  }
  return Buffer.concat(parts).subarray(0, length);
}

/** A tree like an unpacked set of packages: many small files, some links, some of the same content. */
export function makeTree(folder: string, fileCount: number, seed: number): void {
  const random = seededRandom(seed);
  const folders: string[] = [folder];
  mkdirSync(folder, { recursive: true });
  const licence = text(random, 1_100);
  for (let number = 0; number < fileCount; number++) {
    if (number % 12 === 0) {
      const parent = folders[random.below(Math.min(folders.length, 400))] ?? folder;
      const made = join(parent, `module-${number}`);
      mkdirSync(made, { recursive: true });
      folders.push(made);
    }
    const where = folders.at(-1 - random.below(Math.min(3, folders.length))) ?? folder;
    const size = Math.floor(20 * 2 ** (random.fraction() * 11));
    const path = join(where, `file-${number}.${random.below(2) === 0 ? 'js' : 'json'}`);
    writeFileSync(path, number % 9 === 0 ? licence : text(random, size), { mode: number % 7 === 0 ? 0o755 : 0o644 });
    utimesSync(path, 1_700_000_000 + number, 1_700_000_000 + number + 0.123456);
    if (number % 50 === 0) symlinkSync(`./file-${number}.js`, join(where, `link-${number}`));
  }
}

/** SHA-256 over everything in a tree: names (as bytes), kinds, modes of files, contents, link targets. */
export function treeHash(folder: string): string {
  const hash = createHash('sha256');
  const walk = (at: Buffer): void => {
    const entries = readdirSync(at, { withFileTypes: true, encoding: 'buffer' });
    entries.sort((a, b) => Buffer.compare(a.name, b.name));
    for (const entry of entries) {
      const path = Buffer.concat([at, Buffer.from('/'), entry.name]);
      hash.update(entry.name).update('\0');
      if (entry.isDirectory()) walk(path);
      else if (entry.isSymbolicLink()) hash.update(readlinkSync(path, { encoding: 'buffer' }));
      else hash.update(createHash('sha256').update(readFileSync(path)).digest());
    }
    hash.update('\n');
  };
  walk(Buffer.from(folder));
  return hash.digest('hex');
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
