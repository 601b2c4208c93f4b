/** `init`: makes an empty store. What never changes for it is chosen here. */

import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { askedWith } from '../server-room.ts';
import { localTextOfWord } from '../words/arguments.ts';
import type { Given } from '../words/command.ts';
import type { INIT_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof INIT_FLAGS>, context: Context): Promise<ExitCode> {
  const folder = given.words[0];
  const { id_algorithm: algorithm, chunker } = given.flags;
  let { asked } = context;
  if (folder !== undefined) asked = askedWith(asked, 'store', 'DIR', localTextOfWord(folder, 'folder of a store'));
  if (algorithm !== undefined) asked = askedWith(asked, 'create.ids', '--id-algorithm', algorithm);
  if (chunker !== undefined) asked = askedWith(asked, 'create.chunker', '--chunker', chunker);
  const server = await context.server();
  const made = await server.makeStore(asked);
  const { store, storeId, idAlgorithm } = made;
  await context.say.record({
    event: 'made',
    store,
    store_id: storeId,
    id_algorithm: idAlgorithm,
    chunker: made.chunker,
  });
  await context.say.line(`made an empty store in ${store} (ids ${idAlgorithm}, chunker ${made.chunker})`);
  return EXIT.ok;
}
