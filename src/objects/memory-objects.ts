/**
 * Objects in memory, for tests and simulations: the same promises as any other place, as long as the process lives.
 * It knows what was synced, so that a simulated crash can lose the rest, and it can be made without `append`, as most
 * buckets are.
 */
import type { Random } from '../base/index.ts';
import { Gate } from './gate.ts';
import {
  cannot,
  checkObjectName,
  checkRange,
  checkWanted,
  isOnPage,
  objectExists,
  objectHeld,
  objectMissing,
  objectTooShort,
  pageRequest,
  rangeWithin,
} from './object-name.ts';
import type { ObjectAbilities, ObjectInfo, ObjectName, ObjectPage, ObjectRange, ObjectStore } from './object-store.ts';
import { appenderOfDeleted, OrderedAppender } from './ordered-appender.ts';
import { GrowingBytes, SECTOR_BYTES } from './seeded-bytes.ts';

export interface MemoryObjectsOptions {
  /** Whether `append` works; it does when absent. */
  readonly append?: boolean;
}

interface MemoryObject {
  readonly bytes: GrowingBytes;
  /** Bytes that a crash leaves; `undefined` while not even the name is durable. */
  syncedBytes: number | undefined;
}

export class MemoryObjects implements ObjectStore {
  readonly abilities: ObjectAbilities;
  readonly #objects = new Map<ObjectName, MemoryObject>();
  readonly #appenders = new Map<ObjectName, OrderedAppender>();
  readonly #gate = new Gate('The object store in memory');
  /** Sorted when somebody lists; dropped when a name comes or goes. */
  #names: readonly ObjectName[] | undefined;

  constructor(options: MemoryObjectsOptions = {}) {
    this.abilities = { append: options.append ?? true, copy: true };
  }

  put(
    name: ObjectName,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    options: { signal?: AbortSignal } = {},
  ): Promise<void> {
    return this.#gate.run(async () => {
      checkObjectName(name);
      checkWanted(options.signal, name);
      if (this.#objects.has(name)) throw objectExists(name);
      const whole = await gathered(bytes, () => checkWanted(options.signal, name));
      this.#add(name, { bytes: whole, syncedBytes: whole.length });
    });
  }

  get(name: ObjectName, range: ObjectRange = {}): Promise<Uint8Array> {
    return this.#gate.run(async () => {
      checkObjectName(name);
      checkRange(name, range);
      checkWanted(range.signal, name);
      const { bytes } = this.#find(name);
      const { offset, length } = rangeWithin(name, range, bytes.length);
      return bytes.view(offset, offset + length).slice();
    });
  }

  head(name: ObjectName): Promise<ObjectInfo | undefined> {
    return this.#gate.run(async () => {
      checkObjectName(name);
      const object = this.#objects.get(name);
      return object === undefined ? undefined : { name, lengthBytes: object.bytes.length };
    });
  }

  list(options?: {
    readonly prefix?: string;
    readonly after?: ObjectName;
    readonly limit?: number;
  }): Promise<ObjectPage> {
    return this.#gate.run(async () => {
      const page = pageRequest(options);
      this.#names ??= [...this.#objects.keys()].sort();
      const names = this.#names.filter((name) => isOnPage(name, page));
      const objects = names.slice(0, page.limit).map((name) => ({ name, lengthBytes: this.#find(name).bytes.length }));
      const next = names.length > page.limit ? objects.at(-1)?.name : undefined;
      return next === undefined ? { objects } : { objects, next };
    });
  }

  delete(name: ObjectName): Promise<void> {
    return this.#gate.run(async () => {
      checkObjectName(name);
      this.#remove(name);
    });
  }

  copy(from: ObjectName, to: ObjectName): Promise<void> {
    return this.#gate.run(async () => {
      checkObjectName(from);
      checkObjectName(to);
      const { bytes } = this.#find(from);
      this.#add(to, { bytes: bytes.twin(), syncedBytes: bytes.length });
    });
  }

  append(name: ObjectName, at: number): Promise<OrderedAppender> {
    return this.#gate.run(async () => {
      if (!this.abilities.append) throw cannot('append', 'this memory');
      checkObjectName(name);
      checkRange(name, { offset: at });
      if (this.#appenders.has(name)) throw objectHeld(name);
      return this.#newAppender(name, this.#cutTo(name, at));
    });
  }

  async close(): Promise<void> {
    await this.#gate.close();
    await Promise.all([...this.#appenders.values()].map((appender) => appender.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * As if the power had gone: of what no sync covers, chance leaves a beginning, perhaps with zeros where its last
   * sector was not written. Close appenders first, as the process that held them is gone.
   */
  loseUnsynced(random: Random): void {
    for (const [name, { bytes, syncedBytes }] of [...this.#objects].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (syncedBytes === undefined && random.below(2) === 0) this.#remove(name);
      else if (bytes.length > (syncedBytes ?? 0)) loseTail(bytes, syncedBytes ?? 0, random);
    }
    for (const object of this.#objects.values()) object.syncedBytes = object.bytes.length;
  }

  #find(name: ObjectName): MemoryObject {
    const object = this.#objects.get(name);
    if (object === undefined) throw objectMissing(name);
    return object;
  }

  #add(name: ObjectName, object: MemoryObject): MemoryObject {
    if (this.#objects.has(name)) throw objectExists(name);
    this.#objects.set(name, object);
    this.#names = undefined;
    return object;
  }

  #remove(name: ObjectName): void {
    if (this.#objects.delete(name)) this.#names = undefined;
    this.#appenders.get(name)?.end(appenderOfDeleted(name));
  }

  /** The object with exactly `at` bytes, made when `at` is 0 and there is none. */
  #cutTo(name: ObjectName, at: number): MemoryObject {
    const known = this.#objects.get(name);
    if (known === undefined && at === 0) return this.#add(name, { bytes: new GrowingBytes(), syncedBytes: undefined });
    const object = this.#find(name);
    if (object.bytes.length < at) throw objectTooShort(name, object.bytes.length, at);
    object.bytes.resize(at);
    if (object.syncedBytes !== undefined) object.syncedBytes = Math.min(object.syncedBytes, at);
    return object;
  }

  #newAppender(name: ObjectName, object: MemoryObject): OrderedAppender {
    const appender = new OrderedAppender({
      name,
      lengthBytes: object.bytes.length,
      write: async (parts) => {
        for (const part of parts) object.bytes.write(part, object.bytes.length);
      },
      sync: async () => {
        object.syncedBytes = object.bytes.length;
      },
      close: async () => {
        if (this.#appenders.get(name) === appender) this.#appenders.delete(name);
      },
    });
    this.#appenders.set(name, appender);
    return appender;
  }
}

async function gathered(bytes: Uint8Array | AsyncIterable<Uint8Array>, check: () => void): Promise<GrowingBytes> {
  const whole = new GrowingBytes();
  if (bytes instanceof Uint8Array) {
    whole.write(bytes, 0);
    return whole;
  }
  for await (const part of bytes) {
    check();
    whole.write(part, whole.length);
  }
  check();
  return whole;
}

function loseTail(bytes: GrowingBytes, syncedBytes: number, random: Random): void {
  bytes.resize(syncedBytes + random.below(bytes.length - syncedBytes + 1));
  const lastSector = Math.max(syncedBytes, bytes.length - SECTOR_BYTES);
  if (random.below(2) === 0) bytes.write(new Uint8Array(bytes.length - lastSector), lastSector);
}
