/**
 * The room's face to the doors: FileService in wire terms, for one caller. Parses paths and bounds, picks the space of
 * the caller's user, and leaves every rule to the operations.
 */
import {
  type CallOptions,
  type FileRead,
  type FileService,
  type ListOptions,
  type ListPage,
  type Path,
  pathOfText,
  type ReadOptions,
  type SearchQuery,
  type ServerInfo,
  type Target,
  textOfBytes,
  textOfPath,
} from '../api/index.ts';
import { Fault, hexOf } from '../base/index.ts';
import { type ContentId, NODE_KIND } from '../meta/index.ts';
import { makeFolder, setAttributes } from './attributes.ts';
import { writeMany } from './bulk.ts';
import type { Caller, Context, Space } from './context.ts';
import { copy } from './copy.ts';
import { cursorOf, positionOf } from './cursor.ts';
import type { Files } from './files.ts';
import { globOf } from './glob.ts';
import { move } from './move.ts';
import { markReading, type Range, readContent } from './read-content.ts';
import { kindOf, recordOf, recordOfFound } from './record.ts';
import { remove } from './remove.ts';
import { check, stats } from './report.ts';
import { search } from './search.ts';
import { entriesOf, type Found, findAgain, getNode, getPath, walk } from './tree.ts';
import { getVersion, listVersions, restore } from './versions.ts';
import { writeFile } from './write.ts';

export const PAGE_ENTRIES_MAX = 1_000;
const VERSIONS_PAGE_MAX = 1_000;

export function fileService(files: Files, caller: Caller, info: () => ServerInfo): FileService {
  const { context } = files;
  const space = files.spaceOf(caller.user);
  const listed: Listed = new WeakMap();
  // What a mount has not stored yet becomes durable first: whoever wrote there and asks here sees it.
  const find = async (target: Target): Promise<Found> => {
    await files.settle();
    if (!('path' in target)) return getNode(context, space, target.id);
    const known = listed.get(target);
    const found = known === undefined ? undefined : await findAgain(context, space, known);
    return found ?? (await getPath(context, space, pathOfText(target.path)));
  };
  const pathOf = async (text: string): Promise<Path> => {
    await files.settle();
    return pathOfText(text);
  };
  return {
    info: async () => info(),
    stat: async (target, options) => recordOfFound(context, space, await find(target), options?.withAttributes),
    list: async (target, options = {}) => list(context, space, await find(target), options),
    manifest: (target, options) => manifest(context, space, () => find(target), listed, options),
    makeFolder: async (path, options = {}) => makeFolder(context, space, caller, await pathOf(path), options),
    write: async (path, source, options) => writeFile(context, space, caller, await pathOf(path), source, options),
    writeMany: async function* (items, options) {
      await files.settle();
      yield* writeMany(context, space, caller, items, options?.signal);
    },
    read: async (target, options = {}) => read(context, space, await find(target), options),
    setAttributes: (target, change, options = {}) =>
      setAttributes(context, space, caller, () => find(target), change, options),
    move: async (from, to, options = {}) => move(context, space, caller, await pathOf(from), pathOfText(to), options),
    copy: async (from, to, options = {}) => copy(context, space, caller, await pathOf(from), pathOfText(to), options),
    remove: async (path, options = {}) => remove(context, space, caller, await pathOf(path), options),
    search: async (query) => {
      await files.settle();
      return searchFrom(context, space, query);
    },
    versions: async (target, options = {}) =>
      listVersions(context, space, target, find, {
        cursor: options.cursor,
        limit: limitOf(options.limit, VERSIONS_PAGE_MAX),
      }),
    restore: (target, version, options = {}) => restore(context, space, caller, target, find, version, options),
    stats: async () => {
      await files.settle();
      return stats(context, files.spaces);
    },
    check: async (options = {}) => {
      await files.settle();
      return check(context, files.spaces, options);
    },
  };
}

/** Where the records of manifests were found, for as long as somebody has them. */
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

async function list(context: Context, space: Space, found: Found, options: ListOptions): Promise<ListPage> {
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
  context: Context,
  space: Space,
  find: () => Promise<Found>,
  listed: Listed,
  options: CallOptions = {},
): ReturnType<FileService['manifest']> extends AsyncIterable<infer T> ? AsyncGenerator<T> : never {
  const found = await find();
  checkFolder(found);
  for await (const child of walk(context, space, found)) {
    if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Listing everything');
    const record = await recordOfFound(context, space, child);
    listed.set(record, child);
    yield record;
  }
}

async function searchFrom(context: Context, space: Space, query: SearchQuery): Promise<ListPage> {
  const start = await getPath(context, space, pathOfText(query.path ?? '/'));
  checkFolder(start);
  return search(context, space, start, query, limitOf(query.limit, PAGE_ENTRIES_MAX));
}

async function read(context: Context, space: Space, found: Found, options: ReadOptions): Promise<FileRead> {
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
  const content = await context.meta.get('contents', [space.space, wanted.content]);
  const hash = content?.hash == null ? null : hexOf(content.hash);
  const record = { ...recordOf(found.path, found.node, hash), size: wanted.size, version: wanted.version };
  return { record, bytes: bytesOf(context, space, wanted.content, range, found, options.signal) };
}

/** Marks the content from the first byte asked for to the last; until then a content that nobody keeps may go. */
async function* bytesOf(
  context: Context,
  space: Space,
  content: ContentId,
  range: Range,
  found: Found,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  using _mark = markReading(context, space, content);
  if ((await context.meta.get('contents', [space.space, content])) === undefined) {
    const path = textOfPath(found.path);
    throw new Fault(
      'conflict',
      `${path} was replaced before the first byte was read, and the old content is not kept. Read it again.`,
      { path },
    );
  }
  yield* readContent(context, space, content, range, found, signal);
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
