/** What a reader sees of a store, as the marks of the model; and what must be true of any store that is at rest. */
import type { CommitRecord, FileRecord, FileService } from '../../src/api/index.ts';
import { msOfMoment } from '../../src/base/index.ts';
import { OBJECTS_FOLDER } from '../../src/server/store-folder.ts';
import { digestOf, type Marks, type ModelNode, markOfNode } from './model.ts';
import { gathered, snapshotPrefix } from './perform.ts';
import { uploadMarks } from './uploading.ts';
import { LOG_KEPT_SECONDS, type World } from './world.ts';

export interface Seen {
  readonly marks: Marks;
  /** Of files, by path. */
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

/**
 * A file was listed as it was and read as it is. A mount tries again what did not fit at first, and until that is done
 * others see what was there before.
 */
export class ChangedMeanwhile extends Error {
  constructor(path: string) {
    super(`${path} changed between being listed and being read`);
  }
}

/** Everything below a folder, and in its snapshots, read in whole, and its open uploads. The folder itself is not in it. */
export async function lookBelow(world: World, home: string): Promise<Seen> {
  const { service } = world;
  const seen = { marks: new Map<string, string>(), bytes: new Map<string, Uint8Array>() };
  await lookAt({ service, home, at: undefined }, seen, '');
  const { snapshots } = await service.snapshots();
  const prefix = snapshotPrefix(home);
  for (const { name } of snapshots) {
    if (!name.startsWith(prefix)) continue;
    const as = `@${name.slice(prefix.length)}`;
    seen.marks.set(as, 'snapshot');
    await lookAt({ service, home, at: name }, seen, as);
  }
  for (const [as, mark] of await uploadMarks(world, home)) seen.marks.set(as, mark);
  return seen;
}

/** A folder, now or as it was. */
interface View {
  readonly service: FileService;
  readonly home: string;
  readonly at: string | undefined;
}

async function lookAt(
  view: View,
  seen: { readonly marks: Map<string, string>; readonly bytes: Map<string, Uint8Array> },
  as: string,
): Promise<void> {
  const records: FileRecord[] = [];
  await list(view, view.home === '' ? '/' : view.home, records);
  const pathOf = ({ path }: FileRecord): string => path.slice(view.home.length);
  records.sort((a, b) => (pathOf(a) < pathOf(b) ? -1 : 1));
  const first = new Map<number, string>();
  for (const record of records) {
    const path = pathOf(record);
    if (!first.has(record.file_id)) first.set(record.file_id, path);
    const node = await nodeOf(view, record);
    const shown = { ...node, links: record.links, first: first.get(record.file_id) ?? path };
    seen.marks.set(as + path, markOfNode(shown));
    if (node.bytes !== undefined) seen.bytes.set(as + path, node.bytes);
  }
}

async function list(view: View, path: string, records: FileRecord[]): Promise<void> {
  const { entries } = await view.service.list({ path }, { withAttributes: true, at: view.at });
  for (const entry of entries) {
    records.push(entry);
    if (entry.is_directory) await list(view, entry.path, records);
  }
}

async function nodeOf({ service, at }: View, record: FileRecord): Promise<ModelNode> {
  const { mode, target } = record;
  const tag = Buffer.from(record.attributes?.['user.tag'] ?? '', 'base64').toString();
  if (record.kind === 'folder') return { kind: 'folder', mode };
  if (record.kind === 'symlink') return { kind: 'symlink', mode, tag, ...(target === undefined ? {} : { target }) };
  const found = await service.read({ path: record.path }, { at });
  if (found.record.version !== record.version) throw new ChangedMeanwhile(record.path);
  const bytes = await gathered(found.bytes);
  if (bytes.length !== record.size) throw new Error(`${record.path} has ${bytes.length} bytes, not ${record.size}`);
  return { kind: 'file', mode, tag, bytes };
}

/** A version that is listed below a folder, not a current one, and has bytes that nobody wrote, if there is one. */
export async function unknownVersion(
  service: FileService,
  home: string,
  marks: Marks,
  digests: ReadonlySet<string>,
): Promise<string | undefined> {
  for (const [path, mark] of marks) {
    if (!mark.startsWith('file') || path.startsWith('@')) continue;
    const target = { path: home + path };
    const { versions } = await service.versions(target);
    for (const { version, needs_file_id, is_current } of versions) {
      if (needs_file_id === true || is_current) continue;
      const bytes = await gathered((await service.read(target, { version })).bytes);
      if (!digests.has(digestOf(bytes)))
        return `version ${version} of ${path} has ${bytes.length} bytes that nobody wrote`;
    }
  }
  return undefined;
}

/** What is wrong with a store in which nothing is under way and everything unreachable was reaped. */
export async function problemAtRest(world: World): Promise<string | undefined> {
  const { meta } = world;
  const left = await meta.scan('reaps', { prefix: [], limit: 5 });
  if (left.length > 0) return `the reaper left ${JSON.stringify(left)}`;
  const report = await world.service.check();
  if (!report.is_clean) return `check finds ${JSON.stringify(report.problems.slice(0, 5))}`;
  return undefined;
}

const SECOND_MS = 1_000;

/**
 * What differs between what a preview of a collection says comes back, what the collection says came back, and the bytes
 * of packs that the disk has fewer then; in a store in which nothing is under way.
 */
export async function unforetold(world: World, freedShareMin: number): Promise<string | undefined> {
  const { files, chunks, disk, clock } = world;
  await files.sweepNow();
  await files.sweepHistoryNow();
  await files.reapNow();
  // What died in this very second waits.
  clock.advance(SECOND_MS);
  const rules = { graceSeconds: 0, freedShareMin };
  const foretold = await chunks.collect({ ...rules, isPreview: true });
  const before = objectsOf(disk);
  const done = await chunks.collect(rules);
  const after = objectsOf(disk);
  // What a collection notes is no part of the plan: it goes with the next one.
  const made = bytesOfOthers(after, before, (path) => !path.includes('/discards/'));
  const gone = bytesOfOthers(before, after) - made;
  const [problem] = done.problems;
  if (problem !== undefined) return `a collection finds ${problem.sentence}`;
  if (foretold.freedBytes === done.freedBytes && done.freedBytes === gone) return undefined;
  return `a preview foretells ${foretold.freedBytes} bytes, the collection says ${done.freedBytes}, and the disk has ${gone} fewer`;
}

/** Bytes of packs, and of what earlier collections noted, by object. */
function objectsOf(
  disk: World['disk'],
  folder = OBJECTS_FOLDER,
  found = new Map<string, number>(),
): Map<string, number> {
  for (const name of disk.listSync(folder)) {
    const path = `${folder}/${name}`;
    const stat = disk.statSync(path);
    if (stat?.kind === 'folder') objectsOf(disk, path, found);
    else if (!path.includes('/checkpoints/')) found.set(path, stat?.sizeBytes ?? 0);
  }
  return found;
}

/** Of those that are not among the others. */
function bytesOfOthers(
  objects: ReadonlyMap<string, number>,
  others: ReadonlyMap<string, number>,
  counts: (path: string) => boolean = () => true,
): number {
  let sum = 0;
  for (const [path, bytes] of objects) if (!others.has(path) && counts(path)) sum += bytes;
  return sum;
}

type Commit = Pick<CommitRecord, 'commit' | 'committed' | 'cursor'>;

/**
 * What is wrong with the log: it tells each commit once, newest first, as the feed does the other way round; and what
 * goes from it in time is older than what is kept, all of it where no moment of the past is kept longer.
 */
export async function wrongLog(world: World, keepsVersions: boolean): Promise<string | undefined> {
  const before = await logOf(world);
  world.clock.advance(LOG_KEPT_SECONDS * SECOND_MS - SOME_MS);
  await world.files.sweepHistoryNow();
  const after = await logOf(world);
  const nowMs = msOfMoment(world.clock.now());
  const kept = before.filter(({ committed }) => Date.parse(committed) > nowMs - LOG_KEPT_SECONDS * SECOND_MS);
  // The latest stays, whatever its age; and all that belongs to a moment that is kept.
  const countMax = keepsVersions ? before.length : Math.max(1, kept.length);
  if (!beginsWith(shownLog(after), shownLog(kept)) || after.length > countMax)
    return `of the log ${shownLog(before)} were left ${shownLog(after)}, not ${shownLog(kept)}`;
  const oldest = after.at(-1)?.cursor;
  if (oldest === undefined) return undefined;
  const { commits } = await world.service.changes({ after: oldest });
  const [fed, told] = [shownLog(commits.toReversed()), shownLog(after.slice(0, -1))];
  return fed === told ? undefined : `behind its first commit the log tells ${told}, and the feed ${fed}`;
}

/** A part of the commits is younger than what is kept, then: more than each start lets go by. */
const SOME_MS = 300_000;

async function logOf({ service }: World): Promise<readonly Commit[]> {
  const { commits } = await service.log({ limit: 1_000 });
  return commits;
}

function shownLog(commits: readonly Commit[]): string {
  return commits.map(({ commit }) => commit).join(' ');
}

/** Whether the text begins with the other. */
function beginsWith(text: string, beginning: string): boolean {
  return beginning === '' || `${text} `.startsWith(`${beginning} `);
}
