/**
 * The content that a file of the past had, as one that can be named again. Most contents never change, and then it is the
 * very same one. One that was changed in place since, by a mount, is another now: then a new content gets the extents of
 * then, which share their chunks with it. Nothing here moves bytes.
 */
import { equalBytes } from '../../base/index.ts';
import { type ContentId, type Delete, type ExtentRow, type NodeRow, type Put, REAP_KIND } from '../../meta/index.ts';
import { type Context, commit, type Space, type View } from '../context.ts';

/** Extents that go into the change itself; more are built before, hidden. */
const EXTENTS_INLINE_MAX = 500;
const STEP_EXTENTS = 1_000;

export interface PastContent {
  readonly content: ContentId;
  /** What makes it, in the change that names it. */
  readonly puts: readonly Put[];
  readonly deletes: readonly Delete[];
}

/** `view` is of the past; the file is as it says. */
export async function contentOfPast(context: Context, space: Space, view: View, file: NodeRow): Promise<PastContent> {
  const content = file.content ?? 0;
  if (view.at === undefined || (await isAsItWas(context, space, view.at, file)))
    return { content, puts: [], deletes: [] };
  const fresh = await context.ids.content(space.space);
  const row = { space: space.space, content: fresh, size: file.size, refs: 0, base: null, hash: null };
  const puts: Put[] = [{ table: 'contents', mode: 'insert', row }];
  const first = await scanExtents(view, space, content, undefined);
  if (first.length < STEP_EXTENTS && first.length <= EXTENTS_INLINE_MAX)
    return { content: fresh, puts: [...puts, ...first.map((extent) => twinOf(extent, fresh))], deletes: [] };
  const key = [space.space, REAP_KIND.content, fresh] as const;
  const reap = { space: space.space, kind: REAP_KIND.content, target: fresh, owner: context.owner, died: 0 };
  puts.push({ table: 'reaps', mode: 'insert', row: reap });
  for (let page = first; ; ) {
    puts.push(...page.map((extent) => twinOf(extent, fresh)));
    await commit(context, { space: space.space, now: context.clock.now(), puts: puts.splice(0) });
    const last = page.at(-1);
    if (last === undefined || page.length < STEP_EXTENTS) break;
    page = await scanExtents(view, space, content, last.offset);
  }
  return { content: fresh, puts: [], deletes: [{ table: 'reaps', key }] };
}

function twinOf(extent: ExtentRow, content: ContentId): Put {
  return { table: 'extents', mode: 'insert', row: { ...extent, content, born: 0 } };
}

async function scanExtents(
  { meta }: Pick<View, 'meta'>,
  space: Space,
  content: ContentId,
  after: number | undefined,
): Promise<readonly ExtentRow[]> {
  const bound = after === undefined ? {} : { after: [after] };
  return meta.scan('extents', { prefix: [space.space, content], ...bound, limit: STEP_EXTENTS });
}

/** Whether two files have the same extents, hence the same bytes. Others may have the same bytes, too. */
export async function isSameBytes(
  space: Space,
  a: Pick<View, 'meta'>,
  one: NodeRow,
  b: Pick<View, 'meta'>,
  other: NodeRow,
): Promise<boolean> {
  if (one.content === null || other.content === null) return one.content === other.content;
  for (let after: number | undefined; ; ) {
    const these = await scanExtents(a, space, one.content, after);
    const those = await scanExtents(b, space, other.content, after);
    if (these.length !== those.length || !these.every((extent, at) => isSameExtent(extent, those[at]))) return false;
    const last = these.at(-1);
    if (last === undefined || these.length < STEP_EXTENTS) return true;
    after = last.offset;
  }
}

function isSameExtent(a: ExtentRow, b: ExtentRow | undefined): boolean {
  if (b === undefined || a.offset !== b.offset || a.length !== b.length || a.chunkOffset !== b.chunkOffset)
    return false;
  const isSame = (one: Uint8Array | null, other: Uint8Array | null): boolean =>
    one === null || other === null ? one === other : equalBytes(one, other);
  return a.kind === b.kind && isSame(a.chunk, b.chunk) && isSame(a.data, b.data);
}

/** No extent came or went since. */
async function isAsItWas(context: Context, space: Space, at: number, file: NodeRow): Promise<boolean> {
  const content = file.content ?? 0;
  const row = await context.meta.get('contents', [space.space, content]);
  if (row?.size !== file.size) return false;
  const [displaced] = await context.meta.scan('extentsHistory', { prefix: [space.space, content], limit: 1 });
  if (displaced !== undefined) return false;
  for (let after: number | undefined; ; ) {
    const page = await scanExtents(context, space, content, after);
    if (page.some(({ born }) => born > at)) return false;
    const last = page.at(-1);
    if (last === undefined || page.length < STEP_EXTENTS) return true;
    after = last.offset;
  }
}
