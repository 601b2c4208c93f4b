/** `init`: makes an empty store. What never changes for it is chosen here. */
import { Fault, type GivenFlag } from '../../base/index.ts';
import { rawOfWord } from '../arguments.ts';
import type { Given } from '../command.ts';
import type { INIT_FLAGS } from '../commands.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';

/** The configuration's own name for the choice. */
const IDS_OPTION = 'create.ids';

export async function run(given: Given<typeof INIT_FLAGS>, context: Context): Promise<ExitCode> {
  const folder = given.words[0];
  const server = await context.server();
  const asked = { ...context.asked, flags: withAlgorithm(context.asked.flags, given.flags.id_algorithm) };
  const made = await server.makeStore(asked, folder === undefined ? undefined : localText(folder));
  const { store, storeId, idAlgorithm, chunker } = made;
  await context.say.record({ event: 'made', store, store_id: storeId, id_algorithm: idAlgorithm, chunker });
  await context.say.line(`made an empty store in ${store} (ids ${idAlgorithm}, chunker ${chunker})`);
  await context.say.note(`next: holdfast put --store ${store} FOLDER /, or holdfast serve --store ${store}`);
  return EXIT.ok;
}

function withAlgorithm(
  flags: ReadonlyMap<string, GivenFlag>,
  algorithm: string | undefined,
): ReadonlyMap<string, GivenFlag> {
  if (algorithm === undefined) return flags;
  if (flags.has(IDS_OPTION)) throw new Fault('invalid', '--id-algorithm and --ids are the same choice; say it once.');
  return new Map([...flags, [IDS_OPTION, { flag: '--id-algorithm', values: [algorithm] }]]);
}

function localText(word: string): string {
  const raw = rawOfWord(word);
  const text = Buffer.from(raw, 'latin1').toString();
  if (Buffer.from(text).toString('latin1') === raw) return text;
  throw new Fault('invalid', 'The folder of a store needs a name in UTF-8.');
}
