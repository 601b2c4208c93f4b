/**
 * The control socket of a command that holds a store for itself: it listens from early on, and what answers there is
 * loaded only when somebody connects. Most commands end without a visitor, and the HTTP room costs more to load than a
 * small command takes altogether.
 *
 * The first visitor rings: the bell gives up its socket, the door takes the same path, and whoever rang meanwhile is
 * passed on to it, byte for byte, for as long as that connection lasts. Whoever comes in the moment between finds
 * nobody, which a caller meets with every store that is just being opened or closed, and comes again.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type Clock, Fault } from '../base/index.ts';
import { controlSocketOf, type SocketAddress } from './control-socket.ts';

/** How long the last bytes to a visitor may take once the door behind it has closed. */
const LAST_BYTES_MS = 1_000;

export interface DoorbellParts {
  /** The store's. */
  readonly folder: string;
  readonly clock: Clock;
  /** Opens the door on the same socket; called once. A failure leaves the visitors without an answer. */
  readonly open: () => Promise<unknown>;
}

export class Doorbell implements AsyncDisposable {
  readonly #parts: DoorbellParts;
  readonly #address: SocketAddress;
  readonly #server: Server;
  /** Who rang, until they are gone. */
  readonly #visitors = new Set<Socket>();
  #opened: Promise<void> | undefined;

  private constructor(parts: DoorbellParts, address: SocketAddress) {
    this.#parts = parts;
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

  /** Takes no more visitors; those who rang are passed on. Then resolves, and nothing stands in the door's way. */
  async stop(): Promise<void> {
    this.#closeServer();
    await this.#opened;
  }

  /** Waits until whoever rang has everything that the door said. Dispose the door first. */
  async [Symbol.asyncDispose](): Promise<void> {
    using _address = this.#address;
    await this.stop();
    const { clock } = this.#parts;
    await Promise.all([...this.#visitors].map((visitor) => ended(visitor, clock)));
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
    this.#opened ??= this.#open();
  }

  /** Never rejects. */
  async #open(): Promise<void> {
    // Before the door listens: closing takes the path's name away.
    this.#closeServer();
    try {
      await this.#parts.open();
      for (const visitor of this.#visitors) this.#passOn(visitor);
    } catch {
      for (const visitor of this.#visitors) visitor.destroy();
    }
  }

  #closeServer(): void {
    if (this.#server.listening) this.#server.close();
  }

  #passOn(visitor: Socket): void {
    const inner = connect(this.#address.path);
    inner.on('error', () => {});
    // However one side ends, the other one ends too, after what it still has to say.
    inner.once('close', () => visitor.destroySoon());
    visitor.once('close', () => inner.destroy());
    visitor.pipe(inner);
    inner.pipe(visitor);
  }
}

async function ended(visitor: Socket, clock: Clock): Promise<void> {
  if (visitor.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  visitor.once('close', () => resolve());
  visitor.destroySoon();
  using _late = clock.after(LAST_BYTES_MS, () => visitor.destroy());
  await promise;
}
