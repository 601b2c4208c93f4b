/**
 * What people read about options, all of it drawn from the table: help on the terminal, the configuration page of the
 * documentation, rows for `config show`, and what a shell needs for completion. Pure text; nobody prints here.
 */
import { type OptionType, shownOf, wantedOf, wordOfValue } from './option-values.ts';
import {
  environmentOfOption,
  flagsOfOption,
  keyOfOption,
  type OptionSpec,
  type OptionTable,
  type ResolvedOptions,
  textOfOrigin,
} from './options.ts';

export interface HelpOptions {
  /** Columns of the terminal; 80 when absent. */
  readonly width?: number;
}

/** One block of lines: flags and their values left, what they do right, with the default behind it. */
export function helpOfOptions(table: OptionTable, options: HelpOptions = {}): string {
  const rows = Object.entries(table)
    .filter(([name, spec]) => flagsOfOption(name, spec).length > 0)
    .map(([name, spec]) => ({ left: flagsShown(name, spec), right: `${spec.doc}${defaultShown(spec)}` }));
  const leftMax = 30;
  const left = Math.min(leftMax, Math.max(0, ...rows.map((row) => row.left.length)));
  const right = Math.max(24, (options.width ?? 80) - left - 4);
  return rows.map((row) => helpRow(row.left, row.right, left, right)).join('');
}

function helpRow(leftText: string, rightText: string, left: number, right: number): string {
  const lines = wrapped(rightText, right);
  const indent = ' '.repeat(left + 4);
  const isLong = leftText.length > left;
  const first = isLong ? `  ${leftText}\n${indent}${lines[0]}` : `  ${leftText.padEnd(left)}  ${lines[0]}`;
  return `${[first, ...lines.slice(1).map((line) => indent + line)].join('\n')}\n`;
}

function flagsShown(name: string, spec: OptionSpec): string {
  // `-r, --recursive`, as man pages have it.
  const flags = [...flagsOfOption(name, spec)].sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).join(', ');
  if (spec.type.kind !== 'boolean') return `${flags} ${shownOf(spec.type)}`;
  return spec.default === true ? flags.replace(/--(?=[^ ]*$)/, '--no-') : flags;
}

function defaultShown(spec: OptionSpec): string {
  const word = defaultWord(spec);
  return word === undefined || spec.type.kind === 'boolean' ? '' : ` (default ${word})`;
}

function defaultWord(spec: OptionSpec): string | undefined {
  if (spec.default === undefined || spec.secret === true) return undefined;
  const word = wordOfValue(spec.type, spec.default);
  return word === '' || word === '[]' ? undefined : word;
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** A Markdown table for every first word of the names; options without a dot come first. */
export function markdownOfOptions(table: OptionTable, titles: Readonly<Record<string, string>> = {}): string {
  const sections = Map.groupBy(Object.entries(table), ([name]) =>
    name.includes('.') ? (name.split('.')[0] ?? '') : '',
  );
  return [...sections]
    .map(([section, entries]) => {
      const title = titles[section] ?? (section === '' ? 'General' : section);
      const head = '| option | value | default | flag | environment |\n|---|---|---|---|---|\n';
      const rows = entries.map(([name, spec]) => markdownRow(name, spec)).join('');
      const docs = entries.map(([name, spec]) => `- \`${keyOfOption(name, spec) ?? name}\`: ${spec.doc}\n`).join('');
      return `## ${title}\n\n${head}${rows}\n${docs}`;
    })
    .join('\n');
}

function markdownRow(name: string, spec: OptionSpec): string {
  const word = defaultWord(spec);
  const flags = flagsOfOption(name, spec).map((flag) => `\`${flag}\``);
  const variable = environmentOfOption(name, spec);
  const cells = [
    `\`${keyOfOption(name, spec) ?? name}\``,
    wantedOf(spec.type),
    word === undefined ? '–' : `\`${word}\``,
    flags.join(', ') || '–',
    variable === undefined ? '–' : `\`${variable}\``,
  ];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
}

export interface OptionRow {
  readonly name: string;
  /** As one word; `(set)` for a secret, empty for what has no value. */
  readonly value: string;
  readonly origin: string;
}

/** What `config show` lists, in the table's order. */
export function rowsOfOptions<Table extends OptionTable>(
  table: Table,
  resolved: ResolvedOptions<Table>,
): readonly OptionRow[] {
  const values: Readonly<Record<string, unknown>> = resolved.values;
  const origins: Readonly<Record<string, Parameters<typeof textOfOrigin>[0]>> = resolved.origins;
  return Object.entries(table).map(([name, spec]) => {
    const value = values[name];
    const word = value === undefined ? '' : spec.secret === true ? '(set)' : wordOfValue(spec.type, value);
    return { name, value: word, origin: textOfOrigin(origins[name] ?? { kind: 'default' }) };
  });
}

export interface OptionCompletion {
  readonly flags: readonly string[];
  readonly doc: string;
  /** What stands behind the flag: nothing, one of the words, a file, a folder, or anything. */
  readonly takes: 'nothing' | 'word' | 'file' | 'folder' | 'anything';
  readonly words: readonly string[];
}

/** What a shell offers behind a flag. */
export function completionOfOptions(table: OptionTable): readonly OptionCompletion[] {
  return Object.entries(table).flatMap(([name, spec]) => {
    const flags = flagsOfOption(name, spec);
    return flags.length === 0 ? [] : [{ flags, doc: spec.doc, ...taken(spec.type) }];
  });
}

function taken(type: OptionType): Pick<OptionCompletion, 'takes' | 'words'> {
  if (type.kind === 'boolean') return { takes: 'nothing', words: [] };
  if (type.kind === 'choice') return { takes: 'word', words: type.values };
  if (type.kind === 'text' && (type.holds === 'file' || type.holds === 'folder'))
    return { takes: type.holds, words: [] };
  const words = 'words' in type ? (type.words ?? []) : [];
  return { takes: words.length > 0 ? 'word' : 'anything', words };
}
