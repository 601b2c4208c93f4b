/**
 * What can be set about the HTTP door, in one object with its defaults. Every bound of the door stands here: bytes,
 * connections and times. Times are milliseconds.
 */

export interface HttpOptions {
  /** Bytes that one file may have; more are refused with 413, announced or not. */
  readonly fileBytesMax: number;
  /** Bytes of a JSON body; more are refused with 413 without being read. */
  readonly jsonBytesMax: number;
  /** Bytes of the JSON body of a batch, of a list of paths, of a manifest. */
  readonly batchBytesMax: number;
  /** Bytes of a request line with all headers; the longest path, wholly percent-encoded, has 12 KiB. */
  readonly headerBytesMax: number;
  /** Fields of a form, their bytes, and the bytes of the headers of one part. */
  readonly formFieldsMax: number;
  readonly formFieldBytesMax: number;
  /** Bytes of a form with many files, and how many there may be in one. */
  readonly bulkBytesMax: number;
  readonly bulkPartsMax: number;
  /** Files and folders of a tree that is compared for syncing, on each side. */
  readonly syncEntriesMax: number;
  /** Connections at once, on each listener; further ones are closed at once. */
  readonly connectionsMax: number;
  /** How long a client may take over its headers. */
  readonly headersTimeoutMs: number;
  /** How long a body or an answer may stand still because of the client. There is no limit for the whole of it. */
  readonly idleTimeoutMs: number;
  /** Bytes a second that a body, or an answer, has to move while it is the client's turn; 0 for any. */
  readonly bytesPerSecondMin: number;
  /** How long a request may take that neither brings nor takes files. */
  readonly requestTimeoutMs: number;
  /** Requests that bring or take files: so many at once, so many in line, and for so long. */
  readonly transfersMax: number;
  readonly transfersWaitingMax: number;
  readonly transferWaitMs: number;
  /** How long a connection stays open without a request. */
  readonly keepAliveTimeoutMs: number;
  /** Bytes of a refused body that are read and dropped so that the connection can go on. */
  readonly dropBytesMax: number;
  /** Beyond that the connection ends: how long, and for how many bytes, the client may go on sending until it reads the answer. */
  readonly lingerMs: number;
  readonly lingerBytesMax: number;
  /** Between two lines of progress of a check; also without progress, so that nobody thinks the connection dead. */
  readonly progressMs: number;
  /** Names, beside 127.0.0.1, localhost and [::1], under which the server may be addressed: `name` or `name:port`. */
  readonly hosts: readonly string[];
  /** In front of every URL that is handed out; empty: as the client has called the server. */
  readonly publicUrl: string;
}

export const HTTP_OPTIONS_DEFAULT: HttpOptions = {
  fileBytesMax: 2 ** 44, // 16 TiB
  jsonBytesMax: 64 * 1024,
  batchBytesMax: 16 * 2 ** 20,
  headerBytesMax: 32 * 1024,
  formFieldsMax: 32,
  formFieldBytesMax: 32 * 1024,
  bulkBytesMax: 64 * 2 ** 30,
  bulkPartsMax: 100_000,
  syncEntriesMax: 200_000,
  connectionsMax: 4_096,
  headersTimeoutMs: 15_000,
  idleTimeoutMs: 60_000,
  bytesPerSecondMin: 16,
  requestTimeoutMs: 15 * 60_000,
  transfersMax: 100,
  transfersWaitingMax: 400,
  transferWaitMs: 30_000,
  keepAliveTimeoutMs: 72_000,
  dropBytesMax: 64 * 1024,
  lingerMs: 5_000,
  lingerBytesMax: 64 * 2 ** 20,
  progressMs: 1_000,
  hosts: [],
  publicUrl: '',
};
