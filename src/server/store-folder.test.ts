/** Making and opening the folder of a store, on a real folder and on a disk that loses its power at every point. */
import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault, ManualClock, seededRandom, utf8 } from '../base/index.ts';
import { type Disk, NodeDisk, PowerCut, SeededDisk } from '../objects/index.ts';
import { makeStoreFolder, readStoreFolder } from './store-folder.ts';

const CHOICE = { idAlgorithm: 'xxh3-128', chunker: 'fastcdc' } as const;

function make(disk: Disk): ReturnType<typeof makeStoreFolder> {
  return makeStoreFolder(disk, '/s', CHOICE, { clock: new ManualClock(), random: seededRandom(1) });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    assert.ok(Fault.is(error), String(error));
    return error.code;
  }
  return 'none';
}

async function write(disk: Disk, name: string, bytes: Uint8Array): Promise<void> {
  await disk.remove(name);
  await using file = await disk.open(name, 'create');
  await file.write([bytes], 0);
  await file.sync();
}

async function read(disk: Disk, name: string): Promise<Uint8Array> {
  await using file = await disk.open(name, 'read');
  const bytes = new Uint8Array(await file.sizeBytes());
  await file.read(bytes, 0);
  return bytes;
}

test('a store that was made reads back as what was chosen', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'holdfast-'));
  const disk = new NodeDisk(folder.path);
  const made = await make(disk);
  assert.deepEqual(await readStoreFolder(disk, folder.path), made);
  assert.equal(made.format.chunks.idAlgorithm, 'xxh3-128');
  assert.equal(made.format.chunks.chunker, 'fastcdc');
  assert.equal(made.secret.length, 32);
  assert.deepEqual(await disk.list(''), ['format', 'meta', 'objects', 'secret']);
});

test('a folder without a format record is no store', async () => {
  assert.equal(await readStoreFolder(new SeededDisk({ seed: 1 }), '/s'), undefined);
});

test('a second making is refused and changes nothing', async () => {
  const disk = new SeededDisk({ seed: 1 });
  const made = await make(disk);
  assert.equal(await codeOf(make(disk)), 'exists');
  assert.deepEqual(await readStoreFolder(disk, '/s'), made);
});

test('a folder with anything foreign in it is refused', async () => {
  const disk = new SeededDisk({ seed: 1 });
  await write(disk, 'letter.txt', utf8('dear'));
  assert.equal(await codeOf(make(disk)), 'not-empty');
  assert.deepEqual(await disk.list(''), ['letter.txt']);
});

test('a store that lost its format record is never made over', async () => {
  const disk = new SeededDisk({ seed: 1 });
  await make(disk);
  await write(disk, 'meta/data', utf8('rows'));
  await disk.remove('format');
  assert.equal(await readStoreFolder(disk, '/s'), undefined);
  assert.equal(await codeOf(make(disk)), 'not-empty');
  assert.deepEqual(await read(disk, 'meta/data'), utf8('rows'));
});

test('a damaged or missing secret and a damaged format record are corrupt', async () => {
  const disk = new SeededDisk({ seed: 1 });
  await make(disk);
  const secret = await read(disk, 'secret');
  await write(
    disk,
    'secret',
    secret.map((byte, index) => (index === 30 ? byte ^ 1 : byte)),
  );
  assert.equal(await codeOf(readStoreFolder(disk, '/s')), 'corrupt');
  await disk.remove('secret');
  assert.equal(await codeOf(readStoreFolder(disk, '/s')), 'corrupt');
  await write(disk, 'secret', secret);
  assert.equal(await codeOf(readStoreFolder(disk, '/s')), 'none');
  await write(disk, 'format', new Uint8Array(100_000));
  assert.equal(await codeOf(readStoreFolder(disk, '/s')), 'corrupt');
  await write(disk, 'format', new Uint8Array(0));
  assert.equal(await codeOf(readStoreFolder(disk, '/s')), 'corrupt');
});

test('a power cut at any point of making leaves nothing or a whole store, and making goes on from there', async () => {
  const whole = new SeededDisk({ seed: 1 });
  await make(whole);
  const stepCount = whole.mutationCount;
  const found = { nothing: 0, store: 0 };
  for (let seed = 1; seed <= 5; seed++) {
    for (let step = 1; step <= stepCount; step++) {
      const disk = new SeededDisk({ seed });
      disk.crashAt(step);
      await assert.rejects(make(disk), PowerCut);
      const after = disk.crash();
      const identity = await readStoreFolder(after, '/s');
      if (identity === undefined) {
        found.nothing++;
        await make(after);
      } else {
        found.store++;
        assert.equal(await codeOf(make(after)), 'exists');
      }
      assert.notEqual(await readStoreFolder(after, '/s'), undefined);
    }
  }
  assert.ok(found.nothing > 0 && found.store > 0, JSON.stringify(found));
});
