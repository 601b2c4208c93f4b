/** Small files written by a thread: onto a real folder. */
import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../../base/index.ts';
import { FileWriter } from './file-writer.ts';
import type { WholeFile } from './write-local.ts';

const MTIME_NS = 1_620_284_889_987_654_321n;

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'holdfast-file-writer-'));

  fileOf(name: string): WholeFile {
    const [path, temporary] = [join(this.path, name), join(this.path, `${name}.new`)];
    return { path, temporary, mode: 0o640, mtimeNs: MTIME_NS, isDurable: false };
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** Of `length` bytes, none like another's. */
function bytesOf(number: number, length: number): Uint8Array {
  return Buffer.alloc(length, `${number} `);
}

test('a file writer writes more than its blocks hold, with mode and time, and tells of each in order', async () => {
  using folder = new Folder();
  await using writer = new FileWriter();
  const lengths = Array.from({ length: 700 }, (_, number) => (number % 100 === 0 ? 256 * 1024 : (number * 37) % 9_000));
  const told: number[] = [];
  const memory = new Uint8Array(256 * 1024);
  for (const [number, length] of lengths.entries()) {
    memory.set(bytesOf(number, length));
    await writer.add(folder.fileOf(`f${number}`), memory.subarray(0, length), (refused) => {
      assert.equal(refused, undefined);
      told.push(number);
    });
  }
  await writer.settle();
  assert.deepEqual(told, [...lengths.keys()]);
  for (const [number, length] of lengths.entries()) {
    const { path } = folder.fileOf(`f${number}`);
    assert.ok(readFileSync(path).equals(bytesOf(number, length)), path);
    const stat = lstatSync(path, { bigint: true });
    assert.deepEqual([Number(stat.mode) & 0o777, stat.mtimeNs], [0o640, MTIME_NS]);
  }
  assert.equal(readdirSync(folder.path).length, lengths.length, 'nothing temporary stays');
});

test('a file writer refuses a file alone, leaves what stood there, and goes on', async () => {
  using folder = new Folder();
  await using writer = new FileWriter();
  mkdirSync(join(folder.path, 'b'));
  writeFileSync(join(folder.path, 'b', 'inside'), 'stays');
  const told: unknown[] = [];
  for (const name of ['a', 'missing/x', 'b', 'c'])
    await writer.add(folder.fileOf(name), bytesOf(1, 10), (refused) => void told.push(refused));
  await writer.settle();
  const [a, missing, b, c] = told;
  assert.deepEqual([a, c], [undefined, undefined]);
  assert.ok(Fault.is(missing, 'not-found'));
  assert.match(missing.message, /missing\/x\.new failed: it is not there/);
  assert.ok(Fault.is(b, 'is-folder'));
  assert.deepEqual(readdirSync(folder.path).sort(), ['a', 'b', 'c']);
});

test('a file writer that is told to end all takes nothing more', async () => {
  using folder = new Folder();
  await using writer = new FileWriter();
  await writer.add(folder.fileOf('a'), bytesOf(1, 10), () => {
    throw new Error('the reader has gone');
  });
  await assert.rejects(writer.settle(), /the reader has gone/);
  await assert.rejects(
    writer.add(folder.fileOf('b'), bytesOf(2, 10), () => {}),
    /the reader has gone/,
  );
});

test('a file writer whose thread has died names what was not written, and is not usable', async () => {
  using folder = new Folder();
  await using writer = new FileWriter();
  const told: unknown[] = [];
  // What no disk refuses is a bug, and ends the thread.
  const broken = { ...folder.fileOf('a'), mode: 'none' } as unknown as WholeFile;
  await writer.add(broken, bytesOf(1, 10), (refused) => void told.push(refused));
  await writer.add(folder.fileOf('b'), bytesOf(2, 10), (refused) => void told.push(refused));
  await writer.settle();
  assert.equal(writer.isUsable, false);
  assert.equal(told.length, 2);
  assert.ok(told.every((refused) => Fault.is(refused, 'io')));
});
