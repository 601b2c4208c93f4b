/**
 * Globs over names and paths in text form: `*` and `?` stay inside a name, `**` as a whole segment crosses folders,
 * `[a-z]` and `[!a-z]` are sets, `{a,b}` are choices. A leading dot is like any other character.
 * Matching is by two pointers, never by a regular expression, so that no pattern can take more than (pattern × name)
 * steps; choices are expanded first, up to a bound.
 */
import { Fault } from '../../base/index.ts';

/** Characters of a pattern, and patterns that its choices may expand to. */
export const GLOB_LENGTH_MAX = 1_024;
export const GLOB_CHOICES_MAX = 128;

type Token =
  | { readonly kind: 'character'; readonly character: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'star' }
  | { readonly kind: 'set'; readonly isNegated: boolean; readonly ranges: readonly (readonly [string, string])[] };

type Segment = readonly Token[] | 'any-depth';

export interface Glob {
  /** True when the pattern has a slash, so that it is matched against a path and not against a name. */
  readonly isPath: boolean;
  /** Text form of a name, or of a path with or without its leading slash, as `isPath` says. */
  matches(text: string): boolean;
}

/** @throws Fault `invalid` for an unfinished set or choice, or a pattern beyond the bounds. */
export function globOf(pattern: string): Glob {
  if (pattern.length === 0 || pattern.length > GLOB_LENGTH_MAX) {
    throw invalid(pattern, `has ${pattern.length} characters; it takes 1 to ${GLOB_LENGTH_MAX}`);
  }
  const isPath = pattern.includes('/');
  const choices = expandChoices(pattern).map((choice) => choice.replace(/^\/+/, '').split('/').map(segmentOf));
  return {
    isPath,
    matches(text) {
      const names = isPath ? text.replace(/^\/+/, '').split('/') : [text];
      return choices.some((segments) => matchSegments(segments, names));
    },
  };
}

function invalid(pattern: string, why: string): Fault {
  const shown = pattern.length > 100 ? `${pattern.slice(0, 100)}…` : pattern;
  return new Fault('invalid', `The pattern ${JSON.stringify(shown)} cannot be used: it ${why}.`, { pattern: shown });
}

function expandChoices(pattern: string): readonly string[] {
  let open = [pattern];
  const done: string[] = [];
  while (open.length > 0) {
    const next: string[] = [];
    for (const text of open) {
      const choice = firstChoice(text, pattern);
      if (choice === undefined) done.push(text);
      else for (const option of choice.options) next.push(choice.before + option + choice.after);
      if (next.length + done.length > GLOB_CHOICES_MAX)
        throw invalid(pattern, `has more than ${GLOB_CHOICES_MAX} choices`);
    }
    open = next;
  }
  return done;
}

function firstChoice(
  text: string,
  pattern: string,
): { readonly before: string; readonly options: readonly string[]; readonly after: string } | undefined {
  const start = text.indexOf('{');
  if (start < 0) return undefined;
  const options: string[] = [];
  let depth = 0;
  let from = start + 1;
  for (let at = start; at < text.length; at++) {
    if (text[at] === '{') depth++;
    else if (text[at] === '}') depth--;
    if (depth === 0 || (depth === 1 && text[at] === ',')) {
      options.push(text.slice(from, at));
      from = at + 1;
    }
    if (depth === 0) return { before: text.slice(0, start), options, after: text.slice(at + 1) };
  }
  throw invalid(pattern, 'has a { without its }');
}

function segmentOf(text: string): Segment {
  if (text === '**') return 'any-depth';
  const tokens: Token[] = [];
  const characters = [...text];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] ?? '';
    if (character === '*') {
      if (tokens.at(-1)?.kind !== 'star') tokens.push({ kind: 'star' });
    } else if (character === '?') tokens.push({ kind: 'any' });
    else if (character === '[') {
      const end = characters.indexOf(']', at + 2);
      if (end < 0) throw invalid(text, 'has a [ without its ]');
      tokens.push(setOf(characters.slice(at + 1, end)));
      at = end;
    } else tokens.push({ kind: 'character', character });
  }
  return tokens;
}

function setOf(characters: readonly string[]): Token {
  const isNegated = characters[0] === '!' || characters[0] === '^';
  const members = isNegated ? characters.slice(1) : characters;
  const ranges: (readonly [string, string])[] = [];
  for (let at = 0; at < members.length; at++) {
    const low = members[at] ?? '';
    const isRange = members[at + 1] === '-' && at + 2 < members.length;
    ranges.push([low, isRange ? (members[at + 2] ?? low) : low]);
    if (isRange) at += 2;
  }
  return { kind: 'set', isNegated, ranges };
}

/** `reach` holds how many names the segments so far can have used: every pair is looked at once. */
function matchSegments(segments: readonly Segment[], names: readonly string[]): boolean {
  let reach = new Set([0]);
  for (const segment of segments) {
    const next = new Set<number>();
    for (const used of reach) {
      if (segment === 'any-depth') for (let end = used; end <= names.length; end++) next.add(end);
      else if (used < names.length && matchName(segment, [...(names[used] ?? '')])) next.add(used + 1);
    }
    reach = next;
  }
  return reach.has(names.length);
}

/** The classic two pointers: at a mismatch go back to the last star and let it take one character more. */
function matchName(tokens: readonly Token[], name: readonly string[]): boolean {
  let [token, at, star, mark] = [0, 0, -1, 0];
  while (at < name.length) {
    const here = tokens[token];
    if (here?.kind === 'star') {
      star = token++;
      mark = at;
    } else if (here !== undefined && matchOne(here, name[at] ?? '')) {
      token++;
      at++;
    } else if (star >= 0) {
      token = star + 1;
      at = ++mark;
    } else return false;
  }
  return tokens.slice(token).every(({ kind }) => kind === 'star');
}

function matchOne(token: Token, character: string): boolean {
  if (token.kind === 'character') return token.character === character;
  if (token.kind === 'set')
    return token.ranges.some(([low, high]) => low <= character && character <= high) !== token.isNegated;
  return token.kind === 'any';
}
