/**
 * `restore`: makes an older version of a file the current one, brings a path back to a moment of the past, or brings back
 * what was removed.
 */
import type { DeletedRecord, FileService } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { timedPlaceOf } from '../past.ts';
import { shownMoment } from '../saying/display.ts';
import { planThenDo } from '../saying/say-plan.ts';
import { shownName } from '../saying/show-record.ts';
import { storedPath } from '../transfer/stored.ts';
import type { Given } from '../words/command.ts';
import type { RESTORE_FLAGS } from '../words/commands.ts';
import { wayBack } from './ls.ts';

/** Removed things of one name that a refusal lists. */
const LISTED_MAX = 10;

type RestoreGiven = Given<typeof RESTORE_FLAGS>;

export async function run(given: RestoreGiven, context: Context): Promise<ExitCode> {
  const [first = ''] = given.words;
  const place = timedPlaceOf(first, context, given.flags.at);
  if (place.at !== undefined) {
    if (given.words.length > 1) throw new Fault('invalid', 'Say either a moment or a version, not both.');
    return await toMoment(place.path, place.at, given, context);
  }
  const wanted = wantedOf(given.words);
  if (wanted !== undefined) return await toVersion(wanted, given, context);
  const path = storedPath(first);
  const gone = await onlyGone(await context.reach(), path, context);
  if (gone.version !== undefined)
    return await toVersion({ path, version: gone.version, file: gone.file_id }, given, context);
  return await toMoment(path, String(gone.at), given, context);
}

async function toMoment(path: string, at: string, { flags }: RestoreGiven, context: Context): Promise<ExitCode> {
  const service = await context.reach();
  const { say, signal } = context;
  const { force } = flags;
  await planThenDo(say, flags.dry_run, (dryRun) => service.restoreTree(path, at, { dryRun, force, signal }));
  return EXIT.ok;
}

async function toVersion(wanted: Wanted, { flags }: RestoreGiven, context: Context): Promise<ExitCode> {
  const { say, signal } = context;
  const { path, version, file } = wanted;
  const dryRun = flags.dry_run;
  const service = await context.reach();
  const record = await (file === undefined
    ? service.restore({ path }, version, { dryRun, signal })
    : service.restore({ id: file }, version, { to: path, dryRun, signal }));
  await say.record(record);
  const shown = shownName(say, record.path);
  if (dryRun)
    await say.line(`would make version ${version} of ${shown} current: ${record.size} bytes of ${record.modified}`);
  else if (record.version === version) await say.note(`version ${version} of ${shown} is current already`);
  else await say.note(`version ${version} of ${shown} is current again, as version ${record.version}`);
  return EXIT.ok;
}

interface Wanted {
  readonly path: string;
  readonly version: number;
  /** The file that had the version, where the number alone means another one's. */
  readonly file: number | undefined;
}

/** Undefined where no version is said. */
function wantedOf(words: readonly string[]): Wanted | undefined {
  const [first = '', second] = words;
  const [, path, text = ''] = second === undefined ? (/^(.+)@([\d:]+)$/.exec(first) ?? []) : [first, first, second];
  if (path === undefined) return undefined;
  const numbers = /^(?:(\d+):)?(\d+)$/.exec(text);
  const version = Number(numbers?.[2]);
  const file = numbers?.[1] === undefined ? undefined : Number(numbers[1]);
  if (!isCount(version) || (file !== undefined && !isCount(file))) throw sayWhich();
  return { path: storedPath(path), version, file };
}

function sayWhich(): Fault {
  const sentence =
    'Say which version: `restore PATH VERSION` or `restore PATH@VERSION`; `holdfast versions PATH` lists them.';
  return new Fault('invalid', sentence);
}

function isCount(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 1;
}

/** What was removed at a path where nothing is now, if it is one thing alone. */
async function onlyGone(service: FileService, path: string, { say, signal }: Context): Promise<DeletedRecord> {
  if (await isThere(service, path, signal)) throw sayWhich();
  const gone: DeletedRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = await service.deleted(path, { cursor, signal });
    gone.push(...page.entries);
    cursor = page.next;
  } while (cursor !== undefined && gone.length <= LISTED_MAX);
  const [first, second] = gone;
  const shown = shownName(say, path);
  if (first === undefined)
    throw new Fault('not-found', `There is nothing at ${shown}, and nothing of that name is kept.`, { path });
  if (second === undefined) return first;
  const lines = gone.slice(0, LISTED_MAX).map((each) => {
    return `  ${wayBack(each).padEnd(12)} a ${each.kind} of ${each.size} bytes, removed ${shownMoment(each.deleted)} by ${each.actor} (${each.door})`;
  });
  const more = gone.length > LISTED_MAX ? '\n  … and more' : '';
  const sentence = `More than one thing was removed at ${shown}. Say which, as \`restore ${shown} FILE:VERSION\` or \`restore --at COMMIT ${shown}\`:\n${lines.join('\n')}${more}`;
  throw new Fault('conflict', sentence, { path, removed: gone.slice(0, LISTED_MAX) });
}

async function isThere(service: FileService, path: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await service.stat({ path }, { signal });
    return true;
  } catch (error) {
    if (Fault.is(error, 'not-found')) return false;
    throw error;
  }
}
