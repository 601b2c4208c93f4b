/**
 * What comes for an upload, on its way into the hidden content: parts at their places, the rest of a part of which some
 * chunks were known, or more at the end of one that grows.
 */
import { createHash } from 'node:crypto';
import {
  type ByteSource,
  type ChunkClaim,
  type PartOptions,
  pathOfText,
  type UploadHave,
  type UploadPartRecord,
  type UploadRecord,
} from '../../api/index.ts';
import { equalBytes, Fault, hexOf } from '../../base/index.ts';
import { newContentHash } from '../../chunks/index.ts';
import type { Put, UploadPartRow, UploadRow } from '../../meta/index.ts';
import { commit, type Space } from '../context.ts';
import { decide } from '../decide.ts';
import { chunkingOf, knownRuns } from './known-runs.ts';
import { type OpenUploads, STEP_ROWS } from './open-uploads.ts';
import { Portions } from './portions.ts';
import { RunWriter } from './run-writer.ts';
import { piecesUntil } from './sending.ts';
import {
  checkAnnounced,
  checkClaims,
  checkPart,
  checkPartLength,
  growsOnly,
  hasParts,
  otherOffset,
  restLength,
} from './upload-faults.ts';
import { type CheckRoom, roomFor } from './upload-room.ts';
import {
  boundsOfPart,
  contentOf,
  expectOpen,
  expectUpload,
  keyOf,
  type PartBounds,
  partRecordOf,
  uploadRecordOf,
} from './upload-rows.ts';

/** Drafts of one step of a part; of one that grows, so that what is durable stays close behind what has come. */
const PART_STEP_DRAFTS = 1_000;
const APPEND_STEP_DRAFTS = 256;
/** Times that one question is looked at, when chunks go meanwhile. */
const HAVE_TRIES_MAX = 3;
/** The one place from which an upload that grows is sent. */
const END = 0;

interface Run {
  readonly offset: number;
  readonly length: number;
  readonly isThere: boolean;
}

export class Receiving {
  readonly #uploads: OpenUploads;

  constructor(uploads: OpenUploads) {
    this.#uploads = uploads;
  }

  async putPart(
    space: Space,
    upload: string,
    part: number,
    source: ByteSource,
    options: PartOptions,
  ): Promise<UploadPartRecord> {
    const seen = await this.#uploads.getOpen(space, upload);
    if (seen.partBytes === 0) throw growsOnly(seen);
    const bounds = boundsOfPart(seen, part);
    const isRest = options.isRest === true;
    if (!isRest) checkAnnounced(seen, part, bounds, options.size);
    using place = await this.#uploads.senders.take(keyOf(seen), part);
    // It may have been completed or removed while this request waited for its place.
    const row = await this.#uploads.getOpen(space, upload);
    const pieces = piecesUntil(source, [place.signal, options.signal]);
    const there = await this.#uploads.context().meta.get('uploadParts', [space.space, upload, part]);
    if (there !== undefined) {
      // What is to be added to a part that is whole cannot be compared with it.
      if (isRest) return partRecordOf(row, part, there);
      return await this.#comparePart(row, there, pieces, options);
    }
    const checkRoom = await this.#roomFor(space, row);
    checkRoom(sizeWith(row, bounds, options.size ?? 0));
    if (isRest) return await this.#storeRest(space, row, part, bounds, pieces, options);
    await this.#uploads.clear(row, bounds.offset, bounds.offset + row.partBytes);
    return await this.#storePart(space, row, part, bounds, pieces, { ...options, checkRoom });
  }

  #roomFor(space: Space, row: UploadRow): Promise<CheckRoom> {
    return roomFor(this.#uploads.context(), space, pathOfText(row.path));
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
    options: PartOptions & { readonly checkRoom: CheckRoom },
  ): Promise<UploadPartRecord> {
    const context = this.#uploads.context();
    const sha256 = options.sha256 === undefined ? undefined : createHash('sha256');
    const limits = { ...bounds, length: options.size ?? bounds.length };
    const following = this.#uploads.hashes.follow(keyOf(row), bounds.offset, row.sha256 !== null);
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
        options.checkRoom(sizeWith(row, bounds, writer.size + bytes.length));
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
      if (isKept) this.#uploads.hashBehind(space, row);
    }
  }

  async have(space: Space, upload: string, part: number, chunks: readonly ChunkClaim[]): Promise<UploadHave> {
    const context = this.#uploads.context();
    chunkingOf(context);
    const seen = await this.#uploads.getOpen(space, upload);
    if (seen.partBytes === 0) throw growsOnly(seen);
    const bounds = boundsOfPart(seen, part);
    checkClaims(seen, part, bounds, chunks);
    using _place = await this.#uploads.senders.take(keyOf(seen), part);
    const row = await this.#uploads.getOpen(space, upload);
    if ((await context.meta.get('uploadParts', [space.space, upload, part])) !== undefined)
      throw new Fault('conflict', `Part ${part} of the upload of ${row.path} is there already.`, {
        upload_id: upload,
        part,
      });
    await this.#uploads.clear(row, bounds.offset, bounds.offset + row.partBytes);
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
    const context = this.#uploads.context();
    const runs = await this.#runsOf(row, bounds);
    const wanted = runs.reduce((sum, { length, isThere }) => sum + (isThere ? 0 : length), 0);
    if (options.size !== undefined && options.size !== wanted) throw restLength(row, part, wanted, options.size);
    const sha256 = options.sha256 === undefined ? undefined : createHash('sha256');
    const xxhash3 = newContentHash();
    const following = this.#uploads.hashes.follow(keyOf(row), bounds.offset, row.sha256 !== null);
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
          for await (const bytes of this.#uploads.read(space, row, offset, length)) update(bytes);
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
      if (isKept) this.#uploads.hashBehind(space, row);
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
      const extents = await this.#uploads.context().meta.scan('extents', {
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
    const context = this.#uploads.context();
    return decide(context, `Part ${part.part} of the upload of ${row.path}`, async () => {
      const current = await this.#uploads.getOpen(space, row.upload);
      const now = context.clock.now();
      const own = { space: space.space, upload: row.upload, ...part, receivedSeconds: now.seconds };
      const next = this.#uploads.active({ ...current, received: current.received + part.size });
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
    const seen = await this.#uploads.getOpen(space, upload);
    if (seen.partBytes !== 0) throw hasParts(seen);
    using place = await this.#uploads.senders.take(keyOf(seen), END);
    const row = await this.#uploads.getOpen(space, upload);
    if (row.received !== offset) throw otherOffset(row, offset);
    const checkRoom = await this.#roomFor(space, row);
    const growth = new Growth(row, (from, to, puts) => this.#grow(space, from, to, puts));
    const following = this.#uploads.hashes.follow(keyOf(row), offset, row.sha256 !== null);
    let [isKept, fault]: [boolean, unknown] = [false, undefined];
    try {
      await using writer = this.#writerFor(space, row, offset, {
        stepDrafts: APPEND_STEP_DRAFTS,
        onStep: (puts, length) => growth.to(offset + length, puts),
      });
      try {
        for await (const bytes of piecesUntil(source, [place.signal, signal])) {
          checkGrowth(row, offset + writer.size + bytes.length);
          checkRoom(row.size ?? offset + writer.size + bytes.length);
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

  /** Answers the row as it is then. */
  async #grow(space: Space, row: UploadRow, received: number, puts: readonly Put[]): Promise<UploadRow> {
    const context = this.#uploads.context();
    const next = this.#uploads.active({ ...row, received });
    await commit(context, {
      space: space.space,
      now: context.clock.now(),
      expects: [expectUpload(row)],
      puts: [...puts, { table: 'uploads', mode: 'replace', row: next }],
    });
    return next;
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
    const context = this.#uploads.context();
    const level = context.options.compression.levelOf(pathOfText(row.path));
    return new RunWriter(context, space, { content: contentOf(row), base, level, ...how });
  }
}

/** What the file has at least once a part of `size` bytes is there: every part before it is whole, in the end. */
function sizeWith(row: UploadRow, bounds: PartBounds, size: number): number {
  return row.size ?? Math.max(bounds.offset, row.received) + size;
}

function checkGrowth(row: UploadRow, size: number): void {
  if (row.size === null || size <= row.size) return;
  const sentence = `The upload of ${row.path} was announced with ${row.size} bytes, and more came. The first ${row.size} at most are kept.`;
  throw new Fault('too-large', sentence, { upload_id: row.upload, size: row.size });
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
