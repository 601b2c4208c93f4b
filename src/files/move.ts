/** Moving and renaming: one commit, ids stay. A file that it replaces becomes an older version of the path. */
import { type FileRecord, isWithin, type MoveOptions, type Path, textOfPath } from '../api/index.ts';
import { Fault } from '../base/index.ts';
import { type Expect, NODE_KIND, type NodeRow } from '../meta/index.ts';
import type { Caller, Context, Space } from './context.ts';
import { checkExpected, decideOnce } from './decide.ts';
import { changeOf, joinParts, type Parts, planMove } from './plan.ts';
import { hashOf, kindOf, recordOf } from './record.ts';
import { planUnlinkFound } from './remove.ts';
import { ancestorsOf, type Found, getPath, lookUp, type Place } from './tree.ts';
import { existsFault, placeFor, withoutUnmade } from './write.ts';

export async function move(
  context: Context,
  space: Space,
  caller: Caller,
  from: Path,
  to: Path,
  options: MoveOptions,
): Promise<FileRecord> {
  const [source, goal] = [textOfPath(from), textOfPath(to)];
  const request = ['move', source, goal, options.overwrite === true];
  return decideOnce(context, space, `Moving ${source}`, { key: options.idempotencyKey, request }, async () => {
    const found = await getPath(context, space, from);
    if (found.entry === undefined)
      throw new Fault('invalid', 'The root folder itself cannot be moved.', { path: source });
    checkExpected(source, options, found.node);
    checkNotInside(found, to, 'moved');
    const { found: target, parent } = await lookUp(context, space, to);
    const hash = await hashOf(context, space, found.node);
    if (
      target?.entry?.parent === found.entry.parent &&
      target.node.node === found.node.node &&
      from.length === to.length &&
      source === goal
    ) {
      return { answer: recordOf(to, found.node, hash) };
    }
    if (target !== undefined) {
      checkReplaceable(found.node, target, options.overwrite === true);
      await checkEmpty(context, space, target);
    }
    const now = context.clock.now();
    const withParents = options.parents === true;
    const { place, parts: folders, above } = await placeFor(context, space, to, withParents, now, parent);
    const replaced = target === undefined ? [] : [await planUnlinkFound(context, space, target, now, found.node.node)];
    const moved = planMove(found.entry, found.node, place, now, replacedFile(target));
    const guards: Partial<Parts> = {
      expects: [
        ...(target === undefined ? [freeExpect(space, place)] : []),
        ...(found.node.kind === NODE_KIND.folder ? await chainExpects(context, space, above) : []),
      ],
    };
    const plan = withoutUnmade(joinParts([...folders, guards, ...replaced, moved.parts]));
    return { change: changeOf(space, caller, 'move', now, plan), answer: recordOf(to, moved.row, hash) };
  });
}

/** The file whose place is taken; an empty folder that is replaced leaves nothing to go on from. */
function replacedFile(target: Found | undefined): NodeRow | undefined {
  return target?.node.kind === NODE_KIND.file ? target.node : undefined;
}

/** @throws Fault `invalid` for a folder that would come to stand inside itself. */
export function checkNotInside(found: Found, to: Path, what: string): void {
  if (found.node.kind !== NODE_KIND.folder || !isWithin(to, found.path) || to.length === found.path.length) return;
  const [source, goal] = [textOfPath(found.path), textOfPath(to)];
  throw new Fault('invalid', `The folder ${source} cannot be ${what} to ${goal}, which lies inside it.`, {
    path: source,
    to_path: goal,
  });
}

/** @throws Fault `exists`, `is-folder`, `not-folder`. */
export function checkReplaceable(source: NodeRow, target: Found, overwrite: boolean): void {
  if (!overwrite) throw existsFault(target);
  const text = textOfPath(target.path);
  const [isFolder, isTargetFolder] = [source.kind === NODE_KIND.folder, target.node.kind === NODE_KIND.folder];
  if (isTargetFolder && !isFolder)
    throw new Fault('is-folder', `${text} is a folder; a ${kindOf(source)} cannot take its place.`, { path: text });
  if (isFolder && !isTargetFolder)
    throw new Fault('not-folder', `${text} is a ${kindOf(target.node)}; a folder cannot take its place.`, {
      path: text,
    });
}

/** @throws Fault `not-empty` for a folder with entries: only an empty one may be replaced. */
async function checkEmpty(context: Context, space: Space, target: Found): Promise<void> {
  if (target.node.kind !== NODE_KIND.folder) return;
  const entries = await context.meta.scan('entries', { prefix: [space.space, target.node.node], limit: 1 });
  if (entries.length === 0) return;
  const path = textOfPath(target.path);
  throw new Fault('not-empty', `The folder ${path} is not empty, so no other can take its place.`, { path });
}

export function freeExpect(space: Space, place: Place): Expect {
  return { kind: 'absent', table: 'entries', key: [space.space, place.parent.node, place.name] };
}

/** Two folders moved into each other at once would cut both off: the chain above the goal must stand as it was read. */
async function chainExpects(context: Context, space: Space, folder: NodeRow): Promise<readonly Expect[]> {
  const chain = await ancestorsOf(context, space, folder);
  return chain.map((row) => ({
    kind: 'row',
    table: 'nodes',
    key: [space.space, row.node],
    equals: { parent: row.parent },
  }));
}
