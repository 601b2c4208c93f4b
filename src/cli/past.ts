/**
 * Moments on the command line: `--at WHEN`, or `PATH@WHEN` where WHEN is a time, an age or the name of a snapshot, and a
 * service that reads the store as it was then. A name may hold an `@`: so only what reads as a time or an age is taken for
 * one, and a snapshot is meant only where nothing has that very name.
 */
import type { FileService } from '../api/index.ts';
import { Fault, type FaultCode } from '../base/index.ts';
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

/** A word without what stands behind its last `@`, when that says when. */
interface Split {
  readonly word: string;
  readonly at: string | undefined;
}

function splitAtTime(word: string, { clock }: Pick<Context, 'clock'>): Split {
  const mark = word.lastIndexOf('@');
  const at = mark > 0 ? momentOfText(word.slice(mark + 1), clock) : undefined;
  return at === undefined ? { word, at } : { word: word.slice(0, mark), at };
}

/** What is there under the word as it stands wins over a snapshot of that name. */
async function split(service: FileService, word: string, context: Asking): Promise<Split> {
  const timed = splitAtTime(word, context);
  const mark = word.lastIndexOf('@');
  const name = word.slice(mark + 1);
  if (timed.at !== undefined || mark <= 0 || name === '' || name.includes('/')) return timed;
  const { signal } = context;
  const isSnapshot = await isThere(service.snapshot(name, { signal }), 'invalid');
  if (!isSnapshot || (await isThere(service.stat({ path: storedPath(word) }, { signal })))) return timed;
  return { word: word.slice(0, mark), at: name };
}

async function isThere(found: Promise<unknown>, ...absent: readonly FaultCode[]): Promise<boolean> {
  try {
    await found;
    return true;
  } catch (error) {
    if (Fault.is(error, 'not-found', ...absent)) return false;
    throw error;
  }
}

type Asking = Pick<Context, 'clock' | 'signal'>;

/** Only a time or an age counts behind the `@`. `flag`: what holds where the word says nothing. */
export function timedPlaceOf(word: string, context: Pick<Context, 'clock'>, flag?: string): PastPlace {
  const { word: bare, at } = splitAtTime(word, context);
  return { path: storedPath(bare), at: at ?? atOfFlag(flag, context) };
}

/** A snapshot's name counts as well, where no `flag` says when. */
export async function placeOf(service: FileService, word: string, context: Asking, flag?: string): Promise<PastPlace> {
  if (flag !== undefined) return timedPlaceOf(word, context, flag);
  const { word: bare, at } = await split(service, word, context);
  return { path: storedPath(bare), at };
}

/** Of several sources and, behind them, a goal: the sources without their moment, which must be one. */
export async function momentOfWords(
  service: FileService,
  words: readonly string[],
  context: Asking,
  flag: string | undefined,
): Promise<{ readonly words: readonly string[]; readonly at: string | undefined }> {
  const sources = words.slice(0, Math.max(1, words.length - 1));
  const places: Split[] = [];
  for (const word of sources) {
    const { word: bare, at } = flag === undefined ? await split(service, word, context) : splitAtTime(word, context);
    places.push({ word: bare, at: at ?? atOfFlag(flag, context) });
  }
  const [first] = places;
  if (places.some(({ at }) => at !== first?.at))
    throw new Fault('invalid', 'All that is brought out in one go is of one moment; say it with --at.', {});
  return { words: [...places.map(({ word }) => word), ...words.slice(sources.length)], at: first?.at };
}

/** The same service, reading what was at `at`; itself without one. Everything else is as it is. */
export function pastService(service: FileService, at: string | undefined): FileService {
  if (at === undefined) return service;
  const reading: Pick<
    FileService,
    'stat' | 'list' | 'manifest' | 'read' | 'readMany' | 'search' | 'versions' | 'usage'
  > = {
    stat: (target, options) => service.stat(target, { ...options, at }),
    list: (target, options) => service.list(target, { ...options, at }),
    manifest: (target, options) => service.manifest(target, { ...options, at }),
    read: (target, options) => service.read(target, { ...options, at }),
    // It reads what is true now.
    readMany: undefined,
    search: (query) => service.search({ ...query, at }),
    usage: (query) => service.usage({ ...query, at }),
    versions: (target, options) => service.versions(target, { ...options, at }),
  };
  return new Proxy(service, {
    get: (target, name) => {
      const found = Reflect.get(name in reading ? reading : target, name) as unknown;
      return typeof found === 'function' && !(name in reading) ? found.bind(target) : found;
    },
  });
}
