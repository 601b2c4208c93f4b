/** `repair`: stores damaged content anew from a second copy. What stays damaged is exit code 1. */
import { resolve } from 'node:path';
import { Fault } from '../../base/index.ts';
import type { Given } from '../command.ts';
import type { REPAIR_FLAGS } from '../commands.ts';
import type { Context } from '../context.ts';
import { counted, shownSpan } from '../display.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { RepairedStore } from '../server-room.ts';
import { shownName } from '../show-record.ts';

export async function run(given: Given<typeof REPAIR_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal, clock, asked } = context;
  const { from, dry_run: isDryRun } = given.flags;
  if (from === undefined) {
    const sentence = 'Repair needs a second copy: name a store or a folder with --from.';
    throw new Fault('invalid', sentence, { flag: '--from' });
  }
  const startedMs = clock.monotonicMs();
  const onProgress = (done: number, total: number): void =>
    say.progress.update(() => ({ what: 'repair', bytes: done, bytesTotal: total }));
  const server = await context.server();
  const repaired = await server.repair(asked, { from: resolve(from), isDryRun, signal, onProgress });
  say.progress.clear();
  const seconds = Math.round(clock.monotonicMs() - startedMs) / 1000;
  await sayProblems(repaired, context);
  const problems = repaired.problems.length + repaired.problemsMore;
  await say.record({
    event: 'summary',
    verb: 'repair',
    dry_run: isDryRun,
    source: repaired.source,
    damaged_chunks: repaired.damagedChunks,
    repaired_chunks: repaired.repairedChunks,
    repaired_files: repaired.repairedFiles,
    repaired_files_more: repaired.repairedFilesMore,
    problems,
    seconds,
  });
  if (!say.isJson) for (const line of linesOf(repaired, isDryRun, seconds)) await say.line(shownName(say, line));
  return problems === 0 ? EXIT.ok : EXIT.different;
}

async function sayProblems({ problems }: RepairedStore, { say }: Context): Promise<void> {
  for (const { code, error, files, filesMore } of problems) {
    await say.record({ event: 'problem', code, error, files, files_more: filesMore });
    await say.line(`${code}: ${shownName(say, error)}`);
    for (const file of files) await say.line(`  needed by ${shownName(say, file)}`);
    if (filesMore > 0) await say.line(`  and by ${counted(filesMore, 'more file')}`);
  }
}

function linesOf(repaired: RepairedStore, isDryRun: boolean, seconds: number): string[] {
  const { damagedChunks, repairedChunks, repairedFiles, repairedFilesMore } = repaired;
  if (damagedChunks === 0) return [`no chunk is damaged: nothing to repair (${shownSpan(seconds)})`];
  const verb = isDryRun ? 'can be repaired' : 'repaired';
  const lines = [`${repairedChunks} of ${counted(damagedChunks, 'damaged chunk')} ${verb} in ${shownSpan(seconds)}`];
  for (const file of repairedFiles) lines.push(`  needed by ${file}`);
  if (repairedFilesMore > 0) lines.push(`  and by ${counted(repairedFilesMore, 'more file')}`);
  return lines;
}
