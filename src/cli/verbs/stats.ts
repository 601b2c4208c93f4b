/** `stats`: how much is stored, and what becomes of it on the way to the disk. */
import type { StoreStats } from '../../api/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { inTable, shownBytes, shownCount } from '../saying/display.ts';

export async function run(_given: unknown, context: Context): Promise<ExitCode> {
  const service = await context.reach();
  const stats = await service.stats({ signal: context.signal });
  await context.say.record(stats);
  for (const line of inTable(rowsOf(stats), new Set([1, 2]))) await context.say.line(line);
  return EXIT.ok;
}

function rowsOf(stats: StoreStats): string[][] {
  const bytes = (name: string, count: number, note: string): string[] => [
    name,
    shownBytes(count),
    shownCount(count),
    note,
  ];
  const ratio = (value: number): string => `${value.toFixed(2)} : 1`;
  return [
    ['files', shownCount(stats.files), '', ''],
    ['folders', shownCount(stats.folders), '', ''],
    ['symlinks', shownCount(stats.symlinks), '', ''],
    ...(stats.specials > 0 ? [['specials', shownCount(stats.specials), '', 'FIFOs, sockets, devices']] : []),
    bytes('logical', stats.logical_bytes, 'all files as they are'),
    bytes('history', stats.history_bytes, 'kept older versions'),
    bytes('deduplicated', stats.unique_bytes, 'each chunk counted once'),
    bytes('compressed', stats.stored_bytes, 'as records in packs'),
    bytes('packs', stats.pack_bytes, 'on disk, unused records included'),
    bytes('metadata', stats.metadata_bytes, ''),
    bytes('on disk', stats.disk_bytes, 'packs and metadata'),
    ['chunks', shownCount(stats.chunks), '', ''],
    ['packs', shownCount(stats.packs), '', ''],
    ...(stats.packs_suspect > 0
      ? [['damaged packs', shownCount(stats.packs_suspect), '', '`holdfast check` says which files need them']]
      : []),
    ...(stats.verified_since === undefined ? [] : [['verified', '', '', `all since ${stats.verified_since}`]]),
    ['deduplication', ratio(stats.dedup_ratio), '', ''],
    ['compression', ratio(stats.compression_ratio), '', ''],
    ['in all', ratio(stats.total_ratio), '', ''],
  ];
}
