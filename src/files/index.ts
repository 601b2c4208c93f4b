/** files: the file system itself. */
export { type CompressionRule, CompressionRules } from './compression-rules.ts';
export { type Caller, FILES_OPTIONS_DEFAULT, type FilesOptions } from './context.ts';
export { Files, type OpenFilesOptions, type OpenTreeOptions, OWNER, openFiles } from './files.ts';
export { type Glob, globOf } from './glob.ts';
export { Lock, type LockManager, type LockPlace, type LockRequest } from './lock-manager.ts';
export { LockTokens } from './lock-tokens.ts';
export { MemoryLocks } from './memory-locks.ts';
export {
  ALLOCATE,
  type Errno,
  type FileSystemSpace,
  type FolderEntry,
  type Handle,
  type MakeOptions,
  type OpenFlags,
  type OutsideChange,
  type PosixCaller,
  type PosixNode,
  type PosixTree,
  posixFault,
  type SetAttributes,
  type WriteFlags,
} from './posix.ts';
export type { RepairReport, RepairWishes } from './repair.ts';
export { fileService } from './service.ts';
