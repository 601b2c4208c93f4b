/** Rows of uploads: what a request becomes, what a row says over the wire, and which parts there are. Pure. */
import {
  type FileRecord,
  PART_BYTES_MAX,
  PART_BYTES_MIN,
  type Path,
  textOfPath,
  UPLOAD_NOTE_BYTES_MAX,
  UPLOAD_PARTS_MAX,
  type UploadOptions,
  type UploadPartRecord,
  type UploadRecord,
} from '../../api/index.ts';
import { bytesOfHex, Fault, hexOf, isoOfMoment, type Moment, utf8 } from '../../base/index.ts';
import { type ContentId, type Expect, UPLOAD_STATE, type UploadPartRow, type UploadRow } from '../../meta/index.ts';
import type { Caller, Space } from '../context.ts';
import { momentOf, type WantedFile } from '../write.ts';

/** Bytes of a part where nobody says: so that a part is sent in seconds, and few are needed. */
const PART_BYTES_USUAL = 32 * 1024 * 1024;
const MIB = 2 ** 20;
const HASH_HEX_DIGITS = { xxhash3: 16, sha256: 64 } as const;

export interface UploadPlace {
  readonly space: Space;
  readonly caller: Caller;
  readonly path: Path;
  readonly upload: string;
  readonly content: ContentId;
  readonly now: Moment;
  readonly expiresSeconds: number;
}

/** @throws Fault `invalid`, `too-large`. */
export function newUploadRow(place: UploadPlace, options: UploadOptions): UploadRow {
  const modified = momentOf(options.modified, 'modified');
  return {
    space: place.space.space,
    upload: place.upload,
    state: UPLOAD_STATE.open,
    path: textOfPath(place.path),
    mode: options.mode ?? 'put',
    size: options.size ?? null,
    partBytes: options.isAppended === true ? 0 : partBytesOf(options),
    expectedVersion: options.expectedVersion ?? null,
    expectedNode: options.expectedId ?? null,
    xxhash3: hashOf(options.xxhash3, 'xxhash3'),
    sha256: hashOf(options.sha256, 'sha256'),
    modifiedSeconds: modified?.seconds ?? null,
    modifiedNanoseconds: modified?.nanoseconds ?? null,
    permissions: options.permissions ?? null,
    parents: options.parents === true ? 1 : 0,
    content: place.content,
    received: 0,
    createdSeconds: place.now.seconds,
    expiresSeconds: place.expiresSeconds,
    actor: place.caller.user,
    door: place.caller.door,
    note: noteOf(options.note),
    answer: '',
  };
}

function partBytesOf({ size, partSize }: UploadOptions): number {
  if (partSize === undefined) {
    const fitting = Math.ceil((size ?? 0) / UPLOAD_PARTS_MAX / MIB) * MIB;
    return Math.max(PART_BYTES_USUAL, fitting);
  }
  if (!Number.isSafeInteger(partSize) || partSize < PART_BYTES_MIN || partSize > PART_BYTES_MAX) {
    const sentence = `Parts of ${partSize} bytes cannot be used: a part has ${PART_BYTES_MIN} to ${PART_BYTES_MAX} bytes.`;
    throw new Fault('invalid', sentence, { part_size: partSize, bytesMin: PART_BYTES_MIN, bytesMax: PART_BYTES_MAX });
  }
  if (size !== undefined && Math.ceil(size / partSize) > UPLOAD_PARTS_MAX) {
    const sentence = `${size} bytes in parts of ${partSize} would be more than ${UPLOAD_PARTS_MAX} parts. Use larger ones.`;
    throw new Fault('invalid', sentence, { size, part_size: partSize, partsMax: UPLOAD_PARTS_MAX });
  }
  return partSize;
}

function hashOf(hex: string | undefined, name: keyof typeof HASH_HEX_DIGITS): Uint8Array | null {
  if (hex === undefined) return null;
  const bytes = bytesOfHex(hex.toLowerCase());
  if (bytes !== undefined && hex.length === HASH_HEX_DIGITS[name]) return bytes;
  throw new Fault(
    'invalid',
    `The ${name} ${JSON.stringify(hex.slice(0, 100))} is not ${HASH_HEX_DIGITS[name]} hex digits.`,
    {
      [name]: hex.slice(0, 100),
    },
  );
}

function noteOf(note = ''): string {
  if (utf8(note).length <= UPLOAD_NOTE_BYTES_MAX) return note;
  throw new Fault('too-large', `The note of an upload may have ${UPLOAD_NOTE_BYTES_MAX} bytes at most.`, {
    bytesMax: UPLOAD_NOTE_BYTES_MAX,
  });
}

/** What the file is to be, as the upload was begun. */
export function wantedFileOf(row: UploadRow): WantedFile & { readonly modified: Moment | undefined } {
  return {
    mode: row.mode as WantedFile['mode'],
    expectedVersion: row.expectedVersion ?? undefined,
    expectedId: row.expectedNode ?? undefined,
    permissions: row.permissions ?? undefined,
    parents: row.parents === 1,
    modified: modifiedOfUpload(row),
  };
}

function modifiedOfUpload({ modifiedSeconds, modifiedNanoseconds }: UploadRow): Moment | undefined {
  return modifiedSeconds === null ? undefined : { seconds: modifiedSeconds, nanoseconds: modifiedNanoseconds ?? 0 };
}

export function uploadRecordOf(row: UploadRow): UploadRecord {
  const modified = modifiedOfUpload(row);
  return {
    upload_id: row.upload,
    path: row.path,
    mode: row.mode,
    state: row.state === UPLOAD_STATE.open ? 'open' : row.state === UPLOAD_STATE.complete ? 'complete' : 'removed',
    size: row.size,
    part_size: row.partBytes === 0 ? null : row.partBytes,
    part_count: row.partBytes === 0 ? null : partCountOf(row),
    received: row.received,
    ...(modified === undefined ? {} : { modified: isoOfMoment(modified) }),
    created: isoOfMoment({ seconds: row.createdSeconds, nanoseconds: 0 }),
    expires: isoOfMoment({ seconds: row.expiresSeconds, nanoseconds: 0 }),
    ...(row.note === '' ? {} : { note: row.note }),
    ...(row.answer === '' ? {} : { record: JSON.parse(row.answer) as FileRecord }),
  };
}

/** Parts in all; null when the size is not known. */
export function partCountOf({ size, partBytes }: Pick<UploadRow, 'size' | 'partBytes'>): number | null {
  return size === null ? null : Math.ceil(size / partBytes);
}

/** Where a part stands, and how many bytes it may have: exactly so many where the size of the whole is known. */
export interface PartBounds {
  readonly offset: number;
  readonly length: number;
  readonly isExact: boolean;
}

/** @throws Fault `range` for a number that the upload does not have. */
export function boundsOfPart(row: UploadRow, part: number): PartBounds {
  const count = partCountOf(row) ?? UPLOAD_PARTS_MAX;
  if (!Number.isSafeInteger(part) || part < 1 || part > count) {
    const sentence = `The upload of ${row.path} has parts 1 to ${count}; there is no part ${part}.`;
    throw new Fault('range', sentence, { upload_id: row.upload, part, parts: count, size: row.size });
  }
  const offset = (part - 1) * row.partBytes;
  const length = row.size === null ? row.partBytes : Math.min(row.partBytes, row.size - offset);
  return { offset, length, isExact: row.size !== null };
}

export function partRecordOf(row: UploadRow, part: number, found: UploadPartRow | undefined): UploadPartRecord {
  const { offset, length, isExact } = boundsOfPart(row, part);
  return {
    part,
    offset,
    size: found?.size ?? (isExact ? length : null),
    received: found !== undefined,
    xxhash3: found === undefined ? null : hexOf(found.hash),
  };
}

/** The upload still is as it was read. */
export function expectUpload(row: UploadRow): Expect {
  return {
    kind: 'row',
    table: 'uploads',
    key: [row.space, row.upload],
    equals: { state: row.state, received: row.received },
  };
}

/** It is open: whatever else of it has changed. */
export function expectOpen(row: UploadRow): Expect {
  return { kind: 'row', table: 'uploads', key: [row.space, row.upload], equals: { state: UPLOAD_STATE.open } };
}

export function keyOf(row: Pick<UploadRow, 'space' | 'upload'>): string {
  return `${row.space} ${row.upload}`;
}

export function contentOf(row: UploadRow): number {
  if (row.content !== null) return row.content;
  throw new Error('Broken invariant: an open upload has a content.');
}
