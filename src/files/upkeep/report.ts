/** What the store says of itself: how much it holds, and whether all of it is whole. */
import {
  type CheckOptions,
  type CheckProblem,
  type CheckReport,
  type StoreStats,
  textOfPath,
} from '../../api/index.ts';
import { Fault, hexOf, isoOfMoment } from '../../base/index.ts';
import type { ChunkDamage } from '../../chunks/index.ts';
import {
  type ContentId,
  EXTENT_KIND,
  type ExtentRow,
  NODE_KIND,
  type NodeRow,
  type VersionRow,
} from '../../meta/index.ts';
import type { Context, Space } from '../context.ts';
import { PAGE_ROWS, rowsOf } from '../pages.ts';
import { pathOfNode } from '../tree.ts';

/** Paths that one problem names, and problems that one report names; the rest is counted. */
export const FILES_NAMED_MAX = 20;
export const PROBLEMS_NAMED_MAX = 1_000;

export async function stats(context: Context, spaces: readonly Space[]): Promise<StoreStats> {
  let [files, folders, symlinks, specials, logical, history] = [0, 0, 0, 0, 0, 0];
  for (const space of spaces) {
    const row = await context.meta.get('spaces', [space.space]);
    logical += row?.liveBytes ?? 0;
    history += row?.historyBytes ?? 0;
    for await (const node of nodesOf(context, space)) {
      if (node.kind === NODE_KIND.file) files++;
      else if (node.kind === NODE_KIND.symlink) symlinks++;
      else if (node.kind !== NODE_KIND.folder) specials++;
      // The root is a folder that nobody made.
      else if (node.node !== space.root) folders++;
    }
  }
  const chunks = await context.chunks.stats();
  const metadata = await context.meta.sizeBytes();
  const disk = chunks.packBytes + metadata;
  return {
    files,
    folders,
    symlinks,
    specials,
    logical_bytes: logical,
    history_bytes: history,
    unique_bytes: chunks.uniqueBytes,
    stored_bytes: chunks.storedBytes,
    pack_bytes: chunks.packBytes,
    metadata_bytes: metadata,
    disk_bytes: disk,
    chunks: chunks.chunks,
    packs: chunks.packs,
    packs_suspect: chunks.suspectPacks,
    ...(chunks.oldestVerifiedSeconds === undefined
      ? {}
      : { verified_since: isoOfMoment({ seconds: chunks.oldestVerifiedSeconds, nanoseconds: 0 }) }),
    dedup_ratio: ratio(logical + history, chunks.uniqueBytes),
    compression_ratio: ratio(chunks.uniqueBytes, chunks.storedBytes),
    total_ratio: ratio(logical + history, disk),
  };
}

function ratio(above: number, below: number): number {
  return below === 0 || above === 0 ? 1 : above / below;
}

/** Reads and verifies everything, or a share of the chunks, and says which files each damage touches. */
export async function check(context: Context, spaces: readonly Space[], options: CheckOptions): Promise<CheckReport> {
  const { signal } = options;
  const rebuilt = options.rebuildIndex === true ? await context.chunks.rebuildIndex({ signal }) : undefined;
  const report = new Report();
  for await (const problem of context.meta.check(signal === undefined ? {} : { signal })) {
    report.add({
      code: `metadata-${problem.table === 'engine' ? 'damaged' : 'row-damaged'}`,
      error: problem.sentence,
      files: [],
    });
  }
  const damages: ChunkDamage[] = [];
  const verified = await context.chunks.verify({
    sample: options.sample,
    onDamage: (damage) => {
      if (damages.length < PROBLEMS_NAMED_MAX) damages.push(damage);
      else report.more++;
    },
    onProgress: options.onProgress,
    signal,
  });
  let files = 0;
  const users = new Users(damages);
  for (const space of spaces) files += await checkSpace(context, space, report, users, signal);
  for (const damage of damages) {
    const named = users.of(damage);
    report.add({
      code: damage.code,
      error: damage.sentence,
      ...(damage.chunks[0] === undefined ? {} : { chunk: hexOf(damage.chunks[0]) }),
      ...(damage.pack === undefined ? {} : { pack: damage.pack }),
      ...(damage.object === undefined ? {} : { object: damage.object }),
      ...named,
    });
  }
  return {
    chunks_verified: verified.chunksVerified,
    bytes_verified: verified.bytesVerified,
    packs_verified: verified.packsVerified,
    files_verified: files,
    orphan_bytes: verified.orphanBytes,
    problems: report.problems,
    problems_more: report.more,
    is_clean: report.problems.length === 0 && report.more === 0,
    ...(rebuilt === undefined ? {} : { rebuilt_chunks: rebuilt }),
  };
}

export class Report {
  readonly problems: CheckProblem[] = [];
  more = 0;

  add(problem: CheckProblem): void {
    if (this.problems.length < PROBLEMS_NAMED_MAX) this.problems.push(problem);
    else this.more++;
  }
}

/** Which files need which damaged chunks. */
export class Users {
  readonly #paths = new Map<string, Set<string>>();

  constructor(damages: readonly ChunkDamage[]) {
    for (const id of damages.flatMap(({ chunks }) => chunks)) this.#paths.set(hexOf(id), new Set());
  }

  get isEmpty(): boolean {
    return this.#paths.size === 0;
  }

  needs(extent: ExtentRow): string | undefined {
    const id = extent.chunk === null ? undefined : hexOf(extent.chunk);
    return id !== undefined && this.#paths.has(id) ? id : undefined;
  }

  add(id: string, path: string): void {
    this.#paths.get(id)?.add(path);
  }

  of(damage: ChunkDamage): { readonly files: string[]; readonly files_more?: number } {
    const all = new Set(damage.chunks.flatMap((id) => [...(this.#paths.get(hexOf(id)) ?? [])]));
    const files = [...all].sort().slice(0, FILES_NAMED_MAX);
    return all.size > files.length ? { files, files_more: all.size - files.length } : { files };
  }
}

/** Every file's content must be there and cover it, inline bytes must be whole; answers how many files were looked at. */
export async function checkSpace(
  context: Context,
  space: Space,
  report: Report,
  users: Users,
  signal?: AbortSignal,
): Promise<number> {
  const wrong = new Map<ContentId, Set<string>>();
  for await (const extents of contentsOf(context, space)) {
    if (signal?.aborted) throw Fault.aborted(signal, 'Checking the store');
    const found = await checkContent(context, space, extents, users);
    const content = extents[0]?.content ?? 0;
    if (found.size > 0) wrong.set(content, new Set([...(wrong.get(content) ?? []), ...found]));
  }
  let files = 0;
  for await (const node of nodesOf(context, space)) {
    if (node.kind !== NODE_KIND.file || node.content === null) continue;
    files++;
    const content = await context.meta.get('contents', [space.space, node.content]);
    const isMissing = content === undefined || content.size !== node.size;
    const problems = wrong.get(node.content);
    if (!isMissing && problems === undefined) continue;
    const names = await pathOfNode(context, space, node.node);
    const path = names === undefined ? `(unreachable file ${node.node})` : textOfPath(names);
    if (isMissing)
      report.add({
        code: 'content-missing',
        error: `The content of ${path} is missing or has another size.`,
        files: [path],
      });
    nameProblems(report, users, problems, path);
  }
  for await (const version of versionsOf(context, space)) {
    const problems = wrong.get(version.content);
    if (problems === undefined) continue;
    const names = await pathOfNode(context, space, version.node);
    nameProblems(
      report,
      users,
      problems,
      `${names === undefined ? `(removed file ${version.node})` : textOfPath(names)}@${version.version}`,
    );
  }
  return files;
}

function nameProblems(report: Report, users: Users, problems: ReadonlySet<string> | undefined, path: string): void {
  for (const problem of problems ?? []) {
    if (problem.startsWith('chunk:')) users.add(problem.slice(6), path);
    else report.add({ code: 'content-damaged', error: `${path}: ${problem}`, files: [path] });
  }
}

/** What is wrong with one content: sentences, or `chunk:ID` for a chunk that is damaged. */
async function checkContent(
  context: Context,
  space: Space,
  extents: readonly ExtentRow[],
  users: Users,
): Promise<Set<string>> {
  const found = new Set<string>();
  let end = 0;
  for (const extent of extents) {
    if (extent.offset < end) found.add(`two extents overlap at byte ${extent.offset}.`);
    end = extent.offset + extent.length;
    const damaged = users.needs(extent);
    if (damaged !== undefined) found.add(`chunk:${damaged}`);
    if (extent.kind === EXTENT_KIND.inline) checkInline(context, extent, found);
    else if (extent.chunk !== null && (await context.meta.get('chunks', [space.realm, extent.chunk])) === undefined) {
      found.add(
        `the chunk ${hexOf(extent.chunk)} at byte ${extent.offset} is not in the chunk index; \`holdfast check --rebuild-index\` may bring it back.`,
      );
    }
  }
  const content = await context.meta.get('contents', [space.space, extents[0]?.content ?? 0]);
  // A content that is being built has no size yet.
  if (content !== undefined && content.hash !== null && end > content.size)
    found.add(`its extents end at byte ${end}, behind its size of ${content.size}.`);
  return found;
}

function checkInline(context: Context, extent: ExtentRow, found: Set<string>): void {
  try {
    const plain = context.chunks.readInline(extent.data ?? new Uint8Array());
    if (plain.length < extent.chunkOffset + extent.length) found.add(`the bytes kept in its metadata are too short.`);
  } catch (error) {
    if (!Fault.is(error)) throw error;
    found.add(`the bytes kept in its metadata are damaged: ${error.message}`);
  }
}

/** All extents of a space, one content at a time; a very large content in pieces, so that memory stays bounded. */
async function* contentsOf(context: Context, space: Space): AsyncGenerator<readonly ExtentRow[]> {
  let run: ExtentRow[] = [];
  for await (const extent of rowsOf(context, 'extents', [space.space], ({ content, offset }) => [content, offset])) {
    if (run.length > 0 && (run[0]?.content !== extent.content || run.length >= PAGE_ROWS)) {
      yield run;
      run = [];
    }
    run.push(extent);
  }
  if (run.length > 0) yield run;
}

function nodesOf(context: Context, space: Space): AsyncGenerator<NodeRow> {
  return rowsOf(context, 'nodes', [space.space], ({ node }) => [node]);
}

function versionsOf(context: Context, space: Space): AsyncGenerator<VersionRow> {
  return rowsOf(context, 'versions', [space.space], ({ node, version }) => [node, version]);
}
