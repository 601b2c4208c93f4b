/**
 * Collection: gives back the bytes of chunks that nobody names, in two stages, pack by pack.
 *
 *   1  chunks without references since longer than the grace time leave the index, in bounded commits that expect what
 *      they delete to be as it was read (no references, this pack); then a frame in the discard log says so, as a hint.
 *   2  what is still needed of the pack is verified and copied into a new object; one commit, which expects that none of
 *      what was left behind is named by the index, switches the pack's row to it; the old object, which no row names any
 *      more, is deleted when nobody walks through it. A pack of which nothing is needed loses its row and is deleted.
 *
 *   3  small packs (of backends without `append`, of many short processes) are joined: what is needed of them is copied
 *      into one new object, whose row comes with the first chunk rows that are switched to it, a bounded number a commit;
 *      what nobody names any more then is dropped as in stage 2.
 *
 * Nothing here locks the store. Writers hold what they count on (holds.ts), so a chunk they were told of is neither taken
 * out of the index nor left behind in a rewrite; readers look a chunk up again when its object is gone. A crash anywhere
 * leaves objects that no row names, which the next collection finds by listing; nothing else is garbage, and all of it is.
 * A pack in which something needed is damaged is kept as it is, and reported.
 *
 * Decisions are in collection-plan.ts; a preview makes the same decisions and does nothing.
 */
import { type Clock, Fault, hexOf, type Log, type Maybe, type Random } from '../../base/index.ts';
import {
  type Change,
  type ChunkId,
  type ChunkRow,
  type Expect,
  type MetaReader,
  type MetaStore,
  PACK_STATE,
  type PackId,
  type PackRow,
  type RealmId,
} from '../../meta/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { Collection, CollectionProblem, CollectOptions } from '../chunk-store.ts';
import { idOfKey, keyOfId } from '../hashes/ids.ts';
import { DISCARD_FOLDER, type DiscardFrame, DiscardLog } from '../packs/discard-log.ts';
import { loadIndex, type PackObject, recordPlaces } from '../packs/pack-file.ts';
import { type IndexEntry, PACK_HEADER_BYTES, sealBytesOf } from '../packs/pack-format.ts';
import type { PackWriter } from '../packs/pack-writer.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import type { Epochs, Readings } from '../reading/readings.ts';
import type { KnownChunks } from '../writing/known-chunks.ts';
import { type PackPlan, planJoins, planPack, type Records } from './collection-plan.ts';
import { copyPack } from './pack-copy.ts';
import { breath, packRows } from './stats.ts';

/** Chunk rows that one commit deletes. */
const STEP_ROWS = 500;
/** Rows read between two turns for others. */
const ROWS_PER_TURN = 200;
/** Bytes of small packs that one collection joins. */
const JOINED_BYTES_MAX = 256 * 2 ** 20;
/** Times that a pack is looked at anew because somebody revived what was to be left behind. */
const TRIES_MAX = 3;
const PACK_FOLDER = 'packs/';
const OBJECT_NAME_BYTES = 16;
/** Problems that a report names. */
const PROBLEMS_MAX = 1_000;

/** Where a collection can be cut off, for tests that do. */
export const COLLECT_STEPS = [
  'begun',
  'rows-deleted',
  'discards-noted',
  'copied',
  'switched',
  'join-copied',
  'join-switched',
  'dropped',
  'object-deleted',
  'swept',
  'log-ended',
] as const;
export type CollectStep = (typeof COLLECT_STEPS)[number];

export interface CollectorContext {
  readonly objects: ObjectStore;
  readonly meta: MetaStore;
  /** Rows as they are, what is pending included. */
  readonly index: Pick<MetaReader, 'get'>;
  readonly realm: RealmId;
  readonly idBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly reader: ChunkReader;
  readonly packs: PackWriter;
  readonly packBytesMax: number;
  readonly known: KnownChunks;
  readonly readings: Readings;
  readonly epochs: Epochs;
  /** Resolves when the change is durable; among what others do, in order. */
  readonly commit: (change: Change) => Promise<unknown>;
  readonly onDamage: (id: ChunkId, pack: PackId) => void;
  /** Called once a collection, before the first thing goes. */
  readonly beforeTaking: () => Promise<void>;
  readonly onStep?: ((step: CollectStep) => Maybe<void>) | undefined;
}

/** One pack as it is now. */
interface Survey {
  readonly row: PackRow;
  readonly from: PackObject;
  readonly plan: PackPlan;
  /** Records whose chunks have rows that name the pack. */
  readonly named: readonly IndexEntry[];
  readonly due: readonly ChunkRow[];
  /** Chunks of the other records. */
  readonly unnamed: readonly ChunkId[];
  /** What stays when all that is due has gone. */
  readonly needed: Records;
  /** Somebody is about to name a record that has no row yet. */
  readonly isClaimed: boolean;
}

export class Collector {
  readonly #context: CollectorContext;
  /** Objects without a row that are no garbage: being written, or waiting for those who read them. */
  readonly #ours = new Set<string>();

  constructor(context: CollectorContext) {
    this.#context = context;
  }

  /** One at a time. */
  async collect(options: CollectOptions): Promise<Collection> {
    return await new Run(this.#context, options, this.#ours).collect();
  }
}

class Run {
  readonly #context: CollectorContext;
  readonly #options: CollectOptions;
  readonly #ours: Set<string>;
  readonly #packs: PackPlan[] = [];
  readonly #orphans: { object: string; bytes: number }[] = [];
  readonly #problems: CollectionProblem[] = [];
  #waiting: Records = { count: 0, bytes: 0 };
  #keptBytes = 0;
  #isTaking = false;

  constructor(context: CollectorContext, options: CollectOptions, ours: Set<string>) {
    this.#context = context;
    this.#options = options;
    this.#ours = ours;
  }

  async collect(): Promise<Collection> {
    const { objects, index, random, idBytes } = this.#context;
    const commit = async (parts: Pick<Change, 'puts' | 'deletes'>): Promise<void> => {
      await this.#context.commit({ now: this.#context.clock.now(), ...parts });
    };
    await using log = await DiscardLog.open({ objects, index, random, idBytes, commit });
    await this.#step('begun');
    const candidates = await this.#candidates(log);
    const total = candidates.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    let done = 0;
    this.#options.onProgress?.(done, total);
    for (const { pack, lengthBytes } of candidates) {
      this.#checkSignal();
      await this.#collectPack(pack, log);
      done += lengthBytes;
      this.#options.onProgress?.(done, total);
      await this.#options.pause?.();
    }
    await this.#join(log);
    await this.#sweep(log);
    if (this.#options.isPreview !== true) {
      await log.end();
      await this.#step('log-ended');
    }
    return this.#report();
  }

  #report(): Collection {
    const freed = this.#packs.reduce((sum, { bytesBefore, bytesAfter }) => sum + bytesBefore - bytesAfter, 0);
    return {
      packs: this.#packs.filter(({ action }) => action !== 'keep'),
      orphans: this.#orphans,
      freedBytes: freed + this.#orphans.reduce((sum, { bytes }) => sum + bytes, 0),
      waitingBytes: this.#waiting.bytes,
      waitingCount: this.#waiting.count,
      keptBytes: this.#keptBytes,
      problems: this.#problems,
    };
  }

  async #beforeTaking(): Promise<void> {
    if (this.#isTaking) return;
    this.#isTaking = true;
    await this.#context.beforeTaking();
  }

  async #step(step: CollectStep): Promise<void> {
    await this.#context.onStep?.(step);
  }

  #checkSignal(): void {
    if (this.#options.signal?.aborted) throw Fault.aborted(this.#options.signal, 'Collecting');
  }

  /**
   * Packs of which enough may come back by what their rows say; first those that cost nothing, so that a full disk gets
   * room before anything is written.
   */
  async #candidates(log: DiscardLog): Promise<readonly PackRow[]> {
    const begun = await log.begunPacks(this.#context.realm);
    const found: PackRow[] = [];
    for await (const row of packRows(this.#context)) {
      if (row.lengthBytes === 0) continue;
      const unnamed = row.lengthBytes - row.liveBytes;
      if (begun.has(row.pack) || unnamed >= row.lengthBytes * this.#options.freedShareMin) found.push(row);
      else this.#keep(row);
    }
    return found.sort((a, b) => a.liveBytes - b.liveBytes);
  }

  #keep(row: PackRow): void {
    const framing =
      PACK_HEADER_BYTES + (row.state === PACK_STATE.open ? 0 : sealBytesOf(row.recordCount, this.#context.idBytes));
    this.#keptBytes += Math.max(0, row.lengthBytes - row.liveBytes - framing);
  }

  async #collectPack(pack: PackId, log: DiscardLog): Promise<void> {
    const { packs } = this.#context;
    const isOpenHere = packs.find(pack) !== undefined;
    const isPreview = this.#options.isPreview === true;
    if (!isOpenHere && !isPreview && !packs.withhold(pack)) return;
    try {
      await this.#collectQuiet(pack, log, isOpenHere, isPreview);
    } catch (error) {
      if (!Fault.is(error, 'corrupt', 'not-found', 'io', 'full')) throw error;
      this.#keepDamaged(pack, error);
    } finally {
      if (!isOpenHere && !isPreview) packs.restore(pack);
    }
  }

  #keepDamaged(pack: PackId, error: Fault): void {
    this.#context.log.warn('chunks.pack-not-collected', { pack, error: error.message });
    if (this.#problems.length < PROBLEMS_MAX)
      this.#problems.push({ pack, code: error.code, sentence: `Pack ${pack} was kept as it is: ${error.message}` });
  }

  async #collectQuiet(pack: PackId, log: DiscardLog, isOpenHere: boolean, isPreview: boolean): Promise<void> {
    let survey = await this.#survey(pack);
    if (survey === undefined) return;
    if (survey.plan.action === 'keep' || isPreview) return this.#note(survey);
    await this.#beforeTaking();
    // What the report compares with: sealing adds bytes that are gone again at once.
    const { bytesBefore, chunksDiscarded } = survey.plan;
    if (isOpenHere) {
      if (!(await this.#context.packs.finish(pack, this.#context.commit))) return;
      survey = await this.#survey(pack);
    }
    // From here on nobody of this process is told of a record here that has no row.
    this.#context.known.forgetPack(pack);
    for (let tries = 0; tries < TRIES_MAX && survey !== undefined; tries++) {
      this.#checkSignal();
      await this.#discard(survey, log);
      survey = await this.#survey(pack, 'discarded');
      if (survey === undefined) return;
      if (survey.plan.action === 'keep') return this.#note(survey);
      if (await this.#settle(survey, log))
        return this.#note({ ...survey, plan: { ...survey.plan, bytesBefore, chunksDiscarded } });
    }
  }

  #note({ row, plan }: Survey): void {
    this.#packs.push(plan);
    const { count, bytes } = plan.waiting;
    this.#waiting = { count: this.#waiting.count + count, bytes: this.#waiting.bytes + bytes };
    if (plan.action === 'keep') this.#keep({ ...row, liveBytes: row.liveBytes + bytes });
  }

  /**
   * Reads the pack's index and the rows of all its chunks; undefined for a pack that is gone. After what is due was
   * discarded nothing more is: a base that lost its last patch just now waits for the next collection.
   */
  async #survey(pack: PackId, after?: 'discarded'): Promise<Survey | undefined> {
    const { index, realm, idBytes, objects, known } = this.#context;
    const row = await index.get('packs', [realm, pack]);
    if (row === undefined) return undefined;
    const from: PackObject = { realm, pack, object: row.object, lengthBytes: row.lengthBytes, idBytes };
    const info = await objects.head(row.object);
    if (info === undefined) throw new Fault('not-found', `There is no object ${row.object}.`, { object: row.object });
    const entries = (await this.#context.packs.find(pack)?.entries()) ?? (await this.#entriesOf(row, from));
    const horizon = this.#horizon();
    const sums = { live: noRecords(), waiting: noRecords(), due: noRecords() };
    const [named, due, unnamed] = [[] as IndexEntry[], [] as ChunkRow[], [] as ChunkId[]];
    const seen = new Set<string>();
    for (const [number, entry] of entries.entries()) {
      if (number % ROWS_PER_TURN === ROWS_PER_TURN - 1) await breath();
      const key = keyOfId(entry.id);
      if (seen.has(key)) continue;
      seen.add(key);
      const chunk = await index.get('chunks', [realm, entry.id]);
      if (chunk?.pack !== pack) {
        unnamed.push(entry.id);
        continue;
      }
      named.push(entry);
      const isDue =
        after === undefined && chunk.refs === 0 && (chunk.zeroSeconds ?? horizon) <= horizon && !known.holds.has(key);
      if (isDue) due.push(chunk);
      add(chunk.refs > 0 ? sums.live : isDue ? sums.due : sums.waiting, entry.length);
    }
    if (sums.live.count < row.liveCount) await this.#checkComplete(row, sums.live.count);
    const isClaimed = unnamed.some((id) => known.holds.has(keyOfId(id)));
    const facts = { pack, object: row.object, objectBytes: info.lengthBytes, idBytes, isClaimed, ...sums };
    const { live, waiting } = sums;
    const needed = { count: live.count + waiting.count, bytes: live.bytes + waiting.bytes };
    return { row, from, plan: planPack(facts, this.#options), named, due, unnamed, needed, isClaimed };
  }

  /** All records. What cannot be told for certain is damage: then the pack is better left alone. */
  async #entriesOf(row: PackRow, from: PackObject): Promise<readonly IndexEntry[]> {
    const { objects } = this.#context;
    const damaged = (what: string): Fault => {
      const { pack, object } = row;
      return new Fault('corrupt', `${what} is damaged (object ${object}). Run \`holdfast check\`.`, { pack, object });
    };
    if (row.state !== PACK_STATE.open) {
      const sealed = await loadIndex(objects, from);
      if (sealed === undefined) throw damaged('Its index');
      return [...sealed.index.entries()];
    }
    const places = await recordPlaces(objects, from, (offset) => {
      throw damaged(`Its record at offset ${offset}`);
    });
    return [...places].map(([key, place]) => ({ id: idOfKey(key), ...place }));
  }

  /** Fewer living chunks were found than the row counts: they died meanwhile, or the index does not have them. */
  async #checkComplete(before: PackRow, found: number): Promise<void> {
    const row = await this.#context.index.get('packs', [before.realm, before.pack]);
    if (row === undefined || row.liveCount !== before.liveCount) return;
    const sentence = `It counts ${row.liveCount} living chunks, but its index has ${found}. Run \`holdfast check\`.`;
    throw new Fault('corrupt', sentence, { pack: row.pack, object: row.object });
  }

  /** Chunks that lost their last name after this moment (wall seconds) wait. */
  #horizon(): number {
    const { clock, readings } = this.#context;
    const oldest = readings.oldestSeconds() ?? Number.POSITIVE_INFINITY;
    return Math.min(clock.now().seconds - this.#options.graceSeconds, oldest - 1);
  }

  /** Stage 1. What somebody revives meanwhile stays. */
  async #discard({ row, due }: Survey, log: DiscardLog): Promise<void> {
    const { known, realm, clock } = this.#context;
    for (let at = 0; at < due.length; at += STEP_ROWS) {
      const step = due.slice(at, at + STEP_ROWS);
      const doomed = new Set(known.doom(step.map(({ id }) => keyOfId(id))));
      try {
        const ids = await this.#deleteRows(step.filter(({ id }) => doomed.has(keyOfId(id))));
        await this.#step('rows-deleted');
        if (ids.length > 0) await this.#noteDiscards(log, { realm, pack: row.pack, seconds: clock.now().seconds, ids });
        await this.#step('discards-noted');
      } finally {
        known.spare([...doomed]);
      }
      await this.#options.pause?.();
    }
  }

  /** A hint: on a full disk there may be no room for it, and none is needed. */
  async #noteDiscards(log: DiscardLog, frame: DiscardFrame): Promise<void> {
    try {
      await log.append(frame);
    } catch (error) {
      if (!Fault.is(error, 'full', 'io')) throw error;
      this.#context.log.warn('chunks.discards-not-noted', { pack: frame.pack, error: error.message });
    }
  }

  /** Answers those that are gone, durably. When one has changed since it was read, none goes this time. */
  async #deleteRows(rows: readonly ChunkRow[]): Promise<readonly ChunkId[]> {
    if (rows.length === 0) return [];
    const expects = rows.map(({ realm, id, pack, zeroSeconds }): Expect => {
      return { kind: 'row', table: 'chunks', key: [realm, id], equals: { pack, refs: 0, zeroSeconds } };
    });
    const deletes = rows.map(({ realm, id }) => ({ table: 'chunks', key: [realm, id] }) as const);
    const isDone = await this.#tryCommit({ now: this.#context.clock.now(), expects, deletes });
    return isDone ? rows.map(({ id }) => id) : [];
  }

  async #tryCommit(change: Change): Promise<boolean> {
    try {
      await this.#context.commit(change);
      return true;
    } catch (error) {
      if (Fault.is(error, 'conflict')) return false;
      throw error;
    }
  }

  /** Stage 2. False when somebody was faster and the pack has to be looked at again. */
  async #settle(survey: Survey, log: DiscardLog): Promise<boolean> {
    const { row, unnamed } = survey;
    const { realm, pack, object, state, lengthBytes } = row;
    const expects: readonly Expect[] = [
      { kind: 'row', table: 'packs', key: [realm, pack], equals: { object, state, lengthBytes } },
      { kind: 'unnamed', realm, pack, chunks: unnamed },
    ];
    return survey.named.length === 0 ? this.#drop(survey, expects, log) : this.#rewrite(survey, expects, log);
  }

  async #drop({ row }: Survey, expects: readonly Expect[], log: DiscardLog): Promise<boolean> {
    const { clock, reader } = this.#context;
    const deletes = [{ table: 'packs', key: [row.realm, row.pack] }] as const;
    if (!(await this.#tryCommit({ now: clock.now(), expects, deletes, puts: log.checkpoint() }))) return false;
    reader.forgetPack(row.pack);
    await this.#step('dropped');
    await this.#retire(row.object);
    return true;
  }

  async #rewrite({ row, from, named }: Survey, expects: readonly Expect[], log: DiscardLog): Promise<boolean> {
    const { clock, random, reader } = this.#context;
    const object = `${PACK_FOLDER}${hexOf(random.bytes(OBJECT_NAME_BYTES))}`;
    const verifiedSeconds = clock.now().seconds;
    this.#ours.add(object);
    let [isUnused, isInDoubt] = [true, false];
    try {
      const { signal, pause } = this.#options;
      const copy = await copyPack(this.#context, {
        as: from,
        to: object,
        sources: [{ from, entries: named }],
        signal,
        pause,
      });
      await this.#step('copied');
      const sealed = { object, state: PACK_STATE.sealed, owner: '', verifiedSeconds };
      const after = { ...row, ...sealed, lengthBytes: copy.lengthBytes, recordCount: copy.index.count };
      const put = { table: 'packs', mode: 'replace', row: after } as const;
      reader.keepIndex(object, copy.index);
      // A commit that fails on the disk leaves open which of the two objects the next start will find named.
      isInDoubt = true;
      isUnused = !(await this.#tryCommit({ now: clock.now(), expects, puts: [put, ...log.checkpoint()] }));
      isInDoubt = false;
    } catch (error) {
      isInDoubt &&= !Fault.is(error, 'full');
      throw error;
    } finally {
      reader.forgetPack(row.pack);
      // Where that fails too, the next collection finds it.
      if (isUnused && !isInDoubt) await this.#context.objects.delete(object).catch(() => {});
      // In doubt it is no garbage to any collection of this process, this one's own sweep included: rows as they read now
      // do not name it, and the next start may find that they do.
      if (!isInDoubt) this.#ours.delete(object);
    }
    if (isUnused) return false;
    await this.#step('switched');
    await this.#retire(row.object);
    return true;
  }

  /** Stage 3. Packs that this collection has changed already are left to the next. */
  async #join(log: DiscardLog): Promise<void> {
    const changed = new Set(this.#packs.filter(({ action }) => action !== 'keep').map(({ pack }) => pack));
    const sealed: PackRow[] = [];
    for await (const row of packRows(this.#context)) {
      // One in which damage was found would spoil the others' chance until it is healed.
      const isSound = row.state === PACK_STATE.sealed && row.verifiedSeconds !== 0;
      if (isSound && row.liveCount > 0 && !changed.has(row.pack)) sealed.push(row);
    }
    const rule = { packBytesMax: this.#context.packBytesMax, joinedBytesMax: JOINED_BYTES_MAX };
    for (const group of planJoins(sealed, rule)) {
      this.#checkSignal();
      await this.#joinGroup(group, log);
      await this.#options.pause?.();
    }
  }

  async #joinGroup(group: readonly PackRow[], log: DiscardLog): Promise<void> {
    const { packs } = this.#context;
    const isPreview = this.#options.isPreview === true;
    const held: PackId[] = [];
    try {
      for (const { pack } of group) if (isPreview || packs.withhold(pack)) held.push(pack);
      await this.#joinQuiet(held, log, isPreview);
    } catch (error) {
      if (!Fault.is(error, 'corrupt', 'not-found', 'io', 'full')) throw error;
      // Each stays as it is; a check names what is damaged.
      const sentence = { packs: group.length, error: error.message };
      this.#context.log.warn('chunks.packs-not-joined', sentence);
    } finally {
      if (!isPreview) for (const pack of held) packs.restore(pack);
    }
  }

  async #joinQuiet(packs: readonly PackId[], log: DiscardLog, isPreview: boolean): Promise<void> {
    const surveys: Survey[] = [];
    for (const pack of packs) {
      const survey = await this.#survey(pack);
      if (survey !== undefined && !survey.isClaimed && survey.needed.count > 0) surveys.push(survey);
    }
    if (surveys.length < 2) return;
    if (isPreview) return this.#noteJoined(surveys);
    await this.#beforeTaking();
    for (const { row } of surveys) this.#context.known.forgetPack(row.pack);
    const left: Survey[] = [];
    for (const survey of surveys) {
      await this.#discard(survey, log);
      const now = await this.#survey(survey.row.pack, 'discarded');
      if (now !== undefined) left.push(now);
    }
    await this.#copyJoined(left);
    const joined: Survey[] = [];
    for (const [at, { row }] of left.entries()) {
      // Whoever names something of it again meanwhile keeps it.
      const now = await this.#survey(row.pack, 'discarded');
      if (now === undefined || now.named.length > 0 || now.isClaimed) continue;
      if (await this.#settle(now, log)) joined.push(surveys[at] ?? now);
    }
    this.#noteJoined(joined);
  }

  /** What joined packs had is reported with each, and the new object with the first. */
  #noteJoined(surveys: readonly Survey[]): void {
    const count = surveys.reduce((sum, { needed }) => sum + needed.count, 0);
    const bytes = surveys.reduce((sum, { needed }) => sum + needed.bytes, 0);
    const wholeBytes = PACK_HEADER_BYTES + bytes + sealBytesOf(count, this.#context.idBytes);
    for (const [at, { row, plan, due }] of surveys.entries()) {
      const { pack, object, bytesBefore, waiting } = plan;
      const bytesAfter = at === 0 ? wholeBytes : 0;
      const chunksDiscarded = due.length;
      this.#unkeep(row, waiting);
      this.#packs.push({ pack, object, action: 'join', bytesBefore, bytesAfter, chunksDiscarded, waiting });
    }
  }

  /** The pack was counted as kept before it was joined. */
  #unkeep(row: PackRow, waiting: Records): void {
    const before = this.#keptBytes;
    this.#keep({ ...row, liveBytes: row.liveBytes + waiting.bytes });
    this.#keptBytes = Math.max(0, 2 * before - this.#keptBytes);
  }

  /** Afterwards the index names the new pack for all that the others had, but what somebody else has changed meanwhile. */
  async #copyJoined(surveys: readonly Survey[]): Promise<void> {
    const { clock, random, reader, meta, realm, idBytes } = this.#context;
    const object = `${PACK_FOLDER}${hexOf(random.bytes(OBJECT_NAME_BYTES))}`;
    const pack = await meta.leaseIds('pack', 1);
    const now = clock.now();
    this.#ours.add(object);
    let [isNamed, isInDoubt] = [false, false];
    try {
      const { signal, pause } = this.#options;
      const sources = surveys.map(({ from, named }) => ({ from, entries: named }));
      const copy = await copyPack(this.#context, { as: { realm, pack, idBytes }, to: object, sources, signal, pause });
      await this.#step('join-copied');
      const row: PackRow = {
        ...{ realm, pack, object, state: PACK_STATE.sealed, owner: '' },
        ...{ lengthBytes: copy.lengthBytes, recordCount: copy.index.count, liveBytes: 0, liveCount: 0 },
        ...{ createdSeconds: now.seconds, verifiedSeconds: now.seconds },
      };
      reader.keepIndex(object, copy.index);
      for (const { row: from, named } of surveys) {
        for (let at = 0; at < named.length; at += STEP_ROWS) {
          isInDoubt = true;
          const isDone = await this.#switchRows(from.pack, row, named.slice(at, at + STEP_ROWS), isNamed);
          isNamed ||= isDone;
          isInDoubt = isNamed;
          await this.#step('join-switched');
        }
        reader.forgetPack(from.pack);
      }
    } catch (error) {
      isInDoubt &&= !Fault.is(error, 'full');
      throw error;
    } finally {
      // Nothing was switched to it. Where that fails too, the next collection finds it.
      if (!isNamed && !isInDoubt) await this.#context.objects.delete(object).catch(() => {});
      if (isNamed || !isInDoubt) this.#ours.delete(object);
    }
  }

  /** The pack's row comes with the first of them. False when nothing of it was done. */
  async #switchRows(from: PackId, to: PackRow, entries: readonly IndexEntry[], isThere: boolean): Promise<boolean> {
    const { index, realm, clock } = this.#context;
    const rows: ChunkRow[] = [];
    for (const { id } of entries) {
      const row = await index.get('chunks', [realm, id]);
      if (row?.pack === from) rows.push(row);
    }
    if (rows.length === 0) return false;
    const pack = { table: 'packs', mode: 'insert', row: to } as const;
    return await this.#tryCommit({
      now: clock.now(),
      expects: rows.map(
        ({ id }): Expect => ({ kind: 'row', table: 'chunks', key: [realm, id], equals: { pack: from } }),
      ),
      puts: [
        ...(isThere ? [] : [pack]),
        ...rows.map((row) => ({ table: 'chunks', mode: 'replace', row: { ...row, pack: to.pack } }) as const),
      ],
    });
  }

  /** The object has no row any more: it goes when nobody walks through it. */
  async #retire(object: string): Promise<void> {
    const { epochs } = this.#context;
    this.#ours.add(object);
    const gone = epochs.passed().then(() => this.#deleteRetired(object));
    if (!epochs.isPinned) await gone;
    await this.#step('object-deleted');
  }

  async #deleteRetired(object: string): Promise<void> {
    try {
      await this.#context.objects.delete(object);
    } catch (error) {
      this.#context.log.warn('chunks.object-not-deleted', { object, error: String(error) });
    } finally {
      this.#ours.delete(object);
    }
  }

  /** Objects that no row names. They are listed first: a pack has its row before its object's first byte. */
  async #sweep(log: DiscardLog): Promise<void> {
    const { objects } = this.#context;
    const found = new Map<string, number>();
    for (const prefix of [PACK_FOLDER, DISCARD_FOLDER]) {
      for (let after: string | undefined; ; ) {
        const page = await objects.list({ prefix, ...(after === undefined ? {} : { after }) });
        for (const { name, lengthBytes } of page.objects)
          if (!this.#ours.has(name) && !log.isWriting(name)) found.set(name, lengthBytes);
        after = page.next;
        if (after === undefined) break;
      }
    }
    // Every realm's: what another one names is no garbage either.
    for await (const row of allPackRows(this.#context.meta)) found.delete(row.object);
    for (const [object, bytes] of found) {
      if (this.#ours.has(object)) continue;
      if (this.#options.isPreview !== true) {
        await this.#beforeTaking();
        await objects.delete(object);
      }
      this.#orphans.push({ object, bytes });
    }
    await this.#step('swept');
  }
}

async function* allPackRows(meta: MetaStore): AsyncGenerator<PackRow> {
  let after: readonly number[] | undefined;
  for (;;) {
    const rows: readonly PackRow[] = await meta.scan('packs', { prefix: [], limit: 1_000, ...(after && { after }) });
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined) return;
    after = [last.realm, last.pack];
  }
}

interface Sum {
  count: number;
  bytes: number;
}

function noRecords(): Sum {
  return { count: 0, bytes: 0 };
}

function add(sum: Sum, bytes: number): void {
  sum.count++;
  sum.bytes += bytes;
}
