/**
 * Transactional records with history: the interface that every metadata engine implements and contract.ts judges.
 *
 * A change is data: expectations, puts, deletes, decided from earlier reads. An engine applies a whole group of changes
 * in one durable transaction of its own; a change whose expectation is stale fails alone, with Fault `conflict`, and its
 * neighbours go through. What a change means (commit numbers, history, references, quota) is written once, in apply.ts,
 * for all engines. Nobody outside an engine ever has a transaction open.
 *
 * Reads see committed rows only, never wait for a writer, and no read outlives one call. While something is under way,
 * two reads of one turn may see two states, each of them whole; what has answered is seen by every read after.
 */

import { assert, type Fault, type Maybe, type Moment } from '../base/index.ts';
import type { ChunkId, CommitNumber, NodeId, PackId, RealmId, SpaceId } from './ids.ts';
import type { LockMode } from './lock-modes.ts';
import type { RowSource, RowWrite } from './rows/row-source.ts';
import type { ChangeKind, Indexes, IndexName, Keys, Rows, TableName } from './rows/rows.ts';
import type { RowJournal } from './sqlite/row-journal.ts';

/** Rows that one scan answers at most; a larger `limit` is an error of the caller. */
export const SCAN_ROWS_MAX = 10_000;
/** Rows that one change may put and delete together (no transaction passes it). */
export const CHANGE_ROWS_MAX = 10_000;

export function assertScanLimit(limit: number): void {
  assert(limit >= 1 && limit <= SCAN_ROWS_MAX, 'a scan asks for 1 to SCAN_ROWS_MAX rows', { limit });
}

type KeyOf<Name extends TableName | IndexName> = Name extends TableName
  ? Keys[Name]
  : Name extends IndexName
    ? Indexes[Name]['key']
    : never;
export type RowOf<Name extends TableName | IndexName> = Name extends TableName
  ? Rows[Name]
  : Name extends IndexName
    ? Rows[Indexes[Name]['table']]
    : never;

/** The leading columns of a key, any number of them. */
export type KeyPrefix<Key extends readonly unknown[]> = Key extends readonly [infer First, ...infer Rest]
  ? readonly [] | readonly [First] | readonly [First, ...KeyPrefix<Rest>]
  : readonly [];

export interface ScanRange<Name extends TableName | IndexName> {
  /** Leading key columns that every answered row has. */
  readonly prefix: KeyPrefix<KeyOf<Name>>;
  /** Only rows whose key columns behind the prefix are greater (smaller when reversed) than these leading ones. */
  readonly after?: readonly (number | string | Uint8Array)[];
  /** Like `after`, but equal ones count too. Not both. */
  readonly from?: readonly (number | string | Uint8Array)[];
  /** 1 to SCAN_ROWS_MAX. */
  readonly limit: number;
  /** Descending key order. */
  readonly reverse?: boolean;
}

export interface MetaReader {
  /** Absent is an answer. @throws Fault `corrupt` when the row's own checksum does not match. */
  get<T extends TableName>(table: T, key: Keys[T]): Maybe<Rows[T] | undefined>;
  /** In key order: numbers by value, bytes and text byte-wise. At most `limit` rows. */
  scan<Name extends TableName | IndexName>(name: Name, range: ScanRange<Name>): Maybe<readonly RowOf<Name>[]>;
}

/** A MetaReader that answers at once. */
export interface SyncReader {
  get<T extends TableName>(table: T, key: Keys[T]): Rows[T] | undefined;
  scan<Name extends TableName | IndexName>(name: Name, range: ScanRange<Name>): readonly RowOf<Name>[];
}

/** What must still be so when the change is applied. A stale one fails the change with `conflict`. */
export type Expect =
  /** The row is there, and has these values in these columns. */
  | {
      [T in TableName]: {
        readonly kind: 'row';
        readonly table: T;
        readonly key: Keys[T];
        readonly equals?: Partial<Rows[T]>;
      };
    }[TableName]
  | { [T in TableName]: { readonly kind: 'absent'; readonly table: T; readonly key: Keys[T] } }[TableName]
  /** The folder has no entries. */
  | { readonly kind: 'empty'; readonly space: SpaceId; readonly folder: NodeId }
  /** The folder is the root or can be reached from it: no folder above it was unlinked. */
  | { readonly kind: 'reachable'; readonly space: SpaceId; readonly folder: NodeId }
  /** No row of any of these chunks names the pack: what it has of them may be thrown away. */
  | { readonly kind: 'unnamed'; readonly realm: RealmId; readonly pack: PackId; readonly chunks: readonly ChunkId[] }
  | LocksExpect;

/**
 * Nobody else's lock is in the way. The locks in `held` must still be held (`lock-lost` otherwise), and no lock of
 * another session may conflict with any of `needs` (`locked`, naming the holder). Without `needs` there must be no lock
 * in the space at all: a stale one is `conflict`, and the change is decided again with what it needs.
 */
export interface LocksExpect {
  readonly kind: 'locks';
  readonly space: SpaceId;
  /** Tokens that the caller presents. */
  readonly held: readonly number[];
  readonly needs?: readonly LockNeed[];
}

export interface LockNeed {
  readonly key: string;
  readonly mode: LockMode;
  /** What is to be changed, for people. */
  readonly path: string;
}

/**
 * `insert`: there must be no such row (a bug otherwise). `replace`: put whether there is one or not.
 * `keep`: put unless there is one (chunk rows: the first writer of a chunk wins).
 */
export type PutMode = 'insert' | 'replace' | 'keep';

export type Put = { [T in TableName]: { readonly table: T; readonly row: Rows[T]; readonly mode: PutMode } }[TableName];
export type Delete = { [T in TableName]: { readonly table: T; readonly key: Keys[T] } }[TableName];

/**
 * A change to a folder's own row that commutes with others of its kind, so that many may add names to one folder in one
 * group: times move to the later of both, `links` adds up. Fails with `conflict` when the folder is gone.
 */
export interface Touch {
  readonly space: SpaceId;
  readonly folder: NodeId;
  readonly links: number;
  /** Its modification time is left as it is. */
  readonly keepsModified?: boolean;
}

/**
 * Put into `commit`, `versionCommit`, `replacedBy` of a put row, `died` of a reaps row, or a pin's bounds: stands for the number that this
 * change's commit gets (for the space's head, when the change has no record).
 */
export const THIS_COMMIT: CommitNumber = 0;

export interface ChangeItem {
  readonly node: NodeId;
  readonly kind: ChangeKind;
  readonly before?: { readonly parent: NodeId; readonly name: Uint8Array };
  readonly after?: { readonly parent: NodeId; readonly name: Uint8Array };
  readonly version?: number;
}

/** Makes the change a commit of its space: numbered, with its own change list. */
export interface CommitRecord {
  readonly actor: string;
  readonly door: string;
  readonly request: string;
  readonly kind: string;
  readonly operation?: string;
  /** Changes that say the same here, one behind the other in a group, form one commit (Groups.add). */
  readonly joint?: string;
  readonly items: readonly ChangeItem[];
}

export interface Change {
  /** Whose head it moves and whose pins it minds; absent for changes outside any space (packs, settings). */
  readonly space?: SpaceId;
  /** Wall time; the commit's own time is this or, if later, that of the commit before. */
  readonly now: Moment;
  /** Absent: an inner step (hidden building, reaping, packs) that users never see; it draws no number. */
  readonly record?: CommitRecord;
  readonly expects?: readonly Expect[];
  readonly touches?: readonly Touch[];
  /**
   * Applied in order, after deletes. What the engine counts (`refs`, `zeroSeconds`, live counters of packs, head and
   * counters of spaces) begins with what an inserted row says (0, but for a rebuild that counted itself), and what a row
   * that replaces another says of it is ignored.
   */
  readonly puts?: readonly Put[];
  /** Applied in order, after touches. Deleting what is not there does nothing; what is still counted on is `conflict`. */
  readonly deletes?: readonly Delete[];
  /** Added to the space's counters; a change that raises them past the quota fails with `quota`. */
  readonly bytes?: { readonly live: number; readonly history: number };
  /**
   * For reaping: rows that a pin still needs go to history as if they had died then. Absent: the change's own commit, or
   * the head for a change without a record, which counts as part of the head commit.
   */
  readonly died?: CommitNumber;
}

/** What became of one change of a group. A fault means nothing of this change was done. */
export type Outcome =
  | {
      readonly ok: true /** The space's head after the change (its own number when it had a record). */;
      readonly commit: CommitNumber;
      readonly time: Moment;
    }
  | { readonly ok: false; readonly fault: Fault };

export interface MetaProblem {
  readonly table: TableName | 'engine';
  readonly sentence: string;
  readonly about: Readonly<Record<string, unknown>>;
}

export interface MetaStore extends MetaReader, AsyncDisposable {
  readonly abilities: {
    /** Reads answer values, never promises. */
    readonly synchronousReads: boolean;
  };
  /**
   * Committed rows, answered at once, for those who decide and apply in one turn (Groups). What a `write` under way puts
   * may be among them before it has answered, all of it or nothing to one read. An engine that must wait for its rows
   * has other means to keep changes apart, and a Groups of its own.
   */
  readonly rows: RowSource;
  /** What changed since the last checkpoint; absent where nobody could lose this engine's rows but not its packs. */
  readonly journal?: RowJournal;
  /**
   * Writes rows in one durable transaction; all of them or, when it rejects (`full`, `io`, `read-only`), none. What
   * they mean was decided before. The rows stay as they are until it has answered. Writes, leases, commits and recounts
   * take effect in the order in which they were asked for.
   */
  write(writes: Iterable<RowWrite>): Maybe<void>;
  /**
   * Applies changes in one durable transaction, in order, for whoever does not share groups; answers one outcome a change, in order. Rejects only when the
   * whole group failed (`full`, `io`, `read-only`): then nothing of it was done. The group also fails, with the change's
   * own fault, when one of the first `essential` changes does (0 when absent): the others stand on them.
   */
  commit(changes: readonly Change[], options?: { readonly essential?: number }): Maybe<readonly Outcome[]>;
  /** Takes `count` ids of a kind for this process, durably, before any is used; answers the first. Never answers one twice. */
  leaseIds(kind: string, count: number): Maybe<number>;
  /** Reads everything and names what is damaged: the engine's own structure, row checksums, counters that do not add up. */
  check(options?: { readonly signal?: AbortSignal }): AsyncIterable<MetaProblem>;
  /**
   * Writes every figure that the engine counts anew from the rows (after damage, or when an index was rebuilt): `refs`
   * and `zeroSeconds` (`now`, where a chunk turns out unnamed), live counters of packs; queues contents that nobody
   * names. Answers how many rows were wrong. Durable in steps; safe to repeat. Nobody commits in between.
   */
  recount(now: Moment): Maybe<number>;
  /** Bytes that the metadata takes on disk. */
  sizeBytes(): Maybe<number>;
  close(): Promise<void>;
}
