/**
 * Where locks go in a tree. The key of a node is its id, which a rename does not change; a name in a folder has a key of
 * its own, so that something can be locked that is not there yet, and stays locked when it comes to be. Above a node
 * stand its name, its folder, that one's name, and so on up to the root, which stands for the user's whole tree. A node
 * with several names stands below all of them.
 *
 * What a change needs is read off its own change list: whatever it does, it must be allowed to change (X) the nodes and
 * names it names, and to change something (IX) in all that stands above them. Reading needs nothing.
 */
import { textOfBytes } from '../../api/index.ts';
import { hexOf, isPromise } from '../../base/index.ts';
import {
  CHANGE_KIND,
  type Change,
  type ChangeItem,
  type EntryRow,
  type Expect,
  intentOf,
  joinModes,
  type LockMode,
  type LockNeed,
  type MetaReader,
  NODE_KIND,
  type NodeId,
} from '../../meta/index.ts';
import type { Space } from '../context.ts';
import type { LockPlace } from './lock-manager.ts';

/** Folders above one another, as far as any path reaches. */
const DEPTH_MAX = 4_096;

export function keyOfNode(node: NodeId): string {
  return `n:${node}`;
}

export function keyOfName(parent: NodeId, name: Uint8Array): string {
  return `e:${parent}:${hexOf(name)}`;
}

/** A place in the tree as it was read, and what must still be so for it to be the same place. */
export interface FoundPlace {
  readonly place: LockPlace;
  readonly expects: readonly Expect[];
}

/** A folder, all above it, and what it is called. */
interface Chain {
  /** From the folder itself up to the root. */
  readonly keys: readonly string[];
  /** Nothing for the root. */
  readonly text: string;
  readonly expects: readonly Expect[];
}

/** Reads rows of one space, and remembers the chains it has gone up. */
export class LockPlaces {
  readonly #rows: MetaReader;
  readonly #space: Space;
  readonly #chains = new Map<NodeId, Chain>();
  /** Rows that are not there yet: what the change itself makes. */
  readonly #made = new Map<NodeId, EntryRow>();

  constructor(rows: MetaReader, space: Space, change?: Change) {
    this.#rows = rows;
    this.#space = space;
    for (const put of change?.puts ?? [])
      if (put.table === 'entries' && put.row.kind === NODE_KIND.folder) this.#made.set(put.row.node, put.row);
  }

  /** The place of a name in a folder, or of the node that it leads to. */
  async of(parent: NodeId, name: Uint8Array, mode: LockMode): Promise<FoundPlace> {
    const { space } = this.#space;
    const entry = await this.#rows.get('entries', [space, parent, name]);
    const folder = await this.#chain(parent);
    const key = [space, parent, name] as const;
    if (entry === undefined) {
      const place = { key: keyOfName(parent, name), mode, above: folder.keys };
      return { place, expects: [...folder.expects, { kind: 'absent', table: 'entries', key }] };
    }
    const { above, expects } = await this.#aboveNode(entry.node, entry);
    const isSame: Expect = { kind: 'row', table: 'entries', key, equals: { node: entry.node } };
    return { place: { key: keyOfNode(entry.node), mode, above }, expects: [...expects, isSame] };
  }

  async ofRoot(mode: LockMode): Promise<FoundPlace> {
    return { place: { key: keyOfNode(this.#space.root), mode, above: [] }, expects: [] };
  }

  /** What the change must be allowed, one mode a key, and what must be so for that to be right. */
  async needsOf(items: readonly ChangeItem[]): Promise<{ readonly needs: LockNeed[]; readonly expects: Expect[] }> {
    const needs = new Map<string, LockNeed>();
    const expects = new Map<string, Expect>();
    const add = (key: string, mode: LockMode, path: string): void => {
      const before = needs.get(key);
      needs.set(key, before === undefined ? { key, mode, path } : { ...before, mode: joinModes(before.mode, mode) });
    };
    for (const item of items) {
      for (const { key, mode, above, path, expects: facts } of await this.#placesOf(item)) {
        add(key, mode, path);
        for (const each of above) add(each, intentOf(mode), path);
        for (const fact of facts) expects.set(JSON.stringify(fact), fact);
      }
    }
    return { needs: [...needs.values()], expects: [...expects.values()] };
  }

  async #placesOf(item: ChangeItem): Promise<readonly (LockPlace & { path: string; expects: readonly Expect[] })[]> {
    const { before, after, kind } = item;
    const where = after ?? before;
    if (where === undefined) return [];
    const isNew = kind === CHANGE_KIND.create || kind === CHANGE_KIND.link;
    const isMove = kind === CHANGE_KIND.move;
    const names = [
      // A name that comes or goes; otherwise only something behind it changes.
      ...(before === undefined
        ? []
        : [{ ...before, mode: isMove || kind === CHANGE_KIND.remove ? 'X' : 'IX' } as const]),
      ...(after === undefined || !(isNew || isMove) ? [] : [{ ...after, mode: 'X' } as const]),
    ];
    const places = [];
    for (const { parent, name, mode } of names) {
      const folder = this.#chains.get(parent) ?? (await this.#chain(parent));
      const path = `${folder.text}/${textOfBytes(name)}`;
      places.push({ key: keyOfName(parent, name), mode, above: folder.keys, path, expects: folder.expects });
    }
    if (kind === CHANGE_KIND.create) return places;
    const { above, expects } = await this.#aboveNode(item.node, where);
    // What a folder says of itself is not what is in it.
    const isInside = kind === CHANGE_KIND.attributes && item.kind === NODE_KIND.folder;
    const mode = isInside || kind === CHANGE_KIND.link ? 'IX' : 'X';
    return [...places, { key: keyOfNode(item.node), mode, above, path: places[0]?.path ?? '/', expects }];
  }

  /** All names of a node, and all above them. */
  async #aboveNode(
    node: NodeId,
    known: Pick<EntryRow, 'parent' | 'name'>,
  ): Promise<{ above: readonly string[]; expects: readonly Expect[] }> {
    const read = this.#rows.get('nodes', [this.#space.space, node]);
    const row = isPromise(read) ? await read : read;
    if (row === undefined || node === this.#space.root) return { above: [], expects: [] };
    const isOne = row.kind === NODE_KIND.folder || row.links <= 1;
    const names = isOne ? [known] : await this.#namesOf(node);
    const above = new Set<string>();
    const expects: Expect[] = [];
    if (!isOne) expects.push({ kind: 'row', table: 'nodes', key: [row.space, node], equals: { links: row.links } });
    for (const { parent, name } of names) {
      const folder = this.#chains.get(parent) ?? (await this.#chain(parent));
      above.add(keyOfName(parent, name));
      for (const key of folder.keys) above.add(key);
      expects.push(...folder.expects);
    }
    return { above: [...above], expects };
  }

  async #namesOf(node: NodeId): Promise<readonly EntryRow[]> {
    return this.#rows.scan('entriesByNode', { prefix: [this.#space.space, node], limit: 1_000 });
  }

  async #chain(folder: NodeId, depth = 0): Promise<Chain> {
    const known = this.#chains.get(folder);
    if (known !== undefined) return known;
    const chain = await this.#climb(folder, depth);
    this.#chains.set(folder, chain);
    return chain;
  }

  async #climb(folder: NodeId, depth: number): Promise<Chain> {
    const own = keyOfNode(folder);
    if (folder === this.#space.root || depth > DEPTH_MAX) return { keys: [own], text: '', expects: [] };
    const made = this.#made.get(folder);
    const entry = made ?? (await this.#namesOf(folder))[0];
    if (entry === undefined) return { keys: [own], text: '', expects: [] };
    const { keys, text, expects } = await this.#chain(entry.parent, depth + 1);
    const { space, parent, name } = entry;
    const isSame: Expect = { kind: 'row', table: 'entries', key: [space, parent, name], equals: { node: folder } };
    return {
      keys: [own, keyOfName(parent, name), ...keys],
      text: `${text}/${textOfBytes(name)}`,
      expects: made === undefined ? [...expects, isSame] : expects,
    };
  }
}
