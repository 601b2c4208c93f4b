/**
 * Planning many operations that become one commit: each is applied to rows of its own over what is committed, so that the
 * next one sees what it did, and nothing of it is real. What was planned is handed in as one list of changes
 * (Groups.commitTogether), which are decided again there, one after the other, all or nothing.
 *
 * The commit's number is known only then. Until then PLANNED_COMMIT stands for it in rows that were read back; when the
 * changes are handed in it is replaced in what they expect and put.
 */
import type { Applied, Joint } from './apply.ts';
import type { CommitNumber } from './ids.ts';
import type { Change, Expect, Put, SyncReader } from './meta-store.ts';
import { Pending } from './pending.ts';
import type { RowSource } from './row-source.ts';
import { type Row, table } from './tables.ts';

/** No space ever has so many commits. */
export const PLANNED_COMMIT: CommitNumber = 2 ** 52;

export class Planning {
  readonly #pending: Pending;
  #joint: Joint | undefined;

  constructor(rows: RowSource) {
    this.#pending = new Pending({
      get: (name, key) => {
        const row = rows.get(name, key);
        return name === 'spaces' && row !== undefined ? { ...row, head: PLANNED_COMMIT - 1 } : row;
      },
      scan: (name, range) => rows.scan(name, range),
    });
    this.#pending.begin();
  }

  /** What is true with all that was planned so far. */
  get rows(): RowSource & SyncReader {
    return this.#pending as unknown as RowSource & SyncReader;
  }

  /** @throws Fault `conflict`, `quota`, `gone`: then nothing was planned. */
  apply(change: Change): Applied {
    const { record } = change;
    const applied = this.#pending.apply(change, record === undefined ? undefined : this.#joint);
    if (record !== undefined)
      this.#joint = { commit: PLANNED_COMMIT, itemCount: (this.#joint?.itemCount ?? 0) + record.items.length };
    return applied;
  }

  /** How many rows the commit will have, about. */
  get rowCount(): number {
    return this.#pending.top?.rowCount ?? 0;
  }
}

/** The changes as they are when their commit has this number. */
export function placedAt(changes: readonly Change[], commit: CommitNumber): readonly Change[] {
  return changes.map((change) => ({
    ...change,
    ...(change.expects === undefined ? {} : { expects: change.expects.map((expect) => expectAt(expect, commit)) }),
    ...(change.puts === undefined ? {} : { puts: change.puts.map((put) => putAt(put, commit)) }),
  }));
}

function expectAt(expect: Expect, commit: CommitNumber): Expect {
  if (expect.kind !== 'row' || expect.equals === undefined) return expect;
  const entries = Object.entries(expect.equals);
  if (!entries.some(([, value]) => value === PLANNED_COMMIT)) return expect;
  const equals = Object.fromEntries(
    entries.map(([column, value]) => [column, value === PLANNED_COMMIT ? commit : value]),
  );
  return { ...expect, equals } as Expect;
}

function putAt(put: Put, commit: CommitNumber): Put {
  const row = put.row as unknown as Row;
  const planned = table(put.table).commitColumns.filter((column) => row[column] === PLANNED_COMMIT);
  if (planned.length === 0) return put;
  return {
    ...put,
    row: { ...row, ...Object.fromEntries(planned.map((column) => [column, commit])) },
  } as unknown as Put;
}
