/**
 * Where each source of `put` and `get` goes. One set of rules for both directions, chosen so that the same command a
 * second time means the same thing (a folder does not end up inside its own copy):
 *
 * - DEST with a trailing slash, or several sources: each goes into DEST under its own name.
 * - One source, DEST without a slash: a folder becomes DEST (merged into it when it is there); a file becomes DEST too,
 *   unless DEST is an existing folder: then it goes into it under its own name.
 * - A folder source with a trailing slash (or `.`, `..`, `/`) means what is in it, which goes into DEST itself.
 * - No DEST: the root, respectively the current folder, as if it had a trailing slash.
 */
import { Fault } from '../../base/index.ts';

export interface GoalSource {
  /** As it was typed, for sentences. */
  readonly word: string;
  /** The name it has, raw or text as the caller needs; empty when it has none of its own (`.`, `/`). */
  readonly name: string;
  readonly isFolder: boolean;
  /** Typed with a trailing slash, or nameless. */
  readonly meansContents: boolean;
}

export interface GoalDestination {
  readonly word: string;
  readonly endsInSlash: boolean;
  readonly isFolder: boolean;
  /** Something is there that is no folder. */
  readonly isOther: boolean;
}

/** `into`: under this name inside DEST; `as`: DEST itself. */
export type Goal = { readonly as: 'into'; readonly name: string } | { readonly as: 'itself' };

export function planGoals(sources: readonly GoalSource[], destination: GoalDestination): Goal[] {
  const isInto = destination.endsInSlash || sources.length > 1;
  if (isInto && destination.isOther) {
    throw new Fault(
      'not-folder',
      `${destination.word} is no folder, and ${sources.length > 1 ? 'several sources need' : 'a DEST with a trailing slash needs'} one.`,
      { path: destination.word },
    );
  }
  return sources.map((source) => {
    if (source.isFolder && source.meansContents) return { as: 'itself' };
    if (isInto || (!source.isFolder && destination.isFolder)) return { as: 'into', name: nameOf(source) };
    return { as: 'itself' };
  });
}

function nameOf(source: GoalSource): string {
  if (source.name !== '') return source.name;
  throw new Fault('invalid', `${source.word} has no name of its own; say as DEST what it shall be called.`, {});
}
