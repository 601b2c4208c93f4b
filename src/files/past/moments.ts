/**
 * The past as a view: which commit is meant by the name of a snapshot, a time or a number, whether it is kept, and the
 * rows as they were then, so that every reading operation reads the past as it reads what is true now.
 *
 * What is kept is said by pins alone (a rolling window, snapshots). While somebody reads a commit it is marked, and what
 * it needs of history stays until they are done, whatever becomes of its pin meanwhile.
 */
import { type Path, textOfPath } from '../../api/index.ts';
import { compareMoments, Fault, isoOfMoment, type Moment, momentOfIso } from '../../base/index.ts';
import {
  type CommitNumber,
  type CommitRow,
  type PinRow,
  PinSet,
  pastRows,
  type SnapshotRow,
} from '../../meta/index.ts';
import type { Context, Space, View } from '../context.ts';
import { rowsOf } from '../pages.ts';
import { pathOfNode } from '../tree.ts';

/** Holders of pins. */
export const PIN_HOLDER = {
  /** Everything since some time ago. */
  retention: 'retention',
  snapshot: 'snapshot',
  /** Of a snapshot that was deleted: goes when nobody reads it any more. */
  released: 'released',
} as const;

/** Snapshots that a refusal names. */
const SNAPSHOTS_NAMED_MAX = 3;

/** What is read: what is true now, or what was. Disposed by whoever opened it. */
export interface Scope extends Disposable {
  readonly view: View;
  /** Undefined for now. */
  readonly commit: CommitNumber | undefined;
  /** The folder that it is limited to; the root for everything. */
  readonly shown: Path;
  readonly snapshot: SnapshotRow | undefined;
}

/** @throws Fault `invalid` for what is no name, time or number; `not-found` for a snapshot; `not-kept`. */
export async function openScope(context: Context, space: Space, at: string | undefined): Promise<Scope> {
  if (at === undefined)
    return { view: context, commit: undefined, shown: [], snapshot: undefined, [Symbol.dispose]() {} };
  const asked = askedOf(at);
  if (asked.kind === 'snapshot') return openSnapshot(context, space, asked.name);
  const commit = asked.kind === 'commit' ? asked.commit : await commitAt(context, space, asked.time);
  const mark = markPast(context, space, commit);
  try {
    if (asked.kind === 'time') await mustBeLogged(context, space, commit, at);
    await mustBeKept(context, space, commit, at);
    return { view: viewAt(context, commit), commit, shown: [], snapshot: undefined, ...mark };
  } catch (error) {
    mark[Symbol.dispose]();
    throw error;
  }
}

export function viewAt(context: View, commit: CommitNumber): View {
  return { ...context, meta: pastRows(context.meta, commit), at: commit };
}

async function openSnapshot(context: Context, space: Space, name: string): Promise<Scope> {
  const snapshot = await context.meta.get('snapshots', [space.space, name]);
  if (snapshot === undefined) throw await noSnapshot(context, space, name);
  const mark = markPast(context, space, snapshot.commit);
  const view = viewAt(context, snapshot.commit);
  try {
    const shown = await pathOfNode(view, space, snapshot.node);
    if (shown === undefined)
      throw new Fault('corrupt', `The folder of the snapshot ${name} is missing. Run \`holdfast check\`.`, { name });
    return { view, commit: snapshot.commit, shown, snapshot, ...mark };
  } catch (error) {
    mark[Symbol.dispose]();
    throw error;
  }
}

export async function noSnapshot(context: Context, space: Space, name: string): Promise<Fault> {
  const kept = await describeKept(context, space);
  return new Fault('not-found', `There is no snapshot ${JSON.stringify(name)}. ${kept.sentence}`, {
    snapshot: name,
    ...kept.about,
  });
}

/** What a folder's snapshot does not show is not there. @throws Fault `not-found`. */
export function mustBeShown(scope: Scope, path: Path): void {
  const isInside = scope.shown.every((name, depth) => Buffer.compare(name, path[depth] ?? new Uint8Array()) === 0);
  if (isInside && path.length >= scope.shown.length) return;
  const [text, folder] = [textOfPath(path), textOfPath(scope.shown)];
  const sentence = `The snapshot ${scope.snapshot?.name} shows ${folder} and what is in it, not ${text}.`;
  throw new Fault('not-found', sentence, { path: text, snapshot: scope.snapshot?.name, folder });
}

type Asked =
  | { readonly kind: 'snapshot'; readonly name: string }
  | { readonly kind: 'time'; readonly time: Moment }
  | { readonly kind: 'commit'; readonly commit: CommitNumber };

/** `@` may stand before a time or a number; names never begin with it. */
export function askedOf(at: string): Asked {
  const bare = at.startsWith('@') ? at.slice(1) : at;
  if (/^\d{1,16}$/.test(bare) && Number.isSafeInteger(Number(bare))) return { kind: 'commit', commit: Number(bare) };
  const time = momentOfIso(bare) ?? momentOfIso(`${bare}T00:00:00Z`);
  if (time !== undefined) return { kind: 'time', time };
  if (!at.startsWith('@') && at !== '') return { kind: 'snapshot', name: at };
  const sentence = `${JSON.stringify(at)} is no moment. Write the name of a snapshot, a time like 2026-01-31T12:00:00Z, or the number of a commit.`;
  throw new Fault('invalid', sentence, { at });
}

export function markPast(context: Context, space: Space, commit: CommitNumber): Disposable {
  const key = pastKey(space, commit);
  context.readingPast.set(key, (context.readingPast.get(key) ?? 0) + 1);
  let isDone = false;
  return {
    [Symbol.dispose]() {
      if (isDone) return;
      isDone = true;
      const left = (context.readingPast.get(key) ?? 1) - 1;
      if (left > 0) context.readingPast.set(key, left);
      else context.readingPast.delete(key);
    },
  };
}

export function pastKey(space: Space, commit: CommitNumber): string {
  return `${space.space}:${commit}`;
}

/**
 * The last commit at or before a time; 0 when there is none. Numbers have gaps: whoever brings lost metadata back leaves
 * out billions of them.
 */
export async function commitAt(context: Context, space: Space, time: Moment): Promise<CommitNumber> {
  const head = (await context.meta.get('spaces', [space.space]))?.head ?? 0;
  let [low, high] = [0, head];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const row = await commitUpTo(context, space, middle);
    // Of old commits only the number may be left: they were before.
    if (row === undefined || compareMoments(row, time) <= 0) low = middle;
    else high = row.commit - 1;
  }
  return (await commitUpTo(context, space, low))?.commit ?? low;
}

/** The last one in the log up to a number. */
async function commitUpTo(context: Context, space: Space, commit: CommitNumber): Promise<CommitRow | undefined> {
  const range = { prefix: [space.space] as const, after: [commit + 1] as const, limit: 1, reverse: true };
  const [row] = await context.meta.scan('commits', range);
  return row;
}

/** Which commit a time means is only known as far back as the log goes. */
async function mustBeLogged(context: Context, space: Space, commit: CommitNumber, at: string): Promise<void> {
  if (commit < 1 || (await context.meta.get('commits', [space.space, commit])) !== undefined) return;
  const kept = await describeKept(context, space);
  throw new Fault('not-kept', `What was there at ${at} is not kept. ${kept.sentence}`, { at, ...kept.about });
}

async function mustBeKept(context: Context, space: Space, commit: CommitNumber, at: string): Promise<void> {
  const head = (await context.meta.get('spaces', [space.space]))?.head ?? 0;
  const pins = await pinsOf(context, space);
  const counting = pins.filter(({ holder }) => holder !== PIN_HOLDER.released);
  if (commit >= 1 && commit <= head && new PinSet(counting).keeps(commit, context.clock.now().seconds)) return;
  const kept = await describeKept(context, space);
  const what =
    commit > head
      ? `There is no commit ${commit} yet`
      : commit < 1
        ? `Nothing was there at ${at} yet`
        : `What was there at ${at} is not kept`;
  throw new Fault('not-kept', `${what}. ${kept.sentence}`, { at, commit, head, ...kept.about });
}

export async function pinsOf(context: View, space: Space): Promise<readonly PinRow[]> {
  const pins: PinRow[] = [];
  for await (const pin of rowsOf(context, 'pins', [space.space], ({ pin }) => [pin])) pins.push(pin);
  return pins;
}

/** For refusals: since when everything is kept, and which snapshots there are. */
async function describeKept(
  context: Context,
  space: Space,
): Promise<{ readonly sentence: string; readonly about: Readonly<Record<string, unknown>> }> {
  const window = (await pinsOf(context, space)).find(({ holder }) => holder === PIN_HOLDER.retention);
  const since = window === undefined ? undefined : await context.meta.get('commits', [space.space, window.fromCommit]);
  const limit = SNAPSHOTS_NAMED_MAX + 1;
  const names = (await context.meta.scan('snapshots', { prefix: [space.space], limit })).map(({ name }) => name);
  const shown = names.slice(0, SNAPSHOTS_NAMED_MAX).join(', ') + (names.length === limit ? ' and more' : '');
  const parts = [
    ...(window === undefined
      ? []
      : [
          window.fromCommit === 0
            ? 'everything since the beginning'
            : `everything since commit ${window.fromCommit}${since === undefined ? '' : ` (${isoOfMoment(since)})`}`,
        ]),
    ...(names.length === 0 ? [] : [`the snapshots ${shown}`]),
  ];
  return {
    sentence: parts.length === 0 ? 'Nothing of the past is kept.' : `Kept: ${parts.join(', ')}.`,
    about: {
      kept_since_commit: window?.fromCommit ?? null,
      kept_since: since === undefined ? null : isoOfMoment(since),
      snapshots: names.slice(0, SNAPSHOTS_NAMED_MAX),
    },
  };
}
