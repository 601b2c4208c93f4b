/**
 * The room's face to the doors: FileService in wire terms, for one caller. Parses paths and bounds, picks the space of
 * the caller's user, and leaves every rule to the operations.
 */
import {
  type Changing,
  type FileRead,
  type FileRecord,
  type FileService,
  type ListOptions,
  type ListPage,
  type ManifestOptions,
  PART_PAGE_MAX,
  type Path,
  pathOfText,
  type ReadOptions,
  type ServerInfo,
  type Target,
  textOfBytes,
  textOfPath,
} from '../api/index.ts';
import { Fault, isPromise } from '../base/index.ts';
import { type ContentId, NODE_KIND } from '../meta/index.ts';
import { makeFolder, setAttributes } from './attributes.ts';
import { markReading, type Range, readContent } from './content/read-content.ts';
import { readMany } from './content/read-many.ts';
import type { Caller, Space, View } from './context.ts';
import { copy } from './copy.ts';
import { cursorOf, positionOf } from './cursor.ts';
import type { Files } from './files.ts';
import { runBatch } from './many/batch.ts';
import { writeMany } from './many/bulk.ts';
import { move } from './move.ts';
import { changesAfter } from './past/change-feed.ts';
import { listDeleted } from './past/deleted.ts';
import { listLog } from './past/log.ts';
import { mustBeShown, openScope, type Scope } from './past/moments.ts';
import { pruneSnapshots } from './past/prune.ts';
import { restoreTree } from './past/restore-tree.ts';
import { createSnapshot, getSnapshot, listSnapshots, removeSnapshot, snapshotRecord } from './past/snapshots.ts';
import { undo } from './past/undo.ts';
import { getVersion, listVersions, restore } from './past/versions.ts';
import { hashOf, kindOf, recordOf, recordOfFound } from './record.ts';
import { remove } from './remove.ts';
import { globOf } from './search/glob.ts';
import { search } from './search/search.ts';
import { entriesOf, type Found, findAgain, getNode, getPath, walk } from './tree.ts';
import { collect } from './upkeep/collect.ts';
import { repair } from './upkeep/repair.ts';
import { check, stats } from './upkeep/report.ts';
import { usage } from './upkeep/usage.ts';
import { chunkingOf } from './uploads/known-runs.ts';
import { writeFile } from './write.ts';

export const PAGE_ENTRIES_MAX = 1_000;
const VERSIONS_PAGE_MAX = 1_000;
const LOG_PAGE_MAX = 1_000;

export function fileService(files: Files, caller: Caller, info: () => ServerInfo): FileService {
  const { context } = files;
  const space = files.spaceOf(caller.user);
  const listed: Listed = new WeakMap();
  // What a mount has not stored yet becomes durable first: whoever wrote there and asks here sees it.
  const findIn = async ({ view }: Pick<Scope, 'view'>, target: Target): Promise<Found> => {
    if (!('path' in target)) return getNode(view, space, target.id);
    const known = listed.get(target);
    const found = known === undefined ? undefined : await findAgain(view, space, known);
    return found ?? (await getPath(view, space, pathOfText(target.path)));
  };
  const find = async (target: Target): Promise<Found> => {
    await files.settle();
    return findIn({ view: context }, target);
  };
  const open = async (at: string | undefined): Promise<Scope> => {
    await files.settle();
    return openScope(context, space, at);
  };
  /** Reads what is true now, or what was. */
  const within = async <T>(
    target: Target,
    at: string | undefined,
    act: (view: View, found: Found) => Promise<T>,
  ): Promise<T> => {
    using scope = await open(at);
    const found = await findIn(scope, target);
    mustBeShown(scope, found.path);
    return await act(scope.view, found);
  };
  const pathOf = async (text: string): Promise<Path> => {
    await files.settle();
    return pathOfText(text);
  };
  const as = ({ lockToken }: Changing): Caller =>
    lockToken === undefined ? caller : { ...caller, lockTokens: [...(caller.lockTokens ?? []), lockToken] };
  return {
    info: async () => info(),
    stat: (target, options) =>
      within(target, options?.at, async (view, found) => {
        const record = await recordOfFound(view, space, found, options?.withAttributes);
        if (options?.at === undefined) listed.set(record, found);
        return record;
      }),
    list: (target, options = {}) => within(target, options.at, (view, found) => list(view, space, found, options)),
    manifest: async function* (target, options = {}) {
      using scope = await open(options.at);
      const found = await findIn(scope, target);
      mustBeShown(scope, found.path);
      yield* manifest(scope.view, space, found, listed, options);
    },
    makeFolder: async (path, options = {}) => makeFolder(context, space, as(options), await pathOf(path), options),
    write: async (path, source, options) => writeFile(context, space, as(options), await pathOf(path), source, options),
    writeMany: (items, options = {}) =>
      writeMany(context, space, as(options), items, { before: () => files.settle(), signal: options.signal }),
    read: (target, options = {}) =>
      within(target, options.at, (view, found) =>
        read(view, space, found, options, () => openScope(context, space, options.at)),
      ),
    readMany: async function* (records, options = {}) {
      await files.settle();
      const { signal } = options;
      const foundOf = (record: FileRecord): Found | undefined => listed.get(record);
      const readAlone = (record: FileRecord): Promise<FileRead> =>
        within(record, undefined, (view, found) =>
          read(view, space, found, { signal }, () => openScope(context, space, undefined)),
        );
      yield* readMany({ context, space, foundOf, readAlone, signal }, records);
    },
    setAttributes: (target, change, options = {}) =>
      setAttributes(context, space, as(options), () => find(target), change, options),
    move: async (from, to, options = {}) =>
      move(context, space, as(options), await pathOf(from), pathOfText(to), options),
    copy: async (from, to, options = {}) =>
      copy(context, space, as(options), await pathOf(from), pathOfText(to), options),
    remove: async (path, options = {}) => remove(context, space, as(options), await pathOf(path), options),
    search: (query) =>
      within({ path: query.path ?? '/' }, query.at, (view, start) => {
        checkFolder(start);
        return search(view, space, start, query, limitOf(query.limit, PAGE_ENTRIES_MAX));
      }),
    versions: async (target, options = {}) => {
      using scope = await open(options.at);
      const found = async (wanted: Target): Promise<Found> => {
        const there = await findIn(scope, wanted);
        mustBeShown(scope, there.path);
        return there;
      };
      const limit = limitOf(options.limit, VERSIONS_PAGE_MAX);
      return await listVersions(scope.view, space, target, found, { ...options, limit });
    },
    restoreTree: async (path, at, options = {}) => {
      using scope = await open(at);
      const goal = path === undefined ? undefined : pathOfText(path);
      return await restoreTree(context, space, caller, scope, goal, options);
    },
    undo: async (commit, options = {}) => {
      await files.settle();
      return undo(context, space, caller, commit, options);
    },
    changes: async (query = {}) => {
      await files.settle();
      return changesAfter(context, space, query, limitOf(query.limit, LOG_PAGE_MAX));
    },
    log: async (query = {}) => {
      await files.settle();
      const path = query.path === undefined ? {} : { path: pathOfText(query.path) };
      return listLog(context, space, { ...path, cursor: query.cursor, limit: limitOf(query.limit, LOG_PAGE_MAX) });
    },
    createSnapshot: async (name, options = {}) => {
      await files.settle();
      const path = options.path === undefined ? {} : { path: pathOfText(options.path) };
      return createSnapshot(context, space, caller, name, { ...path, idempotencyKey: options.idempotencyKey });
    },
    snapshots: (options = {}) =>
      listSnapshots(context, space, { cursor: options.cursor, limit: limitOf(options.limit, PAGE_ENTRIES_MAX) }),
    snapshot: async (name) => snapshotRecord(context, space, await getSnapshot(context, space, name)),
    removeSnapshot: (name, options = {}) => removeSnapshot(context, space, caller, name, options),
    deleted: async (text, options = {}) => {
      const path = await pathOf(text);
      return listDeleted(context, space, path, { ...options, limit: limitOf(options.limit, VERSIONS_PAGE_MAX) });
    },
    pruneSnapshots: async (options = {}) => {
      await files.settle();
      return pruneSnapshots(context, space, caller, options);
    },
    restore: (target, version, options = {}) => restore(context, space, as(options), target, find, version, options),
    batch: async (request, options = {}) => {
      await files.settle();
      return runBatch(context, files, space, as(options), request, options);
    },
    lock: async (path, options = {}) => files.locks.lock(space, caller, await pathOf(path), options),
    changeLock: (token, change = {}) => files.locks.change(token, change),
    unlock: (token) => files.locks.unlock(token),
    locks: async ({ path } = {}) => ({
      locks: [...(await files.locks.list(space, path === undefined ? undefined : pathOfText(path)))],
    }),
    uploads: {
      create: async (path, options = {}) => files.uploads.create(space, as(options), await pathOf(path), options),
      putPart: async (upload, part, source, options = {}) =>
        files.uploads.putPart(space, upload, part, source, options),
      chunking: async () => chunkingOf(context),
      have: (upload, part, chunks) => files.uploads.have(space, upload, part, chunks),
      append: async (upload, offset, source, options = {}) =>
        files.uploads.append(space, upload, offset, source, options.signal),
      find: (upload) => files.uploads.find(space, upload),
      parts: async (upload, { after = 0, limit } = {}) =>
        files.uploads.parts(space, upload, after, limitOf(limit, PART_PAGE_MAX)),
      list: async ({ path } = {}) => files.uploads.list(space, path === undefined ? undefined : pathOfText(path)),
      complete: async (upload, options = {}) => {
        await files.settle();
        return files.uploads.complete(space, as(options), upload, options);
      },
      remove: (upload) => files.uploads.remove(space, upload),
    },
    stats: async () => {
      await files.settle();
      return stats(context, files.spaces);
    },
    usage: async (query = {}) => {
      await files.settle();
      return usage(context, space, files, query);
    },
    check: async (options = {}) => {
      await files.settle();
      return check(context, files.spaces, options);
    },
    gc: async (options = {}) => {
      await files.settle();
      return collect(context, files, options);
    },
    repair: async (options) => {
      await files.settle();
      return repair(context, files.spaces, caller, options);
    },
    gcStatus: () => files.collecting.status(),
    pauseGc: async (isPaused) => {
      await files.pauseCollections(isPaused);
      return files.collecting.status();
    },
  };
}

/** Where the records that were answered were found, for as long as somebody has them. */
type Listed = WeakMap<object, Found>;

function limitOf(limit: number | undefined, most: number): number {
  if (limit === undefined) return most;
  if (Number.isInteger(limit) && limit >= 1 && limit <= most) return limit;
  throw new Fault('invalid', `The limit ${limit} cannot be used: it takes a whole number from 1 to ${most}.`, {
    limit,
    limitMax: most,
  });
}

function checkFolder(found: Found): void {
  if (found.node.kind === NODE_KIND.folder) return;
  const path = textOfPath(found.path);
  throw new Fault('not-folder', `${path} is a ${kindOf(found.node)}, not a folder.`, { path });
}

async function list(context: View, space: Space, found: Found, options: ListOptions): Promise<ListPage> {
  checkFolder(found);
  const limit = limitOf(options.limit, PAGE_ENTRIES_MAX);
  const glob = options.glob === undefined ? undefined : globOf(options.glob);
  const position = positionOf(options.cursor);
  const after = position === undefined ? undefined : new Uint8Array(Buffer.from(String(position[0]), 'base64url'));
  const path = textOfPath(found.path);
  const entries = [];
  let last: Uint8Array | undefined;
  for await (const child of entriesOf(context, space, found, after)) {
    if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Listing a folder');
    if (entries.length === limit)
      return { path, entries, next: cursorOf([Buffer.from(last ?? []).toString('base64url')]) };
    const name = child.entry?.name ?? new Uint8Array();
    last = name;
    if (options.kind !== undefined && kindOf(child.node) !== options.kind) continue;
    if (glob !== undefined && !glob.matches(textOfBytes(name))) continue;
    entries.push(await recordOfFound(context, space, child, options.withAttributes));
  }
  return { path, entries };
}

async function* manifest(
  context: View,
  space: Space,
  found: Found,
  listed: Listed,
  options: ManifestOptions,
): AsyncGenerator<FileRecord> {
  checkFolder(found);
  for await (const child of walk(context, space, found)) {
    if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Listing everything');
    const hash = options.withHashes === false ? null : hashOf(context, space, child.node);
    const record = recordOf(child.path, child.node, isPromise(hash) ? await hash : hash);
    listed.set(record, child);
    yield record;
  }
}

async function read(
  context: View,
  space: Space,
  found: Found,
  options: ReadOptions,
  openAgain: () => Promise<Scope>,
): Promise<FileRead> {
  const path = textOfPath(found.path);
  if (found.node.kind === NODE_KIND.folder)
    throw new Fault('is-folder', `${path} is a folder; its entries can be listed, not read.`, { path });
  if (found.node.content === null)
    throw new Fault('invalid', `${path} is a ${kindOf(found.node)}; it has no bytes to read.`, { path });
  const wanted =
    options.version === undefined || options.version === found.node.version
      ? { content: found.node.content, size: found.node.size, version: found.node.version }
      : await getVersion(context, space, found, options.version);
  const range = rangeOf(wanted.size, options, path);
  const hash = await hashOf(context, space, wanted);
  const record = { ...recordOf(found.path, found.node, hash), size: wanted.size, version: wanted.version };
  return { record, bytes: bytesOf(openAgain, space, wanted.content, range, found, options.signal) };
}

/** Marks the content from the first byte asked for to the last; until then a content that nobody keeps may go. */
async function* bytesOf(
  openAgain: () => Promise<Scope>,
  space: Space,
  content: ContentId,
  range: Range,
  found: Found,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  using scope = await openAgain();
  const context = scope.view;
  using _mark = markReading(context, space, content);
  if ((await context.meta.get('contents', [space.space, content])) === undefined) {
    const path = textOfPath(found.path);
    throw new Fault(
      'conflict',
      `${path} was replaced before the first byte was read, and the old content is not kept. Read it again.`,
      { path },
    );
  }
  yield* readContent(context, space, content, range, found, { signal });
}

function rangeOf(size: number, options: ReadOptions, path: string): Range {
  const offset = options.offset ?? 0;
  const length = options.length ?? Math.max(0, size - offset);
  if (
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= size
  )
    return { offset, length };
  const sentence = `${path} has ${size} bytes; ${length} bytes from ${offset} do not lie inside it.`;
  throw new Fault('range', sentence, { path, size, offset, length });
}
