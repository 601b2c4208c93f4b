/** `gc`: gives back what nobody needs, or says what would come back. A pack kept because of damage is exit code 1. */
import type { CollectedPack, GcReport } from '../../api/index.ts';
import type { Given } from '../command.ts';
import type { GC_FLAGS } from '../commands.ts';
import type { Context } from '../context.ts';
import { counted, shownBytes, shownCount, shownSpan } from '../display.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';

export async function run(given: Given<typeof GC_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal, clock } = context;
  const { dry_run, grace } = given.flags;
  const service = await context.reach();
  const startedMs = clock.monotonicMs();
  const report = await service.gc({
    dryRun: dry_run,
    graceSeconds: grace === undefined ? undefined : Math.ceil(grace / 1000),
    signal,
    onProgress: (done, total) => say.progress.update(() => ({ what: 'gc', bytes: done, bytesTotal: total })),
  });
  say.progress.clear();
  const seconds = Math.round(clock.monotonicMs() - startedMs) / 1000;
  const { packs, packs_more, problems, ...rest } = report;
  for (const pack of packs) {
    await say.record({ event: 'pack', ...pack });
    if (dry_run) await say.line(lineOf(pack));
  }
  if (dry_run && packs_more > 0) await say.line(`and ${counted(packs_more, 'more pack')}`);
  for (const problem of problems) {
    await say.record({ event: 'problem', ...problem });
    await say.line(`${problem.code}: ${problem.error}`);
  }
  await say.record({ event: 'summary', verb: 'gc', ...rest, problems: problems.length, seconds });
  if (!say.isJson) for (const line of summaryOf(report, seconds)) await say.line(line);
  return problems.length === 0 ? EXIT.ok : EXIT.different;
}

function lineOf({ pack, action, bytes_before, bytes_after, chunks }: CollectedPack): string {
  const what = action === 'drop' ? 'dropped' : `rewritten with ${shownCount(bytes_after)} bytes`;
  const freed = bytes_before - bytes_after;
  return `pack ${pack}: ${shownCount(freed)} of ${shownCount(bytes_before)} bytes, ${what}, ${counted(chunks, 'chunk')}`;
}

function summaryOf(report: GcReport, seconds: number): string[] {
  const bytes = `${shownBytes(report.freed_bytes)} (${shownCount(report.freed_bytes)} bytes)`;
  const what = [
    `${counted(report.packs_rewritten, 'pack')} rewritten`,
    `${report.packs_dropped} dropped`,
    ...(report.objects_removed > 0 ? [`${counted(report.objects_removed, 'leftover object')} removed`] : []),
  ].join(', ');
  const lines = [
    report.dry_run ? `${bytes} would come back: ${what}` : `${bytes} given back in ${shownSpan(seconds)}: ${what}`,
  ];
  if (report.waiting_bytes > 0)
    lines.push(
      `${shownBytes(report.waiting_bytes)} in ${counted(report.waiting_chunks, 'chunk')} wait for the grace time`,
    );
  if (report.kept_bytes > 0)
    lines.push(`${shownBytes(report.kept_bytes)} stay in packs of which too little would come back`);
  return lines;
}
