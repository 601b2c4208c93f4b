/**
 * Answers to the kernel. One buffer is filled and written for all of them, so an answer allocates nothing; long reads go
 * out from where they lie, by writev.
 * Each answer says whether the kernel took it: it does not when the request was given up, and then what was opened for it
 * must be closed again.
 */
import { writevSync } from 'node:fs';
import type { Log } from '../base/index.ts';
import type { FileSystemSpace, PosixNode } from '../files/index.ts';
import { NODE_KIND, type NodeId, type NodeKind } from '../meta/index.ts';
import type { SystemCalls } from './device.ts';
import {
  DIRENT_BYTES,
  DIRENT_TYPE,
  ENTRY_BYTES,
  ERRNO,
  OPERATION_NAMES,
  putLong,
  REPLY_BODY,
  REPLY_BYTES,
  REPLY_HEADER_BYTES,
  ROOT,
} from './protocol.ts';

/** Which request an answer is for. */
export interface Ticket {
  uniqueLow: number;
  uniqueHigh: number;
  fd: number;
  opcode: number;
}

export interface ReplyOptions {
  readonly system: SystemCalls;
  readonly root: NodeId;
  readonly attributeSeconds: number;
  readonly entrySeconds: number;
  readonly log: Log;
}

/** Longer reads are not copied. Measured: writev pays from 64 KiB on. */
const COPIED_BYTES_MAX = 65_536;
/** Also the longest listing of a folder, or of attributes. */
const BUFFER_BYTES = REPLY_HEADER_BYTES + 131_072;
/** The kernel takes 1,024 pieces at once. */
const PIECES_MAX = 1_000;
const BLOCK_BYTES = 4_096;
const NAME_BYTES_MAX = 255;

/** The file type bits of `st_mode`. */
const TYPE_BITS: Readonly<Record<NodeKind, number>> = {
  [NODE_KIND.file]: 0o100000,
  [NODE_KIND.folder]: 0o040000,
  [NODE_KIND.symlink]: 0o120000,
  [NODE_KIND.fifo]: 0o010000,
  [NODE_KIND.socket]: 0o140000,
  [NODE_KIND.charDevice]: 0o020000,
  [NODE_KIND.blockDevice]: 0o060000,
};

const DIRENT_TYPES: Readonly<Record<NodeKind, number>> = {
  [NODE_KIND.file]: DIRENT_TYPE.file,
  [NODE_KIND.folder]: DIRENT_TYPE.folder,
  [NODE_KIND.symlink]: DIRENT_TYPE.symlink,
  [NODE_KIND.fifo]: DIRENT_TYPE.fifo,
  [NODE_KIND.socket]: DIRENT_TYPE.socket,
  [NODE_KIND.charDevice]: DIRENT_TYPE.character,
  [NODE_KIND.blockDevice]: DIRENT_TYPE.block,
};

/** The kind that file type bits stand for; `undefined` for bits that no POSIX node has. */
export function kindOfMode(mode: number): NodeKind | undefined {
  for (const kind of Object.values(NODE_KIND)) if (TYPE_BITS[kind] === (mode & 0o170000)) return kind;
  return undefined;
}

/**
 * Our node id ↔ the kernel's: the same number, except that the root is 1 there. A node that has id 1 takes the root's,
 * so that it works both ways.
 */
export function exchangeRoot(root: NodeId, id: number): number {
  if (id === root) return ROOT;
  return id === ROOT ? root : id;
}

const MASK_BASIC = 0x7ff;
const MASK_BIRTH = 0x800;

export class Replies {
  readonly #system: SystemCalls;
  readonly #root: NodeId;
  readonly #log: Log;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #entrySeconds: number;
  readonly #entryNanoseconds: number;
  readonly #attributeSeconds: number;
  readonly #attributeNanoseconds: number;

  constructor(options: ReplyOptions) {
    this.#system = options.system;
    this.#root = options.root;
    this.#log = options.log;
    const buffer = new ArrayBuffer(BUFFER_BYTES);
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#entrySeconds = Math.trunc(options.entrySeconds);
    this.#entryNanoseconds = Math.round((options.entrySeconds % 1) * 1e9);
    this.#attributeSeconds = Math.trunc(options.attributeSeconds);
    this.#attributeNanoseconds = Math.round((options.attributeSeconds % 1) * 1e9);
  }

  error(to: Ticket, errno: number): boolean {
    return this.#send(to, REPLY_BYTES.empty, errno);
  }

  done(to: Ticket): boolean {
    return this.#send(to, REPLY_BYTES.empty, 0);
  }

  /** The answer to INIT: words as given. */
  raw(to: Ticket, body: Uint32Array): boolean {
    this.#words.set(body, REPLY_BODY);
    return this.#send(to, REPLY_HEADER_BYTES + body.byteLength, 0);
  }

  entry(to: Ticket, node: PosixNode): boolean {
    this.#putEntry(REPLY_BODY, node);
    return this.#send(to, REPLY_BYTES.entry, 0);
  }

  /** There is no such name, and the kernel may remember that. */
  noEntry(to: Ticket): boolean {
    if (this.#entrySeconds === 0 && this.#entryNanoseconds === 0) return this.error(to, ERRNO.ENOENT);
    this.#words.fill(0, REPLY_BODY, REPLY_BYTES.entry / 4);
    this.#putEntryTime(REPLY_BODY);
    return this.#send(to, REPLY_BYTES.entry, 0);
  }

  attributes(to: Ticket, node: PosixNode): boolean {
    const words = this.#words;
    words[4] = this.#attributeSeconds;
    words[5] = 0;
    words[6] = this.#attributeNanoseconds;
    words[7] = 0;
    this.#putAttributes(8, node);
    return this.#send(to, REPLY_BYTES.attributes, 0);
  }

  statx(to: Ticket, node: PosixNode): boolean {
    const words = this.#words;
    words.fill(0, REPLY_BODY, REPLY_BYTES.statx / 4);
    words[4] = this.#attributeSeconds;
    words[6] = this.#attributeNanoseconds;
    // struct fuse_statx from word 12 on.
    words[12] = MASK_BASIC | MASK_BIRTH;
    words[13] = BLOCK_BYTES;
    words[16] = node.links;
    words[17] = node.uid;
    words[18] = node.gid;
    words[19] = node.mode | TYPE_BITS[node.kind];
    putLong(words, 20, exchangeRoot(this.#root, node.node));
    putLong(words, 22, node.size);
    putLong(words, 24, Math.ceil(node.size / 512));
    putLong(words, 28, node.accessedSeconds);
    words[30] = node.accessedNanoseconds;
    putLong(words, 32, node.createdSeconds);
    words[34] = node.createdNanoseconds;
    putLong(words, 36, node.changedSeconds);
    words[38] = node.changedNanoseconds;
    putLong(words, 40, node.modifiedSeconds);
    words[42] = node.modifiedNanoseconds;
    // As the kernel's new_decode_dev takes the 32 bits apart.
    words[44] = (node.device & 0xfff00) >>> 8;
    words[45] = (node.device & 0xff) | ((node.device >>> 12) & 0xfff00);
    return this.#send(to, REPLY_BYTES.statx, 0);
  }

  opened(to: Ticket, handle: number, flags: number): boolean {
    this.#putOpened(REPLY_BODY, handle, flags);
    return this.#send(to, REPLY_BYTES.open, 0);
  }

  created(to: Ticket, node: PosixNode, handle: number, flags: number): boolean {
    this.#putEntry(REPLY_BODY, node);
    this.#putOpened(REPLY_BODY + ENTRY_BYTES / 4, handle, flags);
    return this.#send(to, REPLY_BYTES.create, 0);
  }

  /** Of WRITE, COPY_FILE_RANGE, GETXATTR with size 0. */
  count(to: Ticket, count: number): boolean {
    this.#words[4] = count;
    this.#words[5] = 0;
    return this.#send(to, REPLY_BYTES.size, 0);
  }

  long(to: Ticket, value: number): boolean {
    putLong(this.#words, REPLY_BODY, value);
    return this.#send(to, REPLY_BYTES.long, 0);
  }

  space(to: Ticket, space: FileSystemSpace): boolean {
    const words = this.#words;
    words.fill(0, REPLY_BODY, REPLY_BYTES.space / 4);
    putLong(words, 4, Math.floor(space.totalBytes / BLOCK_BYTES));
    putLong(words, 6, Math.floor(space.freeBytes / BLOCK_BYTES));
    putLong(words, 8, Math.floor(space.freeBytes / BLOCK_BYTES));
    putLong(words, 10, space.nodeCount + space.freeNodeCount);
    putLong(words, 12, space.freeNodeCount);
    words[14] = BLOCK_BYTES;
    words[15] = NAME_BYTES_MAX;
    words[16] = BLOCK_BYTES;
    return this.#send(to, REPLY_BYTES.space, 0);
  }

  /** Bytes as they are: targets of symlinks, values of attributes. */
  bytes(to: Ticket, bytes: Uint8Array): boolean {
    if (bytes.length > BUFFER_BYTES - REPLY_HEADER_BYTES) return this.pieces(to, [bytes]);
    this.#bytes.set(bytes, REPLY_HEADER_BYTES);
    return this.#send(to, REPLY_HEADER_BYTES + bytes.length, 0);
  }

  /** Names with a NUL behind each; their length alone, when `room` is 0. */
  names(to: Ticket, names: readonly Uint8Array[], room: number): boolean {
    const length = names.reduce((sum, name) => sum + name.length + 1, 0);
    if (room === 0) return this.count(to, length);
    if (length > room) return this.error(to, ERRNO.ERANGE);
    if (length > BUFFER_BYTES - REPLY_HEADER_BYTES) return this.error(to, ERRNO.E2BIG);
    let at = REPLY_HEADER_BYTES;
    for (const name of names) {
      this.#bytes.set(name, at);
      at += name.length;
      this.#bytes[at++] = 0;
    }
    return this.#send(to, at, 0);
  }

  /** What was read. */
  pieces(to: Ticket, pieces: readonly Uint8Array[]): boolean {
    let length = 0;
    for (const piece of pieces) length += piece.length;
    if (length <= COPIED_BYTES_MAX) {
      let at = REPLY_HEADER_BYTES;
      for (const piece of pieces) {
        this.#bytes.set(piece, at);
        at += piece.length;
      }
      return this.#send(to, at, 0);
    }
    this.#putHeader(to, REPLY_HEADER_BYTES + length, 0);
    const head = this.#bytes.subarray(0, REPLY_HEADER_BYTES);
    const parts = pieces.length < PIECES_MAX ? [head, ...pieces] : [head, Buffer.concat(pieces)];
    try {
      writevSync(to.fd, parts);
      return true;
    } catch (error) {
      return this.#failed(to, (error as NodeJS.ErrnoException).errno ?? 0);
    }
  }

  /** Begins a listing; answers how far it may grow for `room` bytes. */
  beginListing(room: number): { at: number; readonly end: number } {
    return { at: REPLY_HEADER_BYTES, end: Math.min(BUFFER_BYTES, REPLY_HEADER_BYTES + room) };
  }

  /** Adds a name, with the node's attributes in a listing `plus` (`undefined` there: without). False: no room. */
  addName(
    listing: { at: number; readonly end: number },
    entry: { readonly name: Uint8Array; readonly node: NodeId; readonly kind: NodeKind },
    offset: number,
    plus: { readonly node: PosixNode | undefined } | undefined,
  ): boolean {
    const words = this.#words;
    const headBytes = plus === undefined ? DIRENT_BYTES : ENTRY_BYTES + DIRENT_BYTES;
    const length = (headBytes + entry.name.length + 7) & ~7;
    if (listing.at + length > listing.end) return false;
    let word = listing.at / 4;
    if (plus !== undefined) {
      if (plus.node === undefined) words.fill(0, word, word + ENTRY_BYTES / 4);
      else this.#putEntry(word, plus.node);
      word += ENTRY_BYTES / 4;
    }
    putLong(words, word, exchangeRoot(this.#root, entry.node));
    putLong(words, word + 2, offset);
    words[word + 4] = entry.name.length;
    words[word + 5] = DIRENT_TYPES[entry.kind];
    // The padding lies within the last 8 bytes: cleared first, then the name is put over it.
    const end = (listing.at + length) / 4;
    words[end - 2] = 0;
    words[end - 1] = 0;
    this.#bytes.set(entry.name, listing.at + headBytes);
    listing.at += length;
    return true;
  }

  listing(to: Ticket, listing: { readonly at: number }): boolean {
    return this.#send(to, listing.at, 0);
  }

  #putHeader(to: Ticket, length: number, errno: number): void {
    const words = this.#words;
    words[0] = length;
    words[1] = -errno;
    words[2] = to.uniqueLow;
    words[3] = to.uniqueHigh;
  }

  #putEntryTime(at: number): void {
    const words = this.#words;
    words[at + 4] = this.#entrySeconds;
    words[at + 5] = 0;
    words[at + 8] = this.#entryNanoseconds;
  }

  #putEntry(at: number, node: PosixNode): void {
    const words = this.#words;
    putLong(words, at, exchangeRoot(this.#root, node.node));
    words[at + 2] = 0;
    words[at + 3] = 0;
    this.#putEntryTime(at);
    words[at + 6] = this.#attributeSeconds;
    words[at + 7] = 0;
    words[at + 9] = this.#attributeNanoseconds;
    this.#putAttributes(at + 10, node);
  }

  #putAttributes(at: number, node: PosixNode): void {
    const words = this.#words;
    putLong(words, at, exchangeRoot(this.#root, node.node));
    putLong(words, at + 2, node.size);
    putLong(words, at + 4, Math.ceil((node.allocatedBytes ?? node.size) / 512));
    putLong(words, at + 6, node.accessedSeconds);
    putLong(words, at + 8, node.modifiedSeconds);
    putLong(words, at + 10, node.changedSeconds);
    words[at + 12] = node.accessedNanoseconds;
    words[at + 13] = node.modifiedNanoseconds;
    words[at + 14] = node.changedNanoseconds;
    words[at + 15] = node.mode | TYPE_BITS[node.kind];
    words[at + 16] = node.links;
    words[at + 17] = node.uid;
    words[at + 18] = node.gid;
    words[at + 19] = node.device;
    words[at + 20] = BLOCK_BYTES;
    words[at + 21] = 0;
  }

  #putOpened(at: number, handle: number, flags: number): void {
    const words = this.#words;
    putLong(words, at, handle);
    words[at + 2] = flags;
    words[at + 3] = 0;
  }

  #send(to: Ticket, length: number, errno: number): boolean {
    this.#putHeader(to, length, errno);
    if (this.#system.write(to.fd, this.#bytes, length) >= 0) return true;
    return this.#failed(to, this.#system.errno());
  }

  /** The kernel did not take it. That a request was given up, or that the connection ended, is nothing to report. */
  #failed(to: Ticket, errno: number): false {
    const code = Math.abs(errno);
    if (code === ERRNO.ENOENT || code === ERRNO.ENODEV || code === ERRNO.ECONNABORTED || code === ERRNO.EBADF)
      return false;
    this.#log.error('fuse.reply-refused', { operation: OPERATION_NAMES.get(to.opcode) ?? to.opcode, errno: code });
    // The kernel refuses a malformed answer and goes on waiting: the program gets an error instead of hanging.
    this.#putHeader(to, REPLY_BYTES.empty, ERRNO.EIO);
    this.#system.write(to.fd, this.#bytes, REPLY_BYTES.empty);
    return false;
  }
}
