/**
 * The system calls as the kernel answers them: glibc through koffi, nothing between, so that a test sees the errno that a
 * C program would see and can ask for what Node has no name for (renameat2, O_TMPFILE, record locks, mmap, other users).
 *
 * Promises: a call that fails throws `SystemError` with the errno's name; paths are bytes; every call runs on the calling
 * thread, so that `as` (which changes the ids of this thread only, by raw system calls) holds for what it encloses.
 * Linux on x86-64. The one file of the tests that imports koffi; test/tidy.test.ts holds that.
 */
import { constants } from 'node:os';
import koffi from 'koffi';

export type Path = string | Buffer;

export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  NOCTTY: 0o400,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DSYNC: 0o10000,
  DIRECT: 0o40000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  NOATIME: 0o1000000,
  SYNC: 0o4010000,
  PATH: 0o10000000,
  TMPFILE: 0o20200000,
} as const;
export const S = { IFIFO: 0o010000, IFCHR: 0o020000, IFDIR: 0o040000, IFBLK: 0o060000, IFREG: 0o100000 } as const;
export const IFSOCK = 0o140000;
export const SEEK = { SET: 0, CUR: 1, END: 2, DATA: 3, HOLE: 4 } as const;
export const RENAME = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;
export const FALLOCATE = { KEEP_SIZE: 1, PUNCH_HOLE: 2, COLLAPSE: 8, ZERO_RANGE: 16, INSERT: 32, UNSHARE: 64 } as const;
export const AT = {
  FDCWD: -100,
  SYMLINK_NOFOLLOW: 0x100,
  REMOVEDIR: 0x200,
  SYMLINK_FOLLOW: 0x400,
  EACCESS: 0x200,
  EMPTY_PATH: 0x1000,
} as const;
export const XATTR = { CREATE: 1, REPLACE: 2 } as const;
export const LOCK = { SH: 1, EX: 2, NB: 4, UN: 8 } as const;
export const R_OK = 4;
export const W_OK = 2;
export const X_OK = 1;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MS_SYNC = 4;
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;
const PATH_BYTES_MAX = 8_192;
const HANDLE_BYTES_MAX = 128;
const SYS = { setgroups: 116, setresuid: 117, setresgid: 119, faccessat2: 439 } as const;

const NAME_OF_ERRNO = new Map<number, string>();
// Where two names share a number (EAGAIN and EWOULDBLOCK, EOPNOTSUPP and ENOTSUP), one stands for both.
for (const [name, code] of Object.entries(constants.errno)) NAME_OF_ERRNO.set(code, name);
NAME_OF_ERRNO.set(constants.errno.EAGAIN, 'EAGAIN').set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');
NAME_OF_ERRNO.set(77, 'EBADFD').set(117, 'EUCLEAN').set(35, 'EDEADLK');

/** What the kernel said instead of doing it. */
export class SystemError extends Error {
  readonly call: string;
  readonly errno: string;

  constructor(call: string, errno: string) {
    super(`${call}: ${errno}`);
    this.call = call;
    this.errno = errno;
  }
}

const library = koffi.load('libc.so.6');

/** A function of libc whose -1 is thrown. The arguments are what the named C types take; a Buffer goes as a pointer. */
function bind(name: string, result: string, types: readonly string[]): (...args: unknown[]) => number {
  const native = library.func(name, result, [...types]);
  return (...args) => {
    const answer = native(...args) as number;
    if (answer === -1) throw new SystemError(name, NAME_OF_ERRNO.get(koffi.errno()) ?? String(koffi.errno()));
    return answer;
  };
}

const P = 'void *';
const raw = {
  open: bind('open', 'int', [P, 'int', 'uint']),
  close: bind('close', 'int', ['int']),
  dup: bind('dup', 'int', ['int']),
  read: bind('read', 'int64_t', ['int', P, 'uint64_t']),
  write: bind('write', 'int64_t', ['int', P, 'uint64_t']),
  pread: bind('pread', 'int64_t', ['int', P, 'uint64_t', 'int64_t']),
  pwrite: bind('pwrite', 'int64_t', ['int', P, 'uint64_t', 'int64_t']),
  lseek: bind('lseek', 'int64_t', ['int', 'int64_t', 'int']),
  truncate: bind('truncate', 'int', [P, 'int64_t']),
  ftruncate: bind('ftruncate', 'int', ['int', 'int64_t']),
  fsync: bind('fsync', 'int', ['int']),
  fdatasync: bind('fdatasync', 'int', ['int']),
  syncfs: bind('syncfs', 'int', ['int']),
  mkdir: bind('mkdir', 'int', [P, 'uint']),
  rmdir: bind('rmdir', 'int', [P]),
  unlink: bind('unlink', 'int', [P]),
  unlinkat: bind('unlinkat', 'int', ['int', P, 'int']),
  rename: bind('rename', 'int', [P, P]),
  renameat2: bind('renameat2', 'int', ['int', P, 'int', P, 'uint']),
  linkat: bind('linkat', 'int', ['int', P, 'int', P, 'int']),
  symlink: bind('symlink', 'int', [P, P]),
  readlink: bind('readlink', 'int64_t', [P, P, 'uint64_t']),
  mknod: bind('mknod', 'int', [P, 'uint', 'uint64_t']),
  chmod: bind('chmod', 'int', [P, 'uint']),
  fchmod: bind('fchmod', 'int', ['int', 'uint']),
  chown: bind('chown', 'int', [P, 'int', 'int']),
  lchown: bind('lchown', 'int', [P, 'int', 'int']),
  fchown: bind('fchown', 'int', ['int', 'int', 'int']),
  utimensat: bind('utimensat', 'int', ['int', P, P, 'int']),
  futimens: bind('futimens', 'int', ['int', P]),
  access: bind('access', 'int', [P, 'int']),
  statx: bind('statx', 'int', ['int', P, 'int', 'uint', P]),
  statfs: bind('statfs', 'int', [P, P]),
  setxattr: bind('setxattr', 'int', [P, P, P, 'uint64_t', 'int']),
  lsetxattr: bind('lsetxattr', 'int', [P, P, P, 'uint64_t', 'int']),
  fsetxattr: bind('fsetxattr', 'int', ['int', P, P, 'uint64_t', 'int']),
  getxattr: bind('getxattr', 'int64_t', [P, P, P, 'uint64_t']),
  lgetxattr: bind('lgetxattr', 'int64_t', [P, P, P, 'uint64_t']),
  fgetxattr: bind('fgetxattr', 'int64_t', ['int', P, P, 'uint64_t']),
  listxattr: bind('listxattr', 'int64_t', [P, P, 'uint64_t']),
  llistxattr: bind('llistxattr', 'int64_t', [P, P, 'uint64_t']),
  removexattr: bind('removexattr', 'int', [P, P]),
  lremovexattr: bind('lremovexattr', 'int', [P, P]),
  fcntl: bind('fcntl', 'int', ['int', 'int', P]),
  fcntlNumber: bind('fcntl', 'int', ['int', 'int', 'int64_t']),
  flock: bind('flock', 'int', ['int', 'int']),
  fallocate: bind('fallocate', 'int', ['int', 'int', 'int64_t', 'int64_t']),
  copyFileRange: bind('copy_file_range', 'int64_t', ['int', P, 'int', P, 'uint64_t', 'uint']),
  sendfile: bind('sendfile', 'int64_t', ['int', 'int', P, 'uint64_t']),
  mmap: bind('mmap', 'int64_t', ['int64_t', 'uint64_t', 'int', 'int', 'int', 'int64_t']),
  munmap: bind('munmap', 'int', ['int64_t', 'uint64_t']),
  msync: bind('msync', 'int', ['int64_t', 'uint64_t', 'int']),
  nameToHandleAt: bind('name_to_handle_at', 'int', ['int', P, P, P, 'int']),
  openByHandleAt: bind('open_by_handle_at', 'int', ['int', P, 'int']),
  getdents64: bind('getdents64', 'int64_t', ['int', P, 'uint64_t']),
  chdir: bind('chdir', 'int', [P]),
  socket: bind('socket', 'int', ['int', 'int', 'int']),
  bindSocket: bind('bind', 'int', ['int', P, 'uint']),
  connect: bind('connect', 'int', ['int', P, 'uint']),
  listen: bind('listen', 'int', ['int', 'int']),
  posixMemalign: bind('aligned_alloc', 'int64_t', ['uint64_t', 'uint64_t']),
  syscall: bind('syscall', 'int64_t', ['int64_t', 'int64_t', 'int64_t', 'int64_t', 'int64_t']),
  syscallPointer: bind('syscall', 'int64_t', ['int64_t', 'int64_t', P, 'int64_t', 'int64_t']),
  preadAt: bind('pread', 'int64_t', ['int', 'int64_t', 'uint64_t', 'int64_t']),
  pwriteAt: bind('pwrite', 'int64_t', ['int', 'int64_t', 'uint64_t', 'int64_t']),
};
const umask = library.func('umask', 'uint', ['uint']);
const free = library.func('free', 'void', ['int64_t']);
const copyOut = library.func('memcpy', 'int64_t', [P, 'int64_t', 'uint64_t']);
const copyIn = library.func('memcpy', 'int64_t', ['int64_t', P, 'uint64_t']);

function c(path: Path): Buffer {
  const bytes = typeof path === 'string' ? Buffer.from(path) : path;
  return Buffer.concat([bytes, Buffer.alloc(1)]);
}

export interface Stat {
  readonly kind: 'file' | 'folder' | 'symlink' | 'fifo' | 'socket' | 'character' | 'block';
  /** The twelve permission bits. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly blocks: number;
  readonly blockSize: number;
  readonly id: bigint;
  readonly device: string;
  /** `major:minor` of a device node. */
  readonly target: string;
  /** Nanoseconds since 1970. */
  readonly accessed: bigint;
  readonly modified: bigint;
  readonly changed: bigint;
}

const KINDS: Readonly<Record<number, Stat['kind']>> = {
  1: 'fifo',
  2: 'character',
  4: 'folder',
  6: 'block',
  8: 'file',
  10: 'symlink',
  12: 'socket',
};

export type When = 'now' | 'omit' | { readonly seconds: number; readonly nanoseconds: number };

function timespecs(accessed: When, modified: When): Buffer {
  const both = Buffer.alloc(32);
  for (const [index, when] of [accessed, modified].entries()) {
    both.writeBigInt64LE(typeof when === 'string' ? 0n : BigInt(when.seconds), index * 16);
    const nanoseconds = when === 'now' ? UTIME_NOW : when === 'omit' ? UTIME_OMIT : when.nanoseconds;
    both.writeBigInt64LE(BigInt(nanoseconds), index * 16 + 8);
  }
  return both;
}

export interface RecordLock {
  readonly type: 'read' | 'write' | 'unlock';
  readonly start: number;
  /** 0: to the end of all. */
  readonly length: number;
  readonly whence?: 'set' | 'current' | 'end';
}
const LOCK_TYPES = ['read', 'write', 'unlock'] as const;
const LOCK_WHENCES = ['set', 'current', 'end'] as const;
const FCNTL = {
  GETFL: 3,
  SETFL: 4,
  GETLK: 5,
  SETLK: 6,
  SETLKW: 7,
  OFD_GETLK: 36,
  OFD_SETLK: 37,
  OFD_SETLKW: 38,
} as const;

function lockStruct(lock: RecordLock): Buffer {
  const struct = Buffer.alloc(32);
  struct.writeInt16LE(LOCK_TYPES.indexOf(lock.type), 0);
  struct.writeInt16LE(LOCK_WHENCES.indexOf(lock.whence ?? 'set'), 2);
  struct.writeBigInt64LE(BigInt(lock.start), 8);
  struct.writeBigInt64LE(BigInt(lock.length), 16);
  return struct;
}

export interface DirectoryEntry {
  readonly name: Buffer;
  readonly kind: Stat['kind'] | 'unknown';
  /** Where a later `seek` goes on behind this entry. */
  readonly offset: bigint;
}

export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups?: readonly number[];
}

/**
 * The calls, and who opened what: `closeAll` closes every descriptor that is still open. Answers are plain data where
 * they can be, so that another process can be asked for the same by name (peer.ts).
 */
export class Libc {
  readonly #open = new Set<number>();

  open(path: Path, flags: number, mode = 0o644): number {
    const fd = raw.open(c(path), flags, mode);
    this.#open.add(fd);
    return fd;
  }
  close(fd: number): void {
    this.#open.delete(fd);
    raw.close(fd);
  }
  dup(fd: number): number {
    const copy = raw.dup(fd);
    this.#open.add(copy);
    return copy;
  }
  closeAll(): void {
    for (const fd of [...this.#open]) {
      try {
        this.close(fd);
      } catch {
        // Already closed behind our back, or a late error of a flush: the next case starts clean all the same.
      }
    }
  }
  read(fd: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, raw.read(fd, bytes, length));
  }
  pread(fd: number, length: number, offset: number): Buffer {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, raw.pread(fd, bytes, length, offset));
  }
  /** Into memory of the caller; answers the count. */
  preadInto(fd: number, bytes: Uint8Array, offset: number): number {
    return raw.pread(fd, bytes, bytes.length, offset);
  }
  write(fd: number, data: Uint8Array | string): number {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    return raw.write(fd, bytes, bytes.length);
  }
  pwrite(fd: number, data: Uint8Array | string, offset: number): number {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    return raw.pwrite(fd, bytes, bytes.length, offset);
  }
  lseek(fd: number, offset: number, whence: number): number {
    return raw.lseek(fd, offset, whence);
  }
  truncate(path: Path, length: number | bigint): void {
    raw.truncate(c(path), length);
  }
  ftruncate(fd: number, length: number | bigint): void {
    raw.ftruncate(fd, length);
  }
  fsync(fd: number): void {
    raw.fsync(fd);
  }
  fdatasync(fd: number): void {
    raw.fdatasync(fd);
  }
  syncfs(fd: number): void {
    raw.syncfs(fd);
  }
  mkdir(path: Path, mode = 0o755): void {
    raw.mkdir(c(path), mode);
  }
  rmdir(path: Path): void {
    raw.rmdir(c(path));
  }
  unlink(path: Path): void {
    raw.unlink(c(path));
  }
  unlinkat(fd: number, path: Path, flags: number): void {
    raw.unlinkat(fd, c(path), flags);
  }
  rename(from: Path, to: Path): void {
    raw.rename(c(from), c(to));
  }
  renameat2(from: Path, to: Path, flags: number): void {
    raw.renameat2(AT.FDCWD, c(from), AT.FDCWD, c(to), flags);
  }
  /** Without flags like link(2): a symlink itself gets the new name. */
  link(from: Path, to: Path, flags = 0, fd: number = AT.FDCWD): void {
    raw.linkat(fd, c(from), AT.FDCWD, c(to), flags);
  }
  symlink(target: Path, path: Path): void {
    raw.symlink(c(target), c(path));
  }
  readlink(path: Path, length = PATH_BYTES_MAX): Buffer {
    const bytes = Buffer.alloc(Math.max(length, 1));
    return bytes.subarray(0, raw.readlink(c(path), bytes, length));
  }
  mknod(path: Path, mode: number, device = 0): void {
    raw.mknod(c(path), mode, device);
  }
  chmod(path: Path, mode: number): void {
    raw.chmod(c(path), mode);
  }
  fchmod(fd: number, mode: number): void {
    raw.fchmod(fd, mode);
  }
  chown(path: Path, uid: number, gid: number): void {
    raw.chown(c(path), uid, gid);
  }
  lchown(path: Path, uid: number, gid: number): void {
    raw.lchown(c(path), uid, gid);
  }
  fchown(fd: number, uid: number, gid: number): void {
    raw.fchown(fd, uid, gid);
  }
  utimens(path: Path, accessed: When, modified: When, flags = 0): void {
    raw.utimensat(AT.FDCWD, c(path), timespecs(accessed, modified), flags);
  }
  /** Both times to now, as a null pointer asks for it. */
  utimensNull(path: Path): void {
    raw.utimensat(AT.FDCWD, c(path), null, 0);
  }
  futimens(fd: number, accessed: When, modified: When): void {
    raw.futimens(fd, timespecs(accessed, modified));
  }
  access(path: Path, mode: number): void {
    raw.access(c(path), mode);
  }
  /** By the effective ids. */
  eaccess(path: Path, mode: number): void {
    raw.syscallPointer(SYS.faccessat2, AT.FDCWD, c(path), mode, AT.EACCESS);
  }
  stat(path: Path): Stat {
    return this.#statx(AT.FDCWD, path, 0);
  }
  lstat(path: Path): Stat {
    return this.#statx(AT.FDCWD, path, AT.SYMLINK_NOFOLLOW);
  }
  fstat(fd: number): Stat {
    return this.#statx(fd, '', AT.EMPTY_PATH);
  }
  #statx(fd: number, path: Path, flags: number): Stat {
    const b = Buffer.alloc(256);
    raw.statx(fd, c(path), flags, 0x7ff, b);
    const time = (at: number): bigint => b.readBigInt64LE(at) * 1_000_000_000n + BigInt(b.readUInt32LE(at + 8));
    const mode = b.readUInt16LE(28);
    return {
      blockSize: b.readUInt32LE(4),
      links: b.readUInt32LE(16),
      uid: b.readUInt32LE(20),
      gid: b.readUInt32LE(24),
      kind: KINDS[mode >> 12] ?? 'file',
      mode: mode & 0o7777,
      id: b.readBigUInt64LE(32),
      size: Number(b.readBigUInt64LE(40)),
      blocks: Number(b.readBigUInt64LE(48)),
      accessed: time(64),
      changed: time(96),
      modified: time(112),
      target: `${b.readUInt32LE(128)}:${b.readUInt32LE(132)}`,
      device: `${b.readUInt32LE(136)}:${b.readUInt32LE(140)}`,
    };
  }
  statfs(path: Path): { blockSize: number; blocks: number; free: number; files: number; nameBytesMax: number } {
    const b = Buffer.alloc(256);
    raw.statfs(c(path), b);
    const word = (index: number): number => Number(b.readBigInt64LE(index * 8));
    return { blockSize: word(1), blocks: word(2), free: word(3), files: word(5), nameBytesMax: word(8) };
  }
  setxattr(path: Path, name: string, value: Uint8Array | string, flags = 0): void {
    const bytes = Buffer.from(value);
    raw.setxattr(c(path), c(name), bytes, bytes.length, flags);
  }
  lsetxattr(path: Path, name: string, value: Uint8Array | string, flags = 0): void {
    const bytes = Buffer.from(value);
    raw.lsetxattr(c(path), c(name), bytes, bytes.length, flags);
  }
  fsetxattr(fd: number, name: string, value: Uint8Array | string, flags = 0): void {
    const bytes = Buffer.from(value);
    raw.fsetxattr(fd, c(name), bytes, bytes.length, flags);
  }
  getxattr(path: Path, name: string, length = 65_536): Buffer {
    const bytes = Buffer.alloc(Math.max(length, 1));
    return bytes.subarray(0, raw.getxattr(c(path), c(name), bytes, length));
  }
  /** What getxattr answers when it is asked for the size only. */
  sizeofxattr(path: Path, name: string): number {
    return raw.getxattr(c(path), c(name), null, 0);
  }
  lgetxattr(path: Path, name: string, length = 65_536): Buffer {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, raw.lgetxattr(c(path), c(name), bytes, length));
  }
  fgetxattr(fd: number, name: string, length = 65_536): Buffer {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, raw.fgetxattr(fd, c(name), bytes, length));
  }
  /** Names in order of bytes. `length` 0 asks for the size: one string of digits. */
  listxattr(path: Path, length = 65_536): string[] {
    if (length === 0) return [String(raw.listxattr(c(path), null, 0))];
    const bytes = Buffer.alloc(length);
    return names(bytes.subarray(0, raw.listxattr(c(path), bytes, length)));
  }
  llistxattr(path: Path): string[] {
    const bytes = Buffer.alloc(65_536);
    return names(bytes.subarray(0, raw.llistxattr(c(path), bytes, bytes.length)));
  }
  removexattr(path: Path, name: string): void {
    raw.removexattr(c(path), c(name));
  }
  lremovexattr(path: Path, name: string): void {
    raw.lremovexattr(c(path), c(name));
  }
  /** Record lock; `open file description` locks belong to the descriptor, others to the process. */
  setLock(fd: number, lock: RecordLock, options: { wait?: boolean; openFile?: boolean } = {}): void {
    const plain = options.wait ? FCNTL.SETLKW : FCNTL.SETLK;
    raw.fcntl(fd, options.openFile ? plain + 31 : plain, lockStruct(lock));
  }
  /** The first lock in the way; `unlock` when none is. The range is counted from the start of the file. */
  getLock(fd: number, lock: RecordLock, options: { openFile?: boolean } = {}): RecordLock & { ours: boolean } {
    const struct = lockStruct(lock);
    raw.fcntl(fd, options.openFile ? FCNTL.OFD_GETLK : FCNTL.GETLK, struct);
    const type = LOCK_TYPES[struct.readInt16LE(0)] ?? 'unlock';
    const ours = struct.readInt32LE(24) === process.pid;
    if (type === 'unlock') return { type, start: 0, length: 0, ours: false };
    return { type, start: Number(struct.readBigInt64LE(8)), length: Number(struct.readBigInt64LE(16)), ours };
  }
  flags(fd: number): number {
    return raw.fcntlNumber(fd, FCNTL.GETFL, 0);
  }
  setFlags(fd: number, flags: number): void {
    raw.fcntlNumber(fd, FCNTL.SETFL, flags);
  }
  flock(fd: number, operation: number): void {
    raw.flock(fd, operation);
  }
  fallocate(fd: number, mode: number, offset: number, length: number): void {
    raw.fallocate(fd, mode, offset, length);
  }
  /** `undefined` uses and moves the descriptor's own position. */
  copyFileRange(
    source: { fd: number; offset?: number },
    target: { fd: number; offset?: number },
    length: number,
    flags = 0,
  ): number {
    return raw.copyFileRange(source.fd, where(source.offset), target.fd, where(target.offset), length, flags);
  }
  sendfile(target: number, source: number, offset: number, length: number): number {
    return raw.sendfile(target, source, where(offset), length);
  }
  /** Maps shared unless told otherwise; `offset` is whole pages. */
  map(fd: number, length: number, options: { offset?: number; readOnly?: boolean; private?: boolean } = {}): Mapping {
    const protection = options.readOnly ? PROT_READ : PROT_READ | PROT_WRITE;
    const address = raw.mmap(0, length, protection, options.private ? 2 : 1, fd, options.offset ?? 0);
    return new Mapping(address, length);
  }
  /** pread and pwrite with memory on a page boundary, as O_DIRECT wants it. */
  preadAligned(fd: number, length: number, offset: number): Buffer {
    const memory = raw.posixMemalign(4_096, Math.ceil(length / 4_096) * 4_096);
    try {
      const count = raw.preadAt(fd, memory, length, offset);
      const bytes = Buffer.alloc(count);
      if (count > 0) copyOut(bytes, memory, count);
      return bytes;
    } finally {
      free(memory);
    }
  }
  pwriteAligned(fd: number, bytes: Uint8Array, offset: number): number {
    const memory = raw.posixMemalign(4_096, Math.ceil(bytes.length / 4_096) * 4_096);
    try {
      copyIn(memory, bytes, bytes.length);
      return raw.pwriteAt(fd, memory, bytes.length, offset);
    } finally {
      free(memory);
    }
  }
  /** The next entries of an open folder, at most as many as fit into `length` bytes; none at its end. */
  entries(fd: number, length = 32_768): DirectoryEntry[] {
    const bytes = Buffer.alloc(length);
    const count = raw.getdents64(fd, bytes, length);
    const found: DirectoryEntry[] = [];
    for (let at = 0; at < count; at += bytes.readUInt16LE(at + 16)) {
      const name = bytes.subarray(at + 19, bytes.indexOf(0, at + 19));
      const kind = KINDS[bytes[at + 18] ?? 0] ?? 'unknown';
      found.push({ name, kind, offset: bytes.readBigInt64LE(at + 8) });
    }
    return found;
  }
  /** What opens the file again without its name; opaque. */
  handleOf(path: Path): Buffer {
    const handle = Buffer.alloc(8 + HANDLE_BYTES_MAX);
    handle.writeUInt32LE(HANDLE_BYTES_MAX, 0);
    raw.nameToHandleAt(AT.FDCWD, c(path), handle, Buffer.alloc(4), 0);
    return handle;
  }
  /** `on`: anything open on the same file system. */
  openHandle(on: number, handle: Uint8Array, flags: number): number {
    const fd = raw.openByHandleAt(on, handle, flags);
    this.#open.add(fd);
    return fd;
  }
  seekEntries(fd: number, offset: bigint): void {
    raw.lseek(fd, offset, SEEK.SET);
  }
  chdir(path: Path): void {
    raw.chdir(c(path));
  }
  /** Answers the mask before. */
  umask(mask: number): number {
    return umask(mask) as number;
  }
  /** A listening socket under a name. */
  listenAt(path: string): number {
    const fd = this.#socket();
    const address = socketAddress(path);
    raw.bindSocket(fd, address, address.length);
    raw.listen(fd, 1);
    return fd;
  }
  connectTo(path: string): number {
    const fd = this.#socket();
    const address = socketAddress(path);
    raw.connect(fd, address, address.length);
    return fd;
  }
  #socket(): number {
    const fd = raw.socket(1, 1, 0);
    this.#open.add(fd);
    return fd;
  }
  /** Does `what` as somebody else, without root's capabilities, and is root again. */
  as<T>(identity: Identity, what: () => T): T {
    const groups = Buffer.alloc(4 * (identity.groups?.length ?? 0) + 4);
    for (const [index, group] of (identity.groups ?? []).entries()) groups.writeUInt32LE(group, index * 4);
    raw.syscallPointer(SYS.setgroups, identity.groups?.length ?? 0, groups, 0, 0);
    raw.syscall(SYS.setresgid, identity.gid, identity.gid, 0, 0);
    // The saved id stays root's, which is what leads back.
    raw.syscall(SYS.setresuid, identity.uid, identity.uid, 0, 0);
    try {
      return what();
    } finally {
      raw.syscall(SYS.setresuid, 0, 0, 0, 0);
      raw.syscall(SYS.setresgid, 0, 0, 0, 0);
      raw.syscallPointer(SYS.setgroups, 0, groups, 0, 0);
    }
  }
}

/** A mapped range of a file. Reading behind the file's last page ends the process: keep inside. */
export class Mapping implements Disposable {
  readonly #address: number;
  readonly #length: number;
  #isMapped = true;

  constructor(address: number, length: number) {
    this.#address = address;
    this.#length = length;
  }
  read(offset: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    if (length > 0) copyOut(bytes, this.#address + offset, length);
    return bytes;
  }
  readInto(bytes: Uint8Array, offset: number): void {
    if (bytes.length > 0) copyOut(bytes, this.#address + offset, bytes.length);
  }
  write(data: Uint8Array | string, offset: number): void {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    if (bytes.length > 0) copyIn(this.#address + offset, bytes, bytes.length);
  }
  sync(): void {
    raw.msync(this.#address, this.#length, MS_SYNC);
  }
  unmap(): void {
    if (!this.#isMapped) return;
    this.#isMapped = false;
    raw.munmap(this.#address, this.#length);
  }
  [Symbol.dispose](): void {
    this.unmap();
  }
}

function where(offset: number | undefined): Buffer | null {
  if (offset === undefined) return null;
  const word = Buffer.alloc(8);
  word.writeBigInt64LE(BigInt(offset));
  return word;
}

function names(list: Buffer): string[] {
  return list.toString('latin1').split('\0').slice(0, -1).sort();
}

function socketAddress(path: string): Buffer {
  return Buffer.concat([Buffer.from([1, 0]), c(path)]);
}
