/**
 * Uploads as a fake service has them: bytes in memory, until they are written as a file. It knows nothing of expiry or
 * several senders; what it refuses is what the contract asks for.
 */
import { concatBytes, Fault, isoOfMoment, momentOfMs } from '../base/index.ts';
import type { ByteSource, WriteOptions } from './file-service.ts';
import { pathOfText, textOfPath } from './path.ts';
import type { ChunkClaim, Chunking, FileRecord, UploadHave, UploadPartRecord, UploadRecord } from './records.ts';
import {
  type CompleteOptions,
  PART_BYTES_MAX,
  PART_BYTES_MIN,
  PART_PAGE_MAX,
  type PartOptions,
  UPLOAD_PARTS_MAX,
  type UploadOptions,
  type UploadService,
} from './upload-service.ts';

const PART_BYTES = 32 * 1024 * 1024;
const FAKE_CHUNKING: Chunking = {
  ids: 'blake3',
  chunker: 'ultracdc',
  bytes_min: 16 * 1024,
  bytes_mean: 64 * 1024,
  bytes_max: 128 * 1024,
  id_key: '0'.repeat(64),
};

/** What stands behind the uploads of one caller. */
export interface FakeUploadsBase {
  /** @throws what a write would be refused with. */
  readonly check: (path: string, options: UploadOptions) => void;
  readonly write: (path: string, source: ByteSource, options: WriteOptions) => Promise<FileRecord>;
  readonly xxhash3: (bytes: Uint8Array) => string;
  readonly sha256: (bytes: Uint8Array) => string;
}

interface FakeUpload {
  readonly path: string;
  readonly options: UploadOptions;
  readonly partBytes: number;
  readonly created: string;
  readonly parts: Map<number, Uint8Array>;
  grown: Uint8Array;
  answer: FileRecord | undefined;
}

export class FakeUploads {
  readonly #uploads = new Map<string, FakeUpload>();
  #count = 0;

  for(base: FakeUploadsBase): UploadService {
    return {
      create: async (path, options = {}) => this.#create(base, path, options),
      putPart: (id, part, source, options = {}) => this.#putPart(base, id, part, source, options),
      chunking: async () => FAKE_CHUNKING,
      have: async (id, part, chunks) => this.#have(base, id, part, chunks),
      append: (id, offset, source) => this.#append(id, offset, source),
      find: async (id) => recordOf(id, this.#get(id)),
      parts: async (id, { after = 0, limit = PART_PAGE_MAX } = {}) => {
        const upload = this.#get(id);
        mustHaveParts(upload, id, true);
        const count = partCount(upload) ?? UPLOAD_PARTS_MAX;
        const last = Math.min(count, after + limit);
        const parts: UploadPartRecord[] = [];
        for (let part = after + 1; part <= last; part++) parts.push(partOf(base, upload, part));
        return { upload_id: id, parts, ...(last < count ? { next: last } : {}) };
      },
      list: async ({ path } = {}) => {
        const wanted = path === undefined ? undefined : textOfPath(pathOfText(path));
        const open = [...this.#uploads].filter(([, { answer }]) => answer === undefined);
        return {
          uploads: open.filter(([, one]) => wanted === undefined || one.path === wanted).map((one) => recordOf(...one)),
        };
      },
      complete: (id, options = {}) => this.#complete(base, id, options),
      remove: async (id) => {
        const record = recordOf(id, this.#get(id));
        this.#uploads.delete(id);
        return { ...record, state: 'removed' };
      },
    };
  }

  /** Answers how to go back to what is complete now. */
  remember(): () => void {
    const answers = [...this.#uploads.values()].map((upload) => [upload, upload.answer] as const);
    return () => {
      for (const [upload, answer] of answers) upload.answer = answer;
    };
  }

  #create(base: FakeUploadsBase, path: string, options: UploadOptions): UploadRecord {
    base.check(path, options);
    const { partSize = PART_BYTES, isAppended = false, size } = options;
    if (!(partSize >= PART_BYTES_MIN && partSize <= PART_BYTES_MAX))
      throw new Fault('invalid', `Parts of ${partSize} bytes?`, { part_size: partSize });
    if (size !== undefined && size / partSize > UPLOAD_PARTS_MAX)
      throw new Fault('invalid', 'Too many parts.', { size });
    const id = `fake-upload-${++this.#count}`;
    const upload: FakeUpload = {
      path: textOfPath(pathOfText(path)),
      options,
      partBytes: isAppended ? 0 : partSize,
      created: isoOfMoment(momentOfMs(Date.now())),
      parts: new Map(),
      grown: new Uint8Array(0),
      answer: undefined,
    };
    this.#uploads.set(id, upload);
    return recordOf(id, upload);
  }

  async #putPart(
    base: FakeUploadsBase,
    id: string,
    part: number,
    source: ByteSource,
    options: PartOptions,
  ): Promise<UploadPartRecord> {
    const upload = this.#getOpen(id);
    mustHaveParts(upload, id, true);
    const { size } = partOf(base, upload, part, undefined);
    const bytesMax = size ?? upload.partBytes;
    if (options.size !== undefined && options.size > bytesMax)
      throw new Fault('too-large', 'The part is too large.', {});
    const bytes = await collected(source, bytesMax);
    const wanted = size ?? options.size;
    const isRight =
      bytes.length > 0 &&
      (wanted ?? bytes.length) === bytes.length &&
      (options.size ?? bytes.length) === bytes.length &&
      isHash(options.xxhash3, base.xxhash3(bytes)) &&
      isHash(options.sha256, base.sha256(bytes));
    if (!isRight) throw new Fault('mismatch', `Part ${part} has other bytes than announced.`, { part });
    const before = upload.parts.get(part);
    if (before !== undefined && base.xxhash3(before) !== base.xxhash3(bytes))
      throw new Fault('conflict', `Part ${part} is there with other bytes.`, { upload_id: id, part });
    upload.parts.set(part, bytes);
    return partOf(base, upload, part);
  }

  /** It has nothing. */
  #have(base: FakeUploadsBase, id: string, part: number, chunks: readonly ChunkClaim[]): UploadHave {
    const upload = this.#getOpen(id);
    mustHaveParts(upload, id, true);
    const { size, received } = partOf(base, upload, part);
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.size, 0);
    if (received) throw new Fault('conflict', `Part ${part} is there.`, { upload_id: id, part });
    if (bytes !== size) throw new Fault('mismatch', 'The chunks do not cover the part.', { upload_id: id, part });
    return { part, missing: chunks.map((_, index) => index), missing_bytes: bytes };
  }

  async #append(id: string, offset: number, source: ByteSource): Promise<UploadRecord> {
    const upload = this.#getOpen(id);
    mustHaveParts(upload, id, false);
    const received = upload.grown.length;
    if (offset !== received) throw new Fault('conflict', `It goes on at ${received}.`, { received });
    for await (const piece of source) {
      if (upload.grown.length + piece.length > (upload.options.size ?? Number.POSITIVE_INFINITY))
        throw new Fault('too-large', 'More came than was announced.', {});
      upload.grown = concatBytes([upload.grown, piece]);
    }
    return recordOf(id, upload);
  }

  async #complete(base: FakeUploadsBase, id: string, options: CompleteOptions): Promise<FileRecord> {
    const upload = this.#get(id);
    if (upload.answer !== undefined) return upload.answer;
    const { mode = 'put', expectedVersion, expectedId, modified, permissions, parents } = upload.options;
    const bytes = upload.partBytes === 0 ? upload.grown : wholeOf(upload, id);
    const announced = upload.options;
    if (announced.size !== undefined && announced.size > bytes.length)
      throw new Fault('incomplete', 'Not all has come.', { upload_id: id, received: bytes.length });
    const isRight =
      (options.size ?? bytes.length) === bytes.length &&
      [announced, options].every(
        ({ xxhash3, sha256 }) => isHash(xxhash3, base.xxhash3(bytes)) && isHash(sha256, base.sha256(bytes)),
      );
    if (!isRight) throw new Fault('mismatch', 'It is not what was announced.', { upload_id: id });
    const { lockToken } = options;
    const expecting = { expectedVersion, expectedId, lockToken };
    upload.answer = await base.write(upload.path, [bytes], { mode, modified, permissions, parents, ...expecting });
    return upload.answer;
  }

  #get(id: string): FakeUpload {
    const upload = this.#uploads.get(id);
    if (upload !== undefined) return upload;
    throw new Fault('not-found', `There is no upload ${id}.`, { upload_id: id });
  }

  #getOpen(id: string): FakeUpload {
    const upload = this.#get(id);
    if (upload.answer === undefined) return upload;
    throw new Fault('conflict', `The upload of ${upload.path} is complete.`, { upload_id: id, state: 'complete' });
  }
}

function mustHaveParts(upload: FakeUpload, id: string, isWanted: boolean): void {
  if (upload.partBytes > 0 !== isWanted) throw new Fault('invalid', 'Not this kind of upload.', { upload_id: id });
}

function partCount({ options, partBytes }: FakeUpload): number | null {
  return options.size === undefined ? null : Math.ceil(options.size / partBytes);
}

function partOf(
  base: FakeUploadsBase,
  upload: FakeUpload,
  part: number,
  bytes: Uint8Array | undefined = upload.parts.get(part),
): UploadPartRecord {
  if (!Number.isSafeInteger(part) || part < 1 || part > (partCount(upload) ?? UPLOAD_PARTS_MAX))
    throw new Fault('range', `There is no part ${part}.`, { part, size: upload.options.size ?? null });
  const offset = (part - 1) * upload.partBytes;
  const whole = upload.options.size;
  const size = whole === undefined ? null : Math.min(upload.partBytes, whole - offset);
  const hash = bytes === undefined ? null : base.xxhash3(bytes);
  return { part, offset, size: bytes?.length ?? size, received: bytes !== undefined, xxhash3: hash };
}

function wholeOf(upload: FakeUpload, id: string): Uint8Array {
  const numbers = [...upload.parts.keys()].sort((a, b) => a - b);
  const count = partCount(upload) ?? numbers.at(-1) ?? 0;
  const missing = Array.from({ length: count }, (_, index) => index + 1).filter((part) => !upload.parts.has(part));
  if (missing.length > 0) throw new Fault('incomplete', 'Parts are missing.', { upload_id: id, missing });
  const parts = numbers.map((part) => upload.parts.get(part) ?? new Uint8Array(0));
  if (parts.slice(0, -1).some(({ length }) => length < upload.partBytes))
    throw new Fault('mismatch', 'Only the last part may be shorter.', { upload_id: id });
  return concatBytes(parts);
}

function recordOf(id: string, upload: FakeUpload): UploadRecord {
  const { path, options, partBytes, parts, created } = upload;
  const received =
    partBytes === 0 ? upload.grown.length : [...parts.values()].reduce((sum, one) => sum + one.length, 0);
  return {
    upload_id: id,
    path,
    mode: options.mode ?? 'put',
    state: upload.answer === undefined ? 'open' : 'complete',
    size: options.size ?? null,
    part_size: partBytes === 0 ? null : partBytes,
    part_count: partBytes === 0 ? null : partCount(upload),
    received,
    ...(options.modified === undefined ? {} : { modified: options.modified }),
    created,
    expires: isoOfMoment(momentOfMs(Date.now() + 86_400_000)),
    ...(options.note === undefined ? {} : { note: options.note }),
    ...(upload.answer === undefined ? {} : { record: upload.answer }),
  };
}

function isHash(announced: string | undefined, actual: string): boolean {
  return announced === undefined || announced.toLowerCase() === actual;
}

async function collected(source: ByteSource, bytesMax: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of source) {
    length += piece.length;
    if (length > bytesMax) throw new Fault('too-large', `The part has ${bytesMax} bytes at most.`, { bytesMax });
    pieces.push(piece.slice());
  }
  return concatBytes(pieces);
}
