/** Reads one behind the other through a POSIX door: the same bytes as any other read, from fewer requests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStand, type Stand } from '../../../test/stand.ts';
import { seededRandom, systemClock } from '../../base/index.ts';
import type { ChunkSlice } from '../../chunks/index.ts';
import type { Handle, OpenFlags, PosixCaller, PosixTree } from './posix.ts';

const ROOT: PosixCaller = { uid: 0, gid: 0, pid: 1 };
const RW: OpenFlags = { read: true, write: true, append: false, truncate: false, sync: false };
const FILE_BYTES = 3_000_000;
const READ_BYTES = 128 * 1024;

interface Opened {
  readonly tree: PosixTree;
  readonly handle: Handle;
  readonly content: Buffer;
  /** Streams that were begun so far. */
  streamCount(): number;
}

async function openFile(stand: Stand, seed: number): Promise<Opened> {
  let streamCount = 0;
  const readAll = stand.chunks.readAll.bind(stand.chunks);
  stand.chunks.readAll = (slices: AsyncIterable<ChunkSlice> | Iterable<ChunkSlice>, options) => {
    streamCount++;
    return readAll(slices, options);
  };
  const tree = await stand.files.openTree({ user: 'owner', diskSpace: () => ({ totalBytes: 1, freeBytes: 1 }) });
  const { handle } = await tree.create(tree.root, Buffer.from('f'), { mode: 0o644, umask: 0 }, RW, ROOT);
  const content = Buffer.from(seededRandom(seed).bytes(FILE_BYTES));
  await tree.write(handle, 0, content);
  await tree.fsync(handle, false);
  return { tree, handle, content, streamCount: () => streamCount };
}

/** Copies in the turn in which the answer comes, as whoever asks must. */
async function read({ tree, handle }: Opened, offset: number, length = READ_BYTES): Promise<Buffer> {
  return Buffer.concat(await tree.read(handle, offset, length));
}

test('a file that is read from front to back comes from one stream', async () => {
  await using stand = await openStand({ groupClock: systemClock });
  const file = await openFile(stand, 1);
  await using _ = file.tree;
  for (let at = 0; at < FILE_BYTES; at += READ_BYTES)
    assert.ok((await read(file, at)).equals(file.content.subarray(at, at + READ_BYTES)), `at ${at}`);
  assert.equal((await read(file, FILE_BYTES)).length, 0);
  assert.equal(file.streamCount(), 1);
});

test('reads that are asked for together each get their own bytes', async () => {
  await using stand = await openStand({ groupClock: systemClock });
  const file = await openFile(stand, 2);
  await using _ = file.tree;
  const offsets = Array.from({ length: Math.ceil(FILE_BYTES / READ_BYTES) }, (_, at) => at * READ_BYTES);
  const all = await Promise.all(offsets.map((at) => read(file, at)));
  assert.ok(Buffer.concat(all).equals(file.content));
  assert.equal(file.streamCount(), 1);
});

test('reads here and there begin no stream', async () => {
  await using stand = await openStand({ groupClock: systemClock });
  const file = await openFile(stand, 3);
  await using _ = file.tree;
  for (let at = FILE_BYTES - READ_BYTES; at > 0; at -= READ_BYTES)
    assert.ok((await read(file, at)).equals(file.content.subarray(at, at + READ_BYTES)), `at ${at}`);
  assert.equal(file.streamCount(), 0);
});

test('a stream ends when the file changes ahead of it, and what was written is read', async () => {
  await using stand = await openStand({ groupClock: systemClock });
  const file = await openFile(stand, 4);
  await using _ = file.tree;
  const changes = [
    (at: number) => file.tree.write(file.handle, at, file.content.fill(7, at, at + 5_000).subarray(at, at + 5_000)),
    () => file.tree.fsync(file.handle, false),
  ];
  for (let at = 0, step = 0; at < FILE_BYTES; at += READ_BYTES, step++) {
    // Beside the read that comes next, too: it was asked for later.
    const change = step % 4 === 2 ? changes[(step >> 2) % 2]?.(at + 10_000) : undefined;
    const found = await read(file, at);
    await change;
    assert.ok(found.equals(file.content.subarray(at, at + READ_BYTES)), `at ${at}`);
  }
  assert.ok(file.streamCount() > 1, 'It begins again behind the change.');
});

test('a stream stops at a hole, and zeros are read', async () => {
  await using stand = await openStand({ groupClock: systemClock });
  const file = await openFile(stand, 5);
  await using _ = file.tree;
  const tail = file.content.subarray(0, 1_000_000);
  await file.tree.write(file.handle, FILE_BYTES + 1_500_000, tail);
  await file.tree.fsync(file.handle, false);
  const whole = Buffer.concat([file.content, Buffer.alloc(1_500_000), tail]);
  for (let at = 0; at < whole.length; at += READ_BYTES)
    assert.ok((await read(file, at)).equals(whole.subarray(at, at + READ_BYTES)), `at ${at}`);
  assert.ok(file.streamCount() >= 2);
});

test('more readers than there may be streams all read right', async () => {
  await using stand = await openStand({ groupClock: systemClock });
  const file = await openFile(stand, 6);
  await using _ = file.tree;
  const { node } = (await file.tree.lookup(file.tree.root, Buffer.from('f'))) ?? assert.fail('it is there');
  const handles = await Promise.all(Array.from({ length: 9 }, () => file.tree.open(node, { ...RW, write: false })));
  for (let at = 0; at < FILE_BYTES; at += READ_BYTES) {
    const found = await Promise.all(handles.map((handle) => read({ ...file, handle }, at)));
    for (const one of found) assert.ok(one.equals(file.content.subarray(at, at + READ_BYTES)), `at ${at}`);
  }
  for (const handle of handles) await file.tree.release(handle);
});
