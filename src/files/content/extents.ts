/**
 * Extents as rows that go and rows that come: drafts as the rows of a content, and a range that is taken out of one that
 * is changed in place, where what sticks out on either side keeps naming its chunk. Nothing here reads bytes.
 */
import type { Draft } from '../../chunks/index.ts';
import {
  type ContentId,
  type Delete,
  EXTENT_KIND,
  type ExtentRow,
  type NodeRow,
  type Put,
  type SyncReader,
} from '../../meta/index.ts';
import type { Space } from '../context.ts';

/** Extents read at once. */
const PAGE_EXTENTS = 1_000;
/** Bytes that an extent has, reckoned low. */
const PAGE_SHARE_BYTES = 32 * 1024;

/** Extents that touch the range, in order, at most `limit`. */
export function extentsIn(
  rows: SyncReader,
  space: Space,
  content: ContentId,
  range: { readonly offset: number; readonly end: number; readonly limit?: number },
): readonly ExtentRow[] {
  const { offset, end, limit = Number.POSITIVE_INFINITY } = range;
  if (end <= offset) return [];
  const prefix = [space.space, content] as const;
  // Extents do not overlap, so of those that begin before the range only the last may reach into it.
  // None begins before the first byte: that look is spared whoever reads a file from its beginning.
  const found =
    offset === 0
      ? []
      : rows
          .scan('extents', { prefix, from: [offset], limit: 1, reverse: true })
          .filter((extent) => extent.offset + extent.length > offset);
  // Rows may carry bytes: a small range begins with few.
  let count = Math.min(PAGE_EXTENTS, 2 + Math.ceil((end - offset) / PAGE_SHARE_BYTES));
  let after = offset === 0 ? undefined : offset;
  for (; found.length < limit; count = Math.min(PAGE_EXTENTS, 4 * count)) {
    const bound = after === undefined ? {} : { after: [after] as const };
    const page: readonly ExtentRow[] = rows.scan('extents', { prefix, ...bound, limit: count });
    for (const extent of page) {
      if (extent.offset >= end || found.length >= limit) return found;
      found.push(extent);
    }
    const last: ExtentRow | undefined = page.at(-1);
    if (last === undefined || page.length < count) return found;
    after = last.offset;
  }
  return found;
}

/** Part of an extent as an extent of its own. */
export function partOf(extent: ExtentRow, offset: number, end: number): ExtentRow {
  return {
    ...extent,
    offset,
    length: end - offset,
    chunkOffset: extent.chunkOffset + offset - extent.offset,
    unsettled: 1,
  };
}

/** The rows that take `[offset, end)` out of extents that touch it. */
export function cutOut(
  extents: readonly ExtentRow[],
  offset: number,
  end: number,
): { readonly deletes: readonly Delete[]; readonly puts: readonly Put[] } {
  const deletes: Delete[] = [];
  const puts: Put[] = [];
  for (const extent of extents) {
    const extentEnd = extent.offset + extent.length;
    deletes.push({ table: 'extents', key: [extent.space, extent.content, extent.offset] });
    const sides = [
      ...(extent.offset < offset ? [partOf(extent, extent.offset, offset)] : []),
      ...(extentEnd > end ? [partOf(extent, end, extentEnd)] : []),
    ];
    for (const row of sides) puts.push({ table: 'extents', mode: 'replace', row });
  }
  return { deletes, puts };
}

/** Rows of drafts that lie from `base` on in the content; `insert` where nothing was there before. */
export function extentsOfDrafts(
  space: Space,
  content: ContentId,
  drafts: readonly Draft[],
  base: number,
  mode: 'insert' | 'replace',
): readonly Put[] {
  return drafts.flatMap((draft): readonly Put[] => {
    if (draft.kind === 'hole') return [];
    const isChunk = draft.kind === 'chunk';
    const row: ExtentRow = {
      space: space.space,
      content,
      offset: base + draft.offset,
      length: draft.length,
      kind: isChunk ? EXTENT_KIND.chunk : EXTENT_KIND.inline,
      chunk: isChunk ? draft.id : null,
      chunkOffset: 0,
      unsettled: 0,
      data: isChunk ? null : draft.record,
      born: 0,
    };
    return [{ table: 'extents', mode, row }];
  });
}

/** Extents that are added up to tell what is allocated; a file with more is taken for one without holes. */
const COUNTED_EXTENTS_MAX = 64;

/** Bytes of a file; pieces of one list come in order and do not overlap. */
interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * Bytes of a file that are no holes, as far as that is cheap to say; `isMany`: it has too many extents to tell.
 * `written`: what is yet to be stored.
 */
export function allocatedIn(
  rows: SyncReader,
  space: Space,
  row: Pick<NodeRow, 'content' | 'size'>,
  written: readonly Piece[] = [],
): { readonly bytes: number; readonly isMany: boolean } {
  if (row.content === null) return { bytes: row.size, isMany: false };
  const extents = rows.scan('extents', { prefix: [space.space, row.content], limit: COUNTED_EXTENTS_MAX });
  if (extents.length === COUNTED_EXTENTS_MAX) return { bytes: row.size, isMany: true };
  const sum = extents.reduce((bytes, { length }) => bytes + length, 0);
  return { bytes: Math.min(row.size, sum + bytesBeside(extents, written)), isMany: false };
}

/** Bytes of `pieces` that lie in none of the `extents`, which are in order too. */
function bytesBeside(extents: readonly ExtentRow[], pieces: readonly Piece[]): number {
  let bytesBeside = 0;
  for (const { offset, bytes } of pieces) {
    const end = offset + bytes.length;
    bytesBeside += bytes.length;
    for (const extent of extents) {
      const covered = Math.min(end, extent.offset + extent.length) - Math.max(offset, extent.offset);
      bytesBeside -= Math.max(0, covered);
    }
  }
  return bytesBeside;
}
