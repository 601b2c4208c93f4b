/**
 * `put`: local files, folders and symlinks into the store. Here the words become jobs; Putting does them.
 */
import type { FileService } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { identityOfStore, type LocalStat } from '../local/local-disk.ts';
import { checkGlobs } from '../local/local-walk.ts';
import { ownName, textOfRaw } from '../local/raw.ts';
import { type PutJob, Putting } from '../transfer/putting.ts';
import { joinStored, statOrNothing, storedPath } from '../transfer/stored.ts';
import { Tally } from '../transfer/tally.ts';
import { rawOfWord } from '../words/arguments.ts';
import type { Given } from '../words/command.ts';
import type { PUT_FLAGS } from '../words/commands.ts';
import { type Goal, planGoals } from '../words/goals.ts';

export async function run(given: Given<typeof PUT_FLAGS>, context: Context): Promise<ExitCode> {
  checkGlobs(given.flags.exclude);
  const service = await context.reach();
  if (given.words[0] === '-' && given.words.length <= 2) return putStdin(given.words[1], context, service);
  const tally = new Tally(context.say, context.clock);
  const jobs = await findJobs(given.words, tally, context, service);
  const storeIdentity = await identityOfStore(context);
  const isRemote = (await context.storeFolder()) === undefined;
  await new Putting({ context, service, flags: given.flags, tally, storeIdentity, isRemote }).run(jobs);
  await tally.summarize('put');
  return tally.exit();
}

async function putStdin(destination: string | undefined, context: Context, service: FileService): Promise<ExitCode> {
  if (destination === undefined || destination.endsWith('/')) {
    throw new Fault('invalid', 'Standard input has no name of its own: say `put - PATH`, without a slash at the end.');
  }
  const path = storedPath(destination);
  const tally = new Tally(context.say, context.clock);
  const counting = async function* (): AsyncGenerator<Uint8Array, void> {
    let bytes = 0;
    for await (const chunk of context.stdin()) {
      yield chunk;
      bytes += chunk.length;
      context.say.progress.update(() => ({ what: 'put', bytes, item: path }));
    }
  };
  const record = await service.write(path, counting(), { mode: 'put', parents: true, signal: context.signal });
  context.say.progress.clear();
  await tally.add({ outcome: 'done', action: 'stored', kind: 'file', path: record.path, bytes: record.size });
  await tally.summarize('put');
  return EXIT.ok;
}

interface Found {
  readonly word: string;
  readonly source: string;
  readonly stat: LocalStat;
}

async function findJobs(
  words: readonly string[],
  tally: Tally,
  context: Context,
  service: FileService,
): Promise<PutJob[]> {
  const goalWord = words.length > 1 ? (words.at(-1) ?? '/') : '/';
  const found = await findSources(words.length > 1 ? words.slice(0, -1) : words, tally, context);
  const goalPath = storedPath(goalWord);
  const record = await statOrNothing(service, goalPath, context.signal);
  const goals = planGoals(found.map(goalSourceOf), {
    word: goalPath,
    endsInSlash: goalWord.endsWith('/') || goalPath === '/',
    isFolder: record?.kind === 'folder',
    isOther: record !== undefined && record.kind !== 'folder',
  });
  return found.map(({ source, stat }, index) => ({ source, stat, goal: goalOf(goalPath, goals[index]) }));
}

async function findSources(words: readonly string[], tally: Tally, context: Context): Promise<Found[]> {
  const found: Found[] = [];
  for (const word of words) {
    if (word === '-') throw new Fault('invalid', '`-` (standard input) cannot be put together with other sources.');
    const source = rawOfWord(word);
    const stat = context.disk.stat(source, { follow: source.endsWith('/') });
    if (stat !== undefined) {
      found.push({ word, source, stat });
      continue;
    }
    const local = textOfRaw(source);
    const fault = new Fault('not-found', `${local} is not there. Check its name.`, { local });
    await tally.fail({ kind: 'unknown', path: '', local }, fault);
  }
  return found;
}

function goalSourceOf({ word, source, stat }: Found) {
  const name = textOfRaw(ownName(source));
  return { word, name, isFolder: stat.kind === 'folder', meansContents: source.endsWith('/') || name === '' };
}

function goalOf(folder: string, goal: Goal | undefined): string {
  return goal?.as === 'into' ? joinStored(folder, goal.name) : folder;
}
