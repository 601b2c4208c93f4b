/** `lock`: takes or renews a lock, and prints its token. */
import type { LockRecord } from '../../api/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { lockHolder } from '../lock-holder.ts';
import { shownMoment } from '../saying/display.ts';
import { shownName } from '../saying/show-record.ts';
import { storedPath } from '../transfer/stored.ts';
import type { Given } from '../words/command.ts';
import type { LOCK_FLAGS } from '../words/commands.ts';
import { readFlag } from '../words/values.ts';

const LEASE_MS_DEFAULT = 600_000;

export async function run(given: Given<typeof LOCK_FLAGS>, context: Context): Promise<ExitCode> {
  const { say } = context;
  const lock = await taken(given, context);
  await say.record(lock);
  await say.line(String(lock.token));
  await say.note(`locked ${shownName(say, lock.path)} until ${shownMoment(lock.expires)}, as ${lock.holder}`);
  return EXIT.ok;
}

async function taken({ flags, words }: Given<typeof LOCK_FLAGS>, context: Context): Promise<LockRecord> {
  const [word = ''] = words;
  const asked = { mode: flags.mode, waitMs: flags.wait, signal: context.signal };
  const leaseMs = flags.for ?? LEASE_MS_DEFAULT;
  const service = await context.reach();
  if (!flags.renew) {
    return service.lock(storedPath(word), { ...asked, leaseMs, holder: lockHolder(flags.holder) });
  }
  const token = readFlag('--renew', word, tokenOfText, 'the token of a lock, such as 17');
  return service.changeLock(token, { ...asked, leaseMs });
}

export function tokenOfText(text: string): number | undefined {
  return /^[1-9]\d{0,15}$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
}
