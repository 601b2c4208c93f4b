/** The error of a damaged file names the others that share the damage, within a bound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import { Fault, seededRandom } from '../../base/index.ts';
import { SHARERS_NAMED_MAX } from './sharers.ts';

async function damagedStand(copies: number, more: { readonly oldVersion?: boolean } = {}): Promise<Stand> {
  const stand = await openStand();
  const bytes = seededRandom(5).bytes(60_000);
  await stand.service.write('/a', [bytes], { mode: 'put' });
  await stand.service.write('/other', [seededRandom(6).bytes(60_000)], { mode: 'put' });
  for (let number = 1; number <= copies; number++)
    await stand.service.write(`/copy${number}`, [bytes], { mode: 'put' });
  if (more.oldVersion === true) {
    await stand.service.write('/old', [bytes], { mode: 'put' });
    await stand.service.write('/old', [Buffer.from('new')], { mode: 'put' });
  }
  const [pack] = await stand.meta.scan('packs', { prefix: [1], limit: 1 });
  const whole = Buffer.from(await stand.objects.get(pack?.object ?? ''));
  whole[400] = (whole[400] ?? 0) ^ 1;
  await stand.objects.delete(pack?.object ?? '');
  await stand.objects.put(pack?.object ?? '', whole);
  return stand;
}

async function faultOf(stand: Stand, path: string): Promise<Fault> {
  try {
    await bytesOf((await stand.service.read({ path })).bytes);
  } catch (error) {
    assert.ok(Fault.is(error, 'corrupt'), String(error));
    return error;
  }
  throw new Error('It was read.');
}

test('the error of a damaged file names the files that share the damaged chunk, and no others', async () => {
  await using stand = await damagedStand(2);
  const fault = await faultOf(stand, '/copy1');
  assert.deepEqual(fault.about.files, ['/copy1', '/a', '/copy2']);
  assert.equal(fault.about.files_more, undefined);
  assert.match(
    fault.message,
    /shared by \/a, \/copy2\. Put the file again \(`holdfast put --again`\), or run `holdfast repair --from COPY`\.$/,
  );
});

test('of many files that share a damaged chunk the first are named and the rest is counted', async () => {
  await using stand = await damagedStand(30);
  const fault = await faultOf(stand, '/a');
  assert.equal((fault.about.files as unknown[]).length, SHARERS_NAMED_MAX);
  assert.equal(fault.about.files_more, 31 - SHARERS_NAMED_MAX);
  assert.match(fault.message, /and 25 more files\. Put the file again /);
});

test('a damage that nobody shares is said as such, and one that kept versions share sends to the check', async () => {
  await using alone = await damagedStand(0);
  assert.match((await faultOf(alone, '/a')).message, /No other file shares what is damaged/);
  await using kept = await damagedStand(1, { oldVersion: true });
  assert.match((await faultOf(kept, '/a')).message, /shared by \/copy1, and possibly more: `holdfast check`/);
});

test('many readers of one damaged file look for its sharers once', async () => {
  await using stand = await damagedStand(1);
  let scans = 0;
  const scan = stand.meta.scan.bind(stand.meta);
  stand.meta.scan = ((name: never, range: never) => {
    if (name === 'nodes') scans++;
    return scan(name, range);
  }) as typeof stand.meta.scan;
  await Promise.all(Array.from({ length: 20 }, () => faultOf(stand, '/a')));
  assert.equal(scans, 1);
});
