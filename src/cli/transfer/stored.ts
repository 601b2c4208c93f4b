/**
 * Paths in the store as the verbs handle them: canonical text form (`/a/b`), read from the words of the command line.
 */
import { type FileRecord, type FileService, type ManifestOptions, pathOfText, textOfPath } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import { rawOfText } from '../local/raw.ts';
import { textOfWord } from '../words/arguments.ts';

/**
 * The canonical path of a word; `word` may lack the leading slash. An empty one is refused: it is a variable that was
 * never set more often than it is the root. @throws Fault `invalid`.
 */
export function storedPath(word: string): string {
  if (word === '') throw new Fault('invalid', 'A path is empty. Write / for the root.', {});
  return textOfPath(pathOfText(textOfWord(word)));
}

export function joinStored(folder: string, name: string): string {
  if (name === '') return folder;
  return folder === '/' ? `/${name}` : `${folder}/${name}`;
}

export function lastStoredName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function storedFolderOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

/** The path below `folder`, in text form; empty for the folder itself. */
export function belowStored(path: string, folder: string): string {
  return folder === '/' ? path.slice(1) : path.slice(folder.length + 1);
}

export async function statOrNothing(
  service: FileService,
  path: string,
  signal: AbortSignal,
): Promise<FileRecord | undefined> {
  try {
    return await service.stat({ path }, { signal });
  } catch (error) {
    if (Fault.is(error, 'not-found', 'not-folder')) return undefined;
    throw error;
  }
}

export interface StoredEntry {
  /** Below the folder of the manifest, raw. */
  readonly relative: string;
  readonly record: FileRecord;
}

/** A manifest with paths that compare with those of a walk. */
export async function* manifestOf(
  service: FileService,
  folder: string,
  options: ManifestOptions,
): AsyncGenerator<StoredEntry, void> {
  for await (const record of service.manifest({ path: folder }, options)) {
    const below = belowStored(record.path, folder);
    if (below !== '') yield { relative: rawOfText(below), record };
  }
}
