/**
 * Commands as data. A Command says everything about a verb but what it does: from this one description come parsing,
 * `--help`, docs/cli.md and shell completion, so that they cannot disagree. What it does is loaded when it is run, so
 * that `--help` and `--version` start at once.
 */
import type { OptionTable, OptionValues } from '../../base/index.ts';
import type { Context } from '../context.ts';
import type { ExitCode, ExitName } from '../exit-codes.ts';

/** What an argument names, so that completion knows what to offer. */
export type ArgumentKind = 'local' | 'stored' | 'text' | 'verb' | 'choice';

export interface ArgumentSpec {
  readonly name: string;
  readonly kind: ArgumentKind;
  readonly choices?: readonly string[];
  readonly summary: string;
  /** Fewest and most; both 1 when absent. */
  readonly count?: { readonly min: number; readonly max: number };
}

export interface Example {
  readonly line: string;
  readonly says: string;
}

/** What a verb is given: its own flags, and the words that are no flags (with U+DCHH for bytes outside UTF-8). */
export interface Given<Table extends OptionTable> {
  readonly flags: OptionValues<Table>;
  readonly words: readonly string[];
}

export interface Verb {
  /** Answers the exit code; 0 when it answers nothing. */
  run(given: never, context: Context): Promise<ExitCode | undefined>;
}

/**
 * Which stores a command needs: `store` reaches one (flags --store and --server); `folder` works on a store's folder
 * itself (no --server); `none` needs neither.
 */
export type Needs = 'store' | 'folder' | 'none';

export interface Command {
  readonly verb: string;
  /** One line, no full stop. */
  readonly summary: string;
  /** Paragraphs for `help VERB` and the reference. */
  readonly details?: readonly string[];
  readonly arguments: readonly ArgumentSpec[];
  readonly flags: OptionTable;
  readonly examples: readonly Example[];
  /** Beyond those that every command can end with (ok, usage, unavailable, internal, interrupted). */
  readonly exits: readonly ExitName[];
  /** The lines it writes to standard output with --json; none when absent. */
  readonly json?: readonly string[];
  readonly needs: Needs;
}

export function countOf(argument: ArgumentSpec): { readonly min: number; readonly max: number } {
  return argument.count ?? { min: 1, max: 1 };
}

/** `SOURCE…`, `[DEST]`. */
export function usageOf(argument: ArgumentSpec): string {
  const { min, max } = countOf(argument);
  const name = max > 1 ? `${argument.name}…` : argument.name;
  return min === 0 ? `[${name}]` : name;
}
