/**
 * Keeps the rolling window of history and takes away what nobody needs of it any more: rows of the history tables that
 * no pin covers, in bounded steps between other people's work. Each step stands alone, so a crash costs nothing: the pin
 * of a deleted snapshot goes last, and where it is still there the work begins anew.
 *
 * Who reads the past marks the commit; its rows, and its pin, stay until they are done.
 */
import type { Moment } from '../../base/index.ts';
import {
  type CommitNumber,
  type Delete,
  type PinRow,
  PinSet,
  type Put,
  type Rows,
  type ScanRange,
  THIS_COMMIT,
} from '../../meta/index.ts';
import { type Context, commit, type Space } from '../context.ts';
import { commitAt, PIN_HOLDER, pastKey, pinsOf } from './moments.ts';

/** Rows that one step looks at. */
const STEP_ROWS = 1_000;

type HistoryTable = 'nodesHistory' | 'entriesHistory' | 'attributesHistory' | 'extentsHistory';
type HistoryRow = Rows[HistoryTable];

const KEYS: { readonly [T in HistoryTable]: (row: Rows[T]) => readonly (number | Uint8Array)[] } = {
  entriesHistory: ({ parent, name, died }) => [parent, name, died],
  attributesHistory: ({ node, name, died }) => [node, name, died],
  nodesHistory: ({ node, died }) => [node, died],
  extentsHistory: ({ content, offset, died }) => [content, offset, died],
};
const TABLES = Object.keys(KEYS) as readonly HistoryTable[];

/**
 * Makes the window begin where `historyKeptSeconds` says; answers whether it moved. `isFirst`: only where there is none
 * and shall be one, or the other way round.
 */
export async function moveWindow(
  context: Context,
  space: Space,
  options: { readonly isFirst?: boolean } = {},
): Promise<boolean> {
  const { historyKeptSeconds } = context.options;
  const now = context.clock.now();
  const pins = await pinsOf(context, space);
  const window = pins.find(({ holder }) => holder === PIN_HOLDER.retention);
  if (historyKeptSeconds === 0) {
    if (window === undefined) return false;
    await commit(context, {
      space: space.space,
      now,
      deletes: [{ table: 'pins', key: [space.space, window.pin] }],
    });
    return true;
  }
  if (window !== undefined && options.isFirst === true) return false;
  const since = { seconds: now.seconds - historyKeptSeconds, nanoseconds: now.nanoseconds };
  // What was kept before this moment cannot be had again: a longer window grows from now on.
  const first = window === undefined ? THIS_COMMIT : await windowStart(context, space, window.fromCommit, since);
  if (window?.fromCommit === first) return false;
  const row: PinRow = {
    ...{ space: space.space, pin: window?.pin ?? (await context.ids.pin(space.space)) },
    ...{ holder: PIN_HOLDER.retention, name: '', fromCommit: first, toCommit: null, expiresSeconds: null },
  };
  await commit(context, { space: space.space, now, puts: [{ table: 'pins', mode: 'replace', row }] });
  return true;
}

/** Never before what is kept now, and not beyond what somebody reads. */
async function windowStart(context: Context, space: Space, before: CommitNumber, since: Moment): Promise<CommitNumber> {
  const wanted = Math.max(before, await commitAt(context, space, since));
  const read = marksOf(context, space).map(({ fromCommit }) => fromCommit);
  return read.reduce((least, at) => (at >= before ? Math.min(least, at) : least), wanted);
}

/** Whether deleted snapshots, or the last sweep, have left something to do. */
export async function isSweepOwed(context: Context, space: Space): Promise<boolean> {
  return (await pinsOf(context, space)).some(({ holder }) => holder === PIN_HOLDER.released);
}

/** Goes over all history of a space once; answers how many rows went. */
export async function sweepHistory(context: Context, space: Space, signal?: AbortSignal): Promise<number> {
  const released = await expireReleased(context, space);
  let dropped = 0;
  for (const table of TABLES) {
    for await (const page of pagesOf(context, space, table)) {
      if (signal?.aborted) return dropped;
      dropped += await sweepPage(context, space, table, page);
    }
  }
  await dropPins(context, space, released);
  if (dropped > 0) context.onUnreachable();
  return dropped;
}

/** From now on nothing goes to history for pins of deleted snapshots that nobody reads. */
async function expireReleased(context: Context, space: Space): Promise<readonly PinRow[]> {
  const now = context.clock.now();
  const released = (await pinsOf(context, space)).filter(
    ({ holder, fromCommit }) => holder === PIN_HOLDER.released && !isRead(context, space, fromCommit),
  );
  const puts = released
    .filter(({ expiresSeconds }) => expiresSeconds === null)
    .map((row): Put => ({ table: 'pins', mode: 'replace', row: { ...row, expiresSeconds: 1 } }));
  for (let at = 0; at < puts.length; at += STEP_ROWS)
    await commit(context, { space: space.space, now, puts: puts.slice(at, at + STEP_ROWS) });
  return released;
}

function isRead(context: Context, space: Space, at: CommitNumber): boolean {
  return context.readingPast.has(pastKey(space, at));
}

async function* pagesOf<T extends HistoryTable>(
  context: Context,
  space: Space,
  table: T,
): AsyncGenerator<readonly Rows[T][]> {
  const keyOf = KEYS[table] as (row: Rows[T]) => readonly (number | Uint8Array)[];
  let after: readonly (number | Uint8Array)[] | undefined;
  for (;;) {
    const range = { prefix: [space.space], limit: STEP_ROWS, ...(after === undefined ? {} : { after }) };
    const page = (await context.meta.scan(table, range as unknown as ScanRange<T>)) as readonly Rows[T][];
    if (page.length > 0) yield page;
    const last = page.at(-1);
    if (last === undefined || page.length < STEP_ROWS) return;
    after = keyOf(last);
    await turn();
  }
}

async function sweepPage<T extends HistoryTable>(
  context: Context,
  space: Space,
  table: T,
  page: readonly Rows[T][],
): Promise<number> {
  const now = context.clock.now();
  // Read anew for each step: a snapshot may have been made or deleted meanwhile.
  const pins = new PinSet([...(await pinsOf(context, space)), ...marksOf(context, space)]);
  const keyOf = KEYS[table] as (row: Rows[T]) => readonly (number | Uint8Array)[];
  const deletes = page
    .filter((row: HistoryRow) => !pins.needs(row, now.seconds))
    .map((row) => ({ table, key: [space.space, ...keyOf(row)] }) as unknown as Delete);
  if (deletes.length > 0) await commit(context, { space: space.space, now, deletes });
  return deletes.length;
}

/** Commits that are being read, as pins. */
function marksOf(context: Context, space: Space): readonly PinRow[] {
  const prefix = `${space.space}:`;
  return [...context.readingPast.keys()]
    .filter((key) => key.startsWith(prefix))
    .map((key) => Number(key.slice(prefix.length)))
    .map((at) => ({
      ...{ space: space.space, pin: 0, holder: 'reading', name: '' },
      ...{ fromCommit: at, toCommit: at, expiresSeconds: null },
    }));
}

async function dropPins(context: Context, space: Space, pins: readonly PinRow[]): Promise<void> {
  const now = context.clock.now();
  for (let at = 0; at < pins.length; at += STEP_ROWS) {
    const deletes = pins
      .slice(at, at + STEP_ROWS)
      .map(({ pin }): Delete => ({ table: 'pins', key: [space.space, pin] }));
    await commit(context, { space: space.space, now, deletes });
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
