/**
 * A plan of bringing something back, as lines: what comes, what goes, what changes, what moves, what would be lost for
 * good; and how much in all. It is said before anything is done.
 */
import type { RestorePlan } from '../../api/index.ts';
import type { Say } from './say.ts';
import { shownName } from './show-record.ts';

const MARKS = { added: '+', removed: '-', changed: '~', moved: '>' } as const;

/** `ask` plans, or does it and answers what it did. */
export async function planThenDo(
  say: Say,
  dryRun: boolean,
  ask: (dryRun: boolean) => Promise<RestorePlan>,
): Promise<void> {
  const plan = await ask(true);
  await sayLines(say, plan);
  const isNothing = plan.added + plan.removed + plan.changed + plan.moved === 0;
  const done = dryRun || isNothing ? plan : await ask(false);
  await say.record(done);
  const { added, removed, changed, moved } = done;
  const sum = `${added} added, ${removed} removed, ${changed} changed, ${moved} moved`;
  await say.note(isNothing ? 'nothing to do' : `${dryRun ? 'would be ' : ''}${sum}`);
}

async function sayLines(say: Say, plan: RestorePlan): Promise<void> {
  for (const { change, path, from, kind } of plan.changes) {
    const end = kind === 'folder' && path !== '/' ? '/' : '';
    const moved = from === undefined ? '' : `  (from ${shownName(say, from)})`;
    await say.line(`${MARKS[change]} ${shownName(say, path)}${end}${moved}`);
  }
  if (plan.changes_more > 0) await say.line(`… and ${plan.changes_more} more`);
  for (const { path, what } of plan.losses)
    await say.line(`! ${shownName(say, path)}  (${what}: nothing else keeps it, --force loses it)`);
  if (plan.losses_more > 0) await say.line(`! … and ${plan.losses_more} more`);
}
