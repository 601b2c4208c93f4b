/** A plan of bringing something back, as lines: what comes, what goes, what changes, what moves; and how much in all. */
import type { RestorePlan } from '../api/index.ts';
import type { Say } from './say.ts';
import { shownName } from './show-record.ts';

const MARKS = { added: '+', removed: '-', changed: '~', moved: '>' } as const;

export async function sayPlan(say: Say, plan: RestorePlan): Promise<void> {
  await say.record(plan);
  for (const { change, path, from, kind } of plan.changes) {
    const end = kind === 'folder' && path !== '/' ? '/' : '';
    const moved = from === undefined ? '' : `  (from ${shownName(say, from)})`;
    await say.line(`${MARKS[change]} ${shownName(say, path)}${end}${moved}`);
  }
  if (plan.changes_more > 0) await say.line(`… and ${plan.changes_more} more`);
  const { added, removed, changed, moved, dry_run } = plan;
  const sum = `${added} added, ${removed} removed, ${changed} changed, ${moved} moved`;
  await say.note(added + removed + changed + moved === 0 ? 'nothing to do' : `${dry_run ? 'would be ' : ''}${sum}`);
}
