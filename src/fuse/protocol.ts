/**
 * The FUSE kernel protocol as numbers: operation codes, flags, and where each field of a message lies.
 * Messages are little-endian words of 4 bytes (only little-endian machines are supported; device.ts refuses others).
 * Every layout here counts words from the start of the message, header included:
 *
 *   request  0 length | 1 opcode | 2,3 unique | 4,5 node | 6 uid | 7 gid | 8 pid | 9 extensions | 10… body
 *   reply    0 length | 1 -errno | 2,3 unique | 4… body
 *
 * 64-bit numbers that can be offsets, sizes and node ids become doubles, exact up to 2^53; those that are opaque (unique)
 * stay two words. Described by the kernel's include/uapi/linux/fuse.h; protocol 7.45 is what is spoken at most.
 */
import type { FaultCode } from '../base/index.ts';

export const MAJOR = 7;
export const MINOR = 45;
/** Older kernels lack messages that this room counts on (SETXATTR_EXT, HANDLE_KILLPRIV_V2: Linux 5.12). */
export const MINOR_LEAST = 33;
/** The node id that the kernel gives to the root. */
export const ROOT = 1;

export const OPERATION = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  access: 34,
  create: 35,
  interrupt: 36,
  bmap: 37,
  destroy: 38,
  ioctl: 39,
  poll: 40,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  syncfs: 50,
  tmpfile: 51,
  statx: 52,
  copyFileRange64: 53,
} as const;

export type Operation = keyof typeof OPERATION;

/** Operation names by code, for logs and figures. */
export const OPERATION_NAMES: ReadonlyMap<number, Operation> = new Map(
  Object.entries(OPERATION).map(([name, code]) => [code, name as Operation]),
);

export const OPERATION_CODE_MAX = 63;

/** Words of a request's header. */
export const HEADER = { length: 0, opcode: 1, uniqueLow: 2, uniqueHigh: 3, node: 4, uid: 6, gid: 7, pid: 8 } as const;
/** First word and first byte of a request's body. */
export const BODY = 10;
export const BODY_BYTES = 4 * BODY;
/** First word and first byte of a reply's body. */
export const REPLY_BODY = 4;
export const REPLY_HEADER_BYTES = 16;

/** Words of each request's fixed part, and the byte behind it, where names and payloads begin. */
export const INIT_IN = { major: 10, minor: 11, readAhead: 12, flags: 13, flags2: 14 } as const;
export const GETATTR_IN = { flags: 10, handle: 12 } as const;
export const SETATTR_IN = {
  valid: 10,
  handle: 12,
  size: 14,
  accessedSeconds: 18,
  modifiedSeconds: 20,
  changedSeconds: 22,
  accessedNanoseconds: 24,
  modifiedNanoseconds: 25,
  changedNanoseconds: 26,
  mode: 27,
  uid: 29,
  gid: 30,
} as const;
export const MKNOD_IN = { mode: 10, device: 11, umask: 12, endBytes: 56 } as const;
export const MKDIR_IN = { mode: 10, umask: 11, endBytes: 48 } as const;
export const RENAME_IN = { parent: 10, endBytes: 48 } as const;
export const RENAME2_IN = { parent: 10, flags: 12, endBytes: 56 } as const;
export const LINK_IN = { node: 10, endBytes: 48 } as const;
export const OPEN_IN = { flags: 10, openFlags: 11 } as const;
export const CREATE_IN = { flags: 10, mode: 11, umask: 12, openFlags: 13, endBytes: 56 } as const;
export const RELEASE_IN = { handle: 10 } as const;
export const FLUSH_IN = { handle: 10 } as const;
/** READ, READDIR and READDIRPLUS. */
export const READ_IN = { handle: 10, offset: 12, size: 14 } as const;
export const WRITE_IN = { handle: 10, offset: 12, size: 14, writeFlags: 15, flags: 18, endBytes: 80 } as const;
export const FSYNC_IN = { handle: 10, flags: 12 } as const;
export const SETXATTR_IN = { size: 10, flags: 11, extraFlags: 12, endBytes: 56 } as const;
/** GETXATTR and LISTXATTR. */
export const GETXATTR_IN = { size: 10, endBytes: 48 } as const;
export const INTERRUPT_IN = { unique: 10 } as const;
export const FORGET_IN = { lookups: 10 } as const;
/** `first`: word of the first (node, lookups) pair of `pairWords` words. */
export const BATCH_FORGET_IN = { count: 10, first: 12, pairWords: 4 } as const;
export const FALLOCATE_IN = { handle: 10, offset: 12, length: 14, mode: 16 } as const;
export const LSEEK_IN = { handle: 10, offset: 12, whence: 14 } as const;
export const COPY_IN = {
  sourceHandle: 10,
  sourceOffset: 12,
  targetNode: 14,
  targetHandle: 16,
  targetOffset: 18,
  length: 20,
  flags: 22,
} as const;

/** Bytes of replies, header included. */
export const ATTR_BYTES = 88;
export const ENTRY_BYTES = 128;
export const REPLY_BYTES = {
  empty: 16,
  init: 16 + 64,
  entry: 16 + ENTRY_BYTES,
  attributes: 16 + 16 + ATTR_BYTES,
  open: 16 + 16,
  create: 16 + ENTRY_BYTES + 16,
  write: 16 + 8,
  size: 16 + 8,
  long: 16 + 8,
  space: 16 + 80,
  statx: 16 + 32 + 256,
} as const;

/** A directory record before its name; records are padded to 8 bytes. */
export const DIRENT_BYTES = 24;
/** `d_type` of the kernel. */
export const DIRENT_TYPE = { fifo: 1, character: 2, folder: 4, block: 6, file: 8, symlink: 10, socket: 12 } as const;

/** INIT flags; those of `flags2` under INIT2. */
export const INIT = {
  asyncRead: 1 << 0,
  atomicTruncate: 1 << 3,
  byHandle: 1 << 4,
  bigWrites: 1 << 5,
  dontMask: 1 << 6,
  autoInvalidate: 1 << 12,
  readdirplus: 1 << 13,
  readdirplusAuto: 1 << 14,
  asyncDirect: 1 << 15,
  writebackCache: 1 << 16,
  parallelFolders: 1 << 18,
  posixAcl: 1 << 20,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  killPrivileges: 1 << 28,
  setxattrExtended: 1 << 29,
  extended: 1 << 30,
} as const;

export const SETATTR = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  accessed: 1 << 4,
  modified: 1 << 5,
  handle: 1 << 6,
  accessedNow: 1 << 7,
  modifiedNow: 1 << 8,
  changed: 1 << 10,
  killPrivileges: 1 << 11,
} as const;

/** What an answer to OPEN and OPENDIR lets the kernel do. */
export const OPENED = { keepCache: 1 << 1, cacheFolder: 1 << 3, noFlush: 1 << 5 } as const;
export const OPEN_KILL_PRIVILEGES = 1 << 0;
export const WRITE_KILL_PRIVILEGES = 1 << 2;
export const FSYNC_DATA_ONLY = 1 << 0;
export const SETXATTR_KILL_SETGID = 1 << 0;

/** Flags of open(2) as the kernel passes them on (the numbers of x86-64 and arm64's generic table agree on these). */
export const O = {
  access: 3,
  writeOnly: 1,
  readWrite: 2,
  truncate: 0o1000,
  append: 0o2000,
  dataSync: 0o10000,
} as const;
export const XATTR = { create: 1, replace: 2 } as const;
export const RENAME = { noReplace: 1, exchange: 2 } as const;
export const SEEK = { data: 3, hole: 4 } as const;

/** Messages that we send unasked: `code` stands where replies carry the errno. */
export const NOTICE = { invalidateNode: 2, invalidateEntry: 3, delete: 6, nextEpoch: 8 } as const;
/** The kernel knows `nextEpoch` from here on. */
export const MINOR_OF_EPOCH = 44;

/** Linux errno numbers (x86-64, arm64). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ENODATA: 61,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ECONNABORTED: 103,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ESTALE: 116,
  EDQUOT: 122,
} as const;

/** What programs are told when a fault does not say its errno itself. */
export const FAULT_ERRNO = {
  'not-found': ERRNO.ENOENT,
  'not-kept': ERRNO.ENOENT,
  exists: ERRNO.EEXIST,
  conflict: ERRNO.EAGAIN,
  invalid: ERRNO.EINVAL,
  'not-folder': ERRNO.ENOTDIR,
  'is-folder': ERRNO.EISDIR,
  'not-empty': ERRNO.ENOTEMPTY,
  'too-large': ERRNO.EFBIG,
  range: ERRNO.EINVAL,
  mismatch: ERRNO.EIO,
  incomplete: ERRNO.EAGAIN,
  full: ERRNO.ENOSPC,
  quota: ERRNO.EDQUOT,
  corrupt: ERRNO.EIO,
  gone: ERRNO.EIO,
  busy: ERRNO.EAGAIN,
  locked: ERRNO.EBUSY,
  deadlock: ERRNO.EBUSY,
  'lock-lost': ERRNO.EBUSY,
  denied: ERRNO.EACCES,
  signature: ERRNO.EACCES,
  expired: ERRNO.EACCES,
  'read-only': ERRNO.EROFS,
  unsupported: ERRNO.EOPNOTSUPP,
  incompatible: ERRNO.EIO,
  aborted: ERRNO.EINTR,
  timeout: ERRNO.ETIMEDOUT,
  unavailable: ERRNO.EIO,
  io: ERRNO.EIO,
} as const satisfies Record<FaultCode, number>;

const HIGH = 2 ** 32;

/** The unsigned 64-bit number at word `at`, exact below 2^53. */
export function long(words: Uint32Array, at: number): number {
  return words[at]! + words[at + 1]! * HIGH;
}

/** The signed 64-bit number at word `at`, exact within ±2^53. */
export function signedLong(words: Uint32Array, at: number): number {
  return words[at]! + (words[at + 1]! | 0) * HIGH;
}

/** Writes a number within ±2^53 as 64 bits, two's complement. */
export function putLong(words: Uint32Array, at: number, value: number): void {
  words[at] = value;
  words[at + 1] = Math.floor(value / HIGH);
}
