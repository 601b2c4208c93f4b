/**
 * What every Disk does, as tests; run on a real folder and on the seeded disk, so that a simulation that passes says
 * something about real disks. `make` gives a fresh, empty disk for each test.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { concatBytes, utf8 } from '../base/index.ts';
import { assertBytes, assertFault, bytesOf } from './contract.ts';
import type { Disk } from './disk.ts';

export type MakeDisk = () => Promise<Disk>;

export function diskContract(kind: string, make: MakeDisk): void {
  describe(`disk: ${kind}`, () => {
    filesOf(make);
    namesOf(make);
    anyWrites(make);
  });
}

function filesOf(make: MakeDisk): void {
  test('file reads back what was written at any offset, with zeros in gaps', async () => {
    const disk = await make();
    await using file = await disk.open('f', 'create');
    await file.write([utf8('abc'), utf8(''), utf8('def')], 0);
    await file.write([utf8('xy')], 10);
    await file.write([], 50);
    assert.equal(await file.sizeBytes(), 12);
    const into = new Uint8Array(20).fill(255);
    assert.equal(await file.read(into, 0), 12);
    assertBytes(into.subarray(0, 12), utf8('abcdef\0\0\0\0xy'));
    assert.equal(into[12], 255);
    assert.equal(await file.read(into, 12), 0);
    assert.equal(await file.read(into, 100), 0);
    await file.sync();
  });

  test('file is cut and made longer with zeros by truncate', async () => {
    const disk = await make();
    await using file = await disk.open('f', 'create');
    await file.write([utf8('abcdef')], 0);
    await file.truncate(3);
    await file.truncate(5);
    const into = new Uint8Array(9);
    assert.equal(await file.read(into, 0), 5);
    assertBytes(into.subarray(0, 5), utf8('abc\0\0'));
    assert.deepEqual({ ...(await disk.stat('f')), modifiedMs: 0 }, { kind: 'file', sizeBytes: 5, modifiedMs: 0 });
  });

  test('file takes thousands of parts and views of shared memory in one write', async () => {
    const disk = await make();
    await using file = await disk.open('f', 'create');
    const parts = Array.from({ length: 2_500 }, (_, index) => bytesOf(1 + (index % 70), index));
    parts.push(new Uint8Array(new SharedArrayBuffer(1_000)).fill(9) as Uint8Array as Uint8Array<ArrayBuffer>);
    await file.write(parts, 7);
    const whole = concatBytes(parts);
    const into = new Uint8Array(whole.length);
    assert.equal(await file.read(into, 7), whole.length);
    assertBytes(into, whole);
  });

  test('open refuses what is missing, what is there and what is no file', async () => {
    const disk = await make();
    await assertFault('not-found', disk.open('f', 'read'));
    await assertFault('not-found', disk.open('f', 'write'));
    await assertFault('not-found', disk.open('folder/f', 'create'));
    await (await disk.open('f', 'create')).close();
    await assertFault('exists', disk.open('f', 'create'));
    await assertFault('not-folder', disk.open('f/g', 'create'));
    await disk.makeFolder('folder');
    await assertFault('is-folder', disk.open('folder', 'write'));
  });

  test('handle refuses work when it is closed or may only read', async () => {
    const disk = await make();
    const file = await disk.open('f', 'create');
    await file.write([utf8('abc')], 0);
    await file.close();
    await file.close();
    await assertFault('io', file.read(new Uint8Array(1), 0));
    await assertFault('io', file.write([utf8('x')], 0));
    await using reader = await disk.open('f', 'read');
    await assertFault('io', reader.write([utf8('x')], 0));
    assert.equal(await reader.read(new Uint8Array(9), 0), 3);
  });

  test('open file lives on when its name is removed or replaced', async () => {
    const disk = await make();
    await using first = await disk.open('f', 'create');
    await first.write([utf8('first')], 0);
    await using second = await disk.open('g', 'create');
    await second.write([utf8('second')], 0);
    await disk.rename('g', 'f');
    const into = new Uint8Array(9);
    assert.equal(await first.read(into, 0), 5);
    assert.equal((await disk.stat('f'))?.sizeBytes, 6);
    await disk.remove('f');
    assert.equal(await second.read(into, 0), 6);
    await second.sync();
  });
}

function namesOf(make: MakeDisk): void {
  test('folder lists its names in byte order', async () => {
    const disk = await make();
    assert.deepEqual(await disk.list('absent'), []);
    await disk.makeFolder('folder');
    for (const name of ['b', 'a', 'a-', 'a.', 'B', '=temp', 'z9', '0', 'é', '\u{1f600}', '\uffee']) {
      await (await disk.open(`folder/${name}`, 'create')).close();
    }
    const wanted = ['0', '=temp', 'B', 'a', 'a-', 'a.', 'b', 'z9', 'é', '\uffee', '\u{1f600}'];
    assert.deepEqual(await disk.list('folder'), wanted);
    assert.deepEqual(await disk.list(''), ['folder']);
    await assertFault('not-folder', disk.list('folder/a'));
  });

  test('folder is made once and again, and goes only when it is empty', async () => {
    const disk = await make();
    await assertFault('not-found', disk.makeFolder('a/b'));
    await disk.makeFolder('a');
    await disk.makeFolder('a');
    await disk.makeFolder('a/b');
    assert.equal((await disk.stat('a/b'))?.kind, 'folder');
    await assertFault('not-empty', disk.removeFolder('a'));
    await disk.removeFolder('a/b');
    await disk.removeFolder('a/b');
    await disk.removeFolder('a');
    assert.equal(await disk.stat('a'), undefined);
    assert.equal(await disk.stat('a/b'), undefined);
    await (await disk.open('file', 'create')).close();
    await assertFault('exists', disk.makeFolder('file'));
    await assertFault('not-folder', disk.removeFolder('file'));
    assert.equal(await disk.stat('file/x'), undefined);
  });

  test('rename replaces a file, moves a folder with all in it, and refuses the rest', async () => {
    const disk = await make();
    await disk.makeFolder('a');
    await disk.makeFolder('b');
    await (await disk.open('a/f', 'create')).close();
    await (await disk.open('g', 'create')).close();
    await disk.rename('a', 'c');
    assert.deepEqual(await disk.list('c'), ['f']);
    await disk.rename('g', 'c/f');
    assert.deepEqual(await disk.list(''), ['b', 'c']);
    await assertFault('not-found', disk.rename('none', 'x'));
    await assertFault('not-found', disk.rename('c/f', 'no/where'));
    await assertFault('is-folder', disk.rename('c/f', 'b'));
    await assertFault('not-folder', disk.rename('b', 'c/f'));
    await assertFault('not-empty', disk.rename('b', 'c'));
    await disk.rename('c', 'b');
    assert.deepEqual(await disk.list('b'), ['f']);
  });

  test('remove takes files only and is fine with none', async () => {
    const disk = await make();
    await disk.remove('none');
    await disk.makeFolder('folder');
    await assertFault('is-folder', disk.remove('folder'));
    await (await disk.open('folder/f', 'create')).close();
    await disk.remove('folder/f');
    assert.deepEqual(await disk.list('folder'), []);
    await disk.syncFolder('folder');
    await disk.syncFolder('');
    await assertFault('not-found', disk.syncFolder('none'));
  });
}

function anyWrites(make: MakeDisk): void {
  const write = fc.record({ offset: fc.nat(3_000), sizes: fc.array(fc.nat(900), { maxLength: 4 }) });
  const cut = fc.record({ length: fc.nat(4_000) });
  test('file answers as an array does in any order of writes and cuts', async () => {
    const property = fc.asyncProperty(fc.array(fc.oneof(write, cut), { maxLength: 15 }), async (steps) => {
      const disk = await make();
      await using file = await disk.open('f', 'create');
      let model = new Uint8Array(0);
      for (const [index, step] of steps.entries()) {
        if ('length' in step) {
          await file.truncate(step.length);
          model = resized(model, step.length);
          continue;
        }
        const parts = step.sizes.map((size, part) => bytesOf(size, index * 10 + part));
        await file.write(parts, step.offset);
        const bytes = concatBytes(parts);
        if (bytes.length === 0) continue;
        model = resized(model, Math.max(model.length, step.offset + bytes.length));
        model.set(bytes, step.offset);
      }
      const into = new Uint8Array(model.length + 1);
      assert.equal(await file.read(into, 0), model.length);
      assertBytes(into.subarray(0, model.length), model);
    });
    await fc.assert(property, { numRuns: 30, seed: 11 });
  });
}

function resized(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}
