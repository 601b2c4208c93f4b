/**
 * Who changed what, when, through which door: commits with their change lists, newest first. Paths are told as they are
 * now for what is still there, as far as names lead to it.
 */
import { CHANGE_NAMES, type CommitRecord, type LogPage, type Path, textOfPath } from '../../api/index.ts';
import { isoOfMoment } from '../../base/index.ts';
import type { ChangeRow, CommitRow, NodeId } from '../../meta/index.ts';
import type { Context, Space } from '../context.ts';
import { cursorOf, positionOf } from '../cursor.ts';
import { ancestorsOf, getPath, nodeRow, pathOfNode } from '../tree.ts';
import { firstLogged } from './log-trim.ts';

/** Lines of one commit that are told. */
const CHANGES_MAX = 100;
/** Commits that one page looks at, at most; a page may end early with a cursor, and even be empty. */
const COMMITS_LOOKED_MAX = 20_000;
const PAGE_COMMITS = 200;

export interface LogOptions {
  readonly path?: Path;
  readonly cursor?: string | undefined;
  readonly limit: number;
}

export async function listLog(context: Context, space: Space, options: LogOptions): Promise<LogPage> {
  const root = options.path === undefined ? undefined : (await getPath(context, space, options.path)).node.node;
  const names = new Names(context, space);
  const commits: CommitRecord[] = [];
  let before = Number(positionOf(options.cursor)?.[0] ?? Number.MAX_SAFE_INTEGER);
  for (let looked = 0; looked < COMMITS_LOOKED_MAX; ) {
    const page: readonly CommitRow[] = await context.meta.scan('commits', {
      prefix: [space.space],
      after: [before],
      limit: PAGE_COMMITS,
      reverse: true,
    });
    for (const row of page) {
      if (commits.length === options.limit) return { commits, next: cursorOf([before]) };
      before = row.commit;
      looked++;
      if (root === undefined || (await names.touches(row, root)))
        commits.push({ ...(await names.record(row)), cursor: cursorOf(['changes', row.commit]) });
    }
    if (page.length < PAGE_COMMITS) {
      const first = await firstLogged(context, space);
      return { commits, ...(first > 1 ? { first_kept: first } : {}) };
    }
  }
  return { commits, next: cursorOf([before]) };
}

export async function changesOf(
  context: Context,
  space: Space,
  commit: number,
  limit: number,
): Promise<readonly ChangeRow[]> {
  return context.meta.scan('changes', { prefix: [space.space, commit], limit });
}

/** Commits in words, with the paths of folders remembered for one page. */
export class Names {
  readonly #context: Context;
  readonly #space: Space;
  readonly #folders = new Map<NodeId, Path | undefined>();
  /** Whether a folder stands in the one that is asked for. */
  readonly #inside = new Map<NodeId, boolean>();

  constructor(context: Context, space: Space) {
    this.#context = context;
    this.#space = space;
  }

  async record(row: CommitRow): Promise<CommitRecord> {
    const changes = await changesOf(this.#context, this.#space, row.commit, CHANGES_MAX + 1);
    const told = changes.slice(0, CHANGES_MAX);
    // How many more is known only where it is cheap: the numbers of the lines are counted from 0.
    const [last] =
      changes.length <= CHANGES_MAX
        ? []
        : await this.#context.meta.scan('changes', {
            prefix: [this.#space.space, row.commit],
            limit: 1,
            reverse: true,
          });
    return {
      commit: row.commit,
      committed: isoOfMoment(row),
      actor: row.actor,
      door: row.door,
      request: row.request,
      kind: row.kind,
      changes: await Promise.all(told.map((change) => this.#change(change))),
      changes_more: last === undefined ? 0 : last.sequence + 1 - told.length,
    };
  }

  async #change(row: ChangeRow): Promise<CommitRecord['changes'][number]> {
    const { parentBefore, nameBefore, parentAfter, nameAfter } = row;
    const after = nameAfter === null || parentAfter === null ? undefined : await this.#path(parentAfter, nameAfter);
    const before =
      nameBefore === null || parentBefore === null ? undefined : await this.#path(parentBefore, nameBefore);
    const plain = nameAfter === null && nameBefore === null ? await this.#pathOf(row.node) : undefined;
    const path = after ?? plain;
    return {
      change: CHANGE_NAMES[row.kind - 1] ?? 'write',
      file_id: row.node,
      ...(path === undefined ? {} : { path: textOfPath(path) }),
      ...(before === undefined || (after !== undefined && textOfPath(after) === textOfPath(before))
        ? {}
        : { from: textOfPath(before) }),
      ...(row.version === null ? {} : { version: row.version }),
    };
  }

  async #path(parent: NodeId, name: Uint8Array): Promise<Path | undefined> {
    const folder = await this.#pathOf(parent);
    return folder === undefined ? undefined : [...folder, name];
  }

  async #pathOf(node: NodeId): Promise<Path | undefined> {
    if (!this.#folders.has(node)) this.#folders.set(node, await pathOfNode(this.#context, this.#space, node));
    return this.#folders.get(node);
  }

  /** Whether the commit changed the node, or something that is below it now or was before. */
  async touches({ commit }: CommitRow, root: NodeId): Promise<boolean> {
    for (const { node, parentBefore, parentAfter } of await changesOf(this.#context, this.#space, commit, 1_000)) {
      if (node === root) return true;
      for (const folder of [parentBefore, parentAfter])
        if (folder !== null && (await this.#isInside(folder, root))) return true;
      if (parentBefore === null && parentAfter === null && (await this.#isInside(node, root))) return true;
    }
    return false;
  }

  async #isInside(node: NodeId, root: NodeId): Promise<boolean> {
    if (node === root) return true;
    const known = this.#inside.get(node);
    if (known !== undefined) return known;
    const row = await nodeRow(this.#context, this.#space, node);
    const folder = row?.parent ?? (await this.#folderOf(node));
    const above = folder === undefined ? undefined : await nodeRow(this.#context, this.#space, folder);
    const chain = above === undefined ? [] : await ancestorsOf(this.#context, this.#space, above);
    const isInside = chain.some((each) => each.node === root);
    this.#inside.set(node, isInside);
    return isInside;
  }

  async #folderOf(node: NodeId): Promise<NodeId | undefined> {
    const [entry] = await this.#context.meta.scan('entriesByNode', { prefix: [this.#space.space, node], limit: 1 });
    return entry?.parent;
  }
}
