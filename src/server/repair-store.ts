/**
 * A store repaired from a second copy: the folder of another Holdfast store, of which only the packs are read (its
 * metadata and its lock are left alone, so a copy on a medium that cannot be written will do), or any folder with files
 * in it. Nobody else may hold the store that is repaired.
 */
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, Fault, type Log, type Random } from '../base/index.ts';
import { chunksOfPack, type RepairCandidate } from '../chunks/index.ts';
import type { RepairReport } from '../files/index.ts';
import type { ChunkId } from '../meta/index.ts';
import { NodeDisk } from '../objects/index.ts';
import { openStore } from './open-store.ts';
import type { ServerOptions } from './options-table.ts';
import { OBJECTS_FOLDER, readStoreFolder } from './store-folder.ts';
import { faultOfSystem, isSystemError } from './system-fault.ts';

const PACKS_FOLDER = 'packs';
/** Bytes of a file that are read at once. */
const READ_BYTES = 1024 * 1024;

export interface RepairStoreQuestion {
  readonly options: ServerOptions;
  /** The folder of another store, or any folder; absolute. */
  readonly from: string;
  readonly isDryRun: boolean;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface RepairedStore extends RepairReport {
  readonly source: 'store' | 'folder';
}

/** @throws Fault `not-found`, `not-folder` for what is repaired from; `unsupported`, `locked`, `full`, `io`, `aborted`. */
export async function repairStore(question: RepairStoreQuestion): Promise<RepairedStore> {
  const { from, isDryRun, signal, onProgress, ...rest } = question;
  const kind = await kindOf(from);
  await using store = await openStore({ ...rest, command: 'holdfast repair' });
  const source = kind?.storeId === undefined ? 'folder' : 'store';
  // A copy of this very store: its ids are ours, and what is not wanted need not be unpacked.
  const isCopy = kind?.storeId === store.format.storeId;
  const candidates = (isWanted: (id: ChunkId) => boolean): AsyncIterable<RepairCandidate> =>
    source === 'folder' ? runsOf(from) : chunksOf(from, isCopy ? isWanted : undefined);
  const report = await store.files.repair({ candidates, isDryRun, signal, onProgress });
  return { ...report, source };
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

async function* chunksOf(store: string, isWanted?: (id: ChunkId) => boolean): AsyncGenerator<RepairCandidate> {
  for await (const path of filesBelow(join(store, OBJECTS_FOLDER, PACKS_FOLDER))) {
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
  }
}

async function* runsOf(folder: string): AsyncGenerator<RepairCandidate> {
  for await (const path of filesBelow(folder)) yield { kind: 'run', bytes: bytesOf(path) };
}

/** What may not be read, or is gone meanwhile, ends early. */
async function* bytesOf(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: READ_BYTES });
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
