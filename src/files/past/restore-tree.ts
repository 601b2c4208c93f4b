/**
 * Bringing a folder, a file or everything back to a moment of the past, in one commit. What is there now is compared with
 * what was, folder by folder; what is equal stays untouched. What was replaced or removed by it is kept as versions and
 * can be undone; where something would be lost for good it is refused (losses.ts).
 */
import { joinPath, type Path, type RestorePlan, type RestoreTreeOptions, textOfPath } from '../../api/index.ts';
import { compareBytes, Fault } from '../../base/index.ts';
import { NODE_KIND, type NodeRow } from '../../meta/index.ts';
import type { Caller, Context, Space } from '../context.ts';
import { type Decision, decide } from '../decide.ts';
import { changeOf } from '../plan.ts';
import { entriesOf, type Found, findPath, getPath, getPlace } from '../tree.ts';
import { Losses } from './losses.ts';
import { mustBeShown, type Scope } from './moments.ts';
import { Rewrite, type RewriteOptions } from './rewrite.ts';

export async function restoreTree(
  context: Context,
  space: Space,
  caller: Caller,
  scope: Scope,
  path: Path | undefined,
  options: RestoreTreeOptions,
): Promise<RestorePlan> {
  const goal = path ?? scope.shown;
  mustBeShown(scope, goal);
  const text = textOfPath(goal);
  const about = { caller, kind: 'restore', path: text, commit: scope.commit ?? 0 };
  const run = (isWhole: boolean): Promise<RestorePlan> =>
    decideRewrite(
      context,
      space,
      scope,
      { ...options, restoresNodes: true },
      `Bringing back ${text}`,
      async (rewrite) => {
        const then = await getPath(scope.view, space, goal);
        const now = await findPath(context, space, goal);
        if (now !== undefined && sameShape(now.node, then.node)) {
          if (isWhole) await exchange(context, space, scope, rewrite, then, now);
          else await comparing(context, space, scope, rewrite, options)(then.node, now.node, goal);
        } else {
          const place = await getPlace(context, space, goal);
          if (now?.entry !== undefined) rewrite.removeName(goal, now.entry, now.node);
          rewrite.addName(goal, place.parent, place.name, then.node);
          await rewrite.settle();
        }
        return about;
      },
    );
  try {
    return await run(false);
  } catch (error) {
    if (!Fault.is(error, 'too-large')) throw error;
    return await run(true);
  }
}

/**
 * For more differences than one change holds: the folder as it was is built beside and takes the place of the one that is
 * there; of the root, which stays, everything in it.
 */
async function exchange(
  context: Context,
  space: Space,
  { view }: Pick<Scope, 'view'>,
  rewrite: Rewrite,
  then: Found,
  now: Found,
): Promise<void> {
  if (now.entry !== undefined) {
    const place = await getPlace(context, space, now.path);
    rewrite.removeName(now.path, now.entry, now.node);
    rewrite.addName(now.path, place.parent, place.name, then.node, true);
  } else {
    await rewrite.restoreNode(now.path, now.node, then.node);
    for await (const { was, is, name } of pairsOf(entriesOf(view, space, then), entriesOf(context, space, now))) {
      const path = joinPath(now.path, name);
      if (was !== undefined && is !== undefined && was.node.kind !== NODE_KIND.folder && sameShape(is.node, was.node)) {
        await rewrite.restoreNode(path, is.node, was.node);
        continue;
      }
      if (is?.entry !== undefined) rewrite.removeName(path, is.entry, is.node);
      if (was !== undefined) rewrite.addName(path, now.node, name, was.node, true);
    }
  }
  await rewrite.settle();
}

export interface RewriteAbout {
  readonly caller: Caller;
  /** Of the commit. */
  readonly kind: string;
  readonly path: string;
  readonly commit: number;
}

/** Plans with a fresh Rewrite each time it is decided, and commits it. */
export async function decideRewrite(
  context: Context,
  space: Space,
  scope: Pick<Scope, 'view'>,
  options: RestoreTreeOptions & Pick<RewriteOptions, 'restoresNodes'>,
  what: string,
  fill: (rewrite: Rewrite) => Promise<RewriteAbout>,
): Promise<RestorePlan> {
  return decide(context, what, async (): Promise<Decision<RestorePlan>> => {
    const now = context.clock.now();
    const isDry = options.dryRun === true;
    const { view } = scope;
    const rewrite: Rewrite = new Rewrite({
      ...{ context, space, view, now, isDry, signal: options.signal },
      restoresNodes: options.restoresNodes === true,
      onMovedFolder: (past, live, path) => comparing(context, space, scope, rewrite, options)(past, live, path),
    });
    await using building = new AsyncDisposableStack();
    building.use(rewrite);
    const about = await fill(rewrite);
    const { lines, counts } = rewrite;
    const losses = await Losses.open(context, space, now);
    await rewrite.tellLosses(losses);
    const told = counts.added + counts.removed + counts.changed + counts.moved;
    const answer: RestorePlan = {
      path: about.path,
      commit: about.commit,
      ...counts,
      changes: lines,
      changes_more: told - lines.length,
      losses: [...losses.all],
      losses_more: losses.more,
      dry_run: isDry,
    };
    if (isDry || told === 0) return { answer };
    if (options.force !== true) losses.refuse(what);
    const change = changeOf(space, about.caller, about.kind, now, await rewrite.parts());
    // From here on whoever decides again, or has failed, gives up what was built; a commit keeps it.
    const owned = building.move();
    return {
      answer,
      change,
      onCommitted: () => {
        rewrite.linked();
        context.onUnreachable();
      },
      onSettled: () => owned.disposeAsync(),
    };
  });
}

type Compare = (past: NodeRow, live: NodeRow, path: Path) => Promise<void>;

/** What is at a path now becomes what was there: itself, and all below. */
function comparing(
  context: Context,
  space: Space,
  { view }: Pick<Scope, 'view'>,
  rewrite: Rewrite,
  options: RestoreTreeOptions,
): Compare {
  const foundOf = (path: Path, node: NodeRow): Found => ({ path, node, entry: undefined });
  const compare: Compare = async (past, live, path) => {
    if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Comparing what was');
    await rewrite.restoreNode(path, live, past);
    if (live.kind !== NODE_KIND.folder) return;
    const then = entriesOf(view, space, foundOf(path, past));
    const now = entriesOf(context, space, foundOf(path, live));
    for await (const { was, is, name } of pairsOf(then, now)) {
      const at = joinPath(path, name);
      if (was !== undefined && is !== undefined && sameShape(is.node, was.node)) {
        await compare(was.node, is.node, at);
        continue;
      }
      if (is?.entry !== undefined) rewrite.removeName(at, is.entry, is.node);
      if (was !== undefined) rewrite.addName(at, live, name, was.node);
    }
  };
  return async (past, live, path) => {
    await compare(past, live, path);
    await rewrite.settle();
  };
}

/** One can become the other: two folders, the same node, or two files that have no other names. */
function sameShape(live: NodeRow, past: NodeRow): boolean {
  if (live.kind !== past.kind) return false;
  if (live.kind === NODE_KIND.folder) return true;
  const isItself = live.node === past.node;
  return isItself || (live.kind === NODE_KIND.file && live.links === 1 && past.links === 1);
}

interface Pair {
  readonly name: Uint8Array;
  readonly was: Found | undefined;
  readonly is: Found | undefined;
}

async function* pairsOf(then: AsyncGenerator<Found>, now: AsyncGenerator<Found>): AsyncGenerator<Pair> {
  let [was, is] = [await then.next(), await now.next()];
  while (was.done !== true || is.done !== true) {
    const order = orderOf(was, is);
    const [a, b] = [order <= 0 ? was.value : undefined, order >= 0 ? is.value : undefined];
    const name = (a ?? b)?.entry?.name ?? new Uint8Array();
    yield { name, was: a ?? undefined, is: b ?? undefined };
    if (order <= 0) was = await then.next();
    if (order >= 0) is = await now.next();
  }
}

function orderOf(a: IteratorResult<Found>, b: IteratorResult<Found>): number {
  if (a.done === true) return 1;
  if (b.done === true) return -1;
  return compareBytes(nameOf(a.value), nameOf(b.value));
}

function nameOf(found: Found): Uint8Array {
  return found.entry?.name ?? new Uint8Array();
}
