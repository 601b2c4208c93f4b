/**
 * A chunk store on fakes, for the room's tests: objects and metadata in memory, a clock that stands still, and the
 * little of the files room that a test needs (a content is committed as extents of one space, references and all).
 */
import { type Log, ManualClock, type Random, seededRandom, silentLog } from '../base/index.ts';
import { type Change, type ChunkId, EXTENT_KIND, type MetaStore, openSqliteFile, type Put } from '../meta/index.ts';
import { MemoryObjects, type ObjectStore } from '../objects/index.ts';
import {
  type ChunkDamage,
  type ChunkFormat,
  type ChunkStore,
  type CompressionLevel,
  DEFAULT_CHUNK_FORMAT,
  type Draft,
  type Drafts,
  type VerifyReport,
} from './chunk-store.ts';
import { openChunkStore } from './open-chunk-store.ts';
import { type ChunkStoreOptions, SMALL_CHUNK_STORE_OPTIONS } from './options.ts';
import type { CollectStep } from './upkeep/collector.ts';

export const SECRET = new Uint8Array(32).fill(9);
export const REALM = 1;
const SPACE = 1;

/** Small sizes, so that few bytes make many chunks. */
export const SMALL_FORMAT: ChunkFormat = {
  ...DEFAULT_CHUNK_FORMAT,
  chunkBytesMin: 1024,
  chunkBytesMean: 4096,
  chunkBytesMax: 8192,
};

export interface StandOptions {
  readonly format?: ChunkFormat;
  readonly options?: Partial<ChunkStoreOptions>;
  readonly meta?: MetaStore;
  readonly objects?: ObjectStore;
  readonly seed?: number;
  readonly clock?: ManualClock;
  readonly log?: Log;
  readonly onCollectStep?: (step: CollectStep) => void;
  readonly beforeCollect?: () => Promise<void>;
}

export interface Stored {
  readonly content: number;
  readonly drafts: readonly Draft[];
  readonly hash: Uint8Array;
}

export class ChunkStand implements AsyncDisposable {
  readonly store: ChunkStore;
  readonly meta: MetaStore;
  readonly objects: ObjectStore;
  readonly clock: ManualClock;
  readonly random: Random;
  #contentCount = 0;

  private constructor(
    store: ChunkStore,
    parts: { meta: MetaStore; objects: ObjectStore; random: Random; clock: ManualClock },
  ) {
    this.store = store;
    this.meta = parts.meta;
    this.objects = parts.objects;
    this.random = parts.random;
    this.clock = parts.clock;
  }

  static async open(wanted: StandOptions = {}): Promise<ChunkStand> {
    const meta = wanted.meta ?? openSqliteFile(':memory:');
    const objects = wanted.objects ?? new MemoryObjects();
    const random = seededRandom(wanted.seed ?? 1);
    const clock = wanted.clock ?? new ManualClock();
    const store = await openChunkStore({
      objects,
      meta,
      realm: REALM,
      format: wanted.format ?? SMALL_FORMAT,
      secret: SECRET,
      clock,
      random,
      log: wanted.log ?? silentLog,
      options: { ...SMALL_CHUNK_STORE_OPTIONS, workerCount: 0, ...wanted.options },
      ...(wanted.beforeCollect === undefined ? {} : { beforeCollect: wanted.beforeCollect }),
      ...(wanted.onCollectStep === undefined ? {} : { onCollectStep: wanted.onCollectStep }),
    });
    const stand = new ChunkStand(store, { meta, objects, random, clock });
    await stand.#makeSpace();
    return stand;
  }

  /** Ends the store as a process that closes, and opens it again on the same objects and metadata. */
  async reopen(wanted: StandOptions = {}): Promise<ChunkStand> {
    await this.store.close();
    return await this.crash(wanted);
  }

  /** Opens the same objects and metadata anew, as after a process that did not close. */
  async crash(wanted: StandOptions = {}): Promise<ChunkStand> {
    const { format } = this.store;
    const stand = await ChunkStand.open({
      format,
      meta: this.meta,
      objects: this.objects,
      clock: this.clock,
      ...wanted,
    });
    stand.#contentCount = this.#contentCount;
    return stand;
  }

  /** Writes `bytes` in the pieces given by `splits` (all at once without) and commits the content. */
  async put(
    bytes: Uint8Array,
    options: { level?: CompressionLevel; splits?: readonly number[] } = {},
  ): Promise<Stored> {
    await using writer = this.store.newWriter({ level: options.level ?? 1 });
    let at = 0;
    for (const length of options.splits ?? []) {
      await writer.write(bytes.slice(at, at + length));
      at += length;
    }
    await writer.write(bytes.slice(at));
    const { hash } = await writer.finish();
    const taken = writer.take();
    return { content: await this.commitDrafts(taken), drafts: taken.drafts, hash };
  }

  /** Numbers of contents go on behind `count`: another life has used those before. */
  skipContents(count: number): void {
    this.#contentCount = count;
  }

  /** Syncs and commits drafts as one content; answers its number. */
  async commitDrafts(taken: Drafts): Promise<number> {
    const changes = await this.store.sync();
    const content = ++this.#contentCount;
    const puts: Put[] = [
      { table: 'contents', mode: 'insert', row: { space: SPACE, content, size: 1, refs: 0, base: null, hash: null } },
      ...taken.puts,
      ...taken.drafts.flatMap((draft): Put[] => {
        if (draft.kind === 'hole') return [];
        const isChunk = draft.kind === 'chunk';
        const row = {
          space: SPACE,
          content,
          offset: draft.offset,
          length: draft.length,
          kind: isChunk ? EXTENT_KIND.chunk : EXTENT_KIND.inline,
          chunk: isChunk ? draft.id : null,
          chunkOffset: 0,
          unsettled: 0,
          data: isChunk ? null : draft.record,
          born: 0,
        };
        return [{ table: 'extents', mode: 'insert', row }];
      }),
    ];
    await this.commit([...changes, { space: SPACE, now: this.clock.now(), puts }]);
    return content;
  }

  /** Takes a content apart: its chunks lose the names it gave them. */
  async drop({ content, drafts }: Pick<Stored, 'content' | 'drafts'>): Promise<void> {
    const extents = drafts
      .filter(({ kind }) => kind !== 'hole')
      .map(({ offset }) => ({ table: 'extents', key: [SPACE, content, offset] }) as const);
    await this.commit([{ space: SPACE, now: this.clock.now(), deletes: extents }]);
  }

  /** Bytes of all objects. */
  async objectBytes(): Promise<number> {
    const { objects } = await this.objects.list();
    return objects.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  }

  async commit(changes: readonly Change[]): Promise<void> {
    for (const outcome of await this.meta.commit(changes)) if (!outcome.ok) throw outcome.fault;
  }

  /** The bytes of drafts, read back. */
  async get(drafts: readonly Draft[]): Promise<Buffer> {
    const chunks = drafts.filter((draft) => draft.kind === 'chunk');
    const read = this.store
      .readAll(chunks.map(({ id, length }) => ({ id, offset: 0, length })))
      [Symbol.asyncIterator]();
    const parts: Uint8Array[] = [];
    for (const draft of drafts) {
      if (draft.kind === 'hole') parts.push(new Uint8Array(draft.length));
      else if (draft.kind === 'inline') parts.push(this.store.readInline(draft.record));
      else parts.push((await read.next()).value);
    }
    await read.return?.();
    return Buffer.concat(parts);
  }

  async verify(sample?: number): Promise<{ readonly report: VerifyReport; readonly damages: ChunkDamage[] }> {
    const damages: ChunkDamage[] = [];
    const report = await this.store.verify({ sample, onDamage: (damage) => damages.push(damage) });
    return { report, damages };
  }

  /** Removes chunk rows and puts nothing in their place, as a lost index would be. */
  async loseRows(ids: readonly ChunkId[]): Promise<void> {
    const now = this.clock.now();
    for (const id of ids) {
      const key = [REALM, id] as const;
      const row = await this.meta.get('chunks', key);
      if (row === undefined) continue;
      // Only an unreferenced row may go; so the count goes first.
      await this.commit([
        {
          now,
          deletes: [{ table: 'chunks', key }],
          puts: [{ table: 'chunks', mode: 'insert', row: { ...row, refs: 0 } }],
        },
      ]);
      await this.commit([{ now, deletes: [{ table: 'chunks', key }] }]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
  }

  async #makeSpace(): Promise<void> {
    if ((await this.meta.get('spaces', [SPACE])) !== undefined) return;
    const row = {
      space: SPACE,
      realm: REALM,
      name: 'owner',
      root: 1,
      head: 0,
      headSeconds: 0,
      headNanoseconds: 0,
      liveBytes: 0,
      historyBytes: 0,
      quotaBytes: null,
    };
    await this.commit([{ space: SPACE, now: this.clock.now(), puts: [{ table: 'spaces', mode: 'insert', row }] }]);
  }
}
