/**
 * Objects as files on a disk. One process owns the folder; a second one must be kept out by its owner.
 *
 * A put writes a temporary file, syncs it, gives it its name and syncs the folder, so that a name never shows half an
 * object; folders made on the way are synced into their parents first. An appended object stands under its name from
 * the start, and its name becomes durable with the first sync. Whatever a crash leaves in the temporary folder was
 * acknowledged to nobody and goes when the store is opened. Layout: disk-layout.ts and docs/formats/objects.md.
 */
import { Fault, Lru, Turns } from '../base/index.ts';
import type { Disk, DiskFile } from './disk.ts';
import { namesInOrder, placeOf, TEMP_FOLDER } from './disk-layout.ts';
import { Gate } from './gate.ts';
import { HandleCache } from './handle-cache.ts';
import {
  cannot,
  checkObjectName,
  checkRange,
  checkWanted,
  objectExists,
  objectHeld,
  objectMissing,
  objectTooShort,
  pageRequest,
  rangeWithin,
} from './object-name.ts';
import type { ObjectAbilities, ObjectInfo, ObjectName, ObjectPage, ObjectRange, ObjectStore } from './object-store.ts';
import { appenderOfDeleted, OrderedAppender } from './ordered-appender.ts';

export const READ_HANDLES_MAX = 64;
/** Folders known to be durable; a forgotten one costs one sync more. */
const DURABLE_FOLDERS_MAX = 16_384;
/** Files looked at together while listing or clearing. */
const FILES_AT_ONCE = 32;
/** A longer read first asks for the length, so that a wrong one costs no memory. */
const TRUSTED_READ_BYTES_MAX = 8 * 1024 * 1024;

/** A longer read is worth a trip to another thread. */
const NOW_BYTES_MAX = 256 * 1024;

export interface DiskObjectsOptions {
  /** Folder of the disk that the store owns, made when absent; the disk's root when absent. */
  readonly folder?: string;
  /** Files kept open for reading, 1 or more; `READ_HANDLES_MAX` when absent. */
  readonly readHandlesMax?: number;
}

export class DiskObjects implements ObjectStore {
  readonly abilities: ObjectAbilities = { append: true, copy: false };
  readonly #disk: Disk;
  readonly #root: string;
  readonly #gate = new Gate('The object store on this disk');
  readonly #turns = new Turns();
  readonly #handles: HandleCache;
  readonly #appenders = new Map<ObjectName, OrderedAppender>();
  readonly #folders = new Lru<string, Promise<void>>({ weightMax: DURABLE_FOLDERS_MAX });
  #tempCount = 0;

  private constructor(disk: Disk, options: DiskObjectsOptions) {
    this.#disk = disk;
    this.#root = options.folder ?? '';
    this.#handles = new HandleCache((name) => this.#openToRead(name), options.readHandlesMax ?? READ_HANDLES_MAX);
  }

  /** Opens a store, an empty one where there is none, and removes what a crash left unfinished. */
  static async open(disk: Disk, options: DiskObjectsOptions = {}): Promise<DiskObjects> {
    const store = new DiskObjects(disk, options);
    await store.#makeFolder(store.#at(TEMP_FOLDER));
    await store.#removeLeftovers();
    return store;
  }

  put(
    name: ObjectName,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    options: { signal?: AbortSignal } = {},
  ): Promise<void> {
    return this.#gate.run(async () => {
      checkObjectName(name);
      checkWanted(options.signal, name);
      // Refused before the bytes are drawn; decided below, where nothing comes between.
      await this.#checkAbsent(name);
      const temp = await this.#writeTemp(name, bytes, options.signal);
      try {
        await this.#turns.run(name, () => this.#publish(name, temp));
      } catch (error) {
        await this.#disk.remove(temp).catch(() => {});
        throw error;
      }
    });
  }

  get(name: ObjectName, range: ObjectRange = {}): Promise<Uint8Array> {
    return this.#gate.run(async () => {
      checkObjectName(name);
      checkRange(name, range);
      checkWanted(range.signal, name);
      return await this.#handles.use(name, (file) => readRange(name, file, range));
    });
  }

  getNow(name: ObjectName, { offset, length }: { readonly offset: number; readonly length: number }) {
    const file = this.#handles.peek(name);
    if (file?.readNow === undefined || !(length > 0 && length <= NOW_BYTES_MAX)) return undefined;
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    return file.readNow(bytes, offset) ? bytes : undefined;
  }

  head(name: ObjectName): Promise<ObjectInfo | undefined> {
    return this.#gate.run(async () => {
      checkObjectName(name);
      return await this.#infoOf(name);
    });
  }

  list(options?: {
    readonly prefix?: string;
    readonly after?: ObjectName;
    readonly limit?: number;
  }): Promise<ObjectPage> {
    return this.#gate.run(async () => {
      const page = pageRequest(options);
      const names = namesInOrder((folder) => this.#entriesOf(folder), page);
      const objects: ObjectInfo[] = [];
      // One more than the page holds tells whether there is a next one.
      for await (const some of inBatches(names, Math.min(FILES_AT_ONCE, page.limit + 1))) {
        const infos = await Promise.all(some.map((name) => this.#infoOf(name)));
        objects.push(...infos.filter((info) => info !== undefined));
        if (objects.length > page.limit) break;
      }
      const shown = objects.slice(0, page.limit);
      const next = objects.length > shown.length ? shown.at(-1)?.name : undefined;
      return next === undefined ? { objects: shown } : { objects: shown, next };
    });
  }

  delete(name: ObjectName): Promise<void> {
    return this.#gate.run(async () => {
      checkObjectName(name);
      await this.#turns.run(name, () => this.#delete(name));
    });
  }

  async copy(_from: ObjectName, _to: ObjectName): Promise<void> {
    throw cannot('copy', 'a folder');
  }

  append(name: ObjectName, at: number): Promise<OrderedAppender> {
    return this.#gate.run(async () => {
      checkObjectName(name);
      checkRange(name, { offset: at });
      return await this.#turns.run(name, () => this.#openAppender(name, at));
    });
  }

  /** Waits for requests under way, closes appenders that are still open (without a sync) and all handles. */
  async close(): Promise<void> {
    await this.#gate.close();
    await Promise.all([...this.#appenders.values()].map((appender) => appender.close()));
    await this.#handles.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The disk's path of a path in this store. */
  #at(path: string): string {
    return this.#root === '' || path === '' ? this.#root + path : `${this.#root}/${path}`;
  }

  async #removeLeftovers(): Promise<void> {
    const temp = this.#at(TEMP_FOLDER);
    for await (const some of inBatches(await this.#disk.list(temp), FILES_AT_ONCE)) {
      await Promise.all(some.map((name) => this.#disk.remove(`${temp}/${name}`)));
    }
  }

  async #openToRead(name: ObjectName): Promise<DiskFile> {
    try {
      return await this.#disk.open(this.#at(placeOf(name).path), 'read');
    } catch (error) {
      throw Fault.is(error, 'not-found') ? objectMissing(name, error) : error;
    }
  }

  async #infoOf(name: ObjectName): Promise<ObjectInfo | undefined> {
    const found = await this.#disk.stat(this.#at(placeOf(name).path));
    return found?.kind === 'file' ? { name, lengthBytes: found.sizeBytes } : undefined;
  }

  async #entriesOf(folder: string): Promise<readonly string[]> {
    const path = this.#at(folder.replace(/\/$/, ''));
    // A file that somebody else put where a folder could be is none of ours.
    return (await this.#disk.stat(path))?.kind === 'folder' ? await this.#disk.list(path) : [];
  }

  async #checkAbsent(name: ObjectName): Promise<void> {
    if ((await this.#infoOf(name)) === undefined) return;
    // Who hears "it exists" may rely on it, but the process that made it may have died before it synced the folder.
    await this.#disk.syncFolder(this.#at(placeOf(name).folder));
    throw objectExists(name);
  }

  /** Writes and syncs a temporary file; answers its path. */
  async #writeTemp(
    name: ObjectName,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const path = this.#at(`${TEMP_FOLDER}/${this.#tempCount++}`);
    const file = await this.#disk.open(path, 'create');
    try {
      if (bytes instanceof Uint8Array) await file.write([bytes], 0);
      else await writeStream(file, bytes, () => checkWanted(signal, name));
      await file.sync();
      checkWanted(signal, name);
      await file.close();
      return path;
    } catch (error) {
      // The first error tells more than one of clearing up; what stays is removed at the next opening.
      await file.close().catch(() => {});
      await this.#disk.remove(path).catch(() => {});
      throw error;
    }
  }

  async #publish(name: ObjectName, temp: string): Promise<void> {
    const { folder, path } = placeOf(name);
    await this.#checkAbsent(name);
    await this.#makeFolder(this.#at(folder));
    await this.#disk.rename(temp, this.#at(path));
    await this.#disk.syncFolder(this.#at(folder));
  }

  /** Makes a folder and those above it, durably. Also one that is there is synced once: who made it may have died. */
  #makeFolder(folder: string): Promise<void> {
    if (folder === '') return Promise.resolve();
    const known = this.#folders.get(folder);
    if (known !== undefined) return known;
    const made = this.#makeFolderAnew(folder);
    this.#folders.set(folder, made);
    made.catch(() => this.#folders.delete(folder));
    return made;
  }

  async #makeFolderAnew(folder: string): Promise<void> {
    const parent = folder.slice(0, Math.max(0, folder.lastIndexOf('/')));
    await this.#makeFolder(parent);
    await this.#disk.makeFolder(folder);
    await this.#disk.syncFolder(parent);
  }

  async #delete(name: ObjectName): Promise<void> {
    const { folder, path } = placeOf(name);
    await this.#disk.remove(this.#at(path));
    this.#appenders.get(name)?.end(appenderOfDeleted(name));
    this.#handles.forget(name);
    try {
      // Also when nothing was there: an earlier delete may have been cut off before this line.
      await this.#disk.syncFolder(this.#at(folder));
    } catch (error) {
      if (!Fault.is(error, 'not-found')) throw error;
    }
  }

  async #openAppender(name: ObjectName, at: number): Promise<OrderedAppender> {
    if (this.#appenders.has(name)) throw objectHeld(name);
    const folder = this.#at(placeOf(name).folder);
    const file = await this.#openToAppend(name, at);
    let isNameDurable = false;
    const appender = new OrderedAppender({
      name,
      lengthBytes: at,
      write: (parts, offset) => file.write(parts, offset),
      sync: async () => {
        await file.sync();
        if (!isNameDurable) await this.#disk.syncFolder(folder);
        isNameDurable = true;
      },
      close: async () => {
        if (this.#appenders.get(name) === appender) this.#appenders.delete(name);
        await file.close();
      },
    });
    this.#appenders.set(name, appender);
    return appender;
  }

  /** The object's file, open to write, with exactly `at` bytes. */
  async #openToAppend(name: ObjectName, at: number): Promise<DiskFile> {
    const { folder, path } = placeOf(name);
    if (at === 0) {
      await this.#makeFolder(this.#at(folder));
      try {
        return await this.#disk.open(this.#at(path), 'create');
      } catch (error) {
        if (!Fault.is(error, 'exists')) throw error;
      }
    }
    const file = await this.#openToWrite(name);
    try {
      const lengthBytes = await file.sizeBytes();
      if (lengthBytes < at) throw objectTooShort(name, lengthBytes, at);
      if (lengthBytes > at) await file.truncate(at);
      return file;
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
  }

  async #openToWrite(name: ObjectName): Promise<DiskFile> {
    try {
      return await this.#disk.open(this.#at(placeOf(name).path), 'write');
    } catch (error) {
      throw Fault.is(error, 'not-found') ? objectMissing(name, error) : error;
    }
  }
}

async function readRange(name: ObjectName, file: DiskFile, range: ObjectRange): Promise<Uint8Array> {
  const isTrusted = range.length !== undefined && range.length > 0 && range.length <= TRUSTED_READ_BYTES_MAX;
  const { offset, length } = isTrusted
    ? { offset: range.offset ?? 0, length: range.length ?? 0 }
    : rangeWithin(name, range, await file.sizeBytes());
  // Unpooled and unzeroed: the bytes may be kept for long, and all of them are written.
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
  if ((await file.read(bytes, offset)) === length) return bytes;
  rangeWithin(name, range, await file.sizeBytes());
  // The object grew or was cut while it was read: what it has now decides.
  return readRange(name, file, range);
}

async function writeStream(file: DiskFile, bytes: AsyncIterable<Uint8Array>, check: () => void): Promise<void> {
  let offset = 0;
  for await (const part of bytes) {
    check();
    await file.write([part], offset);
    offset += part.length;
  }
}

async function* inBatches<T>(items: AsyncIterable<T> | Iterable<T>, count: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < count) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
