/**
 * Groups: one durable transaction for the changes of many. A change handed in joins the group that is forming; a group
 * is closed before the records it names are synced, so later changes go to the next one. Somebody always waits for an
 * answer here, so a group starts as soon as the one before is done, and whoever arrives meanwhile shares the next.
 * A change that fails its expectations fails alone; when the whole group fails, everybody in it gets that fault.
 */
import { Fault, type Maybe } from '../base/index.ts';
import type { Change, MetaStore, Outcome } from './meta-store.ts';

/** Changes that one group carries at most; more wait for the next. */
export const GROUP_CHANGES_MAX = 3_000;
/** Rows that one group carries at most, beyond its first change. */
export const GROUP_ROWS_MAX = 10_000;

export interface GroupsOptions {
  readonly meta: MetaStore;
  /** Makes durable what the group's changes name; answers changes that go first in the same transaction. */
  readonly prepare: () => Promise<readonly Change[]>;
}

export type Committed = Extract<Outcome, { readonly ok: true }>;

interface Waiting {
  readonly change: Change;
  readonly done: (outcome: Committed) => void;
  readonly fail: (error: unknown) => void;
}

export class Groups {
  readonly #options: GroupsOptions;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: GroupsOptions) {
    this.#options = options;
  }

  /** Resolves when the change is durable. @throws the change's own Fault, or the group's. */
  commit(change: Change): Promise<Committed> {
    if (this.#isClosed)
      return Promise.reject(new Fault('unavailable', 'The store is closing and takes no more changes.'));
    return new Promise((done, fail) => {
      this.#waiting.push({ change, done, fail });
      // One turn later, so that changes handed in together share a group.
      this.#running ??= Promise.resolve().then(() => this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) await this.#runGroup(this.#takeGroup());
    this.#running = undefined;
  }

  #takeGroup(): readonly Waiting[] {
    let rows = 0;
    let count = 0;
    for (const { change } of this.#waiting) {
      rows += rowsOf(change);
      if (count > 0 && (count >= GROUP_CHANGES_MAX || rows > GROUP_ROWS_MAX)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #runGroup(group: readonly Waiting[]): Promise<void> {
    try {
      const first = await this.#options.prepare();
      const outcomes = await (this.#options.meta.commit([...first, ...group.map(({ change }) => change)]) as Maybe<
        readonly Outcome[]
      >);
      const refused = outcomes.slice(0, first.length).find((outcome) => !outcome.ok);
      if (refused !== undefined && !refused.ok) throw refused.fault;
      for (const [index, waiting] of group.entries()) {
        const outcome = outcomes[first.length + index];
        if (outcome?.ok) waiting.done(outcome);
        else waiting.fail(outcome?.fault ?? new Error('Broken invariant: a change without an outcome'));
      }
    } catch (error) {
      for (const waiting of group) waiting.fail(error);
    }
  }

  /** Waits until everything handed in is settled; afterwards nothing more is taken. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }
}

function rowsOf(change: Change): number {
  return (
    (change.puts?.length ?? 0) +
    (change.deletes?.length ?? 0) +
    (change.touches?.length ?? 0) +
    (change.record?.items.length ?? 0)
  );
}
