/**
 * What is stored: made from a seed, the same bytes every time, or taken from the real files of this machine where
 * that is more honest. Nothing is downloaded. Everything is streamed, so that a corpus of gigabytes costs no memory.
 *
 *   mixedTar       a tar of real files (headers, Python, documents, Java, ELF); generated where there are too few
 *   mixedStream    generated: source, logs, records, machine-code-like and incompressible parts, no file twice
 *   smallFiles     files of 1–100 KiB in folders like a project's (log-uniform sizes)
 *   nodeModulesLike many packages with small sources, some files the same in many of them
 *   sourceTree     a source tree of very small files
 *   logFile        one log
 *   incompressible a stream cipher's output
 */
import { createCipheriv } from 'node:crypto';
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Random, seededRandom } from '../src/base/index.ts';
import { nameFrom, textOf } from './text.ts';

const MIB = 2 ** 20;
const PIECE_BYTES = 256 * 1024;

/** Where real files are taken from, in this order, and how many MiB at most of each: about the mix of a root file system. */
const REAL_PARTS: readonly (readonly [folder: string, mibMax: number])[] = [
  ['/usr/include', 110],
  ['/usr/lib/python3', 50],
  ['/usr/lib/python3.11', 50],
  ['/usr/share/perl', 20],
  ['/usr/share/doc', 70],
  ['/usr/share/man', 20],
  ['/usr/share/locale', 60],
  ['/usr/lib/gcc', 60],
  ['/usr/lib/jvm', 150],
  ['/usr/bin', 100],
  ['/usr/lib/x86_64-linux-gnu', 280],
  ['/usr/lib', 4096],
  ['/usr/share', 4096],
];

/** Writes a tar of about `bytes` bytes; answers what it is made of. */
export function mixedTar(path: string, bytes: number): string {
  const file = openSync(path, 'w');
  try {
    const count = writeTar(file, realFiles(), bytes);
    if (count !== undefined)
      return `a tar of ${count} real files of this machine, from ${REAL_PARTS[0]?.[0]} to ${REAL_PARTS.at(-1)?.[0]}, in order`;
  } finally {
    closeSync(file);
  }
  writeAll(path, mixedStream(bytes, 7));
  return 'GENERATED mixed content: this machine has too few real files';
}

interface RealFile {
  readonly path: string;
  readonly bytes: number;
}

/** No file twice, also where one part lies in another. */
function* realFiles(): Generator<RealFile, void> {
  const seen = new Set<string>();
  for (const [folder, mibMax] of REAL_PARTS) {
    let left = mibMax * MIB;
    for (const file of walk(folder)) {
      if (left <= 0) break;
      if (seen.has(file.path)) continue;
      seen.add(file.path);
      left -= file.bytes;
      yield file;
    }
  }
}

function* walk(folder: string): Generator<RealFile, void> {
  for (const entry of readFolder(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile()) yield { path, bytes: lstatSync(path).size };
  }
}

function readFolder(folder: string): ReturnType<typeof entriesOf> {
  try {
    return entriesOf(folder).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    return []; // Not on this machine, or not ours to read.
  }
}

function entriesOf(folder: string) {
  return readdirSync(folder, { withFileTypes: true });
}

const TAR_END_BYTES = 1024;

/** The number of files, or undefined when they were too few. The last file is cut so that the size comes out even. */
function writeTar(target: number, files: Iterable<RealFile>, bytes: number): number | undefined {
  let [written, count] = [0, 0];
  for (const { path, bytes: size } of files) {
    const room = bytes - written - TAR_END_BYTES - 2 * 512;
    if (room <= 0) break;
    const length = Math.min(size, room);
    const header = tarHeader(path, length);
    if (header === undefined) continue;
    writeSync(target, header);
    copyInto(target, path, length);
    const padding = (512 - (length % 512)) % 512;
    writeSync(target, Buffer.alloc(padding));
    written += 512 + length + padding;
    count++;
  }
  writeSync(target, Buffer.alloc(TAR_END_BYTES));
  return written + 4096 >= bytes ? count : undefined;
}

/** A ustar header with fixed owner and time, or undefined for a name that does not fit. */
function tarHeader(path: string, bytes: number): Buffer | undefined {
  const slash = path.lastIndexOf('/', 155);
  const [prefix, name] = path.length <= 100 ? ['', path] : [path.slice(1, slash), path.slice(slash + 1)];
  if (Buffer.byteLength(name) > 100 || Buffer.byteLength(prefix) > 155) return undefined;
  const header = Buffer.alloc(512);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  header.write(name.replace(/^\//, ''), 0);
  header.write(
    `${octal(0o644, 7)}${octal(0, 7)}${octal(0, 7)}${octal(bytes, 11)}${octal(1_700_000_000, 11)}        0`,
    100,
  );
  header.write('ustar\x0000', 257, 'latin1');
  header.write(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

const copyBuffer = Buffer.alloc(PIECE_BYTES);

/** Exactly `bytes` bytes; a file that shrank meanwhile is filled up with zeros, as tar does. */
function copyInto(target: number, path: string, bytes: number): void {
  const source = openSync(path, 'r');
  try {
    for (let at = 0; at < bytes; ) {
      const want = Math.min(copyBuffer.length, bytes - at);
      const got = readSync(source, copyBuffer, 0, want, at);
      if (got === 0) copyBuffer.fill(0, 0, want);
      at += writeSync(target, copyBuffer, 0, got === 0 ? want : got);
    }
  } finally {
    closeSync(source);
  }
}

/** Shares of the generated mix, in hundredths of the bytes. Together zstd level 3 makes about a third of it. */
const MIX = [
  ['source', 38],
  ['log', 10],
  ['records', 12],
  ['code', 30],
  ['incompressible', 10],
] as const;
type Kind = (typeof MIX)[number][0];

const MIXED_FILE_BYTES = { min: 4 * 1024, max: 4 * MIB };

/** Exactly `bytes` bytes of files of all kinds, one behind the other; none comes twice. */
export function* mixedStream(bytes: number, seed: number): Generator<Buffer, void> {
  const random = seededRandom(seed);
  for (let left = bytes; left > 0; ) {
    const size = Math.min(left, logUniform(random, MIXED_FILE_BYTES));
    yield* contentOf(kindFrom(random), random.below(2 ** 32), size);
    left -= size;
  }
}

function kindFrom(random: Random): Kind {
  let at = random.below(100);
  for (const [kind, share] of MIX) {
    at -= share;
    if (at < 0) return kind;
  }
  return 'source';
}

function contentOf(kind: Kind, seed: number, bytes: number): Iterable<Buffer> {
  if (kind === 'code') return machineCode(seed, bytes);
  return kind === 'incompressible' ? incompressible(bytes, seed) : textOf(kind, seed, bytes);
}

/**
 * Bytes like those of a program: instructions with Zipf's frequencies, some with an address that moves on slowly or an
 * immediate value that does not repeat. zstd makes about half of it.
 */
export function* machineCode(seed: number, bytes: number): Generator<Buffer, void> {
  const random = seededRandom(seed);
  const single = Array.from({ length: 200 }, () => Buffer.from(random.bytes(1 + random.below(4))));
  const some = (): Buffer => single[Math.floor(200 ** random.fraction()) - 1] ?? copyBuffer;
  // Compilers repeat themselves: what follows each other once does so again.
  const forms = Array.from({ length: 600 }, () => Buffer.concat(Array.from({ length: 1 + random.below(8) }, some)));
  let address = random.below(2 ** 30);
  for (let left = bytes; left > 0; ) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, left));
    let at = 0;
    while (at < piece.length - 40) {
      at += (forms[Math.floor(600 ** random.fraction()) - 1] ?? copyBuffer).copy(piece, at);
      const operand = random.below(8);
      if (operand < 2) at = piece.writeUInt32LE((address += random.below(64)), at);
      else if (operand === 2) at = piece.writeUInt16LE(random.below(65_536), at);
    }
    piece.fill(0, at);
    left -= piece.length;
    yield piece;
  }
}

/** Exactly `bytes` bytes that nothing makes smaller. */
export function* incompressible(bytes: number, seed: number): Generator<Buffer, void> {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed >>> 0);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(PIECE_BYTES);
  for (let left = bytes; left > 0; left -= PIECE_BYTES)
    yield cipher.update(zeros.subarray(0, Math.min(left, PIECE_BYTES)));
}

export function mixedFile(path: string, bytes: number, seed: number): void {
  writeAll(path, mixedStream(bytes, seed));
}

export function incompressibleFile(path: string, bytes: number, seed: number): void {
  writeAll(path, incompressible(bytes, seed));
}

export function logFile(path: string, bytes: number): void {
  writeAll(path, textOf('log', 11, bytes));
}

export interface TreeFacts {
  readonly files: number;
  readonly bytes: number;
}

/** `count` files of 1–100 KiB, log-uniform: source, records and a few that are compressed already. */
export function smallFiles(folder: string, count: number): TreeFacts {
  const random = seededRandom(23);
  const homes = Array.from({ length: 400 }, () =>
    join(...Array.from({ length: 1 + random.below(4) }, () => nameFrom(random))),
  );
  const extensions = { source: 'ts', log: 'log', records: 'json', code: 'bin', incompressible: 'png' };
  return writeTree(folder, count, (at) => {
    const kind = random.below(4) === 0 ? kindFrom(random) : 'source';
    return {
      path: join(homes[random.below(homes.length)] ?? '', `${nameFrom(random)}-${at}.${extensions[kind]}`),
      content: contentOf(kind, random.below(2 ** 32), logUniform(random, { min: 1024, max: 100 * 1024 })),
    };
  });
}

const SOURCE_FOLDERS = 300;

/** `count` files of a source tree, about 8 KiB each, log-uniform; another seed makes other bytes in every file. */
export function sourceTree(folder: string, count: number, seed: number): TreeFacts {
  const random = seededRandom(seed);
  const homes = Array.from({ length: Math.min(SOURCE_FOLDERS, count) }, () =>
    join(...Array.from({ length: 1 + random.below(5) }, () => nameFrom(random))),
  );
  return writeTree(folder, count, (at) => ({
    path: join(homes[random.below(homes.length)] ?? '', `${nameFrom(random)}-${at}.${['c', 'h', 'ts'][at % 3]}`),
    content: textOf('source', random.below(2 ** 32), logUniform(random, { min: 256, max: 44 * 1024 })),
  }));
}

const PACKAGE_FILES = 40;
const LICENSES = 4;

/** `count` files in packages of about forty: mostly small sources; the licence is one of a few in all of them. */
export function nodeModulesLike(folder: string, count: number): TreeFacts {
  const random = seededRandom(29);
  return writeTree(folder, count, (at) => {
    const home = join('node_modules', `package-${Math.floor(at / PACKAGE_FILES)}`);
    if (at % PACKAGE_FILES === 0)
      return { path: join(home, 'LICENSE'), content: textOf('source', random.below(LICENSES), 1100) };
    const seed = random.below(2 ** 32);
    if (at % PACKAGE_FILES === 1) return { path: join(home, 'package.json'), content: textOf('records', seed, 1500) };
    const extension = ['js', 'js', 'd.ts', 'js.map'][random.below(4)];
    const size = logUniform(random, { min: 200, max: 60 * 1024 });
    return {
      path: join(
        home,
        ['lib', 'dist', 'src/inner'][random.below(3)] ?? 'lib',
        `${nameFrom(random)}-${at}.${extension}`,
      ),
      content: textOf('source', seed, size),
    };
  });
}

interface NewFile {
  readonly path: string;
  readonly content: Iterable<Buffer>;
}

function writeTree(folder: string, count: number, fileAt: (at: number) => NewFile): TreeFacts {
  const made = new Set<string>();
  let bytes = 0;
  for (let at = 0; at < count; at++) {
    const { path, content } = fileAt(at);
    const target = join(folder, path);
    const above = dirname(target);
    if (!made.has(above)) mkdirSync(above, { recursive: true });
    made.add(above);
    bytes += writeAll(target, content);
  }
  return { files: count, bytes };
}

function writeAll(path: string, content: Iterable<Uint8Array>): number {
  const file = openSync(path, 'w');
  let bytes = 0;
  try {
    for (const piece of content) bytes += writeSync(file, piece);
  } finally {
    closeSync(file);
  }
  return bytes;
}

function logUniform(random: Random, { min, max }: { readonly min: number; readonly max: number }): number {
  return Math.floor(min * (max / min) ** random.fraction());
}
