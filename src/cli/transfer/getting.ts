/**
 * Brings trees out of the store. One manifest is walked; folders are made on the way, files are fetched a few at once,
 * and a folder gets its mode and time when nothing more happens inside. Nothing is ever written through a symlink
 * that stands on the local disk: a file or symlink takes its place, and below DEST only real folders are entered.
 */
import type { FileRecord, FileService, WholeRead } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { endsTheRun } from '../exit-codes.ts';
import { FileWriter } from '../local/file-writer.ts';
import type { LocalStat } from '../local/local-disk.ts';
import { localHash } from '../local/local-hash.ts';
import { isSameMoment, nsOfIso } from '../local/moments.ts';
import { folderOf, joinRaw, liesUnder, rawOfText, textOfRaw } from '../local/raw.ts';
import {
  FILE_MODE_MASK,
  putInPlace,
  removeQuietly,
  TemporaryNames,
  WHOLE_BYTES_MAX,
  wholeFileOf,
  writeLocal,
} from '../local/write-local.ts';
import type { Given } from '../words/command.ts';
import type { GET_FLAGS } from '../words/commands.ts';
import { type Done, FolderLedger } from './folder-ledger.ts';
import { Gang } from './gang.ts';
import { SmallFiles } from './small-files.ts';
import { manifestOf } from './stored.ts';
import type { Item, Tally } from './tally.ts';

/** Files at once: while one waits for its bytes another is written. */
const FILES_AT_ONCE = 4;
/** Small files that are written here before a thread does it: it is not worth starting for a few. */
const USUAL_FILES = 64;
/** The sticky bit belongs to a folder's meaning; setuid and setgid do not come back. */
const FOLDER_MODE_MASK = 0o1777;

export interface GetJob {
  readonly record: FileRecord;
  /** Where it goes, raw. */
  readonly goal: string;
}

export interface GettingOptions {
  readonly context: Context;
  readonly service: FileService;
  readonly flags: Given<typeof GET_FLAGS>['flags'];
  readonly tally: Tally;
}

/** One stored thing on its way out. */
interface Piece {
  readonly record: FileRecord;
  readonly path: string;
}

interface FolderWork {
  readonly piece: Piece;
  isTouched: boolean;
  /** It could not be made, and has been named. */
  isFailed: boolean;
}

export class Getting {
  readonly #context: Context;
  readonly #service: FileService;
  readonly #flags: GettingOptions['flags'];
  readonly #tally: Tally;
  readonly #files = new Gang(FILES_AT_ONCE);
  readonly #small: SmallFiles;
  #smallCount = 0;
  /** Writes small files beside this thread, once there are some. */
  #writer: FileWriter | undefined;
  readonly #ledger = new FolderLedger<FolderWork>((folder) => this.#finishFolder(folder));
  readonly #names: TemporaryNames;
  #failures: Promise<void>[] = [];
  /** The topmost folder that this run has just made, raw and relative: nothing stands below it that was not put there. */
  #fresh: string | undefined;
  readonly #seen = { files: 0, bytes: 0 };
  #total: { readonly files: number; readonly bytes: number } | undefined;

  constructor(options: GettingOptions) {
    this.#context = options.context;
    this.#service = options.service;
    this.#flags = options.flags;
    this.#tally = options.tally;
    this.#names = new TemporaryNames(options.context.random);
    this.#small = new SmallFiles(options.service, options.context.signal);
  }

  async run(jobs: readonly GetJob[]): Promise<void> {
    const counting = new AbortController();
    const counted = this.#countAhead(jobs, AbortSignal.any([counting.signal, this.#context.signal]));
    try {
      for (const job of jobs) await this.#job(job);
      await this.#small.settle();
      await this.#writer?.settle();
      await this.#files.settle();
      await Promise.all(this.#failures);
    } finally {
      counting.abort();
      await Promise.all([counted.catch(() => {}), this.#files.wait(), this.#small.wait()]);
      await this.#writer?.[Symbol.asyncDispose]();
      this.#context.say.progress.clear();
    }
  }

  /** On a terminal: sums up what there is to do, so that the time left can be told. */
  async #countAhead(jobs: readonly GetJob[], signal: AbortSignal): Promise<void> {
    if (!this.#context.say.progress.isOn) return;
    const total = { files: 0, bytes: 0 };
    const count = (record: FileRecord): void => {
      if (record.kind !== 'file') return;
      total.files++;
      total.bytes += record.size;
    };
    for (const { record } of jobs) {
      count(record);
      if (record.kind !== 'folder') continue;
      for await (const entry of manifestOf(this.#service, record.path, { signal, withHashes: false }))
        count(entry.record);
    }
    this.#total = total;
  }

  #advance(files: number, bytes: number, item: string): void {
    this.#seen.files += files;
    this.#seen.bytes += bytes;
    this.#context.say.progress.update(() => ({
      what: 'get',
      ...this.#seen,
      filesTotal: this.#total?.files,
      bytesTotal: this.#total?.bytes,
      item,
    }));
  }

  async #job(job: GetJob): Promise<void> {
    this.#fresh = undefined;
    try {
      if (job.record.kind === 'folder') await this.#tree(job);
      else await this.#piece('', { record: job.record, path: job.goal });
    } catch (error) {
      await this.#failed({ record: job.record, path: job.goal }, error);
    }
    this.#ledger.end();
  }

  async #tree(job: GetJob): Promise<void> {
    const { signal } = this.#context;
    // DEST itself may be a symlink to a folder: the caller has named it.
    const standing = this.#context.disk.stat(job.goal, { follow: true });
    await this.#folder('', { record: job.record, path: job.goal }, standing);
    const options = { signal, withHashes: this.#flags.checksum };
    let blocked: string | undefined;
    for await (const { relative, record } of manifestOf(this.#service, job.record.path, options)) {
      if (signal.aborted) throw Fault.aborted(signal, 'The get');
      if (blocked !== undefined && liesUnder(relative, blocked)) continue;
      const piece = { record, path: joinRaw(job.goal, relative) };
      if (!(await this.#piece(relative, piece))) blocked = relative;
    }
  }

  /** False when there is no way into it. */
  async #piece(relative: string, piece: Piece): Promise<boolean> {
    try {
      const standing = this.#isFresh(relative) ? undefined : this.#context.disk.stat(piece.path);
      switch (piece.record.kind) {
        case 'folder':
          await this.#folder(relative, piece, standing);
          return true;
        case 'file':
          await this.#file(relative, piece, standing);
          return true;
        case 'symlink':
          await this.#symlink(relative, piece, standing);
          return true;
        default:
          await this.#context.say.note(
            `holdfast: ${piece.record.path} is a ${piece.record.kind}, which is not brought out; skipped.`,
          );
          await this.#tally.add({ ...itemOf(piece), outcome: 'skipped', action: 'special' });
          return true;
      }
    } catch (error) {
      await this.#failed(piece, error);
      return piece.record.kind !== 'folder';
    }
  }

  /** Whether it lies in a folder that this run made. Who may not replace anything looks all the same. */
  #isFresh(relative: string): boolean {
    return this.#fresh !== undefined && this.#flags.clobber && liesUnder(relative, this.#fresh);
  }

  async #folder(relative: string, piece: Piece, standing: LocalStat | undefined): Promise<void> {
    if (standing !== undefined && standing.kind !== 'folder') throw inTheWay(piece, standing);
    const isTouched = standing === undefined || !hasAttributes(standing, piece.record, FOLDER_MODE_MASK);
    const work: FolderWork = { piece, isTouched, isFailed: false };
    // The store's root has no name that it could give its attributes to.
    const isRoot = piece.record.path === '/';
    const { parent, done } = isRoot ? this.#ledger.item(relative) : this.#ledger.enter(relative, work);
    try {
      if (standing !== undefined) return;
      if (parent !== undefined) parent.isTouched = true;
      // False where one stands after all: names that differ here may be one name there.
      const isMade = !this.#flags.dry_run && this.#context.disk.makeFolder(piece.path);
      if (isMade && !this.#isFresh(relative)) this.#fresh = relative;
      await this.#tally.add({ ...itemOf(piece), outcome: 'done', action: 'made' });
    } catch (error) {
      work.isFailed = true;
      throw error;
    } finally {
      done();
    }
  }

  #finishFolder({ piece, isTouched, isFailed }: FolderWork): void {
    if (!isTouched || isFailed || this.#flags.dry_run) return;
    const { disk } = this.#context;
    try {
      disk.setMode(piece.path, piece.record.mode & FOLDER_MODE_MASK);
      const mtimeNs = nsOfIso(piece.record.modified);
      if (mtimeNs !== undefined) disk.setModified(piece.path, mtimeNs);
      if (this.#flags.fsync) disk.syncFolder(piece.path);
    } catch (error) {
      this.#failures.push(this.#failed(piece, error));
    }
  }

  async #file(relative: string, piece: Piece, standing: LocalStat | undefined): Promise<void> {
    if (standing !== undefined && !isReplaceable(standing)) throw inTheWay(piece, standing);
    const { parent, done } = this.#ledger.item(relative);
    if (standing?.kind === 'file' && (await this.#isEqual(piece, standing))) {
      await this.#keep(piece, standing);
      done();
      return;
    }
    if (standing !== undefined && !this.#flags.clobber) {
      await this.#context.say.note(`holdfast: ${textOfRaw(piece.path)} is there and differs; left as it is.`);
      await this.#tally.add({ ...itemOf(piece), outcome: 'kept', action: 'present' });
      done();
      return;
    }
    if (parent !== undefined) parent.isTouched = true;
    if (this.#flags.dry_run) {
      await this.#fetched(piece, piece.record.size);
      done();
    } else if (this.#isSmall(relative, piece))
      await this.#small.add(piece.record, (read) => this.#takeWhole(piece, read, done));
    else await this.#files.start(() => this.#fetch(piece, done));
  }

  async #isEqual(piece: Piece, standing: LocalStat): Promise<boolean> {
    const { record } = piece;
    // The record at hand is that of the current version.
    if (this.#flags.version !== undefined || standing.size !== record.size) return false;
    if (!this.#flags.checksum || record.xxhash3 === null) return isSameMoment(record.modified, standing.mtimeNs);
    return (await localHash(this.#context, piece.path, standing)) === record.xxhash3;
  }

  /** The bytes are there; mode and time may still differ. */
  async #keep(piece: Piece, standing: LocalStat): Promise<void> {
    this.#advance(1, piece.record.size, piece.record.path);
    if (hasAttributes(standing, piece.record, FILE_MODE_MASK)) {
      await this.#tally.add({ ...itemOf(piece), outcome: 'kept', action: 'kept' });
      return;
    }
    const mtimeNs = nsOfIso(piece.record.modified);
    if (!this.#flags.dry_run) {
      this.#context.disk.setMode(piece.path, piece.record.mode & FILE_MODE_MASK);
      if (mtimeNs !== undefined) this.#context.disk.setModified(piece.path, mtimeNs);
    }
    await this.#tally.add({ ...itemOf(piece), outcome: 'done', action: 'updated', bytes: 0 });
  }

  async #fetch(piece: Piece, done: Done): Promise<void> {
    const { record, path } = piece;
    try {
      const { version } = this.#flags;
      const read = await this.#service.read(record, { version, signal: this.#context.signal });
      await writeLocal(path, read, {
        disk: this.#context.disk,
        names: this.#names,
        isDurable: this.#flags.fsync,
        onBytes: (count) => this.#advance(0, count, record.path),
      });
      await this.#fetched(piece, read.record.size);
    } catch (error) {
      await this.#failed(piece, error);
    } finally {
      done();
    }
  }

  /** One of many, perhaps; a file that is fetched for itself need not wait for others. */
  #isSmall(relative: string, { record }: Piece): boolean {
    const isOfTree = relative !== '' && this.#flags.version === undefined;
    return isOfTree && record.size <= WHOLE_BYTES_MAX && this.#small.isUsable;
  }

  async #takeWhole(piece: Piece, read: WholeRead, done: Done): Promise<void> {
    if (!read.ok) return await this.#written(piece, 0, done, read.fault);
    const { disk } = this.#context;
    const { length } = read.bytes;
    const file = wholeFileOf(piece.path, read.record, this.#names, this.#flags.fsync);
    if (++this.#smallCount === USUAL_FILES && disk.isThreadable) this.#writer = new FileWriter();
    if (this.#writer?.isUsable === true)
      return await this.#writer.add(file, read.bytes, (refused) => this.#written(piece, length, done, refused));
    let refused: unknown;
    try {
      putInPlace(disk, file, read.bytes);
    } catch (error) {
      refused = error;
    }
    await this.#written(piece, length, done, refused);
  }

  async #written(piece: Piece, length: number, done: Done, refused: unknown): Promise<void> {
    try {
      if (refused !== undefined) return await this.#failed(piece, refused);
      this.#advance(0, length, piece.record.path);
      await this.#fetched(piece, length);
    } finally {
      done();
    }
  }

  async #fetched(piece: Piece, size: number): Promise<void> {
    this.#advance(1, 0, piece.record.path);
    await this.#tally.add({ ...itemOf(piece), outcome: 'done', action: 'fetched', bytes: size });
  }

  async #symlink(relative: string, piece: Piece, standing: LocalStat | undefined): Promise<void> {
    if (standing !== undefined && !isReplaceable(standing)) throw inTheWay(piece, standing);
    const { disk } = this.#context;
    const { parent, done } = this.#ledger.item(relative);
    try {
      const target = rawOfText(piece.record.target ?? '');
      if (standing?.kind === 'symlink' && disk.readLink(piece.path) === target) {
        await this.#tally.add({ ...itemOf(piece), outcome: 'kept', action: 'kept' });
        return;
      }
      if (parent !== undefined) parent.isTouched = true;
      if (!this.#flags.dry_run) this.#makeLink(piece, target, this.#names.beside(piece.path));
      await this.#tally.add({ ...itemOf(piece), outcome: 'done', action: 'linked' });
    } finally {
      done();
    }
  }

  #makeLink(piece: Piece, target: string, temporary: string): void {
    const { disk } = this.#context;
    disk.makeLink(temporary, target);
    try {
      const mtimeNs = nsOfIso(piece.record.modified);
      if (mtimeNs !== undefined) disk.setModified(temporary, mtimeNs);
      disk.rename(temporary, piece.path);
    } catch (error) {
      removeQuietly(disk, temporary);
      throw error;
    }
  }

  async #failed(piece: Piece, error: unknown): Promise<void> {
    if (endsTheRun(error)) throw error;
    await this.#tally.fail(itemOf(piece), error);
  }
}

/** Never a folder, and never a device: a rename would take /dev/null away from everybody. */
function isReplaceable(standing: LocalStat): boolean {
  return standing.kind === 'file' || standing.kind === 'symlink';
}

function hasAttributes(standing: LocalStat, record: FileRecord, mask: number): boolean {
  return standing.mode === (record.mode & mask) && isSameMoment(record.modified, standing.mtimeNs);
}

function inTheWay(piece: Piece, standing: LocalStat): Fault {
  const local = textOfRaw(piece.path);
  const sentence = `${piece.record.path} is a ${piece.record.kind}, and ${local} is a ${standing.kind} here. Move it out of the way, or choose another DEST.`;
  return new Fault('exists', sentence, { path: piece.record.path, local });
}

function itemOf(piece: Piece): Omit<Item, 'outcome' | 'action'> {
  const { kind } = piece.record;
  const isPlain = kind === 'file' || kind === 'folder' || kind === 'symlink';
  return { kind: isPlain ? kind : 'special', path: piece.record.path, local: textOfRaw(piece.path) };
}

/** The folders above a goal, made where they are missing. */
export function makeFoldersAbove(context: Pick<Context, 'disk'>, goal: string): void {
  const folder = folderOf(goal);
  if (context.disk.stat(folder, { follow: true }) !== undefined) return;
  makeFoldersAbove(context, folder);
  if (context.disk.makeFolder(folder)) context.disk.setMode(folder, 0o777 & ~process.umask());
}
