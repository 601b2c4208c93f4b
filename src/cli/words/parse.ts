/**
 * The words of a command line as a command, its flags and its arguments. Global flags may stand before the verb.
 * Everything is decided by the table; mistakes are Faults `invalid` that name the nearest word that is known.
 */
import {
  Fault,
  flagsOfOption,
  type GivenFlag,
  nearest,
  type OptionTable,
  type OptionValues,
  readArguments,
  resolveOptions,
} from '../../base/index.ts';
import { type Command, countOf, usageOf } from './command.ts';
import { COMMANDS, commandOf, GLOBAL_FLAGS, STORE_FLAGS } from './commands.ts';

export type GlobalFlags = OptionValues<typeof GLOBAL_FLAGS>;

export type Parsed =
  | { readonly kind: 'version' }
  | { readonly kind: 'help'; readonly command: Command | undefined }
  | {
      readonly kind: 'run';
      readonly command: Command;
      readonly globals: GlobalFlags;
      /** The command's own flags, resolved. */
      readonly flags: Readonly<Record<string, unknown>>;
      /** Flags that belong to the configuration, as they were given. */
      readonly configFlags: ReadonlyMap<string, GivenFlag>;
      /** The value of --config. */
      readonly configFile: string | undefined;
      readonly words: readonly string[];
    };

/** Flags before a verb. */
const EARLY_FLAGS = { ...GLOBAL_FLAGS, ...STORE_FLAGS } as const;

/**
 * @param optionsOf the options of the configuration, loaded only for a command that may take them.
 * @throws Fault `invalid`.
 */
export async function parse(words: readonly string[], optionsOf: () => Promise<OptionTable>): Promise<Parsed> {
  if (words.length === 1 && (words[0] === '--version' || words[0] === '-V')) return { kind: 'version' };
  const at = indexOfVerb(words);
  const verb = words[at];
  if (verb === undefined) {
    readArguments(EARLY_FLAGS, words);
    return { kind: 'help', command: undefined };
  }
  const command = commandOf(verb) ?? unknownVerb(verb);
  const line = [...words.slice(0, at), ...words.slice(at + 1)];
  // Help must not fail because of anything else on the line.
  if (asksForHelp(line)) return { kind: 'help', command };
  const config = command.needs === 'none' ? {} : await optionsOf();
  return split(command, config, line);
}

function asksForHelp(line: readonly string[]): boolean {
  const end = line.indexOf('--');
  const flags = end < 0 ? line : line.slice(0, end);
  return flags.includes('--help') || flags.includes('-h');
}

/** The first word that is no flag and no flag's value. */
function indexOfVerb(words: readonly string[]): number {
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    if (!word.startsWith('-') || word === '-') return at;
    if (word === '--') return at + 1;
    const name = Object.keys(STORE_FLAGS).find((flag) => word === `--${flag}`);
    if (name !== undefined) at++;
  }
  return words.length;
}

function unknownVerb(verb: string): never {
  const verbs = COMMANDS.map((command) => command.verb);
  const near = nearest(verb, verbs);
  const hint = near === undefined ? '`holdfast --help` lists all.' : `Did you mean \`${near}\`?`;
  throw new Fault('invalid', `There is no command \`${verb}\`. ${hint}`, {
    verb,
    ...(near === undefined ? {} : { nearest: near }),
  });
}

function split(command: Command, config: OptionTable, line: readonly string[]): Parsed {
  const table = tableOf(command, config);
  const { flags, operands } = readArguments(table, line);
  const globals = resolveOptions(GLOBAL_FLAGS, { flags: partOf(flags, GLOBAL_FLAGS) }).values;
  const own = resolveOptions(command.flags, { flags: partOf(flags, command.flags) }).values;
  checkCount(command, operands);
  return {
    kind: 'run',
    command,
    globals,
    flags: own,
    configFlags: new Map([...flags].filter(([name]) => name in config && !(name in command.flags))),
    configFile: flags.get('config')?.values.at(-1)?.toString(),
    words: operands,
  };
}

/** All flags of a command; its own win over options of the configuration that share a name or a flag. */
export function tableOf(command: Command, config: OptionTable): OptionTable {
  const own: OptionTable = { ...GLOBAL_FLAGS, ...command.flags };
  if (command.needs === 'none') return own;
  const taken = new Set(Object.entries(own).flatMap(([name, spec]) => flagsOfOption(name, spec)));
  const candidates: OptionTable = { config: STORE_FLAGS.config, ...config };
  const others = Object.entries(candidates).filter(
    ([name, spec]) => !(name in own) && !flagsOfOption(name, spec).some((flag) => taken.has(flag)),
  );
  return { ...own, ...Object.fromEntries(others) };
}

function partOf(flags: ReadonlyMap<string, GivenFlag>, table: OptionTable): ReadonlyMap<string, GivenFlag> {
  return new Map([...flags].filter(([name]) => name in table));
}

function checkCount(command: Command, words: readonly string[]): void {
  const counts = command.arguments.map(countOf);
  const min = counts.reduce((sum, count) => sum + count.min, 0);
  const max = counts.reduce((sum, count) => sum + count.max, 0);
  if (words.length >= min && words.length <= max) return;
  const usage = ['holdfast', command.verb, ...command.arguments.map(usageOf)].join(' ');
  const what =
    words.length < min ? `needs ${min === 1 ? 'an argument' : `${min} arguments`}` : 'got too many arguments';
  const extra = words.length > max ? ` (${JSON.stringify(words[max])})` : '';
  throw new Fault('invalid', `\`${command.verb}\` ${what}${extra}. Usage: ${usage}`, { verb: command.verb });
}
