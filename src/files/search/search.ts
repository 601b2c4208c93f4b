/** Finding files: a walk with filters, in pages; the cursor is the path of the last answer. */
import { type ListPage, type Path, pathOfText, type SearchQuery, textOfBytes, textOfPath } from '../../api/index.ts';
import { compareMoments, equalBytes, Fault, type Moment, utf8 } from '../../base/index.ts';
import type { NodeRow } from '../../meta/index.ts';
import type { Space, View } from '../context.ts';
import { cursorOf, positionOf } from '../cursor.ts';
import { kindOf, modifiedOf, recordOfFound } from '../record.ts';
import { type Found, walk } from '../tree.ts';
import { momentOf } from '../write.ts';
import { type Glob, globOf } from './glob.ts';

/** Entries that one page looks at, at most; a page may end early with a cursor, and even be empty. */
export const SEARCH_ENTRIES_MAX = 50_000;

interface Filter {
  readonly glob: Glob | undefined;
  readonly name: string | undefined;
  /** Of a name that looks like one: whoever writes `a*` means a glob. */
  readonly nameGlob: Glob | undefined;
  readonly query: SearchQuery;
  readonly modifiedAfter: Moment | undefined;
  readonly modifiedBefore: Moment | undefined;
}

export async function search(
  context: View,
  space: Space,
  start: Found,
  query: SearchQuery,
  limit: number,
): Promise<ListPage> {
  const filter: Filter = {
    glob: query.pattern === undefined ? undefined : globOf(query.pattern),
    name: query.name?.toLowerCase(),
    nameGlob: globOfName(query.name?.toLowerCase()),
    query,
    modifiedAfter: momentOf(query.modifiedAfter, 'modified_after'),
    modifiedBefore: momentOf(query.modifiedBefore, 'modified_before'),
  };
  const position = positionOf(query.cursor);
  const after: Path | undefined = position === undefined ? undefined : pathOfText(String(position[0] ?? ''));
  const path = textOfPath(start.path);
  const entries = [];
  let looked = 0;
  for await (const found of walk(context, space, start, { after, recursive: query.recursive })) {
    looked++;
    if (await matches(context, space, start, found, filter)) entries.push(await recordOfFound(context, space, found));
    if (entries.length === limit || looked === SEARCH_ENTRIES_MAX)
      return { path, entries, next: cursorOf([textOfPath(found.path)]) };
  }
  return { path, entries };
}

async function matches(context: View, space: Space, start: Found, found: Found, filter: Filter): Promise<boolean> {
  const { query, glob } = filter;
  const { node } = found;
  const name = textOfBytes(found.path.at(-1) ?? new Uint8Array());
  if (query.kind !== undefined && kindOf(node) !== query.kind) return false;
  if (query.sizeMin !== undefined && node.size < query.sizeMin) return false;
  if (query.sizeMax !== undefined && node.size > query.sizeMax) return false;
  if (filter.modifiedAfter !== undefined && compareMoments(modifiedOf(node), filter.modifiedAfter) <= 0) return false;
  if (filter.modifiedBefore !== undefined && compareMoments(modifiedOf(node), filter.modifiedBefore) >= 0) return false;
  if (filter.name !== undefined && !hasName(name.toLowerCase(), filter.name, filter.nameGlob)) return false;
  if (glob !== undefined && !glob.matches(glob.isPath ? textOfPath(found.path.slice(start.path.length)) : name))
    return false;
  return query.attribute === undefined || hasAttribute(context, space, node, query.attribute);
}

function hasName(name: string, wanted: string, glob: Glob | undefined): boolean {
  return glob?.matches(name) === true || name.includes(wanted);
}

/** Undefined for what is no glob: then it is a part of a name like any other, such as `[draft`. */
function globOfName(name: string | undefined): Glob | undefined {
  if (name === undefined || !/[*?[]/.test(name) || name.includes('/')) return undefined;
  try {
    return globOf(name);
  } catch (error) {
    if (Fault.is(error, 'invalid')) return undefined;
    throw error;
  }
}

async function hasAttribute(context: View, space: Space, node: NodeRow, wanted: string): Promise<boolean> {
  const [name = '', ...rest] = wanted.split('=');
  const row = await context.meta.get('attributes', [space.space, node.node, utf8(name)]);
  return row !== undefined && (rest.length === 0 || equalBytes(row.value, utf8(rest.join('='))));
}
