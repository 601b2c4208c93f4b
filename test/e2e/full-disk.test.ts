/** A full disk is no trap: on a small tmpfs a store is filled until it takes nothing more, then removed from, collected and written to again. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/index.ts';
import { mountTmpfs } from './ext4.ts';
import { KEEP_NOTHING } from './gc-rounds.ts';
import { holdfast, type Ran, temporaryFolder } from './holdfast.ts';

const MEBIBYTES = 192;
const FILE_BYTES = 3_000_000;

test('a store on a full disk gives bytes back and takes new ones', { timeout: 240_000 }, async (context) => {
  if (process.getuid?.() !== 0) return context.skip('only root may mount a tmpfs');
  using folder = temporaryFolder();
  using disk = mountTmpfs(MEBIBYTES);
  const store = join(disk.path, 'store');
  const environment = { ...KEEP_NOTHING, HOLDFAST_CHUNKS_PACK_SIZE: '16MiB' };
  const at = (...words: readonly string[]): Promise<Ran> => holdfast([...words, '--store', store], { environment });
  const ok = async (...words: readonly string[]): Promise<void> => {
    const ran = await at(...words);
    assert.equal(ran.code, 0, `${words.join(' ')}: ${ran.stderr}${ran.stdout}`);
  };
  await ok('init');
  const random = seededRandom(4);
  const from = join(folder.path, 'in');
  mkdirSync(from);
  for (let number = 0; number < 64; number++) writeFileSync(join(from, `f${number}`), random.bytes(FILE_BYTES));
  const refused = await at('put', from, '/d');
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr + refused.stdout, /full/);
  const listed = (await at('ls', '--json', '/d')).stdout.toString();
  const names = [...listed.matchAll(/"name":"(f\d+)"/g)].map((match) => match[1] ?? '');
  assert.ok(names.length > 40 && names.length < 58, `${names.length} files fit`);
  // Small ones fit into rows of the metadata: refused as well, before the room for removing is used up.
  const small = join(folder.path, 'small');
  mkdirSync(small);
  for (let number = 0; number < 2_000; number++) writeFileSync(join(small, `s${number}`), random.bytes(3_900));
  assert.notEqual((await at('put', small, '/small')).code, 0);
  const gone = names.filter((_, number) => number % 2 === 0).map((name) => `/d/${name}`);
  await ok('rm', ...gone);
  await ok('gc', '--grace', '0s');
  await ok('put', join(from, 'f63'), '/again');
  await ok('check');
  await ok('get', '/again', join(folder.path, 'out'));
  assert.ok(readFileSync(join(folder.path, 'out')).equals(readFileSync(join(from, 'f63'))));
});
