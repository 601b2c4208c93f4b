/**
 * Groups: one durable transaction for the changes of many. A change handed in joins the group that is forming; a group
 * is closed before the records it names are synced, so later changes go to the next one. Somebody always waits for an
 * answer here, so a lone change starts at once when nothing is under way, and whoever arrives meanwhile shares the next
 * group. Clients that write one file after the other come back together some moments after their answers: where a clock
 * is given, a group waits for as many as were about before, but no longer than a group takes, and never beyond
 * COMPANY_MS_MAX. Otherwise the first one back would take a sync of the disk for itself and keep the others waiting.
 *
 * Two groups overlap, and only so: the records of the next are synced while the one before commits, since a commit may
 * hold the whole thread until the disk has it. Commits keep the order of the groups, and each comes after its own
 * records. A change that fails its expectations fails alone; when the whole group fails (the disk, or what had to go
 * first), everybody in it gets that fault, and the next group goes on.
 */
import { type Clock, Fault } from '../base/index.ts';
import type { Change, MetaStore, Outcome } from './meta-store.ts';

/** Changes that one group carries at most; more wait for the next. */
export const GROUP_CHANGES_MAX = 3_000;
/** Rows that one group carries at most, beyond its first change. */
export const GROUP_ROWS_MAX = 10_000;
/** Bytes of rows (inline content, attributes, answers) that one group carries at most, beyond its first change. */
export const GROUP_BYTES_MAX = 16 * 1024 * 1024;
/** Changes that wait at most; whoever comes on top is refused with `busy`. */
export const GROUPS_WAITING_MAX = 30_000;

/** How long a group waits for company at most. */
export const COMPANY_MS_MAX = 5;
/** Groups that are faster are not worth waiting for. */
const COMPANY_MS_MIN = 1;

export interface GroupsOptions {
  readonly meta: MetaStore;
  /** Measures groups and waits for company; without it no group waits. */
  readonly clock?: Clock;
  /**
   * Makes durable what the group's changes name; answers changes that go first in the same transaction. When one of
   * those is refused, nothing of the group is done. Called for the next group while the one before commits, never for
   * more.
   */
  readonly prepare: () => Promise<readonly Change[]>;
}

export type Committed = Extract<Outcome, { readonly ok: true }>;

/** Since the beginning; for metrics. */
export interface GroupStats {
  readonly groups: number;
  readonly changes: number;
  readonly rows: number;
  /** Changes that wait now. */
  readonly waiting: number;
}

interface Weight {
  readonly rows: number;
  readonly bytes: number;
}

interface Waiting {
  readonly change: Change;
  readonly weight: Weight;
  readonly done: (outcome: Committed) => void;
  readonly fail: (error: unknown) => void;
}

/** A group whose records are durable. */
interface Prepared {
  readonly group: readonly Waiting[];
  readonly first: readonly Change[];
  readonly preparedMs: number;
}

export class Groups {
  readonly #options: GroupsOptions;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #isClosed = false;
  #groups = 0;
  #changes = 0;
  #rows = 0;
  /** Changes handed in and not settled. */
  #unsettled = 0;
  /** The most that were unsettled at once in the group before, and since. */
  #company = { before: 0, now: 0 };
  /** Called when all the company is there. */
  #onCompany: (() => void) | undefined;
  /** What the last group took, records and commit. */
  #groupMs = 0;

  constructor(options: GroupsOptions) {
    this.#options = options;
  }

  /** Resolves when the change is durable. @throws the change's own Fault, or the group's; `busy`, `unavailable`. */
  commit(change: Change): Promise<Committed> {
    if (this.#isClosed)
      return Promise.reject(new Fault('unavailable', 'The store is closing and takes no more changes.'));
    const waiting = this.#waiting.length;
    if (waiting >= GROUPS_WAITING_MAX) {
      const sentence = `The store is behind: ${waiting} changes wait to become durable. Try again in a moment.`;
      return Promise.reject(new Fault('busy', sentence, { waiting }));
    }
    return new Promise((done, fail) => {
      this.#waiting.push({ change, weight: weightOf(change), done, fail });
      this.#unsettled++;
      this.#company.now = Math.max(this.#company.now, this.#unsettled);
      if (this.#waiting.length >= this.#expected) this.#onCompany?.();
      this.#running ??= this.#run();
    });
  }

  stats(): GroupStats {
    return { groups: this.#groups, changes: this.#changes, rows: this.#rows, waiting: this.#waiting.length };
  }

  async #run(): Promise<void> {
    let ready: Prepared | undefined;
    while (this.#waiting.length > 0 || ready !== undefined) {
      // A turn, so that all whose requests came in with the first one share its group. It costs microseconds; a group
      // of its own for each would cost everybody a sync of the disk.
      if (ready === undefined) {
        await turn();
        await this.#waitForCompany();
      }
      // Few that came while many commit are better off together with those when they come back.
      const isNextWorthIt = ready === undefined || 2 * this.#waiting.length >= this.#expected;
      const isNext = this.#waiting.length > 0 && isNextWorthIt;
      const next = isNext ? this.#prepare(this.#takeGroup()) : undefined;
      // Another, so that the sync of the next group's records has reached the disk before a commit holds the thread.
      if (ready !== undefined && next !== undefined) await turn();
      if (ready !== undefined) await this.#commitGroup(ready);
      ready = await next;
    }
    this.#running = undefined;
  }

  /** Changes that may be expected to come together. */
  get #expected(): number {
    return Math.max(this.#company.before, this.#company.now);
  }

  async #waitForCompany(): Promise<void> {
    const { clock } = this.#options;
    if (clock === undefined || this.#isClosed || this.#waiting.length >= this.#expected) return;
    const waitMs = Math.min(COMPANY_MS_MAX, this.#groupMs);
    if (waitMs < COMPANY_MS_MIN) return;
    const all = new Promise<void>((resolve) => {
      this.#onCompany = resolve;
    });
    await Promise.race([all, clock.sleep(waitMs)]);
    this.#onCompany = undefined;
  }

  #takeGroup(): readonly Waiting[] {
    let rows = 0;
    let bytes = 0;
    let count = 0;
    for (const { weight } of this.#waiting) {
      rows += weight.rows;
      bytes += weight.bytes;
      const isFull = count >= GROUP_CHANGES_MAX || rows > GROUP_ROWS_MAX || bytes > GROUP_BYTES_MAX;
      if (count > 0 && isFull) break;
      this.#rows += weight.rows;
      count++;
    }
    this.#groups++;
    this.#changes += count;
    return this.#waiting.splice(0, count);
  }

  /** Answers undefined when the group has failed already; never rejects. */
  async #prepare(group: readonly Waiting[]): Promise<Prepared | undefined> {
    const startedMs = this.#nowMs();
    try {
      const first = await this.#options.prepare();
      return { group, first, preparedMs: this.#nowMs() - startedMs };
    } catch (error) {
      this.#unsettled -= group.length;
      for (const waiting of group) waiting.fail(error);
      return undefined;
    }
  }

  #nowMs(): number {
    return this.#options.clock?.monotonicMs() ?? 0;
  }

  async #commitGroup({ group, first, preparedMs }: Prepared): Promise<void> {
    const startedMs = this.#nowMs();
    try {
      const changes = [...first, ...group.map(({ change }) => change)];
      const outcomes = await this.#options.meta.commit(changes, { essential: first.length });
      for (const [index, waiting] of group.entries()) settle(waiting, outcomes[first.length + index]);
    } catch (error) {
      for (const waiting of group) waiting.fail(error);
    }
    this.#groupMs = preparedMs + this.#nowMs() - startedMs;
    this.#unsettled -= group.length;
    this.#company = { before: this.#company.now, now: this.#unsettled };
  }

  /** Waits until everything handed in is settled; afterwards nothing more is taken. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function settle(waiting: Waiting, outcome: Outcome | undefined): void {
  if (outcome?.ok) waiting.done(outcome);
  else waiting.fail(outcome?.fault ?? new Error('Broken invariant: a change without an outcome'));
}

function weightOf(change: Change): Weight {
  let bytes = 0;
  for (const { table, row } of change.puts ?? []) {
    if (table === 'extents') bytes += row.data?.length ?? 0;
    else if (table === 'attributes') bytes += row.value.length;
    else if (table === 'idempotency') bytes += row.answer.length;
  }
  const named = (change.puts?.length ?? 0) + (change.deletes?.length ?? 0) + (change.touches?.length ?? 0);
  return { rows: named + (change.record === undefined ? 0 : 1 + change.record.items.length), bytes };
}
