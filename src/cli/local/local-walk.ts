/**
 * A folder of the caller's disk as a sorted stream: every entry once, in the order of a manifest, in the memory of one
 * folder's names per level. Symlinks are named, never followed, so a loop of them is nothing special. What cannot be
 * looked at is a problem in its place in the stream; what vanishes between listing and looking was never there.
 */
import { matchesGlob } from 'node:path/posix';
import { Fault } from '../../base/index.ts';
import type { LocalDisk, LocalStat } from './local-disk.ts';
import { joinRaw, systemPath } from './raw.ts';

export type WalkEntry =
  | { readonly kind: 'entry'; readonly relative: string; readonly path: string; readonly stat: LocalStat }
  | { readonly kind: 'problem'; readonly relative: string; readonly path: string; readonly fault: Fault };

export interface WalkOptions {
  /** Globs over the name, or over the path below the root when they have a slash; what matches is not entered. */
  readonly exclude?: readonly string[] | undefined;
  /** A folder (its LocalStat's `identity`) that is left out with all that is in it, wherever it stands. */
  readonly leaveOut?: string | undefined;
  /** Told the path of the folder that was left out, at its turn. */
  readonly onLeftOut?: ((path: string, relative: string) => void) | undefined;
}

interface Level {
  readonly path: string;
  readonly relative: string;
  readonly names: readonly string[];
  next: number;
}

/** Everything under `root` (a raw path), without the root itself. */
export function* walkLocal(disk: LocalDisk, root: string, options: WalkOptions = {}): Generator<WalkEntry, void> {
  const isExcluded = excluding(options.exclude ?? []);
  const levels: Level[] = [];
  const enter = (path: string, relative: string): Fault | undefined => {
    try {
      levels.push({ path, relative, names: disk.list(path), next: 0 });
      return undefined;
    } catch (error) {
      if (!Fault.is(error)) throw error;
      return error;
    }
  };
  const rootFault = enter(root, '');
  if (rootFault !== undefined) yield { kind: 'problem', relative: '', path: root, fault: rootFault };
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const name = level.names[level.next++];
    if (name === undefined) {
      levels.pop();
      continue;
    }
    const [path, relative] = [joinRaw(level.path, name), joinRaw(level.relative, name)];
    if (isExcluded(name, relative)) continue;
    const entry = look(disk, path, relative);
    if (entry === undefined) continue;
    if (options.leaveOut !== undefined && entry.kind === 'entry' && entry.stat.identity === options.leaveOut) {
      options.onLeftOut?.(path, relative);
      continue;
    }
    yield entry;
    if (entry.kind !== 'entry' || entry.stat.kind !== 'folder') continue;
    const fault = enter(path, relative);
    if (fault !== undefined && fault.code !== 'not-found') yield { kind: 'problem', relative, path, fault };
  }
}

function look(disk: LocalDisk, path: string, relative: string): WalkEntry | undefined {
  try {
    const stat = disk.stat(path);
    return stat === undefined ? undefined : { kind: 'entry', relative, path, stat };
  } catch (error) {
    if (!Fault.is(error)) throw error;
    return { kind: 'problem', relative, path, fault: error };
  }
}

/** @throws Fault `invalid` that names a glob which could never match as it was meant. */
export function checkGlobs(globs: readonly string[]): void {
  for (const glob of globs) {
    const flaw = flawOf(glob);
    if (flaw === undefined) continue;
    const sentence = `The glob ${JSON.stringify(glob)} cannot be used: it ${flaw}. Put a \\ before a character that means itself.`;
    throw new Fault('invalid', sentence, { glob });
  }
}

function flawOf(glob: string): string | undefined {
  if (glob === '') return 'is empty';
  let depth = 0;
  for (let at = 0; at < glob.length; at++) {
    const character = glob[at];
    if (character === '\\') at++;
    else if (character === '{') depth++;
    else if (character === '}') depth = Math.max(0, depth - 1);
    else if (character === '[') {
      // A ] right behind the [ (or behind its !) is one of the set.
      const end = glob.indexOf(']', at + (/[!^]/.test(glob[at + 1] ?? '') ? 3 : 2));
      if (end < 0) return 'has a [ without its ]';
      at = end;
    }
  }
  return depth > 0 ? 'has a { without its }' : undefined;
}

function excluding(globs: readonly string[]): (name: string, relative: string) => boolean {
  if (globs.length === 0) return () => false;
  return (name, relative) =>
    globs.some((glob) => matchesGlob(String(systemPath(glob.includes('/') ? relative : name)), glob));
}
