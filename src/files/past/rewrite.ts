/**
 * Bringing names and nodes back to what they were, as one change: what undo and restoring a folder have in common. Names
 * are wished to be there or to be gone, nodes to be as they were; what can stay itself does (a file that was moved is
 * moved back, one that is there gets its content as a new version), and what is gone is made anew and continues the
 * versions of what it was. A folder that is gone is built hidden, in steps, before the change that links it.
 *
 * Nothing is lost by it: contents that are replaced or removed become kept versions, and the change is a commit that can
 * be undone itself. Everything it stands on is expected, so that nobody's later change is overwritten unseen.
 */
import { type Path, textOfPath } from '../../api/index.ts';
import { equalBytes, Fault, type Moment } from '../../base/index.ts';
import {
  type AttributeRow,
  CHANGE_KIND,
  CHANGE_ROWS_MAX,
  type ChangeItem,
  type Delete,
  type EntryRow,
  type Expect,
  NODE_KIND,
  type NodeId,
  type NodeRow,
  type Put,
  REAP_KIND,
  THIS_COMMIT,
} from '../../meta/index.ts';
import type { Context, Space, View } from '../context.ts';
import { abandonFolder, buildHidden, type HiddenBuild } from '../copy.ts';
import { expectEntry, expectNode, itemOf, keptVersion, type Parts } from '../plan.ts';
import { attributeRows, kindOf } from '../record.ts';
import { nodeRow } from '../tree.ts';
import type { Losses } from './losses.ts';
import { contentOfPast, isSameBytes } from './past-content.ts';

/** Rows of the change that links everything; more is refused. */
const ROWS_MAX = CHANGE_ROWS_MAX - 1_000;
/** Lines of a plan that are told; the rest is counted. */
export const PLAN_LINES_MAX = 1_000;

export interface PlanLine {
  readonly change: 'added' | 'removed' | 'changed' | 'moved';
  readonly path: string;
  readonly kind: ReturnType<typeof kindOf>;
  /** Of what was moved: where it is now. */
  readonly from?: string;
}

/** A name that is there now and shall not be. */
interface Gone {
  readonly path: Path;
  readonly entry: EntryRow;
  readonly node: NodeRow;
}

/** A name that was there and shall be again. */
interface Wanted {
  readonly path: Path;
  readonly parent: NodeRow;
  readonly name: Uint8Array;
  /** As it was then. */
  readonly node: NodeRow;
  /** Made from nothing, also where it could be moved back. */
  readonly isAnew: boolean;
  /** In a folder that was built hidden and told as a whole. */
  readonly isHidden?: boolean;
}

interface Draft {
  readonly before: NodeRow;
  after: NodeRow;
  readonly isNew: boolean;
}

export interface RewriteOptions {
  readonly context: Context;
  readonly space: Space;
  /** What it shall be like again. */
  readonly view: View;
  readonly now: Moment;
  readonly signal?: AbortSignal | undefined;
  /** Nothing is built: only the plan is wanted. */
  readonly isDry: boolean;
  /** What is there elsewhere and gets its name back becomes what it was, too. Otherwise it stays as it is: names alone go back. */
  readonly restoresNodes?: boolean;
  /** A folder that is to be moved back: what is in it is compared too. */
  readonly onMovedFolder?: (past: NodeRow, live: NodeRow, path: Path) => Promise<void>;
}

export class Rewrite implements AsyncDisposable {
  readonly #options: RewriteOptions;
  readonly #gone: Gone[] = [];
  readonly #wanted: Wanted[] = [];
  readonly #drafts = new Map<NodeId, Draft>();
  /** What was made anew, by what it was. */
  readonly #made = new Map<NodeId, NodeId>();
  readonly #expects: Expect[] = [];
  readonly #puts: Put[] = [];
  readonly #deletes: Delete[] = [];
  readonly #items: ChangeItem[] = [];
  readonly #built: HiddenBuild[] = [];
  /** Keys of entries that go. */
  readonly #freed = new Set<string>();
  /** Nodes that are as they were, times included. */
  readonly #restored = new Set<NodeId>();
  /** Where nodes that change or go stand, and folders that go. */
  readonly #paths = new Map<NodeId, Path>();
  readonly #goneFolders: { readonly path: Path; readonly node: NodeRow }[] = [];
  readonly #goneAttributes: { readonly path: Path; readonly row: AttributeRow }[] = [];
  readonly #losing: { readonly parent: NodeId; readonly isFolder: boolean }[] = [];
  #liveBytes = 0;
  #historyBytes = 0;
  readonly lines: PlanLine[] = [];
  readonly counts = { added: 0, removed: 0, changed: 0, moved: 0 };

  constructor(options: RewriteOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#puts.length + this.#deletes.length + this.#drafts.size === 0 && this.lines.length === 0;
  }

  removeName(path: Path, entry: EntryRow, node: NodeRow): void {
    this.#gone.push({ path, entry, node });
    this.#checkBound();
  }

  addName(path: Path, parent: NodeRow, name: Uint8Array, node: NodeRow, isAnew = false): void {
    this.#wanted.push({ path, parent, name, node, isAnew });
    this.#checkBound();
  }

  /** The node as it is becomes what it was: content (as a new version), attributes, owner, times. */
  async restoreNode(path: Path, live: NodeRow, past: NodeRow): Promise<void> {
    // A file with several names is met at each of them.
    if (this.#restored.has(live.node)) return;
    this.#restored.add(live.node);
    const hasContent = live.kind === NODE_KIND.file && !(await this.#isSameContent(live, past));
    const attributes = await this.#attributeChanges(live, past);
    if (!hasContent && attributes.length === 0 && isSameRest(live, past)) return;
    const draft = this.#draft(live);
    this.#paths.set(live.node, path);
    if (hasContent) await this.#replaceContent(draft, past);
    draft.after = { ...draft.after, ...restOf(past), ...this.#changed() };
    this.#addAttributes(attributes);
    await this.#noteAttributes(path, live, attributes);
    const kind = hasContent ? CHANGE_KIND.restore : CHANGE_KIND.attributes;
    this.#items.push(itemOf(draft.after, kind, {}));
    this.#line({ change: 'changed', path: textOfPath(path), kind: kindOf(live) });
  }

  async #replaceContent(draft: Draft, past: NodeRow): Promise<void> {
    const { after } = draft;
    const content = await this.#contentOf(past);
    const kept = keptVersion(draft.before, this.#options.now);
    for (const row of kept) this.#puts.push({ table: 'versions', mode: 'insert', row });
    this.#historyBytes += kept.length > 0 ? draft.before.size : 0;
    this.#liveBytes += past.size - after.size;
    const { size } = past;
    draft.after = { ...after, content, size, version: after.version + 1, versionCommit: THIS_COMMIT };
  }

  async #isSameContent(live: NodeRow, past: NodeRow): Promise<boolean> {
    if (isSameVersion(live, past)) return true;
    const { context, space, view } = this.#options;
    return live.size === past.size && (await isSameBytes(space, context, live, view, past));
  }

  /** The content that it had, made anew where it was changed in place since. */
  async #contentOf(past: NodeRow): Promise<NodeRow['content']> {
    const { context, space, view, isDry } = this.#options;
    if (past.content === null || isDry) return past.content;
    const { content, puts, deletes } = await contentOfPast(context, space, view, past);
    this.#puts.push(...puts);
    this.#deletes.push(...deletes);
    return content;
  }

  /** Matches what goes with what comes, and plans it all. Whatever moves back may bring more with it. */
  async settle(): Promise<void> {
    while (this.#wanted.length + this.#gone.length > 0) {
      const wanted = this.#wanted.splice(0);
      const gone = new Map(this.#gone.splice(0).map((each) => [keyOf(each.entry), each]));
      const free = wanted.filter((each) => !this.#moveBack(each, gone));
      const moved = wanted.filter((each) => !free.includes(each));
      for (const each of gone.values()) await this.#remove(each);
      for (const each of free) await this.#make(each);
      for (const { path, node } of moved) await this.#restoreMoved(path, node);
      this.#checkBound();
    }
  }

  #checkBound(): void {
    const names = this.#gone.length + this.#wanted.length;
    const rows = 2 * names + this.#puts.length + this.#deletes.length + this.#drafts.size;
    if (rows <= ROWS_MAX) return;
    const sentence = `This would change more than ${ROWS_MAX} rows at once. Bring back smaller folders, one after the other.`;
    throw new Fault('too-large', sentence, { rows, rowsMax: ROWS_MAX });
  }

  /** Where the same node goes elsewhere in this very change, it is moved. */
  #moveBack(wanted: Wanted, gone: Map<string, Gone>): boolean {
    if (wanted.isAnew) return false;
    for (const [key, each] of gone) {
      if (each.node.node !== wanted.node.node || each.node.kind !== wanted.node.kind) continue;
      gone.delete(key);
      const { entry, node } = each;
      this.#deleteEntry(entry);
      this.#putEntry(wanted, node.node, node.kind);
      if (node.kind === NODE_KIND.folder) {
        this.#addLinks(wanted.parent, 1);
        const draft = this.#draft(node);
        draft.after = { ...draft.after, parent: wanted.parent.node };
      } else this.#draft(node);
      const before = { parent: entry.parent, name: entry.name };
      const after = { parent: wanted.parent.node, name: wanted.name };
      this.#items.push(itemOf(node, CHANGE_KIND.move, { before, after }));
      const [path, from] = [textOfPath(wanted.path), textOfPath(each.path)];
      this.#line({ change: 'moved', path, from, kind: kindOf(node) });
      this.#parentLoses(entry, node);
      return true;
    }
    return false;
  }

  async #restoreMoved(path: Path, past: NodeRow): Promise<void> {
    const live = this.#drafts.get(past.node)?.before;
    if (live === undefined || this.#options.restoresNodes !== true) return;
    await this.restoreNode(path, live, past);
    if (live.kind === NODE_KIND.folder) await this.#options.onMovedFolder?.(past, live, path);
  }

  #parentLoses(entry: EntryRow, node: NodeRow): void {
    this.#losing.push({ parent: entry.parent, isFolder: node.kind === NODE_KIND.folder });
  }

  async #remove({ path, entry, node }: Gone): Promise<void> {
    this.#deleteEntry(entry);
    this.#parentLoses(entry, node);
    const { parent, name, space } = entry;
    this.#items.push(itemOf(node, CHANGE_KIND.remove, { before: { parent, name } }));
    this.#line({ change: 'removed', path: textOfPath(path), kind: kindOf(node) });
    if (node.kind === NODE_KIND.folder) {
      this.#goneFolders.push({ path, node });
      const row = { space, kind: REAP_KIND.folder, target: node.node, owner: '', died: THIS_COMMIT };
      this.#puts.push({ table: 'reaps', mode: 'insert', row });
      return;
    }
    const draft = this.#draft(node);
    this.#paths.set(node.node, path);
    draft.after = { ...draft.after, links: draft.after.links - 1, ...this.#changed() };
  }

  async #noteAttributes(path: Path, live: NodeRow, changes: readonly (Put | Delete)[]): Promise<void> {
    if (changes.length === 0) return;
    const { context, space } = this.#options;
    const names = changes.map((change) => ('row' in change ? (change.row as AttributeRow).name : change.key.at(-1)));
    for (const row of await attributeRows(context, space, live))
      if (names.some((name) => name instanceof Uint8Array && equalBytes(name, row.name)))
        this.#goneAttributes.push({ path, row });
  }

  /** What of it would be lost for good; everything has been settled. */
  async tellLosses(losses: Losses): Promise<void> {
    for (const { path, node } of this.#goneFolders) await losses.removedFolder(path, node);
    for (const { path, row } of this.#goneAttributes) losses.attribute(path, row.name, row.born);
    for (const { before, after, isNew } of this.#drafts.values()) {
      const path = this.#paths.get(before.node);
      if (isNew || path === undefined) continue;
      if (after.kind !== NODE_KIND.folder && after.links <= 0) await losses.removed(path, before);
      else losses.changed(path, before, after);
    }
  }

  async #make(wanted: Wanted): Promise<void> {
    const { node, parent, name, path, isHidden } = wanted;
    if (isHidden !== true) this.#line({ change: 'added', path: textOfPath(path), kind: kindOf(node) });
    const known = node.kind === NODE_KIND.folder ? undefined : await this.#standing(node);
    if (known !== undefined) {
      const draft = this.#draft(known);
      if (!draft.isNew && this.#options.restoresNodes === true) await this.restoreNode(path, draft.before, node);
      draft.after = { ...draft.after, links: draft.after.links + 1, ...this.#changed() };
      this.#putEntry(wanted, draft.after.node, node.kind);
      this.#items.push(itemOf(draft.after, CHANGE_KIND.link, { after: { parent: parent.node, name } }));
      return;
    }
    const row = node.kind === NODE_KIND.folder ? await this.#build(wanted) : await this.#makeNode(wanted);
    this.#putEntry(wanted, row.node, node.kind);
    this.#items.push(itemOf(row, CHANGE_KIND.create, { after: { parent: parent.node, name } }));
  }

  /** A node that had several names, and is there already or was just made for another of them. */
  async #standing(past: NodeRow): Promise<NodeRow | undefined> {
    if (past.links <= 1) return undefined;
    const made = this.#made.get(past.node);
    if (made !== undefined) return this.#drafts.get(made)?.after;
    const live = await nodeRow(this.#options.context, this.#options.space, past.node);
    // One without a name is only open somewhere, and goes with that.
    return live?.kind === past.kind && live.links > 0 ? live : undefined;
  }

  async #makeNode({ node: past }: Wanted): Promise<NodeRow> {
    const { context, space, view } = this.#options;
    const node = await this.#revived(past);
    const fresh: NodeRow = {
      ...past,
      node: node ?? (await context.ids.node(space.space)),
      content: await this.#contentOf(past),
      links: 1,
      version: 1,
      versionCommit: THIS_COMMIT,
      replacedNode: node === undefined ? null : past.replacedNode,
      ...this.#changed(),
      born: 0,
    };
    const row = node === undefined ? fresh : await this.#continued(fresh, past);
    this.#drafts.set(row.node, { before: row, after: row, isNew: true });
    this.#made.set(past.node, row.node);
    for (const attribute of await attributeRows(view, space, past))
      this.#puts.push({ table: 'attributes', mode: 'insert', row: { ...attribute, node: row.node, born: 0 } });
    this.#liveBytes += row.size;
    return row;
  }

  /** What is gone altogether becomes itself again, so that what is known by its id goes on. */
  async #revived(past: NodeRow): Promise<NodeId | undefined> {
    const { context, space } = this.#options;
    if ((await nodeRow(context, space, past.node)) !== undefined) return undefined;
    this.#expects.push({ kind: 'absent', table: 'nodes', key: [space.space, past.node] });
    return past.node;
  }

  /** Above every version that is kept of it. */
  async #continued(fresh: NodeRow, past: NodeRow): Promise<NodeRow> {
    const { context, space } = this.#options;
    const prefix = [space.space, past.node] as const;
    const [kept] = await context.meta.scan('versions', { prefix, limit: 1, reverse: true });
    return { ...fresh, version: Math.max(past.version, kept?.version ?? 0) + 1 };
  }

  /** A folder with all that was in it, hidden until this change is done. */
  async #build({ parent, node: past, path }: Wanted): Promise<NodeRow> {
    const { context, space, view, signal, isDry } = this.#options;
    this.#addLinks(parent, 1);
    if (isDry) return past;
    const built = await buildHidden(context, space, {
      view,
      found: { path, node: past, entry: undefined },
      isSame: true,
      signal,
    });
    this.#built.push(built);
    const { root, links, outer } = built;
    for (const name of outer) this.#wanted.push({ ...name, isAnew: true, isHidden: true });
    this.#checkBound();
    const row: NodeRow = { ...root, parent: parent.node, links, ...restOf(past), ...this.#changed() };
    this.#puts.push({ table: 'nodes', mode: 'replace', row });
    this.#deletes.push({ table: 'reaps', key: [space.space, REAP_KIND.folder, root.node] });
    return row;
  }

  #deleteEntry(entry: EntryRow): void {
    this.#expects.push(expectEntry(entry));
    this.#freed.add(keyOf(entry));
    this.#deletes.push({ table: 'entries', key: [entry.space, entry.parent, entry.name] });
  }

  #putEntry({ parent, name, isHidden }: Wanted, node: NodeId, kind: NodeRow['kind']): void {
    const { space } = this.#options;
    // A hidden one is reachable once this is done, and is as old as it was.
    if (isHidden !== true) {
      this.#expects.push({ kind: 'reachable', space: space.space, folder: parent.node });
      this.#addLinks(parent, 0);
    }
    const row = { space: space.space, parent: parent.node, name, node, kind, born: 0 };
    this.#puts.push({ table: 'entries', mode: 'replace', row });
  }

  #draft(row: NodeRow): Draft {
    const known = this.#drafts.get(row.node);
    if (known !== undefined) return known;
    const draft = { before: row, after: row, isNew: false };
    this.#drafts.set(row.node, draft);
    return draft;
  }

  #addLinks(folder: NodeRow, links: number): void {
    const draft = this.#draft(folder);
    const { seconds, nanoseconds } = this.#options.now;
    const touched = this.#restored.has(folder.node)
      ? {}
      : { modifiedSeconds: seconds, modifiedNanoseconds: nanoseconds, ...this.#changed() };
    draft.after = { ...draft.after, ...touched, links: draft.after.links + links };
  }

  #changed(): Pick<NodeRow, 'changedSeconds' | 'changedNanoseconds'> {
    const { seconds, nanoseconds } = this.#options.now;
    return { changedSeconds: seconds, changedNanoseconds: nanoseconds };
  }

  async #attributeChanges(live: NodeRow, past: NodeRow): Promise<readonly (Put | Delete)[]> {
    const { context, space, view } = this.#options;
    const now = new Map((await attributeRows(context, space, live)).map((row) => [nameKey(row), row]));
    const changes: (Put | Delete)[] = [];
    for (const row of await attributeRows(view, space, past)) {
      const standing = now.get(nameKey(row));
      now.delete(nameKey(row));
      if (standing !== undefined && equalBytes(standing.value, row.value)) continue;
      changes.push({ table: 'attributes', mode: 'replace', row: { ...row, node: live.node, born: 0 } });
    }
    for (const { node, name } of now.values()) changes.push({ table: 'attributes', key: [space.space, node, name] });
    return changes;
  }

  #addAttributes(changes: readonly (Put | Delete)[]): void {
    for (const change of changes) {
      if ('row' in change) this.#puts.push(change);
      else this.#deletes.push(change);
    }
  }

  #line(line: PlanLine): void {
    this.counts[line.change]++;
    if (this.lines.length < PLAN_LINES_MAX) this.lines.push(line);
  }

  /** Everything as the parts of one change. */
  async parts(): Promise<Parts> {
    for (const { parent, isFolder } of this.#losing) {
      const row =
        this.#drafts.get(parent)?.after ?? (await nodeRow(this.#options.context, this.#options.space, parent));
      if (row !== undefined) this.#addLinks(row, isFolder ? -1 : 0);
    }
    // Only now it is known which names get free: what takes one may have been found before what leaves it.
    for (const { table, row } of this.#puts)
      if (table === 'entries' && !this.#freed.has(keyOf(row)))
        this.#expects.push({ kind: 'absent', table: 'entries', key: [row.space, row.parent, row.name] });
    const puts: Put[] = [];
    for (const draft of this.#drafts.values()) await this.#addDraft(draft, puts);
    return {
      expects: this.#expects,
      touches: [],
      // Versions first, so that no count touches zero in between.
      puts: [
        ...this.#puts.filter(({ table }) => table === 'versions'),
        ...puts,
        ...this.#puts.filter(({ table }) => table !== 'versions'),
      ],
      deletes: this.#deletes,
      items: this.#items,
      liveBytes: this.#liveBytes,
      historyBytes: this.#historyBytes,
    };
  }

  async #addDraft({ before, after, isNew }: Draft, puts: Put[]): Promise<void> {
    if (!isNew) this.#expects.push(expectNode(before));
    if (after.kind === NODE_KIND.folder || after.links > 0) {
      puts.push({ table: 'nodes', mode: isNew ? 'insert' : 'replace', row: after });
      return;
    }
    const { context, space, now } = this.#options;
    for (const row of keptVersion(before, now)) {
      puts.push({ table: 'versions', mode: 'replace', row });
      this.#historyBytes += before.size;
    }
    for (const { name } of await attributeRows(context, space, before))
      this.#deletes.push({ table: 'attributes', key: [space.space, before.node, name] });
    this.#deletes.push({ table: 'nodes', key: [space.space, before.node] });
    this.#liveBytes -= before.size;
  }

  /** The change is done: what was built belongs to the tree. */
  linked(): void {
    this.#built.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { context, space } = this.#options;
    for (const { root } of this.#built.splice(0)) await abandonFolder(context, space, root.node);
  }
}

function keyOf(entry: Pick<EntryRow, 'parent' | 'name'>): string {
  return `${entry.parent} ${Buffer.from(entry.name).toString('latin1')}`;
}

function nameKey({ name }: Pick<AttributeRow, 'name'>): string {
  return Buffer.from(name).toString('latin1');
}

/** The same bytes for certain: one content that has not been changed since. */
function isSameVersion(live: NodeRow, past: NodeRow): boolean {
  return (
    live.node === past.node && live.content === past.content && live.version === past.version && live.size === past.size
  );
}

/** What a node has besides content, links and history. */
function restOf(past: NodeRow): Partial<NodeRow> {
  const { mode, uid, gid, modifiedSeconds, modifiedNanoseconds } = past;
  const { accessedSeconds, accessedNanoseconds, createdSeconds, createdNanoseconds } = past;
  return {
    ...{ mode, uid, gid, modifiedSeconds, modifiedNanoseconds },
    ...{ accessedSeconds, accessedNanoseconds, createdSeconds, createdNanoseconds },
  };
}

function isSameRest(live: NodeRow, past: NodeRow): boolean {
  return Object.entries(restOf(past)).every(([name, value]) => live[name as keyof NodeRow] === value);
}
