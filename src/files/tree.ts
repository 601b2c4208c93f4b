/**
 * Reading the tree: from path to node and back, pages of folders, walks. Every call reads committed rows and holds
 * nothing open; a walk over a tree that changes meanwhile sees each folder as it was when its page was read.
 */
import { joinPath, type Name, type Path, textOfPath } from '../api/index.ts';
import { andThen, Fault, isPromise, type Maybe } from '../base/index.ts';
import { type EntryRow, NODE_KIND, type NodeId, type NodeRow } from '../meta/index.ts';
import type { Space, View } from './context.ts';

/** Entries that one step of a walk reads. */
const PAGE_ENTRIES = 500;
/** Folders one below the other; more cannot be reached by any path of PATH_BYTES_MAX. */
const DEPTH_MAX = 4_096;

/** A node where a path found it. The root has no entry. */
export interface Found {
  readonly path: Path;
  readonly node: NodeRow;
  readonly entry: EntryRow | undefined;
}

/** Where something stands or will stand: a folder and a name in it. */
export interface Place {
  readonly path: Path;
  readonly parent: NodeRow;
  readonly name: Name;
}

export function notFound(path: Path): Fault {
  return new Fault('not-found', `There is nothing at ${textOfPath(path)}.`, { path: textOfPath(path) });
}

function notFolder(path: Path): Fault {
  return new Fault('not-folder', `${textOfPath(path)} is not a folder, so nothing can be in it.`, {
    path: textOfPath(path),
  });
}

export async function nodeRow(context: View, space: Space, node: NodeId): Promise<NodeRow | undefined> {
  return context.meta.get('nodes', [space.space, node]);
}

export async function rootNode(context: View, space: Space): Promise<NodeRow> {
  const root = await nodeRow(context, space, space.root);
  if (root === undefined)
    throw new Fault('corrupt', 'The metadata of the root folder is missing. Run `holdfast check`.', {
      node: space.root,
    });
  return root;
}

/** What one walk down a path has found. */
export interface LookedUp {
  readonly found: Found | undefined;
  /** Where only the last name is missing: what it is missing in, which may be no folder. */
  readonly parent: NodeRow | undefined;
}

/** Absent is an answer, also when a folder on the way is absent. @throws Fault `not-folder` when one is a file. */
export async function findPath(context: View, space: Space, path: Path): Promise<Found | undefined> {
  return (await lookUp(context, space, path)).found;
}

/** The same, and the folder of a name that is free, so that nobody has to walk there again. */
export async function lookUp(context: View, space: Space, path: Path): Promise<LookedUp> {
  const { meta } = context;
  let found: Found | undefined;
  for (let depth = 0; depth < path.length; depth++) {
    const name = path[depth] as Name;
    if (found !== undefined && found.node.kind !== NODE_KIND.folder) throw notFolder(found.path);
    // What stands in the root shows that it is there; its own row need not be read for that.
    const parent: NodeId = found?.node.node ?? space.root;
    const isLast = depth === path.length - 1;
    const entryRead = meta.get('entries', [space.space, parent, name]);
    const entry = isPromise(entryRead) ? await entryRead : entryRead;
    if (entry === undefined) {
      const above = found?.node ?? (await rootNode(context, space));
      return { found: undefined, parent: isLast ? above : undefined };
    }
    const nodeRead = meta.get('nodes', [space.space, entry.node]);
    const node = isPromise(nodeRead) ? await nodeRead : nodeRead;
    const upTo = isLast ? path : path.slice(0, depth + 1);
    // The entry was removed between the two reads, or its node is damaged; a second look tells which.
    if (node === undefined) {
      const again = await meta.get('entries', [space.space, parent, name]);
      if (again?.node !== entry.node) return lookUp(context, space, path);
      throw new Fault('corrupt', `The metadata of ${textOfPath(upTo)} is missing. Run \`holdfast check\`.`, {
        path: textOfPath(path),
        node: entry.node,
      });
    }
    found = { path: upTo, node, entry };
  }
  return { found: found ?? { path: [], node: await rootNode(context, space), entry: undefined }, parent: undefined };
}

/** @throws Fault `not-found`, `not-folder`. */
export async function getPath(context: View, space: Space, path: Path): Promise<Found> {
  const found = await findPath(context, space, path);
  if (found === undefined) throw notFound(path);
  return found;
}

/**
 * The same node as it is now, if it still has the name in the folder where it was found; two reads however deep it
 * stands. Folders above may have moved meanwhile: it is what the caller has seen that counts.
 */
export async function findAgain(context: View, space: Space, found: Found): Promise<Found | undefined> {
  if (found.entry === undefined) return undefined;
  const { parent, name } = found.entry;
  const entry = await context.meta.get('entries', [space.space, parent, name]);
  if (entry?.node !== found.node.node) return undefined;
  const node = await nodeRow(context, space, entry.node);
  return node === undefined ? undefined : { path: found.path, node, entry };
}

/** The folder that a path's last name stands in, or will. @throws Fault `not-found`, `not-folder`, `invalid` for the root. */
export async function getPlace(context: View, space: Space, path: Path): Promise<Place> {
  const name = path.at(-1);
  if (name === undefined)
    throw new Fault('invalid', 'The root folder itself cannot be made, moved or replaced.', { path: '/' });
  const parent = await getPath(context, space, path.slice(0, -1));
  if (parent.node.kind !== NODE_KIND.folder) throw notFolder(parent.path);
  return { path, parent: parent.node, name };
}

/** Where a node stands: the first of its names in byte order; `undefined` when it cannot be reached from the root. */
export async function pathOfNode(context: View, space: Space, node: NodeId): Promise<Path | undefined> {
  const names: Name[] = [];
  let at = node;
  for (let depth = 0; at !== space.root; depth++) {
    if (depth > DEPTH_MAX) return undefined;
    const [entry] = await context.meta.scan('entriesByNode', { prefix: [space.space, at], limit: 1 });
    if (entry === undefined) return undefined;
    names.unshift(entry.name);
    at = entry.parent;
  }
  return names;
}

/** @throws Fault `not-found` for a node that is gone or cannot be reached. */
export async function getNode(context: View, space: Space, node: NodeId): Promise<Found> {
  const row = await nodeRow(context, space, node);
  const path = row === undefined ? undefined : await pathOfNode(context, space, node);
  if (row === undefined || path === undefined)
    throw new Fault('not-found', `There is no file with the id ${node}.`, { file_id: node });
  if (path.length === 0) return { path, node: row, entry: undefined };
  const [entry] = await context.meta.scan('entriesByNode', { prefix: [space.space, node], limit: 1 });
  return { path, node: row, entry };
}

/** A folder and all above it up to the root, nearest first. */
export async function ancestorsOf(context: View, space: Space, folder: NodeRow): Promise<readonly NodeRow[]> {
  const chain = [folder];
  for (let at = folder; at.node !== space.root && chain.length <= DEPTH_MAX; ) {
    const above = at.parent === null ? undefined : await nodeRow(context, space, at.parent);
    if (above === undefined) break;
    chain.push(above);
    at = above;
  }
  return chain;
}

/** Entries of a folder with their nodes, in byte order, behind `after`. */
export async function* entriesOf(context: View, space: Space, folder: Found, after?: Name): AsyncGenerator<Found> {
  let from = after;
  for (;;) {
    const page = await context.meta.scan('entries', {
      prefix: [space.space, folder.node.node],
      ...(from === undefined ? {} : { after: [from] }),
      limit: PAGE_ENTRIES,
    });
    for (const entry of page) {
      const node = await nodeRow(context, space, entry.node);
      // Removed since the page was read: it is not there any more.
      if (node !== undefined) yield { path: joinPath(folder.path, entry.name), node, entry };
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_ENTRIES) return;
    from = last.name;
  }
}

export interface WalkOptions {
  /** Go on behind this path, which need not exist any more. */
  readonly after?: Path | undefined;
  /** Into subfolders; true when absent. */
  readonly recursive?: boolean | undefined;
}

/** A folder on the way of a walk: its page of entries, and where in it the walk is. */
interface Level {
  readonly folder: Found;
  after: Name | undefined;
  page: readonly EntryRow[];
  next: number;
  isLastPage: boolean;
  /** Nodes of the entries up to the `aheadEnd`th, where they were asked for together. */
  ahead: ReadonlyMap<NodeId, NodeRow>;
  aheadEnd: number;
}

/** Entries of a walk whose nodes are asked for together: few enough that what is told of them is of this moment. */
const NODES_AHEAD = 64;
/** Node numbers that one such request goes over, for each node that is wanted. */
const NODES_SPAN = 2;

function levelOf(folder: Found, after?: Name): Level {
  return { folder, after, page: [], next: 0, isLastPage: false, ahead: new Map(), aheadEnd: 0 };
}

/**
 * Everything under a folder, the folder itself not: names in byte order, what is in a subfolder right behind it.
 * Memory: one page a level. Nothing is awaited where the metadata answers at once.
 */
export async function* walk(
  context: View,
  space: Space,
  folder: Found,
  options: WalkOptions = {},
): AsyncGenerator<Found> {
  const levels = await levelsBehind(context, space, folder, options);
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const entry = level.page[level.next++];
    if (entry === undefined) {
      if (level.isLastPage) levels.pop();
      else await turnPage(context, space, level);
      continue;
    }
    if (level.next > level.aheadEnd) {
      const coming = lookAhead(context, space, level);
      if (isPromise(coming)) await coming;
    }
    const row = level.ahead.get(entry.node) ?? context.meta.get('nodes', [space.space, entry.node]);
    const node = isPromise(row) ? await row : row;
    // Removed since the page was read: it is not there any more.
    if (node === undefined) continue;
    const found = { path: joinPath(level.folder.path, entry.name), node, entry };
    yield found;
    if (options.recursive !== false && node.kind === NODE_KIND.folder) levels.push(levelOf(found));
  }
}

/** Nodes of a tree that was put in one go have numbers close to each other: to read a run of them costs a third. */
function lookAhead(context: View, space: Space, level: Level): Maybe<void> {
  const from = level.next - 1;
  const wanted = level.page.slice(from, from + NODES_AHEAD).map(({ node }) => node);
  level.ahead = new Map();
  level.aheadEnd = from + wanted.length;
  const first = Math.min(...wanted);
  const span = Math.max(...wanted) - first + 1;
  if (wanted.length === 1 || span > NODES_SPAN * wanted.length) return;
  return andThen(context.meta.scan('nodes', { prefix: [space.space], from: [first], limit: span }), (rows) => {
    level.ahead = new Map(rows.map((row) => [row.node, row]));
  });
}

async function turnPage(context: View, space: Space, level: Level): Promise<void> {
  const { after } = level;
  level.page = await context.meta.scan('entries', {
    prefix: [space.space, level.folder.node.node],
    ...(after === undefined ? {} : { after: [after] }),
    limit: PAGE_ENTRIES,
  });
  level.next = 0;
  level.aheadEnd = 0;
  level.after = level.page.at(-1)?.name;
  level.isLastPage = level.page.length < PAGE_ENTRIES;
}

/** The folders that a walk is in when it goes on behind `after`: in the last of them, at the folder itself or inside. */
async function levelsBehind(context: View, space: Space, folder: Found, options: WalkOptions): Promise<Level[]> {
  const names = options.after?.slice(folder.path.length) ?? [];
  const levels = [levelOf(folder, names[0])];
  if (options.recursive === false) return levels;
  let at = folder;
  for (const [index, name] of names.entries()) {
    const entry = await context.meta.get('entries', [space.space, at.node.node, name]);
    const node = entry === undefined ? undefined : await nodeRow(context, space, entry.node);
    if (entry === undefined || node?.kind !== NODE_KIND.folder) break;
    at = { path: joinPath(at.path, name), node, entry };
    levels.push(levelOf(at, names[index + 1]));
  }
  return levels;
}
