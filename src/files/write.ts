/**
 * Writing a file whole: its bytes become a content first, then one commit links it. A stream that breaks, a wrong
 * announcement or a stale version leaves nothing visible.
 */
import { createHash } from 'node:crypto';
import { type ByteSource, type FileRecord, type Path, textOfPath, type WriteOptions } from '../api/index.ts';
import { Fault, hexOf, type Moment, momentOfIso } from '../base/index.ts';
import { NODE_KIND, type NodeId, type NodeRow } from '../meta/index.ts';
import { type Announced, type Built, buildContent, fewBytesOf } from './content/build-content.ts';
import type { Caller, Context, Space } from './context.ts';
import { checkExpected, decideOnce } from './decide.ts';
import { planThinning } from './past/retention.ts';
import { changeOf, joinParts, MODE_DEFAULT, newNode, type Parts, planCreate, planReplace } from './plan.ts';
import { kindOf, recordOf } from './record.ts';
import { type Found, findPath, getPlace, type LookedUp, lookUp, type Place } from './tree.ts';

/** A moment given by a caller. @throws Fault `invalid`. */
export function momentOf(text: string | undefined, what: string): Moment | undefined {
  if (text === undefined) return undefined;
  const moment = momentOfIso(text);
  if (moment !== undefined) return moment;
  throw new Fault('invalid', `${what} ${JSON.stringify(text)} is not a moment; write it like 2026-01-31T12:00:00Z.`, {
    [what]: text,
  });
}

/** @throws Fault as WriteOptions says; nothing is visible then. */
export async function writeFile(
  context: Context,
  space: Space,
  caller: Caller,
  path: Path,
  source: ByteSource,
  options: WriteOptions,
): Promise<FileRecord> {
  const modified = momentOf(options.modified, 'modified');
  // Refuse before the bytes are sent where the answer is known already; the commit decides again.
  const isSent = fewBytesOf(source) === undefined;
  if (isSent && options.idempotencyKey === undefined) await checkGoal(context, space, path, options);
  await using built = await buildAnnounced(context, space, path, source, options, options.signal);
  const text = textOfPath(path);
  const request = ['write', text, options.mode, built.size, hexOf(built.hash)];
  // Awaited here: the content must not be let go of before its commit.
  return await decideOnce(context, space, `Writing ${text}`, { key: options.idempotencyKey, request }, async () => {
    const now = context.clock.now();
    const { parts, record, kind } = await planFile(context, space, path, built, { ...options, modified }, now);
    return {
      change: changeOf(space, caller, kind, now, withContent(parts, built)),
      answer: record,
      onCommitted: () => built.linked(),
    };
  });
}

/** Which file is wanted: WriteOptions as far as they are about the file itself. */
export type WantedFile = Pick<WriteOptions, 'mode' | 'expectedVersion' | 'expectedId' | 'permissions' | 'parents'>;

/** A content that is to become a file. */
export type FinishedContent = Pick<Built, 'content' | 'size' | 'hash'>;

/** What links a content to a path. @throws the fault that the mode and the expected version ask for. */
export async function planFile(
  context: Context,
  space: Space,
  path: Path,
  built: FinishedContent,
  options: WantedFile & { readonly modified: Moment | undefined },
  now: Moment,
): Promise<PlannedFile & { readonly kind: 'create' | 'write' }> {
  const { found, parent } = await checkGoal(context, space, path, options);
  const { permissions: mode, modified = now } = options;
  const fresh = { content: built.content, size: built.size, modified, mode };
  if (found === undefined)
    return { ...(await planNewFile(context, space, path, built, fresh, { ...options, parent }, now)), kind: 'create' };
  return { ...(await planNewVersion(context, space, found, built, fresh, now)), kind: 'write' };
}

interface Fresh {
  readonly content: number;
  readonly size: number;
  readonly modified: Moment;
  readonly mode?: number | undefined;
}

interface PlannedFile {
  readonly parts: Parts;
  readonly record: FileRecord;
}

async function planNewFile(
  context: Context,
  space: Space,
  path: Path,
  built: FinishedContent,
  fresh: Fresh,
  options: WantedFile & Pick<LookedUp, 'parent'>,
  now: Moment,
): Promise<PlannedFile> {
  const { place, parts } = await placeFor(context, space, path, options.parents === true, now, options.parent);
  const node = await context.ids.node(space.space);
  const row = newNode(space, place.parent.node, now, {
    ...fresh,
    node,
    kind: NODE_KIND.file,
    mode: options.permissions ?? MODE_DEFAULT.file,
    uid: context.options.uid,
    gid: context.options.gid,
  });
  return {
    parts: withoutUnmade(joinParts([...parts, planCreate(space, place, row)])),
    record: recordOf(path, row, hexOf(built.hash)),
  };
}

async function planNewVersion(
  context: Context,
  space: Space,
  found: Found,
  built: FinishedContent,
  fresh: Fresh,
  now: Moment,
): Promise<PlannedFile> {
  const where = { parent: found.entry?.parent ?? space.root, name: found.path.at(-1) ?? new Uint8Array() };
  const { parts, row } = planReplace(found.node, where, fresh, now);
  const thinning = await planThinning(context, space, found.node, now);
  const reachable: Partial<Parts> = { expects: [{ kind: 'reachable', space: space.space, folder: where.parent }] };
  return { parts: joinParts([parts, reachable, thinning]), record: recordOf(found.path, row, hexOf(built.hash)) };
}

/** The content's rows go before everything that names it; a hidden one stops being a thing to reap. */
export function withContent(parts: Parts, built: Built): Parts {
  const [reap] = built.reap;
  return {
    ...parts,
    puts: [...built.puts, ...parts.puts],
    deletes: reap === undefined ? parts.deletes : [...parts.deletes, reap],
  };
}

/** What stands at the goal now, or would; @throws the fault that the mode and the expected version ask for. */
export async function checkGoal(context: Context, space: Space, path: Path, options: WantedFile): Promise<LookedUp> {
  const text = textOfPath(path);
  const lookedUp = await lookUp(context, space, path);
  const { found, parent } = lookedUp;
  if (found === undefined && options.parents !== true && parent?.kind !== NODE_KIND.folder)
    await getPlace(context, space, path);
  if (found?.node.kind === NODE_KIND.folder)
    throw new Fault('is-folder', `${text} is a folder; a file cannot take its place.`, { path: text });
  if (options.mode === 'create' && found !== undefined) throw existsFault(found);
  if (options.mode === 'replace' && found === undefined) {
    throw new Fault(
      'not-found',
      `There is no file at ${text} to replace. Make it first, or ask for "make or replace".`,
      { path: text },
    );
  }
  checkExpected(text, options, found?.node);
  if (found !== undefined && found.node.kind !== NODE_KIND.file) {
    throw new Fault('exists', `${text} is a ${kindOf(found.node)}, not a file; remove it first.`, {
      path: text,
      kind: kindOf(found.node),
    });
  }
  return lookedUp;
}

export function existsFault(found: Found): Fault {
  const text = textOfPath(found.path);
  return new Fault('exists', `There is a ${kindOf(found.node)} at ${text} already.`, {
    path: text,
    file_id: found.node.node,
    current_version: found.node.version,
  });
}

/** A content that is what was announced of it. @throws Fault `mismatch`, and what buildContent throws. */
export async function buildAnnounced(
  context: Context,
  space: Space,
  path: Path,
  source: ByteSource,
  announced: Announced,
  signal: AbortSignal | undefined,
): Promise<Built> {
  const sha256 = announced.sha256 === undefined ? undefined : createHash('sha256');
  const built = await buildContent(context, space, source, {
    level: context.options.compression.levelOf(path),
    announced,
    signal,
    ...(sha256 === undefined ? {} : { onBytes: (bytes: Uint8Array) => sha256.update(bytes) }),
  });
  try {
    const { xxhash3, sha256: wanted } = announced;
    if (xxhash3 !== undefined) checkHash(textOfPath(path), 'xxhash3', xxhash3, hexOf(built.hash));
    if (wanted !== undefined) checkHash(textOfPath(path), 'sha256', wanted, sha256?.digest('hex'));
    return built;
  } catch (error) {
    await built[Symbol.asyncDispose]();
    throw error;
  }
}

export function checkHash(
  path: string,
  what: string,
  announced: string | undefined,
  computed: string | undefined | (() => string),
  outcome = 'Nothing was stored; send it again.',
): void {
  if (announced === undefined) return;
  const actual = typeof computed === 'function' ? computed() : computed;
  if (announced.toLowerCase() === actual) return;
  const sentence = `The bytes sent for ${path} have the ${what} ${actual}, but ${announced} was announced. ${outcome}`;
  throw new Fault('mismatch', sentence, { path, what, announced, actual });
}

/**
 * The place for a new node; with `parents` the folders above that are missing are planned too. `parent` is its folder
 * where that was looked up already.
 */
export async function placeFor(
  context: Context,
  space: Space,
  path: Path,
  withParents: boolean,
  now: Moment,
  parent?: NodeRow,
): Promise<PlannedPlace> {
  const name = path.at(-1);
  if (name !== undefined && parent?.kind === NODE_KIND.folder)
    return { place: { path, parent, name }, parts: [], above: parent };
  if (!withParents || name === undefined) {
    const place = await getPlace(context, space, path);
    return { place, parts: [], above: place.parent };
  }
  const { folder, parts, above } = await foldersFor(context, space, path.slice(0, -1), now);
  return { place: { path, parent: folder.node, name }, parts, above };
}

interface PlannedPlace {
  readonly place: Place;
  /** What makes the folders that are missing. */
  readonly parts: readonly Partial<Parts>[];
  /** The nearest folder that is there already: the place's own, or one above it. */
  readonly above: NodeRow;
}

/**
 * A folder that is made in this very change is reachable because it is made, and its row is written whole: nothing is
 * expected of it, and touches of it become part of its row.
 */
export function withoutUnmade(parts: Parts): Parts {
  const made = new Set<NodeId>();
  for (const put of parts.puts)
    if (put.table === 'nodes' && put.mode === 'insert' && put.row.kind === NODE_KIND.folder) made.add(put.row.node);
  if (made.size === 0) return parts;
  const links = new Map<NodeId, number>();
  for (const { folder, links: added } of parts.touches) if (made.has(folder)) links.set(folder, added);
  return {
    ...parts,
    expects: parts.expects.filter((expect) => !(expect.kind === 'reachable' && made.has(expect.folder))),
    touches: parts.touches.filter(({ folder }) => !made.has(folder)),
    puts: parts.puts.map((put) => {
      const added = put.table === 'nodes' ? (links.get(put.row.node) ?? 0) : 0;
      return put.table === 'nodes' && added !== 0 ? { ...put, row: { ...put.row, links: put.row.links + added } } : put;
    }),
  };
}

/**
 * The folder at `path`, with what must be made for it to be there. `parent` is what its name is missing in, where that was
 * looked up already. @throws Fault `not-folder`.
 */
export async function foldersFor(
  context: Context,
  space: Space,
  path: Path,
  now: Moment,
  mode: number = MODE_DEFAULT.folder,
  parent?: NodeRow,
): Promise<{ readonly folder: Found; readonly parts: readonly Partial<Parts>[]; readonly above: NodeRow }> {
  let depth = parent === undefined ? path.length : path.length - 1;
  let found: Found | undefined =
    parent === undefined ? undefined : { path: path.slice(0, depth), node: parent, entry: undefined };
  while (found === undefined) {
    found = await findPath(context, space, path.slice(0, depth));
    if (found === undefined) depth--;
  }
  if (found.node.kind !== NODE_KIND.folder) {
    throw new Fault('not-folder', `${textOfPath(found.path)} is not a folder, so nothing can be in it.`, {
      path: textOfPath(found.path),
    });
  }
  const above = found.node;
  const parts: Partial<Parts>[] = [];
  for (; depth < path.length; depth++) {
    const node: NodeId = await context.ids.node(space.space);
    const isLast = depth === path.length - 1;
    const row = newNode(space, found.node.node, now, {
      node,
      kind: NODE_KIND.folder,
      mode: isLast ? mode : MODE_DEFAULT.folder,
      uid: context.options.uid,
      gid: context.options.gid,
    });
    const name = path[depth] ?? new Uint8Array();
    parts.push(planCreate(space, { parent: found.node, name }, row));
    found = { path: path.slice(0, depth + 1), node: row, entry: undefined };
  }
  return { folder: found, parts, above };
}
