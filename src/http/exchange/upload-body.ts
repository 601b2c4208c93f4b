/**
 * The bytes of a request as a source for the service: counted, bounded, and a Fault where they break off.
 *
 * A connection gives 64 KiB at most at a time, in memory of its own that only the collector would free: at full speed
 * that is a full collection for every few dozen megabytes, and a hand-over through every layer above for each piece.
 * So the pieces of a large body are copied together into buffers that are used again, and their memory is freed at once.
 * All uploads together have GATHER_BUFFERS_MAX such buffers; whoever gets none is handed the pieces as they come.
 * At most LOTS_MAX lots wait for the consumer; then the connection is left alone until it comes back.
 */
import type { IncomingMessage } from 'node:http';
import { Fault } from '../../base/index.ts';
import { arrivalOf } from './arrival.ts';
import { checkSize, type Sized } from './write-headers.ts';

/** The most that a connection gives at a time. */
const PIECE_BYTES_MAX = 64 * 1024;
const GATHER_BYTES = 4 * PIECE_BYTES_MAX;
/** Buffers that all uploads of the process have together; unused ones are kept. */
export const GATHER_BUFFERS_MAX = 24;
/** Lots that wait for the consumer, beside the one it has. */
const LOTS_MAX = 2;

/** Bytes that are handed out together: some pieces in a buffer, or one piece as it came. */
interface Lot {
  readonly memory: Uint8Array;
  readonly isBuffer: boolean;
  length: number;
}

const freeBuffers: Uint8Array[] = [];
let bufferCount = 0;

function takeBuffer(): Uint8Array | undefined {
  const free = freeBuffers.pop();
  if (free !== undefined || bufferCount >= GATHER_BUFFERS_MAX) return free;
  bufferCount++;
  return new Uint8Array(GATHER_BYTES);
}

function giveBack(lot: Lot | undefined): void {
  if (lot?.isBuffer === true) freeBuffers.push(lot.memory);
  else if (lot !== undefined) freeMemory(lot.memory);
}

/** Without waiting for the collector. Nobody can read the piece afterwards. */
function freeMemory(piece: Uint8Array): void {
  const { buffer } = piece;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === piece.length) buffer.transfer(0);
}

/**
 * The body, to be pulled once. Ending early leaves the connection alone, so that an answer can still be sent.
 * What was handed out is gone when the next is asked for, and when the iteration ends.
 * @throws Fault `too-large` past `bytesMax`, `aborted` when the client goes away or sends less than it announced.
 */
export function uploadOf(message: IncomingMessage, bytesMax: number, what: Sized): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => new UploadPieces(message, bytesMax, what) };
}

/** Written out as an iterator: each layer of generators costs as much as the pull itself. */
class UploadPieces implements AsyncIterator<Uint8Array> {
  readonly #message: IncomingMessage;
  readonly #bytesMax: number;
  readonly #what: Sized;
  readonly #isGathered: boolean;
  readonly #lots: Lot[] = [];
  /** What the consumer has. */
  #handed: Lot | undefined;
  #hasBegun = false;
  #isOver = false;
  #isLeft = false;
  #cause: unknown;
  #wake: (() => void) | undefined;
  #isWakeDue = false;

  constructor(message: IncomingMessage, bytesMax: number, what: Sized) {
    this.#message = message;
    this.#bytesMax = bytesMax;
    this.#what = what;
    const announced = message.headers['content-length'];
    this.#isGathered = announced === undefined || Number(announced) > GATHER_BYTES;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (!this.#hasBegun) this.#begin();
    this.#takeBack();
    for (;;) {
      this.#checkSize();
      const lot = this.#lots.shift();
      if (lot !== undefined) return { done: false, value: this.#handOut(lot) };
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
    arrival.leaveBody = () => this.#leave();
    arrival.breakBody = (fault) => {
      arrival.isBroken = true;
      this.#onOver(fault);
    };
    this.#isOver = this.#message.readableEnded || this.#message.destroyed;
    this.#message.on('data', this.#onData).on('end', this.#onOver).on('close', this.#onOver);
    this.#message.on('error', this.#onOver);
  }

  readonly #onData = (piece: Uint8Array): void => {
    const arrival = arrivalOf(this.#message);
    arrival.bodyBytes += piece.length;
    arrival.waitingBytes += piece.length;
    this.#add(piece);
    if (this.#lots.length >= LOTS_MAX && !hasRoom(this.#lots.at(-1))) this.#message.pause();
    // In a moment, when all that has come is here; a full lot at once.
    if (this.#lots.length > 1 || !hasRoom(this.#lots[0])) this.#wake?.();
    else if (!this.#isWakeDue) this.#wakeSoon();
  };

  readonly #onOver = (cause?: unknown): void => {
    this.#isOver = true;
    this.#cause ??= cause;
    this.#wake?.();
  };

  #wakeSoon(): void {
    this.#isWakeDue = true;
    setImmediate(() => {
      this.#isWakeDue = false;
      this.#wake?.();
    });
  }

  #add(piece: Uint8Array): void {
    let lot = this.#lots.at(-1);
    if (!hasRoom(lot) || piece.length > PIECE_BYTES_MAX) {
      const buffer = this.#isGathered && piece.length <= PIECE_BYTES_MAX ? takeBuffer() : undefined;
      lot = {
        memory: buffer ?? piece,
        isBuffer: buffer !== undefined,
        length: buffer === undefined ? piece.length : 0,
      };
      this.#lots.push(lot);
    }
    if (lot?.isBuffer !== true) return;
    lot.memory.set(piece, lot.length);
    lot.length += piece.length;
    freeMemory(piece);
  }

  #handOut(lot: Lot): Uint8Array {
    this.#handed = lot;
    arrivalOf(this.#message).waitingBytes -= lot.length;
    // The consumer works now, and the connection may go on meanwhile.
    if (!this.#isOver) this.#message.resume();
    // No Buffer: whose `slice` would not be a copy.
    return new Uint8Array(lot.memory.buffer, lot.memory.byteOffset, lot.length);
  }

  #takeBack(): void {
    giveBack(this.#handed);
    this.#handed = undefined;
  }

  #checkSize(): void {
    const { bodyBytes } = arrivalOf(this.#message);
    if (bodyBytes <= this.#bytesMax) return;
    this.#leave();
    checkSize(bodyBytes, this.#bytesMax, this.#what);
  }

  #end(): IteratorResult<Uint8Array> {
    this.#leave();
    if (this.#message.complete && this.#message.readableEnded) return { done: true, value: undefined };
    if (Fault.is(this.#cause)) throw this.#cause;
    const { bodyBytes } = arrivalOf(this.#message);
    const sentence = `The upload broke off after ${bodyBytes} bytes. Nothing of it was kept.`;
    throw new Fault('aborted', sentence, { received: bodyBytes }, this.#cause);
  }

  /** What has not come yet stays where it is, until somebody drops it. */
  #leave(): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    this.#message.off('data', this.#onData).off('end', this.#onOver).off('close', this.#onOver);
    this.#message.off('error', this.#onOver);
    if (this.#hasBegun) this.#message.pause();
    this.#takeBack();
    for (const lot of this.#lots.splice(0)) giveBack(lot);
    arrivalOf(this.#message).waitingBytes = 0;
  }
}

/** Whether one more piece fits. */
function hasRoom(lot: Lot | undefined): boolean {
  return lot?.isBuffer === true && lot.length + PIECE_BYTES_MAX <= lot.memory.length;
}

/** Lets go of what is left of a body after its answer, so that the connection can go on or end. */
export function dropBody(message: IncomingMessage): void {
  // Whoever read it has ended, and may have forgotten to say so.
  arrivalOf(message).leaveBody?.();
  if (!message.complete && !message.destroyed) message.resume();
}

/** A whole small body. @throws Fault `too-large` at the announced length or at the first byte too many. */
export async function smallBodyOf(message: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const announced = Number(message.headers['content-length'] ?? 0);
  if (announced > bytesMax) throw bodyTooLarge(bytesMax);
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of uploadOf(message, Number.POSITIVE_INFINITY, 'form')) {
    length += piece.length;
    if (length > bytesMax) throw bodyTooLarge(bytesMax);
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces, length);
}

function bodyTooLarge(bytesMax: number): Fault {
  return new Fault('too-large', `The body of this request may have ${bytesMax} bytes at most.`, { bytesMax });
}
