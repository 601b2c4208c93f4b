/**
 * The names on a seeded disk, twice: as they are now, and as they stand on the medium. A change of names (made, renamed,
 * removed) is durable once a folder that it touches is synced; until then a power cut keeps it or loses it, whole: a
 * rename never leaves both names or none. Changes of the same name keep their order, others need not.
 * Syncing a file says nothing about its name, which is POSIX's promise and no more.
 */
import type { Random } from '../base/index.ts';
import { type CrashMood, crashMood, SeededBytes } from './seeded-bytes.ts';

export interface SeededFileNode {
  readonly kind: 'file';
  readonly bytes: SeededBytes;
  modifiedMs: number;
}

export interface SeededFolderNode {
  readonly kind: 'folder';
  readonly entries: Map<string, SeededNode>;
  readonly durable: Map<string, SeededNode>;
  modifiedMs: number;
}

export type SeededNode = SeededFileNode | SeededFolderNode;

/** One name gets a node or loses it. */
export interface NameStep {
  readonly folder: SeededFolderNode;
  readonly name: string;
  readonly node: SeededNode | undefined;
}

/** What a power cut does with names, and with each file that has bytes not synced, in order. */
export interface CrashMoods {
  readonly names: CrashMood;
  readonly files: readonly CrashMood[];
}

/** Steps that happen together or not at all. */
export type NameChange = readonly NameStep[];

export function newFolderNode(modifiedMs: number): SeededFolderNode {
  return { kind: 'folder', entries: new Map(), durable: new Map(), modifiedMs };
}

export function newFileNode(modifiedMs: number): SeededFileNode {
  return { kind: 'file', bytes: new SeededBytes(), modifiedMs };
}

export class SeededNames {
  readonly root: SeededFolderNode;
  #unsynced: NameChange[] = [];

  constructor(root: SeededFolderNode) {
    this.root = root;
  }

  /** The node at a path below the root; '' is the root. */
  find(path: string): SeededNode | undefined {
    let node: SeededNode | undefined = this.root;
    for (const name of path === '' ? [] : path.split('/')) {
      if (node?.kind !== 'folder') return undefined;
      node = node.entries.get(name);
    }
    return node;
  }

  apply(change: NameChange): void {
    for (const step of change) setIn(step.folder.entries, step);
    this.#unsynced.push(change);
  }

  syncFolder(folder: SeededFolderNode): void {
    this.#makeDurable(withEarlier(this.#unsynced, (change) => change.some((step) => step.folder === folder)));
  }

  /** Files with a durable name, and bytes that are not synced; in the order in which a crash goes through them. */
  get unsyncedFileCount(): number {
    return unsyncedFilesBelow(this.root);
  }

  get areNamesSynced(): boolean {
    return this.#unsynced.length === 0;
  }

  /** The tree that the next start finds; nothing in it is waiting for a sync. Moods that are not given are drawn. */
  afterCrash(random: Random, moods?: CrashMoods): SeededFolderNode {
    const mood = moods?.names ?? crashMood(random);
    const prefixCount = random.below(this.#unsynced.length + 1);
    const isKept = {
      lose: () => false,
      keep: () => true,
      prefix: (_: NameChange, index: number) => index < prefixCount,
      chance: () => random.below(2) === 0,
    }[mood];
    const lost = this.clone();
    lost.#makeDurable(withEarlier(lost.#unsynced, isKept));
    const left = moods?.files.values();
    return settled(lost.root, random, () => left?.next().value ?? crashMood(random));
  }

  clone(): SeededNames {
    const copyOf = copier();
    const copy = new SeededNames(copyOf(this.root) as SeededFolderNode);
    copy.#unsynced = this.#unsynced.map((change) =>
      change.map(({ folder, name, node }) => ({
        folder: copyOf(folder) as SeededFolderNode,
        name,
        node: node && copyOf(node),
      })),
    );
    return copy;
  }

  #makeDurable(changes: ReadonlySet<NameChange>): void {
    for (const change of changes) for (const step of change) setIn(step.folder.durable, step);
    this.#unsynced = this.#unsynced.filter((change) => !changes.has(change));
  }
}

function setIn(entries: Map<string, SeededNode>, step: NameStep): void {
  if (step.node === undefined) entries.delete(step.name);
  else entries.set(step.name, step.node);
}

/** The wanted changes and all earlier ones of the same names, in order. */
function withEarlier(
  changes: readonly NameChange[],
  isWanted: (change: NameChange, index: number) => boolean,
): ReadonlySet<NameChange> {
  const taken: NameChange[] = [];
  const touched = new Map<SeededFolderNode, Set<string>>();
  for (const [index, change] of [...changes.entries()].reverse()) {
    const isNeeded = change.some((step) => touched.get(step.folder)?.has(step.name));
    if (!isWanted(change, index) && !isNeeded) continue;
    taken.push(change);
    for (const { folder, name } of change) touched.set(folder, (touched.get(folder) ?? new Set()).add(name));
  }
  return new Set(taken.reverse());
}

/** The durable half of a tree as a tree of its own, each file as a power cut leaves it. */
function settled(folder: SeededFolderNode, random: Random, nextMood: () => CrashMood): SeededFolderNode {
  const found = newFolderNode(folder.modifiedMs);
  for (const [name, node] of durableOf(folder)) {
    const after = node.kind === 'folder' ? settled(node, random, nextMood) : settledFile(node, random, nextMood);
    found.entries.set(name, after);
    found.durable.set(name, after);
  }
  return found;
}

function durableOf(folder: SeededFolderNode): (readonly [string, SeededNode])[] {
  return [...folder.durable].sort(([a], [b]) => (a < b ? -1 : 1));
}

function settledFile(file: SeededFileNode, random: Random, nextMood: () => CrashMood): SeededFileNode {
  // Chance goes on for every file as if it had something to lose, so that outcomes do not hang on each other.
  const bytes = file.bytes.isSynced ? file.bytes.afterCrash(random) : file.bytes.afterCrash(random, nextMood());
  return {
    kind: 'file',
    bytes: new SeededBytes(bytes, bytes.twin()),
    modifiedMs: file.modifiedMs,
  };
}

function unsyncedFilesBelow(folder: SeededFolderNode): number {
  return durableOf(folder).reduce(
    (sum, [, node]) => sum + (node.kind === 'folder' ? unsyncedFilesBelow(node) : Number(!node.bytes.isSynced)),
    0,
  );
}

/** Copies nodes deeply, each one once, however many names it has. */
function copier(): (node: SeededNode) => SeededNode {
  const copies = new Map<SeededNode, SeededNode>();
  const copyOf = (node: SeededNode): SeededNode => {
    const known = copies.get(node);
    if (known !== undefined) return known;
    if (node.kind === 'file') {
      const file: SeededFileNode = { kind: 'file', bytes: node.bytes.clone(), modifiedMs: node.modifiedMs };
      copies.set(node, file);
      return file;
    }
    const folder = newFolderNode(node.modifiedMs);
    copies.set(node, folder);
    for (const [name, child] of node.entries) folder.entries.set(name, copyOf(child));
    for (const [name, child] of node.durable) folder.durable.set(name, copyOf(child));
    return folder;
  };
  return copyOf;
}
