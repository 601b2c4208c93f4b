/**
 * Which rows a transaction put or removed, as one short run of bytes that is written with it (table `journal`), so that
 * a checkpoint finds what changed since the last one without looking at anything else. Only keys: what the rows are by
 * then, the checkpoint reads itself, and a row that changes a hundred times is read once.
 *
 *   per row:  u8 table number, then per key column, in key order:
 *             int: its value · text, bytes: length, the bytes (text as UTF-8)
 *
 * Values and lengths are whole numbers from 0 to 2^53 − 1 in groups of seven bits, the lowest first, with the high bit
 * set on all but the last (LEB128). This runs for every row that is written: nothing is allocated a row.
 */
import { assert, Fault } from '../../base/index.ts';
import type { SqlValue } from '../sql.ts';
import { type ColumnType, type Key, type KeyPart, TABLE_NAMES, type Table, table } from './tables.ts';

const BYTES_START = 4_096;
/** Bytes that a whole number takes at most. */
const NUMBER_BYTES_MAX = 8;
/** A unit of text takes three bytes of UTF-8 at most. */
const UNIT_BYTES_MAX = 3;

interface KeyShape {
  readonly of: Table;
  readonly types: readonly ColumnType[];
  /** Where each key column stands in a row's values. */
  readonly places: readonly number[];
}

const byNumber: KeyShape[] = [];
for (const name of TABLE_NAMES) {
  const of = table(name);
  const places = of.key.map((column) => of.columns.indexOf(column));
  byNumber[of.number] = { of, places, types: places.map((place) => of.types[place] ?? 'int') };
}

const encoder = new TextEncoder();

/** Gathers keys until they are taken or dropped. */
export class ChangedKeys {
  #bytes = new Uint8Array(BYTES_START);
  #at = 0;

  /** `values` in column order. */
  put(of: Table, values: readonly SqlValue[]): void {
    const shape = shapeOf(of);
    this.#begin(of);
    for (let i = 0; i < shape.places.length; i++) this.#part(values[shape.places[i] ?? 0] as KeyPart);
  }

  delete(of: Table, key: readonly SqlValue[]): void {
    this.#begin(of);
    for (const part of key) this.#part(part as KeyPart);
  }

  /** The keys so far; good until the next one is put. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#at);
    this.#at = 0;
    return taken;
  }

  drop(): void {
    this.#at = 0;
  }

  #begin(of: Table): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = of.number;
  }

  #part(part: KeyPart): void {
    if (typeof part === 'number') this.#number(part);
    else if (typeof part === 'string') this.#text(part);
    else {
      this.#number(part.length);
      this.#reserve(part.length);
      this.#bytes.set(part, this.#at);
      this.#at += part.length;
    }
  }

  #text(text: string): void {
    const bytes = encoder.encode(text);
    this.#number(bytes.length);
    this.#reserve(UNIT_BYTES_MAX * text.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #number(value: number): void {
    this.#reserve(NUMBER_BYTES_MAX);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#at++] = rest;
  }

  #reserve(more: number): void {
    if (this.#at + more <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + more));
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}

function shapeOf({ number }: Table): KeyShape {
  const shape = byNumber[number];
  assert(shape !== undefined, 'a row belongs to a table', { number });
  return shape;
}

export interface ChangedKey {
  readonly of: Table;
  readonly key: Key;
  /** The same for the same row. */
  readonly id: string;
}

/** @throws Fault `corrupt` when the bytes are no keys. */
export function readChangedKeys(bytes: Uint8Array): readonly ChangedKey[] {
  const keys: ChangedKey[] = [];
  const reader = new KeyReader(bytes);
  while (!reader.isAtEnd) keys.push(reader.next());
  return keys;
}

class KeyReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  next(): ChangedKey {
    const start = this.#at;
    const shape = byNumber[this.#byte()];
    if (shape === undefined) throw damaged();
    const key = shape.types.map((type): KeyPart => {
      if (type === 'int') return this.#number();
      const bytes = this.#run(this.#number());
      return type === 'text' ? bytes.toString('utf8') : new Uint8Array(bytes);
    });
    return { of: shape.of, key, id: this.#bytes.toString('latin1', start, this.#at) };
  }

  #run(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw damaged();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (scale > 2 ** 49) throw damaged();
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw damaged();
    return byte;
  }
}

function damaged(): Fault {
  return new Fault('corrupt', 'What the metadata says has changed in it is damaged.');
}
