/**
 * Fresh file systems to measure on. A place is made new for every turn of every contestant, so that none inherits the
 * fragments, the dirty pages or the slow deleted inodes of the one before.
 *
 * Best is an ext4 of its own on a loop device (root only): a real journal and real syncs, the same for everyone. Next
 * best is a tmpfs, where syncing costs nothing. A plain folder is the last resort, and the report says so loudly.
 * The image of an ext4 has no name any more once it is mounted, so its space comes back whatever happens.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type PlaceKind = 'ext4' | 'tmpfs' | 'folder';

export interface Place extends Disposable {
  readonly kind: PlaceKind;
  /** An empty folder. */
  readonly folder: string;
}

export const PLACE_SAYS: Readonly<Record<PlaceKind, string>> = {
  ext4: 'a fresh loop-mounted ext4 for every turn',
  tmpfs: 'tmpfs: syncs cost nothing here',
  folder: 'A PLAIN FOLDER: not fresh, so figures with many files depend on what was deleted there before',
};

const TMPFS_TYPE = 0x01021994;
const open = new Set<Place>();
process.on('exit', () => {
  for (const place of open) place[Symbol.dispose]();
});

/** Room for `bytes`; `name` only helps whoever looks. @throws Error when nothing has that much room. */
export function makePlace(name: string, bytes: number): Place {
  const place = ext4Place(name, bytes) ?? tmpfsPlace(name, bytes) ?? folderPlace(name, bytes);
  open.add(place);
  return place;
}

function ext4Place(name: string, bytes: number): Place | undefined {
  if (process.getuid?.() !== 0 || freeBytes(tmpdir()) < bytes) return undefined;
  const above = mkdtempSync(join(tmpdir(), `holdfast-bench-${name}-`));
  const image = `${above}.img`;
  writeFileSync(image, '');
  truncateSync(image, bytes);
  // Without noinit_itable the kernel goes on writing inode tables behind the contestants' backs.
  const isMounted = does('mkfs.ext4', '-qF', image) && does('mount', '-o', 'loop,noinit_itable', image, above);
  rmSync(image);
  if (isMounted) return placeOf('ext4', above, () => does('umount', '-l', above));
  rmSync(above, { recursive: true });
  return undefined;
}

function tmpfsPlace(name: string, bytes: number): Place | undefined {
  const where = ['/dev/shm', tmpdir()].find((folder) => isTmpfs(folder) && freeBytes(folder) >= bytes);
  return where === undefined ? undefined : placeOf('tmpfs', mkdtempSync(join(where, `holdfast-bench-${name}-`)));
}

function folderPlace(name: string, bytes: number): Place {
  if (freeBytes(tmpdir()) >= bytes) return placeOf('folder', mkdtempSync(join(tmpdir(), `holdfast-bench-${name}-`)));
  const gib = (bytes / 2 ** 30).toFixed(1);
  throw new Error(`${tmpdir()} has no ${gib} GiB to spare. Make room, set TMPDIR, or run with --small.`);
}

function placeOf(kind: PlaceKind, above: string, unmount?: () => boolean): Place {
  // An ext4 has its own lost+found, and who measures wants an empty folder.
  const folder = mkdtempSync(join(above, 'place-'));
  const place: Place = {
    kind,
    folder,
    [Symbol.dispose]() {
      if (!open.delete(place)) return;
      unmount?.();
      rmSync(above, { recursive: true, force: true });
    },
  };
  return place;
}

/** Writes back what is dirty, so that nobody pays for what happened before. */
export function settle(place: Place): void {
  does('sync', '-f', place.folder);
}

function does(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

function isTmpfs(folder: string): boolean {
  try {
    return statfsSync(folder).type === TMPFS_TYPE;
  } catch {
    return false;
  }
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
