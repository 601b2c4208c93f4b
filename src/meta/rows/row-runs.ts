/**
 * Rows as one run of bytes, for the way to another thread: a clone of arrays costs several times as much, and clones the
 * whole memory behind every short view. Each row travels as the very run of bytes that its checksum is taken over
 * (row-checksum.ts), so the reader of the run sums up what came and need not gather it anew. Checkpoints store the same
 * (docs/formats/checkpoint.md): it is a format now, and never changes.
 *
 *   u32 verb (RUN_VERB) | the row's run; of one that goes, the same of its key columns alone
 *
 * All numbers little-endian, nothing aligned. What does not fit its column is a bug of whoever decided the row, and is
 * noticed where the run is written.
 */
import { crc32 } from 'node:zlib';
import { assert, EMPTY_BYTES } from '../../base/index.ts';
import type { SqlValue } from '../sql.ts';
import type { RowWrite } from './row-source.ts';
import type { TableName } from './rows.ts';
import { type ColumnType, type Key, type Row, TABLE_NAMES, type Table, table, type Value } from './tables.ts';

const RUN_VERB = { insert: 0, replace: 1, delete: 2 } as const;
/** Bytes of verb, table number and nulls, and of one number or length. */
const HEAD_BYTES = 12;
const NUMBER_BYTES = 8;
/** A unit of text takes three bytes of UTF-8 at most. */
const UNIT_BYTES_MAX = 3;
const HIGH = 0x1_0000_0000;
/** Memory that a run begins with; it grows with the rows. */
const BYTES_START = 2_048;

interface Columns {
  readonly of: Table;
  readonly names: readonly string[];
  readonly types: readonly ColumnType[];
}

const KEYS = new Map<TableName, Columns>();
const ROWS = new Map<TableName, Columns>();
const byNumber: { readonly key: Columns; readonly row: Columns }[] = [];
for (const name of TABLE_NAMES) {
  const of = table(name);
  const types = of.key.map((column) => of.types[of.columns.indexOf(column)] ?? 'int');
  const [key, row] = [
    { of, names: of.key, types },
    { of, names: of.columns, types: of.types },
  ];
  KEYS.set(name, key);
  ROWS.set(name, row);
  byNumber[of.number] = { key, row };
}

/** Gathers rows until somebody takes them. */
export class RowRunWriter {
  // Of its own even when it is empty: what is taken goes to another thread, memory and all.
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #bytesBefore = 0;

  get lengthBytes(): number {
    return this.#at;
  }

  /** The rows so far; from now on others are gathered, in memory of their own. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.subarray(0, this.#at);
    this.#bytesBefore = this.#at;
    this.#bytes = new Uint8Array(0);
    this.#at = 0;
    return taken;
  }

  put({ table: name, key, row, isNew }: RowWrite): void {
    const columns = (row === undefined ? KEYS : ROWS).get(name);
    assert(columns !== undefined, 'a row belongs to a table', { name });
    const values = row === undefined ? key : valuesOf(columns, row);
    this.#reserve(HEAD_BYTES + columns.types.length * NUMBER_BYTES);
    const verb = row === undefined ? RUN_VERB.delete : isNew ? RUN_VERB.insert : RUN_VERB.replace;
    this.#view.setUint32(this.#at, verb, true);
    this.#view.setUint32(this.#at + 4, columns.of.number, true);
    const nullsAt = this.#at + 8;
    this.#at += HEAD_BYTES;
    this.#view.setInt32(nullsAt, this.#putNumbers(columns, values), true);
    this.#putRuns(columns, values);
  }

  /** Answers which columns are null. */
  #putNumbers(columns: Columns, values: readonly (Value | undefined)[]): number {
    const { types } = columns;
    const view = this.#view;
    let at = this.#at;
    let nulls = 0;
    for (let i = 0; i < types.length; i++) {
      const type = types[i];
      let value = values[i];
      if (value === null) {
        mustFit(type === 'int?' || type === 'bytes?', columns, i);
        nulls |= 1 << i;
        value = 0;
      }
      if (type !== 'int' && type !== 'int?') continue;
      mustFit(typeof value === 'number' && Number.isSafeInteger(value), columns, i);
      view.setInt32(at, (value as number) | 0, true);
      view.setInt32(at + 4, Math.floor((value as number) / HIGH), true);
      at += NUMBER_BYTES;
    }
    this.#at = at;
    return nulls;
  }

  #putRuns(columns: Columns, values: readonly (Value | undefined)[]): void {
    const { types } = columns;
    for (let i = 0; i < types.length; i++) {
      const type = types[i];
      if (type === 'int' || type === 'int?') continue;
      const value = values[i];
      if (type === 'text') {
        mustFit(typeof value === 'string' && value.isWellFormed(), columns, i);
        this.#putText(value as string);
      } else {
        mustFit(value === null || value instanceof Uint8Array, columns, i);
        this.#putBytes((value as Uint8Array | null) ?? EMPTY_BYTES);
      }
    }
  }

  #putText(text: string): void {
    this.#reserve(4 + UNIT_BYTES_MAX * text.length);
    const start = this.#at + 4;
    const bytes = this.#bytes;
    let length = 0;
    for (; length < text.length; length++) {
      const unit = text.charCodeAt(length);
      if (unit > 0x7f) break;
      bytes[start + length] = unit;
    }
    if (length < text.length) length = encoder.encodeInto(text, bytes.subarray(start)).written;
    this.#view.setUint32(this.#at, length, true);
    this.#at = start + length;
  }

  #putBytes(value: Uint8Array): void {
    this.#reserve(4 + value.length);
    this.#view.setUint32(this.#at, value.length, true);
    this.#bytes.set(value, this.#at + 4);
    this.#at += 4 + value.length;
  }

  #reserve(more: number): void {
    if (this.#at + more <= this.#bytes.length) return;
    // The next slice is mostly about as long as the one before.
    const least = this.#at === 0 ? this.#bytesBefore : 2 * this.#bytes.length;
    const bytes = new Uint8Array(Math.max(BYTES_START, least, this.#at + more));
    bytes.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

const encoder = new TextEncoder();
const found: (Value | undefined)[] = [];

/** In an array that is used again. */
function valuesOf({ names }: Columns, row: Row): readonly (Value | undefined)[] {
  for (let i = 0; i < names.length; i++) found[i] = row[names[i] ?? ''];
  return found;
}

function mustFit(fits: boolean, { of, names }: Columns, column: number): void {
  assert(fits, 'a row has the columns of its table', { table: of.name, column: names[column] });
}

/** What to do with the rows of a run, in order. Values and keys are good only during the call. */
export interface RowRunSink {
  /** `values` in column order, then the row's checksum. */
  put(of: Table, values: readonly SqlValue[], isNew: boolean): void;
  delete(of: Table, key: Key): void;
}

export function readRowRuns(bytes: Uint8Array<ArrayBuffer>, sink: RowRunSink): void {
  const reader = new RunReader(bytes);
  while (!reader.isAtEnd) reader.next(sink);
}

class RunReader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  /** The same bytes, as what makes text of them fastest. */
  readonly #text: Buffer<ArrayBuffer>;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  next(sink: RowRunSink): void {
    const verb = this.#view.getUint32(this.#at, true);
    const start = this.#at + 4;
    const columns = byNumber[this.#view.getUint32(start, true)];
    assert(columns !== undefined, 'a run names a table', { start });
    if (verb === RUN_VERB.delete) {
      sink.delete(columns.key.of, this.#values(columns.key) as Key);
      return;
    }
    const values = this.#values(columns.row);
    values.push(crc32(this.#bytes.subarray(start, this.#at)) | 0);
    sink.put(columns.row.of, values, verb === RUN_VERB.insert);
  }

  #values({ types }: Columns): SqlValue[] {
    const view = this.#view;
    const nulls = view.getInt32(this.#at + 8, true);
    const values: SqlValue[] = [];
    let at = this.#at + HEAD_BYTES;
    for (let i = 0; i < types.length; i++) {
      values.push(null);
      const type = types[i];
      if (type !== 'int' && type !== 'int?') continue;
      if ((nulls & (1 << i)) === 0) values[i] = view.getInt32(at + 4, true) * HIGH + view.getUint32(at, true);
      at += NUMBER_BYTES;
    }
    for (let i = 0; i < types.length; i++) {
      const type = types[i];
      if (type === 'int' || type === 'int?') continue;
      const end = at + 4 + view.getUint32(at, true);
      if (type === 'text') values[i] = this.#text.toString('utf8', at + 4, end);
      else if ((nulls & (1 << i)) === 0) values[i] = this.#bytes.subarray(at + 4, end);
      at = end;
    }
    this.#at = at;
    return values;
  }
}
