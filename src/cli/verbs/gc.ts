/** `gc`: gives back what nobody needs, or says what would come back. A pack kept because of damage is exit code 1. */
import type { CollectedPack, FileService, GcReport, GcStatus } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { counted, inTable, shownBytes, shownCount, shownSpan } from '../saying/display.ts';
import type { Given } from '../words/command.ts';
import type { GC_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof GC_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal, clock } = context;
  const { dry_run, grace } = given.flags;
  const service = await context.reach();
  const stand = await standing(given.flags, service, context);
  if (stand !== undefined) {
    await say.record(stand);
    for (const line of inTable(rowsOf(stand))) await say.line(line);
    return EXIT.ok;
  }
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

/** Undefined when a collection is wanted. @throws Fault `invalid` for two wishes at once. */
async function standing(
  { status, pause, resume, dry_run, grace }: Given<typeof GC_FLAGS>['flags'],
  service: FileService,
  { signal }: Context,
): Promise<GcStatus | undefined> {
  if (!status && !pause && !resume) return undefined;
  if ((pause && resume) || dry_run || grace !== undefined)
    throw new Fault('invalid', 'Give --status, --pause or --resume alone: with them nothing is collected.', {});
  return pause || resume ? service.pauseGc(pause, { signal }) : service.gcStatus({ signal });
}

function rowsOf({ is_paused, paused_since, interval_seconds, next, running, last }: GcStatus): string[][] {
  const often = interval_seconds === 0 ? 'only when asked for' : `every ${shownSpan(interval_seconds)}`;
  const rows = [['collections', is_paused ? `paused since ${paused_since}; \`gc --resume\` lets them go on` : often]];
  if (running !== undefined) {
    const { started, done_bytes, total_bytes } = running;
    rows.push(['under way', `since ${started}: ${shownBytes(done_bytes)} of ${shownBytes(total_bytes)} looked at`]);
  }
  if (next !== undefined) rows.push(['next', next]);
  if (last !== undefined) {
    const { ended, freed_bytes, packs, problems, error } = last;
    const what = `${shownBytes(freed_bytes)} given back from ${counted(packs, 'pack')}, ${counted(problems, 'problem')}`;
    rows.push(['last', `${ended}: ${error === undefined ? what : `ended early: ${error}`}`]);
  }
  return rows;
}

function lineOf({ pack, action, bytes_before, bytes_after, chunks }: CollectedPack): string {
  const what =
    action === 'drop'
      ? 'dropped'
      : action === 'join'
        ? 'joined with others'
        : `rewritten with ${shownCount(bytes_after)} bytes`;
  const freed = bytes_before - bytes_after;
  return `pack ${pack}: ${shownCount(freed)} of ${shownCount(bytes_before)} bytes, ${what}, ${counted(chunks, 'chunk')}`;
}

function summaryOf(report: GcReport, seconds: number): string[] {
  const bytes = `${shownBytes(report.freed_bytes)} (${shownCount(report.freed_bytes)} bytes)`;
  const what = [
    `${counted(report.packs_rewritten, 'pack')} rewritten`,
    `${report.packs_dropped} dropped`,
    ...(report.packs_joined > 0 ? [`${report.packs_joined} joined`] : []),
    ...(report.objects_removed > 0 ? [`${counted(report.objects_removed, 'leftover object')} removed`] : []),
  ].join(', ');
  const lines = [
    report.dry_run ? `${bytes} would come back: ${what}` : `${bytes} given back in ${shownSpan(seconds)}: ${what}`,
  ];
  if (report.waiting_bytes > 0)
    lines.push(
      `${shownBytes(report.waiting_bytes)} in ${counted(report.waiting_chunks, 'chunk')} wait for the grace time`,
    );
  if (report.partial_chunks > 0) {
    const { partial_chunks, partial_bytes, partial_used_bytes, recut_chunks } = report;
    const what = report.dry_run ? 'would be' : `${shownCount(recut_chunks)} of them were`;
    lines.push(
      `${counted(partial_chunks, 'chunk')} of ${shownBytes(partial_bytes)} ${partial_chunks === 1 ? 'is' : 'are'} needed for ${shownBytes(partial_used_bytes)} only: ${what} re-cut, and the rest comes back with the next collection`,
    );
  }
  if (report.kept_bytes > 0)
    lines.push(`${shownBytes(report.kept_bytes)} stay in packs of which too little would come back`);
  if (report.history_bytes > 0 && report.freed_bytes === 0)
    lines.push(
      `${shownBytes(report.history_bytes)} (before dedup) are older versions and removed files that are kept: \`versions --why PATH\` and \`ls --deleted -r\` name them, \`snapshot list\` the snapshots, \`du --exclusive PATH\` says what would come back`,
    );
  return lines;
}
