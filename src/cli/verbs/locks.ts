/** `locks`: which locks there are, the oldest first. */

import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { inTable, shownMoment } from '../saying/display.ts';
import { shownName } from '../saying/show-record.ts';
import { storedPath } from '../transfer/stored.ts';
import type { Given } from '../words/command.ts';

const HEAD = ['token', 'mode', 'path', 'holder', 'since', 'until'];

export async function run(given: Given<Record<string, never>>, context: Context): Promise<ExitCode> {
  const { say, signal } = context;
  const [word] = given.words;
  const service = await context.reach();
  const { locks } = await service.locks({ path: word === undefined ? undefined : storedPath(word), signal });
  for (const lock of locks) await say.record(lock);
  const rows = locks.map(({ token, mode, path, holder, granted, expires }) => [
    ...[String(token), mode, shownName(say, path), holder, shownMoment(granted), shownMoment(expires)],
  ]);
  if (rows.length > 0) for (const line of inTable([HEAD, ...rows], new Set([0]))) await say.line(line);
  return EXIT.ok;
}
