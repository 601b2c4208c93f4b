/**
 * The configuration file: which one counts, and what stands in it.
 *
 * Exactly one file is read: `--config FILE`, else HOLDFAST_CONFIG, else ./holdfast.toml, else
 * $XDG_CONFIG_HOME/holdfast/config.toml (~/.config when that is not set). The first two must be there; of the others
 * none may. It is TOML, or JSON when its name ends in `.json`.
 */
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Fault, type OptionFile } from '../base/index.ts';
import { faultOfSystem, isSystemError } from './system-fault.ts';

export const CONFIG_ENVIRONMENT = 'HOLDFAST_CONFIG';
/** A configuration is a page or two; more is another file by mistake. */
export const CONFIG_BYTES_MAX = 1024 * 1024;

export interface ConfigFileQuestion {
  /** What `--config` named. */
  readonly named?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
}

/** The file that counts, parsed; `undefined` when there is none. @throws Fault `not-found`, `invalid`, `denied`, `io`. */
export async function readConfigFile(question: ConfigFileQuestion): Promise<OptionFile | undefined> {
  const { path, isNamed } = configPath(question);
  if (path === undefined) return undefined;
  const text = textOfFile(path, isNamed);
  if (text === undefined) return undefined;
  return path.endsWith('.json') ? parseJson(path, text) : await parseToml(path, text);
}

function configPath(question: ConfigFileQuestion): { readonly path: string | undefined; readonly isNamed: boolean } {
  const { environment, workingFolder } = question;
  const named = question.named ?? (environment[CONFIG_ENVIRONMENT] || undefined);
  if (named !== undefined) return { path: resolve(workingFolder, named), isNamed: true };
  const config = environment.XDG_CONFIG_HOME || (environment.HOME ? join(environment.HOME, '.config') : undefined);
  const places = [
    resolve(workingFolder, 'holdfast.toml'),
    ...(config ? [join(config, 'holdfast', 'config.toml')] : []),
  ];
  return { path: places.find(isThere), isNamed: false };
}

/** Something under that name that we must look at: "may not be read" is not "is not there". */
function isThere(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch (error) {
    return !isSystemError(error, 'ENOENT', 'ENOTDIR', 'EACCES');
  }
}

function textOfFile(path: string, isNamed: boolean): string | undefined {
  try {
    const stat = statSync(path);
    if (!stat.isFile() && !stat.isFIFO())
      throw new Fault('invalid', `The configuration file ${path} is not a file.`, { path });
    if (stat.size > CONFIG_BYTES_MAX) {
      const sentence = `The configuration file ${path} has ${stat.size} bytes; ${CONFIG_BYTES_MAX} is the most. It is probably another kind of file.`;
      throw new Fault('invalid', sentence, { path, bytes: stat.size, bytesMax: CONFIG_BYTES_MAX });
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (Fault.is(error)) throw error;
    // Removed between looking and reading.
    if (!isNamed && isSystemError(error, 'ENOENT')) return undefined;
    throw faultOfSystem(error, 'read as the configuration file', path);
  }
}

function parseJson(path: string, text: string): OptionFile {
  try {
    return { path, data: JSON.parse(text) };
  } catch (error) {
    const place = /\(line (\d+) column (\d+)\)/.exec((error as Error).message);
    throw unreadable(path, 'JSON', { line: place?.[1], column: place?.[2], why: (error as Error).message }, error);
  }
}

async function parseToml(path: string, text: string): Promise<OptionFile> {
  // Loaded here, because most commands run without a configuration file.
  const { parse, TomlError } = await import('smol-toml');
  try {
    return { path, data: parse(text), lineOf: lineFinder(text) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // Its message goes on with a drawing of the place; the first line says why.
    const why = error.message.split('\n')[0] ?? '';
    throw unreadable(path, 'TOML', { line: error.line, column: error.column, why }, error);
  }
}

interface Place {
  readonly line: number | string | undefined;
  readonly column: number | string | undefined;
  readonly why: string;
}

function unreadable(path: string, format: string, place: Place, cause: unknown): Fault {
  const where = place.line === undefined ? '' : ` line ${place.line}, column ${place.column}`;
  return new Fault(
    'invalid',
    `The configuration file ${path}${where} is not valid ${format}: ${place.why.replace(/\.$/, '')}.`,
    { path, ...(place.line === undefined ? {} : { line: Number(place.line), column: Number(place.column) }) },
    cause,
  );
}

/**
 * Finds the line on which a dotted key stands in a valid TOML text. The parser does not tell, so this reads headings and
 * `key =` beginnings only, outside multi-line strings; for what it cannot tell (keys in inline tables) it answers
 * `undefined`, never a wrong line.
 */
export function lineFinder(text: string): (key: string) => number | undefined {
  const lines = new Map<string, number>();
  let prefix = '';
  let quote: string | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    if (quote !== undefined) {
      if (line.includes(quote)) quote = undefined;
      continue;
    }
    const heading = /^\s*\[{1,2}\s*([A-Za-z0-9_.\s-]+?)\s*\]{1,2}\s*(?:#.*)?$/.exec(line);
    const assignment = /^\s*([A-Za-z0-9_-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=(.*)$/.exec(line);
    if (heading !== null) prefix = `${plainKey(heading[1] ?? '')}.`;
    const key =
      heading !== null ? prefix.slice(0, -1) : assignment === null ? undefined : prefix + plainKey(assignment[1] ?? '');
    if (key !== undefined) for (const one of withParents(key)) if (!lines.has(one)) lines.set(one, index + 1);
    quote = openedQuote(assignment?.[2] ?? '');
  }
  return (key) => lines.get(key);
}

function plainKey(key: string): string {
  return key.replace(/\s/g, '');
}

/** `a.b.c` stands where `a`, `a.b` and `a.b.c` first do. */
function withParents(key: string): readonly string[] {
  const parts = key.split('.');
  return parts.map((_, index) => parts.slice(0, index + 1).join('.'));
}

function openedQuote(value: string): string | undefined {
  return ['"""', "'''"].find((quote) => value.split(quote).length === 2);
}
