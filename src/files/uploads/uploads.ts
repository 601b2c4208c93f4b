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
import {
  type ByteSource,
  type ChunkClaim,
  type CompleteOptions,
  type FileRecord,
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
import { Fault, hexOf } from '../../base/index.ts';
import { UPLOAD_STATE, type UploadPartRow, type UploadRow } from '../../meta/index.ts';
import { type Caller, type Context, commit, type Space } from '../context.ts';
import { type Decision, decide } from '../decide.ts';
import { changeOf } from '../plan.ts';
import { checkGoal, checkHash, type FinishedContent, planFile } from '../write.ts';
import { OpenUploads, STEP_ROWS } from './open-uploads.ts';
import { Receiving } from './receiving.ts';
import { growsOnly, isComplete, missingParts, otherSize, shortPart, wholeGrowth } from './upload-faults.ts';
import { roomFor } from './upload-room.ts';
import {
  contentOf,
  expectUpload,
  keyOf,
  newUploadRow,
  partCountOf,
  partRecordOf,
  uploadRecordOf,
  wantedFileOf,
} from './upload-rows.ts';

/** Bytes of randomness in the name of an upload. */
const ID_BYTES = 18;
/** What becomes of an upload whose bytes have another hash. */
const UPLOAD_KEPT = 'The upload is kept as it is. Complete it with the right hash, or remove it and begin another.';
/** Missing parts that a fault names. */
const MISSING_NAMED_MAX = 20;

/** An upload whose bytes are all there and checked. */
export interface CheckedUpload {
  readonly row: UploadRow;
  readonly finished: FinishedContent;
}

export interface HeldUpload extends CheckedUpload, Disposable {
  readonly committed: () => void;
}

export class Uploads {
  readonly #uploads: OpenUploads;
  readonly #receiving: Receiving;

  constructor(context: () => Context) {
    this.#uploads = new OpenUploads(context);
    this.#receiving = new Receiving(this.#uploads);
  }

  async create(space: Space, caller: Caller, path: Path, options: UploadOptions): Promise<UploadRecord> {
    const context = this.#uploads.context();
    const { mode = 'put', parents, size = 0 } = options;
    await checkGoal(context, space, path, { ...options, mode, parents });
    const checkRoom = await roomFor(context, space, path);
    checkRoom(size);
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
    const { openMax } = this.#uploads.context().options.uploads;
    const isFull = async (): Promise<boolean> => (await this.#open(space)).length >= openMax;
    if (!(await isFull())) return;
    await this.removeExpired(space);
    if (!(await isFull())) return;
    const sentence = `${openMax} uploads are open, and more may not be at once. Complete or remove some, or wait until they expire.`;
    throw new Fault('busy', sentence, { open: openMax, openMax });
  }

  async #open(space: Space): Promise<readonly UploadRow[]> {
    const { openMax } = this.#uploads.context().options.uploads;
    const prefix = [space.space, UPLOAD_STATE.open] as const;
    return this.#uploads.context().meta.scan('uploadsByState', { prefix, limit: openMax });
  }

  /** A part at its place, or with `isRest` what `have` found missing of it. */
  putPart(
    space: Space,
    upload: string,
    part: number,
    source: ByteSource,
    options: PartOptions,
  ): Promise<UploadPartRecord> {
    return this.#receiving.putPart(space, upload, part, source, options);
  }

  /** Puts the chunks of a part that the user can read already in their places, and answers which are missing. */
  have(space: Space, upload: string, part: number, chunks: readonly ChunkClaim[]): Promise<UploadHave> {
    return this.#receiving.have(space, upload, part, chunks);
  }

  /** More at the end of an upload that grows. */
  append(
    space: Space,
    upload: string,
    offset: number,
    source: ByteSource,
    signal: AbortSignal | undefined,
  ): Promise<UploadRecord> {
    return this.#receiving.append(space, upload, offset, source, signal);
  }

  async find(space: Space, upload: string): Promise<UploadRecord> {
    return uploadRecordOf(await this.#uploads.get(space, upload));
  }

  async parts(space: Space, upload: string, after: number, limit: number): Promise<UploadPartPage> {
    const row = await this.#uploads.get(space, upload);
    if (row.partBytes === 0) throw growsOnly(row);
    const prefix = [space.space, upload] as const;
    const rows = await this.#uploads.context().meta.scan('uploadParts', { prefix, after: [after], limit });
    const there = new Map(rows.map((one) => [one.part, one]));
    const last = Math.min(after + limit, partCountOf(row) ?? UPLOAD_PARTS_MAX);
    const parts: UploadPartRecord[] = [];
    for (let part = after + 1; part <= last; part++) parts.push(partRecordOf(row, part, there.get(part)));
    const isLast = last >= (partCountOf(row) ?? UPLOAD_PARTS_MAX);
    return { upload_id: upload, parts, ...(isLast ? {} : { next: last }) };
  }

  async list(space: Space, path: Path | undefined): Promise<UploadList> {
    const wanted = path === undefined ? undefined : textOfPath(path);
    const rows = (await this.#open(space)).filter((row) => !this.#uploads.isExpired(row));
    return { uploads: rows.filter((row) => wanted === undefined || row.path === wanted).map(uploadRecordOf) };
  }

  async complete(space: Space, caller: Caller, upload: string, options: CompleteOptions): Promise<FileRecord> {
    const context = this.#uploads.context();
    return await context.turns.run(`upload ${space.space} ${upload}`, async () => {
      const seen = await this.#uploads.get(space, upload);
      if (seen.state === UPLOAD_STATE.complete) return JSON.parse(seen.answer) as FileRecord;
      using _closed = await this.#uploads.senders.close(keyOf(seen), 'The upload is being completed.');
      const checked = await this.check(space, upload, options);
      const plan = (): Promise<Decision<FileRecord>> => this.planCompletion(context, space, caller, checked);
      const record = await decide(context, `Completing the upload of ${seen.path}`, plan);
      this.#uploads.hashes.forget(keyOf(seen));
      return record;
    });
  }

  /** For a batch: checked as for completing, and nobody sends to it until disposed. `committed`: it is complete. */
  async hold(space: Space, upload: string): Promise<HeldUpload> {
    const row = await this.#uploads.getOpen(space, upload);
    const closed = await this.#uploads.senders.close(keyOf(row), 'The upload is being completed.');
    try {
      const checked = await this.check(space, upload);
      return {
        ...checked,
        committed: () => this.#uploads.hashes.forget(keyOf(row)),
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
    const row = await this.#uploads.getOpen(space, upload);
    const size = row.partBytes === 0 ? wholeGrowth(row) : await this.#sizeOfParts(row);
    if (options.size !== undefined && options.size !== size) throw otherSize(row, options.size, size);
    await this.#uploads.clear(row, size, Number.MAX_SAFE_INTEGER);
    const wanted = { length: size, sha256: row.sha256 !== null || options.sha256 !== undefined };
    const hashes = await this.#uploads.hashes.reach(keyOf(row), wanted, (offset, length) =>
      this.#uploads.read(space, row, offset, length, options.signal),
    );
    const xxhash3 = hexOf(hashes.xxhash3);
    const announced = (bytes: Uint8Array | null): string | undefined => (bytes === null ? undefined : hexOf(bytes));
    checkHash(row.path, 'xxhash3', announced(row.xxhash3), xxhash3, UPLOAD_KEPT);
    checkHash(row.path, 'xxhash3', options.xxhash3, xxhash3, UPLOAD_KEPT);
    checkHash(row.path, 'sha256', announced(row.sha256), hashes.sha256, UPLOAD_KEPT);
    checkHash(row.path, 'sha256', options.sha256, hashes.sha256, UPLOAD_KEPT);
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
    const done = this.#uploads.active({
      ...row,
      state: UPLOAD_STATE.complete,
      content: null,
      answer: JSON.stringify(record),
    });
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
      const page = await this.#uploads
        .context()
        .meta.scan('uploadParts', { prefix, after: [after], limit: PART_PAGE_MAX });
      yield* page;
      if (page.length < PART_PAGE_MAX) return;
      after = page.at(-1)?.part ?? after;
    }
  }

  async remove(space: Space, upload: string): Promise<UploadRecord> {
    const row = await this.#uploads.get(space, upload);
    await this.#takeApart(space, row);
    return { ...uploadRecordOf(row), state: 'removed' };
  }

  /** Takes away what is over its time; answers how many that were. */
  async removeExpired(space: Space, signal?: AbortSignal): Promise<number> {
    let removed = 0;
    for (let after: readonly [string] | undefined; ; ) {
      const rows: readonly UploadRow[] = await this.#uploads.context().meta.scan('uploads', {
        prefix: [space.space],
        ...(after === undefined ? {} : { after }),
        limit: STEP_ROWS,
      });
      for (const row of rows) {
        if (signal?.aborted) return removed;
        if (row.state !== UPLOAD_STATE.removed && !this.#uploads.isExpired(row)) continue;
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
    const context = this.#uploads.context();
    const key = [space.space, seen.upload] as const;
    await context.turns.run(`upload ${space.space} ${seen.upload}`, async () => {
      using _closed = await this.#uploads.senders.close(keyOf(seen), 'The upload is removed.');
      const row = await this.#uploads.find(space, seen.upload);
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
      this.#uploads.hashes.forget(keyOf(row));
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

  close(): Promise<void> {
    return this.#uploads.close();
  }
}
