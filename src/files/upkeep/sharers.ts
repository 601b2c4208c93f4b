/**
 * Which files of a user need a damaged chunk, for the error of whoever came across it. There is no way from a chunk to
 * its files but to look at everything, so this looks at a bounded part and says whether that was all: rows and time are
 * bounded, one looks at a time, and an answer is kept for a while, so that many readers of one damaged file cost as much
 * as one. `check` is what names every file.
 */
import { textOfPath } from '../../api/index.ts';
import { equalBytes, Lru } from '../../base/index.ts';
import { type ChunkId, type ContentId, NODE_KIND } from '../../meta/index.ts';
import type { Context, Sharing, Space } from '../context.ts';
import { PAGE_ROWS, rowsOf } from '../pages.ts';
import { pathOfNode } from '../tree.ts';

/** Files that are named. */
export const SHARERS_NAMED_MAX = 20;
/** Rows, of extents and of nodes each, that one look goes over, and how long it may take. */
const ROWS_MAX = 200_000;
const LOOK_MS_MAX = 500;
/** Answers that are kept, and how long. */
const ANSWERS_MAX = 100;
const ANSWER_MS = 60_000;

interface Answer {
  readonly sharing: Sharing;
  readonly atMs: number;
}

export class Sharers {
  readonly #context: () => Context;
  readonly #answers = new Lru<string, Answer>({ weightMax: ANSWERS_MAX });

  constructor(context: () => Context) {
    this.#context = context;
  }

  /** Paths of the space's files whose content has the chunk. */
  async of(space: Space, chunk: ChunkId): Promise<Sharing> {
    const { clock, turns } = this.#context();
    const key = `${space.space}:${Buffer.from(chunk).toString('hex')}`;
    return await turns.run('sharers', async () => {
      const known = this.#answers.get(key);
      if (known !== undefined && clock.monotonicMs() - known.atMs < ANSWER_MS) return known.sharing;
      const sharing = await look(this.#context(), space, chunk);
      this.#answers.set(key, { sharing, atMs: clock.monotonicMs() });
      return sharing;
    });
  }
}

/** Counts rows and time of one look. */
class Bound {
  readonly #context: Context;
  readonly #endMs: number;
  #rows = 0;
  isReached = false;

  constructor(context: Context) {
    this.#context = context;
    this.#endMs = context.clock.monotonicMs() + LOOK_MS_MAX;
  }

  /** Lets others have their turn between pages. */
  async next(): Promise<void> {
    if (++this.#rows % PAGE_ROWS === 0) await new Promise((done) => setImmediate(done));
    this.isReached ||= this.#rows > ROWS_MAX || this.#context.clock.monotonicMs() > this.#endMs;
  }
}

async function look(context: Context, space: Space, chunk: ChunkId): Promise<Sharing> {
  const row = await context.meta.get('chunks', [space.realm, chunk]);
  const found = await contentsWith(context, space, chunk, row?.refs ?? Number.POSITIVE_INFINITY);
  const bound = new Bound(context);
  const files: string[] = [];
  const reached = new Set<ContentId>();
  let more = 0;
  for await (const node of rowsOf(context, 'nodes', [space.space], (last) => [last.node])) {
    await bound.next();
    if (bound.isReached) break;
    if (node.kind !== NODE_KIND.file || node.content === null || !found.contents.has(node.content)) continue;
    reached.add(node.content);
    const path = files.length < SHARERS_NAMED_MAX ? await pathOfNode(context, space, node.node) : undefined;
    if (path !== undefined) files.push(textOfPath(path));
    else if (files.length === SHARERS_NAMED_MAX) more++;
  }
  // What is left may be kept versions, or files of others.
  const isAll = found.isAll && !bound.isReached && reached.size === found.contents.size;
  return { files, more, isAll };
}

async function contentsWith(
  context: Context,
  space: Space,
  chunk: ChunkId,
  refs: number,
): Promise<{ readonly contents: ReadonlySet<ContentId>; readonly isAll: boolean }> {
  const contents = new Set<ContentId>();
  const bound = new Bound(context);
  let count = 0;
  for await (const extent of rowsOf(context, 'extents', [space.space], (last) => [last.content, last.offset])) {
    await bound.next();
    if (bound.isReached || count >= refs) break;
    if (extent.chunk === null || !equalBytes(extent.chunk, chunk)) continue;
    contents.add(extent.content);
    count++;
  }
  return { contents, isAll: count >= refs };
}
