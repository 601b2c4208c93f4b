/**
 * Where an object stands on a disk: names to paths, and paths back to names in order of the names.
 * The segments of a name are folders, and the last one is a file in a fan-out folder named after its first two
 * characters and `=`, which no segment has:  packs/7/c0ffee  ->  packs/7/c0=/c0ffee.  So an object and a folder may
 * share a name, folders stay small when names differ at their front, and because a fan-out folder holds a run of names
 * that stand together, names can be listed in order with one folder in memory. See docs/formats/objects.md.
 */
import { isObjectSegment, isOnPage, mayHoldNames, type PageRequest } from './object-name.ts';
import type { ObjectName } from './object-store.ts';

const FAN_OUT_CHARACTERS = 2;
const FAN_OUT_MARK = '=';
const FAN_OUT_FOLDER = /^[a-z0-9._-]{1,2}=$/;
/** Files being written stand here; `=` at the front is neither a segment nor a fan-out folder. */
export const TEMP_FOLDER = '=temp';

export interface ObjectPlace {
  readonly folder: string;
  readonly path: string;
}

export function placeOf(name: ObjectName): ObjectPlace {
  const slash = name.lastIndexOf('/') + 1;
  const folder = `${name.slice(0, slash)}${groupOf(name.slice(slash))}${FAN_OUT_MARK}`;
  return { folder, path: `${folder}/${name.slice(slash)}` };
}

/** Entries of a folder of the store, with or without a slash at its end; none when there is no such folder. */
export type EntriesOf = (folder: string) => Promise<readonly string[]>;

/**
 * Names that can stand on the page, in byte order, without an end but the last name.
 * Reads only folders that may hold such names, one fan-out folder at a time.
 */
export async function* namesInOrder(
  entriesOf: EntriesOf,
  page: PageRequest,
  above = '',
): AsyncGenerator<ObjectName, void, undefined> {
  for (const group of groupsOf(await entriesOf(above))) {
    if (!mayHoldNames(above + group.start, page)) continue;
    const files = group.hasFiles ? filesIn(group, await entriesOf(`${above}${group.start}${FAN_OUT_MARK}`)) : [];
    // A folder stands where its slash puts it: behind `a`, `a-` and `a.`, before `a0`.
    for (const key of [...files, ...group.folders].sort()) {
      if (!key.endsWith('/')) {
        if (isOnPage(above + key, page)) yield above + key;
      } else if (mayHoldNames(above + key, page)) {
        yield* namesInOrder(entriesOf, page, above + key);
      }
    }
  }
}

/** What begins with the same characters: a run of names that nothing else stands between. */
interface Group {
  readonly start: string;
  hasFiles: boolean;
  /** Each with its slash. */
  readonly folders: string[];
}

function groupsOf(entries: readonly string[]): Group[] {
  const groups = new Map<string, Group>();
  const groupAt = (start: string): Group => {
    const group = groups.get(start) ?? { start, hasFiles: false, folders: [] };
    groups.set(start, group);
    return group;
  };
  for (const entry of entries) {
    if (FAN_OUT_FOLDER.test(entry)) groupAt(entry.slice(0, -1)).hasFiles = true;
    else if (isObjectSegment(entry)) groupAt(groupOf(`${entry}/`)).folders.push(`${entry}/`);
  }
  return [...groups.values()].sort((a, b) => (a.start < b.start ? -1 : 1));
}

function groupOf(key: string): string {
  return key.slice(0, FAN_OUT_CHARACTERS);
}

function filesIn(group: Group, entries: readonly string[]): string[] {
  return entries.filter((entry) => isObjectSegment(entry) && groupOf(entry) === group.start);
}
