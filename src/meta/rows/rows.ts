/**
 * The rows of the metadata, one interface a table: what is true now (live tables), what was true and is still needed
 * (history tables, with `died`), and what happened (commits and their change lists).
 * Keys and columns are owned by tables.ts; the byte-exact SQL by docs/formats/metadata.md.
 *
 * Times are (seconds, nanoseconds) since 1970 in two columns. Names are bytes. `born` is the number of the commit that
 * made the row what it is; the engine fills it in.
 */
import type { ChunkId, CommitNumber, ContentId, NodeId, PackId, RealmId, SpaceId } from '../ids.ts';
import type { LockMode } from '../lock-modes.ts';

/** One user's tree; its head is the number and time of its latest commit. */
export interface SpaceRow {
  readonly space: SpaceId;
  readonly realm: RealmId;
  /** The user's name, unique in the store. */
  readonly name: string;
  readonly root: NodeId;
  readonly head: CommitNumber;
  readonly headSeconds: number;
  readonly headNanoseconds: number;
  /** Bytes of reachable files and of kept versions, before dedup. */
  readonly liveBytes: number;
  readonly historyBytes: number;
  /** Bound of both together; null for none. */
  readonly quotaBytes: number | null;
}

/** Values of `kind` in nodes and entries; never renumbered. */
export const NODE_KIND = { file: 1, folder: 2, symlink: 3, fifo: 4, socket: 5, charDevice: 6, blockDevice: 7 } as const;
export type NodeKind = (typeof NODE_KIND)[keyof typeof NODE_KIND];

export interface NodeRow {
  readonly space: SpaceId;
  readonly node: NodeId;
  readonly kind: NodeKind;
  /** The folder a folder stands in (the root's is itself); null for everything else, which may have many. */
  readonly parent: NodeId | null;
  /** Permission bits with setuid, setgid and sticky: 0o0000–0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Entries that point here; for a folder 2 + its subfolders. */
  readonly links: number;
  /** Bytes of content; of the target for a symlink; 0 for everything else. */
  readonly size: number;
  /** Null for everything but files. */
  readonly content: ContentId | null;
  /** Rises with every durable change of content, from 1; may have gaps. */
  readonly version: number;
  /** The commit that made this version. */
  readonly versionCommit: CommitNumber;
  /** What this file replaced when it was renamed over another; versions of the path go on there. Null for nothing. */
  readonly replacedNode: NodeId | null;
  readonly modifiedSeconds: number;
  readonly modifiedNanoseconds: number;
  readonly changedSeconds: number;
  readonly changedNanoseconds: number;
  readonly accessedSeconds: number;
  readonly accessedNanoseconds: number;
  readonly createdSeconds: number;
  readonly createdNanoseconds: number;
  /** Device number of a device node, else 0. */
  readonly device: number;
  /** Where a symlink points, as bytes, else null. */
  readonly target: Uint8Array | null;
  readonly born: CommitNumber;
}

/** A name in a folder. */
export interface EntryRow {
  readonly space: SpaceId;
  readonly parent: NodeId;
  /** 1–255 bytes without `/` and NUL, not `.` or `..`. */
  readonly name: Uint8Array;
  readonly node: NodeId;
  readonly kind: NodeKind;
  readonly born: CommitNumber;
}

/** A named attribute (`user.*` and what a mount adds). */
export interface AttributeRow {
  readonly space: SpaceId;
  readonly node: NodeId;
  readonly name: Uint8Array;
  readonly value: Uint8Array;
  readonly born: CommitNumber;
}

export interface ContentRow {
  readonly space: SpaceId;
  readonly content: ContentId;
  readonly size: number;
  /** Rows that name this content (nodes, versions, their history). The engine counts; at 0 it is queued in reaps. */
  readonly refs: number;
  /** Where bytes come from that no own extent covers: another content, or null for zeros. */
  readonly base: ContentId | null;
  /** XXH3-64 of all bytes, 8 bytes big-endian; null until computed (hidden, or written at random). */
  readonly hash: Uint8Array | null;
}

/** Values of `kind` in extents; never renumbered. A hole is an absent row. */
export const EXTENT_KIND = { chunk: 1, inline: 2 } as const;
export type ExtentKind = (typeof EXTENT_KIND)[keyof typeof EXTENT_KIND];

/** A run of a content's bytes. Extents of one content do not overlap; none is longer than the largest chunk. */
export interface ExtentRow {
  readonly space: SpaceId;
  readonly content: ContentId;
  readonly offset: number;
  readonly length: number;
  readonly kind: ExtentKind;
  /** The chunk (kind chunk), else null. */
  readonly chunk: ChunkId | null;
  /** Where in the chunk's plain bytes this run starts. */
  readonly chunkOffset: number;
  /** 1 while the run was forced out before its content-defined end and waits to be cut again, else 0. */
  readonly unsettled: number;
  /** One whole chunk record (docs/formats/pack.md) that holds the bytes (kind inline), else null. */
  readonly data: Uint8Array | null;
  readonly born: CommitNumber;
}

/** A version that is no longer the node's current one, and is kept. */
export interface VersionRow {
  readonly space: SpaceId;
  readonly node: NodeId;
  readonly version: number;
  readonly content: ContentId;
  /** The commit that made it, and the one that replaced it. */
  readonly commit: CommitNumber;
  readonly replacedBy: CommitNumber;
  readonly size: number;
  readonly modifiedSeconds: number;
  readonly modifiedNanoseconds: number;
  /** When it was replaced: retention counts from here. */
  readonly replacedSeconds: number;
  /** What the node had taken the place of by rename (as in its own row): the path's older versions go on there. */
  readonly replacedNode: NodeId | null;
  /** The file that took this node's place by rename: its kept versions are thinned as that file's. Null for none. */
  readonly heir: NodeId | null;
}

export interface CommitRow {
  readonly space: SpaceId;
  readonly commit: CommitNumber;
  /** Never before the time of the commit before. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** Who, through which door, in which request. */
  readonly actor: string;
  readonly door: string;
  readonly request: string;
  /** What kind of operation: `write`, `move`, `remove`, … */
  readonly kind: string;
  /** Shared by the commits of one operation over two spaces; empty otherwise. */
  readonly operation: string;
}

/** Values of `kind` in changes; never renumbered. */
export const CHANGE_KIND = { create: 1, write: 2, attributes: 3, move: 4, remove: 5, link: 6, restore: 7 } as const;
export type ChangeKind = (typeof CHANGE_KIND)[keyof typeof CHANGE_KIND];

/** One line of a commit's own change list. */
export interface ChangeRow {
  readonly space: SpaceId;
  readonly commit: CommitNumber;
  /** From 0. */
  readonly sequence: number;
  readonly node: NodeId;
  readonly kind: ChangeKind;
  /** Where it was before and is after; null where there is no before or no after. */
  readonly parentBefore: NodeId | null;
  readonly nameBefore: Uint8Array | null;
  readonly parentAfter: NodeId | null;
  readonly nameAfter: Uint8Array | null;
  /** The node's version after the commit; null where it has none. */
  readonly version: number | null;
}

/** Keeps every row of a space that was visible at any commit from `fromCommit` to `toCommit`. */
export interface PinRow {
  readonly space: SpaceId;
  readonly pin: number;
  /** What keeps it: `retention`, `snapshot`, `upload`, … */
  readonly holder: string;
  readonly name: string;
  readonly fromCommit: CommitNumber;
  /** Null for "and everything since". */
  readonly toCommit: CommitNumber | null;
  /** Null for until removed. */
  readonly expiresSeconds: number | null;
}

/** A named commit of a folder. Its pin keeps everything that was visible at it. */
export interface SnapshotRow {
  readonly space: SpaceId;
  readonly name: string;
  /** The commit that made it. */
  readonly commit: CommitNumber;
  readonly pin: number;
  /** The folder that it shows; the space's root for the whole tree. */
  readonly node: NodeId;
  readonly seconds: number;
  readonly nanoseconds: number;
  /** Who made it, and through which door. */
  readonly actor: string;
  readonly door: string;
  /** Which schedule made it; empty for one that somebody asked for. */
  readonly schedule: string;
}

/** Values of `state` in packs; never renumbered. */
export const PACK_STATE = { open: 1, sealed: 2, retired: 3 } as const;
export type PackState = (typeof PACK_STATE)[keyof typeof PACK_STATE];

/** A logical pack: which object it is, how long, how much of it is alive. Committed before the object's first byte. */
export interface PackRow {
  readonly realm: RealmId;
  readonly pack: PackId;
  readonly object: string;
  readonly state: PackState;
  /** Durable bytes of the object: all records of committed chunks lie before this; whole with footer once sealed. */
  readonly lengthBytes: number;
  readonly recordCount: number;
  /** Stored bytes and number of the chunks here that have a reference. The engine counts. */
  readonly liveBytes: number;
  readonly liveCount: number;
  /** Who appends to an open pack; empty once sealed. */
  readonly owner: string;
  readonly createdSeconds: number;
  /** When every record was last read and found whole; null for never; 0 once damage was found, until all is whole again. */
  readonly verifiedSeconds: number | null;
}

/** The chunk index: which pack. Where in the pack only the pack's own index says. */
export interface ChunkRow {
  readonly realm: RealmId;
  readonly id: ChunkId;
  readonly pack: PackId;
  /** Rows that name this chunk (extents live and in history, dependants by base). The engine counts. */
  readonly refs: number;
  readonly plainLength: number;
  /** Bytes of the whole record in the pack, header included. */
  readonly storedLength: number;
  /** The chunk this one's record is a patch against, or null; its depth is lower. */
  readonly base: ChunkId | null;
  /** 0 without a base, else base's depth + 1. */
  readonly depth: number;
  /** When refs fell to 0 (seconds); null while referenced. A chunk that was never referenced has the time it was put. */
  readonly zeroSeconds: number | null;
}

/** An unlinked node that somebody still has open. */
export interface OrphanRow {
  readonly space: SpaceId;
  readonly node: NodeId;
  readonly owner: string;
}

/** Values of `kind` in reaps; never renumbered. */
export const REAP_KIND = { content: 1, folder: 2 } as const;
export type ReapKind = (typeof REAP_KIND)[keyof typeof REAP_KIND];

/**
 * Something unreachable that is taken apart in bounded steps: a content nobody names, or a folder unlinked whole.
 * Also the note that something hidden is being built: then `owner` says by whom, and it is reaped when the owner is dead.
 */
export interface ReapRow {
  readonly space: SpaceId;
  readonly kind: ReapKind;
  /** ContentId or NodeId. */
  readonly target: number;
  readonly owner: string;
  /** The commit that made it unreachable: rows of it that a pin needs go to history with this `died`. */
  readonly died: CommitNumber;
}

/** The answer to a request that must not be done twice; written in the commit of its effect. */
export interface IdempotencyRow {
  readonly space: SpaceId;
  readonly key: string;
  /** What was asked, so that a key used for something else is refused. */
  readonly fingerprint: string;
  /** The answer, as JSON. */
  readonly answer: string;
  readonly expiresSeconds: number;
}

/**
 * One key of a lock that is held until its lease ends: the thing it is on, or something above that has the intent. A
 * write is checked against these rows in the transaction that does it, and its own lock must still be among them.
 */
export interface LockRow {
  readonly space: SpaceId;
  /** Names the lock; rises with every one, and is never used again. */
  readonly token: number;
  /** `n:NODE`, or `e:PARENT:NAME` with the name in hex. */
  readonly key: string;
  readonly mode: LockMode;
  /** 1 for the key that the lock is on, 0 for one above. */
  readonly isTarget: number;
  /** Locks of one session do not conflict. */
  readonly session: string;
  /** Who holds it and on what, for people. */
  readonly holder: string;
  readonly path: string;
  /** Milliseconds since 1970. */
  readonly grantedMs: number;
  /** From then on the lock is none. */
  readonly expiresMs: number;
}

/** Values of `state` in uploads; never renumbered. A removed one only waits for its parts' rows to go. */
export const UPLOAD_STATE = { open: 1, complete: 2, removed: 3 } as const;
export type UploadState = (typeof UPLOAD_STATE)[keyof typeof UPLOAD_STATE];

/**
 * A file on its way in, in pieces. Its bytes stand in a hidden content, each at its final offset, which this row names
 * and thereby keeps; completing links the content to a node and lets go of it here, in one commit.
 */
export interface UploadRow {
  readonly space: SpaceId;
  /** Whoever knows it may send to it: nobody can guess it. */
  readonly upload: string;
  readonly state: UploadState;
  /** Where it goes, text form; and whether that must be free (`create`), taken (`replace`) or either (`put`). */
  readonly path: string;
  readonly mode: string;
  /** Bytes announced; null when not known. */
  readonly size: number | null;
  /** Bytes of every part but the last; 0 for an upload that grows at its end instead. */
  readonly partBytes: number;
  readonly expectedVersion: number | null;
  readonly expectedNode: NodeId | null;
  /** Announced hashes of the whole. */
  readonly xxhash3: Uint8Array | null;
  readonly sha256: Uint8Array | null;
  readonly modifiedSeconds: number | null;
  readonly modifiedNanoseconds: number | null;
  readonly permissions: number | null;
  /** 1 to make the folders above. */
  readonly parents: number;
  /** Null once it is no longer open. */
  readonly content: ContentId | null;
  /** Bytes that are durable: of whole parts, or from the beginning on. */
  readonly received: number;
  readonly createdSeconds: number;
  /** From then on it is gone. Moves on with every part. */
  readonly expiresSeconds: number;
  readonly actor: string;
  readonly door: string;
  /** What a door keeps with it, as that door wrote it. */
  readonly note: string;
  /** What completing answered, as JSON; empty until then. */
  readonly answer: string;
}

/** A part whose bytes are all there. */
export interface UploadPartRow {
  readonly space: SpaceId;
  readonly upload: string;
  /** From 1. */
  readonly part: number;
  readonly size: number;
  /** XXH3-64 of its bytes. */
  readonly hash: Uint8Array;
  readonly receivedSeconds: number;
}

/** Store-wide facts under dotted names. */
export interface SettingRow {
  readonly name: string;
  readonly value: string;
}

/** Next unleased id of a kind. */
export interface CounterRow {
  readonly name: string;
  readonly next: number;
}

/** A row that was replaced or removed and is still needed: visible at every commit c with born ≤ c < died. */
export type Past<Row> = Row & { readonly died: CommitNumber };

export interface Rows {
  readonly spaces: SpaceRow;
  readonly nodes: NodeRow;
  readonly nodesHistory: Past<NodeRow>;
  readonly entries: EntryRow;
  readonly entriesHistory: Past<EntryRow>;
  readonly attributes: AttributeRow;
  readonly attributesHistory: Past<AttributeRow>;
  readonly contents: ContentRow;
  readonly extents: ExtentRow;
  readonly extentsHistory: Past<ExtentRow>;
  readonly versions: VersionRow;
  readonly commits: CommitRow;
  readonly changes: ChangeRow;
  readonly pins: PinRow;
  readonly packs: PackRow;
  readonly chunks: ChunkRow;
  readonly orphans: OrphanRow;
  readonly reaps: ReapRow;
  readonly idempotency: IdempotencyRow;
  readonly settings: SettingRow;
  readonly counters: CounterRow;
  readonly snapshots: SnapshotRow;
  readonly locks: LockRow;
  readonly uploads: UploadRow;
  readonly uploadParts: UploadPartRow;
}

export type TableName = keyof Rows;

/** Key columns of each table, in order, as a tuple. */
export interface Keys {
  readonly spaces: readonly [SpaceId];
  readonly nodes: readonly [SpaceId, NodeId];
  readonly nodesHistory: readonly [SpaceId, NodeId, CommitNumber];
  readonly entries: readonly [SpaceId, NodeId, Uint8Array];
  readonly entriesHistory: readonly [SpaceId, NodeId, Uint8Array, CommitNumber];
  readonly attributes: readonly [SpaceId, NodeId, Uint8Array];
  readonly attributesHistory: readonly [SpaceId, NodeId, Uint8Array, CommitNumber];
  readonly contents: readonly [SpaceId, ContentId];
  readonly extents: readonly [SpaceId, ContentId, number];
  readonly extentsHistory: readonly [SpaceId, ContentId, number, CommitNumber];
  readonly versions: readonly [SpaceId, NodeId, number];
  readonly commits: readonly [SpaceId, CommitNumber];
  readonly changes: readonly [SpaceId, CommitNumber, number];
  readonly pins: readonly [SpaceId, number];
  readonly packs: readonly [RealmId, PackId];
  readonly chunks: readonly [RealmId, ChunkId];
  readonly orphans: readonly [SpaceId, NodeId];
  readonly reaps: readonly [SpaceId, ReapKind, number];
  readonly idempotency: readonly [SpaceId, string];
  readonly settings: readonly [string];
  readonly counters: readonly [string];
  readonly snapshots: readonly [SpaceId, string];
  readonly locks: readonly [SpaceId, number, string];
  readonly uploads: readonly [SpaceId, string];
  readonly uploadParts: readonly [SpaceId, string, number];
}

/** Ways into a table by other columns; a scan of one answers rows of its table. */
export interface Indexes {
  /** Entries by the node they point at: paths of a node, its hard links. */
  readonly entriesByNode: { readonly table: 'entries'; readonly key: readonly [SpaceId, NodeId, NodeId, Uint8Array] };
  /** History by the node an entry pointed at: where a removed file was. */
  readonly entriesHistoryByNode: {
    readonly table: 'entriesHistory';
    readonly key: readonly [SpaceId, NodeId, CommitNumber, NodeId, Uint8Array];
  };
  /** Locks by what they are on: who is in the way. */
  readonly locksByKey: { readonly table: 'locks'; readonly key: readonly [SpaceId, string, number] };
  /** Uploads by what has become of them: how many are open. */
  readonly uploadsByState: { readonly table: 'uploads'; readonly key: readonly [SpaceId, UploadState, string] };
}

export type IndexName = keyof Indexes;
