/**
 * A thread for calls into the kernel that may wait for this very mount: notices and unmounting. The kernel may answer
 * neither before it got answers from the serving thread, so made there they would never return.
 * Messages come one after the other; each is answered with an errno, 0 for success.
 */
import { closeSync, openSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { systemCalls } from './device.ts';
import { ERRNO } from './protocol.ts';

export type KernelRequest =
  /** Messages, one behind the other, each with its length in front. */
  | { readonly kind: 'notices'; readonly fd: number; readonly bytes: Uint8Array }
  | { readonly kind: 'unmount'; readonly target: string; readonly flags: number }
  /** Writes back what the kernel holds of the mount. */
  | { readonly kind: 'sync'; readonly target: string };

const system = systemCalls();
const port = parentPort;

port?.on('message', (request: KernelRequest) => port.postMessage(answer(request)));

function answer(request: KernelRequest): number {
  switch (request.kind) {
    case 'notices':
      return notify(request.fd, request.bytes);
    case 'unmount':
      return system.umount2(request.target, request.flags) < 0 ? system.errno() : 0;
    case 'sync':
      return sync(request.target);
  }
}

function notify(fd: number, bytes: Uint8Array): number {
  const lengths = new DataView(bytes.buffer, bytes.byteOffset);
  let worst = 0;
  for (let at = 0; at < bytes.length; ) {
    const length = lengths.getUint32(at, true);
    if (system.write(fd, bytes.subarray(at, at + length), length) < 0) {
      const errno = system.errno();
      if (errno === ERRNO.ENODEV || errno === ERRNO.ENOTCONN || errno === ERRNO.ECONNABORTED) return errno;
      // The kernel does not have the node or name (any more); a folder still has entries or is in use.
      const isUsual =
        errno === ERRNO.ENOENT || errno === ERRNO.ENOTEMPTY || errno === ERRNO.EBUSY || errno === ERRNO.ENOTDIR;
      if (!isUsual) worst = errno;
    }
    at += length;
  }
  return worst;
}

function sync(target: string): number {
  try {
    const fd = openSync(target, 'r');
    try {
      return system.syncfs(fd) < 0 ? system.errno() : 0;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return Math.abs((error as NodeJS.ErrnoException).errno ?? ERRNO.EIO);
  }
}
