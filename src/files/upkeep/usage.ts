/**
 * How much room something takes: what is in it, and the bytes that it alone holds, which come back when it goes.
 *
 * Who holds bytes is told by counted references, so nothing but what belongs to the path or the snapshot is gone through:
 * a name holds its file if all the file's names are in the path, a file holds a content if everything that names it is
 * the file's own (as it is, its kept versions, and those of what it replaced), and a content holds a chunk if all that
 * names the chunk are contents that are held. What a snapshot still needs is held by it as well, so it comes back with
 * neither of the two alone; the window of history holds nothing for good, and neither does what is about to be swept.
 *
 * The bytes are those of a collection (chunks/weigh.ts), right to the byte while nothing changes.
 */
import { type Path, pathOfText, textOfPath, type Usage, type UsageQuery } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import {
  type ChunkRow,
  type CommitNumber,
  type ContentId,
  type ExtentRow,
  NODE_KIND,
  type NodeId,
  type NodeRow,
  type Past,
  PinSet,
  type SnapshotRow,
} from '../../meta/index.ts';
import type { Context, Space, View } from '../context.ts';
import { rowsOf } from '../pages.ts';
import { mustBeShown, openScope, PIN_HOLDER, pinsOf } from '../past/moments.ts';
import { getSnapshot } from '../past/snapshots.ts';
import { type Found, getPath, walk } from '../tree.ts';
import { type Tidying, tidy } from './collect.ts';
import { fullyNamed, type Naming } from './fully-named.ts';

/** Contents of one file that are counted before they are handed on. */
const CONTENTS_MAX = 1_000;
/** Files that replaced each other by rename, followed back at most this far. */
const REPLACED_MAX = 1_000;
/** Rows between two turns for others. */
const ROWS_PER_TURN = 200;

export async function usage(context: Context, space: Space, tidying: Tidying, query: UsageQuery): Promise<Usage> {
  const { path, at, snapshot, exclusive = false } = query;
  if (at !== undefined && (snapshot !== undefined || exclusive)) {
    const sentence = `What is there at ${at} is counted alone: what only a snapshot holds is told for it by name, and only what is there now is held by a path. Leave \`at\` or the other out.`;
    throw new Fault('invalid', sentence, { at, snapshot, exclusive });
  }
  if (exclusive && snapshot !== undefined && path !== undefined) {
    const sentence = `What the snapshot ${snapshot} alone holds is told for all of it: a snapshot keeps or lets go of everything together. Leave the path out.`;
    throw new Fault('invalid', sentence, { path, snapshot });
  }
  if (exclusive) await tidy(tidying);
  const counted = await count(context, space, query);
  if (!exclusive) return counted;
  const turns = new Turns(query.signal);
  const chunks =
    snapshot === undefined
      ? chunksOfPath(context, space, turns, pathOfText(path ?? '/'))
      : chunksOfSnapshot(context, space, turns, await getSnapshot(context, space, snapshot));
  const weight = await context.chunks.weigh(chunks, { freedShareMin: context.options.gc.freedShareMin });
  return {
    ...counted,
    exclusive_bytes: weight.bytes,
    exclusive_chunks: weight.chunks,
    next_gc_bytes: weight.collectedBytes,
  };
}

/** Others have theirs between rows, and whoever has gone is not worked for. */
class Turns {
  readonly #signal: AbortSignal | undefined;
  #rows = 0;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  async next(): Promise<void> {
    if (++this.#rows % ROWS_PER_TURN !== 0) return;
    if (this.#signal?.aborted) throw Fault.aborted(this.#signal, 'Measuring');
    await new Promise((done) => setImmediate(done));
  }
}

/** Every name of a file counts, as it does in a removal. */
async function count(context: Context, space: Space, query: UsageQuery): Promise<Usage> {
  using scope = await openScope(context, space, query.at ?? query.snapshot);
  const path: Path = query.path === undefined ? scope.shown : pathOfText(query.path);
  const found = await getPath(scope.view, space, path);
  mustBeShown(scope, found.path);
  const turns = new Turns(query.signal);
  let [files, folders, bytes] = [0, 0, 0];
  for await (const { node } of within(scope.view, space, found)) {
    await turns.next();
    if (node.kind === NODE_KIND.folder) folders++;
    else files++;
    if (node.kind === NODE_KIND.file) bytes += node.size;
  }
  const { at, snapshot } = query;
  const named = { ...(at === undefined ? {} : { at }), ...(snapshot === undefined ? {} : { snapshot }) };
  return { path: textOfPath(path), ...named, files, folders, bytes };
}

async function* within(view: View, space: Space, found: Found): AsyncGenerator<Found> {
  yield found;
  if (found.node.kind === NODE_KIND.folder) yield* walk(view, space, found);
}

async function* chunksOfPath(context: Context, space: Space, turns: Turns, path: Path): AsyncGenerator<ChunkRow> {
  const found = await getPath(context, space, path);
  const head = (await context.meta.get('spaces', [space.space]))?.head ?? 0;
  const kept = keptBySnapshots(await pinsOf(context, space), context.clock.now().seconds);
  const files = () => fullyNamed(() => namesIn(context, space, turns, found));
  const contents = () =>
    fullyNamed(async function* () {
      for await (const file of files()) yield* contentsOf(context, space, turns, file, head, kept);
    });
  yield* fullyNamed(async function* () {
    for await (const content of contents()) yield* chunksOf(context, space, turns, content);
  });
}

/** Whether a row that was true from one commit until another is one that a snapshot needs. */
type Kept = (born: CommitNumber, died: CommitNumber) => boolean;

function keptBySnapshots(pins: Awaited<ReturnType<typeof pinsOf>>, nowSeconds: number): Kept {
  const set = new PinSet(
    pins.filter(({ holder }) => holder !== PIN_HOLDER.retention && holder !== PIN_HOLDER.released),
  );
  return (born, died) => set.needs({ born, died }, nowSeconds);
}

async function* namesIn(context: Context, space: Space, turns: Turns, found: Found): AsyncGenerator<Naming<NodeRow>> {
  for await (const { node } of within(context, space, found)) {
    await turns.next();
    if (node.kind === NODE_KIND.file) yield { key: String(node.node), count: 1, refs: node.links, value: node };
  }
}

/** The contents that a file names: as it is, as its versions, in history, and those of the files that it replaced. */
async function* contentsOf(
  context: Context,
  space: Space,
  turns: Turns,
  file: NodeRow,
  head: CommitNumber,
  kept: Kept,
): AsyncGenerator<Naming<ContentId>> {
  const counts = new Map<ContentId, number>();
  const add = (content: ContentId | null): void => {
    if (content !== null) counts.set(content, (counts.get(content) ?? 0) + 1);
  };
  if (!kept(file.born, head + 1)) add(file.content);
  let node: NodeId | null = file.node;
  for (let depth = 0; node !== null && depth < REPLACED_MAX; depth++) {
    // What was replaced and has another name lives on there.
    if (depth > 0 && (await context.meta.get('nodes', [space.space, node])) !== undefined) break;
    // A file that is gone says in its newest version what it had replaced.
    let replaced: NodeId | null = null;
    for await (const row of rowsOf(context, 'versions', [space.space, node], ({ version }) => [version])) {
      await turns.next();
      add(row.content);
      replaced = row.replacedNode;
      if (counts.size >= CONTENTS_MAX) yield* named(context, space, counts);
    }
    for await (const row of rowsOf(context, 'nodesHistory', [space.space, node], ({ died }) => [died])) {
      await turns.next();
      if (!kept(row.born, row.died)) add(row.content);
      if (counts.size >= CONTENTS_MAX) yield* named(context, space, counts);
    }
    node = depth === 0 ? file.replacedNode : replaced;
  }
  yield* named(context, space, counts);
}

async function* named(
  context: Context,
  space: Space,
  counts: Map<ContentId, number>,
): AsyncGenerator<Naming<ContentId>> {
  for (const [content, count] of counts) {
    const row = await context.meta.get('contents', [space.space, content]);
    if (row !== undefined) yield { key: String(content), count, refs: row.refs, value: content };
  }
  counts.clear();
}

/** The chunks that a content names, those of what it was included, as far as `isCounted` says of rows of history. */
async function* chunksOf(
  context: Context,
  space: Space,
  turns: Turns,
  content: ContentId,
  isCounted: (row: Past<ExtentRow>) => boolean = () => true,
): AsyncGenerator<Naming<ChunkRow>> {
  const prefix = [space.space, content] as const;
  for await (const extent of rowsOf(context, 'extents', prefix, ({ offset }) => [offset]))
    yield* chunkOf(context, space, turns, extent);
  for await (const extent of rowsOf(context, 'extentsHistory', prefix, ({ offset, died }) => [offset, died]))
    if (isCounted(extent)) yield* chunkOf(context, space, turns, extent);
}

async function* chunkOf(
  context: Context,
  space: Space,
  turns: Turns,
  { chunk }: ExtentRow,
): AsyncGenerator<Naming<ChunkRow>> {
  await turns.next();
  const row = chunk === null ? undefined : await context.meta.get('chunks', [space.realm, chunk]);
  if (row !== undefined) yield { key: keyOf(row), count: 1, refs: row.refs, value: row };
}

function keyOf({ id }: ChunkRow): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1');
}

/** What history keeps for this snapshot and nothing else, and what is named by nothing but that. */
async function* chunksOfSnapshot(
  context: Context,
  space: Space,
  turns: Turns,
  snapshot: SnapshotRow,
): AsyncGenerator<ChunkRow> {
  const now = context.clock.now().seconds;
  const pins = await pinsOf(context, space);
  const mine = new PinSet(pins.filter(({ pin }) => pin === snapshot.pin));
  const others = new PinSet(pins.filter(({ pin, holder }) => pin !== snapshot.pin && holder !== PIN_HOLDER.released));
  const isMine = (row: { readonly born: CommitNumber; readonly died: CommitNumber }): boolean =>
    mine.needs(row, now) && !others.needs(row, now);
  const contents = () =>
    fullyNamed(async function* () {
      for await (const row of rowsOf(context, 'nodesHistory', [space.space], ({ node, died }) => [node, died])) {
        await turns.next();
        if (row.content === null || !isMine(row)) continue;
        const content = await context.meta.get('contents', [space.space, row.content]);
        if (content === undefined) continue;
        yield { key: String(row.content), count: 1, refs: content.refs, value: row.content };
      }
    });
  yield* fullyNamed(async function* () {
    for await (const content of contents()) yield* chunksOf(context, space, turns, content, (row) => !isMine(row));
    const all = [space.space] as const;
    const behind = (row: Past<ExtentRow>) => [row.content, row.offset, row.died];
    for await (const row of rowsOf(context, 'extentsHistory', all, behind)) {
      await turns.next();
      if (isMine(row)) yield* chunkOf(context, space, turns, row);
    }
  });
}
