/**
 * A transport over fetch, for browsers and everything else that has it. Answers stream. Uploads stream where fetch can
 * (Node, and browsers over HTTP/2); elsewhere they are gathered first, up to a bound, and sent whole.
 */
import type { ByteSource, Transport, TransportAnswer, TransportRequest } from '../api/index.ts';
import { concatBytes, Fault } from '../base/index.ts';

export interface FetchTransportOptions {
  /** In front of every path; the page's own origin when absent. */
  readonly origin?: string;
  /** The global one when absent. */
  readonly fetch?: typeof fetch;
  /** Whether request bodies stream; false when absent. */
  readonly streamsUploads?: boolean;
  /** Bytes that an upload may have where it is gathered; 256 MiB when absent. */
  readonly gatheredBytesMax?: number;
}

const GATHERED_BYTES_MAX = 256 * 1024 * 1024;

export function fetchTransport(options: FetchTransportOptions = {}): Transport {
  return (request) => exchange(request, options);
}

async function exchange(request: TransportRequest, options: FetchTransportOptions): Promise<TransportAnswer> {
  const { method, path, signal } = request;
  const { origin = '' } = options;
  if (signal?.aborted) throw Fault.aborted(signal, 'A request');
  const kept: { error?: unknown } = {};
  const body = await bodyOf(request, options, kept);
  // Length and host belong to fetch itself.
  const headers = Object.entries(request.headers).filter(([name]) => name !== 'content-length');
  const init: RequestInit & { duplex?: 'half' } = { method, headers, cache: 'no-store', redirect: 'manual' };
  if (body !== undefined) init.body = body;
  if (body instanceof ReadableStream) init.duplex = 'half';
  if (signal !== undefined) init.signal = signal;
  try {
    const answer = await (options.fetch ?? fetch)(`${origin}${path}`, init);
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: piecesOf(answer, signal) };
  } catch (error) {
    // What the source threw is the caller's own; fetch hides it behind an error of its own.
    if ('error' in kept) throw kept.error;
    throw faultOf(error, signal, origin);
  }
}

function faultOf(error: unknown, signal: AbortSignal | undefined, origin: string): Fault {
  if (signal?.aborted) return Fault.aborted(signal, 'A request');
  if (Fault.is(error)) return error;
  const sentence = `${origin || 'The server'} cannot be reached, or the connection broke. Is the server running?`;
  return new Fault('unavailable', sentence, { server: origin }, error);
}

async function bodyOf(
  { body, headers }: TransportRequest,
  options: FetchTransportOptions,
  kept: { error?: unknown },
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | undefined> {
  if (body === undefined) return undefined;
  if (body instanceof Uint8Array) return new Uint8Array(body);
  if (options.streamsUploads === true) return streamOf(body, kept);
  return gathered(body, Number(headers['content-length'] ?? 0), options.gatheredBytesMax ?? GATHERED_BYTES_MAX);
}

async function gathered(source: ByteSource, announced: number, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  if (announced > bytesMax) throw tooLarge(bytesMax);
  for await (const piece of source) {
    length += piece.length;
    if (length > bytesMax) throw tooLarge(bytesMax);
    parts.push(piece.slice());
  }
  return concatBytes(parts);
}

function tooLarge(bytesMax: number): Fault {
  const sentence = `This browser sends files whole, and ${bytesMax} bytes is the most for one. Use the command line for larger ones.`;
  return new Fault('too-large', sentence, { bytesMax });
}

function streamOf(source: ByteSource, kept: { error?: unknown }): ReadableStream<Uint8Array> {
  const pieces = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const next = await pieces.next();
          if (next.done === true) controller.close();
          // A copy: the stream keeps the piece, and its owner may use it again.
          else controller.enqueue(next.value.slice());
        } catch (error) {
          kept.error = error;
          controller.error(error);
        }
      },
      async cancel() {
        await pieces.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

async function* piecesOf(answer: Response, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const reader = answer.body?.getReader();
  if (reader === undefined) return;
  let isWhole = false;
  try {
    for (;;) {
      const next = await reader.read();
      isWhole = next.done;
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    throw faultOf(error, signal, answer.url);
  } finally {
    if (!isWhole) await reader.cancel().catch(() => {});
  }
}
