/**
 * bytes -> chunks -> packs, and back. The room's door: what files and the composition root may ask of it.
 *
 * Writing: a ContentWriter cuts a stream into content-defined chunks, names each by a keyed hash, skips what the store
 * has, compresses the rest in workers and appends records to the open pack. What it hands out are drafts: data that the
 * caller puts into one metadata change. Before that change is committed, `sync` makes every record appended so far
 * durable: data first, then the commit that names it. A writer that is dropped leaves unreferenced records, never holes.
 *
 * Reading: chunk id -> pack (metadata) -> offset (the pack's own index) -> record -> checks -> plain bytes. The record's
 * checksum covers header and stored bytes; the id is checked over the plain bytes. Damage is Fault `corrupt` whose
 * `about` names chunk (hex), pack, object and offset; damaged bytes are never handed out.
 */
import type { FaultCode, Maybe } from '../base/index.ts';
import type { Change, ChunkId, ChunkRow, PackId, Put, RealmId } from '../meta/index.ts';
import type { PackPlan } from './upkeep/collection-plan.ts';

/** How hard to compress: a zstd level, or stored as it is. */
export type CompressionLevel = number | 'none';

export const ID_ALGORITHMS = ['blake3', 'xxh3-128'] as const;
export type IdAlgorithm = (typeof ID_ALGORITHMS)[number];

export const CHUNKERS = ['ultracdc', 'fastcdc'] as const;
export type ChunkerName = (typeof CHUNKERS)[number];

/** What never changes for a store; stands in its `format` record. */
export interface ChunkFormat {
  readonly idAlgorithm: IdAlgorithm;
  readonly chunker: ChunkerName;
  readonly chunkBytesMin: number;
  readonly chunkBytesMean: number;
  readonly chunkBytesMax: number;
}

/** With which a store cuts and names; see cutting.ts. */
export interface CuttingKeys {
  /** Of keyed BLAKE3, or of XXH3-128. */
  readonly idKey: Uint8Array;
  /** Of FastCDC; absent for a chunker that has none. */
  readonly gears?: Uint8Array | undefined;
}

export const DEFAULT_CHUNK_FORMAT: ChunkFormat = {
  idAlgorithm: 'blake3',
  chunker: 'ultracdc',
  chunkBytesMin: 16 * 1024,
  chunkBytesMean: 64 * 1024,
  chunkBytesMax: 128 * 1024,
};

/** Content of at most this many bytes is kept in its metadata row, as one chunk record. */
export const INLINE_BYTES_MAX = 4_096;

/** A run of content in order; drafts of one content follow each other without gaps. */
export type Draft =
  | { readonly kind: 'chunk'; readonly offset: number; readonly length: number; readonly id: ChunkId }
  | { readonly kind: 'inline'; readonly offset: number; readonly length: number; readonly record: Uint8Array }
  | { readonly kind: 'hole'; readonly offset: number; readonly length: number };

export interface Drafts {
  readonly drafts: readonly Draft[];
  /** Chunk rows, mode `keep`, that must stand in the change before the extents that name them. */
  readonly puts: readonly Put[];
}

export interface ContentSummary {
  readonly size: number;
  /** XXH3-64 of all bytes, 8 bytes big-endian. */
  readonly hash: Uint8Array;
}

export interface WriterOptions {
  readonly level: CompressionLevel;
  /** Total bytes, when known: a small file then needs no large buffer. More must not come. */
  readonly size?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Turns one stream into drafts. Use `using`/`await using`: dispose after the commit (or instead of it), it lets go of
 * the writer's buffers and of its claim on records that are not yet committed.
 */
export interface ContentWriter extends AsyncDisposable {
  /** Takes all of `bytes`; they may be reused once it resolves, which it does when there is room for more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Bytes taken so far. */
  readonly size: number;
  /**
   * Drafts whose records are appended, since the last call; may be empty while chunks are under way. Whoever calls it has
   * handed in the change with the drafts of the call before (or gives them up): until then their chunks are not collected.
   */
  take(): Drafts;
  /** Drafts ready to take; a caller that builds a large content commits them in steps. */
  readonly readyCount: number;
  /** Bytes that are cut: the drafts so far cover them. What is behind waits for the next cut. */
  readonly cutBytes: number;
  /** Resolves when every draft so far is ready. */
  settle(): Promise<void>;
  /** Ends the stream; resolves when every draft is ready. */
  finish(): Promise<ContentSummary>;
}

/** A file of the caller's own disk, as it was when it was looked at. */
export interface LocalFile {
  /** One character (U+0000 to U+00FF) for each byte. */
  readonly path: string;
  readonly size: number;
  readonly mtimeNs: bigint;
  /** `device:inode`. */
  readonly identity: string;
  readonly level: CompressionLevel;
}

/** A file whose bytes are in memory. They stay as they are until it is taken. */
export interface HeldFile {
  readonly bytes: Uint8Array;
  readonly size: number;
  readonly level: CompressionLevel;
}

/** A file that is in the store: as a ContentWriter that has finished. */
export interface TakenFile extends ContentSummary {
  readonly drafts: Drafts;
  /** Call after the commit that links it, or instead of it. */
  release(): void;
}

/** What to read of one chunk. */
export interface ChunkSlice {
  readonly id: ChunkId;
  /** Bytes of the chunk's plain bytes. */
  readonly offset: number;
  readonly length: number;
}

/** Answers the next slice, and undefined behind the last one. Called for one after the other. */
export type SliceSource = () => Maybe<ChunkSlice | undefined>;

export interface ReadAllOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes of all slices, where the caller knows: what is much is given to threads from the start. */
  readonly expectedBytes?: number | undefined;
  /** Nobody wants these bytes again soon: where no thread decodes them, their memory is given back as soon as they passed. */
  readonly isOnce?: boolean | undefined;
}

/** See `weigh`. */
export interface Weight {
  readonly chunks: number;
  /** Bytes of packs that come back sooner or later. */
  readonly bytes: number;
  /** Those that the very next collection gives back, by the share of a pack that makes it worth rewriting. */
  readonly collectedBytes: number;
}

export interface ChunkStoreStats {
  /** Chunks with a reference, and their plain and stored bytes. */
  readonly chunks: number;
  readonly uniqueBytes: number;
  readonly storedBytes: number;
  readonly packs: number;
  /** Bytes of all pack objects. */
  readonly packBytes: number;
  /** Packs in which damage was found and not yet all healed or found whole again. */
  readonly suspectPacks: number;
  /** When the pack was written or found whole of which that is longest ago, wall seconds; undefined without packs. */
  readonly oldestVerifiedSeconds: number | undefined;
}

export interface ChunkDamage {
  readonly code:
    | 'chunk-damaged'
    | 'chunk-missing'
    | 'pack-missing'
    | 'pack-index-damaged'
    | 'pack-header-damaged'
    | 'pack-torn';
  readonly sentence: string;
  readonly pack?: number;
  readonly object?: string;
  /** Chunks that cannot be read because of it. */
  readonly chunks: readonly ChunkId[];
}

export interface VerifyReport {
  readonly chunksVerified: number;
  readonly bytesVerified: number;
  readonly packsVerified: number;
  /** Record bytes in packs that no chunk row names. */
  readonly orphanBytes: number;
}

/** When chunks are given up, and which packs are worth the work. */
export interface CollectOptions {
  /** Seconds that a chunk stays after its last name is gone. */
  readonly graceSeconds: number;
  /** 0 to 1: a pack is rewritten when at least this share of its object comes back. One without any needed chunk always goes. */
  readonly freedShareMin: number;
  /** Decide only: the answer says what would come back, and nothing is changed. */
  readonly isPreview?: boolean | undefined;
  /** Between small steps: resolves when the work may go on. */
  readonly pause?: (() => Promise<void>) | undefined;
  /** Bytes of the packs that are looked at. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CollectionProblem {
  readonly pack: PackId;
  readonly code: FaultCode;
  readonly sentence: string;
}

export interface Collection {
  /** Packs that were (or would be) rewritten or dropped. */
  readonly packs: readonly PackPlan[];
  /** Objects that no row named. */
  readonly orphans: readonly { readonly object: string; readonly bytes: number }[];
  /** Bytes by which all objects together got smaller. */
  readonly freedBytes: number;
  /** Records, in the packs looked at, of chunks without a name whose time has not come. */
  readonly waitingBytes: number;
  readonly waitingCount: number;
  /** Other unused bytes, in packs of which too little would come back. */
  readonly keptBytes: number;
  /** Packs that were kept because something in them is damaged or could not be written. */
  readonly problems: readonly CollectionProblem[];
}

export interface AdoptedPacks {
  /** Packs that no row knew. */
  readonly added: number;
  /** Packs whose row said something else than their object. */
  readonly changed: number;
  /** Packs that are needed and of which no object is there. */
  readonly missing: number;
  /** Chunks that nobody names and that are gone. */
  readonly forgotten: number;
}

/** Bytes that may hold a wanted chunk: a run that is cut as content is, or one chunk of another store. */
export type RepairCandidate =
  | { readonly kind: 'run'; readonly bytes: AsyncIterable<Uint8Array> }
  | { readonly kind: 'chunk'; readonly bytes: Uint8Array };

export interface RepairOptions {
  readonly wanted: readonly ChunkId[];
  /** Drawn until all wanted chunks are there. A chunk's bytes are good until the next one is asked for. */
  readonly candidates: AsyncIterable<RepairCandidate>;
  /** Only look. */
  readonly isDryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ScrubOptions {
  /** Packs that were written or found whole after this (wall seconds) are left alone. */
  readonly dueSeconds: number;
  readonly onDamage: (damage: ChunkDamage) => void;
  /** Called after each record, with its bytes: a place to rest. */
  readonly pause: (bytes: number) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/** What became of one pack. */
export interface Scrubbed {
  readonly pack: number;
  readonly object: string;
  /** Bytes of the pack, and chunks in it that were found whole. */
  readonly bytes: number;
  readonly chunks: number;
  readonly isWhole: boolean;
}

export interface ChunkStore extends AsyncDisposable {
  readonly realm: RealmId;
  readonly format: ChunkFormat;
  /** How others may cut and name as this store does. */
  cuttingKeys(): CuttingKeys;
  newWriter(options: WriterOptions): ContentWriter;
  /**
   * The draft of 1 to INLINE_BYTES_MAX bytes that are to stand in their row: what a writer would make of them, at once
   * and with nothing to dispose. @throws Fault `full`.
   */
  keepInline(plain: Uint8Array, level: CompressionLevel): Maybe<Draft>;
  /**
   * Takes small files, at most `filesMax` with at most `bytesMax` bytes in all, without their bytes passing through the
   * caller, or with their bytes in memory: threads read and encode them. Undefined for a file that is not as it was looked at, that cannot be read, or
   * that needs a closer look than this: hand its bytes to a writer. Absent where there are no threads.
   */
  readonly files?: {
    readonly fileBytesMax: number;
    readonly filesMax: number;
    readonly bytesMax: number;
    take(files: readonly (LocalFile | HeldFile)[]): Promise<readonly (TakenFile | undefined)[]>;
  };
  /** Plain, verified bytes of one chunk; shared with the cache, so do not write into them. */
  read(id: ChunkId, options?: { readonly signal?: AbortSignal | undefined }): Promise<Uint8Array>;
  /**
   * The same in the caller's turn, when the chunk is in memory or can be fetched without waiting for anything; undefined
   * otherwise, and whenever something is wrong with it: then `read` says what.
   */
  readNow(id: ChunkId): Uint8Array | undefined;
  /**
   * The slices' bytes, in order, read ahead within a bound; neighbours in a pack are read together, and may come as
   * one piece. A piece stays unchanged until the next one is asked for: then its memory may serve another.
   */
  readAll(
    slices: SliceSource | AsyncIterable<ChunkSlice> | Iterable<ChunkSlice>,
    options?: ReadAllOptions,
  ): AsyncIterable<Uint8Array>;
  /**
   * Chunks that die from now on are not collected until it is disposed: for who has a list of chunks and reads it with
   * several calls. `readAll` does it by itself, for its own time.
   */
  beginReading(): Disposable;
  /** Plain, verified bytes of an inline record. @throws Fault `corrupt`. */
  readInline(record: Uint8Array): Uint8Array;
  /**
   * Makes every record appended before the call durable; answers the changes (pack rows) that must be committed before
   * or together with changes whose drafts these are. Calls share one sync where they can. A fault is sticky: packs it
   * touched take no more records.
   */
  sync(): Promise<readonly Change[]>;
  /** Reads and verifies all chunks, or a random share of them; hands every damage to `onDamage`. */
  verify(options: {
    readonly sample?: number | undefined;
    readonly onDamage: (damage: ChunkDamage) => void;
    readonly onProgress?: ((done: number, total: number) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<VerifyReport>;
  /**
   * Reads back and verifies one pack, the one that was found whole longest ago; undefined when none is due. What it
   * finds is noted with the pack. One at a time.
   */
  scrub(options: ScrubOptions): Promise<Scrubbed | undefined>;
  /**
   * Stores wanted chunks anew from bytes found elsewhere, which must have their ids; answers those that are whole now.
   * @throws Fault `unsupported` where ids are no proof.
   */
  repair(options: RepairOptions): Promise<readonly ChunkId[]>;
  /** Writes chunk and pack rows anew from the packs themselves; references are counted from extents. Answers how many chunks had no row, or one that counted wrong. */
  rebuildIndex(options?: { readonly signal?: AbortSignal | undefined }): Promise<number>;
  /**
   * Gives back the bytes of chunks that nobody names. Others go on meanwhile. May be cut off anywhere: the next one
   * finishes. One at a time; also not while the index is rebuilt.
   */
  collect(options: CollectOptions): Promise<Collection>;
  /**
   * Makes the rows of packs and chunks say what is there, after the metadata was brought back from an older state of
   * itself; `rebuildIndex` is part of it. Before anything is written. Safe to repeat.
   */
  adoptPacks(options?: { readonly signal?: AbortSignal | undefined }): Promise<AdoptedPacks>;
  /** What collections would give back if these chunks, each named once, had no reference any more. */
  weigh(chunks: AsyncIterable<ChunkRow>, rule: { readonly freedShareMin: number }): Promise<Weight>;
  stats(): Promise<ChunkStoreStats>;
  /** Ends writers, syncs, leaves an open pack as it is for the next opening, ends workers. */
  close(): Promise<void>;
}
