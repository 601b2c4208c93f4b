/** `serve`: answers over HTTP, and to other commands on this machine, until it is told to stop. */
import type { Given } from '../command.ts';
import type { SERVE_FLAGS } from '../commands.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';

export async function run(given: Given<typeof SERVE_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal } = context;
  const room = await context.server();
  const wishes = { mayCreate: given.flags.create, signal, hurry: context.hurry() };
  const { url, store, storeId, banner, ended } = await room.serve(context.asked, wishes);
  await say.record({ event: 'serving', url, store, store_id: storeId });
  await say.line(banner);
  await say.flush();
  await ended;
  // Being told to stop is how a server ends; nothing was broken off.
  return EXIT.ok;
}
