/**
 * What every part of this room works with: the parts below (metadata, groups, chunks), what comes from outside (clock,
 * random, log), the options, and the space of a user. Built once by openFiles and handed to each part.
 */
import type { Clock, Log, Maybe, Random, Turns } from '../base/index.ts';
import type { ChunkStore, RepairCandidate } from '../chunks/index.ts';
import type {
  Change,
  ChunkId,
  CommitNumber,
  Committed,
  Groups,
  MetaReader,
  MetaStore,
  NodeId,
  RealmId,
  SpaceId,
} from '../meta/index.ts';
import type { CompressionRules } from './content/compression-rules.ts';
import type { IdSource } from './id-source.ts';
import { type KeepRules, keepRulesOf } from './past/keep-rules.ts';
import type { SnapshotSchedule } from './past/schedule.ts';

export interface FilesOptions {
  /** Bytes that one file may have. */
  readonly fileBytesMax: number;
  /** Owner and group of what is made through doors that know none. */
  readonly uid: number;
  readonly gid: number;
  /** Which older versions of a file are kept. */
  readonly versionsKept: KeepRules;
  /** What makes snapshots by itself, and which of them are kept. */
  readonly schedules: readonly SnapshotSchedule[];
  /** How long everything that was is kept, whoever changes it; 0 for not at all. */
  readonly historyKeptSeconds: number;
  /** How long the log of commits is kept; it never begins behind what `historyKeptSeconds` keeps. */
  readonly logKeptSeconds: number;
  /** How long an idempotency key is remembered. */
  readonly idempotencySeconds: number;
  readonly compression: CompressionRules;
  readonly gc: CollectRules;
  readonly scrub: ScrubRules;
  readonly uploads: UploadRules;
}

/** Files on their way in. */
export interface UploadRules {
  /** How long one is kept after its last bytes came. */
  readonly expireAfterSeconds: number;
  /** So many of one user may be open at once; 1 to 10,000. */
  readonly openMax: number;
}

/** How packs are read back behind the operations. */
export interface ScrubRules {
  /** 0 for not at all. */
  readonly bytesPerSecond: number;
  /** How long after it was written or found whole a pack is due. */
  readonly everySeconds: number;
}

/** When bytes are given back that nobody needs. */
export interface CollectRules {
  /** How long a chunk stays after nobody names it any more. */
  readonly graceSeconds: number;
  /** A pack is rewritten when at least this share of it (0 to 1) comes back. */
  readonly freedShareMin: number;
  /** Between two collections behind the operations; 0 for none. */
  readonly intervalSeconds: number;
}

export const FILES_OPTIONS_DEFAULT: Omit<FilesOptions, 'compression'> = {
  fileBytesMax: 2 ** 44, // 16 TiB
  uid: 0,
  gid: 0,
  versionsKept: keepRulesOf('all within 24 hours, last 20'),
  schedules: [],
  historyKeptSeconds: 24 * 3600,
  logKeptSeconds: 90 * 24 * 3600,
  idempotencySeconds: 24 * 3600,
  gc: { graceSeconds: 600, freedShareMin: 0.25, intervalSeconds: 0 },
  scrub: { bytesPerSecond: 0, everySeconds: 25 * 24 * 3600 },
  uploads: { expireAfterSeconds: 24 * 3600, openMax: 100 },
};

/** Where damaged content may be found again. */
export interface SecondCopy {
  readonly source: 'store' | 'folder';
  /** What it has; `isWanted` says whether a chunk with that id of this store is. Bytes read and there in all are told. */
  candidates(
    isWanted: (id: ChunkId) => boolean,
    onProgress: (done: number, total: number) => void,
  ): AsyncIterable<RepairCandidate>;
}

/** Where a re-cut (upkeep/recut.ts) can be cut off, for tests that do. */
export const RECUT_STEPS = ['recut-stored', 'recut-switched', 'recut-history-switched'] as const;
export type RecutStep = (typeof RECUT_STEPS)[number];
export type OnRecutStep = (step: RecutStep) => Maybe<void>;

/** Who asks, through which door, in which request; stands in the commit of what they do. */
export interface Caller {
  readonly user: string;
  readonly door: string;
  readonly request: string;
  /** Locks that they present: a write past a lock needs it, and is refused when it is lost. */
  readonly lockTokens?: readonly number[] | undefined;
}

/** A user's tree, as far as it never changes. */
export interface Space {
  readonly space: SpaceId;
  readonly realm: RealmId;
  readonly root: NodeId;
}

/** Files that share a damaged chunk, as far as a bounded look has found them. */
export interface Sharing {
  /** The first in the order in which files were made. */
  readonly files: readonly string[];
  readonly more: number;
  /** Everything was looked at, and every reference to the chunk belongs to a file that was found. */
  readonly isAll: boolean;
}

/** Those who know which locks there are. */
export interface LockKeeper {
  /**
   * The change with what it needs of the locks there are; as it is while there are none, or when it asks for nothing.
   * `isForced`: it was refused for not saying so.
   */
  withNeeds(change: Change, isForced?: boolean): Promise<Change>;
}

/** What reading needs. With other rows it reads the past (moments.ts). */
export interface View {
  readonly meta: MetaReader;
  /** Of the past: the commit that it is as of. */
  readonly at?: CommitNumber;
  readonly groups: Groups;
  readonly chunks: ChunkStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly options: FilesOptions;
  readonly ids: IdSource;
  /** This process, in rows of what it builds hidden; another owner's are dead once we hold the store. */
  readonly owner: string;
  /** Contents being read now: they are not taken apart before the reader is done. */
  readonly reading: Map<string, number>;
  /** Commits being read now: what they need of history stays, whatever becomes of their pins. */
  readonly readingPast: Map<string, number>;
  /** Lines of those who were beaten at a row again and again, by row. */
  readonly turns: Turns;
  /** Locks that last, against which every change is checked. */
  readonly locks: LockKeeper;
  /** Undefined for one that there is not. */
  readonly spaceOf: (space: SpaceId) => Space | undefined;
  /** Which files of a space need a chunk that is damaged. */
  readonly sharingOf: (space: Space, chunk: ChunkId) => Promise<Sharing>;
  /** Opens a second copy of content, by its place on this machine; absent where there is no disk to read. */
  readonly secondCopyOf?: ((from: string) => Promise<SecondCopy>) | undefined;
  /** Told where a re-cut is: tests cut it off there. */
  readonly onRecutStep?: OnRecutStep | undefined;
  /** Something may have become unreachable. */
  readonly onUnreachable: () => void;
  /** Something of history may not be needed any more. */
  readonly onHistoryOwed: () => void;
}

export interface Context extends View {
  readonly meta: MetaStore;
}

/** @throws Fault `conflict` for a stale expectation, `locked`, `lock-lost`, `quota`, `busy`. */
export function commit(context: Context, change: Change): Promise<Committed> {
  return context.groups.commit(change);
}
