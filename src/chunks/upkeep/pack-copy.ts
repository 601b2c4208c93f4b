/**
 * Copies what is needed of a pack into a new object: records as they are, byte for byte, in the order in which they lay,
 * with an index and a footer of their own. Every record is verified on the way, down to the id over its plain bytes, so
 * that nothing damaged is ever carried on; and nothing is thrown away because it is damaged, for the copy fails then.
 *
 * Durable (bytes and name) when it answers. What it leaves behind when it fails is an object that no row names.
 */
import { assert, Fault } from '../../base/index.ts';
import type { ChunkId, PackId } from '../../meta/index.ts';
import type { Appender, ObjectStore } from '../../objects/index.ts';
import type { PackObject } from '../packs/pack-file.ts';
import { encodeFooter, encodePackHeader, type IndexEntry, PACK_HEADER_BYTES, PackIndex } from '../packs/pack-format.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import { breath } from './stats.ts';

/** Bytes read at once, unless one record has more. */
const READ_BYTES = 1024 * 1024;
/** Records that lie this close are read together. */
const GAP_BYTES_MAX = 32 * 1024;
/** Records verified between two turns for others. */
const RECORDS_PER_TURN = 8;

export interface CopyContext {
  readonly objects: ObjectStore;
  readonly reader: ChunkReader;
  readonly onDamage: (id: ChunkId, pack: PackId) => void;
}

/** Records of one object. */
export interface PackSource {
  readonly from: PackObject;
  readonly entries: readonly IndexEntry[];
}

export interface CopyRequest {
  /** Which pack the new object is. */
  readonly as: Pick<PackObject, 'realm' | 'pack' | 'idBytes'>;
  /** Name of the new object. */
  readonly to: string;
  readonly sources: readonly PackSource[];
  readonly signal?: AbortSignal | undefined;
  /** Between two requests. */
  readonly pause?: (() => Promise<void>) | undefined;
}

export interface PackCopy {
  readonly index: PackIndex;
  readonly lengthBytes: number;
}

/** @throws Fault `corrupt` for a record that is damaged, `not-found`, `full`, `io`. */
export async function copyPack(context: CopyContext, request: CopyRequest): Promise<PackCopy> {
  await using target = await Target.open(context.objects, request.to);
  const { as } = request;
  await target.add([encodePackHeader(as)]);
  const moved: IndexEntry[] = [];
  let at = PACK_HEADER_BYTES;
  for (const { from, entries } of request.sources) {
    for (const run of runsOf(entries)) {
      if (request.signal?.aborted) throw Fault.aborted(request.signal, 'Rewriting a pack');
      const parts = await readRun(context, from, run);
      for (const { id, length } of run) {
        moved.push({ id, offset: at, length });
        at += length;
      }
      await target.add(parts);
      await request.pause?.();
    }
  }
  const index = PackIndex.of(moved, as.idBytes);
  const footer = encodeFooter(as, { indexOffset: at, indexLength: index.bytes.length, entryCount: index.count });
  await target.add([index.bytes, footer]);
  await target.end();
  return { index, lengthBytes: at + index.bytes.length + footer.length };
}

/** Entries in the order of the pack, in runs that one request reads. */
function* runsOf(entries: readonly IndexEntry[]): Generator<readonly IndexEntry[]> {
  let run: IndexEntry[] = [];
  for (const entry of [...entries].sort((a, b) => a.offset - b.offset)) {
    const [first] = run;
    const last = run.at(-1);
    const isNear =
      first !== undefined &&
      last !== undefined &&
      entry.offset - (last.offset + last.length) <= GAP_BYTES_MAX &&
      entry.offset + entry.length - first.offset <= READ_BYTES;
    if (!isNear && run.length > 0) yield run;
    run = isNear ? [...run, entry] : [entry];
  }
  if (run.length > 0) yield run;
}

async function readRun(
  { objects, reader, onDamage }: CopyContext,
  from: PackObject,
  run: readonly IndexEntry[],
): Promise<readonly Uint8Array[]> {
  const [first] = run;
  const last = run.at(-1);
  assert(first !== undefined && last !== undefined, 'a run has a record');
  const bytes = await objects.get(from.object, {
    offset: first.offset,
    length: last.offset + last.length - first.offset,
  });
  const parts: Uint8Array[] = [];
  for (const [number, { id, offset, length }] of run.entries()) {
    const record = bytes.subarray(offset - first.offset, offset - first.offset + length);
    try {
      await reader.decodeRecordOf({ id, pack: from.pack, object: from.object, place: { offset, length } }, record);
    } catch (error) {
      if (Fault.is(error, 'corrupt')) onDamage(id, from.pack);
      throw error;
    }
    parts.push(record);
    if (number % RECORDS_PER_TURN === RECORDS_PER_TURN - 1) await breath();
  }
  return parts;
}

/** An object that is being made; where nothing can be appended it gathers in memory, no more than one pack. */
class Target implements AsyncDisposable {
  readonly #objects: ObjectStore;
  readonly #name: string;
  readonly #appender: Appender | undefined;
  readonly #gathered: Uint8Array[] = [];

  private constructor(objects: ObjectStore, name: string, appender: Appender | undefined) {
    this.#objects = objects;
    this.#name = name;
    this.#appender = appender;
  }

  static async open(objects: ObjectStore, name: string): Promise<Target> {
    return new Target(objects, name, objects.abilities.append ? await objects.append(name, 0) : undefined);
  }

  async add(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#appender !== undefined) await this.#appender.append(parts);
    else this.#gathered.push(...parts);
  }

  async end(): Promise<void> {
    if (this.#appender !== undefined) await this.#appender.sync();
    else await this.#objects.put(this.#name, Buffer.concat(this.#gathered));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#appender?.close();
  }
}
