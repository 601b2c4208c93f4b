/**
 * The conversation with the kernel over one connection: negotiation, the loop that reads requests, and its end.
 *
 * The thread that serves requests also serves everything else of the process, so the loop changes between two states:
 * - *armed*: one fs.read of the thread pool waits for the next request. Nothing is spent, but waking up is slow.
 * - *draining*: requests are read without blocking, one after the other, and answered in the same turn. When there are
 *   none, it goes on looking for `spinMicroseconds`, since most programs ask the next thing at once. After DRAIN_COUNT
 *   requests or DRAIN_MS the event loop has its turn.
 * It is never in both: a request in the hands of the thread pool would be overtaken by what came after it.
 * While requests wait for the tree's promises it looks once a turn of the event loop instead of holding it.
 *
 * Requests are read into one buffer. A WRITE whose bytes the tree still needs keeps its buffer and another takes its
 * place; when BUFFERS_MAX are kept, nothing is read until one comes back.
 */
import { read } from 'node:fs';
import { assert, type Clock, Fault, type Log } from '../base/index.ts';
import type { PosixTree } from '../files/index.ts';
import { type Device, RequestBuffer } from './device.ts';
import { Operations } from './operations.ts';
import { ERRNO, HEADER, INIT, INIT_IN, MAJOR, MINOR, MINOR_LEAST, OPERATION } from './protocol.ts';
import { Replies } from './reply.ts';

export interface SessionOptions {
  readonly tree: PosixTree;
  readonly device: Device;
  readonly clock: Clock;
  readonly log: Log;
  readonly attributeSeconds: number;
  readonly entrySeconds: number;
  readonly spinMicroseconds: number;
  readonly writeback: boolean;
}

/** Figures of a mount. */
export interface SessionStats {
  readonly operations: Readonly<Record<string, number>>;
  /** Requests that wait for an answer of the tree. */
  readonly pending: number;
  /** How often the thread pool's read woke the loop. */
  readonly wakeups: number;
  /** Request buffers made so far, of 1 MiB each: one, and one for each write that had to wait beside others. */
  readonly buffers: number;
}

const WRITE_BYTES_MAX = 1_048_576;
const PAGE_BYTES = 4_096;
const READ_AHEAD_BYTES = 1_048_576;
const BACKGROUND_MAX = 64;
const CONGESTED_FROM = 48;
const DRAIN_COUNT = 64;
const DRAIN_MS = 2;
/** Writes that wait for the tree, with a buffer each; only touched pages of it take memory. */
const BUFFERS_MAX = 64;

const WANTED =
  INIT.asyncRead |
  INIT.atomicTruncate |
  INIT.byHandle |
  INIT.bigWrites |
  INIT.dontMask |
  INIT.autoInvalidate |
  INIT.readdirplus |
  INIT.readdirplusAuto |
  INIT.asyncDirect |
  INIT.parallelFolders |
  INIT.posixAcl |
  INIT.maxPages |
  INIT.cacheSymlinks |
  INIT.killPrivileges |
  INIT.setxattrExtended |
  INIT.extended;
/** Without these the requests have another shape, or rights would be lost. */
const NEEDED = INIT.bigWrites | INIT.dontMask | INIT.setxattrExtended | INIT.killPrivileges | INIT.maxPages;

/** What the kernel offered and what was agreed on. */
export interface Agreement {
  readonly minor: number;
  readonly flags: number;
}

/**
 * The body of the answer to INIT. Pure.
 * @throws Fault `unsupported` when the kernel is too old.
 */
export function agree(
  offer: { major: number; minor: number; flags: number; readAhead: number },
  writeback: boolean,
): {
  readonly agreement: Agreement;
  readonly body: Uint32Array;
} {
  const isOld = offer.major !== MAJOR || offer.minor < MINOR_LEAST || (offer.flags & NEEDED) !== NEEDED;
  if (isOld) {
    const sentence = `This kernel speaks FUSE ${offer.major}.${offer.minor}; Holdfast needs ${MAJOR}.${MINOR_LEAST} with SETXATTR_EXT (Linux 5.12) or newer.`;
    throw new Fault('unsupported', sentence, { ...offer });
  }
  const minor = Math.min(offer.minor, MINOR);
  const flags = offer.flags & (writeback ? WANTED | INIT.writebackCache : WANTED);
  const body = new Uint32Array(16);
  body[0] = MAJOR;
  body[1] = minor;
  body[2] = Math.max(offer.readAhead, READ_AHEAD_BYTES);
  body[3] = flags;
  body[4] = BACKGROUND_MAX | (CONGESTED_FROM << 16);
  body[5] = WRITE_BYTES_MAX;
  // Times are exact to the nanosecond.
  body[6] = 1;
  body[7] = WRITE_BYTES_MAX / PAGE_BYTES;
  return { agreement: { minor, flags }, body };
}

export class Session {
  readonly operations: Operations;
  /** Resolves when the kernel has ended the connection and everything is closed and durable. Never rejects. */
  readonly ended: Promise<void>;
  readonly #options: SessionOptions;
  readonly #device: Device;
  readonly #replies: Replies;
  readonly #free: RequestBuffer[] = [];
  #buffer: RequestBuffer | undefined;
  #bufferCount = 1;
  #isStarved = false;
  #isOver = false;
  #wakeups = 0;
  #lastRequestMs = 0;
  #fault: unknown;
  #end: () => void = () => {};

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#device = options.device;
    const { tree, log, clock, attributeSeconds, entrySeconds } = options;
    const { system } = options.device;
    this.#replies = new Replies({ system, root: tree.root, attributeSeconds, entrySeconds, log });
    this.operations = new Operations({
      tree,
      clock,
      log,
      replies: this.#replies,
      keepBuffer: () => this.#keepBuffer(),
    });
    this.#buffer = this.#newBuffer();
    this.ended = new Promise<void>((resolve) => (this.#end = resolve)).then(() => this.#close());
  }

  get stats(): SessionStats {
    return {
      operations: this.operations.counts,
      pending: this.operations.pendingCount,
      wakeups: this.#wakeups,
      buffers: this.#bufferCount,
    };
  }

  /** What went wrong when everything was to be made durable at the end. */
  get fault(): unknown {
    return this.#fault;
  }

  /**
   * Answers INIT, which the kernel has queued when the mount was made. Blocks for no longer than that takes.
   * @throws Fault `unsupported`, `io`.
   */
  negotiate(): Agreement {
    const buffer = this.#buffer;
    assert(buffer !== undefined, 'A new session has a buffer.');
    const { system, waiting } = this.#device;
    if (system.read(waiting, buffer.bytes, buffer.bytes.length) < 0) {
      throw new Fault('io', `The kernel did not begin the conversation (errno ${system.errno()}).`);
    }
    const { words } = buffer;
    const to = {
      uniqueLow: words[HEADER.uniqueLow]!,
      uniqueHigh: words[HEADER.uniqueHigh]!,
      fd: waiting,
      opcode: words[HEADER.opcode]!,
    };
    assert(to.opcode === OPERATION.init, 'The first request is INIT.', { opcode: to.opcode });
    const offer = {
      major: words[INIT_IN.major]!,
      minor: words[INIT_IN.minor]!,
      flags: words[INIT_IN.flags]!,
      readAhead: words[INIT_IN.readAhead]!,
    };
    const { agreement, body } = agree(offer, this.#options.writeback);
    this.#replies.raw(to, body);
    const errno = this.#device.clone();
    if (errno !== 0)
      this.#options.log.warn('fuse.slow-dispatch', { reason: 'the device cannot be opened twice', errno });
    return agreement;
  }

  /** Begins to read requests. */
  start(): void {
    this.#arm();
  }

  #arm(): void {
    const { bytes } = this.#takeBuffer() ?? {};
    if (bytes !== undefined) read(this.#device.waiting, bytes, 0, bytes.length, null, this.#woken);
  }

  readonly #woken = (error: NodeJS.ErrnoException | null, received: number): void => {
    this.#wakeups++;
    if (error !== null) {
      this.#readFailed(Math.abs(error.errno ?? 0));
      return;
    }
    this.#handle(this.#device.waiting, received);
    this.#lastRequestMs = performance.now();
    this.#drain();
  };

  #handle(fd: number, received: number): void {
    const buffer = this.#buffer;
    assert(buffer !== undefined, 'A request was read into a buffer.');
    this.operations.handle(buffer, fd, received);
  }

  readonly #drain = (): void => {
    const { draining, system } = this.#device;
    if (draining === undefined) {
      this.#arm();
      return;
    }
    const untilMs = performance.now() + DRAIN_MS;
    for (let count = 0; count < DRAIN_COUNT; ) {
      const buffer = this.#takeBuffer();
      if (buffer === undefined) return;
      const received = system.read(draining, buffer.bytes, buffer.bytes.length);
      if (received > 0) {
        this.operations.handle(buffer, draining, received);
        count++;
        this.#lastRequestMs = performance.now();
        if (this.#lastRequestMs > untilMs) break;
        continue;
      }
      const errno = system.errno();
      if (errno !== ERRNO.EAGAIN) {
        if (errno === ERRNO.EINTR || errno === ERRNO.ENOENT) continue;
        this.#readFailed(errno);
        return;
      }
      if ((performance.now() - this.#lastRequestMs) * 1000 >= this.#options.spinMicroseconds) {
        this.#arm();
        return;
      }
      if (this.operations.pendingCount > 0) break;
    }
    setImmediate(this.#drain);
  };

  #readFailed(errno: number): void {
    // The request was given up before it was read.
    if (errno === ERRNO.EINTR || errno === ERRNO.EAGAIN || errno === ERRNO.ENOENT) {
      this.#arm();
      return;
    }
    // Unmounted; aborted.
    if (errno !== ERRNO.ENODEV && errno !== ERRNO.ECONNABORTED) {
      this.#options.log.error('fuse.connection-lost', { errno });
    }
    this.#isOver = true;
    this.#end();
  }

  async #close(): Promise<void> {
    try {
      await this.operations.end();
    } catch (error) {
      this.#fault = error;
      this.#options.log.error('fuse.end-failed', { error: String(error) });
    }
  }

  // ── buffers ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #newBuffer(): RequestBuffer {
    return new RequestBuffer(this.#device.system, WRITE_BYTES_MAX);
  }

  /** The buffer to read into; `undefined` when all are kept, and then the loop goes on when one comes back. */
  #takeBuffer(): RequestBuffer | undefined {
    if (this.#buffer === undefined) {
      this.#buffer = this.#free.pop();
      if (this.#buffer === undefined && this.#bufferCount < BUFFERS_MAX) {
        this.#bufferCount++;
        this.#buffer = this.#newBuffer();
      }
      this.#isStarved = this.#buffer === undefined;
    }
    return this.#buffer;
  }

  #keepBuffer(): () => void {
    const kept = this.#buffer;
    assert(kept !== undefined, 'The buffer of the request being handled is kept once.');
    this.#buffer = undefined;
    return () => {
      this.#free.push(kept);
      if (!this.#isStarved || this.#isOver) return;
      this.#isStarved = false;
      setImmediate(this.#drain);
    };
  }
}
