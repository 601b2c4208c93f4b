/**
 * Reading everything back. Packs are streamed, record by record: header, checksum, decoding, id; then rows and records
 * are compared both ways. Memory does not grow with the store: of each pack only the number of its records that a row
 * names is kept, and rows are counted per pack in one scan; only where the two differ are that pack's rows looked at
 * one by one. A sample reads a random share of the rows instead, and the frame of every pack.
 *
 * A record that is damaged is damage when a row needs it; one that has been healed, or that nobody names, is only room.
 * What was found is noted with the packs, so that bytes that come later are not taken for stored on its strength.
 *
 * Writers may go on meanwhile: what was committed later is read once more before it is called missing.
 */
import { type Clock, Fault, hexOf, type Random } from '../../base/index.ts';
import { type ChunkId, type ChunkRow, PACK_STATE, type PackId, type PackRow } from '../../meta/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { ChunkDamage, ChunkStore, VerifyReport } from '../chunk-store.ts';
import { keyOfId } from '../hashes/ids.ts';
import { getRange, loadIndex, type PackObject, type Step, walkRecords } from '../packs/pack-file.ts';
import { isPackHeader, PACK_HEADER_BYTES, type PackIndex } from '../packs/pack-format.ts';
import type { PackTrust } from '../packs/pack-trust.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import { breath, chunkRows, packRows, type RowsContext } from './stats.ts';

/** Chunks between two turns for others, when nothing has to be waited for. */
const CHUNKS_PER_TURN = 32;

export interface VerifyContext extends RowsContext {
  readonly objects: ObjectStore;
  readonly idBytes: number;
  readonly reader: ChunkReader;
  readonly random: Random;
  readonly clock: Clock;
  readonly trust: PackTrust;
  readonly onDamage: (id: ChunkId, pack: PackId) => void;
}

type VerifyOptions = Parameters<ChunkStore['verify']>[0] & {
  /** Called after each record or stretch of damage, with its bytes. */
  readonly pause?: ((bytes: number) => Promise<void>) | undefined;
};

/** One pack alone, by the same rules; whether nothing is wrong with it. */
export async function verifyPack(
  context: VerifyContext,
  row: PackRow,
  options: VerifyOptions,
): Promise<{ readonly report: VerifyReport; readonly isWhole: boolean }> {
  const verification = new Verification(context, options);
  const isWhole = await verification.onePack(row);
  return { report: verification.report, isWhole };
}

export async function verifyChunks(context: VerifyContext, options: VerifyOptions): Promise<VerifyReport> {
  const verification = new Verification(context, options);
  const { sample } = options;
  if (sample !== undefined && sample < 1) await verification.someChunks(sample);
  else await verification.everything();
  return verification.report;
}

/** What is known of a pack after its records were read. */
interface PackFinding {
  /** Records that a row names, found whole or reported. */
  named: number;
  /** Set when the object is not there. */
  readonly missing: PackRow | undefined;
}

/** What a walk through a pack has come across. */
interface PackWalk {
  readonly row: PackRow;
  /** Of a sealed pack, when it is whole. */
  readonly index: PackIndex | undefined;
  readonly seen: Set<string>;
  /** Without an index: named chunks of which no whole record was found so far, and what is wrong with the one there is. */
  readonly flaws: Map<string, { readonly id: ChunkId; readonly sentence: string }>;
}

class Verification {
  readonly #context: VerifyContext;
  readonly #options: VerifyOptions;
  readonly report = { chunksVerified: 0, bytesVerified: 0, packsVerified: 0, orphanBytes: 0 };
  readonly #findings = new Map<PackId, PackFinding>();
  readonly #damaged = new Set<PackId>();
  #doneBytes = 0;
  #totalBytes = 0;
  #chunksThisTurn = 0;

  constructor(context: VerifyContext, options: VerifyOptions) {
    this.#context = context;
    this.#options = options;
  }

  async everything(): Promise<void> {
    const { clock, trust } = this.#context;
    const began = { seconds: clock.now().seconds, suspicionCount: trust.suspicionCount };
    for await (const row of packRows(this.#context)) this.#totalBytes += row.lengthBytes;
    for await (const row of packRows(this.#context)) {
      this.#findings.set(row.pack, await this.#verifyPack(row));
      this.report.packsVerified++;
      this.#progress(row.lengthBytes);
    }
    await this.#compareRows();
    await trust.verified(
      [...this.#findings.keys()].filter((pack) => !this.#damaged.has(pack)),
      began,
    );
  }

  /** Answers whether nothing is wrong with the pack. */
  async onePack(row: PackRow): Promise<boolean> {
    const { clock, trust } = this.#context;
    const began = { seconds: clock.now().seconds, suspicionCount: trust.suspicionCount };
    const finding = await this.#verifyPack(row);
    this.#findings.set(row.pack, finding);
    this.report.packsVerified++;
    // Chunks without a name may have left the index on the way; those with one are as many as the row says.
    if (finding.named < row.liveCount) await this.#findMissing(new Set([row.pack]));
    const isWhole = !this.#damaged.has(row.pack);
    if (isWhole) await trust.verified([row.pack], began);
    return isWhole;
  }

  /** Names a damage, and remembers it where it makes bytes unreadable. */
  #tell(damage: ChunkDamage): void {
    this.#options.onDamage(damage);
    const { pack, code, chunks } = damage;
    if (pack === undefined) return;
    this.#damaged.add(pack);
    if (code === 'pack-missing') this.#context.trust.suspect(pack);
    if (code === 'chunk-damaged' || code === 'chunk-missing') for (const id of chunks) this.#context.onDamage(id, pack);
  }

  async someChunks(share: number): Promise<void> {
    const { reader, random } = this.#context;
    for await (const row of packRows(this.#context)) {
      // A pack that is gone is damage when something in it is needed; healed chunk by chunk, nothing is.
      if (row.lengthBytes > 0 && !(await this.#isThere(() => this.#verifyFrame(row))) && row.liveCount > 0)
        this.#reportMissing(row.pack, row.object, []);
      this.report.packsVerified++;
      this.#totalBytes += row.liveBytes * share;
    }
    for await (const rows of chunkRows(this.#context)) {
      // By pack, so that each pack's index is needed once a page.
      const chosen = rows.filter(() => random.fraction() < share).sort((a, b) => a.pack - b.pack);
      for (const row of chosen) {
        this.#checkSignal();
        const plain = await this.#readOrReport(row);
        if (plain !== undefined) this.#count(plain);
        this.#progress(row.storedLength);
        await this.#turn();
      }
    }
    reader.forgetPacks();
  }

  #progress(bytes: number): void {
    this.#doneBytes += bytes;
    this.#options.onProgress?.(Math.min(this.#doneBytes, this.#totalBytes), this.#totalBytes);
  }

  #checkSignal(): void {
    if (this.#options.signal?.aborted) throw Fault.aborted(this.#options.signal, 'Verifying chunks');
  }

  async #turn(): Promise<void> {
    if (++this.#chunksThisTurn < CHUNKS_PER_TURN) return;
    this.#chunksThisTurn = 0;
    await breath();
  }

  #count(plain: Uint8Array): void {
    this.report.chunksVerified++;
    this.report.bytesVerified += plain.length;
  }

  #objectOf(row: PackRow): PackObject {
    const { realm, pack, object, lengthBytes } = row;
    return { realm, pack, object, lengthBytes, idBytes: this.#context.idBytes };
  }

  async #verifyPack(row: PackRow): Promise<PackFinding> {
    const finding: PackFinding = { named: 0, missing: undefined };
    // Nothing of it counts yet; there may not even be an object.
    if (row.lengthBytes === 0) return finding;
    const isThere = await this.#isThere(async () => {
      const index = await this.#verifyFrame(row);
      const walk: PackWalk = { row, index, seen: new Set(), flaws: new Map() };
      for await (const step of walkRecords(this.#context.objects, this.#objectOf(row))) {
        this.#checkSignal();
        if (step.kind === 'record') finding.named += await this.#verifyRecord(walk, step);
        else finding.named += await this.#reportGap(walk, step);
        await this.#turn();
        await this.#options.pause?.(step.kind === 'record' ? step.header.recordLength : step.length);
      }
      for (const { id, sentence } of walk.flaws.values()) this.#reportChunk(row, [id], sentence);
    });
    return isThere ? finding : { named: finding.named, missing: row };
  }

  /** False when there is no such object. */
  async #isThere(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (Fault.is(error, 'not-found')) return false;
      throw error;
    }
  }

  /** Length, header, index and footer; answers the index of a sealed pack when it is whole. */
  async #verifyFrame(row: PackRow): Promise<PackIndex | undefined> {
    const { objects } = this.#context;
    const pack = this.#objectOf(row);
    const about = { pack: row.pack, object: row.object, chunks: [] };
    const info = await objects.head(row.object);
    if (info === undefined) throw new Fault('not-found', `There is no object ${row.object}.`);
    if (info.lengthBytes < row.lengthBytes) {
      const sentence = `Pack ${row.pack} is torn: its object ${row.object} has ${info.lengthBytes} bytes, not ${row.lengthBytes}.`;
      this.#tell({ ...about, code: 'pack-torn', sentence });
    }
    const header = await getRange(objects, row.object, 0, PACK_HEADER_BYTES);
    if (header === undefined || !isPackHeader(header, pack)) {
      const sentence = `The header of pack ${row.pack} (object ${row.object}) is damaged. Its chunks can still be read.`;
      this.#tell({ ...about, code: 'pack-header-damaged', sentence });
    }
    if (row.state === PACK_STATE.open) return undefined;
    const sealed = await loadIndex(objects, pack);
    if (sealed !== undefined) return sealed.index;
    const sentence = `The index of pack ${row.pack} (object ${row.object}) is damaged. Its chunks can still be read, slowly.`;
    this.#tell({ ...about, code: 'pack-index-damaged', sentence });
    return undefined;
  }

  /** Answers 1 when this is the first record here of a chunk whose row names this pack, else 0. */
  async #verifyRecord(walk: PackWalk, step: Extract<Step, { kind: 'record' }>): Promise<0 | 1> {
    const { row, index, seen, flaws } = walk;
    const { id, recordLength } = step.header;
    const key = keyOfId(id);
    const isFirst = !seen.has(key);
    seen.add(key);
    const isNamed = await this.#isNamed(id, row.pack);
    if (!isFirst || !isNamed) this.report.orphanBytes += recordLength;
    const indexed = index?.find(id);
    if (index !== undefined && indexed === undefined) this.#reportUnindexed(row, id);
    // Of several records of one chunk the index names the one that counts; without an index it is the last whole one.
    const counts = isNamed && (indexed === undefined || indexed.offset === step.offset);
    const flaw = await this.#flawOf(row, step);
    if (flaw === undefined) flaws.delete(key);
    else if (counts && index !== undefined) this.#reportChunk(row, [id], flaw);
    else if (counts && isFirst) flaws.set(key, { id: id.slice(), sentence: flaw });
    return isFirst && isNamed ? 1 : 0;
  }

  /** What is wrong with a record; undefined when its bytes are the chunk's. */
  async #flawOf(row: PackRow, step: Extract<Step, { kind: 'record' }>): Promise<string | undefined> {
    const { id, recordLength } = step.header;
    const place = { offset: step.offset, length: recordLength };
    try {
      const bytes = step.bytes.subarray(step.at, step.at + recordLength);
      const plain = await this.#context.reader.decodeRecordOf({ id, pack: row.pack, object: row.object, place }, bytes);
      this.#count(plain);
      return undefined;
    } catch (error) {
      if (!Fault.is(error, 'corrupt')) throw error;
      return error.message;
    }
  }

  #reportUnindexed(row: PackRow, id: ChunkId): void {
    const sentence = `The index of pack ${row.pack} (object ${row.object}) does not name a record that is there.`;
    this.#tell({ code: 'pack-index-damaged', sentence, pack: row.pack, object: row.object, chunks: [id] });
  }

  /**
   * A stretch of a pack that is no record: what the index says should be there, and a row names, is damaged. Without an
   * index nobody knows what stood there; a row that misses it is found when rows and records are compared.
   */
  async #reportGap(walk: PackWalk, gap: Extract<Step, { kind: 'damage' }>): Promise<number> {
    const { row, index } = walk;
    const lost: ChunkId[] = [];
    for (const { id, offset } of index?.entries() ?? []) {
      if (offset < gap.offset || offset >= gap.offset + gap.length) continue;
      if (await this.#isNamed(id, row.pack)) lost.push(id.slice());
    }
    // The index and footer themselves, when they cannot be recognised: reported, and not room for records.
    const reachesEnd = gap.offset + gap.length === row.lengthBytes;
    const isIndex = row.state !== PACK_STATE.open && index === undefined && reachesEnd;
    if (lost.length === 0 && !isIndex) this.report.orphanBytes += gap.length;
    if (lost.length === 0) return 0;
    const sentence = `Pack ${row.pack} (object ${row.object}) is damaged at offset ${gap.offset}: a record cannot be read, ${gap.flaw}.`;
    this.#reportChunk(row, lost, sentence);
    return lost.length;
  }

  #reportChunk(row: PackRow, chunks: readonly ChunkId[], sentence: string): void {
    this.#tell({ code: 'chunk-damaged', sentence, pack: row.pack, object: row.object, chunks });
  }

  async #isNamed(id: ChunkId, pack: PackId): Promise<boolean> {
    return (await this.#context.meta.get('chunks', [this.#context.realm, id]))?.pack === pack;
  }

  /** From rows to records: where a pack has fewer named records than rows name it, its rows are read one by one. */
  async #compareRows(): Promise<void> {
    const rowCounts = new Map<PackId, number>();
    for await (const rows of chunkRows(this.#context))
      for (const { pack } of rows) rowCounts.set(pack, (rowCounts.get(pack) ?? 0) + 1);
    const short = [...rowCounts].filter(([pack, count]) => count > (this.#findings.get(pack)?.named ?? 0));
    await this.#findMissing(new Set(short.map(([pack]) => pack)));
  }

  async #findMissing(suspects: ReadonlySet<PackId>): Promise<void> {
    const missing = new Map<PackId, ChunkId[]>();
    if (suspects.size > 0) await this.#readSuspects(suspects, missing);
    for (const [pack, { missing: row }] of this.#findings) {
      const chunks = missing.get(pack) ?? [];
      if (row !== undefined && chunks.length > 0) this.#reportMissing(pack, row.object, chunks);
    }
  }

  async #readSuspects(suspects: ReadonlySet<PackId>, missing: Map<PackId, ChunkId[]>): Promise<void> {
    for await (const rows of chunkRows(this.#context)) {
      for (const row of rows) {
        if (!suspects.has(row.pack)) continue;
        this.#checkSignal();
        if (this.#findings.get(row.pack)?.missing === undefined) await this.#readOrReport(row);
        else missing.set(row.pack, [...(missing.get(row.pack) ?? []), row.id]);
        await this.#turn();
      }
    }
  }

  #reportMissing(pack: PackId, object: string, chunks: readonly ChunkId[]): void {
    const sentence = `Pack ${pack} is gone: there is no object ${object}. ${chunks.length} chunks were in it.`;
    this.#tell({ code: 'pack-missing', sentence, pack, object, chunks });
  }

  async #readOrReport(row: ChunkRow): Promise<Uint8Array | undefined> {
    try {
      return await this.#context.reader.readFresh(row.id);
    } catch (error) {
      if (!Fault.is(error, 'corrupt')) throw error;
      const object = error.about.object;
      const damage: ChunkDamage = {
        code: error.about.damage === 'chunk-damaged' ? 'chunk-damaged' : 'chunk-missing',
        sentence: `Chunk ${hexOf(row.id)} cannot be read: ${error.message}`,
        pack: row.pack,
        ...(typeof object === 'string' ? { object } : {}),
        chunks: [row.id],
      };
      this.#tell(damage);
      return undefined;
    }
  }
}
