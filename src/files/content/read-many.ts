/**
 * Many small files, each whole, in the order in which they are asked for. One by one each costs a dozen promises and a
 * request to its pack; here the files of a batch have their extents looked up in one go and their chunks read as one run,
 * while the batch before is with the reader. A file stands or fails alone: behind one that is damaged the run begins anew.
 *
 * A file that has changed since a manifest listed it, and one that no manifest has listed, is read as if it were asked
 * for alone.
 * Bounds: two batches, each of BATCH_FILES_MAX files and BATCH_BYTES_MAX bytes, or one file that is larger.
 */
import type { FileRead, FileRecord, WholeRead } from '../../api/index.ts';
import { Fault, isPromise } from '../../base/index.ts';
import type { ChunkSlice } from '../../chunks/index.ts';
import type { NodeRow } from '../../meta/index.ts';
import type { Context, Space } from '../context.ts';
import type { Found } from '../tree.ts';
import { markReading, nameFile, Segments } from './read-content.ts';

const BATCH_FILES_MAX = 128;
const BATCH_BYTES_MAX = 2 * 1024 * 1024;

export interface ReadManyParts {
  readonly context: Context;
  readonly space: Space;
  /** Where a manifest has found it. */
  readonly foundOf: (record: FileRecord) => Found | undefined;
  readonly readAlone: (record: FileRecord) => Promise<FileRead>;
  readonly signal: AbortSignal | undefined;
}

export async function* readMany(
  parts: ReadManyParts,
  records: AsyncIterable<FileRecord> | Iterable<FileRecord>,
): AsyncGenerator<WholeRead, void> {
  // One is filled while the other is with the reader.
  const rooms = [new Room(), new Room()];
  const state = { bytesBefore: 0 };
  let coming: Promise<readonly WholeRead[]> | undefined;
  try {
    for await (const batch of batchesOf(records)) {
      const [room = new Room()] = rooms.splice(0, 1);
      rooms.push(room);
      const next = new Batch(parts, batch, room, state).read();
      // Met when its turn comes.
      next.catch(() => {});
      const before = coming;
      coming = next;
      if (before !== undefined) yield* await before;
    }
    if (coming !== undefined) yield* await coming;
  } finally {
    await coming?.catch(() => {});
  }
}

async function* batchesOf(
  records: AsyncIterable<FileRecord> | Iterable<FileRecord>,
): AsyncGenerator<readonly FileRecord[]> {
  let batch: FileRecord[] = [];
  let bytes = 0;
  for await (const record of records) {
    if (batch.length === BATCH_FILES_MAX || (batch.length > 0 && bytes + record.size > BATCH_BYTES_MAX)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(record);
    bytes += record.size;
  }
  if (batch.length > 0) yield batch;
}

/** Memory for the files of a batch, used again for the one after the next. */
class Room {
  #bytes: Uint8Array | undefined;

  of(length: number): Uint8Array {
    if (length > BATCH_BYTES_MAX) return new Uint8Array(length);
    // Not a Buffer: whoever calls slice() on what it is given expects a copy.
    this.#bytes ??= new Uint8Array(Buffer.allocUnsafeSlow(BATCH_BYTES_MAX).buffer);
    return this.#bytes.subarray(0, length);
  }
}

/** One file of a batch. */
interface Plan {
  readonly record: FileRecord;
  readonly found: Found;
  readonly bytes: Uint8Array;
  fault: Error | undefined;
}

/** A chunk and where its bytes go. */
interface Wanted {
  readonly plan: Plan;
  readonly slice: ChunkSlice;
  readonly at: number;
}

function isSameFile(now: NodeRow | undefined, listed: NodeRow): boolean {
  return now?.content === listed.content && now.version === listed.version && now.size === listed.size;
}

class Batch {
  readonly #parts: ReadManyParts;
  readonly #records: readonly FileRecord[];
  readonly #memory: Uint8Array;
  readonly #state: { bytesBefore: number };
  readonly #wanted: Wanted[] = [];

  constructor(parts: ReadManyParts, records: readonly FileRecord[], room: Room, state: { bytesBefore: number }) {
    this.#parts = parts;
    this.#records = records;
    this.#memory = room.of(records.reduce((sum, { size }) => sum + size, 0));
    this.#state = state;
    state.bytesBefore += this.#memory.length;
  }

  async read(): Promise<readonly WholeRead[]> {
    using marks = new DisposableStack();
    const plans: (Plan | undefined)[] = [];
    let at = 0;
    for (const record of this.#records) {
      const bytes = this.#memory.subarray(at, at + record.size);
      at += record.size;
      const plan = this.#planOf(record, bytes, marks);
      plans.push(isPromise(plan) ? await plan : plan);
    }
    for (let from = 0; from < this.#wanted.length; ) from = await this.#readFrom(from);
    const reads: WholeRead[] = [];
    for (const [number, record] of this.#records.entries()) {
      const plan = plans[number];
      if (plan === undefined) reads.push(await this.#readAlone(record));
      else if (plan.fault !== undefined) reads.push({ ok: false, record, fault: plan.fault });
      else reads.push({ ok: true, record, bytes: plan.bytes });
    }
    return reads;
  }

  /** Undefined for what is read alone. */
  async #planOf(record: FileRecord, bytes: Uint8Array, marks: DisposableStack): Promise<Plan | undefined> {
    const { context, space, foundOf } = this.#parts;
    const found = foundOf(record);
    const content = found?.node.content;
    if (found === undefined || content == null || found.node.size !== record.size) return undefined;
    marks.use(markReading(context, space, content));
    // Marked first: as long as the node is as it was listed, its content is there, and stays.
    const now = context.meta.get('nodes', [space.space, found.node.node]);
    if (!isSameFile(isPromise(now) ? await now : now, found.node)) return undefined;
    const plan: Plan = { record, found, bytes, fault: undefined };
    try {
      const segments = new Segments(context, space, content, { offset: 0, length: record.size });
      for (let at = 0; ; ) {
        const next = segments.next();
        const segment = isPromise(next) ? await next : next;
        if (segment === undefined) return plan;
        if (segment.kind === 'chunk') {
          this.#wanted.push({ plan, slice: segment.slice, at });
          at += segment.slice.length;
        } else if (segment.kind === 'bytes') {
          bytes.set(segment.bytes, at);
          at += segment.bytes.length;
        } else {
          bytes.fill(0, at, at + segment.length);
          at += segment.length;
        }
      }
    } catch (error) {
      plan.fault = await this.#faultOf(plan, error);
      return plan;
    }
  }

  /** Reads on from one of the wanted; answers where to go on when that was not to the end. */
  async #readFrom(from: number): Promise<number> {
    const { context, signal } = this.#parts;
    const wanted = this.#wanted;
    let number = from;
    let filled = 0;
    try {
      const slices = wanted.slice(from).map(({ slice }) => slice);
      const options = { signal, expectedBytes: this.#state.bytesBefore };
      for await (const piece of context.chunks.readAll(slices, options)) {
        for (let at = 0; at < piece.length; ) {
          const one = wanted[number];
          if (one === undefined) throw new Fault('corrupt', 'More bytes came than were asked for.');
          const part = piece.subarray(at, at + one.slice.length - filled);
          one.plan.bytes.set(part, one.at + filled);
          at += part.length;
          filled += part.length;
          if (filled < one.slice.length) continue;
          number++;
          filled = 0;
        }
      }
      if (number < wanted.length) throw new Fault('corrupt', 'Fewer bytes came than were asked for.');
      return number;
    } catch (error) {
      const plan = wanted[number]?.plan;
      if (plan === undefined) throw error;
      plan.fault = await this.#faultOf(plan, error);
      while (wanted[number]?.plan === plan) number++;
      return number;
    }
  }

  /** What is the file's own fault. @throws everything else. */
  async #faultOf({ found }: Plan, error: unknown): Promise<Error> {
    const { context, space } = this.#parts;
    if (!Fault.is(error) || error.code === 'aborted') throw error;
    const named = await nameFile(context, space, error, found);
    if (named instanceof Error) return named;
    throw error;
  }

  async #readAlone(record: FileRecord): Promise<WholeRead> {
    try {
      const read = await this.#parts.readAlone(record);
      const pieces: Uint8Array[] = [];
      for await (const piece of read.bytes) pieces.push(piece.slice());
      return { ok: true, record: read.record, bytes: new Uint8Array(Buffer.concat(pieces)) };
    } catch (error) {
      if (!Fault.is(error) || error.code === 'aborted') throw error;
      return { ok: false, record, fault: error };
    }
  }
}
