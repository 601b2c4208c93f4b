/**
 * The bytes of a request as a source for the service: counted, bounded, and a Fault where they break off.
 * Written out as an iterator because an upload is one pull for every 64 KiB, and each layer of generators costs as much
 * as the pull itself.
 */
import type { IncomingMessage } from 'node:http';
import { Fault } from '../base/index.ts';
import { arrivalOf } from './arrival.ts';
import { checkSize } from './write-headers.ts';

/**
 * The body, to be pulled once. Ending early leaves the connection alone, so that an answer can still be sent.
 * @throws Fault `too-large` past `bytesMax`, `aborted` when the client goes away or sends less than it announced.
 */
export function uploadOf(message: IncomingMessage, bytesMax: number): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => new UploadPieces(message, bytesMax) };
}

class UploadPieces implements AsyncIterator<Uint8Array> {
  readonly #message: IncomingMessage;
  readonly #bytesMax: number;
  #hasBegun = false;
  #isOver = false;
  #cause: unknown;
  #wake: (() => void) | undefined;

  constructor(message: IncomingMessage, bytesMax: number) {
    this.#message = message;
    this.#bytesMax = bytesMax;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (!this.#hasBegun) this.#begin();
    for (;;) {
      const piece: Uint8Array | null = this.#message.destroyed ? null : this.#message.read();
      if (piece !== null) return { done: false, value: this.#counted(piece) };
      if (this.#isOver) return this.#end();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#leave();
    return { done: true, value: undefined };
  }

  #begin(): void {
    this.#hasBegun = true;
    const arrival = arrivalOf(this.#message);
    arrival.goOn?.();
    arrival.goOn = undefined;
    this.#isOver = this.#message.readableEnded || this.#message.destroyed;
    this.#message.on('readable', this.#onReadable).on('end', this.#onOver).on('close', this.#onOver);
    this.#message.on('error', this.#onOver);
  }

  readonly #onReadable = (): void => this.#wake?.();

  readonly #onOver = (cause?: unknown): void => {
    this.#isOver = true;
    this.#cause ??= cause;
    this.#wake?.();
  };

  #counted(piece: Uint8Array): Uint8Array {
    const arrival = arrivalOf(this.#message);
    arrival.bodyBytes += piece.length;
    if (arrival.bodyBytes > this.#bytesMax) {
      this.#leave();
      checkSize(arrival.bodyBytes, this.#bytesMax);
    }
    return piece;
  }

  #end(): IteratorResult<Uint8Array> {
    this.#leave();
    if (this.#message.complete && this.#message.readableEnded) return { done: true, value: undefined };
    const { bodyBytes } = arrivalOf(this.#message);
    const sentence = `The upload broke off after ${bodyBytes} bytes. Nothing of it was kept.`;
    throw new Fault('aborted', sentence, { received: bodyBytes }, this.#cause);
  }

  /** With a listener for `readable` left behind, the rest of the body could not be dropped. */
  #leave(): void {
    this.#message.off('readable', this.#onReadable).off('end', this.#onOver).off('close', this.#onOver);
    this.#message.off('error', this.#onOver);
  }
}

/** Lets go of what is left of a body after its answer, so that the connection can go on or end. */
export function dropBody(message: IncomingMessage): void {
  if (message.complete || message.destroyed) return;
  message.removeAllListeners('readable');
  message.resume();
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
  return Buffer.concat(pieces, length);
}

function bodyTooLarge(bytesMax: number): Fault {
  return new Fault('too-large', `The body of this request may have ${bytesMax} bytes at most.`, { bytesMax });
}
