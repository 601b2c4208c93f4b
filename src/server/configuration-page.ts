/**
 * docs/operating/configuration.md, written from the options table; a test compares the page with it.
 * Run as a program, it writes the page.
 */
import { writeFileSync } from 'node:fs';
import { markdownOfOptions } from '../base/index.ts';
import { OPTION_TITLES, SERVER_OPTIONS } from './options-table.ts';

const HEAD = `# Configuration

<!-- Written from src/server/options-table.ts by \`node src/server/configuration-page.ts\`; do not edit. -->

Every option has one name and can be set in four places. A later one wins:

1. the default,
2. the configuration file,
3. the environment, \`HOLDFAST_…\` (an empty variable counts as not set),
4. flags on the command line.

\`holdfast config show --origin\` lists every option with its value and where that came from. A name that nobody knows, in
whichever place, is an error that names the nearest one.

## The file

One file is read: the one that \`--config FILE\` names, else the one that \`HOLDFAST_CONFIG\` names, else
\`./holdfast.toml\`, else \`$XDG_CONFIG_HOME/holdfast/config.toml\` (\`~/.config/holdfast/config.toml\` when that is not
set). It is TOML, or JSON when its name ends in \`.json\`. Dots in names are tables:

\`\`\`toml
store = "/srv/holdfast"
memory = "small"

[http]
port = 8420

[compression]
level = 3

[[compression.rules]]
match = "*.jpg"          # without a slash: names
level = "none"

[[compression.rules]]
match = "logs/**"        # with a slash: paths from the root
level = 9

[[mounts]]               # for \`holdfast up\`: see mount.md
path = "/mnt/files"
allow_other = true
\`\`\`

## Values

Sizes are bytes, or a number with a unit: \`KiB\`, \`MiB\`, \`GiB\`, \`TiB\` (1,024) or \`kB\`, \`MB\`, \`GB\`, \`TB\` (1,000).
Durations need a unit: \`ms\`, \`s\`, \`m\`, \`h\`, \`d\`. In the environment lists stand with commas between, and lists of
tables as JSON; a flag for a list is repeated.

`;

/** The whole page. */
export function configurationPage(): string {
  return HEAD + markdownOfOptions(SERVER_OPTIONS, OPTION_TITLES);
}

if (import.meta.main) {
  writeFileSync(new URL('../../docs/operating/configuration.md', import.meta.url), configurationPage());
}
