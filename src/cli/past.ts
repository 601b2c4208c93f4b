/**
 * Moments on the command line: `--at WHEN`, or `PATH@WHEN` where WHEN is a time or an age, and a service that reads the
 * store as it was then. A name may hold an `@`, so only what reads as a time or an age is taken for one.
 */
import type { FileService } from '../api/index.ts';
import { Fault } from '../base/index.ts';
import type { Context } from './context.ts';
import { storedPath } from './transfer/stored.ts';
import { momentOfText } from './words/values.ts';

/** A stored path, and when. */
export interface PastPlace {
  readonly path: string;
  /** Absent for now. */
  readonly at: string | undefined;
}

/** What `--at` says: ages and dates as moments, everything else (snapshots, commits) as it is. */
export function atOfFlag(flag: string | undefined, { clock }: Pick<Context, 'clock'>): string | undefined {
  if (flag === undefined) return undefined;
  return momentOfText(flag.replace(/^@/, ''), clock) ?? flag;
}

/** `flag`: what holds where the word says nothing. */
export function placeOf(word: string, context: Pick<Context, 'clock'>, flag?: string): PastPlace {
  const mark = word.lastIndexOf('@');
  const at = mark > 0 ? momentOfText(word.slice(mark + 1), context.clock) : undefined;
  if (at === undefined) return { path: storedPath(word), at: atOfFlag(flag, context) };
  return { path: storedPath(word.slice(0, mark)), at };
}

/** Of several sources and, behind them, a goal: the sources without their moment, which must be one. */
export function momentOfWords(
  words: readonly string[],
  context: Pick<Context, 'clock'>,
  flag: string | undefined,
): { readonly words: readonly string[]; readonly at: string | undefined } {
  const sources = words.slice(0, Math.max(1, words.length - 1));
  const places = sources.map((word) => ({ word, ...placeOf(word, context, flag) }));
  const [first] = places;
  if (places.some(({ at }) => at !== first?.at))
    throw new Fault('invalid', 'All that is brought out in one go is of one moment; say it with --at.', {});
  const bare = places.map(({ word }) => {
    const mark = word.lastIndexOf('@');
    return mark > 0 && momentOfText(word.slice(mark + 1), context.clock) !== undefined ? word.slice(0, mark) : word;
  });
  return { words: [...bare, ...words.slice(sources.length)], at: first?.at };
}

/** The same service, reading what was at `at`; itself without one. Everything else is as it is. */
export function pastService(service: FileService, at: string | undefined): FileService {
  if (at === undefined) return service;
  const reading: Pick<FileService, 'stat' | 'list' | 'manifest' | 'read' | 'readMany' | 'search' | 'versions'> = {
    stat: (target, options) => service.stat(target, { ...options, at }),
    list: (target, options) => service.list(target, { ...options, at }),
    manifest: (target, options) => service.manifest(target, { ...options, at }),
    read: (target, options) => service.read(target, { ...options, at }),
    // It reads what is true now.
    readMany: undefined,
    search: (query) => service.search({ ...query, at }),
    versions: (target, options) => service.versions(target, { ...options, at }),
  };
  return new Proxy(service, {
    get: (target, name) => {
      const found = Reflect.get(name in reading ? reading : target, name) as unknown;
      return typeof found === 'function' && !(name in reading) ? found.bind(target) : found;
    },
  });
}
