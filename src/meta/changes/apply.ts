/**
 * What a change means, written once for all engines: it reads rows through an overlay, decides, and leaves there what
 * every row becomes. Nothing is written before all is decided, so a refused change has done nothing and needs no undoing.
 *
 * Numbers. A change with a record draws head + 1 and becomes a commit. A change without one is an inner step: it shows
 * users nothing, so it counts as part of the head commit. Its rows are born at the head, and what it displaces dies at
 * the head (not at head + 1: then the old row and the new one would both be visible at the head). A reaper hands in
 * `died`, the commit that made things unreachable, since a pin must see them up to there and not beyond.
 *
 * History. A displaced row goes to the history table when a pin covers a commit c with born ≤ c < died. Rows born in
 * the commit that displaces them were visible at none, and are gone. So are extents of a content that nobody names, not
 * even in history: no commit leads to them.
 *
 * References, quota and counters are counted in the same step, in counting.ts.
 */
import { assert, compareMoments, Fault, type Moment } from '../../base/index.ts';
import type { CommitNumber, SpaceId } from '../ids.ts';
import { CHANGE_ROWS_MAX, type Change, type CommitRecord, type Put, THIS_COMMIT, type Touch } from '../meta-store.ts';
import { NODE_KIND, type NodeRow, type SpaceRow } from '../rows/rows.ts';
import { keyOf, type Row, type Table, table } from '../rows/tables.ts';
import { settleChunks, settleContents } from './counting.ts';
import { checkExpect, staleFault } from './expects.ts';
import type { Overlay, Slot } from './overlay.ts';
import { PinSet } from './pins.ts';
import type { Run } from './run.ts';
import type { SpaceCache } from './space-cache.ts';

const COMMITS = table('commits');
const CHANGES = table('changes');
const EXTENTS = table('extents');

export interface Applied {
  /** The space's head after the change; 0 for a change outside any space. */
  readonly commit: CommitNumber;
  readonly time: Moment;
}

/**
 * A commit that goes on: several operations of a door that form one. The head must still be at it. Its rows are
 * replaced without history, since nobody ever saw them, and its change list grows.
 */
export interface Joint {
  readonly commit: CommitNumber;
  /** Lines of its change list so far. */
  readonly itemCount: number;
}

/** Leaves in the fresh `overlay` what rows become. @throws Fault `conflict`, `locked`, `lock-lost`, `gone`, `quota`: then it counts for nothing. */
export function applyChange(change: Change, overlay: Overlay, cache: SpaceCache, joint?: Joint): Applied {
  assertBounded(change);
  for (const expect of change.expects ?? []) checkExpect(expect, overlay, change.now, cache);
  const run = beginRun(change, overlay, joint);
  for (const touch of change.touches ?? []) applyTouch(run, touch);
  for (const gone of change.deletes ?? []) {
    const of = table(gone.table);
    assertOwnSpace(run, of, gone.key[0]);
    overlay.delete(of, gone.key);
  }
  for (const put of change.puts ?? []) applyPut(run, put);
  if (change.record !== undefined) writeRecord(run, change.record, joint);
  settleSpace(run);
  settleLives(run, cache);
  cache.applied(change);
  return { commit: run.number, time: run.time };
}

function assertBounded(change: Change): void {
  const rows = (change.puts?.length ?? 0) + (change.deletes?.length ?? 0);
  if (rows > CHANGE_ROWS_MAX)
    assert(false, 'a change puts and deletes no more rows than it may', { rows, CHANGE_ROWS_MAX });
}

function beginRun(change: Change, overlay: Overlay, joint: Joint | undefined): Run {
  if (change.space === undefined) {
    assert(change.record === undefined, 'a change with a record has a space');
    return { change, overlay, space: undefined, number: 0, died: 0, time: change.now };
  }
  const space = overlay.read('spaces', [change.space]) ?? spaceOfPuts(change, change.space);
  if (space === undefined) throw staleFault('row', 'spaces', [change.space], null);
  const headTime: Moment = { seconds: space.headSeconds, nanoseconds: space.headNanoseconds };
  if (change.record === undefined)
    return { change, overlay, space, number: space.head, died: change.died ?? space.head, time: headTime };
  if (joint !== undefined) {
    assert(joint.commit === space.head, 'a commit goes on only while it is the latest', { commit: joint.commit });
    return { change, overlay, space, number: space.head, died: change.died ?? space.head, time: headTime };
  }
  const time = compareMoments(change.now, headTime) > 0 ? change.now : headTime;
  return { change, overlay, space, number: space.head + 1, died: change.died ?? space.head + 1, time };
}

/** A change may make the very space it works in. */
function spaceOfPuts(change: Change, space: SpaceId): SpaceRow | undefined {
  const put = change.puts?.find((candidate) => candidate.table === 'spaces' && candidate.row.space === space);
  return put?.table === 'spaces' ? put.row : undefined;
}

/** Rows with a life or with references are counted and numbered by their own space, so they change with it only. */
function assertOwnSpace(run: Run, of: Table, space: unknown): void {
  if (!of.minds || of.key[0] !== 'space' || of.name === 'spaces') return;
  if (run.space?.space !== space)
    assert(false, 'a change touches rows of its own space only', { table: of.name, space });
}

function applyTouch(run: Run, touch: Touch): void {
  assertOwnSpace(run, table('nodes'), touch.space);
  const slot = run.overlay.slot('nodes', [touch.space, touch.folder]);
  const row = slot.after as NodeRow | undefined;
  if (row?.kind !== NODE_KIND.folder) throw staleFault('touch', 'nodes', [touch.space, touch.folder], null);
  const { now } = run.change;
  const before = { seconds: row.modifiedSeconds, nanoseconds: row.modifiedNanoseconds };
  const modified = touch.keepsModified === true ? before : laterOf(now, before);
  const changed = laterOf(now, { seconds: row.changedSeconds, nanoseconds: row.changedNanoseconds });
  const touched = {
    ...row,
    links: row.links + touch.links,
    modifiedSeconds: modified.seconds,
    modifiedNanoseconds: modified.nanoseconds,
    changedSeconds: changed.seconds,
    changedNanoseconds: changed.nanoseconds,
    born: run.number,
  };
  run.overlay.set(slot, touched as unknown as Row);
}

function laterOf(a: Moment, b: Moment): Moment {
  return compareMoments(a, b) >= 0 ? a : b;
}

function applyPut(run: Run, put: Put): void {
  const of = table(put.table);
  const row: Record<string, Row[string]> = { ...(put.row as unknown as Row) };
  assertOwnSpace(run, of, row.space);
  for (const column of of.commitColumns) if (row[column] === THIS_COMMIT) row[column] = run.number;
  if (of.hasBorn) row.born = run.number;
  if (of.counted.length > 0 && put.mode !== 'insert') keepCounted(run, of, row);
  run.overlay.put(of, row, put.mode);
}

/** Whoever replaces a counted row has read it some time ago, if at all; the figures of now stay. */
function keepCounted(run: Run, of: Table, row: Record<string, Row[string]>): void {
  const slot = run.overlay.slot(of.name, keyOf(of, row) as never);
  const current = slot.after ?? slot.before;
  if (current !== undefined) for (const column of of.counted) row[column] = current[column] ?? null;
}

function writeRecord(run: Run, record: CommitRecord, joint: Joint | undefined): void {
  const { overlay, number: commit, time } = run;
  const space = run.space?.space ?? 0;
  const { actor, door, request, kind, operation = '' } = record;
  const row: Row = { space, commit, ...time, actor, door, request, kind, operation };
  if (joint === undefined) overlay.put(COMMITS, row, 'insert');
  for (const [index, item] of record.items.entries()) {
    const sequence = (joint?.itemCount ?? 0) + index;
    const line: Row = {
      space,
      commit,
      sequence,
      node: item.node,
      kind: item.kind,
      parentBefore: item.before?.parent ?? null,
      nameBefore: item.before?.name ?? null,
      parentAfter: item.after?.parent ?? null,
      nameAfter: item.after?.name ?? null,
      version: item.version ?? null,
    };
    overlay.put(CHANGES, line, 'insert');
  }
}

/** Moves the head, adds to the counters, refuses what passes the quota. */
function settleSpace(run: Run): void {
  const { change, overlay } = run;
  if (run.space === undefined || (change.record === undefined && change.bytes === undefined)) return;
  const slot = overlay.slot('spaces', [run.space.space]);
  const row = slot.after as SpaceRow | undefined;
  assert(row !== undefined, 'a space is not removed by a change that adds to it', { space: run.space.space });
  const live = change.bytes?.live ?? 0;
  const history = change.bytes?.history ?? 0;
  const liveBytes = row.liveBytes + live;
  const historyBytes = row.historyBytes + history;
  if (liveBytes < 0 || historyBytes < 0)
    assert(false, 'the bytes of a space never fall below zero', { liveBytes, historyBytes });
  if (row.quotaBytes !== null && live + history > 0 && liveBytes + historyBytes > row.quotaBytes)
    throw quotaFault(row, { quotaBytes: row.quotaBytes, liveBytes, historyBytes });
  const head = { head: run.number, headSeconds: run.time.seconds, headNanoseconds: run.time.nanoseconds };
  overlay.set(slot, { ...row, ...head, liveBytes, historyBytes } as unknown as Row);
}

function quotaFault(
  space: SpaceRow,
  after: { readonly quotaBytes: number; readonly liveBytes: number; readonly historyBytes: number },
): Fault {
  const usedBytes = space.liveBytes + space.historyBytes;
  const neededBytes = after.liveBytes + after.historyBytes;
  const sentence =
    `${space.name} may hold ${after.quotaBytes} bytes, files and kept versions together; it holds ${usedBytes} and ` +
    `would hold ${neededBytes}. Remove files or versions, or raise the quota.`;
  return new Fault('quota', sentence, { space: space.space, usedBytes, neededBytes, ...after });
}

const NO_PINS = new PinSet([]);

/** Decides for every displaced row whether it goes to history or is gone, and counts what rows name. */
function settleLives(run: Run, cache: SpaceCache): void {
  const slots = run.overlay.changed();
  const displaced = slots.some(({ before, of }) => before !== undefined && of.history !== undefined);
  const held = displaced && run.space !== undefined ? cache.pinsOf(run.space.space, run.overlay) : NO_PINS;
  const kept = new Set<Slot>();
  for (const slot of slots) if (slot.of !== EXTENTS && isNeeded(run, slot, held)) keepPast(run, slot, kept);
  // Contents are counted first: extents of one that nobody names any more need no history.
  settleContents(run, slots, kept);
  for (const slot of slots) {
    if (slot.of !== EXTENTS || !isNeeded(run, slot, held)) continue;
    const content = run.overlay.read('contents', [slot.before?.space as number, slot.before?.content as number]);
    if (content !== undefined && content.refs > 0) keepPast(run, slot, kept);
  }
  settleChunks(run, slots, kept);
}

function isNeeded(run: Run, slot: Slot, held: PinSet): boolean {
  if (held.isEmpty || slot.before === undefined || slot.of.history === undefined) return false;
  const born = slot.before.born as number;
  return held.needs({ born, died: run.died }, run.change.now.seconds);
}

function keepPast(run: Run, slot: Slot, kept: Set<Slot>): void {
  const { history } = slot.of;
  assert(history !== undefined && slot.before !== undefined, 'only rows with a past go to history');
  run.overlay.put(table(history), { ...slot.before, died: run.died }, 'insert');
  kept.add(slot);
}
