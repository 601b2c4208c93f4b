/**
 * Answers as data, and the one place that sends them. Bytes go out as they are pulled from the service, straight to the
 * socket: the next piece is asked for when the last one has gone to the kernel, so memory stays at one piece and a piece
 * may be reused by its owner. The first piece is pulled before the head is written, so that damage found there is still a
 * proper error; damage found later ends the connection before the announced length, never as if the file were whole.
 * A small answer is put together first and goes out in one write with its head.
 *
 * An answer that comes before the request's body was read ends the connection as RFC 9112 §9.6 asks: the answer, then the
 * end of our side, then for a while what the client still sends is dropped, so that it gets to read the answer instead
 * of a reset.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { PROBLEM_TYPE, type Problem, TUS_PATH, TUS_VERSION } from '../../api/index.ts';
import { type Clock, Fault } from '../../base/index.ts';
import type { HttpOptions } from '../options.ts';
import { arrivalOf } from './arrival.ts';

export type AnswerHeaders = Readonly<Record<string, string>>;

export type Answer =
  | { readonly kind: 'empty'; readonly status: number; readonly headers?: AnswerHeaders }
  | { readonly kind: 'json'; readonly status: number; readonly headers?: AnswerHeaders; readonly json: unknown }
  | { readonly kind: 'text'; readonly status: number; readonly headers: AnswerHeaders; readonly text: string }
  /** Exactly `length` bytes. */
  | {
      readonly kind: 'bytes';
      readonly status: number;
      readonly headers: AnswerHeaders;
      readonly length: number;
      readonly bytes: AsyncIterable<Uint8Array>;
    }
  /** Text or bytes of unknown length, in pieces of a few lines or more. A piece may be used again by its owner. */
  | {
      readonly kind: 'stream';
      readonly status: number;
      readonly headers: AnswerHeaders;
      readonly pieces: AsyncIterable<string | Uint8Array>;
      /** The body is read while this is sent, and to its end. */
      readonly readsBody?: boolean;
    };

/** Answers of up to so many bytes are put together. */
const JOINED_BYTES_MAX = 128 * 1024;
/** Bytes sent before the event loop gets its turn. */
const TURN_BYTES = 16 * 1024 * 1024;

/** On every answer. */
const COMMON_HEADERS = {
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
} as const;

export interface Sending {
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
  /** Fires when the client has gone or the server gives the request up. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly options: HttpOptions;
}

/** On every answer about tus, problems too. */
const TUS_HEADERS = { 'tus-resumable': TUS_VERSION } as const;

function isTus({ url = '' }: IncomingMessage): boolean {
  return url === TUS_PATH || url.startsWith(`${TUS_PATH}/`);
}

/** Resolves when the answer is with the kernel. @throws what the bytes threw; `aborted` when the client has gone. */
export async function send(answer: Answer, sending: Sending): Promise<void> {
  switch (answer.kind) {
    case 'empty':
      return sendText(answer.status, answer.headers ?? {}, undefined, sending);
    case 'json': {
      const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', ...answer.headers };
      // The line break is for people at a terminal.
      return sendText(answer.status, headers, `${JSON.stringify(answer.json)}\n`, sending);
    }
    case 'text':
      return sendText(answer.status, answer.headers, answer.text, sending);
    case 'bytes':
      return sendBytes(answer, sending);
    case 'stream':
      return sendStream(answer, sending);
  }
}

export function problemAnswer(problem: Problem, headers: AnswerHeaders = {}): Answer {
  const common = { 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store', ...headers };
  return { kind: 'text', status: problem.status, headers: common, text: `${JSON.stringify(problem)}\n` };
}

function sendText(status: number, headers: AnswerHeaders, text: string | undefined, sending: Sending): void {
  const { response, message } = sending;
  const body = text === undefined ? undefined : Buffer.from(text);
  // A 204 or 304 has no body and must not say how long it is (RFC 9110 §8.6).
  const isBodiless = status === 204 || status === 304;
  const length = isBodiless ? {} : { 'content-length': String(body?.length ?? 0) };
  writeHead(status, { ...headers, ...length }, sending);
  response.end(message.method === 'HEAD' ? undefined : body);
}

function writeHead(status: number, headers: AnswerHeaders, sending: Sending, isLast = leavesBody(sending)): void {
  const { response } = sending;
  const closing = isLast ? { connection: 'close' } : {};
  if ('connection' in closing) lingerAfter(sending);
  response.writeHead(status, {
    ...COMMON_HEADERS,
    'x-request-id': arrivalOf(sending.message).request,
    ...(isTus(sending.message) ? TUS_HEADERS : {}),
    ...headers,
    ...closing,
  });
}

async function sendBytes(answer: Answer & { kind: 'bytes' }, sending: Sending): Promise<void> {
  const { response } = sending;
  const headers = { ...answer.headers, 'content-length': String(answer.length) };
  if (sending.message.method === 'HEAD' || answer.length === 0) {
    writeHead(answer.status, headers, sending);
    response.end();
    return;
  }
  const pieces = answer.bytes[Symbol.asyncIterator]();
  try {
    const first = await pieces.next();
    if (answer.length <= JOINED_BYTES_MAX) await sendJoined(answer, headers, { first, pieces }, sending);
    else await sendPieces(answer, headers, { first, pieces }, sending);
  } finally {
    await pieces.return?.();
  }
}

interface Pulled {
  readonly first: IteratorResult<Uint8Array>;
  /** What is behind the first. */
  readonly pieces: AsyncIterator<Uint8Array>;
}

async function sendPieces(
  answer: Answer & { kind: 'bytes' },
  headers: AnswerHeaders,
  { first, pieces }: Pulled,
  sending: Sending,
): Promise<void> {
  const { response, signal } = sending;
  if (signal.aborted) throw Fault.aborted(signal, 'Sending a file');
  writeHead(answer.status, headers, sending);
  let turnBytes = 0;
  for (let piece = first, left = answer.length; ; piece = await pieces.next()) {
    if (piece.done === true || piece.value.length > left) throw wrongLength(answer.length, left);
    left -= piece.value.length;
    await write(response, piece.value, signal, left === 0);
    if (left === 0) return;
    turnBytes += piece.value.length;
    if (turnBytes < TURN_BYTES) continue;
    // A fast client and bytes that are at hand would keep everybody else waiting.
    turnBytes = 0;
    await new Promise(setImmediate);
  }
}

/** Memory in which answers are put together, for the next ones. */
const spares: Buffer[] = [];
const SPARES_MAX = 32;

async function sendJoined(
  answer: Answer & { kind: 'bytes' },
  headers: AnswerHeaders,
  { first, pieces }: Pulled,
  sending: Sending,
): Promise<void> {
  const { response, signal } = sending;
  const isWhole = first.done !== true && first.value.length === answer.length;
  const memory = isWhole ? undefined : (spares.pop() ?? Buffer.allocUnsafeSlow(JOINED_BYTES_MAX));
  if (memory !== undefined) await join({ first, pieces }, memory.subarray(0, answer.length));
  await turnEnd();
  if (signal.aborted) throw Fault.aborted(signal, 'Sending a file');
  writeHead(answer.status, headers, sending);
  await write(response, memory?.subarray(0, answer.length) ?? first.value, signal, true);
  // Not when the client went away meanwhile: what is sent then nobody knows.
  if (memory !== undefined && spares.length < SPARES_MAX) spares.push(memory);
}

let ending: Promise<void> | undefined;

/**
 * When all requests that came in together have been looked at. Answers that go out one behind the other wake a client
 * on the same machine once; to be woken for each costs both sides more than the answer does.
 */
function turnEnd(): Promise<void> {
  ending ??= new Promise((resolve) => {
    setImmediate(() => {
      ending = undefined;
      resolve();
    });
  });
  return ending;
}

async function join({ first, pieces }: Pulled, target: Uint8Array): Promise<void> {
  let at = 0;
  for (let piece = first; ; piece = await pieces.next()) {
    if (piece.done === true || piece.value.length > target.length - at)
      throw wrongLength(target.length, target.length - at);
    target.set(piece.value, at);
    at += piece.value.length;
    if (at === target.length) return;
  }
}

function wrongLength(length: number, left: number): Error {
  return new Error(`Broken invariant: a read promised ${length} bytes and differs ${left} bytes before their end.`);
}

async function sendStream(answer: Answer & { kind: 'stream' }, sending: Sending): Promise<void> {
  const { response, signal } = sending;
  const pieces = answer.pieces[Symbol.asyncIterator]();
  try {
    let piece = await pieces.next();
    if (signal.aborted) throw Fault.aborted(signal, 'Sending a list');
    writeHead(answer.status, answer.headers, sending, answer.readsBody !== true && leavesBody(sending));
    if (sending.message.method === 'HEAD') {
      response.end();
      return;
    }
    let turnBytes = 0;
    for (; piece.done !== true; piece = await pieces.next()) {
      if (piece.value.length === 0) continue;
      const bytes = typeof piece.value === 'string' ? Buffer.from(piece.value) : piece.value;
      await write(response, bytes, signal, false);
      turnBytes += bytes.length;
      if (turnBytes < TURN_BYTES) continue;
      turnBytes = 0;
      await new Promise(setImmediate);
    }
    response.end();
  } finally {
    await pieces.return?.();
  }
}

/** Resolves when the kernel has the bytes, which on a fast connection is at once. */
function write(
  response: ServerResponse,
  bytes: Uint8Array,
  signal: AbortSignal,
  isLast: boolean,
): Promise<void> | undefined {
  if (response.destroyed || signal.aborted) throw Fault.aborted(signal, 'Sending an answer');
  let flushed = (_error?: Error | null): void => {};
  const callback = (error?: Error | null): void => flushed(error);
  if (isLast) response.end(bytes, () => flushed());
  else {
    // Uncorked here it goes to the kernel now; else it would wait for the next tick, and we for it.
    response.cork();
    response.write(bytes, callback);
    response.uncork();
  }
  if (response.writableLength === 0) return undefined;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(Fault.aborted(signal, 'Sending an answer'));
    signal.addEventListener('abort', onAbort, { once: true });
    flushed = (error) => {
      signal.removeEventListener('abort', onAbort);
      if (error == null) resolve();
      else reject(new Fault('aborted', 'The client went away before the answer was sent.', {}, error));
    };
  });
}

/** True when so much of the request's body is still to come that reading it to its end is no option. */
function leavesBody({ message, options }: Sending): boolean {
  if (message.complete) return false;
  const arrival = arrivalOf(message);
  // A client that waits for 100 and gets an answer instead may send its body or not: only a new connection is clear.
  if (arrival.goOn !== undefined || arrival.isBroken === true) return true;
  const length = message.headers['content-length'];
  const left =
    length === undefined ? (message.headers['transfer-encoding'] === undefined ? 0 : Infinity) : Number(length);
  return left - arrival.bodyBytes > options.dropBytesMax;
}

/** How often a lingering connection is looked at. */
const LINGER_LOOK_MS = 50;

/** Node would destroy the socket as soon as the answer is out, and the reset could overtake the answer. */
function lingerAfter({ message, clock, options }: Sending): void {
  const { socket } = message;
  socket.destroySoon = () => {
    const endMs = clock.monotonicMs() + options.lingerMs;
    const bytesMax = socket.bytesRead + options.lingerBytesMax;
    const look = (): void => {
      if (socket.destroyed) return;
      if (clock.monotonicMs() >= endMs || socket.bytesRead > bytesMax) socket.destroy();
      else clock.after(LINGER_LOOK_MS, look);
    };
    socket.end();
    look();
  };
}
