/** `du`: how much is in a folder, and what would come back if it, or a snapshot, went. */
import type { Usage } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { atOfFlag, placeOf } from '../past.ts';
import { counted, inTable, shownBytes, shownCount } from '../saying/display.ts';
import { shownName } from '../saying/show-record.ts';
import { eachWord } from '../transfer/each.ts';
import type { Given } from '../words/command.ts';
import type { DU_FLAGS } from '../words/commands.ts';

export async function run({ words, flags }: Given<typeof DU_FLAGS>, context: Context): Promise<ExitCode> {
  const { exclusive, snapshot } = flags;
  if (exclusive && snapshot !== undefined && words.length > 0)
    throw new Fault('invalid', 'What a snapshot alone holds is told for all of it. Leave the paths out.', { snapshot });
  const service = await context.reach();
  const tell = async (path: string | undefined, at: string | undefined): Promise<void> => {
    const usage = await service.usage({ path, at, snapshot, exclusive, signal: context.signal });
    await context.say.record(usage);
    for (const line of inTable(rowsOf(usage, (text) => shownName(context.say, text)))) await context.say.line(line);
  };
  if (words.length > 0)
    return eachWord(words, context, async (word) => {
      const { path, at } = await placeOf(service, word, context, flags.at);
      await tell(path, at);
    });
  await tell(undefined, atOfFlag(flags.at, context));
  return EXIT.ok;
}

function rowsOf(usage: Usage, shown: (text: string) => string): string[][] {
  const { path, at, snapshot, files, folders, exclusive_bytes, exclusive_chunks = 0, next_gc_bytes = 0 } = usage;
  const bytes = (count: number): string => `${shownCount(count)} bytes (${shownBytes(count)})`;
  const rows = [
    ['path', shown(path) + (snapshot === undefined ? '' : ` in the snapshot ${shown(snapshot)}`)],
    ...(at === undefined ? [] : [['as of', shown(at)]]),
    ['holds', `${counted(files, 'file')} in ${counted(folders, 'folder')}`],
    ['size', bytes(usage.bytes)],
  ];
  if (exclusive_bytes === undefined) return rows;
  return [
    ...rows,
    ['only here', `${bytes(exclusive_bytes)} in ${counted(exclusive_chunks, 'chunk')}`],
    ['next gc', `${bytes(next_gc_bytes)} of that come back with the first one`],
  ];
}
