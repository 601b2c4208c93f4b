/** `ls`: what is in a folder, page by page. A file lists itself. With --deleted, what is there no more. */
import type { DeletedRecord, FileService } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { pastService, placeOf } from '../past.ts';
import { inTable, shownCount, shownMoment } from '../saying/display.ts';
import type { Say } from '../saying/say.ts';
import { type ListStyle, type Named, sayPage, shownName } from '../saying/show-record.ts';
import { eachWord } from '../transfer/each.ts';
import { belowStored } from '../transfer/stored.ts';
import type { Given } from '../words/command.ts';
import type { LS_FLAGS } from '../words/commands.ts';

/** Entries of a manifest that are set together. */
const PAGE_ENTRIES = 500;

type LsFlags = Given<typeof LS_FLAGS>['flags'];

export async function run(given: Given<typeof LS_FLAGS>, context: Context): Promise<ExitCode> {
  const service = await context.reach();
  const { deleted, null: isNull, glob } = given.flags;
  if (deleted && (given.flags.at !== undefined || isNull || glob !== undefined))
    throw new Fault('invalid', '--deleted goes with --recursive alone, not with --at, --glob or --null.');
  const words = given.words.length === 0 ? ['/'] : given.words;
  let isFirst = true;
  return eachWord(words, context, async (word) => {
    const { path, at } = await placeOf(service, word, context, given.flags.at);
    if (words.length > 1) await context.say.line(`${isFirst ? '' : '\n'}${shownName(context.say, path)}:`);
    isFirst = false;
    if (deleted && at !== undefined) throw new Fault('invalid', '--deleted says what is gone now; say no moment.');
    if (deleted) await listDeleted(service, path, given.flags.recursive, context);
    else await listOne(pastService(service, at), path, given.flags, context);
  });
}

async function listDeleted(
  service: FileService,
  path: string,
  recursive: boolean,
  { say, signal }: Context,
): Promise<void> {
  let cursor: string | undefined;
  do {
    const page = await service.deleted(path, { cursor, recursive, signal });
    for (const record of page.entries) await say.record(record);
    for (const line of inTable(
      page.entries.map((record) => rowOf(say, record)),
      new Set([2]),
    ))
      await say.line(line);
    cursor = page.next;
  } while (cursor !== undefined);
}

function rowOf(say: Say, record: DeletedRecord): string[] {
  const { path, kind, size, deleted, actor, door } = record;
  const how = wayBack(record);
  return [
    shownMoment(deleted),
    how,
    shownCount(size),
    `${actor} (${door})`,
    shownName(say, path) + (kind === 'folder' ? '/' : ''),
  ];
}

/** What `restore` takes to bring it back. */
export function wayBack({ file_id, version, at }: DeletedRecord): string {
  return version === undefined ? `@${at}` : `${file_id}:${version}`;
}

async function listOne(service: FileService, path: string, flags: LsFlags, context: Context): Promise<void> {
  const style: ListStyle = { isLong: flags.long, isNull: flags.null, mayUseColumns: !flags.recursive };
  try {
    if (flags.recursive) await listAll(service, path, style, context);
    else await listFolder(service, path, flags.glob, style, context);
  } catch (error) {
    if (!Fault.is(error, 'not-folder')) throw error;
    const record = await service.stat({ path }, { signal: context.signal });
    await sayPage(context.say, [{ name: record.path, record }], style);
  }
}

async function listFolder(
  service: FileService,
  path: string,
  glob: string | undefined,
  style: ListStyle,
  context: Context,
): Promise<void> {
  let cursor: string | undefined;
  do {
    const page = await service.list({ path }, { cursor, glob, signal: context.signal });
    const named = page.entries.map((record) => ({ name: record.name, record }));
    await sayPage(context.say, named, style);
    cursor = page.next;
  } while (cursor !== undefined);
}

async function listAll(service: FileService, path: string, style: ListStyle, context: Context): Promise<void> {
  let page: Named[] = [];
  for await (const record of service.manifest({ path }, { signal: context.signal })) {
    page.push({ name: belowStored(record.path, path), record });
    if (page.length < PAGE_ENTRIES) continue;
    await sayPage(context.say, page, style);
    page = [];
  }
  await sayPage(context.say, page, style);
}
