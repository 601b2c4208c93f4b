/**
 * Uploads as they stand: their rows, their bytes, who sends to them and how far their hashes have come. What receives and
 * what completes share it.
 */

import { pathOfText } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import { UPLOAD_STATE, type UploadRow } from '../../meta/index.ts';
import { markReading, readContent } from '../content/read-content.ts';
import { type Context, commit, type Space } from '../context.ts';
import { Senders } from './sending.ts';
import { isComplete } from './upload-faults.ts';
import { UploadHashes } from './upload-hashes.ts';
import { contentOf, expectOpen, keyOf } from './upload-rows.ts';

/** Rows that one step takes away. */
export const STEP_ROWS = 1_000;
/**
 * Bytes of an upload that are read at once for its hash: so little that no threads are started for it, whose memory would
 * come on top of what receiving takes.
 */
const READ_BYTES = 8 * 1024 * 1024;

export class OpenUploads {
  readonly context: () => Context;
  readonly senders = new Senders();
  readonly hashes = new UploadHashes();
  /** One hash catches up at a time. */
  #hashing: Promise<void> = Promise.resolve();
  #isHashing = false;
  #isClosed = false;

  constructor(context: () => Context) {
    this.context = context;
  }

  async find(space: Space, upload: string): Promise<UploadRow | undefined> {
    return this.context().meta.get('uploads', [space.space, upload]);
  }

  async get(space: Space, upload: string): Promise<UploadRow> {
    const row = await this.find(space, upload);
    if (row !== undefined && row.state !== UPLOAD_STATE.removed && !this.isExpired(row)) return row;
    const shown = upload.slice(0, 100);
    const sentence = `There is no upload ${JSON.stringify(shown)}: it never was, was removed, or expired. Begin another.`;
    throw new Fault('not-found', sentence, { upload_id: shown });
  }

  async getOpen(space: Space, upload: string): Promise<UploadRow> {
    const row = await this.get(space, upload);
    if (row.state === UPLOAD_STATE.open) return row;
    throw isComplete(row);
  }

  isExpired(row: UploadRow): boolean {
    return row.expiresSeconds <= this.context().clock.now().seconds;
  }

  active(row: UploadRow): UploadRow {
    const { clock, options } = this.context();
    return { ...row, expiresSeconds: clock.now().seconds + options.uploads.expireAfterSeconds };
  }

  /** What a part that broke off has left there. It never was anybody's, so nothing of it goes to history. */
  async clear(row: UploadRow, offset: number, end: number): Promise<void> {
    const context = this.context();
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

  async *read(
    space: Space,
    row: UploadRow,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const context = this.context();
    const content = contentOf(row);
    const file = { path: pathOfText(row.path) };
    using _mark = markReading(context, space, content);
    const end = offset + length;
    for (let at = offset; at < end; at += READ_BYTES) {
      const range = { offset: at, length: Math.min(READ_BYTES, end - at) };
      yield* readContent(context, space, content, range, file, { signal, isOnce: true });
    }
  }

  /** Parts that came out of order are hashed while others still come, as far as there is no gap. */
  hashBehind(space: Space, row: UploadRow): void {
    if (this.#isHashing || this.#isClosed) return;
    this.#isHashing = true;
    this.#hashing = this.#catchUp(space, row)
      .catch((error: unknown) => this.context().log.debug('files.upload-hash-behind', { error: String(error) }))
      .finally(() => {
        this.#isHashing = false;
      });
  }

  async #catchUp(space: Space, row: UploadRow): Promise<void> {
    const sha256 = row.sha256 !== null;
    while (!this.#isClosed) {
      const reached = this.hashes.reached(keyOf(row), sha256);
      if (reached === undefined || reached % row.partBytes !== 0) return;
      const key = [space.space, row.upload, reached / row.partBytes + 1] as const;
      const part = await this.context().meta.get('uploadParts', key);
      if (part === undefined || (await this.find(space, row.upload))?.state !== UPLOAD_STATE.open) return;
      await this.hashes.reach(keyOf(row), { length: reached + part.size, sha256 }, (offset, length) =>
        this.read(space, row, offset, length),
      );
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#hashing;
  }
}
