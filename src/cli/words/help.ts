/**
 * Help, drawn from the command table: the overview, one command, and the reference in Markdown (docs/cli.md).
 */
import { completionOfOptions, helpOfOptions, type OptionTable } from '../../base/index.ts';
import { EXIT, EXIT_MEANINGS, type ExitName } from '../exit-codes.ts';
import { type Command, usageOf } from './command.ts';
import { COMMANDS, GLOBAL_FLAGS, STORE_FLAGS } from './commands.ts';

/** Ends that every command can come to. */
const EVERY_EXIT: readonly ExitName[] = ['ok', 'usage', 'unavailable', 'internal', 'interrupted', 'terminated'];

const GROUPS: readonly { readonly title: string; readonly verbs: readonly string[] }[] = [
  {
    title: 'A store',
    verbs: ['init', 'serve', 'mount', 'umount', 'up', 'stats', 'du', 'check', 'repair', 'gc', 'config', 'bench'],
  },
  { title: 'In and out', verbs: ['put', 'get', 'cat', 'diff'] },
  { title: 'In the store', verbs: ['ls', 'stat', 'find', 'mkdir', 'rm', 'mv', 'cp'] },
  { title: 'Together', verbs: ['batch', 'lock', 'unlock', 'locks'] },
  { title: 'The past', verbs: ['versions', 'restore', 'snapshot', 'log', 'undo'] },
  { title: 'This program', verbs: ['help', 'completion'] },
];

export function overview(width: number): string {
  const groups = GROUPS.map(({ title, verbs }) => {
    const lines = verbs.map((verb) => `  ${verb.padEnd(11)} ${summaryOf(verb)}`);
    return `${title}:\n${lines.join('\n')}\n`;
  });
  return [
    'Usage: holdfast VERB [FLAGS] [ARGUMENTS]\n',
    'Keeps files in one deduplicated, versioned store.\n',
    ...groups,
    `Everywhere:\n${helpOfOptions(GLOBAL_FLAGS, { width })}${helpOfOptions(STORE_FLAGS, { width })}`,
    '`holdfast help VERB` explains a command; `holdfast --version` names the version.\n',
  ].join('\n');
}

function summaryOf(verb: string): string {
  return COMMANDS.find((command) => command.verb === verb)?.summary ?? '';
}

function usageLine(command: Command): string {
  return ['holdfast', command.verb, '[FLAGS]', ...command.arguments.map(usageOf)].join(' ');
}

export function helpOf(command: Command, width: number): string {
  const parts = [`Usage: ${usageLine(command)}\n`, `${command.summary}.\n`];
  for (const paragraph of command.details ?? []) parts.push(`${wrap(paragraph, width)}\n`);
  if (command.arguments.length > 0) parts.push(`Arguments:\n${argumentLines(command, width)}`);
  if (Object.keys(command.flags).length > 0) parts.push(`Flags:\n${helpOfOptions(command.flags, { width })}`);
  if (command.needs !== 'none') {
    parts.push(`Store:\n${helpOfOptions(storeFlagsOf(command), { width })}`);
    parts.push('Every option that `holdfast config show` lists is a flag too.\n');
  }
  parts.push(`Everywhere:\n${helpOfOptions(GLOBAL_FLAGS, { width })}`);
  parts.push(`Examples:\n${command.examples.map(({ line, says }) => `  ${line}\n      ${says}\n`).join('')}`);
  parts.push(
    `Exit codes: ${exitsOf(command)
      .map((name) => EXIT[name])
      .join(', ')} (docs/cli.md says what they mean).\n`,
  );
  return parts.join('\n');
}

function storeFlagsOf(command: Command): OptionTable {
  if (command.needs === 'store') return STORE_FLAGS;
  return { store: STORE_FLAGS.store, config: STORE_FLAGS.config };
}

function argumentLines(command: Command, width: number): string {
  return command.arguments
    .map((argument) => {
      const lines = wrap(argument.summary, width - 14).split('\n');
      return `  ${usageOf(argument).padEnd(11)} ${lines.join(`\n${' '.repeat(14)}`)}\n`;
    })
    .join('');
}

function exitsOf(command: Command): ExitName[] {
  const wanted = new Set<ExitName>([...EVERY_EXIT, ...command.exits]);
  return (Object.keys(EXIT) as ExitName[]).filter((name) => wanted.has(name));
}

function wrap(text: string, width: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join('\n');
}

/** docs/cli.md: `holdfast help --markdown > docs/cli.md` writes it, a test checks that it is current. */
export function reference(): string {
  return [
    '# Command line\n',
    'Written by `holdfast help --markdown` from the command table; change `src/cli/words/commands.ts`, not this page.\n',
    '`holdfast VERB [FLAGS] [ARGUMENTS]`. Standard output carries data only; notes, progress and errors go to standard error. `-` stands for a standard stream. `--` ends the flags. Every option of the [configuration](operating/configuration.md) is a flag too.\n',
    'Paths in the store start at its root; a leading slash may be left out. Names are bytes: those that are not UTF-8 are written `\\xHH`, and `\\x5C` is a backslash in front of `xHH`.\n',
    'With `--json` every line of standard output is one JSON object, and an error is `{"error","code","about"}` on standard error. New members may come; those named here stay.\n',
    `## Flags of every command\n\n${flagRows(GLOBAL_FLAGS)}`,
    `## Flags of every command that needs a store\n\n${flagRows(STORE_FLAGS)}`,
    ...COMMANDS.map(section),
    exitTable(),
  ].join('\n');
}

function section(command: Command): string {
  const parts = [`## ${command.verb}\n`, `\`${usageLine(command)}\`\n`, `${command.summary}.\n`];
  for (const paragraph of command.details ?? []) parts.push(`${paragraph}\n`);
  if (command.arguments.length > 0) {
    const rows = command.arguments.map((argument) => `| \`${usageOf(argument)}\` | ${cell(argument.summary)} |`);
    parts.push(`| argument | |\n|---|---|\n${rows.join('\n')}\n`);
  }
  if (Object.keys(command.flags).length > 0) parts.push(flagRows(command.flags));
  parts.push(command.examples.map(({ line, says }) => `- \`${line}\`: ${says}\n`).join(''));
  if (command.json !== undefined)
    parts.push(`With \`--json\`:\n\n${command.json.map((line) => `- ${line}\n`).join('')}`);
  parts.push(
    `Ends with ${exitsOf(command)
      .map((name) => EXIT[name])
      .join(', ')}.\n`,
  );
  return parts.join('\n');
}

function flagRows(table: OptionTable): string {
  const rows = completionOfOptions(table).map(({ flags, doc, takes }, index) => {
    const spec = Object.values(table)[index];
    const shown = flags.map(
      (flag) => `\`${spec?.default === true && flag.startsWith('--') ? `--no-${flag.slice(2)}` : flag}\``,
    );
    const value =
      takes === 'nothing' || spec === undefined
        ? ''
        : cell(
            helpOfOptions({ x: { ...spec, flags: ['--x'], doc: '.' } })
              .trim()
              .split(/\s+/)[1] ?? '',
          );
    return `| ${shown.join(', ')} | ${value} | ${cell(doc)} |`;
  });
  return `| flag | value | |\n|---|---|---|\n${rows.join('\n')}\n`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function exitTable(): string {
  const rows = (Object.keys(EXIT) as ExitName[]).map((name) => `| ${EXIT[name]} | ${EXIT_MEANINGS[name]} |`);
  return `## Exit codes\n\n| code | meaning |\n|---|---|\n${rows.join('\n')}\n`;
}
