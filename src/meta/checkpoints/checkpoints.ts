/**
 * Checkpoints: the metadata kept once more, as objects beside the packs, so that losing its file is not losing the
 * store. Writing one takes time and room in proportion to what changed since the one before: the journal says which rows
 * those are (changed-keys.ts), and a **delta** holds them as they are now, or that they are gone. Now and then, when the
 * deltas have grown as large as the whole, a **base** with every row is written too.
 *
 * Checkpoint n is delta n on top of n − 1. A base is read in small steps while others write, so it is true of no moment;
 * but every row that changed meanwhile is in the delta of the same number, which is closed after it, and base n with
 * delta n is exactly what was true when delta n was closed. Deltas are closed in one synchronous step, on few rows: what
 * changed while the others were read.
 *
 * Order that a crash cannot break: objects first, then one transaction that forgets the journal's entries and notes the
 * checkpoint (setting `meta.checkpoint`), then older objects go. A crash before the note leaves a journal that says too
 * much, never too little. Kept are the newest base, the one before, and every delta since that one: so that one damaged
 * object never takes more with it than what came after it.
 */
import { type Clock, Fault, hexOf, type Log, type Random } from '../../base/index.ts';
import type { ObjectInfo, ObjectStore } from '../../objects/index.ts';
import type { MetaStore } from '../meta-store.ts';
import type { ChangedKey } from '../rows/changed-keys.ts';
import { RowRunWriter } from '../rows/row-runs.ts';
import { type Key, keyOf, TABLE_NAMES, table } from '../rows/tables.ts';
import type { RowJournal } from '../sqlite/row-journal.ts';
import { CURRENT_SCHEMA } from '../sqlite/schema.ts';
import {
  CHECKPOINT_PREFIX,
  type CheckpointEnd,
  CheckpointFrames,
  type CheckpointName,
  checkpointOfName,
  FRAME_BYTES,
  nameOfCheckpoint,
  tableShapes,
} from './checkpoint-format.ts';

/** The setting that says which checkpoint came last. Never in a checkpoint itself. */
export const CHECKPOINT_SETTING = 'meta.checkpoint';

/** Rows that are read and packed in one turn: about a millisecond. */
const SLICE_ROWS = 200;
/** Keys that may be left for the one step that closes a delta. */
const CLOSING_KEYS = 1_000;
/** Rounds after which a delta is closed with what is left, so that no stream of writes keeps it open. */
const ROUNDS_MAX = 50;
/** Keys of one round; rows that come twice in it are read once. */
const ROUND_KEYS = 20_000;
/** How long others have between two slices, unless there is no time to lose. */
const PAUSE_MS = 2;
/** Deltas after which a base is written, whatever their size, and bytes of them that are not worth one. */
const DELTAS_MAX = 256;
const DELTA_BYTES_MIN = 4 * 1024 * 1024;
const ID_BYTES = 8;

export interface CheckpointsOptions {
  readonly meta: MetaStore;
  readonly objects: ObjectStore;
  /** Of the store's format record. */
  readonly storeId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Bytes of deltas that are not worth a base, however small the one that is there; 4 MiB when absent. */
  readonly deltaBytesMin?: number;
}

export interface CheckpointReport {
  readonly sequence: number;
  /** Rows and bytes that were written. */
  readonly rows: number;
  readonly bytes: number;
  readonly hasBase: boolean;
}

interface Noted {
  readonly sequence: number;
  readonly id: string;
  readonly seconds: number;
}

type Listed = CheckpointName & { readonly lengthBytes: number };

interface MakeOptions {
  readonly signal?: AbortSignal | undefined;
  /** Nobody else needs the thread: no pauses. */
  readonly isHurried?: boolean;
}

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  readonly #journal: RowJournal | undefined;
  #making: Promise<CheckpointReport | undefined> | undefined;

  constructor(options: CheckpointsOptions) {
    this.#options = options;
    this.#journal = options.meta.journal;
  }

  /** When the last one was made, wall seconds; undefined for never. */
  get lastSeconds(): number | undefined {
    return this.#noted()?.seconds;
  }

  /** Whether anything is not in a checkpoint. */
  get isNeeded(): boolean {
    return this.#journal !== undefined && (this.#journal.head() > 0 || this.#noted() === undefined);
  }

  /** Bytes of the journal: a measure of what the next one has to read. */
  get waitingBytes(): number {
    return this.#journal?.sizeBytes() ?? 0;
  }

  /**
   * Makes one that holds everything committed before the call; durable when it resolves. Undefined when the last one
   * does already. One at a time: a call while one is under way waits for it, and then makes its own.
   * @throws Fault `corrupt` when a row to be kept is damaged: then the checkpoints that are there stay. `full`, `io`, `aborted`.
   */
  make(options: MakeOptions = {}): Promise<CheckpointReport | undefined> {
    const before = this.#making ?? Promise.resolve(undefined);
    const making = before.catch(() => undefined).then(() => this.#make(options));
    this.#making = making;
    return making;
  }

  async #make(options: MakeOptions): Promise<CheckpointReport | undefined> {
    const journal = this.#journal;
    if (journal === undefined || !this.isNeeded) return undefined;
    const { random, clock, log } = this.#options;
    const startedMs = clock.monotonicMs();
    const listed = await listCheckpoints(this.#options.objects);
    const plan = planCheckpoint(this.#noted(), listed, this.#options.deltaBytesMin);
    const { sequence, previous } = plan;
    const id = hexOf(random.bytes(ID_BYTES));
    const of = { sequence, id, previous, ...options, journal };
    // Read first: whatever changes while the base is read is behind this.
    const from = previous === null ? journal.head() : 0;
    const base = plan.needsBase
      ? await this.#put(new Writing(this.#options, { ...of, kind: 'base', from }))
      : undefined;
    const delta = await this.#put(new Writing(this.#options, { ...of, kind: 'delta', from }));
    const note: Noted = { sequence, id, seconds: clock.now().seconds };
    await journal.settle({ upTo: delta.cut, setting: { name: CHECKPOINT_SETTING, value: JSON.stringify(note) } });
    await this.#drop(outlived(listed, note, plan.needsBase));
    const report: CheckpointReport = {
      sequence,
      rows: delta.rows + (base?.rows ?? 0),
      bytes: delta.bytes + (base?.bytes ?? 0),
      hasBase: plan.needsBase,
    };
    log.info('meta.checkpoint', { ...report, ms: Math.round(clock.monotonicMs() - startedMs) });
    return report;
  }

  async #put(writing: Writing): Promise<Writing> {
    await this.#options.objects.put(writing.name, writing.bytesOf());
    return writing;
  }

  /** What is not needed any more; one that cannot be removed is in nobody's way, and the next checkpoint tries again. */
  async #drop(names: readonly CheckpointName[]): Promise<void> {
    for (const each of names) {
      const name = nameOfCheckpoint(each);
      await this.#options.objects
        .delete(name)
        .catch((error: unknown) =>
          this.#options.log.warn('meta.checkpoint-not-dropped', { name, error: String(error) }),
        );
    }
  }

  #noted(): Noted | undefined {
    const value = this.#options.meta.rows.get('settings', [CHECKPOINT_SETTING])?.value;
    return typeof value === 'string' ? (JSON.parse(value) as Noted) : undefined;
  }
}

export async function listCheckpoints(objects: ObjectStore): Promise<readonly Listed[]> {
  const found: ObjectInfo[] = [];
  let after: string | undefined;
  do {
    const page = await objects.list({ prefix: CHECKPOINT_PREFIX, ...(after === undefined ? {} : { after }) });
    found.push(...page.objects);
    after = page.next;
  } while (after !== undefined);
  return found.flatMap(({ name, lengthBytes }) => {
    const of = checkpointOfName(name);
    return of === undefined ? [] : [{ ...of, lengthBytes }];
  });
}

interface CheckpointPlan {
  readonly sequence: number;
  readonly previous: string | null;
  readonly needsBase: boolean;
}

/**
 * Goes on where the metadata says it stopped, when that is there. Otherwise (never made, removed, or the metadata is an
 * older copy than its checkpoints) everything begins anew, behind all that is there.
 */
export function planCheckpoint(
  noted: Noted | undefined,
  listed: readonly Listed[],
  deltaBytesMin = DELTA_BYTES_MIN,
): CheckpointPlan {
  const newest = Math.max(0, ...listed.map(({ sequence }) => sequence));
  const last = listed.find(({ kind, id }) => kind === 'delta' && id === noted?.id);
  // One behind it may be what a crash left before it was noted.
  if (noted === undefined || last === undefined || newest > noted.sequence + 1)
    return { sequence: newest + 1, previous: null, needsBase: true };
  const base = listed.findLast(({ kind, sequence }) => kind === 'base' && sequence <= noted.sequence);
  const deltas = listed.filter(({ kind, sequence }) => kind === 'delta' && sequence > (base?.sequence ?? 0));
  const deltaBytes = deltas.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  const needsBase =
    base === undefined || deltas.length >= DELTAS_MAX || deltaBytes > Math.max(deltaBytesMin, base.lengthBytes);
  return { sequence: noted.sequence + 1, previous: noted.id, needsBase };
}

/** What of the objects listed before may go, now that `made` is durable. */
export function outlived(
  listed: readonly CheckpointName[],
  made: Pick<CheckpointName, 'sequence' | 'id'>,
  hasBase: boolean,
): readonly CheckpointName[] {
  const older = listed.filter(({ sequence }) => sequence < made.sequence);
  const remains = listed.filter(({ sequence }) => sequence >= made.sequence);
  const bases = older.filter(({ kind }) => kind === 'base').map(({ sequence }) => sequence);
  const kept = bases.sort((a, b) => b - a)[hasBase ? 0 : 1] ?? 0;
  return [...older.filter(({ sequence }) => sequence < kept), ...remains];
}

interface WritingOptions extends CheckpointName, MakeOptions {
  readonly previous: string | null;
  readonly journal: RowJournal;
  /** The last entry of the journal that a delta leaves out. */
  readonly from: number;
}

/** One object being written. */
class Writing {
  readonly #parts: CheckpointsOptions;
  readonly #of: WritingOptions;
  readonly #frames = new CheckpointFrames();
  readonly #runs = new RowRunWriter();
  rows = 0;
  /** The last entry of the journal whose rows are in it. */
  cut: number;

  constructor(parts: CheckpointsOptions, of: WritingOptions) {
    this.#parts = parts;
    this.#of = of;
    this.cut = of.from;
  }

  get name(): string {
    return nameOfCheckpoint(this.#of);
  }

  get bytes(): number {
    return this.#frames.lengthBytes;
  }

  async *bytesOf(): AsyncGenerator<Uint8Array> {
    const { sequence, kind, id, previous } = this.#of;
    const [store, schema] = [this.#parts.storeId, CURRENT_SCHEMA.version];
    yield this.#frames.head({ sequence, kind, id, previous, store, schema, tables: tableShapes() });
    yield* kind === 'base' ? this.#everyRow() : this.#changedRows();
    const end = kind === 'base' ? this.#end() : this.#close();
    yield* this.#flush(0);
    yield this.#frames.end(end);
  }

  async *#everyRow(): AsyncGenerator<Uint8Array> {
    for (const name of TABLE_NAMES) {
      const of = table(name);
      for (let after: Key | undefined; ; ) {
        const rows = this.#parts.meta.rows.scan(name, { prefix: [], limit: SLICE_ROWS, ...(after && { after }) });
        for (const row of rows) this.#put(name, keyOf(of, row), row);
        const last = rows.at(-1);
        if (last === undefined || rows.length < SLICE_ROWS) break;
        after = keyOf(of, last);
        yield* this.#flush(FRAME_BYTES);
        await this.#turn();
      }
    }
  }

  /** All but those that are left for the step that closes it. */
  async *#changedRows(): AsyncGenerator<Uint8Array> {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const found = this.#nextKeys(ROUND_KEYS);
      if (found.isLast && found.keys.length <= CLOSING_KEYS) return;
      for (let at = 0; at < found.keys.length; at += SLICE_ROWS) {
        this.#putChanged(found.keys.slice(at, at + SLICE_ROWS));
        yield* this.#flush(FRAME_BYTES);
        await this.#turn();
      }
      this.cut = found.cut;
    }
  }

  /** What is left, and what is true of the whole, in one moment. */
  #close(): CheckpointEnd {
    return this.#of.journal.atOnce(() => {
      const { keys, cut } = this.#nextKeys(Number.POSITIVE_INFINITY);
      this.#putChanged(keys);
      this.cut = cut;
      return this.#end();
    });
  }

  /** Rows named by the next entries of the journal, each once; at least one entry. */
  #nextKeys(countMax: number): {
    readonly keys: readonly ChangedKey[];
    readonly cut: number;
    readonly isLast: boolean;
  } {
    const keys = new Map<string, ChangedKey>();
    let cut = this.cut;
    for (;;) {
      const entry = this.#of.journal.next(cut);
      if (entry === undefined) return { keys: [...keys.values()], cut, isLast: true };
      for (const key of entry.keys) keys.set(key.id, key);
      cut = entry.sequence;
      if (keys.size >= countMax) return { keys: [...keys.values()], cut, isLast: false };
    }
  }

  #putChanged(keys: readonly ChangedKey[]): void {
    for (const { of, key } of keys) this.#put(of.name, key, this.#parts.meta.rows.get(of.name, key));
  }

  #put(name: (typeof TABLE_NAMES)[number], key: Key, row: ReturnType<MetaStore['rows']['get']>): void {
    if (name === 'settings' && key[0] === CHECKPOINT_SETTING) return;
    this.#runs.put({ table: name, key, row, isNew: false });
    this.rows++;
  }

  #end(): CheckpointEnd {
    const { meta, clock } = this.#parts;
    const { seconds, nanoseconds } = clock.now();
    const pairs = (name: 'spaces' | 'counters', key: string, value: string): Record<string, number> =>
      Object.fromEntries(meta.rows.scan(name, { prefix: [], limit: 10_000 }).map((row) => [row[key], row[value]]));
    const [heads, counters] = [pairs('spaces', 'space', 'head'), pairs('counters', 'name', 'next')];
    return { rows: this.rows, seconds, nanoseconds, heads, counters };
  }

  *#flush(bytesMin: number): Generator<Uint8Array> {
    if (this.#runs.lengthBytes > bytesMin) yield this.#frames.rows(this.#runs.take());
  }

  async #turn(): Promise<void> {
    const { signal, isHurried = false } = this.#of;
    if (signal?.aborted) throw Fault.aborted(signal, 'A checkpoint of the metadata');
    if (isHurried) await new Promise<void>((resolve) => setImmediate(resolve));
    else await this.#parts.clock.sleep(PAUSE_MS);
  }
}
