/**
 * How a program on Node reaches a server: over TCP or a Unix socket, connections kept open, bodies streaming both ways.
 * A body is pulled no faster than the connection takes it. When the answer comes before the body has been sent whole,
 * sending stops and the answer is what counts.
 */
import { Agent, type ClientRequest, type IncomingMessage, request as startRequest } from 'node:http';
import type { ByteSource, Transport, TransportAnswer, TransportRequest } from '../api/index.ts';
import { Fault } from '../base/index.ts';

/** Connections that one transport keeps at once. */
const CONNECTIONS_MAX = 64;
/** The record of a file with the longest path, percent-encoded, has some 15 KiB. */
const ANSWER_HEADER_BYTES_MAX = 64 * 1024;
/** Bytes sent before the event loop gets its turn; more than a kernel takes without making us wait for the other end. */
const TURN_BYTES = 16 * 1024 * 1024;
/** Idle connections end on our side before the server's keep-alive time is over. */
const IDLE_MS = 30_000;

export type NodeTransportOptions =
  /** `http://host:port`, without a path. */
  { readonly origin: string } | { readonly socketPath: string };

export interface NodeTransport extends Disposable {
  readonly send: Transport;
}

/** @throws Fault `invalid` for an origin that is none. */
export function nodeTransport(options: NodeTransportOptions): NodeTransport {
  const agent = new Agent({
    keepAlive: true,
    maxSockets: CONNECTIONS_MAX,
    maxFreeSockets: CONNECTIONS_MAX,
    timeout: IDLE_MS,
  });
  const place = placeOf(options);
  return {
    send: (request) => exchange(request, { agent, ...place }),
    [Symbol.dispose]: () => agent.destroy(),
  };
}

interface Place {
  readonly socketPath?: string;
  readonly host?: string;
  readonly port?: string;
  /** For sentences. */
  readonly shown: string;
}

function placeOf(options: NodeTransportOptions): Place {
  if ('socketPath' in options) return { socketPath: options.socketPath, shown: options.socketPath };
  const url = URL.parse(options.origin);
  if (url === null || url.protocol !== 'http:' || url.pathname !== '/' || url.search !== '') {
    const sentence = `${JSON.stringify(options.origin)} is not the address of a server. It reads like http://127.0.0.1:8420.`;
    throw new Fault('invalid', sentence, { origin: options.origin });
  }
  return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: url.port || '80', shown: url.origin };
}

async function exchange(request: TransportRequest, place: Place & { agent: Agent }): Promise<TransportAnswer> {
  const { signal, body } = request;
  if (signal?.aborted) throw Fault.aborted(signal, 'A request');
  const { shown, ...where } = place;
  const { method, path, headers } = request;
  const sent = startRequest({
    ...where,
    method,
    path,
    headers: { ...headers },
    maxHeaderSize: ANSWER_HEADER_BYTES_MAX,
  });
  const onAbort = (): void => void sent.destroy(Fault.aborted(signal, 'A request'));
  signal?.addEventListener('abort', onAbort, { once: true });
  sent.once('close', () => signal?.removeEventListener('abort', onAbort));
  const failure = Promise.withResolvers<never>();
  const answered = new Promise<IncomingMessage>((resolve) => sent.once('response', resolve));
  const written = writtenBy(sent);
  sent.on('error', (error) => failure.reject(faultOf(error, { sent, place, hasWritten: written() > 0 })));
  failure.promise.catch(() => {});
  void sendBody(sent, body, answered).catch((error: unknown) => {
    // The source failed, not the connection: its own error is what the caller must see.
    failure.reject(error);
    sent.destroy();
  });
  const answer = await Promise.race([answered, failure.promise]);
  return {
    status: answer.statusCode ?? 0,
    headers: headersOf(answer),
    body: bodyOf(answer, { sent, shown, signal }),
  };
}

/** Bytes that a request has written to its connection, whoever had it before; 0 while it has none. */
function writtenBy(sent: ClientRequest): () => number {
  let written = (): number => 0;
  // Comes before anything of the request is written.
  sent.once('socket', (socket) => {
    const before = socket.bytesWritten;
    written = () => socket.bytesWritten - before;
  });
  return () => written();
}

async function sendBody(
  sent: ClientRequest,
  body: Uint8Array | ByteSource | undefined,
  answered: Promise<unknown>,
): Promise<void> {
  if (body === undefined || body instanceof Uint8Array) {
    sent.end(body);
    return;
  }
  let isAnswered = false;
  void answered.then(() => {
    isAnswered = true;
  });
  let turnBytes = 0;
  for await (const piece of body) {
    if (isAnswered || sent.destroyed) return;
    await flushed(sent, piece, answered);
    turnBytes += piece.length;
    if (turnBytes < TURN_BYTES) continue;
    // With a source that never waits, the news that the connection broke would never get in.
    turnBytes = 0;
    await new Promise(setImmediate);
  }
  if (!sent.destroyed) sent.end();
}

/** Until the kernel has the piece, since its owner may use it again; or until nothing more is wanted. */
function flushed(sent: ClientRequest, piece: Uint8Array, answered: Promise<unknown>): Promise<unknown> | undefined {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  sent.write(piece, resolve);
  if (sent.writableLength === 0) return undefined;
  return Promise.race([promise, answered]);
}

function headersOf(answer: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return headers;
}

interface Answering {
  readonly sent: ClientRequest;
  readonly shown: string;
  readonly signal: AbortSignal | undefined;
}

/** Not a generator: one that was never begun would not notice that it is left, and the connection would stay taken. */
function bodyOf(answer: IncomingMessage, answering: Answering): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => new AnswerPieces(answer, answering) };
}

class AnswerPieces implements AsyncIterator<Uint8Array> {
  readonly #answer: IncomingMessage;
  readonly #answering: Answering;
  readonly #pieces: AsyncIterator<Uint8Array>;

  constructor(answer: IncomingMessage, answering: Answering) {
    this.#answer = answer;
    this.#answering = answering;
    this.#pieces = answer[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    const { shown, signal } = this.#answering;
    try {
      const next = await this.#pieces.next();
      if (next.done !== true) return next;
    } catch (error) {
      this.#leave();
      if (signal?.aborted) throw Fault.aborted(signal, 'Reading an answer');
      throw brokenOff(shown, error);
    }
    if (!this.#answer.complete) {
      this.#leave();
      throw brokenOff(shown, undefined);
    }
    // The answer came before the body was sent: the connection is of no further use.
    if (!this.#answering.sent.writableFinished) this.#leave();
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    if (!this.#answer.readableEnded) this.#leave();
    return { done: true, value: undefined };
  }

  #leave(): void {
    this.#answering.sent.destroy();
  }
}

function brokenOff(shown: string, cause: unknown): Fault {
  return new Fault(
    'unavailable',
    `The answer of ${shown} broke off before it was whole.`,
    { server: shown, was_sent: true },
    cause,
  );
}

const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'EACCES',
]);

interface Broken {
  readonly sent: ClientRequest;
  readonly place: Place;
  readonly hasWritten: boolean;
}

function faultOf(error: NodeJS.ErrnoException, { sent, place, hasWritten }: Broken): Fault {
  if (Fault.is(error)) return error;
  const { shown, socketPath } = place;
  // A listener that closes resets whoever waits to be let in: that is `connect` with a code that says less.
  const hasConnected = !NEVER_SENT.has(error.code ?? '') && error.syscall !== 'connect';
  const isUnsent = !hasWritten || !hasConnected || (socketPath !== undefined && isUnread(error));
  const wasSent = !isUnsent;
  const why = wasSent ? 'the connection broke before the answer came' : 'nothing answers there. Is the server running?';
  const about = { server: shown, was_sent: wasSent, was_reused: sent.reusedSocket, reason: error.code ?? '' };
  return new Fault('unavailable', `${shown} cannot be reached: ${why}`, about, error);
}

/**
 * On a Unix socket these say that the other end closed before it had read all that was sent: EPIPE refuses the bytes,
 * and ECONNRESET is what the kernel answers only when it had to drop bytes that nobody read. A request that was not read
 * to its end is not acted on. (Over TCP neither says that much; a hang-up without bytes dropped has no `syscall`.)
 */
function isUnread(error: NodeJS.ErrnoException): boolean {
  return (
    (error.code === 'EPIPE' && error.syscall === 'write') || (error.code === 'ECONNRESET' && error.syscall === 'read')
  );
}
