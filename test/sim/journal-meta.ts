/**
 * A quick engine of metadata on a seeded disk, for simulations: rows in memory, and every transaction as one frame of a
 * journal that is synced before it answers. It shares the meaning of changes with every other engine and keeps their
 * contract; what it saves is SQLite's pager, which costs a simulated run some milliseconds.
 *
 * Honest about durability: a transaction is true once its frame is synced, whole or not at all. A frame that a power cut
 * tore is dropped at the next opening, one that was written and not acknowledged may be found. What could not be written
 * is written over by the next, which begins where the last good frame ends; after a sync that failed nothing more is
 * taken until the next opening, as with SQLite. What a sync lost may still be read until the power goes; so whatever is
 * found at an opening is written and synced once more before anything is added behind it.
 *
 *   frame   4 bytes length of the rows | 4 bytes checksum | the rows, as V8 serialises them
 *
 * Each says which rows it changed, for the next checkpoint, as SQLite's journal does; one that a checkpoint writes also says up to
 * which of them that is forgotten.
 *
 * The checksum goes on from that of the frame before, so that nothing old behind the end is taken for a frame.
 */
import { deserialize, serialize } from 'node:v8';
import { crc32 } from 'node:zlib';
import { Fault, Lru, type Maybe, type Moment } from '../../src/base/index.ts';
import { decideChanges } from '../../src/meta/changes/commit-changes.ts';
import { leaseOf } from '../../src/meta/changes/leases.ts';
import { type Change, MemoryMeta, type MetaProblem, type MetaStore, type Outcome } from '../../src/meta/index.ts';
import type { ChangedKey } from '../../src/meta/rows/changed-keys.ts';
import { keyString } from '../../src/meta/rows/row-key.ts';
import type { RowSource, RowWrite } from '../../src/meta/rows/row-source.ts';
import { table } from '../../src/meta/rows/tables.ts';
import type { JournalEntry, RowJournal } from '../../src/meta/sqlite/row-journal.ts';
import type { SeededDisk, SeededFile } from '../../src/objects/index.ts';

const HEADER_BYTES = 8;
/** About what a key takes. */
const KEY_BYTES = 12;
/** Journals whose rows are kept; a run has some starts, and all of them begin with a template. */
const REPLAYED_MAX = 64;

export class JournalMeta implements MetaStore {
  readonly abilities = { synchronousReads: true } as const;
  readonly journal: RowJournal = {
    head: () => this.#state.entries.at(-1)?.sequence ?? 0,
    sizeBytes: () => this.#state.entries.reduce((sum, { keys }) => sum + KEY_BYTES * keys.length, 0),
    next: (after) => this.#state.entries.find(({ sequence }) => sequence > after),
    atOnce: (read) => read(),
    settle: ({ upTo, setting }) => this.#transact(setting === undefined ? [] : [writeOf(setting)], upTo),
    forget: () => this.#transact([], this.journal.head()),
  };
  #state: State = { memory: new MemoryMeta({ synchronousReads: true }), entries: [], count: 0 };
  readonly #file: SeededFile;
  readonly get: MetaStore['get'] = (table, key) => this.#state.memory.get(table, key);
  readonly scan: MetaStore['scan'] = (name, range) => this.#state.memory.scan(name, range);
  /** Where the last good frame ends, and its checksum. */
  #endBytes = 0;
  #checksum = 0;
  #isClosed = false;
  /** Rows are those of the frames, and nothing else. */
  #isPlain = true;
  #lost: unknown;

  constructor(file: SeededFile) {
    this.#file = file;
    const bytes = Buffer.alloc(this.#file.sizeBytesSync());
    this.#file.readSync(bytes, 0);
    this.#replay(bytes);
    if (this.#endBytes === 0) return;
    this.#file.writeSync([bytes.subarray(0, this.#endBytes)], 0);
    this.#file.syncSync();
  }

  /** Opens or makes the journal at `folder/name`; the folder is there, and durable. */
  static open(disk: SeededDisk, folder: string, name: string): JournalMeta {
    const path = folder === '' ? name : `${folder}/${name}`;
    const isNew = disk.statSync(path) === undefined;
    const file = disk.openSync(path, isNew ? 'create' : 'write');
    if (isNew) file.syncSync();
    if (isNew) disk.syncFolderSync(folder);
    return new JournalMeta(file);
  }

  get rows(): RowSource {
    return this.#state.memory.rows;
  }

  commit(changes: readonly Change[], options: { readonly essential?: number } = {}): Maybe<readonly Outcome[]> {
    const { outcomes, writes } = decideChanges(this.rows, changes, options.essential);
    this.#transact([...writes]);
    return outcomes;
  }

  write(writes: Iterable<RowWrite>): Maybe<void> {
    this.#transact([...writes]);
  }

  leaseIds(kind: string, count: number): Maybe<number> {
    const { first, write } = leaseOf(this.rows, kind, count);
    this.#transact([write]);
    return first;
  }

  check(options?: { readonly signal?: AbortSignal }): AsyncIterable<MetaProblem> {
    return this.#state.memory.check(options);
  }

  /** Not durable: what is wrong at the next opening is counted anew then. */
  recount(now: Moment): Maybe<number> {
    this.#isPlain = false;
    return this.#state.memory.recount(now);
  }

  sizeBytes(): Maybe<number> {
    return this.#endBytes;
  }

  async close(): Promise<void> {
    if (!this.#isClosed && this.#isPlain && this.#endBytes > 0)
      replayed.set(keyOf({ endBytes: this.#endBytes, checksum: this.#checksum }), this.#state);
    this.#isClosed = true;
    this.#file.closeSync();
    await this.#state.memory.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #transact(writes: readonly RowWrite[], forgetsTo?: number): void {
    if (this.#isClosed) throw new Fault('unavailable', 'The metadata is closed.');
    if (this.#lost !== undefined) throw this.#lost;
    const done: Done = forgetsTo === undefined ? { writes } : { writes, forgetsTo };
    const rows = serialize(done);
    const header = Buffer.alloc(HEADER_BYTES);
    const checksum = crc32(rows, this.#checksum);
    header.writeUInt32LE(rows.length, 0);
    header.writeUInt32LE(checksum, 4);
    this.#file.writeSync([header, rows], this.#endBytes);
    this.#sync();
    apply(this.#state, done);
    this.#endBytes += HEADER_BYTES + rows.length;
    this.#checksum = checksum;
  }

  #sync(): void {
    try {
      this.#file.syncSync();
    } catch (error) {
      this.#lost = new Fault('io', 'What the disk kept is unknown until the metadata is opened anew.', {}, error);
      throw this.#lost;
    }
  }

  #replay(bytes: Buffer): void {
    const frames = [...goodFrames(bytes)];
    const last = frames.at(-1);
    if (last === undefined) return;
    const known = frames.findLastIndex((frame) => replayed.has(keyOf(frame)));
    const from = frames[known];
    const found = from === undefined ? undefined : replayed.get(keyOf(from));
    if (found !== undefined) this.#state = copyOf(found);
    for (const { rows } of frames.slice(known + 1)) apply(this.#state, deserialize(rows) as Done);
    this.#endBytes = last.endBytes;
    this.#checksum = last.checksum;
    if (last !== from) replayed.set(keyOf(last), copyOf(this.#state));
  }
}

/** Of one transaction. */
interface Done {
  readonly writes: readonly RowWrite[];
  /** Its writes are not noted, and what was noted so far is forgotten. */
  readonly forgetsTo?: number;
}

interface State {
  readonly memory: MemoryMeta;
  entries: readonly JournalEntry[];
  /** Entries so far, the forgotten ones too. */
  count: number;
}

function apply(state: State, { writes, forgetsTo }: Done): void {
  state.memory.write(writes);
  if (forgetsTo !== undefined) state.entries = state.entries.filter(({ sequence }) => sequence > forgetsTo);
  else state.entries = [...state.entries, { sequence: ++state.count, keys: writes.map(changedKeyOf) }];
}

function changedKeyOf({ table: name, key }: RowWrite): ChangedKey {
  return { of: table(name), key, id: `${name} ${keyString(key)}` };
}

function writeOf(setting: { readonly name: string; readonly value: string }): RowWrite {
  return { table: 'settings', key: [setting.name], row: setting, isNew: false };
}

function copyOf({ memory, entries, count }: State): State {
  return { memory: memory.copy(), entries, count };
}

interface Frame {
  readonly rows: Buffer;
  readonly endBytes: number;
  readonly checksum: number;
}

/** Up to the first that is not whole. */
function* goodFrames(bytes: Buffer): Generator<Frame> {
  let [endBytes, checksum] = [0, 0];
  for (;;) {
    const start = endBytes + HEADER_BYTES;
    if (start > bytes.length) return;
    const end = start + bytes.readUInt32LE(endBytes);
    const rows = bytes.subarray(start, end);
    checksum = crc32(rows, checksum);
    // Of nothing, zeros have the right checksum: a frame has rows.
    if (end === start || end > bytes.length || checksum !== bytes.readUInt32LE(endBytes + 4)) return;
    endBytes = end;
    yield { rows, endBytes, checksum };
  }
}

function keyOf({ endBytes, checksum }: Pick<Frame, 'endBytes' | 'checksum'>): string {
  return `${endBytes} ${checksum}`;
}

/** Journals replayed lately, up to a frame: most starts find one of them again, and a little more. Never changed. */
const replayed = new Lru<string, State>({ weightMax: REPLAYED_MAX });
