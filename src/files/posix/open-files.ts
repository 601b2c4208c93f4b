/**
 * The files that one POSIX door has open or has not stored yet, and the order in which what it does becomes durable.
 *
 * Operations change what is pending at once and answer; bytes follow from buffers. So that a crash leaves a prefix of
 * what was done, a group is closed in a barrier: every buffer is drained into it, and new changes wait meanwhile (reads
 * do not). Buffers are drained all along, so that little is left for the barrier.
 *
 * Bounds: bytes of buffers, per file and in all; files whose last bytes are on their way; a writer beyond one waits.
 */
import { Fault, type Maybe, type Moment, textOfUtf8 } from '../../base/index.ts';
import type { CompressionLevel } from '../../chunks/index.ts';
import {
  type Change,
  type ContentId,
  type Durable,
  EXTENT_KIND,
  type Expect,
  type ExtentRow,
  type Groups,
  type NodeId,
  type NodeRow,
  REAP_KIND,
  type SyncReader,
} from '../../meta/index.ts';
import { markReading } from '../content/read-content.ts';
import type { Context, Space } from '../context.ts';
import type { Parts } from '../plan.ts';
import { type FileHost, OpenFile } from './open-file.ts';
import { posixFault } from './posix.ts';

/** A buffer this full is drained behind the writer's back. */
const DRAIN_BYTES = 1024 * 1024;
/** Bytes of one file that wait to be stored; beyond, its writer waits. */
const FILE_BYTES_MAX = 8 * 1024 * 1024;
/** Bytes of all files that wait to be stored. */
const BYTES_MAX = 48 * 1024 * 1024;
/** Files with something not stored; beyond, a writer waits. */
const DIRTY_FILES_MAX = 4_096;
/** Files that are drained at once. */
const DRAINS_MAX = 16;
/**
 * Closed files are stored together: when there are so many, or so many bytes wait, or after so long. One by one each
 * would be a batch of chunks, a write to the pack and several turns of the event loop of its own.
 */
const PUBLISH_COUNT = 32;
const PUBLISH_BYTES = 256 * 1024;
const PUBLISH_MS = 10;
/**
 * With less room on the disk, a writer hears it before its call answers when what it writes does not fit. Far more than
 * what waits to be stored, so that nothing is taken on that cannot be kept.
 */
const DISK_BYTES_MIN = 2 * BYTES_MAX;
/** What was written becomes durable after this long at the latest. */
const SYNC_MS = 500;

/** As the kernel's MAX_LFS_FILESIZE; the store's own bound is usually lower. */
const FILE_OFFSET_MAX = Number.MAX_SAFE_INTEGER;

export interface OpenFilesOptions {
  readonly context: Context;
  readonly space: Space;
  readonly user: string;
  /** Tells this door's changes from everybody else's; unique in the process. */
  readonly joint: string;
  /** What the store's disk has. */
  readonly diskSpace: () => Maybe<{ readonly freeBytes: number }>;
  /** Another door changed an attribute of the node. */
  readonly onAttributes: (node: NodeId) => void;
  /** Another door's changes became durable. */
  readonly onOutside: (durables: readonly Durable[]) => void;
  /** What was done is lost. */
  readonly onLost: (durables: readonly Durable[]) => void;
}

export class OpenFiles implements FileHost {
  readonly context: Context;
  readonly space: Space;
  readonly #options: OpenFilesOptions;
  readonly #groups: Groups;
  readonly rows: SyncReader;
  /** Changes that anybody applied to what is pending, and losses of some; whoever remembers rows compares it. */
  changeCount = 0;
  readonly #files = new Map<NodeId, { readonly file: OpenFile; readonly reading: Disposable }>();
  readonly #dirty = new Set<OpenFile>();
  #dirtyBytes = 0;
  /** Set while a group is being closed: changes wait for it. */
  #barrier: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  #barrierBegins = Promise.withResolvers<void>();
  readonly #draining = new Set<OpenFile>();
  readonly #toPublish = new Set<OpenFile>();
  #publishing = 0;
  #publishTimer: Disposable | undefined;
  #timer: Disposable | undefined;
  /** Free on the disk when it was last asked, less what was written since. */
  #diskBytes = Number.POSITIVE_INFINITY;
  #isAsking = false;
  #isAdding = false;
  /** A folder was unlinked whole, now or before, and may not be taken apart yet. */
  #hasReaps: boolean;
  readonly #listening: Disposable;

  constructor(options: OpenFilesOptions) {
    this.#options = options;
    this.context = options.context;
    this.space = options.space;
    this.#groups = options.context.groups;
    this.rows = this.#groups.pending;
    const prefix = [this.space.space, REAP_KIND.folder] as const;
    this.#askDisk();
    this.#hasReaps = this.rows.scan('reaps', { prefix, limit: 1 }).length > 0;
    this.#listening = this.#groups.listen({
      beforeClose: () => this.#beforeClose(),
      onClosed: () => this.#endBarrier(),
      onApplied: (change) => {
        this.changeCount++;
        this.#seeOutside(change);
      },
      onDurable: (durables) => {
        const outside = durables.filter(({ change }) => !this.#isOwn(change));
        if (outside.length > 0) options.onOutside(outside);
      },
      onLost: (lost, fault) => {
        this.changeCount++;
        this.#lose(lost, fault);
      },
    });
  }

  #isOwn(change: Change): boolean {
    return change.record?.joint === this.#options.joint;
  }

  now(): Moment {
    return this.context.clock.now();
  }

  /** Whether something was done that is not durable. */
  get hasUnsettled(): boolean {
    return this.#dirty.size > 0 || this.#groups.hasAdded;
  }

  find(node: NodeId): OpenFile | undefined {
    return this.#files.get(node)?.file;
  }

  /** The file's state, made when there is none. */
  take(row: NodeRow, options: { readonly isNew: boolean }): OpenFile {
    const known = this.find(row.node);
    if (known !== undefined) return known;
    const file = new OpenFile(this, row, options);
    const reading = markReading(this.context, this.space, row.content ?? 0);
    this.#files.set(row.node, { file, reading });
    return file;
  }

  /** Changes go through here: they wait for a group that is being closed, for room in the next, for memory. */
  admit<T>(act: () => Maybe<T>): Maybe<T> {
    const wait = this.#wait();
    return wait === undefined ? act() : wait.then(() => this.admit(act));
  }

  #wait(): Promise<void> | undefined {
    if (this.#barrier !== undefined) return this.#barrier.promise;
    if (!this.#groups.hasRoom) return this.#groups.room();
    if (this.#dirty.size < DIRTY_FILES_MAX && this.#dirtyBytes < BYTES_MAX) return undefined;
    return this.#drainAll(DRAINS_MAX);
  }

  /** Before a write: waits while too much of this very file is on its way. */
  roomFor(file: OpenFile): Maybe<void> {
    return file.buffer.heldBytes < FILE_BYTES_MAX ? undefined : file.drain(false);
  }

  add(parts: Partial<Parts>): void {
    const { expects = [], touches = [], puts = [], deletes = [], items = [], liveBytes = 0, historyBytes = 0 } = parts;
    const { user, joint } = this.#options;
    this.#apply({
      space: this.space.space,
      now: this.now(),
      record: { actor: user, door: 'fuse', request: '', kind: 'mount', joint, items },
      ...{ expects, touches, puts, deletes },
      bytes: { live: liveBytes, history: historyBytes },
    });
  }

  /** What must be so for a name to be made in the folder: another door may have unlinked one above it whole. */
  reachable(folder: NodeId): readonly Expect[] {
    return this.#hasReaps ? [{ kind: 'reachable', space: this.space.space, folder }] : [];
  }

  addHidden({ puts = [], deletes = [] }: Partial<Parts>): void {
    this.#apply({ space: this.space.space, now: this.now(), puts, deletes });
  }

  #apply(change: Change): void {
    this.#isAdding = true;
    try {
      this.#groups.add(change);
    } finally {
      this.#isAdding = false;
    }
  }

  room(): Maybe<void> {
    // In a barrier the group takes what is left, or it could never be closed.
    if (this.#barrier !== undefined || this.#groups.hasRoom) return undefined;
    return Promise.race([this.#groups.room(), this.#barrierBegins.promise]);
  }

  newContent(): Maybe<ContentId> {
    return this.context.ids.content(this.space.space);
  }

  levelOf(node: NodeRow): CompressionLevel {
    const { compression } = this.context.options;
    return compression.levelOf(compression.hasRules ? this.#pathOf(node.node) : []);
  }

  #pathOf(node: NodeId): readonly Uint8Array[] {
    const names: Uint8Array[] = [];
    for (let at = node; at !== this.space.root && names.length < PATH_NAMES_MAX; ) {
      const [entry] = this.rows.scan('entriesByNode', { prefix: [this.space.space, at], limit: 1 });
      if (entry === undefined) break;
      names.unshift(entry.name);
      at = entry.parent;
    }
    return names;
  }

  bytesOf(extent: ExtentRow, skip: number, length: number): Maybe<Uint8Array> {
    const from = extent.chunkOffset + skip;
    const { chunks } = this.context;
    if (extent.kind === EXTENT_KIND.inline && extent.data !== null)
      return chunks.readInline(extent.data).subarray(from, from + length);
    if (extent.kind !== EXTENT_KIND.chunk || extent.chunk === null) {
      const about = { content: extent.content, offset: extent.offset };
      throw new Fault('corrupt', 'An extent names neither a chunk nor bytes. Run `holdfast check`.', about);
    }
    return chunks.read(extent.chunk).then((plain) => plain.subarray(from, from + length));
  }

  bytesNow(extent: ExtentRow, skip: number, length: number): Uint8Array | undefined {
    if (extent.kind !== EXTENT_KIND.chunk || extent.chunk === null) return undefined;
    const from = extent.chunkOffset + skip;
    return this.context.chunks.readNow(extent.chunk)?.subarray(from, from + length);
  }

  checkSize(size: number): void {
    const bytesMax = Math.min(this.context.options.fileBytesMax, FILE_OFFSET_MAX);
    if (size <= bytesMax) return;
    throw posixFault('EFBIG', `A file may have ${bytesMax} bytes here.`, { size, bytesMax });
  }

  /** The disk is nearly full: whoever writes waits until that is stored, as nothing else would tell that it is not. */
  get isTight(): boolean {
    if (this.#diskBytes >= DISK_BYTES_MIN) return false;
    this.#askDisk();
    return true;
  }

  /**
   * For bytes that somebody wants to be sure of before they are written. @throws Fault `ENOSPC` for more than the disk has.
   * What it had at the last look is asked first, so that small room costs no look.
   */
  checkRoom(bytes: number): Maybe<void> {
    const isKnown = this.#diskBytes !== Number.POSITIVE_INFINITY;
    if (bytes <= 0 || (isKnown && bytes <= this.#diskBytes)) return undefined;
    return this.#learnSpace().then(() => {
      if (bytes <= this.#diskBytes) return;
      const about = { bytes, freeBytes: this.#diskBytes };
      throw posixFault('ENOSPC', `The disk has no room for ${bytes} bytes. Remove something, or ask for less.`, about);
    });
  }

  #askDisk(): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    void this.#learnSpace().finally(() => (this.#isAsking = false));
  }

  async #learnSpace(): Promise<void> {
    try {
      this.#diskBytes = (await this.#options.diskSpace()).freeBytes;
    } catch (error) {
      // Then the disk says itself when it is full, only later.
      this.context.log.warn('files.disk-space-unknown', { error: String(error) });
    }
  }

  onDirty(file: OpenFile): void {
    this.#dirty.add(file);
    const moreBytes = file.buffer.heldBytes - file.countedBytes;
    this.#dirtyBytes += moreBytes;
    this.#diskBytes -= Math.max(0, moreBytes);
    file.countedBytes = file.buffer.heldBytes;
    this.#timer ??= this.context.clock.after(SYNC_MS, () => this.#syncSoon());
    if (file.buffer.heldBytes >= DRAIN_BYTES && !this.#draining.has(file)) this.#drainBehind(file);
  }

  #syncSoon(): void {
    this.#timer = undefined;
    this.#askDisk();
    // A fault stays with the file, or reaches onLost.
    void this.sync().catch(() => {});
  }

  #drainBehind(file: OpenFile): void {
    this.#draining.add(file);
    void Promise.resolve(file.drain(false))
      .then(() => this.#recount(file))
      .finally(() => this.#draining.delete(file));
  }

  #recount(file: OpenFile): void {
    this.#dirtyBytes += file.buffer.heldBytes - file.countedBytes;
    file.countedBytes = file.buffer.heldBytes;
    if (file.isDirty) return;
    this.#dirty.delete(file);
    this.#forgetIdle(file);
  }

  #forgetIdle(file: OpenFile): void {
    const known = this.#files.get(file.row.node);
    if (known?.file !== file || file.handleCount > 0 || file.isDirty || file.isBusy || this.#toPublish.has(file))
      return;
    this.#files.delete(file.row.node);
    known.reading[Symbol.dispose]();
  }

  /** Somebody closed it. */
  closed(file: OpenFile): void {
    if (file.isDirty || file.isBusy) this.publishSoon(file);
    else this.#forgetIdle(file);
  }

  /** The session of changes is over: what was written is stored, and other doors see it whole, soon. */
  publishSoon(file: OpenFile): void {
    this.#toPublish.add(file);
    if (this.#toPublish.size >= PUBLISH_COUNT || this.#dirtyBytes >= PUBLISH_BYTES) this.#publishNow();
    else this.#publishTimer ??= this.context.clock.after(PUBLISH_MS, () => this.#publishNow());
  }

  #publishNow(): void {
    this.#publishTimer?.[Symbol.dispose]();
    this.#publishTimer = undefined;
    while (this.#publishing < DRAINS_MAX && this.#toPublish.size > 0) {
      this.#publishing++;
      void this.#publish().finally(() => this.#publishing--);
    }
  }

  async #publish(): Promise<void> {
    for (let [file] = this.#toPublish; file !== undefined; [file] = this.#toPublish) await this.#publishOne(file);
  }

  async #publishOne(file: OpenFile): Promise<void> {
    this.#toPublish.delete(file);
    await file.publish();
    this.#recount(file);
    // Its line of work ends a moment later.
    if (file.isBusy) await Promise.resolve();
    this.#forgetIdle(file);
  }

  /** Resolves when everything that was done so far is durable. @throws the fault of the group that failed. */
  async sync(): Promise<void> {
    await this.#drainAll();
    await this.#groups.flush();
  }

  /** `count`: of those that wait for longest; absent: all, and what is closed is published. */
  async #drainAll(count?: number): Promise<void> {
    const chosen =
      count === undefined ? new Set([...this.#dirty, ...this.#toPublish]) : [...this.#dirty].slice(0, count);
    const files = chosen.values();
    const drainers = Array.from({ length: DRAINS_MAX }, async () => {
      for (const file of files) {
        if (this.#toPublish.has(file)) await this.#publishOne(file);
        else await file.drain(true);
        this.#recount(file);
      }
    });
    await Promise.all(drainers);
  }

  #beforeClose(): Maybe<void> {
    // Also with nothing to store: another tree may take its time, and meanwhile a name made here would join the group
    // that is closed, but bytes written before it would not.
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#barrier = { promise, resolve };
    this.#barrierBegins.resolve();
    return this.#dirty.size === 0 && this.#draining.size === 0 ? undefined : this.#drainAll().catch(() => {});
  }

  #endBarrier(): void {
    if (this.#barrier === undefined) return;
    const { resolve } = this.#barrier;
    this.#barrier = undefined;
    this.#barrierBegins = Promise.withResolvers<void>();
    resolve();
  }

  /** In the very turn in which another door changes a node that is open here. */
  #seeOutside(change: Change): void {
    if (this.#isAdding || change.space !== this.space.space) return;
    for (const put of change.puts ?? []) {
      if (put.table === 'nodes') this.#refresh(put.row.node);
      else if (put.table === 'attributes') this.#options.onAttributes(put.row.node);
      else if (put.table === 'reaps') this.#hasReaps ||= put.row.kind === REAP_KIND.folder;
    }
    for (const gone of change.deletes ?? []) if (gone.table === 'nodes') this.#refresh(gone.key[1]);
  }

  #refresh(node: NodeId): void {
    const file = this.find(node);
    if (file === undefined) return;
    let row: NodeRow | undefined;
    try {
      row = this.rows.get('nodes', [this.space.space, node]);
    } catch (error) {
      // Whoever listens to changes and losses must not throw. What is not known is not written over.
      this.context.log.error('files.row-unreadable', { node, error: String(error) });
      giveUp(file, error);
      return;
    }
    if (row !== undefined) file.refresh(row);
    else giveUp(file, posixFault('ESTALE', 'The file was removed through another door while it was open.', { node }));
  }

  #lose(lost: readonly Durable[], fault: unknown): void {
    for (const { file } of this.#files.values()) {
      this.#refresh(file.row.node);
      file.fault = fault;
      file.faultCount++;
    }
    this.#options.onLost(lost);
  }

  async close(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    try {
      await this.sync();
    } finally {
      this.#timer?.[Symbol.dispose]();
      this.#publishTimer?.[Symbol.dispose]();
      this.#listening[Symbol.dispose]();
      for (const { reading } of this.#files.values()) reading[Symbol.dispose]();
      this.#files.clear();
    }
  }
}

/** What is written to it goes nowhere from now on, and whoever has it open is told. */
function giveUp(file: OpenFile, fault: unknown): void {
  file.isGone = true;
  file.fault = fault;
  file.faultCount++;
}

/** Names of a path; more cannot be reached. */
const PATH_NAMES_MAX = 4_096;

/** A name for people. */
export function shownName(name: Uint8Array): string {
  return textOfUtf8(name) ?? Buffer.from(name).toString('latin1');
}
