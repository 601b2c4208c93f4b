/** Random work on a whole store, through the service and in place through a tree, and pictures of all that can be read. */
import assert from 'node:assert/strict';
import { Fault, hexOf, type Random, utf8 } from '../src/base/index.ts';
import { newContentHash } from '../src/chunks/index.ts';
import type { PosixTree } from '../src/files/index.ts';
import { NODE_KIND } from '../src/meta/index.ts';
import { bytesOf, type Stand } from './stand.ts';

const FOLDERS = ['/', '/a', '/b', '/a/c'];
const NAMES = ['x', 'y', 'z', 'ä'];
export const DISK = { totalBytes: 2 ** 40, freeBytes: 2 ** 40 };
const OPEN = { read: true, write: true, append: false, truncate: false, sync: false };
const ROOT = { uid: 0, gid: 0, pid: 1 };

function hashOf(bytes: Uint8Array): string {
  const hash = newContentHash();
  hash.update(bytes);
  return hexOf(hash.digest());
}

/** Everything that can be read of a tree. */
export async function pictureOf({ service }: Stand, at?: string): Promise<Readonly<Record<string, unknown>>> {
  const picture: Record<string, unknown> = {};
  const past = at === undefined ? {} : { at };
  for await (const { path, kind } of service.manifest({ path: '/' }, past)) {
    // A hash may be forgotten, but not be wrong; bytes say more.
    const { xxhash3, changed: _, ...record } = await service.stat({ path }, { ...past, withAttributes: true });
    const bytes = kind === 'file' ? await bytesOf((await service.read({ path }, past)).bytes) : undefined;
    picture[path] = { ...record, bytes: bytes?.toString('latin1') };
    if (xxhash3 !== null && bytes !== undefined) assert.equal(hashOf(bytes), xxhash3, path);
  }
  return picture;
}

export async function act(stand: Stand, tree: PosixTree, random: Random): Promise<void> {
  const { service } = stand;
  const pick = <T>(all: readonly T[]): T => all[random.below(all.length)] as T;
  const path = (): string => `${pick(FOLDERS)}/${pick(NAMES)}`.replace('//', '/');
  const content = (): Uint8Array => random.bytes(pick([0, 10, 3_000, 70_000]));
  const acts: (() => Promise<unknown>)[] = [
    () => service.write(path(), [content()], { mode: 'put', parents: true }),
    () => service.write(path(), [content()], { mode: 'put', parents: true }),
    () => service.makeFolder(path(), { parents: true }),
    () => service.remove(path(), { recursive: true }),
    () => service.remove(pick(FOLDERS), { recursive: true }),
    () => service.move(path(), path(), { overwrite: true }),
    () => service.move(pick(FOLDERS), path()),
    () => service.copy(path(), path(), { overwrite: true }),
    () => service.copy(pick(FOLDERS), path()),
    () => service.setAttributes({ path: path() }, { mode: random.below(0o777), attributes: { 'user.a': btoa('1') } }),
    () => service.setAttributes({ path: path() }, { attributes: { 'user.a': null } }),
    () => throughTree(stand, tree, random, path()),
    () => throughTree(stand, tree, random, path()),
    () => throughTree(stand, tree, random, path()),
  ];
  try {
    await pick(acts)();
  } catch (error) {
    if (!Fault.is(error)) throw error;
  }
}

/** In place, as a mount does: bytes written, cut off, punched; a second name; a name taken away. */
async function throughTree(stand: Stand, tree: PosixTree, random: Random, path: string): Promise<void> {
  const { file_id, kind } = await stand.service.stat({ path });
  if (kind !== 'file') return;
  const handle = await tree.open(file_id, OPEN);
  try {
    for (let count = random.below(3); count >= 0; count--) {
      const offset = random.below(100_000);
      const dice = random.below(10);
      if (dice < 3) await tree.setAttributes(file_id, { size: random.below(100_000), handle }, ROOT);
      else if (dice < 5) await tree.allocate(handle, 3, offset, random.below(50_000) + 1, ROOT);
      else await tree.write(handle, offset, random.bytes(random.below(50_000) + 1));
      if (random.below(2) === 0) await tree.fsync(handle, false);
    }
    if (random.below(3) === 0) await tree.link(file_id, tree.root, utf8(`link${random.below(5)}`));
    if (random.below(4) === 0)
      await tree.make(
        tree.root,
        utf8(`sym${random.below(3)}`),
        { kind: NODE_KIND.symlink, mode: 0o777, umask: 0, target: utf8('a/x') },
        ROOT,
      );
  } finally {
    await tree.release(handle);
  }
}
