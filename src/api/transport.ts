/**
 * How a request gets to a server and its answer back: the one thing a client needs from the world it runs in. Bodies
 * stream both ways. An answer may come before the body has been sent whole; then the rest of the body is not sent.
 */
import type { ByteSource } from './file-service.ts';

export interface TransportRequest {
  readonly method: string;
  /** Path and query, as they stand in the request line. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** With a ByteSource of known length, `content-length` stands in the headers. */
  readonly body?: Uint8Array | ByteSource | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TransportAnswer {
  readonly status: number;
  /** Names in lower case; several values of one name joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * To be read to its end, or left by ending the iteration early, which gives the connection up. Throws Fault
   * `unavailable` when the connection ends before the body does.
   */
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * @throws Fault `unavailable` when the server cannot be reached or goes away before it answers: with
 * `about.was_sent` false when it is sure that the request did not reach it whole, so that it was not acted on.
 * Fault `aborted` when the signal fires.
 * Whatever the body source throws comes through as it is.
 */
export type Transport = (request: TransportRequest) => Promise<TransportAnswer>;
