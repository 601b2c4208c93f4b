/**
 * Everything that the SQLite engine counts, counted anew in SQL: what a check compares and a recount writes. Sums of
 * references live in a temporary table, which SQLite spills to disk, so memory stays within the page cache.
 *
 * Counting is one synchronous step, since numbers of two moments would not add up while others write; reckon with about
 * a second for a million extents.
 */
import type { Moment } from '../../base/index.ts';
import { REAP_KIND, type TableName } from '../rows/rows.ts';
import { type Key, type Row, TABLE_NAMES, table } from '../rows/tables.ts';
import { quoted, type SqlDatabase, type SqlValue } from '../sql.ts';

/** Rows that a recount writes in one transaction. */
const RECOUNT_ROWS = 5_000;

/** Fills temp.counted with (owner, target, refs) for everything that names a row of `to`; the caller drops it. */
export function countReferences(db: SqlDatabase, to: 'chunks' | 'contents'): void {
  const selects = TABLE_NAMES.flatMap((name) => {
    const references = table(name).references;
    return references?.to === to ? [referenceSql(name, references.column, to)] : [];
  });
  db.exec(`
    DROP TABLE IF EXISTS temp.counted;
    CREATE TEMP TABLE counted (
      owner INTEGER NOT NULL, target NOT NULL, refs INTEGER NOT NULL, PRIMARY KEY (owner, target)
    ) WITHOUT ROWID;
    INSERT INTO counted SELECT owner, target, count(*) FROM (${selects.join(' UNION ALL ')}) GROUP BY owner, target;
  `);
}

export function dropCounted(db: SqlDatabase): void {
  db.exec('DROP TABLE temp.counted');
}

function referenceSql(name: TableName, column: string, to: 'chunks' | 'contents'): string {
  const from = `FROM ${quoted(name)} AS t`;
  const where = `WHERE t.${quoted(column)} IS NOT NULL`;
  if (name === 'chunks') return `SELECT t.realm AS owner, t.${quoted(column)} AS target ${from} ${where}`;
  if (to === 'contents') return `SELECT t.space AS owner, t.${quoted(column)} AS target ${from} ${where}`;
  return `SELECT s.realm AS owner, t.${quoted(column)} AS target ${from} JOIN spaces AS s USING (space) ${where}`;
}

/** Key and counted refs of every row of `to`: (owner, target, stored, counted), to be narrowed by more conditions. */
export function comparedSql(to: 'chunks' | 'contents'): string {
  const [owner, target] = table(to).key.map(quoted);
  return `SELECT t.${owner}, t.${target}, t.refs, coalesce(k.refs, 0)
    FROM ${quoted(to)} AS t LEFT JOIN counted AS k ON k.owner = t.${owner} AND k.target = t.${target}
    WHERE t.refs <> coalesce(k.refs, 0)`;
}

/** Named rows of `to` that are not there: (owner, target, rows that name it). */
export function missingSql(to: 'chunks' | 'contents'): string {
  const [owner, target] = table(to).key.map(quoted);
  return `SELECT k.owner, k.target, k.refs FROM counted AS k
    LEFT JOIN ${quoted(to)} AS t ON k.owner = t.${owner} AND k.target = t.${target} WHERE t.refs IS NULL`;
}

/** (space, content) that nobody names and nobody will take apart. */
export const UNQUEUED_SQL = `SELECT t.space, t.content FROM contents AS t WHERE t.refs = 0 AND NOT EXISTS (
  SELECT 1 FROM reaps AS r WHERE r.space = t.space AND r.kind = ${REAP_KIND.content} AND r.target = t.content)`;

/** (realm, id) whose refs and zeroSeconds contradict each other. */
export const TIMELESS_SQL = 'SELECT t.realm, t.id FROM chunks AS t WHERE (t.refs = 0) = (t.zeroSeconds IS NULL)';

/** (realm, id) that are not deeper than their base. */
export const DEEP_SQL = `SELECT t.realm, t.id FROM chunks AS t JOIN chunks AS b ON b.realm = t.realm AND b.id = t.base
  WHERE b.depth >= t.depth`;

const LIVING_SQL = `SELECT realm, pack, count(*) AS n, sum(storedLength) AS bytes FROM chunks WHERE refs > 0
  GROUP BY realm, pack`;

/** (realm, pack, liveCount, liveBytes, counted count, counted bytes) of packs where they differ. */
export const LIVE_SQL = `SELECT t.realm, t.pack, t.liveCount, t.liveBytes, coalesce(l.n, 0), coalesce(l.bytes, 0)
  FROM packs AS t LEFT JOIN (${LIVING_SQL}) AS l ON l.realm = t.realm AND l.pack = t.pack
  WHERE (t.liveCount <> coalesce(l.n, 0) OR t.liveBytes <> coalesce(l.bytes, 0))`;

/** (realm, pack, chunks) of packs that living chunks name and that are not there. */
export const LOST_PACKS_SQL = `SELECT l.realm, l.pack, l.n FROM (${LIVING_SQL}) AS l
  LEFT JOIN packs AS t ON t.realm = l.realm AND t.pack = l.pack WHERE t.pack IS NULL`;

/** (space) whose head lies before a commit. */
export const HEADS_SQL = `SELECT s.space FROM spaces AS s
  WHERE s.head < (SELECT max(c."commit") FROM commits AS c WHERE c.space = s.space)`;

/** What a recount needs of the engine. */
export interface RecountEngine {
  readonly db: SqlDatabase;
  transaction<T>(act: () => T): T;
  get(name: TableName, key: Key): Row | undefined;
  put(name: TableName, row: Row): void;
}

/** Writes what is wrong, in transactions of RECOUNT_ROWS; answers how many rows were. */
export function recountSqlite(engine: RecountEngine, now: Moment): number {
  const { db } = engine;
  let wrong = 0;
  countReferences(db, 'contents');
  wrong += fixRows(engine, 'contents', comparedSql('contents'), ([, , , refs]) => ({ refs: Number(refs) }));
  fixEach(engine, 'contents', UNQUEUED_SQL, ([space, target]) => {
    const died = engine.get('spaces', [space] as Key)?.head ?? 0;
    engine.put('reaps', { space, target, kind: REAP_KIND.content, owner: '', died } as Row);
  });
  countReferences(db, 'chunks');
  const zeroSeconds = (refs: number): Row => ({ refs, zeroSeconds: refs > 0 ? null : now.seconds });
  wrong += fixRows(engine, 'chunks', comparedSql('chunks'), ([, , , refs]) => zeroSeconds(Number(refs)));
  dropCounted(db);
  wrong += fixRows(engine, 'chunks', TIMELESS_SQL, (_, row) => zeroSeconds(Number(row.refs)));
  wrong += fixRows(engine, 'packs', LIVE_SQL, ([, , , , liveCount, liveBytes]) => ({
    liveCount: Number(liveCount),
    liveBytes: Number(liveBytes),
  }));
  return wrong;
}

function fixRows(
  engine: RecountEngine,
  name: 'contents' | 'chunks' | 'packs',
  sql: string,
  fix: (values: readonly SqlValue[], row: Row) => Row,
): number {
  return fixEach(engine, name, sql, (values) => {
    const row = engine.get(name, values.slice(0, 2) as Key);
    if (row !== undefined) engine.put(name, { ...row, ...fix(values, row) });
  });
}

/** Goes through the rows that a query finds, in key order, a transaction a page. */
function fixEach(
  engine: RecountEngine,
  name: 'contents' | 'chunks' | 'packs',
  sql: string,
  fix: (values: readonly SqlValue[]) => void,
): number {
  const [owner, target] = table(name).key.map((column) => `t.${quoted(column)}`);
  const first = engine.db.prepare(`${sql} ORDER BY ${owner}, ${target} LIMIT ${RECOUNT_ROWS}`);
  const next = engine.db.prepare(
    `${sql} AND (${owner}, ${target}) > (?, ?) ORDER BY ${owner}, ${target} LIMIT ${RECOUNT_ROWS}`,
  );
  let count = 0;
  for (let page = first.all([]); page.length > 0; page = next.all((page.at(-1) ?? []).slice(0, 2))) {
    engine.transaction(() => page.forEach(fix));
    count += page.length;
  }
  return count;
}
