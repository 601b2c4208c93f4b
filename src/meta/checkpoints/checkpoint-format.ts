/**
 * A checkpoint of the metadata as an object: frames, one behind the other, of which the first says what it is and the
 * last that it is whole. docs/formats/checkpoint.md has it byte by byte.
 *
 *   frame   u32 "HFck", u8 version, u8 kind, u8 codec, u8 seal (0), u32 plain length, u32 stored length,
 *           u32 CRC-32 of the 16 bytes before and the stored bytes · the stored bytes
 *   object  head frame (JSON) · rows frames (row-runs.ts) · end frame (JSON)
 *
 * All numbers little-endian. Each frame is checked for itself, and the end frame carries the SHA-256 of every byte
 * before it, so that a flipped bit, a cut or a frame in another's place is noticed before a row is believed.
 *
 * Names: `checkpoints/SEQUENCE.KIND.ID`, sequence and id as 16 hex digits, so that names in order are checkpoints in order.
 */
import { createHash } from 'node:crypto';
import { crc32, constants as zlib, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { Fault, textOfUtf8, utf8 } from '../../base/index.ts';
import type { ObjectName, ObjectStore } from '../../objects/index.ts';
import { TABLE_NAMES, table } from '../rows/tables.ts';

export const CHECKPOINT_PREFIX = 'checkpoints/';
/** Rows that are compressed and checked together, bytes. */
export const FRAME_BYTES = 256 * 1024;

const MAGIC = 0x6b634648; // "HFck"
const VERSION = 1;
const FRAME_HEAD_BYTES = 20;
const CHECKED_HEAD_BYTES = 16;
/** No honest frame is longer. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024;
const KIND = { head: 1, rows: 2, end: 3 } as const;
const CODEC = { raw: 0, zstd: 1 } as const;
const ZSTD_LEVEL = 1;
const RECORD = 'holdfast-checkpoint';

/** `base`: every row. `delta`: rows that changed since the checkpoint before, the ones that are gone as such. */
export type CheckpointKind = 'base' | 'delta';

export interface CheckpointName {
  readonly sequence: number;
  readonly kind: CheckpointKind;
  /** 16 hex digits, drawn at random. */
  readonly id: string;
}

export function nameOfCheckpoint({ sequence, kind, id }: CheckpointName): ObjectName {
  return `${CHECKPOINT_PREFIX}${sequence.toString(16).padStart(16, '0')}.${kind}.${id}`;
}

/** Undefined for what is no checkpoint's name. */
export function checkpointOfName(name: ObjectName): CheckpointName | undefined {
  const match = /^checkpoints\/(000[0-9a-f]{13})\.(base|delta)\.([0-9a-f]{16})$/.exec(name);
  if (match === null) return undefined;
  const [, sequence = '', kind, id = ''] = match;
  return { sequence: Number.parseInt(sequence, 16), kind: kind as CheckpointKind, id };
}

export interface CheckpointHead extends CheckpointName {
  /** Of the store's format record. */
  readonly store: string;
  readonly schema: number;
  /** The delta that this goes on from; null where nothing came before. */
  readonly previous: string | null;
  /** By name: number and columns with their types, in order. */
  readonly tables: Readonly<Record<string, TableShape>>;
}

export interface TableShape {
  readonly number: number;
  readonly columns: readonly (readonly [string, string])[];
}

export interface CheckpointEnd {
  /** Rows, those that are gone included. */
  readonly rows: number;
  /** When the rows were true (of a base: when the last was read). */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** Head commit of each space, and the next id of each kind. */
  readonly heads: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
}

/** The tables as this Holdfast has them. */
export function tableShapes(): Readonly<Record<string, TableShape>> {
  const shapes: Record<string, TableShape> = {};
  for (const name of TABLE_NAMES) {
    const { number, columns, types } = table(name);
    shapes[name] = { number, columns: columns.map((column, i) => [column, types[i] ?? 'int'] as const) };
  }
  return shapes;
}

/** Makes the frames of one object, in order. */
export class CheckpointFrames {
  readonly #hash = createHash('sha256');
  lengthBytes = 0;

  head(head: CheckpointHead): Uint8Array {
    return this.#frame(KIND.head, utf8(JSON.stringify({ record: RECORD, ...head })));
  }

  rows(runs: Uint8Array): Uint8Array {
    return this.#frame(KIND.rows, runs);
  }

  end(end: CheckpointEnd): Uint8Array {
    const sha256 = this.#hash.copy().digest('hex');
    return this.#frame(KIND.end, utf8(JSON.stringify({ ...end, sha256 })));
  }

  #frame(kind: number, plain: Uint8Array): Uint8Array {
    const packed = zstdCompressSync(plain, { params: { [zlib.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
    const [codec, stored] = packed.length < plain.length ? [CODEC.zstd, packed] : [CODEC.raw, plain];
    const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + stored.length);
    frame.writeUInt32LE(MAGIC, 0);
    frame.writeUInt8(VERSION, 4);
    frame.writeUInt8(kind, 5);
    frame.writeUInt8(codec, 6);
    frame.writeUInt8(0, 7);
    frame.writeUInt32LE(plain.length, 8);
    frame.writeUInt32LE(stored.length, 12);
    frame.writeUInt32LE(crc32(stored, crc32(frame.subarray(0, CHECKED_HEAD_BYTES))), CHECKED_HEAD_BYTES);
    frame.set(stored, FRAME_HEAD_BYTES);
    this.#hash.update(frame);
    this.lengthBytes += frame.length;
    return frame;
  }
}

export type CheckpointPart =
  | { readonly kind: 'head'; readonly head: CheckpointHead }
  | { readonly kind: 'rows'; readonly runs: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'end'; readonly end: CheckpointEnd };

/**
 * The parts of a checkpoint, each whole; the last one is its end, and when that has been handed out, all of it is whole.
 * @throws Fault `corrupt` where it is not; `incompatible` when a later Holdfast wrote it; what the objects throw.
 */
export async function* readCheckpoint(objects: ObjectStore, name: ObjectName): AsyncGenerator<CheckpointPart> {
  const lengthBytes = (await objects.head(name))?.lengthBytes ?? 0;
  const hash = createHash('sha256');
  let offset = 0;
  for (let isFirst = true; ; isFirst = false) {
    const frame = await readFrame(objects, name, offset, lengthBytes);
    offset += frame.bytes.length;
    if (isFirst !== (frame.kind === KIND.head)) throw damaged(name, 'its parts are not in order');
    if (frame.kind === KIND.end) {
      const members = membersOf(frame.plain);
      if (members.sha256 !== hash.digest('hex')) throw damaged(name, 'its checksum does not match');
      if (offset !== lengthBytes) throw damaged(name, 'there is something behind its end');
      yield { kind: 'end', end: members as unknown as CheckpointEnd };
      return;
    }
    hash.update(frame.bytes);
    if (frame.kind === KIND.head) yield { kind: 'head', head: headOf(name, membersOf(frame.plain)) };
    else yield { kind: 'rows', runs: frame.plain };
  }
}

interface Frame {
  readonly kind: number;
  readonly bytes: Uint8Array;
  readonly plain: Uint8Array<ArrayBuffer>;
}

async function readFrame(objects: ObjectStore, name: ObjectName, offset: number, end: number): Promise<Frame> {
  if (offset + FRAME_HEAD_BYTES > end) throw damaged(name, 'it ends too early');
  const head = bufferOf(await objects.get(name, { offset, length: FRAME_HEAD_BYTES }));
  const storedLength = head.readUInt32LE(12);
  const plainLength = head.readUInt32LE(8);
  if (head.readUInt32LE(0) !== MAGIC) throw damaged(name, `there is no part of it at byte ${offset}`);
  if (storedLength > FRAME_BYTES_MAX || plainLength > FRAME_BYTES_MAX || offset + FRAME_HEAD_BYTES + storedLength > end)
    throw damaged(name, `the part at byte ${offset} is longer than it`);
  const bytes = bufferOf(await objects.get(name, { offset, length: FRAME_HEAD_BYTES + storedLength }));
  const stored = bytes.subarray(FRAME_HEAD_BYTES);
  if (crc32(stored, crc32(bytes.subarray(0, CHECKED_HEAD_BYTES))) !== bytes.readUInt32LE(CHECKED_HEAD_BYTES))
    throw damaged(name, `the part at byte ${offset} does not match its checksum`);
  if (bytes.readUInt8(4) > VERSION || bytes.readUInt8(7) !== 0) {
    const sentence = `The checkpoint ${name} was written by a later Holdfast. Use that one.`;
    throw new Fault('incompatible', sentence, { name, version: bytes.readUInt8(4) });
  }
  return { kind: bytes.readUInt8(5), bytes, plain: plainOf(name, bytes.readUInt8(6), stored, plainLength) };
}

function plainOf(name: ObjectName, codec: number, stored: Uint8Array, plainLength: number): Uint8Array<ArrayBuffer> {
  // Memory of its own: rows of it are kept while the next part is read.
  if (codec === CODEC.raw && stored.length === plainLength) return new Uint8Array(stored);
  try {
    const plain = zstdDecompressSync(stored, { maxOutputLength: plainLength });
    if (codec === CODEC.zstd && plain.length === plainLength) return plain;
  } catch {
    // Said below, in words that name the object.
  }
  throw damaged(name, 'a part of it cannot be unpacked');
}

function headOf(name: ObjectName, members: Readonly<Record<string, unknown>>): CheckpointHead {
  const head = members as unknown as CheckpointHead;
  if (members.record !== RECORD || nameOfCheckpoint(head) !== name)
    throw damaged(name, 'it is another object than its name says');
  return head;
}

function membersOf(plain: Uint8Array): Readonly<Record<string, unknown>> {
  return JSON.parse(textOfUtf8(plain) ?? '{}') as Record<string, unknown>;
}

function damaged(name: ObjectName, why: string): Fault {
  return new Fault('corrupt', `The checkpoint ${name} is damaged: ${why}.`, { name });
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
