/**
 * The rows of a space as they were when a commit was its latest: live rows that are old enough, and from the history
 * tables those that were displaced since. A MetaReader like any other, so that whatever reads what is true now reads
 * the past in the same way; it answers at once where the reader below does.
 *
 * It is whole only for a commit that a pin keeps, for as long as it does; asking for others is the caller's mistake.
 *
 * A row that is displaced while a scan is under way moves from the live table to history. So history is always read
 * after the live rows of the same keys: then the row is in one of the two, or in both and counted once.
 * One name may have been displaced any number of times; of such a run of history rows one page is read at most, and the
 * rest is jumped over.
 */
import { andThen, assert, isPromise, type Maybe } from '../../base/index.ts';
import type { CommitNumber } from '../ids.ts';
import type { MetaReader, RowOf, ScanRange, SyncReader } from '../meta-store.ts';
import { keyString } from '../rows/row-key.ts';
import type { AnyRange } from '../rows/row-source.ts';
import type { ContentRow, IndexName, Keys, Rows, TableName, VersionRow } from '../rows/rows.ts';
import { type Key, type KeyPart, keyOf, type Row, type Table, table, wayOf } from '../rows/tables.ts';

/** Rows of a page, growing from the least to the most while nothing of them was visible. */
const PAGE_ROWS_MIN = 4;
const PAGE_ROWS_MAX = 1_000;
const HISTORY_ROWS_MIN = 16;
const HISTORY_ROWS_MAX = 256;

/** What is asked of the reader below; its answer comes back. */
type Ask =
  | { readonly name: TableName | IndexName; readonly range: AnyRange }
  | { readonly name: TableName; readonly key: Key };
type Asking<T> = Generator<Ask, T, readonly Row[]>;

/** Answers at once what `rows` answers at once. Rows come without `died`. */
export function pastRows(rows: SyncReader, at: CommitNumber): SyncReader;
export function pastRows(rows: MetaReader, at: CommitNumber): MetaReader;
export function pastRows(rows: MetaReader, at: CommitNumber): MetaReader {
  return {
    get: (name, key) => asked(rows, getPast(name, key, at)) as Maybe<never>,
    scan: <Name extends TableName | IndexName>(name: Name, range: ScanRange<Name>) =>
      asked(rows, scanPast(name, range as AnyRange, at)) as unknown as Maybe<readonly RowOf<Name>[]>,
  };
}

function asked<T>(rows: MetaReader, asking: Asking<T>): Maybe<T> {
  return goOn(rows, asking, asking.next());
}

function goOn<T>(rows: MetaReader, asking: Asking<T>, first: IteratorResult<Ask, T>): Maybe<T> {
  let step = first;
  while (step.done !== true) {
    const answer = answerOf(rows, step.value);
    if (isPromise(answer)) return answer.then((found) => goOn(rows, asking, asking.next(found)));
    step = asking.next(answer);
  }
  return step.value;
}

function answerOf(rows: MetaReader, ask: Ask): Maybe<readonly Row[]> {
  if ('range' in ask) return rows.scan(ask.name, ask.range as never) as unknown as Maybe<readonly Row[]>;
  const row = rows.get(ask.name, ask.key as never) as unknown as Maybe<Row | undefined>;
  return andThen(row, (found) => (found === undefined ? [] : [found]));
}

function* getPast<T extends TableName>(name: T, key: Keys[T], at: CommitNumber): Asking<Rows[T] | undefined> {
  const [live] = yield { name, key };
  if (name === 'contents') return (yield* pastContent(live, at)) as Rows[T] | undefined;
  const { history } = table(name);
  if (history === undefined || (live !== undefined && isBornBy(live, at)))
    return (live !== undefined && isSeen(name, live, at) ? live : undefined) as Rows[T] | undefined;
  const [past] = yield { name: history, range: { prefix: key, after: [at], limit: 1 } };
  return (past !== undefined && isBornBy(past, at) ? alive(past) : undefined) as Rows[T] | undefined;
}

/**
 * A content that has been changed in place since has lost the hash of what it was: displaced extents tell, and so does
 * the last one when it came later (whoever hashes a content has written all of it, from first to last). A change of its
 * size alone has to be noticed by whoever knows the size.
 */
function* pastContent(live: Row | undefined, at: CommitNumber): Asking<Row | undefined> {
  const row = live as ContentRow | undefined;
  if (row === undefined || row.hash === null) return live;
  const prefix = [row.space, row.content];
  const [last] = yield { name: 'extents', range: { prefix, limit: 1, reverse: true } };
  const displaced = yield { name: 'extentsHistory', range: { prefix, limit: 1 } };
  const isSame = displaced.length === 0 && (last === undefined || isBornBy(last, at));
  return (isSame ? row : { ...row, hash: null }) as unknown as Row;
}

function isBornBy(row: Row, at: CommitNumber): boolean {
  return (row.born as number) <= at;
}

/** Of rows without a past of their own. */
function isSeen(name: TableName, row: Row, at: CommitNumber): boolean {
  // What was replaced later was current then.
  return name !== 'versions' || (row as unknown as VersionRow).replacedBy <= at;
}

function alive(past: Row): Row {
  const { died: _, ...row } = past;
  return row;
}

function* scanPast(name: TableName | IndexName, range: AnyRange, at: CommitNumber): Asking<readonly Row[]> {
  if (name === 'entriesByNode') return yield* namesOfNode(range, at);
  const way = wayOf(name);
  if (way.index === undefined && way.table.history !== undefined)
    return yield* new PastScan(way.table, way.table.history, range, at).run();
  if (name !== 'versions') return yield { name, range };
  return yield* filtered(name, range, at);
}

function* filtered(name: TableName, range: AnyRange, at: CommitNumber): Asking<readonly Row[]> {
  const found: Row[] = [];
  const { from, after, ...plain } = range;
  let bound: Pick<AnyRange, 'from' | 'after'> = { ...(from && { from }), ...(after && { after }) };
  for (;;) {
    const page = yield { name, range: { ...plain, ...bound } };
    for (const row of page) if (isSeen(name, row, at) && found.length < range.limit) found.push(row);
    const last = page.at(-1);
    if (last === undefined || page.length < range.limit || found.length === range.limit) return found;
    bound = { after: keyOf(table(name), last).slice(range.prefix.length) };
  }
}

/** The names that one node had: few, and in another order in history, so they are gathered whole. */
function* namesOfNode(range: AnyRange, at: CommitNumber): Asking<readonly Row[]> {
  assert(range.prefix.length === 2, 'the past knows the names of one node');
  const { prefix } = range;
  const found = new Map<string, Row>();
  const key = wayOf('entriesByNode').key;
  const gather = (rows: readonly Row[]): void => {
    for (const row of rows) if (isBornBy(row, at)) found.set(keyString(partsOf(key, row)), row);
  };
  for (let bound: Pick<AnyRange, 'after'> = {}; ; ) {
    const page = yield { name: 'entriesByNode', range: { prefix, ...bound, limit: PAGE_ROWS_MAX } };
    gather(page);
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_ROWS_MAX) break;
    bound = { after: partsOf(key, last).slice(prefix.length) };
  }
  const historyKey = wayOf('entriesHistoryByNode').key;
  for (let after: Key = [at]; ; ) {
    // Names with `died` at or before `at` were gone by then; the bound has one column, so equal ones are left out.
    const page = yield { name: 'entriesHistoryByNode', range: { prefix, after, limit: PAGE_ROWS_MAX } };
    gather(page.map(alive));
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_ROWS_MAX) break;
    after = partsOf(historyKey, last).slice(prefix.length);
  }
  return [...found]
    .sort(byId(range.reverse))
    .map(([, row]) => row)
    .filter(isIn(range, key))
    .slice(0, range.limit);
}

function isIn(range: AnyRange, key: readonly string[]): (row: Row) => boolean {
  const bound = range.after ?? range.from;
  if (bound === undefined) return () => true;
  const columns = key.slice(range.prefix.length, range.prefix.length + bound.length);
  const limit = keyString(bound);
  return (row) => {
    const id = keyString(partsOf(columns, row));
    if (id === limit) return range.from !== undefined;
    return range.reverse === true ? id < limit : id > limit;
  };
}

function partsOf(columns: readonly string[], row: Row): Key {
  return columns.map((column) => row[column] as KeyPart);
}

function byId(
  isReverse: boolean | undefined,
): (a: readonly [string, unknown], b: readonly [string, unknown]) => number {
  const sign = isReverse === true ? -1 : 1;
  return ([a], [b]) => (a < b ? -sign : sign);
}

/** One scan of a table that has a past, window by window: a page of live rows, and history up to the last of them. */
class PastScan {
  readonly #of: Table;
  readonly #history: TableName;
  readonly #range: AnyRange;
  readonly #at: CommitNumber;
  readonly #found: Row[] = [];

  constructor(of: Table, history: TableName, range: AnyRange, at: CommitNumber) {
    this.#of = of;
    this.#history = history;
    this.#range = range;
    this.#at = at;
  }

  *run(): Asking<readonly Row[]> {
    const { limit, after, from } = this.#range;
    let bound: Pick<AnyRange, 'from' | 'after'> = { ...(from && { from }), ...(after && { after }) };
    for (let size = limit + PAGE_ROWS_MIN; ; size *= 4) {
      const pageRows = Math.min(size, PAGE_ROWS_MAX);
      const page = yield { name: this.#of.name, range: this.#rangeOf(bound, pageRows) };
      const last = page.length < pageRows ? undefined : page.at(-1);
      const visible = new Map<string, Row>();
      for (const row of page) if (isBornBy(row, this.#at)) visible.set(this.#idOf(row), row);
      yield* this.#addHistory(bound, last === undefined ? undefined : this.#idOf(last), visible);
      for (const [, row] of [...visible].sort(byId(this.#range.reverse))) this.#found.push(row);
      if (last === undefined || this.#found.length >= limit) return this.#found.slice(0, limit);
      bound = { after: this.#behind(last) };
    }
  }

  /** Rows of history from `bound` up to the key `horizon` (to the end without one). */
  *#addHistory(
    start: Pick<AnyRange, 'from' | 'after'>,
    horizon: string | undefined,
    visible: Map<string, Row>,
  ): Asking<void> {
    const isReverse = this.#range.reverse === true;
    const most = this.#range.limit;
    const pageRows = Math.min(HISTORY_ROWS_MAX, HISTORY_ROWS_MIN + most);
    for (let [bound, count] = [start, 0]; ; ) {
      const page = yield { name: this.#history, range: this.#rangeOf(bound, pageRows) };
      for (const row of page) {
        const id = this.#idOf(row);
        if (horizon !== undefined && (isReverse ? id < horizon : id > horizon)) return;
        if (!isBornBy(row, this.#at) || (row.died as number) <= this.#at || visible.has(id)) continue;
        visible.set(id, alive(row));
        count++;
      }
      const last = page.at(-1);
      if (last === undefined || page.length < pageRows) return;
      // Beyond the live rows nothing more is needed than what was asked for.
      if (horizon === undefined && count >= most) return;
      bound = { after: this.#past(last) };
    }
  }

  /** Where history goes on behind a row: behind all of its key when nothing of that can be visible any more. */
  #past(last: Row): Key {
    const key = this.#behind(last);
    const died = last.died as number;
    if (this.#range.reverse === true) return died <= this.#at || isBornBy(last, this.#at) ? key : [...key, died];
    return died > this.#at ? key : [...key, this.#at];
  }

  #idOf(row: Row): string {
    return keyString(partsOf(this.#of.key, row));
  }

  #behind(row: Row): Key {
    return partsOf(this.#of.key, row).slice(this.#range.prefix.length);
  }

  #rangeOf(bound: Pick<AnyRange, 'from' | 'after'>, limit: number): AnyRange {
    const { prefix, reverse } = this.#range;
    return { prefix, ...bound, limit, ...(reverse === undefined ? {} : { reverse }) };
  }
}
