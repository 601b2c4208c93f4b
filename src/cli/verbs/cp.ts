/** `cp`: copies within the store; both share their bytes. */

import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { Given } from '../words/command.ts';
import type { MOVE_FLAGS } from '../words/commands.ts';
import { transfer } from './transfer.ts';

export function run(given: Given<typeof MOVE_FLAGS>, context: Context): Promise<ExitCode> {
  return transfer('copy', given, context, (service, from, to, options) => service.copy(from, to, options));
}
