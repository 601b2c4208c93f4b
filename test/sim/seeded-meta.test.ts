/**
 * The SQLite engine of metadata keeps its contract on the seeded disk too: what the simulation cuts off is the engine
 * that a store runs on, word for word.
 */
import { ManualClock, seededRandom } from '../../src/base/index.ts';
import { testMetaStore } from '../../src/meta/contract/contract.ts';
import { openSqliteMeta } from '../../src/meta/index.ts';
import { SeededDisk } from '../../src/objects/index.ts';
import { openSeededSqlite } from './seeded-sqlite.ts';

testMetaStore('SQLite metadata on a seeded disk', async () => {
  const disk = new SeededDisk({ seed: 1 });
  return openSqliteMeta(await openSeededSqlite('db', { disk, clock: new ManualClock(), random: seededRandom(1) }));
});
