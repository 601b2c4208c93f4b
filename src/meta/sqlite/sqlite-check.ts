/**
 * Reads the whole database and names what is damaged: SQLite's own structure, the checksum of every row, and every
 * count that rows do not add up to. Rows are read in pages, with a turn for everybody else between two; each count is
 * one synchronous step (sqlite-counts.ts says why).
 */
import { Fault } from '../../base/index.ts';
import type { MetaProblem } from '../meta-store.ts';
import { missingRow, ODD, oddRow, wrongCount } from '../problems.ts';
import type { TableName } from '../rows/rows.ts';
import { damagedRow, isWhole } from '../rows/stored-row.ts';
import { type Key, TABLE_NAMES, type Table, table, wayOf } from '../rows/tables.ts';
import type { SqlDatabase, SqlStatement, SqlValue } from '../sql.ts';
import { faultOfSql, ours, rollBack } from './sql-fault.ts';
import { scanSql } from './sql-text.ts';
import {
  comparedSql,
  countReferences,
  DEEP_SQL,
  dropCounted,
  HEADS_SQL,
  LIVE_SQL,
  LOST_PACKS_SQL,
  missingSql,
  TIMELESS_SQL,
  UNQUEUED_SQL,
} from './sqlite-counts.ts';

/** Rows whose checksums are checked in one turn. */
const PAGE_ROWS = 1_000;
/** Problems of one sort that are named; more are of the same kind. */
const PROBLEMS_MAX = 1_000;

export async function* checkSqlite(db: SqlDatabase, signal: AbortSignal | undefined): AsyncGenerator<MetaProblem> {
  yield* checkStructure(db);
  for (const name of TABLE_NAMES) yield* checkChecksums(db, table(name), signal);
  for (const count of [countContents, countChunks, countPacks, compareHeads]) {
    await turn(signal);
    yield* guarded(() => ofOneMoment(db, () => count(db)));
  }
}

/** Where a thread writes meanwhile, every statement would see a moment of its own. */
function ofOneMoment<T>(db: SqlDatabase, step: () => T): T {
  db.exec('BEGIN');
  try {
    const answer = step();
    db.exec('COMMIT');
    return answer;
  } catch (error) {
    rollBack(db, error);
    throw error;
  }
}

async function turn(signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted) throw Fault.aborted(signal, 'Checking the metadata');
  await new Promise<void>((resolve) => setImmediate(resolve));
}

/** A step that damage ends early is a problem itself. */
function guarded(step: () => readonly MetaProblem[]): readonly MetaProblem[] {
  try {
    return ours(step);
  } catch (error) {
    const fault = faultOfSql(error, 'check');
    if (!Fault.is(fault, 'corrupt')) throw fault;
    return [{ table: 'engine', sentence: fault.message, about: fault.about }];
  }
}

function checkStructure(db: SqlDatabase): readonly MetaProblem[] {
  return guarded(() =>
    db
      .prepare(`PRAGMA integrity_check(${PROBLEMS_MAX})`)
      .all([])
      .filter(([found]) => found !== 'ok')
      .map(([found]) => {
        const sentence = `SQLite finds its own structure damaged: ${String(found)}.`;
        return { table: 'engine', sentence, about: { found: String(found) } };
      }),
  );
}

async function* checkChecksums(
  db: SqlDatabase,
  of: Table,
  signal: AbortSignal | undefined,
): AsyncGenerator<MetaProblem> {
  const shape = { prefixCount: 0, isInclusive: false, isReverse: false };
  const prepare = (boundCount: number): SqlStatement => db.prepare(scanSql(wayOf(of.name), { ...shape, boundCount }));
  let after: readonly SqlValue[] = [];
  for (let isLast = false; !isLast; ) {
    await turn(signal);
    const page: SqlValue[][] = [];
    yield* guarded(() => {
      page.push(...pageOf(prepare(after.length), after));
      return page.filter((values) => !isWhole(of, values)).map((values) => damageProblem(of, values));
    });
    const last = page.at(-1);
    isLast = last === undefined || page.length < PAGE_ROWS;
    after = of.key.map((column) => last?.[of.columns.indexOf(column)] ?? null);
  }
}

function pageOf(statement: SqlStatement, after: readonly SqlValue[]): SqlValue[][] {
  return statement.all([...after, PAGE_ROWS]).map((values) => [...values]);
}

function damageProblem(of: Table, values: readonly SqlValue[]): MetaProblem {
  const { message: sentence, about } = damagedRow(of, values);
  return { table: of.name, sentence, about };
}

/** Rows of a query, at most PROBLEMS_MAX. */
function problems(
  db: SqlDatabase,
  sql: string,
  problemOf: (values: readonly SqlValue[]) => MetaProblem,
): MetaProblem[] {
  return db.prepare(`${sql} LIMIT ${PROBLEMS_MAX}`).all([]).map(problemOf);
}

function compareReferences(db: SqlDatabase, to: 'chunks' | 'contents'): MetaProblem[] {
  countReferences(db, to);
  const wrong = problems(db, comparedSql(to), ([a, b, stored, counted]) =>
    wrongCount(to, [a, b] as Key, { stored: { refs: Number(stored) }, counted: { refs: Number(counted) } }),
  );
  const missing = problems(db, missingSql(to), ([a, b, rows]) => missingRow(to, [a, b] as Key, { rows: Number(rows) }));
  dropCounted(db);
  return [...wrong, ...missing];
}

function oddRows(db: SqlDatabase, name: TableName, sql: string, what: string): MetaProblem[] {
  return problems(db, sql, (key) => oddRow(name, key as Key, what));
}

function countContents(db: SqlDatabase): readonly MetaProblem[] {
  return [...compareReferences(db, 'contents'), ...oddRows(db, 'contents', UNQUEUED_SQL, ODD.notQueued)];
}

function countChunks(db: SqlDatabase): readonly MetaProblem[] {
  return [
    ...compareReferences(db, 'chunks'),
    ...oddRows(db, 'chunks', TIMELESS_SQL, ODD.zeroTime),
    ...oddRows(db, 'chunks', DEEP_SQL, ODD.depth),
  ];
}

function countPacks(db: SqlDatabase): readonly MetaProblem[] {
  const wrong = problems(db, LIVE_SQL, ([realm, pack, liveCount, liveBytes, count, bytes]) =>
    wrongCount('packs', [realm, pack] as Key, {
      stored: { liveCount: Number(liveCount), liveBytes: Number(liveBytes) },
      counted: { liveCount: Number(count), liveBytes: Number(bytes) },
    }),
  );
  const missing = problems(db, LOST_PACKS_SQL, ([realm, pack, chunks]) =>
    missingRow('packs', [realm, pack] as Key, { chunks: Number(chunks) }),
  );
  return [...wrong, ...missing];
}

function compareHeads(db: SqlDatabase): readonly MetaProblem[] {
  return oddRows(db, 'spaces', HEADS_SQL, ODD.head);
}
