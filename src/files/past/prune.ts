/**
 * Which of the snapshots that schedules made are kept, and the deleting of the others. Each schedule is looked at alone,
 * by its own rules or by rules given for once. Snapshots that somebody made are never touched, nor is the newest of a
 * schedule, whatever the rules; one that alone still shows a folder that is gone is kept too, and the plan says so.
 */
import { type PrunePlan, textOfPath } from '../../api/index.ts';
import { Fault, isoOfMoment } from '../../base/index.ts';
import type { NodeId, SnapshotRow } from '../../meta/index.ts';
import type { Caller, Context, Space } from '../context.ts';
import { rowsOf } from '../pages.ts';
import { pathOfNode } from '../tree.ts';
import { type KeepRules, keepRulesOf, planKeep } from './keep-rules.ts';
import { viewAt } from './moments.ts';
import { removeSnapshot } from './snapshots.ts';

/** Lines of a plan that are told; the rest is counted. */
const LINES_MAX = 10_000;

export interface PruneOptions {
  /** Instead of the schedules' own rules. */
  readonly keep?: string | undefined;
  /** Only what this schedule made. */
  readonly schedule?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Judged {
  readonly row: SnapshotRow;
  /** Why it is kept; none for one that goes. */
  readonly reasons: readonly string[];
}

/** @throws Fault `invalid` for rules that are none; `not-found` for a schedule that is not known and made nothing. */
export async function pruneSnapshots(
  context: Context,
  space: Space,
  caller: Caller,
  options: PruneOptions = {},
): Promise<PrunePlan> {
  const judged = await judgeSnapshots(context, space, options);
  const going = judged.filter(({ reasons }) => reasons.length === 0);
  const lines: PrunePlan['snapshots'] = [];
  for (const { row, reasons } of judged.slice(0, LINES_MAX)) lines.push(await lineOf(context, space, row, reasons));
  for (const { row } of options.dryRun === true ? [] : going) {
    if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Deleting snapshots');
    await removeIfThere(context, space, caller, row);
  }
  return {
    kept: judged.length - going.length,
    deleted: going.length,
    snapshots: lines,
    snapshots_more: judged.length - lines.length,
    dry_run: options.dryRun === true,
  };
}

async function removeIfThere(context: Context, space: Space, caller: Caller, row: SnapshotRow): Promise<void> {
  try {
    await removeSnapshot(context, space, caller, row.name, { expectedPin: row.pin });
  } catch (error) {
    // Somebody deleted it meanwhile, and may have made another of that name.
    if (!Fault.is(error, 'not-found', 'conflict')) throw error;
  }
}

async function lineOf(
  context: Context,
  space: Space,
  row: SnapshotRow,
  reasons: readonly string[],
): Promise<PrunePlan['snapshots'][number]> {
  const path = await pathOfNode(viewAt(context, row.commit), space, row.node);
  return {
    name: row.name,
    path: path === undefined ? '' : textOfPath(path),
    created: isoOfMoment(row),
    schedule: row.schedule,
    action: reasons.length === 0 ? 'delete' : 'keep',
    reasons: [...reasons],
  };
}

/** By schedule, of each the newest first. */
async function judgeSnapshots(context: Context, space: Space, options: PruneOptions): Promise<readonly Judged[]> {
  const given = options.keep === undefined ? undefined : keepRulesOf(options.keep);
  const all: SnapshotRow[] = [];
  for await (const row of rowsOf(context, 'snapshots', [space.space], ({ name }) => [name])) all.push(row);
  const { schedules } = context.options;
  const made = Map.groupBy(
    all.filter(({ schedule }) => schedule !== ''),
    ({ schedule }) => schedule,
  );
  const { schedule: only } = options;
  if (only !== undefined && !made.has(only) && !schedules.some(({ name }) => name === only)) {
    const known = schedules.map(({ name }) => name).join(', ') || 'none';
    throw new Fault('not-found', `There is no schedule ${JSON.stringify(only)} of snapshots. Known: ${known}.`, {
      schedule: only,
    });
  }
  const judged: Judged[] = [];
  for (const [schedule, rows] of [...made].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (only !== undefined && schedule !== only) continue;
    const rules = given ?? schedules.find(({ name }) => name === schedule)?.keep;
    judged.push(...judge(rows, schedule, rules));
  }
  return await keepOnlyCopies(context, space, all, judged);
}

function judge(rows: readonly SnapshotRow[], schedule: string, rules: KeepRules | undefined): readonly Judged[] {
  const items = rows.toSorted((a, b) => b.commit - a.commit);
  if (rules === undefined) return items.map((row) => ({ row, reasons: [`no schedule ${schedule} is configured`] }));
  // Ages count from the newest: where nothing new is made, nothing goes.
  const plan = planKeep({ items, secondsOf: ({ seconds }) => seconds, rules, asOfSeconds: items[0]?.seconds ?? 0 });
  const reasons = new Map(plan.kept.map(({ item, reasons: why }) => [item, why]));
  return items.map((row, at) => ({ row, reasons: reasons.get(row) ?? (at === 0 ? ['the newest'] : []) }));
}

/** Of a folder that is gone the last snapshot that shows it stays. */
async function keepOnlyCopies(
  context: Context,
  space: Space,
  all: readonly SnapshotRow[],
  judged: readonly Judged[],
): Promise<readonly Judged[]> {
  const going = new Set(judged.filter(({ reasons }) => reasons.length === 0).map(({ row }) => row));
  const shown = new Set(all.filter((row) => !going.has(row)).map(({ node }) => node));
  const rescued = new Map<NodeId, SnapshotRow>();
  for (const row of going) {
    if (shown.has(row.node) || (rescued.get(row.node)?.commit ?? 0) > row.commit) continue;
    if ((await pathOfNode(context, space, row.node)) === undefined) rescued.set(row.node, row);
  }
  const kept = new Set(rescued.values());
  return judged.map((each) =>
    kept.has(each.row) ? { ...each, reasons: ['the only copy of a folder that is gone'] } : each,
  );
}
