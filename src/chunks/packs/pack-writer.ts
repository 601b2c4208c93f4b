/**
 * The writing side of packs: batches of records go, in order of completion, into the one pack that is open; a full pack
 * is sealed and the next one opened. Packs that an earlier process left open are filled up first.
 *
 * Order that a crash cannot break: the pack's row is committed before its first byte; records are made durable by
 * `sync`, which answers the rows that must be committed with (or before) the changes that name those records; a row
 * therefore never counts a byte that could be lost. Until the row of a sealed pack is committed it counts as open, and
 * the next process cuts index and footer off again. Rows are answered again until the metadata shows them.
 */
import { assert, type Clock, Fault, hexOf, type Log, type Maybe, type Random } from '../../base/index.ts';
import { type Change, type MetaStore, PACK_STATE, type PackId, type PackRow, type RealmId } from '../../meta/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { ChunkStoreOptions } from '../options.ts';
import { type NewPlace, OpenPack } from './open-pack.ts';
import { type PackIndex, sealBytesOf } from './pack-format.ts';

/** Ids of packs taken from the metadata at once. */
const PACK_IDS_LEASED = 16;
/** Rows read at once while looking for packs that were left open. */
const SCAN_ROWS = 1_000;
/** Batches that one append carries at most. */
const BATCHES_PER_APPEND = 4;
const OBJECT_NAME_BYTES = 16;
const OWNER_BYTES = 8;

export interface PackWriterContext {
  readonly objects: ObjectStore;
  readonly meta: MetaStore;
  readonly realm: RealmId;
  readonly idBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly options: ChunkStoreOptions;
  /** @throws Fault `full` where there is no room for so many bytes. */
  readonly requireRoom: (bytes: number) => Maybe<void>;
  /** A pack was sealed: its index, so that nobody has to read it back. */
  readonly onSealed: (pack: OpenPack, index: PackIndex) => void;
  /** A pack takes no more records and what was not durable of it is lost. */
  readonly onLost: (pack: OpenPack) => void;
}

export interface RecordBatch {
  /** Whole records, one behind the other. */
  readonly parts: readonly Uint8Array[];
  readonly places: readonly NewPlace[];
  readonly lengthBytes: number;
}

/** Where a batch went. */
export interface Appended {
  readonly pack: OpenPack;
  readonly offset: number;
}

interface Waiting {
  readonly batch: RecordBatch;
  readonly done: (appended: Appended) => void;
  readonly fail: (error: unknown) => void;
}

export class PackWriter {
  readonly #context: PackWriterContext;
  readonly #owner: string;
  #waiting: Waiting[] = [];
  #appending: Promise<void> | undefined;
  #current: OpenPack | undefined;
  /** Open or sealed, with bytes or rows that are not yet known to be durable and committed. */
  readonly #unsettled = new Map<PackId, OpenPack>();
  #leftOpen: PackRow[] | undefined;
  /** The one of these that is being opened. */
  #takingOver: PackId | undefined;
  /** Packs that somebody else works on: they are not gone on with. */
  readonly #withheld = new Set<PackId>();
  #ids: { next: PackId; left: number } = { next: 0, left: 0 };
  #syncing: Promise<void> | undefined;
  #nextSync: Promise<void> | undefined;

  constructor(context: PackWriterContext) {
    this.#context = context;
    this.#owner = hexOf(context.random.bytes(OWNER_BYTES));
  }

  /** Packs that this process writes to or has not seen settled. */
  find(pack: PackId): OpenPack | undefined {
    return this.#unsettled.get(pack);
  }

  /** Resolves when the records can be read. @throws the backend's faults; then none of them is there. */
  append(batch: RecordBatch): Promise<Appended> {
    return new Promise((done, fail) => {
      this.#waiting.push({ batch, done, fail });
      this.#appending ??= this.#run();
    });
  }

  /** Makes durable what was appended before the call, shared with others that wait for the same. */
  sync(): Promise<void> {
    if (this.#syncing === undefined) {
      this.#syncing = this.#syncAll().finally(() => {
        this.#syncing = undefined;
      });
      return this.#syncing;
    }
    // The one under way may have begun before our records were there; the next one is for all who come meanwhile.
    this.#nextSync ??= this.#syncing
      .catch(() => {})
      .then(() => {
        this.#nextSync = undefined;
        return this.sync();
      });
    return this.#nextSync;
  }

  /** Nothing is appended to the pack from now on, until `restore`. False when this process writes it. */
  withhold(pack: PackId): boolean {
    if (this.#unsettled.has(pack) || this.#takingOver === pack) return false;
    this.#withheld.add(pack);
    return true;
  }

  restore(pack: PackId): void {
    this.#withheld.delete(pack);
    // Looked for again when one is needed: it may be open still, or sealed by now.
    this.#leftOpen = undefined;
  }

  /**
   * Seals the pack if it takes records now, behind what is being appended, makes that durable and has its row committed.
   * True when this process has nothing more to do with the pack.
   */
  async finish(pack: PackId, commit: (change: Change) => Promise<unknown>): Promise<boolean> {
    while (this.#appending !== undefined) await this.#appending;
    if (this.#current?.row.pack === pack) await this.#seal(this.#current);
    await this.sync();
    const open = this.#unsettled.get(pack);
    // Only what is final: a row that still grows would go back behind what others commit meanwhile.
    if (open === undefined || !open.durable.isSealed) return open === undefined;
    const change = await this.#changeOf(open);
    if (change !== undefined) await commit(change);
    await this.#changeOf(open);
    return !this.#unsettled.has(pack);
  }

  /** Rows of packs that say less than what is durable. */
  async changes(): Promise<readonly Change[]> {
    const changes: Change[] = [];
    for (const pack of [...this.#unsettled.values()]) {
      const change = await this.#changeOf(pack);
      if (change !== undefined) changes.push(change);
    }
    return changes;
  }

  async close(): Promise<void> {
    await this.#appending;
    await this.sync().catch(() => {});
    await Promise.all([...this.#unsettled.values()].map((pack) => pack.close()));
  }

  async #changeOf(pack: OpenPack): Promise<Change | undefined> {
    const known = await this.#context.meta.get('packs', [pack.row.realm, pack.row.pack]);
    // What is known of its records is not only ours to say: a check, or a reader before us, may have noted it.
    const verifiedSeconds = pack.verifiedSeconds ?? known?.verifiedSeconds ?? null;
    const row = { ...pack.rowNow(), verifiedSeconds };
    const isKnown =
      known?.lengthBytes === row.lengthBytes &&
      known.state === row.state &&
      known.recordCount === row.recordCount &&
      known.verifiedSeconds === verifiedSeconds;
    if (!isKnown) return this.#rowChange(row, 'replace');
    const isFailed = pack.fault !== undefined;
    if (row.state === PACK_STATE.sealed || isFailed) {
      this.#unsettled.delete(row.pack);
      await pack.close();
    }
    return undefined;
  }

  #rowChange(row: PackRow, mode: 'insert' | 'replace'): Change {
    return { now: this.#context.clock.now(), puts: [{ table: 'packs', mode, row }] };
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batches = this.#waiting.splice(0, BATCHES_PER_APPEND);
      try {
        await this.#appendTogether(batches);
      } catch (error) {
        for (const waiting of batches) waiting.fail(error);
      }
    }
    this.#appending = undefined;
  }

  async #appendTogether(batches: readonly Waiting[]): Promise<void> {
    const lengthBytes = batches.reduce((sum, { batch }) => sum + batch.lengthBytes, 0);
    const records = batches.reduce((sum, { batch }) => sum + batch.places.length, 0);
    await this.#context.requireRoom(lengthBytes);
    await this.#roomForUnsynced(lengthBytes);
    const parts: Uint8Array[] = [];
    const places: NewPlace[] = [];
    const offsets: number[] = [];
    let offset = 0;
    for (const { batch } of batches) {
      parts.push(...batch.parts);
      for (const place of batch.places) places.push({ ...place, offset: offset + place.offset });
      offsets.push(offset);
      offset += batch.lengthBytes;
    }
    let pack = await this.#packWithRoom(lengthBytes, records);
    // A sync may have closed it (a backend without append) while we waited for it.
    while (pack.isClosed) pack = await this.#packWithRoom(lengthBytes, records);
    const at = await this.#appendTo(pack, parts, places);
    for (const [number, waiting] of batches.entries()) waiting.done({ pack, offset: at + (offsets[number] ?? 0) });
  }

  async #appendTo(pack: OpenPack, parts: readonly Uint8Array[], places: readonly NewPlace[]): Promise<number> {
    try {
      return await pack.append(parts, places);
    } finally {
      if (pack.fault !== undefined) this.#lose(pack);
    }
  }

  #lose(pack: OpenPack): void {
    if (this.#current === pack) this.#current = undefined;
    this.#context.log.error('chunks.pack-lost', {
      pack: pack.row.pack,
      object: pack.row.object,
      error: String(pack.fault),
    });
    this.#context.onLost(pack);
  }

  /** Unsynced bytes never pass their bound; a sync begins at half of it, so that waiting is rare. */
  async #roomForUnsynced(lengthBytes: number): Promise<void> {
    const bytesMax = this.#context.options.unsyncedBytesMax;
    const unsynced = (): number => this.#unsettled.values().reduce((sum, pack) => sum + pack.unsyncedBytes, 0);
    // A fault stays with the pack it happened to, and is told to whoever waits for records in it.
    if (unsynced() + lengthBytes > bytesMax) await this.sync().catch(() => {});
    else if (this.#context.objects.abilities.append && unsynced() > bytesMax / 2 && this.#syncing === undefined)
      this.sync().catch(() => {});
  }

  async #packWithRoom(lengthBytes: number, records: number): Promise<OpenPack> {
    const pack = this.#current;
    if (pack !== undefined && !this.#hasRoom(pack, lengthBytes, records)) await this.#seal(pack);
    this.#current ??= await this.#nextPack();
    return this.#current;
  }

  #hasRoom(pack: OpenPack, lengthBytes: number, records: number): boolean {
    if (pack.isClosed) return false;
    const sealBytes = sealBytesOf(pack.rowNow().recordCount + records, this.#context.idBytes);
    return pack.appendedBytes + lengthBytes + sealBytes <= this.#context.options.packBytesMax;
  }

  async #seal(pack: OpenPack): Promise<void> {
    this.#current = undefined;
    if (pack.isClosed) return;
    try {
      await pack.seal();
    } finally {
      if (pack.fault !== undefined) this.#lose(pack);
    }
    if (pack.index !== undefined) this.#context.onSealed(pack, pack.index);
    this.#context.log.debug('chunks.pack-sealed', { pack: pack.row.pack, bytes: pack.appendedBytes });
  }

  async #nextPack(): Promise<OpenPack> {
    this.#leftOpen ??= await this.#findLeftOpen();
    for (let row = this.#leftOpen.shift(); row !== undefined; row = this.#leftOpen?.shift()) {
      const pack = await this.#takeOver(row);
      if (pack !== undefined) return pack;
    }
    return await this.#newPack();
  }

  /** Packs of processes that are gone: whoever opens the store knows that no other has it open. */
  async #findLeftOpen(): Promise<PackRow[]> {
    const { meta, realm, objects } = this.#context;
    const found: PackRow[] = [];
    let after: readonly [PackId] | undefined;
    for (;;) {
      const rows = await meta.scan('packs', { prefix: [realm], limit: SCAN_ROWS, ...(after && { after }) });
      found.push(...rows.filter((row) => row.state === PACK_STATE.open));
      const last = rows.at(-1);
      if (rows.length < SCAN_ROWS || last === undefined) break;
      after = [last.pack];
    }
    // Without `append` there is nothing to go on with: what was put stands sealed, whatever its row says.
    return objects.abilities.append ? found.filter((row) => !this.#unsettled.has(row.pack)) : [];
  }

  async #takeOver({ realm, pack }: PackRow): Promise<OpenPack | undefined> {
    if (this.#withheld.has(pack)) return undefined;
    this.#takingOver = pack;
    try {
      // As it is now: it was found a while ago.
      const row = await this.#context.meta.get('packs', [realm, pack]);
      return row?.state === PACK_STATE.open ? await this.#openLeft(row) : undefined;
    } finally {
      this.#takingOver = undefined;
    }
  }

  async #openLeft(row: PackRow): Promise<OpenPack | undefined> {
    const pack = new OpenPack(this.#context, { ...row, owner: this.#owner });
    try {
      await pack.open();
    } catch (error) {
      if (!Fault.is(error, 'corrupt', 'not-found')) throw error;
      // Bytes that were durable are gone. Leave what is there to `verify`, and write elsewhere.
      this.#context.log.error('chunks.pack-damaged', { pack: row.pack, object: row.object, error: error.message });
      return undefined;
    }
    this.#unsettled.set(row.pack, pack);
    return pack;
  }

  async #newPack(): Promise<OpenPack> {
    const { meta, realm, random, clock } = this.#context;
    const row: PackRow = {
      realm,
      pack: await this.#newPackId(),
      object: `packs/${hexOf(random.bytes(OBJECT_NAME_BYTES))}`,
      state: PACK_STATE.open,
      lengthBytes: 0,
      recordCount: 0,
      liveBytes: 0,
      liveCount: 0,
      owner: this.#owner,
      createdSeconds: clock.now().seconds,
      verifiedSeconds: null,
    };
    const [outcome] = await meta.commit([this.#rowChange(row, 'insert')]);
    assert(outcome !== undefined, 'a change has an outcome');
    if (!outcome.ok) throw outcome.fault;
    const pack = new OpenPack(this.#context, row);
    await pack.open();
    this.#unsettled.set(row.pack, pack);
    return pack;
  }

  async #newPackId(): Promise<PackId> {
    if (this.#ids.left === 0)
      this.#ids = { next: await this.#context.meta.leaseIds('pack', PACK_IDS_LEASED), left: PACK_IDS_LEASED };
    this.#ids.left--;
    return this.#ids.next++;
  }

  async #syncAll(): Promise<void> {
    for (const pack of [...this.#unsettled.values()]) {
      if (pack.unsyncedBytes === 0) continue;
      try {
        await pack.sync();
      } catch (error) {
        this.#lose(pack);
        throw error;
      }
      if (pack.durable.isSealed) await this.#settleSealed(pack);
    }
  }

  async #settleSealed(pack: OpenPack): Promise<void> {
    if (this.#current === pack) this.#current = undefined;
    if (pack.index !== undefined) this.#context.onSealed(pack, pack.index);
    await pack.close();
  }
}
