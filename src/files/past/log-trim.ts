/**
 * Where the log of commits begins: older commits, and the lists of what they changed, go in bounded steps between other
 * people's work. It reaches back as far as every moment does that is kept, whatever the option says, and the latest
 * commit always stays: so the first row that is there says where the log begins, and nothing else has to.
 *
 * Commits go from the oldest on, then lists without a commit. A crash in between leaves lists that nobody sees, which the
 * next trimming finds at the beginning of the table.
 */
import type { CommitNumber, Delete } from '../../meta/index.ts';
import { type Context, commit, type Space, type View } from '../context.ts';
import { commitAt, pinsOf } from './moments.ts';

/** Rows that one step takes away. */
const STEP_ROWS = 1_000;

/** The first commit that the log has; 1 for a space without any. */
export async function firstLogged({ meta }: Pick<View, 'meta'>, space: Space): Promise<CommitNumber> {
  const [first] = await meta.scan('commits', { prefix: [space.space], limit: 1 });
  return first?.commit ?? 1;
}

/** Answers how many rows went. */
export async function trimLog(context: Context, space: Space, signal?: AbortSignal): Promise<number> {
  const first = await firstToKeep(context, space);
  let dropped = 0;
  for (const table of ['commits', 'changes'] as const) {
    for (let isMore = true; isMore && !signal?.aborted; ) {
      const page = await context.meta.scan(table, { prefix: [space.space], limit: STEP_ROWS });
      const deletes = page.filter((row) => row.commit < first).map((row) => deleteOf(table, row));
      isMore = deletes.length === STEP_ROWS;
      if (deletes.length === 0) break;
      await commit(context, { space: space.space, now: context.clock.now(), deletes });
      dropped += deletes.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return dropped;
}

type LogRow = { readonly space: Space['space']; readonly commit: CommitNumber; readonly sequence?: number };

function deleteOf(table: 'commits' | 'changes', { space, commit: number, sequence = 0 }: LogRow): Delete {
  return table === 'commits' ? { table, key: [space, number] } : { table, key: [space, number, sequence] };
}

async function firstToKeep(context: Context, space: Space): Promise<CommitNumber> {
  const now = context.clock.now();
  const since = { seconds: now.seconds - context.options.logKeptSeconds, nanoseconds: now.nanoseconds };
  const head = (await context.meta.get('spaces', [space.space]))?.head ?? 0;
  const windows = (await pinsOf(context, space)).filter(({ toCommit }) => toCommit === null);
  return Math.min(head, (await commitAt(context, space, since)) + 1, ...windows.map(({ fromCommit }) => fromCommit));
}
