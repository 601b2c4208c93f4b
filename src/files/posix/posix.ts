/**
 * A user's tree as a POSIX file system: nodes by id, names as bytes, open files by handle. What the mount's door asks of
 * this room, operation by operation as the kernel sends them; errors carry the errno that POSIX asks for.
 *
 * Every method may answer at once or later (Maybe); with embedded metadata and data at hand it answers at once, in the
 * same turn. Operations that answer at once take effect in the order of the calls.
 * Changes are seen through this tree at once and become durable in groups, soon; `fsync`, `syncFs` and writes through
 * handles opened with `sync` wait for it. Other doors see durable commits only.
 *
 * Permissions are the kernel's business (it is mounted with default_permissions); this room keeps what only the keeper of
 * inodes can: link counts, times, clearing of setuid and setgid, inheritance of groups and of default ACLs.
 */
import { Fault, type FaultCode, type Maybe, type Moment } from '../../base/index.ts';
import type { NodeId, NodeKind } from '../../meta/index.ts';

/** What `stat` shows. Times as seconds (may be negative) and nanoseconds since 1970. */
export interface PosixNode {
  readonly node: NodeId;
  readonly kind: NodeKind;
  /** Permission bits with setuid, setgid and sticky: 0o0000–0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  /** Bytes, those not yet durable included. */
  readonly size: number;
  /** Bytes of it that are no holes; `size` when absent. */
  readonly allocatedBytes?: number;
  /** Device number as the kernel's `new_encode_dev` 32 bits; 0 for what is no device. */
  readonly device: number;
  readonly modifiedSeconds: number;
  readonly modifiedNanoseconds: number;
  readonly changedSeconds: number;
  readonly changedNanoseconds: number;
  readonly accessedSeconds: number;
  readonly accessedNanoseconds: number;
  /** Birth. */
  readonly createdSeconds: number;
  readonly createdNanoseconds: number;
}

/** Who acts, as the kernel says. */
export interface PosixCaller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** An open file or folder. Numbers from 1, used again after release. */
export type Handle = number;

export interface OpenFlags {
  readonly read: boolean;
  readonly write: boolean;
  /** Each write goes to the end as it is then, whatever its offset. */
  readonly append: boolean;
  /** Cut to 0 bytes, in the same step as opening. */
  readonly truncate: boolean;
  /** Each write is durable when it answers (O_SYNC, O_DSYNC). */
  readonly sync: boolean;
  /** With `truncate`: clear setuid and setgid as WriteFlags says. */
  readonly killPrivileges?: boolean;
  /** Who opens; there when privileges are to be cleared. */
  readonly caller?: PosixCaller;
}

export interface MakeOptions {
  readonly kind: NodeKind;
  /** Permission bits as asked for, `umask` not yet taken off: a default ACL of the folder replaces it. */
  readonly mode: number;
  readonly umask: number;
  /** For devices. */
  readonly device?: number;
  /** For symlinks: 1 to 4,095 bytes. */
  readonly target?: Uint8Array;
}

/** Absent fields stay. `now` is the tree's own clock. */
export interface SetAttributes {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Cuts or, with zeros, extends. */
  readonly size?: number;
  readonly modified?: Moment | 'now';
  readonly accessed?: Moment | 'now';
  readonly changed?: Moment;
  /** Clear setuid, and setgid where the group may execute (the kernel asks for it on truncate and chown). */
  readonly killPrivileges?: boolean;
  /** The open file through which the size is set, if any. */
  readonly handle?: Handle;
}

export interface WriteFlags {
  /** Clear setuid, and setgid where the group may execute or `caller` is not in it. */
  readonly killPrivileges?: boolean;
  /** Who writes; there when privileges are to be cleared. */
  readonly caller?: PosixCaller;
  /** Durable when it answers, although the handle was not opened so. */
  readonly sync?: boolean;
}

/** Bits of `allocate`, as in linux/falloc.h. */
export const ALLOCATE = { keepSize: 0x01, punchHole: 0x02, zeroRange: 0x10 } as const;

export interface FolderEntry {
  readonly name: Uint8Array;
  readonly node: NodeId;
  readonly kind: NodeKind;
  /** Hand in to go on behind this entry. Above 0. */
  readonly offset: number;
}

/** Figures of the file system, in bytes and counts. */
export interface FileSystemSpace {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly nodeCount: number;
  readonly freeNodeCount: number;
}

/** What changed through another door, so that caches of this one can be told. */
export type OutsideChange =
  /** Attributes, or with `data` also bytes. */
  | { readonly kind: 'node'; readonly node: NodeId; readonly data: boolean }
  /** The name may stand for something else now: it came to be, or was replaced. */
  | { readonly kind: 'entry'; readonly parent: NodeId; readonly name: Uint8Array }
  /** The name is gone; `node` is what it stood for. */
  | { readonly kind: 'removed'; readonly parent: NodeId; readonly name: Uint8Array; readonly node: NodeId };

/** @throws (all methods) Fault with `about.errno`, or a Fault that the door translates by its code. */
export interface PosixTree extends AsyncDisposable {
  /** What the mount shows as its root. */
  readonly root: NodeId;

  /** Absent is an answer. `.` and `..` are never asked for. */
  lookup(parent: NodeId, name: Uint8Array): Maybe<PosixNode | undefined>;
  /** @throws `ESTALE` when there is no such node. Unlinked nodes are there until `forgotten` and closed. */
  stat(node: NodeId): Maybe<PosixNode>;
  /**
   * The node whose number somebody kept without keeping the node (open_by_handle_at, an NFS server), as long as a name
   * below the root leads to it. @throws `ESTALE`.
   */
  reach(node: NodeId): Maybe<PosixNode>;
  setAttributes(node: NodeId, set: SetAttributes, caller: PosixCaller): Maybe<PosixNode>;
  readLink(node: NodeId): Maybe<Uint8Array>;

  /** Makes anything but an open file: files, folders, symlinks, devices, fifos, sockets. */
  make(parent: NodeId, name: Uint8Array, options: MakeOptions, caller: PosixCaller): Maybe<PosixNode>;
  /** Makes a file and opens it; @throws `EEXIST`. */
  create(
    parent: NodeId,
    name: Uint8Array,
    options: Omit<MakeOptions, 'kind'>,
    flags: OpenFlags,
    caller: PosixCaller,
  ): Maybe<{ readonly node: PosixNode; readonly handle: Handle }>;
  /** Makes a file without a name and opens it; `link` may give it one. */
  createUnnamed(
    parent: NodeId,
    options: Omit<MakeOptions, 'kind'>,
    flags: OpenFlags,
    caller: PosixCaller,
  ): Maybe<{ readonly node: PosixNode; readonly handle: Handle }>;
  link(node: NodeId, parent: NodeId, name: Uint8Array): Maybe<PosixNode>;
  unlink(parent: NodeId, name: Uint8Array): Maybe<void>;
  removeFolder(parent: NodeId, name: Uint8Array): Maybe<void>;
  rename(
    from: { readonly parent: NodeId; readonly name: Uint8Array },
    to: { readonly parent: NodeId; readonly name: Uint8Array },
    mode: 'replace' | 'no-replace' | 'exchange',
  ): Maybe<void>;

  open(node: NodeId, flags: OpenFlags): Maybe<Handle>;
  /** Pieces in order, `length` bytes together, fewer at the end of the file. They stay unchanged until the turn ends. */
  read(handle: Handle, offset: number, length: number): Maybe<readonly Uint8Array[]>;
  /** Takes all bytes before it answers at the latest: the caller reuses them afterwards. Answers how many. */
  write(handle: Handle, offset: number, bytes: Uint8Array, flags?: WriteFlags): Maybe<number>;
  /** A descriptor was closed (there may be more of the handle). A changed file is published to the other doors soon. */
  flush(handle: Handle): Maybe<void>;
  /** Durable when it answers. A fault of earlier writes is reported here, once a handle. */
  fsync(handle: Handle, dataOnly: boolean): Maybe<void>;
  release(handle: Handle): Maybe<void>;
  /** `mode`: bits of ALLOCATE. @throws `EOPNOTSUPP` for other bits. */
  allocate(handle: Handle, mode: number, offset: number, length: number, caller: PosixCaller): Maybe<void>;
  /** @throws `ENXIO` where there is no data, or no hole, from `offset` on (the end of the file is a hole). */
  seek(handle: Handle, offset: number, what: 'data' | 'hole'): Maybe<number>;
  /** Shares chunks where it can; answers bytes copied, fewer at the end of the source. */
  copyRange(
    source: { readonly handle: Handle; readonly offset: number },
    target: { readonly handle: Handle; readonly offset: number },
    length: number,
    caller: PosixCaller,
  ): Maybe<number>;

  openFolder(node: NodeId): Maybe<Handle>;
  /** Entries behind `offset` (0: from the first), as the folder was when offset 0 was read; without `.` and `..`. */
  readFolder(handle: Handle, offset: number, count: number): Maybe<readonly FolderEntry[]>;
  /** The folder above, for `..`; the root's is itself. */
  parentOf(node: NodeId): Maybe<NodeId>;
  releaseFolder(handle: Handle): Maybe<void>;
  syncFolder(handle: Handle): Maybe<void>;

  /** Absent is an answer. */
  getAttribute(node: NodeId, name: Uint8Array): Maybe<Uint8Array | undefined>;
  setAttribute(
    node: NodeId,
    name: Uint8Array,
    value: Uint8Array,
    mode: 'set' | 'create' | 'replace',
    options: { readonly killSetgid?: boolean },
  ): Maybe<void>;
  /** `trusted.*` only for root. */
  listAttributes(node: NodeId, caller: PosixCaller): Maybe<readonly Uint8Array[]>;
  /** @throws `ENODATA`. */
  removeAttribute(node: NodeId, name: Uint8Array): Maybe<void>;

  space(): Maybe<FileSystemSpace>;
  /** Everything done so far is durable when it answers. */
  syncFs(): Maybe<void>;
  /** The kernel holds the node no longer: an unlinked one that nobody has open may go. */
  forgotten(node: NodeId): void;
  /** Called for every change that another door made durable. Answers how to stop. */
  onOutsideChange(listener: (change: OutsideChange) => void): Disposable;
}

/** The errors that POSIX tells apart and Fault codes do not. */
export type Errno =
  | 'EPERM'
  | 'ENOENT'
  | 'EIO'
  | 'ENXIO'
  | 'E2BIG'
  | 'EBADF'
  | 'EACCES'
  | 'EBUSY'
  | 'EEXIST'
  | 'EXDEV'
  | 'ENOTDIR'
  | 'EISDIR'
  | 'EINVAL'
  | 'EFBIG'
  | 'ENOSPC'
  | 'EROFS'
  | 'EMLINK'
  | 'ERANGE'
  | 'ENAMETOOLONG'
  | 'ENOTEMPTY'
  | 'ENODATA'
  | 'EOPNOTSUPP'
  | 'ESTALE'
  | 'EDQUOT';

const CODE_OF_ERRNO: Readonly<Record<Errno, FaultCode>> = {
  EPERM: 'denied',
  ENOENT: 'not-found',
  EIO: 'io',
  ENXIO: 'range',
  E2BIG: 'too-large',
  EBADF: 'invalid',
  EACCES: 'denied',
  EBUSY: 'locked',
  EEXIST: 'exists',
  EXDEV: 'unsupported',
  ENOTDIR: 'not-folder',
  EISDIR: 'is-folder',
  EINVAL: 'invalid',
  EFBIG: 'too-large',
  ENOSPC: 'full',
  EROFS: 'read-only',
  EMLINK: 'too-large',
  ERANGE: 'range',
  ENAMETOOLONG: 'too-large',
  ENOTEMPTY: 'not-empty',
  ENODATA: 'not-found',
  EOPNOTSUPP: 'unsupported',
  ESTALE: 'not-found',
  EDQUOT: 'quota',
};

/** A fault that says which errno it is. */
export function posixFault(errno: Errno, sentence: string, about: Readonly<Record<string, unknown>> = {}): Fault {
  return new Fault(CODE_OF_ERRNO[errno], sentence, { ...about, errno });
}
