/**
 * A load generator as a process of its own: `node http-load.ts '{…Load…}'` prints one line of JSON, a LoadResult.
 * Speaks just enough HTTP/1.1 over raw sockets that it costs little beside what it asks, and keeps connections open.
 * It shares the machine with the server; both contestants get the same one, and the report says so.
 */
import { createCipheriv } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { quantileOf } from './harness.ts';

export interface Load {
  readonly port: number;
  readonly clients: number;
  readonly seconds: number;
  readonly method: 'GET' | 'PUT';
  /** `#` stands for a number that no other request of this load has. */
  readonly path: string;
  /** Bytes of a PUT; no two bodies are alike, and nothing makes them smaller. */
  readonly bodyBytes?: number;
  /** Bodies of different seeds differ. */
  readonly seed?: number;
  /** Each client asks once in this time, the clients spread evenly over it; as fast as they can when absent. */
  readonly intervalMs?: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly firstError?: string;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const READ_BYTES = 256 * 1024;
const HEAD_BYTES_MAX = 64 * 1024;

/** One connection with one request at a time. */
class Client {
  readonly #port: number;
  #socket: Socket | undefined;
  #settle: ((outcome: number | Error) => void) | undefined;
  #head = '';
  /** Bytes of the body still to come, or undefined while the head is not complete. */
  #left: number | undefined;
  #status = 0;

  constructor(port: number) {
    this.#port = port;
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      const socket = connect({
        host: '127.0.0.1',
        port: this.#port,
        noDelay: true,
        onread: { buffer, callback: (count) => this.#take(buffer.subarray(0, count)) },
      });
      socket.once('connect', resolve);
      socket.on('error', (error) => {
        reject(error);
        this.#end(error);
      });
      socket.on('close', () => {
        this.#socket = undefined;
        this.#end(new Error('the server closed the connection'));
      });
      this.#socket = socket;
    });
  }

  /** Answers the status. @throws Error when the connection breaks. */
  async ask(head: string, body: Uint8Array | undefined): Promise<number> {
    if (this.#socket === undefined) await this.open();
    const socket = this.#socket;
    if (socket === undefined) throw new Error('not connected');
    return new Promise((resolve, reject) => {
      this.#settle = (outcome) => (typeof outcome === 'number' ? resolve(outcome) : reject(outcome));
      this.#head = '';
      this.#left = undefined;
      socket.cork();
      socket.write(head, 'latin1');
      if (body !== undefined) socket.write(body);
      socket.uncork();
    });
  }

  close(): void {
    this.#settle = undefined;
    this.#socket?.destroy();
  }

  #take(bytes: Buffer): boolean {
    if (this.#left === undefined) this.#takeHead(bytes);
    else this.#takeBody(bytes.length);
    return true;
  }

  #takeHead(bytes: Buffer): void {
    const before = this.#head.length;
    this.#head += bytes.toString('latin1');
    const end = this.#head.indexOf('\r\n\r\n');
    if (end < 0) {
      if (this.#head.length > HEAD_BYTES_MAX) this.#end(new Error('a head without an end'));
      return;
    }
    const head = this.#head.slice(0, end);
    this.#status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined && this.#status !== 204) {
      this.#end(new Error('an answer without a length'));
      return;
    }
    this.#left = Number(length ?? 0);
    this.#takeBody(bytes.length - (end + 4 - before));
  }

  #takeBody(count: number): void {
    this.#left = (this.#left ?? 0) - count;
    if (this.#left === 0) this.#end(this.#status);
  }

  #end(outcome: number | Error): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(outcome);
  }
}

/** Bodies of one client. */
function* bodiesOf({ bodyBytes, seed = 0 }: Load, client: number): Generator<Uint8Array | undefined, never> {
  if (bodyBytes === undefined) while (true) yield undefined;
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed, 0);
  key.writeUInt32LE(client + 1, 4);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(bodyBytes);
  while (true) yield cipher.update(zeros);
}

async function load(order: Load): Promise<LoadResult> {
  const clients = Array.from({ length: order.clients }, () => new Client(order.port));
  for (const client of clients) await client.open();
  const latencies: number[] = [];
  const errors: string[] = [];
  let number = 0;
  const started = performance.now();
  const until = started + order.seconds * 1000;
  const work = async (client: Client, at: number): Promise<void> => {
    const bodies = bodiesOf(order, at);
    const interval = order.intervalMs;
    let next = started + (interval === undefined ? 0 : (at / clients.length) * interval);
    while (true) {
      if (interval !== undefined)
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
      if (performance.now() >= until) return;
      const body = bodies.next().value;
      const length = body === undefined ? '' : `Content-Length: ${body.length}\r\n`;
      const path = order.path.replace('#', String(number++));
      const asked = performance.now();
      try {
        const status = await client.ask(
          `${order.method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${order.port}\r\n${length}\r\n`,
          body,
        );
        if (status < 200 || status > 299) errors.push(`${order.method} ${path} answered ${status}`);
      } catch (error) {
        errors.push(error instanceof Error ? error.message : String(error));
      }
      latencies.push(performance.now() - asked);
      next += interval ?? 0;
    }
  };
  await Promise.all(clients.map(work));
  const seconds = (performance.now() - started) / 1000;
  for (const client of clients) client.close();
  return {
    requests: latencies.length,
    errors: errors.length,
    ...(errors[0] === undefined ? {} : { firstError: errors[0] }),
    perSecond: (latencies.length - errors.length) / seconds,
    p50Ms: quantileOf(latencies, 0.5),
    p99Ms: quantileOf(latencies, 0.99),
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await load(JSON.parse(process.argv[2] ?? '{}')))}\n`);
