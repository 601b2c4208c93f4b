/** The bytes of a request as a source for the service: counted, bounded, and a Fault where they break off. */
import type { IncomingMessage } from 'node:http';
import { Fault } from '../base/index.ts';
import { arrivalOf } from './arrival.ts';
import { checkSize } from './write-headers.ts';

/**
 * Pulls the body. Ending early leaves the connection alone, so that an answer can still be sent.
 * @throws Fault `too-large` past `bytesMax`, `aborted` when the client goes away or sends less than it announced.
 */
export async function* uploadOf(message: IncomingMessage, bytesMax: number): AsyncGenerator<Uint8Array> {
  const arrival = arrivalOf(message);
  arrival.goOn?.();
  arrival.goOn = undefined;
  try {
    for await (const piece of message.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      arrival.bodyBytes += piece.length;
      if (arrival.bodyBytes > bytesMax) checkSize(arrival.bodyBytes, bytesMax);
      yield piece;
    }
  } catch (error) {
    if (Fault.is(error)) throw error;
    throw new Fault(
      'aborted',
      `The upload broke off after ${arrival.bodyBytes} bytes. Nothing of it was kept.`,
      {
        received: arrival.bodyBytes,
      },
      error,
    );
  }
  if (message.complete) return;
  throw new Fault('aborted', `The upload broke off after ${arrival.bodyBytes} bytes. Nothing of it was kept.`, {
    received: arrival.bodyBytes,
  });
}

/** A whole small body. @throws Fault `too-large` at the announced length or at the first byte too many. */
export async function smallBodyOf(message: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const announced = Number(message.headers['content-length'] ?? 0);
  if (announced > bytesMax) throw bodyTooLarge(bytesMax);
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of uploadOf(message, Number.POSITIVE_INFINITY)) {
    length += piece.length;
    if (length > bytesMax) throw bodyTooLarge(bytesMax);
    pieces.push(piece);
  }
  return pieces.length === 1 && pieces[0] !== undefined ? Buffer.from(pieces[0]) : Buffer.concat(pieces, length);
}

function bodyTooLarge(bytesMax: number): Fault {
  return new Fault('too-large', `The body of this request may have ${bytesMax} bytes at most.`, { bytesMax });
}
