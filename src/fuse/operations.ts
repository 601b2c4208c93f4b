/**
 * What the kernel asks, operation by operation: decoded from the request, put to the tree, answered.
 *
 * A tree that answers at once is answered at once, and no promise is made. One that answers later is waited for, and its
 * answer goes out whenever it comes: the kernel takes answers in any order. Bytes of a request are the tree's for the
 * length of the call only, but a WRITE that is answered later keeps its buffer until then.
 *
 * Interrupts: whatever only reads is given up when it takes longer than INTERRUPT_GRACE_MS, so that Ctrl-C works on a
 * slow fetch, and a passing SIGCHLD does not make read(2) of a file fail, which no program expects. What changes
 * something always ends by itself.
 *
 * Locks of programs (fcntl, flock, leases) are the kernel's: it keeps those of a mount as it keeps those of a disk.
 */
import { andThen, type Clock, equalBytes, Fault, isPromise, type Log, type Maybe } from '../base/index.ts';
import type { Handle, OpenFlags, PosixCaller, PosixNode, PosixTree, SetAttributes } from '../files/index.ts';
import { NODE_KIND, type NodeId } from '../meta/index.ts';
import type { RequestBuffer } from './device.ts';
import {
  BATCH_FORGET_IN,
  BODY_BYTES,
  COPY_IN,
  CREATE_IN,
  DIRENT_BYTES,
  ENTRY_BYTES,
  ERRNO,
  FALLOCATE_IN,
  FAULT_ERRNO,
  FLUSH_IN,
  FSYNC_DATA_ONLY,
  FSYNC_IN,
  GETXATTR_IN,
  HEADER,
  INTERRUPT_IN,
  LINK_IN,
  LSEEK_IN,
  long,
  MKDIR_IN,
  MKNOD_IN,
  O,
  OPEN_IN,
  OPEN_KILL_PRIVILEGES,
  OPENED,
  OPERATION,
  OPERATION_CODE_MAX,
  OPERATION_NAMES,
  READ_IN,
  RELEASE_IN,
  RENAME,
  RENAME_IN,
  RENAME2_IN,
  SEEK,
  SETATTR,
  SETATTR_IN,
  SETXATTR_IN,
  SETXATTR_KILL_SETGID,
  signedLong,
  WRITE_IN,
  WRITE_KILL_PRIVILEGES,
  XATTR,
} from './protocol.ts';
import { exchangeRoot, kindOfMode, type Replies, type Ticket } from './reply.ts';

export interface OperationsOptions {
  readonly tree: PosixTree;
  readonly replies: Replies;
  readonly clock: Clock;
  readonly log: Log;
  /** Keeps the buffer of the request being handled from being read into; answers how to give it back. */
  readonly keepBuffer: () => () => void;
}

/** How long a reading operation may go on after its program was interrupted. */
const INTERRUPT_GRACE_MS = 1_000;
/** Entries asked of the tree for one listing. */
const LISTED_MAX = 1_024;
/** What COPY_FILE_RANGE can answer in 32 bits, on whole pages. */
const COPIED_BYTES_MAX = 0x7fff_f000;
/** Offsets of `.` and `..` in a listing; the tree's own begin behind them. */
const DOT = 1;
const DOT_DOT = 2;
const DOT_NAME = Uint8Array.of(0x2e);
const DOT_DOT_NAME = Uint8Array.of(0x2e, 0x2e);
/** `.` and `..` are listed without attributes: the kernel has them. */
const WITHOUT_NODE = { node: undefined } as const;

interface Pending {
  readonly ticket: Ticket;
  readonly mayGiveUp: boolean;
  isAnswered: boolean;
}

interface Listed {
  readonly name: Uint8Array;
  readonly node: NodeId;
  readonly kind: PosixNode['kind'];
  readonly offset: number;
}

export class Operations {
  readonly #tree: PosixTree;
  readonly #replies: Replies;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #keepBuffer: () => () => void;
  readonly #root: NodeId;

  readonly #table: ((request: RequestBuffer) => void)[] = [];
  readonly #counts = new Float64Array(OPERATION_CODE_MAX + 1);
  /** The request being handled; copied when its answer comes later. */
  readonly #now: Ticket = { uniqueLow: 0, uniqueHigh: 0, fd: -1, opcode: 0 };
  readonly #pending = new Map<number, Pending>();
  /** Nodes of open files and folders, by handle. */
  readonly #files: (NodeId | undefined)[] = [];
  readonly #folders: (NodeId | undefined)[] = [];
  #idle: (() => void) | undefined;
  #hasEnded = false;

  constructor(options: OperationsOptions) {
    this.#tree = options.tree;
    this.#replies = options.replies;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#keepBuffer = options.keepBuffer;
    this.#root = options.tree.root;
    this.#fillTable();
  }

  /** Requests so far, by operation. */
  get counts(): Readonly<Record<string, number>> {
    const named: Record<string, number> = {};
    for (const [code, name] of OPERATION_NAMES) if (this.#counts[code]! > 0) named[name] = this.#counts[code]!;
    return named;
  }

  /** Requests that wait for the tree, and so for the event loop. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Nodes that programs have open now. */
  openNodes(): Set<NodeId> {
    const nodes = [...this.#files, ...this.#folders].filter((node) => node !== undefined);
    return new Set(nodes);
  }

  /** Handles the request in the buffer, of `received` bytes, that was read from `fd`. */
  handle(request: RequestBuffer, fd: number, received: number): void {
    const { words } = request;
    const now = this.#now;
    now.uniqueLow = words[HEADER.uniqueLow]!;
    now.uniqueHigh = words[HEADER.uniqueHigh]!;
    now.fd = fd;
    const opcode = words[HEADER.opcode]!;
    now.opcode = opcode;
    if (received < BODY_BYTES || request.length !== received) {
      this.#log.error('fuse.request-cut', { received, announced: request.length });
      this.#replies.error(now, ERRNO.EIO);
      return;
    }
    const handler = this.#table[opcode];
    if (handler === undefined) {
      this.#replies.error(now, ERRNO.ENOSYS);
      return;
    }
    this.#counts[opcode]!++;
    try {
      handler(request);
    } catch (error) {
      this.#fail(now, error);
    }
  }

  /** After the connection has ended: waits for what is under way, closes what is open, makes everything durable. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    if (this.#pending.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    for (const [handle, node] of this.#files.entries()) if (node !== undefined) await this.#close(handle, 'file');
    for (const [handle, node] of this.#folders.entries()) if (node !== undefined) await this.#close(handle, 'folder');
    await this.#tree.syncFs();
  }

  async #close(handle: Handle, kind: 'file' | 'folder'): Promise<void> {
    try {
      await (kind === 'file' ? this.#tree.release(handle) : this.#tree.releaseFolder(handle));
    } catch (error) {
      this.#log.warn('fuse.release-failed', { kind, error: sayError(error) });
    }
  }

  #fillTable(): void {
    const on = (operation: keyof typeof OPERATION, handler: (request: RequestBuffer) => void): void => {
      this.#table[OPERATION[operation]] = handler;
    };
    on('lookup', (request) => this.#lookup(request));
    on('forget', (request) => this.#forget(this.#node(request)));
    on('batchForget', (request) => this.#batchForget(request));
    on('getattr', (request) => this.#answer(this.#tree.stat(this.#node(request)), this.#sendAttributes, true));
    on('statx', (request) => this.#answer(this.#tree.stat(this.#node(request)), this.#sendStatx, true));
    on('setattr', (request) => this.#setattr(request));
    on('readlink', (request) => this.#answer(this.#tree.readLink(this.#node(request)), this.#sendBytes, true));
    on('symlink', (request) => this.#symlink(request));
    on('mknod', (request) => this.#mknod(request));
    on('mkdir', (request) => this.#mkdir(request));
    on('unlink', (request) =>
      this.#answer(this.#tree.unlink(this.#node(request), request.name(BODY_BYTES)), this.#sendDone),
    );
    on('rmdir', (request) =>
      this.#answer(this.#tree.removeFolder(this.#node(request), request.name(BODY_BYTES)), this.#sendDone),
    );
    on('rename', (request) => this.#rename(request, RENAME_IN.endBytes, 0));
    on('rename2', (request) => this.#rename(request, RENAME2_IN.endBytes, request.words[RENAME2_IN.flags]!));
    on('link', (request) => this.#link(request));
    on('open', (request) => this.#open(request));
    on('create', (request) => this.#create(request, false));
    on('tmpfile', (request) => this.#create(request, true));
    on('read', (request) => this.#read(request));
    on('write', (request) => this.#write(request));
    on('flush', (request) => this.#flush(request));
    on('fsync', (request) => this.#fsync(request));
    on('release', (request) => this.#release(request));
    on('fallocate', (request) => this.#fallocate(request));
    on('lseek', (request) => this.#lseek(request));
    on('copyFileRange', (request) => this.#copy(request, this.#sendCount));
    on('copyFileRange64', (request) => this.#copy(request, this.#sendLong));
    on('opendir', (request) => this.#opendir(request));
    on('readdir', (request) => this.#list(request, false));
    on('readdirplus', (request) => this.#list(request, true));
    on('releasedir', (request) => this.#releasedir(request));
    on('fsyncdir', (request) =>
      this.#answer(this.#tree.syncFolder(long(request.words, FSYNC_IN.handle)), this.#sendDone),
    );
    on('setxattr', (request) => this.#setxattr(request));
    on('getxattr', (request) => this.#getxattr(request));
    on('listxattr', (request) => this.#listxattr(request));
    on('removexattr', (request) =>
      this.#answer(this.#tree.removeAttribute(this.#node(request), request.name(BODY_BYTES)), this.#sendDone),
    );
    on('statfs', () => this.#answer(this.#tree.space(), this.#sendSpace, true));
    on('syncfs', () => this.#answer(this.#tree.syncFs(), this.#sendDone));
    on('interrupt', (request) => this.#interrupt(long(request.words, INTERRUPT_IN.unique)));
    on('ioctl', () => this.#replies.error(this.#now, ERRNO.ENOTTY));
    on('destroy', () => this.#replies.done(this.#now));
    // ENOSYS is remembered by the kernel: permissions are its own business, and files are always ready to be read.
    for (const refused of ['access', 'poll', 'bmap'] as const)
      on(refused, () => this.#replies.error(this.#now, ERRNO.ENOSYS));
  }

  // ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #sendDone = (to: Ticket): boolean => this.#replies.done(to);
  readonly #sendFound = (to: Ticket, node: PosixNode | undefined): boolean =>
    node === undefined ? this.#replies.noEntry(to) : this.#replies.entry(to, node);
  readonly #sendEntry = (to: Ticket, node: PosixNode): boolean => this.#replies.entry(to, node);
  readonly #sendAttributes = (to: Ticket, node: PosixNode): boolean => this.#replies.attributes(to, node);
  readonly #sendStatx = (to: Ticket, node: PosixNode): boolean => this.#replies.statx(to, node);
  readonly #sendBytes = (to: Ticket, bytes: Uint8Array): boolean => this.#replies.bytes(to, bytes);
  readonly #sendPieces = (to: Ticket, pieces: readonly Uint8Array[]): boolean => this.#replies.pieces(to, pieces);
  readonly #sendCount = (to: Ticket, count: number): boolean => this.#replies.count(to, count);
  readonly #sendLong = (to: Ticket, value: number): boolean => this.#replies.long(to, value);
  readonly #sendSpace = (to: Ticket, space: Parameters<Replies['space']>[1]): boolean => this.#replies.space(to, space);

  /** Answers the request being handled, now or when the value comes. */
  #answer<T>(value: Maybe<T>, send: (to: Ticket, value: T) => unknown, mayGiveUp = false): void {
    if (isPromise(value)) this.#later(value, send, mayGiveUp);
    else send(this.#now, value);
  }

  #later<T>(value: Promise<T>, send: (to: Ticket, value: T) => unknown, mayGiveUp: boolean): void {
    const pending: Pending = { ticket: { ...this.#now }, mayGiveUp, isAnswered: false };
    const unique = uniqueOf(pending.ticket);
    this.#pending.set(unique, pending);
    value
      .then(
        (answer) => {
          if (!pending.isAnswered && !this.#hasEnded) send(pending.ticket, answer);
        },
        (error: unknown) => {
          if (!pending.isAnswered) this.#fail(pending.ticket, error);
        },
      )
      // What `send` throws.
      .catch((error: unknown) => this.#fail(pending.ticket, error))
      .finally(() => this.#settled(unique, pending));
  }

  #settled(unique: number, pending: Pending): void {
    pending.isAnswered = true;
    if (!this.#pending.delete(unique)) return;
    if (this.#pending.size === 0) this.#idle?.();
  }

  #fail(to: Ticket, error: unknown): void {
    const { errno, isExpected } = errnoOf(error);
    if (!isExpected) {
      this.#log.error('fuse.operation-failed', {
        operation: OPERATION_NAMES.get(to.opcode) ?? to.opcode,
        error: sayError(error),
      });
    }
    const isSilent =
      to.opcode === OPERATION.forget || to.opcode === OPERATION.batchForget || to.opcode === OPERATION.interrupt;
    if (!isSilent && !this.#hasEnded) this.#replies.error(to, errno);
  }

  #interrupt(unique: number): void {
    const pending = this.#pending.get(unique);
    // Answered already, and the interrupt crossed the answer.
    if (pending?.mayGiveUp !== true) return;
    this.#clock.after(INTERRUPT_GRACE_MS, () => {
      if (pending.isAnswered || this.#hasEnded) return;
      pending.isAnswered = true;
      this.#replies.error(pending.ticket, ERRNO.EINTR);
    });
  }

  // ── nodes and names ──────────────────────────────────────────────────────────────────────────────────────────────

  #node(request: RequestBuffer): NodeId {
    return this.#nodeAt(request, HEADER.node);
  }

  #nodeAt(request: RequestBuffer, at: number): NodeId {
    return exchangeRoot(this.#root, long(request.words, at)) as NodeId;
  }

  #caller(request: RequestBuffer): PosixCaller {
    const { words } = request;
    return { uid: words[HEADER.uid]!, gid: words[HEADER.gid]!, pid: words[HEADER.pid]! };
  }

  /** `.` and `..` are asked for only when somebody opens by handle what the kernel has forgotten. */
  #lookup(request: RequestBuffer): void {
    const node = this.#node(request);
    const name = request.name(BODY_BYTES);
    if (name[0] !== DOT_NAME[0] || !(equalBytes(name, DOT_NAME) || equalBytes(name, DOT_DOT_NAME))) {
      this.#answer(this.#tree.lookup(node, name), this.#sendFound, true);
      return;
    }
    const meant = name.length === DOT_NAME.length ? node : this.#tree.parentOf(node);
    this.#answer(
      andThen(meant, (found) => this.#tree.reach(found)),
      this.#sendEntry,
      true,
    );
  }

  #forget(node: NodeId): void {
    this.#tree.forgotten(node);
  }

  #batchForget(request: RequestBuffer): void {
    const { count, first, pairWords } = BATCH_FORGET_IN;
    for (let at = first, left = request.words[count]!; left > 0; at += pairWords, left--) {
      this.#forget(this.#nodeAt(request, at));
    }
  }

  #setattr(request: RequestBuffer): void {
    const { words } = request;
    const valid = words[SETATTR_IN.valid]!;
    const moment = (seconds: number, nanoseconds: number) => ({
      seconds: signedLong(words, seconds),
      nanoseconds: words[nanoseconds]!,
    });
    const set: { -readonly [K in keyof SetAttributes]: SetAttributes[K] } = {};
    if (valid & SETATTR.mode) set.mode = words[SETATTR_IN.mode]! & 0o7777;
    if (valid & SETATTR.uid) set.uid = words[SETATTR_IN.uid]!;
    if (valid & SETATTR.gid) set.gid = words[SETATTR_IN.gid]!;
    if (valid & SETATTR.size) set.size = safe(long(words, SETATTR_IN.size));
    if (valid & SETATTR.accessedNow) set.accessed = 'now';
    else if (valid & SETATTR.accessed)
      set.accessed = moment(SETATTR_IN.accessedSeconds, SETATTR_IN.accessedNanoseconds);
    if (valid & SETATTR.modifiedNow) set.modified = 'now';
    else if (valid & SETATTR.modified)
      set.modified = moment(SETATTR_IN.modifiedSeconds, SETATTR_IN.modifiedNanoseconds);
    if (valid & SETATTR.changed) set.changed = moment(SETATTR_IN.changedSeconds, SETATTR_IN.changedNanoseconds);
    if (valid & SETATTR.killPrivileges) set.killPrivileges = true;
    if (valid & SETATTR.handle) set.handle = long(words, SETATTR_IN.handle);
    this.#answer(this.#tree.setAttributes(this.#node(request), set, this.#caller(request)), this.#sendAttributes);
  }

  #symlink(request: RequestBuffer): void {
    const name = request.name(BODY_BYTES);
    const target = request.name(BODY_BYTES + name.length + 1);
    const options = { kind: NODE_KIND.symlink, mode: 0o777, umask: 0, target };
    this.#answer(this.#tree.make(this.#node(request), name, options, this.#caller(request)), this.#sendEntry);
  }

  #mknod(request: RequestBuffer): void {
    const { words } = request;
    const mode = words[MKNOD_IN.mode]!;
    const kind = kindOfMode(mode);
    if (kind === undefined || kind === NODE_KIND.folder || kind === NODE_KIND.symlink) {
      this.#replies.error(this.#now, ERRNO.EINVAL);
      return;
    }
    const isDevice = kind === NODE_KIND.charDevice || kind === NODE_KIND.blockDevice;
    const device = isDevice ? { device: words[MKNOD_IN.device]! } : {};
    const options = { kind, mode: mode & 0o7777, umask: words[MKNOD_IN.umask]!, ...device };
    const name = request.name(MKNOD_IN.endBytes);
    this.#answer(this.#tree.make(this.#node(request), name, options, this.#caller(request)), this.#sendEntry);
  }

  #mkdir(request: RequestBuffer): void {
    const { words } = request;
    const options = { kind: NODE_KIND.folder, mode: words[MKDIR_IN.mode]! & 0o7777, umask: words[MKDIR_IN.umask]! };
    const name = request.name(MKDIR_IN.endBytes);
    this.#answer(this.#tree.make(this.#node(request), name, options, this.#caller(request)), this.#sendEntry);
  }

  #rename(request: RequestBuffer, namesAt: number, flags: number): void {
    if (flags & ~(RENAME.noReplace | RENAME.exchange) || flags === (RENAME.noReplace | RENAME.exchange)) {
      this.#replies.error(this.#now, ERRNO.EINVAL);
      return;
    }
    const name = request.name(namesAt);
    const from = { parent: this.#node(request), name };
    const to = { parent: this.#nodeAt(request, RENAME_IN.parent), name: request.name(namesAt + name.length + 1) };
    const mode = flags & RENAME.exchange ? 'exchange' : flags & RENAME.noReplace ? 'no-replace' : 'replace';
    this.#answer(this.#tree.rename(from, to, mode), this.#sendDone);
  }

  #link(request: RequestBuffer): void {
    const node = this.#nodeAt(request, LINK_IN.node);
    this.#answer(this.#tree.link(node, this.#node(request), request.name(LINK_IN.endBytes)), this.#sendEntry);
  }

  // ── open files ───────────────────────────────────────────────────────────────────────────────────────────────────

  #open(request: RequestBuffer): void {
    const node = this.#node(request);
    const flags = openFlagsOf(request.words[OPEN_IN.flags]!, request.words[OPEN_IN.openFlags]!, this.#caller(request));
    this.#answer(this.#tree.open(node, flags), (to, handle) => {
      this.#files[handle] = node;
      // Closing what only reads is nobody's business.
      const how = flags.write ? OPENED.keepCache : OPENED.keepCache | OPENED.noFlush;
      if (!this.#replies.opened(to, handle, how)) this.#abandon(handle);
    });
  }

  #create(request: RequestBuffer, isUnnamed: boolean): void {
    const { words } = request;
    const parent = this.#node(request);
    const options = { mode: words[CREATE_IN.mode]! & 0o7777, umask: words[CREATE_IN.umask]! };
    const caller = this.#caller(request);
    const flags = openFlagsOf(words[CREATE_IN.flags]!, 0, caller);
    const made = isUnnamed
      ? this.#tree.createUnnamed(parent, options, flags, caller)
      : this.#tree.create(parent, request.name(CREATE_IN.endBytes), options, flags, caller);
    this.#answer(made, this.#sendCreated);
  }

  readonly #sendCreated = (
    to: Ticket,
    { node, handle }: { readonly node: PosixNode; readonly handle: Handle },
  ): void => {
    this.#files[handle] = node.node;
    if (!this.#replies.created(to, node, handle, OPENED.keepCache)) this.#abandon(handle);
  };

  /** The program that asked for it is gone. */
  #abandon(handle: Handle): void {
    this.#files[handle] = undefined;
    void this.#close(handle, 'file');
  }

  #read(request: RequestBuffer): void {
    const { words } = request;
    const pieces = this.#tree.read(long(words, READ_IN.handle), long(words, READ_IN.offset), words[READ_IN.size]!);
    this.#answer(pieces, this.#sendPieces, true);
  }

  #write(request: RequestBuffer): void {
    const { words } = request;
    const size = words[WRITE_IN.size]!;
    const offset = long(words, WRITE_IN.offset);
    safe(offset + size);
    const bytes = request.bytes.subarray(WRITE_IN.endBytes, WRITE_IN.endBytes + size);
    const kills = (words[WRITE_IN.writeFlags]! & WRITE_KILL_PRIVILEGES) !== 0;
    const flags = kills ? { killPrivileges: true, caller: this.#caller(request) } : undefined;
    const written = this.#tree.write(long(words, WRITE_IN.handle), offset, bytes, flags);
    if (isPromise(written)) {
      const giveBack = this.#keepBuffer();
      written.then(giveBack, giveBack);
    }
    this.#answer(written, this.#sendCount);
  }

  #flush(request: RequestBuffer): void {
    this.#answer(this.#tree.flush(long(request.words, FLUSH_IN.handle)), this.#sendDone);
  }

  #fsync(request: RequestBuffer): void {
    const { words } = request;
    const isDataOnly = (words[FSYNC_IN.flags]! & FSYNC_DATA_ONLY) !== 0;
    this.#answer(this.#tree.fsync(long(words, FSYNC_IN.handle), isDataOnly), this.#sendDone);
  }

  #release(request: RequestBuffer): void {
    const handle = long(request.words, RELEASE_IN.handle);
    this.#files[handle] = undefined;
    this.#answer(this.#tree.release(handle), this.#sendDone);
  }

  #fallocate(request: RequestBuffer): void {
    const { words } = request;
    const offset = long(words, FALLOCATE_IN.offset);
    const length = long(words, FALLOCATE_IN.length);
    safe(offset + length);
    const handle = long(words, FALLOCATE_IN.handle);
    const mode = words[FALLOCATE_IN.mode]!;
    this.#answer(this.#tree.allocate(handle, mode, offset, length, this.#caller(request)), this.#sendDone);
  }

  #lseek(request: RequestBuffer): void {
    const { words } = request;
    const whence = words[LSEEK_IN.whence]!;
    if (whence !== SEEK.data && whence !== SEEK.hole) {
      this.#replies.error(this.#now, ERRNO.EINVAL);
      return;
    }
    const what = whence === SEEK.data ? 'data' : 'hole';
    const found = this.#tree.seek(long(words, LSEEK_IN.handle), long(words, LSEEK_IN.offset), what);
    this.#answer(found, this.#sendLong, true);
  }

  #copy(request: RequestBuffer, send: (to: Ticket, count: number) => boolean): void {
    const { words } = request;
    if (words[COPY_IN.flags]! !== 0) {
      this.#replies.error(this.#now, ERRNO.EINVAL);
      return;
    }
    const source = { handle: long(words, COPY_IN.sourceHandle), offset: long(words, COPY_IN.sourceOffset) };
    const target = { handle: long(words, COPY_IN.targetHandle), offset: long(words, COPY_IN.targetOffset) };
    const length = Math.min(long(words, COPY_IN.length), COPIED_BYTES_MAX);
    safe(target.offset + length);
    this.#answer(this.#tree.copyRange(source, target, length, this.#caller(request)), send);
  }

  // ── folders ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #opendir(request: RequestBuffer): void {
    const node = this.#node(request);
    this.#answer(this.#tree.openFolder(node), (to, handle) => {
      this.#folders[handle] = node;
      if (this.#replies.opened(to, handle, OPENED.keepCache | OPENED.cacheFolder)) return;
      this.#folders[handle] = undefined;
      void this.#close(handle, 'folder');
    });
  }

  #releasedir(request: RequestBuffer): void {
    const handle = long(request.words, RELEASE_IN.handle);
    this.#folders[handle] = undefined;
    this.#answer(this.#tree.releaseFolder(handle), this.#sendDone);
  }

  #list(request: RequestBuffer, isPlus: boolean): void {
    const { words } = request;
    const folder = this.#node(request);
    const handle = long(words, READ_IN.handle);
    const offset = long(words, READ_IN.offset);
    const room = words[READ_IN.size]!;
    const leastBytes = DIRENT_BYTES + 8 + (isPlus ? ENTRY_BYTES : 0);
    const count = Math.min(LISTED_MAX, Math.max(1, Math.floor(room / leastBytes)));
    const parent = offset < DOT_DOT ? this.#tree.parentOf(folder) : folder;
    const entries = andThen(parent, () => this.#tree.readFolder(handle, Math.max(0, offset - DOT_DOT), count));
    // Looked up by name, not by node: what was removed since the listing began must not come to life in the caches.
    const nodes = andThen(entries, (found) =>
      isPlus ? all(found.map(({ name }) => this.#tree.lookup(folder, name))) : undefined,
    );
    this.#answer(
      andThen(parent, (above) =>
        andThen(entries, (found) => andThen(nodes, (attributes) => ({ above, found, attributes }))),
      ),
      (to, { above, found, attributes }) => {
        const listing = this.#replies.beginListing(room);
        const dots: Listed[] = [
          { name: DOT_NAME, node: folder, kind: NODE_KIND.folder, offset: DOT },
          { name: DOT_DOT_NAME, node: above, kind: NODE_KIND.folder, offset: DOT_DOT },
        ];
        let hasRoom = true;
        for (const dot of dots.slice(offset)) {
          hasRoom &&= this.#replies.addName(listing, dot, dot.offset, isPlus ? WITHOUT_NODE : undefined);
        }
        for (let i = 0; i < found.length && hasRoom; i++) {
          const entry = found[i]!;
          const node = attributes?.[i];
          hasRoom = this.#replies.addName(listing, entry, entry.offset + DOT_DOT, isPlus ? { node } : undefined);
        }
        this.#replies.listing(to, listing);
      },
      true,
    );
  }

  // ── attributes ───────────────────────────────────────────────────────────────────────────────────────────────────

  #setxattr(request: RequestBuffer): void {
    const { words, bytes } = request;
    const flags = words[SETXATTR_IN.flags]!;
    const name = request.name(SETXATTR_IN.endBytes);
    const valueAt = SETXATTR_IN.endBytes + name.length + 1;
    const value = bytes.slice(valueAt, valueAt + words[SETXATTR_IN.size]!);
    const mode = flags & XATTR.create ? 'create' : flags & XATTR.replace ? 'replace' : 'set';
    const options = words[SETXATTR_IN.extraFlags]! & SETXATTR_KILL_SETGID ? { killSetgid: true } : {};
    this.#answer(this.#tree.setAttribute(this.#node(request), name, value, mode, options), this.#sendDone);
  }

  #getxattr(request: RequestBuffer): void {
    const room = request.words[GETXATTR_IN.size]!;
    const value = this.#tree.getAttribute(this.#node(request), request.name(GETXATTR_IN.endBytes));
    // Absent is by far the most frequent: the kernel asks every file for its capabilities.
    if (value === undefined) this.#replies.error(this.#now, ERRNO.ENODATA);
    else this.#answer(value, (to, found) => this.#sendAttribute(to, found, room), true);
  }

  #sendAttribute(to: Ticket, value: Uint8Array | undefined, room: number): boolean {
    if (value === undefined) return this.#replies.error(to, ERRNO.ENODATA);
    if (room === 0) return this.#replies.count(to, value.length);
    return value.length > room ? this.#replies.error(to, ERRNO.ERANGE) : this.#replies.bytes(to, value);
  }

  #listxattr(request: RequestBuffer): void {
    const room = request.words[GETXATTR_IN.size]!;
    this.#answer(
      this.#tree.listAttributes(this.#node(request), this.#caller(request)),
      (to, names) => this.#replies.names(to, names, room),
      true,
    );
  }
}

/** Unique numbers rise by 2 from 0: they stay below 2^53. */
function uniqueOf(ticket: Ticket): number {
  return ticket.uniqueLow + ticket.uniqueHigh * 2 ** 32;
}

function openFlagsOf(flags: number, openFlags: number, caller: PosixCaller): OpenFlags {
  const access = flags & O.access;
  const kill = openFlags & OPEN_KILL_PRIVILEGES ? { killPrivileges: true, caller } : {};
  return {
    read: access !== O.writeOnly,
    write: access !== 0,
    append: (flags & O.append) !== 0,
    truncate: (flags & O.truncate) !== 0,
    sync: (flags & O.dataSync) !== 0,
    ...kill,
  };
}

/** @throws Fault that programs see as EFBIG, beyond what a number holds exactly. */
function safe(offset: number): number {
  if (offset <= Number.MAX_SAFE_INTEGER) return offset;
  throw new Fault('too-large', 'Files end below 2^53 bytes.', { offset, errno: 'EFBIG' });
}

/** All values at once if all are there. */
function all<T>(values: readonly Maybe<T>[]): Maybe<T[]> {
  return values.some(isPromise) ? Promise.all(values) : (values as T[]);
}

/** The errno that a program sees, and whether that is a usual answer or somebody should read about it. */
export function errnoOf(error: unknown): { readonly errno: number; readonly isExpected: boolean } {
  if (!Fault.is(error)) return { errno: ERRNO.EIO, isExpected: false };
  const named = ERRNO[error.about.errno as keyof typeof ERRNO] as number | undefined;
  // ENOSYS would make the kernel never ask again.
  const errno = named === undefined || named === ERRNO.ENOSYS ? FAULT_ERRNO[error.code] : named;
  return { errno, isExpected: errno !== ERRNO.EIO };
}

function sayError(error: unknown): string {
  if (Fault.is(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
