/**
 * The metadata of a simulated store brought back from its objects alone, in the order in which
 * src/server/rebuild-metadata.ts does it: the rows of the last whole checkpoint, the packs as they are, every count
 * anew, and all of that as a checkpoint.
 */
import { seededRandom, silentLog } from '../../src/base/index.ts';
import { openChunkStore } from '../../src/chunks/index.ts';
import { Checkpoints, findCheckpoint, loadCheckpoint, MemoryMeta } from '../../src/meta/index.ts';
import type { RowWrite } from '../../src/meta/rows/row-source.ts';
import { type Key, keyOf, type Row, TABLE_NAMES, table } from '../../src/meta/rows/tables.ts';
import { DiskObjects, type SeededDisk } from '../../src/objects/index.ts';
import { META_FOLDER, OBJECTS_FOLDER } from '../../src/server/store-folder.ts';
import { Wrong } from './drive.ts';
import { type BootOptions, CHUNK_OPTIONS, chunkFormatOf, DELTA_BYTES_MIN, identityOf, openMeta } from './world.ts';

const PAGE_ROWS = 1_000;

/** Nothing else has the disk open. @throws Wrong when no checkpoint is whole. */
export async function loseAndRebuild(disk: SeededDisk, options: BootOptions): Promise<void> {
  const { clock, engine, seed } = options;
  const random = seededRandom(seed);
  for (const name of disk.listSync(META_FOLDER)) disk.removeSync(`${META_FOLDER}/${name}`);
  const { format, secret } = await identityOf(disk, options, random);
  await using objects = await DiskObjects.open(disk, { folder: OBJECTS_FOLDER });
  const chain = await findCheckpoint(objects, format.storeId);
  if (chain === undefined) throw new Wrong('no checkpoint is whole');
  await using made = await openMeta(disk, options, random);
  // A count anew is durable in SQLite alone: for the other engine it is done before anything is written.
  await using meta = engine === 'journal' ? new MemoryMeta({ synchronousReads: true }) : made;
  await loadCheckpoint(objects, chain, meta);
  await using chunks = await openChunkStore({
    ...{ meta, objects, secret, clock, random },
    format: chunkFormatOf(format),
    log: silentLog,
    options: CHUNK_OPTIONS,
  });
  await chunks.adoptPacks();
  await meta.recount(clock.now());
  if (meta instanceof MemoryMeta) await made.write(everyRow(meta));
  const checkpoints = new Checkpoints({
    ...{ meta: made, objects, clock, random, log: silentLog },
    storeId: format.storeId,
    deltaBytesMin: DELTA_BYTES_MIN,
  });
  await checkpoints.make({ isHurried: true });
}

function* everyRow({ rows }: MemoryMeta): Generator<RowWrite> {
  for (const name of TABLE_NAMES) {
    const of = table(name);
    for (let after: Key | undefined; ; ) {
      const page: readonly Row[] = rows.scan(name, { prefix: [], limit: PAGE_ROWS, ...(after && { after }) });
      for (const row of page) yield { table: name, key: keyOf(of, row), row, isNew: true };
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE_ROWS) break;
      after = keyOf(of, last);
    }
  }
}
