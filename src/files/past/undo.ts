/**
 * Taking back one commit, as a new one: every name and node that it changed becomes what it was before, provided that it
 * is still what the commit made of it. Where somebody has changed it since, undoing would take back theirs as well, so it
 * is refused and says what stands in the way. What lies before and after the commit has to be kept (moments.ts).
 */
import { type Path, type RestorePlan, type RestoreTreeOptions, textOfPath } from '../../api/index.ts';
import { equalBytes, Fault } from '../../base/index.ts';
import { type ChangeRow, type CommitNumber, NODE_KIND, type NodeId, type NodeRow } from '../../meta/index.ts';
import type { Caller, Context, Space, View } from '../context.ts';
import { attributeRows } from '../record.ts';
import { entriesOf, nodeRow, pathOfNode } from '../tree.ts';
import { changesOf } from './log.ts';
import { firstLogged } from './log-trim.ts';
import { openScope, type Scope, viewAt } from './moments.ts';
import { decideRewrite } from './restore-tree.ts';
import type { Rewrite } from './rewrite.ts';

/** Lines of a commit that can be undone; of larger ones the folder can be brought back to the moment before. */
const CHANGES_MAX = 4_000;
/** Obstacles that a refusal names. */
const NAMED_MAX = 5;

export async function undo(
  context: Context,
  space: Space,
  caller: Caller,
  commit: CommitNumber,
  options: RestoreTreeOptions,
): Promise<RestorePlan> {
  const row = await context.meta.get('commits', [space.space, commit]);
  if (row === undefined) throw await noCommit(context, space, commit);
  const changes = await changesOf(context, space, commit, CHANGES_MAX + 1);
  if (changes.length > CHANGES_MAX) {
    const sentence = `Commit ${commit} changed more than ${CHANGES_MAX} things. Bring a folder back to the moment before it: \`holdfast restore PATH@${commit - 1}\`.`;
    throw new Fault('too-large', sentence, { commit, changesMax: CHANGES_MAX });
  }
  // Before the first there was nothing, and that is kept for ever.
  using before = commit > 1 ? await openScope(context, space, String(commit - 1)) : beginning(context);
  using after = await openScope(context, space, String(commit));
  return await decideRewrite(context, space, before, options, `Undoing commit ${commit}`, async (rewrite) => {
    const undoing = new Undoing({ context, space, commit, before: before.view, after: after.view, rewrite });
    await undoing.run(changes);
    return { caller, kind: 'undo', path: '', commit };
  });
}

async function noCommit(context: Context, space: Space, commit: CommitNumber): Promise<Fault> {
  const first = await firstLogged(context, space);
  if (commit >= first) return new Fault('not-found', `There is no commit ${commit}.`, { commit });
  const sentence = `Commit ${commit} is not in the log any more, which begins with commit ${first}, so it cannot be undone. Restore single versions, or from a snapshot.`;
  return new Fault('not-kept', sentence, { commit, first_kept: first });
}

function beginning(context: Context): Pick<Scope, 'view'> & Disposable {
  return { view: viewAt(context, 0), [Symbol.dispose]() {} };
}

interface UndoParts {
  readonly context: Context;
  readonly space: Space;
  readonly commit: CommitNumber;
  readonly before: View;
  readonly after: View;
  readonly rewrite: Rewrite;
}

class Undoing {
  readonly #parts: UndoParts;
  readonly #obstacles: string[] = [];

  constructor(parts: UndoParts) {
    this.#parts = parts;
  }

  async run(changes: readonly ChangeRow[]): Promise<void> {
    const places = new Map<string, { readonly parent: NodeId; readonly name: Uint8Array }>();
    for (const { parentBefore, nameBefore, parentAfter, nameAfter } of changes) {
      for (const [parent, name] of [[parentBefore, nameBefore] as const, [parentAfter, nameAfter] as const])
        if (parent !== null && name !== null)
          places.set(`${parent} ${Buffer.from(name).toString('latin1')}`, { parent, name });
    }
    for (const place of places.values()) await this.#name(place);
    for (const node of new Set(changes.map((change) => change.node))) await this.#node(node);
    this.#refuse();
    await this.#parts.rewrite.settle();
  }

  #refuse(): void {
    if (this.#obstacles.length === 0) return;
    const { commit } = this.#parts;
    const named = this.#obstacles.slice(0, NAMED_MAX).join('; ');
    const more = this.#obstacles.length - NAMED_MAX;
    const sentence = `Commit ${commit} cannot be undone: ${named}${more > 0 ? `; and ${more} more` : ''}. Undo what came later first, or restore single versions.`;
    // A conflict that is the answer, not one of deciding: `denied` would be about rights.
    throw new Fault('conflict', sentence, {
      commit,
      obstacles: this.#obstacles.slice(0, NAMED_MAX),
      obstacles_more: Math.max(0, more),
    });
  }

  /** One name that the commit took, gave or passed on. */
  async #name({ parent, name }: { readonly parent: NodeId; readonly name: Uint8Array }): Promise<void> {
    const { context, space, before, after, rewrite } = this.#parts;
    const key = [space.space, parent, name] as const;
    const [was, made, is] = [
      await before.meta.get('entries', key),
      await after.meta.get('entries', key),
      await context.meta.get('entries', key),
    ];
    if (was?.node === made?.node) return;
    const folder = await nodeRow(context, space, parent);
    const path = [...((folder && (await pathOfNode(context, space, parent))) ?? []), name];
    if (is?.node !== made?.node) {
      this.#obstacles.push(`${textOfPath(path)} is something else now`);
      return;
    }
    const node = is === undefined ? undefined : await nodeRow(context, space, is.node);
    if (is !== undefined && node !== undefined) {
      if (node.kind !== NODE_KIND.folder) await this.#mustBeAsMade(path, node);
      else if (was === undefined) await this.#mustBeUntouched(path, node);
      rewrite.removeName(path, is, node);
    }
    if (was === undefined) return;
    const past = await before.meta.get('nodes', [space.space, was.node]);
    if (folder === undefined || past === undefined || (await pathOfNode(context, space, parent)) === undefined)
      this.#obstacles.push(`the folder in which ${textOfPath([name])} stood is gone`);
    else rewrite.addName(path, folder, name, past);
  }

  /** What the commit made and goes again. One that was there before loses only its name. */
  async #mustBeAsMade(path: Path, live: NodeRow): Promise<void> {
    const { space, before, after } = this.#parts;
    const key = [space.space, live.node] as const;
    if ((await before.meta.get('nodes', key)) !== undefined) return;
    const made = await after.meta.get('nodes', key);
    const obstacle = made === undefined ? undefined : await this.#doneSince(path, live, made);
    if (obstacle !== undefined) this.#obstacles.push(obstacle);
  }

  /**
   * What somebody did to a node since the commit. Its version may have risen, where what came later was undone or
   * restored: the content tells.
   */
  async #doneSince(path: Path, live: NodeRow, made: NodeRow): Promise<string | undefined> {
    const { context, after } = this.#parts;
    if (live.content !== made.content || live.size !== made.size) return `${textOfPath(path)} was written later`;
    const isSame = isSameRow(live, made) && (await this.#hasSameAttributes(context, live, after, made));
    return isSame ? undefined : `the attributes of ${textOfPath(path)} were changed later`;
  }

  /** A folder that goes must hold nothing that came later. Moved ones are there all the same, so theirs may. */
  async #mustBeUntouched(path: Path, folder: NodeRow): Promise<void> {
    const { context, space, before, commit } = this.#parts;
    if ((await before.meta.get('nodes', [space.space, folder.node])) !== undefined) return;
    for await (const child of entriesOf(context, space, { path, node: folder, entry: undefined })) {
      if (Math.max(child.entry?.born ?? 0, child.node.born) > commit) {
        this.#obstacles.push(`${textOfPath(child.path)} was changed later`);
        return;
      }
      if (child.node.kind === NODE_KIND.folder) await this.#mustBeUntouched(child.path, child.node);
      if (this.#obstacles.length > NAMED_MAX) return;
    }
  }

  /** Content and attributes of a node that was there before and after. */
  async #node(node: NodeId): Promise<void> {
    const { context, space, before, after, rewrite } = this.#parts;
    const key = [space.space, node] as const;
    const [was, made] = [await before.meta.get('nodes', key), await after.meta.get('nodes', key)];
    if (was === undefined || made === undefined || (await this.#isSame(was, made))) return;
    const live = await nodeRow(context, space, node);
    const path = (await pathOfNode(context, space, node)) ?? [];
    const obstacle = live === undefined ? `file ${node} was removed later` : await this.#doneSince(path, live, made);
    if (obstacle !== undefined) this.#obstacles.push(obstacle);
    else if (live !== undefined) await rewrite.restoreNode(path, live, was);
  }

  async #isSame(was: NodeRow, made: NodeRow): Promise<boolean> {
    const { before, after } = this.#parts;
    const isContent = was.version === made.version && was.content === made.content && was.size === made.size;
    return isContent && isSameRow(was, made) && (await this.#hasSameAttributes(before, was, after, made));
  }

  async #hasSameAttributes(a: View, one: NodeRow, b: View, other: NodeRow): Promise<boolean> {
    const { space } = this.#parts;
    const [these, those] = [await attributeRows(a, space, one), await attributeRows(b, space, other)];
    if (these.length !== those.length) return false;
    return these.every(({ name, value }, at) => {
      const match = those[at];
      return match !== undefined && equalBytes(match.name, name) && equalBytes(match.value, value);
    });
  }
}

/** Mode and owner; times move along with whatever happens to a node, and say nothing of their own. */
function isSameRow(a: NodeRow, b: NodeRow): boolean {
  const isFile = a.kind === NODE_KIND.file;
  const isTime = a.modifiedSeconds === b.modifiedSeconds && a.modifiedNanoseconds === b.modifiedNanoseconds;
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && (!isFile || isTime);
}
