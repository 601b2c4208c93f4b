/** `stat`: all that is known about a file or folder. */
import type { FileRecord } from '../../api/index.ts';
import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { pastService, placeOf } from '../past.ts';
import { inTable, shownBytes, shownCount, shownMode } from '../saying/display.ts';
import { shownName } from '../saying/show-record.ts';
import { eachWord } from '../transfer/each.ts';
import type { Given } from '../words/command.ts';
import type { STAT_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof STAT_FLAGS>, context: Context): Promise<ExitCode> {
  const service = await context.reach();
  return eachWord(given.words, context, async (word) => {
    const options = { withAttributes: given.flags.attributes, signal: context.signal };
    const { path, at } = await placeOf(service, word, context, given.flags.at);
    const record = await pastService(service, at).stat({ path }, options);
    await context.say.record(record);
    for (const line of inTable(rowsOf(record, (text) => shownName(context.say, text)))) await context.say.line(line);
  });
}

function rowsOf(record: FileRecord, shown: (text: string) => string): string[][] {
  const rows = [
    ['path', shown(record.path)],
    ['kind', record.kind],
    ['size', `${shownCount(record.size)} bytes (${shownBytes(record.size)})`],
    ['mode', `${shownMode(record.kind, record.mode)} (${record.mode.toString(8).padStart(4, '0')})`],
    ['owner', `${record.uid}:${record.gid}`],
    ['modified', record.modified],
    ['changed', record.changed],
    ['created', record.created],
    ['file id', String(record.file_id)],
    ['version', String(record.version)],
    ['links', String(record.links)],
    ['xxhash3', record.xxhash3 ?? '–'],
  ];
  if (record.target !== undefined) rows.push(['target', shown(record.target)]);
  for (const [name, value] of Object.entries(record.attributes ?? {})) {
    rows.push([shown(name), shown(Buffer.from(value, 'base64').toString())]);
  }
  return rows;
}
