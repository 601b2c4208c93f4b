/**
 * What to do with one entry of a tree that is put into the store: a pure function of what stands on the disk and what
 * stands in the store. Nothing in the store is ever removed to make room for something of another kind.
 */
import type { AttributeChange, FileRecord } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { LocalStat } from '../local/local-disk.ts';
import { isoOfNs, isSameMoment } from '../local/moments.ts';

export type PutStep =
  | { readonly step: 'keep' }
  | { readonly step: 'update'; readonly change: AttributeChange }
  /** Equal by size; whether by content too has to be read. */
  | { readonly step: 'compare'; readonly hash: string; readonly change: AttributeChange | undefined }
  | { readonly step: 'store' }
  | { readonly step: 'make' }
  | { readonly step: 'link' }
  | { readonly step: 'special' }
  | { readonly step: 'refuse'; readonly fault: Fault };

export interface PutPlanOptions {
  /** Trust no time: read what has the same size, and compare checksums. */
  readonly isChecksum: boolean;
  /** Store every file, whatever it looks like: what the store has of it may be damaged. */
  readonly isAgain: boolean;
}

/** @param readTarget reads where the local symlink points, in text form; asked only where it matters. */
export function planPut(
  local: LocalStat,
  stored: FileRecord | undefined,
  place: { readonly local: string; readonly path: string; readonly readTarget: () => string },
  options: PutPlanOptions,
): PutStep {
  switch (local.kind) {
    case 'file':
      if (stored === undefined) return { step: 'store' };
      return stored.kind === 'file' ? planFile(local, stored, options) : refusal(local, stored, place);
    case 'folder':
      if (stored === undefined) return { step: 'make' };
      return stored.kind === 'folder' ? keepOrUpdate(local, stored) : refusal(local, stored, place);
    case 'symlink':
      if (stored === undefined) return { step: 'link' };
      if (stored.kind !== 'symlink') return refusal(local, stored, place);
      return stored.target === place.readTarget() ? { step: 'keep' } : { step: 'link' };
    default:
      return { step: 'special' };
  }
}

function planFile(local: LocalStat, stored: FileRecord, options: PutPlanOptions): PutStep {
  if (options.isAgain || local.size !== stored.size) return { step: 'store' };
  if (options.isChecksum && stored.xxhash3 !== null) {
    return { step: 'compare', hash: stored.xxhash3, change: changeOf(local, stored) };
  }
  const isSameTime = isSameMoment(stored.modified, local.mtimeNs);
  if (options.isChecksum || !isSameTime) return { step: 'store' };
  return keepOrUpdate(local, stored, isSameTime);
}

function keepOrUpdate(local: LocalStat, stored: FileRecord, isSameTime?: boolean): PutStep {
  const change = changeOf(local, stored, isSameTime);
  return change === undefined ? { step: 'keep' } : { step: 'update', change };
}

/** The attributes that have to be set; `undefined` when none. */
export function changeOf(
  local: LocalStat,
  stored: FileRecord,
  isSameTime = isSameMoment(stored.modified, local.mtimeNs),
): AttributeChange | undefined {
  const modified = isSameTime ? undefined : isoOfNs(local.mtimeNs);
  const mode = local.mode === stored.mode ? undefined : local.mode;
  if (modified === undefined && mode === undefined) return undefined;
  return { ...(modified === undefined ? {} : { modified }), ...(mode === undefined ? {} : { mode }) };
}

const KIND_WORD: Readonly<Record<string, string>> = { file: 'a file', folder: 'a folder', symlink: 'a symlink' };

function refusal(
  local: LocalStat,
  stored: FileRecord,
  place: { readonly local: string; readonly path: string },
): PutStep {
  const [here, there] = [KIND_WORD[local.kind] ?? local.kind, KIND_WORD[stored.kind] ?? `a ${stored.kind}`];
  const sentence = `${place.local} is ${here}, and ${place.path} in the store is ${there}. Move or remove the one that is wrong (holdfast mv, holdfast rm).`;
  return { step: 'refuse', fault: new Fault('exists', sentence, { local: place.local, path: place.path }) };
}
