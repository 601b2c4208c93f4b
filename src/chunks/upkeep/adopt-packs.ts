/**
 * The rows of packs, after the metadata was brought back from an older state of itself, made to say what is there: packs
 * that came later get a row, packs that were written anew as another object are found again (their header says which
 * pack they are), and each has the length and the state that its object shows. What the rows of chunks say is another
 * matter (rebuild.ts).
 *
 * Chunks that nobody named in the older state may have been collected since: their rows go, and those of packs of which
 * nothing is left. A chunk that is named and gone keeps its row, so that a check tells who needs it.
 *
 * What a row says is durable before the row is: a process that was killed may have left bytes that a power cut still takes.
 *
 * A row whose object is still there keeps it, even if a newer one of the same pack is there too: a pack is only written
 * anew without what nobody needed any more, and the older state may need it. No object is removed here.
 */
import { type Clock, Fault, type Log } from '../../base/index.ts';
import {
  type Change,
  type ChunkId,
  type MetaStore,
  PACK_STATE,
  type PackId,
  type PackRow,
  type RealmId,
} from '../../meta/index.ts';
import type { ObjectInfo, ObjectStore } from '../../objects/index.ts';
import type { AdoptedPacks } from '../chunk-store.ts';
import { keyOfId } from '../hashes/ids.ts';
import { getRange, loadIndex, type PackObject, recordPlaces, walkRecords } from '../packs/pack-file.ts';
import { PACK_HEADER_BYTES, readPackHeader } from '../packs/pack-format.ts';
import { breath, chunkRows, packRows } from './stats.ts';

const PACK_PREFIX = 'packs/';
/** Rows of one change. */
const STEP_ROWS = 1_000;

export interface AdoptContext {
  readonly objects: ObjectStore;
  readonly meta: MetaStore;
  readonly realm: RealmId;
  readonly idBytes: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Nobody writes to the packs meanwhile. Safe to repeat. */
export async function adoptPacks(
  context: AdoptContext,
  signal?: AbortSignal,
): Promise<Pick<AdoptedPacks, 'added' | 'changed'>> {
  const rows = new Map<PackId, PackRow>();
  for await (const row of packRows(context)) rows.set(row.pack, row);
  const places = await placesOf(context, rows, signal);
  let [added, changed] = [0, 0];
  for (const [pack, info] of places) {
    const row = await rowOf(context, pack, info, rows.get(pack));
    const before = rows.get(pack);
    if (before !== undefined && isSame(before, row)) continue;
    await makeDurable(context.objects, info);
    if (before === undefined) added++;
    else changed++;
    await put(context, row);
    if (signal?.aborted) throw Fault.aborted(signal, 'Looking through the packs');
  }
  return { added, changed };
}

/** The object of each pack. */
async function placesOf(
  context: AdoptContext,
  rows: ReadonlyMap<PackId, PackRow>,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<PackId, ObjectInfo>> {
  const places = new Map<PackId, ObjectInfo>();
  const byObject = new Map([...rows.values()].map((row) => [row.object, row.pack]));
  for await (const info of packObjects(context.objects)) {
    if (signal?.aborted) throw Fault.aborted(signal, 'Looking through the packs');
    const known = byObject.get(info.name);
    const pack = known ?? (await packOf(context, info));
    if (pack === undefined) continue;
    if (known !== undefined || !places.has(pack)) places.set(pack, info);
  }
  return places;
}

async function* packObjects(objects: ObjectStore): AsyncGenerator<ObjectInfo> {
  let after: string | undefined;
  do {
    const page = await objects.list({ prefix: PACK_PREFIX, ...(after === undefined ? {} : { after }) });
    yield* page.objects;
    after = page.next;
  } while (after !== undefined);
}

/** Which pack an object says it is; undefined for one that does not say it, or is of another realm. */
async function packOf({ objects, realm, idBytes, log }: AdoptContext, info: ObjectInfo): Promise<PackId | undefined> {
  const bytes = await getRange(objects, info.name, 0, PACK_HEADER_BYTES);
  const header = bytes === undefined ? undefined : readPackHeader(bytes);
  if (header?.realm === realm && header.idBytes === idBytes) return header.pack;
  log.warn('chunks.object-not-adopted', { object: info.name, lengthBytes: info.lengthBytes });
  return undefined;
}

async function rowOf(context: AdoptContext, pack: PackId, info: ObjectInfo, row?: PackRow): Promise<PackRow> {
  const { realm, idBytes, objects, clock } = context;
  const place: PackObject = { realm, pack, idBytes, object: info.name, lengthBytes: info.lengthBytes };
  const sealed = await loadIndex(objects, place);
  const fresh = { realm, pack, liveBytes: 0, liveCount: 0, createdSeconds: clock.now().seconds, verifiedSeconds: null };
  const is = { ...fresh, ...row, object: info.name, owner: '' };
  if (sealed !== undefined)
    return { ...is, state: PACK_STATE.sealed, lengthBytes: info.lengthBytes, recordCount: sealed.index.count };
  // A sealed pack whose index is damaged is damaged, not open: nothing is cut off it.
  if (row !== undefined && row.state !== PACK_STATE.open && row.object === info.name) return { ...row };
  return { ...is, state: PACK_STATE.open, ...(await measure(objects, place)) };
}

/** Up to the end of the last record that can be told; what is behind was being written. */
async function measure(
  objects: ObjectStore,
  place: PackObject,
): Promise<{ readonly lengthBytes: number; readonly recordCount: number }> {
  let [lengthBytes, recordCount] = [Math.min(PACK_HEADER_BYTES, place.lengthBytes), 0];
  for await (const step of walkRecords(objects, place)) {
    if (step.kind !== 'record') continue;
    recordCount++;
    lengthBytes = step.offset + step.header.recordLength;
  }
  return { lengthBytes, recordCount };
}

/** Nothing is added: what only appends left becomes as durable as what was put. */
async function makeDurable(objects: ObjectStore, { name, lengthBytes }: ObjectInfo): Promise<void> {
  if (!objects.abilities.append || lengthBytes === 0) return;
  await using appender = await objects.append(name, lengthBytes);
  await appender.sync();
}

function isSame(a: PackRow, b: PackRow): boolean {
  return (
    a.object === b.object && a.state === b.state && a.lengthBytes === b.lengthBytes && a.recordCount === b.recordCount
  );
}

/**
 * Removes rows of chunks that nobody names and that are not in their packs, then rows of packs without an object in
 * which nothing is named. After references were counted.
 */
export async function forgetCollected(
  context: AdoptContext,
  signal?: AbortSignal,
): Promise<Pick<AdoptedPacks, 'missing' | 'forgotten'>> {
  const unnamed = new Map<PackId, ChunkId[]>();
  for await (const rows of chunkRows(context))
    for (const { id, pack, refs } of rows) {
      if (refs > 0) continue;
      const ids = unnamed.get(pack);
      if (ids === undefined) unnamed.set(pack, [id]);
      else ids.push(id);
    }
  let count = 0;
  for (const [pack, ids] of unnamed) {
    if (signal?.aborted) throw Fault.aborted(signal, 'Looking through the packs');
    const isThere = await recordsOf(context, pack);
    const lost = ids.filter((id) => !isThere(id));
    for (let at = 0; at < lost.length; at += STEP_ROWS) await deleteRows(context, pack, lost.slice(at, at + STEP_ROWS));
    count += lost.length;
  }
  return { missing: await forgetPacks(context), forgotten: count };
}

/** Which chunks a pack has a record of; none when there is no object. */
async function recordsOf({ meta, realm, objects, idBytes }: AdoptContext, pack: PackId) {
  const row = await meta.get('packs', [realm, pack]);
  const isThere = row !== undefined && (await objects.head(row.object)) !== undefined;
  if (!isThere) return () => false;
  const place: PackObject = { realm, pack, object: row.object, lengthBytes: row.lengthBytes, idBytes };
  const sealed = row.state === PACK_STATE.open ? undefined : await loadIndex(objects, place);
  if (sealed !== undefined) return (id: ChunkId) => sealed.index.find(id) !== undefined;
  const places = await recordPlaces(objects, place);
  return (id: ChunkId) => places.has(keyOfId(id));
}

async function deleteRows({ meta, realm, clock }: AdoptContext, pack: PackId, ids: readonly ChunkId[]): Promise<void> {
  const keys = ids.map((id) => [realm, id] as const);
  const change: Change = {
    now: clock.now(),
    expects: keys.map((key) => ({ kind: 'row', table: 'chunks', key, equals: { pack, refs: 0 } })),
    deletes: keys.map((key) => ({ table: 'chunks', key })),
  };
  for (const outcome of await meta.commit([change])) if (!outcome.ok) throw outcome.fault;
  await breath();
}

/** Answers how many packs are needed and gone. */
async function forgetPacks(context: AdoptContext): Promise<number> {
  let missing = 0;
  const named = new Set<PackId>();
  for await (const rows of chunkRows(context)) for (const { pack } of rows) named.add(pack);
  for await (const { realm, pack, object } of packRows(context)) {
    if ((await context.objects.head(object)) !== undefined) continue;
    if (named.has(pack)) {
      missing++;
      continue;
    }
    const change: Change = { now: context.clock.now(), deletes: [{ table: 'packs', key: [realm, pack] }] };
    for (const outcome of await context.meta.commit([change])) if (!outcome.ok) throw outcome.fault;
  }
  return missing;
}

async function put({ meta, clock }: AdoptContext, row: PackRow): Promise<void> {
  const change: Change = { now: clock.now(), puts: [{ table: 'packs', mode: 'replace', row }] };
  for (const outcome of await meta.commit([change])) if (!outcome.ok) throw outcome.fault;
  await breath();
}
