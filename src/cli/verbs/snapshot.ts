/** `snapshot`: makes, lists, shows, compares, deletes and prunes snapshots, and goes back to them. */
import type { FileService, SnapshotRecord } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { inTable, shownMoment } from '../saying/display.ts';
import { planThenDo } from '../saying/say-plan.ts';
import { shownName } from '../saying/show-record.ts';
import { eachWord } from '../transfer/each.ts';
import { storedPath } from '../transfer/stored.ts';
import type { Given } from '../words/command.ts';
import type { SNAPSHOT_FLAGS } from '../words/commands.ts';
import { diffMoments } from './diff.ts';

const HEAD = ['name', 'folder', 'made', 'commit', 'by'];

type SnapshotGiven = Given<typeof SNAPSHOT_FLAGS>;
type Act = (
  service: FileService,
  words: readonly string[],
  given: SnapshotGiven,
  context: Context,
) => Promise<ExitCode>;

const ACTIONS: Readonly<Record<string, Act>> = { create, list, show, diff, restore, delete: remove, prune };

export async function run(given: SnapshotGiven, context: Context): Promise<ExitCode> {
  const [action = '', ...words] = given.words;
  const act = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
  if (act === undefined) {
    const known = Object.keys(ACTIONS).join(', ');
    throw new Fault('invalid', `There is no \`snapshot ${action}\`. Known: ${known}.`, { action });
  }
  return act(await context.reach(), words, given, context);
}

function onlyWords(words: readonly string[], min: number, max: number, usage: string): void {
  if (words.length < min || words.length > max)
    throw new Fault('invalid', `Usage: holdfast snapshot ${usage}`, { words: words.length });
}

async function create(
  service: FileService,
  words: readonly string[],
  { flags }: SnapshotGiven,
  context: Context,
): Promise<ExitCode> {
  onlyWords(words, 1, 2, 'create NAME [PATH]');
  const [name = '', folder] = words;
  const path = folder === undefined ? undefined : storedPath(folder);
  if (flags.dry_run) {
    await context.say.line(`would make the snapshot ${name} of ${path ?? '/'}`);
    return EXIT.ok;
  }
  const record = await service.createSnapshot(name, { path, signal: context.signal });
  await context.say.record(record);
  await context.say.note(`made the snapshot ${record.name} of ${shownName(context.say, record.path)}`);
  return EXIT.ok;
}

async function list(
  service: FileService,
  words: readonly string[],
  _: SnapshotGiven,
  context: Context,
): Promise<ExitCode> {
  onlyWords(words, 0, 0, 'list');
  const { say, signal } = context;
  let head: string[][] = [HEAD];
  for (let cursor: string | undefined; ; ) {
    const page = await service.snapshots({ cursor, signal });
    for (const snapshot of page.snapshots) await say.record(snapshot);
    const rows = page.snapshots.map((snapshot) => rowOf(snapshot, (text) => shownName(say, text)));
    for (const line of inTable([...head, ...rows], new Set([3]))) await say.line(line);
    head = [];
    cursor = page.next;
    if (cursor === undefined) return EXIT.ok;
  }
}

function rowOf(snapshot: SnapshotRecord, shown: (text: string) => string): string[] {
  const { name, path, created, commit, actor, door, schedule } = snapshot;
  const by = schedule === undefined ? `${actor} (${door})` : `schedule ${schedule}`;
  return [shown(name), shown(path), shownMoment(created), String(commit), by];
}

async function show(
  service: FileService,
  words: readonly string[],
  _: SnapshotGiven,
  context: Context,
): Promise<ExitCode> {
  onlyWords(words, 1, 1, 'show NAME');
  const snapshot = await service.snapshot(words[0] ?? '', { signal: context.signal });
  await context.say.record(snapshot);
  const values = rowOf(snapshot, (text) => shownName(context.say, text));
  for (const line of inTable(HEAD.map((name, at) => [name, values[at] ?? '']))) await context.say.line(line);
  return EXIT.ok;
}

async function diff(
  service: FileService,
  words: readonly string[],
  _: SnapshotGiven,
  context: Context,
): Promise<ExitCode> {
  onlyWords(words, 1, 3, 'diff A [B [PATH]]');
  const [a = '', b, path] = words;
  // A snapshot of a folder shows that folder only.
  const folder = path === undefined ? (await service.snapshot(a, { signal: context.signal })).path : storedPath(path);
  return diffMoments(context, service, folder, [a, b === undefined || b === 'now' ? undefined : b]);
}

async function restore(
  service: FileService,
  words: readonly string[],
  { flags }: SnapshotGiven,
  context: Context,
): Promise<ExitCode> {
  onlyWords(words, 1, 2, 'restore NAME [PATH]');
  const [name = '', path] = words;
  const folder = path === undefined ? undefined : storedPath(path);
  const options = { force: flags.force, signal: context.signal };
  await planThenDo(context.say, flags.dry_run, (dryRun) => service.restoreTree(folder, name, { ...options, dryRun }));
  return EXIT.ok;
}

/** The plan is said before anything is done. */
async function prune(
  service: FileService,
  words: readonly string[],
  { flags }: SnapshotGiven,
  { say, signal }: Context,
): Promise<ExitCode> {
  onlyWords(words, 0, 0, 'prune [--keep RULES] [--schedule NAME] [--dry-run]');
  const asked = { keep: flags.keep, schedule: flags.schedule, signal };
  const plan = await service.pruneSnapshots({ ...asked, dryRun: true });
  for (const line of plan.snapshots) await say.record(line);
  const rows = plan.snapshots.map(({ name, created, action, reasons }) => [
    action === 'keep' ? 'keep' : flags.dry_run ? 'would delete' : 'delete',
    shownName(say, name),
    shownMoment(created),
    reasons.join(', '),
  ]);
  for (const line of inTable(rows)) await say.line(line);
  if (plan.snapshots_more > 0) await say.line(`… and ${plan.snapshots_more} more`);
  if (!flags.dry_run && plan.deleted > 0) await service.pruneSnapshots({ ...asked, dryRun: false });
  const done = flags.dry_run ? 'would delete' : 'deleted';
  await say.note(`${done} ${plan.deleted} snapshots that schedules made, and keep ${plan.kept}`);
  return EXIT.ok;
}

async function remove(
  service: FileService,
  words: readonly string[],
  { flags }: SnapshotGiven,
  context: Context,
): Promise<ExitCode> {
  onlyWords(words, 1, Number.POSITIVE_INFINITY, 'delete NAME…');
  return eachWord(words, context, async (name) => {
    const record = await service.removeSnapshot(name, { dryRun: flags.dry_run, signal: context.signal });
    await context.say.record(record);
    if (flags.dry_run) await context.say.line(`would delete the snapshot ${name} of ${record.path}`);
    else await context.say.note(`deleted the snapshot ${name}`);
  });
}
