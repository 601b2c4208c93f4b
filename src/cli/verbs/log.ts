/** `log`: who changed what, when, through which door; newest first. */
import type { CommitRecord } from '../../api/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { shownMoment } from '../saying/display.ts';
import type { Say } from '../saying/say.ts';
import { shownName } from '../saying/show-record.ts';
import { storedPath } from '../transfer/stored.ts';
import type { Given } from '../words/command.ts';
import type { LOG_FLAGS } from '../words/commands.ts';

const PAGE_MAX = 200;

export async function run(given: Given<typeof LOG_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal } = context;
  const service = await context.reach();
  const path = given.words[0] === undefined ? undefined : storedPath(given.words[0]);
  let left = given.flags.limit ?? Number.POSITIVE_INFINITY;
  for (let cursor: string | undefined; left > 0; ) {
    const page = await service.log({ path, cursor, limit: Math.min(left, PAGE_MAX), signal });
    for (const commit of page.commits) {
      await say.record(commit);
      await sayCommit(say, commit);
    }
    left -= page.commits.length;
    cursor = page.next;
    if (page.first_kept !== undefined)
      await say.note(`the log begins with commit ${page.first_kept}; what came before is not kept any more`);
    if (cursor === undefined) break;
  }
  return EXIT.ok;
}

async function sayCommit(say: Say, { commit, committed, actor, door, kind, ...rest }: CommitRecord): Promise<void> {
  await say.line(`${commit}  ${shownMoment(committed)}  ${actor} (${door})  ${kind}`);
  for (const { change, path, from, version, file_id } of rest.changes) {
    const what = path ?? from ?? `file ${file_id}`;
    const before = path !== undefined && from !== undefined ? `  (from ${shownName(say, from)})` : '';
    await say.line(`    ${change} ${shownName(say, what)}${version === undefined ? '' : ` @${version}`}${before}`);
  }
  if (rest.changes_more > 0) await say.line(`    … and ${rest.changes_more} more`);
}
