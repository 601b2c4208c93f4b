/**
 * A stored file onto the caller's disk. It is written under a temporary name beside its goal, gets its mode and time,
 * and is renamed only when every byte is there: under its own name there is never half a file. Small files are gathered
 * and written at once; of large ones a block is written while the next one is filled.
 */
import type { FileRead, FileRecord } from '../../api/index.ts';
import { Fault, hexOf, type Random } from '../../base/index.ts';
import { BLOCK_BYTES, lendBlock, returnBlock } from './local-blocks.ts';
import type { LocalDisk, LocalWriter, WholeOptions } from './local-disk.ts';
import { nsOfIso } from './moments.ts';
import { plainBytes } from './plain-bytes.ts';
import { folderOf, joinRaw } from './raw.ts';
import { dataRuns } from './sparse.ts';

/** Up to here a file is one read and one write. */
export const WHOLE_BYTES_MAX = 256 * 1024;

export interface WriteLocalOptions {
  readonly disk: LocalDisk;
  readonly names: TemporaryNames;
  readonly isDurable: boolean;
  /** Told how many more bytes have arrived. */
  readonly onBytes: (count: number) => void;
}

/** Files restore these bits; setuid and setgid mean another owner's rights and are left off. */
export const FILE_MODE_MASK = 0o777;

/** Leftovers of a crash begin so, and may be removed. */
export const TEMPORARY_PREFIX = '.holdfast-';

/** Names that nobody else takes: one draw of chance for the run, counted on from there. */
export class TemporaryNames {
  readonly #run: string;
  #count = 0;

  constructor(random: Random) {
    this.#run = hexOf(random.bytes(8));
  }

  beside(path: string): string {
    return joinRaw(folderOf(path), `${TEMPORARY_PREFIX}${this.#run}-${++this.#count}`);
  }
}

/** A file whose bytes are all there, as it shall stand. */
export interface WholeFile extends WholeOptions {
  readonly path: string;
  /** Where it is written first. */
  readonly temporary: string;
}

export function wholeFileOf(path: string, record: FileRecord, names: TemporaryNames, isDurable: boolean): WholeFile {
  const mtimeNs = nsOfIso(record.modified);
  return { path, temporary: names.beside(path), mode: record.mode & FILE_MODE_MASK, mtimeNs, isDurable };
}

/** @throws what the disk refuses; what stood at the path is then untouched. */
export function putInPlace(disk: LocalDisk, file: WholeFile, bytes: Uint8Array): void {
  try {
    disk.writeWhole(file.temporary, bytes, file);
    disk.rename(file.temporary, file.path);
  } catch (error) {
    removeQuietly(disk, file.temporary);
    throw error;
  }
}

/** @throws Fault `mismatch` when the bytes are not as many as the record says; what stood at `path` is then untouched. */
export async function writeLocal(path: string, read: FileRead, options: WriteLocalOptions): Promise<void> {
  const { disk } = options;
  if (read.record.size <= WHOLE_BYTES_MAX) {
    const bytes = await gather(read, options);
    putInPlace(disk, wholeFileOf(path, read.record, options.names, options.isDurable), bytes);
    return;
  }
  const temporary = options.names.beside(path);
  try {
    await writeStream(temporary, read, read.record.mode & FILE_MODE_MASK, options);
    const mtimeNs = nsOfIso(read.record.modified);
    if (mtimeNs !== undefined) disk.setModified(temporary, mtimeNs);
    disk.rename(temporary, path);
  } catch (error) {
    removeQuietly(disk, temporary);
    throw error;
  }
}

export function removeQuietly(disk: LocalDisk, path: string): void {
  try {
    disk.remove(path);
  } catch {
    // It was not made, or the first error says more.
  }
}

async function gather(read: FileRead, options: WriteLocalOptions): Promise<Uint8Array> {
  const bytes = plainBytes(read.record.size);
  let length = 0;
  for await (const chunk of read.bytes) {
    if (length + chunk.length > bytes.length) throw wrongLength(read, length + chunk.length);
    bytes.set(chunk, length);
    length += chunk.length;
    options.onBytes(chunk.length);
  }
  if (length !== bytes.length) throw wrongLength(read, length);
  return bytes;
}

function wrongLength(read: FileRead, length: number): Fault {
  const { path, size } = read.record;
  return new Fault(
    'mismatch',
    `${path} came with ${length} bytes and should have ${size}. Nothing was written; try again.`,
    {
      path,
      size,
      length,
    },
  );
}

async function writeStream(temporary: string, read: FileRead, mode: number, options: WriteLocalOptions): Promise<void> {
  await using writer = await options.disk.openWriter(temporary);
  let [filling, writing] = [lendBlock(), lendBlock()];
  let [filled, position] = [0, 0];
  let underWay: Promise<void> = Promise.resolve();
  const pass = async (): Promise<void> => {
    await underWay;
    underWay = writeRuns(writer, filling.subarray(0, filled), position);
    // Its failure is met where it is awaited; it must not count as unhandled before.
    underWay.catch(() => {});
    position += filled;
    filled = 0;
    [filling, writing] = [writing, filling];
  };
  try {
    for await (const chunk of read.bytes) {
      let at = 0;
      // Much at once goes to the disk from where it lies, and while it does the next is read and checked elsewhere.
      if (chunk.length >= BLOCK_BYTES / 2) {
        if (filled > 0) await pass();
        await underWay;
        await writeRuns(writer, chunk, position);
        position += chunk.length;
        at = chunk.length;
      }
      while (at < chunk.length) {
        const part = chunk.subarray(at, at + BLOCK_BYTES - filled);
        filling.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled === BLOCK_BYTES) await pass();
      }
      options.onBytes(chunk.length);
    }
    await pass();
    await underWay;
    if (position !== read.record.size) throw wrongLength(read, position);
    await writer.finish({ size: position, mode, isDurable: options.isDurable });
  } finally {
    await underWay.catch(() => {});
    returnBlock(filling);
    returnBlock(writing);
  }
}

async function writeRuns(writer: LocalWriter, block: Uint8Array, position: number): Promise<void> {
  for (const { start, end } of dataRuns(block)) await writer.write(block.subarray(start, end), position + start);
}
