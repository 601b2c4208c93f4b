/**
 * Kinds of option values: how each is read from a word (a flag, an environment variable) or from data (a configuration
 * file), how it is written back, and how to say what was expected. Pure; nothing here knows where a value came from.
 *
 * Bytes are whole numbers with an optional unit: `B`, `KiB`, `MiB`, `GiB`, `TiB` (1,024) or `kB`, `MB`, `GB`, `TB`
 * (1,000). Durations need a unit, `ms`, `s`, `m`, `h` or `d`, because a bare number would be guesswork; 0 needs none.
 * Reading what was written answers the same value (a property test shows it).
 */
import { never } from './fault.ts';
import { nearest } from './nearest.ts';

export interface TextType {
  readonly kind: 'text';
  /** What it names, for shell completion. */
  readonly holds?: 'file' | 'folder' | 'url';
  /** Shown in help for the value: `DIR`. */
  readonly shown?: string;
  readonly example?: string;
  /** Which texts are taken, and what such a text is, for refusals; all that are not empty when absent. */
  readonly form?: { readonly name: string; readonly isFine: (text: string) => boolean };
}

export interface IntegerType {
  readonly kind: 'integer';
  readonly min: number;
  readonly max: number;
  /** Whole numbers between min and max that are not allowed all the same. */
  readonly except?: readonly number[];
  /** Words that stand for something no number says: `none`. */
  readonly words?: readonly string[];
}

export interface BytesType {
  readonly kind: 'bytes';
  readonly min: number;
  readonly max: number;
  readonly words?: readonly string[];
}

/** The value is milliseconds. */
export interface DurationType {
  readonly kind: 'duration';
  readonly minMs: number;
  readonly maxMs: number;
  readonly words?: readonly string[];
}

export interface BooleanType {
  readonly kind: 'boolean';
}

export interface ChoiceType {
  readonly kind: 'choice';
  readonly values: readonly string[];
}

export type ScalarType = TextType | IntegerType | BytesType | DurationType | BooleanType | ChoiceType;

/** Texts in order. In one word they stand with commas between; a flag is repeated instead. */
export interface ListType {
  readonly kind: 'list';
  readonly countMax: number;
  readonly shown?: string;
  readonly example?: string;
}

/** Tables that all have the same columns. In one word they are written as JSON. */
export interface TablesType {
  readonly kind: 'tables';
  readonly columns: Readonly<Record<string, ScalarType>>;
  /** What columns are that a table leaves out; those that are not here must be given. */
  readonly defaults?: Readonly<Record<string, string | number | boolean>>;
  readonly countMax: number;
  readonly example?: string;
}

export type OptionType = ScalarType | ListType | TablesType;

type WordsOf<Type> = Type extends { readonly words: readonly (infer Word)[] } ? Word : never;

/** The TypeScript type of an option's value. */
export type OptionValue<Type> = Type extends { readonly kind: 'text' }
  ? string
  : Type extends { readonly kind: 'integer' | 'bytes' | 'duration' }
    ? number | WordsOf<Type>
    : Type extends { readonly kind: 'boolean' }
      ? boolean
      : Type extends { readonly kind: 'choice'; readonly values: readonly (infer Value)[] }
        ? Value
        : Type extends { readonly kind: 'list' }
          ? readonly string[]
          : Type extends { readonly kind: 'tables'; readonly columns: infer Columns }
            ? readonly { readonly [Name in keyof Columns]: OptionValue<Columns[Name]> }[]
            : never;

/** A value, or what would have been right. */
export type ReadValue =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly wanted: string };

const BYTE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};
/** Those that textOfBytesCount writes, largest first. */
const BYTE_UNITS_WRITTEN = ['TiB', 'GiB', 'MiB', 'KiB'] as const;

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 };
const DURATION_UNITS_WRITTEN = ['d', 'h', 'm', 's'] as const;

/** Bytes of `64MiB`, `1.5 GB`, `4096`; `undefined` when it is no such text or no whole number of bytes. */
export function bytesCountOfText(text: string): number | undefined {
  return measureOfText(text, BYTE_UNITS, 'B');
}

/** The shortest exact text in binary units: `64MiB`, `1000B`. */
export function textOfBytesCount(bytes: number): string {
  return textOfMeasure(bytes, BYTE_UNITS, BYTE_UNITS_WRITTEN, 'B');
}

/** Milliseconds of `500ms`, `10s`, `5m`, `24h`, `7d`; `undefined` when it is no such text. */
export function durationMsOfText(text: string): number | undefined {
  return measureOfText(text, DURATION_UNITS, undefined);
}

/** The shortest exact text: `24h` is written `1d`, 1,500 ms `1500ms`. */
export function textOfDurationMs(milliseconds: number): string {
  return textOfMeasure(milliseconds, DURATION_UNITS, DURATION_UNITS_WRITTEN, 'ms');
}

function measureOfText(
  text: string,
  units: Readonly<Record<string, number>>,
  unitless: string | undefined,
): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s?([A-Za-z]*)$/.exec(text.trim());
  if (match === null) return undefined;
  const count = Number(match[1]);
  const unit = match[2] || (count === 0 ? Object.keys(units)[0] : unitless);
  const factor = unit !== undefined && Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (factor === undefined) return undefined;
  const measure = count * factor;
  return Number.isSafeInteger(measure) ? measure : undefined;
}

function textOfMeasure(
  measure: number,
  units: Readonly<Record<string, number>>,
  written: readonly string[],
  smallest: string,
): string {
  const unit = measure === 0 ? undefined : written.find((name) => measure % (units[name] ?? 1) === 0);
  return unit === undefined ? `${measure}${smallest}` : `${measure / (units[unit] ?? 1)}${unit}`;
}

/** Reads a value out of one word: an environment variable, or what stands behind a flag. */
export function valueOfWord(type: OptionType, word: string): ReadValue {
  switch (type.kind) {
    case 'integer':
      return valueOfData(type, /^[+-]?\d+$/.test(word.trim()) ? Number(word) : word);
    case 'boolean':
      return valueOfData(type, BOOLEAN_WORDS[word.trim().toLowerCase()] ?? word);
    case 'list':
      return valueOfData(type, word.trim() === '' ? [] : word.split(',').map((part) => part.trim()));
    case 'tables':
      return valueOfData(type, parsedJson(word));
    case 'text':
    case 'bytes':
    case 'duration':
    case 'choice':
      return valueOfData(type, word);
    default:
      return never(type, 'kind of option');
  }
}

const BOOLEAN_WORDS: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false,
};

function parsedJson(word: string): unknown {
  try {
    return JSON.parse(word);
  } catch {
    return undefined;
  }
}

/** Reads a value out of data, as a configuration file holds it. */
export function valueOfData(type: OptionType, data: unknown): ReadValue {
  if (type.kind === 'list') return valueOfList(type, data);
  if (type.kind === 'tables') return valueOfTables(type, data);
  const value = scalarOfData(type, data);
  return value === undefined ? { ok: false, wanted: wantedOf(type) } : { ok: true, value };
}

function scalarOfData(type: ScalarType, data: unknown): string | number | boolean | undefined {
  switch (type.kind) {
    case 'text':
      return typeof data === 'string' && data !== '' && !data.includes('\0') && type.form?.isFine(data) !== false
        ? data
        : undefined;
    case 'boolean':
      return typeof data === 'boolean' ? data : undefined;
    case 'choice':
      return typeof data === 'string' && type.values.includes(data) ? data : undefined;
    case 'integer':
      if (typeof data === 'string') return type.words?.includes(data) ? data : undefined;
      return Number.isInteger(data) && !type.except?.includes(Number(data))
        ? within(Number(data), type.min, type.max)
        : undefined;
    case 'bytes':
      if (typeof data === 'string' && type.words?.includes(data)) return data;
      return within(typeof data === 'string' ? bytesCountOfText(data) : data, type.min, type.max);
    case 'duration':
      if (typeof data === 'string' && type.words?.includes(data)) return data;
      return within(
        typeof data === 'string' ? durationMsOfText(data) : data === 0 ? 0 : undefined,
        type.minMs,
        type.maxMs,
      );
    default:
      return never(type, 'kind of option');
  }
}

function within(value: unknown, min: number, max: number): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined;
}

function valueOfList(type: ListType, data: unknown): ReadValue {
  const isFine =
    Array.isArray(data) &&
    data.length <= type.countMax &&
    data.every((item) => typeof item === 'string' && item !== '' && !item.includes('\0'));
  return isFine ? { ok: true, value: Object.freeze([...data]) } : { ok: false, wanted: wantedOf(type) };
}

function valueOfTables(type: TablesType, data: unknown): ReadValue {
  if (!Array.isArray(data) || data.length > type.countMax) return { ok: false, wanted: wantedOf(type) };
  const rows: Record<string, unknown>[] = [];
  for (const [index, item] of data.entries()) {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return { ok: false, wanted: wantedOf(type) };
    const known = Object.keys(type.columns);
    const unknown = Object.keys(item).find((name) => !known.includes(name));
    if (unknown !== undefined) return { ok: false, wanted: knownColumns(known, unknown, index) };
    const row: Record<string, unknown> = {};
    for (const [name, column] of Object.entries(type.columns)) {
      const value = Object.hasOwn(item, name)
        ? scalarOfData(column, (item as Record<string, unknown>)[name])
        : type.defaults?.[name];
      if (value === undefined) {
        return { ok: false, wanted: `in table ${index + 1} of the list, \`${name}\` to be ${wantedOf(column)}` };
      }
      row[name] = value;
    }
    rows.push(Object.freeze(row));
  }
  return { ok: true, value: Object.freeze(rows) };
}

function knownColumns(known: readonly string[], unknown: string, index: number): string {
  const near = nearest(unknown, known);
  const hint = near === undefined ? '' : ` (did you mean \`${near}\`?)`;
  return `only \`${known.join('` and `')}\` in table ${index + 1} of the list, which has \`${unknown}\` too${hint}`;
}

/** What would be right, as the end of the sentence "It needs …", with an example. */
export function wantedOf(type: OptionType): string {
  switch (type.kind) {
    case 'text':
      return `${type.form?.name ?? 'a text that is not empty'}${type.example === undefined ? '' : `, for example \`${type.example}\``}`;
    case 'boolean':
      return '`true` or `false`';
    case 'choice':
      return `one of ${type.values.map((value) => `\`${value}\``).join(', ')}`;
    case 'integer':
      return `a whole number from ${type.min} to ${type.max}${exceptOf(type)}${wordsOf(type)}`;
    case 'bytes':
      return `a size from ${textOfBytesCount(type.min)} to ${textOfBytesCount(type.max)}, for example \`${textOfBytesCount(exampleWithin(64 * 2 ** 20, type.min, type.max))}\`${wordsOf(type)}`;
    case 'duration':
      return `a duration from ${textOfDurationMs(type.minMs)} to ${textOfDurationMs(type.maxMs)}, for example \`${textOfDurationMs(exampleWithin(10_000, type.minMs, type.maxMs))}\`${wordsOf(type)}`;
    case 'list':
      return `a list of at most ${type.countMax} texts${type.example === undefined ? '' : `, for example \`${type.example}\``}`;
    case 'tables':
      return `a list of at most ${type.countMax} tables with ${columnsShown(type)}${type.example === undefined ? '' : `, for example \`${type.example}\``}`;
    default:
      return never(type, 'kind of option');
  }
}

/** Those that must be given first: `path`, and `user` where it is not `owner`. */
function columnsShown({ columns, defaults = {} }: TablesType): string {
  const quoted = (name: string): string => `\`${name}\``;
  const needed = Object.keys(columns).filter((name) => !Object.hasOwn(defaults, name));
  const left = Object.entries(defaults).map(([name, value]) => `${quoted(name)} (${quoted(String(value))})`);
  const may = left.length === 0 ? '' : `, and if not as here ${left.join(', ')}`;
  return `${needed.map(quoted).join(' and ')}${may}`;
}

function exceptOf(type: IntegerType): string {
  return type.except === undefined || type.except.length === 0 ? '' : ` but not ${type.except.join(', ')}`;
}

function wordsOf(type: { readonly words?: readonly string[] }): string {
  return (type.words ?? []).map((word) => `, or \`${word}\``).join('');
}

function exampleWithin(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}

/** What stands for the value in help: `N`, `SIZE`, `normal|small`. */
export function shownOf(type: OptionType): string {
  switch (type.kind) {
    case 'text':
      return (
        type.shown ??
        (type.holds === 'folder' ? 'DIR' : type.holds === 'file' ? 'FILE' : type.holds === 'url' ? 'URL' : 'TEXT')
      );
    case 'boolean':
      return 'true|false';
    case 'choice':
      return type.values.join('|');
    case 'integer':
      return ['N', ...(type.words ?? [])].join('|');
    case 'bytes':
      return ['SIZE', ...(type.words ?? [])].join('|');
    case 'duration':
      return ['DURATION', ...(type.words ?? [])].join('|');
    case 'list':
      return type.shown ?? 'TEXT';
    case 'tables':
      return 'JSON';
    default:
      return never(type, 'kind of option');
  }
}

/** A value as one word that reads back as the same value. */
export function wordOfValue(type: OptionType, value: unknown): string {
  if (type.kind === 'bytes' && typeof value === 'number') return textOfBytesCount(value);
  if (type.kind === 'duration' && typeof value === 'number') return textOfDurationMs(value);
  if (type.kind === 'list' && Array.isArray(value)) return value.join(',');
  if (type.kind === 'tables' && Array.isArray(value)) return JSON.stringify(value.map((row) => wordedRow(type, row)));
  return String(value);
}

function wordedRow(type: TablesType, row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(type.columns).map(([name, column]) => {
      const hasUnit = column.kind === 'bytes' || column.kind === 'duration';
      return [name, hasUnit ? wordOfValue(column, row[name]) : row[name]];
    }),
  );
}
