/** `restore`: makes an older version of a file the current one, or brings a path back to a moment of the past. */
import { Fault } from '../../base/index.ts';
import type { Given } from '../command.ts';
import type { RESTORE_FLAGS } from '../commands.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { placeOf } from '../past.ts';
import { sayPlan } from '../say-plan.ts';
import { shownName } from '../show-record.ts';
import { storedPath } from '../stored.ts';

export async function run(given: Given<typeof RESTORE_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal } = context;
  const dryRun = given.flags.dry_run;
  const [first = ''] = given.words;
  const place = placeOf(first, context, given.flags.at);
  if (place.at !== undefined) {
    if (given.words.length > 1) throw new Fault('invalid', 'Say either a moment or a version, not both.');
    await sayPlan(say, await (await context.reach()).restoreTree(place.path, place.at, { dryRun, signal }));
    return EXIT.ok;
  }
  const { path, version, file } = wanted(given.words);
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

function wanted(words: readonly string[]): Wanted {
  const [first = '', second] = words;
  const [, path, text = ''] = second === undefined ? (/^(.+)@([\d:]+)$/.exec(first) ?? []) : [first, first, second];
  const numbers = /^(?:(\d+):)?(\d+)$/.exec(text);
  const version = Number(numbers?.[2]);
  const file = numbers?.[1] === undefined ? undefined : Number(numbers[1]);
  if (path === undefined || !isCount(version) || (file !== undefined && !isCount(file))) {
    throw new Fault(
      'invalid',
      'Say which version: `restore PATH VERSION` or `restore PATH@VERSION`; `holdfast versions PATH` lists them.',
    );
  }
  return { path: storedPath(path), version, file };
}

function isCount(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 1;
}
