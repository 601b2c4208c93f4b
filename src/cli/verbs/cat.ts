/** `cat`: the bytes of stored files on standard output, one after the other, verified before they are written. */
import type { Given } from '../command.ts';
import type { CAT_FLAGS } from '../commands.ts';
import type { Context } from '../context.ts';
import { eachWord } from '../each.ts';
import type { ExitCode } from '../exit-codes.ts';
import { storedPath } from '../stored.ts';
import { writeToOutput } from '../write-output.ts';

export async function run(given: Given<typeof CAT_FLAGS>, context: Context): Promise<ExitCode> {
  const service = await context.reach();
  const { offset, length, version } = given.flags;
  return eachWord(given.words, context, async (word) => {
    const options = { offset, length, version, signal: context.signal };
    const { bytes } = await service.read({ path: storedPath(word) }, options);
    await writeToOutput(context.say, bytes);
  });
}
