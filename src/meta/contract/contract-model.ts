/**
 * A model of metadata that is slow and obvious, for the contract: maps of rows that are copied whole for every change,
 * every reference counted anew from all rows, and a picture of the space kept after every commit. It says what a change
 * must leave behind, or with which faults it must be refused.
 */
import { compareMoments, equalBytes, type FaultCode, type Moment } from '../../base/index.ts';
import { areCompatible } from '../lock-modes.ts';
import { type Change, type Expect, type LocksExpect, THIS_COMMIT } from '../meta-store.ts';
import { keyString } from '../rows/row-key.ts';
import {
  type ChunkRow,
  type LockRow,
  NODE_KIND,
  type PinRow,
  REAP_KIND,
  type SpaceRow,
  type TableName,
} from '../rows/rows.ts';
import { type Key, keyOf, type Row, TABLE_NAMES, table, type Value } from '../rows/tables.ts';

export type State = Map<TableName, Map<string, Row>>;

export const VISIBLE_TABLES = ['nodes', 'entries', 'attributes', 'extents'] as const;

export class Model {
  #state: State = new Map(TABLE_NAMES.map((name) => [name, new Map<string, Row>()]));
  /** What was visible at each commit, by `space commit`: inner steps count as part of the head commit. */
  readonly pictures = new Map<string, State>();

  rows(name: TableName): readonly Row[] {
    const rows = [...mapOf(this.#state, name)];
    return rows.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  }

  get<R>(name: TableName, key: Key): R | undefined {
    return mapOf(this.#state, name).get(keyString(key)) as R | undefined;
  }

  /** The codes with which the change may be refused; none when it must go through. */
  apply(change: Change): readonly FaultCode[] {
    const draft: State = new Map([...this.#state].map(([name, rows]) => [name, new Map(rows)]));
    const codes = new Attempt(this.#state, draft, change).run();
    if (codes.length > 0) return codes;
    this.#paint(change, draft);
    this.#state = draft;
    return [];
  }

  #paint(change: Change, draft: State): void {
    const space = change.space;
    if (space === undefined) return;
    const head = (mapOf(draft, 'spaces').get(keyString([space])) as unknown as SpaceRow).head;
    for (const name of VISIBLE_TABLES) {
      for (const [id, row] of mapOf(this.#state, name)) {
        if (mapOf(draft, name).get(id) === row) continue;
        // What was reaped as if it had died earlier is in no picture from then on.
        for (let commit = change.died ?? head; commit < head; commit++) {
          const picture = this.pictures.get(`${space} ${commit}`);
          if (picture !== undefined && mapOf(picture, name).get(id) === row) mapOf(picture, name).delete(id);
        }
      }
    }
    const own = (rows: Map<string, Row>): Map<string, Row> =>
      new Map([...rows].filter(([, row]) => row.space === space));
    this.pictures.set(`${space} ${head}`, new Map(VISIBLE_TABLES.map((name) => [name, own(mapOf(draft, name))])));
  }
}

function mapOf(state: State, name: TableName): Map<string, Row> {
  return state.get(name) ?? new Map<string, Row>();
}

const same = (a: Value | undefined, b: Value | undefined): boolean =>
  a instanceof Uint8Array && b instanceof Uint8Array ? equalBytes(a, b) : a === b;

class Attempt {
  readonly #before: State;
  readonly #draft: State;
  readonly #change: Change;
  /** Keys that were put or deleted. */
  readonly #named = new Map<TableName, Set<string>>();
  #number = 0;
  #died = 0;

  constructor(before: State, draft: State, change: Change) {
    this.#before = before;
    this.#draft = draft;
    this.#change = change;
  }

  run(): readonly FaultCode[] {
    const { expects = [], touches = [], deletes = [], puts = [], record, now } = this.#change;
    for (const expect of expects) {
      const code = expect.kind === 'locks' ? this.#lockCode(expect) : this.#holds(expect) ? undefined : 'conflict';
      if (code !== undefined) return [code];
    }
    const space = this.#space();
    const head: Moment = { seconds: space?.headSeconds ?? 0, nanoseconds: space?.headNanoseconds ?? 0 };
    this.#number = (space?.head ?? 0) + (record === undefined ? 0 : 1);
    this.#died = this.#change.died ?? this.#number;
    for (const { space: of, folder, links } of touches) if (!this.#touch([of, folder], links)) return ['conflict'];
    for (const { table: name, key } of deletes) this.#set(name, keyString(key), undefined);
    for (const { table: name, row, mode } of puts) this.#put(name, row as unknown as Row, mode);
    if (space !== undefined) {
      const time = record !== undefined && compareMoments(now, head) > 0 ? now : head;
      if (!this.#settleSpace(space.space, time)) return ['quota'];
    }
    for (const name of ['nodes', 'entries', 'attributes'] as const) this.#keepPast(name, () => true);
    if (!this.#countContents()) return ['conflict'];
    this.#keepPast('extents', (row) => Number(this.#row('contents', [row.space, row.content])?.refs ?? 0) > 0);
    return this.#countChunks() ? [] : ['gone', 'conflict'];
  }

  #row(name: TableName, key: readonly (Value | undefined)[]): Row | undefined {
    return mapOf(this.#draft, name).get(keyString(key as Key));
  }

  #space(): SpaceRow | undefined {
    return this.#row('spaces', [this.#change.space ?? 0]) as SpaceRow | undefined;
  }

  #set(name: TableName, id: string, row: Row | undefined): void {
    this.#named.set(name, (this.#named.get(name) ?? new Set()).add(id));
    if (row === undefined) mapOf(this.#draft, name).delete(id);
    else mapOf(this.#draft, name).set(id, row);
  }

  #holds(expect: Exclude<Expect, LocksExpect>): boolean {
    if (expect.kind === 'empty')
      return ![...mapOf(this.#before, 'entries').values()].some(
        (row) => row.space === expect.space && row.parent === expect.folder,
      );
    if (expect.kind === 'unnamed')
      return expect.chunks.every(
        (id) => mapOf(this.#before, 'chunks').get(keyString([expect.realm, id]))?.pack !== expect.pack,
      );
    if (expect.kind === 'reachable') return this.#isReachable(expect.space, expect.folder);
    const row = mapOf(this.#before, expect.table).get(keyString(expect.key));
    if (expect.kind === 'absent') return row === undefined;
    return (
      row !== undefined && Object.entries(expect.equals ?? {}).every(([column, value]) => same(row[column], value))
    );
  }

  /** Why the locks there are refuse the change. */
  #lockCode({ space, held, needs }: LocksExpect): FaultCode | undefined {
    const all = [...mapOf(this.#before, 'locks').values()] as unknown as LockRow[];
    const rows = all.filter((row) => row.space === space);
    const alive = rows.filter(
      (row) => row.expiresMs > this.#change.now.seconds * 1000 + this.#change.now.nanoseconds / 1e6,
    );
    if (held.some((token) => !alive.some((row) => row.token === token))) return 'lock-lost';
    if (needs === undefined) return rows.length > 0 ? 'conflict' : undefined;
    const own = new Set(alive.filter((row) => held.includes(row.token)).map((row) => row.session));
    const inTheWay = alive.some((row) =>
      needs.some((need) => need.key === row.key && !own.has(row.session) && !areCompatible(need.mode, row.mode)),
    );
    return inTheWay ? 'locked' : undefined;
  }

  #isReachable(space: number, folder: number): boolean {
    const row = mapOf(this.#before, 'nodes').get(keyString([space, folder]));
    if (row === undefined || row.kind !== NODE_KIND.folder || typeof row.parent !== 'number') return false;
    const reaps = [...mapOf(this.#before, 'reaps').values()];
    const folders = reaps.filter((reap) => reap.space === space && reap.kind === REAP_KIND.folder);
    if (folders.length === 0) return true;
    if (folders.some((reap) => reap.target === folder)) return false;
    return row.parent === folder || this.#isReachable(space, row.parent);
  }

  #touch(key: Key, links: number): boolean {
    const row = this.#row('nodes', key);
    if (row === undefined || row.kind !== NODE_KIND.folder) return false;
    const { now } = this.#change;
    const touched: Record<string, Value> = { ...row, links: Number(row.links) + links, born: this.#number };
    for (const kind of ['modified', 'changed']) {
      const old = { seconds: Number(row[`${kind}Seconds`]), nanoseconds: Number(row[`${kind}Nanoseconds`]) };
      const later = compareMoments(now, old) > 0 ? now : old;
      touched[`${kind}Seconds`] = later.seconds;
      touched[`${kind}Nanoseconds`] = later.nanoseconds;
    }
    this.#set('nodes', keyString(key), touched);
    return true;
  }

  #put(name: TableName, given: Row, mode: string): void {
    const of = table(name);
    const id = keyString(keyOf(of, given));
    const current = mapOf(this.#draft, name).get(id);
    if (mode === 'keep' && current !== undefined) return;
    const row: Record<string, Value> = { ...given };
    for (const column of of.commitColumns) if (row[column] === THIS_COMMIT) row[column] = this.#number;
    if (of.hasBorn) row.born = this.#number;
    // Deleted and replaced in one change, it is the same row still; inserted, it begins with what it is given.
    const counted = mode === 'insert' ? undefined : (current ?? mapOf(this.#before, name).get(id));
    if (counted !== undefined) for (const column of of.counted) row[column] = counted[column] ?? null;
    this.#set(name, id, row);
  }

  #settleSpace(id: number, time: Moment): boolean {
    const { record, bytes = { live: 0, history: 0 } } = this.#change;
    const space = this.#row('spaces', [id]) as unknown as SpaceRow;
    const [liveBytes, historyBytes] = [space.liveBytes + bytes.live, space.historyBytes + bytes.history];
    const isOver = space.quotaBytes !== null && liveBytes + historyBytes > space.quotaBytes;
    if (isOver && bytes.live + bytes.history > 0) return false;
    const head = { head: this.#number, headSeconds: time.seconds, headNanoseconds: time.nanoseconds };
    mapOf(this.#draft, 'spaces').set(keyString([id]), { ...space, ...head, liveBytes, historyBytes } as unknown as Row);
    if (record === undefined) return true;
    const { actor, door, request, kind, operation = '', items } = record;
    const commit: Row = { space: id, commit: this.#number, ...time, actor, door, request, kind, operation };
    mapOf(this.#draft, 'commits').set(keyString([id, this.#number]), commit);
    for (const [sequence, { node, kind: what, before, after, version }] of items.entries())
      mapOf(this.#draft, 'changes').set(keyString([id, this.#number, sequence]), {
        space: id,
        commit: this.#number,
        sequence,
        node,
        kind: what,
        parentBefore: before?.parent ?? null,
        nameBefore: before?.name ?? null,
        parentAfter: after?.parent ?? null,
        nameAfter: after?.name ?? null,
        version: version ?? null,
      });
    return true;
  }

  #keepPast(name: TableName, isWanted: (row: Row) => boolean): void {
    const history = table(name).history;
    for (const id of this.#named.get(name) ?? []) {
      const row = mapOf(this.#before, name).get(id);
      if (history === undefined || row === undefined || !isWanted(row) || !this.#isPinned(row)) continue;
      const past: Row = { ...row, died: this.#died };
      mapOf(this.#draft, history).set(keyString(keyOf(table(history), past)), past);
    }
  }

  #isPinned(row: Row): boolean {
    const born = Number(row.born);
    for (const each of mapOf(this.#before, 'pins').values()) {
      const pin = each as unknown as PinRow;
      if (pin.space !== row.space) continue;
      if (pin.expiresSeconds !== null && pin.expiresSeconds <= this.#change.now.seconds) continue;
      for (let commit = born; commit < this.#died; commit++)
        if (commit >= pin.fromCommit && (pin.toCommit === null || commit <= pin.toCommit)) return true;
    }
    return false;
  }

  /** How many rows name each content or chunk; false for one that is not there. */
  #recount(to: 'contents' | 'chunks'): Map<string, number> | undefined {
    const refs = new Map<string, number>();
    for (const name of TABLE_NAMES) {
      const references = table(name).references;
      if (references?.to !== to) continue;
      for (const row of mapOf(this.#draft, name).values()) {
        const target = row[references.column] ?? null;
        if (target === null) continue;
        const realm = row.realm ?? this.#row('spaces', [row.space])?.realm;
        const id = keyString([to === 'chunks' ? realm : row.space, target] as Key);
        if (!mapOf(this.#draft, to).has(id)) return undefined;
        refs.set(id, (refs.get(id) ?? 0) + 1);
      }
    }
    return refs;
  }

  #countContents(): boolean {
    const counts = this.#recount('contents');
    if (counts === undefined) return false;
    for (const [id, row] of mapOf(this.#draft, 'contents')) {
      const refs = counts.get(id) ?? 0;
      const before = mapOf(this.#before, 'contents').get(id);
      const reap = keyString([row.space, REAP_KIND.content, row.content] as Key);
      const isQueued = mapOf(this.#draft, 'reaps').has(reap);
      if (refs > 0 && before?.refs === 0 && isQueued) return false;
      if (refs === 0 && !isQueued)
        mapOf(this.#draft, 'reaps').set(reap, {
          space: row.space ?? 0,
          kind: REAP_KIND.content,
          target: row.content ?? 0,
          owner: '',
          died: this.#died,
        });
      mapOf(this.#draft, 'contents').set(id, { ...row, refs });
    }
    return true;
  }

  #countChunks(): boolean {
    const counts = this.#recount('chunks');
    if (counts === undefined) return false;
    const living = new Map<string, { bytes: number; count: number }>();
    for (const [id, each] of mapOf(this.#draft, 'chunks')) {
      const row = each as unknown as ChunkRow;
      const base = row.base === null ? undefined : this.#row('chunks', [row.realm, row.base]);
      if (base !== undefined && Number(base.depth) >= row.depth) return false;
      const refs = counts.get(id) ?? 0;
      const zeroSeconds = refs > 0 ? null : (row.zeroSeconds ?? this.#change.now.seconds);
      mapOf(this.#draft, 'chunks').set(id, { ...row, refs, zeroSeconds } as unknown as Row);
      if (refs === 0) continue;
      const pack = keyString([row.realm, row.pack]);
      if (!mapOf(this.#draft, 'packs').has(pack)) return false;
      const { bytes, count } = living.get(pack) ?? { bytes: 0, count: 0 };
      living.set(pack, { bytes: bytes + row.storedLength, count: count + 1 });
    }
    for (const [id, row] of mapOf(this.#draft, 'packs')) {
      const { bytes, count } = living.get(id) ?? { bytes: 0, count: 0 };
      mapOf(this.#draft, 'packs').set(id, { ...row, liveBytes: bytes, liveCount: count });
    }
    return true;
  }
}
