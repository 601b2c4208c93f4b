/** `mkdir`: folders in the store. */

import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { eachWord } from '../transfer/each.ts';
import { storedPath } from '../transfer/stored.ts';
import type { Given } from '../words/command.ts';
import type { MKDIR_FLAGS } from '../words/commands.ts';
import { readFlag } from '../words/values.ts';

export async function run(given: Given<typeof MKDIR_FLAGS>, context: Context): Promise<ExitCode> {
  const { mode, parents } = given.flags;
  const permissions = mode === undefined ? undefined : readFlag('--mode', mode, modeOfText, 'octal digits such as 750');
  const service = await context.reach();
  return eachWord(given.words, context, async (word) => {
    const record = await service.makeFolder(storedPath(word), {
      parents,
      ...(permissions === undefined ? {} : { permissions }),
      signal: context.signal,
    });
    await context.say.record(record);
  });
}

function modeOfText(text: string): number | undefined {
  return /^0?[0-7]{1,4}$/.test(text) ? Number.parseInt(text, 8) : undefined;
}
