/** `completion`: the script that completes holdfast in a shell. */
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Given } from '../words/command.ts';
import { bashCompletion, zshCompletion } from '../words/completion.ts';

export async function run(given: Given<Record<string, never>>, context: Context): Promise<ExitCode> {
  const shell = given.words[0];
  if (shell !== 'bash' && shell !== 'zsh') {
    throw new Fault('invalid', `There is no completion for ${JSON.stringify(shell)}; there is for bash and zsh.`);
  }
  await context.say.raw(shell === 'bash' ? bashCompletion() : zshCompletion());
  return EXIT.ok;
}
