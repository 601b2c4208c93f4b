/**
 * Re-cutting: a file that is changed in place leaves chunks of which only a part is still needed, and a collection can
 * take a chunk or leave it. Those of which less than half is needed are given up here: the needed runs are stored anew as
 * ordinary chunks, and the extents that name the old one are switched to them. Then nobody names it, and collections take
 * it away as any other.
 *
 * Every change switches extents of one content, or rows of its history, and shows the same bytes before and after; it
 * expects the rows as they were read, so whoever writes there meanwhile wins. Cut off anywhere it leaves at most a chunk
 * that nobody names, or one that is named still by some: the next run finds both. A live extent that a pin needs goes to
 * history with the old chunk's name, so history is switched behind it.
 *
 * Which chunks those are is counted like what a path alone holds (fully-named.ts): every reference to them is to a part.
 */
import { equalBytes, Fault } from '../../base/index.ts';
import type { CompressionLevel, Draft } from '../../chunks/index.ts';
import {
  type Change,
  type ChunkRow,
  type Delete,
  EXTENT_KIND,
  type Expect,
  type ExtentRow,
  type Past,
  type Put,
} from '../../meta/index.ts';
import { type Context, commit, type Space } from '../context.ts';
import { rowsOf } from '../pages.ts';
import { fullyNamed, type Naming } from './fully-named.ts';

/** Chunks with more references are left as they are: they are named in one list, and hardly ever so by parts. */
const REFS_MAX = 1_000;
/** References that one change switches; each may become a few rows. */
const STEP_REFS = 200;
/** Chunks counted at once; each has its references with it. */
const OPEN_MAX = 20_000;
/** Rows between two turns for others. */
const ROWS_PER_TURN = 500;
/** Chunks that are given up need at most this share of themselves. */
const USED_SHARE_MAX = 0.5;
const LEVEL: CompressionLevel = 1;

export interface RecutOptions {
  readonly isPreview: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called between small pieces of work. */
  readonly pause?: (() => Promise<void>) | undefined;
}

export interface Recut {
  /** Chunks of which less than half is needed, their stored bytes, and how many of their plain bytes are needed. */
  readonly count: number;
  readonly storedBytes: number;
  readonly usedBytes: number;
  /** Those that nobody names any more. */
  readonly recutCount: number;
  readonly recutBytes: number;
}

export const NOTHING_RECUT: Recut = { count: 0, storedBytes: 0, usedBytes: 0, recutCount: 0, recutBytes: 0 };

/** An extent, of a content as it is or of what it was. */
type Reference =
  | { readonly table: 'extents'; readonly row: ExtentRow }
  | { readonly table: 'extentsHistory'; readonly row: Past<ExtentRow> };

interface Part {
  readonly space: Space;
  readonly reference: Reference;
}

interface Named {
  readonly chunk: ChunkRow;
  readonly parts: Part[];
}

/** Bytes of a chunk that lie one behind the other, from `offset` up to but without `end`. */
interface Run {
  readonly offset: number;
  end: number;
}

export async function recut(context: Context, spaces: readonly Space[], options: RecutOptions): Promise<Recut> {
  const sum = { ...NOTHING_RECUT };
  const found = fullyNamed(() => partsOf(context, spaces, options), { openMax: OPEN_MAX, join: joinNamed });
  for await (const { chunk, parts } of found) {
    const runs = runsOf(parts);
    const used = runs.reduce((bytes, { offset, end }) => bytes + end - offset, 0);
    if (used > chunk.plainLength * USED_SHARE_MAX) continue;
    sum.count++;
    sum.storedBytes += chunk.storedLength;
    sum.usedBytes += used;
    if (options.isPreview || !(await recutChunk(context, chunk, parts, runs))) continue;
    sum.recutCount++;
    sum.recutBytes += chunk.storedLength;
    await options.pause?.();
  }
  return sum;
}

function joinNamed(into: Named, from: Named): void {
  into.parts.push(...from.parts);
}

/** References to parts that are no more than half of their chunk. */
async function* partsOf(
  context: Context,
  spaces: readonly Space[],
  { signal, pause }: RecutOptions,
): AsyncGenerator<Naming<Named>> {
  let count = 0;
  for (const space of spaces) {
    for await (const reference of referencesOf(context, space)) {
      if (++count % ROWS_PER_TURN === 0) {
        if (signal?.aborted) throw Fault.aborted(signal, 'Collecting');
        await new Promise((done) => setImmediate(done));
        await pause?.();
      }
      const { chunk: id, unsettled, length } = reference.row;
      // What was taken out of a larger extent says so.
      if (id === null || unsettled === 0) continue;
      const chunk = await context.meta.get('chunks', [space.realm, id]);
      if (chunk === undefined || chunk.refs > REFS_MAX || length > chunk.plainLength * USED_SHARE_MAX) continue;
      const key = Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1');
      yield { key, count: 1, refs: chunk.refs, value: { chunk, parts: [{ space, reference }] } };
    }
  }
}

async function* referencesOf(context: Context, { space }: Space): AsyncGenerator<Reference> {
  const live = rowsOf(context, 'extents', [space], ({ content, offset }) => [content, offset]);
  for await (const row of live) yield { table: 'extents', row };
  const past = rowsOf(context, 'extentsHistory', [space], ({ content, offset, died }) => [content, offset, died]);
  for await (const row of past) yield { table: 'extentsHistory', row };
}

/** What the parts need of their chunk, in order. */
function runsOf(parts: readonly Part[]): readonly Run[] {
  const sorted = parts
    .map(({ reference: { row } }): Run => ({ offset: row.chunkOffset, end: row.chunkOffset + row.length }))
    .sort((a, b) => a.offset - b.offset);
  const runs: Run[] = [];
  for (const run of sorted) {
    const last = runs.at(-1);
    if (last !== undefined && run.offset <= last.end) last.end = Math.max(last.end, run.end);
    else runs.push(run);
  }
  return runs;
}

/** False when it is damaged, or somebody changed what names it meanwhile: then it stays as it is. */
async function recutChunk(
  context: Context,
  chunk: ChunkRow,
  parts: readonly Part[],
  runs: readonly Run[],
): Promise<boolean> {
  await using disposing = new AsyncDisposableStack();
  try {
    const plain = await context.chunks.read(chunk.id);
    const drafts: Draft[] = [];
    const puts: Put[] = [];
    for (const run of runs) {
      // Held until it is disposed: what is stored here is not collected before the extents name it.
      const writer = disposing.use(context.chunks.newWriter({ level: LEVEL, size: run.end - run.offset }));
      await writer.write(plain.subarray(run.offset, run.end));
      await writer.finish();
      const stored = writer.take();
      puts.push(...stored.puts);
      drafts.push(...stored.drafts.map((draft) => ({ ...draft, offset: run.offset + draft.offset })));
    }
    // The same bytes as a whole chunk again: nothing is won.
    if (drafts.some((draft) => draft.kind === 'chunk' && equalBytes(draft.id, chunk.id))) return false;
    await context.onRecutStep?.('recut-stored');
    await switchParts(context, parts, drafts, puts);
    await context.onRecutStep?.('recut-switched');
    const displaced = await displacedParts(context, chunk, parts);
    if (displaced.length > 0) await switchParts(context, displaced, drafts, puts);
    await context.onRecutStep?.('recut-history-switched');
    return true;
  } catch (error) {
    if (!Fault.is(error, 'conflict', 'gone', 'corrupt', 'not-found', 'full', 'io')) throw error;
    context.log.debug('files.not-recut', { pack: chunk.pack, error: error.message });
    return false;
  }
}

/** Rows of history that name the chunk since live extents were switched: a pin needs what those were. */
async function displacedParts(context: Context, chunk: ChunkRow, parts: readonly Part[]): Promise<readonly Part[]> {
  const displaced: Part[] = [];
  for (const { space, reference } of parts) {
    if (reference.table !== 'extents') continue;
    const { content, offset, born } = reference.row;
    const rows = await context.meta.scan('extentsHistory', {
      prefix: [space.space, content, offset],
      after: [born],
      limit: REFS_MAX,
    });
    for (const row of rows)
      if (row.chunk !== null && equalBytes(row.chunk, chunk.id))
        displaced.push({ space, reference: { table: 'extentsHistory', row } });
  }
  return displaced;
}

async function switchParts(
  context: Context,
  parts: readonly Part[],
  drafts: readonly Draft[],
  chunkPuts: readonly Put[],
): Promise<void> {
  for (const [space, own] of Map.groupBy(parts, (part) => part.space)) {
    for (let at = 0; at < own.length; at += STEP_REFS) {
      const step = own.slice(at, at + STEP_REFS).map(({ reference }) => reference);
      const change: Change = {
        space: space.space,
        now: context.clock.now(),
        expects: step.map(expectAsRead),
        deletes: step.map(deleteOf),
        puts: [...chunkPuts, ...step.flatMap((reference) => putsOf(reference, drafts))],
      };
      await commit(context, change);
    }
  }
}

function expectAsRead({ table, row }: Reference): Expect {
  const { space, content, offset, chunk, chunkOffset, length, born } = row;
  const equals = { chunk, chunkOffset, length, born };
  if (table === 'extents') return { kind: 'row', table, key: [space, content, offset], equals };
  return { kind: 'row', table, key: [space, content, offset, row.died], equals };
}

function deleteOf({ table, row }: Reference): Delete {
  const { space, content, offset } = row;
  if (table === 'extents') return { table, key: [space, content, offset] };
  return { table, key: [space, content, offset, row.died] };
}

/** The same bytes of the content, out of what its run is stored as now. */
function putsOf({ table, row }: Reference, drafts: readonly Draft[]): readonly Put[] {
  const [start, end] = [row.chunkOffset, row.chunkOffset + row.length];
  return drafts.flatMap((draft): Put[] => {
    const [from, to] = [Math.max(start, draft.offset), Math.min(end, draft.offset + draft.length)];
    if (draft.kind === 'hole' || from >= to) return [];
    const isChunk = draft.kind === 'chunk';
    const fresh = {
      offset: row.offset + from - start,
      length: to - from,
      kind: isChunk ? EXTENT_KIND.chunk : EXTENT_KIND.inline,
      chunk: isChunk ? draft.id : null,
      chunkOffset: from - draft.offset,
      unsettled: to - from < draft.length ? 1 : 0,
      data: isChunk ? null : draft.record,
    };
    if (table === 'extents') return [{ table, mode: 'replace', row: { ...row, ...fresh } }];
    return [{ table, mode: 'replace', row: { ...row, ...fresh } }];
  });
}
