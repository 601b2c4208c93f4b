/**
 * Where servers may listen: TCP on loopback alone, because without accounts whoever reaches the port can do everything;
 * and Unix sockets that only their owner can open.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Fault } from '../base/index.ts';

/** Linux keeps 108 bytes for the name of a Unix socket, its final NUL included. */
const SOCKET_PATH_BYTES_MAX = 107;

/** @throws Fault `denied` for a host that others can reach, `exists` for a port in use, `io`. */
export async function listenOnLoopback(
  server: Server,
  host: string,
  port: number,
): Promise<{ readonly host: string; readonly port: number; readonly url: string }> {
  const loopback = loopbackOf(host);
  await bound(server, () => server.listen({ host: loopback, port }), `${host}:${port}`);
  const found = (server.address() as AddressInfo).port;
  const shown = loopback.includes(':') ? `[${loopback}]` : loopback;
  return { host: loopback, port: found, url: `http://${shown}:${found}` };
}

/** A Unix socket with mode 0600, in place of one that was left behind. @throws Fault `invalid` for a path too long, `io`. */
export async function listenPrivately(server: Server, socketPath: string): Promise<void> {
  const length = Buffer.byteLength(socketPath);
  if (length > SOCKET_PATH_BYTES_MAX) {
    const sentence = `The control socket ${socketPath} cannot be made: its path has ${length} bytes, and the system takes ${SOCKET_PATH_BYTES_MAX}. Keep the store in a folder with a shorter path.`;
    throw new Fault('invalid', sentence, { socketPath, bytes: length });
  }
  if (lstatSync(socketPath, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(socketPath);
  const listen = (): void => {
    // The socket is made inside listen(); with this mask it never exists with wider rights.
    const mask = process.umask(0o177);
    try {
      server.listen(socketPath);
    } finally {
      process.umask(mask);
    }
  };
  await bound(server, listen, socketPath);
}

/** The address of a host name; nothing is opened. @throws Fault `denied` for everything that other machines can reach. */
export function loopbackOf(host: string): string {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  if (name === 'localhost') return '127.0.0.1';
  if (name === '::1' || /^127(\.\d{1,3}){3}$/.test(name)) return name;
  const sentence = `Listening on ${JSON.stringify(host)} is refused: there are no accounts yet, so everybody who reaches that address could read and change every file. Use 127.0.0.1 or ::1, and reach it from elsewhere through a tunnel that knows who is who.`;
  throw new Fault('denied', sentence, { host });
}

function bound(server: Server, listen: () => void, shown: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const isTaken = error.code === 'EADDRINUSE';
      const why = isTaken
        ? 'something else listens there already. Choose another port, or end the other'
        : error.message;
      reject(new Fault(isTaken ? 'exists' : 'io', `Cannot listen on ${shown}: ${why}.`, { address: shown }, error));
    });
    server.once('listening', resolve);
    listen();
  });
}
