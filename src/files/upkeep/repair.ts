/**
 * Repair: what a check finds damaged or missing is looked for in a second copy, and stored anew where the copy has it
 * (chunks/repair.ts says what counts as having it). The report names the files that are whole again, and those that are
 * not.
 */
import { Fault, hexOf } from '../../base/index.ts';
import type { ChunkDamage, RepairCandidate } from '../../chunks/index.ts';
import type { ChunkId } from '../../meta/index.ts';
import type { Context, Space } from '../context.ts';
import { checkSpace, FILES_NAMED_MAX, PROBLEMS_NAMED_MAX, Report, Users } from './report.ts';

export interface RepairWishes {
  /** Where to look; `isWanted` says whether a chunk with that id of this store is. */
  readonly candidates: (isWanted: (id: ChunkId) => boolean) => AsyncIterable<RepairCandidate>;
  readonly isDryRun: boolean;
  readonly signal?: AbortSignal | undefined;
  /** While the store is read to find damage, in bytes. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface RepairProblem {
  readonly code: string;
  readonly error: string;
  /** Files that need what is damaged; at most FILES_NAMED_MAX. */
  readonly files: readonly string[];
  readonly filesMore: number;
}

export interface RepairReport {
  readonly damagedChunks: number;
  /** Whole again; in a dry run, that would be. */
  readonly repairedChunks: number;
  readonly repairedFiles: readonly string[];
  readonly repairedFilesMore: number;
  /** What is damaged still. */
  readonly problems: readonly RepairProblem[];
  readonly problemsMore: number;
}

export async function repair(context: Context, spaces: readonly Space[], wishes: RepairWishes): Promise<RepairReport> {
  const damages = await damagesOf(context, wishes);
  const wanted = new Map(damages.flatMap(({ chunks }) => chunks.map((id) => [hexOf(id), id] as const)));
  const healed = new Set(await healAll(context, wanted, wishes));
  const users = new Users(damages);
  for (const space of spaces) await checkSpace(context, space, new Report(), users, wishes.signal);
  const left = damages.flatMap((damage): ChunkDamage[] => {
    const chunks = damage.chunks.filter((id) => !healed.has(hexOf(id)));
    return damage.chunks.length > 0 && chunks.length === 0 ? [] : [{ ...damage, chunks }];
  });
  const ofHealed = [...wanted.values()].filter((id) => healed.has(hexOf(id)));
  const { files, files_more: more = 0 } = users.of({ code: 'chunk-damaged', sentence: '', chunks: ofHealed });
  return {
    damagedChunks: wanted.size,
    repairedChunks: healed.size,
    repairedFiles: files,
    repairedFilesMore: more,
    problems: left.slice(0, PROBLEMS_NAMED_MAX).map((damage) => problemOf(damage, users)),
    problemsMore: Math.max(0, left.length - PROBLEMS_NAMED_MAX),
  };
}

async function damagesOf(context: Context, { signal, onProgress }: RepairWishes): Promise<readonly ChunkDamage[]> {
  const damages: ChunkDamage[] = [];
  await context.chunks.verify({ onDamage: (damage) => void damages.push(damage), onProgress, signal });
  return damages;
}

async function healAll(
  context: Context,
  wanted: ReadonlyMap<string, ChunkId>,
  { candidates, isDryRun, signal }: RepairWishes,
): Promise<readonly string[]> {
  if (wanted.size === 0) return [];
  if (signal?.aborted) throw Fault.aborted(signal, 'Repairing the store');
  const found = await context.chunks.repair({
    wanted: [...wanted.values()],
    candidates: candidates((id) => wanted.has(hexOf(id))),
    isDryRun,
    signal,
  });
  return found.map(hexOf);
}

function problemOf(damage: ChunkDamage, users: Users): RepairProblem {
  const { files, files_more: filesMore = 0 } = users.of(damage);
  return { code: damage.code, error: damage.sentence, files: files.slice(0, FILES_NAMED_MAX), filesMore };
}
