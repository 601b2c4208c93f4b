/** `serve`: answers over HTTP, and to other commands on this machine, until it is told to stop. */

import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { untilEnded } from '../until-ended.ts';
import type { Given } from '../words/command.ts';
import type { SERVE_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof SERVE_FLAGS>, context: Context): Promise<ExitCode> {
  return untilEnded(context, given.flags.create, (room, wishes) => room.serve(context.asked, wishes));
}
