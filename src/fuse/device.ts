/**
 * The connection to the kernel: /dev/fuse, twice, and the few system calls that Node does not have.
 *
 * `waiting` is blocking: one fs.read of the thread pool stands in it while nothing happens. `draining` is a clone of it
 * that does not block: what is queued is read from there in one go, without trips through the event loop. A reply goes to
 * the descriptor that its request came from (the kernel keeps a list each).
 * koffi is loaded when a mount is made, not before: it is native code, and most processes never mount.
 * Calls answer -1 and leave their errno with `errno()`; an exception for each EAGAIN would cost ten times the call.
 */
import { closeSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import { Fault } from '../base/index.ts';
import { BODY_BYTES, ERRNO, WRITE_IN } from './protocol.ts';

const DEVICE = '/dev/fuse';
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const IOC_CLONE = 0x8004e500;
const PAGE_BYTES = 4096;

/** The system calls, with C's own arguments. */
export interface SystemCalls {
  read(fd: number, into: Uint8Array, length: number): number;
  write(fd: number, from: Uint8Array, length: number): number;
  ioctlWord(fd: number, request: number, value: Uint32Array): number;
  mount(source: string, target: string, type: string, flags: number, data: string): number;
  umount2(target: string, flags: number): number;
  socketpair(domain: number, type: number, protocol: number, pair: Int32Array): number;
  recvmsg(fd: number, message: Uint8Array, flags: number): number;
  syncfs(fd: number): number;
  /** Of the last call of this thread that answered -1. */
  errno(): number;
  addressOf(bytes: ArrayBuffer | Uint8Array): bigint;
}

let loaded: SystemCalls | undefined;

/** @throws Fault `unsupported` where koffi has no build for this machine, or the machine is big-endian. */
export function systemCalls(): SystemCalls {
  loaded ??= load();
  return loaded;
}

function load(): SystemCalls {
  if (process.platform !== 'linux' || endianness() !== 'LE') {
    const sentence = `Mounting needs Linux on a little-endian machine; this is ${process.platform} ${process.arch}.`;
    throw new Fault('unsupported', sentence, { platform: process.platform, arch: process.arch });
  }
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi').default;
    const c = koffi.load(null);
    const ioctl = c.func('int ioctl(int fd, unsigned long request, void *value)');
    return {
      read: c.func('int64_t read(int fd, void *into, size_t length)') as SystemCalls['read'],
      write: c.func('int64_t write(int fd, void *from, size_t length)') as SystemCalls['write'],
      ioctlWord: ioctl as SystemCalls['ioctlWord'],
      mount: c.func(
        'int mount(str source, str target, str type, unsigned long flags, str data)',
      ) as SystemCalls['mount'],
      umount2: c.func('int umount2(str target, int flags)') as SystemCalls['umount2'],
      socketpair: c.func('int socketpair(int domain, int type, int protocol, void *pair)') as SystemCalls['socketpair'],
      recvmsg: c.func('int64_t recvmsg(int fd, void *message, int flags)') as SystemCalls['recvmsg'],
      syncfs: c.func('int syncfs(int fd)') as SystemCalls['syncfs'],
      errno: () => koffi.errno(),
      addressOf: (bytes) => koffi.address(bytes),
    };
  } catch (error) {
    const sentence = `Mounting needs the package koffi, which does not load on this machine (${process.arch}). Install Holdfast anew with its dependencies, and see the cause.`;
    throw new Fault('unsupported', sentence, { arch: process.arch }, error);
  }
}

/** @throws Fault `unavailable` where the device is missing, `denied` where it may not be opened. */
export function openDevice(): number {
  try {
    return openSync(DEVICE, O_RDWR | O_CLOEXEC);
  } catch (error) {
    throw deviceFault(error);
  }
}

/** For a user whom the device does not let in. */
export function deviceDenied(about: Readonly<Record<string, unknown>>, cause?: unknown): Fault {
  const sentence = `${DEVICE} may not be opened by this user. Let the user in (chmod 0666 ${DEVICE}, as most systems have it), or in a container pass "--device ${DEVICE}".`;
  return new Fault('denied', sentence, about, cause);
}

function deviceFault(error: unknown): Fault {
  const code = (error as NodeJS.ErrnoException).code;
  const about = { device: DEVICE, errno: code };
  if (code === 'EACCES' || code === 'EPERM') return deviceDenied(about, error);
  const sentence = `${DEVICE} cannot be opened (${code}). Load the kernel's FUSE module (modprobe fuse), or in a container pass "--device ${DEVICE} --cap-add SYS_ADMIN".`;
  return new Fault('unavailable', sentence, about, error);
}

/**
 * A request's bytes, and the same as words. The payload of a WRITE begins on a page: what is copied into it and out of
 * it is copied page by page.
 */
export class RequestBuffer {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;

  constructor(system: SystemCalls, writeBytesMax: number) {
    const length = writeBytesMax + PAGE_BYTES;
    const whole = new ArrayBuffer(length + 2 * PAGE_BYTES);
    const intoPage = Number(system.addressOf(whole) % BigInt(PAGE_BYTES));
    const at = 2 * PAGE_BYTES - intoPage - WRITE_IN.endBytes;
    this.bytes = new Uint8Array(whole, at, length);
    this.words = new Uint32Array(whole, at, length / 4);
  }

  /** The name at `at`: bytes up to the next NUL, copied. */
  name(at: number): Uint8Array {
    const end = this.endOfName(at);
    return this.bytes.slice(at, end);
  }

  endOfName(at: number): number {
    const { bytes } = this;
    let end = at;
    while (bytes[end] !== 0) end++;
    return end;
  }

  get length(): number {
    return this.words[0]!;
  }

  get bodyLength(): number {
    return this.length - BODY_BYTES;
  }
}

/** The open connection. Who made it closes it, after the kernel has ended it. */
export class Device implements Disposable {
  readonly system: SystemCalls;
  readonly waiting: number;
  #draining: number | undefined;

  /** @param waiting a descriptor of /dev/fuse that a mount uses; it is the device's own from now on. */
  constructor(system: SystemCalls, waiting: number) {
    this.system = system;
    this.waiting = waiting;
  }

  /** The descriptor that does not block; absent where the device could not be opened a second time. */
  get draining(): number | undefined {
    return this.#draining;
  }

  /** Makes the clone; the connection must have been negotiated. Answers errno, 0 for success. */
  clone(): number {
    let fd: number;
    try {
      fd = openSync(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    } catch {
      return ERRNO.EACCES;
    }
    if (this.system.ioctlWord(fd, IOC_CLONE, Uint32Array.of(this.waiting)) < 0) {
      const errno = this.system.errno();
      closeSync(fd);
      return errno;
    }
    this.#draining = fd;
    return 0;
  }

  [Symbol.dispose](): void {
    if (this.#draining !== undefined) closeSync(this.#draining);
    closeSync(this.waiting);
  }
}
