/** The seeded disk: the contract of every disk, and what power cuts, failures and bounds do to it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Fault, utf8 } from '../base/index.ts';
import { assertBytes, assertFault, bytesOf } from './contract.ts';
import { diskContract } from './disk-contract.ts';
import { PowerCut, SeededDisk } from './seeded-disk.ts';

const SEEDS = Array.from({ length: 60 }, (_, index) => index + 1);

diskContract('seeded', async () => new SeededDisk({ seed: 1 }));

/** What a file holds; `undefined` when it is absent. */
function textOf(disk: SeededDisk, path: string): string | undefined {
  if (disk.statSync(path) === undefined) return undefined;
  const file = disk.openSync(path, 'read');
  const into = new Uint8Array(file.sizeBytesSync());
  file.readSync(into, 0);
  return new TextDecoder().decode(into);
}

/** Every state in which 60 crashes leave the disk, as read by `look`. */
function outcomes<T>(disk: SeededDisk, look: (after: SeededDisk) => T): Set<T> {
  return new Set(SEEDS.map((seed) => look(disk.crash(seed))));
}

function written(disk: SeededDisk, path: string, text: string): void {
  const file = disk.openSync(path, 'create');
  file.writeSync([utf8(text)], 0);
  file.closeSync();
}

describe('seeded disk after a crash', () => {
  test('file is all there when bytes and name were synced', () => {
    const disk = new SeededDisk({ seed: 1 });
    const file = disk.openSync('f', 'create');
    file.writeSync([utf8('abc')], 0);
    file.syncSync();
    disk.syncFolderSync('');
    assert.deepEqual(
      outcomes(disk, (after) => textOf(after, 'f')),
      new Set(['abc']),
    );
  });

  test('file may be absent, empty or whole when only its bytes or only its name were synced', () => {
    const disk = new SeededDisk({ seed: 1 });
    const file = disk.openSync('bytes', 'create');
    file.writeSync([utf8('abc')], 0);
    file.syncSync();
    assert.deepEqual(
      outcomes(disk, (after) => textOf(after, 'bytes')),
      new Set([undefined, 'abc']),
    );
    written(disk, 'name', 'abc');
    disk.syncFolderSync('');
    const found = outcomes(disk, (after) => textOf(after, 'name'));
    assert.ok(found.has('') && found.has('abc') && !found.has(undefined));
  });

  test('rename of a file that was not synced can leave it empty', () => {
    const disk = new SeededDisk({ seed: 1 });
    written(disk, 'temp', 'abc');
    disk.renameSync('temp', 'f');
    disk.syncFolderSync('');
    assert.ok(outcomes(disk, (after) => textOf(after, 'f')).has(''));
    assert.deepEqual(
      outcomes(disk, (after) => after.listSync('').join()),
      new Set(['f']),
    );
  });

  test('rename happened or not, never half, also between folders', () => {
    const disk = new SeededDisk({ seed: 1 });
    for (const folder of ['a', 'b']) disk.makeFolderSync(folder);
    written(disk, 'a/f', 'new');
    written(disk, 'b/f', 'old');
    for (const folder of ['', 'a', 'b']) disk.syncFolderSync(folder);
    disk.renameSync('a/f', 'b/f');
    const states = outcomes(disk, (after) => `${after.listSync('a')}|${after.listSync('b')}`);
    assert.deepEqual(states, new Set(['f|f', '|f']));
    disk.syncFolderSync('b');
    assert.deepEqual(
      outcomes(disk, (after) => `${after.listSync('a')}|${after.listSync('b')}`),
      new Set(['|f']),
    );
  });

  test('chain of renames leaves exactly one name', () => {
    const disk = new SeededDisk({ seed: 1 });
    written(disk, '0', 'x');
    disk.syncFolderSync('');
    for (let step = 0; step < 4; step++) disk.renameSync(`${step}`, `${step + 1}`);
    const states = outcomes(disk, (after) => after.listSync('').join());
    assert.deepEqual(states, new Set(['0', '1', '2', '3', '4']));
  });

  test('removed name may come back until its folder is synced', () => {
    const disk = new SeededDisk({ seed: 1 });
    written(disk, 'f', 'x');
    disk.syncFolderSync('');
    disk.removeSync('f');
    assert.equal(outcomes(disk, (after) => after.statSync('f') === undefined).size, 2);
    disk.syncFolderSync('');
    assert.deepEqual(
      outcomes(disk, (after) => after.statSync('f')),
      new Set([undefined]),
    );
  });

  test('synced file is lost with a folder whose own name was not synced', () => {
    const disk = new SeededDisk({ seed: 1 });
    disk.makeFolderSync('folder');
    written(disk, 'folder/f', '');
    disk.syncFolderSync('folder');
    assert.equal(outcomes(disk, (after) => after.statSync('folder/f') === undefined).size, 2);
  });

  test('unsynced writes are torn by sectors and never reach synced bytes around them', () => {
    const disk = new SeededDisk({ seed: 1 });
    const file = disk.openSync('f', 'create');
    file.writeSync([new Uint8Array(4_000).fill(1)], 0);
    file.syncSync();
    disk.syncFolderSync('');
    file.writeSync([new Uint8Array(2_000).fill(2)], 700);
    let tornCount = 0;
    for (const seed of SEEDS) {
      const after = disk.crash(seed).openSync('f', 'read');
      const bytes = new Uint8Array(5_000);
      assert.equal(after.readSync(bytes, 0), 4_000);
      assert.ok(bytes.subarray(0, 700).every((byte) => byte === 1));
      assert.ok(bytes.subarray(2_700, 4_000).every((byte) => byte === 1));
      const sectors = [700, 1_024, 1_536, 2_048, 2_560].map((start, index, starts) => {
        const kinds = new Set(bytes.subarray(start, starts[index + 1] ?? 2_700));
        assert.equal(kinds.size, 1);
        return [...kinds][0];
      });
      if (new Set(sectors).size > 1) tornCount++;
    }
    assert.ok(tornCount > 0);
  });

  test('outcome is the same for the same seed, and the disk itself goes on unharmed', () => {
    const disk = new SeededDisk({ seed: 1 });
    for (let index = 0; index < 20; index++) written(disk, `f${index}`, 'x'.repeat(100 * index));
    const look = (after: SeededDisk): string =>
      after
        .listSync('')
        .map((name) => textOf(after, name))
        .join();
    assert.equal(look(disk.crash(5)), look(disk.crash(5)));
    assert.equal(disk.listSync('').length, 20);
    const after = disk.crash(5);
    assert.deepEqual(outcomes(after, look), new Set([look(after)]));
  });
});

describe('seeded disk', () => {
  test('clone goes its own way, what is not synced included', () => {
    const disk = new SeededDisk({ seed: 1 });
    written(disk, 'f', 'abc');
    const copy = disk.clone(9);
    disk.removeSync('f');
    disk.syncFolderSync('');
    assert.equal(textOf(copy, 'f'), 'abc');
    assert.ok(outcomes(copy, (after) => textOf(after, 'f')).has(undefined));
    assert.ok(outcomes(copy, (after) => textOf(after, 'f')).has('abc'));
  });

  test('clone and original do not see what is written to the other', async () => {
    const disk = new SeededDisk({ seed: 1 });
    written(disk, 'f', 'abc');
    const copy = disk.clone(9);
    const [ours, theirs] = [disk.openSync('f', 'write'), copy.openSync('f', 'write')];
    ours.writeSync([utf8('X')], 0);
    theirs.writeSync([utf8('Y')], 2);
    theirs.truncateSync(5);
    assert.equal(textOf(disk, 'f'), 'Xbc');
    assert.equal(textOf(copy, 'f'), 'abY\0\0');
    ours.syncSync();
    ours.truncateSync(1);
    assert.ok(outcomes(disk, (after) => textOf(after, 'f')).has('Xbc'));
  });

  test('power is cut in the chosen call and stays off', async () => {
    const disk = new SeededDisk({ seed: 1 });
    const file = disk.openSync('f', 'create');
    file.writeSync([utf8('a')], 0);
    assert.equal(disk.mutationCount, 2);
    disk.crashAt(2);
    file.writeSync([utf8('b')], 1);
    assert.throws(() => file.syncSync(), PowerCut);
    assert.equal(disk.isCut, true);
    assert.throws(() => file.readSync(new Uint8Array(1), 0), PowerCut);
    assert.throws(() => disk.listSync(''), PowerCut);
    await assert.rejects(disk.stat('f'), PowerCut);
    file.closeSync();
    const after = disk.crash(1);
    assert.equal(after.isCut, false);
    after.makeFolderSync('works');
  });

  test('call that the power cut interrupts may be found or not', () => {
    const disk = new SeededDisk({ seed: 1 });
    disk.crashAt(1);
    assert.throws(() => disk.makeFolderSync('a'), PowerCut);
    assert.equal(outcomes(disk, (after) => after.listSync('').length).size, 2);
  });

  test('failing call answers its fault once; a failed sync loses bytes that later syncs do not save', () => {
    const lost = SEEDS.filter((seed) => {
      const disk = new SeededDisk({ seed });
      const file = disk.openSync('f', 'create');
      disk.syncFolderSync('');
      file.writeSync([utf8('abc')], 0);
      disk.failAt(1, 'io');
      assert.throws(
        () => file.syncSync(),
        (error) => Fault.is(error, 'io'),
      );
      file.syncSync();
      assert.equal(textOf(disk, 'f'), 'abc');
      return textOf(disk.crash(seed), 'f') !== 'abc';
    });
    assert.ok(lost.length > 0 && lost.length < SEEDS.length);
  });

  test('write beyond the byte bound is cut short and says full', async () => {
    const disk = new SeededDisk({ seed: 1, bytesMax: 1_000 });
    await using file = await disk.open('f', 'create');
    await file.write([bytesOf(900, 1)], 0);
    await assertFault('full', file.write([bytesOf(300, 2)], 900));
    assert.equal(await file.sizeBytes(), 1_000);
    await file.write([bytesOf(500, 3)], 100);
    await file.truncate(400);
    assert.equal(disk.usedBytes, 400);
    await file.write([bytesOf(300, 4)], 400);
    const into = new Uint8Array(300);
    await file.read(into, 400);
    assertBytes(into, bytesOf(300, 4));
    disk.setBytesMax(2_000);
    await file.write([bytesOf(1_300, 5)], 700);
  });

  test('failing write may have written any beginning', async () => {
    const sizes = new Set<number>();
    for (const seed of SEEDS) {
      const disk = new SeededDisk({ seed });
      await using file = await disk.open('f', 'create');
      disk.failAt(1, 'full');
      await assertFault('full', file.write([new Uint8Array(3)], 0));
      sizes.add(await file.sizeBytes());
    }
    assert.deepEqual([...sizes].sort(), [0, 1, 2, 3]);
  });
});
