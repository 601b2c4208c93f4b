/**
 * The change feed: every durable commit exactly once, in the order of their numbers. A cursor says after which commit to
 * go on and is good for as long as the commits behind it are kept. Nothing is queued for anybody: who asks reads rows,
 * and who waits is woken when there are more.
 */
import type { ChangePage, ChangesQuery, CommitRecord } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { CommitNumber } from '../../meta/index.ts';
import type { Context, Space } from '../context.ts';
import { cursorOf, positionOf } from '../cursor.ts';
import { Names } from './log.ts';

/** Longest wait of one call. */
const WAIT_MS_MAX = 60_000;

export async function changesAfter(
  context: Context,
  space: Space,
  query: ChangesQuery,
  limit: number,
): Promise<ChangePage> {
  const head = async (): Promise<CommitNumber> => (await context.meta.get('spaces', [space.space]))?.head ?? 0;
  const after = query.after === 'now' ? await head() : commitOf(query.after);
  if (after > (await head())) throw notOurs(query.after);
  const more = awaitMore(context, space, query, after);
  try {
    let page = await pageOf(context, space, after, limit);
    if (page.commits.length === 0 && (query.waitMs ?? 0) > 0) {
      await more.promise;
      page = await pageOf(context, space, after, limit);
    }
    return page;
  } finally {
    more[Symbol.dispose]();
  }
}

function commitOf(cursor: string | undefined): CommitNumber {
  if (cursor === undefined) return 0;
  const [kind, commit] = positionOf(cursor) ?? [];
  if (kind !== 'changes' || typeof commit !== 'number' || commit < 0) throw notOurs(cursor);
  return commit;
}

function notOurs(cursor: string | undefined): Fault {
  return new Fault('invalid', 'The cursor is not one of the change feed of this store. Begin without one.', { cursor });
}

async function pageOf(context: Context, space: Space, after: CommitNumber, limit: number): Promise<ChangePage> {
  const rows = await context.meta.scan('commits', { prefix: [space.space], after: [after], limit });
  const [first] = rows;
  // Commits go from the oldest on, so behind one that is there nothing is missing, whatever the next number is.
  const isGap = first !== undefined && first.commit !== after + 1;
  if (isGap && (await context.meta.get('commits', [space.space, after])) === undefined) {
    const sentence = `The changes after commit ${after} are not kept any more; commit ${first.commit} is the first that is. Read everything anew, and go on from there.`;
    throw new Fault('not-kept', sentence, {
      after,
      first_kept: first.commit,
      next: cursorOf(['changes', first.commit - 1]),
    });
  }
  const names = new Names(context, space);
  const commits: CommitRecord[] = [];
  for (const row of rows) commits.push({ ...(await names.record(row)), cursor: cursorOf(['changes', row.commit]) });
  return { commits, next: cursorOf(['changes', rows.at(-1)?.commit ?? after]) };
}

/** Resolves when a commit behind `after` is durable, or the wait is over. */
function awaitMore(
  context: Context,
  space: Space,
  { waitMs = 0, signal }: ChangesQuery,
  after: CommitNumber,
): Disposable & { readonly promise: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const listening = context.groups.listen({
    onDurable: (durables) => {
      if (durables.some(({ change, applied }) => change.space === space.space && applied.commit > after)) resolve();
    },
  });
  const timer = context.clock.after(Math.min(waitMs, WAIT_MS_MAX), resolve);
  signal?.addEventListener('abort', () => resolve(), { once: true });
  return {
    promise,
    [Symbol.dispose]() {
      listening[Symbol.dispose]();
      timer[Symbol.dispose]();
    },
  };
}
