/**
 * The chunk index anew, from the packs alone: a row for every whole record that has none, then references counted from
 * the extents (living and in history) and from the records that need a base, then the living share of every pack.
 * Everything is an ordinary change of bounded size, so a rebuild may be broken off and begun again.
 *
 * Records without a base first, then by depth, because a row may only name a base that has one. References are counted
 * for a bounded share of the ids at a time. Meant for a quiet store: a row that changes meanwhile is left as it is
 * (its expectation is stale), and counted right by the next run.
 */
import { type Clock, Fault, type Log } from '../../base/index.ts';
import {
  type Change,
  type ChunkId,
  type ChunkRow,
  EXTENT_KIND,
  type ExtentRow,
  type MetaStore,
  type PackId,
  type PackRow,
  type Put,
  type RealmId,
} from '../../meta/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import { keyOfId } from '../hashes/ids.ts';
import { type PackObject, walkRecords } from '../packs/pack-file.ts';
import { BASE_DEPTH_MAX, isRecordWhole, type RecordHeader } from '../packs/record.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import { breath, chunkRows, packRows } from './stats.ts';

/** Rows of one change. */
const STEP_ROWS = 1_000;
const PAGE_ROWS = 5_000;
/** Ids whose references are counted in one pass over the extents: about 40 MB. */
const COUNTED_IDS_MAX = 250_000;

export interface RebuildContext {
  readonly objects: ObjectStore;
  readonly meta: MetaStore;
  readonly realm: RealmId;
  readonly idBytes: number;
  readonly reader: ChunkReader;
  readonly clock: Clock;
  readonly log: Log;
}

interface RebuildOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Answers how many chunks had no row, or one that counted wrong. */
export async function rebuildIndex(context: RebuildContext, options: RebuildOptions = {}): Promise<number> {
  const rebuild = new Rebuild(context, options);
  context.reader.forgetPacks();
  // First, so that counts which went wrong with the lost rows cannot fall below zero while rows come back.
  await rebuild.settlePacks();
  await rebuild.addRows();
  await rebuild.countReferences();
  await rebuild.settlePacks();
  return rebuild.chunkCount;
}

class Rebuild {
  readonly #context: RebuildContext;
  readonly #options: RebuildOptions;
  readonly #startSeconds: number;
  /** Chunks whose row was missing or wrong. */
  chunkCount = 0;

  constructor(context: RebuildContext, options: RebuildOptions) {
    this.#context = context;
    this.#options = options;
    this.#startSeconds = context.clock.now().seconds;
  }

  /** Rows for records that have none; depth by depth, and a pack is walked again only for depths it has. */
  async addRows(): Promise<void> {
    const packsByDepth: Set<PackId>[] = Array.from({ length: BASE_DEPTH_MAX + 1 }, () => new Set());
    for await (const row of packRows(this.#context)) await this.#addRowsOf(row, 0, packsByDepth);
    for (let depth = 1; depth <= BASE_DEPTH_MAX; depth++) {
      if (packsByDepth[depth]?.size === 0) continue;
      for await (const row of packRows(this.#context))
        if (packsByDepth[depth]?.has(row.pack)) await this.#addRowsOf(row, depth);
    }
  }

  async #addRowsOf(row: PackRow, depth: number, packsByDepth?: readonly Set<PackId>[]): Promise<void> {
    if (row.lengthBytes === 0) return;
    const { realm, pack, object, lengthBytes } = row;
    const place: PackObject = { realm, pack, object, lengthBytes, idBytes: this.#context.idBytes };
    let puts: Put[] = [];
    try {
      for await (const step of walkRecords(this.#context.objects, place)) {
        this.#checkSignal();
        if (step.kind === 'damage' || !isRecordWhole(step.bytes, step.at, step.header)) continue;
        packsByDepth?.[step.header.depth]?.add(pack);
        if (step.header.depth === depth && (await this.#needsRow(step.header, pack)))
          puts.push(this.#rowOf(step.header, pack));
        if (puts.length < STEP_ROWS) continue;
        this.chunkCount += await this.#commit({ now: this.#context.clock.now(), puts });
        puts = [];
      }
    } catch (error) {
      if (!Fault.is(error, 'not-found')) throw error;
      this.#context.log.error('chunks.pack-missing', { pack, object });
    }
    if (puts.length > 0) this.chunkCount += await this.#commit({ now: this.#context.clock.now(), puts });
  }

  /** A row that names another pack stands when the chunk can be read there. */
  async #needsRow(header: RecordHeader, pack: PackId): Promise<boolean> {
    const { meta, realm, reader } = this.#context;
    const known = await meta.get('chunks', [realm, header.id]);
    if (known === undefined) return true;
    if (known.pack === pack) return false;
    try {
      await reader.readFresh(header.id);
      return false;
    } catch (error) {
      if (Fault.is(error, 'corrupt')) return known.depth >= header.depth;
      throw error;
    }
  }

  #rowOf(header: RecordHeader, pack: PackId): Put {
    const row: ChunkRow = {
      realm: this.#context.realm,
      id: header.id,
      pack,
      refs: 0,
      plainLength: header.plainLength,
      storedLength: header.recordLength,
      base: header.base ?? null,
      depth: header.depth,
      zeroSeconds: this.#startSeconds,
    };
    return { table: 'chunks', mode: 'replace', row };
  }

  async countReferences(): Promise<void> {
    let total = 0;
    for await (const rows of chunkRows(this.#context)) total += rows.length;
    const shares = Math.max(1, Math.ceil(total / COUNTED_IDS_MAX));
    for (let share = 0; share < shares; share++) await this.#countShare(share, shares);
  }

  /** Ids are hashes: their first four bytes spread them evenly over the shares. */
  async #countShare(share: number, shares: number): Promise<void> {
    const isMine = (id: ChunkId): boolean => shareOf(id, shares) === share;
    // What the rows say is read before what the extents say: a reference that is added in between makes the row stale.
    const before = new Map<string, ChunkRow>();
    const counted = new Map<string, number>();
    const count = (id: ChunkId): void => {
      const key = keyOfId(id);
      counted.set(key, (counted.get(key) ?? 0) + 1);
    };
    for await (const rows of chunkRows(this.#context)) {
      for (const row of rows) {
        if (isMine(row.id)) before.set(keyOfId(row.id), row);
        if (row.base !== null && isMine(row.base)) count(row.base);
      }
    }
    for await (const id of this.#namedChunks()) if (isMine(id)) count(id);
    const wrong = [...before.values()].filter((row) => row.refs !== (counted.get(keyOfId(row.id)) ?? 0));
    for (let at = 0; at < wrong.length; at += STEP_ROWS / 2)
      await this.#setReferences(wrong.slice(at, at + STEP_ROWS / 2), counted);
  }

  /** Counted columns are the engine's; a row that is deleted and put again in one change begins with what it is given. */
  async #setReferences(rows: readonly ChunkRow[], counted: ReadonlyMap<string, number>): Promise<void> {
    const now = this.#context.clock.now();
    const changes = rows.map((row): Change => {
      const key = [row.realm, row.id] as const;
      const refs = counted.get(keyOfId(row.id)) ?? 0;
      return {
        now,
        expects: [{ kind: 'row', table: 'chunks', key, equals: { refs: row.refs, pack: row.pack } }],
        deletes: [{ table: 'chunks', key }],
        puts: [{ table: 'chunks', mode: 'insert', row: { ...row, refs, zeroSeconds: refs > 0 ? null : now.seconds } }],
      };
    });
    const doneCount = await this.#commitAll(changes, rows.length);
    // Rows that this run has added begin without references, and have been counted already.
    const added = rows.filter(({ refs, zeroSeconds }) => refs === 0 && zeroSeconds === this.#startSeconds).length;
    this.chunkCount += Math.max(0, doneCount - added);
  }

  /** The chunk that each extent names, once an extent, living or in history, in all spaces of the realm. */
  async *#namedChunks(): AsyncGenerator<ChunkId> {
    const spaces = new Set<number>();
    for (const row of await this.#context.meta.scan('spaces', { prefix: [], limit: 10_000 }))
      if (row.realm === this.#context.realm) spaces.add(row.space);
    for (const table of ['extents', 'extentsHistory'] as const) {
      for await (const rows of this.#extentPages(table))
        for (const row of rows)
          if (row.kind === EXTENT_KIND.chunk && row.chunk !== null && spaces.has(row.space)) yield row.chunk;
    }
  }

  async *#extentPages(table: 'extents' | 'extentsHistory'): AsyncGenerator<readonly ExtentRow[]> {
    let after: readonly number[] | undefined;
    for (;;) {
      this.#checkSignal();
      const rows = await this.#context.meta.scan(table, { prefix: [], limit: PAGE_ROWS, ...(after && { after }) });
      yield rows;
      const last = rows.at(-1);
      if (rows.length < PAGE_ROWS || last === undefined) return;
      after = [last.space, last.content, last.offset, ...('died' in last ? [last.died as number] : [])];
      await breath();
    }
  }

  /** Makes the living share of every pack what its chunk rows say. */
  async settlePacks(): Promise<void> {
    const live = new Map<PackId, { bytes: number; count: number }>();
    for await (const rows of chunkRows(this.#context)) {
      for (const { pack, refs, storedLength } of rows) {
        if (refs === 0) continue;
        const sum = live.get(pack) ?? { bytes: 0, count: 0 };
        live.set(pack, { bytes: sum.bytes + storedLength, count: sum.count + 1 });
      }
    }
    for await (const row of packRows(this.#context)) {
      const { bytes: liveBytes, count: liveCount } = live.get(row.pack) ?? { bytes: 0, count: 0 };
      if (row.liveBytes === liveBytes && row.liveCount === liveCount) continue;
      const key = [row.realm, row.pack] as const;
      const equals = { liveBytes: row.liveBytes, liveCount: row.liveCount, lengthBytes: row.lengthBytes };
      const change: Change = {
        now: this.#context.clock.now(),
        expects: [{ kind: 'row', table: 'packs', key, equals }],
        deletes: [{ table: 'packs', key }],
        puts: [{ table: 'packs', mode: 'insert', row: { ...row, liveBytes, liveCount } }],
      };
      await this.#commitAll([change], 1);
    }
  }

  async #commit(change: Change): Promise<number> {
    return await this.#commitAll([change], change.puts?.length ?? 0);
  }

  /** Answers how many of `rowCount` rows were written. */
  async #commitAll(changes: readonly Change[], rowCount: number): Promise<number> {
    this.#checkSignal();
    let left = rowCount;
    for (const outcome of await this.#context.meta.commit(changes)) {
      if (outcome.ok) continue;
      // `gone`: its base has no row, so it cannot be read anyhow; `conflict`: somebody else counts it right now.
      if (!Fault.is(outcome.fault, 'conflict', 'gone')) throw outcome.fault;
      left--;
      this.#context.log.warn('chunks.rebuild-left-out', { reason: outcome.fault.message });
    }
    await breath();
    return Math.max(0, left);
  }

  #checkSignal(): void {
    if (this.#options.signal?.aborted) throw Fault.aborted(this.#options.signal, 'Rebuilding the chunk index');
  }
}

function shareOf(id: ChunkId, shares: number): number {
  const front = ((id[0] ?? 0) << 16) | ((id[1] ?? 0) << 8) | (id[2] ?? 0);
  return Math.floor((front * shares) / 2 ** 24);
}
