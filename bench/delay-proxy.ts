/**
 * A connection that takes longer: what arrives is passed on after a while, in order, each way, for kernels that have no
 * netem. The delay of each piece is drawn around the mean by a seed. What is on its way is bounded, as by a window.
 */
import { createServer, connect as open, type Server, type Socket } from 'node:net';
import { seededRandom } from '../src/base/index.ts';

/** On its way in one direction of one connection: above the product of any link and delay that is measured here. */
const UNDER_WAY_BYTES_MAX = 8 * 2 ** 20;
/** Delays differ from the mean by up to this share. */
const JITTER = 0.1;

export interface DelayOptions {
  readonly port: number;
  /** Where connections go to. */
  readonly target: number;
  /** Mean, one way. */
  readonly delayMs: number;
  readonly seed: number;
}

/** Listens on the loopback address; dispose to end all connections. */
export async function delayProxy({ port, target, delayMs, seed }: DelayOptions): Promise<AsyncDisposable> {
  const random = seededRandom(seed);
  const sockets = new Set<Socket>();
  const drawMs = (): number => delayMs * (1 + JITTER * (2 * random.fraction() - 1));
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = open({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
    passOn(near, far, drawMs);
    passOn(far, near, drawMs);
  });
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function passOn(from: Socket, to: Socket, drawMs: () => number): void {
  to.setMaxListeners(0); // One for each piece on its way, and those are bounded.
  let underWay = 0;
  let dueMs = 0;
  const later = (act: () => void): void => {
    // Never before the piece in front of it.
    dueMs = Math.max(dueMs, performance.now() + drawMs());
    setTimeout(act, dueMs - performance.now());
  };
  from.on('data', (piece: Buffer) => {
    underWay += piece.length;
    if (underWay >= UNDER_WAY_BYTES_MAX) from.pause();
    later(() => {
      const goOn = (): void => {
        underWay -= piece.length;
        from.resume();
      };
      if (to.destroyed) return;
      if (to.write(piece)) goOn();
      else to.once('drain', goOn);
    });
  });
  from.on('end', () => later(() => to.end()));
  from.on('error', () => to.destroy());
  from.on('close', (hadError) => {
    if (hadError) to.destroy();
  });
}
