/** Objects in memory: the contract with and without append, and what a simulated crash leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/index.ts';
import { assertBytes, bytesOf, objectStoreContract } from './contract.ts';
import { MemoryObjects } from './memory-objects.ts';

objectStoreContract('memory', async () => new MemoryObjects());
objectStoreContract('memory without append', async () => new MemoryObjects({ append: false }));

test('memory loses only what no sync covers when it crashes', async () => {
  const lengths = new Set<number | undefined>();
  for (let seed = 0; seed < 40; seed++) {
    await using store = new MemoryObjects();
    await store.put('put', bytesOf(500, 1));
    const synced = await store.append('synced', 0);
    await synced.append([bytesOf(700, 2)]);
    await synced.sync();
    await synced.append([bytesOf(900, 3)]);
    await synced.close();
    const never = await store.append('never', 0);
    await never.append([bytesOf(300, 4)]);
    await never.close();
    store.loseUnsynced(seededRandom(seed));
    assertBytes(await store.get('put'), bytesOf(500, 1));
    assertBytes(await store.get('synced', { offset: 0, length: 700 }), bytesOf(700, 2));
    lengths.add((await store.head('never'))?.lengthBytes);
  }
  assert.ok(lengths.has(undefined) && lengths.size > 5);
});
