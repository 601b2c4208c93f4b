/**
 * One run of the command line, from words to exit code. Everything from outside comes in through Surroundings, so that
 * a test runs the whole program in its own process.
 *
 * Whatever happens ends in one exit code and at most one sentence: a Fault says its own, a reader that went away says
 * nothing, an interruption says that it was one, and anything else is a bug and says so.
 */
import type { FileService } from '../api/index.ts';
import { assert, type Clock, Fault, type OptionTable, type Random } from '../base/index.ts';
import type { Context } from './context.ts';
import { EXIT, type ExitCode, exitOf } from './exit-codes.ts';
import type { LocalDisk } from './local/local-disk.ts';
import { presenting } from './saying/presenting.ts';
import { Progress } from './saying/progress.ts';
import { BrokenPipe, Say, type Sink } from './saying/say.ts';
import type { ReachedStore, ServerRoom } from './server-room.ts';
import { VERBS } from './verbs.ts';
import { VERSION } from './version.ts';
import type { Command } from './words/command.ts';
import { type Parsed, parse } from './words/parse.ts';

export interface Surroundings {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly stdin: () => AsyncIterable<Uint8Array>;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly hurry: () => AbortSignal;
  readonly disk: () => Promise<LocalDisk>;
  readonly server: () => Promise<ServerRoom>;
}

/** The reason of the abort signal: which exit code the interruption has. */
export class Interrupted extends Fault {
  readonly exit: ExitCode;

  constructor(exit: ExitCode) {
    super('aborted', 'interrupted; what was finished before stays.');
    this.exit = exit;
  }
}

/** Runs the program. Never throws. */
export async function runProgram(words: readonly string[], around: Surroundings): Promise<ExitCode> {
  let say = sayOf(around, {
    json: words.includes('--json'),
    quiet: false,
    verbose: words.includes('--verbose'),
    progress: false,
  });
  try {
    const parsed = await parse(words, async (): Promise<OptionTable> => (await around.server()).options);
    if (parsed.kind === 'run') say = sayOf(around, parsed.globals);
    const exit = await runParsed(parsed, say, around);
    await say.flush();
    return exit;
  } catch (error) {
    return await endOf(error, say, around);
  }
}

async function endOf(error: unknown, say: Say, around: Surroundings): Promise<ExitCode> {
  if (error instanceof BrokenPipe) return EXIT.brokenPipe;
  try {
    say.progress.clear();
    await say.flush();
    const reason: unknown = around.signal.reason;
    const isInterrupted = around.signal.aborted && reason instanceof Interrupted;
    await say.problem(isInterrupted ? reason : error);
    return isInterrupted ? reason.exit : exitOf(error);
  } catch (second) {
    // Nobody can be told any more.
    return second instanceof BrokenPipe ? EXIT.brokenPipe : exitOf(error);
  }
}

interface HowToSay {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly progress: boolean;
}

function sayOf(around: Surroundings, how: HowToSay): Say {
  const { stdout, stderr, clock } = around;
  const progress = new Progress({
    write: (text) => void stderr.write(text).catch(() => {}),
    columns: () => stderr.columns,
    clock,
    isOn: how.progress && !how.quiet && !how.json && stderr.isTerminal,
  });
  return new Say({ stdout, stderr, isJson: how.json, isQuiet: how.quiet, isVerbose: how.verbose, progress });
}

async function runParsed(parsed: Parsed, say: Say, around: Surroundings): Promise<ExitCode> {
  if (parsed.kind === 'version') {
    await say.raw(`holdfast ${VERSION}\n`);
    return EXIT.ok;
  }
  if (parsed.kind === 'help') return sayHelp(parsed.command, say);
  await using stores = new Stores(parsed, say, around);
  const context: Context = {
    reach: async () => presentingLock(await stores.reach(), parsed.flags),
    storeFolder: () => stores.folder(),
    say,
    disk: await around.disk(),
    clock: around.clock,
    random: around.random,
    signal: around.signal,
    hurry: around.hurry,
    stdin: around.stdin,
    server: around.server,
    asked: { file: parsed.configFile, flags: parsed.configFlags },
  };
  const verb = await VERBS[parsed.command.verb]?.();
  assert(verb !== undefined, 'every command of the table has a verb', { verb: parsed.command.verb });
  const given = { flags: parsed.flags, words: parsed.words };
  // The table and the verb were checked against each other by types; here the link is by name.
  const exit = await verb.run(given as never, context);
  return exit ?? EXIT.ok;
}

/** With --lock-token every change of the command presents that lock. */
function presentingLock(service: FileService, flags: Readonly<Record<string, unknown>>): FileService {
  const token = flags.lock_token;
  return typeof token === 'number' ? presenting(service, token) : service;
}

async function sayHelp(command: Command | undefined, say: Say): Promise<ExitCode> {
  const { helpOf, overview } = await import('./words/help.ts');
  await say.raw(command === undefined ? overview(say.columns) : helpOf(command, say.columns));
  return EXIT.ok;
}

/** The store of one run: reached at most once, let go at the end. */
class Stores implements AsyncDisposable {
  readonly #parsed: Extract<Parsed, { kind: 'run' }>;
  readonly #around: Surroundings;
  readonly #say: Say;
  #reached: Promise<ReachedStore> | undefined;

  constructor(parsed: Extract<Parsed, { kind: 'run' }>, say: Say, around: Surroundings) {
    this.#parsed = parsed;
    this.#say = say;
    this.#around = around;
  }

  async reach(): Promise<ReachedStore['service']> {
    this.#reached ??= this.#open();
    return (await this.#reached).service;
  }

  async folder(): Promise<string | undefined> {
    this.#reached ??= this.#open();
    return (await this.#reached).folder;
  }

  async #open(): Promise<ReachedStore> {
    const { command, configFile, configFlags } = this.#parsed;
    const server = await this.#around.server();
    const how = { command: `holdfast ${command.verb}`, signal: this.#around.signal };
    return server.reach({ file: configFile, flags: configFlags }, how);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reached = await this.#reached?.catch(() => undefined);
    await reached?.[Symbol.asyncDispose]();
    for (const notice of reached?.notices?.() ?? []) await this.#say.note(`holdfast: ${notice}`);
  }
}
