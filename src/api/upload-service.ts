/**
 * Uploads of any size, in pieces: what every FileService answers about a file that is on its way in.
 *
 * An upload either has parts, which come in any order and several at once, each standing or failing whole; or it grows
 * at its end (tus), where whatever has come stays. Nothing of it is visible before it completes, and then all of it is,
 * in one commit. It survives restarts of both sides, and is gone some time after the last bytes came.
 */
import type { ByteSource, CallOptions, Changing, Expecting } from './call-options.ts';
import type {
  ChunkClaim,
  Chunking,
  FileRecord,
  UploadHave,
  UploadList,
  UploadPartPage,
  UploadPartRecord,
  UploadRecord,
} from './records.ts';

/** Where tus is spoken, and which one. */
export const TUS_PATH = '/v1/tus';
export const TUS_VERSION = '1.0.0';
/** Parts of one upload. */
export const UPLOAD_PARTS_MAX = 10_000;
/** Bytes of one part, the last excepted. */
export const PART_BYTES_MIN = 64 * 1024;
export const PART_BYTES_MAX = 4 * 1024 ** 3;
/** Parts on one page. */
export const PART_PAGE_MAX = 1_000;
/** Bytes of what a door may keep with an upload. */
export const UPLOAD_NOTE_BYTES_MAX = 8 * 1024;

/** Chunks that one question asks for. */
export const HAVE_CHUNKS_MAX = 2_048;

export interface UploadOptions extends Expecting {
  /** As for a write; `put` when absent. What it refuses now is refused now, and decided again when it completes. */
  readonly mode?: 'create' | 'replace' | 'put' | undefined;
  /** Bytes of the whole, where known. */
  readonly size?: number | undefined;
  /** Bytes of each part but the last; chosen by size when absent. */
  readonly partSize?: number | undefined;
  /** It has no parts: it grows at its end. */
  readonly isAppended?: boolean | undefined;
  /** Hashes of the whole, where known: completing checks them. */
  readonly xxhash3?: string | undefined;
  readonly sha256?: string | undefined;
  readonly modified?: string | undefined;
  readonly permissions?: number | undefined;
  readonly parents?: boolean | undefined;
  /** Kept with it and answered with it; UPLOAD_NOTE_BYTES_MAX at most. */
  readonly note?: string | undefined;
}

export interface PartOptions extends CallOptions {
  /** Bytes announced, and hashes of this part; `mismatch` when other bytes come. */
  readonly size?: number | undefined;
  readonly xxhash3?: string | undefined;
  readonly sha256?: string | undefined;
  /** The source brings only what `have` has answered to be missing, in order; `size` counts those bytes alone. */
  readonly isRest?: boolean | undefined;
}

/** What completing checks, beside what was announced in the beginning. */
export interface CompleteOptions extends Changing {
  readonly size?: number | undefined;
  readonly xxhash3?: string | undefined;
  readonly sha256?: string | undefined;
}

export interface UploadService {
  /**
   * @throws Fault what a write of that path would be refused with; `too-large`; `busy` when too many uploads are open:
   * complete or remove some, or wait until they expire.
   */
  create(path: string, options?: UploadOptions): Promise<UploadRecord>;
  /**
   * One part, whole, when it answers; a part that breaks off counts for nothing. The same bytes again answer the same.
   * Whoever sends a part that somebody else is sending takes its place.
   * @throws Fault `not-found`; `conflict` for other bytes than the part has, or an upload that is complete; `range` for
   * a number that it does not have; `too-large`, `mismatch`, `full`.
   */
  putPart(upload: string, part: number, source: ByteSource, options?: PartOptions): Promise<UploadPartRecord>;
  /** How the store cuts and names chunks. @throws Fault `unsupported` where names are no proof (xxh3-128). */
  chunking(options?: CallOptions): Promise<Chunking>;
  /**
   * Which chunks of a part are there already, among the files that the asker may read. Those are put in their places and
   * kept for the upload in the same commit; `putPart` with `isRest` sends the others. The chunks cover the part, whose
   * length must be known. What an earlier question or a broken part left there is given up.
   * @throws Fault `unsupported` as `chunking`; `conflict` for a part that is there; `mismatch` when they do not add up to
   * the part; `too-large` for more than HAVE_CHUNKS_MAX.
   */
  have(upload: string, part: number, chunks: readonly ChunkClaim[], options?: CallOptions): Promise<UploadHave>;
  /**
   * More bytes at the end of an upload that grows. What came before a source broke off stays: `find` says how much.
   * @throws Fault `conflict` when `offset` is not where it ends (`about.received` is); `not-found`, `too-large`, `full`.
   */
  append(upload: string, offset: number, source: ByteSource, options?: CallOptions): Promise<UploadRecord>;
  /** What is durable of it. @throws Fault `not-found` also for one that is removed or expired. */
  find(upload: string, options?: CallOptions): Promise<UploadRecord>;
  /** Its parts in order, those that are there and those that are not; PART_PAGE_MAX at most, behind `after`. */
  parts(
    upload: string,
    options?: CallOptions & { readonly after?: number | undefined; readonly limit?: number | undefined },
  ): Promise<UploadPartPage>;
  /** The open ones, of one path or of all. */
  list(options?: CallOptions & { readonly path?: string | undefined }): Promise<UploadList>;
  /**
   * Makes the file, after its size and hashes were checked. Asked again it answers the same, until the upload expires.
   * Whatever it is refused with, the upload stays as it is.
   * @throws Fault `incomplete`, which names what is missing; `mismatch`; what a write of that path is refused with.
   */
  complete(upload: string, options?: CompleteOptions): Promise<FileRecord>;
  /** Answers what it was; its bytes are given back behind. */
  remove(upload: string, options?: CallOptions): Promise<UploadRecord>;
}
