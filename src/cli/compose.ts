/**
 * The one place where the command line meets the room that composes stores: its functions in the narrow shape that the
 * verbs know. Loaded only by commands that need a store or the configuration.
 */
import { rowsOfOptions } from '../base/index.ts';
import { bannerOf, initStore, loadConfig, reachStore, SERVER_OPTIONS, serve } from '../server/index.ts';
import type { ServerRoom } from './server-room.ts';

export const serverRoom: ServerRoom = {
  options: SERVER_OPTIONS,
  async reach(asked, { command, signal }) {
    const reached = await reachStore({ config: await loadConfig(asked), command, signal });
    const { service, through, where } = reached;
    const folder = through === 'server' ? undefined : where;
    return { service, folder, [Symbol.asyncDispose]: () => reached[Symbol.asyncDispose]() };
  },
  async makeStore(asked) {
    const { values } = await loadConfig(asked);
    const { storeId, chunks } = await initStore({ options: values });
    return { store: values.store, storeId, idAlgorithm: chunks.idAlgorithm, chunker: chunks.chunker };
  },
  async serve(asked, { mayCreate, signal, hurry }) {
    const server = await serve({ config: await loadConfig(asked), create: mayCreate, signal, hurry });
    return { ...server, banner: bannerOf(server) };
  },
  async configRows(asked) {
    return rowsOfOptions(SERVER_OPTIONS, await loadConfig(asked));
  },
};
