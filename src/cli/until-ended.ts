/** What `serve`, `mount` and `up` have in common: start, say what there is now, and wait for the end. */
import type { Context } from './context.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { RunningServer, ServerRoom, ServeWishes } from './server-room.ts';

export async function untilEnded(
  context: Context,
  mayCreate: boolean,
  start: (room: ServerRoom, wishes: ServeWishes) => Promise<RunningServer>,
): Promise<ExitCode> {
  const { say, signal } = context;
  const room = await context.server();
  const server = await start(room, { mayCreate, signal, hurry: context.hurry() });
  const { url, mountPoints, store, storeId } = server;
  for (const mountPoint of mountPoints) {
    await say.record({ event: 'mounted', mount_point: mountPoint, store, store_id: storeId });
  }
  if (url !== undefined) await say.record({ event: 'serving', url, store, store_id: storeId });
  await say.line(server.banner);
  await say.flush();
  await server.ended;
  // Being told to stop is how a server ends; nothing was broken off.
  return EXIT.ok;
}
