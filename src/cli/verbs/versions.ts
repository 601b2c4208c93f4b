/** `versions`: which versions of a file there are, newest first. */
import type { VersionRecord } from '../../api/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { pastService, placeOf } from '../past.ts';
import { inTable, shownCount, shownMoment } from '../saying/display.ts';
import type { Given } from '../words/command.ts';
import type { VERSIONS_FLAGS } from '../words/commands.ts';

const PAGE_MAX = 1_000;
const HEAD = ['version', 'bytes', 'modified', 'committed', 'by', 'xxhash3', ''];

export async function run(given: Given<typeof VERSIONS_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal } = context;
  const now = await context.reach();
  const { path, at } = await placeOf(now, given.words[0] ?? '', context, given.flags.at);
  const service = pastService(now, at);
  const target = { path };
  const { keep, why } = given.flags;
  const plan = why || keep !== undefined ? { keep, why } : {};
  let left = given.flags.limit ?? Number.POSITIVE_INFINITY;
  let cursor: string | undefined;
  let head: string[][] = [HEAD];
  do {
    const page = await service.versions(target, { ...plan, cursor, limit: Math.min(left, PAGE_MAX), signal });
    for (const version of page.versions) await say.record(version);
    const rows = [...head, ...page.versions.map(rowOf)];
    for (const line of inTable(rows, new Set([0, 1]))) await say.line(line);
    head = [];
    left -= page.versions.length;
    cursor = page.next;
  } while (cursor !== undefined && left > 0);
  return EXIT.ok;
}

function reasonOf({ is_current, reasons }: VersionRecord): string {
  if (is_current) return 'current';
  if (reasons === undefined) return '';
  return reasons.length === 0 ? 'goes' : reasons.join(', ');
}

function rowOf(version: VersionRecord): string[] {
  return [
    // Of a file that this one took the place of, and not the only version with its number here.
    version.needs_file_id === true ? `${version.file_id}:${version.version}` : String(version.version),
    shownCount(version.size),
    shownMoment(version.modified),
    shownMoment(version.committed),
    `${version.actor} (${version.door})`,
    version.xxhash3 ?? '–',
    reasonOf(version),
  ];
}
