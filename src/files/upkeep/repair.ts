/**
 * Repair: what a check finds damaged or missing is looked for in a second copy, and stored anew where the copy has it
 * (chunks/repair.ts says what counts as having it). The report names the files that are whole again, and those that are
 * not.
 */
import type { RepairOptions, RepairReport } from '../../api/index.ts';
import { Fault, hexOf } from '../../base/index.ts';
import type { ChunkDamage } from '../../chunks/index.ts';
import type { ChunkId } from '../../meta/index.ts';
import type { Caller, Context, SecondCopy, Space } from '../context.ts';
import { checkSpace, FILES_NAMED_MAX, PROBLEMS_NAMED_MAX, Report, Users } from './report.ts';

/** Doors whose callers are on this machine, as whoever may read the store. */
const DOORS_AT_HOME: readonly string[] = ['cli', 'control', 'test'];

export async function repair(
  context: Context,
  spaces: readonly Space[],
  caller: Caller,
  wishes: RepairOptions,
): Promise<RepairReport> {
  const copy = await copyOf(context, caller, wishes.from);
  const isDryRun = wishes.dryRun === true;
  const damages = await damagesOf(context, wishes);
  const wanted = new Map(damages.flatMap(({ chunks }) => chunks.map((id) => [hexOf(id), id] as const)));
  const healed = new Set(await healAll(context, wanted, copy, wishes));
  const users = new Users(damages);
  for (const space of spaces) await checkSpace(context, space, new Report(), users, wishes.signal);
  const left = damages.flatMap((damage): ChunkDamage[] => {
    const chunks = damage.chunks.filter((id) => !healed.has(hexOf(id)));
    return damage.chunks.length > 0 && chunks.length === 0 ? [] : [{ ...damage, chunks }];
  });
  const ofHealed = [...wanted.values()].filter((id) => healed.has(hexOf(id)));
  const { files, files_more: more = 0 } = users.of({ code: 'chunk-damaged', sentence: '', chunks: ofHealed });
  return {
    dry_run: isDryRun,
    source: copy.source,
    damaged_chunks: wanted.size,
    repaired_chunks: healed.size,
    repaired_files: [...files],
    repaired_files_more: more,
    problems: left.slice(0, PROBLEMS_NAMED_MAX).map((damage) => problemOf(damage, users)),
    problems_more: Math.max(0, left.length - PROBLEMS_NAMED_MAX),
  };
}

async function copyOf(context: Context, caller: Caller, from: string): Promise<SecondCopy> {
  if (!DOORS_AT_HOME.includes(caller.door)) {
    const sentence =
      'A repair reads a folder of the machine of the store, so only who is on that machine may ask for it: run `holdfast repair` there with --store.';
    throw new Fault('denied', sentence, { door: caller.door });
  }
  if (context.secondCopyOf === undefined)
    throw new Fault('unsupported', 'This store cannot read a second copy from a disk.', { from });
  return await context.secondCopyOf(from);
}

async function damagesOf(context: Context, { signal, onProgress }: RepairOptions): Promise<readonly ChunkDamage[]> {
  const damages: ChunkDamage[] = [];
  await context.chunks.verify({
    onDamage: (damage) => void damages.push(damage),
    onProgress: (done, total) => onProgress?.(done, total, 'check'),
    signal,
  });
  return damages;
}

async function healAll(
  context: Context,
  wanted: ReadonlyMap<string, ChunkId>,
  copy: SecondCopy,
  { dryRun, onProgress, signal }: RepairOptions,
): Promise<readonly string[]> {
  if (wanted.size === 0) return [];
  if (signal?.aborted) throw Fault.aborted(signal, 'Repairing the store');
  const found = await context.chunks.repair({
    wanted: [...wanted.values()],
    candidates: copy.candidates(
      (id) => wanted.has(hexOf(id)),
      (done, total) => onProgress?.(done, total, 'search'),
    ),
    isDryRun: dryRun === true,
    signal,
  });
  return found.map(hexOf);
}

function problemOf(damage: ChunkDamage, users: Users): RepairReport['problems'][number] {
  const { files, files_more = 0 } = users.of(damage);
  return { code: damage.code, error: damage.sentence, files: files.slice(0, FILES_NAMED_MAX), files_more };
}
