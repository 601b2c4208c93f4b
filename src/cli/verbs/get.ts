/**
 * `get`: files, folders and symlinks out of the store. Here the words become jobs; Getting does them.
 */
import type { FileRecord, FileService } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { joinRaw, rawOfText, textOfRaw, trimSlashes } from '../local/raw.ts';
import { momentOfWords, pastService } from '../past.ts';
import { writeToOutput } from '../saying/write-output.ts';
import { type GetJob, Getting, makeFoldersAbove } from '../transfer/getting.ts';
import { lastStoredName, storedPath } from '../transfer/stored.ts';
import { Tally } from '../transfer/tally.ts';
import { rawOfWord } from '../words/arguments.ts';
import type { Given } from '../words/command.ts';
import type { GET_FLAGS } from '../words/commands.ts';
import { planGoals } from '../words/goals.ts';

export async function run(given: Given<typeof GET_FLAGS>, context: Context): Promise<ExitCode> {
  const { flags } = given;
  const now = await context.reach();
  const { words, at } = await momentOfWords(now, given.words, context, flags.at);
  const service = pastService(now, at);
  if (words.length === 2 && words[1] === '-') return getToOutput(words[0] ?? '', flags.version, context, service);
  const tally = new Tally(context.say, context.clock);
  const jobs = await findJobs(words, tally, context, service);
  const isTree = jobs.some(({ record }) => record.kind === 'folder');
  if (flags.version !== undefined && (jobs.length > 1 || isTree)) {
    throw new Fault('invalid', '--version names the version of one file; say one file as SOURCE.');
  }
  if (!flags.dry_run) for (const { goal } of jobs) makeFoldersAbove(context, goal);
  await new Getting({ context, service, flags, tally }).run(jobs);
  await tally.summarize('get');
  return tally.exit();
}

async function getToOutput(
  word: string,
  version: number | undefined,
  context: Context,
  service: FileService,
): Promise<ExitCode> {
  const { bytes } = await service.read({ path: storedPath(word) }, { version, signal: context.signal });
  await writeToOutput(context.say, bytes);
  return EXIT.ok;
}

async function findJobs(
  words: readonly string[],
  tally: Tally,
  context: Context,
  service: FileService,
): Promise<GetJob[]> {
  const goalWord = words.length > 1 ? rawOfWord(words.at(-1) ?? '') : './';
  const found = await findSources(words.length > 1 ? words.slice(0, -1) : words, tally, context, service);
  const standing = context.disk.stat(goalWord, { follow: true });
  const goals = planGoals(
    found.map(({ word, record }) => ({
      word,
      name: lastStoredName(record.path),
      isFolder: record.kind === 'folder',
      meansContents: word.endsWith('/') || record.path === '/',
    })),
    {
      word: textOfRaw(goalWord),
      endsInSlash: goalWord.endsWith('/'),
      isFolder: standing?.kind === 'folder',
      isOther: standing !== undefined && standing.kind !== 'folder',
    },
  );
  const folder = trimSlashes(goalWord);
  return found.map(({ record }, index) => {
    const goal = goals[index];
    return { record, goal: goal?.as === 'into' ? joinRaw(folder, rawOfText(goal.name)) : folder };
  });
}

interface Found {
  readonly word: string;
  readonly record: FileRecord;
}

async function findSources(
  words: readonly string[],
  tally: Tally,
  context: Context,
  service: FileService,
): Promise<Found[]> {
  const found: Found[] = [];
  for (const word of words) {
    const path = storedPath(word);
    try {
      found.push({ word, record: await service.stat({ path }, { signal: context.signal }) });
    } catch (error) {
      if (!Fault.is(error, 'not-found', 'not-folder')) throw error;
      await tally.fail({ kind: 'unknown', path }, error);
    }
  }
  return found;
}
