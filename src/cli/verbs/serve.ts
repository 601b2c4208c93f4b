/** `serve`: answers over HTTP, and to other commands on this machine, until it is told to stop. */
import type { Given } from '../command.ts';
import type { SERVE_FLAGS } from '../commands.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';

export async function run(given: Given<typeof SERVE_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal } = context;
  const room = await context.server();
  const server = await room.serve(context.asked, { mayCreate: given.flags.create, signal });
  await say.record({ event: 'serving', url: server.url, store: server.store, store_id: server.storeId });
  for (const line of linesOf(server)) await say.line(line);
  await say.flush();
  await server.ended;
  // Being told to stop is how a server ends; nothing was broken off.
  return EXIT.ok;
}

function linesOf(server: { readonly url: string; readonly store: string; readonly isNew: boolean }): string[] {
  const { url, store, isNew } = server;
  return [
    `${isNew ? 'made a new store and serve' : 'serving'} ${store} on ${url}`,
    '',
    'Try it:',
    `  curl -T README.md '${url}/v1/files/README.md?create'`,
    `  curl ${url}/v1/files/README.md`,
    `Its interface: ${url}/v1/docs   Stop it with Ctrl+C.`,
  ];
}
