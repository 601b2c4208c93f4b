/**
 * What `mv` and `cp` share: where things go. When DEST is a folder, ends in a slash, or there are several sources, each
 * goes into it under its own name; otherwise the source gets the new path.
 */
import type { BatchOperation, FileRecord, FileService, MoveOptions } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { shownName } from '../saying/show-record.ts';
import { eachTogether } from '../transfer/each.ts';
import { joinStored, lastStoredName, statOrNothing, storedPath } from '../transfer/stored.ts';
import type { Given } from '../words/command.ts';
import type { MOVE_FLAGS } from '../words/commands.ts';

type Transfer = (service: FileService, from: string, to: string, options: MoveOptions) => Promise<FileRecord>;

export async function transfer(
  op: 'move' | 'copy',
  given: Given<typeof MOVE_FLAGS>,
  context: Context,
  act: Transfer,
): Promise<ExitCode> {
  const service = await context.reach();
  const sources = given.words.slice(0, -1);
  const goalWord = given.words.at(-1) ?? '';
  const goal = storedPath(goalWord);
  const standing = await statOrNothing(service, goal, context.signal);
  const isInto = sources.length > 1 || goalWord.endsWith('/') || standing?.kind === 'folder';
  if (isInto && standing !== undefined && standing.kind !== 'folder') {
    throw new Fault('not-folder', `${goal} is no folder, so nothing can go into it.`, { path: goal });
  }
  const flags = { overwrite: given.flags.overwrite, parents: given.flags.parents };
  const goalOf = (from: string): string => (isInto ? joinStored(goal, lastStoredName(from)) : goal);
  const alone = async (word: string): Promise<FileRecord> => {
    const from = storedPath(word);
    return act(service, from, goalOf(from), { ...flags, signal: context.signal });
  };
  const operationOf = (word: string): BatchOperation => {
    const from = storedPath(word);
    return { op, from_path: from, to_path: goalOf(from), ...flags };
  };
  return eachTogether(sources, context, { service, operationOf, alone }, async (word, record) => {
    const from = storedPath(word);
    await context.say.record(record);
    if (context.say.isVerbose)
      await context.say.note(`${shownName(context.say, from)} -> ${shownName(context.say, record.path)}`);
  });
}
