/**
 * Copying: metadata only, whatever the size; both sides share their contents until one of them changes. One file is one
 * commit. A folder is built hidden in bounded steps and linked in one commit, so that nobody ever sees half of it.
 */
import { type FileRecord, type MoveOptions, type Path, textOfPath } from '../api/index.ts';
import { Fault, type Moment } from '../base/index.ts';
import {
  type Change,
  type Delete,
  type EntryRow,
  NODE_KIND,
  type NodeId,
  type NodeRow,
  type Put,
  REAP_KIND,
  THIS_COMMIT,
} from '../meta/index.ts';
import { type Caller, type Context, commit, type Space, type View } from './context.ts';
import { checkExpected, decide, decideOnce } from './decide.ts';
import { checkNotInside, checkReplaceable, freeExpect } from './move.ts';
import { contentOfPast } from './past/past-content.ts';
import { planThinning } from './past/retention.ts';
import { changeOf, joinParts, type Parts, planCreate, planReplace } from './plan.ts';
import { attributeRows, hashOf, modifiedOf, recordOf } from './record.ts';
import { entriesOf, type Found, findPath, getPath, type LookedUp, lookUp } from './tree.ts';
import { existsFault, placeFor, withoutUnmade } from './write.ts';

/** Rows that one hidden step puts, about; a node with its entry and attributes stays together. */
const STEP_ROWS = 1_000;

export async function copy(
  context: Context,
  space: Space,
  caller: Caller,
  from: Path,
  to: Path,
  options: MoveOptions,
): Promise<FileRecord> {
  const found = await getPath(context, space, from);
  if (found.node.kind === NODE_KIND.folder) return copyFolder(context, space, caller, found, to, options);
  // The first decision is on what was found for the choice of how.
  let first: Found | undefined = found;
  const [source, goal] = [textOfPath(from), textOfPath(to)];
  const request = ['copy', source, goal, options.overwrite === true];
  return decideOnce(context, space, `Copying ${source}`, { key: options.idempotencyKey, request }, async () => {
    const now = context.clock.now();
    const current = first ?? (await getPath(context, space, from));
    first = undefined;
    checkExpected(source, options, current.node);
    const { found: target, parent } = await lookUp(context, space, to);
    if (target === undefined) return planCopy(context, space, caller, current, to, { ...options, parent }, now);
    checkReplaceable(current.node, target, options.overwrite === true);
    const hash = await hashOf(context, space, current.node);
    if (target.node.node === current.node.node) return { answer: recordOf(to, target.node, hash) };
    if (current.node.content === null || target.node.content === null) throw existsFault(target);
    const where = { parent: target.entry?.parent ?? space.root, name: to.at(-1) ?? new Uint8Array() };
    const fresh = { content: current.node.content, size: current.node.size, modified: modifiedOf(current.node) };
    const { parts, row } = planReplace(target.node, where, fresh, now);
    const guards: Partial<Parts> = {
      expects: [expectSource(current), { kind: 'reachable', space: space.space, folder: where.parent }],
    };
    const plan = joinParts([guards, parts, await planThinning(context, space, target.node, now)]);
    return { change: changeOf(space, caller, 'copy', now, plan), answer: recordOf(to, row, hash) };
  });
}

/** The content that is shared must still be the source's when the copy names it. */
function expectSource(found: Found): NonNullable<Change['expects']>[number] {
  const { space, node, content } = found.node;
  return { kind: 'row', table: 'nodes', key: [space, node], equals: { content } };
}

async function planCopy(
  context: Context,
  space: Space,
  caller: Caller,
  source: Found,
  to: Path,
  options: MoveOptions & Pick<LookedUp, 'parent'>,
  now: Moment,
): Promise<{ readonly change: Change; readonly answer: FileRecord }> {
  const { place, parts } = await placeFor(context, space, to, options.parents === true, now, options.parent);
  const row = await twin(context, space, source.node, place.parent.node, now);
  const guards: Partial<Parts> = {
    expects: [expectSource(source)],
    puts: await attributeTwins(context, space, source.node, row.node),
  };
  const plan = withoutUnmade(joinParts([...parts, planCreate(space, place, row), guards]));
  const hash = await hashOf(context, space, source.node);
  return { change: changeOf(space, caller, 'copy', now, plan), answer: recordOf(to, row, hash) };
}

/** A new node with everything of an old one but its names and history. */
async function twin(
  context: Context,
  space: Space,
  node: NodeRow,
  parent: NodeId,
  now: Moment,
  isSame = false,
): Promise<NodeRow> {
  const isFolder = node.kind === NODE_KIND.folder;
  const { createdSeconds, createdNanoseconds } = node;
  const created = { createdSeconds: now.seconds, createdNanoseconds: now.nanoseconds };
  return {
    ...node,
    node: await context.ids.node(space.space),
    parent: isFolder ? parent : null,
    links: isFolder ? 2 : 1,
    version: 1,
    versionCommit: THIS_COMMIT,
    replacedNode: null,
    changedSeconds: now.seconds,
    changedNanoseconds: now.nanoseconds,
    ...(isSame ? { createdSeconds, createdNanoseconds } : created),
    born: 0,
  };
}

async function attributeTwins(context: View, space: Space, source: NodeRow, node: NodeId): Promise<readonly Put[]> {
  const rows = await attributeRows(context, space, source);
  return rows.map((row) => ({ table: 'attributes', mode: 'insert', row: { ...row, node, born: 0 } }));
}

async function copyFolder(
  context: Context,
  space: Space,
  caller: Caller,
  found: Found,
  to: Path,
  options: MoveOptions,
): Promise<FileRecord> {
  const [source, goal] = [textOfPath(found.path), textOfPath(to)];
  checkNotInside(found, to, 'copied');
  checkExpected(source, options, found.node);
  const request = ['copy', source, goal, options.overwrite === true];
  const before = await findPath(context, space, to);
  if (before !== undefined && options.idempotencyKey === undefined) throw existsFault(before);
  if (options.parents !== true) await placeFor(context, space, to, false, context.clock.now());
  let isLinked = false;
  const { root, links } = await buildHidden(context, space, { view: context, found, signal: options.signal });
  try {
    return await decideOnce(context, space, `Copying ${source}`, { key: options.idempotencyKey, request }, async () => {
      const target = await findPath(context, space, to);
      if (target !== undefined) throw existsFault(target);
      const now = context.clock.now();
      const { place, parts: folders } = await placeFor(context, space, to, options.parents === true, now);
      const row: NodeRow = { ...root, parent: place.parent.node, links };
      const entry: EntryRow = {
        space: space.space,
        parent: place.parent.node,
        name: place.name,
        node: row.node,
        kind: row.kind,
        born: 0,
      };
      const created = planCreate(space, place, row);
      const link: Partial<Parts> = {
        ...created,
        expects: [freeExpect(space, place), { kind: 'reachable', space: space.space, folder: place.parent.node }],
        puts: [
          { table: 'nodes', mode: 'replace', row },
          { table: 'entries', mode: 'insert', row: entry },
        ],
        deletes: [{ table: 'reaps', key: [space.space, REAP_KIND.folder, root.node] }],
      };
      const plan = withoutUnmade(joinParts([...folders, link]));
      const change = changeOf(space, caller, 'copy', now, plan);
      const onCommitted = (): void => {
        isLinked = true;
      };
      return { change, answer: recordOf(to, row, null), onCommitted };
    });
  } finally {
    if (!isLinked) await abandonFolder(context, space, root.node);
  }
}

/** What a hidden folder is a copy of. */
export interface HiddenSource {
  /** What the folder is read through: now, or a moment of the past. */
  readonly view: View;
  readonly found: Found;
  /** It is to be the folder itself again: names of one file stay names of one file, and it is as old as it was. */
  readonly isSame?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A folder that nobody can reach yet, and the links that it has. */
export interface HiddenBuild {
  readonly root: NodeRow;
  readonly links: number;
  /** Of files that have other names outside the folder: the names in it, which whoever links it has to give them. */
  readonly outer: readonly HiddenName[];
}

/** A name in a hidden folder that is not there yet. */
export interface HiddenName {
  readonly path: Path;
  readonly parent: NodeRow;
  readonly name: Uint8Array;
  /** What it is to be a name of: the file in the folder that was copied. */
  readonly node: NodeRow;
}

/** Builds a copy of a folder with all that is in it. Whoever does not link it abandons it. */
export async function buildHidden(context: Context, space: Space, source: HiddenSource): Promise<HiddenBuild> {
  const { view, found, isSame } = source;
  const root = await twin(context, space, found.node, space.root, context.clock.now(), isSame);
  const hidden = new HiddenFolder(context, space, source);
  const reap = { space: space.space, kind: REAP_KIND.folder, target: root.node, owner: context.owner };
  try {
    await hidden.add({
      row: root,
      mode: 'insert',
      rest: [
        { table: 'reaps', mode: 'insert', row: { ...reap, died: THIS_COMMIT } },
        ...(await attributeTwins(view, space, found.node, root.node)),
      ],
    });
    const links = await hidden.fill(found, root);
    const outer = await hidden.addShared();
    await hidden.flush();
    return { root, links, outer };
  } catch (error) {
    await abandonFolder(context, space, root.node);
    throw error;
  }
}

/** A node of the copy on its way into the next step. */
interface Piece {
  readonly row: NodeRow;
  readonly mode: 'insert' | 'replace';
  /** Its entry, its attributes. */
  readonly rest: readonly Put[];
  readonly deletes?: readonly Delete[];
  /** Where it was found; absent for what is decided whatever became of its source. */
  readonly source?: EntryRow | undefined;
}

/** A folder that is copied step by step, hidden. Its source may change all the time; each step copies what it finds. */
class HiddenFolder {
  readonly #context: Context;
  readonly #space: Space;
  readonly #source: HiddenSource;
  /** Names of files with several, by file; only where they are to stay names of one. */
  readonly #shared = new Map<NodeId, (HiddenName & { readonly found: Found })[]>();
  /** What the next step puts, by node. */
  #pieces = new Map<NodeId, Piece>();
  #rowCount = 0;

  constructor(context: Context, space: Space, source: HiddenSource) {
    this.#context = context;
    this.#space = space;
    this.#source = source;
  }

  /** Copies what is in `folder` into `copyOf`; answers the links that `copyOf` has then: of what was copied, no other. */
  async fill(folder: Found, copyOf: NodeRow): Promise<number> {
    let links = 2;
    const { view, isSame } = this.#source;
    for await (const child of entriesOf(view, this.#space, folder)) {
      const { node } = child;
      if (isSame === true && node.kind !== NODE_KIND.folder && node.links > 1) {
        const name = child.entry?.name ?? new Uint8Array();
        const names = this.#shared.get(node.node) ?? [];
        this.#shared.set(node.node, names);
        names.push({ path: child.path, parent: copyOf, name, node, found: child });
        continue;
      }
      const row = await this.#addTwin(child, copyOf);
      if (row.kind !== NODE_KIND.folder) continue;
      links++;
      await this.#setLinks(row, await this.fill(child, row));
    }
    return links;
  }

  /** What is in the folder, without what is in that. */
  async #addTwin(child: Found, copyOf: NodeRow, others: readonly HiddenName[] = []): Promise<NodeRow> {
    const { view, isSame } = this.#source;
    const like = await twin(this.#context, this.#space, child.node, copyOf.node, this.#context.clock.now(), isSame);
    const was =
      child.node.content === null ? undefined : await contentOfPast(this.#context, this.#space, view, child.node);
    const links = like.links + others.length;
    const row = was === undefined ? { ...like, links } : { ...like, links, content: was.content };
    const rest = [...(was?.puts ?? []), ...(await this.#restOf(child, row, copyOf.node))];
    for (const { name, parent } of others) rest.push(this.#entryPut(name, row, parent.node));
    // What was cannot have changed since it was read.
    const source = view.at === undefined ? child.entry : undefined;
    await this.add({ row, mode: 'insert', rest, deletes: was?.deletes ?? [], source });
    return row;
  }

  /** Files all of whose names are in the folder, now that these are known. Answers the names of all others. */
  async addShared(): Promise<readonly HiddenName[]> {
    const outer: HiddenName[] = [];
    for (const names of this.#shared.values()) {
      const [first, ...others] = names;
      if (first === undefined) continue;
      if (names.length < first.node.links) outer.push(...names);
      else await this.#addTwin(first.found, first.parent, others);
    }
    return outer;
  }

  async add(piece: Piece): Promise<void> {
    this.#pieces.set(piece.row.node, piece);
    this.#rowCount += 1 + piece.rest.length;
    if (this.#rowCount >= STEP_ROWS) await this.flush();
  }

  /**
   * Commits what was gathered. A source may have been written since it was read, and its content dropped: then the step
   * is decided anew from what stands there now, and what is gone by now is not copied.
   */
  async flush(): Promise<void> {
    const { signal, found } = this.#source;
    if (signal?.aborted) throw Fault.aborted(signal, 'Copying a folder');
    let isFirst = true;
    await decide(this.#context, `Copying ${textOfPath(found.path)}`, async () => {
      if (!isFirst) await this.#readAgain();
      isFirst = false;
      return { answer: undefined, change: this.#change() };
    });
    this.#pieces = new Map();
    this.#rowCount = 0;
  }

  async #restOf(child: Found, row: NodeRow, parent: NodeId): Promise<Put[]> {
    return [
      this.#entryPut(child.entry?.name ?? new Uint8Array(), row, parent),
      ...(await attributeTwins(this.#source.view, this.#space, child.node, row.node)),
    ];
  }

  #entryPut(name: Uint8Array, row: NodeRow, parent: NodeId): Put {
    const entry: EntryRow = { space: this.#space.space, parent, name, node: row.node, kind: row.kind, born: 0 };
    return { table: 'entries', mode: 'insert', row: entry };
  }

  /** Known only once all that is in the folder was copied, maybe steps after its row. */
  async #setLinks(row: NodeRow, links: number): Promise<void> {
    if (links === row.links) return;
    const waiting = this.#pieces.get(row.node);
    if (waiting !== undefined) this.#pieces.set(row.node, { ...waiting, row: { ...waiting.row, links } });
    else await this.add({ row: { ...row, links }, mode: 'replace', rest: [] });
  }

  #change(): Change | undefined {
    const pieces = [...this.#pieces.values()];
    if (pieces.length === 0) return undefined;
    const puts = pieces.flatMap(({ row, mode, rest }): readonly Put[] => [{ table: 'nodes', mode, row }, ...rest]);
    const live = pieces.reduce((sum, { row, mode }) => sum + (mode === 'insert' ? row.size : 0), 0);
    const deletes = pieces.flatMap((piece) => piece.deletes ?? []);
    return { space: this.#space.space, now: this.#context.clock.now(), puts, deletes, bytes: { live, history: 0 } };
  }

  async #readAgain(): Promise<void> {
    for (const [node, piece] of [...this.#pieces]) {
      const { source, row } = piece;
      if (source === undefined || row.content === null) continue;
      const { meta } = this.#source.view;
      const entry = await meta.get('entries', [source.space, source.parent, source.name]);
      const now = entry === undefined ? undefined : await meta.get('nodes', [source.space, entry.node]);
      if (now === undefined || now.content === null) {
        this.#pieces.delete(node);
        continue;
      }
      const { content, size, modifiedSeconds, modifiedNanoseconds } = now;
      this.#pieces.set(node, { ...piece, row: { ...row, content, size, modifiedSeconds, modifiedNanoseconds } });
    }
  }
}

/** Gives a hidden folder to the reaper; the next opening does when this fails. */
export async function abandonFolder(context: Context, space: Space, folder: NodeId): Promise<void> {
  const key = [space.space, REAP_KIND.folder, folder] as const;
  const row = await context.meta.get('reaps', key);
  if (row === undefined) return;
  // Keeps the note "was never linked": what is in it has no versions worth keeping.
  const change: Change = {
    space: space.space,
    now: context.clock.now(),
    expects: [{ kind: 'row', table: 'reaps', key }],
    puts: [{ table: 'reaps', mode: 'replace', row: { ...row, owner: ABANDONED } }],
  };
  try {
    await commit(context, change);
    context.onUnreachable();
  } catch (error) {
    context.log.warn('files.abandon-failed', { folder, error: String(error) });
  }
}

/** Owner of something hidden whose builder gave it up. */
export const ABANDONED = '-';
