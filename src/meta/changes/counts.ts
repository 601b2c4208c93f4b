/**
 * Everything that an engine counts, counted anew through nothing but scans: what a check compares and a recount writes.
 * It holds all counts in memory, so it is for engines that hold all rows there anyway; SQLite has the same in SQL
 * (sqlite-counts.ts).
 */

import type { Moment } from '../../base/index.ts';
import { type MetaProblem, SCAN_ROWS_MAX } from '../meta-store.ts';
import { missingRow, ODD, oddRow, wrongCount } from '../problems.ts';
import { get, type Steps, type WriteMode } from '../requests.ts';
import { keyString } from '../rows/row-key.ts';
import type { AnyRange } from '../rows/row-source.ts';
import { type ChunkRow, type ContentRow, type PackRow, REAP_KIND, type Rows, type TableName } from '../rows/rows.ts';
import { type Key, keyOf, type Row, TABLE_NAMES, table } from '../rows/tables.ts';

/** Sums of what rows say about one key. */
interface Sum {
  readonly key: Key;
  count: number;
  bytes: number;
}

interface Counts {
  readonly contents: Map<string, ContentRow>;
  readonly chunks: Map<string, ChunkRow>;
  readonly packs: Map<string, PackRow>;
  /** Contents in reaps. */
  readonly queued: Set<string>;
  readonly named: { readonly contents: Map<string, Sum>; readonly chunks: Map<string, Sum> };
  readonly lastCommits: Map<number, number>;
}

export function* checkCounts(): Steps<readonly MetaProblem[]> {
  const counts = yield* readCounts();
  const problems = [
    ...refsProblems('contents', counts.contents, counts.named.contents),
    ...[...counts.contents.values()].filter((row) => isUnqueued(row, counts)).map(queueProblem),
    ...refsProblems('chunks', counts.chunks, counts.named.chunks),
    ...[...counts.chunks.values()].flatMap((row) => [...chunkProblems(row, counts.chunks)]),
    ...packProblems(counts),
  ];
  for (const [space, commit] of counts.lastCommits) {
    const row = yield* get('spaces', [space]);
    if (row !== undefined && row.head < commit) problems.push(oddRow('spaces', [space], ODD.head));
  }
  return problems;
}

/** Writes what is wrong; answers how many rows were. */
export function* recountRows(now: Moment): Steps<number> {
  const counts = yield* readCounts();
  let wrong = 0;
  for (const [id, row] of counts.contents) {
    const refs = counts.named.contents.get(id)?.count ?? 0;
    if (refs !== row.refs) wrong += yield* write('contents', { ...row, refs }, 'update');
    if (!isUnqueued({ ...row, refs }, counts)) continue;
    const { space, content: target } = row;
    const died = (yield* get('spaces', [space]))?.head ?? 0;
    yield* write('reaps', { space, kind: REAP_KIND.content, target, owner: '', died }, 'insert');
  }
  for (const [id, row] of counts.chunks) {
    const refs = counts.named.chunks.get(id)?.count ?? 0;
    const fixed = { ...row, refs, zeroSeconds: refs > 0 ? null : (row.zeroSeconds ?? now.seconds) };
    if (refs === row.refs && fixed.zeroSeconds === row.zeroSeconds) continue;
    wrong += yield* write('chunks', fixed, 'update');
    counts.chunks.set(id, fixed);
  }
  const living = livingOf(counts.chunks);
  for (const [id, row] of counts.packs) {
    const { count: liveCount, bytes: liveBytes } = living.get(id) ?? { count: 0, bytes: 0 };
    if (row.liveCount !== liveCount || row.liveBytes !== liveBytes)
      wrong += yield* write('packs', { ...row, liveCount, liveBytes }, 'update');
  }
  return wrong;
}

function* write(name: TableName, row: object, mode: WriteMode): Steps<number> {
  yield { kind: 'put', table: name, row: row as Row, mode };
  return 1;
}

function* readCounts(): Steps<Counts> {
  const counts: Counts = {
    contents: yield* keyed('contents'),
    chunks: yield* keyed('chunks'),
    packs: yield* keyed('packs'),
    queued: new Set(),
    named: { contents: new Map(), chunks: new Map() },
    lastCommits: new Map(),
  };
  for (const row of yield* allRows('reaps'))
    if (row.kind === REAP_KIND.content) counts.queued.add(keyString([row.space, row.target]));
  for (const row of yield* allRows('commits')) counts.lastCommits.set(row.space, row.commit);
  const realms = new Map((yield* allRows('spaces')).map((row) => [row.space as number, row.realm as number]));
  for (const name of TABLE_NAMES) yield* countNamed(name, realms, counts);
  return counts;
}

function* countNamed(name: TableName, realms: ReadonlyMap<number, number>, counts: Counts): Steps<void> {
  const references = table(name).references;
  if (references === undefined) return;
  for (const row of (yield* allRows(name)) as readonly unknown[] as readonly Row[]) {
    const target = row[references.column] ?? null;
    if (target === null) continue;
    const space = row.space as number;
    const realm = name === 'chunks' ? (row.realm as number) : (realms.get(space) ?? 0);
    addTo(counts.named[references.to], [references.to === 'chunks' ? realm : space, target], 0);
  }
}

function* allRows<T extends TableName>(name: T): Steps<readonly Rows[T][]> {
  const rows: Rows[T][] = [];
  for (let after: Key | undefined; ; ) {
    const range: AnyRange = { prefix: [], ...(after === undefined ? {} : { after }), limit: SCAN_ROWS_MAX };
    const page = (yield { kind: 'scan', name, range }) as readonly Rows[T][];
    for (const row of page) rows.push(row);
    const last = page.at(-1);
    if (last === undefined || page.length < SCAN_ROWS_MAX) return rows;
    after = keyOf(table(name), last as unknown as Row);
  }
}

function* keyed<T extends TableName>(name: T): Steps<Map<string, Rows[T]>> {
  const rows = yield* allRows(name);
  return new Map(rows.map((row) => [keyString(keyOf(table(name), row as unknown as Row)), row]));
}

function addTo(sums: Map<string, Sum>, key: Key, bytes: number): void {
  const id = keyString(key);
  const sum = sums.get(id) ?? { key, count: 0, bytes: 0 };
  sum.count++;
  sum.bytes += bytes;
  sums.set(id, sum);
}

function* refsProblems(
  name: 'contents' | 'chunks',
  rows: ReadonlyMap<string, ContentRow | ChunkRow>,
  named: ReadonlyMap<string, Sum>,
): Generator<MetaProblem> {
  for (const [id, row] of rows) {
    const counted = named.get(id)?.count ?? 0;
    const key = keyOf(table(name), row as unknown as Row);
    if (counted !== row.refs) yield wrongCount(name, key, { stored: { refs: row.refs }, counted: { refs: counted } });
  }
  for (const [id, { key, count }] of named) if (!rows.has(id)) yield missingRow(name, key, { rows: count });
}

function isUnqueued(row: ContentRow, counts: Counts): boolean {
  return row.refs === 0 && !counts.queued.has(keyString([row.space, row.content]));
}

function queueProblem(row: ContentRow): MetaProblem {
  return oddRow('contents', [row.space, row.content], ODD.notQueued);
}

function* chunkProblems(row: ChunkRow, chunks: ReadonlyMap<string, ChunkRow>): Generator<MetaProblem> {
  if ((row.refs === 0) === (row.zeroSeconds === null)) yield oddRow('chunks', [row.realm, row.id], ODD.zeroTime);
  const base = row.base === null ? undefined : chunks.get(keyString([row.realm, row.base]));
  if (base !== undefined && base.depth >= row.depth) yield oddRow('chunks', [row.realm, row.id], ODD.depth);
}

/** Chunks with a reference and their stored bytes, by pack. */
function livingOf(chunks: ReadonlyMap<string, ChunkRow>): Map<string, Sum> {
  const living = new Map<string, Sum>();
  for (const row of chunks.values()) if (row.refs > 0) addTo(living, [row.realm, row.pack], row.storedLength);
  return living;
}

function* packProblems(counts: Counts): Generator<MetaProblem> {
  const living = livingOf(counts.chunks);
  for (const [id, row] of counts.packs) {
    const { count, bytes } = living.get(id) ?? { count: 0, bytes: 0 };
    if (row.liveCount === count && row.liveBytes === bytes) continue;
    const stored = { liveCount: row.liveCount, liveBytes: row.liveBytes };
    yield wrongCount('packs', [row.realm, row.pack], { stored, counted: { liveCount: count, liveBytes: bytes } });
  }
  for (const [id, { key, count }] of living)
    if (!counts.packs.has(id)) yield missingRow('packs', key, { chunks: count });
}
