/**
 * Extents of a content that is changed in place, as rows that go and rows that come: a range is taken out, what sticks
 * out on either side keeps naming its chunk. Nothing here reads bytes.
 */
import type { Draft } from '../chunks/index.ts';
import { type ContentId, type Delete, EXTENT_KIND, type ExtentRow, type Put, type SyncReader } from '../meta/index.ts';
import type { Space } from './context.ts';
import { EXTENT_BYTES_MAX } from './read-content.ts';

/** Extents read at once. */
const PAGE_EXTENTS = 1_000;

/** Extents that touch the range, in order, at most `limit`. */
export function extentsIn(
  rows: SyncReader,
  space: Space,
  content: ContentId,
  range: { readonly offset: number; readonly end: number; readonly limit?: number },
): readonly ExtentRow[] {
  const { offset, end, limit = Number.POSITIVE_INFINITY } = range;
  const found: ExtentRow[] = [];
  if (end <= offset) return found;
  let bound: { from: readonly [number] } | { after: readonly [number] } = {
    from: [Math.max(0, offset - EXTENT_BYTES_MAX)],
  };
  for (;;) {
    // What lies before the range was asked for in case it reaches in; a small range needs no large page.
    const wanted = Math.min(PAGE_EXTENTS, 96 + Math.ceil((end - offset) / 4_096));
    const page: readonly ExtentRow[] = rows.scan('extents', {
      prefix: [space.space, content],
      ...bound,
      limit: wanted,
    });
    for (const extent of page) {
      if (extent.offset >= end) return found;
      if (extent.offset + extent.length > offset) found.push(extent);
      if (found.length >= limit) return found;
    }
    const last: ExtentRow | undefined = page.at(-1);
    if (last === undefined || page.length < wanted) return found;
    bound = { after: [last.offset] };
  }
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

/** Rows of drafts that lie from `base` on in the content. */
export function extentsOfDrafts(
  space: Space,
  content: ContentId,
  drafts: readonly Draft[],
  base: number,
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
    return [{ table: 'extents', mode: 'replace', row }];
  });
}
