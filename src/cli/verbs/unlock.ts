/** `unlock`: gives locks back, by token or by path. */
import type { FileService, LockRecord } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { lockHolder } from '../lock-holder.ts';
import { shownName } from '../saying/show-record.ts';
import { eachWord } from '../transfer/each.ts';
import { storedPath } from '../transfer/stored.ts';
import type { Given } from '../words/command.ts';
import type { UNLOCK_FLAGS } from '../words/commands.ts';
import { tokenOfText } from './lock.ts';

export async function run(given: Given<typeof UNLOCK_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal } = context;
  const service = await context.reach();
  return eachWord(given.words, context, async (word) => {
    const token = tokenOfText(word);
    const tokens =
      token === undefined ? (await onPath(service, word, given, signal)).map((lock) => lock.token) : [token];
    for (const each of tokens) {
      const lock = await service.unlock(each, { signal });
      await say.record(lock);
      await say.note(`unlocked ${shownName(say, lock.path)}, which ${lock.holder} held`);
    }
  });
}

/** @throws Fault `not-found` when there is no lock, `locked` when there are only those of others. */
async function onPath(
  service: FileService,
  word: string,
  { flags }: Given<typeof UNLOCK_FLAGS>,
  signal: AbortSignal,
): Promise<readonly LockRecord[]> {
  const path = storedPath(word);
  const { locks } = await service.locks({ path, signal });
  const [first] = locks;
  if (first === undefined) throw new Fault('not-found', `There is no lock on ${path}.`, { path });
  const holder = lockHolder(flags.holder);
  const own = flags.force ? locks : locks.filter((lock) => lock.holder === holder);
  if (own.length > 0) return own;
  throw new Fault('locked', `${path} is locked by ${first.holder}, not by ${holder}. --force breaks the lock.`, {
    path,
    holder: first.holder,
    lock_token: first.token,
  });
}
