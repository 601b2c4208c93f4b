/**
 * A file that somebody has open through a POSIX door, or whose last bytes are still on their way: its row as the mount
 * sees it, its bytes not yet stored, and the stream that stores them.
 *
 * Writes go to a buffer and answer at once. Draining cuts the buffer into chunks and puts extents into what is pending;
 * bytes can be read all the time: from the buffer until the extents are there. A run that goes on where the last one
 * ended goes on in the same stream, so that cuts are where the content says; otherwise only the written range changes:
 * what it overlaps is split, and small neighbours are stored together with it, so that a file written in tiny pieces
 * does not fall apart into tiny extents.
 *
 * A content is changed in place only while nobody else names it. The first change of a session decides: when the file
 * as it is must be kept as a version, or another file shares the content, the file gets a content of its own first.
 */
import { andThen, Fault, isPromise, type Maybe, type Moment } from '../../base/index.ts';
import {
  type CompressionLevel,
  type ContentSummary,
  type ContentWriter,
  INLINE_BYTES_MAX,
  xxh3Of,
} from '../../chunks/index.ts';
import {
  CHANGE_KIND,
  type ContentId,
  type ContentRow,
  type Delete,
  EXTENT_KIND,
  type ExtentRow,
  type NodeRow,
  type Put,
  REAP_KIND,
  type SyncReader,
  THIS_COMMIT,
} from '../../meta/index.ts';
import { allocatedIn, cutOut, extentsIn, extentsOfDrafts, partOf } from '../content/extents.ts';
import type { Context, Space } from '../context.ts';
import { itemOf, keptVersion, type Parts } from '../plan.ts';
import type { PosixCaller, WriteFlags } from './posix.ts';
import { WriteBuffer, type Written } from './write-buffer.ts';

/** Rows of extents that one change replaces or copies. */
const STEP_EXTENTS = 2_000;
/** Bytes handed to the chunk store at once, and between two turns for everybody else. */
const PIECE_BYTES = 512 * 1024;
/** Drafts that are put into what is pending at once while a stream goes on. */
const STEP_DRAFTS = 500;
/** Neighbours shorter than this are stored together with what is written beside them. */
const SMALL_BYTES = 16 * 1024;
/** Pieces of chunks shorter than this are always stored together with what is written beside them. */
const TINY_BYTES = 2 * 1024;
/** Extents looked at around a short run; where more are, it is stored the long way. */
const NEAR_EXTENTS = 4;
/** Runs in rows that lie one behind the other are stored together when they are this many. */
const TOGETHER_EXTENTS = 8;
/** Bytes that one read decodes in its own turn at most; a longer one must not hold up everybody else. */
const NOW_BYTES_MAX = 128 * 1024;
/** Runs not yet stored that are looked at to tell what is allocated; more are taken for bytes where none were. */
const COUNTED_RUNS_MAX = 64;
/** Least time between two kept versions of a file that is busy, and how far it grows. */
const DEBOUNCE_SECONDS = 60;
const DEBOUNCE_SECONDS_MAX = 3_600;
/** Latest versions that are looked at to tell how busy a file is. */
const DEBOUNCE_VERSIONS = 7;

/** What the open files of one tree share. */
export interface FileHost {
  readonly context: Context;
  readonly space: Space;
  /** What is pending. */
  readonly rows: SyncReader;
  now(): Moment;
  /** Applies to what is pending, in the commit that the tree's operations form. */
  add(parts: Partial<Parts>): void;
  /** The same for what nobody can see yet. */
  addHidden(parts: Partial<Parts>): void;
  /** Waits while too much is pending. */
  room(): Maybe<void>;
  newContent(): Maybe<ContentId>;
  levelOf(node: NodeRow): CompressionLevel;
  /** Verified bytes of a part of an extent. */
  bytesOf(extent: ExtentRow, skip: number, length: number): Maybe<Uint8Array>;
  /** The same of a chunk, where that takes this turn only. */
  bytesNow(extent: ExtentRow, skip: number, length: number): Uint8Array | undefined;
  /** @throws Fault for more bytes than a file may have. */
  checkSize(size: number): void;
  /** The file has something that is not pending yet. */
  onDirty(file: OpenFile): void;
}

interface Stream {
  readonly writer: ContentWriter;
  /** Where in the file it began, and up to where it has been fed. */
  readonly start: number;
  end: number;
  /** Up to here its extents are pending. */
  stored: number;
}

export class OpenFile {
  readonly #host: FileHost;
  /** As the mount sees it: size, times and mode may not be pending yet. */
  row: NodeRow;
  /** As it was last read or put. */
  #saved: NodeRow;
  #isContentChanged = false;
  /** The content may be changed in place. */
  #isOwn: boolean;
  readonly buffer = new WriteBuffer();
  #stream: Stream | undefined;
  /** XXH3-64 of the whole file, while one stream has written all of it and nothing came after. */
  #hash: Uint8Array | null = null;
  handleCount = 0;
  /** Made in this session: nobody else has ever seen it whole. */
  isNew: boolean;
  /** What the buffer held when the host last counted. */
  countedBytes = 0;
  /** No name leads to it any more. */
  isUnlinked = false;
  /** The node itself is no more: another door removed it. What is written goes nowhere. */
  isGone = false;
  /** A fault of storing, and how many there were: each handle reports each once. */
  fault: unknown;
  faultCount = 0;
  #line: Promise<void> | undefined;
  /** Nothing of the content lies behind the size (a crash may have left some that was being taken away). */
  #isEndClean: boolean;

  /** The content as it is must be kept as a version before it is changed. */
  #mustKeep = false;
  /**
   * It was too many extents to add up when it was last asked what is allocated, and nothing was taken out since. Asked
   * after every synced write of a small piece, adding them up again cost more than the write.
   */
  #hasManyExtents = false;
  /** No extent of the content reaches behind this. */
  #extentEnd: number;
  /** The run in a row that was stored last, when nothing came after: where it ends, with how many such before it. */
  #tail: { readonly content: ContentId; readonly end: number; readonly count: number } | undefined;

  constructor(host: FileHost, row: NodeRow, options: { readonly isNew: boolean }) {
    this.#host = host;
    this.row = row;
    this.#saved = row;
    this.#isOwn = options.isNew;
    this.#isEndClean = options.isNew;
    this.isNew = options.isNew;
    this.#extentEnd = options.isNew ? 0 : Number.POSITIVE_INFINITY;
  }

  get isDirty(): boolean {
    return !this.buffer.isEmpty || (this.row !== this.#saved && !this.isGone);
  }

  /** Bytes that are no holes, about: what is not stored yet counts as written. */
  get allocatedBytes(): number {
    if (this.#hasManyExtents) return this.row.size;
    const isLittle = this.buffer.runCount <= COUNTED_RUNS_MAX;
    const written = isLittle ? this.buffer.read(0, this.row.size) : [];
    const { bytes, isMany } = allocatedIn(this.#host.rows, this.#host.space, this.row, written);
    this.#hasManyExtents = isMany;
    return isLittle ? bytes : Math.min(this.row.size, bytes + this.buffer.heldBytes);
  }

  get isBusy(): boolean {
    return this.#line !== undefined;
  }

  get #content(): ContentId {
    if (this.row.content === null)
      throw new Fault('corrupt', 'A file has no content. Run `holdfast check`.', { node: this.row.node });
    return this.row.content;
  }

  /** What the mount knows of the node is no longer so: another door changed it. Bytes not yet stored stay. */
  refresh(row: NodeRow): void {
    const isSameContent = row.content === this.row.content;
    const size = Math.max(row.size, this.buffer.endOffset);
    this.row = size === row.size ? row : { ...row, size };
    this.#saved = row;
    this.#isContentChanged = !this.buffer.isEmpty;
    if (isSameContent) return;
    this.#isOwn = false;
    this.#hasManyExtents = false;
    // Somebody wrote it whole: that state is kept whatever comes.
    this.#mustKeep = true;
    this.#isEndClean = false;
    this.#extentEnd = Number.POSITIVE_INFINITY;
    this.#hash = null;
  }

  /** One after the other with everything else that moves bytes about; at once when nothing does. */
  exclusive<T>(act: () => Maybe<T>): Maybe<T> {
    if (this.#line === undefined) {
      const done = act();
      if (isPromise(done)) this.#follow(done);
      return done;
    }
    const done = this.#line.then(act);
    this.#follow(done);
    return done;
  }

  #follow(done: Promise<unknown>): void {
    const line = done.then(
      () => undefined,
      () => undefined,
    );
    this.#line = line;
    void line.then(() => {
      if (this.#line === line) this.#line = undefined;
    });
  }

  /** The content as it is now is kept by somebody: the next change must leave it alone. */
  disown(): void {
    this.#isOwn = false;
  }

  /** The row as it is pending, without what is not saved. */
  get saved(): NodeRow {
    return this.#saved;
  }

  /** Changes of the row that are no content; saved with the next save. */
  setRow(row: NodeRow): void {
    this.row = row;
  }

  write(offset: number, bytes: Uint8Array, flags: WriteFlags): Maybe<number> {
    // Writing nothing changes nothing, also behind the end.
    if (bytes.length === 0) return 0;
    const end = offset + bytes.length;
    this.#host.checkSize(end);
    if (this.#isOwn && (this.#isEndClean || end <= this.row.size)) {
      this.#take(offset, bytes, flags);
      return bytes.length;
    }
    return andThen(this.own(false), () => {
      this.#cleanEnd();
      this.#take(offset, bytes, flags);
      return bytes.length;
    });
  }

  #take(offset: number, bytes: Uint8Array, flags: WriteFlags): void {
    this.buffer.write(offset, bytes);
    const size = Math.max(this.row.size, offset + bytes.length);
    this.#changed({
      size,
      ...(flags.killPrivileges === true ? { mode: withoutPrivileges(this.row, flags.caller) } : {}),
    });
  }

  #changed(fields: Partial<NodeRow>): void {
    this.#isContentChanged = true;
    this.#hash = null;
    this.row = { ...this.row, ...fields, ...touched(this.#host.now()) };
    this.#host.onDirty(this);
  }

  /** Rows behind the size would show when the file grows over them. */
  #cleanEnd(): void {
    if (this.#isEndClean) return;
    const left = this.#extents(this.row.size, Number.MAX_SAFE_INTEGER, STEP_EXTENTS);
    if (left.length > 0) this.#addExtents(cutOut(left, this.row.size, Number.MAX_SAFE_INTEGER));
    this.#isEndClean = left.length < STEP_EXTENTS;
    if (this.#isEndClean) this.#extentEnd = Math.min(this.#extentEnd, this.row.size);
  }

  #extents(offset: number, end: number, limit?: number): readonly ExtentRow[] {
    if (offset >= this.#extentEnd) return [];
    const range = { offset, end, ...(limit === undefined ? {} : { limit }) };
    return extentsIn(this.#host.rows, this.#host.space, this.#content, range);
  }

  /** Makes the content one that may be changed in place. `isWhole`: nothing of it will be left. */
  own(isWhole: boolean): Maybe<void> {
    return this.#isOwn ? undefined : this.exclusive(() => this.#ownNow(isWhole));
  }

  /** The same, for who is alone with the file already. */
  #ownNow(isWhole: boolean): Maybe<void> {
    if (this.#isOwn) return undefined;
    const content = this.#host.rows.get('contents', [this.row.space, this.#content]);
    const isKept = this.#saved.size > 0 && !this.isUnlinked && (isWhole || this.#mustKeep || this.#isVersionDue());
    const isShared = content !== undefined && content.refs > 1;
    if (isKept || isShared) return this.#fork(isWhole, isKept);
    this.#isOwn = true;
    return undefined;
  }

  /** The state before is kept when the last kept one is old enough: a minute, longer the busier the file is. */
  #isVersionDue(): boolean {
    const { rows } = this.#host;
    const now = this.#host.now().seconds;
    const versions = rows.scan('versions', {
      prefix: [this.row.space, this.row.node],
      limit: DEBOUNCE_VERSIONS,
      reverse: true,
    });
    const recent = versions.filter(({ replacedSeconds }) => replacedSeconds > now - DEBOUNCE_SECONDS_MAX).length;
    const debounce = Math.min(DEBOUNCE_SECONDS * 2 ** recent, DEBOUNCE_SECONDS_MAX);
    return now - (versions[0]?.replacedSeconds ?? this.row.createdSeconds) >= debounce;
  }

  #fork(isWhole: boolean, isKept: boolean): Maybe<void> {
    const { space } = this.#host;
    return andThen(this.#host.newContent(), (content) => {
      const from = this.#content;
      const size = isWhole ? 0 : this.row.size;
      const first = isWhole ? [] : this.#extents(0, this.row.size, STEP_EXTENTS);
      const row: ContentRow = { space: space.space, content, size, refs: 0, base: null, hash: null };
      if (first.length < STEP_EXTENTS) {
        this.#linkFork(content, isKept, [{ table: 'contents', mode: 'insert', row }, ...copies(first, content)], []);
        return undefined;
      }
      return this.#forkInSteps(from, row, isKept);
    });
  }

  async #forkInSteps(from: ContentId, row: ContentRow, isKept: boolean): Promise<void> {
    const { space, context, rows } = this.#host;
    const reapKey = [space.space, REAP_KIND.content, row.content] as const;
    const reap = { space: space.space, kind: REAP_KIND.content, target: row.content, owner: context.owner, died: 0 };
    let puts: readonly Put[] = [
      { table: 'contents', mode: 'insert', row },
      { table: 'reaps', mode: 'insert', row: reap },
    ];
    for (let at = 0; ; ) {
      const step = extentsIn(rows, space, from, { offset: at, end: this.row.size, limit: STEP_EXTENTS });
      await this.#host.room();
      this.#host.addHidden({ puts: [...puts, ...copies(step, row.content)] });
      const last = step.at(-1);
      if (last === undefined || step.length < STEP_EXTENTS) break;
      at = last.offset + last.length;
      puts = [];
    }
    this.#linkFork(row.content, isKept, [], [{ table: 'reaps', key: reapKey }]);
  }

  #linkFork(content: ContentId, isKept: boolean, puts: readonly Put[], deletes: readonly Delete[]): void {
    const now = this.#host.now();
    const before = this.#saved;
    const kept = isKept ? keptVersion(before, now) : [];
    this.row = { ...this.row, content };
    this.#isContentChanged = true;
    const versions = kept.map((version): Put => ({ table: 'versions', mode: 'replace', row: version }));
    this.save({ puts: [...puts, ...versions], deletes, historyBytes: kept.length > 0 ? before.size : 0 });
    this.#isOwn = true;
    this.#mustKeep = false;
    this.#hash = null;
  }

  /** Puts the row as it is into what is pending, together with `more`. */
  save(more: { puts?: readonly Put[]; deletes?: readonly Delete[]; historyBytes?: number } = {}): void {
    if (this.isGone || (this.row === this.#saved && more.puts === undefined)) return;
    const isContent = this.#isContentChanged;
    const row = isContent ? { ...this.row, version: this.row.version + 1, versionCommit: THIS_COMMIT } : this.row;
    const kind = isContent ? CHANGE_KIND.write : CHANGE_KIND.attributes;
    this.#host.add({
      puts: [
        ...(more.puts ?? []),
        ...(isContent ? this.#contentRow(this.#hash) : []),
        { table: 'nodes', mode: 'replace', row },
      ],
      deletes: more.deletes ?? [],
      items: this.isUnlinked ? [] : [itemOf(row, kind, {})],
      liveBytes: this.isUnlinked ? 0 : row.size - this.#saved.size,
      historyBytes: more.historyBytes ?? 0,
    });
    this.row = this.#host.rows.get('nodes', [row.space, row.node]) ?? row;
    this.#saved = this.row;
    this.#isContentChanged = false;
  }

  /** Everything written so far is in what is pending when it answers; `isLast`: up to the last byte. */
  drain(isLast: boolean): Maybe<void> {
    if (this.buffer.isEmpty && !this.isBusy) {
      this.save();
      return undefined;
    }
    return this.exclusive(() => {
      if (this.buffer.isEmpty) {
        this.save();
        return undefined;
      }
      try {
        if (isLast && this.#storeRow()) return undefined;
      } catch (error) {
        return this.#lose(error);
      }
      return this.#drain(isLast).catch((error: unknown) => this.#lose(error));
    });
  }

  /**
   * Stores one short run that is all there is and stands in its row, with nothing to wait for: most files of a source
   * tree, and most synced writes of a database, are that. False when it is not so simple.
   */
  #storeRow(): boolean {
    const run = this.#isOwn && !this.isGone && this.#stream === undefined ? this.buffer.only : undefined;
    if (run === undefined || run.bytes.length > INLINE_BYTES_MAX || isPromise(this.#host.room())) return false;
    const { offset, bytes } = run;
    const end = offset + bytes.length;
    const alone = this.#aloneAt(offset, end);
    if (alone === undefined) return false;
    const draft = this.#host.context.chunks.keepInline(bytes, this.#host.levelOf(this.row));
    if (isPromise(draft)) {
      // Whoever stores it the long way meets its fault.
      draft.catch(() => {});
      return false;
    }
    const cut = cutOut(alone.covered, offset, end);
    const extents = extentsOfDrafts(this.#host.space, this.#content, [draft], offset, 'replace');
    const parts = { puts: [...cut.puts, ...extents], deletes: cut.deletes };
    this.#extentEnd = Math.max(this.#extentEnd, end);
    this.#hash = offset === 0 && bytes.length === this.row.size ? xxh3Of(bytes) : null;
    if (this.#isContentChanged) this.save(parts);
    else this.#addExtents(parts);
    const isRow = draft.kind === 'inline';
    this.#tail = isRow ? { content: this.#content, end, count: alone.rowsBefore + 1 } : undefined;
    this.buffer.freeze();
    this.buffer.stored();
    return true;
  }

  /**
   * What a short run at `[offset, end)` covers, and how many runs in rows lie one behind the other right before it, where
   * it is to be stored by itself; undefined when it is to be stored together with neighbours (#beforeOf, #endStream say
   * when), or that would take a long look. Mostly one look into the extents, and none behind the last run that was stored.
   */
  #aloneAt(offset: number, end: number): { covered: readonly ExtentRow[]; rowsBefore: number } | undefined {
    const known = this.#tail?.content === this.#content && this.#tail.end === offset ? this.#tail.count : undefined;
    if (offset >= this.#extentEnd && (known !== undefined || offset > this.#extentEnd || offset === 0)) {
      const rowsBefore = known ?? 0;
      return rowsBefore < TOGETHER_EXTENTS ? { covered: [], rowsBefore } : undefined;
    }
    const near = this.#behind(end, NEAR_EXTENTS);
    const [after] = near;
    if (after?.offset === end && after.length < TINY_BYTES) return undefined;
    const last = near.at(-1);
    if (near.length === NEAR_EXTENTS && last !== undefined && last.offset >= offset) return undefined;
    const covered = near.filter((extent) => extent.offset < end && extent.offset + extent.length > offset).reverse();
    const before = near.find((extent) => extent.offset + extent.length <= offset);
    if (before === undefined || before.offset + before.length !== offset || before.length >= SMALL_BYTES)
      return { covered, rowsBefore: 0 };
    if (before.kind !== EXTENT_KIND.inline) return before.length < TINY_BYTES ? undefined : { covered, rowsBefore: 0 };
    const rowsBefore = known ?? this.#rowsBefore(offset);
    return rowsBefore < TOGETHER_EXTENTS ? { covered, rowsBefore } : undefined;
  }

  /** Extents that begin at `offset` or before it, the nearest first. */
  #behind(offset: number, limit: number): readonly ExtentRow[] {
    const prefix = [this.row.space, this.#content] as const;
    return this.#host.rows.scan('extents', { prefix, from: [offset], limit, reverse: true });
  }

  /** Runs in rows, one behind the other, that end at `offset`. */
  #rowsBefore(offset: number): number {
    let end = offset;
    let count = 0;
    for (const extent of this.#behind(offset - 1, TOGETHER_EXTENTS)) {
      if (extent.offset + extent.length !== end || extent.kind !== EXTENT_KIND.inline) break;
      end = extent.offset;
      count++;
    }
    return count;
  }

  /** What could not be stored is given up, as a disk would: the fault stays for whoever asks whether it is durable. */
  async #lose(error: unknown): Promise<void> {
    this.fault = error;
    this.faultCount++;
    this.buffer.clear();
    await this.#dropStream();
    this.#host.context.log.error('files.write-lost', { node: this.row.node, error: String(error) });
  }

  async #drain(isLast: boolean): Promise<void> {
    if (this.isGone) {
      this.buffer.clear();
      await this.#dropStream();
      return;
    }
    // Another door, or a removal, may have taken the content since these bytes were written.
    await this.#ownNow(false);
    const runs = this.buffer.freeze();
    for (const run of runs) {
      if (this.#stream !== undefined && this.#stream.end !== run.offset) await this.#endStream();
      this.#stream ??= await this.#beginStream(run, isLast && runs.length === 1);
      await this.#feed(this.#stream, run.bytes);
    }
    if (isLast) await this.#endStream();
    const stream = this.#stream;
    if (stream !== undefined) {
      await stream.writer.settle();
      await this.#storeReady(stream);
      this.buffer.stored({ offset: stream.stored, end: stream.end });
    } else this.buffer.stored();
    this.save();
  }

  /** A stream that begins with this run, and with what is stored together with it. `isAll`: nothing else follows. */
  async #beginStream(run: Written, isAll: boolean): Promise<Stream> {
    const before = this.#beforeOf(run);
    const start = before[0]?.offset ?? run.offset;
    const level = this.#host.levelOf(this.row);
    // A whole small file announces its length, which spares it what a stream needs.
    const isWhole = isAll && run.offset === 0 && this.#extentEnd === 0 && run.bytes.length <= PIECE_BYTES;
    const writer = this.#host.context.chunks.newWriter(isWhole ? { level, size: run.bytes.length } : { level });
    const stream: Stream = { writer, start, end: start, stored: start };
    for (const extent of before) await this.#feed(stream, await this.#host.bytesOf(extent, 0, extent.length));
    return stream;
  }

  /**
   * Small extents one behind the other that end where the run begins and are stored again together with it. A run that
   * fits into its row is durable with one sync, so it is left alone until there are several such.
   */
  #beforeOf(run: Written): readonly ExtentRow[] {
    if (run.offset === 0 || run.offset > this.#extentEnd) return [];
    const prefix = [this.row.space, this.#content] as const;
    const limit = TOGETHER_EXTENTS;
    const chain: ExtentRow[] = [];
    let end = run.offset;
    for (const extent of this.#host.rows.scan('extents', { prefix, from: [end - 1], limit, reverse: true })) {
      if (extent.offset + extent.length !== end || extent.length >= SMALL_BYTES) break;
      chain.unshift(extent);
      end = extent.offset;
    }
    const last = chain.at(-1);
    if (last === undefined) return [];
    if (run.bytes.length > INLINE_BYTES_MAX) return [last];
    if (last.kind !== EXTENT_KIND.inline) return last.length < TINY_BYTES ? [last] : [];
    const inline = chain.slice(chain.findLastIndex(({ kind }) => kind !== EXTENT_KIND.inline) + 1);
    return inline.length < TOGETHER_EXTENTS ? [] : inline;
  }

  async #feed(stream: Stream, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      await stream.writer.write(piece);
      stream.end += piece.length;
      if (stream.writer.readyCount >= STEP_DRAFTS) await this.#storeReady(stream);
      if (bytes.length > PIECE_BYTES) await turn();
    }
  }

  async #endStream(): Promise<void> {
    const stream = this.#stream;
    if (stream === undefined) return;
    const [after] = this.#extents(stream.end, stream.end + 1);
    // A small extent that begins where the stream ends is stored with it, unless newer bytes are to come there.
    const ownBytes = stream.end - stream.start;
    const isLoneRow = ownBytes <= INLINE_BYTES_MAX && (after?.length ?? 0) >= TINY_BYTES;
    if (after?.offset === stream.end && after.length < SMALL_BYTES && ownBytes < 4 * SMALL_BYTES && !isLoneRow)
      await this.#feed(stream, await this.#host.bytesOf(after, 0, after.length));
    const summary = await stream.writer.finish();
    await this.#storeReady(stream, summary);
    this.#stream = undefined;
    await stream.writer[Symbol.asyncDispose]();
    this.#hash = this.#hashOf(stream, summary);
  }

  /** Of the whole file, when the stream is all there is of it. */
  #hashOf({ start }: Stream, { size, hash }: ContentSummary): Uint8Array | null {
    return start === 0 && size === this.row.size && !this.buffer.hasFresh ? hash : null;
  }

  /** The content's row, as it is to be while or after its bytes change; nothing where it says so already. */
  #contentRow(hash: Uint8Array | null): readonly Put[] {
    const row = this.#host.rows.get('contents', [this.row.space, this.#content]);
    if (row === undefined || (row.size === this.row.size && row.hash === hash)) return [];
    return [{ table: 'contents', mode: 'replace', row: { ...row, size: this.row.size, hash } }];
  }

  /** Changes extents; the hash of the whole does not hold from then on. */
  #addExtents(parts: { readonly puts: readonly Put[]; readonly deletes?: readonly Delete[] }): void {
    this.#tail = undefined;
    this.#host.add({ ...parts, puts: [...this.#contentRow(null), ...parts.puts] });
  }

  /**
   * Puts the extents that are ready into what is pending, in place of what they cover. At the end of a stream, given its
   * `summary`, the row goes with the last of them: one change instead of two.
   */
  async #storeReady(stream: Stream, summary?: ContentSummary): Promise<void> {
    while (stream.writer.readyCount > 0) {
      await this.#host.room();
      await this.#ownNow(false);
      const { drafts, puts } = stream.writer.take();
      const last = drafts.at(-1);
      if (last === undefined) return;
      const end = stream.start + last.offset + last.length;
      const covered = this.#extents(stream.stored, end);
      const cut = cutOut(covered, stream.stored, end);
      const extents = extentsOfDrafts(this.#host.space, this.#content, drafts, stream.start, 'replace');
      const parts = { puts: [...puts, ...cut.puts, ...extents], deletes: cut.deletes };
      stream.stored = end;
      this.#tail = undefined;
      this.#extentEnd = Math.max(this.#extentEnd, end);
      const isSavedToo = summary !== undefined && stream.writer.readyCount === 0 && this.#isContentChanged;
      if (isSavedToo && !this.isGone) {
        this.#hash = this.#hashOf(stream, summary);
        this.save(parts);
      } else this.#addExtents(parts);
    }
  }

  async #dropStream(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.writer[Symbol.asyncDispose]();
  }

  /** Ends a session of changes: all bytes stored, the row saved. The next change decides anew what is kept. */
  publish(): Maybe<void> {
    return andThen(this.drain(true), () => {
      if (this.isDirty) return;
      this.#isOwn = this.#isOwn && this.isUnlinked;
      this.isNew = this.isNew && this.isUnlinked;
    });
  }

  truncate(size: number): Maybe<void> {
    this.#host.checkSize(size);
    if (size === 0) return andThen(this.own(true), () => this.exclusive(() => this.#empty()));
    return andThen(this.own(false), () => {
      this.#cleanEnd();
      if (size >= this.row.size) {
        this.#changed({ size });
        return undefined;
      }
      return this.#withStored(() => this.#cut(size));
    });
  }

  /** Nothing is left: a fresh content instead of taking the old one apart here. */
  #empty(): Maybe<void> {
    this.#hasManyExtents = false;
    const hasExtents = this.#stream !== undefined || this.#extents(0, Number.MAX_SAFE_INTEGER, 1).length > 0;
    this.buffer.clear();
    const dropped = this.#dropStream();
    this.#changed({ size: 0 });
    if (!hasExtents) return undefined;
    return dropped.then(() =>
      andThen(this.#host.newContent(), (content) => {
        const row: ContentRow = { space: this.row.space, content, size: 0, refs: 0, base: null, hash: null };
        this.row = { ...this.row, content };
        this.save({ puts: [{ table: 'contents', mode: 'insert', row }] });
        this.#isEndClean = true;
        this.#extentEnd = 0;
      }),
    );
  }

  #cut(size: number): Maybe<void> {
    this.#hasManyExtents = false;
    this.buffer.truncate(size);
    this.#changed({ size });
    const beyond = this.#extents(size, Number.MAX_SAFE_INTEGER, STEP_EXTENTS);
    this.save();
    if (beyond.length > 0) this.#addExtents(cutOut(beyond, size, Number.MAX_SAFE_INTEGER));
    if (beyond.length < STEP_EXTENTS) return undefined;
    this.#isEndClean = false;
    return this.#cutOn(size);
  }

  async #cutOn(size: number): Promise<void> {
    for (;;) {
      await this.#host.room();
      const beyond = this.#extents(size, Number.MAX_SAFE_INTEGER, STEP_EXTENTS);
      if (beyond.length > 0) this.#addExtents(cutOut(beyond, size, Number.MAX_SAFE_INTEGER));
      if (beyond.length < STEP_EXTENTS) break;
    }
    this.#isEndClean = true;
  }

  /** Once every byte so far has its extent, alone. A fault of storing ends it. */
  #withStored<T>(act: () => Maybe<T>): Maybe<T> {
    return this.exclusive(() => {
      if (this.buffer.isEmpty) return act();
      const faults = this.faultCount;
      return this.#drain(true)
        .catch((error: unknown) => this.#lose(error))
        .then(() => {
          if (this.faultCount !== faults) throw this.fault;
          return act();
        });
    });
  }

  /** The range reads as zeros; the size grows over it unless it is to stay. */
  zero(offset: number, length: number, keepsSize: boolean): Maybe<void> {
    const end = offset + length;
    if (!keepsSize) this.#host.checkSize(end);
    return andThen(this.own(false), () =>
      this.#withStored(() => {
        this.#cleanEnd();
        this.buffer.forget(offset, length);
        return andThen(this.#takeOut(offset, Math.min(end, this.row.size)), () => {
          this.#changed(keepsSize ? {} : { size: Math.max(this.row.size, end) });
        });
      }),
    );
  }

  #takeOut(offset: number, end: number): Maybe<void> {
    this.#hasManyExtents = false;
    const covered = this.#extents(offset, end, STEP_EXTENTS);
    if (covered.length > 0) {
      const last = covered.at(-1);
      const stop = covered.length < STEP_EXTENTS || last === undefined ? end : Math.min(end, last.offset + last.length);
      this.#addExtents(cutOut(covered, offset, stop));
    }
    if (covered.length < STEP_EXTENTS) return undefined;
    return Promise.resolve(this.#host.room()).then(() => this.#takeOut(offset, end));
  }

  /** Room for a range: holds nothing back, the size grows over it. */
  grow(end: number): Maybe<void> {
    if (end <= this.row.size) {
      this.touch();
      return undefined;
    }
    this.#host.checkSize(end);
    return andThen(this.own(false), () => {
      this.#cleanEnd();
      if (end > this.row.size) this.#changed({ size: end });
    });
  }

  /** The times move on as by a write, which no byte of it shows: no version comes of it. */
  touch(): void {
    this.row = { ...this.row, ...touched(this.#host.now()) };
    this.#host.onDirty(this);
  }

  /** Where data begins, or a hole, from `offset` on; undefined behind the end. */
  seek(offset: number, what: 'data' | 'hole'): Maybe<number | undefined> {
    if (offset >= this.row.size) return undefined;
    return this.#withStored(() => {
      let at = offset;
      for (;;) {
        const page = this.#extents(at, this.row.size, STEP_EXTENTS);
        for (const extent of page) {
          if (what === 'data') return Math.min(Math.max(at, extent.offset), this.row.size);
          if (extent.offset > at) return at;
          at = extent.offset + extent.length;
        }
        if (page.length < STEP_EXTENTS) break;
      }
      return what === 'data' ? undefined : Math.min(at, this.row.size);
    });
  }

  /** Extents of a range, once all bytes have theirs, as rows relative to `offset`; `length` is how far they go. */
  share(offset: number, length: number): Maybe<{ readonly extents: readonly ExtentRow[]; readonly length: number }> {
    return this.#withStored(() => {
      const end = Math.min(offset + length, this.row.size);
      const found = this.#extents(offset, end, STEP_EXTENTS);
      const last = found.at(-1);
      const isAll = found.length < STEP_EXTENTS || last === undefined;
      const stop = Math.max(offset, isAll ? end : Math.min(end, last.offset + last.length));
      const extents = found.map((extent) => {
        const from = Math.max(extent.offset, offset);
        const part = partOf(extent, from, Math.min(stop, extent.offset + extent.length));
        return { ...part, offset: from - offset };
      });
      return { extents, length: stop - offset };
    });
  }

  /** Takes over extents that `share` gave, at `offset`. */
  adopt(offset: number, length: number, extents: readonly ExtentRow[]): Maybe<void> {
    const end = offset + length;
    this.#host.checkSize(end);
    return andThen(this.own(false), () =>
      this.#withStored(() => {
        this.#cleanEnd();
        this.buffer.forget(offset, length);
        return andThen(this.#takeOut(offset, end), () => {
          const content = this.#content;
          const puts = extents.map((extent): Put => {
            const row = { ...extent, content, offset: offset + extent.offset, unsettled: 1, born: 0 };
            return { table: 'extents', mode: 'replace', row };
          });
          this.#extentEnd = Math.max(this.#extentEnd, end);
          this.#addExtents({ puts });
          this.#changed({ size: Math.max(this.row.size, end) });
        });
      }),
    );
  }

  /** Bytes of the range, none behind the end: pieces in order. Sees everything written before the call. */
  read(offset: number, length: number): Maybe<readonly Uint8Array[]> {
    const end = Math.min(offset + length, this.row.size);
    if (end <= offset) return [];
    const pieces: Maybe<Uint8Array>[] = [];
    let at = offset;
    for (const written of [...this.buffer.read(offset, end), { offset: end, bytes: new Uint8Array(0) }]) {
      if (written.offset > at) this.#readStored(at, written.offset, pieces);
      if (written.bytes.length > 0) pieces.push(written.bytes);
      at = written.offset + written.bytes.length;
    }
    if (!pieces.some(isPromise)) return pieces as Uint8Array[];
    // Bytes of the buffer may be written over while chunks are fetched.
    return Promise.all(pieces.map((piece) => (isPromise(piece) ? piece : piece.slice())));
  }

  #readStored(offset: number, end: number, pieces: Maybe<Uint8Array>[]): void {
    let at = offset;
    const isShort = end - offset <= NOW_BYTES_MAX;
    for (const extent of this.#extents(offset, end)) {
      const start = Math.max(at, extent.offset);
      const stop = Math.min(end, extent.offset + extent.length);
      if (start > at) pieces.push(...zeros(start - at));
      const [skip, length] = [start - extent.offset, stop - start];
      const now = isShort ? this.#host.bytesNow(extent, skip, length) : undefined;
      pieces.push(now ?? this.#host.bytesOf(extent, skip, length));
      at = stop;
    }
    if (at < end) pieces.push(...zeros(end - at));
  }
}

/** The times of a file whose bytes were changed. */
function touched({ seconds, nanoseconds }: Moment): Partial<NodeRow> {
  return {
    modifiedSeconds: seconds,
    modifiedNanoseconds: nanoseconds,
    changedSeconds: seconds,
    changedNanoseconds: nanoseconds,
  };
}

const ZEROS = new Uint8Array(128 * 1024);

function* zeros(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
}

function copies(extents: readonly ExtentRow[], content: ContentId): readonly Put[] {
  return extents.map((extent) => ({ table: 'extents', mode: 'insert', row: { ...extent, content, born: 0 } }));
}

/** A mode without setuid, and without setgid where the group may execute or the caller is not in it. */
export function withoutPrivileges(row: Pick<NodeRow, 'mode' | 'gid'>, caller: PosixCaller | undefined): number {
  const isForeign = caller !== undefined && caller.uid !== 0 && caller.gid !== row.gid;
  return row.mode & ~(0o4000 | ((row.mode & 0o010) !== 0 || isForeign ? 0o2000 : 0));
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
