/**
 * What `mv` and `cp` share: where things go. When DEST is a folder, ends in a slash, or there are several sources, each
 * goes into it under its own name; otherwise the source gets the new path.
 */
import type { FileRecord, FileService, MoveOptions } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Given } from '../command.ts';
import type { MOVE_FLAGS } from '../commands.ts';
import type { Context } from '../context.ts';
import { eachWord } from '../each.ts';
import type { ExitCode } from '../exit-codes.ts';
import { shownName } from '../show-record.ts';
import { joinStored, lastStoredName, statOrNothing, storedPath } from '../stored.ts';

type Transfer = (service: FileService, from: string, to: string, options: MoveOptions) => Promise<FileRecord>;

export async function transfer(given: Given<typeof MOVE_FLAGS>, context: Context, act: Transfer): Promise<ExitCode> {
  const service = await context.reach();
  const sources = given.words.slice(0, -1);
  const goalWord = given.words.at(-1) ?? '';
  const goal = storedPath(goalWord);
  const standing = await statOrNothing(service, goal, context.signal);
  const isInto = sources.length > 1 || goalWord.endsWith('/') || standing?.kind === 'folder';
  if (isInto && standing !== undefined && standing.kind !== 'folder') {
    throw new Fault('not-folder', `${goal} is no folder, so nothing can go into it.`, { path: goal });
  }
  return eachWord(sources, context, async (word) => {
    const from = storedPath(word);
    const to = isInto ? joinStored(goal, lastStoredName(from)) : goal;
    const options = { overwrite: given.flags.overwrite, parents: given.flags.parents, signal: context.signal };
    const record = await act(service, from, to, options);
    await context.say.record(record);
    if (context.say.isVerbose)
      await context.say.note(`${shownName(context.say, from)} -> ${shownName(context.say, record.path)}`);
  });
}
