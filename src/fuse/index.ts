/** fuse: a user's tree as a mount of the Linux kernel. */
export { type MemoryTree, memoryTree } from './memory-tree.ts';
export {
  checkMountPoint,
  type Mounted,
  type MountOptions,
  type MountStats,
  mountTree,
  type UnmountOptions,
} from './mount.ts';
export { type UnmountPointOptions, unmountPoint } from './unmount.ts';
