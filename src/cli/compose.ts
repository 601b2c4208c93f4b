/**
 * The one place where the command line meets the room that composes stores: its functions in the narrow shape that the
 * verbs know. Loaded only by commands that need a store or the configuration.
 */
import { Fault, logTo, rowsOfOptions } from '../base/index.ts';
import {
  bannerOf,
  initStore,
  loadConfig,
  reachStore,
  rebuildMetadata,
  SERVER_OPTIONS,
  type ServeQuestion,
  serve,
} from '../server/index.ts';
import type { RunningServer, ServerRoom, ServeWishes } from './server-room.ts';

/** The event of a chunk whose damaged record was replaced by bytes that came. */
const HEALED = 'chunks.healed';

function healedSentence(count: number): string {
  const chunks = count === 1 ? 'a damaged chunk' : `${count} damaged chunks`;
  return `healed ${chunks}: the bytes that came took the place of what was damaged, for every file that shares it.`;
}

export const serverRoom: ServerRoom = {
  options: SERVER_OPTIONS,
  async reach(asked, { command, signal }) {
    let healed = 0;
    const log = logTo(({ event }) => {
      if (event === HEALED) healed++;
    }, 'warn');
    const reached = await reachStore({ config: await loadConfig(asked), command, signal, log });
    const { service, through, where } = reached;
    const folder = through === 'server' ? undefined : where;
    const notices = (): readonly string[] => (healed === 0 ? [] : [healedSentence(healed)]);
    return { service, folder, notices, [Symbol.asyncDispose]: () => reached[Symbol.asyncDispose]() };
  },
  async makeStore(asked) {
    const { values } = await loadConfig(asked);
    const { storeId, chunks } = await initStore({ options: values });
    return { store: values.store, storeId, idAlgorithm: chunks.idAlgorithm, chunker: chunks.chunker };
  },
  async rebuildMetadata(asked, wishes) {
    const { values } = await loadConfig(asked);
    return rebuildMetadata({ options: values, ...wishes });
  },
  async serve(asked, wishes) {
    return started({ config: await loadConfig(asked), command: 'holdfast serve' }, wishes);
  },
  async mount(asked, mount, wishes) {
    const config = await loadConfig(asked);
    return started({ config, command: 'holdfast mount', http: false, mounts: [mount] }, wishes);
  },
  async up(asked, wishes) {
    const config = await loadConfig(asked);
    const { 'http.enabled': http, mounts } = config.values;
    if (!http && mounts.length === 0) {
      const sentence =
        'The configuration asks for nothing: `http.enabled` is off and `mounts` is empty. Turn one of them on.';
      throw new Fault('invalid', sentence, { file: config.file });
    }
    return started({ config, command: 'holdfast up', http, mounts }, wishes);
  },
  async unmount(path, how) {
    const { unmountPoint } = await import('../fuse/index.ts');
    return unmountPoint(path, how);
  },
  async configRows(asked) {
    return rowsOfOptions(SERVER_OPTIONS, await loadConfig(asked));
  },
};

async function started(
  question: Omit<ServeQuestion, 'create' | 'signal' | 'hurry'>,
  { mayCreate, signal, hurry }: ServeWishes,
): Promise<RunningServer> {
  const server = await serve({ ...question, create: mayCreate, signal, hurry });
  return { ...server, banner: bannerOf(server) };
}
