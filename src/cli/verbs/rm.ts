/** `rm`: removes files, and with -r folders. --dry-run counts what would go. */
import type { Removed } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Given } from '../command.ts';
import type { RM_FLAGS } from '../commands.ts';
import type { Context } from '../context.ts';
import { counted, shownBytes } from '../display.ts';
import { eachWord } from '../each.ts';
import type { ExitCode } from '../exit-codes.ts';
import { shownName } from '../show-record.ts';
import { storedPath } from '../stored.ts';

type RmFlags = Given<typeof RM_FLAGS>['flags'];

export async function run(given: Given<typeof RM_FLAGS>, context: Context): Promise<ExitCode> {
  const service = await context.reach();
  return eachWord(given.words, context, async (word) => {
    const path = storedPath(word);
    try {
      // Also an empty folder needs -r: a word that names a folder by mistake must not lose it.
      if (!given.flags.recursive) await refuseFolder(path);
      const options = { recursive: given.flags.recursive, dryRun: given.flags.dry_run, signal: context.signal };
      await sayRemoved(await service.remove(path, options), given.flags, context);
    } catch (error) {
      if (!given.flags.force || !Fault.is(error, 'not-found')) throw error;
    }
  });

  async function refuseFolder(path: string): Promise<void> {
    const record = await service.stat({ path }, { signal: context.signal });
    if (record.kind !== 'folder') return;
    throw new Fault('is-folder', `${path} is a folder. Say \`rm -r\` to remove it with all that is in it.`, { path });
  }
}

async function sayRemoved(removed: Removed, flags: RmFlags, context: Context): Promise<void> {
  const { say } = context;
  await say.record(removed);
  const what = [
    counted(removed.files, 'file'),
    ...(removed.folders > 0 ? [counted(removed.folders, 'folder')] : []),
    shownBytes(removed.bytes),
  ].join(', ');
  const path = shownName(say, removed.path);
  // The count is what a dry run is for, so there it is data.
  if (flags.dry_run) await say.line(`would remove ${path}: ${what}`);
  else if (removed.folders > 0 || say.isVerbose) await say.note(`removed ${path}: ${what}`);
}
