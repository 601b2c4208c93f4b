/** `completion`: the script that completes holdfast in a shell. */
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Given } from '../words/command.ts';
import { bashCompletion, fishCompletion, zshCompletion } from '../words/completion.ts';

const SCRIPTS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

export async function run(given: Given<Record<string, never>>, context: Context): Promise<ExitCode> {
  const shell = given.words[0] ?? '';
  if (!Object.hasOwn(SCRIPTS, shell)) {
    const sentence = `There is no completion for ${JSON.stringify(shell)}; there is for bash, zsh and fish.`;
    throw new Fault('invalid', sentence);
  }
  await context.say.raw(SCRIPTS[shell as keyof typeof SCRIPTS]());
  return EXIT.ok;
}
