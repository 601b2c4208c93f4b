/** A seeded disk as one text: two disks of which a start finds the same have the same. */
import { createHash } from 'node:crypto';
import type { SeededDisk } from '../../src/objects/index.ts';

export function digestOfDisk(disk: SeededDisk): string {
  const hash = createHash('sha1');
  const visit = (folder: string): void => {
    for (const name of disk.listSync(folder)) {
      const path = folder === '' ? name : `${folder}/${name}`;
      const stat = disk.statSync(path);
      hash.update(`${path}\0${stat?.kind}\0${stat?.sizeBytes}\0`);
      if (stat?.kind === 'folder') visit(path);
      else hash.update(bytesAt(disk, path, stat?.sizeBytes ?? 0));
    }
  };
  visit('');
  return hash.digest('hex');
}

function bytesAt(disk: SeededDisk, path: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  disk.openSync(path, 'read').readSync(bytes, 0);
  return bytes;
}
