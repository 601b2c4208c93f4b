/**
 * Options as data: one table says what can be set, and everything else comes from it: flags, environment names, keys of
 * configuration files, defaults, help, documentation, `config show` and shell completion.
 *
 * Resolution is pure: defaults < file < environment < flags, and every value keeps its origin. Whoever composes a
 * program reads the file, the environment and the command line and hands them in; nothing here reads anything.
 * All mistakes are found in one go and reported in one Fault `invalid`: what stood where, what was expected, and for a
 * name nobody knows the nearest one that somebody does.
 *
 * Unless an entry says otherwise, `http.body_max` is `--http-body-max`, HOLDFAST_HTTP_BODY_MAX and the file's
 * `[http] body_max`.
 */
import { Fault } from './fault.ts';
import { nearest } from './nearest.ts';
import { type OptionType, type OptionValue, type ReadValue, valueOfData, valueOfWord } from './option-values.ts';

export interface OptionSpec {
  readonly type: OptionType;
  /** The value when nobody sets one; `undefined` for none. */
  readonly default: unknown;
  /** One line for whoever reads help: what it does, with its full stop. */
  readonly doc: string;
  /** The flags that set it, `--long` first, then `-x`. Derived from the name when absent; none when empty. */
  readonly flags?: readonly string[];
  /** The environment variable; derived when absent, none when null. */
  readonly env?: string | null;
  /** The dotted key in a configuration file; the name itself when absent, none when null. */
  readonly key?: string | null;
  /** Never shown: `config show` and faults say that it is set, not what it is. */
  readonly secret?: boolean;
}

/** By dotted name: lower-case words, digits and underscores between dots. */
export type OptionTable = Readonly<Record<string, OptionSpec>>;

export type OptionValues<Table extends OptionTable> = {
  readonly [Name in keyof Table]:
    | OptionValue<Table[Name]['type']>
    | (undefined extends Table[Name]['default'] ? undefined : never);
};

export type OptionOrigin =
  | { readonly kind: 'default' }
  | { readonly kind: 'file'; readonly path: string; readonly line?: number | undefined }
  | { readonly kind: 'environment'; readonly name: string }
  | { readonly kind: 'flag'; readonly flag: string };

/** A configuration file, already parsed. */
export interface OptionFile {
  readonly path: string;
  readonly data: unknown;
  /** The line a dotted key stands on, when that is known. */
  readonly lineOf?: (key: string) => number | undefined;
}

/** One flag as it was given: all its values in order, `true` for a bare one, `false` for `--no-…`. */
export interface GivenFlag {
  readonly flag: string;
  readonly values: readonly (string | boolean)[];
}

export interface OptionSources {
  readonly file?: OptionFile | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** By option name, as `readArguments` answers them. */
  readonly flags?: ReadonlyMap<string, GivenFlag> | undefined;
  /** Variables with our prefix that are read elsewhere and are no mistake. */
  readonly environmentKnown?: readonly string[];
}

export interface ResolvedOptions<Table extends OptionTable> {
  readonly values: OptionValues<Table>;
  readonly origins: { readonly [Name in keyof Table]: OptionOrigin };
}

export const ENVIRONMENT_PREFIX = 'HOLDFAST_';

export function flagsOfOption(name: string, spec: OptionSpec): readonly string[] {
  return spec.flags ?? [`--${name.replace(/[._]/g, '-')}`];
}

export function environmentOfOption(name: string, spec: OptionSpec): string | undefined {
  return spec.env === undefined
    ? `${ENVIRONMENT_PREFIX}${name.replaceAll('.', '_').toUpperCase()}`
    : (spec.env ?? undefined);
}

export function keyOfOption(name: string, spec: OptionSpec): string | undefined {
  return spec.key === undefined ? name : (spec.key ?? undefined);
}

/** `default`, `file PATH line 3`, `environment NAME` or `flag --x`. */
export function textOfOrigin(origin: OptionOrigin): string {
  switch (origin.kind) {
    case 'default':
      return 'default';
    case 'file':
      return origin.line === undefined ? `file ${origin.path}` : `file ${origin.path} line ${origin.line}`;
    case 'environment':
      return `environment ${origin.name}`;
    case 'flag':
      return `flag ${origin.flag}`;
  }
}

/** Puts all sources together. @throws Fault `invalid` that names every mistake in them. */
export function resolveOptions<const Table extends OptionTable>(
  table: Table,
  sources: OptionSources,
): ResolvedOptions<Table> {
  const values: Record<string, unknown> = {};
  const origins: Record<string, OptionOrigin> = {};
  for (const [name, spec] of Object.entries(table)) {
    values[name] = spec.default;
    origins[name] = { kind: 'default' };
  }
  const mistakes: string[] = [];
  for (const setting of [
    ...settingsOfFile(table, sources.file, mistakes),
    ...settingsOfEnvironment(table, sources, mistakes),
    ...settingsOfFlags(table, sources.flags ?? new Map()),
  ]) {
    if (!setting.read.ok) mistakes.push(mistakeOf(setting, table[setting.name]?.secret === true, setting.read.wanted));
    else {
      values[setting.name] = setting.read.value;
      origins[setting.name] = setting.origin;
    }
  }
  if (mistakes.length > 0) throw new Fault('invalid', mistakes.join('\n'), { mistakes });
  return { values: values as OptionValues<Table>, origins: origins as ResolvedOptions<Table>['origins'] };
}

/** One source's word on one option. */
interface Setting {
  readonly name: string;
  /** What it is called where it stands. */
  readonly called: string;
  readonly raw: unknown;
  readonly read: ReadValue;
  readonly origin: OptionOrigin;
}

function mistakeOf(setting: Setting, isSecret: boolean, wanted: string): string {
  const shown = isSecret ? 'a value that is not shown' : shortened(JSON.stringify(setting.raw) ?? String(setting.raw));
  const where = setting.origin.kind === 'file' ? ` in ${textOfOrigin(setting.origin).slice('file '.length)}` : '';
  return `${setting.called}${where} is ${shown}; it needs ${wanted}.`;
}

function shortened(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}…`;
}

function settingsOfFile(table: OptionTable, file: OptionFile | undefined, mistakes: string[]): readonly Setting[] {
  if (file === undefined) return [];
  const byKey = new Map(Object.entries(table).map(([name, spec]) => [keyOfOption(name, spec), name] as const));
  const settings: Setting[] = [];
  const walk = (data: unknown, prefix: string): void => {
    if (!isTree(data)) {
      mistakes.push(
        `The configuration file ${file.path} holds no table of options. Put \`name = value\` lines into it.`,
      );
      return;
    }
    for (const [word, raw] of Object.entries(data)) {
      const key = prefix === '' ? word : `${prefix}.${word}`;
      const name = byKey.get(key);
      const spec = name === undefined ? undefined : table[name];
      const line = file.lineOf?.(key);
      if (name !== undefined && spec !== undefined) {
        const origin: OptionOrigin = { kind: 'file', path: file.path, ...(line === undefined ? {} : { line }) };
        settings.push({ name, called: `\`${key}\``, raw, read: valueOfData(spec.type, raw), origin });
      } else if (isTree(raw) && [...byKey.keys()].some((known) => known?.startsWith(`${key}.`))) walk(raw, key);
      else mistakes.push(unknownKey(key, file.path, line, [...byKey.keys()]));
    }
  };
  walk(file.data, '');
  return settings;
}

function isTree(data: unknown): data is Readonly<Record<string, unknown>> {
  return typeof data === 'object' && data !== null && !Array.isArray(data) && !(data instanceof Date);
}

function unknownKey(
  key: string,
  path: string,
  line: number | undefined,
  known: readonly (string | undefined)[],
): string {
  const where = line === undefined ? path : `${path} line ${line}`;
  const keys = known.filter((one) => one !== undefined);
  const last = key.slice(key.lastIndexOf('.') + 1);
  const near = nearest(key, keys) ?? keys.find((one) => one.slice(one.lastIndexOf('.') + 1) === last);
  return `There is no option \`${key}\` (${where})${didYouMean(near === undefined ? undefined : `\`${near}\``)}`;
}

function didYouMean(near: string | undefined): string {
  return near === undefined ? '. `holdfast config show` lists all.' : `. Did you mean ${near}?`;
}

function settingsOfEnvironment(table: OptionTable, sources: OptionSources, mistakes: string[]): readonly Setting[] {
  const environment = sources.environment ?? {};
  const byVariable = new Map<string, string>();
  for (const [name, spec] of Object.entries(table)) {
    const variable = environmentOfOption(name, spec);
    if (variable !== undefined) byVariable.set(variable, name);
  }
  const known = [...byVariable.keys(), ...(sources.environmentKnown ?? [])];
  const settings: Setting[] = [];
  for (const [variable, word] of Object.entries(environment)) {
    // An empty variable is how shells and unit files say "not set".
    if (!variable.startsWith(ENVIRONMENT_PREFIX) || word === undefined || word === '') continue;
    const name = byVariable.get(variable);
    const spec = name === undefined ? undefined : table[name];
    if (name !== undefined && spec !== undefined) {
      const origin: OptionOrigin = { kind: 'environment', name: variable };
      settings.push({
        name,
        called: `The environment variable ${variable}`,
        raw: word,
        read: valueOfWord(spec.type, word),
        origin,
      });
    } else if (!known.includes(variable)) {
      mistakes.push(
        `There is no option for the environment variable ${variable}${didYouMean(nearest(variable, known))}`,
      );
    }
  }
  return settings;
}

function settingsOfFlags(table: OptionTable, flags: ReadonlyMap<string, GivenFlag>): readonly Setting[] {
  const settings: Setting[] = [];
  for (const [name, given] of flags) {
    const spec = table[name];
    if (spec === undefined) continue;
    const raw = given.values.length === 1 || spec.type.kind !== 'list' ? given.values.at(-1) : given.values;
    settings.push({
      name,
      called: given.flag,
      raw,
      read: valueOfFlag(spec.type, given),
      origin: { kind: 'flag', flag: given.flag },
    });
  }
  return settings;
}

function valueOfFlag(type: OptionType, given: GivenFlag): ReadValue {
  // Repeated flags add up for a list; for everything else the last one counts, as shells' users expect.
  if (type.kind === 'list') return valueOfData(type, given.values);
  const last = given.values.at(-1);
  return typeof last === 'string' ? valueOfWord(type, last) : valueOfData(type, last);
}

export interface ReadArguments {
  readonly flags: ReadonlyMap<string, GivenFlag>;
  /** What is no flag and no flag's value, in order; everything behind `--`. */
  readonly operands: readonly string[];
}

/**
 * Reads a command line by the table: `--flag VALUE`, `--flag=VALUE`, `--yes`, `--no-yes`, `-x VALUE`, `-xVALUE`, bundles
 * of `-abc`, `-` as an operand, `--` before operands that look like flags. Values are not looked at yet.
 * @throws Fault `invalid` for an unknown flag (with the nearest one), a missing or an unwanted value.
 */
export function readArguments(table: OptionTable, words: readonly string[]): ReadArguments {
  const byFlag = new Map<string, string>();
  for (const [name, spec] of Object.entries(table))
    for (const flag of flagsOfOption(name, spec)) byFlag.set(flag, name);
  const flags = new Map<string, GivenFlag>();
  const operands: string[] = [];
  const add = (name: string, flag: string, value: string | boolean): void => {
    flags.set(name, { flag, values: [...(flags.get(name)?.values ?? []), value] });
  };
  const line = [...words];
  for (let word = line.shift(); word !== undefined; word = line.shift()) {
    if (word === '--') return { flags, operands: [...operands, ...line] };
    if (!word.startsWith('-') || word === '-') operands.push(word);
    else if (word.startsWith('--')) readLong(table, byFlag, word, line, add);
    else readShort(table, byFlag, word, line, add);
  }
  return { flags, operands };
}

type AddFlag = (name: string, flag: string, value: string | boolean) => void;

function readLong(
  table: OptionTable,
  byFlag: ReadonlyMap<string, string>,
  word: string,
  line: string[],
  add: AddFlag,
): void {
  const equals = word.indexOf('=');
  const flag = equals < 0 ? word : word.slice(0, equals);
  const value = equals < 0 ? undefined : word.slice(equals + 1);
  const positive = flag.startsWith('--no-') && !byFlag.has(flag) ? `--${flag.slice('--no-'.length)}` : flag;
  const name = byFlag.get(positive);
  const isBoolean = name !== undefined && table[name]?.type.kind === 'boolean';
  if (name === undefined || (positive !== flag && !isBoolean)) throw unknownFlag(flag, byFlag);
  if (positive !== flag) {
    if (value !== undefined)
      throw new Fault('invalid', `${flag} takes no value, and was given ${JSON.stringify(value)}.`, { flag });
    add(name, flag, false);
  } else if (isBoolean) add(name, flag, value ?? true);
  else add(name, flag, value ?? nextWord(table, name, flag, line));
}

function readShort(
  table: OptionTable,
  byFlag: ReadonlyMap<string, string>,
  word: string,
  line: string[],
  add: AddFlag,
): void {
  for (let at = 1; at < word.length; at++) {
    const flag = `-${word[at]}`;
    const name = byFlag.get(flag);
    if (name === undefined) throw unknownFlag(at === 1 ? word : flag, byFlag);
    if (table[name]?.type.kind === 'boolean') {
      add(name, flag, true);
      continue;
    }
    const rest = word.slice(at + 1);
    add(name, flag, rest === '' ? nextWord(table, name, flag, line) : rest);
    return;
  }
}

function nextWord(table: OptionTable, name: string, flag: string, line: string[]): string {
  const next = line.shift();
  if (next !== undefined) return next;
  throw new Fault('invalid', `${flag} needs a value behind it: ${table[name]?.doc ?? name}`, { flag });
}

function unknownFlag(flag: string, byFlag: ReadonlyMap<string, string>): Fault {
  const near = nearest(flag, [...byFlag.keys()]);
  const hint = near === undefined ? 'See --help for those there are.' : `Did you mean ${near}?`;
  return new Fault('invalid', `There is no flag ${flag} here. ${hint}`, {
    flag,
    ...(near === undefined ? {} : { nearest: near }),
  });
}

/** What is wrong with a table itself, for the test that every table gets; empty when nothing is. */
export function mistakesOfTable(table: OptionTable): readonly string[] {
  const mistakes: string[] = [];
  const owners = new Map<string, string>();
  const claim = (what: string, name: string): void => {
    const owner = owners.get(what);
    if (owner !== undefined) mistakes.push(`${what} belongs to ${owner} and to ${name}`);
    owners.set(what, name);
  };
  for (const [name, spec] of Object.entries(table)) {
    if (!/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/.test(name)) mistakes.push(`${name} is no dotted name`);
    if (spec.doc === '' || spec.doc.includes('\n')) mistakes.push(`${name} needs one line of documentation`);
    if (spec.default !== undefined && !valueOfData(spec.type, spec.default).ok && !isMillisecondDefault(spec)) {
      mistakes.push(`the default of ${name} is not a value of its type`);
    }
    for (const column of wrongDefaultsOf(spec.type)) {
      mistakes.push(`the default of \`${column}\` in ${name} is not a value of its type`);
    }
    for (const flag of flagsOfOption(name, spec)) {
      if (!/^(--[a-z0-9][a-z0-9-]*|-[a-zA-Z0-9])$/.test(flag)) mistakes.push(`${flag} of ${name} is no flag`);
      claim(flag, name);
    }
    const variable = environmentOfOption(name, spec);
    if (variable !== undefined) claim(variable, name);
    const key = keyOfOption(name, spec);
    if (key !== undefined) claim(`the key ${key}`, name);
  }
  return mistakes;
}

function wrongDefaultsOf(type: OptionType): string[] {
  if (type.kind !== 'tables') return [];
  return Object.entries(type.defaults ?? {})
    .filter(([column, value]) => !valueOfData(type.columns[column] ?? { kind: 'choice', values: [] }, value).ok)
    .map(([column]) => column);
}

/** A duration's default is milliseconds, as its value is; only words have units. */
function isMillisecondDefault({ type, default: value }: OptionSpec): boolean {
  return type.kind === 'duration' && typeof value === 'number' && value >= type.minMs && value <= type.maxMs;
}
