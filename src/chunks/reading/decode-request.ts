/**
 * All wanted records of one request, checked and decoded into one buffer: header, checksum, length, id. Apart from the
 * thread that runs it, so that it can be tried without one.
 * The table has two fields a record: where it is in the bytes, and its length. Afterwards they say where its plain
 * bytes are in the answer, and how many; offset UNDECODED means that the record is damaged or not for a thread (a patch,
 * a sealed one).
 */

import { bufferOf } from '../hashes/content-hash.ts';
import type { IdHasher } from '../hashes/ids.ts';
import { CODEC, decodeRecordInto, isFlaw, isRecordWhole, type RecordHeader, readHeader } from '../packs/record.ts';

export const TABLE_FIELDS = 2;
export const UNDECODED = 2 ** 32 - 1;

/** Plain bytes of one answer; what claims to be more is left to the main thread, record by record. */
const PLAIN_BYTES_MAX = 64 * 1024 * 1024;

/** Memory for plain bytes comes in multiples of this, so that what one answer had serves the next. */
export const ROOM_BYTES = 2 * 1024 * 1024;
/** Plain bytes that one room takes: behind them there is one byte more, in which a frame that is too long shows itself. */
export const ROOM_PLAIN_BYTES = ROOM_BYTES - 1;

interface Request {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly table: Uint32Array<ArrayBuffer>;
  /** One behind the other. */
  readonly ids: Uint8Array;
  readonly idOf: IdHasher;
  /** Memory for the plain bytes, used when it is enough. */
  readonly spare?: Uint8Array<ArrayBuffer> | undefined;
}

/** The plain bytes without gaps, perhaps in the memory of `bytes` or `spare`; `table` is overwritten. Throws nothing because of damage. */
export function decodeRequest(request: Request): Uint8Array<ArrayBuffer> {
  const { bytes, table } = request;
  const headers = readHeaders(request);
  const plainBytes = headers.reduce((sum, header) => sum + (header?.plainLength ?? 0), 0);
  const isTooMuch = plainBytes > PLAIN_BYTES_MAX;
  const isAllRaw = headers.every((header) => header === undefined || header.codec === CODEC.raw);
  // One more: room in which a frame that is too long shows itself.
  const target = isTooMuch || isAllRaw ? bytes : roomFor(plainBytes + 1, request.spare);
  let end = 0;
  for (const [number, header] of headers.entries()) {
    const at = table[number * TABLE_FIELDS] ?? 0;
    const isRight = header !== undefined && !isTooMuch && isRecordWhole(bytes, at, header);
    // Raw bytes move up over the headers between them: moving is cheap, and to hand out each chunk for itself is not.
    const isDecoded = isRight && isDecodedInto(request, number, header, target, end);
    table[number * TABLE_FIELDS] = isDecoded ? end : UNDECODED;
    table[number * TABLE_FIELDS + 1] = isDecoded ? header.plainLength : 0;
    if (isDecoded) end += header.plainLength;
  }
  return target;
}

/** The records that stand whole and one behind the other from the first byte on, as a request for all that one room takes. */
export function recordsIn(
  bytes: Uint8Array<ArrayBuffer>,
  idBytes: number,
): { readonly table: Uint32Array<ArrayBuffer>; readonly ids: Uint8Array<ArrayBuffer>; readonly endBytes: number } {
  const [fields, ids]: [number[], Uint8Array[]] = [[], []];
  let [endBytes, plainBytes] = [0, 0];
  for (;;) {
    const header = readHeader(bytes, endBytes);
    if (isFlaw(header) || header.id.length !== idBytes || endBytes + header.recordLength > bytes.length) break;
    plainBytes += header.plainLength;
    if (plainBytes > ROOM_PLAIN_BYTES) break;
    fields.push(endBytes, header.recordLength);
    ids.push(header.id);
    endBytes += header.recordLength;
  }
  return { table: Uint32Array.from(fields), ids: new Uint8Array(Buffer.concat(ids)), endBytes };
}

/** Undefined where a header is damaged, or of a record that is not for a thread. */
function readHeaders({ bytes, table, ids }: Request): (RecordHeader | undefined)[] {
  const count = table.length / TABLE_FIELDS;
  const idBytes = ids.length / count;
  return Array.from({ length: count }, (_, number) => {
    const [at = 0, length = 0] = table.subarray(number * TABLE_FIELDS, (number + 1) * TABLE_FIELDS);
    const header = readHeader(bytes.subarray(0, at + length), at);
    if (isFlaw(header) || header.base !== undefined || header.sealSuite !== 0) return undefined;
    if (header.recordLength > length || header.id.length !== idBytes) return undefined;
    return isIdAt(ids, number, header.id) ? header : undefined;
  });
}

function isDecodedInto(
  { bytes, table, ids, idOf }: Request,
  number: number,
  header: RecordHeader,
  target: Uint8Array,
  plainAt: number,
): boolean {
  const at = table[number * TABLE_FIELDS] ?? 0;
  if (!decodeRecordInto(bytes, at, header, target, plainAt)) return false;
  return isIdAt(ids, number, idOf(target.subarray(plainAt, plainAt + header.plainLength)));
}

function isIdAt(ids: Uint8Array, number: number, id: Uint8Array): boolean {
  return bufferOf(id).equals(ids.subarray(number * id.length, (number + 1) * id.length));
}

/** Memory that may be transferred, not filled with zeros first. In round sizes, so that it serves again. */
function roomFor(length: number, spare: Uint8Array<ArrayBuffer> | undefined): Uint8Array<ArrayBuffer> {
  if (spare !== undefined && spare.length >= length) return spare;
  return Buffer.allocUnsafeSlow(Math.ceil(length / ROOM_BYTES) * ROOM_BYTES);
}
