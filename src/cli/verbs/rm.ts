/** `rm`: removes files, and with -r folders. --dry-run counts what would go. */
import type { BatchOperation, Removed } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { counted, shownBytes } from '../saying/display.ts';
import { shownName } from '../saying/show-record.ts';
import { eachTogether, eachWord } from '../transfer/each.ts';
import { storedPath } from '../transfer/stored.ts';
import type { Given } from '../words/command.ts';
import type { RM_FLAGS } from '../words/commands.ts';

type RmFlags = Given<typeof RM_FLAGS>['flags'];

export async function run(given: Given<typeof RM_FLAGS>, context: Context): Promise<ExitCode> {
  const service = await context.reach();
  const { recursive, force, dry_run: dryRun } = given.flags;
  const alone = async (word: string): Promise<Removed> => {
    const path = await pathOf(word);
    return service.remove(path, { recursive, dryRun, signal: context.signal });
  };
  const operationOf = async (word: string): Promise<BatchOperation> => ({
    op: 'delete',
    path: await pathOf(word),
    recursive,
  });
  const done = (_word: string, removed: Removed): Promise<void> => sayRemoved(removed, given.flags, context);
  const isFine = (error: unknown): boolean => force === true && Fault.is(error, 'not-found');
  if (!dryRun) return eachTogether(given.words, context, { service, operationOf, alone }, done, isFine);
  return eachWord(given.words, context, async (word) => {
    try {
      await done(word, await alone(word));
    } catch (error) {
      if (!isFine(error)) throw error;
    }
  });

  async function pathOf(word: string): Promise<string> {
    const path = storedPath(word);
    // Also an empty folder needs -r: a word that names a folder by mistake must not lose it.
    if (!recursive) await refuseFolder(path);
    return path;
  }

  async function refuseFolder(path: string): Promise<void> {
    const record = await service.stat({ path }, { signal: context.signal });
    if (record.kind !== 'folder') return;
    throw new Fault('is-folder', `${path} is a folder. Say \`rm -r\` to remove it with all that is in it.`, { path });
  }
}

async function sayRemoved(removed: Removed, flags: RmFlags, context: Context): Promise<void> {
  const { say } = context;
  await say.record(removed);
  const { links = 0 } = removed;
  const files = removed.files - links;
  const what = [
    ...(files > 0 || links === 0 ? [counted(files, 'file')] : []),
    ...(links > 0 ? [counted(links, 'symlink')] : []),
    ...(removed.folders > 0 ? [counted(removed.folders, 'folder')] : []),
    shownBytes(removed.bytes),
  ].join(', ');
  const path = shownName(say, removed.path);
  // The count is what a dry run is for, so there it is data.
  if (flags.dry_run) await say.line(`would remove ${path}: ${what}`);
  else if (removed.folders > 0 || say.isVerbose) await say.note(`removed ${path}: ${what}`);
}
