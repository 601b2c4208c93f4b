/**
 * Groups: one durable transaction for the changes of many. A change is applied to the rows that are pending in the very
 * turn it is handed in, on top of everything that came before it, and joins the group that is forming. A group is
 * closed before the records it names are synced, so later changes go to the next one.
 *
 * Two ways in. `commit` answers when the change is durable: a lone change starts at once when nothing is under way, and
 * whoever arrives meanwhile shares the next group. Clients that write one file after the other come back together some
 * moments after their answers: where a clock is given, a group waits for as many as were about before, but no longer
 * than a group takes, and never beyond COMPANY_MS_MAX. Otherwise the first one back would take a sync of the disk for
 * itself and keep the others waiting. `add` answers at once, with the change only pending: its group becomes durable
 * when somebody waits for it (`flush`), when it is large enough, or GROUP_MS after its first change.
 *
 * Two groups overlap, and only so: the records of the next are synced while the one before commits. Commits keep the
 * order of the groups, and each comes after its own records. A stale change is refused alone; since what refused it may
 * not be durable yet, a waiting one hears of it when that is, so that deciding again from committed rows makes sense.
 * When a group fails (the disk, or what had to go first), everybody in it and in those that stand on it gets that
 * fault, all its rows are dropped, and the next one begins from what is durable.
 */

import { assert, type Clock, Fault, isPromise, type Maybe } from '../../base/index.ts';
import type { Applied, Joint } from '../changes/apply.ts';
import type { Layer } from '../changes/layer.ts';
import { Pending } from '../changes/pending.ts';
import type { NodeId } from '../ids.ts';
import type { Change, ChangeItem, CommitRecord, MetaStore, Outcome, SyncReader } from '../meta-store.ts';
import { CHANGE_KIND } from '../rows/rows.ts';
import { Planning } from './planning.ts';

/** Changes that one group carries at most; more wait for the next. */
export const GROUP_CHANGES_MAX = 3_000;
/** Rows that one group writes at most, beyond its first change. */
export const GROUP_ROWS_MAX = 10_000;
/** Bytes of rows (inline content, attributes, answers) that one group carries at most, beyond its first change. */
export const GROUP_BYTES_MAX = 16 * 1024 * 1024;
/** Changes that wait at most; whoever comes on top is refused with `busy`. */
export const GROUPS_WAITING_MAX = 30_000;
/** Changes that were added become durable after this long at the latest. */
export const GROUP_MS = 500;
/** A group of added changes starts when it is this full, so that the next has room while it commits. */
const GROUP_START_SHARE = 0.6;

/** How long a group waits for company at most. */
export const COMPANY_MS_MAX = 5;
/** Groups that are faster are not worth waiting for. */
const COMPANY_MS_MIN = 1;

export interface GroupsOptions {
  readonly meta: MetaStore;
  /** Measures groups and waits for company; without it no group waits, and added changes start at once. */
  readonly clock?: Clock;
  /**
   * Makes durable what the group's changes name; answers changes that go in the same transaction (rows of packs). When
   * one of those is refused, nothing of the group is done. Called for the next group while the one before commits, never
   * for more.
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
  readonly apply: () => Applied;
  readonly weight: Weight;
  readonly done: (outcome: Committed) => void;
  readonly fail: (error: unknown) => void;
}

/** What commits when the group does. Rows of what was planned (Planning) may have PLANNED_COMMIT for the commit's number. */
export interface Durable {
  readonly change: Change;
  readonly applied: Applied;
}

interface Group {
  readonly layer: Layer;
  readonly durables: Durable[];
  /** Called with the group's fault, or without one when it is durable. */
  readonly onSettled: ((fault?: unknown) => void)[];
  changes: number;
  /** Of these, how many nobody waits for. */
  added: number;
  rows: number;
  bytes: number;
  /** Whether somebody waits for it. */
  isAwaited: boolean;
  isFailed: boolean;
}

/** A group whose records are durable. */
interface Prepared {
  readonly group: Group;
  readonly preparedMs: number;
}

/** A commit that added changes go on with. */
interface OpenCommit extends Joint {
  readonly joint: string;
  readonly space: number;
  readonly layer: Layer;
  itemCount: number;
  readonly said: Said;
}

/** Lines that need not be said twice: for each node, the kinds of change as bits. */
type Said = Map<NodeId, number>;

export class Groups {
  readonly #options: GroupsOptions;
  readonly #pending: Pending;
  #open: Group;
  /** Closed groups that are not settled, the oldest first: at most two. */
  readonly #closing: Group[] = [];
  /** Handed in and not applied yet: the group that is forming is full. */
  #queue: Waiting[] = [];
  #roomWaiters: (() => void)[] = [];
  #running: Promise<void> | undefined;
  #timer: Disposable | undefined;
  /** The group that is forming has waited GROUP_MS. */
  #isTimeUp = false;
  #openCommit: OpenCommit | undefined;
  readonly #listeners = new Set<GroupListener>();
  #isClosed = false;
  #groups = 0;
  #changes = 0;
  #rows = 0;
  /** Changes handed in by those who wait and not settled. */
  #unsettled = 0;
  /** The most that were unsettled at once in the group before, and since. */
  #company = { before: 0, now: 0 };
  /** Called when all the company is there. */
  #onCompany: (() => void) | undefined;
  /** What the last group took, records and commit. */
  #groupMs = 0;

  constructor(options: GroupsOptions) {
    this.#options = options;
    this.#pending = new Pending(options.meta.rows);
    this.#open = newGroup(this.#pending.begin());
  }

  /** What is true once all that was handed in is durable; answered at once. */
  get pending(): SyncReader {
    return this.#pending as unknown as SyncReader;
  }

  /** Whether added changes are pending: what other doors must not overlook. */
  get hasAdded(): boolean {
    return this.#open.added > 0 || this.#closing.some(({ added }) => added > 0);
  }

  /** Called for every group that becomes durable, and for every one that is lost. */
  listen(listener: GroupListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** Resolves when the change is durable. @throws the change's own Fault, or the group's; `busy`, `unavailable`. */
  commit(change: Change): Promise<Committed> {
    return this.#enqueue(weightOf(change), () => this.#apply(change));
  }

  /** Plans many changes of one space that become one commit, on what is pending now. */
  plan(): Planning {
    return new Planning(this.#pending);
  }

  /**
   * All that was planned as one commit, or nothing of it. `guard`, which has no record, goes first: what must be so for
   * the whole, and what is written besides. Resolves when it is durable.
   * @throws as `commit`: then nothing was done.
   */
  commitPlanned(planning: Planning, guard: Change): Promise<Committed> {
    const bytes = [guard, ...planning.changes].reduce((sum, change) => sum + weightOf(change).bytes, 0);
    return this.#enqueue({ rows: planning.rowCount, bytes }, () => this.#applyPlanned(planning, guard));
  }

  #enqueue(weight: Weight, apply: () => Applied): Promise<Committed> {
    if (this.#isClosed) return Promise.reject(closedFault());
    const waiting = this.#unsettled;
    if (waiting >= GROUPS_WAITING_MAX) {
      const sentence = `The store is behind: ${waiting} changes wait to become durable. Try again in a moment.`;
      return Promise.reject(new Fault('busy', sentence, { waiting }));
    }
    return new Promise((done, fail) => {
      this.#queue.push({ apply, weight, done, fail });
      this.#unsettled++;
      this.#company.now = Math.max(this.#company.now, this.#unsettled);
      this.#admit();
      if (this.#waitingCount >= this.#expected) this.#onCompany?.();
      this.#start();
    });
  }

  /** Whether the group that is forming takes more; otherwise wait for `room`. */
  get hasRoom(): boolean {
    return this.#queue.length === 0 && this.#fits(this.#open, { rows: 0, bytes: 0 });
  }

  /** Resolves when there may be room. @throws Fault `unavailable`. */
  room(): Promise<void> {
    if (this.hasRoom) return Promise.resolve();
    this.#start();
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  /**
   * Applies the change now; it becomes durable with its group. Changes whose records say the same `joint` form one
   * commit as long as nothing else comes between them in their group.
   * @throws Fault as `commit` does: then nothing was done.
   */
  add(change: Change): Applied {
    if (this.#isClosed) throw closedFault();
    const applied = this.#apply(change);
    this.#count(this.#open, weightOf(change));
    this.#open.added++;
    this.#startSoon();
    return applied;
  }

  /** Resolves when everything that was handed in so far is durable. @throws the fault of the group that failed. */
  flush(): Promise<void> {
    const last = isEmpty(this.#open) && this.#queue.length === 0 ? this.#closing.at(-1) : this.#open;
    if (last === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      last.isAwaited = true;
      last.onSettled.push((fault) => (fault === undefined ? resolve() : reject(fault)));
      this.#start();
    });
  }

  stats(): GroupStats {
    return { groups: this.#groups, changes: this.#changes, rows: this.#rows, waiting: this.#waitingCount };
  }

  get #waitingCount(): number {
    return this.#open.onSettled.length + this.#queue.length;
  }

  /** Applies what waits, as long as the group has room. */
  #admit(): void {
    while (this.#queue[0] !== undefined && this.#fits(this.#open, this.#queue[0].weight)) {
      const waiting = this.#queue.shift();
      if (waiting !== undefined) this.#applyWaiting(waiting);
    }
    if (!this.hasRoom) return;
    for (const wake of this.#roomWaiters.splice(0)) wake();
  }

  #applyWaiting(waiting: Waiting): void {
    const group = this.#open;
    let applied: Applied | undefined;
    let refused: unknown;
    try {
      applied = waiting.apply();
    } catch (error) {
      refused = error;
    }
    this.#count(group, waiting.weight);
    group.isAwaited = true;
    group.onSettled.push((fault) => {
      this.#unsettled--;
      if (applied === undefined) waiting.fail(refused);
      else if (fault === undefined) waiting.done({ ok: true, ...applied });
      else waiting.fail(fault);
    });
  }

  #apply(change: Change): Applied {
    const applied = this.#applyJoined(change);
    for (const listener of this.#listeners) listener.onApplied?.(change);
    return applied;
  }

  #applyPlanned(planning: Planning, guard: Change): Applied {
    const { space } = guard;
    const isOfOne = space !== undefined && planning.changes.every((change) => change.space === space);
    assert(isOfOne, 'they are of one space');
    const commit = Number(this.#pending.get('spaces', [space])?.head ?? 0) + 1;
    let applied: Applied;
    if (planning.revision === this.#pending.revision) {
      this.#pending.adopt(planning.layerAt(commit), guard);
      applied = planning.appliedAt(commit);
    } else applied = this.#pending.applyTogether([guard, ...planning.changesAt(commit)]);
    this.#openCommit = undefined;
    for (const change of [guard, ...planning.changes]) {
      this.#open.durables.push({ change, applied });
      for (const listener of this.#listeners) listener.onApplied?.(change);
    }
    return applied;
  }

  #applyJoined(change: Change): Applied {
    const group = this.#open;
    const open = this.#openCommit;
    const joint = change.record?.joint;
    const goesOn = joint !== undefined && open?.joint === joint && open.space === change.space;
    if (!goesOn || open?.layer !== group.layer) {
      const applied = this.#pending.apply(change);
      group.durables.push({ change, applied });
      // An inner step moves no head, so a commit may go on behind it.
      if (change.record !== undefined) this.#openCommit = openCommitOf(change.record, change, applied, group.layer);
      return applied;
    }
    assert(change.record !== undefined, 'what joins has a record');
    const items = change.record.items.filter((item) => !isSaid(open.said, item));
    const applied = this.#pending.apply({ ...change, record: { ...change.record, items } }, open);
    for (const item of items) say(open.said, item);
    open.itemCount += items.length;
    if (items.length > 0) group.durables.push({ change: { ...change, record: { ...change.record, items } }, applied });
    return applied;
  }

  #count(group: Group, weight: Weight): void {
    group.changes++;
    group.rows += weight.rows;
    group.bytes += weight.bytes;
  }

  #fits(group: Group, weight: Weight): boolean {
    if (group.changes === 0) return true;
    return (
      group.changes - group.added < GROUP_CHANGES_MAX &&
      group.layer.rowCount + weight.rows <= GROUP_ROWS_MAX &&
      group.bytes + weight.bytes <= GROUP_BYTES_MAX
    );
  }

  #startSoon(): void {
    if (this.#isDue) this.#start();
    else
      this.#timer ??= this.#options.clock?.after(GROUP_MS, () => {
        this.#isTimeUp = true;
        this.#start();
      });
  }

  /** Whether the group that is forming is to be closed. What was added alone gathers, also while others commit. */
  get #isDue(): boolean {
    if (!this.#hasWork) return false;
    const { layer, bytes, isAwaited } = this.#open;
    const isLarge = layer.rowCount > GROUP_ROWS_MAX * GROUP_START_SHARE || bytes > GROUP_BYTES_MAX * GROUP_START_SHARE;
    const isHurried = isAwaited || this.#queue.length > 0 || this.#isTimeUp || this.#isClosed;
    return isLarge || isHurried || this.#options.clock === undefined;
  }

  #start(): void {
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    let ready: Prepared | undefined;
    while (this.#isDue || ready !== undefined) {
      // A turn, so that all whose requests came in with the first one share its group. It costs microseconds; a group
      // of its own for each would cost everybody a sync of the disk.
      if (ready === undefined) {
        await turn();
        await this.#waitForCompany();
      }
      // Few that came while many commit are better off together with those when they come back.
      const isNextWorthIt = ready === undefined || 2 * this.#waitingCount >= this.#expected;
      const isNext = this.#isDue && isNextWorthIt;
      if (isNext) await this.#announceClose();
      const next = isNext ? this.#prepare(this.#takeGroup()) : undefined;
      // Another, so that the sync of the next group's records has reached the disk before a commit holds the thread.
      if (ready !== undefined && next !== undefined) await turn();
      if (ready !== undefined) await this.#commitGroup(ready);
      ready = await next;
      // It stands on the one before, which may have failed after it was prepared: then it is dropped already.
      if (ready?.group.isFailed === true) ready = undefined;
    }
    this.#running = undefined;
  }

  get #hasWork(): boolean {
    return !isEmpty(this.#open) || this.#queue.length > 0;
  }

  /** Changes that may be expected to come together. */
  get #expected(): number {
    return Math.max(this.#company.before, this.#company.now);
  }

  async #waitForCompany(): Promise<void> {
    const { clock } = this.#options;
    if (clock === undefined || this.#isClosed || this.#waitingCount >= this.#expected) return;
    const waitMs = Math.min(COMPANY_MS_MAX, this.#groupMs);
    if (waitMs < COMPANY_MS_MIN) return;
    const all = new Promise<void>((resolve) => {
      this.#onCompany = resolve;
    });
    await Promise.race([all, clock.sleep(waitMs)]);
    this.#onCompany = undefined;
  }

  async #announceClose(): Promise<void> {
    for (const listener of this.#listeners) {
      const done = listener.beforeClose?.();
      if (isPromise(done)) await done;
    }
  }

  /** Closes the group that is forming and begins the next. */
  #takeGroup(): Group {
    const group = this.#open;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#isTimeUp = false;
    this.#groups++;
    this.#changes += group.changes;
    this.#rows += group.rows;
    this.#closing.push(group);
    this.#open = newGroup(this.#pending.begin());
    for (const listener of this.#listeners) listener.onClosed?.();
    this.#admit();
    return group;
  }

  /** Answers undefined when the group has failed; never rejects. */
  async #prepare(group: Group): Promise<Prepared | undefined> {
    const startedMs = this.#nowMs();
    try {
      // Refused changes alone need nothing made durable, but wait for what refused them.
      const first = group.layer.rowCount > 0 ? await this.#options.prepare() : [];
      if (group.isFailed) return undefined;
      for (const change of first) this.#pending.applyBelow(group.layer, change);
      return { group, preparedMs: this.#nowMs() - startedMs };
    } catch (error) {
      this.#fail(group, error);
      return undefined;
    }
  }

  #nowMs(): number {
    return this.#options.clock?.monotonicMs() ?? 0;
  }

  async #commitGroup({ group, preparedMs }: Prepared): Promise<void> {
    const startedMs = this.#nowMs();
    try {
      if (group.layer.rowCount > 0) await this.#options.meta.write(group.layer.writes());
      this.#pending.settle(group.layer);
      this.#closing.shift();
      for (const listener of this.#listeners) listener.onDurable?.(group.durables);
      for (const settled of group.onSettled) settled();
    } catch (error) {
      this.#fail(group, error);
    }
    this.#groupMs = preparedMs + this.#nowMs() - startedMs;
    this.#company = { before: this.#company.now, now: this.#unsettled };
  }

  /** The group and those that stand on it are dropped whole. */
  #fail(group: Group, fault: unknown): void {
    const at = this.#closing.indexOf(group);
    if (at < 0) return;
    const lost = [...this.#closing.splice(at), this.#open];
    this.#pending.drop(group.layer);
    this.#openCommit = undefined;
    this.#open = newGroup(this.#pending.begin());
    for (const each of lost) {
      each.isFailed = true;
      for (const settled of each.onSettled) settled(fault);
      if (each.durables.length > 0) for (const listener of this.#listeners) listener.onLost?.(each.durables, fault);
    }
    this.#admit();
  }

  /** Waits until everything handed in is settled; afterwards nothing more is taken. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#hasWork) this.#start();
    await this.#running;
    this.#timer?.[Symbol.dispose]();
  }
}

/** Called in the turn in which it happens; must not throw. */
export interface GroupListener {
  /**
   * The group that is forming is about to be closed: what was done before this may still be added to it. What is done
   * from now on, until `onClosed`, is held back by whoever wants the order kept. Must not reject.
   */
  readonly beforeClose?: () => Maybe<void>;
  readonly onClosed?: () => void;
  /** A change was applied to what is pending. */
  readonly onApplied?: (change: Change) => void;
  /** In order; changes that joined a commit and said nothing new are left out. */
  readonly onDurable?: (durables: readonly Durable[]) => void;
  /** Nothing of these is true any more, for the reason given. */
  readonly onLost?: (lost: readonly Durable[], fault: unknown) => void;
}

function newGroup(layer: Layer): Group {
  const empty = {
    durables: [],
    onSettled: [],
    changes: 0,
    added: 0,
    rows: 0,
    bytes: 0,
    isAwaited: false,
    isFailed: false,
  };
  return { layer, ...empty };
}

function isEmpty(group: Group): boolean {
  return group.changes === 0 && group.onSettled.length === 0;
}

function closedFault(): Fault {
  return new Fault('unavailable', 'The store is closing and takes no more changes.');
}

function openCommitOf(record: CommitRecord, change: Change, applied: Applied, layer: Layer): OpenCommit | undefined {
  if (record.joint === undefined || change.space === undefined) return undefined;
  const said: Said = new Map();
  for (const item of record.items) say(said, item);
  const { commit } = applied;
  return { joint: record.joint, space: change.space, layer, commit, itemCount: record.items.length, said };
}

/** Writes and attributes of a node are said once a commit, and not at all of one that the commit itself made. */
function say(said: Said, item: ChangeItem): void {
  if (item.kind !== CHANGE_KIND.create && item.kind !== CHANGE_KIND.write && item.kind !== CHANGE_KIND.attributes)
    return;
  const isAttributes = item.kind === CHANGE_KIND.attributes;
  const kinds = (1 << CHANGE_KIND.attributes) | (isAttributes ? 0 : 1 << CHANGE_KIND.write);
  said.set(item.node, (said.get(item.node) ?? 0) | kinds);
}

function isSaid(said: Said, item: ChangeItem): boolean {
  return ((said.get(item.node) ?? 0) & (1 << item.kind)) !== 0;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
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
