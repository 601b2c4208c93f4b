/** `cat`: the bytes of stored files on standard output, one after the other, verified before they are written. */

import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { pastService, placeOf } from '../past.ts';
import { writeToOutput } from '../saying/write-output.ts';
import { eachWord } from '../transfer/each.ts';
import type { Given } from '../words/command.ts';
import type { CAT_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof CAT_FLAGS>, context: Context): Promise<ExitCode> {
  const service = await context.reach();
  const { offset, length, version } = given.flags;
  return eachWord(given.words, context, async (word) => {
    const options = { offset, length, version, signal: context.signal };
    const { path, at } = await placeOf(service, word, context, given.flags.at);
    const { bytes } = await pastService(service, at).read({ path }, options);
    await writeToOutput(context.say, bytes);
  });
}
