/**
 * The older versions of a file: listing them, newest first, through files that replaced each other; and going back.
 *
 * Numbers count per file. A path whose file took the place of another goes on with that one's versions, and then two may
 * have one number: alone it means the newer file's; the other one says that it needs its file's id besides. A file that
 * is gone is reached by its path or id as long as one of its versions is kept; what is restored of it goes to the file that took
 * its place, or else to where it stood.
 */
import {
  type Expecting,
  type FileRecord,
  type Path,
  pathOfText,
  type Target,
  textOfPath,
  type VersionPage,
  type VersionRecord,
} from '../../api/index.ts';
import { Fault, isoOfMoment, type Moment } from '../../base/index.ts';
import {
  CHANGE_KIND,
  type CommitNumber,
  type ContentId,
  type Expect,
  NODE_KIND,
  type NodeId,
  type Put,
  type VersionRow,
} from '../../meta/index.ts';
import type { Caller, Context, Space, View } from '../context.ts';
import { cursorOf, type Position, positionOf } from '../cursor.ts';
import { checkExpected, type Decision, decideOnce } from '../decide.ts';
import { changeOf, joinParts, MODE_DEFAULT, newNode, type Parts, planCreate, planReplace } from '../plan.ts';
import { hashOf, recordOf } from '../record.ts';
import { type Found, findPath, getPlace, nodeRow, type Place, pathOfNode } from '../tree.ts';
import { existsFault } from '../write.ts';
import { lastFileAt } from './deleted.ts';
import { type KeepRules, keepRulesOf } from './keep-rules.ts';
import { planThinning, reasonsToKeep } from './retention.ts';

/** Lines of a commit's change list that are looked through for where a file stood. */
const CHANGES_MAX = 10_000;
/** Files that replaced each other by rename, followed back at most this far. */
const REPLACED_MAX = 1_000;

/** One version, current or kept. */
interface Versioned {
  readonly node: NodeId;
  readonly version: number;
  readonly content: ContentId;
  readonly commit: CommitNumber;
  readonly size: number;
  readonly modified: { readonly seconds: number; readonly nanoseconds: number };
  readonly isCurrent: boolean;
  /** A newer file of the path has this number, too. */
  readonly isShadowed: boolean;
}

/** Whose versions are meant: a file that is there, or one that is gone and has kept versions; by a path the last one. */
interface Start {
  readonly node: NodeId;
  readonly found: Found | undefined;
}

/** @throws Fault `not-found` when nothing is there and nothing is kept; `is-folder`. */
async function startOf(
  context: View,
  space: Space,
  target: Target,
  find: (target: Target) => Promise<Found>,
): Promise<Start> {
  try {
    const found = await find(target);
    if (found.node.kind === NODE_KIND.file) return { node: found.node.node, found };
    const path = textOfPath(found.path);
    throw new Fault('is-folder', `${path} is not a file; only files have versions.`, { path });
  } catch (error) {
    if (!Fault.is(error, 'not-found')) throw error;
    if (!('id' in target)) {
      const last = context.at === undefined ? await lastFileAt(context, space, pathOfText(target.path)) : undefined;
      if (last === undefined) throw error;
      return { node: last, found: undefined };
    }
    const isGone = (await nodeRow(context, space, target.id)) === undefined;
    if (isGone && (await newestKept(context, space, target.id)) !== undefined)
      return { node: target.id, found: undefined };
    throw error;
  }
}

async function newestKept(context: View, space: Space, node: NodeId): Promise<VersionRow | undefined> {
  const [newest] = await context.meta.scan('versions', { prefix: [space.space, node], limit: 1, reverse: true });
  return newest;
}

export async function listVersions(
  context: View,
  space: Space,
  target: Target,
  find: (target: Target) => Promise<Found>,
  options: {
    readonly cursor?: string | undefined;
    readonly limit: number;
    readonly why?: boolean | undefined;
    readonly keep?: string | undefined;
  },
): Promise<VersionPage> {
  const rules = options.keep === undefined ? undefined : keepRulesOf(options.keep);
  const why = options.why === true || rules !== undefined ? new Reasons(context, space, rules) : undefined;
  const start = await startOf(context, space, target, find);
  const path = textOfGone(await goalOf(context, space, start));
  const after = positionOf(options.cursor);
  const versions: VersionRecord[] = [];
  let last: Position | undefined;
  for await (const version of versionsOf(context, space, start, after)) {
    if (versions.length === options.limit) return { path, versions, next: cursorOf(last ?? []) };
    const record = await versionRecord(context, space, version);
    versions.push(why === undefined ? record : { ...record, reasons: [...(await why.of(version))] });
    last = [version.node, version.version];
  }
  return { path, versions };
}

/** Why versions stay, file by file. */
class Reasons {
  readonly #context: View;
  readonly #space: Space;
  readonly #rules: KeepRules | undefined;
  readonly #known = new Map<NodeId, ReadonlyMap<number, readonly string[]>>();

  constructor(context: View, space: Space, rules: KeepRules | undefined) {
    this.#context = context;
    this.#space = space;
    this.#rules = rules;
  }

  async of({ node, version, isCurrent }: Versioned): Promise<readonly string[]> {
    if (isCurrent) return ['current'];
    const known = this.#known.get(node) ?? (await reasonsToKeep(this.#context, this.#space, node, this.#rules));
    this.#known.set(node, known);
    return known.get(version) ?? [];
  }
}

function textOfGone(goal: Found | Place | undefined): string {
  return goal === undefined ? '' : textOfPath(goal.path);
}

/** Newest first, the current one included; behind `after` (node, version) when given. */
async function* versionsOf(context: View, space: Space, start: Start, after?: Position): AsyncGenerator<Versioned> {
  const newer = new Numbers(context, space);
  let node: NodeId | null = start.node;
  let isSkipping = after !== undefined;
  for (let depth = 0; node !== null && depth < REPLACED_MAX; depth++) {
    const current = node === start.node ? start.found?.node : undefined;
    const isHere = isSkipping && after?.[0] === node;
    if (current !== undefined && !isSkipping && current.content !== null) {
      yield {
        node,
        version: current.version,
        content: current.content,
        commit: current.versionCommit,
        size: current.size,
        modified: { seconds: current.modifiedSeconds, nanoseconds: current.modifiedNanoseconds },
        isCurrent: true,
        isShadowed: false,
      };
    }
    if (!isSkipping || isHere) {
      for await (const row of keptVersions(context, space, node, isHere ? Number(after?.[1]) : undefined)) {
        const modified = { seconds: row.modifiedSeconds, nanoseconds: row.modifiedNanoseconds };
        yield { ...row, modified, isCurrent: false, isShadowed: await newer.have(row.version) };
      }
      isSkipping = false;
    }
    await newer.add(node, current?.version);
    node = await replacedBy(context, space, node);
  }
}

/** The numbers of the files that came later on a path. They nearly always rise, so that the least of them says it all. */
class Numbers {
  readonly #context: View;
  readonly #space: Space;
  readonly #nodes: { readonly node: NodeId; readonly current: number | undefined }[] = [];
  #least = Number.POSITIVE_INFINITY;

  constructor(context: View, space: Space) {
    this.#context = context;
    this.#space = space;
  }

  async add(node: NodeId, current: number | undefined): Promise<void> {
    const [oldest] = await this.#context.meta.scan('versions', { prefix: [this.#space.space, node], limit: 1 });
    this.#least = Math.min(this.#least, current ?? this.#least, oldest?.version ?? this.#least);
    this.#nodes.push({ node, current });
  }

  async have(version: number): Promise<boolean> {
    if (version < this.#least) return false;
    for (const { node, current } of this.#nodes) {
      if (current === version) return true;
      if ((await this.#context.meta.get('versions', [this.#space.space, node, version])) !== undefined) return true;
    }
    return false;
  }
}

async function* keptVersions(context: View, space: Space, node: NodeId, below?: number): AsyncGenerator<VersionRow> {
  const limit = 200;
  let before = below;
  for (;;) {
    const page: readonly VersionRow[] = await context.meta.scan('versions', {
      prefix: [space.space, node],
      ...(before === undefined ? {} : { after: [before] }),
      limit,
      reverse: true,
    });
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < limit) return;
    before = last.version;
  }
}

/** What a file took the place of by rename: its row says so while it lives, its kept versions afterwards. */
async function replacedBy(context: View, space: Space, node: NodeId): Promise<NodeId | null> {
  const row = await context.meta.get('nodes', [space.space, node]);
  if (row !== undefined) return row.replacedNode;
  return (await newestKept(context, space, node))?.replacedNode ?? null;
}

async function versionRecord(context: View, space: Space, version: Versioned): Promise<VersionRecord> {
  const commit = await context.meta.get('commits', [space.space, version.commit]);
  const time = commit ?? version.modified;
  return {
    file_id: version.node,
    version: version.version,
    size: version.size,
    modified: isoOfMoment(version.modified),
    xxhash3: await hashOf(context, space, version),
    commit: version.commit,
    committed: isoOfMoment({ seconds: time.seconds, nanoseconds: time.nanoseconds }),
    actor: commit?.actor ?? '',
    door: commit?.door ?? '',
    is_current: version.isCurrent,
    ...(version.isShadowed ? { needs_file_id: true } : {}),
  };
}

/** @throws Fault `not-found` when the file has no such version, or it is not kept any more. */
export async function getVersion(context: View, space: Space, found: Found, version: number): Promise<Versioned> {
  return await versionFrom(context, space, { node: found.node.node, found }, version);
}

/** The newest with this number. */
async function versionFrom(context: View, space: Space, start: Start, version: number): Promise<Versioned> {
  for await (const candidate of versionsOf(context, space, start)) if (candidate.version === version) return candidate;
  const path = start.found === undefined ? undefined : textOfPath(start.found.path);
  const sentence = `${path ?? `The file ${start.node}`} has no version ${version}, or it is not kept any more. \`holdfast versions\` lists those that are.`;
  throw new Fault('not-found', sentence, { path: path ?? null, file_id: start.node, version });
}

/** The files that took each other's place by rename, from a file that is gone to the newest of which anything is known. */
async function newestHeir(context: View, space: Space, gone: NodeId): Promise<NodeId> {
  let at = gone;
  for (let depth = 0; depth < REPLACED_MAX; depth++) {
    const heir = (await newestKept(context, space, at))?.heir ?? null;
    if (heir === null) break;
    const isKnown = (await nodeRow(context, space, heir)) !== undefined || (await newestKept(context, space, heir));
    if (!isKnown) break;
    at = heir;
  }
  return at;
}

/** Where a version goes: its file, or the one that took its place, or the place where that stood when it was removed. */
async function goalOf(context: View, space: Space, start: Start): Promise<Found | Place | undefined> {
  if (start.found !== undefined) return start.found;
  const newest = await newestHeir(context, space, start.node);
  const node = await nodeRow(context, space, newest);
  if (node !== undefined) {
    const path = await pathOfNode(context, space, newest);
    return path === undefined ? undefined : await findPath(context, space, path);
  }
  const path = await lastPathOf(context, space, newest);
  return path === undefined ? undefined : await placeOrNothing(context, space, path);
}

/** What the commit that removed a file says of it; undefined for one that went with a folder. */
async function lastPathOf(context: View, space: Space, node: NodeId): Promise<Path | undefined> {
  const last = await newestKept(context, space, node);
  if (last === undefined) return undefined;
  const changes = await context.meta.scan('changes', {
    prefix: [space.space, last.replacedBy],
    limit: CHANGES_MAX,
  });
  const removed = changes.find((change) => change.node === node && change.nameBefore !== null);
  if (removed?.nameBefore == null || removed.parentBefore === null) return undefined;
  const parent = await pathOfNode(context, space, removed.parentBefore);
  return parent === undefined ? undefined : [...parent, removed.nameBefore];
}

async function placeOrNothing(context: View, space: Space, path: Path): Promise<Place | undefined> {
  try {
    return await getPlace(context, space, path);
  } catch (error) {
    if (Fault.is(error, 'not-found', 'not-folder')) return undefined;
    throw error;
  }
}

export interface RestoreOptions extends Expecting {
  /** Where it goes instead: a file there gets it as its new version, otherwise a file is made. */
  readonly to?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly idempotencyKey?: string | undefined;
}

export async function restore(
  context: Context,
  space: Space,
  caller: Caller,
  target: Target,
  find: (target: Target) => Promise<Found>,
  version: number,
  options: RestoreOptions,
): Promise<FileRecord> {
  const { node } = await startOf(context, space, target, find);
  const request = [
    'restore',
    node,
    version,
    options.dryRun === true,
    ...(options.to === undefined ? [] : [options.to]),
  ];
  return decideOnce(context, space, 'Restoring a version', { key: options.idempotencyKey, request }, async () => {
    const start = await startOf(context, space, target, find);
    const wanted = await versionFrom(context, space, start, version);
    const goal = await restoreGoal(context, space, start, options.to);
    const now = context.clock.now();
    return 'node' in goal
      ? await restoreInto(context, space, caller, goal, wanted, options, now)
      : await restoreAt(context, space, caller, goal, start, wanted, options, now);
  });
}

async function restoreGoal(
  context: Context,
  space: Space,
  start: Start,
  to: string | undefined,
): Promise<Found | Place> {
  const path = to === undefined ? undefined : pathOfText(to);
  const goal =
    path === undefined
      ? await goalOf(context, space, start)
      : ((await findPath(context, space, path)) ?? (await getPlace(context, space, path)));
  if (goal === undefined) {
    const sentence = `The file ${start.node} is gone, and so is where it stood. Say where its version shall go.`;
    throw new Fault('not-found', sentence, { file_id: start.node });
  }
  if (!('node' in goal)) {
    const other = path === undefined ? await findPath(context, space, goal.path) : undefined;
    if (other !== undefined) throw existsFault(other);
  } else if (goal.node.kind !== NODE_KIND.file) {
    const text = textOfPath(goal.path);
    if (goal.node.kind !== NODE_KIND.folder) throw existsFault(goal);
    throw new Fault('is-folder', `${text} is a folder; a file cannot take its place.`, { path: text });
  }
  return goal;
}

/** The version may be thinned away meanwhile; the content must still be there to be named again. */
function expectVersion(space: Space, wanted: Versioned): Expect {
  const { node, version, content } = wanted;
  return wanted.isCurrent
    ? { kind: 'row', table: 'nodes', key: [space.space, node], equals: { content } }
    : { kind: 'row', table: 'versions', key: [space.space, node, version], equals: { content } };
}

async function restoreInto(
  context: Context,
  space: Space,
  caller: Caller,
  found: Found,
  wanted: Versioned,
  options: RestoreOptions,
  now: Moment,
): Promise<Decision<FileRecord>> {
  checkExpected(textOfPath(found.path), options, found.node);
  const hash = await hashOf(context, space, wanted);
  if (wanted.isCurrent && wanted.node === found.node.node) return { answer: recordOf(found.path, found.node, hash) };
  const where = { parent: found.entry?.parent ?? space.root, name: found.path.at(-1) ?? new Uint8Array() };
  const fresh = { content: wanted.content, size: wanted.size, modified: wanted.modified };
  const { parts, row } = planReplace(found.node, where, fresh, now, CHANGE_KIND.restore);
  if (options.dryRun === true) return { answer: recordOf(found.path, row, hash) };
  const guards: Partial<Parts> = {
    expects: [expectVersion(space, wanted), { kind: 'reachable', space: space.space, folder: where.parent }],
  };
  const thinning = await planThinning(context, space, found.node, now);
  const change = changeOf(space, caller, 'restore', now, joinParts([guards, parts, thinning]));
  return { change, answer: recordOf(found.path, row, hash) };
}

/** A new file at a free place; of a file that is gone it is the heir, so that the path's older versions go on there. */
async function restoreAt(
  context: Context,
  space: Space,
  caller: Caller,
  place: Place,
  start: Start,
  wanted: Versioned,
  options: RestoreOptions,
  now: Moment,
): Promise<Decision<FileRecord>> {
  checkExpected(textOfPath(place.path), options, undefined);
  const gone =
    start.found === undefined
      ? await newestKept(context, space, await newestHeir(context, space, start.node))
      : undefined;
  const isHeir = gone !== undefined && (await nodeRow(context, space, gone.node)) === undefined;
  const fresh = newNode(space, place.parent.node, now, {
    node: await context.ids.node(space.space),
    kind: NODE_KIND.file,
    mode: MODE_DEFAULT.file,
    uid: context.options.uid,
    gid: context.options.gid,
    size: wanted.size,
    content: wanted.content,
    modified: wanted.modified,
  });
  const row = isHeir ? { ...fresh, replacedNode: gone.node, version: gone.version + 1 } : fresh;
  const hash = await hashOf(context, space, wanted);
  if (options.dryRun === true) return { answer: recordOf(place.path, row, hash) };
  const heir: readonly Put[] = isHeir ? [{ table: 'versions', mode: 'replace', row: { ...gone, heir: row.node } }] : [];
  const guards: Partial<Parts> = {
    expects: [
      expectVersion(space, wanted),
      ...(isHeir
        ? [
            {
              kind: 'row',
              table: 'versions',
              key: [space.space, gone.node, gone.version],
              equals: { heir: gone.heir },
            } as const,
          ]
        : []),
    ],
    puts: heir,
  };
  const parts = joinParts([guards, planCreate(space, place, row)]);
  return { change: changeOf(space, caller, 'restore', now, parts), answer: recordOf(place.path, row, hash) };
}
