/**
 * Uploads of any size. All bytes of an upload stand in one hidden content, each at its final offset, so that completing
 * it is one commit that links the content, whatever the size. The upload's row names the content and is a counted
 * reference to it like any other; so it survives restarts, and is taken apart once the row lets go of it.
 *
 * - A part counts when the row of the part is there, and that is committed with the last of its extents: never ahead of
 *   what is durable. What a broken part left behind is cleared away before the part is sent again.
 * - An upload that grows commits how far it has come with the extents of every step.
 * - Nothing is visible before completing has checked sizes and hashes; and what completing refuses changes nothing.
 *
 * Who sends and how far hashes have come is kept by this process alone, which holds the store.
 */
import { createHash } from 'node:crypto';
import {
  type ByteSource,
  type ChunkClaim,
  type CompleteOptions,
  type FileRecord,
  HAVE_CHUNKS_MAX,
  PART_PAGE_MAX,
  type PartOptions,
  type Path,
  pathOfText,
  textOfPath,
  UPLOAD_PARTS_MAX,
  type UploadHave,
  type UploadList,
  type UploadOptions,
  type UploadPartPage,
  type UploadPartRecord,
  type UploadRecord,
} from '../../api/index.ts';
import { equalBytes, Fault, hexOf } from '../../base/index.ts';
import { newContentHash } from '../../chunks/index.ts';
import { type Put, UPLOAD_STATE, type UploadPartRow, type UploadRow } from '../../meta/index.ts';
import { checkSize } from '../content/build-content.ts';
import { markReading, readContent } from '../content/read-content.ts';
import { type Caller, type Context, commit, type Space } from '../context.ts';
import { type Decision, decide } from '../decide.ts';
import { changeOf } from '../plan.ts';
import { checkGoal, checkHash, type FinishedContent, planFile } from '../write.ts';
import { chunkingOf, knownRuns } from './known-runs.ts';
import { RunWriter } from './run-writer.ts';
import { piecesUntil, Senders } from './sending.ts';
import { UploadHashes } from './upload-hashes.ts';
import {
  boundsOfPart,
  expectOpen,
  expectUpload,
  newUploadRow,
  type PartBounds,
  partCountOf,
  partRecordOf,
  uploadRecordOf,
  wantedFileOf,
} from './upload-rows.ts';

/** Bytes of randomness in the name of an upload. */
const ID_BYTES = 18;
/** Rows that one step takes away. */
const STEP_ROWS = 1_000;
/**
 * Bytes of an upload that are read at once for its hash: so little that no threads are started for it, whose memory would
 * come on top of what receiving takes.
 */
const READ_BYTES = 8 * 1024 * 1024;
/** Drafts of one step of a part; of one that grows, so that what is durable stays close behind what has come. */
const PART_STEP_DRAFTS = 1_000;
const APPEND_STEP_DRAFTS = 256;
/** Missing parts that a fault names. */
const MISSING_NAMED_MAX = 20;
/** Times that one question is looked at, when chunks go meanwhile. */
const HAVE_TRIES_MAX = 3;
/** The one place from which an upload that grows is sent. */
const END = 0;

/** An upload whose bytes are all there and checked. */
export interface CheckedUpload {
  readonly row: UploadRow;
  readonly finished: FinishedContent;
}

export interface HeldUpload extends CheckedUpload, Disposable {
  readonly committed: () => void;
}

export class Uploads {
  readonly #context: () => Context;
  readonly #senders = new Senders();
  readonly #hashes = new UploadHashes();
  /** One hash catches up at a time. */
  #hashing: Promise<void> = Promise.resolve();
  #isHashing = false;
  #isClosed = false;

  constructor(context: () => Context) {
    this.#context = context;
  }

  async create(space: Space, caller: Caller, path: Path, options: UploadOptions): Promise<UploadRecord> {
    const context = this.#context();
    if (options.size !== undefined) checkSize(context, options.size);
    const { mode = 'put', parents } = options;
    await checkGoal(context, space, path, { ...options, mode, parents });
    await this.#checkOpenCount(space);
    const now = context.clock.now();
    const upload = Buffer.from(context.random.bytes(ID_BYTES)).toString('base64url');
    const content = await context.ids.content(space.space);
    const expiresSeconds = now.seconds + context.options.uploads.expireAfterSeconds;
    const row = newUploadRow({ space, caller, path, upload, content, now, expiresSeconds }, options);
    const empty = { space: space.space, content, size: 0, refs: 0, base: null, hash: null };
    await commit(context, {
      space: space.space,
      now,
      puts: [
        { table: 'contents', mode: 'insert', row: empty },
        { table: 'uploads', mode: 'insert', row },
      ],
    });
    return uploadRecordOf(row);
  }

  async #checkOpenCount(space: Space): Promise<void> {
    const { openMax } = this.#context().options.uploads;
    const isFull = async (): Promise<boolean> => (await this.#open(space)).length >= openMax;
    if (!(await isFull())) return;
    await this.removeExpired(space);
    if (!(await isFull())) return;
    const sentence = `${openMax} uploads are open, and more may not be at once. Complete or remove some, or wait until they expire.`;
    throw new Fault('busy', sentence, { open: openMax, openMax });
  }

  async #open(space: Space): Promise<readonly UploadRow[]> {
    const { openMax } = this.#context().options.uploads;
    const prefix = [space.space, UPLOAD_STATE.open] as const;
    return this.#context().meta.scan('uploadsByState', { prefix, limit: openMax });
  }

  async putPart(
    space: Space,
    upload: string,
    part: number,
    source: ByteSource,
    options: PartOptions,
  ): Promise<UploadPartRecord> {
    const seen = await this.#getOpen(space, upload);
    if (seen.partBytes === 0) throw growsOnly(seen);
    const bounds = boundsOfPart(seen, part);
    const isRest = options.isRest === true;
    if (!isRest) checkAnnounced(seen, part, bounds, options.size);
    using place = await this.#senders.take(keyOf(seen), part);
    // It may have been completed or removed while this request waited for its place.
    const row = await this.#getOpen(space, upload);
    const pieces = piecesUntil(source, [place.signal, options.signal]);
    const there = await this.#context().meta.get('uploadParts', [space.space, upload, part]);
    if (there !== undefined) {
      // What is to be added to a part that is whole cannot be compared with it.
      if (isRest) return partRecordOf(row, part, there);
      return await this.#comparePart(row, there, pieces, options);
    }
    if (isRest) return await this.#storeRest(space, row, part, bounds, pieces, options);
    await this.#clear(row, bounds.offset, bounds.offset + row.partBytes);
    return await this.#storePart(space, row, part, bounds, pieces, options);
  }

  /** A part that is there already: the same bytes again are welcome. */
  async #comparePart(
    row: UploadRow,
    there: UploadPartRow,
    pieces: AsyncIterable<Uint8Array>,
    options: PartOptions,
  ): Promise<UploadPartRecord> {
    const bounds = boundsOfPart(row, there.part);
    const xxhash3 = newContentHash();
    const sha256 = options.sha256 === undefined ? undefined : createHash('sha256');
    let size = 0;
    for await (const bytes of pieces) {
      size += bytes.length;
      checkPartLength(row, there.part, bounds, size);
      xxhash3.update(bytes);
      sha256?.update(bytes);
    }
    checkPart(row, there.part, bounds, options, { size, xxhash3: xxhash3.digest(), sha256: sha256?.digest('hex') });
    if (size === there.size && equalBytes(xxhash3.digest(), there.hash)) return partRecordOf(row, there.part, there);
    const sentence = `Part ${there.part} of the upload of ${row.path} is there with other bytes. Remove the upload and begin another to change it.`;
    const about = {
      upload_id: row.upload,
      part: there.part,
      xxhash3: hexOf(there.hash),
      sent: hexOf(xxhash3.digest()),
    };
    throw new Fault('conflict', sentence, about);
  }

  async #storePart(
    space: Space,
    row: UploadRow,
    part: number,
    bounds: PartBounds,
    pieces: AsyncIterable<Uint8Array>,
    options: PartOptions,
  ): Promise<UploadPartRecord> {
    const context = this.#context();
    const sha256 = options.sha256 === undefined ? undefined : createHash('sha256');
    const limits = { ...bounds, length: options.size ?? bounds.length };
    const following = this.#hashes.follow(keyOf(row), bounds.offset, row.sha256 !== null);
    let isKept = false;
    try {
      await using writer = this.#writerFor(space, row, bounds.offset, {
        size: options.size ?? (bounds.isExact ? bounds.length : undefined),
        stepDrafts: PART_STEP_DRAFTS,
        onStep: async (puts) => {
          await commit(context, { space: space.space, now: context.clock.now(), expects: [expectOpen(row)], puts });
        },
      });
      for await (const bytes of pieces) {
        checkPartLength(row, part, limits, writer.size + bytes.length);
        following?.update(bytes);
        sha256?.update(bytes);
        await writer.write(bytes);
      }
      const { size, hash, puts } = await writer.finish();
      checkPart(row, part, bounds, options, { size, xxhash3: hash, sha256: sha256?.digest('hex') });
      const record = await this.#commitPart(space, row, { part, size, hash }, puts);
      isKept = true;
      return record;
    } finally {
      if (isKept) following?.keep();
      else following?.drop();
      if (isKept) this.#hashBehind(space, row);
    }
  }

  async have(space: Space, upload: string, part: number, chunks: readonly ChunkClaim[]): Promise<UploadHave> {
    const context = this.#context();
    chunkingOf(context);
    const seen = await this.#getOpen(space, upload);
    if (seen.partBytes === 0) throw growsOnly(seen);
    const bounds = boundsOfPart(seen, part);
    checkClaims(seen, part, bounds, chunks);
    using _place = await this.#senders.take(keyOf(seen), part);
    const row = await this.#getOpen(space, upload);
    if ((await context.meta.get('uploadParts', [space.space, upload, part])) !== undefined)
      throw new Fault('conflict', `Part ${part} of the upload of ${row.path} is there already.`, {
        upload_id: upload,
        part,
      });
    await this.#clear(row, bounds.offset, bounds.offset + row.partBytes);
    for (let tried = 1; ; tried++) {
      const runs = await knownRuns(context, space, contentOf(row), bounds.offset, chunks);
      try {
        const puts = runs.flatMap(({ extent }): Put[] =>
          extent === undefined ? [] : [{ table: 'extents', mode: 'insert', row: extent }],
        );
        const now = context.clock.now();
        if (puts.length > 0) await commit(context, { space: space.space, now, expects: [expectOpen(row)], puts });
      } catch (error) {
        if (Fault.is(error, 'gone') && tried < HAVE_TRIES_MAX) continue;
        throw error;
      }
      const missing = runs.filter(({ extent }) => extent === undefined);
      const bytes = missing.reduce((sum, { size }) => sum + size, 0);
      return { part, missing: missing.map(({ index }) => index), missing_bytes: bytes };
    }
  }

  /** Fills the gaps between what `have` has put there; the hash of the part is over both. */
  async #storeRest(
    space: Space,
    row: UploadRow,
    part: number,
    bounds: PartBounds,
    pieces: AsyncIterable<Uint8Array>,
    options: PartOptions,
  ): Promise<UploadPartRecord> {
    const context = this.#context();
    const runs = await this.#runsOf(row, bounds);
    const wanted = runs.reduce((sum, { length, isThere }) => sum + (isThere ? 0 : length), 0);
    if (options.size !== undefined && options.size !== wanted) throw restLength(row, part, wanted, options.size);
    const sha256 = options.sha256 === undefined ? undefined : createHash('sha256');
    const xxhash3 = newContentHash();
    const following = this.#hashes.follow(keyOf(row), bounds.offset, row.sha256 !== null);
    const update = (bytes: Uint8Array): void => {
      following?.update(bytes);
      xxhash3.update(bytes);
      sha256?.update(bytes);
    };
    const source = new Portions(pieces);
    let isKept = false;
    try {
      await using writers = new AsyncDisposableStack();
      const left: Put[] = [];
      for (const { offset, length, isThere } of runs) {
        if (isThere) {
          for await (const bytes of this.#read(space, row, offset, length)) update(bytes);
          continue;
        }
        const writer = writers.use(
          this.#writerFor(space, row, offset, {
            size: length,
            stepDrafts: PART_STEP_DRAFTS,
            onStep: async (puts) => {
              await commit(context, { space: space.space, now: context.clock.now(), expects: [expectOpen(row)], puts });
            },
          }),
        );
        for await (const bytes of source.take(length)) {
          update(bytes);
          await writer.write(bytes);
        }
        if (writer.size < length) throw restLength(row, part, wanted, source.taken);
        left.push(...(await writer.finish()).puts);
      }
      if (!(await source.isOver())) throw restLength(row, part, wanted, wanted + 1);
      const actual = { size: bounds.length, xxhash3: xxhash3.digest(), sha256: sha256?.digest('hex') };
      checkPart(row, part, bounds, { ...options, size: undefined }, actual);
      const record = await this.#commitPart(space, row, { part, size: bounds.length, hash: actual.xxhash3 }, left);
      isKept = true;
      return record;
    } finally {
      if (isKept) following?.keep();
      else following?.drop();
      if (isKept) this.#hashBehind(space, row);
    }
  }

  /** What stands in the place of a part, and the gaps between. */
  async #runsOf(row: UploadRow, { offset, length }: PartBounds): Promise<readonly Run[]> {
    const runs: Run[] = [];
    let at = offset;
    const upTo = (end: number, isThere: boolean): void => {
      const last = runs.at(-1);
      if (end > at && last?.isThere === isThere) runs[runs.length - 1] = { ...last, length: last.length + end - at };
      else if (end > at) runs.push({ offset: at, length: end - at, isThere });
      at = Math.max(at, end);
    };
    for (let from = offset; from < offset + length; ) {
      const extents = await this.#context().meta.scan('extents', {
        prefix: [row.space, contentOf(row)],
        from: [from],
        limit: STEP_ROWS,
      });
      for (const extent of extents.filter((one) => one.offset < offset + length)) {
        upTo(extent.offset, false);
        upTo(extent.offset + extent.length, true);
      }
      if (extents.length < STEP_ROWS) break;
      from = (extents.at(-1)?.offset ?? from) + 1;
    }
    upTo(offset + length, false);
    return runs;
  }

  /** The last extents and the row that makes the part count, together. */
  #commitPart(
    space: Space,
    row: UploadRow,
    part: Pick<UploadPartRow, 'part' | 'size' | 'hash'>,
    puts: readonly Put[],
  ): Promise<UploadPartRecord> {
    const context = this.#context();
    return decide(context, `Part ${part.part} of the upload of ${row.path}`, async () => {
      const current = await this.#getOpen(space, row.upload);
      const now = context.clock.now();
      const own = { space: space.space, upload: row.upload, ...part, receivedSeconds: now.seconds };
      const next = this.#active({ ...current, received: current.received + part.size });
      const change = {
        space: space.space,
        now,
        expects: [expectUpload(current)],
        puts: [
          ...puts,
          { table: 'uploadParts', mode: 'insert', row: own } as const,
          { table: 'uploads', mode: 'replace', row: next } as const,
        ],
      };
      return { change, answer: partRecordOf(row, part.part, own) };
    });
  }

  async append(
    space: Space,
    upload: string,
    offset: number,
    source: ByteSource,
    signal: AbortSignal | undefined,
  ): Promise<UploadRecord> {
    const seen = await this.#getOpen(space, upload);
    if (seen.partBytes !== 0) throw hasParts(seen);
    using place = await this.#senders.take(keyOf(seen), END);
    const row = await this.#getOpen(space, upload);
    if (row.received !== offset) throw otherOffset(row, offset);
    const growth = new Growth(row, (from, to, puts) => this.#grow(space, from, to, puts));
    const following = this.#hashes.follow(keyOf(row), offset, row.sha256 !== null);
    let [isKept, fault]: [boolean, unknown] = [false, undefined];
    try {
      await using writer = this.#writerFor(space, row, offset, {
        stepDrafts: APPEND_STEP_DRAFTS,
        onStep: (puts, length) => growth.to(offset + length, puts),
      });
      try {
        for await (const bytes of piecesUntil(source, [place.signal, signal])) {
          this.#checkGrowth(row, offset + writer.size + bytes.length);
          following?.update(bytes);
          await writer.write(bytes);
        }
      } catch (error) {
        fault = error;
      }
      // What has come stays, whatever ended it.
      const { size, puts } = await writer.finish();
      await growth.to(offset + size, puts);
      isKept = true;
    } catch (error) {
      throw fault ?? error;
    } finally {
      if (isKept) following?.keep();
      else following?.drop();
    }
    if (fault !== undefined) throw fault;
    return uploadRecordOf(growth.row);
  }

  #checkGrowth(row: UploadRow, size: number): void {
    if (row.size !== null && size > row.size) {
      const sentence = `The upload of ${row.path} was announced with ${row.size} bytes, and more came. The first ${row.size} at most are kept.`;
      throw new Fault('too-large', sentence, { upload_id: row.upload, size: row.size });
    }
    checkSize(this.#context(), size);
  }

  /** Answers the row as it is then. */
  async #grow(space: Space, row: UploadRow, received: number, puts: readonly Put[]): Promise<UploadRow> {
    const context = this.#context();
    const next = this.#active({ ...row, received });
    await commit(context, {
      space: space.space,
      now: context.clock.now(),
      expects: [expectUpload(row)],
      puts: [...puts, { table: 'uploads', mode: 'replace', row: next }],
    });
    return next;
  }

  #active(row: UploadRow): UploadRow {
    const { clock, options } = this.#context();
    return { ...row, expiresSeconds: clock.now().seconds + options.uploads.expireAfterSeconds };
  }

  #writerFor(
    space: Space,
    row: UploadRow,
    base: number,
    how: {
      size?: number | undefined;
      stepDrafts: number;
      onStep: (puts: readonly Put[], length: number) => Promise<void>;
    },
  ): RunWriter {
    const context = this.#context();
    const level = context.options.compression.levelOf(pathOfText(row.path));
    return new RunWriter(context, space, { content: contentOf(row), base, level, ...how });
  }

  /** What a part that broke off has left there. It never was anybody's, so nothing of it goes to history. */
  async #clear(row: UploadRow, offset: number, end: number): Promise<void> {
    const context = this.#context();
    const content = contentOf(row);
    for (;;) {
      const extents = await context.meta.scan('extents', {
        prefix: [row.space, content],
        from: [offset],
        limit: STEP_ROWS,
      });
      const old = extents.filter((extent) => extent.offset < end);
      if (old.length === 0) return;
      await commit(context, {
        space: row.space,
        now: context.clock.now(),
        died: 0,
        expects: [expectOpen(row)],
        deletes: old.map((extent) => ({ table: 'extents', key: [row.space, content, extent.offset] })),
      });
    }
  }

  async find(space: Space, upload: string): Promise<UploadRecord> {
    return uploadRecordOf(await this.#get(space, upload));
  }

  async parts(space: Space, upload: string, after: number, limit: number): Promise<UploadPartPage> {
    const row = await this.#get(space, upload);
    if (row.partBytes === 0) throw growsOnly(row);
    const prefix = [space.space, upload] as const;
    const rows = await this.#context().meta.scan('uploadParts', { prefix, after: [after], limit });
    const there = new Map(rows.map((one) => [one.part, one]));
    const last = Math.min(after + limit, partCountOf(row) ?? UPLOAD_PARTS_MAX);
    const parts: UploadPartRecord[] = [];
    for (let part = after + 1; part <= last; part++) parts.push(partRecordOf(row, part, there.get(part)));
    const isLast = last >= (partCountOf(row) ?? UPLOAD_PARTS_MAX);
    return { upload_id: upload, parts, ...(isLast ? {} : { next: last }) };
  }

  async list(space: Space, path: Path | undefined): Promise<UploadList> {
    const wanted = path === undefined ? undefined : textOfPath(path);
    const rows = (await this.#open(space)).filter((row) => !this.#isExpired(row));
    return { uploads: rows.filter((row) => wanted === undefined || row.path === wanted).map(uploadRecordOf) };
  }

  async complete(space: Space, caller: Caller, upload: string, options: CompleteOptions): Promise<FileRecord> {
    const context = this.#context();
    return await context.turns.run(`upload ${space.space} ${upload}`, async () => {
      const seen = await this.#get(space, upload);
      if (seen.state === UPLOAD_STATE.complete) return JSON.parse(seen.answer) as FileRecord;
      using _closed = await this.#senders.close(keyOf(seen), 'The upload is being completed.');
      const checked = await this.check(space, upload, options);
      const plan = (): Promise<Decision<FileRecord>> => this.planCompletion(context, space, caller, checked);
      const record = await decide(context, `Completing the upload of ${seen.path}`, plan);
      this.#hashes.forget(keyOf(seen));
      return record;
    });
  }

  /** For a batch: checked as for completing, and nobody sends to it until disposed. `committed`: it is complete. */
  async hold(space: Space, upload: string): Promise<HeldUpload> {
    const row = await this.#getOpen(space, upload);
    const closed = await this.#senders.close(keyOf(row), 'The upload is being completed.');
    try {
      const checked = await this.check(space, upload);
      return {
        ...checked,
        committed: () => this.#hashes.forget(keyOf(row)),
        [Symbol.dispose]: () => closed[Symbol.dispose](),
      };
    } catch (error) {
      closed[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Looks whether all of it is there and is what was announced. @throws Fault `incomplete`, `mismatch`, `not-found`.
   */
  async check(space: Space, upload: string, options: CompleteOptions = {}): Promise<CheckedUpload> {
    const row = await this.#getOpen(space, upload);
    const size = row.partBytes === 0 ? wholeGrowth(row) : await this.#sizeOfParts(row);
    if (options.size !== undefined && options.size !== size) throw otherSize(row, options.size, size);
    await this.#clear(row, size, Number.MAX_SAFE_INTEGER);
    const wanted = { length: size, sha256: row.sha256 !== null || options.sha256 !== undefined };
    const hashes = await this.#hashes.reach(keyOf(row), wanted, (offset, length) =>
      this.#read(space, row, offset, length, options.signal),
    );
    const xxhash3 = hexOf(hashes.xxhash3);
    const announced = (bytes: Uint8Array | null): string | undefined => (bytes === null ? undefined : hexOf(bytes));
    checkHash(row.path, 'xxhash3', announced(row.xxhash3), xxhash3);
    checkHash(row.path, 'xxhash3', options.xxhash3, xxhash3);
    checkHash(row.path, 'sha256', announced(row.sha256), hashes.sha256);
    checkHash(row.path, 'sha256', options.sha256, hashes.sha256);
    return { row, finished: { content: contentOf(row), size, hash: hashes.xxhash3 } };
  }

  /** The one commit that makes the file of it; `context` may be that of a batch. */
  async planCompletion(
    context: Context,
    space: Space,
    caller: Caller,
    { row, finished }: CheckedUpload,
  ): Promise<Decision<FileRecord>> {
    // In a batch that names it twice it is complete by now.
    const current = await context.meta.get('uploads', [row.space, row.upload]);
    if (current?.state !== UPLOAD_STATE.open) throw isComplete(row);
    const now = context.clock.now();
    const { parts, record, kind } = await planFile(
      context,
      space,
      pathOfText(row.path),
      finished,
      wantedFileOf(row),
      now,
    );
    const content = { space: space.space, refs: 0, base: null, ...finished };
    const done = this.#active({ ...row, state: UPLOAD_STATE.complete, content: null, answer: JSON.stringify(record) });
    const whole = {
      ...parts,
      expects: [expectUpload(row), ...parts.expects],
      puts: [
        { table: 'contents', mode: 'replace', row: content } as const,
        ...parts.puts,
        { table: 'uploads', mode: 'replace', row: done } as const,
      ],
    };
    return { change: changeOf(space, caller, kind, now, whole), answer: record };
  }

  async #sizeOfParts(row: UploadRow): Promise<number> {
    const count = partCountOf(row);
    const missing: number[] = [];
    let [next, size, missingCount] = [1, 0, 0];
    const miss = (end: number): void => {
      for (; next < end; next++) {
        missingCount++;
        if (missing.length < MISSING_NAMED_MAX) missing.push(next);
      }
    };
    let last: UploadPartRow | undefined;
    for await (const part of this.#partRows(row)) {
      // One that is shorter must be the last.
      if (last !== undefined && last.size < row.partBytes) throw shortPart(row, last);
      miss(part.part);
      next = part.part + 1;
      size += part.size;
      last = part;
    }
    if (count !== null) miss(count + 1);
    if (missingCount > 0) throw missingParts(row, missing, missingCount);
    return size;
  }

  async *#partRows(row: UploadRow): AsyncGenerator<UploadPartRow> {
    for (let after = 0; ; ) {
      const prefix = [row.space, row.upload] as const;
      const page = await this.#context().meta.scan('uploadParts', { prefix, after: [after], limit: PART_PAGE_MAX });
      yield* page;
      if (page.length < PART_PAGE_MAX) return;
      after = page.at(-1)?.part ?? after;
    }
  }

  async *#read(
    space: Space,
    row: UploadRow,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const context = this.#context();
    const content = contentOf(row);
    const file = { path: pathOfText(row.path) };
    using _mark = markReading(context, space, content);
    const end = offset + length;
    for (let at = offset; at < end; at += READ_BYTES) {
      const range = { offset: at, length: Math.min(READ_BYTES, end - at) };
      yield* readContent(context, space, content, range, file, signal);
    }
  }

  /** Parts that came out of order are hashed while others still come, as far as there is no gap. */
  #hashBehind(space: Space, row: UploadRow): void {
    if (this.#isHashing || this.#isClosed) return;
    this.#isHashing = true;
    this.#hashing = this.#catchUp(space, row)
      .catch((error: unknown) => this.#context().log.debug('files.upload-hash-behind', { error: String(error) }))
      .finally(() => {
        this.#isHashing = false;
      });
  }

  async #catchUp(space: Space, row: UploadRow): Promise<void> {
    const sha256 = row.sha256 !== null;
    while (!this.#isClosed) {
      const reached = this.#hashes.reached(keyOf(row), sha256);
      if (reached === undefined || reached % row.partBytes !== 0) return;
      const key = [space.space, row.upload, reached / row.partBytes + 1] as const;
      const part = await this.#context().meta.get('uploadParts', key);
      if (part === undefined || (await this.#find(space, row.upload))?.state !== UPLOAD_STATE.open) return;
      await this.#hashes.reach(keyOf(row), { length: reached + part.size, sha256 }, (offset, length) =>
        this.#read(space, row, offset, length),
      );
    }
  }

  async remove(space: Space, upload: string): Promise<UploadRecord> {
    const row = await this.#get(space, upload);
    await this.#takeApart(space, row);
    return { ...uploadRecordOf(row), state: 'removed' };
  }

  /** Takes away what is over its time; answers how many that were. */
  async removeExpired(space: Space, signal?: AbortSignal): Promise<number> {
    let removed = 0;
    for (let after: readonly [string] | undefined; ; ) {
      const rows: readonly UploadRow[] = await this.#context().meta.scan('uploads', {
        prefix: [space.space],
        ...(after === undefined ? {} : { after }),
        limit: STEP_ROWS,
      });
      for (const row of rows) {
        if (signal?.aborted) return removed;
        if (row.state !== UPLOAD_STATE.removed && !this.#isExpired(row)) continue;
        await this.#takeApart(space, row);
        removed++;
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < STEP_ROWS) return removed;
      after = [last.upload];
    }
  }

  /** First it lets go of its content, then its rows go in steps, its own last. */
  async #takeApart(space: Space, seen: UploadRow): Promise<void> {
    const context = this.#context();
    const key = [space.space, seen.upload] as const;
    await context.turns.run(`upload ${space.space} ${seen.upload}`, async () => {
      using _closed = await this.#senders.close(keyOf(seen), 'The upload is removed.');
      const row = await this.#find(space, seen.upload);
      if (row === undefined) return;
      const now = context.clock.now();
      const gone: UploadRow = { ...row, state: UPLOAD_STATE.removed, content: null };
      if (row.state !== UPLOAD_STATE.removed)
        await commit(context, {
          space: space.space,
          now,
          expects: [expectUpload(row)],
          puts: [{ table: 'uploads', mode: 'replace', row: gone }],
        });
      this.#hashes.forget(keyOf(row));
      context.onUnreachable();
      for (let isLast = false; !isLast; ) {
        const parts = await context.meta.scan('uploadParts', { prefix: key, limit: STEP_ROWS });
        isLast = parts.length < STEP_ROWS;
        await commit(context, {
          space: space.space,
          now,
          deletes: [
            ...parts.map(({ part }) => ({ table: 'uploadParts', key: [...key, part] }) as const),
            ...(isLast ? [{ table: 'uploads', key } as const] : []),
          ],
        });
      }
    });
  }

  async #find(space: Space, upload: string): Promise<UploadRow | undefined> {
    return this.#context().meta.get('uploads', [space.space, upload]);
  }

  async #get(space: Space, upload: string): Promise<UploadRow> {
    const row = await this.#find(space, upload);
    if (row !== undefined && row.state !== UPLOAD_STATE.removed && !this.#isExpired(row)) return row;
    const shown = upload.slice(0, 100);
    const sentence = `There is no upload ${JSON.stringify(shown)}: it never was, was removed, or expired. Begin another.`;
    throw new Fault('not-found', sentence, { upload_id: shown });
  }

  async #getOpen(space: Space, upload: string): Promise<UploadRow> {
    const row = await this.#get(space, upload);
    if (row.state === UPLOAD_STATE.open) return row;
    throw isComplete(row);
  }

  #isExpired(row: UploadRow): boolean {
    return row.expiresSeconds <= this.#context().clock.now().seconds;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#hashing;
  }
}

interface Run {
  readonly offset: number;
  readonly length: number;
  readonly isThere: boolean;
}

/** A source that is taken in portions. */
class Portions {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);
  taken = 0;

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** So many bytes, or as many as there are. */
  async *take(length: number): AsyncGenerator<Uint8Array> {
    for (let left = length; left > 0; ) {
      if (this.#rest.length === 0 && !(await this.#more())) return;
      const bytes = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(bytes.length);
      left -= bytes.length;
      this.taken += bytes.length;
      yield bytes;
    }
  }

  async isOver(): Promise<boolean> {
    return this.#rest.length === 0 && !(await this.#more());
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#pieces.next();
      if (next.done === true) return false;
      this.#rest = next.value;
      if (next.value.length > 0) return true;
    }
  }
}

/** An upload that grows, as its row is after each step. */
class Growth {
  row: UploadRow;
  readonly #grow: (row: UploadRow, received: number, puts: readonly Put[]) => Promise<UploadRow>;

  constructor(row: UploadRow, grow: (row: UploadRow, received: number, puts: readonly Put[]) => Promise<UploadRow>) {
    this.row = row;
    this.#grow = grow;
  }

  async to(received: number, puts: readonly Put[]): Promise<void> {
    if (received > this.row.received) this.row = await this.#grow(this.row, received, puts);
  }
}

function keyOf(row: Pick<UploadRow, 'space' | 'upload'>): string {
  return `${row.space} ${row.upload}`;
}

function contentOf(row: UploadRow): number {
  if (row.content !== null) return row.content;
  throw new Error('Broken invariant: an open upload has a content.');
}

function isComplete(row: UploadRow): Fault {
  return new Fault('conflict', `The upload of ${row.path} is complete already; nothing can be added to it.`, {
    upload_id: row.upload,
    path: row.path,
    state: 'complete',
  });
}

function growsOnly(row: UploadRow): Fault {
  return new Fault('invalid', `The upload of ${row.path} has no parts; it grows at its end.`, {
    upload_id: row.upload,
    received: row.received,
  });
}

function hasParts(row: UploadRow): Fault {
  return new Fault('invalid', `The upload of ${row.path} has parts; it does not grow at its end.`, {
    upload_id: row.upload,
    part_size: row.partBytes,
  });
}

function otherOffset(row: UploadRow, offset: number): Fault {
  const sentence = `The upload of ${row.path} has ${row.received} bytes; what comes next begins there, not at ${offset}.`;
  return new Fault('conflict', sentence, { upload_id: row.upload, received: row.received, offset });
}

function otherSize(row: UploadRow, announced: number, actual: number): Fault {
  const sentence = `The upload of ${row.path} has ${actual} bytes, but ${announced} were announced. It is kept as it is.`;
  return new Fault('mismatch', sentence, { upload_id: row.upload, announced, actual });
}

/** @throws Fault `incomplete`. */
function wholeGrowth(row: UploadRow): number {
  if (row.size === null || row.size === row.received) return row.received;
  const sentence = `Of the ${row.size} bytes of the upload of ${row.path}, ${row.received} have come. Send the rest first.`;
  throw new Fault('incomplete', sentence, { upload_id: row.upload, size: row.size, received: row.received });
}

function missingParts(row: UploadRow, missing: readonly number[], count: number): Fault {
  const more = count > missing.length ? ` and ${count - missing.length} more` : '';
  const sentence = `The upload of ${row.path} lacks ${count === 1 ? 'part' : 'parts'} ${missing.join(', ')}${more}. Send what is missing first.`;
  return new Fault('incomplete', sentence, { upload_id: row.upload, missing, missing_count: count });
}

function shortPart(row: UploadRow, part: UploadPartRow): Fault {
  const sentence = `Part ${part.part} of the upload of ${row.path} has ${part.size} bytes, and others come behind it: only the last may have less than ${row.partBytes}.`;
  return new Fault('mismatch', sentence, { upload_id: row.upload, part: part.part, size: part.size });
}

function restLength(row: UploadRow, part: number, wanted: number, actual: number): Fault {
  const sentence = `Of part ${part} of the upload of ${row.path}, ${wanted} bytes are missing, but ${actual} or more came. Ask again which are.`;
  return new Fault('mismatch', sentence, { upload_id: row.upload, part, announced: wanted, actual });
}

/** @throws Fault `too-large`, `mismatch`. */
function checkClaims(row: UploadRow, part: number, bounds: PartBounds, claims: readonly ChunkClaim[]): void {
  if (claims.length > HAVE_CHUNKS_MAX)
    throw new Fault('too-large', `One question is for ${HAVE_CHUNKS_MAX} chunks at most.`, {
      chunksMax: HAVE_CHUNKS_MAX,
    });
  const size = claims.reduce((sum, claim) => sum + claim.size, 0);
  if (bounds.isExact && size === bounds.length) return;
  const sentence = `The chunks asked for have ${size} bytes; part ${part} of the upload of ${row.path} has ${bounds.isExact ? bounds.length : 'a length that is not known'}. They must cover it.`;
  throw new Fault('mismatch', sentence, { upload_id: row.upload, part, announced: size, actual: bounds.length });
}

function checkAnnounced(row: UploadRow, part: number, bounds: PartBounds, size: number | undefined): void {
  if (size === undefined) return;
  checkPartLength(row, part, bounds, size);
  if (bounds.isExact && size !== bounds.length) throw partLength(row, part, bounds, size);
}

function checkPartLength(row: UploadRow, part: number, { length }: PartBounds, size: number): void {
  if (size <= length) return;
  const sentence = `Part ${part} of the upload of ${row.path} has ${length} bytes at most, and more came. Nothing of it was kept.`;
  throw new Fault('too-large', sentence, { upload_id: row.upload, part, bytesMax: length });
}

function partLength(row: UploadRow, part: number, { length }: PartBounds, actual: number): Fault {
  const sentence = `Part ${part} of the upload of ${row.path} has ${length} bytes, but ${actual} came. Nothing of it was kept; send it again.`;
  return new Fault('mismatch', sentence, { upload_id: row.upload, part, announced: length, actual });
}

/** @throws Fault `mismatch` when the bytes of a part are not those that were announced. */
function checkPart(
  row: UploadRow,
  part: number,
  bounds: PartBounds,
  announced: PartOptions,
  actual: { readonly size: number; readonly xxhash3: Uint8Array; readonly sha256: string | undefined },
): void {
  const wanted = bounds.isExact ? bounds.length : announced.size;
  if (wanted !== undefined && wanted !== actual.size)
    throw partLength(row, part, { ...bounds, length: wanted }, actual.size);
  if (actual.size === 0) throw partLength(row, part, bounds, 0);
  const what = `part ${part} of ${row.path}`;
  checkHash(what, 'xxhash3', announced.xxhash3, hexOf(actual.xxhash3));
  checkHash(what, 'sha256', announced.sha256, actual.sha256);
}
