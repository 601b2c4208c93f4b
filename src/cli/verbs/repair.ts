/** `repair`: stores damaged content anew from a second copy. What stays damaged is exit code 1. */
import { resolve } from 'node:path';
import type { RepairPhase, RepairReport } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { counted, shownSpan } from '../saying/display.ts';
import { shownName } from '../saying/show-record.ts';
import type { Given } from '../words/command.ts';
import type { REPAIR_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof REPAIR_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal, clock } = context;
  const { from, dry_run: isDryRun } = given.flags;
  if (from === undefined) {
    const sentence = 'Repair needs a second copy: name a store or a folder with --from.';
    throw new Fault('invalid', sentence, { flag: '--from' });
  }
  const startedMs = clock.monotonicMs();
  const onProgress = (done: number, total: number, what: RepairPhase): void =>
    say.progress.update(() => ({
      what: what === 'check' ? 'repair: reading the store' : 'repair: searching the copy',
      bytes: done,
      bytesTotal: total,
    }));
  const service = await context.reach();
  const repaired = await service.repair({ from: resolve(from), dryRun: isDryRun, signal, onProgress });
  say.progress.clear();
  const seconds = Math.round(clock.monotonicMs() - startedMs) / 1000;
  const { problems, problems_more, ...rest } = repaired;
  await sayProblems(problems, context);
  const problemCount = problems.length + problems_more;
  await say.record({ event: 'summary', verb: 'repair', ...rest, problems: problemCount, seconds });
  if (!say.isJson) for (const line of linesOf(repaired, seconds)) await say.line(shownName(say, line));
  return problemCount === 0 ? EXIT.ok : EXIT.different;
}

async function sayProblems(problems: RepairReport['problems'], { say }: Context): Promise<void> {
  for (const { code, error, files, files_more } of problems) {
    await say.record({ event: 'problem', code, error, files, files_more });
    await say.line(`${code}: ${shownName(say, error)}`);
    for (const file of files) await say.line(`  needed by ${shownName(say, file)}`);
    if (files_more > 0) await say.line(`  and by ${counted(files_more, 'more file')}`);
  }
}

function linesOf(repaired: RepairReport, seconds: number): string[] {
  const { damaged_chunks, repaired_chunks, repaired_files, repaired_files_more } = repaired;
  if (damaged_chunks === 0) return [`no chunk is damaged: nothing to repair (${shownSpan(seconds)})`];
  const verb = repaired.dry_run ? 'can be repaired' : 'repaired';
  const lines = [`${repaired_chunks} of ${counted(damaged_chunks, 'damaged chunk')} ${verb} in ${shownSpan(seconds)}`];
  for (const file of repaired_files) lines.push(`  needed by ${file}`);
  if (repaired_files_more > 0) lines.push(`  and by ${counted(repaired_files_more, 'more file')}`);
  return lines;
}
