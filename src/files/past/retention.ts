/**
 * Which older versions of a file are kept, by the rules of keep-rules.ts and the time at which each was replaced. Applied
 * where a new version is made (so that a busy file stays bounded) and by a sweep (so that a quiet store gives back, too).
 * A removed file keeps nothing by number, only what an age bounds: else it would be kept for ever.
 */
import { Fault, type Moment } from '../../base/index.ts';
import type { Change, NodeId, NodeRow, VersionRow } from '../../meta/index.ts';
import { type Context, commit, type Space, type View } from '../context.ts';
import type { Parts } from '../plan.ts';
import { boundedByAge, itemsToDrop, type KeepRules, planKeep } from './keep-rules.ts';

/** Versions of one node that one plan looks at; the rest waits for the next. */
const PLAN_VERSIONS_MAX = 2_000;
/** Rows of one step of the sweep. */
const SWEEP_ROWS = 1_000;
/** Files that took each other's place, followed at most this far. */
const HEIRS_MAX = 1_000;

/** Those of one node's versions (oldest first) that are to go. */
export function versionsToDrop(versions: readonly VersionRow[], rules: KeepRules, now: Moment): readonly VersionRow[] {
  const items = versions.toReversed();
  return itemsToDrop({ items, secondsOf: ({ replacedSeconds }) => replacedSeconds, rules, asOfSeconds: now.seconds });
}

/** Drops what a node has too many of, as part of the change that gives it one more. */
export async function planThinning(
  context: Context,
  space: Space,
  node: NodeRow,
  now: Moment,
): Promise<Partial<Parts>> {
  const versions = await context.meta.scan('versions', { prefix: [space.space, node.node], limit: PLAN_VERSIONS_MAX });
  return dropParts(versionsToDrop(versions, context.options.versionsKept, now));
}

/** Why each of a node's kept versions stays, by the store's rules or by others; none for one that goes. */
export async function reasonsToKeep(
  context: View,
  space: Space,
  node: NodeId,
  others?: KeepRules,
): Promise<ReadonlyMap<number, readonly string[]>> {
  const range = { prefix: [space.space, node] as const, limit: PLAN_VERSIONS_MAX, reverse: true };
  const items: readonly VersionRow[] = await context.meta.scan('versions', range);
  const isLive = await hasLiveHeir(context, space, node, items.toReversed());
  const rules = others ?? context.options.versionsKept;
  const plan = planKeep({
    items,
    secondsOf: ({ replacedSeconds }) => replacedSeconds,
    rules: isLive ? rules : boundedByAge(rules),
    asOfSeconds: context.clock.now().seconds,
  });
  return new Map(plan.kept.map(({ item, reasons }) => [item.version, reasons]));
}

function dropParts(drop: readonly VersionRow[]): Pick<Parts, 'expects' | 'deletes' | 'historyBytes'> {
  return {
    expects: drop.map(({ space, node, version }) => ({ kind: 'row', table: 'versions', key: [space, node, version] })),
    deletes: drop.map(({ space, node, version }) => ({ table: 'versions', key: [space, node, version] })),
    historyBytes: -drop.reduce((sum, { size }) => sum + size, 0),
  };
}

/** Goes over all kept versions of a space once, in steps; answers how many it dropped. */
export async function sweepVersions(context: Context, space: Space, signal?: AbortSignal): Promise<number> {
  let dropped = 0;
  let after: readonly [NodeId, number] | undefined;
  for (;;) {
    if (signal?.aborted) return dropped;
    const page: readonly VersionRow[] = await context.meta.scan('versions', {
      prefix: [space.space],
      ...(after === undefined ? {} : { after }),
      limit: SWEEP_ROWS,
    });
    const last = page.at(-1);
    if (last === undefined) return dropped;
    const isWhole = page.length < SWEEP_ROWS;
    // The last node of a full page may go on behind it: leave it to the next page, unless it fills this one alone.
    const nodes = [...new Set(page.map(({ node }) => node))].filter((node) => isWhole || node !== last.node);
    dropped += await sweepNodes(context, space, page, nodes.length > 0 ? nodes : [last.node]);
    if (isWhole) return dropped;
    after = nodes.length > 0 ? [nodes.at(-1) ?? 0, Number.MAX_SAFE_INTEGER] : [last.node, last.version];
  }
}

/** The file lives, or one that took its place by rename does, and so on. */
async function hasLiveHeir(
  context: View,
  space: Space,
  node: NodeId,
  versions: readonly VersionRow[],
): Promise<boolean> {
  let at: NodeId | null = node;
  let heir = versions.at(-1)?.heir ?? null;
  for (let depth = 0; at !== null && depth < HEIRS_MAX; depth++) {
    if ((await context.meta.get('nodes', [space.space, at])) !== undefined) return true;
    at = heir;
    if (at === null) return false;
    const [next]: readonly VersionRow[] = await context.meta.scan('versions', {
      prefix: [space.space, at],
      limit: 1,
      reverse: true,
    });
    heir = next?.heir ?? null;
  }
  return false;
}

async function sweepNodes(
  context: Context,
  space: Space,
  page: readonly VersionRow[],
  nodes: readonly NodeId[],
): Promise<number> {
  const now = context.clock.now();
  const { versionsKept } = context.options;
  const drop: VersionRow[] = [];
  for (const node of nodes) {
    const versions = page.filter((row) => row.node === node);
    const isLive = await hasLiveHeir(context, space, node, versions);
    drop.push(...versionsToDrop(versions, isLive ? versionsKept : boundedByAge(versionsKept), now));
  }
  if (drop.length === 0) return 0;
  const { expects, deletes, historyBytes } = dropParts(drop);
  const change: Change = { space: space.space, now, expects, deletes, bytes: { live: 0, history: historyBytes } };
  try {
    await commit(context, change);
  } catch (error) {
    if (!Fault.is(error, 'conflict')) throw error;
    // Somebody changed one of these files meanwhile: that one is left to the next sweep, and the others go.
    let dropped = 0;
    if (nodes.length > 1) for (const node of nodes) dropped += await sweepNodes(context, space, page, [node]);
    return dropped;
  }
  context.onUnreachable();
  return drop.length;
}
