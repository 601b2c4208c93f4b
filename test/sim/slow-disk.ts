/**
 * A disk whose calls take some turns of the event loop, by chance: what happens at the same time then comes in another
 * order for every seed, and in the same for the same one.
 */
import type { Random } from '../../src/base/index.ts';
import type { Disk, DiskFile } from '../../src/objects/index.ts';

/** Half of the calls answer at once; the others take up to so many turns. */
const TURNS_MAX = 5;

export function slowDisk(disk: Disk, random: Random): Disk {
  const late = async <T>(act: () => Promise<T>): Promise<T> => {
    for (let left = random.below(2) * random.below(TURNS_MAX + 1); left > 0; left--) await turn();
    return act();
  };
  const slowFile = (file: DiskFile): DiskFile => ({
    read: (into, offset) => late(() => file.read(into, offset)),
    write: (parts, offset) => late(() => file.write(parts, offset)),
    truncate: (lengthBytes) => late(() => file.truncate(lengthBytes)),
    sync: () => late(() => file.sync()),
    sizeBytes: () => file.sizeBytes(),
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
  });
  return {
    open: (path, mode) => late(async () => slowFile(await disk.open(path, mode))),
    stat: (path) => disk.stat(path),
    list: (path) => late(() => disk.list(path)),
    makeFolder: (path) => late(() => disk.makeFolder(path)),
    rename: (from, to) => late(() => disk.rename(from, to)),
    remove: (path) => late(() => disk.remove(path)),
    removeFolder: (path) => late(() => disk.removeFolder(path)),
    syncFolder: (path) => late(() => disk.syncFolder(path)),
  };
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
