/** The older versions of a file: listing them, newest first, through files that replaced each other; and going back. */
import { type Expecting, type FileRecord, textOfPath, type VersionPage, type VersionRecord } from '../api/index.ts';
import { Fault, hexOf, isoOfMoment } from '../base/index.ts';
import {
  CHANGE_KIND,
  type CommitNumber,
  type ContentId,
  NODE_KIND,
  type NodeId,
  type VersionRow,
} from '../meta/index.ts';
import type { Caller, Context, Space } from './context.ts';
import { cursorOf, type Position, positionOf } from './cursor.ts';
import { checkExpected, decideOnce } from './decide.ts';
import { changeOf, joinParts, type Parts, planReplace } from './plan.ts';
import { recordOf } from './record.ts';
import { planThinning } from './retention.ts';
import type { Found } from './tree.ts';

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
}

export async function listVersions(
  context: Context,
  space: Space,
  found: Found,
  options: { readonly cursor?: string | undefined; readonly limit: number },
): Promise<VersionPage> {
  const path = textOfPath(found.path);
  if (found.node.kind !== NODE_KIND.file)
    throw new Fault('is-folder', `${path} is not a file; only files have versions.`, { path });
  const after = positionOf(options.cursor);
  const versions: VersionRecord[] = [];
  let last: Position | undefined;
  for await (const version of versionsOf(context, space, found, after)) {
    if (versions.length === options.limit) return { path, versions, next: cursorOf(last ?? []) };
    versions.push(await versionRecord(context, space, version));
    last = [version.node, version.version];
  }
  return { path, versions };
}

/** Newest first, the current one included; behind `after` (node, version) when given. */
async function* versionsOf(context: Context, space: Space, found: Found, after?: Position): AsyncGenerator<Versioned> {
  const current = found.node;
  let node: NodeId | null = current.node;
  let isSkipping = after !== undefined;
  for (let depth = 0; node !== null && depth < REPLACED_MAX; depth++) {
    const isHere = isSkipping && after?.[0] === node;
    if (node === current.node && !isSkipping && current.content !== null) {
      yield {
        node,
        version: current.version,
        content: current.content,
        commit: current.versionCommit,
        size: current.size,
        modified: { seconds: current.modifiedSeconds, nanoseconds: current.modifiedNanoseconds },
        isCurrent: true,
      };
    }
    if (!isSkipping || isHere) {
      yield* keptVersions(context, space, node, isHere ? Number(after?.[1]) : undefined);
      isSkipping = false;
    }
    node = await replacedBy(context, space, node);
  }
}

async function* keptVersions(context: Context, space: Space, node: NodeId, below?: number): AsyncGenerator<Versioned> {
  const limit = 200;
  let before = below;
  for (;;) {
    const page: readonly VersionRow[] = await context.meta.scan('versions', {
      prefix: [space.space, node],
      ...(before === undefined ? {} : { after: [before] }),
      limit,
      reverse: true,
    });
    for (const row of page) yield versionedOf(row);
    const last = page.at(-1);
    if (last === undefined || page.length < limit) return;
    before = last.version;
  }
}

function versionedOf(row: VersionRow): Versioned {
  const modified = { seconds: row.modifiedSeconds, nanoseconds: row.modifiedNanoseconds };
  return { ...row, modified, isCurrent: false };
}

/** What a file took the place of by rename: its row says so while it lives, its kept versions afterwards. */
async function replacedBy(context: Context, space: Space, node: NodeId): Promise<NodeId | null> {
  const row = await context.meta.get('nodes', [space.space, node]);
  if (row !== undefined) return row.replacedNode;
  const [version] = await context.meta.scan('versions', { prefix: [space.space, node], limit: 1, reverse: true });
  return version?.replacedNode ?? null;
}

async function versionRecord(context: Context, space: Space, version: Versioned): Promise<VersionRecord> {
  const commit = await context.meta.get('commits', [space.space, version.commit]);
  const content = await context.meta.get('contents', [space.space, version.content]);
  const time = commit ?? version.modified;
  return {
    file_id: version.node,
    version: version.version,
    size: version.size,
    modified: isoOfMoment(version.modified),
    xxhash3: content?.hash == null ? null : hexOf(content.hash),
    commit: version.commit,
    committed: isoOfMoment({ seconds: time.seconds, nanoseconds: time.nanoseconds }),
    actor: commit?.actor ?? '',
    door: commit?.door ?? '',
    is_current: version.isCurrent,
  };
}

/** @throws Fault `not-found` when the file has no such version, or it is not kept any more. */
export async function getVersion(context: Context, space: Space, found: Found, version: number): Promise<Versioned> {
  for await (const candidate of versionsOf(context, space, found)) if (candidate.version === version) return candidate;
  const path = textOfPath(found.path);
  const sentence = `${path} has no version ${version}, or it is not kept any more. \`holdfast versions\` lists those that are.`;
  throw new Fault('not-found', sentence, { path, version });
}

export async function restore(
  context: Context,
  space: Space,
  caller: Caller,
  find: () => Promise<Found>,
  version: number,
  options: Expecting & { readonly dryRun?: boolean | undefined; readonly idempotencyKey?: string | undefined },
): Promise<FileRecord> {
  const { node } = await find();
  const request = ['restore', node.node, version, options.dryRun === true];
  return decideOnce(context, space, 'Restoring a version', { key: options.idempotencyKey, request }, async () => {
    const found = await find();
    const path = textOfPath(found.path);
    checkExpected(path, options, found.node);
    const wanted = await getVersion(context, space, found, version);
    const content = await context.meta.get('contents', [space.space, wanted.content]);
    const hash = content?.hash == null ? null : hexOf(content.hash);
    if (wanted.isCurrent) return { answer: recordOf(found.path, found.node, hash) };
    const now = context.clock.now();
    const where = { parent: found.entry?.parent ?? space.root, name: found.path.at(-1) ?? new Uint8Array() };
    const { parts, row } = planReplace(found.node, where, wanted, now, CHANGE_KIND.restore);
    if (options.dryRun === true) return { answer: recordOf(found.path, row, hash) };
    const guards: Partial<Parts> = {
      expects: [
        // The version may be thinned away meanwhile; the content must still be there to be named again.
        {
          kind: 'row',
          table: 'versions',
          key: [space.space, wanted.node, wanted.version],
          equals: { content: wanted.content },
        },
        { kind: 'reachable', space: space.space, folder: where.parent },
      ],
    };
    const thinning = await planThinning(context, space, found.node, now);
    const change = changeOf(space, caller, 'restore', now, joinParts([guards, parts, thinning]));
    return { change, answer: recordOf(found.path, row, hash) };
  });
}
