/** `config show`: every option with the value that counts, and with --origin where it comes from. */

import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { inTable } from '../saying/display.ts';
import type { Given } from '../words/command.ts';
import type { CONFIG_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof CONFIG_FLAGS>, context: Context): Promise<ExitCode> {
  const word = given.words[0] ?? 'show';
  if (word !== 'show') throw new Fault('invalid', `\`config\` knows only \`show\`, not ${JSON.stringify(word)}.`);
  const server = await context.server();
  const rows = await server.configRows(context.asked);
  for (const row of rows) await context.say.record({ ...row });
  const cells = rows.map(({ name, value, origin }) => [
    name,
    value === '' ? '–' : value,
    ...(given.flags.origin ? [origin] : []),
  ]);
  for (const line of inTable(cells)) await context.say.line(line);
  return EXIT.ok;
}
