/**
 * The simple model of a user's tree: names lead to nodes, nodes are what a reader sees of them. A tree never changes; an
 * operation gives the next one or the code of the fault with which it is refused. Small and plain on purpose: when it
 * and a store differ, this is what must be easy to believe.
 */
import { hash } from 'node:crypto';
import type { FaultCode } from '../../src/base/index.ts';
import { bytesOf, isLate, type Operation } from './operation.ts';
import { type ModelUpload, markOfUpload, partCountOf } from './uploading.ts';

export interface ModelNode {
  readonly kind: 'file' | 'folder' | 'symlink';
  readonly mode: number;
  /** Of a file. */
  readonly bytes?: Uint8Array;
  /** Of a symlink. */
  readonly target?: string;
  readonly tag?: string;
}

/** The root is not in it. */
export interface Tree {
  readonly names: ReadonlyMap<string, number>;
  readonly nodes: ReadonlyMap<number, ModelNode>;
  /** By name: the tree as it was. */
  readonly snapshots: ReadonlyMap<string, Tree>;
  /** By name: open uploads. */
  readonly uploads: ReadonlyMap<string, ModelUpload>;
}

export const EMPTY: Tree = { names: new Map(), nodes: new Map(), snapshots: new Map(), uploads: new Map() };

/** What an operation comes to. `unknown`: the model does not say; it is not to be done. */
export type Step =
  | { readonly tree: Tree }
  | { readonly fault: FaultCode; readonly tree?: undefined }
  | { readonly isUnknown: true; readonly tree?: undefined };

const UNKNOWN: Step = { isUnknown: true };
const FOLDER: ModelNode = { kind: 'folder', mode: 0o755 };

/** The tree behind an operation that is not `restore` or `undo`, which depend on what is kept and on what came before. */
export function applyTo(tree: Tree, operation: Operation): Step {
  switch (operation.do) {
    case 'mkdir':
    case 'm.mkdir':
      return add(tree, operation.path, FOLDER);
    case 'put':
      return put(tree, operation.path, bytesOf(operation.content), operation.mode);
    case 'many':
      return many(tree, operation);
    case 'set':
      return change(tree, operation.path, { mode: operation.mode, tag: operation.tag });
    case 'move':
      return move(tree, operation);
    case 'copy':
      return copy(tree, operation.from, operation.to);
    case 'remove':
      return remove(tree, operation.path, operation.recursive);
    case 'batch':
      return all(tree, operation.operations);
    case 'fence':
      if (!hasWay(tree, operation.path)) return UNKNOWN;
      return isLate(operation) ? { tree } : put(tree, operation.path, bytesOf(operation.content), 'put');
    case 'return':
      return returnTo(tree, operation.name);
    case 'snapshot':
      return keep(tree, operation.name);
    case 'unsnapshot':
      return unkeep(tree, operation.name);
    case 'prune':
      return hasScheduled(tree) ? { tree: waysOf(tree, operation).at(-1) ?? tree } : missing;
    case 'schedule':
      return { tree: waysOf(tree, operation).at(-1) ?? tree };
    case 'm.create':
      return add(tree, operation.path, { kind: 'file', mode: 0o644, bytes: bytesOf(operation.content) });
    case 'm.write':
      return overwrite(tree, operation.path, bytesOf(operation.content), operation.offset);
    case 'm.cut':
      return resize(tree, operation.path, operation.size);
    case 'm.symlink':
      return add(tree, operation.path, { kind: 'symlink', mode: 0o777, target: operation.target });
    case 'm.link':
      return link(tree, operation.from, operation.to);
    case 'm.rename':
      return rename(tree, operation.from, operation.to);
    case 'm.unlink':
    case 'm.rmdir':
      return remove(tree, operation.path, false);
    case 'm.chmod':
      return change(tree, operation.path, { mode: operation.mode });
    case 'm.tag':
      return change(tree, operation.path, { tag: operation.tag });
    case 'up.begin':
      return beginUpload(tree, operation);
    case 'up.part':
      return putPart(tree, operation);
    case 'up.complete':
      return complete(tree, operation.name);
    case 'up.remove':
      return tree.uploads.has(operation.name) ? { tree: withoutUpload(tree, operation.name) } : UNKNOWN;
    case 'up.expire':
      return { tree: { ...tree, uploads: new Map() } };
    case 'restore':
    case 'read':
    case 'm.fsync':
      return nodeAt(tree, operation.path) === undefined ? missing : { tree };
    default:
      return { tree };
  }
}

export function withBytes(tree: Tree, path: string, bytes: Uint8Array): Tree {
  return withNode(tree, tree.names.get(path) ?? 0, { bytes });
}

export function nodeAt(tree: Tree, path: string): ModelNode | undefined {
  const number = tree.names.get(path);
  return number === undefined ? undefined : tree.nodes.get(number);
}

const missing: Step = { fault: 'not-found' };
const taken: Step = { fault: 'exists' };

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

/** Names never stand for both a folder and something else, so what is above is a folder or missing. */
function hasWay(tree: Tree, path: string): boolean {
  const parent = parentOf(path);
  return parent === '' || tree.names.has(parent);
}

function below(tree: Tree, path: string): string[] {
  return [...tree.names.keys()].filter((other) => other.startsWith(`${path}/`));
}

/** The tree with these names, without nodes that no name leads to. */
function named(tree: Tree, names: ReadonlyMap<string, number>, nodes = tree.nodes): Tree {
  const used = new Set(names.values());
  return { ...tree, names, nodes: new Map([...nodes].filter(([number]) => used.has(number))) };
}

function withNode(tree: Tree, number: number, what: Partial<ModelNode>): Tree {
  const node = tree.nodes.get(number);
  if (node === undefined) throw new Error('Broken invariant: only a node that is there is changed');
  return { ...tree, nodes: new Map([...tree.nodes, [number, { ...node, ...what }]]) };
}

function withNew(tree: Tree, path: string, node: ModelNode): Tree {
  const number = Math.max(0, ...tree.nodes.keys()) + 1;
  return named(tree, new Map([...tree.names, [path, number]]), new Map([...tree.nodes, [number, node]]));
}

function add(tree: Tree, path: string, node: ModelNode): Step {
  if (!hasWay(tree, path)) return missing;
  return tree.names.has(path) ? taken : { tree: withNew(tree, path, node) };
}

function put(tree: Tree, path: string, bytes: Uint8Array, mode: 'create' | 'replace' | 'put'): Step {
  if (!hasWay(tree, path)) return missing;
  const number = tree.names.get(path);
  if (number === undefined)
    return mode === 'replace' ? missing : { tree: withNew(tree, path, { kind: 'file', mode: 0o644, bytes }) };
  return mode === 'create' ? taken : { tree: withNode(tree, number, { bytes }) };
}

/** What a `many` may come to when each of its files stands or falls alone. */
export function partsOf(operation: Extract<Operation, { do: 'many' }>): readonly Operation[] {
  const { folder, contents } = operation;
  return contents.map((content, index) => ({ do: 'put', path: `${folder}/${'xyz'[index]}`, content, mode: 'put' }));
}

/**
 * What the end of an operation that is more than one commit may leave of it, in order. A `many` may be refused as one
 * commit; its files are written one by one then.
 */
export function beginningsOf(tree: Tree, operation: Operation): readonly Tree[] {
  switch (operation.do) {
    case 'many': {
      const parts = partsOf(operation);
      return parts.slice(1).flatMap((_, index) => all(tree, parts.slice(0, index + 1)).tree ?? []);
    }
    case 'schedule':
    case 'prune':
      return waysOf(tree, operation).slice(0, -1);
    default:
      return [];
  }
}

/** The trees on the way: with the snapshot that is due, and then without one after the other that is not kept. */
function waysOf(tree: Tree, operation: Extract<Operation, { do: 'schedule' | 'prune' }>): readonly Tree[] {
  const ways: Tree[] = [];
  if (operation.do === 'schedule') {
    if (operation.due === undefined || tree.snapshots.has(operation.due)) return [];
    ways.push(keep(tree, operation.due).tree ?? tree);
  }
  let after = ways.at(-1) ?? tree;
  const made = [...after.snapshots.keys()]
    .filter((name) => name.startsWith(SCHEDULED))
    .sort()
    .reverse();
  for (const name of made.slice(Math.max(1, operation.keep))) {
    after = unkeep(after, name).tree ?? after;
    ways.push(after);
  }
  return ways;
}

/** What schedules call their snapshots. */
const SCHEDULED = 'auto-';

function hasScheduled({ snapshots }: Tree): boolean {
  return [...snapshots.keys()].some((name) => name.startsWith(SCHEDULED));
}

/** Files x, y, z of a folder. */
function many(tree: Tree, operation: Extract<Operation, { do: 'many' }>): Step {
  return all(tree, partsOf(operation));
}

/** All of them, each on what those before it left, or nothing. */
function all(tree: Tree, operations: readonly Operation[]): Step {
  let after = tree;
  for (const part of operations) {
    const step = applyTo(after, part);
    if (step.tree === undefined) return step;
    after = step.tree;
  }
  return { tree: after };
}

function returnTo(tree: Tree, name: string): Step {
  const then = tree.snapshots.get(name);
  return then === undefined ? missing : { tree: { ...then, snapshots: tree.snapshots, uploads: tree.uploads } };
}

/** Whether a file has names in several folders. */
export function hasNamesApart({ names }: Tree): boolean {
  const parents = new Map<number, string>();
  for (const [path, number] of names) {
    const parent = parentOf(path);
    if ((parents.get(number) ?? parent) !== parent) return true;
    parents.set(number, parent);
  }
  return false;
}

function change(tree: Tree, path: string, what: Partial<ModelNode>): Step {
  const number = tree.names.get(path);
  return number === undefined ? missing : { tree: withNode(tree, number, what) };
}

function overwrite(tree: Tree, path: string, bytes: Uint8Array, offset: number): Step {
  const before = nodeAt(tree, path)?.bytes;
  if (before === undefined) return missing;
  if (bytes.length === 0) return { tree };
  const after = new Uint8Array(Math.max(before.length, offset + bytes.length));
  after.set(before);
  after.set(bytes, offset);
  return { tree: withBytes(tree, path, after) };
}

function resize(tree: Tree, path: string, size: number): Step {
  const before = nodeAt(tree, path)?.bytes;
  if (before === undefined) return missing;
  const after = new Uint8Array(size);
  after.set(before.subarray(0, size));
  return { tree: withBytes(tree, path, after) };
}

function remove(tree: Tree, path: string, recursive: boolean): Step {
  if (!tree.names.has(path)) return missing;
  const gone = [path, ...below(tree, path)];
  if (gone.length > 1 && !recursive) return { fault: 'not-empty' };
  return { tree: withoutNames(tree, gone) };
}

function withoutNames(tree: Tree, gone: readonly string[]): Tree {
  return named(tree, new Map([...tree.names].filter(([path]) => !gone.includes(path))));
}

/** What moves or is copied, under its new names. */
function relocated(tree: Tree, from: string, to: string): (readonly [string, number])[] {
  return [from, ...below(tree, from)].map((path) => [to + path.slice(from.length), tree.names.get(path) ?? 0]);
}

function moveTo(tree: Tree, from: string, to: string): Step {
  const moved = relocated(tree, from, to);
  const rest = withoutNames(tree, [from, ...below(tree, from)]).names;
  return { tree: named(tree, new Map([...rest, ...moved])) };
}

function move(tree: Tree, { from, to, overwrite }: Extract<Operation, { do: 'move' }>): Step {
  const [source, target] = [tree.names.get(from), tree.names.get(to)];
  if (source === undefined) return missing;
  if (to.startsWith(`${from}/`)) return { fault: 'invalid' };
  if (!hasWay(tree, to)) return missing;
  if (from === to) return { tree };
  // Two names of one file: whether the one that stays is an overwritten one is nobody's business.
  if (source === target) return UNKNOWN;
  if (target !== undefined && !overwrite) return taken;
  return moveTo(tree, from, to);
}

function rename(tree: Tree, from: string, to: string): Step {
  const [source, target] = [tree.names.get(from), tree.names.get(to)];
  if (source === undefined || !hasWay(tree, to)) return missing;
  if (to.startsWith(`${from}/`)) return { fault: 'invalid' };
  if (source === target) return { tree };
  if (target !== undefined && below(tree, to).length > 0) return { fault: 'not-empty' };
  return moveTo(tree, from, to);
}

function copy(tree: Tree, from: string, to: string): Step {
  if (!tree.names.has(from)) return missing;
  if (to.startsWith(`${from}/`)) return { fault: 'invalid' };
  if (!hasWay(tree, to)) return missing;
  if (tree.names.has(to)) return taken;
  let after = tree;
  const copied = relocated(tree, from, to);
  // Whether names of one file stay names of one file is left open.
  if (new Set(copied.map(([, number]) => number)).size < copied.length) return UNKNOWN;
  for (const [path, number] of copied) after = withNew(after, path, tree.nodes.get(number) ?? FOLDER);
  return { tree: after };
}

function link(tree: Tree, from: string, to: string): Step {
  const number = tree.names.get(from);
  if (number === undefined || !hasWay(tree, to)) return missing;
  return tree.names.has(to) ? taken : { tree: { ...tree, names: new Map([...tree.names, [to, number]]) } };
}

function keep(tree: Tree, name: string): Step {
  if (tree.snapshots.has(name)) return taken;
  const kept = { ...tree, snapshots: new Map(), uploads: new Map() };
  return { tree: { ...tree, snapshots: new Map([...tree.snapshots, [name, kept]]) } };
}

function unkeep(tree: Tree, name: string): Step {
  if (!tree.snapshots.has(name)) return missing;
  return { tree: { ...tree, snapshots: new Map([...tree.snapshots].filter(([other]) => other !== name)) } };
}

function beginUpload(tree: Tree, { name, path, content }: Extract<Operation, { do: 'up.begin' }>): Step {
  if (tree.uploads.has(name)) return UNKNOWN;
  if (!hasWay(tree, path)) return missing;
  return { tree: withUpload(tree, name, { path, content, parts: [] }) };
}

function putPart(tree: Tree, { name, part, isRest }: Extract<Operation, { do: 'up.part' }>): Step {
  const upload = tree.uploads.get(name);
  if (upload === undefined || part > partCountOf(upload.content)) return UNKNOWN;
  if (upload.parts.includes(part)) return isRest ? { fault: 'conflict' } : { tree };
  return { tree: withUpload(tree, name, { ...upload, parts: [...upload.parts, part].sort() }) };
}

function complete(tree: Tree, name: string): Step {
  const upload = tree.uploads.get(name);
  if (upload === undefined) return UNKNOWN;
  const { path, content, parts } = upload;
  if (parts.length < partCountOf(content)) return hasWay(tree, path) ? { fault: 'incomplete' } : UNKNOWN;
  return put(withoutUpload(tree, name), path, bytesOf(content), 'put');
}

function withUpload(tree: Tree, name: string, upload: ModelUpload): Tree {
  return { ...tree, uploads: new Map([...tree.uploads, [name, upload]]) };
}

function withoutUpload(tree: Tree, name: string): Tree {
  return { ...tree, uploads: new Map([...tree.uploads].filter(([other]) => other !== name)) };
}

/** Path to all that can be seen there, as text: what is compared. */
export type Marks = ReadonlyMap<string, string>;

const marks = new WeakMap<Tree, Marks>();

export function marksOf(tree: Tree): Marks {
  const known = marks.get(tree);
  if (known !== undefined) return known;
  const made = new Map<string, string>();
  const links = linksOf(tree);
  for (const path of [...tree.names.keys()].sort()) made.set(path, markOf(tree, path, links));
  for (const [name, kept] of tree.snapshots) {
    made.set(`@${name}`, 'snapshot');
    for (const [path, mark] of marksOf(kept)) made.set(`@${name}${path}`, mark);
  }
  for (const [name, upload] of tree.uploads) made.set(`^${name}`, markOfUpload(upload));
  marks.set(tree, made);
  return made;
}

/** What counts as links of a node: its names, or of a folder itself, its `.` and the folders in it. */
interface Links {
  readonly first: string;
  count: number;
}

function linksOf(tree: Tree): ReadonlyMap<number, Links> {
  const links = new Map<number, Links>();
  for (const path of [...tree.names.keys()].sort()) {
    const number = tree.names.get(path) ?? 0;
    const known = links.get(number);
    if (known !== undefined) known.count++;
    else links.set(number, { first: path, count: isFolder(tree, path) ? 2 : 1 });
    if (!isFolder(tree, path)) continue;
    const parent = links.get(tree.names.get(parentOf(path)) ?? 0);
    if (parent !== undefined) parent.count++;
  }
  return links;
}

function markOf(tree: Tree, path: string, links: ReadonlyMap<number, Links>): string {
  const number = tree.names.get(path) ?? 0;
  const { first, count } = links.get(number) ?? { first: path, count: 1 };
  return markOfNode({ ...(tree.nodes.get(number) ?? FOLDER), links: count, first });
}

function isFolder(tree: Tree, path: string): boolean {
  return nodeAt(tree, path)?.kind === 'folder';
}

/** `first` is the first name of the node, in order. */
export function markOfNode(node: ModelNode & { readonly links: number; readonly first: string }): string {
  const { kind, mode, links, bytes, target = '', tag = '', first } = node;
  const what = bytes === undefined ? target : `${bytes.length} ${digestOf(bytes)}`;
  return `${kind} ${mode.toString(8)} ${what} [${tag}] ${links > 1 && kind !== 'folder' ? `also ${first}` : ''}${links}`;
}

const digests = new WeakMap<Uint8Array, string>();

export function digestOf(bytes: Uint8Array): string {
  const known = digests.get(bytes);
  if (known !== undefined) return known;
  const made = hash('sha1', bytes, 'hex').slice(0, 16);
  digests.set(bytes, made);
  return made;
}

export function isSame(a: Marks, b: Marks): boolean {
  return sightOf(a) === sightOf(b);
}

const sights = new WeakMap<Marks, string>();

/** All of the marks as one short text: what looks the same has the same. */
export function sightOf(seen: Marks): string {
  const known = sights.get(seen);
  if (known !== undefined) return known;
  const lines = Array.from(seen, ([path, mark]) => `${path}\0${mark}`).sort();
  const made = hash('sha1', lines.join('\n'), 'base64');
  sights.set(seen, made);
  return made;
}

/**
 * The tree with such bytes in its files as were found, when each of them is one that a file of some possible tree has
 * there, or zero: a disk that failed may have kept some of what was written and not the rest. Sizes are as promised.
 */
export function withLosses(tree: Tree, found: ReadonlyMap<string, Uint8Array>, possible: readonly Tree[]): Tree {
  const sources = possible.flatMap((each) => [each, ...each.snapshots.values()]);
  const files = sources.flatMap(({ nodes }) => [...nodes.values()].flatMap(({ bytes }) => bytes ?? []));
  const isFit = (bytes: Uint8Array, before: Uint8Array | undefined): boolean =>
    before?.length === bytes.length &&
    bytes.every((byte, at) => byte === 0 || files.some((source) => source[at] === byte));
  let after = tree;
  for (const [path, bytes] of found) if (isFit(bytes, nodeAt(tree, path)?.bytes)) after = withBytes(after, path, bytes);
  const snapshots = [...tree.snapshots].map(([name, kept]) => {
    const own = [...found].filter(([path]) => path.startsWith(`@${name}/`));
    const bytes = new Map(own.map(([path, each]) => [path.slice(name.length + 1), each] as const));
    return [name, bytes.size === 0 ? kept : withLosses(kept, bytes, possible)] as const;
  });
  return { ...after, snapshots: new Map(snapshots) };
}

/** What differs, in a few words. */
export function differenceOf(found: Marks, wanted: Marks): string {
  const paths = [...new Set([...found.keys(), ...wanted.keys()])].sort();
  const differing = paths.filter((path) => found.get(path) !== wanted.get(path));
  return differing.map((path) => `${path} is ${found.get(path)}, not ${wanted.get(path)}`).join('; ');
}

/** Bytes of all files, each once. */
export function sizeOf(tree: Tree): number {
  return [...tree.nodes.values()].reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0);
}
