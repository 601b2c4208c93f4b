/**
 * Puts the parts of the room together. Opening reads nothing: packs that an earlier process left open are looked for
 * at the first write, indexes at the first read, threads start with the first batch worth one; so that a command that
 * reads one small file pays for nothing else.
 */
import { andThen, assert, type Clock, Fault, hexOf, type Log, type Maybe, type Random, Turns } from '../base/index.ts';
import type { Change, ChunkId, MetaReader, MetaStore, PackId, RealmId } from '../meta/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import type { ChunkFormat, ChunkStore } from './chunk-store.ts';
import { type Chunker, checkChunkFormat, newChunker, windowBytesOf } from './cutting/chunker.ts';
import { Compressibility } from './cutting/compressibility.ts';
import { cuttingKeysOf } from './cutting/cutting.ts';
import { bufferOf } from './hashes/content-hash.ts';
import { ID_BYTES, type IdHasher, keyOfId, newIdHasher } from './hashes/ids.ts';
import { type ChunkStoreOptions, DEFAULT_CHUNK_STORE_OPTIONS } from './options.ts';
import type { PackClaims } from './packs/pack-claims.ts';
import { PackTrust } from './packs/pack-trust.ts';
import { PackWriter } from './packs/pack-writer.ts';
import { decodeRecord, isFlaw, isRecordWhole, RECORD_HEADER_BYTES, readHeader } from './packs/record.ts';
import { ChunkReader } from './reading/chunk-reader.ts';
import { DecodeThreads } from './reading/decode-threads.ts';
import { Epochs, Readings } from './reading/readings.ts';
import { adoptPacks, forgetCollected } from './upkeep/adopt-packs.ts';
import { Collector, type CollectStep } from './upkeep/collector.ts';
import { rebuildIndex } from './upkeep/rebuild.ts';
import { type RepairContext, repairChunks } from './upkeep/repair.ts';
import { Scrubber } from './upkeep/scrub.ts';
import { chunkStats } from './upkeep/stats.ts';
import { verifyChunks } from './upkeep/verify.ts';
import { weighChunks } from './upkeep/weigh.ts';
import { BATCH_COUNT_MAX } from './writing/batch.ts';
import { inlineDraft, StreamWriter, type WriterContext } from './writing/content-writer.ts';
import { Encoder } from './writing/encoder.ts';
import { KnownChunks } from './writing/known-chunks.ts';
import { WHOLE_FILE_BYTES_MAX } from './writing/whole-file.ts';
import { TAKEN_BYTES_MAX, TAKEN_FILES_MAX, WholeFiles } from './writing/whole-files.ts';

/** A store has one realm unless it is told otherwise. */
const REALM_DEFAULT: RealmId = 1;
/** The turn of whoever works on all packs. */
const WHOLE_STORE = 'store';
/** Offsets in an index are 32 bits wide. */
const PACK_BYTES_LIMIT = 2 ** 31;

export interface OpenChunkStoreOptions {
  readonly objects: ObjectStore;
  readonly meta: MetaStore;
  /** 1 when absent. */
  readonly realm?: RealmId;
  readonly format: ChunkFormat;
  /** The store's 32 secret bytes. */
  readonly secret: Uint8Array;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly options?: ChunkStoreOptions;
  /**
   * Where readers look up chunks and packs, when somebody reads what is not committed yet; `meta` when absent. Whoever
   * is told of a pending chunk can read it.
   */
  readonly index?: Pick<MetaReader, 'get'>;
  /**
   * Commits a change among those of the others, in order; answers when it is durable. Needed where changes are pending
   * in memory (`index`): then nobody may go past them. `meta.commit` when absent.
   */
  readonly commit?: (change: Change) => Promise<unknown>;
  /**
   * Called before a collection that has something to take away takes the first of it: a checkpoint of the metadata that is made now needs none of it, where
   * an older one may. Must not reject.
   */
  readonly beforeCollect?: () => Promise<void>;
  /**
   * Whether there is room for so many new bytes, in packs or (`isRow`) in rows of the metadata; a collection does not
   * ask. @throws Fault `full`.
   */
  readonly requireRoom?: (bytes: number, isRow?: boolean) => Maybe<void>;
  /** Told where a collection is: tests cut it off there. */
  readonly onCollectStep?: (step: CollectStep) => Maybe<void>;
}

/**
 * The caller holds the store alone: no other process writes to its packs. It closes `objects` and `meta` itself, later.
 * @throws Fault `invalid` when format, secret or options do not fit.
 */
export async function openChunkStore(wanted: OpenChunkStoreOptions): Promise<ChunkStore> {
  const { objects, meta, realm = REALM_DEFAULT, format, secret, clock, random, log } = wanted;
  checkChunkFormat(format);
  const options = fittingOptions(wanted.options ?? DEFAULT_CHUNK_STORE_OPTIONS, windowBytesOf(format));
  const idOf = newIdHasher(format.idAlgorithm, secret);
  const idBytes = ID_BYTES[format.idAlgorithm];
  const { idCacheEntries, pendingEntries } = options;
  const nowSeconds = (): number => clock.now().seconds;
  const trust = new PackTrust({
    ...{ meta, realm, clock, log },
    verifyAfterSeconds: options.verifyAfterSeconds,
    findOpen: (pack) => packs.find(pack),
    onSuspect: () => known.forgetTrusted(),
  });
  // Where ids are no proof (xxh3-128), every hit is compared with what is there, and nothing is healed from what comes.
  const isCompared = format.idAlgorithm === 'xxh3-128';
  const known = new KnownChunks({
    ...{ meta, realm, idCacheEntries, pendingEntries, trust, nowSeconds },
    verify: isCompared ? undefined : (id) => isReadable(reader, id),
  });
  function onDamage(id: ChunkId, pack: PackId): void {
    reader.forget(id);
    known.forgetDamaged(keyOfId(id));
    trust.suspect(pack);
  }
  const requireRoom = wanted.requireRoom ?? (() => undefined);
  const packs = new PackWriter({
    ...{ objects, meta, realm, idBytes, clock, random, log, options },
    onSealed: (pack, index) => reader.keepIndex(pack.row.object, index),
    onLost: (pack) => known.forgetLost(pack),
    requireRoom,
  });
  const workerData = { idAlgorithm: format.idAlgorithm, secret };
  const threads =
    options.workerCount === 0 ? undefined : new DecodeThreads({ count: options.workerCount, workerData, clock, log });
  const index = wanted.index ?? meta;
  const readings = new Readings(nowSeconds);
  const reader = new ChunkReader({
    objects,
    index,
    realm,
    idBytes,
    idOf,
    packs,
    threads,
    log,
    options,
    readings,
    onDamage,
  });
  // Made with the first writer: their memory is several megabytes, and most commands only read.
  let chunker: Chunker | undefined;
  let made: Encoder | undefined;
  const newEncoder = (): Encoder =>
    new Encoder({
      ...{ realm, packs, clock, options, format, secret },
      onFailed: (chunk) => known.forget(chunk),
    });
  const writers = new Set<StreamWriter>();
  const claimed = new Set<PackClaims>();
  const writerContext: WriterContext = {
    ...{ realm, format, idOf, known, nowSeconds, log, requireRoom },
    get chunker() {
      chunker ??= newChunker(format, secret);
      return chunker;
    },
    get encoder() {
      made ??= newEncoder();
      return made;
    },
    beginnings: new Compressibility(),
    readBack: isCompared
      ? (id, chunk) => (chunk?.pack === undefined ? reader.readOnce(id) : reader.readAppended(id, chunk.pack))
      : undefined,
    onClosed: (writer) => writers.delete(writer),
  };

  let files: WholeFiles | undefined;
  const filesOf = (): WholeFiles => {
    files ??= new WholeFiles({
      ...{ realm, format, secret, known, packs, clock, log, isCompared },
      encoder: writerContext.encoder,
      threadCount: options.workerCount,
      onClaim: (claims) => claimed.add(claims),
      onReleased: (claims) => claimed.delete(claims),
    });
    return files;
  };

  async function sync(): Promise<readonly Change[]> {
    await packs.sync();
    for (const { lostFault } of [...writers, ...claimed]) if (lostFault !== undefined) throw lostFault;
    return packs.changes();
  }

  const maintenance = { objects, meta, realm, idBytes, packs, reader, clock, random, log, trust, onDamage };
  const epochs = new Epochs();
  const repairing: RepairContext = {
    ...{ realm, format, secret, idOf, index, packs, clock, log },
    commit: wanted.commit ?? ((change) => commitTo(meta, change)),
    onRepaired: (id) => {
      reader.forget(id);
      known.forgetDamaged(keyOfId(id));
    },
  };
  const scrubber = new Scrubber({ ...maintenance, epochs });
  const collector = new Collector({
    ...maintenance,
    ...{ index, known, readings, epochs, onStep: wanted.onCollectStep },
    packBytesMax: options.packBytesMax,
    beforeTaking: async () => await wanted.beforeCollect?.(),
    commit: wanted.commit ?? ((change) => commitTo(meta, change)),
  });
  /** What makes chunk rows of records, and what takes records away, do not go together. */
  const turns = new Turns();
  let closing: Promise<void> | undefined;
  async function closeAll(): Promise<void> {
    await Promise.all([...writers].map((writer) => writer[Symbol.asyncDispose]()));
    await files?.[Symbol.asyncDispose]();
    await made?.[Symbol.asyncDispose]();
    await threads?.[Symbol.asyncDispose]();
    await trust.close();
    await packs.close();
  }

  const store: ChunkStore = {
    cuttingKeys: () => cuttingKeysOf(format, secret),
    realm,
    format,
    newWriter(writerOptions) {
      if (closing !== undefined) throw closingFault();
      const writer = new StreamWriter(writerContext, writerOptions);
      writers.add(writer);
      return writer;
    },
    keepInline(plain, level) {
      if (closing !== undefined) throw closingFault();
      return andThen(writerContext.requireRoom(plain.length, true), () => inlineDraft(writerContext, plain, level));
    },
    ...(options.workerCount === 0
      ? {}
      : {
          files: {
            ...{ fileBytesMax: WHOLE_FILE_BYTES_MAX, filesMax: TAKEN_FILES_MAX, bytesMax: TAKEN_BYTES_MAX },
            async take(wanted) {
              if (closing !== undefined) throw closingFault();
              return filesOf().take(wanted);
            },
          },
        }),
    read: (id, readOptions) => reader.read(id, readOptions),
    readNow: (id) => reader.readNow(id),
    readAll: (slices, readOptions) => reader.readAll(slices, readOptions),
    beginReading: () => readings.begin(),
    readInline: (record) => readInline(record, idOf),
    sync,
    async verify(verifyOptions) {
      using _epoch = epochs.pin();
      return await verifyChunks(maintenance, verifyOptions);
    },
    repair: (repairOptions) => turns.run(WHOLE_STORE, () => repairChunks(repairing, repairOptions)),
    scrub: (scrubOptions) => scrubber.next(scrubOptions),
    rebuildIndex: (rebuildOptions) =>
      turns.run(WHOLE_STORE, async () => {
        // Everything written so far is to be found in the packs, and what was known of rows is no longer so.
        await made?.drain();
        await packs.sync();
        const count = await rebuildIndex(maintenance, rebuildOptions);
        known.forgetCommitted();
        return count;
      }),
    collect: (collectOptions) => turns.run(WHOLE_STORE, () => collector.collect(collectOptions)),
    async adoptPacks(adoptOptions) {
      const adopted = await adoptPacks(maintenance, adoptOptions?.signal);
      await store.rebuildIndex(adoptOptions);
      return { ...adopted, ...(await forgetCollected(maintenance, adoptOptions?.signal)) };
    },
    weigh: (chunks, rule) => weighChunks(maintenance, chunks, rule),
    stats: () => chunkStats(maintenance),
    close() {
      closing ??= closeAll();
      return closing;
    },
    [Symbol.asyncDispose]: () => store.close(),
  };
  return store;
}

function closingFault(): Fault {
  return new Fault('unavailable', 'The store is closing and takes no more files.');
}

async function commitTo(meta: MetaStore, change: Change): Promise<void> {
  const [outcome] = await meta.commit([change]);
  assert(outcome !== undefined, 'a change has an outcome');
  if (!outcome.ok) throw outcome.fault;
}

/** Whether the pack's record of the chunk is whole. What cannot be read now can be stored anew, whatever the reason. */
async function isReadable(reader: ChunkReader, id: ChunkId): Promise<boolean> {
  try {
    await reader.readFresh(id);
    return true;
  } catch (error) {
    if (Fault.is(error, 'corrupt', 'io')) return false;
    throw error;
  }
}

/** A batch holds at least what one window may cut, headers included: then two always take it. */
function fittingOptions(options: ChunkStoreOptions, windowBytes: number): ChunkStoreOptions {
  if (options.packBytesMax > PACK_BYTES_LIMIT)
    throw new Fault('invalid', `A pack may have at most ${PACK_BYTES_LIMIT} bytes.`, {
      packBytesMax: options.packBytesMax,
    });
  return { ...options, batchBytes: Math.max(options.batchBytes, windowBytes + BATCH_COUNT_MAX * RECORD_HEADER_BYTES) };
}

function readInline(record: Uint8Array, idOf: IdHasher): Uint8Array {
  const header = readHeader(record);
  const flaw = isFlaw(header)
    ? header.flaw
    : isRecordWhole(record, 0, header)
      ? undefined
      : 'it does not match its checksum';
  if (isFlaw(header) || flaw !== undefined)
    throw new Fault('corrupt', `A small file's bytes in the metadata are damaged: ${flaw}.`, {
      damage: 'inline-damaged',
    });
  const plain = decodeRecord(record, 0, header);
  if (bufferOf(idOf(plain)).equals(header.id)) return plain;
  const chunk = hexOf(header.id);
  throw new Fault('corrupt', "A small file's bytes in the metadata do not match their id.", {
    chunk,
    damage: 'inline-damaged',
  });
}
