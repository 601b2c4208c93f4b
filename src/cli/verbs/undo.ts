/** `undo`: takes back what one commit did, as a new commit. */
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { planThenDo } from '../saying/say-plan.ts';
import type { Given } from '../words/command.ts';
import type { UNDO_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof UNDO_FLAGS>, context: Context): Promise<ExitCode> {
  const word = given.words[0] ?? '';
  const commit = /^@?\d{1,16}$/.test(word) ? Number(word.replace('@', '')) : 0;
  if (!Number.isSafeInteger(commit) || commit < 1)
    throw new Fault('invalid', 'Say the number of the commit; `holdfast log` lists them.', { commit: word });
  const service = await context.reach();
  const { dry_run, force } = given.flags;
  await planThenDo(context.say, dry_run, (dryRun) => service.undo(commit, { dryRun, force, signal: context.signal }));
  return EXIT.ok;
}
