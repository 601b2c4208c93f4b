/**
 * Where the holder of a store answers: `control.sock` in the store's folder. The system allows 107 bytes for the path of
 * a socket; a store that lies deeper is addressed through an open handle of its folder, as /proc/self/fd/N/control.sock,
 * which names the same socket for this process and is short.
 */
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../base/index.ts';
import { SOCKET_NAME } from './store-folder.ts';
import { faultOfSystem } from './system-fault.ts';

/** `sun_path` of Linux without its NUL. */
export const SOCKET_PATH_BYTES_MAX = 107;
const OWN_HANDLES = '/proc/self/fd';

/** A path to bind to or to connect to, good until it is disposed. */
export interface SocketAddress extends Disposable {
  /** What to give to the system. */
  readonly path: string;
  /** What to show to people. */
  readonly shown: string;
}

/** @throws Fault `unsupported` where a long path cannot be shortened; `not-found`, `denied`, `busy`, `io`. */
export function controlSocketOf(folder: string): SocketAddress {
  const shown = join(folder, SOCKET_NAME);
  if (Buffer.byteLength(shown) <= SOCKET_PATH_BYTES_MAX) return { path: shown, shown, [Symbol.dispose]: () => {} };
  if (!existsSync(OWN_HANDLES)) {
    throw new Fault(
      'unsupported',
      `The path ${shown} has ${Buffer.byteLength(shown)} bytes; this system allows ${SOCKET_PATH_BYTES_MAX} for a socket. Move the store to a shorter path.`,
      { path: shown, bytesMax: SOCKET_PATH_BYTES_MAX },
    );
  }
  let handle: number | undefined;
  try {
    handle = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw faultOfSystem(error, 'opened', folder);
  }
  return {
    path: `${OWN_HANDLES}/${handle}/${SOCKET_NAME}`,
    shown,
    [Symbol.dispose]() {
      if (handle !== undefined) closeSync(handle);
      handle = undefined;
    },
  };
}
