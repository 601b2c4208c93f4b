/** `check`: verifies what is stored. Damage is exit code 1, and each problem names the files that need what is damaged. */
import type { CheckProblem, CheckReport } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { counted, shownBytes, shownSpan } from '../saying/display.ts';
import { shownName } from '../saying/show-record.ts';
import type { RebuiltMetadata } from '../server-room.ts';
import type { Given } from '../words/command.ts';
import type { CHECK_FLAGS } from '../words/commands.ts';
import { readFlag, shareOfText } from '../words/values.ts';

export async function run(given: Given<typeof CHECK_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal, clock } = context;
  const sampleText = given.flags.sample;
  const sample =
    sampleText === undefined ? undefined : readFlag('--sample', sampleText, shareOfText, 'a share such as 10% or 0.1');
  if (given.flags.force && !given.flags.rebuild_meta)
    throw new Fault('invalid', '--force belongs to --rebuild-meta, which was not given.', { flag: '--force' });
  if (given.flags.rebuild_meta) await rebuild(given.flags.force, context);
  const service = await context.reach();
  const startedMs = clock.monotonicMs();
  const report = await service.check({
    sample,
    rebuildIndex: given.flags.rebuild_index,
    signal,
    onProgress: (done, total) => say.progress.update(() => ({ what: 'check', bytes: done, bytesTotal: total })),
  });
  say.progress.clear();
  const seconds = (clock.monotonicMs() - startedMs) / 1000;
  for (const problem of report.problems) await sayProblem(problem, context);
  const { problems, problems_more, ...rest } = report;
  const rounded = Math.round(seconds * 1000) / 1000;
  await say.record({
    event: 'summary',
    verb: 'check',
    ...rest,
    problems: problems.length + problems_more,
    seconds: rounded,
  });
  if (!say.isJson) for (const line of summaryOf(report, seconds)) await say.line(line);
  return report.is_clean ? EXIT.ok : EXIT.different;
}

async function rebuild(force: boolean, context: Context): Promise<void> {
  const { say, signal, asked } = context;
  const onProgress = (done: number, total: number): void =>
    say.progress.update(() => ({ what: 'rebuild', bytes: done, bytesTotal: total }));
  const server = await context.server();
  const rebuilt = await server.rebuildMetadata(asked, { force, signal, onProgress });
  say.progress.clear();
  const { packs } = rebuilt;
  await say.record({
    event: 'rebuilt',
    as_of: rebuilt.asOf,
    checkpoint: rebuilt.sequence,
    rows: rebuilt.rows,
    passed_over: rebuilt.passedOver,
    packs_added: packs.added,
    packs_changed: packs.changed,
    packs_missing: packs.missing,
    newer_chunks: rebuilt.newerChunks,
    newer_bytes: rebuilt.newerBytes,
    ...(rebuilt.keptAt === undefined ? {} : { kept_at: rebuilt.keptAt }),
  });
  if (!say.isJson) for (const line of rebuiltLines(rebuilt)) await say.line(line);
}

function rebuiltLines({ asOf, rows, passedOver, packs, newerChunks, newerBytes, keptAt }: RebuiltMetadata): string[] {
  const lines = passedOver.map(({ name, reason }) => `passed over ${name}: ${reason}`);
  lines.push(`metadata as of ${asOf} brought back: ${counted(rows, 'row')}`);
  if (newerChunks > 0)
    lines.push(
      `lost is what came after that: ${counted(newerChunks, 'chunk')} (${shownBytes(newerBytes)}) in the packs have no name`,
    );
  else
    lines.push('the packs hold no content that came after that; what was only named, moved or removed since is lost');
  if (packs.missing > 0) lines.push(`${counted(packs.missing, 'pack')} that it names are gone`);
  if (keptAt !== undefined) lines.push(`the old metadata is kept in ${keptAt}`);
  return lines;
}

async function sayProblem(problem: CheckProblem, { say }: Context): Promise<void> {
  await say.record({ event: 'problem', ...problem });
  await say.line(`${problem.code}: ${shownName(say, problem.error)}`);
  for (const file of problem.files) await say.line(`  needed by ${shownName(say, file)}`);
  if (problem.files_more !== undefined && problem.files_more > 0)
    await say.line(`  and by ${counted(problem.files_more, 'more file')}`);
}

function summaryOf(report: CheckReport, seconds: number): string[] {
  const problemCount = report.problems.length + report.problems_more;
  const verdict = report.is_clean ? 'clean' : `${counted(problemCount, 'problem')} found`;
  const what = [
    counted(report.files_verified, 'file'),
    counted(report.chunks_verified, 'chunk'),
    counted(report.packs_verified, 'pack'),
    shownBytes(report.bytes_verified),
  ].join(', ');
  const lines = [`${verdict}: ${what} verified in ${shownSpan(seconds)}`];
  if (report.rebuilt_chunks !== undefined)
    lines.unshift(
      report.rebuilt_chunks === 0
        ? 'the index has every chunk of the packs: nothing had to be written anew'
        : `index written anew: ${counted(report.rebuilt_chunks, 'chunk')} missing or wrong`,
    );
  if (report.problems_more > 0) lines.push(`${counted(report.problems_more, 'more problem')} not listed`);
  if (report.orphan_bytes > 0)
    lines.push(`${shownBytes(report.orphan_bytes)} of leftovers that nothing needs (harmless)`);
  return lines;
}
