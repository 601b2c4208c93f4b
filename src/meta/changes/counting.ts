/**
 * Counted references. A reference is one row that names a chunk or a content; a row that moves to history goes on
 * naming it. Per change, what is lowered and raised is first added up, then every counted row is read and written once:
 * contents first (one that falls to 0 is queued in reaps), then chunks, then the packs whose living share they change.
 *
 * A raise needs the named row: an absent chunk is Fault `gone` (store it anew), an absent content, or one that is
 * already queued to be taken apart, is `conflict` (decide anew). A counted row that is deleted must end unnamed.
 * Lowering what is absent does nothing: then the index was lost, and whoever rebuilds it counts what is left.
 */
import { assert, Fault, hexOf } from '../../base/index.ts';
import type { ChunkId, ContentId, PackId, RealmId, SpaceId } from '../ids.ts';
import { keyString } from '../rows/row-key.ts';
import { type ChunkRow, type ContentRow, type PackRow, REAP_KIND, type TableName } from '../rows/rows.ts';
import { shownKey, shownPlace } from '../rows/show.ts';
import { type Key, type Row, type Table, table } from '../rows/tables.ts';
import { staleFault } from './expects.ts';
import type { Slot } from './overlay.ts';
import type { Run } from './run.ts';

interface Delta {
  readonly key: Key;
  /** The key as a string. */
  readonly id: string;
  refs: number;
  /** The counted row itself changes too, so it is looked at whatever the difference. */
  isChanged: boolean;
}

/** Differences of references by the key of what is named. */
class Tally {
  readonly #deltas: Delta[] = [];
  /** By key string, once there are too many to look through. */
  #byId: Map<string, Delta> | undefined;

  at(key: Key, id: string): Delta {
    const known = this.#byId === undefined ? this.#deltas.find((delta) => delta.id === id) : this.#byId.get(id);
    if (known !== undefined) return known;
    const delta: Delta = { key, id, refs: 0, isChanged: false };
    this.#deltas.push(delta);
    if (this.#byId !== undefined) this.#byId.set(id, delta);
    else if (this.#deltas.length > DELTAS_LOOKED_THROUGH_MAX)
      this.#byId = new Map(this.#deltas.map((each) => [each.id, each]));
    return delta;
  }

  differing(): readonly Delta[] {
    return this.#deltas.filter((delta) => delta.refs !== 0 || delta.isChanged);
  }
}

/** Differences up to which they are looked through one by one. */
const DELTAS_LOOKED_THROUGH_MAX = 8;
const NO_DELTAS: readonly Delta[] = [];

const CHUNKS = table('chunks');
const CONTENTS = table('contents');
const PACKS = table('packs');
const REAPS = table('reaps');

/** What the changed rows no longer name and newly name; `kept` are those whose row before went to history. */
function tallyOf(
  to: 'chunks' | 'contents',
  slots: readonly Slot[],
  kept: ReadonlySet<Slot>,
  run: Run,
): readonly Delta[] {
  let tally: Tally | undefined;
  for (let i = 0; i < slots.length; i++) {
    const slot = slots[i] as Slot;
    if (slot.of.name !== to && slot.of.references?.to !== to) continue;
    tally ??= new Tally();
    if (slot.of.name === to) tally.at(slot.key, slot.id).isChanged = true;
    if (slot.of.references?.to !== to) continue;
    const before = kept.has(slot) ? undefined : namedKey(slot.of, slot.before, run);
    const after = namedKey(slot.of, slot.after, run);
    if (before !== undefined) tally.at(before, keyString(before)).refs--;
    if (after !== undefined) tally.at(after, keyString(after)).refs++;
  }
  return tally?.differing() ?? NO_DELTAS;
}

function namedKey(of: Table, row: Row | undefined, run: Run): Key | undefined {
  const { references } = of;
  const target = references === undefined ? null : (row?.[references.column] ?? null);
  if (row === undefined || target === null) return undefined;
  const owner = of === CHUNKS ? row.realm : references?.to === 'chunks' ? run.space?.realm : row.space;
  return [owner as number, target];
}

export function settleContents(run: Run, slots: readonly Slot[], kept: ReadonlySet<Slot>): void {
  for (const delta of tallyOf('contents', slots, kept, run)) settleContent(run, delta);
}

function settleContent(run: Run, delta: Delta): void {
  const key = delta.key as readonly [SpaceId, ContentId];
  const slot = run.overlay.slotAt(CONTENTS, key, delta.id);
  const before = slot.before as ContentRow | undefined;
  const row = (slot.after ?? before) as ContentRow | undefined;
  if (row === undefined) {
    if (delta.refs > 0) throw staleFault('row', 'contents', key, null);
    return;
  }
  const refs = row.refs + delta.refs;
  if (refs < 0) throw countFault('contents', key, { refs });
  if (slot.after === undefined) {
    mustBeUnnamed('contents', key, refs);
    return;
  }
  if (refs > 0 && before?.refs === 0) mustNotBeQueued(run, key);
  if (refs === 0) queueContent(run, key);
  if (refs !== row.refs) run.overlay.set(slot, { ...row, refs } as unknown as Row);
}

/** A queued content may be half taken apart already; whoever built it hidden removes the note in the same change. */
function mustNotBeQueued(run: Run, key: readonly [SpaceId, ContentId]): void {
  const reap = run.overlay.read('reaps', [key[0], REAP_KIND.content, key[1]]);
  if (reap !== undefined) throw staleFault('row', 'contents', key, { refs: 0, reaped: true, owner: reap.owner });
}

/** One that is being built has the note of its builder already. */
function queueContent(run: Run, key: readonly [SpaceId, ContentId]): void {
  const [space, target] = key;
  if (run.overlay.read('reaps', [space, REAP_KIND.content, target]) !== undefined) return;
  const row = { space, kind: REAP_KIND.content, target, owner: '', died: run.died };
  run.overlay.put(REAPS, row, 'insert');
}

/** What chunks of one pack add to its living share. */
interface PackDelta {
  readonly key: readonly [RealmId, PackId];
  bytes: number;
  count: number;
  /** Chunks that come to life here. */
  readonly raised: ChunkId[];
}

export function settleChunks(run: Run, slots: readonly Slot[], kept: ReadonlySet<Slot>): void {
  const deltas = tallyOf('chunks', slots, kept, run);
  if (deltas.length === 0 && !slots.some((slot) => slot.of === PACKS)) return;
  const packs = new Map<string, PackDelta>();
  const gone: ChunkId[] = [];
  for (const delta of deltas) settleChunk(run, delta, packs, gone);
  if (gone.length > 0) throw goneFault(gone, {});
  for (const slot of slots) if (slot.of === PACKS) packAt(packs, slot.key as PackDelta['key']);
  for (const delta of packs.values()) settlePack(run, delta);
}

function settleChunk(run: Run, delta: Delta, packs: Map<string, PackDelta>, gone: ChunkId[]): void {
  const key = delta.key as readonly [RealmId, ChunkId];
  const slot = run.overlay.slotAt(CHUNKS, key, delta.id);
  const before = slot.before as ChunkRow | undefined;
  const row = (slot.after ?? before) as ChunkRow | undefined;
  if (row === undefined) {
    if (delta.refs > 0) gone.push(key[1]);
    return;
  }
  const refs = row.refs + delta.refs;
  if (refs < 0) throw countFault('chunks', key, { refs });
  addLiving(packs, before, -1);
  if (slot.after === undefined) {
    mustBeUnnamed('chunks', key, refs);
    return;
  }
  // Dependants are not looked up here; a base that got deeper could close a circle.
  assert(before === undefined || row.depth <= before.depth, 'a chunk that is replaced gets no deeper', { refs });
  const after = { ...row, refs, zeroSeconds: refs > 0 ? null : (row.zeroSeconds ?? run.change.now.seconds) };
  addLiving(packs, after, 1);
  if (before === undefined || before.base !== after.base || delta.isChanged) mustHaveBase(run, after, gone);
  run.overlay.set(slot, after as unknown as Row);
}

/** The base may have been removed, or stored anew with another depth, since the record was written against it. */
function mustHaveBase(run: Run, row: ChunkRow, gone: ChunkId[]): void {
  if (row.base === null) return;
  const base = run.overlay.read('chunks', [row.realm, row.base]);
  if (base === undefined || base.depth >= row.depth) gone.push(row.base);
}

function packAt(packs: Map<string, PackDelta>, key: PackDelta['key']): PackDelta {
  const id = keyString(key);
  const known = packs.get(id) ?? { key, bytes: 0, count: 0, raised: [] };
  packs.set(id, known);
  return known;
}

function addLiving(packs: Map<string, PackDelta>, row: ChunkRow | undefined, sign: 1 | -1): void {
  if (row === undefined || row.refs === 0) return;
  const delta = packAt(packs, [row.realm, row.pack]);
  delta.bytes += sign * row.storedLength;
  delta.count += sign;
  if (sign === 1) delta.raised.push(row.id);
}

function settlePack(run: Run, delta: PackDelta): void {
  const slot = run.overlay.slot('packs', delta.key);
  const row = (slot.after ?? slot.before) as PackRow | undefined;
  if (row === undefined) {
    // Its bytes went away between the append and this commit, or it was never committed: they must be stored anew.
    if (delta.count > 0) throw goneFault(delta.raised, { pack: delta.key[1] });
    return;
  }
  const liveBytes = row.liveBytes + delta.bytes;
  const liveCount = row.liveCount + delta.count;
  if (liveBytes < 0 || liveCount < 0) throw countFault('packs', delta.key, { liveBytes, liveCount });
  if (slot.after === undefined) {
    mustBeUnnamed('packs', delta.key, liveCount);
    return;
  }
  if (delta.bytes === 0 && delta.count === 0) return;
  run.overlay.set(slot, { ...row, liveBytes, liveCount } as unknown as Row);
}

function mustBeUnnamed(name: TableName, key: Key, refs: number): void {
  if (refs !== 0) throw staleFault('row', name, key, { refs });
}

function goneFault(chunks: readonly ChunkId[], about: Readonly<Record<string, unknown>>): Fault {
  const ids = [...new Set(chunks.map(hexOf))];
  const what = ids.length === 1 ? `The chunk ${ids[0]} is` : `${ids.length} chunks are`;
  return new Fault('gone', `${what} no longer in the store. Store the bytes anew.`, { ...about, chunks: ids });
}

function countFault(name: TableName, key: Key, counts: Readonly<Record<string, number>>): Fault {
  const of = table(name);
  const sentence = `The references of ${shownPlace(of, key)} do not add up: they would fall below zero. Run a check.`;
  return new Fault('corrupt', sentence, { table: name, key: shownKey(of, key), ...counts });
}
