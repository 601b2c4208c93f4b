/**
 * Planning many operations that become one commit: each is applied to rows of its own over what is pending, so that the
 * next one sees what it did, and nothing of it is real. What was planned is handed in whole (Groups.commitPlanned), all or
 * nothing. Where nothing else has come in between, the rows are taken over as they are; otherwise the changes are decided
 * again, one after the other.
 *
 * The commit's number is known only then. Until then PLANNED_COMMIT stands for it in rows that were read back; when the
 * plan is handed in it is replaced.
 */
import { assert } from '../../base/index.ts';
import type { Applied, Joint } from '../changes/apply.ts';
import type { Layer } from '../changes/layer.ts';
import { Pending } from '../changes/pending.ts';
import type { CommitNumber } from '../ids.ts';
import type { Change, Expect, Put, SyncReader } from '../meta-store.ts';
import type { RowSource } from '../rows/row-source.ts';
import { table } from '../rows/tables.ts';

/** No space ever has so many commits. */
export const PLANNED_COMMIT: CommitNumber = 2 ** 52;

export class Planning {
  /** In the order in which they were applied. */
  readonly changes: Change[] = [];
  /** Of what it stands on, when it began. */
  readonly revision: number;
  readonly #pending: Pending;
  readonly #layer: Layer;
  #joint: Joint | undefined;
  /** What became of the first that has a record. */
  #applied: Applied | undefined;

  /** `rows`: what it stands on; all that it answers is true at one `revision`. */
  constructor(rows: RowSource & { readonly revision: number }) {
    this.revision = rows.revision;
    this.#pending = new Pending({
      get: (name, key) => {
        const row = rows.get(name, key);
        return name === 'spaces' && row !== undefined ? { ...row, head: PLANNED_COMMIT - 1 } : row;
      },
      scan: (name, range) => rows.scan(name, range),
    });
    this.#layer = this.#pending.begin();
  }

  /** What is true with all that was planned so far. */
  get rows(): RowSource & SyncReader {
    return this.#pending as unknown as RowSource & SyncReader;
  }

  /** @throws Fault `conflict`, `quota`, `gone`: then nothing was planned. */
  apply(change: Change): Applied {
    const { record } = change;
    const applied = this.#pending.apply(change, record === undefined ? undefined : this.#joint);
    if (record !== undefined) this.#applied ??= applied;
    if (record !== undefined)
      this.#joint = { commit: PLANNED_COMMIT, itemCount: (this.#joint?.itemCount ?? 0) + record.items.length };
    this.changes.push(change);
    return applied;
  }

  /** How many rows the commit will have, about. */
  get rowCount(): number {
    return this.#layer.rowCount;
  }

  /** The rows as they are when their commit has this number. Nothing more is planned or read then. */
  layerAt(commit: CommitNumber): Layer {
    this.#layer.place(PLANNED_COMMIT, commit);
    return this.#layer;
  }

  changesAt(commit: CommitNumber): readonly Change[] {
    return this.changes.map((change) => placedAt(change, commit));
  }

  appliedAt(commit: CommitNumber): Applied {
    assert(this.#applied !== undefined, 'one of the changes is a commit');
    return { ...this.#applied, commit };
  }
}

/** The change as it is when its commit has this number. */
function placedAt(change: Change, commit: CommitNumber): Change {
  const expects = changed(change.expects, (expect) => expectAt(expect, commit));
  const puts = changed(change.puts, (put) => putAt(put, commit));
  if (expects === change.expects && puts === change.puts) return change;
  return { ...change, ...(expects === undefined ? {} : { expects }), ...(puts === undefined ? {} : { puts }) };
}

/** The very list when nothing in it becomes another. */
function changed<T>(list: readonly T[] | undefined, of: (each: T) => T): readonly T[] | undefined {
  const after = list?.map(of);
  return after?.some((each, at) => each !== list?.[at]) === true ? after : list;
}

function expectAt(expect: Expect, commit: CommitNumber): Expect {
  if (expect.kind !== 'row' || expect.equals === undefined) return expect;
  const equals = valuesAt(expect.equals, Object.keys(expect.equals), commit);
  return equals === expect.equals ? expect : ({ ...expect, equals } as Expect);
}

function putAt(put: Put, commit: CommitNumber): Put {
  const row = valuesAt(put.row, table(put.table).commitColumns, commit);
  return row === put.row ? put : ({ ...put, row } as Put);
}

/** The very values when none of these columns has the number that is replaced. */
function valuesAt<T extends object>(values: T, columns: readonly string[], commit: CommitNumber): T {
  const before = values as Readonly<Record<string, unknown>>;
  let placed: Record<string, unknown> | undefined;
  for (const column of columns) {
    if (before[column] !== PLANNED_COMMIT) continue;
    placed ??= { ...before };
    placed[column] = commit;
  }
  return (placed as T | undefined) ?? values;
}
