/**
 * The control socket of a command that holds a store for itself: it listens from early on, and what answers there is
 * loaded only when somebody connects. Most commands end without a visitor, and the HTTP room costs more to load than a
 * small command takes altogether.
 *
 * The first visitor rings: the bell gives up its socket, the door takes the same path, and the connections of whoever
 * rang meanwhile are handed over to it as they are, unread. So a visitor talks to the door itself: nothing stands between
 * them that could lose an answer, and what the kernel says about the end of the connection is true of the door. Whoever
 * comes in the moment between finds nobody, which a caller meets with every store that is just being opened or closed,
 * and comes again.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { Fault } from '../base/index.ts';
import { controlSocketOf, type SocketAddress } from './control-socket.ts';
import type { StoreDoors } from './store-doors.ts';

export interface DoorbellParts {
  /** The store's. */
  readonly folder: string;
  /** Opens the door on the same socket; called once. A failure leaves the visitors without an answer. */
  readonly open: () => Promise<Pick<StoreDoors, 'admit'>>;
}

export class Doorbell implements AsyncDisposable {
  readonly #open: DoorbellParts['open'];
  readonly #address: SocketAddress;
  readonly #server: Server;
  /** Who rang, until the door has them. */
  readonly #visitors = new Set<Socket>();
  #opened: Promise<void> | undefined;

  private constructor(parts: DoorbellParts, address: SocketAddress) {
    this.#open = parts.open;
    this.#address = address;
    // Paused: what a visitor says is for the door.
    this.#server = createServer({ pauseOnConnect: true }, (visitor) => this.#ring(visitor));
  }

  /** Listens; a socket that was left behind is replaced. The store's lock is held. @throws Fault `io`, and what controlSocketOf throws. */
  static async hang(parts: DoorbellParts): Promise<Doorbell> {
    using building = new DisposableStack();
    const address = building.use(controlSocketOf(parts.folder));
    const bell = new Doorbell(parts, address);
    await bell.#listen(address);
    building.move();
    return bell;
  }

  /** The socket, for people. */
  get shown(): string {
    return this.#address.shown;
  }

  /** Takes no more visitors; those who rang are handed over. Then resolves, and nothing stands in the door's way. */
  async stop(): Promise<void> {
    this.#closeServer();
    await this.#opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    using _address = this.#address;
    await this.stop();
  }

  #listen({ path, shown }: SocketAddress): Promise<void> {
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path);
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) => {
        reject(new Fault('io', `Cannot listen on ${shown}: ${error.message}.`, { address: shown }, error));
      });
      this.#server.once('listening', resolve);
      // The socket is made inside listen(); with this mask it never exists with wider rights than its owner's.
      const mask = process.umask(0o177);
      try {
        this.#server.listen(path);
      } finally {
        process.umask(mask);
      }
    });
  }

  #ring(visitor: Socket): void {
    this.#visitors.add(visitor);
    visitor.once('close', () => this.#visitors.delete(visitor));
    // A visitor that goes away is no matter of ours; without a listener it would end the process.
    visitor.on('error', () => {});
    this.#opened ??= this.#openDoor();
  }

  /** Never rejects. */
  async #openDoor(): Promise<void> {
    // Before the door listens: closing takes the path's name away.
    this.#closeServer();
    try {
      const doors = await this.#open();
      for (const visitor of this.#visitors) doors.admit(visitor);
    } catch {
      for (const visitor of this.#visitors) visitor.destroy();
    }
    this.#visitors.clear();
  }

  #closeServer(): void {
    if (this.#server.listening) this.#server.close();
  }
}
