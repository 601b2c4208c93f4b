/**
 * The rows of each operation, as pure functions: rows that were read in, a change's parts out. Nothing here reads,
 * waits or knows the time by itself, so every plan can be printed, tested and decided again.
 */
import type { Moment } from '../base/index.ts';
import {
  CHANGE_KIND,
  type Change,
  type ChangeItem,
  type ChangeKind,
  type ContentId,
  type Delete,
  type EntryRow,
  type Expect,
  NODE_KIND,
  type NodeId,
  type NodeKind,
  type NodeRow,
  type Put,
  REAP_KIND,
  THIS_COMMIT,
  type Touch,
  type VersionRow,
} from '../meta/index.ts';
import type { Caller, Space } from './context.ts';
import type { Place } from './tree.ts';

/** Parts of a change; several add up to one. */
export interface Parts {
  readonly expects: readonly Expect[];
  readonly touches: readonly Touch[];
  readonly puts: readonly Put[];
  readonly deletes: readonly Delete[];
  readonly items: readonly ChangeItem[];
  readonly liveBytes: number;
  readonly historyBytes: number;
}

export const NO_PARTS: Parts = {
  expects: [],
  touches: [],
  puts: [],
  deletes: [],
  items: [],
  liveBytes: 0,
  historyBytes: 0,
};

export function joinParts(all: readonly Partial<Parts>[]): Parts {
  const sum = new PartsSum();
  for (const parts of all) sum.add(parts);
  return sum.parts();
}

/** Parts that add up, each list in the order in which they came. */
export class PartsSum {
  readonly #expects: Expect[] = [];
  /** One touch a folder, however many names change in it. */
  readonly #touches = new Map<NodeId, Touch>();
  readonly #puts: Put[] = [];
  readonly #deletes: Delete[] = [];
  readonly #items: ChangeItem[] = [];
  readonly #reachable = new Set<NodeId>();
  #liveBytes = 0;
  #historyBytes = 0;

  add({ expects, touches, puts, deletes, items, liveBytes = 0, historyBytes = 0 }: Partial<Parts>): void {
    if (expects !== undefined) for (const expect of expects) this.#expect(expect);
    if (touches !== undefined) for (const touch of touches) this.#touch(touch);
    if (puts !== undefined) for (const put of puts) this.#puts.push(put);
    if (deletes !== undefined) for (const gone of deletes) this.#deletes.push(gone);
    if (items !== undefined) for (const item of items) this.#items.push(item);
    this.#liveBytes += liveBytes;
    this.#historyBytes += historyBytes;
  }

  /** The rows of a content go before all that names it; a hidden one stops being a thing to reap. */
  addContent({ puts, reap }: { readonly puts: readonly Put[]; readonly reap: readonly Delete[] }): void {
    for (const put of puts) this.#puts.push(put);
    for (const gone of reap) this.#deletes.push(gone);
  }

  /** Of many names in a folder each expects that it can be reached; that is asked once. */
  #expect(expect: Expect): void {
    if (expect.kind === 'reachable') {
      if (this.#reachable.has(expect.folder)) return;
      this.#reachable.add(expect.folder);
    }
    this.#expects.push(expect);
  }

  #touch(touch: Touch): void {
    const before = this.#touches.get(touch.folder);
    this.#touches.set(touch.folder, before === undefined ? touch : joinedTouch(before, touch));
  }

  /** Nothing is added afterwards. */
  parts(): Parts {
    return {
      expects: this.#expects,
      touches: [...this.#touches.values()],
      puts: this.#puts,
      deletes: this.#deletes,
      items: this.#items,
      liveBytes: this.#liveBytes,
      historyBytes: this.#historyBytes,
    };
  }
}

function joinedTouch(one: Touch, other: Touch): Touch {
  const keepsModified = one.keepsModified === true && other.keepsModified === true;
  return { ...one, links: one.links + other.links, keepsModified };
}

/** The change of one operation, recorded as one commit. */
export function changeOf(space: Space, caller: Caller, kind: string, now: Moment, parts: Parts): Change {
  const { expects, touches, puts, deletes, items } = parts;
  const locks: Expect = { kind: 'locks', space: space.space, held: caller.lockTokens ?? [] };
  return {
    space: space.space,
    now,
    record: { actor: caller.user, door: caller.door, request: caller.request, kind, items },
    expects: [...expects, locks],
    touches,
    puts,
    deletes,
    bytes: { live: parts.liveBytes, history: parts.historyBytes },
  };
}

/** Permission bits of what is made without saying which. */
export const MODE_DEFAULT = { file: 0o644, folder: 0o755, symlink: 0o777 } as const;

export interface NewNode {
  readonly node: NodeId;
  readonly kind: NodeKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size?: number;
  readonly content?: ContentId | null;
  readonly target?: Uint8Array | null;
  readonly modified?: Moment | undefined;
}

export function newNode(space: Space, parent: NodeId, now: Moment, fields: NewNode): NodeRow {
  const modified = fields.modified ?? now;
  return {
    space: space.space,
    node: fields.node,
    kind: fields.kind,
    parent: fields.kind === NODE_KIND.folder ? parent : null,
    mode: fields.mode,
    uid: fields.uid,
    gid: fields.gid,
    links: fields.kind === NODE_KIND.folder ? 2 : 1,
    size: fields.size ?? 0,
    content: fields.content ?? null,
    version: 1,
    versionCommit: THIS_COMMIT,
    replacedNode: null,
    modifiedSeconds: modified.seconds,
    modifiedNanoseconds: modified.nanoseconds,
    changedSeconds: now.seconds,
    changedNanoseconds: now.nanoseconds,
    accessedSeconds: modified.seconds,
    accessedNanoseconds: modified.nanoseconds,
    createdSeconds: now.seconds,
    createdNanoseconds: now.nanoseconds,
    device: 0,
    target: fields.target ?? null,
    born: 0,
  };
}

/** A node appears at a free place. Whoever made the folder with a time may have it keep that. */
export function planCreate(
  space: Space,
  place: Pick<Place, 'parent' | 'name'>,
  node: NodeRow,
  keepsModified = false,
): Partial<Parts> {
  const parent = place.parent.node;
  const entry: EntryRow = { space: space.space, parent, name: place.name, node: node.node, kind: node.kind, born: 0 };
  const isFolder = node.kind === NODE_KIND.folder;
  return {
    expects: [
      { kind: 'absent', table: 'entries', key: [space.space, parent, place.name] },
      { kind: 'reachable', space: space.space, folder: parent },
    ],
    touches: [{ space: space.space, folder: parent, links: isFolder ? 1 : 0, keepsModified }],
    puts: [
      { table: 'nodes', mode: 'insert', row: node },
      { table: 'entries', mode: 'insert', row: entry },
    ],
    items: [itemOf(node, CHANGE_KIND.create, { after: { parent, name: place.name } })],
    liveBytes: node.size,
  };
}

/** The node must be as it was read; its row says when it last changed. */
export function expectNode(node: NodeRow): Expect {
  return {
    kind: 'row',
    table: 'nodes',
    key: [node.space, node.node],
    equals: { born: node.born, version: node.version },
  };
}

export function expectEntry(entry: EntryRow): Expect {
  return { kind: 'row', table: 'entries', key: [entry.space, entry.parent, entry.name], equals: { node: entry.node } };
}

/** A version that is no longer current, so that it can be kept. Nothing for a file that has no content yet. */
export function keptVersion(node: NodeRow, now: Moment, heir: NodeId | null = null): readonly VersionRow[] {
  if (node.content === null) return [];
  return [
    {
      space: node.space,
      node: node.node,
      version: node.version,
      content: node.content,
      commit: node.versionCommit,
      replacedBy: THIS_COMMIT,
      size: node.size,
      modifiedSeconds: node.modifiedSeconds,
      modifiedNanoseconds: node.modifiedNanoseconds,
      replacedSeconds: now.seconds,
      replacedNode: node.replacedNode,
      heir,
    },
  ];
}

function keep(node: NodeRow, now: Moment, heir: NodeId | null = null): Pick<Parts, 'puts' | 'historyBytes'> {
  const rows = keptVersion(node, now, heir);
  return {
    puts: rows.map((row) => ({ table: 'versions', mode: 'insert', row })),
    historyBytes: rows.length > 0 ? node.size : 0,
  };
}

export interface NewContent {
  readonly content: ContentId;
  readonly size: number;
  readonly modified: Moment;
  readonly mode?: number | undefined;
}

/** A file gets another content; what it had becomes a kept version. The new row comes with it. */
export function planReplace(
  node: NodeRow,
  where: { readonly parent: NodeId; readonly name: Uint8Array },
  fresh: NewContent,
  now: Moment,
  kind: ChangeKind = CHANGE_KIND.write,
): { readonly parts: Partial<Parts>; readonly row: NodeRow } {
  const row: NodeRow = {
    ...node,
    content: fresh.content,
    size: fresh.size,
    mode: fresh.mode ?? node.mode,
    version: node.version + 1,
    versionCommit: THIS_COMMIT,
    modifiedSeconds: fresh.modified.seconds,
    modifiedNanoseconds: fresh.modified.nanoseconds,
    changedSeconds: now.seconds,
    changedNanoseconds: now.nanoseconds,
  };
  const kept = keep(node, now);
  const parts: Partial<Parts> = {
    expects: [expectNode(node)],
    // The kept version first, so that the old content's count never touches zero.
    puts: [...kept.puts, { table: 'nodes', mode: 'replace', row }],
    items: [itemOf(row, kind, { before: where, after: where })],
    liveBytes: fresh.size - node.size,
    historyBytes: kept.historyBytes,
  };
  return { parts, row };
}

/** A name goes; with its last name the node goes, and its last version is kept. */
export function planUnlink(
  entry: EntryRow,
  node: NodeRow,
  attributes: readonly Uint8Array[],
  now: Moment,
  options: { readonly isEmptyFolder?: boolean; readonly heir?: NodeId | null } = {},
): Partial<Parts> {
  const { space, parent, name } = entry;
  const isLast = node.kind === NODE_KIND.folder || node.links <= 1;
  const kept = isLast ? keep(node, now, options.heir ?? null) : { puts: [], historyBytes: 0 };
  const row: NodeRow = {
    ...node,
    links: node.links - 1,
    changedSeconds: now.seconds,
    changedNanoseconds: now.nanoseconds,
  };
  return {
    expects: [
      expectEntry(entry),
      expectNode(node),
      ...(options.isEmptyFolder ? ([{ kind: 'empty', space, folder: node.node }] as const) : []),
    ],
    touches: [{ space, folder: parent, links: node.kind === NODE_KIND.folder ? -1 : 0 }],
    puts: isLast ? kept.puts : [{ table: 'nodes', mode: 'replace', row }],
    deletes: [
      { table: 'entries', key: [space, parent, name] },
      ...(isLast
        ? [
            ...attributes.map((attribute): Delete => ({ table: 'attributes', key: [space, node.node, attribute] })),
            { table: 'nodes', key: [space, node.node] } satisfies Delete,
          ]
        : []),
    ],
    items: [itemOf(node, CHANGE_KIND.remove, { before: { parent, name } })],
    liveBytes: isLast ? -node.size : 0,
    historyBytes: kept.historyBytes,
  };
}

/** A folder goes with all that is in it: unlinked in one commit, taken apart later in steps. */
export function planUnlinkTree(entry: EntryRow, node: NodeRow): Partial<Parts> {
  const { space, parent, name } = entry;
  return {
    expects: [expectEntry(entry)],
    touches: [{ space, folder: parent, links: -1 }],
    puts: [
      {
        table: 'reaps',
        mode: 'insert',
        row: { space, kind: REAP_KIND.folder, target: node.node, owner: '', died: THIS_COMMIT },
      },
    ],
    deletes: [{ table: 'entries', key: [space, parent, name] }],
    items: [itemOf(node, CHANGE_KIND.remove, { before: { parent, name } })],
  };
}

/**
 * A file that takes another's place goes on above its numbers, so that the versions of the path rise through both.
 */
export function inPlaceOf(node: NodeRow, target: NodeRow): NodeRow {
  const version = Math.max(node.version, target.version) + 1;
  return { ...node, replacedNode: target.node, version, versionCommit: THIS_COMMIT };
}

/** A node moves from one name to a free one, or to that of a file that goes in the same change: `target`. */
export function planMove(
  entry: EntryRow,
  node: NodeRow,
  to: Pick<Place, 'parent' | 'name'>,
  now: Moment,
  target?: NodeRow,
): { readonly parts: Partial<Parts>; readonly row: NodeRow } {
  const { space } = entry;
  const isFolder = node.kind === NODE_KIND.folder;
  const row: NodeRow = {
    ...(target === undefined ? node : inPlaceOf(node, target)),
    parent: isFolder ? to.parent.node : null,
    changedSeconds: now.seconds,
    changedNanoseconds: now.nanoseconds,
  };
  const links = isFolder && entry.parent !== to.parent.node ? 1 : 0;
  const goal: EntryRow = { space, parent: to.parent.node, name: to.name, node: node.node, kind: node.kind, born: 0 };
  const parts: Partial<Parts> = {
    expects: [
      expectEntry(entry),
      expectNode(node),
      { kind: 'reachable', space, folder: entry.parent },
      { kind: 'reachable', space, folder: to.parent.node },
    ],
    touches: [
      { space, folder: entry.parent, links: -links },
      { space, folder: to.parent.node, links },
    ],
    deletes: [{ table: 'entries', key: [space, entry.parent, entry.name] }],
    puts: [
      { table: 'entries', mode: 'replace', row: goal },
      { table: 'nodes', mode: 'replace', row },
    ],
    items: [
      itemOf(row, CHANGE_KIND.move, {
        before: { parent: entry.parent, name: entry.name },
        after: { parent: to.parent.node, name: to.name },
      }),
    ],
  };
  return { parts, row };
}

export function itemOf(
  node: Pick<NodeRow, 'node' | 'kind' | 'version'>,
  kind: ChangeKind,
  where: Pick<ChangeItem, 'before' | 'after'>,
): ChangeItem {
  return { node: node.node, kind, ...where, ...(node.kind === NODE_KIND.file ? { version: node.version } : {}) };
}
