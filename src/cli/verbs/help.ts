/** `help`: the overview, one command, or the whole reference as Markdown. */
import { Fault, nearest } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Given } from '../words/command.ts';
import { COMMANDS, commandOf, type HELP_FLAGS } from '../words/commands.ts';
import { helpOf, overview, reference } from '../words/help.ts';

export async function run(given: Given<typeof HELP_FLAGS>, context: Context): Promise<ExitCode> {
  const { say } = context;
  await say.raw(given.flags.markdown ? reference() : textOf(given.words[0], say.columns));
  return EXIT.ok;
}

function textOf(verb: string | undefined, width: number): string {
  if (verb === undefined) return overview(width);
  const command = commandOf(verb);
  if (command !== undefined) return helpOf(command, width);
  const near = nearest(
    verb,
    COMMANDS.map((one) => one.verb),
  );
  const hint = near === undefined ? '`holdfast --help` lists all.' : `Did you mean \`${near}\`?`;
  throw new Fault('invalid', `There is no command \`${verb}\`. ${hint}`, { verb });
}
