/**
 * What was removed and can be had again: files of which a version is kept, and whatever stood there at a moment that is
 * kept. Found in the change lists of commits, newest first: what went alone has a line there, and so has a folder that
 * went with all that was in it. What was replaced, moved or has come back is not deleted, nor is what nothing keeps.
 */
import { type DeletedPage, type DeletedRecord, type Path, textOfBytes, textOfPath } from '../../api/index.ts';
import { equalBytes, isoOfMoment } from '../../base/index.ts';
import {
  CHANGE_KIND,
  type ChangeRow,
  type CommitNumber,
  NODE_KIND,
  type NodeId,
  type NodeRow,
  PinSet,
  type VersionRow,
} from '../../meta/index.ts';
import type { Space, View } from '../context.ts';
import { cursorOf, positionOf } from '../cursor.ts';
import { kindOf } from '../record.ts';
import { findPath, getPlace, nodeRow, pathOfNode } from '../tree.ts';
import { PIN_HOLDER, pinsOf, viewAt } from './moments.ts';

const PAGE_CHANGES = 1_000;
/** Lines of change lists that one page looks at; it may end early with a cursor, and even be empty. */
const CHANGES_LOOKED_MAX = 50_000;

export interface DeletedOptions {
  readonly cursor?: string | undefined;
  readonly limit: number;
  /** What went from folders below, too. */
  readonly recursive?: boolean | undefined;
}

/** What of: everything that went from a folder, or only what had one name there. */
interface Wanted {
  readonly folder: NodeId;
  readonly name: Uint8Array | undefined;
  readonly isRecursive: boolean;
}

/** Of a folder what went from it; of another path, whether something is there or not, what had its name. */
export async function listDeleted(
  context: View,
  space: Space,
  path: Path,
  options: DeletedOptions,
): Promise<DeletedPage> {
  const wanted = await wantedOf(context, space, path, options.recursive === true);
  const [commit, sequence] = positionOf(options.cursor) ?? [];
  let after: readonly [CommitNumber, number] | undefined =
    commit === undefined ? undefined : [Number(commit), Number(sequence)];
  const looking = new Looking(context, space, wanted);
  const entries: DeletedRecord[] = [];
  for (let looked = 0; looked < CHANGES_LOOKED_MAX; ) {
    const page: readonly ChangeRow[] = await context.meta.scan('changes', {
      prefix: [space.space],
      ...(after === undefined ? {} : { after }),
      limit: PAGE_CHANGES,
      reverse: true,
    });
    for (const row of page) {
      if (entries.length === options.limit) return { path: textOfPath(path), entries, next: cursorOf(after ?? []) };
      after = [row.commit, row.sequence];
      const record = await looking.recordOf(row);
      if (record !== undefined) entries.push(record);
    }
    looked += page.length;
    if (page.length < PAGE_CHANGES) return { path: textOfPath(path), entries };
    // Others have their turn: this may go on for long.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { path: textOfPath(path), entries, next: cursorOf(after ?? []) };
}

/** @throws Fault `not-found`, `not-folder` where not even the folder above is there. */
async function wantedOf(context: View, space: Space, path: Path, isRecursive: boolean): Promise<Wanted> {
  const found = await findPath(context, space, path);
  if (found?.node.kind === NODE_KIND.folder) return { folder: found.node.node, name: undefined, isRecursive };
  const place = await getPlace(context, space, path);
  return { folder: place.parent.node, name: place.name, isRecursive: false };
}

/** The file that last had a name and is gone, as long as a version of it is kept. */
export async function lastFileAt(context: View, space: Space, path: Path): Promise<NodeId | undefined> {
  let cursor: string | undefined;
  do {
    const page = await listDeleted(context, space, path, { cursor, limit: 1 });
    const [last] = page.entries;
    if (last !== undefined && last.version !== undefined) return last.file_id;
    cursor = page.next;
  } while (cursor !== undefined);
  return undefined;
}

class Looking {
  readonly #context: View;
  readonly #space: Space;
  readonly #wanted: Wanted;
  /** Folders of now, or nothing for those that are gone. */
  readonly #folders = new Map<NodeId, Path | undefined>();
  readonly #seen = new Set<NodeId>();
  #pins: PinSet | undefined;

  constructor(context: View, space: Space, wanted: Wanted) {
    this.#context = context;
    this.#space = space;
    this.#wanted = wanted;
  }

  async recordOf(row: ChangeRow): Promise<DeletedRecord | undefined> {
    const { nameBefore: name, parentBefore: parent } = row;
    if (row.kind !== CHANGE_KIND.remove || name === null || parent === null) return undefined;
    if (this.#wanted.name !== undefined && !equalBytes(this.#wanted.name, name)) return undefined;
    const folder = await this.#folderOf(parent);
    if (folder === undefined || this.#seen.has(row.node)) return undefined;
    if ((await nodeRow(this.#context, this.#space, row.node)) !== undefined && !(await this.#isUnlinked(row.node)))
      return undefined;
    const version = await this.#versionOf(row);
    if (version === 'elsewhere') return undefined;
    const was = await this.#before(row);
    if (was === undefined && version === undefined) return undefined;
    if (was?.kind === NODE_KIND.folder && (await this.#isBack(row.commit, parent, name))) return undefined;
    this.#seen.add(row.node);
    return await this.#record(row, [...folder, name], was, version);
  }

  /** A folder that was brought back is another node; the commit that did so says it. */
  async #isBack(removed: CommitNumber, parent: NodeId, name: Uint8Array): Promise<boolean> {
    const { meta } = this.#context;
    const { space } = this.#space;
    const entry = await meta.get('entries', [space, parent, name]);
    if (entry === undefined || entry.born <= removed) return false;
    const made = await meta.get('commits', [space, entry.born]);
    return made?.kind === 'restore' || made?.kind === 'undo';
  }

  /** Removed folders, and files that somebody still has open, have their rows until they are taken apart. */
  async #isUnlinked(node: NodeId): Promise<boolean> {
    const prefix = [this.#space.space, node] as const;
    return (await this.#context.meta.scan('entriesByNode', { prefix, limit: 1 })).length === 0;
  }

  /** The path of a folder that is asked about. */
  async #folderOf(parent: NodeId): Promise<Path | undefined> {
    if (parent !== this.#wanted.folder && !this.#wanted.isRecursive) return undefined;
    if (this.#folders.has(parent)) return this.#folders.get(parent);
    const path = await pathOfNode(this.#context, this.#space, parent);
    const root = await pathOfNode(this.#context, this.#space, this.#wanted.folder);
    const isInside =
      path !== undefined && root?.every((name, depth) => equalBytes(name, path[depth] ?? new Uint8Array()));
    this.#folders.set(parent, isInside === true ? path : undefined);
    return this.#folders.get(parent);
  }

  /** Its newest kept version; `elsewhere` when another file goes on with it, or it was removed again later. */
  async #versionOf(row: ChangeRow): Promise<VersionRow | 'elsewhere' | undefined> {
    const { meta } = this.#context;
    const prefix = [this.#space.space, row.node] as const;
    const [newest] = await meta.scan('versions', { prefix, limit: 1, reverse: true });
    if (newest === undefined) return undefined;
    if (newest.replacedBy > row.commit) return 'elsewhere';
    if (newest.heir === null) return newest;
    const heir = [this.#space.space, newest.heir] as const;
    const isKnown = (await meta.get('nodes', heir)) ?? (await meta.scan('versions', { prefix: heir, limit: 1 }))[0];
    return isKnown === undefined ? newest : 'elsewhere';
  }

  /** As it was right before, where that moment is kept. */
  async #before({ node, commit }: ChangeRow): Promise<NodeRow | undefined> {
    const context = this.#context;
    if (this.#pins === undefined) {
      const pins = await pinsOf(context, this.#space);
      this.#pins = new PinSet(pins.filter(({ holder }) => holder !== PIN_HOLDER.released));
    }
    if (commit <= 1 || !this.#pins.keeps(commit - 1, context.clock.now().seconds)) return undefined;
    const view: View = viewAt(context, commit - 1);
    const was = await nodeRow(view, this.#space, node);
    return was === undefined || (await pathOfNode(view, this.#space, node)) === undefined ? undefined : was;
  }

  async #record(
    row: ChangeRow,
    path: Path,
    was: NodeRow | undefined,
    version: VersionRow | undefined,
  ): Promise<DeletedRecord> {
    const commit = await this.#context.meta.get('commits', [this.#space.space, row.commit]);
    const deleted = commit ?? { seconds: version?.replacedSeconds ?? 0, nanoseconds: 0 };
    return {
      path: textOfPath(path),
      name: textOfBytes(path.at(-1) ?? new Uint8Array()),
      kind: was === undefined ? 'file' : kindOf(was),
      file_id: row.node,
      size: version?.size ?? was?.size ?? 0,
      deleted: isoOfMoment({ seconds: deleted.seconds, nanoseconds: deleted.nanoseconds }),
      commit: row.commit,
      actor: commit?.actor ?? '',
      door: commit?.door ?? '',
      ...(version === undefined ? {} : { version: version.version }),
      ...(was === undefined ? {} : { at: row.commit - 1 }),
    };
  }
}
