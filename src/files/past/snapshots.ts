/**
 * Snapshots: named commits of a folder. Making one is one small commit whatever the size of the tree: a pin says that
 * whatever was visible at this very commit goes to history when it is replaced. Deleting one lets go of the pin; what
 * nobody needs any more is taken apart behind (history-sweep.ts).
 *
 * A snapshot is a commit of its own, never joined with what others do, so that nothing can become part of it afterwards.
 */
import { type Path, type SnapshotPage, type SnapshotRecord, textOfPath } from '../../api/index.ts';
import { Fault, isoOfMoment, momentOfIso } from '../../base/index.ts';
import { NODE_KIND, type Put, type SnapshotRow, THIS_COMMIT } from '../../meta/index.ts';
import { type Caller, type Context, commit, type Space } from '../context.ts';
import { cursorOf, positionOf } from '../cursor.ts';
import { decideOnce } from '../decide.ts';
import { getPath, pathOfNode } from '../tree.ts';
import { noSnapshot, PIN_HOLDER, viewAt } from './moments.ts';

const NAME_CHARACTERS_MAX = 128;

/** Names stand in paths and beside times and numbers, so they are none of those. @throws Fault `invalid`. */
export function checkSnapshotName(name: string): void {
  const problem = nameProblem(name);
  if (problem === undefined) return;
  const sentence = `${JSON.stringify(name.slice(0, 200))} cannot name a snapshot: ${problem}.`;
  throw new Fault('invalid', sentence, { name: name.slice(0, 200) });
}

function nameProblem(name: string): string | undefined {
  if (name === '') return 'a name has at least one character';
  if (name.length > NAME_CHARACTERS_MAX || Buffer.byteLength(name) > 255)
    return `a name has at most ${NAME_CHARACTERS_MAX} characters and 255 bytes`;
  if (!name.isWellFormed()) return 'it has half a surrogate pair';
  if (/[/\\\u0000-\u001f\u007f]/.test(name)) return 'it has a slash, a backslash or a control character';
  if (/^[@.-]/.test(name)) return 'it begins with @, a dot or a dash';
  if (/^\d+$/.test(name)) return 'digits alone are the number of a commit';
  if (momentOfIso(name) !== undefined || momentOfIso(`${name}T00:00:00Z`) !== undefined) return 'it reads as a time';
  return undefined;
}

export interface CreateOptions {
  readonly path?: Path;
  /** Which schedule makes it. */
  readonly schedule?: string;
  readonly idempotencyKey?: string | undefined;
  /** Rows that are written in the same commit. */
  readonly also?: readonly Put[];
}

/** @throws Fault `invalid`, `exists`, `not-found`, `not-folder`. */
export async function createSnapshot(
  context: Context,
  space: Space,
  caller: Caller,
  name: string,
  options: CreateOptions,
): Promise<SnapshotRecord> {
  checkSnapshotName(name);
  const path = options.path ?? [];
  const request = ['snapshot', name, textOfPath(path)];
  const what = `Making the snapshot ${name}`;
  await decideOnce(context, space, what, { key: options.idempotencyKey, request }, async () => {
    const folder = await getPath(context, space, path);
    if (folder.node.kind !== NODE_KIND.folder) {
      const text = textOfPath(path);
      throw new Fault('not-folder', `${text} is not a folder; snapshots are of folders.`, { path: text });
    }
    const key = [space.space, name] as const;
    if ((await context.meta.get('snapshots', key)) !== undefined)
      throw new Fault('exists', `There is a snapshot ${name} already. Choose another name, or delete it first.`, {
        snapshot: name,
      });
    const pin = await context.ids.pin(space.space);
    const now = context.clock.now();
    const row: SnapshotRow = {
      ...{ space: space.space, name, commit: THIS_COMMIT, pin, node: folder.node.node },
      ...{ seconds: now.seconds, nanoseconds: now.nanoseconds },
      ...{ actor: caller.user, door: caller.door, schedule: options.schedule ?? '' },
    };
    const pinned = {
      ...{ space: space.space, pin, holder: PIN_HOLDER.snapshot, name },
      ...{ fromCommit: THIS_COMMIT, toCommit: THIS_COMMIT, expiresSeconds: null },
    };
    return {
      answer: name,
      change: {
        space: space.space,
        now,
        record: { actor: caller.user, door: caller.door, request: caller.request, kind: 'snapshot', items: [] },
        expects: [
          { kind: 'absent', table: 'snapshots', key },
          { kind: 'reachable', space: space.space, folder: folder.node.node },
        ],
        puts: [
          { table: 'pins', mode: 'insert', row: pinned },
          { table: 'snapshots', mode: 'insert', row },
          ...(options.also ?? []),
        ],
      },
    };
  });
  return snapshotRecord(context, space, await getSnapshot(context, space, name));
}

/** @throws Fault `not-found` that says what there is. */
export async function getSnapshot(context: Context, space: Space, name: string): Promise<SnapshotRow> {
  const row = await context.meta.get('snapshots', [space.space, name]);
  if (row === undefined) throw await noSnapshot(context, space, name);
  return row;
}

export async function snapshotRecord(context: Context, space: Space, row: SnapshotRow): Promise<SnapshotRecord> {
  const path = await pathOfNode(viewAt(context, row.commit), space, row.node);
  return {
    name: row.name,
    path: path === undefined ? '' : textOfPath(path),
    file_id: row.node,
    commit: row.commit,
    created: isoOfMoment(row),
    actor: row.actor,
    door: row.door,
    ...(row.schedule === '' ? {} : { schedule: row.schedule }),
  };
}

/** In the order of their names. */
export async function listSnapshots(
  context: Context,
  space: Space,
  options: { readonly cursor?: string | undefined; readonly limit: number },
): Promise<SnapshotPage> {
  const position = positionOf(options.cursor);
  const rows = await context.meta.scan('snapshots', {
    prefix: [space.space],
    ...(position === undefined ? {} : { after: [String(position[0])] }),
    limit: options.limit,
  });
  const snapshots: SnapshotRecord[] = [];
  for (const row of rows) snapshots.push(await snapshotRecord(context, space, row));
  const last = rows.at(-1);
  return { snapshots, ...(rows.length < options.limit || last === undefined ? {} : { next: cursorOf([last.name]) }) };
}

/** The name is free at once; what only this snapshot kept is given back behind. */
export async function removeSnapshot(
  context: Context,
  space: Space,
  caller: Caller,
  name: string,
  /** `expectedPin`: only the very one that has it; `conflict` for another of the same name. */
  options: { readonly dryRun?: boolean | undefined; readonly expectedPin?: number },
): Promise<SnapshotRecord> {
  const row = await getSnapshot(context, space, name);
  if (options.expectedPin !== undefined && row.pin !== options.expectedPin)
    throw new Fault('conflict', `The snapshot ${name} is another one than it was.`, { snapshot: name });
  const record = await snapshotRecord(context, space, row);
  if (options.dryRun === true) return record;
  const released = {
    ...{ space: space.space, pin: row.pin, holder: PIN_HOLDER.released, name },
    ...{ fromCommit: row.commit, toCommit: row.commit, expiresSeconds: null },
  };
  await commit(context, {
    space: space.space,
    now: context.clock.now(),
    record: { actor: caller.user, door: caller.door, request: caller.request, kind: 'snapshot-delete', items: [] },
    expects: [{ kind: 'row', table: 'snapshots', key: [space.space, name], equals: { pin: row.pin } }],
    puts: [{ table: 'pins', mode: 'replace', row: released }],
    deletes: [{ table: 'snapshots', key: [space.space, name] }],
  });
  context.onHistoryOwed();
  return record;
}
