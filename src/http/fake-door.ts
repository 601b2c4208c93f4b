/** A door over a fake service on a free port, and the ways in which its tests talk to it. For tests alone. */
import { connect, type Socket } from 'node:net';
import type { FileService } from '../api/index.ts';
import { type LogEvent, logTo, systemClock, systemRandom } from '../base/index.ts';
import { createHttpDoor, type HttpCaller, type HttpDoor } from './door.ts';
import { FakeStore } from './fake-file-service.ts';
import { nodeTransport } from './node-transport.ts';
import type { HttpOptions } from './options.ts';

export interface Asked {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>;
}

export interface Told {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
  readonly text: string;
  /** The body as JSON. */
  readonly json: Record<string, unknown>;
}

export interface FakeDoor extends AsyncDisposable {
  readonly door: HttpDoor;
  readonly store: FakeStore;
  readonly service: FileService;
  readonly port: number;
  readonly url: string;
  readonly events: LogEvent[];
  ask(method: string, path: string, asked?: Asked): Promise<Told>;
  /** Sends text as it is, under the Host test.example, and answers everything that comes back until the connection ends. */
  raw(text: string): Promise<string>;
  socket(): Promise<Socket>;
}

export interface FakeDoorOptions {
  readonly options?: Partial<HttpOptions>;
  /** Instead of the fake's own service. */
  readonly wrap?: (service: FileService, caller: HttpCaller) => FileService;
}

export async function openFakeDoor({ options = {}, wrap }: FakeDoorOptions = {}): Promise<FakeDoor> {
  const store = new FakeStore();
  const events: LogEvent[] = [];
  const door = await createHttpDoor({
    service: (caller) => (wrap === undefined ? store.service(caller) : wrap(store.service(caller), caller)),
    clock: systemClock,
    random: systemRandom,
    log: logTo((event) => events.push(event), 'debug'),
    options: { hosts: ['test.example'], ...options },
    info: () => ({ version: '0.0.0', store_id: 'fake', uptime_seconds: 1 }),
  });
  const address = await door.listen({ host: '127.0.0.1', port: 0 });
  if (!('url' in address)) throw new Error('TCP has a URL');
  const { url, port } = address;
  const transport = nodeTransport({ origin: url });
  const socket = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const made = connect(port, '127.0.0.1', () => resolve(made));
      made.once('error', reject);
    });
  return {
    door,
    store,
    service: store.service(),
    port,
    url,
    events,
    socket,
    async ask(method, path, { headers = {}, body } = {}) {
      const sent = typeof body === 'string' ? Buffer.from(body) : body;
      const length = sent instanceof Uint8Array ? { 'content-length': String(sent.length) } : {};
      const answer = await transport.send({ method, path, headers: { ...length, ...headers }, body: sent });
      const parts: Uint8Array[] = [];
      for await (const piece of answer.body) parts.push(piece);
      const bytes = Buffer.concat(parts);
      const text = bytes.toString('utf8');
      return { status: answer.status, headers: answer.headers, bytes, text, json: jsonOrNothing(text) };
    },
    async raw(text) {
      const open = await socket();
      open.write(text, 'latin1');
      return ended(open);
    },
    async [Symbol.asyncDispose]() {
      transport[Symbol.dispose]();
      await door[Symbol.asyncDispose]();
    },
  };
}

function jsonOrNothing(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** All that comes until the other side ends the connection. */
export function ended(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}
