/**
 * Removing: a file's last version is kept as retention says; a folder with all that is in it is unlinked in one commit,
 * however large it is, and taken apart behind the scenes.
 */
import { type Path, type Removed, type RemoveOptions, textOfPath } from '../api/index.ts';
import { Fault, type Moment } from '../base/index.ts';
import { NODE_KIND, type NodeId } from '../meta/index.ts';
import type { Caller, Context, Space } from './context.ts';
import { checkExpected, decideOnce } from './decide.ts';
import { changeOf, joinParts, type Parts, planUnlink, planUnlinkTree } from './plan.ts';
import { attributeRows } from './record.ts';
import { type Found, getPath, walk } from './tree.ts';

interface Count {
  readonly files: number;
  /** Absent for none. */
  readonly links?: number;
  readonly folders: number;
  readonly bytes: number;
}

export async function remove(
  context: Context,
  space: Space,
  caller: Caller,
  path: Path,
  options: RemoveOptions,
): Promise<Removed> {
  const text = textOfPath(path);
  const request = ['remove', text, options.recursive === true, options.dryRun === true];
  return decideOnce(context, space, `Removing ${text}`, { key: options.idempotencyKey, request }, async () => {
    const found = await getPath(context, space, path);
    if (found.entry === undefined)
      throw new Fault('invalid', 'The root folder itself cannot be removed.', { path: text });
    checkExpected(text, options, found.node);
    const count = await countUnder(context, space, found);
    const isEmpty = count.files + count.folders === 1;
    if (found.node.kind === NODE_KIND.folder && !isEmpty && options.recursive !== true) {
      throw new Fault(
        'not-empty',
        `The folder ${text} is not empty. Remove what is in it first, or ask for it recursively.`,
        { path: text },
      );
    }
    const answer: Removed = { path: text, ...count, dry_run: options.dryRun === true };
    if (options.dryRun === true) return { answer };
    const now = context.clock.now();
    const parts =
      found.node.kind === NODE_KIND.folder && !isEmpty
        ? planUnlinkTree(found.entry, found.node)
        : await planUnlinkFound(context, space, found, now);
    const change = changeOf(space, caller, 'remove', now, joinParts([parts]));
    return { change, answer, onCommitted: () => context.onUnreachable() };
  });
}

/** Takes one name away: of a file, or of a folder that must be empty. `heir` takes its place, so that it inherits its versions. */
export async function planUnlinkFound(
  context: Context,
  space: Space,
  found: Found,
  now: Moment,
  heir: NodeId | null = null,
): Promise<Partial<Parts>> {
  if (found.entry === undefined) throw new Fault('invalid', 'The root folder itself cannot be removed.', { path: '/' });
  const attributes = (await attributeRows(context, space, found.node)).map(({ name }) => name);
  return planUnlink(found.entry, found.node, attributes, now, {
    isEmptyFolder: found.node.kind === NODE_KIND.folder,
    heir,
  });
}

async function countUnder(context: Context, space: Space, found: Found): Promise<Count> {
  const { kind, size } = found.node;
  if (kind !== NODE_KIND.folder)
    return { files: 1, ...(kind === NODE_KIND.symlink ? { links: 1 } : {}), folders: 0, bytes: size };
  let [files, links, folders, bytes] = [0, 0, 1, 0];
  for await (const { node } of walk(context, space, found)) {
    if (node.kind === NODE_KIND.folder) folders++;
    else files++;
    if (node.kind === NODE_KIND.symlink) links++;
    bytes += node.size;
  }
  return { files, ...(links > 0 ? { links } : {}), folders, bytes };
}
