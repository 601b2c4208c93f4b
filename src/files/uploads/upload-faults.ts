/** What an upload refuses, each with its sentence. */
import { type ChunkClaim, HAVE_CHUNKS_MAX, type PartOptions } from '../../api/index.ts';
import { Fault, hexOf } from '../../base/index.ts';
import type { UploadPartRow, UploadRow } from '../../meta/index.ts';
import { checkHash } from '../write.ts';
import type { PartBounds } from './upload-rows.ts';

export function isComplete(row: UploadRow): Fault {
  return new Fault('conflict', `The upload of ${row.path} is complete already; nothing can be added to it.`, {
    upload_id: row.upload,
    path: row.path,
    state: 'complete',
  });
}

export function growsOnly(row: UploadRow): Fault {
  return new Fault('invalid', `The upload of ${row.path} has no parts; it grows at its end.`, {
    upload_id: row.upload,
    received: row.received,
  });
}

export function hasParts(row: UploadRow): Fault {
  return new Fault('invalid', `The upload of ${row.path} has parts; it does not grow at its end.`, {
    upload_id: row.upload,
    part_size: row.partBytes,
  });
}

export function otherOffset(row: UploadRow, offset: number): Fault {
  const sentence = `The upload of ${row.path} has ${row.received} bytes; what comes next begins there, not at ${offset}.`;
  return new Fault('conflict', sentence, { upload_id: row.upload, received: row.received, offset });
}

export function otherSize(row: UploadRow, announced: number, actual: number): Fault {
  const sentence = `The upload of ${row.path} has ${actual} bytes, but ${announced} were announced. It is kept as it is.`;
  return new Fault('mismatch', sentence, { upload_id: row.upload, announced, actual });
}

/** @throws Fault `incomplete`. */
export function wholeGrowth(row: UploadRow): number {
  if (row.size === null || row.size === row.received) return row.received;
  const sentence = `Of the ${row.size} bytes of the upload of ${row.path}, ${row.received} have come. Send the rest first.`;
  throw new Fault('incomplete', sentence, { upload_id: row.upload, size: row.size, received: row.received });
}

export function missingParts(row: UploadRow, missing: readonly number[], count: number): Fault {
  const more = count > missing.length ? ` and ${count - missing.length} more` : '';
  const sentence = `The upload of ${row.path} lacks ${count === 1 ? 'part' : 'parts'} ${missing.join(', ')}${more}. Send what is missing first.`;
  return new Fault('incomplete', sentence, { upload_id: row.upload, missing, missing_count: count });
}

export function shortPart(row: UploadRow, part: UploadPartRow): Fault {
  const sentence = `Part ${part.part} of the upload of ${row.path} has ${part.size} bytes, and others come behind it: only the last may have less than ${row.partBytes}.`;
  return new Fault('mismatch', sentence, { upload_id: row.upload, part: part.part, size: part.size });
}

export function restLength(row: UploadRow, part: number, wanted: number, actual: number): Fault {
  const sentence = `Of part ${part} of the upload of ${row.path}, ${wanted} bytes are missing, but ${actual} or more came. Ask again which are.`;
  return new Fault('mismatch', sentence, { upload_id: row.upload, part, announced: wanted, actual });
}

/** @throws Fault `too-large`, `mismatch`. */
export function checkClaims(row: UploadRow, part: number, bounds: PartBounds, claims: readonly ChunkClaim[]): void {
  if (claims.length > HAVE_CHUNKS_MAX)
    throw new Fault('too-large', `One question is for ${HAVE_CHUNKS_MAX} chunks at most.`, {
      chunksMax: HAVE_CHUNKS_MAX,
    });
  const size = claims.reduce((sum, claim) => sum + claim.size, 0);
  if (bounds.isExact && size === bounds.length) return;
  const sentence = `The chunks asked for have ${size} bytes; part ${part} of the upload of ${row.path} has ${bounds.isExact ? bounds.length : 'a length that is not known'}. They must cover it.`;
  throw new Fault('mismatch', sentence, { upload_id: row.upload, part, announced: size, actual: bounds.length });
}

export function checkAnnounced(row: UploadRow, part: number, bounds: PartBounds, size: number | undefined): void {
  if (size === undefined) return;
  checkPartLength(row, part, bounds, size);
  if (bounds.isExact && size !== bounds.length) throw partLength(row, part, bounds, size);
}

export function checkPartLength(row: UploadRow, part: number, { length }: PartBounds, size: number): void {
  if (size <= length) return;
  const sentence = `Part ${part} of the upload of ${row.path} has ${length} bytes at most, and more came. Nothing of it was kept.`;
  throw new Fault('too-large', sentence, { upload_id: row.upload, part, bytesMax: length });
}

export function partLength(row: UploadRow, part: number, { length }: PartBounds, actual: number): Fault {
  const sentence = `Part ${part} of the upload of ${row.path} has ${length} bytes, but ${actual} came. Nothing of it was kept; send it again.`;
  return new Fault('mismatch', sentence, { upload_id: row.upload, part, announced: length, actual });
}

/** @throws Fault `mismatch` when the bytes of a part are not those that were announced. */
export function checkPart(
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
