/**
 * Puts trees into the store. One walk of the disk and one manifest of the goal run side by side in the same order, so
 * that a known tree costs a stat per file and no memory. What is new goes in three ways: small files, folders and
 * symlinks as one stream of many (few commits); large files each on its own, a few at once; attributes of folders last,
 * when nothing more happens inside.
 *
 * A file that changes while it is read is tried again, and at the last try stored as it was read, with the time it had
 * before: so the next put sees that it differs. It is named, and the exit code says so.
 */
import type {
  AttributeChange,
  BulkItem,
  BulkResult,
  ByteSource,
  Chunking,
  FileRecord,
  FileService,
} from '../../api/index.ts';
import { andThen, bytesOfHex, Fault, hexOf, isPromise, type Maybe } from '../../base/index.ts';
import type { ChunkerName, ContentHash, Cutter } from '../../chunks/index.ts';
import type { HashedRun, PartsSource } from '../../client/index.ts';
import type { Context } from '../context.ts';
import { endsTheRun } from '../exit-codes.ts';
import { BLOCK_BYTES, blocksOf, lendBlock, returnBlock } from '../local/local-blocks.ts';
import { changedFault, isSameState, type LocalDisk, type LocalReader, type LocalStat } from '../local/local-disk.ts';
import { localHash } from '../local/local-hash.ts';
import { type WalkEntry, type WalkOptions, walkLocal } from '../local/local-walk.ts';
import { isoOfNs } from '../local/moments.ts';
import { comparePaths, liesUnder, textOfRaw } from '../local/raw.ts';
import type { Given } from '../words/command.ts';
import type { PUT_FLAGS } from '../words/commands.ts';
import { type Done, FolderLedger } from './folder-ledger.ts';
import { Gang } from './gang.ts';
import { mergeSorted } from './merge.ts';
import { changeOf, type PutStep, planPut } from './put-plan.ts';
import { joinStored, manifestOf, statOrNothing, storedFolderOf } from './stored.ts';
import type { Item, Tally } from './tally.ts';

/** Files up to this size go into the stream of many. Each is read into one block. */
const SMALL_BYTES_MAX = BLOCK_BYTES;
/** Over a network, files from this size on go in parts. */
const PARTS_FROM_BYTES = 64 * 1024 * 1024;
/** Large files at once: one is hashed while another waits for its commit. */
const LARGE_AT_ONCE = 2;
/** Changes of attributes at once: they share commits. */
const ATTRIBUTES_AT_ONCE = 16;
/** How often a file that changes while it is read is tried. */
const ATTEMPTS_MAX = 3;
/** Entries counted in one go before others get a turn. */
const COUNTED_AT_ONCE = 512;

export interface PutJob {
  readonly source: string;
  readonly stat: LocalStat;
  readonly goal: string;
}

export interface PuttingOptions {
  readonly context: Context;
  readonly service: FileService;
  readonly flags: Given<typeof PUT_FLAGS>['flags'];
  readonly tally: Tally;
  /** Over a network: large files go in parts, and are gone on with. */
  readonly isRemote?: boolean | undefined;
  /** The folder of the store itself (its LocalStat's `identity`): it is never put into itself. */
  readonly storeIdentity?: string | undefined;
}

/** One local thing on its way: where it stands, where it goes, what stands there now. */
interface Piece {
  readonly local: string;
  readonly goal: string;
  readonly stat: LocalStat;
  readonly stored: FileRecord | undefined;
}

interface FolderWork {
  readonly piece: Piece;
  /** Something was made in it, or its own attributes differ: they have to be set at the end. */
  isTouched: boolean;
  /** It could not be made, and has been named. */
  isFailed: boolean;
  /** The stream of many has made it with its attributes, and what that puts into it leaves them. */
  isWhole: boolean;
  /** Something was put into it another way. */
  isTouchedApart: boolean;
}

interface Sent {
  readonly piece: Piece;
  readonly done: Done;
  /** The folder around it. */
  readonly parent: FolderWork | undefined;
  /** Of a folder that is being made. */
  readonly work: FolderWork | undefined;
}

export class Putting {
  readonly #context: Context;
  readonly #service: FileService;
  readonly #flags: PuttingOptions['flags'];
  readonly #tally: Tally;
  readonly #storeIdentity: string | undefined;
  readonly #isRemote: boolean;
  readonly #large = new Gang(LARGE_AT_ONCE);
  readonly #attributes = new Gang(ATTRIBUTES_AT_ONCE);
  readonly #ledger = new FolderLedger<FolderWork>((folder) => {
    const isAsItShouldBe = !folder.isTouched || (folder.isWhole && !folder.isTouchedApart);
    if (!isAsItShouldBe && !folder.isFailed) this.#finished.push(folder.piece);
  });
  /** Folders whose attributes can be set now. */
  #finished: Piece[] = [];
  /** Handed to the stream of many, in order, until their result comes. As long as that stream's own window. */
  readonly #sent: Sent[] = [];
  #seen = { files: 0, bytes: 0 };
  #total: { readonly files: number; readonly bytes: number } | undefined;

  constructor(options: PuttingOptions) {
    this.#context = options.context;
    this.#service = options.service;
    this.#flags = options.flags;
    this.#tally = options.tally;
    this.#storeIdentity = options.storeIdentity;
    this.#isRemote = options.isRemote ?? false;
  }

  /** Does all jobs. Failures of single items are tallied; what concerns the whole run is thrown. */
  async run(jobs: readonly PutJob[]): Promise<void> {
    const counting = new AbortController();
    const counted = this.#countAhead(jobs, AbortSignal.any([counting.signal, this.#context.signal]));
    try {
      for await (const result of this.#service.writeMany(this.#items(jobs), this.#calling())) {
        const settled = this.#settle(result);
        if (isPromise(settled)) await settled;
      }
      await this.#large.settle();
      await this.#finishFolders();
      await this.#attributes.settle();
    } finally {
      counting.abort();
      await Promise.all([counted, this.#large.wait(), this.#attributes.wait()]);
      this.#context.say.progress.clear();
    }
  }

  #calling(): { readonly signal: AbortSignal } {
    return { signal: this.#context.signal };
  }

  /** On a terminal: counts what there is to do while it is being done, so that the time left can be told. */
  async #countAhead(jobs: readonly PutJob[], signal: AbortSignal): Promise<void> {
    if (!this.#context.say.progress.isOn) return;
    const total = { files: 0, bytes: 0 };
    let entryCount = 0;
    for (const stat of this.#statsOf(jobs)) {
      if (stat?.kind === 'file') {
        total.files++;
        total.bytes += stat.size;
      }
      if (++entryCount % COUNTED_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
      if (signal.aborted) return;
    }
    this.#total = total;
  }

  *#statsOf(jobs: readonly PutJob[]): Generator<LocalStat | undefined, void> {
    for (const job of jobs) {
      yield job.stat;
      if (job.stat.kind !== 'folder') continue;
      for (const entry of this.#walk(job)) yield entry.kind === 'entry' ? entry.stat : undefined;
    }
  }

  #walk(job: PutJob, onLeftOut?: WalkOptions['onLeftOut']): Generator<WalkEntry, void> {
    const { exclude } = this.#flags;
    return walkLocal(this.#context.disk, job.source, { exclude, leaveOut: this.#storeIdentity, onLeftOut });
  }

  #advance(files: number, bytes: number, item: string): void {
    this.#seen.files += files;
    this.#seen.bytes += bytes;
    this.#context.say.progress.update(() => ({
      what: 'put',
      ...this.#seen,
      filesTotal: this.#total?.files,
      bytesTotal: this.#total?.bytes,
      item,
    }));
  }

  /** All small things, in order; starts the large ones on the way. */
  async *#items(jobs: readonly PutJob[]): AsyncGenerator<BulkItem, void> {
    for (const job of jobs) {
      try {
        yield* this.#job(job);
      } catch (error) {
        if (endsTheRun(error)) throw error;
        await this.#tally.fail({ kind: 'unknown', path: job.goal, local: textOfRaw(job.source) }, error);
      }
      this.#ledger.end();
    }
  }

  async *#job(job: PutJob): AsyncGenerator<BulkItem, void> {
    if (job.stat.identity === this.#storeIdentity) return await this.#leaveStoreOut(job.source, job.goal);
    const stored = await statOrNothing(this.#service, job.goal, this.#context.signal);
    if (stored === undefined) await this.#makeParents(job.goal);
    const item = await this.#piece('', { local: job.source, goal: job.goal, stat: job.stat, stored });
    if (item !== undefined) yield item;
    const isTree = job.stat.kind === 'folder' && (stored === undefined || stored.kind === 'folder');
    if (isTree) yield* this.#tree(job, stored !== undefined);
  }

  async #makeParents(goal: string): Promise<void> {
    const parent = storedFolderOf(goal);
    if (parent === '/' || this.#flags.dry_run) return;
    await this.#service.makeFolder(parent, { parents: true, ...this.#calling() });
  }

  async *#tree(job: PutJob, isThere: boolean): AsyncGenerator<BulkItem, void> {
    const options = { ...this.#calling(), withHashes: this.#flags.checksum === true };
    const stored = isThere ? manifestOf(this.#service, job.goal, options) : [];
    let blocked: string | undefined;
    const leftOut: (readonly [string, string])[] = [];
    const walk = this.#walk(job, (path, relative) => leftOut.push([path, joinStored(job.goal, textOfRaw(relative))]));
    for await (const { left, right } of mergeSorted(walk, stored, (l, r) => comparePaths(l.relative, r.relative))) {
      if (this.#context.signal.aborted) throw Fault.aborted(this.#context.signal, 'The put');
      if (left === undefined || (blocked !== undefined && liesUnder(left.relative, blocked))) continue;
      const goal = joinStored(job.goal, textOfRaw(left.relative));
      if (left.kind === 'problem') {
        await this.#tally.fail({ kind: 'unknown', path: goal, local: textOfRaw(left.path) }, left.fault);
        continue;
      }
      // Under a folder that meets a file there is nothing that could be put: one sentence is enough.
      const isBlocked = left.stat.kind === 'folder' && right !== undefined && right.record.kind !== 'folder';
      if (isBlocked) blocked = left.relative;
      const item = this.#piece(left.relative, { local: left.path, goal, stat: left.stat, stored: right?.record });
      const made = isPromise(item) ? await item : item;
      if (made !== undefined) yield made;
      if (this.#finished.length > 0) await this.#finishFolders();
    }
    for (const [path, goal] of leftOut) await this.#leaveStoreOut(path, goal);
  }

  /** What a store holds of itself would grow with every put, and be a copy of a database that is being written. */
  async #leaveStoreOut(source: string, path: string): Promise<void> {
    const local = textOfRaw(source);
    await this.#context.say.note(`holdfast: ${local} is the store itself, and is left out.`);
    await this.#context.say.record({ event: 'item', action: 'store', kind: 'folder', path, local });
  }

  /**
   * Decides about one piece, and does it or answers it for the stream of many. Nothing is awaited where nothing has to
   * be: of a tree that is known already nearly everything is kept.
   */
  #piece(relative: string, piece: Piece): Maybe<BulkItem | undefined> {
    return andThen(this.#decide(piece), (step) => this.#take(relative, piece, step));
  }

  #take(relative: string, piece: Piece, step: PutStep): Maybe<BulkItem | undefined> {
    const work = this.#workOf(piece, step);
    const { parent, done } = work === undefined ? this.#ledger.item(relative) : this.#ledger.enter(relative, work);
    const isMaking = step.step === 'store' || step.step === 'make' || step.step === 'link';
    if (isMaking && parent !== undefined) parent.isTouched = true;
    if (isMaking && !this.#flags.dry_run) {
      const isLarge = step.step === 'store' && piece.stat.size > SMALL_BYTES_MAX;
      if (!isLarge) return this.#send({ piece, done, parent, work });
      return andThen(this.#startLarge({ piece, done, parent }), () => undefined);
    }
    const settled = isMaking ? this.#tallyMade(piece, piece.stat.size) : this.#settleUnmade(piece, step);
    return andThen(settled, () => {
      done();
      return undefined;
    });
  }

  #send(sent: Sent): Maybe<BulkItem | undefined> {
    const { piece, done } = sent;
    const fail = async (error: unknown): Promise<undefined> => {
      await this.#failed(piece, error);
      done();
    };
    const send = (item: BulkItem): BulkItem => {
      this.#sent.push(sent);
      return item;
    };
    try {
      const item = this.#bulkItem(piece);
      if (piece.stored?.kind !== 'symlink') return send(item);
      // A symlink has no content that could become an older version: the new one takes its place.
      return this.#service.remove(piece.goal, this.#calling()).then(() => send(item), fail);
    } catch (error) {
      return fail(error);
    }
  }

  #decide(piece: Piece): Maybe<PutStep> {
    const local = textOfRaw(piece.local);
    const readTarget = (): string => textOfRaw(this.#context.disk.readLink(piece.local));
    try {
      const place = { local, path: piece.goal, readTarget };
      const { checksum: isChecksum, again: isAgain } = this.#flags;
      const step = planPut(piece.stat, piece.stored, place, { isChecksum, isAgain });
      return step.step === 'compare' ? this.#compare(piece, step) : step;
    } catch (error) {
      return refused(error);
    }
  }

  async #compare(piece: Piece, step: Extract<PutStep, { step: 'compare' }>): Promise<PutStep> {
    try {
      if ((await localHash(this.#context, piece.local, piece.stat)) !== step.hash) return { step: 'store' };
      return step.change === undefined ? { step: 'keep' } : { step: 'update', change: step.change };
    } catch (error) {
      return refused(error);
    }
  }

  /** What is to be done with a folder at the end; `undefined` for everything else. */
  #workOf(piece: Piece, step: PutStep): FolderWork | undefined {
    // The root's own attributes belong to the store, not to whatever was put into it.
    const isEntered = piece.stat.kind === 'folder' && step.step !== 'refuse' && piece.goal !== '/';
    if (!isEntered) return undefined;
    return { piece, isTouched: step.step !== 'keep', isFailed: false, isWhole: false, isTouchedApart: false };
  }

  #settleUnmade(piece: Piece, step: PutStep): Maybe<void> {
    const item = itemOf(piece);
    const isFile = piece.stat.kind === 'file';
    this.#advance(isFile ? 1 : 0, isFile ? piece.stat.size : 0, item.path);
    if (step.step === 'keep') return this.#tally.add({ ...item, outcome: 'kept', action: 'kept' });
    if (step.step === 'refuse') return this.#tally.fail(item, step.fault);
    if (step.step === 'special') return this.#skipSpecial(piece);
    if (step.step === 'update' && piece.stat.kind !== 'folder')
      return this.#attributes.start(() => this.#setAttributes(piece, step.change));
    return undefined;
  }

  async #skipSpecial(piece: Piece): Promise<void> {
    await this.#context.say.note(
      `holdfast: ${textOfRaw(piece.local)} is a ${piece.stat.kind}, which is not kept; skipped.`,
    );
    await this.#tally.add({ ...itemOf(piece), outcome: 'skipped', action: 'special' });
  }

  #bulkItem(piece: Piece): BulkItem {
    const { disk } = this.#context;
    const attributes = { permissions: piece.stat.mode, modified: isoOfNs(piece.stat.mtimeNs) };
    switch (piece.stat.kind) {
      case 'folder':
        return { path: piece.goal, kind: 'folder', ...attributes };
      case 'symlink':
        return { path: piece.goal, kind: 'symlink', target: textOfRaw(disk.readLink(piece.local)), ...attributes };
      default: {
        const source = (): ByteSource => wholeOf(disk, piece);
        const { size, mtimeNs, identity } = piece.stat;
        const local = { path: piece.local, size, mtimeNs, identity };
        return { path: piece.goal, kind: 'file', size, source, local, ...attributes };
      }
    }
  }

  /** One result of the stream of many; they come in the order in which the items went. */
  #settle(result: BulkResult): Maybe<void> {
    const sent = this.#sent.shift();
    if (sent === undefined) throw new Error(`Broken invariant: a result for ${result.path}, which was not sent`);
    if (!result.ok) return this.#settleFailed(result, sent);
    if (sent.work !== undefined) sent.work.isWhole = changeOf(sent.piece.stat, result.record) === undefined;
    return andThen(this.#tallyMade(sent.piece, sent.piece.stat.size), () => {
      sent.done();
      return this.#finished.length > 0 ? this.#finishFolders() : undefined;
    });
  }

  async #settleFailed(result: Extract<BulkResult, { ok: false }>, sent: Sent): Promise<void> {
    const { piece, done, work } = sent;
    if (Fault.is(result.fault) && result.fault.about.changed === true) await this.#startLarge(sent);
    else {
      if (work !== undefined) work.isFailed = true;
      await this.#failed(piece, result.fault);
      done();
    }
    if (this.#finished.length > 0) await this.#finishFolders();
  }

  #tallyMade(piece: Piece, size: number): Maybe<void> {
    const isFile = piece.stat.kind === 'file';
    const action = piece.stat.kind === 'folder' ? 'made' : piece.stat.kind === 'symlink' ? 'linked' : 'stored';
    this.#advance(isFile ? 1 : 0, isFile && size <= SMALL_BYTES_MAX ? size : 0, piece.goal);
    return this.#tally.add({ ...itemOf(piece), outcome: 'done', action, bytes: isFile ? size : undefined });
  }

  async #failed(piece: Piece, error: unknown): Promise<void> {
    if (endsTheRun(error)) throw error;
    const isVanished = Fault.is(error, 'not-found') && error.about.local !== undefined;
    if (isVanished) await this.#tally.add({ ...itemOf(piece), outcome: 'kept', action: 'vanished' });
    else await this.#tally.fail(itemOf(piece), error);
  }

  async #startLarge({ piece, done, parent }: Omit<Sent, 'work'>): Promise<void> {
    if (parent !== undefined) parent.isTouchedApart = true;
    await this.#large.start(async () => {
      try {
        await this.#storeLarge(piece);
      } catch (error) {
        await this.#failed(piece, error);
      } finally {
        done();
      }
    });
  }

  /** Stores a file on its own, as often as it takes to catch it at rest; at the last attempt as it is. */
  async #storeLarge(piece: Piece): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      await using reader = await this.#context.disk.openReader(piece.local);
      const before = reader.stat();
      const isLast = attempt === ATTEMPTS_MAX;
      try {
        const inParts = this.#isRemote && !isLast && before.size >= PARTS_FROM_BYTES;
        const record = inParts
          ? await this.#storeInParts(piece, before, reader)
          : await this.#service.write(piece.goal, this.#blocks(reader, before, piece, isLast), {
              mode: 'put',
              parents: true,
              // A file that shrinks all the time never has the size that was announced.
              size: isLast ? undefined : before.size,
              modified: isoOfNs(before.mtimeNs),
              permissions: before.mode,
              ...this.#calling(),
            });
        if (isSameState(before, reader.stat())) await this.#tallyMade(piece, record.size);
        else await this.#tally.fail(itemOf(piece), storedUnsettled(piece.local));
        return;
      } catch (error) {
        const isChange = Fault.is(error) && error.about.changed === true;
        if (!isChange || isLast) throw error;
      }
    }
  }

  /** What an earlier run has sent of it is not sent again. */
  async #storeInParts(piece: Piece, before: LocalStat, reader: LocalReader): Promise<FileRecord> {
    const [{ uploadInParts }, { Cutter, newContentHash }] = await Promise.all([
      import('../../client/index.ts'),
      import('../../chunks/index.ts'),
    ]);
    const { clock, random, disk, signal } = this.#context;
    const check = (): void => {
      if (!isSameState(before, reader.stat())) throw changedFault(piece.local);
    };
    // One at a time: it cuts in memory of its own.
    let [cutter, cutting]: [Cutter | undefined, Promise<unknown>] = [undefined, Promise.resolve()];
    const cut: PartsSource['cut'] = (offset, length, chunking) => {
      const own = cutting.then(async () => {
        cutter ??= new Cutter(...cuttingOf(chunking));
        await using at = await disk.openReader(piece.local, offset);
        const chunks = await cutter.chunksOf(blocksOf(at, length, signal));
        return chunks.map((chunk) => ({ size: chunk.length, id: hexOf(chunk.id) }));
      });
      cutting = own.catch(() => {});
      return own;
    };
    const source: PartsSource = {
      size: before.size,
      check,
      cut,
      read: (offset, length) => hashedRun(disk, piece.local, { offset, length }, newContentHash(), signal),
    };
    const onBytes = (bytes: number): void => this.#advance(0, bytes, piece.goal);
    const attributes = { modified: isoOfNs(before.mtimeNs), permissions: before.mode };
    return await uploadInParts(this.#service, piece.goal, source, { clock, random, onBytes, ...attributes, signal });
  }

  async *#blocks(
    reader: LocalReader,
    before: LocalStat,
    piece: Piece,
    isLast: boolean,
  ): AsyncGenerator<Uint8Array, void> {
    for await (const block of blocksOf(reader, before.size, this.#context.signal)) {
      yield block;
      if (piece.stat.size > SMALL_BYTES_MAX) this.#advance(0, block.length, piece.goal);
    }
    // Thrown inside the stream, so that nothing of this attempt becomes visible.
    if (!isLast && !isSameState(before, reader.stat())) throw changedFault(piece.local);
  }

  async #finishFolders(): Promise<void> {
    const finished = this.#finished;
    this.#finished = [];
    for (const piece of finished) {
      const change = { mode: piece.stat.mode, modified: isoOfNs(piece.stat.mtimeNs) };
      if (!this.#flags.dry_run) await this.#attributes.start(() => this.#setAttributes(piece, definedOf(change)));
    }
  }

  async #setAttributes(piece: Piece, change: AttributeChange): Promise<void> {
    try {
      if (!this.#flags.dry_run) await this.#service.setAttributes({ path: piece.goal }, change, this.#calling());
      if (piece.stat.kind === 'folder') return;
      await this.#tally.add({ ...itemOf(piece), outcome: 'done', action: 'updated', bytes: 0 });
    } catch (error) {
      await this.#failed(piece, error);
    }
  }
}

/** All of a small file, in memory that is lent until the next step. */
function* wholeOf(disk: LocalDisk, { local, stat }: Piece): Generator<Uint8Array, void> {
  const block = lendBlock();
  try {
    yield disk.readWhole(local, stat, block);
  } finally {
    returnBlock(block);
  }
}

function cuttingOf(chunking: Chunking): ConstructorParameters<typeof Cutter> {
  const { ids, chunker, bytes_min, bytes_mean, bytes_max, id_key, gears } = chunking;
  const sizes = { chunkBytesMin: bytes_min, chunkBytesMean: bytes_mean, chunkBytesMax: bytes_max };
  const format = { idAlgorithm: ids, chunker: chunker as ChunkerName, ...sizes };
  const idKey = bytesOfHex(id_key) ?? new Uint8Array(0);
  return [format, { idKey, gears: gears === undefined ? undefined : Buffer.from(gears, 'base64') }];
}

/** Part of a local file, hashed on its way. */
function hashedRun(
  disk: LocalDisk,
  path: string,
  range: { readonly offset: number; readonly length: number },
  hash: ContentHash,
  signal: AbortSignal,
): HashedRun {
  const bytes = async function* (): AsyncGenerator<Uint8Array, void> {
    await using reader = await disk.openReader(path, range.offset);
    for await (const block of blocksOf(reader, range.length, signal)) {
      hash.update(block);
      yield block;
    }
  };
  return { bytes: bytes(), hash: () => hexOf(hash.digest()) };
}

function refused(error: unknown): PutStep {
  if (!Fault.is(error)) throw error;
  return { step: 'refuse', fault: error };
}

function definedOf(change: { readonly mode: number; readonly modified: string | undefined }): AttributeChange {
  return change.modified === undefined ? { mode: change.mode } : { mode: change.mode, modified: change.modified };
}

function storedUnsettled(path: string): Fault {
  const local = textOfRaw(path);
  const sentence = `${local} kept changing while it was read; it is stored as it was read. Put it again when it is at rest.`;
  return new Fault('conflict', sentence, { local, changed: true });
}

function itemOf(piece: Piece): Omit<Item, 'outcome' | 'action'> {
  const kind = piece.stat.kind;
  const isPlain = kind === 'file' || kind === 'folder' || kind === 'symlink';
  return { kind: isPlain ? kind : 'special', path: piece.goal, local: textOfRaw(piece.local) };
}
