/**
 * Completion scripts for bash, zsh and fish, drawn from the command table. They complete verbs, flags, words that a flag or
 * an argument chooses from, and local files; paths in the store are not asked for, because a keystroke must not open
 * a store.
 */
import { completionOfOptions, type OptionCompletion, type OptionTable } from '../../base/index.ts';
import type { Command } from './command.ts';
import { COMMANDS, GLOBAL_FLAGS, STORE_FLAGS } from './commands.ts';

function flagsOf(command: Command): readonly OptionCompletion[] {
  const store = command.needs === 'none' ? {} : STORE_FLAGS;
  return offered({ ...command.flags, ...store, ...GLOBAL_FLAGS });
}

/** What is worth typing: a switch that is on has only its opposite. */
function offered(table: OptionTable): readonly OptionCompletion[] {
  return completionOfOptions(table).map((option, index) => {
    const isOn = Object.values(table)[index]?.default === true && option.takes === 'nothing';
    return isOn ? { ...option, flags: option.flags.map((flag) => `--no-${flag.slice('--'.length)}`) } : option;
  });
}

function wordsOf(command: Command): readonly string[] {
  return command.arguments.flatMap((argument) =>
    argument.kind === 'verb' ? COMMANDS.map((other) => other.verb) : (argument.choices ?? []),
  );
}

function takesLocal(command: Command): boolean {
  return command.arguments.some((argument) => argument.kind === 'local');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function bashCompletion(): string {
  const verbs = COMMANDS.map((command) => command.verb).join(' ');
  return `# Completion of holdfast for bash: source <(holdfast completion bash)
_holdfast() {
  local word before verb at
  word=\${COMP_WORDS[COMP_CWORD]}
  before=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  verb=
  for ((at = 1; at < COMP_CWORD; at++)); do
    case \${COMP_WORDS[at]} in
      --store|--server|--config) ((at++)) ;;
      -*) ;;
      *) verb=\${COMP_WORDS[at]}; break ;;
    esac
  done
  if [[ -z $verb ]]; then
    case $before in
${bashValues(offered(STORE_FLAGS))}
    esac
    COMPREPLY=($(compgen -W ${quoted(`${verbs} --help --version ${flagWords(offered({ ...STORE_FLAGS, ...GLOBAL_FLAGS }))}`)} -- "$word"))
    return
  fi
  case $verb in
${COMMANDS.map(bashCommand).join('\n')}
  esac
}
complete -o filenames -F _holdfast holdfast
`;
}

function flagWords(flags: readonly OptionCompletion[]): string {
  return flags.flatMap((flag) => flag.flags.filter((one) => one.startsWith('--'))).join(' ');
}

function bashCommand(command: Command): string {
  const flags = flagsOf(command);
  const words = wordsOf(command);
  const files = takesLocal(command) ? 'COMPREPLY=($(compgen -f -- "$word"))' : 'COMPREPLY=()';
  const others = words.length > 0 ? `COMPREPLY=($(compgen -W ${quoted(words.join(' '))} -- "$word"))` : files;
  return `    ${command.verb})
      case $before in
${bashValues(flags)}
      esac
      if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W ${quoted(flagWords(flags))} -- "$word"))
      else
        ${others}
      fi ;;`;
}

function bashValues(flags: readonly OptionCompletion[]): string {
  const cases = flags.flatMap(({ flags: names, takes, words }) => {
    if (takes === 'nothing') return [];
    const reply = { word: `-W ${quoted(words.join(' '))}`, file: '-f', folder: '-d', anything: undefined }[takes];
    const answer = reply === undefined ? '' : `COMPREPLY=($(compgen ${reply} -- "$word")); `;
    return [`        ${names.join('|')}) ${answer}return ;;`];
  });
  return [...cases, '        *) ;;'].join('\n');
}

export function zshCompletion(): string {
  const verbs = COMMANDS.map((command) => `    ${quoted(`${command.verb}:${command.summary}`)}`).join('\n');
  return `#compdef holdfast
# Completion of holdfast for zsh: source <(holdfast completion zsh)
_holdfast() {
  local -a verbs
  verbs=(
${verbs}
  )
  local context state line
  _arguments -C \\
    ${zshFlags(offered({ ...STORE_FLAGS, ...GLOBAL_FLAGS })).join(' \\\n    ')} \\
    '1: :->verb' '*:: :->rest'
  case $state in
    verb) _describe -t commands 'holdfast command' verbs ;;
    rest)
      case $line[1] in
${COMMANDS.map(zshCommand).join('\n')}
      esac ;;
  esac
}
if [[ $funcstack[1] == _holdfast ]]; then
  _holdfast "$@"
else
  compdef _holdfast holdfast
fi
`;
}

/** The verb that stands on the line, if one does: words behind flags of the store are none. */
const FISH_VERB = `function __holdfast_verb
  set -l words (commandline -opc)
  set -e words[1]
  while set -q words[1]
    switch $words[1]
      case --store --server --config
        set -q words[2]; and set -e words[1]
      case '-*'
      case '*'
        echo $words[1]
        return 0
    end
    set -e words[1]
  end
  return 1
end`;

export function fishCompletion(): string {
  const noVerb = fishQuoted('not __holdfast_verb >/dev/null');
  const verbs = COMMANDS.map(
    ({ verb, summary }) => `complete -c holdfast -n ${noVerb} -a ${fishQuoted(verb)} -d ${fishQuoted(summary)}`,
  );
  const lines = [
    ...verbs,
    ...fishFlags(offered({ ...STORE_FLAGS, ...GLOBAL_FLAGS }), noVerb),
    ...COMMANDS.flatMap(fishCommand),
  ];
  return `# Completion of holdfast for fish: holdfast completion fish | source
${FISH_VERB}
complete -c holdfast -f
${lines.join('\n')}
`;
}

function fishCommand(command: Command): string[] {
  const when = fishQuoted(`contains -- ${command.verb} (__holdfast_verb)`);
  const words = wordsOf(command);
  const rest =
    words.length > 0
      ? [`complete -c holdfast -n ${when} -a ${fishQuoted(words.join(' '))}`]
      : takesLocal(command)
        ? [`complete -c holdfast -n ${when} -F`]
        : [];
  return [...rest, ...fishFlags(flagsOf(command), when)];
}

function fishFlags(flags: readonly OptionCompletion[], when: string): string[] {
  return flags.map(({ flags: names, doc, takes, words }) => {
    const named = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
    const values = {
      nothing: '',
      word: ` -x -a ${fishQuoted(words.join(' '))}`,
      file: ' -r -F',
      folder: " -x -a '(__fish_complete_directories)'",
      anything: ' -x',
    }[takes];
    return `complete -c holdfast -n ${when} ${named.join(' ')}${values} -d ${fishQuoted(doc)}`;
  });
}

function fishQuoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

function zshCommand(command: Command): string {
  const words = wordsOf(command);
  const rest = words.length > 0 ? `'*: :(${words.join(' ')})'` : takesLocal(command) ? "'*: :_files'" : "'*: :'";
  return `        ${command.verb})
          _arguments \\
            ${[...zshFlags(flagsOf(command)), rest].join(' \\\n            ')} ;;`;
}

function zshFlags(flags: readonly OptionCompletion[]): string[] {
  return flags.flatMap(({ flags: names, doc, takes, words }) =>
    names.map((name) => {
      const text = doc.replace(/[[\]:\\]/g, '\\$&');
      const action = {
        nothing: '',
        word: `: :(${words.join(' ')})`,
        file: ': :_files',
        folder: ': :_files -/',
        anything: ': :',
      }[takes];
      const joint = takes === 'nothing' ? '' : name.startsWith('--') ? '=' : '+';
      return quoted(`*${name}${joint}[${text}]${action}`);
    }),
  );
}
