/** objects: where bytes live. */
export type * from './disk.ts';
export { DiskObjects, type DiskObjectsOptions, READ_HANDLES_MAX } from './disk-objects.ts';
export { type FaultyObjects, type FaultyObjectsOptions, faultyObjects } from './faulty-objects.ts';
export { type LimitObjectsOptions, limitObjects } from './limit-objects.ts';
export { MemoryObjects, type MemoryObjectsOptions } from './memory-objects.ts';
export { NodeDisk } from './node-disk.ts';
export {
  checkObjectName,
  isObjectName,
  OBJECT_NAME_CHARACTERS_MAX,
  OBJECT_PAGE_MAX,
  OBJECT_SEGMENT_CHARACTERS_MAX,
} from './object-name.ts';
export type * from './object-store.ts';
export { type RetryObjectsOptions, retryObjects } from './retry-objects.ts';
export { PowerCut, SeededDisk, type SeededDiskOptions, type SeededFailure, SeededFile } from './seeded-disk.ts';
