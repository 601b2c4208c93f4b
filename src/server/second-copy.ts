/**
 * A second copy of content, to repair a store from: the folder of another Holdfast store, of which only the packs are read
 * (its metadata and its lock are left alone, so a copy on a medium that cannot be written will do), or any folder with
 * files in it.
 */
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/index.ts';
import { chunksOfPack, type RepairCandidate } from '../chunks/index.ts';
import type { SecondCopy } from '../files/index.ts';
import type { ChunkId } from '../meta/index.ts';
import { NodeDisk } from '../objects/index.ts';
import { OBJECTS_FOLDER, readStoreFolder } from './store-folder.ts';
import { faultOfSystem, isSystemError } from './system-fault.ts';

const PACKS_FOLDER = 'packs';
/** Bytes of a file that are read at once. */
const READ_BYTES = 1024 * 1024;

/** `storeId` is that of the store which is repaired. @throws Fault `not-found`, `not-folder`, `denied`, `io` for the copy. */
export async function secondCopyOf(from: string, storeId: string): Promise<SecondCopy> {
  const kind = await kindOf(from);
  if (kind === undefined)
    return { source: 'folder', candidates: (_, onProgress) => runsOf(from, new Reading(from, onProgress)) };
  // A copy of this very store: its ids are ours, and what is not wanted need not be unpacked.
  const isCopy = kind.storeId === storeId;
  const packs = join(from, OBJECTS_FOLDER, PACKS_FOLDER);
  return {
    source: 'store',
    candidates: (isWanted, onProgress) =>
      chunksOf(packs, new Reading(packs, onProgress), isCopy ? isWanted : undefined),
  };
}

/** How far a folder has been read. What is counted is counted beforehand, so that the end can be told. */
class Reading {
  readonly #folder: string;
  readonly #onProgress: (done: number, total: number) => void;
  #done = 0;
  #total = 0;

  constructor(folder: string, onProgress: (done: number, total: number) => void) {
    this.#folder = folder;
    this.#onProgress = onProgress;
  }

  async count(): Promise<void> {
    for await (const path of filesBelow(this.#folder))
      this.#total += (await stat(path).catch(() => undefined))?.size ?? 0;
    this.add(0);
  }

  add(bytes: number): void {
    this.#done += bytes;
    this.#onProgress(this.#done, Math.max(this.#done, this.#total));
  }
}

async function kindOf(from: string): Promise<{ readonly storeId: string } | undefined> {
  try {
    if (!(await stat(from)).isDirectory()) {
      throw new Fault('not-folder', `${from} is not a folder. Repair takes a store or a folder.`, { path: from });
    }
  } catch (error) {
    throw Fault.is(error) ? error : faultOfSystem(error, 'read', from);
  }
  const found = await readStoreFolder(new NodeDisk(from), from);
  return found === undefined ? undefined : { storeId: found.format.storeId };
}

async function* chunksOf(
  packs: string,
  reading: Reading,
  isWanted?: (id: ChunkId) => boolean,
): AsyncGenerator<RepairCandidate> {
  await reading.count();
  for await (const path of filesBelow(packs)) {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const get = async (offset: number, length: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await file.read(bytes, at, length - at, offset + at);
        if (bytesRead === 0) throw new Fault('range', `${path} became shorter while it was read.`, { path });
        at += bytesRead;
      }
      return bytes;
    };
    yield* chunksOfPack({ lengthBytes: size, get }, isWanted);
    reading.add(size);
  }
}

async function* runsOf(folder: string, reading: Reading): AsyncGenerator<RepairCandidate> {
  await reading.count();
  for await (const path of filesBelow(folder)) yield { kind: 'run', bytes: bytesOf(path, reading) };
}

/** What may not be read, or is gone meanwhile, ends early. */
async function* bytesOf(path: string, reading: Reading): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: READ_BYTES })) {
      reading.add(bytes.length);
      yield bytes;
    }
  } catch (error) {
    if (!isSystemError(error, 'EACCES', 'EPERM', 'ENOENT', 'EIO')) throw error;
  }
}

/** Files at any depth; symbolic links are not followed, and what may not be listed is passed over. */
async function* filesBelow(folder: string): AsyncGenerator<string> {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile()) yield path;
  }
}
