/** `find`: searches the store, page by page. */
import type { SearchQuery } from '../../api/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { pastService, placeOf } from '../past.ts';
import { sayPage } from '../saying/show-record.ts';
import type { Given } from '../words/command.ts';
import type { FIND_FLAGS } from '../words/commands.ts';
import { momentOfText, readFlag } from '../words/values.ts';

const PAGE_MAX = 1_000;

type FindFlags = Given<typeof FIND_FLAGS>['flags'];

export async function run(given: Given<typeof FIND_FLAGS>, context: Context): Promise<ExitCode> {
  const { flags } = given;
  const now = await context.reach();
  const { path, at } = await placeOf(now, given.words[0] ?? '/', context, flags.at);
  const query = queryOf(path, flags, context);
  const service = pastService(now, at);
  let left = flags.limit ?? Number.POSITIVE_INFINITY;
  let cursor: string | undefined;
  do {
    const page = await service.search({ ...query, cursor, limit: Math.min(left, PAGE_MAX) });
    const named = page.entries.map((record) => ({ name: record.path, record }));
    await sayPage(context.say, named, { isLong: flags.long, isNull: flags.null, mayUseColumns: false });
    left -= page.entries.length;
    cursor = page.next;
  } while (cursor !== undefined && left > 0);
  return EXIT.ok;
}

function queryOf(path: string, flags: FindFlags, context: Context): SearchQuery {
  const moment = (flag: string, text: string | undefined): string | undefined =>
    text === undefined
      ? undefined
      : readFlag(flag, text, (word) => momentOfText(word, context.clock), 'ISO 8601, a date, or an age such as 7d');
  return {
    path,
    recursive: flags.recursive,
    pattern: flags.pattern,
    name: flags.name,
    kind: flags.kind,
    sizeMin: flags.size_min,
    sizeMax: flags.size_max,
    modifiedAfter: moment('--modified-after', flags.modified_after),
    modifiedBefore: moment('--modified-before', flags.modified_before),
    attribute: flags.attribute,
    signal: context.signal,
  };
}
