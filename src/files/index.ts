/** files: the file system itself. */
export { type CompressionRule, CompressionRules } from './content/compression-rules.ts';
export {
  type Caller,
  FILES_OPTIONS_DEFAULT,
  type FilesOptions,
  RECUT_STEPS,
  type RecutStep,
  type SecondCopy,
} from './context.ts';
export { Files, type OpenFilesOptions, type OpenTreeOptions, OWNER, openFiles } from './files.ts';
export { Lock, type LockManager, type LockPlace, type LockRequest } from './locks/lock-manager.ts';
export { LockTokens } from './locks/lock-tokens.ts';
export { MemoryLocks } from './locks/memory-locks.ts';
export {
  boundedByAge,
  KEEP_RULES_EXAMPLE,
  type KeepRules,
  keepRulesOf,
  readKeepRules,
} from './past/keep-rules.ts';
export {
  EVERY_EXAMPLE,
  readEvery,
  SCHEDULE_NAME_PATTERN,
  type ScheduleWish,
  type SnapshotSchedule,
  schedulesOf,
} from './past/schedule.ts';
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
} from './posix/posix.ts';
export { type Glob, globOf } from './search/glob.ts';
export { fileService } from './service.ts';
